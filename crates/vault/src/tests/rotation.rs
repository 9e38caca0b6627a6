//! Changes of keys: what is rewritten and what is not, cut off at each step, beside writers.

use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use domain::Revision;

use super::whole_store::filled_store;
use super::*;
use crate::rotation::{Census, Pace, UNREADABLE, pass};

const NO_STOP: &dyn Fn() -> bool = &|| false;

impl Running {
    fn begin(&self, wanted: &NewRotation) -> Result<RotationView, VaultError> {
        self.vault.begin_rotation(&self.may(WholeStore), wanted)
    }

    fn run(&self) -> Result<Option<RotationView>, VaultError> {
        self.vault.run_rotation(Pace::Full, NO_STOP, &mut |_| {})
    }

    fn rotate(&self, wanted: &NewRotation) -> RotationView {
        self.begin(wanted).unwrap();
        let done = self.run().unwrap().unwrap();
        assert_eq!(done.state, RotationState::Done);
        assert_eq!(done.total, done.done);
        done
    }

    fn keks(&self) -> Vec<u32> {
        self.vault.keyring().kek_infos().iter().map(|kek| kek.id.get()).collect()
    }

    fn census(&self) -> Census {
        self.vault.census().unwrap()
    }

    /// All records but the engine's own, the keyring's generation, uses and the rotation's.
    fn everything(&self) -> BTreeMap<Key, store::Stored> {
        let all = KeyRange { start: Key::from_bytes(vec![2]), end: Key::from_bytes(vec![0x14]) };
        let page = self.engine.scan(&all, 100_000).unwrap();
        page.records.into_iter().filter(|(key, _)| key.as_bytes()[0] != 0x0b).collect()
    }
}

fn reseal() -> NewRotation {
    NewRotation { reseal: true, ..NewRotation::default() }
}

/// What clients see of each record: that it is there, and when it last changed.
fn revisions(records: &BTreeMap<Key, store::Stored>) -> Vec<(&Key, Revision)> {
    records.iter().map(|(key, stored)| (key, stored.changed_at)).collect()
}

