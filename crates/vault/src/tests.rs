//! The use cases on a real store.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use authz::{
    Actor, Administer, Create, Delete, List, Read, Right, Role, Scope, Update, WholeStore, decide,
};
use crypto::{RootKey, StoreId};
use domain::{
    DataKey, Labels, NamePattern, Namespace, OrgName, Payload, Plaintext, ProjectName, ProjectPath,
    ProjectionMode, ProjectionRule, Retired, SecretName, SecretPath, Timestamp,
};
use store::{DataDir, KeyRange, SledEngine, SledOptions};
use tempfile::TempDir;

use super::*;

/// A clock that stands still until it is told.
struct Fixed(AtomicU64);

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.0.load(Ordering::SeqCst))
    }
}

struct Home {
    dir: TempDir,
    keyring: Vec<u8>,
    root: RootKey,
    clock: Arc<Fixed>,
}

struct Running {
    engine: Arc<SledEngine>,
    vault: Vault,
    admin: Actor,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(Fixed(AtomicU64::new(1_000_000)));
        let root = RootKey::make().unwrap();
        let store = StoreId::make().unwrap();
        let keyring = Keyring::make(store, &root, clock.now()).unwrap().to_file();
        SledEngine::create(&DataDir::create(dir.path()).unwrap(), *store.as_bytes()).unwrap();
        Self { dir, keyring, root, clock }
    }

    fn open(&self) -> (Arc<SledEngine>, Result<Vault, VaultError>) {
        let keyring = Keyring::open(&self.keyring, &self.root).unwrap();
        let data = DataDir::lock(self.dir.path()).unwrap();
        let store = *keyring.store_id().as_bytes();
        let engine = Arc::new(SledEngine::open(data, store, SledOptions::default()).unwrap());
        let clock = self.clock.clone();
        let vault =
            Vault::open(engine.clone(), engine.incarnation(), keyring, clock, Settings::default());
        (engine, vault)
    }

    fn start(&self) -> Running {
        let (engine, vault) = self.open();
        let vault = vault.unwrap();
        let token = vault.create_operator_token("test").unwrap();
        let admin = vault.authenticate(&token.text).unwrap();
        Running { engine, vault, admin }
    }
}

impl Running {
    fn with_project() -> (Home, Self) {
        let home = Home::new();
        let running = home.start();
        running.make_project("ml", Vec::new());
        (home, running)
    }

    fn now(&self) -> Timestamp {
        self.vault.clock().now()
    }

    fn make_project(&self, name: &str, rules: Vec<ProjectionRule>) {
        let permit = decide::<Administer, _>(&self.admin, WholeStore, self.now()).unwrap();
        let new = NewProject { rules, keep_versions: None };
        self.vault.create_project(&permit, &project(name), new).unwrap();
    }

    fn create(&self, name: &str, value: &str) -> Result<SecretView, VaultError> {
        let permit = decide::<Create, _>(&self.admin, secret(name), self.now()).unwrap();
        self.vault.create_secret(&permit, &new_secret(value))
    }

    fn update(&self, name: &str, value: &str) -> Result<SecretView, VaultError> {
        let permit = decide::<Update, _>(&self.admin, secret(name), self.now()).unwrap();
        self.vault.update_secret(&permit, &new_version(&|_| Ok(payload(value)), None))
    }

    fn reveal(&self, name: &str, version: Option<u64>) -> Result<String, VaultError> {
        let permit = decide::<Read, _>(&self.admin, secret(name), self.now()).unwrap();
        let revealed = self.vault.reveal(&permit, version)?;
        let Payload::Opaque(values) = revealed.payload else { panic!("another type") };
        let (_, value) = values.into_iter().next().unwrap();
        // EXPOSE: a test compares the value.
        Ok(String::from_utf8(value.expose().to_vec()).unwrap())
    }

    fn delete(&self, name: &str) -> Result<SecretView, VaultError> {
        let permit = decide::<Delete, _>(&self.admin, secret(name), self.now()).unwrap();
        self.vault.delete_secret(&permit, None)
    }

    fn mint(&self, role: Role, scope: Scope) -> MintedToken {
        let permit = decide::<Administer, _>(&self.admin, WholeStore, self.now()).unwrap();
        let rights = vec![Right::new(role, scope).unwrap()];
        let new = NewToken { description: "MARKER-description".to_owned(), rights, expires: None };
        self.vault.create_token(&permit, new).unwrap()
    }
}

