//! How each projection stands, told to the source whenever it changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use domain::{
    Clock, Placement, ProjectionState, ProjectionStatus, ResourceVersion, SecretPath, Uid,
};

use crate::failure::Failure;
use crate::metrics::SyncMetrics;
use crate::source::{SecretMeta, Source};

/// The statuses that were reported last.
pub(crate) struct Statuses<S: Source> {
    source: Arc<S>,
    clock: Arc<dyn Clock>,
    metrics: Arc<SyncMetrics>,
    all: HashMap<Placement, BTreeMap<Uid, ProjectionStatus>>,
}

impl<S: Source> Statuses<S> {
    pub(crate) fn new(source: Arc<S>, clock: Arc<dyn Clock>, metrics: Arc<SyncMetrics>) -> Self {
        Self { source, clock, metrics, all: HashMap::new() }
    }

    /// Forgets the projections of secrets that no longer claim the place.
    pub(crate) fn keep_only(&mut self, placement: &Placement, claims: &BTreeSet<Uid>) {
        let Some(known) = self.all.get_mut(placement) else {
            return;
        };
        known.retain(|uid, status| {
            let stays = claims.contains(uid);
            if !stays {
                self.source.forget(*uid, placement);
                self.metrics.leave(status.state);
            }
            stays
        });
        if known.is_empty() {
            self.all.remove(placement);
        }
    }

    /// The projection holds exactly that version.
    pub(crate) fn synced(
        &mut self,
        secret: &SecretMeta,
        placement: &Placement,
        at: (u64, ResourceVersion),
    ) {
        let who = (&secret.path, secret.uid);
        self.set(who, placement, ProjectionState::Synced, None, Some(at));
    }

    /// The projection stands so, for that reason.
    pub(crate) fn failed(&mut self, secret: &SecretMeta, placement: &Placement, failure: Failure) {
        self.left((&secret.path, secret.uid), placement, failure);
    }

    /// A copy of a secret that may be gone stands so, for that reason.
    pub(crate) fn left(
        &mut self,
        secret: (&SecretPath, Uid),
        placement: &Placement,
        failure: Failure,
    ) {
        self.set(secret, placement, failure.state, Some(failure.message), None);
    }

    /// The projection is about to be worked on; a failure that is known stays shown until then.
    pub(crate) fn pending(&mut self, secret: &SecretMeta, placement: &Placement) {
        let known = self.all.get(placement).and_then(|known| known.get(&secret.uid));
        let stands = known.is_some_and(|status| match status.state {
            ProjectionState::NameTaken => false,
            ProjectionState::Synced => status.synced.is_some_and(|(_, at)| at >= secret.changed_at),
            _ => true,
        });
        if !stands {
            let who = (&secret.path, secret.uid);
            self.set(who, placement, ProjectionState::Pending, None, None);
        }
    }

    fn set(
        &mut self,
        (path, uid): (&SecretPath, Uid),
        placement: &Placement,
        state: ProjectionState,
        message: Option<String>,
        synced: Option<(u64, ResourceVersion)>,
    ) {
        let known = self.all.entry(placement.clone()).or_default();
        let before = known.get(&uid);
        let same_state = before.is_some_and(|before| before.state == state);
        let status = ProjectionStatus {
            secret: path.clone(),
            uid,
            placement: placement.clone(),
            state,
            synced: synced.or_else(|| before?.synced),
            since: before.filter(|_| same_state).map_or_else(|| self.clock.now(), |b| b.since),
            message,
        };
        if before != Some(&status) {
            if let Some(before) = before {
                self.metrics.leave(before.state);
            }
            self.metrics.enter(state);
            known.insert(uid, status.clone());
            self.source.report(status);
        }
    }
}

impl<S: Source> Drop for Statuses<S> {
    /// Who stops acting knows nothing any more; who goes on reports anew.
    fn drop(&mut self) {
        for (placement, known) in &self.all {
            for (uid, status) in known {
                self.source.forget(*uid, placement);
                self.metrics.leave(status.state);
            }
        }
    }
}
