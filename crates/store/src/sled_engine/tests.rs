//! The engine on a real disk. A crash image is a copy of the data directory while the engine runs:
//! what a killed process leaves behind.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::{OrgName, ProjectName, ProjectPath, SecretName, SecretPath, Uid};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::engine::Precondition;
use crate::record::{Change, ChangeKind, ChangeView, ChangedObject, WrappedKeys};

mod backup;
mod compaction;
mod read_only;

const STORE: [u8; 16] = *b"0123456789abcdef";
/// A compaction that begins by itself would remove files while an image of them is made.
const OPTIONS: SledOptions =
    SledOptions { cache_bytes: 16 << 20, keep_events: 100_000, compact_by_itself: false };
const UID: Uid = Uid::from_bytes([7; 16]);

fn fresh() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    SledEngine::create(&DataDir::create(home.path()).unwrap(), STORE).unwrap();
    home
}

fn open(home: &Path) -> Result<SledEngine, OpenError> {
    SledEngine::open(DataDir::lock(home)?, STORE, OPTIONS)
}

fn open_keeping(home: &Path, keep_events: u64) -> SledEngine {
    let options = SledOptions { keep_events, ..OPTIONS };
    SledEngine::open(DataDir::lock(home).unwrap(), STORE, options).unwrap()
}

fn crash_image(home: &Path) -> TempDir {
    let image = tempfile::tempdir().unwrap();
    copy_tree(home, image.path());
    image
}

fn copy_tree(from: &Path, to: &Path) {
    // A thread of sled's own gives a snapshot its name when it is whole, and what is listed may be gone.
    let gone = |error: io::Error| assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
    // So may a whole directory of data files, which a compaction has replaced.
    let entries = fs::read_dir(from).inspect_err(|error| gone(io::Error::from(error.kind())));
    for entry in entries.into_iter().flatten() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => {
                fs::create_dir(&target).unwrap();
                copy_tree(&entry.path(), &target);
            }
            Ok(_) => fs::copy(entry.path(), target).map_or_else(gone, drop),
            Err(error) => gone(error),
        }
    }
}

/// How many blob files there are, also in what a compaction removes just now.
fn blobs(home: &Path) -> usize {
    let entries = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path().join("blobs"));
    entries.filter_map(|blobs| fs::read_dir(blobs).ok()).map(Iterator::count).sum()
}

fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.is_file()).collect();
    files.sort();
    files.iter().map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect()
}

fn secret(name: &str) -> SecretPath {
    let project =
        ProjectPath { org: OrgName::default_org(), project: ProjectName::parse("ml").unwrap() };
    SecretPath { project, name: SecretName::parse(name).unwrap() }
}

fn key(name: &str) -> Key {
    Key::head(&secret(name))
}

fn event(kind: ChangeKind, name: &str) -> Vec<u8> {
    let view = Some(ChangeView { previous: Revision::ZERO, sealed: Vec::new() });
    Change { kind, object: ChangedObject::Secret(secret(name)), uid: UID, view }.encode()
}

/// A write as the vault makes them: a record and the event that tells of it.
fn put(name: &str, value: &[u8]) -> Commit {
    let mut commit = Commit::default();
    commit.put(key(name), value.to_vec()).tell(event(ChangeKind::Modified, name));
    commit
}

fn remove(name: &str) -> Commit {
    let mut commit = Commit::default();
    commit.remove(key(name)).tell(event(ChangeKind::Deleted, name));
    commit
}

fn value(engine: &SledEngine, name: &str) -> Option<Vec<u8>> {
    engine.read(&key(name)).unwrap().map(|stored| stored.value)
}

#[test]
fn a_commit_is_read_back_with_its_revision_after_a_clean_stop_and_after_a_kill() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    assert_eq!(engine.commit(put("a", b"1")).unwrap(), Revision::new(1));
    assert_eq!(engine.commit(put("b", b"2")).unwrap(), Revision::new(2));
    let image = crash_image(home.path());
    engine.close().unwrap();
    drop(engine);
    for home in [home.path(), image.path()] {
        let engine = open(home).unwrap();
        let stored = engine.read(&key("b")).unwrap().unwrap();
        assert_eq!((stored.value.as_slice(), stored.changed_at.get()), (&b"2"[..], 2));
        assert_eq!(engine.revision(), Revision::new(2));
    }
}

/// Whoever holds the audit log against the store must find the newest line that was durable, whether
/// the last request was a write or a read, and however the daemon ended.
#[test]
fn the_anchor_goes_with_each_commit_and_follows_reads() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    assert_eq!(engine.anchor(), None);
    let line = |seq| Anchor { seq, hash: [7; 32] };
    let told = Arc::new(Mutex::new(None));
    let source = told.clone();
    engine.anchor_with(move || *source.lock());
    engine.commit(put("a", b"0")).unwrap();
    *told.lock() = Some(line(3));
    engine.commit(put("a", b"1")).unwrap();
    let written = crash_image(home.path());
    *told.lock() = Some(line(9));
    let followed = || read_head(home.path()).unwrap().anchor == Some(line(9));
    let begun = std::time::Instant::now();
    while !followed() {
        assert!(begun.elapsed() < Duration::from_secs(10), "HEAD does not follow");
        thread::sleep(Duration::from_millis(20));
    }
    let read = crash_image(home.path());
    // A log that is switched off, or out of order, forgets nothing.
    *told.lock() = None;
    engine.commit(put("a", b"2")).unwrap();
    let off = crash_image(home.path());
    *told.lock() = Some(line(12));
    engine.close().unwrap();
    drop(engine);
    for (home, seq) in [(&written, 3), (&read, 9), (&off, 9), (&home, 12)] {
        assert_eq!(open(home.path()).unwrap().anchor(), Some(line(seq)));
    }
    // HEAD may be a second behind the last commit after a power cut.
    let lost = crash_image(written.path());
    let head = Head {
        store: STORE,
        incarnation: Incarnation::default(),
        revision: Revision::ZERO,
        anchor: None,
        files: 1,
    };
    HeadFile::create(&lost.path().join("HEAD"), &head).unwrap();
    assert_eq!(open(lost.path()).unwrap().anchor(), Some(line(3)));
}