fn new_secret(value: &str) -> NewSecret<'static> {
    let (payload, labels) = (payload(value), labels());
    NewSecret { payload, labels, keep_versions: None, bindings: None }
}

type Make<'a> = &'a dyn Fn(domain::SecretType) -> Result<Payload, domain::Invalid>;

fn new_version(make: Make<'_>, expected: Option<ResourceVersion>) -> SecretChange<'_> {
    let payload = PayloadChange::New(make);
    SecretChange { payload, labels: None, keep_versions: None, bindings: None, expected }
}

fn project(name: &str) -> ProjectPath {
    ProjectPath { org: OrgName::default_org(), project: ProjectName::parse(name).unwrap() }
}

fn secret(name: &str) -> SecretPath {
    SecretPath { project: project("ml"), name: SecretName::parse(name).unwrap() }
}

fn payload(value: &str) -> Payload {
    let key = DataKey::parse("MARKER-key").unwrap();
    let value = Plaintext::new(value.as_bytes().to_vec());
    Payload::opaque(BTreeMap::from([(key, value)])).unwrap()
}

fn labels() -> Labels {
    Labels::parse(BTreeMap::from([("MARKER-label".to_owned(), "x".to_owned())])).unwrap()
}

fn rule(namespace: &str) -> ProjectionRule {
    ProjectionRule {
        mode: ProjectionMode::Each,
        namespace: Namespace::parse(namespace).unwrap(),
        name_pattern: NamePattern::default_for(ProjectionMode::Each),
    }
}

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
    assert_eq!((of_kind(5), of_kind(6)), (10, 10));
}

/// What an actor may do is decided before the act and holds until its commit, or the act is void.
#[test]
fn an_act_is_void_when_the_token_was_revoked_between_decision_and_commit() {
    let (_home, running) = Running::with_project();
    let token = running.mint(Role::Writer, Scope::Project(project("ml")));
    let writer = running.vault.authenticate(&token.text).unwrap();
    let permit = decide::<Create, _>(&writer, secret("late"), running.now()).unwrap();
    let admin = decide::<Administer, _>(&running.admin, WholeStore, running.now()).unwrap();
    running.vault.revoke_token(&admin, token.view.id).unwrap();
    assert!(running.vault.authenticate(&token.text).is_none());
    let refused = running.vault.create_secret(&permit, &new_secret("x"));
    assert!(matches!(refused, Err(VaultError::RightsChanged)), "{:?}", refused.err());
    assert!(matches!(running.reveal("late", None), Err(VaultError::NotFound)));
}

#[test]
fn a_token_survives_a_restart_ends_at_its_time_and_is_not_stored() {
    let (home, running) = Running::with_project();
    let permit = decide::<Administer, _>(&running.admin, WholeStore, running.now()).unwrap();
    let expires = Some(running.now().plus_seconds(60));
    let rights = vec![Right::new(Role::Admin, Scope::WholeStore).unwrap()];
    let new = NewToken { description: String::new(), rights, expires };
    let token = running.vault.create_token(&permit, new).unwrap();
    drop(running);
    let again = home.start();
    assert!(again.vault.authenticate(&token.text).is_some());
    home.clock.0.fetch_add(59_999, Ordering::SeqCst);
    assert!(again.vault.authenticate(&token.text).is_some());
    home.clock.0.fetch_add(1, Ordering::SeqCst);
    assert!(again.vault.authenticate(&token.text).is_none());
    assert!(!stored(&again, token.text.as_bytes()));
}

#[test]
fn the_last_administrators_token_stays() {
    let (_home, running) = Running::with_project();
    let permit = decide::<Administer, _>(&running.admin, WholeStore, running.now()).unwrap();
    let own = running.admin.as_token().unwrap().id;
    let refused = running.vault.revoke_token(&permit, own);
    assert!(matches!(refused, Err(VaultError::LastAdministrator)));
    running.mint(Role::Admin, Scope::WholeStore);
    assert!(running.vault.revoke_token(&permit, own).is_ok());
}

