//! Compaction: what lives stays, what does not is gone from the files, and a kill at any point of it
//! is as if it had not begun or was over.

use std::sync::atomic::AtomicBool;

use super::*;

/// Compacts, and waits until the old files are gone.
pub(super) fn compact(engine: &SledEngine) -> CompactionView {
    engine.begin_compaction().unwrap();
    loop {
        let view = engine.compaction();
        if view.state != CompactionState::Running {
            return view;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether any file below a directory holds these bytes.
fn holds(dir: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, bytes);
        }
        fs::read(path).unwrap().windows(bytes.len()).any(|window| window == bytes)
    })
}

fn everything(engine: &SledEngine) -> Vec<(Key, Stored)> {
    engine.scan(&KeyRange::records(), usize::MAX).unwrap().records
}

/// What keys and values in sled come to, but for the engine's own record.
pub(super) fn live_bytes(engine: &SledEngine) -> u64 {
    let raw = engine.shared.visible.read().raw.clone().unwrap();
    let entries = raw.behind(Some(Meta::key().as_bytes())).map(Result::unwrap);
    entries.map(|(key, value)| (key.len() + value.len()) as u64).sum()
}

pub(super) fn recorded_live_bytes(engine: &SledEngine) -> u64 {
    let meta = engine.read(&Meta::key()).unwrap().unwrap();
    Meta::decode(&meta.value).unwrap().live_bytes
}

/// Fills a store with what lives and what does not, inline and in chunks.
fn fill(engine: &SledEngine) {
    for number in 0..40u8 {
        let name = format!("s{number}");
        let size = if number % 4 == 0 { 9000 } else { 300 };
        engine
            .commit(put(&name, &[b"removed-value".repeat(size / 13), vec![number]].concat()))
            .unwrap();
        engine
            .commit(put(&name, &[b"living-value".repeat(size / 13), vec![number]].concat()))
            .unwrap();
        if number % 3 == 0 {
            engine.commit(put(&name, b"removed-value")).unwrap();
            engine.commit(remove(&name)).unwrap();
        }
    }
}

#[test]
fn what_was_removed_is_gone_from_the_files_after_a_compaction_and_all_else_is_as_it_was() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    fill(&engine);
    let before = everything(&engine);
    let events = engine.events_after(Revision::ZERO, usize::MAX).unwrap().unwrap().events;
    assert!(holds(home.path(), b"removed-value"));
    let view = compact(&engine);
    assert_eq!((view.state, view.count), (CompactionState::Done, 1));
    assert_eq!(view.done_bytes, view.total_bytes);
    assert!(!holds(home.path(), b"removed-value"));
    assert!(holds(home.path(), b"living-value"));
    assert!(everything(&engine) == before);
    assert_eq!(engine.events_after(Revision::ZERO, usize::MAX).unwrap().unwrap().events, events);
    assert_eq!(recorded_live_bytes(&engine), live_bytes(&engine));
    // Its directory is the only one, and what is written from now on lies there too.
    engine.commit(put("after", b"1")).unwrap();
    let stores = engine.dir.stores().unwrap();
    assert_eq!(stores, [(2, home.path().join("store-2"))]);
    let image = crash_image(home.path());
    engine.close().unwrap();
    drop(engine);
    for home in [home.path(), image.path()] {
        let engine = open(home).unwrap();
        assert_eq!(value(&engine, "after"), Some(b"1".to_vec()));
        assert!(
            before
                .iter()
                .skip(1)
                .all(|(key, stored)| engine.read(key).unwrap().as_ref() == Some(stored))
        );
        assert_eq!(compact(&engine).state, CompactionState::Done);
        assert_eq!(engine.dir.stores().unwrap(), [(3, home.join("store-3"))]);
    }
}

