//! How the worker that projects into Kubernetes stands.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The worker inside the daemon.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncStatus {
    /// What the cluster is called.
    pub cluster: String,
    /// Whether this replica is the one that acts.
    pub leader: bool,
    /// How many projections are in which state.
    pub projections: BTreeMap<String, u64>,
    /// Kubernetes Secrets that the brake keeps from being deleted or emptied.
    pub braked: u64,
    /// Kubernetes Secrets written since the daemon started.
    pub writes: u64,
    /// Kubernetes Secrets deleted since the daemon started.
    pub deletes: u64,
    /// How often a Secret that is not Tresor's stood in the way since the daemon started.
    pub conflicts: u64,
    /// Attempts that failed since the daemon started.
    pub errors: u64,
}
