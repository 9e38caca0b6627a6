//! A source in memory, a worker that can be stopped, and short words for looking at the cluster.

mod fake;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use domain::{
    Clock, Namespace, OrgName, ProjectName, ProjectPath, ProjectionState, ProjectionStatus,
    Retired, SecretName, SecretPath, Timestamp, Uid,
};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Namespace as KubeNamespace, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use sync::{Brake, SyncMetrics, Worker};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
pub(crate) use fake::Fake;

/// Long enough for any back-off; nothing is measured.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn uid(n: u8) -> Uid {
    Uid::from_bytes([n; 16])
}

pub(crate) fn namespace(name: &str) -> Namespace {
    Namespace::parse(name).unwrap()
}

pub(crate) fn project(name: &str) -> ProjectPath {
    ProjectPath { org: OrgName::default_org(), project: ProjectName::parse(name).unwrap() }
}

pub(crate) fn secret_path(home: &str, name: &str) -> SecretPath {
    SecretPath { project: project(home), name: SecretName::parse(name).unwrap() }
}

pub(crate) fn bytes(data: &[(&str, &[u8])]) -> BTreeMap<String, ByteString> {
    data.iter().map(|(k, v)| ((*k).to_owned(), ByteString(v.to_vec()))).collect()
}

/// Polls until it holds.
pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// All that is logged, at every level, by every crate of the process.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn everything() -> Self {
        let log = Self::default();
        let writer = log.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .init();
        log
    }

    /// Neither as it is, nor as Kubernetes writes it, nor as `Debug` shows bytes.
    pub(crate) fn holds_no(&self, value: &str) {
        let log = String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned();
        assert!(log.contains("a namespace is in sight"), "the log is not ours");
        let encoded = serde_json::to_value(ByteString(value.as_bytes().to_vec())).unwrap();
        let encoded = encoded.as_str().unwrap().trim_end_matches('=');
        let bytes = format!("{:?}", value.as_bytes());
        for form in [value, encoded, bytes.trim_matches(['[', ']'])] {
            let line = log.lines().find(|line| line.contains(form));
            assert!(line.is_none(), "a value was logged: {}", line.unwrap_or_default());
        }
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(1)
    }
}

/// A worker that runs.
pub(crate) struct Running {
    pub(crate) metrics: Arc<SyncMetrics>,
    pub(crate) brake: Brake,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(fake: &Arc<Fake>, client: Option<Client>) -> Self {
        Self::start_as(fake, client, |worker| worker)
    }

    pub(crate) fn start_as(
        fake: &Arc<Fake>,
        client: Option<Client>,
        configure: impl FnOnce(Worker<Fake>) -> Worker<Fake>,
    ) -> Self {
        let (names, clock) = (("test".to_owned(), "store-1".to_owned()), Arc::new(FixedClock));
        let worker = Worker::new(Arc::clone(fake), client, names.0, names.1, clock);
        let worker = configure(worker);
        let (metrics, brake) = (worker.metrics(), worker.brake());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(worker.run(async move {
            let _dropped = stopped.await;
        }));
        Self { metrics, brake, stop, task }
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

/// The source and the cluster.
pub(crate) struct World {
    pub(crate) fake: Arc<Fake>,
    pub(crate) admin: Client,
    pub(crate) kubeconfig: PathBuf,
}

impl World {
    pub(crate) async fn new(cluster: &Cluster) -> Self {
        let admin = sync::client_from_kubeconfig(&cluster.kubeconfig()).await.unwrap();
        Self { fake: Fake::new(), admin, kubeconfig: cluster.kubeconfig() }
    }

    pub(crate) fn start_worker(&self, client: &Client) -> Running {
        self.fake.forget_statuses();
        Running::start(&self.fake, Some(client.clone()))
    }

    /// A worker that deletes at most so many at once.
    pub(crate) fn start_cautious_worker(&self, max_deletions: usize) -> Running {
        let configure = |worker: Worker<Fake>| worker.with_max_deletions(max_deletions);
        Running::start_as(&self.fake, Some(self.admin.clone()), configure)
    }

    pub(crate) async fn annotation(&self, namespace: &str, name: &str, key: &str) -> String {
        let annotations = self.get(namespace, name).await.and_then(|s| s.metadata.annotations);
        annotations.and_then(|mut all| all.remove(key)).unwrap_or_default()
    }

    pub(crate) fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.admin.clone(), namespace)
    }

