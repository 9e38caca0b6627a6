//! What others have seen of a store that was put back to an earlier state.

use super::*;

/// A store that was put back, and what its secret's resource version had been.
fn put_back() -> (Home, Running, ResourceVersion) {
    let (home, running) = Running::with_project();
    running.create("hf", "one").unwrap();
    let copy = home.killed();
    (0..20).for_each(|n| drop(running.update("hf", &n.to_string()).unwrap()));
    let seen = running.secret("hf").unwrap().resource_version;
    let back = copy.start();
    assert!(back.vault.resource_version() < seen);
    (copy, back, seen)
}

fn suspected(running: &Running) -> Vec<(Witness, ResourceVersion)> {
    let suspicions = running.vault.rollback().into_iter();
    suspicions.map(|found| (found.witness, found.resource_version)).collect()
}

#[test]
fn a_store_that_was_put_back_is_noticed_by_who_has_seen_it_later() {
    let (_home, back, seen) = put_back();
    let client = vec![(Witness::Client, seen)];
    let make = |_| Ok(payload("x"));

    let insists = |back: &Running| back.change("hf", &new_version(&make, Some(seen))).map(|_| ());
    refused!(insists(&back), VaultError::Stale { .. });
    assert_eq!(suspected(&back), client, "a change that insists on a resource version");

    let (_home, back, seen) = put_back();
    let permit = back.may::<Administer, _>(project("ml"));
    refused!(back.vault.delete_project(&permit, Some(seen)), VaultError::Stale { .. });
    assert_eq!(suspected(&back), [(Witness::Client, seen)], "a project's removal");

    let (_home, back, seen) = put_back();
    let resumed = back.vault.changes_after(&back.worker(), seen);
    refused!(resumed, VaultError::Gone { ahead: true, .. });
    assert_eq!(suspected(&back), [(Witness::Client, seen)], "a watch that goes on");
}

#[test]
fn what_a_store_has_told_raises_no_suspicion_whoever_comes_back_with_it() {
    let (home, running) = Running::with_project();
    let old = running.create("hf", "one").unwrap().resource_version;
    let make = |_| Ok(payload("x"));
    std::thread::scope(|scope| {
        for name in ["a", "b", "c"] {
            let running = &running;
            scope.spawn(move || {
                let mut seen = running.create(name, "0").unwrap().resource_version;
                for n in 0..30 {
                    for by in Witness::ALL {
                        assert!(running.vault.witness(seen, by));
                    }
                    seen = running.update(name, &n.to_string()).unwrap().resource_version;
                }
            });
        }
    });
    let stale = running.change("hf", &new_version(&make, Some(running.vault.resource_version())));
    refused!(stale.map(|_| ()), VaultError::Stale { .. });
    running.update("hf", "two").unwrap();
    refused!(
        running.change("hf", &new_version(&make, Some(old))).map(|_| ()),
        VaultError::Stale { .. }
    );
    assert_eq!(suspected(&running), []);
    // A kill loses nothing that was told.
    let last = running.vault.resource_version();
    let (_, again) = home.killed().open();
    let again = again.unwrap();
    assert!(again.witness(last, Witness::Kubernetes) && again.rollback().is_empty());
}

#[test]
fn a_suspicion_is_kept_by_witness_with_the_latest_state_that_was_seen() {
    let (home, back, seen) = put_back();
    let later = ResourceVersion::new(seen.incarnation(), Revision::new(seen.revision().get() + 7));
    let first = back.now();
    assert!(!back.vault.witness(later, Witness::Kubernetes));
    home.clock.pass_millis(1000);
    assert!(!back.vault.witness(seen, Witness::Kubernetes));
    assert!(!back.vault.witness(seen, Witness::AuditLog));
    assert_eq!(suspected(&back), [(Witness::AuditLog, seen), (Witness::Kubernetes, later)]);
    assert_eq!(back.vault.rollback()[1].at, first);
    // When the store has come as far again, it is another state that has this number.
    (0..40).for_each(|n| drop(back.update("hf", &n.to_string()).unwrap()));
    assert!(back.vault.witness(later, Witness::Client));
    assert_eq!(suspected(&back), [(Witness::AuditLog, seen), (Witness::Kubernetes, later)]);
}

#[test]
fn a_later_incarnation_was_never_here_and_an_earlier_one_was() {
    let (_home, running) = Running::with_project();
    let restored = domain::Incarnation::new(running.engine.incarnation().get() + 1);
    let theirs = ResourceVersion::new(restored, Revision::new(1));
    assert!(!running.vault.witness(theirs, Witness::Client));
    assert!(running.vault.resource_version() < theirs, "a restored store is ahead of all before");
}
