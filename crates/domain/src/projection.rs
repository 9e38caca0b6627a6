//! What the sync worker is told to remove, and what it reports.

use std::fmt;

use crate::{Namespace, ProjectPath, ResourceVersion, Revision, SecretPath, Timestamp, Uid};

/// Where one Kubernetes Secret is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Placement {
    /// The cluster, by the name it was registered under.
    pub cluster: String,
    /// The namespace.
    pub namespace: Namespace,
    /// The Secret's name, which is a Kubernetes name.
    pub name: String,
}

/// How a projection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProjectionState {
    /// More would be deleted at once than the worker deletes without being told so.
    Braked,
    /// A Secret of that name exists and is not ours; it is left alone.
    Conflict,
    /// The cluster refused the worker's rights.
    Denied,
    /// The cluster answered with another error.
    Failed,
    /// The namespace does not exist.
    NamespaceMissing,
    /// Another secret of Tresor has that name in that namespace.
    NameTaken,
    /// No cluster is attached to this daemon.
    NoCluster,
    /// Not applied yet.
    Pending,
    /// The Kubernetes Secret shows a later state than the store, which was put back; it is left as it
    /// is until somebody says to go on.
    RolledBack,
    /// The Kubernetes Secret holds exactly these bytes.
    Synced,
    /// The entry does not fit beside the others into the 1 MiB that a Kubernetes Secret takes.
    TooLarge,
    /// The cluster does not answer.
    Unreachable,
}

impl ProjectionState {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Braked => "Braked",
            Self::Conflict => "Conflict",
            Self::Denied => "Denied",
            Self::Failed => "Failed",
            Self::NamespaceMissing => "NamespaceMissing",
            Self::NameTaken => "NameTaken",
            Self::NoCluster => "NoCluster",
            Self::Pending => "Pending",
            Self::RolledBack => "RolledBack",
            Self::Synced => "Synced",
            Self::TooLarge => "TooLarge",
            Self::Unreachable => "Unreachable",
        }
    }
}

impl fmt::Display for ProjectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One projection and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectionStatus {
    /// The secret.
    pub secret: SecretPath,
    /// The secret's identity.
    pub uid: Uid,
    /// Where it is projected.
    pub placement: Placement,
    /// How it stands.
    pub state: ProjectionState,
    /// The version and resource version that were applied last, if any.
    pub synced: Option<(u64, ResourceVersion)>,
    /// Since when the state holds.
    pub since: Timestamp,
    /// What to do about it, for states that want something done. Never a value.
    pub message: Option<String>,
}

/// Something that used to be projected and is to be removed: the only ground on which the worker
/// deletes. An empty or failed list is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The tombstone's own identity.
    pub id: Uid,
    /// The revision that retired it.
    pub at: Revision,
    /// What was retired.
    pub what: Retired,
}

/// What a tombstone stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Retired {
    /// A secret is bound to a project no more: its copies that the project's rules had made go,
    /// except those that something else still wants.
    Binding {
        /// What the secret is called.
        path: SecretPath,
        /// Its identity.
        uid: Uid,
        /// The project that it was bound to.
        project: ProjectPath,
    },
    /// A rule of a project: its copies in that namespace go, except those that another rule of the
    /// project still wants.
    Rule {
        /// The project.
        project: ProjectPath,
        /// The namespace that the rule had named.
        namespace: Namespace,
    },
    /// A secret that is gone or has no live version any more: all its copies go, unless it lives
    /// again by now.
    Secret {
        /// What it was called.
        path: SecretPath,
        /// Its identity; a new secret of the same name has another.
        uid: Uid,
    },
}