/// Whether a record, as the engine holds it, has these bytes anywhere.
fn stored(running: &Running, needle: &[u8]) -> bool {
    let everything = KeyRange { start: Key::from_bytes(vec![0]), end: Key::from_bytes(vec![0xff]) };
    let page = running.engine.scan(&everything, 1000).unwrap();
    assert!(!page.more);
    let holds = |bytes: &[u8]| bytes.windows(needle.len()).any(|part| part == needle);
    page.records.iter().any(|(key, stored)| holds(key.as_bytes()) || holds(&stored.value))
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
        (Key::wrapped_key(one, 1), Key::wrapped_key(two, 1)),
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
fn a_project_with_secrets_stays_and_takes_more() {
    let (_home, running) = Running::with_project();
    running.create("hf", "1").unwrap();
    let permit = || decide::<Administer, _>(&running.admin, project("ml"), running.now()).unwrap();
    let refused = running.vault.delete_project(&permit(), None);
    assert!(matches!(refused, Err(VaultError::ProjectNotEmpty)));
    running.create("more", "1").unwrap();
    for name in ["hf", "more"] {
        running.delete(name).unwrap();
        let refused = running.vault.delete_project(&permit(), None);
        assert!(matches!(
            refused,
            Err(VaultError::ProjectNotEmpty | VaultError::ProjectHasDeletedSecrets)
        ));
        let purge = decide::<Delete, _>(&running.admin, secret(name), running.now()).unwrap();
        running.vault.purge_secret(&purge, None).unwrap();
    }
    running.vault.delete_project(&permit(), None).unwrap();
    assert!(matches!(running.create("late", "1"), Err(VaultError::NotFound)));
}

#[test]
fn a_project_that_is_being_removed_takes_no_secret_and_can_be_removed_again() {
    let (_home, running) = Running::with_project();
    let (mut record, revision) = running.vault.project_record(&project("ml")).unwrap();
    record.deleting = true;
    let key = Key::project(&project("ml"));
    let mut commit = Commit::default();
    commit.require(Precondition::ChangedAt(key.clone(), revision));
    commit.put(key.clone(), running.vault.seal_record(&key, &record.encode()).unwrap());
    running.engine.commit(commit).unwrap();
    assert!(matches!(running.create("hf", "1"), Err(VaultError::NotFound)));
    let permit = decide::<Administer, _>(&running.admin, project("ml"), running.now()).unwrap();
    running.vault.delete_project(&permit, None).unwrap();
}

/// Rights are by name: they must not wait for the next project of that name.
#[test]
fn a_project_that_a_token_names_stays_and_a_token_names_only_projects_that_exist() {
    let (_home, running) = Running::with_project();
    let token = running.mint(Role::Writer, Scope::Project(project("ml")));
    let remove = decide::<Administer, _>(&running.admin, project("ml"), running.now()).unwrap();
    let refused = running.vault.delete_project(&remove, None);
    assert!(matches!(refused, Err(VaultError::ProjectHasTokens)));
    let admin = decide::<Administer, _>(&running.admin, WholeStore, running.now()).unwrap();
    running.vault.revoke_token(&admin, token.view.id).unwrap();
    running.vault.delete_project(&remove, None).unwrap();
    let rights = vec![Right::new(Role::Writer, Scope::Project(project("ml"))).unwrap()];
    let new = NewToken { description: String::new(), rights, expires: None };
    let refused = running.vault.create_token(&admin, new).err();
    assert!(matches!(refused, Some(VaultError::Invalid(invalid)) if invalid.field == "rights"));
}

/// A refused removal changes nothing that others insist on.
#[test]
fn a_refused_removal_leaves_the_projects_version_alone() {
    let (_home, running) = Running::with_project();
    running.create("hf", "1").unwrap();
    let list = decide::<List, _>(&running.admin, project("ml"), running.now()).unwrap();
    let before = running.vault.project(&list).unwrap().resource_version;
    let remove = decide::<Administer, _>(&running.admin, project("ml"), running.now()).unwrap();
    assert!(running.vault.delete_project(&remove, None).is_err());
    assert_eq!(running.vault.project(&list).unwrap().resource_version, before);
}

#[test]
fn uses_of_a_key_are_reserved_before_they_are_made_and_never_taken_back() {
    let (home, running) = Running::with_project();
    running.create("hf", "1").unwrap();
    let reserved = |running: &Running| {
        let stored = running.engine.read(&Key::key_uses(1)).unwrap().unwrap();
        u64::from_be_bytes(stored.value.try_into().unwrap())
    };
    let used = running.vault.keyring.uses();
    let first = reserved(&running);
    assert!(used > 0 && used <= first, "{used} of {first}");
    drop(running);
    let again = home.start();
    assert!(again.vault.keyring.uses() > first, "uses start behind what was reserved before");
    assert!(reserved(&again) >= again.vault.keyring.uses());
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
    let one = |_: &NewProject| Ok(NewProject { rules: vec![rule("team")], keep_versions: None });
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
