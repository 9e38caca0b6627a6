//! What the sync worker is told.

use super::*;

#[test]
fn the_feed_tells_what_changed_and_what_is_to_be_removed() {
    let home = Home::new();
    let running = home.start();
    running.make_project("ml", vec![rule("team"), rule("other")]);
    let hf = running.create("hf", "1").unwrap();
    let worker = Actor::sync_worker();
    let permit = decide::<List, _>(&worker, WholeStore, running.now()).unwrap();
    let snapshot = running.vault.feed(&permit).unwrap();
    assert_eq!(snapshot.projects[0].rules.len(), 2);
    assert_eq!((snapshot.secrets[0].uid, snapshot.secrets[0].version), (hf.head.uid, Some(1)));
    assert!(snapshot.tombstones.is_empty());

    running.update("hf", "2").unwrap();
    let rules = decide::<Administer, _>(&running.admin, WholeStore, running.now()).unwrap();
    let one =
        |_: &NewProject| Ok(NewProject { rules: vec![rule("team")], ..NewProject::default() });
    let change = ProjectChange { change: &one, expected: None };
    running.vault.change_project(&rules, &project("ml"), &change).unwrap();
    running.delete("hf").unwrap();
    let page = running.vault.feed_after(&permit, snapshot.at).unwrap().unwrap();
    let tombstones: Vec<_> = page
        .changes
        .iter()
        .filter_map(|change| match change {
            FeedChange::Tombstone(tombstone) => Some(tombstone.clone()),
            _ => None,
        })
        .collect();
    let what: Vec<_> = tombstones.iter().map(|tombstone| tombstone.what.clone()).collect();
    let uid = hf.head.uid;
    assert!(what.contains(&Retired::Secret { path: secret("hf"), uid }));
    let namespace = Namespace::parse("other").unwrap();
    assert!(what.contains(&Retired::Rule { project: project("ml"), namespace }));
    let gone = |change: &FeedChange| matches!(change, FeedChange::SecretRemoved { uid: found, .. } if *found == uid);
    assert!(page.changes.iter().any(gone));

    for tombstone in &tombstones {
        running.vault.clear_tombstone(&permit, tombstone).unwrap();
    }
    assert!(running.vault.feed(&permit).unwrap().tombstones.is_empty());
}

#[test]
fn a_cursor_of_another_incarnation_is_gone() {
    let (_home, running) = Running::with_project();
    let worker = Actor::sync_worker();
    let permit = decide::<List, _>(&worker, WholeStore, running.now()).unwrap();
    let other = ResourceVersion::new(Incarnation::new(1), Revision::new(1));
    assert!(running.vault.feed_after(&permit, other).unwrap().is_none());
}

fn told_to_remove(page: &FeedPage) -> Vec<Retired> {
    let removals = page.changes.iter().filter_map(|change| match change {
        FeedChange::Tombstone(tombstone) => Some(tombstone.what.clone()),
        _ => None,
    });
    removals.collect()
}

/// All changes after a resource version.
fn changes_after(running: &Running, mut at: ResourceVersion) -> Vec<FeedChange> {
    let mut all = Vec::new();
    while at < running.vault.resource_version() {
        let page = running.vault.feed_after(&running.worker(), at).unwrap().unwrap();
        all.extend(page.changes);
        at = page.at;
    }
    all
}

/// A secret, a rule and a binding that go, and what a worker that was away is told of them.
#[test]
fn what_is_to_be_removed_is_told_after_a_snapshot_and_after_a_relist() {
    let home = Home::with(Settings::default(), 8);
    let running = home.start();
    running.make_project("ml", vec![rule("team")]);
    running.make_project("b", Vec::new());
    let gone = running.create("gone", "1").unwrap().head.uid;
    let uid = running.create("hf", "1").unwrap().head.uid;
    running.bind("hf", &[("b", BindingKind::Owner)]).unwrap();
    let at = running.vault.feed(&running.worker()).unwrap().at;

    running.bind("hf", &[]).unwrap();
    running.delete("gone").unwrap();
    let none = |_: &NewProject| Ok(NewProject::default());
    let change = ProjectChange { change: &none, expected: None };
    running.vault.change_project(&running.may(WholeStore), &project("ml"), &change).unwrap();
    let namespace = Namespace::parse("team").unwrap();
    let mut expected = vec![
        Retired::Binding { path: secret("hf"), uid, project: project("b") },
        Retired::Secret { path: secret("gone"), uid: gone },
        Retired::Rule { project: project("ml"), namespace },
    ];
    let page = running.vault.feed_after(&running.worker(), at).unwrap().unwrap();
    assert_eq!(told_to_remove(&page), expected, "in the order in which they went");

    for round in 0..12 {
        running.update("hf", &round.to_string()).unwrap();
    }
    assert!(running.vault.feed_after(&running.worker(), at).unwrap().is_none());
    expected.sort();
    let listed = |running: &Running| {
        let mut what: Vec<_> = running.tombstones().into_iter().map(|t| t.what).collect();
        what.sort();
        what
    };
    assert_eq!(listed(&running), expected);
    assert_eq!(listed(&home.killed().start()), expected);
    for tombstone in running.tombstones() {
        running.vault.clear_tombstone(&running.worker(), &tombstone).unwrap();
    }
    assert!(listed(&running).is_empty());
    assert!(listed(&home.killed().start()).is_empty());
}