#[test]
fn a_commit_whose_precondition_fails_changes_nothing() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    let first = engine.commit(put("a", b"1")).unwrap();
    let mut absent = put("b", b"x");
    absent.require(Precondition::Absent(key("b"))).require(Precondition::Absent(key("a")));
    assert!(matches!(engine.commit(absent), Err(CommitError::Conflict { index: 1 })));
    let mut stale = put("a", b"x");
    stale.require(Precondition::ChangedAt(key("a"), Revision::new(9)));
    assert!(matches!(engine.commit(stale), Err(CommitError::Conflict { index: 0 })));
    assert_eq!((value(&engine, "a"), value(&engine, "b")), (Some(b"1".to_vec()), None));
    let mut current = put("a", b"2");
    current.require(Precondition::ChangedAt(key("a"), first));
    assert_eq!(engine.commit(current).unwrap(), Revision::new(2));
}

#[test]
fn of_many_who_create_the_same_record_at_once_one_wins() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    let won: usize = thread::scope(|scope| {
        let contender = || {
            let mut commit = put("a", b"1");
            commit.require(Precondition::Absent(key("a")));
            usize::from(engine.commit(commit).is_ok())
        };
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(contender)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(won, 1);
    assert_eq!(engine.revision(), Revision::new(1));
}

#[test]
fn a_silent_commit_keeps_the_revision_that_clients_see_and_tells_nobody() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    let first = engine.commit(put("a", b"1")).unwrap();
    let mut rewrap = Commit::default();
    rewrap.put(key("a"), b"2".to_vec()).put(key("new"), b"3".to_vec());
    let second = engine.commit(rewrap).unwrap();
    let changed_at = |name| engine.read(&key(name)).unwrap().unwrap().changed_at;
    assert_eq!((changed_at("a"), changed_at("new")), (first, second));
    let page = engine.events_after(Revision::ZERO, 10).unwrap().unwrap();
    assert_eq!(page.events.len(), 1);
    assert_eq!(page.through, second);
}

/// What a silent commit rests on, or two of them could overwrite each other.
#[test]
fn a_silent_rewrite_is_noticed_by_the_next_one() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    let first = engine.commit(put("a", b"1")).unwrap();
    let silently = |value: &[u8]| {
        let mut commit = Commit::default();
        commit.require(Precondition::WrittenAt(key("a"), first)).put(key("a"), value.to_vec());
        engine.commit(commit)
    };
    let second = silently(b"2").unwrap();
    assert!(matches!(silently(b"3"), Err(CommitError::Conflict { index: 0 })));
    let stored = engine.read(&key("a")).unwrap().unwrap();
    assert_eq!((stored.changed_at, stored.written_at), (first, second));
}

#[test]
fn an_oversized_commit_is_refused_whole() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    let large = put("a", &vec![0; MAX_COMMIT_BYTES]);
    assert!(matches!(engine.commit(large), Err(CommitError::TooLarge)));
    let mut many = Commit::default();
    for number in 0..=MAX_COMMIT_WRITES {
        many.put(key(&number.to_string()), Vec::new());
    }
    assert!(matches!(engine.commit(many), Err(CommitError::TooLarge)));
    assert_eq!(engine.revision(), Revision::ZERO);
}

/// Lets the parked writer go on when it is dropped.
struct Release(Sender<()>);

impl Drop for Release {
    fn drop(&mut self) {
        // A writer that is gone needs no release.
        let _ = self.0.send(());
    }
}

/// sled shows a batch as soon as it is applied. Readers must not, until it is durable.
/// Symptom: of two who made the same record at once, the loser was told so, looked, and found nothing.
/// Cause: a conflict with a commit of the same group was answered before that group was durable.
#[test]
fn who_conflicts_with_a_commit_of_the_same_group_finds_what_is_in_the_way() {
    let home = fresh();
    // Slow, so that both wait behind the first group, and the loser looks while theirs is under way.
    let hook: StepHook = Arc::new(|step| {
        if step == Step::Applied {
            thread::sleep(Duration::from_millis(30));
        }
    });
    let dir = DataDir::lock(home.path()).unwrap();
    let engine = SledEngine::open_with_hook(dir, STORE, OPTIONS, hook).unwrap();
    for round in 0..5 {
        let name = format!("r{round}");
        let make = || {
            let mut commit = put(&name, b"made");
            commit.require(Precondition::Absent(key(&name)));
            (engine.commit(commit), value(&engine, &name))
        };
        thread::scope(|scope| {
            let first = scope.spawn(|| engine.commit(put("busy", b"x")));
            thread::sleep(Duration::from_millis(5));
            let both = [scope.spawn(make), scope.spawn(make)].map(|one| one.join().unwrap());
            first.join().unwrap().unwrap();
            assert_eq!(both.iter().filter(|(made, _)| made.is_ok()).count(), 1);
            assert!(both.iter().all(|(_, seen)| seen.as_deref() == Some(b"made")), "{both:?}");
        });
    }
}

