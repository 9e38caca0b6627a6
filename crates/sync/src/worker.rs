//! The worker itself: one loop that owns all state, and tasks that only call out.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;

use domain::Clock;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::brake::{Brake, Held};
use crate::desired::Desired;
use crate::desk::{Desk, Reach};
use crate::digest::DigestKey;
use crate::failure::Failure;
use crate::follow::follow;
use crate::kubernetes::Kubernetes;
use crate::lease::{Elector, LeaseName, Standing};
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
/// So many Kubernetes Secrets are deleted at once without asking, unless told otherwise.
const MAX_DELETIONS: usize = 100;

/// Keeps one cluster's Secrets equal to what a source says.
pub struct Worker<S> {
    source: Arc<S>,
    client: Option<kube::Client>,
    cluster: String,
    store: String,
    clock: Arc<dyn Clock>,
    lease: Option<(LeaseName, String)>,
    max_deletions: usize,
    brake: Brake,
    metrics: Arc<SyncMetrics>,
}

/// Whether this worker acts, and what tells it so.
struct Candidacy {
    standing: watch::Receiver<Standing>,
    stop: oneshot::Sender<()>,
    elector: JoinHandle<()>,
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
        Self {
            source,
            client,
            cluster: cluster_name,
            store: store_id,
            clock,
            lease: None,
            max_deletions: MAX_DELETIONS,
            brake: Brake::default(),
            metrics: Arc::default(),
        }
    }

    /// Acts only while it holds that Lease; the others show their projections as `Pending`. `host`
    /// is where this replica runs, for people who look at the Lease.
    #[must_use]
    pub fn with_lease(mut self, lease: LeaseName, host: &str) -> Self {
        self.lease = Some((lease, host.to_owned()));
        self
    }

    /// Holds all deletions back while there are more than that many to make, until the brake is
    /// released; the default is 100. With 0 nothing is ever deleted without a release.
    #[must_use]
    pub fn with_max_deletions(mut self, max_deletions: usize) -> Self {
        self.max_deletions = max_deletions;
        self
    }

    /// The worker's counters, which stay readable while it runs.
    pub fn metrics(&self) -> Arc<SyncMetrics> {
        Arc::clone(&self.metrics)
    }

    /// The hand on the worker's brake.
    pub fn brake(&self) -> Brake {
        self.brake.clone()
    }

    /// Works until `shutdown` resolves. Calls that are under way then are given up; each is
    /// idempotent, and the next start finds out what became of it.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Candidacy { mut standing, stop, elector } = self.stand();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let now = standing.borrow_and_update().clone();
            self.metrics.set_leader(now.is_ok());
            self.metrics.set_braked(0);
            tokio::select! {
                () = &mut shutdown => break,
                changed = standing.changed() => if changed.is_err() {
                    // Without an election nobody may be sure to lead.
                    break;
                },
                () = self.session(now) => {}
            }
        }
        self.metrics.set_leader(false);
        // Who waits for the lease gets it only now that nothing acts any more.
        drop(stop);
        if let Err(error) = elector.await {
            tracing::error!(%error, "the election ended early");
        }
    }

    /// Finds out whether to act. Without a lease that is decided once.
    fn stand(&self) -> Candidacy {
        let (stop, stopped) = oneshot::channel();
        let (standing, elector) = match (&self.client, &self.lease) {
            (Some(client), Some((lease, host))) => {
                let (kubernetes, clock) = (Kubernetes::new(client.clone()), self.clock.clone());
                let (elector, standing) = Elector::new(kubernetes, lease.clone(), host, clock);
                (standing, tokio::spawn(elector.run(stopped)))
            }
            (client, _) => {
                let acts = client.as_ref().map(|_| ()).ok_or_else(Failure::no_cluster);
                let (keep, standing) = watch::channel(acts);
                let idle = async move {
                    let _stopped = stopped.await;
                    drop(keep);
                };
                (standing, tokio::spawn(idle))
            }
        };
        Candidacy { standing, stop, elector }
    }

    /// Works, or only says why it does not, until it is dropped. What it knows goes with it: who
    /// leads again has to look at everything again.
    async fn session(&self, standing: Standing) {
        let (tell, mut news) = mpsc::channel(NEWS);
        let (show, mut sightings) = mpsc::channel(SIGHTINGS);
        let mut background = JoinSet::new();
        background.spawn(follow(Arc::clone(&self.source), tell));
        let mut desk = self.desk(standing, show);
        loop {
            desk.start_due();
            let due = desk.next_due();
            tokio::select! {
                () = self.brake.0.notified() => desk.release_brake(),
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

    fn desk(&self, standing: Standing, show: mpsc::Sender<Sighting>) -> Desk<S> {
        let client = standing.and_then(|()| self.client.clone().ok_or_else(Failure::no_cluster));
        let metrics = Arc::clone(&self.metrics);
        Desk {
            cluster: self.cluster.clone(),
            desired: Desired::new(self.cluster.clone()),
            tombstones: Tombstones::default(),
            statuses: Statuses::new(
                Arc::clone(&self.source),
                Arc::clone(&self.clock),
                Arc::clone(&metrics),
            ),
            metrics,
            reach: client.map(|client| self.reach(client, show)),
            tasks: JoinSet::new(),
        }
    }

    fn reach(&self, client: kube::Client, show: mpsc::Sender<Sighting>) -> Reach<S> {
        let (kubernetes, key) = (Kubernetes::new(client), Arc::new(DigestKey::make()));
        Reach {
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
            held: Held::new(self.max_deletions),
            braked: BTreeSet::new(),
        }
    }
}