    pub(crate) async fn make_namespace(&self, name: &str) {
        let object: KubeNamespace =
            serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        let api = Api::all(self.admin.clone());
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    pub(crate) async fn get(&self, namespace: &str, name: &str) -> Option<Secret> {
        self.secrets(namespace).get_opt(name).await.unwrap()
    }

    pub(crate) async fn create(&self, namespace: &str, object: Value) {
        let object: Secret = serde_json::from_value(object).unwrap();
        self.secrets(namespace).create(&PostParams::default(), &object).await.unwrap();
    }

    pub(crate) async fn delete(&self, namespace: &str, name: &str) {
        self.secrets(namespace).delete(name, &DeleteParams::default()).await.unwrap();
    }

    pub(crate) async fn patch(&self, namespace: &str, name: &str, patch: Value) {
        let api = self.secrets(namespace);
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// What `kubectl replace --force` does, as often as it takes.
    pub(crate) async fn force(&self, mut object: Secret) {
        let namespace = object.metadata.namespace.clone().unwrap();
        let name = object.metadata.name.clone().unwrap();
        object.metadata.uid = None;
        object.metadata.resource_version = None;
        until("our creation was the quicker one", async || {
            let api = self.secrets(&namespace);
            let _gone = api.delete(&name, &DeleteParams::default()).await;
            api.create(&PostParams::default(), &object).await.is_ok()
        })
        .await;
    }

    pub(crate) async fn resource_versions(&self, namespace: &str) -> BTreeMap<String, String> {
        let list = self.secrets(namespace).list(&ListParams::default()).await.unwrap();
        let pair = |s: Secret| (s.metadata.name.unwrap(), s.metadata.resource_version.unwrap());
        list.items.into_iter().map(pair).collect()
    }

    pub(crate) fn status(&self, n: u8) -> Option<ProjectionStatus> {
        self.fake.status(n)
    }

    pub(crate) async fn stands(&self, n: u8, state: ProjectionState) {
        until(&format!("{n} is {state}"), async || {
            self.status(n).is_some_and(|status| status.state == state)
        })
        .await;
    }

    /// Waits until the newest version is applied, and returns the Kubernetes name.
    pub(crate) async fn synced(&self, n: u8) -> String {
        until(&format!("{n} is in sync"), async || {
            self.status(n).is_some_and(|status| {
                status.state == ProjectionState::Synced && status.synced == self.fake.newest(n)
            })
        })
        .await;
        self.status(n).unwrap().placement.name
    }

    /// Waits until the Secret holds exactly that, under our label.
    pub(crate) async fn holds(&self, namespace: &str, name: &str, data: &[(&str, &[u8])]) {
        let data = Some(bytes(data));
        until(&format!("{namespace}/{name} holds what it should"), async || {
            self.get(namespace, name).await.is_some_and(|secret| secret.data == data)
        })
        .await;
        self.labelled(namespace, name).await;
    }

    pub(crate) async fn labelled(&self, namespace: &str, name: &str) {
        until(&format!("{namespace}/{name} has our label"), async || {
            let labels = self.get(namespace, name).await.and_then(|s| s.metadata.labels);
            labels.is_some_and(|labels| labels.contains_key("app.kubernetes.io/managed-by"))
        })
        .await;
    }

    pub(crate) async fn removed(&self, what: &Retired) {
        until(&format!("{what:?} is confirmed"), async || self.fake.is_removed(what)).await;
    }

    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        until(what, holds).await;
    }

    /// Gives the worker time to do what it should not do.
    pub(crate) async fn quiet(&self) {
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
}
