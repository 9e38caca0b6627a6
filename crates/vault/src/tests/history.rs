//! What becomes of versions and of secrets that are no longer wanted.

use super::*;

#[test]
fn a_deleted_name_is_free_and_its_new_secret_is_another_one() {
    let (_home, running) = Running::with_project();
    let first = running.create("hf", "one").unwrap();
    running.delete("hf").unwrap();
    assert!(matches!(running.reveal("hf", None), Err(VaultError::NotFound)));
    let second = running.create("hf", "two").unwrap();
    assert_ne!(first.head.uid, second.head.uid);
    assert_eq!(second.head.current().unwrap().number, 1);
    assert!(
        running.engine.read(&Key::deleted_head(&secret("hf"), first.head.uid)).unwrap().is_some()
    );
    assert!(running.engine.read(&Key::payload(first.head.uid, 1)).unwrap().is_some());
}

use VersionState::{Deleted, Destroyed, Live};

/// A store with one secret of that many versions; the value of each is its number.
fn with_versions(count: u64, keep: u32) -> (Home, Running) {
    let settings = Settings { keep_versions: keep, ..Settings::default() };
    let (home, running) = Running::with_settings(settings);
    running.create("hf", "1").unwrap();
    for number in 2..=count {
        running.update("hf", &number.to_string()).unwrap();
    }
    (home, running)
}

fn is_invalid_version(error: &VaultError) -> bool {
    matches!(error, VaultError::Invalid(wrong) if wrong.field == "versions")
}

fn retired(running: &Running) -> Vec<Retired> {
    running.tombstones().into_iter().map(|tombstone| tombstone.what).collect()
}

fn kept(view: &SecretView) -> Vec<u64> {
    view.head.versions.iter().map(|version| version.number).collect()
}

#[test]
fn rolling_back_makes_a_new_version_of_an_old_value() {
    let (_home, running) = with_versions(3, 10);
    let view = running.roll_back("hf", 1).unwrap();
    assert_eq!(kept(&view), [1, 2, 3, 4]);
    assert_eq!(running.reveal("hf", None).unwrap(), "1");
    assert_eq!(running.reveal("hf", Some(3)).unwrap(), "3");
    running.check_records();
}

#[test]
fn rolling_back_to_a_version_that_is_not_live_is_refused() {
    let (_home, running) = with_versions(4, 3);
    running.set_versions("hf", [2], Deleted).unwrap();
    running.set_versions("hf", [3], Destroyed).unwrap();
    let before = running.vault.resource_version();
    for number in [0, 1, 2, 3, 5, u64::MAX] {
        refused!(running.roll_back("hf", number), VaultError::VersionNotFound);
    }
    assert_eq!(running.vault.resource_version(), before);
}

#[test]
fn a_deleted_version_is_not_readable_until_it_is_undeleted() {
    let (_home, running) = with_versions(3, 10);
    let view = running.set_versions("hf", [3], Deleted).unwrap();
    assert_eq!(numbers(&view, Deleted), [3]);
    refused!(running.reveal("hf", Some(3)), VaultError::VersionNotFound);
    assert_eq!(running.reveal("hf", None).unwrap(), "2", "the newest live one is current");
    running.set_versions("hf", [3], Live).unwrap();
    assert_eq!(running.reveal("hf", None).unwrap(), "3");
    running.check_records();
}

#[test]
fn a_destroyed_version_s_records_are_gone_and_its_number_stays() {
    let (home, running) = with_versions(3, 10);
    let view = running.set_versions("hf", [1, 3], Destroyed).unwrap();
    assert_eq!((numbers(&view, Destroyed), numbers(&view, Live)), (vec![1, 3], vec![2]));
    for number in [1, 3] {
        assert!(running.engine.read(&Key::payload(view.head.uid, number)).unwrap().is_none());
    }
    let wrapped = running.wrapped(view.head.uid);
    assert_eq!(wrapped.iter().map(|(number, _)| number).collect::<Vec<_>>(), [2]);
    assert_eq!(kept(&running.update("hf", "4").unwrap()), [1, 2, 3, 4]);
    let again = home.killed().start();
    again.check_records();
    assert_eq!(again.reveal("hf", None).unwrap(), "4");
}