#[test]
fn nothing_of_a_group_is_seen_before_it_is_durable() {
    let home = fresh();
    let (reached, at_applied) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let reached = Mutex::new(reached);
    let commits = AtomicU64::new(0);
    let hook: StepHook = Arc::new(move |step| {
        if step == Step::Applied && commits.fetch_add(1, Ordering::SeqCst) == 1 {
            reached.lock().send(()).unwrap();
            may_go_on.lock().recv().unwrap();
        }
    });
    let dir = DataDir::lock(home.path()).unwrap();
    let engine = SledEngine::open_with_hook(dir, STORE, OPTIONS, hook).unwrap();
    let mut first = put("a", b"old");
    first.put(key("c"), b"stays until deleted".to_vec());
    engine.commit(first).unwrap();
    let mut revisions = engine.revisions();
    revisions.mark_unchanged();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut commit = put("a", b"new");
            commit.put(key("b"), b"new".to_vec()).remove(key("c"));
            engine.commit(commit)
        });
        // Whatever fails below, the writer goes on, or the scope would wait for it for ever.
        let release = Release(go_on);
        at_applied.recv().unwrap();
        let names = |page: &Page| {
            page.records
                .iter()
                .map(|(key, _)| key.secret_path().unwrap().name.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(value(&engine, "a"), Some(b"old".to_vec()));
        assert_eq!(value(&engine, "b"), None);
        let page = engine.scan(&KeyRange::all_heads(), 10).unwrap();
        assert_eq!((names(&page), page.at), (vec!["a".into(), "c".into()], Revision::new(1)));
        assert_eq!(page.records[0].1.value, b"old");
        assert!(engine.events_after(Revision::new(1), 10).unwrap().unwrap().events.is_empty());
        assert!(!revisions.has_changed().unwrap());
        drop(release);
        writer.join().unwrap().unwrap();
        let page = engine.scan(&KeyRange::all_heads(), 10).unwrap();
        assert_eq!((names(&page), page.at), (vec!["a".into(), "b".into()], Revision::new(2)));
        assert_eq!(value(&engine, "a"), Some(b"new".to_vec()));
        assert!(revisions.has_changed().unwrap());
    });
}

/// sled spills a leaf of more than 128 KiB into a file that it never syncs.
#[test]
fn large_values_never_reach_a_blob_file() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    let large: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
    for name in ["a", "b", "c"] {
        engine.commit(put(name, &large)).unwrap();
        engine.commit(put(name, &large[..500_000])).unwrap();
    }
    for number in 0..60 {
        engine.commit(put(&format!("m{number}"), &large[..9_000 + number])).unwrap();
    }
    assert_eq!(value(&engine, "b").unwrap(), &large[..500_000]);
    assert_eq!(value(&engine, "m59").unwrap(), &large[..9_059]);
    let image = crash_image(home.path());
    assert_eq!((blobs(home.path()), blobs(image.path())), (0, 0));
    let reopened = open(image.path()).unwrap();
    assert_eq!(value(&reopened, "c").unwrap(), &large[..500_000]);
    engine.commit(remove("a")).unwrap();
    let left = engine.shared.visible.read().raw.clone().unwrap();
    let chunks = KeyRange {
        start: Key::from_bytes(vec![crate::key::CHUNK]),
        end: Key::from_bytes(vec![crate::key::CHUNK + 1]),
    };
    // Two values of 500,000 bytes and sixty of nine kilobytes; the removed one left no chunk.
    assert_eq!(left.count_keys(&chunks), 2 * 500_000usize.div_ceil(raw::CHUNK_BYTES) + 60 * 3);
}

#[test]
fn a_directory_has_one_owner() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    assert!(matches!(open(home.path()), Err(OpenError::Locked { .. })));
    drop(engine);
    assert!(open(home.path()).is_ok());
}

#[test]
fn another_stores_keyring_does_not_open_it() {
    let home = fresh();
    let other =
        SledEngine::open(DataDir::lock(home.path()).unwrap(), [1; 16], SledOptions::default());
    assert!(matches!(other, Err(OpenError::Damaged { .. })));
    assert!(open(home.path()).is_ok());
}

#[test]
fn a_store_is_made_once() {
    let home = fresh();
    let dir = DataDir::lock(home.path()).unwrap();
    assert!(matches!(SledEngine::create(&dir, STORE), Err(OpenError::Damaged { .. })));
}

/// A kill during sled's start leaves an empty `snap.*.generating`, and sled then refuses for ever.
#[test]
fn an_unfinished_snapshot_is_removed() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    engine.commit(put("a", b"1")).unwrap();
    let image = crash_image(home.path());
    fs::write(image.path().join("store-1/snap.0000000000000001.generating"), b"").unwrap();
    assert_eq!(value(&open(image.path()).unwrap(), "a"), Some(b"1".to_vec()));
}

