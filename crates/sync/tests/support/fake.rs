//! A source in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use domain::{
    DataKey, Incarnation, KubernetesSecret, Labels, NamePattern, Placement, Plaintext, ProjectPath,
    ProjectionMode, ProjectionRule, ProjectionStatus, ResourceVersion, Retired, Revision,
    SecretPath, SecretType, Tombstone, Uid,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use sync::{Change, Changes, ProjectRules, Revealed, SecretMeta, Snapshot, Source, SourceError};
use tokio::sync::Notify;

use super::{namespace, project, secret_path, uid};

/// All that the source knows.
#[derive(Clone, Default)]
pub(crate) struct State {
    revision: u64,
    oldest: u64,
    silent: bool,
    log: Vec<(u64, Change)>,
    rules: BTreeMap<ProjectPath, ProjectRules>,
    secrets: BTreeMap<Uid, Stored>,
    tombstones: Vec<Tombstone>,
    removed: Vec<Retired>,
    statuses: BTreeMap<(Uid, Placement), ProjectionStatus>,
    suspected: Option<ResourceVersion>,
}

#[derive(Clone)]
struct Stored {
    meta: SecretMeta,
    /// That of the newest version, live or not.
    number: u64,
    type_: &'static str,
    data: BTreeMap<String, Vec<u8>>,
}

/// The source; every change is one revision.
#[derive(Default)]
pub(crate) struct Fake {
    state: Mutex<State>,
    changed: Notify,
    ambush: Mutex<Option<BoxFuture<'static, ()>>>,
}

fn rv(revision: u64) -> ResourceVersion {
    ResourceVersion::new(Incarnation::new(1), Revision::new(revision))
}

impl Fake {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Rules of mode `each` with the default pattern, one a namespace.
    pub(crate) fn rules(&self, name: &str, namespaces: &[&str]) {
        let rules: Vec<_> =
            namespaces.iter().map(|ns| (ProjectionMode::Each, *ns, "{name}")).collect();
        self.rule(name, &rules);
    }

    /// All rules of a project: mode, namespace, pattern.
    pub(crate) fn rule(&self, name: &str, rules: &[(ProjectionMode, &str, &str)]) {
        let rule = |(mode, ns, pattern): &(ProjectionMode, &str, &str)| {
            ProjectionRule::new(*mode, namespace(ns), NamePattern::parse(*mode, pattern).unwrap())
        };
        let rules = rules.iter().map(rule).collect();
        // Older than all secrets, and a project's own.
        let mut id = [0; 16];
        name.bytes().zip(&mut id[1..]).for_each(|(byte, place)| *place = byte);
        let rules = ProjectRules { path: project(name), uid: Uid::from_bytes(id), rules };
        self.commit(|state| {
            state.rules.insert(rules.path.clone(), rules.clone());
            Change::Project(rules)
        });
    }

    pub(crate) fn put(
        &self,
        home: &str,
        name: &str,
        n: u8,
        type_: &'static str,
        data: &[(&str, &[u8])],
    ) {
        let data = data.iter().map(|(k, v)| ((*k).to_owned(), v.to_vec())).collect();
        let meta = SecretMeta {
            path: secret_path(home, name),
            uid: uid(n),
            kind: SecretType::Opaque,
            bound_to: Vec::new(),
            version: None,
            labels: Labels::default(),
            changed_at: rv(0),
        };
        self.store(n, meta, type_, data);
    }

    /// A secret of type `variable`.
    pub(crate) fn variable(&self, home: &str, name: &str, n: u8, value: &[u8]) {
        let path = secret_path(home, name);
        let key = DataKey::for_name(&path.name).as_str().to_owned();
        let meta = SecretMeta {
            path,
            uid: uid(n),
            kind: SecretType::Variable,
            bound_to: Vec::new(),
            version: None,
            labels: Labels::default(),
            changed_at: rv(0),
        };
        self.store(n, meta, "Opaque", BTreeMap::from([(key, value.to_vec())]));
    }

