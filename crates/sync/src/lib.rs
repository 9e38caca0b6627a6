//! The sync worker: keeps Kubernetes Secrets equal to the secrets of Tresor.
//!
//! Desired state comes from a [`Source`], in process or remote; actual state from one watch per
//! namespace on the Secrets that carry our label. One loop owns both, and for each placement whose
//! two sides differ it starts one short, idempotent act: observe, compare, apply, report.
//!
//! What it promises:
//!
//! * Nothing is written when nothing differs, so that a restart writes nothing.
//! * A Secret that is not ours is neither overwritten nor deleted. Every write carries what was
//!   observed (created only if absent, replaced only at that resource version), so that this also
//!   holds for a Secret that appears between looking and writing.
//! * Something is deleted only on a [`domain::Tombstone`], never because a list was empty or
//!   failed.
//! * No value is kept, logged or written into an annotation. Objects that were read are reduced to
//!   a digest under a key that exists only in this process.
//! * What fails is shown as the state of its projection, retried with capped back-off, and does not
//!   delay the others.

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
mod kubernetes;
mod lease;
mod marks;
mod metrics;
mod names;
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
pub use client::{ClientError, client_from_kubeconfig, client_in_cluster};
pub use lease::LeaseName;
pub use metrics::{LAG_BOUNDS, Lags, STATES, SyncMetrics};
pub use source::{
    Change, Changes, ProjectRules, Revealed, SecretMeta, Snapshot, Source, SourceError,
};
pub use worker::Worker;
