//! Backups and restores: a backup is the state at one commit, whatever is written meanwhile, and what
//! is restored from it is that state, in another incarnation.

use std::sync::atomic::AtomicBool;

use domain::ResourceVersion;

use super::*;
use crate::backup::{BackupEntry, BackupError, BackupHeader, BackupReader, BackupWriter};
use crate::{RestoreError, RestorePlan, read_backup};

const AT: Timestamp = Timestamp::from_unix_millis(1_795_000_000_000);
const NEXT: Incarnation = Incarnation::new(1);

pub(super) fn with_keyring() -> TempDir {
    let home = fresh();
    DataDir::lock(home.path()).unwrap().write_keyring(b"a keyring").unwrap();
    home
}

pub(super) fn back_up(engine: &SledEngine, since: Option<u64>) -> Vec<u8> {
    let mut out = Vec::new();
    let since = since.map(|since| ResourceVersion::new(engine.incarnation(), Revision::new(since)));
    let summary = engine.back_up(since, AT, &mut out, &mut |_, _| {}).unwrap();
    assert_eq!(summary.bytes, out.len() as u64);
    let (header, read) = read_backup(&mut out.as_slice()).unwrap();
    assert_eq!((header.revision, read), (summary.revision, summary));
    out
}

/// Restores into a new directory, and opens what came of it.
fn restore(backups: &[&[u8]]) -> Result<(TempDir, SledEngine), RestoreError> {
    restore_as(NEXT, backups)
}