#[test]
fn versions_that_are_not_kept_or_destroyed_or_none_or_too_many_are_refused_by_their_field() {
    let (_home, running) = with_versions(3, 2);
    running.set_versions("hf", [2], Destroyed).unwrap();
    let before = running.vault.resource_version();
    for state in [Live, Deleted, Destroyed] {
        for wrong in [vec![], vec![1], vec![9], vec![3, 9], (1..=41).collect()] {
            refused!(running.set_versions("hf", wrong, state), wrong if is_invalid_version(wrong));
        }
    }
    for state in [Live, Deleted] {
        refused!(running.set_versions("hf", [2], state), wrong if is_invalid_version(wrong));
    }
    assert_eq!(running.vault.resource_version(), before, "one wrong number changes nothing");
    running.set_versions("hf", [2], Destroyed).unwrap();
}

#[test]
fn an_act_on_versions_insists_on_the_resource_version_that_was_seen() {
    let (_home, running) = with_versions(1, 10);
    let old = running.secret("hf").unwrap().resource_version;
    running.update("hf", "2").unwrap();
    let numbers = BTreeSet::from([1]);
    let versions = Versions { numbers: &numbers, expected: Some(old) };
    let done = running.vault.destroy_versions(&running.may(secret("hf")), &versions);
    refused!(done, VaultError::Stale { .. });
    let done = running.vault.delete_secret(&running.may(secret("hf")), Some(old));
    refused!(done, VaultError::Stale { .. });
    assert_eq!(running.reveal("hf", Some(1)).unwrap(), "1");
}

#[test]
fn a_secret_without_a_live_version_is_listed_and_has_a_tombstone_until_it_has_one_again() {
    let (_home, running) = with_versions(2, 10);
    let uid = running.set_versions("hf", [1, 2], Deleted).unwrap().head.uid;
    refused!(running.reveal("hf", None), VaultError::VersionNotFound);
    assert!(running.secret("hf").unwrap().head.current().is_none());
    let gone = [Retired::Secret { path: secret("hf"), uid }];
    assert_eq!(retired(&running), gone);
    running.set_versions("hf", [1], Destroyed).unwrap();
    assert_eq!(retired(&running), gone);
    running.set_versions("hf", [2], Live).unwrap();
    assert!(retired(&running).is_empty());
    running.set_versions("hf", [2], Destroyed).unwrap();
    assert_eq!(retired(&running), gone);
    running.update("hf", "3").unwrap();
    assert!(retired(&running).is_empty());
}

#[test]
fn a_deleted_secret_comes_back_by_its_identity_under_a_new_name_with_its_history() {
    let (home, running) = with_versions(3, 10);
    let old = running.delete("hf").unwrap().head.uid;
    let new = running.create("hf", "new").unwrap();
    assert_eq!((new.head.uid == old, kept(&new)), (false, vec![1]));
    let back = running.undelete("hf", "team/hf", Some(old)).unwrap();
    assert_eq!((back.head.uid, kept(&back)), (old, vec![1, 2, 3]));
    assert_eq!((&back.head.path, back.head.deleted_at), (&secret("team/hf"), None));
    drop(running);
    let again = home.start();
    assert_eq!(again.reveal("team/hf", Some(2)).unwrap(), "2");
    assert_eq!(again.reveal("hf", None).unwrap(), "new");
    again.check_records();
}

#[test]
fn the_secret_that_was_deleted_last_comes_back_when_none_is_named() {
    let (_home, running) = Running::with_project();
    let mut deleted = Vec::new();
    for _ in 0..4 {
        deleted.push(running.create("hf", "x").unwrap().head.uid);
        running.delete("hf").unwrap();
    }
    // Deleted within one millisecond, in an order that their identities do not tell.
    for uid in deleted.into_iter().rev() {
        assert_eq!(running.undelete("hf", "hf", None).unwrap().head.uid, uid);
        running.delete("hf").unwrap();
        running.purge("hf", Some(uid)).unwrap();
    }
    refused!(running.undelete("hf", "hf", None), VaultError::NotFound);
}

#[test]
fn an_undelete_to_a_name_that_is_taken_or_from_one_that_was_not_deleted_is_refused() {
    let (_home, running) = with_versions(1, 10);
    let uid = running.secret("hf").unwrap().head.uid;
    refused!(running.undelete("hf", "new", None), VaultError::NotFound);
    refused!(running.undelete("hf", "new", Some(uid)), VaultError::NotFound);
    running.delete("hf").unwrap();
    running.create("hf", "2").unwrap();
    refused!(running.undelete("hf", "hf", None), VaultError::AlreadyExists);
    refused!(running.undelete("other", "new", Some(uid)), VaultError::NotFound);
    running.make_project("b", Vec::new());
    let to = running.may(secret_in("b", "hf"));
    let done = running.vault.undelete_secret(&running.may(secret("hf")), &to, Some(uid));
    refused!(done, VaultError::NotFound);
}

