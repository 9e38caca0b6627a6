//! The worker's loop state, and how it reacts to what it hears and sees.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;

use domain::{Namespace, Placement};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::acts::Finished;
use crate::brake::Held;
use crate::claim::{Claim, Contest, Owner, Wanted};
use crate::desired::{Desired, Touched};
use crate::failure::Failure;
use crate::follow::News;
use crate::marks::Marks;
use crate::metrics::SyncMetrics;
use crate::reconcile::Reconciler;
use crate::schedule::Schedule;
use crate::source::{Change, Source};
use crate::statuses::Statuses;
use crate::sweep::SweepClock;
use crate::tombstones::{Copy, TombstoneId, Tombstones};
use crate::views::{Noticed, Views};
use crate::watch::{Seen, Sighting};

/// Everything that the loop knows.
pub(crate) struct Desk<S: Source> {
    pub(crate) cluster: String,
    pub(crate) desired: Desired,
    pub(crate) tombstones: Tombstones,
    pub(crate) statuses: Statuses<S>,
    pub(crate) metrics: Arc<SyncMetrics>,
    /// The cluster, or why this worker leaves it alone.
    pub(crate) reach: Result<Reach<S>, Failure>,
    pub(crate) tasks: JoinSet<Finished>,
}

/// What there is only when this worker acts on a cluster.
pub(crate) struct Reach<S> {
    pub(crate) views: Views,
    pub(crate) reconciler: Arc<Reconciler<S>>,
    pub(crate) schedule: Schedule,
    pub(crate) sweep: SweepClock,
    pub(crate) acts: HashMap<Placement, Option<Wanted>>,
    pub(crate) held: Held,
    /// The places of copies that are shown as `Braked`; none while the brake does not hold.
    pub(crate) braked: BTreeSet<Placement>,
}

impl<S: Source> Desk<S> {
    /// The source said something.
    pub(crate) fn hear(&mut self, news: News) {
        let now = Instant::now();
        let (mut entombed, anew) = (false, matches!(news, News::Snapshot(_)));
        let touched = match news {
            News::Snapshot(snapshot) => {
                entombed = !snapshot.tombstones.is_empty();
                self.tombstones.replace(snapshot.tombstones);
                self.desired.replace(snapshot.projects, snapshot.secrets)
            }
            News::Changes(changes) => {
                let mut touched = Touched::new();
                for change in changes.changes {
                    entombed |= matches!(change, Change::Tombstone(_));
                    touched.extend(self.change(change));
                }
                self.await_in_cluster(&touched, now);
                touched
            }
        };
        self.cover();
        for placement in &touched {
            self.touch(placement, now);
        }
        if entombed {
            self.bury(now);
        }
        if anew {
            self.recount(now);
        }
    }

    fn change(&mut self, change: Change) -> Touched {
        match change {
            Change::Project(project) => self.desired.put_rules(project),
            Change::ProjectRemoved(path) => self.desired.remove_project(&path),
            Change::Secret(secret) => self.desired.put_secret(secret),
            Change::SecretRemoved { uid, .. } => self.desired.remove_secret(uid),
            Change::Tombstone(tombstone) => {
                self.tombstones.insert(tombstone);
                Touched::new()
            }
        }
    }

    fn await_in_cluster(&mut self, touched: &Touched, now: Instant) {
        if let Ok(reach) = &mut self.reach {
            touched.iter().for_each(|placement| reach.schedule.heard(placement, now));
        }
    }

    /// Watches the namespaces that are in use now, and no others.
    pub(crate) fn cover(&mut self) {
        let in_use = self.in_use();
        let Ok(reach) = &mut self.reach else {
            return;
        };
        let waited = reach.views.are_starting();
        reach.views.cover(&in_use);
        reach.held.keep_only(|placement| in_use.contains(&placement.namespace));
        if waited && !reach.views.are_starting() {
            self.resume_deletions(Instant::now());
        }
    }

    pub(crate) fn in_use(&self) -> BTreeSet<Namespace> {
        let mut in_use = self.desired.namespaces();
        in_use.extend(self.tombstones.namespaces().cloned());
        in_use
    }

    /// What is desired in a place may have changed: show it, and work on it.
    fn touch(&mut self, placement: &Placement, now: Instant) {
        let contest = self.desired.contest(placement);
        self.statuses.keep_only(placement, &contest.uids());
        let Contest { winner, losers } = contest;
        let winners = winner.map(|wanted| wanted.secrets).unwrap_or_default();
        let reach = match &self.reach {
            Ok(reach) => reach,
            Err(reason) => {
                for secret in winners.iter().chain(&losers) {
                    self.statuses.failed(secret, placement, reason.clone());
                }
                return;
            }
        };
        for secret in &losers {
            self.statuses.failed(secret, placement, Failure::name_taken());
        }
        for secret in &winners {
            match reach.views.failure(&placement.namespace) {
                Some(failure) => self.statuses.failed(secret, placement, failure.clone()),
                None => self.statuses.pending(secret, placement),
            }
        }
        self.reconsider(placement, now);
    }

