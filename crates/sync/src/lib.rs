//! The sync worker: keeps Kubernetes Secrets equal to the secrets of Tresor.
//!
//! Desired state comes from a [`Source`], in process or remote; actual state from one watch per
//! namespace on the Secrets that carry our label. One loop owns both, and for each placement whose
//! two sides differ it starts one short, idempotent act: observe, compare, apply, report.
//!
//! A secret is projected by the rules of its home project and of each project that it is bound to;
//! `{project}` and `{org}` in a pattern are those of the project whose rule it is. A rule of mode
//! `merged` makes one Secret of a project's `variable` secrets, with an entry for each.
//!
//! # Who gets a name
//!
//! Projects may share a namespace. Of several claims on a name there, or on a key of a merged copy,
//! what is a project's own wins over what is bound to it, and then the older uid; the loser is
//! `NameTaken`. A merged copy claims its name with the project's uid, also while it has no entries.
//! The order depends on nothing else, so claims do not flap. Entries get room in the same order,
//! up to the 1 MiB that Kubernetes takes; one that does not fit is `TooLarge`, and a smaller one
//! after it may still fit.
//!
//! # What it promises
//!
//!
//! * Nothing is written when nothing differs, so that a restart writes nothing.
//! * A Secret that is not ours is neither overwritten nor deleted. Every write carries what was
//!   observed (created only if absent, replaced only at that resource version), so that this also
//!   holds for a Secret that appears between looking and writing.
//! * Something is deleted only on a [`domain::Tombstone`], never because a list was empty or
//!   failed, and only while that are no more than [`Worker::with_max_deletions`] says: more are
//!   `Braked` until somebody calls [`Brake::release`]. A merged copy of at least ten entries that
//!   would lose more than half of them without tombstones is held back likewise.
//! * A Secret that is not ours becomes ours only when its owner in the cluster says so, by the
//!   annotation `tresor.dev/adopt` with the source URI of the secret or project that may take it:
//!   `secret://CLUSTER/ORG/PROJECT/NAME` or, for a merged copy, `secret://CLUSTER/ORG/PROJECT`. The
//!   message of the `Conflict` has the command. It is seen within half a minute, or at once when
//!   our label is set too.
//! * No value is kept, logged or written into an annotation. Objects that were read are reduced to
//!   a digest under a key that exists only in this process.
//! * Of several replicas that contend for a Lease, one acts; see [`Worker::with_lease`].
//! * What fails is shown as the state of its projection, retried with capped back-off, and does not
//!   delay the others.
//!
//! # Which rights it needs
//!
//! In each namespace that rules name: `get`, `list`, `watch`, `create`, `update` and `delete` on
//! `secrets`. With a Lease, in its namespace: `get`, `create` and `update` on `leases` of the group
//! `coordination.k8s.io`. For [`create_job`], where jobs are to run: `create` on `jobs` of the group
//! `batch`. Nothing else, and nothing cluster-wide.

mod acts;
mod backoff;
mod basket;
mod brake;
mod claim;
mod client;
mod decide;
mod desired;
mod desk;
mod digest;
mod election;
mod failure;
mod follow;
mod job;
mod kubernetes;
mod lease;
mod marks;
mod metrics;
mod observed;
mod reconcile;
mod reveal;
mod schedule;
mod source;
mod statuses;
mod sweep;
mod tombstones;
mod views;
mod watch;
mod worker;

pub use brake::Brake;
pub use client::{Client, ClientError, client_from_kubeconfig, client_in_cluster};
pub use job::{NotCreated, create_job};
pub use lease::LeaseName;
pub use metrics::{LAG_BOUNDS, Lags, STATES, SyncMetrics};
pub use source::{
    Change, Changes, ProjectRules, Revealed, SecretMeta, Snapshot, Source, SourceError,
};
pub use worker::Worker;
