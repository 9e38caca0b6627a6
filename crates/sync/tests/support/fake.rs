//! A source in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use domain::{
    Incarnation, KubernetesSecret, NamePattern, Placement, Plaintext, ProjectPath, ProjectionMode,
    ProjectionRule, ProjectionStatus, ResourceVersion, Retired, Revision, SecretPath, SecretType,
    Tombstone, Uid,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use sync::{Change, Changes, ProjectRules, Revealed, SecretMeta, Snapshot, Source, SourceError};
use tokio::sync::Notify;

use super::{namespace, project, secret_path, uid};

#[derive(Default)]
struct State {
    revision: u64,
    oldest: u64,
    log: Vec<(u64, Change)>,
    rules: BTreeMap<ProjectPath, ProjectRules>,
    secrets: BTreeMap<Uid, Stored>,
    tombstones: Vec<Tombstone>,
    removed: Vec<Retired>,
    statuses: BTreeMap<(Uid, Placement), ProjectionStatus>,
}

struct Stored {
    meta: SecretMeta,
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

    pub(crate) fn rules(&self, name: &str, namespaces: &[&str]) {
        let rule = |name: &&str| ProjectionRule {
            mode: ProjectionMode::Each,
            namespace: namespace(name),
            name_pattern: NamePattern::default_for(ProjectionMode::Each),
        };
        let rules = namespaces.iter().map(rule).collect();
        let rules = ProjectRules { path: project(name), uid: uid(200), rules };
        self.state().rules.insert(project(name), rules.clone());
        self.commit(|_| Change::Project(rules));
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
        self.commit(|state| {
            let version = state.secrets.get(&uid(n)).and_then(|s| s.meta.version).unwrap_or(0) + 1;
            let meta = SecretMeta {
                path: secret_path(home, name),
                uid: uid(n),
                kind: SecretType::Opaque,
                bound_to: Vec::new(),
                version: Some(version),
                changed_at: rv(state.revision),
            };
            state.secrets.insert(uid(n), Stored { meta: meta.clone(), type_, data });
            Change::Secret(meta)
        });
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
        self.state().removed.contains(what)
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
        Ok(stored.map(|stored| {
            let value = |(k, v): (&String, &Vec<u8>)| (k.clone(), Plaintext::new(v.clone()));
            Revealed {
                secret: KubernetesSecret {
                    type_: stored.type_,
                    data: stored.data.iter().map(value).collect(),
                },
                version: stored.meta.version.unwrap(),
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

    fn report(&self, status: ProjectionStatus) {
        let key = (status.uid, status.placement.clone());
        self.state().statuses.insert(key, status);
    }

    fn forget(&self, secret: Uid, placement: &Placement) {
        self.state().statuses.remove(&(secret, placement.clone()));
    }
}
