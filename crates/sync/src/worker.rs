//! The worker itself: one loop that owns all state, and tasks that only call out.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use domain::Clock;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::desired::Desired;
use crate::desk::{Desk, Reach};
use crate::digest::DigestKey;
use crate::follow::follow;
use crate::kubernetes::Kubernetes;
use crate::metrics::SyncMetrics;
use crate::reconcile::Reconciler;
use crate::schedule::Schedule;
use crate::source::Source;
use crate::statuses::Statuses;
use crate::sweep::SweepClock;
use crate::tombstones::Tombstones;
use crate::views::Views;
use crate::watch::Sighting;

/// Sightings that may wait; a watch that is ahead of the loop waits too.
const SIGHTINGS: usize = 256;
/// News that may wait.
const NEWS: usize = 16;

/// Keeps one cluster's Secrets equal to what a source says.
pub struct Worker<S> {
    source: Arc<S>,
    client: Option<kube::Client>,
    cluster: String,
    store: String,
    clock: Arc<dyn Clock>,
    metrics: Arc<SyncMetrics>,
}

impl<S: Source> Worker<S> {
    /// A worker for one cluster, by the name it is registered under. Without a client each desired
    /// projection is reported as `NoCluster`, and tombstones stay.
    ///
    /// Only Secrets that were made for the store of that id are taken for ours.
    pub fn new(
        source: Arc<S>,
        client: Option<kube::Client>,
        cluster_name: String,
        store_id: String,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let metrics = Arc::default();
        Self { source, client, cluster: cluster_name, store: store_id, clock, metrics }
    }

    /// The worker's counters, which stay readable while it runs.
    pub fn metrics(&self) -> Arc<SyncMetrics> {
        Arc::clone(&self.metrics)
    }

    /// Works until `shutdown` resolves. Calls that are under way then are given up; each is
    /// idempotent, and the next start finds out what became of it.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let (tell, mut news) = mpsc::channel(NEWS);
        let (show, mut sightings) = mpsc::channel(SIGHTINGS);
        let mut background = JoinSet::new();
        background.spawn(follow(Arc::clone(&self.source), tell));
        let mut desk = self.desk(show);
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            desk.start_due();
            let due = desk.next_due();
            tokio::select! {
                () = &mut shutdown => return,
                Some(news) = news.recv() => desk.hear(news),
                Some(sighting) = sightings.recv() => desk.see(sighting),
                Some(finished) = desk.tasks.join_next() => match finished {
                    Ok(finished) => desk.finish(finished),
                    Err(error) => tracing::error!(%error, "a task of the worker ended early"),
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
    }

    fn desk(&self, show: mpsc::Sender<Sighting>) -> Desk<S> {
        let key = Arc::new(DigestKey::make());
        let reach = self.client.clone().map(Kubernetes::new).map(|kubernetes| Reach {
            views: Views::new(kubernetes.clone(), Arc::clone(&key), show),
            reconciler: Arc::new(Reconciler {
                source: Arc::clone(&self.source),
                kubernetes,
                key,
                store: self.store.clone(),
                metrics: Arc::clone(&self.metrics),
            }),
            schedule: Schedule::default(),
            sweep: SweepClock::default(),
            acts: HashMap::new(),
        });
        Desk {
            cluster: self.cluster.clone(),
            desired: Desired::new(self.cluster.clone()),
            tombstones: Tombstones::default(),
            statuses: Statuses::new(Arc::clone(&self.source), Arc::clone(&self.clock)),
            reach,
            tasks: JoinSet::new(),
        }
    }
}