/// Data files older than what `HEAD` saw acknowledged: sled opens them without a word.
#[test]
fn a_store_that_lost_acknowledged_revisions_is_refused_and_left_as_it_was() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    engine.commit(put("a", b"1")).unwrap();
    let early = crash_image(home.path());
    for number in 0..5 {
        engine.commit(put("b", &[number])).unwrap();
    }
    let image = crash_image(home.path());
    fs::remove_dir_all(image.path().join("store-1")).unwrap();
    fs::create_dir(image.path().join("store-1")).unwrap();
    copy_tree(&early.path().join("store-1"), &image.path().join("store-1"));
    let before = contents(&image.path().join("store-1"));
    let Err(OpenError::Damaged { what }) = open(image.path()) else { panic!("it opened") };
    assert_eq!(
        what,
        "the data files end at resourceVersion 1, while HEAD says that 6 was acknowledged"
    );
    assert_eq!(contents(&image.path().join("store-1")), before);
}

#[test]
fn a_gap_in_the_change_log_is_refused() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    for number in 0..5 {
        engine.commit(put("b", &[number])).unwrap();
    }
    let raw = engine.shared.visible.read().raw.clone().unwrap();
    let mut staged = Staged::new(0, None);
    raw.stage_remove(&mut staged, &Key::event(Revision::new(3), 0)).unwrap();
    raw.apply(staged.finish().0).unwrap();
    raw.flush().unwrap();
    let image = crash_image(home.path());
    let Err(OpenError::Damaged { what }) = open(image.path()) else { panic!("it opened") };
    assert!(what.contains("gap"), "{what}");
}

#[test]
fn a_record_that_the_change_log_contradicts_is_refused() {
    for lost in [true, false] {
        let home = fresh();
        let engine = open(home.path()).unwrap();
        engine.commit(put("a", b"1")).unwrap();
        engine.commit(put("b", b"1")).unwrap();
        engine.commit(remove("b")).unwrap();
        let raw = engine.shared.visible.read().raw.clone().unwrap();
        let mut staged = Staged::new(0, None);
        if lost {
            raw.stage_remove(&mut staged, &key("a")).unwrap();
        } else {
            let at = Revision::new(2);
            let stored = Stored { value: vec![], changed_at: at, written_at: at };
            let found = raw.find(&key("b")).unwrap();
            raw.stage(&mut staged, &key("b"), &found, Some(&stored), (at, 0)).unwrap();
        }
        raw.apply(staged.finish().0).unwrap();
        raw.flush().unwrap();
        let image = crash_image(home.path());
        let Err(OpenError::Damaged { what }) = open(image.path()) else { panic!("it opened") };
        assert!(what.contains("not as the change log left it"), "{what}");
    }
}

/// Whichever half of whichever version is missing, the first one's or the last one's.
#[test]
fn a_version_that_lost_its_key_or_its_payload_is_refused() {
    let uids = [Uid::from_bytes([1; 16]), Uid::from_bytes([2; 16])];
    let payloads = uids.into_iter().flat_map(|uid| [(uid, 1), (uid, 2)]);
    let halves = payloads.map(|(uid, version)| Key::payload(uid, version));
    let halves: Vec<_> = halves.chain(uids.map(Key::wrapped_keys)).collect();
    for lost in std::iter::once(None).chain(halves.iter().map(Some)) {
        let home = fresh();
        let engine = open(home.path()).unwrap();
        for uid in uids {
            let (mut commit, mut keys) = (Commit::default(), WrappedKeys::default());
            for version in [1, 2] {
                keys.put(version, vec![7; 60]);
                commit.put(Key::payload(uid, version), vec![7; 5000]);
            }
            commit.put(Key::wrapped_keys(uid), keys.encode());
            engine.commit(commit).unwrap();
        }
        let raw = engine.shared.visible.read().raw.clone().unwrap();
        let mut staged = Staged::new(0, None);
        lost.iter().for_each(|key| raw.stage_remove(&mut staged, key).unwrap());
        raw.apply(staged.finish().0).unwrap();
        raw.flush().unwrap();
        let image = crash_image(home.path());
        match (lost, open(image.path())) {
            (None, Ok(_)) => {}
            (Some(_), Err(OpenError::Damaged { what })) => {
                assert!(what.contains("lost its key or its payload"), "{what}");
            }
            (lost, opened) => panic!("{lost:?}: {:?}", opened.err()),
        }
    }
}

/// Damage at rest, after a clean stop: found by checksum before sled gets to rewrite anything.
#[test]
fn a_flipped_bit_after_a_clean_stop_is_refused_before_anything_is_touched() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    for number in 0..20 {
        engine.commit(put(&number.to_string(), &[1; 3000])).unwrap();
    }
    drop(engine);
    let data = home.path().join("store-1/db");
    let intact = fs::read(&data).unwrap();
    for position in (0..intact.len()).step_by(intact.len() / 7) {
        let mut flipped = intact.clone();
        flipped[position] ^= 0x10;
        fs::write(&data, &flipped).unwrap();
        let Err(OpenError::Damaged { what }) = open(home.path()) else { panic!("it opened") };
        assert!(what.contains("checksum"), "{what}");
        assert_eq!(fs::read(&data).unwrap(), flipped);
    }
    fs::write(&data, &intact).unwrap();
    assert_eq!(value(&open(home.path()).unwrap(), "19"), Some(vec![1; 3000]));
}