#[test]
fn a_tombstone_is_cleared_once_and_a_later_one_of_the_same_secret_is_not_cleared_with_it() {
    let (_home, running) = Running::with_project();
    running.create("hf", "1").unwrap();
    running.delete("hf").unwrap();
    let early = running.tombstones().remove(0);
    let clear = |tombstone: &Tombstone| {
        running.vault.clear_tombstone(&running.worker(), tombstone).unwrap();
    };
    clear(&early);
    let after = running.vault.resource_version();
    clear(&early);
    assert_eq!(running.vault.resource_version(), after, "there was nothing to do");
    running.undelete("hf", "hf", None).unwrap();
    running.delete("hf").unwrap();
    clear(&early);
    let late = running.tombstones().remove(0);
    assert_eq!((late.id, late.at > early.at), (early.id, true));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| clear(&late));
        }
    });
    assert!(running.tombstones().is_empty());
}

#[test]
fn the_tombstone_of_a_secret_that_lives_again_is_not_told() {
    let (_home, running) = Running::with_project();
    let uid = running.create("hf", "1").unwrap().head.uid;
    let at = running.vault.resource_version();
    running.delete("hf").unwrap();
    running.undelete("hf", "hf", None).unwrap();
    running.set_versions("hf", [1], VersionState::Deleted).unwrap();
    running.set_versions("hf", [1], VersionState::Live).unwrap();
    let changes = changes_after(&running, at);
    assert!(!changes.iter().any(|change| matches!(change, FeedChange::Tombstone(_))));
    let Some(FeedChange::Secret(last)) = changes.last() else { panic!("another change") };
    assert_eq!((last.uid, last.version), (uid, Some(1)));
    assert!(running.tombstones().is_empty());
}

#[test]
fn a_secret_without_a_live_version_is_told_as_one_and_with_its_bindings() {
    let (_home, running) = Running::with_project();
    running.make_project("b", Vec::new());
    running.create("hf", "1").unwrap();
    running.bind("hf", &[("b", BindingKind::Members)]).unwrap();
    let at = running.vault.resource_version();
    let view = running.set_versions("hf", [1], VersionState::Deleted).unwrap();
    let expected = SecretFeed {
        path: secret("hf"),
        uid: view.head.uid,
        kind: SecretType::Opaque,
        bound_to: vec![project("b")],
        version: None,
        labels: labels(),
        resource_version: view.resource_version,
    };
    let changes = changes_after(&running, at);
    let told = changes.iter().find_map(|change| match change {
        FeedChange::Secret(secret) => Some(secret),
        _ => None,
    });
    assert_eq!(told, Some(&expected));
    assert_eq!(running.vault.feed(&running.worker()).unwrap().secrets, [expected]);
}

#[test]
fn a_name_that_belongs_to_a_later_secret_by_now_tells_of_the_earlier_one_s_end() {
    let (_home, running) = Running::with_project();
    let at = running.vault.resource_version();
    let first = running.create("hf", "1").unwrap().head.uid;
    running.delete("hf").unwrap();
    let second = running.create("hf", "2").unwrap().head.uid;
    let mut living = BTreeMap::new();
    for change in changes_after(&running, at) {
        match change {
            FeedChange::Secret(secret) => drop(living.insert(secret.uid, secret.path)),
            FeedChange::SecretRemoved { uid, .. } => drop(living.remove(&uid)),
            _ => {}
        }
    }
    assert_eq!(living.into_keys().collect::<Vec<_>>(), [second]);
    assert_eq!(running.tombstones()[0].id, first);
}