pub(super) fn restore_as(
    incarnation: Incarnation,
    backups: &[&[u8]],
) -> Result<(TempDir, SledEngine), RestoreError> {
    let (home, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let written = backups.iter().enumerate().map(|(number, bytes)| {
        let file = files.path().join(number.to_string());
        fs::write(&file, bytes).unwrap();
        file
    });
    let plan = RestorePlan::read(&written.collect::<Vec<_>>())?;
    let dir = DataDir::create(home.path()).unwrap();
    let mut last = 0;
    SledEngine::restore(&dir, &plan, incarnation, &mut |bytes| last = bytes)?;
    assert_eq!(last, plan.bytes);
    assert_eq!(dir.read_keyring().unwrap().as_deref(), Some(&b"a keyring"[..]));
    drop(dir);
    let engine = open(home.path()).unwrap();
    Ok((home, engine))
}

fn records(engine: &SledEngine) -> Vec<(Key, Stored)> {
    let range = KeyRange::records().after(&Meta::key());
    engine.scan(&range, usize::MAX).unwrap().records
}

/// Values in one piece and in several, some replaced and some removed.
fn fill(engine: &SledEngine) {
    for number in 0..60u8 {
        let size = if number % 5 == 0 { 20_000 } else { 100 };
        engine.commit(put(&format!("s{number}"), &vec![number; size])).unwrap();
    }
    for number in (0..60).step_by(7) {
        engine.commit(put(&format!("s{number}"), b"again")).unwrap();
        engine.commit(remove(&format!("s{}", number + 1))).unwrap();
    }
}

#[test]
fn what_is_restored_is_what_was_backed_up_in_another_incarnation() {
    let home = with_keyring();
    let engine = open(home.path()).unwrap();
    fill(&engine);
    let backup = back_up(&engine, None);
    let (_home, restored) = restore(&[&backup]).unwrap();
    assert!(records(&restored) == records(&engine));
    assert_eq!(restored.revision(), engine.revision());
    assert_eq!((engine.incarnation(), restored.incarnation()), (Incarnation::default(), NEXT));
    assert_eq!(compaction::recorded_live_bytes(&restored), compaction::live_bytes(&restored));
    assert_eq!(compaction::live_bytes(&restored), compaction::live_bytes(&engine));
    // It goes on by itself, compactions and further backups included.
    restored.commit(put("after", &[1; 9000])).unwrap();
    restored.commit(put("s5", &[2; 9000])).unwrap();
    assert_eq!(compaction::compact(&restored).state, CompactionState::Done);
    let again = back_up(&restored, None);
    drop(restored);
    let (_home, twice) = restore(&[&again]).unwrap();
    assert_eq!(value(&twice, "s5"), Some(vec![2; 9000]));
    assert_eq!(value(&twice, "s10"), Some(vec![10; 20_000]));
}

/// Each record says in which commit it was written, so that a mixture of two states is noticed.
#[test]
fn a_backup_is_the_state_at_one_commit_while_others_write() {
    let home = with_keyring();
    let engine = open_keeping(home.path(), 50);
    const SECRETS: u32 = 400;
    for number in 0..SECRETS {
        engine.commit(put(&format!("s{number:03}"), &[0; 1500])).unwrap();
    }
    let (stop, steps) = (AtomicBool::new(false), AtomicU64::new(0));
    // What all records were after each commit, told by one writer; others make groups of several.
    let (backups, history) = thread::scope(|scope| {
        for writer in 0..3 {
            let (engine, stop) = (&engine, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    engine.commit(put(&format!("other{writer}"), &[1; 5000])).unwrap();
                }
            });
        }
        let writer = scope.spawn(|| {
            let mut history = Vec::new();
            let mut step = 0u32;
            while !stop.load(Ordering::Relaxed) {
                step += 1;
                let (first, second) = (step * 7919 % SECRETS, step * 104_729 % SECRETS);
                let mut commit = put(&format!("s{first:03}"), &step.to_be_bytes().repeat(300));
                if first != second {
                    commit.remove(key(&format!("s{second:03}")));
                    commit.tell(event(ChangeKind::Deleted, &format!("s{second:03}")));
                }
                let at = engine.commit(commit).unwrap();
                history.push((at, first, second, step));
                steps.fetch_add(1, Ordering::Relaxed);
            }
            history
        });
        // A few commits come between any two parts of a backup.
        let slow = || {
            let (mut out, mut count) = (Vec::new(), 0);
            let slowly = &mut |_, _| {
                count += 1;
                let before = steps.load(Ordering::Relaxed);
                while count % 30 == 0 && steps.load(Ordering::Relaxed) < before + 3 {
                    thread::sleep(Duration::from_millis(1));
                }
            };
            engine.back_up(None, AT, &mut out, slowly).unwrap();
            out
        };
        let backups: Vec<_> = (0..3).map(|_| slow()).collect();
        stop.store(true, Ordering::Relaxed);
        (backups, writer.join().unwrap())
    });
    assert!(history.len() > 10);
    for backup in backups {
        let (_home, restored) = restore(&[&backup]).unwrap();
        let mut expected: BTreeMap<u32, Vec<u8>> =
            (0..SECRETS).map(|n| (n, vec![0; 1500])).collect();
        for (at, first, second, step) in &history {
            if *at <= restored.revision() {
                expected.insert(*first, step.to_be_bytes().repeat(300));
                if first != second {
                    expected.remove(second);
                }
            }
        }
        for number in 0..SECRETS {
            let found = value(&restored, &format!("s{number:03}"));
            assert!(found.as_ref() == expected.get(&number), "s{number:03}");
        }
    }
}

