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
    /// The last compaction since the daemon started.
    pub compaction: CompactionBody,
}

/// A compaction: the data files are made as small as they can be, and what was destroyed before it
/// began is not in them any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompactionBody {
    /// `none`, `running`, `done` or `failed`.
    pub state: String,
    /// Why it failed; the store is then as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many there were since the daemon started, asked for or not.
    pub count: u64,
    /// The bytes that are copied and compared.
    pub done_bytes: u64,
    /// The bytes to be copied and compared.
    pub total_bytes: u64,
    /// How long the data file was.
    pub file_bytes_before: u64,
    /// How long it is; 0 until it is done.
    pub file_bytes_after: u64,
}

/// What a verification has looked at, and found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerificationBody {
    /// Secrets, deleted ones included.
    pub secrets: u64,
    /// Versions whose values were opened.
    pub versions: u64,
    /// All records, these included.
    pub records: u64,
    /// How much is wrong.
    pub wrong: u64,
    /// What is wrong, the first hundred; never a value.
    pub findings: Vec<FindingBody>,
}

/// Something that is wrong in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FindingBody {
    /// Where: a name, an identity or a resource version.
    pub at: String,
    /// What is wrong there.
    pub what: String,
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

/// A backup, as the command line tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupBody {
    /// The state that it holds.
    pub resource_version: String,
    /// The state that it goes on top of; none when it is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When it was begun, RFC 3339.
    pub creation_timestamp: String,
    /// The records in it.
    pub records: u64,
    /// The records that it leaves to the backup below it.
    pub kept: u64,
    /// Its bytes, and those of the ones below it where they were read too.
    pub bytes: u64,
}