#[test]
fn an_undelete_takes_both_its_rights_from_one_actor() {
    let (_home, running) = with_versions(1, 10);
    running.delete("hf").unwrap();
    let other = running.actor(&[(Role::Owner, "ml")]);
    let to = decide(&other, secret("hf"), running.now()).unwrap();
    let done = running.vault.undelete_secret(&running.may(secret("hf")), &to, None);
    refused!(done, VaultError::RightsChanged);
}

/// A worker that was away in between knows the copies under the old name by the tombstone only.
#[test]
fn the_tombstone_of_a_name_outlives_the_undelete_under_another_name() {
    let (_home, running) = with_versions(1, 10);
    let uid = running.delete("hf").unwrap().head.uid;
    let of = |name| Retired::Secret { path: secret(name), uid };
    assert_eq!(retired(&running), [of("hf")]);
    running.undelete("hf", "new", None).unwrap();
    assert_eq!(retired(&running), [of("hf")]);
    // The life and death of the new name does not touch it.
    running.set_versions("new", [1], Deleted).unwrap();
    running.set_versions("new", [1], Live).unwrap();
    assert_eq!(retired(&running), [of("hf")]);
    running.delete("new").unwrap();
    running.undelete("new", "new", None).unwrap();
    assert_eq!(retired(&running), [of("hf")]);
}

#[test]
fn an_undelete_under_the_same_name_takes_the_tombstone_back() {
    let (_home, running) = with_versions(1, 10);
    running.delete("hf").unwrap();
    running.undelete("hf", "hf", None).unwrap();
    assert!(retired(&running).is_empty());
    running.set_versions("hf", [1], Deleted).unwrap();
    running.delete("hf").unwrap();
    running.undelete("hf", "hf", None).unwrap();
    assert_eq!(retired(&running).len(), 1, "no version is live");
}

#[test]
fn a_purge_names_one_deleted_secret_and_leaves_nothing_of_it() {
    let (home, running) = with_versions(2, 10);
    let first = running.secret("hf").unwrap().head.uid;
    refused!(running.purge("hf", None), VaultError::StillLives);
    refused!(running.purge("hf", Some(first)), VaultError::NotFound);
    running.delete("hf").unwrap();
    let second = running.create("hf", "2").unwrap().head.uid;
    refused!(running.purge("hf", None), VaultError::StillLives);
    running.delete("hf").unwrap();
    refused!(running.purge("hf", None), VaultError::SeveralDeleted);
    let other = running.actor(&[(Role::Owner, "ml")]);
    let permit = decide(&other, secret("other"), running.now()).unwrap();
    refused!(running.vault.purge_secret(&permit, Some(first)), VaultError::NotFound);
    running.purge("hf", Some(first)).unwrap();
    refused!(running.purge("hf", Some(first)), VaultError::NotFound);
    assert_eq!(running.heads(&KeyRange::all_deleted_heads())[0].uid, second);
    running.check_records();
    running.purge("hf", None).unwrap();
    assert!(running.keys(0x04).is_empty());
    running.check_records();
    assert_eq!(retired(&running).len(), 2, "the copies are still to be removed");
    home.killed().start().check_records();
}

/// The key of a deleted secret and the revision of its deletion.
fn grave(running: &Running, view: &SecretView) -> (Key, Revision) {
    let key = Key::deleted_head(&view.head.path, view.head.uid);
    let deleted = running.engine.read(&key).unwrap().unwrap().changed_at;
    (key, deleted)
}

/// A purge of many versions takes several commits. Between two of them the process may end.
#[test]
fn a_purge_that_was_cut_off_says_what_is_lost_and_is_made_again() {
    let (home, running) = with_versions(95, 100);
    let (key, deleted) = grave(&running, &running.delete("hf").unwrap());
    assert!(!running.vault.purge_some(&key, deleted, &Basis::default()).unwrap());
    running.check_records();
    let again = home.killed().start();
    again.check_records();
    let uid = again.heads(&KeyRange::all_deleted_heads())[0].uid;
    let view = again.vault.deleted_secret(&again.may(PartOfProject(project("ml"))), uid).unwrap();
    assert_eq!(numbers(&view, Destroyed), (1..=40).collect::<Vec<_>>());
    assert_eq!(view.resource_version.revision(), deleted, "a silent act is none that clients see");
    again.purge("hf", None).unwrap();
    again.check_records();
    assert!(again.keys(0x04).is_empty());

    let back = running.undelete("hf", "hf", None).unwrap();
    assert_eq!(numbers(&back, Live), (41..=95).collect::<Vec<_>>());
    refused!(running.vault.purge_some(&key, deleted, &Basis::default()), VaultError::NotFound);
    assert_eq!(running.reveal("hf", None).unwrap(), "95");
    running.check_records();
}