#[test]
fn what_was_written_since_goes_on_top_of_the_backup_below() {
    let home = with_keyring();
    let engine = open(home.path()).unwrap();
    fill(&engine);
    let whole = back_up(&engine, None);
    let first = engine.revision().get();
    let nothing = back_up(&engine, Some(first));
    let (_, summary) = read_backup(&mut nothing.as_slice()).unwrap();
    assert_eq!((summary.records, summary.kept), (0, records(&engine).len() as u64));
    engine.commit(put("s10", &[9; 8000])).unwrap();
    engine.commit(remove("s12")).unwrap();
    let mut silent = Commit::default();
    silent.put(key("s13"), b"silently".to_vec());
    engine.commit(silent).unwrap();
    let second = back_up(&engine, Some(first));
    let next = engine.revision().get();
    assert!(second.len() < whole.len() / 2, "{} of {}", second.len(), whole.len());
    engine.commit(put("new", b"1")).unwrap();
    let third = back_up(&engine, Some(next));
    let (_home, restored) = restore(&[&whole, &second, &third]).unwrap();
    assert!(records(&restored) == records(&engine));
    assert_eq!(restored.dir.stores().unwrap().len(), 1);
    let refused = |backups: &[&[u8]]| match restore(backups) {
        Err(RestoreError::Order { what, .. }) => what,
        other => panic!("{:?}", other.map(|_| ())),
    };
    assert!(refused(&[&second]).contains("name that one before it"));
    assert!(refused(&[&whole, &third]).contains("the one before is of"));
    assert!(refused(&[&whole, &whole]).contains("it is whole"));
    assert!(refused(&[]).contains("name a backup"));
    let other = with_keyring();
    let other = open(other.path()).unwrap();
    fill(&other);
    other.commit(put("s11", b"other")).unwrap();
    // The identities of these test stores are the same, but a record was written by another commit.
    let strange = back_up(&other, None);
    let on_top = back_up(&engine, Some(other.revision().get()));
    assert!(refused(&[&strange, &on_top]).contains("not as it was there"));
    let ahead = ResourceVersion::new(engine.incarnation(), Revision::new(next + 100));
    let foreign = ResourceVersion::new(NEXT, Revision::new(1));
    for since in [ahead, foreign] {
        let refused = engine.back_up(Some(since), AT, &mut Vec::new(), &mut |_, _| {});
        assert!(matches!(refused, Err(BackupError::NotOurs { .. })));
    }
}

#[test]
fn a_damaged_backup_is_refused_wherever_the_damage_is() {
    let home = with_keyring();
    let engine = open(home.path()).unwrap();
    for number in 0..30u8 {
        engine.commit(put(&format!("s{number}"), &[number; 5000])).unwrap();
    }
    let backup = back_up(&engine, None);
    let refused = |bytes: &[u8]| read_backup(&mut &bytes[..]).unwrap_err().to_string();
    for at in (0..backup.len()).step_by(backup.len() / 400).chain(0..300) {
        let mut flipped = backup.clone();
        flipped[at] ^= 4;
        refused(&flipped);
        refused(&backup[..at]);
    }
    let longer = [&backup[..], b"x"].concat();
    assert!(refused(&longer).contains("something follows its end"));
    assert!(refused(b"").contains("no backup of Tresor's"));
    assert!(refused(b"TRESORBK\0\x02 and more").contains("format 2"));
    // Two frames in each other's place, each with its own checksum.
    let frames = |bytes: &[u8]| {
        let mut starts = vec![10];
        while let Some(length) =
            bytes.get(*starts.last().unwrap()..).filter(|rest| !rest.is_empty())
        {
            let body = u32::from_be_bytes(length[..4].try_into().unwrap()) as usize;
            starts.push(starts.last().unwrap() + body + 8);
        }
        starts
    };
    let starts = frames(&backup);
    assert!(starts.len() > 4, "several frames of records");
    let (a, b, c) = (starts[1], starts[2], starts[3]);
    let swapped = [&backup[..a], &backup[b..c], &backup[a..b], &backup[c..]].concat();
    assert!(refused(&swapped).contains("a checksum is wrong"));
    let doubled = [&backup[..b], &backup[a..b], &backup[b..]].concat();
    assert!(refused(&doubled).contains("a checksum is wrong"));
}

#[test]
fn a_restore_takes_an_empty_directory_only_and_is_made_again_when_it_was_cut_off() {
    let home = with_keyring();
    let engine = open(home.path()).unwrap();
    fill(&engine);
    let backup = back_up(&engine, None);
    let file = home.path().with_extension("backup");
    fs::write(&file, &backup).unwrap();
    let plan = RestorePlan::read(std::slice::from_ref(&file)).unwrap();
    let before = contents(home.path());
    let refused = SledEngine::restore(&engine.dir, &plan, NEXT, &mut |_| {});
    assert!(matches!(refused, Err(RestoreError::NotEmpty { .. })));
    assert_eq!(contents(home.path()), before);
    // Any point of a restore, as far as the files show it: told with each record.
    let target = tempfile::tempdir().unwrap();
    let dir = DataDir::create(target.path()).unwrap();
    let mut images = Vec::new();
    let mut told = 0;
    SledEngine::restore(&dir, &plan, NEXT, &mut |_| {
        told += 1;
        if told % 12 == 1 {
            images.push(crash_image(target.path()));
        }
    })
    .unwrap();
    assert!(images.len() > 3);
    for image in images {
        let dir = DataDir::lock(image.path()).unwrap();
        assert!(dir.is_being_restored() && !dir.has_store().unwrap());
        SledEngine::restore(&dir, &plan, NEXT, &mut |_| {}).unwrap();
        assert!(!dir.is_being_restored());
        drop(dir);
        assert!(records(&open(image.path()).unwrap()) == records(&engine));
    }
    fs::remove_file(file).unwrap();
}