/// Damage after a kill: whatever sled makes of it (an error, a panic, a smaller store), what opens
/// holds everything, and what does not open is as it was.
#[test]
fn a_flipped_bit_after_a_kill_never_loses_anything_silently() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    // Small values, and some in chunks, which no event speaks of.
    let content = |number: u8| vec![number; if number.is_multiple_of(4) { 60_000 } else { 300 }];
    for number in 0..40 {
        engine.commit(put(&number.to_string(), &content(number))).unwrap();
    }
    let pristine = crash_image(home.path());
    let written = fs::read(pristine.path().join("store-1/db")).unwrap();
    let used = written.iter().rposition(|byte| *byte != 0).unwrap();
    let (mut refused, flips) = (0, 40);
    for step in 0..flips {
        let image = crash_image(pristine.path());
        let mut bytes = written.clone();
        bytes[step * (used - 20) / flips + 11] ^= 1 << (step % 8);
        fs::write(image.path().join("store-1/db"), &bytes).unwrap();
        let before = contents(&image.path().join("store-1"));
        match open(image.path()) {
            Ok(engine) => {
                for number in 0..40 {
                    assert_eq!(value(&engine, &number.to_string()), Some(content(number)));
                }
            }
            Err(OpenError::Damaged { .. }) => {
                refused += 1;
                assert_eq!(contents(&image.path().join("store-1")), before);
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > flips / 4, "{refused} of {flips} were noticed: the test reaches nothing");
}

/// Payloads, of which no event speaks, are damaged behind sled's last snapshot, so that opening
/// does not read them: the check does.
#[test]
fn a_damaged_payload_is_refused_although_no_event_speaks_of_it() {
    const SECRETS: u8 = 120;
    let home = fresh();
    let payload = |number: u8| Key::payload(Uid::from_bytes([number; 16]), 1);
    let fill = |engine: &SledEngine, numbers: std::ops::Range<u8>| {
        for number in numbers {
            let mut commit = put(&number.to_string(), &[number; 300]);
            let uid = Uid::from_bytes([number; 16]);
            let mut keys = WrappedKeys::default();
            keys.put(1, vec![number; 90]);
            commit.put(Key::wrapped_keys(uid), keys.encode());
            commit.put(payload(number), vec![number; 80_000]);
            engine.commit(commit).unwrap();
        }
    };
    let engine = open(home.path()).unwrap();
    fill(&engine, 0..SECRETS / 2);
    drop(engine);
    let engine = open(home.path()).unwrap();
    fill(&engine, SECRETS / 2..SECRETS);
    let pristine = crash_image(home.path());
    let written = fs::read(pristine.path().join("store-1/db")).unwrap();
    let mut opened = 0;
    for step in 0..40 {
        let image = crash_image(pristine.path());
        let mut bytes = written.clone();
        bytes[(step * (written.len() / 40) + 977 * step + 33) % written.len()] ^= 0x10;
        fs::write(image.path().join("store-1/db"), &bytes).unwrap();
        let before = contents(&image.path().join("store-1"));
        let Ok(engine) = open(image.path()) else {
            assert_eq!(contents(&image.path().join("store-1")), before);
            continue;
        };
        opened += 1;
        for number in 0..SECRETS {
            let read = engine.read(&payload(number)).unwrap().unwrap();
            assert!(read.value == vec![number; 80_000], "the flip number {step}");
        }
    }
    assert!(opened < 40, "no flip was noticed: the test reaches nothing");
}

/// Damage while the daemon runs: the stop must not certify what it makes of it.
#[test]
fn a_bit_that_flips_while_the_store_is_open_is_not_certified_by_the_stop() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    for number in 0..20 {
        engine.commit(put(&number.to_string(), &[number; 3000])).unwrap();
    }
    let data = home.path().join("store-1/db");
    let flip = || {
        let mut bytes = fs::read(&data).unwrap();
        bytes[20_000] ^= 1;
        fs::OpenOptions::new().write(true).open(&data).unwrap().write_all(&bytes).unwrap();
    };
    flip();
    assert!(engine.close().is_err());
    drop(engine);
    assert!(!home.path().join("CLEAN").exists());
    assert!(matches!(open(home.path()), Err(OpenError::Damaged { .. })));
    flip();
    let engine = open(home.path()).unwrap();
    assert_eq!(value(&engine, "19"), Some(vec![19; 3000]));
}

/// A refusal that is cut off between its two renames leaves the copy alone.
#[test]
fn a_refusal_that_was_cut_off_begins_again_from_the_copy() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    engine.commit(put("a", b"1")).unwrap();
    let image = crash_image(home.path());
    fs::rename(image.path().join("store-1"), image.path().join("store.copy")).unwrap();
    let dir = DataDir::lock(image.path()).unwrap();
    assert!(dir.has_store().unwrap() && dir.holds_anything().unwrap());
    drop(dir);
    assert_eq!(value(&open(image.path()).unwrap(), "a"), Some(b"1".to_vec()));
}