/// Symptom: a secret was purged right after it had been deleted for the second time. Cause: the
/// purge of the first deletion went on. It now rests on the deletion that was decided on.
#[test]
fn a_purge_ends_when_its_secret_came_back_even_if_it_was_deleted_again() {
    let (_home, running) = with_versions(1, 10);
    let (key, first) = grave(&running, &running.delete("hf").unwrap());
    running.undelete("hf", "hf", None).unwrap();
    let (same, second) = grave(&running, &running.delete("hf").unwrap());
    assert_eq!((&same, second > first), (&key, true));
    refused!(running.vault.purge_some(&key, first, &Basis::default()), VaultError::NotFound);
    assert!(running.vault.purge_some(&key, second, &Basis::default()).unwrap());
}

/// Both rest on the same record, and one of them finds it changed.
#[test]
fn an_undelete_and_a_purge_at_the_same_time_leave_a_whole_secret_or_none() {
    let (_home, running) = Running::with_project();
    for round in 0..12 {
        let name = format!("s{round}");
        running.create(&name, "1").unwrap();
        running.delete(&name).unwrap();
        let (purged, back) = std::thread::scope(|scope| {
            let back = scope.spawn(|| running.undelete(&name, &name, None).is_ok());
            (running.purge(&name, None).is_ok(), back.join().unwrap())
        });
        assert_ne!(purged, back);
        assert_eq!(running.reveal(&name, None).is_ok(), back);
        running.check_records();
    }
}

#[test]
fn a_purge_is_void_when_the_token_was_revoked_between_decision_and_commit() {
    let (_home, running) = with_versions(1, 10);
    running.delete("hf").unwrap();
    let token = running.mint(Role::Writer, Scope::Project(project("ml")));
    let writer = running.vault.authenticate(&token.text).unwrap();
    let permit = decide(&writer, secret("hf"), running.now()).unwrap();
    let to = decide(&writer, secret("hf"), running.now()).unwrap();
    let from = decide(&writer, secret("hf"), running.now()).unwrap();
    running.vault.revoke_token(&running.may(WholeStore), token.view.id).unwrap();
    refused!(running.vault.purge_secret(&permit, None), VaultError::RightsChanged);
    refused!(running.vault.undelete_secret(&from, &to, None), VaultError::RightsChanged);
    running.undelete("hf", "hf", None).unwrap();
}

#[test]
fn a_secret_is_purged_at_its_time_and_not_earlier() {
    let settings = Settings { purge_after_seconds: 60, ..Settings::default() };
    let (home, running) = Running::with_settings(settings);
    running.create("early", "1").unwrap();
    running.create("late", "1").unwrap();
    running.create("alive", "1").unwrap();
    let view = running.delete("early").unwrap();
    let ends = running.vault.purged_at(view.head.deleted_at.unwrap());
    assert_eq!(ends, running.now().plus_seconds(60));
    home.clock.pass_millis(1);
    running.delete("late").unwrap();
    home.clock.pass_millis(59_998);
    assert_eq!(running.vault.purge_expired().unwrap(), 0);
    home.clock.pass_millis(1);
    assert_eq!(running.vault.purge_expired().unwrap(), 1);
    let left: Vec<_> = running.heads(&KeyRange::all_deleted_heads());
    assert_eq!(left.iter().map(|head| head.path.name.as_str()).collect::<Vec<_>>(), ["late"]);
    home.clock.pass_millis(1);
    assert_eq!(running.vault.purge_expired().unwrap(), 1);
    assert_eq!(running.reveal("alive", None).unwrap(), "1");
    running.check_records();
}

