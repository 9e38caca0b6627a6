//! Where the worker learns what should be in the cluster.

use std::error::Error;
use std::future::Future;

use domain::{
    KubernetesSecret, Labels, Placement, ProjectPath, ProjectionRule, ProjectionStatus,
    ResourceVersion, SecretPath, SecretType, Tombstone, Uid,
};

/// What the worker needs from Tresor. The daemon implements it in process; a client that dials a
/// daemon implements it for a cluster far away.
pub trait Source: Send + Sync + 'static {
    /// Everything the worker needs to know, consistent at one resource version.
    fn snapshot(&self) -> impl Future<Output = Result<Snapshot, SourceError>> + Send;

    /// Waits until something changed after that resource version, then returns the changes in
    /// order. [`SourceError::Gone`] means that they are no longer known: take a snapshot.
    fn changes(
        &self,
        after: ResourceVersion,
    ) -> impl Future<Output = Result<Changes, SourceError>> + Send;

    /// The decrypted Kubernetes form of the secret's current version; that of a `variable` has one
    /// value, which becomes its entry in a merged copy. `None` when the secret is
    /// gone, has no live version, or is not that uid any more.
    fn reveal(
        &self,
        path: &SecretPath,
        uid: Uid,
    ) -> impl Future<Output = Result<Option<Revealed>, SourceError>> + Send;

    /// All copies that this tombstone stands for are gone from this worker's cluster. May be told
    /// more than once.
    fn removed(
        &self,
        tombstone: &Tombstone,
    ) -> impl Future<Output = Result<(), SourceError>> + Send;

    /// Whether Tresor has come as far as a copy of its own in the cluster says. If it has not, it was
    /// put back to an earlier state, which the source makes known. Called from the worker's loop, so
    /// it must be quick.
    fn has_reached(&self, seen: ResourceVersion) -> bool;

    /// A secret's copy in the cluster is of that later state than the secret itself, so the secret
    /// was put back. May be told more than once.
    fn was_put_back(&self, seen: ResourceVersion);

    /// How a projection stands now; replaces what was said about the same uid and placement.
    /// Called from the worker's loop, so it must be quick.
    fn report(&self, status: ProjectionStatus);

    /// That projection no longer exists. Called from the worker's loop, so it must be quick.
    fn forget(&self, secret: Uid, placement: &Placement);
}

/// A secret's current version, decrypted.
pub struct Revealed {
    /// What it becomes in Kubernetes.
    pub secret: KubernetesSecret,
    /// Which version it is.
    pub version: u64,
    /// When the secret last changed; may be newer than what the worker has heard of.
    pub changed_at: ResourceVersion,
}

/// All projects with rules, all secrets, and all tombstones not yet confirmed.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What it is consistent at.
    pub at: ResourceVersion,
    /// The projects that have rules.
    pub projects: Vec<ProjectRules>,
    /// The secrets, in any order.
    pub secrets: Vec<SecretMeta>,
    /// What is still to be removed.
    pub tombstones: Vec<Tombstone>,
}

/// All rules of one project.
#[derive(Clone, Debug)]
pub struct ProjectRules {
    /// The project.
    pub path: ProjectPath,
    /// Its identity, which its merged copies carry.
    pub uid: Uid,
    /// Its rules; none is a way to say that it has lost them.
    pub rules: Vec<ProjectionRule>,
}

/// A secret without its value.
#[derive(Clone, Debug)]
pub struct SecretMeta {
    /// What it is called.
    pub path: SecretPath,
    /// Its identity.
    pub uid: Uid,
    /// Its type; only a `variable` becomes an entry of a merged copy.
    pub kind: SecretType,
    /// The further projects by whose rules it is projected too.
    pub bound_to: Vec<ProjectPath>,
    /// Its current version; `None` when it has no live one, and is not projected.
    pub version: Option<u64>,
    /// Its labels, for rules that pass them on.
    pub labels: Labels,
    /// When it last changed.
    pub changed_at: ResourceVersion,
}

/// What changed, in order.
#[derive(Clone, Debug)]
pub struct Changes {
    /// The resource version that these changes lead to.
    pub at: ResourceVersion,
    /// The changes.
    pub changes: Vec<Change>,
}

/// One change.
#[derive(Clone, Debug)]
pub enum Change {
    /// A project's rules are these now.
    Project(ProjectRules),
    /// A project is gone.
    ProjectRemoved(ProjectPath),
    /// A secret is new or has changed.
    Secret(SecretMeta),
    /// A secret is gone. Its copies stay until a tombstone says otherwise.
    SecretRemoved {
        /// What it was called.
        path: SecretPath,
        /// Its identity.
        uid: Uid,
    },
    /// Something is to be removed from the cluster. It comes together with the change that retired
    /// it, or later: one of a secret that is still desired is taken for stale and confirmed.
    Tombstone(Tombstone),
}

/// Why the source did not answer.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The changes after that resource version are no longer known.
    #[error("the changes after that resource version are no longer known")]
    Gone,
    /// Tresor's data cannot be read now.
    #[error("Tresor's data cannot be read now")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}
