//! The sync worker, as the server and Prometheus see it.

use std::fmt;
use std::sync::Arc;

use api::SyncStatus;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use server::SyncControl;
use surfaces::{Job, JobError, Jobs};
use sync::{Brake, LAG_BOUNDS, NotCreated, STATES, SyncMetrics};

/// The handle on a running worker.
pub(crate) struct WorkerHandle {
    pub(crate) cluster: String,
    pub(crate) brake: Brake,
    pub(crate) metrics: Arc<SyncMetrics>,
    /// The cluster, and the runtime on which it is called.
    pub(crate) kubernetes: Option<Jobber>,
}

/// What creates Jobs.
pub(crate) struct Jobber {
    pub(crate) client: sync::Client,
    pub(crate) runtime: tokio::runtime::Handle,
}

impl Jobs for WorkerHandle {
    fn has_cluster(&self) -> bool {
        self.kubernetes.is_some()
    }

    fn create(&self, job: &Job) -> Result<String, JobError> {
        let kubernetes = self.kubernetes.as_ref().ok_or(JobError::NoCluster)?;
        let Jobber { client, runtime } = kubernetes;
        let creating = sync::create_job(client.clone(), &job.namespace, job.manifest.clone());
        // Handlers run on threads that may block.
        runtime.block_on(creating).map_err(|error| match error {
            NotCreated::Refused(why) => JobError::Refused(why),
            NotCreated::Unreachable(_) => JobError::Unreachable,
        })
    }
}

impl SyncControl for WorkerHandle {
    fn status(&self) -> SyncStatus {
        let metrics = &self.metrics;
        let count = |state| (format!("{state}"), metrics.projections(state));
        SyncStatus {
            cluster: self.cluster.clone(),
            leader: metrics.is_leader(),
            projections: STATES.map(count).into_iter().filter(|(_, count)| *count > 0).collect(),
            braked: metrics.braked(),
            writes: metrics.writes(),
            deletes: metrics.deletes(),
            conflicts: metrics.conflicts(),
            errors: metrics.errors(),
        }
    }

    fn release_brake(&self) {
        self.brake.release();
    }
}

/// What the worker counts, in Prometheus' units.
pub(crate) struct WorkerMetrics(pub(crate) Arc<SyncMetrics>);

impl fmt::Debug for WorkerMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkerMetrics")
    }
}

impl Collector for WorkerMetrics {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        let worker = &self.0;
        for (name, about, count) in [
            ("tresor_sync_writes", "Kubernetes Secrets created or replaced", worker.writes()),
            ("tresor_sync_deletes", "Kubernetes Secrets deleted", worker.deletes()),
            ("tresor_sync_conflicts", "Foreign Secrets met in a wanted place", worker.conflicts()),
            ("tresor_sync_errors", "Attempts that failed", worker.errors()),
        ] {
            let counter = ConstCounter::new(count);
            counter.encode(out.encode_descriptor(name, about, None, counter.metric_type())?)?;
        }
        let leader = i64::from(worker.is_leader());
        let about = "Whether this replica acts";
        gauge(&mut out, "tresor_sync_leader", about, leader)?;
        let about = "Kubernetes Secrets that the brake holds as they are";
        gauge(&mut out, "tresor_sync_braked", about, whole(worker.braked()))?;
        self.states(&mut out)?;
        self.lags(&mut out)
    }
}

impl WorkerMetrics {
    fn states(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let about = "Projections by state";
        let kind = ConstGauge::new(0i64).metric_type();
        let mut family = out.encode_descriptor("tresor_sync_projections", about, None, kind)?;
        for state in STATES {
            let gauge = ConstGauge::new(whole(self.0.projections(state)));
            gauge.encode(family.encode_family(&[("state", state.as_str())])?)?;
        }
        Ok(())
    }

    /// The worker counts by bucket; the histogram is filled from that, each at its bucket's bound.
    fn lags(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let lags = self.0.lags();
        let seconds = |ms: u64| ms as f64 / 1000.0;
        let buckets: Vec<(f64, u64)> =
            LAG_BOUNDS.map(seconds).into_iter().chain([f64::MAX]).zip(lags.counts).collect();
        let about = "Time from a change that the worker heard of until the cluster held it";
        let kind = Histogram::new([]).metric_type();
        let mut encoder = out.encode_descriptor("tresor_sync_lag_seconds", about, None, kind)?;
        let count = lags.counts.iter().sum();
        encoder.encode_histogram::<NoLabelSet>(seconds(lags.sum_ms), count, &buckets, None)
    }
}

fn gauge(out: &mut DescriptorEncoder<'_>, name: &str, about: &str, value: i64) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    gauge.encode(out.encode_descriptor(name, about, None, gauge.metric_type())?)
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
