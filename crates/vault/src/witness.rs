//! What others have seen of this store.
//!
//! A revision is durable before anybody is told of it. So a resource version that lies behind the
//! store's last one, in the hands of somebody outside, means that the data directory was put back
//! to an earlier state; or that it is another store's, or invented, which is why it matters who
//! shows it. What is suspected is kept until the daemon ends, also when the store has come as far
//! again meanwhile: its revisions of then are not those of before.

use std::collections::BTreeMap;

use domain::{ResourceVersion, Timestamp};
use parking_lot::Mutex;

use crate::{Vault, VaultError};

/// Who has seen a later state of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Witness {
    /// The audit log, where it lies outside the data directory.
    AuditLog,
    /// Whoever is signed in, and may have made it up.
    Client,
    /// A Kubernetes Secret that this store has made.
    Kubernetes,
}

impl Witness {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::AuditLog, Self::Client, Self::Kubernetes];

    /// The name in metrics and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuditLog => "audit_log",
            Self::Client => "client",
            Self::Kubernetes => "kubernetes",
        }
    }
}

/// A ground to believe that the data directory was put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// Who has seen a later state.
    pub witness: Witness,
    /// The latest one that it has seen.
    pub resource_version: ResourceVersion,
    /// When it first showed one.
    pub at: Timestamp,
}

/// What is suspected, by who is the witness.
#[derive(Default)]
pub(crate) struct Suspicions(Mutex<BTreeMap<Witness, Suspicion>>);

impl Vault {
    /// Holds what somebody outside has seen against the store as it is by now, and keeps it when the
    /// store has not come so far. Says whether it has.
    pub fn witness(&self, seen: ResourceVersion, by: Witness) -> bool {
        let reached = seen <= self.resource_version();
        if !reached {
            self.suspect(seen, by);
        }
        reached
    }

    /// Keeps what is a ground for suspicion by itself, such as a record that is older than its copy.
    pub fn suspect(&self, seen: ResourceVersion, by: Witness) {
        let mut kept = self.suspicions.0.lock();
        if let Some(known) = kept.get_mut(&by) {
            known.resource_version = known.resource_version.max(seen);
            return;
        }
        let at = self.clock.now();
        kept.insert(by, Suspicion { witness: by, resource_version: seen, at });
        tracing::error!(
            rollback.witness = by.as_str(),
            rollback.resource_version = %seen,
            store.resource_version = %self.resource_version(),
            "a later state of this store was seen outside: its data directory may have been put \
             back to an earlier one"
        );
    }

    /// What speaks for the data directory having been put back, since the daemon started.
    pub fn rollback(&self) -> Vec<Suspicion> {
        self.suspicions.0.lock().values().copied().collect()
    }

    /// The refusal of a change that rests on another state than the current one.
    pub(crate) fn stale(&self, expected: ResourceVersion, current: ResourceVersion) -> VaultError {
        self.witness(expected, Witness::Client);
        VaultError::Stale { current }
    }
}
