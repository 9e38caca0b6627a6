//! What watchers are told.

use super::*;

/// A store with a short log.
fn with_log(keep_events: u64) -> (Home, Running) {
    let home = Home::with(Settings::default(), keep_events);
    let running = home.start();
    running.make_project("ml", Vec::new());
    (home, running)
}

type Told = Vec<(ResourceVersion, Uid, ChangeKind)>;

fn told(changes: &[Arc<Happening>]) -> Told {
    let line =
        |change: &Arc<Happening>| (change.view.resource_version, change.view.head.uid, change.kind);
    changes.iter().map(line).collect()
}

/// Everything after a resource version, by one way of asking, page by page.
fn all_after(
    mut from: ResourceVersion,
    until: ResourceVersion,
    mut ask: impl FnMut(ResourceVersion) -> Happenings,
) -> Told {
    let mut all = Told::new();
    while from < until {
        let page = ask(from);
        assert!(page.through > from, "no progress");
        let inside = |change: &Arc<Happening>| {
            let at = change.view.resource_version;
            from < at && at <= page.through
        };
        assert!(page.changes.iter().all(inside));
        all.extend(told(&page.changes));
        from = page.through;
    }
    all
}

fn revisions(running: &Running) -> impl Iterator<Item = ResourceVersion> {
    let newest = running.engine.revision().get();
    let incarnation = running.engine.incarnation();
    (0..=newest).map(move |number| ResourceVersion::new(incarnation, Revision::new(number)))
}

/// The log and the memory tell the same after every resource version.
fn check_agreement(running: &Running, truth: &Told) {
    let (vault, worker) = (&running.vault, running.worker());
    let newest = vault.keep_up(&worker).unwrap();
    assert_eq!(newest, vault.resource_version());
    let mut remembered = 0;
    for from in revisions(running) {
        let expected: Told = truth.iter().filter(|(at, ..)| *at > from).copied().collect();
        let logged = all_after(from, newest, |at| vault.changes_after(&worker, at).unwrap());
        assert_eq!(logged, expected, "the log after {from}");
        if vault.recent_changes(&worker, from).is_some() {
            remembered += 1;
            let recent = all_after(from, newest, |at| vault.recent_changes(&worker, at).unwrap());
            assert_eq!(recent, expected, "the memory after {from}");
        }
    }
    assert!(remembered > 0);
}

#[test]
fn the_log_and_the_memory_tell_the_same_after_every_resource_version() {
    let (home, running) = with_log(1000);
    let mut truth = Told::new();
    let mut note = |view: SecretView, kind| {
        truth.push((view.resource_version, view.head.uid, kind));
        truth.clone()
    };
    for round in 0..12 {
        let name = format!("s{round}");
        note(running.create(&name, "1").unwrap(), ChangeKind::Added);
        running.mint(Role::Auditor, Scope::WholeStore);
        note(running.update(&name, "2").unwrap(), ChangeKind::Modified);
        note(running.delete(&name).unwrap(), ChangeKind::Deleted);
        let so_far = note(running.undelete(&name, &name, None).unwrap(), ChangeKind::Added);
        // Early, while the memory holds all, and late, when it has lost the oldest.
        if round % 4 == 0 || round == 11 {
            check_agreement(&running, &so_far);
        }
    }
    let beginning = ResourceVersion::new(running.engine.incarnation(), Revision::ZERO);
    assert!(running.vault.recent_changes(&running.worker(), beginning).is_none());
    let again = home.killed().start();
    check_agreement(&again, &truth);
}

/// Symptom: each watcher saw each event twice. Cause: two that kept the memory up had read the same
/// page, and both pushed it.
#[test]
fn many_who_keep_the_memory_up_at_once_bring_each_event_once() {
    let (_home, running) = with_log(1000);
    let worker = running.worker();
    let mut truth = Told::new();
    for round in 0..6 {
        for number in 0..4 {
            let view = running.create(&format!("s{round}-{number}"), "1").unwrap();
            truth.push((view.resource_version, view.head.uid, ChangeKind::Added));
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| running.vault.keep_up(&worker).unwrap());
            }
        });
        check_agreement(&running, &truth);
    }
}