#[test]
fn a_store_that_keeps_nothing_purges_at_once_and_what_was_cut_off_in_time() {
    let settings = Settings { purge_after_seconds: 0, ..Settings::default() };
    let (home, running) = Running::with_settings(settings);
    running.create("hf", "1").unwrap();
    running.delete("hf").unwrap();
    assert!(running.keys(0x04).is_empty() && running.keys(0x06).is_empty());
    assert_eq!(retired(&running).len(), 1);
    refused!(running.undelete("hf", "hf", None), VaultError::NotFound);

    // As if the process had ended after the deletion's own commit.
    running.create("cut", "1").unwrap();
    running.vault.try_delete(&running.may(secret("cut")), None).unwrap();
    let again = home.killed().start();
    assert_eq!(again.keys(0x04).len(), 1);
    assert_eq!(again.vault.purge_expired().unwrap(), 1);
    assert!(again.keys(0x04).is_empty());
    again.check_records();
}

#[test]
fn what_is_kept_is_said_by_the_secret_else_its_project_else_the_settings() {
    let (_home, running) = with_versions(7, 5);
    assert_eq!(kept(&running.secret("hf").unwrap()), [3, 4, 5, 6, 7]);
    let of_project = |keep_versions| {
        let change = |old: &NewProject| Ok(NewProject { keep_versions, ..old.clone() });
        let change = ProjectChange { change: &change, expected: None };
        running.vault.change_project(&running.may(WholeStore), &project("ml"), &change).unwrap();
    };
    of_project(Some(3));
    assert_eq!(kept(&running.update("hf", "8").unwrap()), [6, 7, 8]);
    assert_eq!(kept(&running.keep("hf", Some(4)).unwrap()), [6, 7, 8]);
    assert_eq!(kept(&running.update("hf", "9").unwrap()), [6, 7, 8, 9]);
    assert_eq!(kept(&running.keep("hf", Some(2)).unwrap()), [8, 9], "pruned at once");
    assert_eq!(kept(&running.keep("hf", None).unwrap()), [8, 9]);
    of_project(None);
    for number in 10..=13 {
        running.update("hf", &number.to_string()).unwrap();
    }
    assert_eq!(kept(&running.secret("hf").unwrap()), [9, 10, 11, 12, 13]);
    for wrong in [0, MAX_KEEP_VERSIONS + 1] {
        let done = running.keep("hf", Some(wrong));
        refused!(done, VaultError::Invalid(wrong) if wrong.field == "spec.keepVersions");
    }
    running.check_records();
}

/// One commit does not hold so many removals: the update goes on in further ones.
#[test]
fn keeping_one_version_of_a_hundred_lets_the_others_go_at_once() {
    let (home, running) = with_versions(100, 100);
    let view = running.keep("hf", Some(1)).unwrap();
    assert_eq!(kept(&view), [100]);
    assert_eq!(view.resource_version, running.vault.resource_version());
    assert_eq!((running.keys(0x05).len(), running.keys(0x06).len()), (1, 1));
    assert_eq!(home.killed().start().reveal("hf", None).unwrap(), "100");
}

/// Rests on the update that it belongs to: another one in between prunes for itself.
#[test]
fn pruning_further_stops_when_someone_else_has_changed_the_secret() {
    let (_home, running) = with_versions(5, 10);
    let mut old = running.secret("hf").unwrap();
    old.head.keep_versions = Some(1);
    let newer = running.keep("hf", Some(2)).unwrap();
    let permit = running.may(secret("hf"));
    refused!(running.vault.prune_further(&permit, &mut old), VaultError::Stale { .. });
    assert_eq!(running.secret("hf").unwrap().resource_version, newer.resource_version);
}

/// As if the process had ended between the commits of a pruning: the next update takes it up.
#[test]
fn what_a_cut_off_pruning_left_goes_with_the_next_update() {
    let (home, running) = with_versions(100, 100);
    let change = SecretChange { keep_versions: Some(Some(1)), ..nothing() };
    let (cut, _) = running.vault.try_update(&running.may(secret("hf")), &change).unwrap();
    assert!(kept(&cut).len() > 1);
    let again = home.killed().start();
    again.check_records();
    assert_eq!(again.reveal("hf", Some(99)).unwrap(), "99");
    assert_eq!(kept(&again.update("hf", "101").unwrap()), [101]);
    again.check_records();
}

#[test]
fn the_newest_version_is_never_pruned_and_a_pruned_number_is_never_used_again() {
    let (_home, running) = with_versions(3, 1);
    assert_eq!(kept(&running.secret("hf").unwrap()), [3]);
    running.set_versions("hf", [3], Destroyed).unwrap();
    assert_eq!(kept(&running.update("hf", "4").unwrap()), [4]);
    running.check_records();
}