/// sled panics on assertions of its own. What was in flight is not acknowledged and not shown, and
/// the probes learn of it.
#[test]
fn a_writer_that_panics_stops_the_writes_and_says_so() {
    let home = fresh();
    let commits = AtomicU64::new(0);
    let hook: StepHook = Arc::new(move |step| {
        let in_second = step == Step::Applied && commits.fetch_add(1, Ordering::SeqCst) == 1;
        assert!(!in_second, "a defect, made up by a test");
    });
    let dir = DataDir::lock(home.path()).unwrap();
    let engine = SledEngine::open_with_hook(dir, STORE, OPTIONS, hook).unwrap();
    engine.commit(put("a", b"1")).unwrap();
    assert!(engine.failure().is_none());
    assert!(matches!(engine.commit(put("a", b"2")), Err(CommitError::Store(_))));
    // The answer comes when the writer's thread lets go of it; the mark is set as it ends.
    for _ in 0..500 {
        if engine.failure().is_some() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert!(engine.failure().is_some());
    assert_eq!(value(&engine, "a"), Some(b"1".to_vec()));
    assert!(matches!(engine.commit(put("b", b"1")), Err(CommitError::Store(_))));
}

/// Each group is durable before the next one is applied.
#[test]
fn groups_never_overlap() {
    let home = fresh();
    let steps = Arc::new(Mutex::new(Vec::new()));
    let seen = steps.clone();
    let hook: StepHook = Arc::new(move |step| seen.lock().push(step));
    let dir = DataDir::lock(home.path()).unwrap();
    let engine = SledEngine::open_with_hook(dir, STORE, OPTIONS, hook).unwrap();
    thread::scope(|scope| {
        for thread in 0..8 {
            let engine = &engine;
            scope.spawn(move || {
                for number in 0..10 {
                    engine.commit(put(&format!("{thread}-{number}"), b"x")).unwrap();
                }
            });
        }
    });
    let steps = steps.lock();
    let in_turn = |pair: &[Step]| matches!(pair, [Step::Applied, Step::Synced]);
    assert!(steps.len() > 4 && steps.chunks(2).all(in_turn), "{steps:?}");
}

/// A page shows all of a commit or nothing of it, however the writer interleaves.
#[test]
fn a_page_never_shows_half_a_commit() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    let names: Vec<_> = (0..40).map(|number| format!("{number:02}")).collect();
    let write = |round: u32| {
        let mut commit = put(&names[0], &round.to_be_bytes());
        for name in &names[1..] {
            commit.put(key(name), round.to_be_bytes().to_vec());
        }
        engine.commit(commit).unwrap();
    };
    write(0);
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            (1..300).for_each(write);
            done.store(true, Ordering::SeqCst);
        });
        while !done.load(Ordering::SeqCst) {
            let page = engine.scan(&KeyRange::all_heads(), 100).unwrap();
            let first = &page.records[0].1;
            assert_eq!(page.records.len(), names.len());
            assert!(page.records.iter().all(|(_, stored)| stored == first), "half a commit");
            assert_eq!(page.at, first.written_at);
        }
    });
}

/// A start that is killed while sled recovers leaves the copy; the next one begins from it.
#[test]
fn a_start_that_was_cut_off_begins_again_from_the_copy() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    engine.commit(put("a", b"1")).unwrap();
    let image = crash_image(home.path());
    fs::rename(image.path().join("store-1"), image.path().join("store.copy")).unwrap();
    fs::create_dir(image.path().join("store-1")).unwrap();
    fs::write(image.path().join("store-1/db"), b"half recovered").unwrap();
    fs::create_dir(image.path().join("store.copy.partial")).unwrap();
    assert_eq!(value(&open(image.path()).unwrap(), "a"), Some(b"1".to_vec()));
    assert!(!image.path().join("store.copy").exists());
    assert!(!image.path().join("store.copy.partial").exists());
}

#[test]
fn a_half_made_store_is_made_again() {
    let home = tempfile::tempdir().unwrap();
    let dir = DataDir::create(home.path()).unwrap();
    fs::create_dir(home.path().join("store-1")).unwrap();
    fs::write(home.path().join("store-1/db"), b"half").unwrap();
    SledEngine::create(&dir, STORE).unwrap();
    drop(dir);
    assert!(open(home.path()).is_ok());
}

#[test]
fn events_are_delivered_in_whole_commits_and_resumed_without_loss() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    for round in 0..5 {
        let mut commit = put("a", &[round]);
        commit.put(key("b"), vec![round]).tell(event(ChangeKind::Modified, "b"));
        engine.commit(commit).unwrap();
    }
    let mut after = Revision::ZERO;
    let mut seen = Vec::new();
    while after < engine.revision() {
        let page = engine.events_after(after, 3).unwrap().unwrap();
        assert!(page.events.len().is_multiple_of(2) && !page.events.is_empty());
        seen.extend(page.events.iter().map(|event| (event.revision.get(), event.index)));
        after = page.through;
    }
    let expected: Vec<_> = (1..=5).flat_map(|revision| [(revision, 0), (revision, 1)]).collect();
    assert_eq!(seen, expected);
}