/// Symptom: no watcher was ever told anything again. Cause: the log was trimmed beyond the place
/// that the memory had reached, and reading on from there failed each time.
#[test]
fn a_memory_that_the_log_has_left_behind_begins_anew() {
    let (_home, running) = with_log(6);
    let worker = running.worker();
    running.create("hf", "1").unwrap();
    running.vault.keep_up(&worker).unwrap();
    for round in 0..12 {
        running.update("hf", &round.to_string()).unwrap();
    }
    let newest = running.vault.keep_up(&worker).unwrap();
    assert_eq!(newest, running.vault.resource_version());
    let view = running.update("hf", "last").unwrap();
    running.vault.keep_up(&worker).unwrap();
    let page = running.vault.recent_changes(&worker, newest).unwrap();
    assert_eq!(told(&page.changes), [(view.resource_version, view.head.uid, ChangeKind::Modified)]);
}

#[test]
fn a_memory_that_is_far_behind_begins_anew_and_the_log_tells_what_lies_between() {
    let (_home, running) = with_log(1000);
    let worker = running.worker();
    let mut truth = Told::new();
    let from = running.vault.keep_up(&worker).unwrap();
    for round in 0..40 {
        let view = running.create(&format!("s{round}"), "1").unwrap();
        truth.push((view.resource_version, view.head.uid, ChangeKind::Added));
    }
    let newest = running.vault.keep_up(&worker).unwrap();
    assert!(running.vault.recent_changes(&worker, from).is_none());
    let logged = all_after(from, newest, |at| running.vault.changes_after(&worker, at).unwrap());
    assert_eq!(logged, truth);
}

/// Commits events of several secrets at once, as the vault does not yet.
fn commit_together(running: &Running, uids: &[Uid]) -> ResourceVersion {
    let head = running.secret("hf").unwrap().head;
    let mut commit = Commit::default();
    for uid in uids {
        let (key, shown) =
            (Key::event_view(*uid, Revision::ZERO), Head { uid: *uid, ..head.clone() });
        let sealed = running.vault.seal_record(&key, &shown.encode()).unwrap();
        let view = Some(store::ChangeView { previous: Revision::ZERO, sealed });
        let object = store::ChangedObject::Secret(secret("hf"));
        let kind = ChangeKind::Modified;
        commit.tell(store::Change { kind, object, uid: *uid, view }.encode());
    }
    let revision = running.engine.commit(commit).unwrap();
    ResourceVersion::new(running.engine.incarnation(), revision)
}

#[test]
fn the_changes_of_one_commit_are_never_torn_apart() {
    let (_home, running) = with_log(1000);
    let made = running.create("hf", "1").unwrap();
    let (vault, worker) = (&running.vault, running.worker());
    let from = vault.keep_up(&worker).unwrap();
    let mut truth = vec![(made.resource_version, made.head.uid, ChangeKind::Added)];
    for size in [1u8, 3, 7, 2, 4, 6, 1, 9] {
        let uids: Vec<_> = (0..size).map(|n| Uid::from_bytes([n; 16])).collect();
        let at = commit_together(&running, &uids);
        truth.extend(uids.iter().map(|uid| (at, *uid, ChangeKind::Modified)));
    }
    check_agreement(&running, &truth);
    let newest = vault.resource_version();
    let whole = |page: Happenings| {
        let inside = truth.iter().filter(|(at, ..)| *at == page.through).count();
        let got = told(&page.changes).iter().filter(|(at, ..)| *at == page.through).count();
        assert_eq!(inside, got);
        page
    };
    all_after(from, newest, |at| whole(vault.changes_after(&worker, at).unwrap()));
    // The memory has lost the first commits by now, each as a whole.
    let mut whole_commits = 0;
    for from in revisions(&running) {
        if vault.recent_changes(&worker, from).is_some() && from < newest {
            all_after(from, newest, |at| whole(vault.recent_changes(&worker, at).unwrap()));
            whole_commits += 1;
        }
    }
    assert!(whole_commits > 3);
}

#[test]
fn a_resource_version_that_is_no_longer_known_is_told_the_oldest_that_is() {
    let (_home, running) = with_log(8);
    running.create("hf", "1").unwrap();
    for round in 0..20 {
        running.update("hf", &round.to_string()).unwrap();
    }
    let (vault, worker) = (&running.vault, running.worker());
    let Err(VaultError::Gone { oldest, ahead: false }) =
        vault.changes_after(&worker, revisions(&running).next().unwrap())
    else {
        panic!("the log is too long")
    };
    let newest = vault.resource_version();
    for from in revisions(&running) {
        match vault.changes_after(&worker, from) {
            Ok(page) => assert!(from >= oldest && page.through >= from),
            Err(VaultError::Gone { oldest: told, ahead: false }) => {
                assert!(from < oldest && told == oldest);
            }
            Err(other) => panic!("{other}"),
        }
    }
    let all = all_after(oldest, newest, |at| vault.changes_after(&worker, at).unwrap());
    assert_eq!(all.len() as u64, newest.revision().get() - oldest.revision().get());
}