    /// Something about a place has changed: work on it, and count whether a copy there is to go.
    pub(crate) fn reconsider(&mut self, placement: &Placement, now: Instant) {
        let wanted = self.desired.winner(placement).map(Claim::owner);
        let doomed = self.dooming(placement).filter(|_| self.is_deletion(placement));
        let Ok(reach) = &mut self.reach else {
            return;
        };
        reach.compare_age(placement);
        // What waits for somebody's finalizer was deleted before.
        let deleted = reach.views.observed(placement).is_some_and(|observed| observed.deleting);
        let counted = doomed.filter(|_| !deleted).map(|(_, ids)| ids);
        reach.held.consider(placement, counted.unwrap_or_default());
        match wanted {
            Some(Owner::Project(_)) => reach.schedule.hasten_together(placement, now),
            Some(Owner::Secret(_)) | None => reach.schedule.hasten(placement, now),
        }
    }

    /// Whether to work on that place can only mean to delete what is there.
    pub(crate) fn is_deletion(&self, placement: &Placement) -> bool {
        self.desired.wanted(placement).is_none_or(|wanted| wanted.secrets.is_empty())
    }

    /// Whose copy in that place is to go, and for the sake of which tombstones.
    pub(crate) fn dooming(&self, placement: &Placement) -> Option<(Owner, Vec<TombstoneId>)> {
        let reach = self.reach.as_ref().ok()?;
        let observed = reach.views.observed(placement)?;
        let owner = observed.marks.owner(placement, &reach.reconciler.store)?;
        let copy = Copy { placement, owner, marks: &observed.marks };
        let ids = self.tombstones.dooming(&copy, &self.desired);
        (!ids.is_empty()).then(|| (owner, ids.into_iter().cloned().collect()))
    }

    /// Tombstones are no more: look again at what they had doomed.
    pub(crate) fn recount(&mut self, now: Instant) {
        let Ok(reach) = &self.reach else {
            return;
        };
        for placement in reach.held.doomed().cloned().collect::<Vec<_>>() {
            self.reconsider(&placement, now);
        }
    }

    /// New tombstones came: work on every object, since each may be covered by one.
    fn bury(&mut self, now: Instant) {
        let Ok(reach) = &mut self.reach else {
            return;
        };
        reach.sweep.hasten(now);
        let names: Vec<_> = reach.views.names().map(|(ns, n)| (ns.clone(), n.clone())).collect();
        for (namespace, name) in names {
            let placement = Placement { cluster: self.cluster.clone(), namespace, name };
            self.reconsider(&placement, now);
        }
    }

    /// A watch saw something.
    pub(crate) fn see(&mut self, sighting: Sighting) {
        let (namespace, now) = (sighting.namespace.clone(), Instant::now());
        let Ok(reach) = &mut self.reach else {
            return;
        };
        if matches!(sighting.seen, Seen::Gone(_)) && !self.tombstones.is_empty() {
            reach.sweep.hasten(now);
        }
        match reach.views.accept(sighting) {
            Noticed::Objects(names) => self.reconsider_names(&namespace, names, now),
            Noticed::Live => {
                tracing::info!(kubernetes.namespace = %namespace, "a namespace is in sight");
                self.reconsider_all(&namespace, now);
                self.resume_deletions(now);
            }
            Noticed::Failing(failure) => {
                tracing::warn!(
                    kubernetes.namespace = %namespace,
                    projection.state = %failure.state,
                    reason = failure.message,
                    "a namespace cannot be watched; it is tried again"
                );
                self.show_failure(&namespace, &failure);
                self.resume_deletions(now);
            }
        }
    }

    fn reconsider_names(&mut self, namespace: &Namespace, names: Vec<String>, now: Instant) {
        for name in names {
            let (cluster, namespace) = (self.cluster.clone(), namespace.clone());
            self.reconsider(&Placement { cluster, namespace, name }, now);
        }
    }

    fn reconsider_all(&mut self, namespace: &Namespace, now: Instant) {
        let Ok(reach) = &mut self.reach else {
            return;
        };
        let observed = reach.views.names().filter(|(ns, _)| *ns == namespace);
        let mut names: BTreeSet<String> = observed.map(|(_, name)| name.clone()).collect();
        names.extend(self.desired.placements(namespace).into_iter().map(|place| place.name));
        if !self.tombstones.is_empty() {
            reach.sweep.hasten(now);
        }
        self.reconsider_names(namespace, names.into_iter().collect(), now);
    }

    /// Works on the deletions that waited for something.
    pub(crate) fn resume_deletions(&mut self, now: Instant) {
        let Ok(reach) = &mut self.reach else {
            return;
        };
        for placement in reach.held.doomed() {
            reach.schedule.hasten(placement, now);
        }
    }

    fn show_failure(&mut self, namespace: &Namespace, failure: &Failure) {
        for placement in self.desired.placements(namespace) {
            let winner = self.desired.wanted(&placement);
            for secret in winner.iter().flat_map(|wanted| &wanted.secrets) {
                self.statuses.failed(secret, &placement, failure.clone());
            }
        }
    }
}

impl<S: Source> Reach<S> {
    /// Finds out whether what is in a place is of a later state than the source's.
    fn compare_age(&mut self, placement: &Placement) {
        let store = &self.reconciler.store;
        let ours = self.views.observed(placement).map(|observed| &observed.marks);
        let ours = ours.filter(|marks| marks.owner(placement, store).is_some());
        let bears = ours.and_then(Marks::resource_version);
        // Asked after it was seen, so that the source cannot have been there in between.
        let is_newer = bears.is_some_and(|seen| !self.reconciler.source.has_reached(seen));
        self.held.consider_newer(placement, bears, is_newer);
    }
}
