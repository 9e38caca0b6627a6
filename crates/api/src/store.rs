//! Which store it is, and what speaks for its having been put back.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The store behind the daemon.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreStatus {
    /// The store's identity, which every Kubernetes Secret of its names.
    pub store_id: String,
    /// The last resource version.
    pub resource_version: String,
    /// Who has seen a later state of the store since the daemon started: its data directory was then
    /// put back to an earlier one. Empty when nobody has.
    pub rollback: Vec<RollbackWitness>,
}

/// A witness of a later state of the store.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollbackWitness {
    /// `audit_log`, `client` or `kubernetes`. A client may have made it up.
    pub witness: String,
    /// The latest resource version that it has shown.
    pub resource_version: String,
    /// When it first showed one, in UTC.
    pub at: String,
}