/// A store that is written to while it is compacted, from several threads, and the state in which
/// each of its records is.
#[test]
fn commits_that_come_during_a_compaction_are_in_the_copy() {
    let home = fresh();
    let engine = open_keeping(home.path(), 200);
    for number in 0..2000u32 {
        engine.commit(put(&format!("s{number:04}"), &number.to_be_bytes().repeat(30))).unwrap();
    }
    let stop = AtomicBool::new(false);
    let models: Vec<_> = thread::scope(|scope| {
        let write = |writer: u32| {
            let mut model = BTreeMap::new();
            let mut step = 0u32;
            while !stop.load(Ordering::Relaxed) {
                step += 1;
                // Each writer has its own names, all over the keyspace.
                let name = format!("s{:04}", step.wrapping_mul(2_654_435_761) % 500 * 4 + writer);
                let size = if step.is_multiple_of(7) { 9000 } else { 200 };
                let value = (!step.is_multiple_of(5)).then(|| step.to_be_bytes().repeat(size / 4));
                let commit =
                    value.as_ref().map_or_else(|| remove(&name), |value| put(&name, value));
                engine.commit(commit).unwrap();
                model.insert(name, value);
            }
            model
        };
        let threads: Vec<_> = (0..4).map(|writer| scope.spawn(move || write(writer))).collect();
        for _ in 0..3 {
            assert_eq!(compact(&engine).state, CompactionState::Done);
        }
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let check = |engine: &SledEngine| {
        for (name, expected) in models.iter().flatten() {
            assert!(value(engine, name) == *expected, "{name}");
        }
        assert_eq!(recorded_live_bytes(engine), live_bytes(engine));
    };
    check(&engine);
    // The last compaction is checked by who opens the store after a kill, against the change log.
    check(&open_keeping(crash_image(home.path()).path(), 200));
}

/// The writer stands still while an image is taken, so that it is what a kill at that moment leaves.
#[test]
fn a_compaction_killed_at_any_point_has_not_begun_or_is_over() {
    let home = fresh();
    let images = Arc::new(Mutex::new(Vec::new()));
    let hook: StepHook = {
        let (images, home) = (images.clone(), home.path().to_owned());
        Arc::new(move |step| {
            let compacts = home.join("store-2").exists();
            if compacts && step != Step::Synced {
                images.lock().push((step, crash_image(&home)));
                // So that somebody can commit between two slices.
                thread::sleep(Duration::from_millis(20));
            }
        })
    };
    let dir = DataDir::lock(home.path()).unwrap();
    let engine = SledEngine::open_with_hook(dir, STORE, OPTIONS, hook).unwrap();
    fill(&engine);
    for number in 0..600u32 {
        engine.commit(put(&format!("t{number}"), &[1; 2000])).unwrap();
    }
    engine.begin_compaction().unwrap();
    let mut written = Vec::new();
    while engine.compaction().state == CompactionState::Running {
        let name = format!("during{}", written.len());
        let at = engine.commit(put(&name, b"1")).unwrap();
        written.push((name, at));
    }
    assert_eq!(engine.compaction().state, CompactionState::Done);
    let images = std::mem::take(&mut *images.lock());
    let is = |wanted| images.iter().filter(|(step, _)| *step == wanted).count();
    assert!(is(Step::Slice) > 4 && is(Step::Applied) > 0);
    assert_eq!((is(Step::Copied), is(Step::Switched)), (1, 1));
    for (step, image) in &images {
        let engine = open(image.path()).unwrap_or_else(|error| panic!("{step:?}: {error}"));
        assert_eq!(engine.dir.stores().unwrap().len(), 1, "{step:?}");
        assert_eq!(value(&engine, "s1").map(|value| value.len()), Some(277));
        for (name, at) in &written {
            assert!(*at > engine.revision() || value(&engine, name).is_some(), "{step:?} {name}");
        }
    }
}

/// A copy that is not what was copied never takes the store's place.
#[test]
fn a_copy_that_differs_is_given_up() {
    let home = fresh();
    let raw: Arc<Mutex<Option<raw::Raw>>> = Arc::default();
    let hook: StepHook = {
        let raw = raw.clone();
        Arc::new(move |step| {
            // A record that is changed behind the writer's back, once it is copied.
            if let (Step::Slice, Some(raw)) = (step, raw.lock().take()) {
                let mut batch = sled::Batch::default();
                batch.insert(Key::last_use(UID).as_bytes(), &[0; 26]);
                raw.apply(batch).unwrap();
            }
        })
    };
    let dir = DataDir::lock(home.path()).unwrap();
    let engine = SledEngine::open_with_hook(dir, STORE, OPTIONS, hook).unwrap();
    fill(&engine);
    *raw.lock() = engine.shared.visible.read().raw.clone();
    let view = compact(&engine);
    let CompactionState::Failed(reason) = view.state else { panic!("it was taken over") };
    assert!(reason.contains("the copy is not what was copied"), "{reason}");
    engine.commit(put("after", b"1")).unwrap();
    assert_eq!(value(&engine, "after"), Some(b"1".to_vec()));
    engine.close().unwrap();
    assert_eq!(engine.dir.stores().unwrap(), [(1, home.path().join("store-1"))]);
}

/// Symptom: bytes that were destroyed before a compaction was asked for stayed in the files. Cause: one that
/// was under way, and had copied them, was taken for it. Fix: there is another.
#[test]
fn a_compaction_that_is_asked_for_during_another_follows_it() {
    let home = fresh();
    let asked = Arc::new((Mutex::new(None::<Arc<SledEngine>>), AtomicBool::new(false)));
    let hook: StepHook = {
        let asked = asked.clone();
        Arc::new(move |step| {
            if let (Step::Slice, Some(engine)) = (step, asked.0.lock().take()) {
                engine.begin_compaction().unwrap();
                asked.1.store(true, Ordering::Relaxed);
            }
        })
    };
    let dir = DataDir::lock(home.path()).unwrap();
    let engine = Arc::new(SledEngine::open_with_hook(dir, STORE, OPTIONS, hook).unwrap());
    fill(&engine);
    *asked.0.lock() = Some(engine.clone());
    let view = compact(&engine);
    assert!(asked.1.load(Ordering::Relaxed));
    assert_eq!((view.state, view.count), (CompactionState::Done, 2));
}

#[test]
fn a_compaction_that_meets_a_defect_is_told_to_have_failed() {
    let home = fresh();
    let hook: StepHook = Arc::new(|step| assert!(step != Step::Slice, "made up by a test"));
    let dir = DataDir::lock(home.path()).unwrap();
    let engine = SledEngine::open_with_hook(dir, STORE, OPTIONS, hook).unwrap();
    fill(&engine);
    assert!(matches!(compact(&engine).state, CompactionState::Failed(_)));
    assert!(matches!(engine.commit(put("a", b"1")), Err(CommitError::Store(_))));
    assert!(engine.begin_compaction().is_err());
    drop(engine);
    assert!(value(&open(home.path()).unwrap(), "s1").is_some());
}

#[test]
fn a_compaction_that_the_stop_meets_is_given_up_and_leaves_a_clean_store() {
    let home = fresh();
    let engine = open(home.path()).unwrap();
    fill(&engine);
    for number in 0..2000u32 {
        engine.commit(put(&format!("t{number}"), &[1; 2000])).unwrap();
    }
    engine.begin_compaction().unwrap();
    engine.close().unwrap();
    assert!(home.path().join("CLEAN").exists());
    assert_eq!(engine.dir.stores().unwrap().len(), 1);
    drop(engine);
    assert!(value(&open(home.path()).unwrap(), "t1999").is_some());
}

/// How long the data files were while records were overwritten again and again.
struct Overwritten {
    /// The longest one at any time.
    largest: u64,
    /// All of them, once nobody wrote any more and they were short enough.
    end: u64,
    live: u64,
    compactions: u64,
}

/// Fifty threads overwrite as many records, or a multiple, with values of so many bytes.
fn overwrite(each: u32, bytes: usize, short: u32, long: u32) -> Overwritten {
    let is_long = std::env::var_os("TRESOR_TESTS_LONG").is_some();
    let rounds = if is_long { long } else { short };
    let home = fresh();
    let options = SledOptions { keep_events: 1000, compact_by_itself: true, ..OPTIONS };
    let engine = SledEngine::open(DataDir::lock(home.path()).unwrap(), STORE, options).unwrap();
    let largest = AtomicU64::new(0);
    thread::scope(|scope| {
        for writer in 0..50 {
            let (engine, largest) = (&engine, &largest);
            scope.spawn(move || {
                for round in 0..rounds / 50 {
                    let name = format!("{}", writer * each + round % each);
                    engine.commit(put(&name, &vec![(round % 251) as u8; bytes])).unwrap();
                    if writer == 0 && round % 20 == 0 {
                        let longest = data_bytes(engine).into_iter().max().unwrap();
                        largest.fetch_max(longest, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let live = recorded_live_bytes(&engine);
    let limit = (live * 4).max(8 << 20);
    let end = || data_bytes(&engine).into_iter().sum::<u64>();
    for _ in 0..6000 {
        if engine.compaction().state != CompactionState::Running && end() <= limit {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let (largest, end, compactions) = (largest.into_inner(), end(), engine.compaction().count);
    eprintln!(
        "{rounds} overwrites, {compactions} compactions: at most {largest} bytes, {end} in the end, {live} of them live"
    );
    Overwritten { largest, end, live, compactions }
}

/// Within four times what lives in them, or 8 MiB: at rest. While the smallest stores are overwritten
/// without pause, sled's five segments of 2 MiB are the most, and whatever comes in a second.
/// `TRESOR_TESTS_LONG` overwrites a hundred records a million times.
#[test]
fn files_stay_small_however_often_a_few_records_are_overwritten() {
    let Overwritten { largest, end, compactions, .. } = overwrite(2, 1024, 10_000, 1_000_000);
    assert!(compactions > 0 && end <= 8 << 20, "{end}");
    assert!(largest <= 16 << 20, "{largest}");
}

#[test]
fn files_stay_within_four_times_what_lives_in_them_while_it_is_overwritten() {
    let Overwritten { largest, end, live, compactions } = overwrite(50, 4000, 16_000, 160_000);
    assert!(compactions > 0 && end <= 4 * live, "{end} of {live}");
    assert!(largest <= 4 * live, "{largest} of {live}");
}

/// The lengths of the data files, that of a copy included.
fn data_bytes(engine: &SledEngine) -> Vec<u64> {
    let stores = engine.dir.stores().unwrap().into_iter();
    let length = |path: &Path| fs::metadata(path.join("db")).map_or(0, |db| db.len());
    stores.map(|(_, path)| length(&path)).collect()
}
