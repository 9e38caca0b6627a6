//! Who wants a place in the cluster, and what it wants there. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::{ProjectPath, Uid};

use crate::source::SecretMeta;

/// Whose Kubernetes Secret it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Owner {
    /// A project's merged copy.
    Project(Uid),
    /// A secret's own copy.
    Secret(Uid),
}

/// A claim on a place. The order is that in which claims are granted: what is a project's own (its
/// secrets and its merged copy) before what is only bound to it, then the older before the younger,
/// since uids sort by time. Nothing of it depends on what happened before, so nothing flaps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claim {
    bound: bool,
    uid: Uid,
    merged: bool,
    /// The project whose rule it is.
    pub(crate) by: ProjectPath,
}

impl Claim {
    /// That of a secret under a rule of its home or of a project that it is bound to.
    pub(crate) fn of_secret(secret: &SecretMeta, by: &ProjectPath) -> Self {
        let bound = secret.path.project != *by;
        Self { bound, uid: secret.uid, merged: false, by: by.clone() }
    }

    /// That of a merged rule. It holds also while there are no entries: a rule reserves its name.
    pub(crate) fn of_project(uid: Uid, by: &ProjectPath) -> Self {
        Self { bound: false, uid, merged: true, by: by.clone() }
    }

    /// Whose claim it is.
    pub(crate) fn owner(&self) -> Owner {
        if self.merged { Owner::Project(self.uid) } else { Owner::Secret(self.uid) }
    }
}

/// What belongs in a place.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Whose copy.
    pub(crate) owner: Owner,
    /// The project whose rule wants it.
    pub(crate) by: ProjectPath,
    /// The secret, or those that a merged copy holds, in the order in which they get room.
    pub(crate) secrets: Vec<Arc<SecretMeta>>,
    /// The labels that the project's rules give it.
    pub(crate) labels: BTreeMap<String, String>,
}

impl Wanted {
    /// Whether it is a merged copy.
    pub(crate) fn is_merged(&self) -> bool {
        matches!(self.owner, Owner::Project(_))
    }

    /// Whether that secret is in it.
    pub(crate) fn holds(&self, uid: Uid) -> bool {
        self.secrets.iter().any(|secret| secret.uid == uid)
    }
}

/// What belongs in a place, and who would have liked to be there.
#[derive(Debug, Default)]
pub(crate) struct Contest {
    /// What belongs there.
    pub(crate) winner: Option<Wanted>,
    /// The secrets that found the name or the key taken.
    pub(crate) losers: Vec<Arc<SecretMeta>>,
}

impl Contest {
    /// The secrets that are or would like to be there.
    pub(crate) fn uids(&self) -> BTreeSet<Uid> {
        let winners = self.winner.iter().flat_map(|wanted| &wanted.secrets);
        winners.chain(&self.losers).map(|secret| secret.uid).collect()
    }
}