/// Symptom: an event of another secret in the same commit. Cause: the chunks of all large events of
/// a commit had the same names.
#[test]
fn large_events_of_one_commit_stay_apart() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    let large = |fill: u8| {
        let view = Some(ChangeView { previous: Revision::ZERO, sealed: vec![fill; 3 * 4096] });
        let (kind, object) = (ChangeKind::Deleted, ChangedObject::Secret(secret("large")));
        Change { kind, object, uid: UID, view }.encode()
    };
    let events = vec![large(1), large(2), large(3)];
    let mut commit = put("value", &[4; 3 * 4096]);
    commit.events = events.clone();
    engine.commit(commit).unwrap();
    let told = |engine: &SledEngine| {
        let page = engine.events_after(Revision::ZERO, 10).unwrap().unwrap();
        page.events.into_iter().map(|event| event.bytes).collect::<Vec<_>>()
    };
    assert_eq!(told(&engine), events);
    let image = crash_image(home.path());
    let again = open(image.path()).unwrap();
    assert_eq!(told(&again), events);
    assert_eq!(value(&again, "value"), Some(vec![4; 3 * 4096]));
}

#[test]
fn only_the_newest_events_are_kept_and_an_older_cursor_is_told_so() {
    let home = fresh();
    let engine = open_keeping(home.path(), 20);
    // Two events a commit, so that a limit falls into one: it is trimmed whole or not at all.
    for number in 0..40 {
        let mut commit = put("a", &[number]);
        commit.put(key("b"), vec![number]).tell(event(ChangeKind::Modified, "b"));
        engine.commit(commit).unwrap();
    }
    let gone = engine.events_after(Revision::new(1), 100).unwrap().unwrap_err();
    assert!(gone.oldest >= Revision::new(28), "{gone}");
    let kept = engine.events_after(gone.oldest, 100).unwrap().unwrap();
    assert_eq!(kept.events.len() as u64, 2 * (40 - gone.oldest.get()));
    let image = crash_image(home.path());
    let again = open_keeping(image.path(), 20);
    assert_eq!(again.events_after(Revision::new(1), 100).unwrap().unwrap_err(), gone);
}

#[test]
fn a_scan_goes_on_where_its_last_page_ended() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    for number in 0..25 {
        engine.commit(put(&format!("{number:02}"), b"x")).unwrap();
    }
    let (mut range, mut seen, mut more) = (KeyRange::all_heads(), Vec::new(), true);
    while more {
        let page = engine.scan(&range, 10).unwrap();
        more = page.more;
        range = range.after(&page.records.last().unwrap().0);
        seen.extend(page.records.into_iter().map(|(key, _)| key));
    }
    assert_eq!(seen, (0..25).map(|number| key(&format!("{number:02}"))).collect::<Vec<_>>());
}

#[test]
fn after_close_every_call_fails_and_says_so() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    engine.close().unwrap();
    assert!(matches!(engine.read(&key("a")), Err(StoreError::Failed { .. })));
    assert!(matches!(engine.commit(put("a", b"1")), Err(CommitError::Store(_))));
    assert!(home.path().join("CLEAN").exists());
    let snapshots = fs::read_dir(home.path().join("store-1")).unwrap();
    let is_snapshot = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("snap.");
    assert!(snapshots.into_iter().any(|entry| is_snapshot(&entry.unwrap().file_name())));
}

#[derive(Clone, Debug)]
enum Act {
    Put(u8, Vec<u8>),
    Remove(u8),
    PutIfAbsent(u8, Vec<u8>),
    BackUp,
    Compact,
    Kill,
    Restart,
    Restore,
}

fn act() -> impl Strategy<Value = Act> {
    let size = prop_oneof![4 => 0usize..50, 1 => 4000usize..4200, 1 => 8000usize..20_000];
    let value = (any::<u8>(), size).prop_map(|(byte, size)| vec![byte; size]);
    prop_oneof![
        6 => (0u8..6, value.clone()).prop_map(|(name, value)| Act::Put(name, value)),
        2 => (0u8..6).prop_map(Act::Remove),
        2 => (0u8..6, value).prop_map(|(name, value)| Act::PutIfAbsent(name, value)),
        2 => Just(Act::BackUp),
        1 => Just(Act::Compact),
        1 => Just(Act::Kill),
        1 => Just(Act::Restart),
        1 => Just(Act::Restore),
    ]
}

/// What a store must hold.
#[derive(Clone, Debug, Default)]
struct Map {
    records: BTreeMap<String, Vec<u8>>,
    /// What was told, by revision: every commit tells of one record.
    told: Vec<Vec<u8>>,
}

impl Map {
    fn put(&mut self, name: &str, value: Vec<u8>) {
        self.told.push(event(ChangeKind::Modified, name));
        self.records.insert(name.to_owned(), value);
    }

    fn remove(&mut self, name: &str) {
        self.told.push(event(ChangeKind::Deleted, name));
        self.records.remove(name);
    }

    fn revision(&self) -> u64 {
        self.told.len() as u64
    }

