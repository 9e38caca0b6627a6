//! What the worker counts. Numbers only: neither a value nor a name is in any of them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use domain::ProjectionState;

/// The upper bounds of the histogram of lags, in milliseconds; one more bucket is above them.
pub const LAG_BOUNDS: [u64; 12] =
    [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 60_000];

/// All states that a projection can be in.
pub const STATES: [ProjectionState; 12] = [
    ProjectionState::Braked,
    ProjectionState::Conflict,
    ProjectionState::Denied,
    ProjectionState::Failed,
    ProjectionState::NamespaceMissing,
    ProjectionState::NameTaken,
    ProjectionState::NoCluster,
    ProjectionState::Pending,
    ProjectionState::RolledBack,
    ProjectionState::Synced,
    ProjectionState::TooLarge,
    ProjectionState::Unreachable,
];

/// Counters since the worker was made, which only grow, and gauges of how it stands now.
#[derive(Debug, Default)]
pub struct SyncMetrics {
    writes: AtomicU64,
    deletes: AtomicU64,
    conflicts: AtomicU64,
    errors: AtomicU64,
    braked: AtomicU64,
    leader: AtomicBool,
    states: [AtomicU64; STATES.len()],
    lags: [AtomicU64; LAG_BOUNDS.len() + 1],
    lag_sum: AtomicU64,
}

/// How long changes took from the moment the worker heard of them until the cluster held them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lags {
    /// How many took at most so many milliseconds as [`LAG_BOUNDS`] says and more than the bound
    /// before; the last, more than any bound.
    pub counts: [u64; LAG_BOUNDS.len() + 1],
    /// All of them together, in milliseconds.
    pub sum_ms: u64,
}

impl SyncMetrics {
    /// Kubernetes Secrets created or replaced.
    pub fn writes(&self) -> u64 {
        self.writes.load(Relaxed)
    }

    /// Kubernetes Secrets deleted.
    pub fn deletes(&self) -> u64 {
        self.deletes.load(Relaxed)
    }

    /// How often a Secret that is not ours stood where one of ours should be.
    pub fn conflicts(&self) -> u64 {
        self.conflicts.load(Relaxed)
    }

    /// Attempts that ended in an error, of the cluster or of the source.
    pub fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    /// Kubernetes Secrets that the brake holds as they are now.
    pub fn braked(&self) -> u64 {
        self.braked.load(Relaxed)
    }

    /// Whether this worker is the one that acts.
    pub fn is_leader(&self) -> bool {
        self.leader.load(Relaxed)
    }

    /// How many projections are in that state now.
    pub fn projections(&self, state: ProjectionState) -> u64 {
        self.gauge(state).map_or(0, |gauge| gauge.load(Relaxed))
    }

    /// How long changes took; what a start finds to do is not among them.
    pub fn lags(&self) -> Lags {
        let counts =
            std::array::from_fn(|n| self.lags.get(n).map_or(0, |count| count.load(Relaxed)));
        Lags { counts, sum_ms: self.lag_sum.load(Relaxed) }
    }

    pub(crate) fn count_write(&self) {
        self.writes.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_delete(&self) {
        self.deletes.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_conflict(&self) {
        self.conflicts.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_error(&self) {
        self.errors.fetch_add(1, Relaxed);
    }

    pub(crate) fn set_braked(&self, count: usize) {
        self.braked.store(count as u64, Relaxed);
    }

    pub(crate) fn set_leader(&self, leads: bool) {
        self.leader.store(leads, Relaxed);
    }

    pub(crate) fn enter(&self, state: ProjectionState) {
        if let Some(gauge) = self.gauge(state) {
            gauge.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn leave(&self, state: ProjectionState) {
        if let Some(gauge) = self.gauge(state) {
            gauge.fetch_sub(1, Relaxed);
        }
    }

    pub(crate) fn observe_lag(&self, lag: Duration) {
        let millis = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
        let bucket = LAG_BOUNDS.partition_point(|bound| *bound < millis);
        if let Some(count) = self.lags.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
        self.lag_sum.fetch_add(millis, Relaxed);
    }

    fn gauge(&self, state: ProjectionState) -> Option<&AtomicU64> {
        self.states.get(STATES.iter().position(|known| *known == state)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_is_counted_in_the_first_bucket_that_reaches_it() {
        let metrics = SyncMetrics::default();
        for millis in [0, 5, 6, 60_000, 60_001] {
            metrics.observe_lag(Duration::from_millis(millis));
        }
        let Lags { counts, sum_ms } = metrics.lags();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(sum_ms, 120_012);
    }

    #[test]
    fn each_state_has_a_gauge_of_its_own() {
        let metrics = SyncMetrics::default();
        for (n, state) in STATES.into_iter().enumerate() {
            (0..=n).for_each(|_| metrics.enter(state));
        }
        metrics.leave(ProjectionState::Synced);
        let counts = STATES.map(|state| metrics.projections(state));
        assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 11, 12]);
    }
}