    fn store(&self, n: u8, meta: SecretMeta, type_: &'static str, data: BTreeMap<String, Vec<u8>>) {
        self.commit(|state| {
            let known = state.secrets.get(&uid(n));
            let number = known.map_or(0, |stored| stored.number) + 1;
            let bound_to = known.map(|stored| stored.meta.bound_to.clone()).unwrap_or_default();
            let (version, changed_at) = (Some(number), rv(state.revision));
            let meta = SecretMeta { bound_to, version, changed_at, ..meta };
            state.secrets.insert(uid(n), Stored { meta: meta.clone(), number, type_, data });
            Change::Secret(meta)
        });
    }

    /// Binds a secret to these projects and no others.
    pub(crate) fn bind(&self, n: u8, to: &[&str]) {
        self.alter(n, |stored| {
            stored.meta.bound_to = to.iter().map(|name| project(name)).collect();
        });
    }

    /// All versions of a secret are deleted.
    pub(crate) fn retract(&self, n: u8) {
        self.alter(n, |stored| stored.meta.version = None);
    }

    /// The newest version of a secret lives again.
    pub(crate) fn undelete(&self, n: u8) {
        self.alter(n, |stored| stored.meta.version = Some(stored.number));
    }

    fn alter(&self, n: u8, alter: impl FnOnce(&mut Stored)) {
        self.commit(|state| {
            let changed_at = rv(state.revision);
            let stored = state.secrets.get_mut(&uid(n)).unwrap();
            alter(stored);
            stored.meta.changed_at = changed_at;
            Change::Secret(stored.meta.clone())
        });
    }

    /// Does several things that the worker hears of at once.
    pub(crate) fn together(&self, act: impl FnOnce(&Self)) {
        self.state().silent = true;
        act(self);
        self.state().silent = false;
        self.changed.notify_waiters();
    }

    pub(crate) fn remove(&self, home: &str, name: &str, n: u8) {
        self.commit(|state| {
            state.secrets.remove(&uid(n));
            Change::SecretRemoved { path: secret_path(home, name), uid: uid(n) }
        });
    }

    pub(crate) fn entomb(&self, what: Retired) {
        self.commit(|state| {
            let tombstone =
                Tombstone { id: Uid::from_bytes([0; 16]), at: Revision::new(state.revision), what };
            state.tombstones.push(tombstone.clone());
            Change::Tombstone(tombstone)
        });
    }

    /// Does something just before the next reveal is answered, which is after the worker observed
    /// and before it applies.
    pub(crate) fn ambush(&self, act: impl Future<Output = ()> + Send + 'static) {
        *self.ambush.lock().unwrap() = Some(act.boxed());
    }

    /// Whether the ambush has happened.
    pub(crate) fn is_sprung(&self) -> bool {
        self.ambush.lock().unwrap().is_none()
    }

    /// Makes the next question for changes answer that they are gone.
    pub(crate) fn forget_history(&self) {
        let mut state = self.state();
        state.revision += 1;
        state.oldest = state.revision;
        state.log.clear();
        drop(state);
        self.changed.notify_waiters();
    }

    /// Somebody else confirmed all tombstones, and the worker starts over.
    pub(crate) fn withdraw_tombstones(&self) {
        self.state().tombstones.clear();
        self.forget_history();
    }

    pub(crate) fn backup(&self) -> State {
        self.state().clone()
    }

    /// An earlier state takes the place of this one. No worker runs meanwhile.
    pub(crate) fn put_back(&self, backup: State) {
        *self.state() = State { suspected: None, ..backup };
    }

    /// One secret is as it was.
    pub(crate) fn put_back_only(&self, n: u8, backup: &State) {
        let stored = backup.secrets[&uid(n)].clone();
        self.state().secrets.insert(uid(n), stored);
    }

    /// The latest state that the worker says it has seen and the source has not.
    pub(crate) fn suspected(&self) -> Option<ResourceVersion> {
        self.state().suspected
    }

    pub(crate) fn forget_statuses(&self) {
        self.state().statuses.clear();
    }