#[test]
fn a_resource_version_of_another_incarnation_or_the_future_is_gone_and_says_whether_it_is_ahead() {
    let (_home, running) = with_log(1000);
    let (vault, worker) = (&running.vault, running.worker());
    let newest = vault.keep_up(&worker).unwrap();
    let future = ResourceVersion::new(newest.incarnation(), newest.revision().next());
    let other = ResourceVersion::new(Incarnation::new(7), Revision::new(1));
    for from in [future, other] {
        refused!(vault.changes_after(&worker, from), VaultError::Gone { ahead: true, .. });
        assert!(vault.recent_changes(&worker, from).is_none());
        assert!(vault.feed_after(&worker, from).unwrap().is_none());
    }
    assert!(vault.changes_after(&worker, newest).unwrap().changes.is_empty());
    assert!(vault.recent_changes(&worker, newest).unwrap().changes.is_empty());
}

#[test]
fn an_event_shows_the_metadata_as_of_its_change() {
    let (home, running) = with_log(1000);
    let from = running.vault.resource_version();
    let mut shown = vec![running.create("hf", "1").unwrap()];
    for value in ["a", "b"] {
        home.clock.pass_millis(5);
        let relabel = |_: &Labels| Ok(labels_of(&[("stage", value)]));
        let change = SecretChange { labels: Some(&relabel), ..nothing() };
        shown.push(running.change("hf", &change).unwrap());
        shown.push(running.update("hf", value).unwrap());
    }
    shown.push(running.set_versions("hf", [3], VersionState::Destroyed).unwrap());
    shown.push(running.delete("hf").unwrap());
    shown.push(running.undelete("hf", "new", None).unwrap());
    let mut all = Vec::new();
    let mut at = from;
    while at < running.vault.resource_version() {
        let page = running.vault.changes_after(&running.worker(), at).unwrap();
        all.extend(page.changes);
        at = page.through;
    }
    assert_eq!(all.len(), shown.len());
    for (event, view) in all.iter().zip(shown) {
        assert_eq!(event.view.resource_version, view.resource_version);
        let versions = view.head.current().cloned().into_iter().collect();
        assert_eq!(event.view.head, Head { versions, ..view.head });
    }
}

#[test]
fn an_event_is_encoded_once_for_all_watchers() {
    let (_home, running) = with_log(1000);
    running.vault.keep_up(&running.worker()).unwrap();
    let from = running.vault.resource_version();
    running.create("hf", "1").unwrap();
    running.vault.keep_up(&running.worker()).unwrap();
    for _ in 0..3 {
        let page = running.vault.recent_changes(&running.worker(), from).unwrap();
        let encoded =
            page.changes[0].encoded(|_| running.vault.make_uid().unwrap().as_bytes().to_vec());
        let again = page.changes[0].encoded(|_| Vec::new());
        assert_eq!(encoded, again);
        assert_eq!(encoded.len(), 16);
    }
}

/// Metadata of more than a page of the engine is stored in parts, in the log too.
#[test]
fn an_event_with_the_largest_metadata_survives_a_kill_and_a_trimmed_log() {
    let (home, running) = with_log(8);
    let many: Vec<_> = (0..64).map(|n| format!("{}/{n}", "x.".repeat(120) + "x")).collect();
    let value = "v".repeat(63);
    let many: Vec<_> = many.iter().map(|key| (key.as_str(), value.as_str())).collect();
    let relabel = |_: &Labels| Ok(labels_of(&many));
    running.create("hf", "1").unwrap();
    let change = SecretChange { labels: Some(&relabel), ..nothing() };
    let mut last = running.change("hf", &change).unwrap();
    for round in 0..12 {
        last = running.update("hf", &round.to_string()).unwrap();
    }
    let again = home.killed().start();
    let before = Revision::new(last.resource_version.revision().get() - 1);
    let before = ResourceVersion::new(again.engine.incarnation(), before);
    let page = again.vault.changes_after(&again.worker(), before).unwrap();
    assert_eq!(page.changes[0].view.head.labels, labels_of(&many));
}