#[test]
fn a_rotation_rewrites_each_wrapped_key_and_nothing_that_clients_see() {
    let (home, running) = filled_store();
    let before = running.everything();
    let at = running.vault.resource_version();
    let done = running.rotate(&NewRotation::default());
    assert_eq!((done.kek, done.reason), (2, RotationReason::Operator));
    let after = running.everything();
    assert_eq!(revisions(&before), revisions(&after));
    for (key, stored) in &after {
        let same = stored.value == before[key].value;
        assert_eq!(same, key.wrapped_keys_of().is_none(), "{key:?}");
    }
    let events = running.vault.changes_after(&running.worker(), at).unwrap();
    assert!(events.changes.is_empty());
    assert_eq!(running.keks(), [2]);
    assert_eq!(running.census().keks.into_keys().collect::<Vec<_>>(), [2]);
    // A new secret is under the new metadata key, and an older one opens as ever.
    running.create("new", "v").unwrap();
    assert_eq!(running.census().metadata.into_keys().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(running.reveal("hf", Some(1)).unwrap(), "1");
    drop(running);
    let again = home.start();
    assert_eq!(again.reveal("hf", None).unwrap(), "4");
    assert_eq!(again.keks(), [2]);
    again.check_records();
}

#[test]
fn resealing_leaves_no_sealed_byte_as_it_was() {
    let (home, running) = filled_store();
    let before = running.everything();
    running.rotate(&reseal());
    let after = running.everything();
    assert_eq!(revisions(&before), revisions(&after));
    let mut resealed = 0;
    for (key, stored) in &after {
        let is_payload = key.as_bytes()[0] == 0x06;
        if key.is_metadata() || is_payload || key.wrapped_keys_of().is_some() {
            assert_ne!(stored.value, before[key].value, "{key:?}");
            resealed += 1;
        }
    }
    assert!(resealed > 40, "{resealed}");
    let census = running.census();
    assert_eq!(census.keks.into_keys().collect::<Vec<_>>(), [2]);
    assert_eq!(census.metadata.into_keys().collect::<Vec<_>>(), [2]);
    assert_eq!(running.vault.keyring().metadata_key_ids(), [2]);
    for (version, value) in [(1, "1"), (4, "4")] {
        assert_eq!(running.reveal("hf", Some(version)).unwrap(), value);
    }
    drop(running);
    let again = home.start();
    again.check_records();
    let from = again.vault.wire(Revision::new(1));
    assert!(!again.vault.changes_after(&again.worker(), from).unwrap().changes.is_empty());
}

#[test]
fn what_was_sealed_before_and_is_committed_after_comes_under_the_new_keys() {
    let (_home, running) = filled_store();
    running.create("other", "1").unwrap();
    let permit: Permit<Update, SecretPath> = running.may(secret("hf"));
    let first = half_an_update(&running, &permit);
    let late = half_an_update(&running, &running.may(secret("other")));
    let before = running.census();
    running.begin(&reseal()).unwrap();
    running.vault.commit(first, permit.basis()).unwrap();
    // The version, its head and the event, and the head is no longer where it was.
    let after = running.census();
    assert_eq!((after.keks[&2], after.metadata[&2]), (1, 2));
    assert_eq!((after.keks[&1], after.metadata[&1]), (before.keks[&1], before.metadata[&1] - 1));
    running.run().unwrap();
    // When the older keys are gone already, the act is made again from the beginning.
    refused!(running.vault.commit(late, permit.basis()), VaultError::Busy);
    let census = running.census();
    assert_eq!(census.keks.into_keys().collect::<Vec<_>>(), [2]);
    assert_eq!(census.metadata.into_keys().collect::<Vec<_>>(), [2]);
    assert_eq!(running.reveal("hf", None).unwrap(), "5");
}

/// An update that is sealed, and not committed yet.
fn half_an_update(running: &Running, permit: &Permit<Update, SecretPath>) -> Commit {
    let mut draft = running.vault.draft(permit, None).unwrap();
    running.vault.add_version(&mut draft, &payload("5"), "me".to_owned(), running.now()).unwrap();
    running.vault.complete(draft, ChangeKind::Modified).unwrap().0
}

/// The versions that were there before an act are for the rotation to seal anew, not for the act to carry along
/// under the data keys that the older KEK opened.
#[test]
fn a_secret_that_is_written_during_a_reseal_is_resealed_with_all_its_history() {
    let (_home, running) = filled_store();
    let uid = running.secret("hf").unwrap().head.uid;
    let payloads = || {
        let records = running.everything().into_iter();
        let own = records.filter(|(key, _)| key.as_bytes()[0] == 0x06 && key.uid() == Some(uid));
        own.map(|(key, stored)| (key, stored.value)).collect::<BTreeMap<_, _>>()
    };
    let before = payloads();
    assert!(before.len() > 2);
    running.begin(&reseal()).unwrap();
    running.update("hf", "5").unwrap();
    assert!(
        before.iter().all(|(key, value)| payloads()[key] == *value),
        "it is the test that is wrong"
    );
    assert_eq!(running.run().unwrap().unwrap().state, RotationState::Done);
    let after = payloads();
    assert!(before.iter().all(|(key, value)| after[key] != *value));
    for (number, value) in [(1, "1"), (4, "4"), (5, "5")] {
        assert_eq!(running.reveal("hf", Some(number)).unwrap(), value);
    }
}

/// An act rests on the wrapped keys as it read them.
#[test]
fn an_act_that_read_wrapped_keys_before_they_were_rewritten_is_made_again() {
    for wanted in [NewRotation::default(), reseal()] {
        let (_home, running) = filled_store();
        let permit: Permit<Update, SecretPath> = running.may(secret("hf"));
        running.begin(&wanted).unwrap();
        let late = half_an_update(&running, &permit);
        let (record, _) = running.vault.rotation_under_way().unwrap().unwrap();
        pass(&running.vault, record, Pace::Full, NO_STOP, &mut |_| {}).unwrap();
        refused!(running.vault.commit(late, permit.basis()), VaultError::Busy);
        running.update("hf", "5").unwrap();
        running.run().unwrap();
        for (number, value) in [(1, "1"), (4, "4"), (5, "5")] {
            assert_eq!(running.reveal("hf", Some(number)).unwrap(), value);
        }
    }
}

/// And the rotation does not wait for a moment in which nobody acts.
#[test]
fn what_was_written_after_a_pass_read_it_is_rewritten_in_the_same_pass() {
    for wanted in [NewRotation::default(), reseal()] {
        let (home, running) = filled_store();
        drop(running);
        let (engine, vault) = Failing::start(&home, false);
        let vault = Arc::new(vault);
        vault.begin_operators_rotation(&wanted).unwrap();
        let (record, _) = vault.rotation_under_way().unwrap().unwrap();
        // Between the pages that the pass reads and its commits, which the engine sees next.
        *engine.before_a_commit.lock() =
            Some(Box::new(move |sled: &SledEngine, commit: &Commit| {
                let Some((key, _)) =
                    commit.writes.iter().find(|(key, _)| key.wrapped_keys_of().is_some())
                else {
                    return false;
                };
                let mut again = Commit::default();
                again.put(key.clone(), sled.read(key).unwrap().unwrap().value);
                sled.commit(again).unwrap();
                true
            }));
        pass(&vault, record, Pace::Full, NO_STOP, &mut |_| {}).unwrap();
        assert!(engine.before_a_commit.lock().is_none(), "nobody acted in between");
        let census = vault.census().unwrap();
        assert_eq!(census.keks.into_keys().collect::<Vec<_>>(), [2]);
    }
}

#[test]
fn a_secret_whose_wrapped_keys_cannot_be_read_can_be_changed_and_purged() {
    let (home, running) = filled_store();
    let uid = running.secret("hf").unwrap().head.uid;
    let mut commit = Commit::default();
    commit.put(Key::wrapped_keys(uid), b"x".to_vec());
    running.engine.commit(commit).unwrap();
    running.begin(&NewRotation::default()).unwrap();
    refused!(running.run(), VaultError::RotationStuck { left: 1 });
    refused!(running.update("hf", "5"), VaultError::Damaged);
    running.keep("hf", Some(7)).unwrap();
    running.delete("hf").unwrap();
    home.clock.pass_millis(running.vault.settings.purge_after_seconds * 1000 + 1);
    running.vault.purge_expired().unwrap();
    assert_eq!(running.run().unwrap().unwrap().state, RotationState::Done);
    running.check_records();
}

/// The file is durable first, then the store: a power cut between the two leaves it one ahead.
#[test]
fn a_rotation_that_was_cut_off_between_file_and_store_is_gone_on_with() {
    let (home, running) = filled_store();
    let next = running.vault.keyring().rotated(home.clock.now()).unwrap();
    running.engine.write_keyring(&next.to_file()).unwrap();
    let cut = home.killed();
    let again = cut.start();
    assert_eq!(again.keks(), [1, 2]);
    again.create("new", "v").unwrap();
    let done = again.run().unwrap().unwrap();
    assert_eq!((done.state, done.kek), (RotationState::Done, 2));
    assert_eq!(again.keks(), [2]);
    assert_eq!(again.reveal("hf", None).unwrap(), "4");
    // It is the same with the end of one.
    again.begin(&NewRotation::default()).unwrap();
    let (record, _) = again.vault.rotation_under_way().unwrap().unwrap();
    pass(&again.vault, record, Pace::Full, NO_STOP, &mut |_| {}).unwrap();
    assert!(!again.census().keks.contains_key(&2));
    let last = again.vault.keyring().without_older(1).unwrap();
    again.engine.write_keyring(&last.to_file()).unwrap();
    let cut = cut.killed();
    let third = cut.start();
    assert_eq!(third.keks(), [3]);
    let done = third.run().unwrap().unwrap();
    assert_eq!((done.state, done.kek), (RotationState::Done, 3));
    assert_eq!(third.reveal("hf", None).unwrap(), "4");
    third.check_records();
}

#[test]
fn a_keyring_of_another_time_is_refused() {
    let (home, running) = filled_store();
    let first = running.vault.keyring().to_file();
    running.rotate(&NewRotation::default());
    let second = running.vault.keyring();
    let ahead = second.rotated(home.clock.now()).unwrap().without_older(1).unwrap();
    for file in [first, ahead.to_file()] {
        let copy = home.killed();
        DataDir::lock(copy.dir.path()).unwrap().write_keyring(&file).unwrap();
        refused!(copy.open().1, VaultError::KeyringGeneration);
    }
    // One ahead, but without the KEK that the store's records are under.
    running.begin(&NewRotation::default()).unwrap();
    let copy = home.killed();
    let stranger = running.vault.keyring().without_older(1).unwrap();
    DataDir::lock(copy.dir.path()).unwrap().write_keyring(&stranger.to_file()).unwrap();
    refused!(copy.open().1, VaultError::KeyringGeneration);
}

#[test]
fn one_rotation_at_a_time_and_it_can_be_paused() {
    let (home, running) = filled_store();
    let all = || running.may::<Administer, _>(WholeStore);
    refused!(running.vault.pause_rotation(&all()), VaultError::NoRotation);
    refused!(running.vault.resume_rotation(&all()), VaultError::NoRotation);
    let begun = running.begin(&NewRotation::default()).unwrap();
    assert_eq!((begun.state, begun.done), (RotationState::Running, 0));
    let file = running.vault.keyring().to_file();
    refused!(running.begin(&reseal()), VaultError::RotationUnderWay { paused: false });
    let paused = running.vault.pause_rotation(&all()).unwrap();
    assert_eq!(paused.state, RotationState::Paused);
    refused!(running.begin(&NewRotation::default()), VaultError::RotationUnderWay { paused: true });
    assert_eq!(running.vault.keyring().to_file(), file, "a refusal changes nothing");
    // It stays paused over a restart, and both KEKs open what is under them.
    drop(running);
    let running = home.start();
    assert_eq!(running.run().unwrap(), None);
    assert_eq!(running.keks(), [1, 2]);
    running.create("new", "v").unwrap();
    assert_eq!(running.reveal("hf", None).unwrap(), "4");
    running.vault.resume_rotation(&running.may(WholeStore)).unwrap();
    assert_eq!(running.run().unwrap().unwrap().state, RotationState::Done);
    assert_eq!(running.keks(), [2]);
}

#[test]
fn a_pause_stops_a_rotation_that_runs() {
    let (_home, running) = filled_store();
    running.begin(&NewRotation::default()).unwrap();
    let mut steps = 0;
    let ended = running.vault.run_rotation(Pace::Full, NO_STOP, &mut |_| {
        steps += 1;
        if steps == 1 {
            running.vault.pause_rotation(&running.may(WholeStore)).unwrap();
        }
    });
    let ended = ended.unwrap().unwrap();
    assert_eq!((ended.state, ended.done), (RotationState::Paused, 0));
    assert_eq!(running.census().keks.into_keys().collect::<Vec<_>>(), [1]);
}

#[test]
fn keys_are_kept_for_a_record_that_does_not_open_and_all_others_are_rewritten() {
    let (_home, running) = filled_store();
    let uid = running.secret("hf").unwrap().head.uid;
    let break_first = || {
        let mut keys = running.wrapped(uid);
        let (number, wrapped) = keys.iter().next().unwrap();
        let mut broken = wrapped.to_vec();
        *broken.last_mut().unwrap() ^= 1;
        keys.put(number, broken);
        running.put_wrapped(uid, &keys);
    };
    break_first();
    running.begin(&NewRotation::default()).unwrap();
    refused!(running.run(), VaultError::RotationStuck { left: 1 });
    let keys = running.vault.keys(&running.may(WholeStore)).unwrap();
    assert_eq!(keys.rotation.unwrap().stuck, 1);
    assert_eq!(keys.keks.iter().map(|kek| kek.records.min(2)).collect::<Vec<_>>(), [1, 2]);
    // Once it is mended, for instance from a backup, the rotation ends.
    break_first();
    let done = running.run().unwrap().unwrap();
    assert_eq!((done.state, done.stuck), (RotationState::Done, 0));
    assert_eq!(running.reveal("hf", Some(1)).unwrap(), "1");
}

#[test]
fn a_keyring_file_that_cannot_be_written_changes_nothing() {
    let (home, running) = filled_store();
    // What is written goes here first.
    let beside = home.dir.path().join("keyring.new");
    fs::create_dir(&beside).unwrap();
    let error = running.begin(&NewRotation::default()).unwrap_err();
    assert!(error.to_string().contains("the keys in use are those of before"), "{error}");
    assert_eq!(running.keks(), [1]);
    assert!(running.vault.keys(&running.may(WholeStore)).unwrap().rotation.is_none());
    running.create("new", "v").unwrap();
    fs::remove_dir(&beside).unwrap();
    running.rotate(&NewRotation::default());
}

/// An engine whose commits fail as on a disk that fails: what came of them is not known.
struct Failing {
    sled: Arc<SledEngine>,
    /// Whether they are in the store all the same.
    commits: bool,
    fails: AtomicBool,
    /// What happens before a payload is read; once.
    before_a_payload: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// What happens before commits, until it says that it has.
    before_a_commit: Mutex<Option<BeforeACommit>>,
}

type BeforeACommit = Box<dyn FnMut(&SledEngine, &Commit) -> bool + Send>;

impl Failing {
    /// A vault on such an engine, with the store of a home that nobody uses.
    fn start(home: &Home, commits: bool) -> (Arc<Self>, Vault) {
        let (sled, opened) = home.open();
        drop(opened.unwrap());
        let (before_a_payload, before_a_commit) = (Mutex::default(), Mutex::default());
        let fails = AtomicBool::new(false);
        let engine = Arc::new(Self { sled, commits, fails, before_a_payload, before_a_commit });
        let file = DataDir::lock(home.killed().dir.path()).unwrap().read_keyring().unwrap();
        let file = file.unwrap_or_else(|| home.keyring.clone());
        let keyring = Keyring::open(&file, home.root.as_ref()).unwrap();
        let (at, settings) = (engine.sled.incarnation(), home.settings.clone());
        let vault = Vault::open(engine.clone(), at, keyring, home.clock.clone(), settings).unwrap();
        (engine, vault)
    }
}

impl Engine for Failing {
    fn read(&self, key: &Key) -> Result<Option<store::Stored>, store::StoreError> {
        if key.as_bytes()[0] == 0x06 {
            let before = self.before_a_payload.lock().take();
            before.into_iter().for_each(|before| before());
        }
        self.sled.read(key)
    }

    fn scan(&self, range: &KeyRange, limit: usize) -> Result<store::Page, store::StoreError> {
        self.sled.scan(range, limit)
    }

    fn commit(&self, commit: Commit) -> Result<Revision, CommitError> {
        let mut before = self.before_a_commit.lock();
        if before.as_mut().is_some_and(|before| before(&self.sled, &commit)) {
            *before = None;
        }
        drop(before);
        if !self.fails.load(Ordering::SeqCst) {
            return self.sled.commit(commit);
        }
        if self.commits {
            self.sled.commit(commit)?;
        }
        Err(CommitError::Store(store::StoreError::Failed { reason: "a test".to_owned() }))
    }

    fn write_keyring(&self, bytes: &[u8]) -> Result<(), store::StoreError> {
        self.sled.write_keyring(bytes)
    }

    fn failure(&self) -> Option<store::StoreError> {
        self.sled.failure()
    }

    fn revision(&self) -> Revision {
        self.sled.revision()
    }

    fn events_after(
        &self,
        after: Revision,
        limit: usize,
    ) -> Result<Result<store::EventPage, store::EventsGone>, store::StoreError> {
        self.sled.events_after(after, limit)
    }

    fn begin_compaction(&self) -> Result<store::CompactionView, store::StoreError> {
        self.sled.begin_compaction()
    }

    fn compaction(&self) -> store::CompactionView {
        self.sled.compaction()
    }

    fn back_up(
        &self,
        since: Option<ResourceVersion>,
        created_at: Timestamp,
        out: &mut dyn std::io::Write,
        told: &mut dyn FnMut(u64, u64),
    ) -> Result<store::BackupSummary, store::BackupError> {
        self.sled.back_up(since, created_at, out, told)
    }

    fn revisions(&self) -> tokio::sync::watch::Receiver<Revision> {
        self.sled.revisions()
    }
}

/// Symptom: `Damaged` for a moment. Cause: a rotation sealed a version anew after its wrapped key was read and
/// before its payload was. Fix: what does not open is read once more, when it was written meanwhile.
#[test]
fn a_version_that_is_sealed_anew_while_it_is_read_is_read() {
    let (home, running) = filled_store();
    let uid = running.secret("hf").unwrap().head.uid;
    drop(running);
    let (engine, vault) = Failing::start(&home, false);
    let vault = Arc::new(vault);
    let rotating = vault.clone();
    *engine.before_a_payload.lock() = Some(Box::new(move || {
        rotating.begin_operators_rotation(&reseal()).unwrap();
        let done = rotating.run_rotation(Pace::Full, NO_STOP, &mut |_| {}).unwrap();
        assert_eq!(done.unwrap().state, RotationState::Done);
    }));
    let read = vault.read_payload(uid, 4, SecretType::Opaque).unwrap().unwrap();
    // EXPOSE: what was read is compared in a test.
    assert_eq!(read.encode().expose(), payload("4").encode().expose());
    assert!(engine.before_a_payload.lock().is_none(), "nothing happened in between");
}

/// Symptom: a store that no keyring file opened any more. Cause: when the commit of a rotation failed
/// without saying whether it was made, the older keyring file was put back beside a store that may have
/// recorded the newer one. Fix: the newer one stays, with which the store opens in both cases.
#[test]
fn a_disk_that_fails_while_keys_change_leaves_a_store_that_opens() {
    for commits in [false, true] {
        for at_the_end in [false, true] {
            let (home, running) = filled_store();
            drop(running);
            let (engine, vault) = Failing::start(&home, commits);
            let fail = || engine.fails.store(true, Ordering::SeqCst);
            if at_the_end {
                vault.begin_operators_rotation(&NewRotation::default()).unwrap();
                let (record, _) = vault.rotation_under_way().unwrap().unwrap();
                pass(&vault, record, Pace::Full, NO_STOP, &mut |_| {}).unwrap();
                fail();
                assert!(vault.run_rotation(Pace::Full, NO_STOP, &mut |_| {}).is_err());
            } else {
                fail();
                assert!(vault.begin_operators_rotation(&NewRotation::default()).is_err());
            }
            let after = home.killed();
            let running = after.start();
            running.run().unwrap();
            assert_eq!(running.keks(), [2], "{commits} {at_the_end}");
            assert_eq!(running.reveal("hf", None).unwrap(), "4");
            running.check_records();
        }
    }
}

#[test]
fn the_pace_of_a_rotation_is_that_of_its_records() {
    let pace = Pace::One(Duration::from_micros(80));
    assert_eq!(pace.gap(100), Duration::from_millis(8));
    assert_eq!((pace.gap(0), Pace::Full.gap(100)), (Duration::ZERO, Duration::ZERO));
}

#[test]
fn a_pause_after_the_last_scan_keeps_the_older_keys() {
    let (_home, running) = filled_store();
    running.begin(&NewRotation::default()).unwrap();
    let mut ended = false;
    let paused = running.vault.run_rotation(Pace::Full, NO_STOP, &mut |seen| {
        // The last thing that is told before the older keys go.
        if seen.done == seen.total && !running.census().keks.contains_key(&1) && !ended {
            ended = true;
            running.vault.pause_rotation(&running.may(WholeStore)).unwrap();
        }
    });
    assert_eq!(paused.unwrap().unwrap().state, RotationState::Paused);
    assert_eq!(running.keks(), [1, 2]);
    running.vault.resume_rotation(&running.may(WholeStore)).unwrap();
    assert_eq!(running.run().unwrap().unwrap().state, RotationState::Done);
}

#[test]
fn a_record_that_does_not_even_name_its_key_keeps_keys_from_going_and_not_from_coming() {
    let (_home, running) = filled_store();
    let uid = running.secret("hf").unwrap().head.uid;
    let mut keys = running.wrapped(uid);
    keys.put(1, b"x".to_vec());
    running.put_wrapped(uid, &keys);
    running.begin(&NewRotation::default()).unwrap();
    running.create("new", "v").unwrap();
    // The secret itself gets new versions all the same.
    running.update("hf", "5").unwrap();
    refused!(running.run(), VaultError::RotationStuck { left: 1 });
    assert_eq!(running.keks(), [1, 2]);
    let versions = running.keys(0x06).len() as u64;
    assert_eq!(running.census().keks, BTreeMap::from([(UNREADABLE, 1), (2, versions - 1)]));
    // And where nothing of the record can be read.
    let mut commit = Commit::default();
    commit.put(Key::wrapped_keys(uid), b"x".to_vec());
    running.engine.commit(commit).unwrap();
    refused!(running.run(), VaultError::RotationStuck { left: 1 });
    refused!(running.reveal("hf", None), VaultError::Damaged);
}

#[test]
fn keys_that_were_used_often_or_are_old_are_changed_without_being_asked() {
    let settings =
        Settings { rotate_after_uses: 600, rotate_after_seconds: 3600, ..Settings::default() };
    let (home, running) = Running::with_settings(settings);
    assert!(running.vault.begin_due_rotation().unwrap().is_none());
    running.create("hf", "v").unwrap();
    while running.vault.keyring().uses() < 600 {
        running.update("hf", "v").unwrap();
    }
    let begun = running.vault.begin_due_rotation().unwrap().unwrap();
    assert_eq!((begun.reason, begun.kek), (RotationReason::Uses, 2));
    assert!(running.vault.begin_due_rotation().unwrap().is_none(), "while one runs");
    running.run().unwrap();
    assert!(running.vault.begin_due_rotation().unwrap().is_none());
    home.clock.pass_millis(3_599_999);
    assert!(running.vault.begin_due_rotation().unwrap().is_none());
    home.clock.pass_millis(1);
    let begun = running.vault.begin_due_rotation().unwrap().unwrap();
    assert_eq!((begun.reason, begun.kek), (RotationReason::Age, 3));
}

#[test]
fn a_rotation_with_a_new_root_key_keeps_the_one_before() {
    let (home, running) = filled_store();
    let new = RootKey::make().unwrap();
    let text = new.to_text();
    let root = NewRoot::parse_key(&text).unwrap();
    running.rotate(&NewRotation { new_root: Some(root), reseal: false });
    drop(running);
    let file = DataDir::lock(home.dir.path()).unwrap().read_keyring().unwrap().unwrap();
    assert_eq!(Keyring::slots(&file).unwrap().len(), 2);
    for root in [&*home.root, &new] {
        assert!(Keyring::open(&file, root).is_ok());
    }
    // Both slots are taken now: a third is refused, and nothing is rotated.
    let running = home.start();
    let third = NewRoot::parse_key(&RootKey::make().unwrap().to_text()).unwrap();
    let wanted = NewRotation { new_root: Some(third), reseal: false };
    refused!(running.begin(&wanted), VaultError::RootKey(crypto::SlotError::Full));
    let same = NewRotation { new_root: Some(NewRoot::parse_key(&text).unwrap()), reseal: false };
    refused!(running.begin(&same), VaultError::RootKey(_));
    assert_eq!(running.keks(), [2]);
    assert_eq!(
        DataDir::lock(home.killed().dir.path()).unwrap().read_keyring().unwrap(),
        Some(file)
    );
    for short in ["", "short", "a\nb"] {
        assert!(NewRoot::parse_passphrase(short).is_err());
        assert!(NewRoot::parse_key(short).is_err());
    }
}

#[test]
fn old_metadata_keys_do_not_pile_up() {
    let (_home, running) = filled_store();
    for round in 0..12 {
        running.update("hf", &format!("round {round}")).unwrap();
        running.rotate(&NewRotation::default());
    }
    assert_eq!(running.vault.keyring().metadata_key_ids(), (6..=13).collect::<Vec<_>>());
    let census = running.census();
    assert!(census.metadata.keys().all(|id| (6..=13).contains(id)), "{census:?}");
    assert_eq!(running.reveal("hf", None).unwrap(), "round 11");
}

/// Events go while they are rewritten; a value of several chunks must not leave one behind, which the
/// check at the next start would find.
#[test]
fn events_that_go_while_they_are_sealed_anew_leave_nothing_behind() {
    let home = Home::with(Settings::default(), 8);
    let running = home.start();
    running.make_project("ml", Vec::new());
    running.create("hf", "v").unwrap();
    for round in 0..40 {
        let annotations =
            Annotations::parse(BTreeMap::from([("note".to_owned(), "0123456789".repeat(900))]));
        let set = |_: &Annotations| Ok(annotations.clone().unwrap());
        let change = SecretChange { annotations: Some(&set), ..nothing() };
        running.change("hf", &change).unwrap();
        if round % 4 == 0 {
            running.begin(&reseal()).unwrap();
            running.run().unwrap();
        }
    }
    let again = home.killed();
    again.start().check_records();
}

/// Has the others stop too when a test fails.
struct StopsAtTheEnd<'a>(&'a AtomicBool);