    /// No projects, no secrets, no tombstones.
    pub(crate) fn clear(&self) {
        let mut state = self.state();
        state.rules.clear();
        state.secrets.clear();
        state.tombstones.clear();
        drop(state);
        self.forget_history();
    }

    /// The status of a secret that has one placement, or of its first.
    pub(crate) fn status(&self, n: u8) -> Option<ProjectionStatus> {
        self.state().statuses.values().find(|status| status.uid == uid(n)).cloned()
    }

    pub(crate) fn newest(&self, n: u8) -> Option<(u64, ResourceVersion)> {
        let state = self.state();
        let meta = &state.secrets.get(&uid(n))?.meta;
        Some((meta.version?, meta.changed_at))
    }

    pub(crate) fn is_removed(&self, what: &Retired) -> bool {
        self.times_removed(what) > 0
    }

    pub(crate) fn times_removed(&self, what: &Retired) -> usize {
        self.state().removed.iter().filter(|removed| *removed == what).count()
    }

    fn commit(&self, change: impl FnOnce(&mut State) -> Change) {
        let mut state = self.state();
        state.revision += 1;
        let change = change(&mut state);
        let revision = state.revision;
        state.log.push((revision, change));
        drop(state);
        self.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn since(&self, after: ResourceVersion) -> Option<Result<Changes, SourceError>> {
        let state = self.state();
        let after = after.revision().get();
        if state.silent {
            return None;
        }
        if after < state.oldest {
            return Some(Err(SourceError::Gone));
        }
        if state.revision == after {
            return None;
        }
        let news = state.log.iter().filter(|(revision, _)| *revision > after);
        let changes = news.map(|(_, change)| change.clone()).collect();
        Some(Ok(Changes { at: rv(state.revision), changes }))
    }
}

impl Source for Fake {
    async fn snapshot(&self) -> Result<Snapshot, SourceError> {
        let state = self.state();
        Ok(Snapshot {
            at: rv(state.revision),
            projects: state.rules.values().cloned().collect(),
            secrets: state.secrets.values().map(|stored| stored.meta.clone()).collect(),
            tombstones: state.tombstones.clone(),
        })
    }

    async fn changes(&self, after: ResourceVersion) -> Result<Changes, SourceError> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(answer) = self.since(after) {
                return answer;
            }
            changed.await;
        }
    }

    async fn reveal(&self, path: &SecretPath, uid: Uid) -> Result<Option<Revealed>, SourceError> {
        let ambush = self.ambush.lock().unwrap().take();
        if let Some(act) = ambush {
            act.await;
        }
        let state = self.state();
        let stored = state.secrets.get(&uid).filter(|stored| stored.meta.path == *path);
        let live = stored.and_then(|stored| Some((stored, stored.meta.version?)));
        Ok(live.map(|(stored, version)| {
            let value = |(k, v): (&String, &Vec<u8>)| (k.clone(), Plaintext::new(v.clone()));
            Revealed {
                secret: KubernetesSecret {
                    type_: stored.type_,
                    data: stored.data.iter().map(value).collect(),
                },
                version,
                changed_at: stored.meta.changed_at,
            }
        }))
    }

    async fn removed(&self, tombstone: &Tombstone) -> Result<(), SourceError> {
        let mut state = self.state();
        state.tombstones.retain(|known| known != tombstone);
        state.removed.push(tombstone.what.clone());
        Ok(())
    }

    fn has_reached(&self, seen: ResourceVersion) -> bool {
        let reached = seen <= rv(self.state().revision);
        if !reached {
            self.was_put_back(seen);
        }
        reached
    }

    fn was_put_back(&self, seen: ResourceVersion) {
        let mut state = self.state();
        state.suspected = state.suspected.max(Some(seen));
    }

    fn report(&self, status: ProjectionStatus) {
        let key = (status.uid, status.placement.clone());
        self.state().statuses.insert(key, status);
    }

    fn forget(&self, secret: Uid, placement: &Placement) {
        self.state().statuses.remove(&(secret, placement.clone()));
    }
}