/// Where a backup goes may be slower than what is written: then it ends, and nothing else does.
#[test]
fn a_backup_that_is_outrun_or_cannot_be_written_ends_and_the_store_goes_on() {
    let home = with_keyring();
    let engine = open(home.path()).unwrap();
    for number in 0..70 {
        engine.commit(put(&format!("a{number}"), b"1")).unwrap();
        engine.commit(put(&format!("z{number}"), &[1; 1_000_000])).unwrap();
    }
    let mut number = 0;
    let outrun = engine.back_up(None, AT, &mut Vec::new(), &mut |_, _| {
        number += 1;
        if number == 2 {
            for number in 0..70 {
                engine.commit(put(&format!("z{number}"), b"x")).unwrap();
            }
        }
    });
    assert!(matches!(outrun, Err(BackupError::Outrun)), "{outrun:?}");
    let full = engine.back_up(None, AT, &mut [0; 100].as_mut_slice(), &mut |_, _| {});
    assert!(matches!(full, Err(BackupError::Io { operation: "written", .. })));
    assert!(engine.shared.visible.read().snapshots.is_empty());
    engine.commit(put("after", b"1")).unwrap();
    back_up(&engine, None);
}

/// Golden bytes: a backup of today is read by the releases of later.
#[test]
fn golden_backup() {
    let header = BackupHeader {
        store: STORE,
        incarnation: Incarnation::new(2),
        revision: Revision::new(258),
        since: Some(Revision::new(257)),
        created_at: Timestamp::from_unix_millis(5),
        last_event: Revision::new(6),
        log_floor: Revision::new(7),
        log_count: 8,
        anchor: Some(Anchor { seq: 9, hash: *b"0123456789abcdef0123456789abcdef" }),
        keyring: b"keys".to_vec(),
    };
    let stored = Stored {
        value: b"v".to_vec(),
        changed_at: Revision::new(1),
        written_at: Revision::new(258),
    };
    let mut bytes = Vec::new();
    let mut out = BackupWriter::begin(&mut bytes, &header).unwrap();
    out.record(&Key::keyring(), &stored).unwrap();
    out.kept(&Key::rotation(), Revision::new(3)).unwrap();
    out.finish().unwrap();
    let shown = bytes.escape_ascii().to_string().replace("\\x00", "0");
    assert_eq!(
        shown,
        r"TRESORBK0\x01000v\x010123456789abcdef000\x02000000\x01\x02\x01000000\x01\x010000000\x050000000\x060000000\x070000000\x080000000\t0123456789abcdef0123456789abcdef000\x04keysI\xf60\xb9000\x1b\x02000\x01\x010000000\x01000000\x01\x02000\x01v0-\xe1\xf0000\x0e\x03000\x01\x140000000\x039)\x9a\x92000\x11\x040000000\x010000000\x01D}s\x0f"
    );
    let mut input = bytes.as_slice();
    let (read, mut entries) = BackupReader::begin(&mut input).unwrap();
    assert_eq!(read, header);
    assert_eq!(entries.next().unwrap(), Some(BackupEntry::Record(Key::keyring(), stored)));
    assert_eq!(entries.next().unwrap(), Some(BackupEntry::Kept(Key::rotation(), Revision::new(3))));
    assert_eq!(entries.next().unwrap(), None);
}