impl Drop for StopsAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Everything at once: writers of many secrets, a destroyer, readers, and one rotation after another.
#[test]
fn writers_and_readers_notice_nothing_of_rotations() {
    let (home, running) = Running::with_project();
    for n in 0..40 {
        running.create(&format!("s{n}"), "0").unwrap();
    }
    let stop = AtomicBool::new(false);
    let going = || !stop.load(Ordering::SeqCst);
    let rounds = thread::scope(|scope| {
        for writer in 0..3 {
            let running = &running;
            scope.spawn(move || {
                let mut round = 0;
                while going() {
                    for n in (writer..40).step_by(3) {
                        running.update(&format!("s{n}"), &format!("{round}")).unwrap();
                    }
                    running.create(&format!("w{writer}-{round}"), "x").unwrap();
                    running.delete(&format!("w{writer}-{round}")).unwrap();
                    round += 1;
                }
            });
        }
        scope.spawn(|| {
            while going() {
                for n in 0..40 {
                    running.reveal(&format!("s{n}"), None).unwrap();
                }
            }
        });
        let _stop = StopsAtTheEnd(&stop);
        let mut rounds = 0;
        for _ in 0..6 {
            running.rotate(&NewRotation { reseal: rounds % 2 == 1, ..NewRotation::default() });
            rounds += 1;
            let census = running.census();
            assert_eq!(census.keks.into_keys().collect::<Vec<_>>(), running.keks());
        }
        rounds
    });
    assert_eq!(running.keks(), [rounds + 1]);
    running.check_records();
    drop(running);
    home.start().check_records();
}
