//! Clusters, nodes and workspaces that refer to secrets.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ListMetadata;

/// A cluster, a node or a workspace.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerBody {
    /// `cluster`, `node` or `workspace`.
    pub kind: String,
    /// Its metadata.
    pub metadata: ConsumerMetadata,
    /// The secrets that it refers to, as far as the caller may see them.
    pub references: Vec<ReferenceBody>,
}

/// A consumer's metadata.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerMetadata {
    /// Its name; a workspace's is its project's.
    pub name: String,
    /// Its identity.
    pub uid: String,
    /// Its own last change; that of a secret that it refers to is in the reference.
    pub resource_version: String,
    /// When it was registered, RFC 3339.
    pub creation_timestamp: String,
    /// Who registered it.
    pub created_by: String,
}

/// A reference to a secret, as the secret is now.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReferenceBody {
    /// `ssh`: it is reached with the secret, which is not deleted meanwhile; `image`: it pulls images
    /// with it.
    pub role: String,
    /// The secret.
    pub uri: String,
    /// The secret's identity.
    pub uid: String,
    /// The secret's last change.
    pub resource_version: String,
}

/// Consumers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConsumerList {
    /// The list's metadata.
    pub metadata: ListMetadata,
    /// Clusters, then nodes, then workspaces; each by name.
    pub items: Vec<ConsumerBody>,
}
