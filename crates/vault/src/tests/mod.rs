//! The use cases on a real store.

mod bindings;
mod consumers;
mod feed;
mod history;
mod identities;
mod lists;
mod model;
mod projects;
mod rights;
mod rotation;
mod secrets;
mod stand_in;
mod tokens;
mod verify;
mod watch;
mod whole_store;
mod witness;
mod workloads;
mod workspaces;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use authz::{
    Action, Actor, Administer, Create, Delete, List, PartOfProject, Permit, Resource, Right, Role,
    Scope, Share, Update, Use, WholeStore, decide,
};
use crypto::{RootKey, StoreId};
use domain::{
    Annotations, BindingKind, DataKey, Invalid, Labels, NamePattern, Namespace, OrgName, Payload,
    Plaintext, ProjectName, ProjectPath, ProjectionMode, ProjectionRule, Retired, SecretName,
    SecretPath, SecretType, Timestamp, Tombstone,
};
use store::{DataDir, Head, Key, KeyRange, Precondition, SledEngine, SledOptions, WrappedKeys};
use tempfile::TempDir;

use super::*;

/// A clock that stands still until it is told.
struct Fixed(AtomicU64);

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.0.load(Ordering::SeqCst))
    }
}

impl Fixed {
    fn pass_millis(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

/// A data directory with everything that opens it.
struct Home {
    dir: TempDir,
    keyring: Vec<u8>,
    root: Arc<RootKey>,
    clock: Arc<Fixed>,
    settings: Settings,
    keep_events: u64,
}

struct Running {
    engine: Arc<SledEngine>,
    vault: Vault,
    admin: Actor,
}

/// When each store is made.
const MADE_AT: Timestamp = Timestamp::from_unix_millis(1_000_000);

impl Home {
    fn new() -> Self {
        Self::with(Settings::default(), SledOptions::default().keep_events)
    }

    fn with(settings: Settings, keep_events: u64) -> Self {
        let root = Arc::new(RootKey::make().unwrap());
        let store = StoreId::make().unwrap();
        let keyring = Keyring::make(store, root.as_ref(), MADE_AT).unwrap().to_file();
        Self { settings, keep_events, ..Self::of(keyring, root) }
    }

    /// A new store for a keyring that is there already.
    fn of(keyring: Vec<u8>, root: Arc<RootKey>) -> Self {
        let store = Keyring::open(&keyring, root.as_ref()).unwrap().store_id();
        let dir = tempfile::tempdir().unwrap();
        SledEngine::create(&DataDir::create(dir.path()).unwrap(), *store.as_bytes()).unwrap();
        let clock = Arc::new(Fixed(AtomicU64::new(MADE_AT.unix_millis())));
        let (settings, keep_events) = (Settings::default(), SledOptions::default().keep_events);
        Self { dir, keyring, root, clock, settings, keep_events }
    }

    fn open(&self) -> (Arc<SledEngine>, Result<Vault, VaultError>) {
        let data = DataDir::lock(self.dir.path()).unwrap();
        // Once the keys were changed there is a file, which is newer.
        let file = data.read_keyring().unwrap().unwrap_or_else(|| self.keyring.clone());
        let keyring = Keyring::open(&file, self.root.as_ref()).unwrap();
        let store = *keyring.store_id().as_bytes();
        let options = SledOptions { keep_events: self.keep_events, ..SledOptions::default() };
        let engine = Arc::new(SledEngine::open(data, store, options).unwrap());
        let clock = self.clock.clone();
        let vault = Vault::open(
            engine.clone(),
            engine.incarnation(),
            keyring,
            clock,
            self.settings.clone(),
        );
        (engine, vault)
    }

    fn start(&self) -> Running {
        let (engine, vault) = self.open();
        let vault = vault.unwrap();
        let token = vault.create_operator_token("test").unwrap();
        let admin = vault.authenticate(&token.text).unwrap();
        Running { engine, vault, admin }
    }

    /// What a process that was killed now would leave behind. Starting it checks every record.
    fn killed(&self) -> Self {
        let image = self.elsewhere();
        copy_tree(self.dir.path(), image.dir.path());
        image
    }

    /// An empty directory, where everything else is the same.
    fn elsewhere(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (keyring, root, clock) = (self.keyring.clone(), self.root.clone(), self.clock.clone());
        let (settings, keep_events) = (self.settings.clone(), self.keep_events);
        Self { dir, keyring, root, clock, settings, keep_events }
    }
}

fn copy_tree(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

impl Running {
    fn with_project() -> (Home, Self) {
        Self::with_settings(Settings::default())
    }

    fn with_settings(settings: Settings) -> (Home, Self) {
        let home = Home::with(settings, SledOptions::default().keep_events);
        let running = home.start();
        running.make_project("ml", Vec::new());
        (home, running)
    }

    fn now(&self) -> Timestamp {
        self.vault.clock().now()
    }

    /// What the administrator may do, which is everything.
    fn may<A: Action, R: Resource>(&self, resource: R) -> Permit<A, R> {
        decide(&self.admin, resource, self.now()).unwrap()
    }

    fn worker(&self) -> Permit<List, WholeStore> {
        decide(&Actor::sync_worker(), WholeStore, self.now()).unwrap()
    }

    fn make_project(&self, name: &str, rules: Vec<ProjectionRule>) {
        let new = NewProject { rules, ..NewProject::default() };
        let all = self.may(WholeStore);
        let permit = self.may(OrgName::default_org());
        self.vault.create_project(&permit, Some(&all), &project(name), new).unwrap();
    }

    fn create(&self, name: &str, value: &str) -> Result<SecretView, VaultError> {
        self.vault.create_secret(&self.may(secret(name)), &new_secret(value))
    }

    fn update(&self, name: &str, value: &str) -> Result<SecretView, VaultError> {
        self.change(name, &new_version(&|_| Ok(payload(value)), None))
    }

    fn change(&self, name: &str, change: &SecretChange<'_>) -> Result<SecretView, VaultError> {
        self.vault.update_secret(&self.may(secret(name)), change)
    }

    fn roll_back(&self, name: &str, to: u64) -> Result<SecretView, VaultError> {
        self.change(name, &SecretChange { payload: PayloadChange::RollBack(to), ..nothing() })
    }

    fn keep(&self, name: &str, versions: Option<u32>) -> Result<SecretView, VaultError> {
        self.change(name, &SecretChange { keep_versions: Some(versions), ..nothing() })
    }

    fn secret(&self, name: &str) -> Result<SecretView, VaultError> {
        self.vault.secret(&self.may(secret(name)))
    }

    fn reveal(&self, name: &str, version: Option<u64>) -> Result<String, VaultError> {
        let revealed = self.vault.reveal(&self.may(secret(name)), version)?;
        let Payload::Opaque(values) = revealed.payload else { panic!("another type") };
        let (_, value) = values.into_iter().next().unwrap();
        // EXPOSE: a test compares the value.
        Ok(String::from_utf8(value.expose().to_vec()).unwrap())
    }

    fn delete(&self, name: &str) -> Result<SecretView, VaultError> {
        self.vault.delete_secret(&self.may(secret(name)), None)
    }

    fn undelete(&self, from: &str, to: &str, uid: Option<Uid>) -> Result<SecretView, VaultError> {
        self.vault.undelete_secret(&self.may(secret(from)), &self.may(secret(to)), uid)
    }

    fn purge(&self, name: &str, uid: Option<Uid>) -> Result<(), VaultError> {
        self.vault.purge_secret(&self.may(secret(name)), uid).map(|_| ())
    }

    fn set_versions(
        &self,
        name: &str,
        numbers: impl IntoIterator<Item = u64>,
        state: VersionState,
    ) -> Result<SecretView, VaultError> {
        let versions = Versions { numbers: &numbers.into_iter().collect(), expected: None };
        let path = secret(name);
        match state {
            VersionState::Live => self.vault.undelete_versions(&self.may(path), &versions),
            VersionState::Deleted => self.vault.delete_versions(&self.may(path), &versions),
            VersionState::Destroyed => self.vault.destroy_versions(&self.may(path), &versions),
        }
    }

    /// Binds a secret, as its administrator, to exactly these projects.
    fn bind(&self, name: &str, targets: &[(&str, BindingKind)]) -> Result<SecretView, VaultError> {
        bindings::bind_as(self, &self.admin, name, targets)
    }

    fn mint(&self, role: Role, scope: Scope) -> MintedToken {
        self.mint_rights(vec![Right::new(role, scope).unwrap()])
    }

    fn mint_rights(&self, rights: Vec<Right>) -> MintedToken {
        let new = new_token("MARKER-description", rights, None);
        self.vault.create_token(&self.may(WholeStore), new).unwrap()
    }

    /// An actor with a role in each of some projects.
    fn actor(&self, roles: &[(Role, &str)]) -> Actor {
        let right =
            |(role, name): &(Role, &str)| Right::new(*role, Scope::Project(project(name))).unwrap();
        let token = self.mint_rights(roles.iter().map(right).collect());
        self.vault.authenticate(&token.text).unwrap()
    }

    fn tombstones(&self) -> Vec<Tombstone> {
        self.vault.feed(&self.worker()).unwrap().tombstones
    }

    /// The keys of one kind.
    fn keys(&self, kind: u8) -> Vec<Key> {
        let range =
            KeyRange { start: Key::from_bytes(vec![kind]), end: Key::from_bytes(vec![kind + 1]) };
        let page = self.engine.scan(&range, 100_000).unwrap();
        assert!(!page.more);
        page.records.into_iter().map(|(key, _)| key).collect()
    }

    fn heads(&self, range: &KeyRange) -> Vec<Head> {
        let page = self.engine.scan(range, 100_000).unwrap();
        let open = |(key, stored): &(Key, store::Stored)| {
            self.vault.open_record(key, &stored.value, Head::decode).unwrap()
        };
        page.records.iter().map(open).collect()
    }

    /// A secret's wrapped data keys; none when there is no record.
    fn wrapped(&self, uid: Uid) -> WrappedKeys {
        let stored = self.engine.read(&Key::wrapped_keys(uid)).unwrap();
        stored
            .map_or_else(WrappedKeys::default, |stored| WrappedKeys::decode(&stored.value).unwrap())
    }

    /// Puts others in their place, behind the vault's back.
    fn put_wrapped(&self, uid: Uid, keys: &WrappedKeys) {
        let mut commit = Commit::default();
        commit.put(Key::wrapped_keys(uid), keys.encode());
        self.engine.commit(commit).unwrap();
    }

    /// That all records belong together: each version that is kept has its two, each binding its
    /// place in the index, and there are no others.
    fn check_records(&self) {
        let living = self.heads(&KeyRange::all_heads());
        let deleted = self.heads(&KeyRange::all_deleted_heads());
        assert!(living.iter().all(|head| head.deleted_at.is_none()));
        assert!(deleted.iter().all(|head| head.deleted_at.is_some() && head.bindings.is_empty()));
        let kept = |of: fn(Uid, u64) -> Key| {
            let heads = living.iter().chain(&deleted);
            let versions = heads.flat_map(|head| head.versions.iter().map(|v| (head.uid, v)));
            let kept = versions.filter(|(_, version)| version.state != VersionState::Destroyed);
            kept.map(|(uid, version)| of(uid, version.number)).collect::<BTreeSet<_>>()
        };
        let wrapped = self.keys(0x05).into_iter().flat_map(|key| {
            let uid = key.wrapped_keys_of().unwrap();
            self.wrapped(uid)
                .iter()
                .map(|(number, _)| Key::payload(uid, number))
                .collect::<Vec<_>>()
        });
        assert_eq!(wrapped.collect::<BTreeSet<_>>(), kept(Key::payload));
        assert_eq!(BTreeSet::from_iter(self.keys(0x06)), kept(Key::payload));
        let bound = living.iter().flat_map(|head| {
            head.bindings.iter().map(|binding| Key::binding(&binding.project, head.uid))
        });
        assert_eq!(BTreeSet::from_iter(self.keys(0x0c)), bound.collect::<BTreeSet<_>>());
        let ids = living.iter().flat_map(|head| {
            let own = Some(Key::secret_id(&head.uid.to_string()));
            own.into_iter().chain(head.alias.as_deref().map(Key::secret_id))
        });
        let deleted = deleted.iter().map(|head| Key::secret_id(&head.uid.to_string()));
        let ids = ids.chain(deleted).collect::<BTreeSet<_>>();
        assert_eq!(BTreeSet::from_iter(self.keys(0x11)), ids);
        let verified = self.vault.verify(&self.may(WholeStore), &mut |_| {}).unwrap();
        assert_eq!(verified.findings, []);
    }
}

fn new_token(description: &str, rights: Vec<Right>, expires: Option<Timestamp>) -> NewToken {
    let holder = NewHolder::Itself(rights);
    NewToken { description: description.to_owned(), holder, expires, jwt: false }
}

fn new_secret(value: &str) -> NewSecret<'static> {
    first_of(First::Version(payload(value)))
}

fn first_of(first: First) -> NewSecret<'static> {
    NewSecret { labels: labels(), ..NewSecret::of(first) }
}

type Make<'a> = &'a dyn Fn(SecretType) -> Result<Payload, Invalid>;

fn new_version(make: Make<'_>, expected: Option<ResourceVersion>) -> SecretChange<'_> {
    SecretChange { payload: PayloadChange::New(make), expected, ..nothing() }
}

/// A change that changes nothing.
fn nothing() -> SecretChange<'static> {
    let payload = PayloadChange::Keep;
    SecretChange::of(payload)
}

fn project(name: &str) -> ProjectPath {
    ProjectPath { org: OrgName::default_org(), project: ProjectName::parse(name).unwrap() }
}

fn secret(name: &str) -> SecretPath {
    secret_in("ml", name)
}

fn secret_in(home: &str, name: &str) -> SecretPath {
    SecretPath { project: project(home), name: SecretName::parse(name).unwrap() }
}

fn payload(value: &str) -> Payload {
    let key = DataKey::parse("MARKER-key").unwrap();
    let value = Plaintext::new(value.as_bytes().to_vec());
    Payload::opaque(BTreeMap::from([(key, value)])).unwrap()
}

fn labels() -> Labels {
    labels_of(&[("MARKER-label", "x")])
}

fn labels_of(pairs: &[(&str, &str)]) -> Labels {
    let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Labels::parse(pairs.collect()).unwrap()
}

fn rule(namespace: &str) -> ProjectionRule {
    ProjectionRule::new(
        ProjectionMode::Each,
        Namespace::parse(namespace).unwrap(),
        NamePattern::default_for(ProjectionMode::Each),
    )
}

/// The numbers of a secret's versions in a state.
fn numbers(view: &SecretView, state: VersionState) -> Vec<u64> {
    let versions = view.head.versions.iter().filter(|version| version.state == state);
    versions.map(|version| version.number).collect()
}

/// Whether a record, as the engine holds it, has these bytes anywhere.
fn stored(running: &Running, needle: &[u8]) -> bool {
    let everything = KeyRange { start: Key::from_bytes(vec![0]), end: Key::from_bytes(vec![0xff]) };
    let page = running.engine.scan(&everything, 1000).unwrap();
    assert!(!page.more);
    let holds = |bytes: &[u8]| bytes.windows(needle.len()).any(|part| part == needle);
    page.records.iter().any(|(key, stored)| holds(key.as_bytes()) || holds(&stored.value))
}

macro_rules! refused {
    ($result:expr, $pattern:pat $(if $guard:expr)?) => {{
        let error = $result.err();
        assert!(matches!(&error, Some($pattern) $(if $guard)?), "{error:?}");
    }};
}
use refused;
