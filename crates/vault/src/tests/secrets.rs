//! Secrets: written, read, sealed, and never lost to another writer.

use super::*;

#[test]
fn a_secret_is_written_read_updated_and_read_as_it_was() {
    let (home, running) = Running::with_project();
    let made = running.create("hf", "one").unwrap();
    let changed = running.update("hf", "two").unwrap();
    assert_eq!(made.head.uid, changed.head.uid);
    assert!(made.resource_version.revision() < changed.resource_version.revision());
    drop(running);
    let again = home.start();
    assert_eq!(again.reveal("hf", None).unwrap(), "two");
    assert_eq!(again.reveal("hf", Some(1)).unwrap(), "one");
    assert!(matches!(again.reveal("hf", Some(3)), Err(VaultError::VersionNotFound)));
    assert!(matches!(again.create("hf", "x"), Err(VaultError::AlreadyExists)));
}

#[test]
fn the_last_ten_versions_are_kept_and_the_numbers_go_on() {
    let (_home, running) = Running::with_project();
    running.create("hf", "1").unwrap();
    for number in 2..=13 {
        running.update("hf", &number.to_string()).unwrap();
    }
    assert!(matches!(running.reveal("hf", Some(3)), Err(VaultError::VersionNotFound)));
    assert_eq!(running.reveal("hf", Some(4)).unwrap(), "4");
    assert_eq!(running.reveal("hf", None).unwrap(), "13");
    let of_kind = |kind: u8| {
        let (start, end) = (Key::from_bytes(vec![kind]), Key::from_bytes(vec![kind + 1]));
        running.engine.scan(&KeyRange { start, end }, 100).unwrap().records.len()
    };
    assert_eq!((of_kind(5), of_kind(6)), (1, 10));
    running.check_records();
}

#[test]
fn values_data_keys_labels_and_descriptions_reach_the_store_sealed_only() {
    let (_home, running) = Running::with_project();
    running.create("hf", "MARKER-value").unwrap();
    running.create("gone", "MARKER-value").unwrap();
    running.delete("gone").unwrap();
    running.mint(Role::Admin, Scope::WholeStore);
    assert!(stored(&running, b"hf"), "the search finds nothing at all");
    assert!(!stored(&running, b"MARKER"));
}

#[test]
fn a_sealed_record_opens_nowhere_but_in_its_own_place() {
    let (_home, running) = Running::with_project();
    let one = running.create("one", "1").unwrap().head.uid;
    let two = running.create("two", "2").unwrap().head.uid;
    for (from, to) in [
        (Key::payload(one, 1), Key::payload(two, 1)),
        (Key::wrapped_keys(one), Key::wrapped_keys(two)),
        (Key::head(&secret("one")), Key::head(&secret("two"))),
    ] {
        let original = running.engine.read(&to).unwrap().unwrap().value;
        let moved = running.engine.read(&from).unwrap().unwrap().value;
        let mut swap = Commit::default();
        swap.put(to.clone(), moved);
        running.engine.commit(swap).unwrap();
        assert!(matches!(running.reveal("two", None), Err(VaultError::Damaged)), "{to:?}");
        let mut restore = Commit::default();
        restore.put(to, original);
        running.engine.commit(restore).unwrap();
        assert_eq!(running.reveal("two", None).unwrap(), "2");
    }
}

#[test]
fn an_insisted_version_that_is_old_is_refused_and_named() {
    let (_home, running) = Running::with_project();
    let old = running.create("hf", "one").unwrap().resource_version;
    let current = running.update("hf", "two").unwrap().resource_version;
    let permit = decide::<Update, _>(&running.admin, secret("hf"), running.now()).unwrap();
    let make = |_| Ok(payload("x"));
    let refused = running.vault.update_secret(&permit, &new_version(&make, Some(old)));
    assert!(matches!(refused, Err(VaultError::Stale { current: found }) if found == current));
    assert_eq!(running.reveal("hf", None).unwrap(), "two");
}

#[test]
fn concurrent_updates_lose_none() {
    let (_home, running) = Running::with_project();
    running.create("hf", "0").unwrap();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let running = &running;
            scope.spawn(move || running.update("hf", &number.to_string()).unwrap());
        }
    });
    let permit = decide::<List, _>(&running.admin, secret("hf"), running.now()).unwrap();
    let versions = running.vault.secret(&permit).unwrap().head.versions;
    let numbers: Vec<_> = versions.iter().map(|version| version.number).collect();
    assert_eq!(numbers, (1..=9).collect::<Vec<_>>());
}

#[test]
fn uses_of_a_key_are_reserved_before_they_are_made_and_never_taken_back() {
    let (home, running) = Running::with_project();
    running.create("hf", "1").unwrap();
    let reserved = |running: &Running| {
        let stored = running.engine.read(&Key::key_uses(1)).unwrap().unwrap();
        u64::from_be_bytes(stored.value.try_into().unwrap())
    };
    let used = running.vault.keyring().uses();
    let first = reserved(&running);
    assert!(used > 0 && used <= first, "{used} of {first}");
    drop(running);
    let again = home.start();
    assert!(again.vault.keyring().uses() > first, "uses start behind what was reserved before");
    assert!(reserved(&again) >= again.vault.keyring().uses());
}

#[test]
fn another_generation_of_the_keyring_is_refused() {
    let (home, running) = Running::with_project();
    let mut commit = Commit::default();
    commit.put(Key::keyring(), 2u64.to_be_bytes().to_vec());
    running.engine.commit(commit).unwrap();
    drop(running);
    let (_engine, refused) = home.open();
    assert!(matches!(refused, Err(VaultError::KeyringGeneration)));
}

#[test]
fn the_keys_of_a_secret_are_those_that_it_has_in_kubernetes() {
    let (_home, running) = Running::with_project();
    let keys = |name: &str| running.vault.data_keys(&running.may::<List, _>(secret(name)));
    running.create("hf", "MARKER").unwrap();
    assert_eq!(keys("hf").unwrap(), ["MARKER-key"]);
    let payload = Payload::variable(Plaintext::new(b"1".to_vec())).unwrap();
    let new = first_of(First::Version(payload));
    running.vault.create_secret(&running.may(secret("a/b")), &new).unwrap();
    assert_eq!(keys("a/b").unwrap(), ["a-b-c14cddc0"]);
    running.set_versions("hf", [1], VersionState::Deleted).unwrap();
    assert!(matches!(keys("hf"), Err(VaultError::VersionNotFound)));
    assert!(matches!(keys("none"), Err(VaultError::NotFound)));
}