    fn is_what(&self, engine: &SledEngine) -> Result<(), TestCaseError> {
        let page = engine.scan(&KeyRange::all_heads(), 100).unwrap();
        let name = |key: &Key| key.secret_path().unwrap().name.to_string();
        let held = page.records.into_iter().map(|(key, stored)| (name(&key), stored.value));
        prop_assert_eq!(held.collect::<BTreeMap<_, _>>(), self.records.clone());
        let live_bytes = compaction::live_bytes(engine);
        prop_assert_eq!(compaction::recorded_live_bytes(engine), live_bytes);
        prop_assert_eq!(engine.revision().get(), self.revision());
        let events = engine.events_after(Revision::ZERO, usize::MAX - 1).unwrap().unwrap().events;
        let told = events.into_iter().map(|event| (event.revision.get(), event.bytes));
        let expected = (1..).zip(self.told.iter().cloned());
        prop_assert!(told.eq(expected), "the change log is another one");
        Ok(())
    }
}

/// A store, what it must hold, and the backups on top of each other that were taken of it.
struct Modelled {
    home: TempDir,
    engine: SledEngine,
    map: Map,
    backups: Vec<Vec<u8>>,
    /// What the store held when the last one was taken.
    backed_up: Map,
}

impl Modelled {
    fn new() -> Self {
        let home = backup::with_keyring();
        let engine = open(home.path()).unwrap();
        let (map, backed_up) = (Map::default(), Map::default());
        Self { home, engine, map, backups: Vec::new(), backed_up }
    }

    fn act(mut self, act: Act) -> Result<Self, TestCaseError> {
        match act {
            Act::Put(name, value) => {
                let name = name.to_string();
                let at = self.engine.commit(put(&name, &value)).unwrap();
                self.map.put(&name, value);
                prop_assert_eq!(at.get(), self.map.revision());
            }
            Act::Remove(name) => {
                self.engine.commit(remove(&name.to_string())).unwrap();
                self.map.remove(&name.to_string());
            }
            Act::PutIfAbsent(name, value) => {
                let name = name.to_string();
                let mut commit = put(&name, &value);
                commit.require(Precondition::Absent(key(&name)));
                let is_absent = !self.map.records.contains_key(&name);
                prop_assert_eq!(self.engine.commit(commit).is_ok(), is_absent);
                if is_absent {
                    self.map.put(&name, value);
                }
            }
            Act::BackUp => {
                let since = (!self.backups.is_empty()).then(|| self.backed_up.revision());
                self.backups.push(backup::back_up(&self.engine, since));
                self.backed_up = self.map.clone();
            }
            Act::Compact => {
                prop_assert_eq!(compaction::compact(&self.engine).state, CompactionState::Done);
            }
            Act::Kill => {
                self.home = crash_image(self.home.path());
                // What was closed in order goes away with its directory.
                let image = self.home.path();
                self.engine = open(image).unwrap();
            }
            Act::Restart => {
                drop(self.engine);
                self.engine = open(self.home.path()).unwrap();
            }
            Act::Restore => {
                if !self.backups.is_empty() {
                    self = self.restored()?;
                }
            }
        }
        Ok(self)
    }

    /// Goes on with what the backups make, which is the store as it was, in another incarnation.
    fn restored(self) -> Result<Self, TestCaseError> {
        let before = self.engine.incarnation();
        let next = Incarnation::new(before.get() + 1);
        let backups: Vec<_> = self.backups.iter().map(Vec::as_slice).collect();
        let (home, engine) = backup::restore_as(next, &backups).unwrap();
        let map = self.backed_up.clone();
        map.is_what(&engine)?;
        // Nothing goes on top of a backup of the incarnation before, if it is of the same revision.
        let since = ResourceVersion::new(before, engine.revision());
        let at = Timestamp::from_unix_millis(1);
        let refused = engine.back_up(Some(since), at, &mut Vec::new(), &mut |_, _| {});
        let is_foreign = matches!(refused, Err(BackupError::NotOurs { .. }));
        prop_assert!(is_foreign, "it goes on top of a backup of another incarnation");
        Ok(Self { home, engine, map, backups: Vec::new(), backed_up: Map::default() })
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Any sequence of commits, compactions, backups, kills, restarts and restores leaves what a plain
    /// map holds.
    #[test]
    fn the_store_is_a_map(acts in proptest::collection::vec(act(), 1..40)) {
        let mut modelled = Modelled::new();
        for act in acts {
            modelled = modelled.act(act)?;
        }
        modelled.map.is_what(&modelled.engine)?;
    }
}

/// An index node of sled holds up to 256 separators, which are as long as what neighbours have in
/// common: even with the longest names they must not outgrow what sled keeps in its log.
#[test]
fn the_longest_names_never_reach_a_blob_file() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    let text = |group: u64, length: usize| {
        // Spread by a multiplicative hash, so that groups have nothing in common.
        format!("{:016x}", group.wrapping_mul(0x9e37_79b9_7f4a_7c15)).repeat(length / 16)
    };
    for number in 0..200 {
        let mut commit = Commit::default();
        for step in 0..50 {
            let (group, member) = (number * 5 + step / 10, step % 10);
            let org = OrgName::parse(&text(group, 512)).unwrap();
            let project = ProjectName::parse(&text(group, 512)).unwrap();
            let name = SecretName::parse(&format!("{}{member}", text(group, 496))).unwrap();
            let path = SecretPath { project: ProjectPath { org, project }, name };
            commit.put(Key::head(&path), b"x".to_vec());
        }
        engine.commit(commit).unwrap();
        assert_eq!(blobs(home.path()), 0, "after {number} commits");
    }
}
