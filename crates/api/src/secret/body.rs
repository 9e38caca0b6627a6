//! Secrets as they are shown: all but their values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::BindingBody;

/// Labels as they are shown.
pub type Labelled = BTreeMap<String, String>;

/// A secret's metadata.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretMetadata {
    /// Its name.
    pub name: String,
    /// Its project.
    pub project: String,
    /// Its organization.
    pub organization: String,
    /// Its identity.
    pub uid: String,
    /// Its labels.
    pub labels: Labelled,
    /// Its last change.
    pub resource_version: String,
    /// When it was made, RFC 3339.
    pub creation_timestamp: String,
    /// When it last changed, RFC 3339.
    pub update_timestamp: String,
    /// Who made it.
    pub owner: String,
    /// When it was deleted, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<String>,
    /// When it will be purged if it is not undeleted, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purge_timestamp: Option<String>,
}

/// What a secret is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretSpec {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The further projects that it is bound to.
    pub bindings: Vec<BindingBody>,
    /// How many versions are kept, where it says so itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_versions: Option<u32>,
}

/// How a secret stands.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretStatus {
    /// The version that is read when none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_version: Option<u64>,
    /// When its value was last read through the API, RFC 3339; to within a minute after a crash.
    /// Changes that are watched do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_read_timestamp: Option<String>,
    /// When its value is to be replaced, RFC 3339, where the label `tresor.io/rotate-after` says
    /// after what age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_timestamp: Option<String>,
}

/// A secret, without its value.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SecretBody {
    /// Its metadata.
    pub metadata: SecretMetadata,
    /// What it is.
    pub spec: SecretSpec,
    /// How it stands.
    pub status: SecretStatus,
}

/// A list's metadata.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListMetadata {
    /// The store's resource version when the list's first page was read: a watch from there misses
    /// nothing.
    pub resource_version: String,
    /// What to send as `continue` for the next page; left out on the last one.
    #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
    pub continue_: Option<String>,
}

/// Secrets.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SecretList {
    /// The list's metadata.
    pub metadata: ListMetadata,
    /// The secrets, by name.
    pub items: Vec<SecretBody>,
}

/// One version in a secret's history.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionBody {
    /// 1, 2, 3 and so on.
    pub version: u64,
    /// `live`, `deleted` or `destroyed`.
    pub state: String,
    /// When it was written, RFC 3339.
    pub creation_timestamp: String,
    /// Who wrote it.
    pub created_by: String,
}

/// A secret's history.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct VersionList {
    /// The versions that are kept, oldest first.
    pub items: Vec<VersionBody>,
}
