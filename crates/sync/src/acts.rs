//! What the loop starts, and what it makes of how that ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::{Placement, ProjectionState, Retired, SecretPath, Uid};
use tokio::time::Instant;

use crate::claim::{Owner, Wanted};
use crate::decide::{Expected, Outcome};
use crate::desk::{Desk, Reach};
use crate::failure::Failure;
use crate::metrics::SyncMetrics;
use crate::reconcile::{Job, Look, Report, Settled};
use crate::source::Source;
use crate::sweep::{Sweep, confirm};
use crate::tombstones::TombstoneId;
use crate::views::LISTS;

/// At most so many acts at once; with the lists and the sweep, at most sixteen calls. Watches that
/// wait for something to happen are not counted.
const ACTS: usize = 16 - LISTS - 1;

/// What a task returns to the loop.
pub(crate) enum Finished {
    Confirmed(Vec<TombstoneId>),
    Reconciled(Box<Report>),
    Swept(Sweep),
}

impl<S: Source> Desk<S> {
    /// Starts whatever is due and has room.
    pub(crate) fn start_due(&mut self) {
        let now = Instant::now();
        self.tend_brake(now);
        while let Ok(reach) = &mut self.reach {
            if reach.schedule.running() >= ACTS {
                break;
            }
            let Some(placement) = reach.schedule.pop(now) else {
                break;
            };
            self.start(placement, now);
        }
        self.start_sweep(now);
    }

    fn start(&mut self, placement: Placement, now: Instant) {
        let (wanted, doomed) = (self.desired.wanted(&placement), self.dooming(&placement));
        let is_deletion = self.is_deletion(&placement);
        let Ok(reach) = &mut self.reach else {
            return;
        };
        // As soon as the namespace is in sight, all of it is worked on again.
        if !reach.views.is_live(&placement.namespace) {
            return;
        }
        if wanted.is_none() && doomed.is_none() {
            return reach.schedule.forget(&placement);
        }
        if let Some((owner, ids)) = doomed.as_ref().filter(|_| is_deletion) {
            if reach.held.holds_back(&placement) {
                return self.hold_back(&placement, *owner, ids);
            }
            // What is not listed yet may hold more that is to go, and counts too.
            if reach.held.counts(&placement) && reach.views.are_starting() {
                return;
            }
        }
        let observed = reach.views.observed(&placement).cloned();
        let entry = reach.schedule.begin(&placement, now);
        let look = if entry.unsure { Look::Unknown } else { Look::Seen(observed) };
        let expected = entry.expected.clone();
        reach.acts.insert(placement.clone(), wanted.clone());
        let newer = reach.held.newer(&placement);
        let accounted = self.accounted(&placement, wanted.as_ref(), expected.as_ref());
        let retired = doomed.map(|(owner, _)| owner);
        self.spawn(Job { placement, wanted, expected, look, retired, accounted, newer });
    }

    fn spawn(&mut self, job: Job) {
        if let Ok(reach) = &self.reach {
            let reconciler = Arc::clone(&reach.reconciler);
            self.tasks
                .spawn(async move { Finished::Reconciled(Box::new(reconciler.run(job).await)) });
        }
    }

    /// How many entries a merged copy may have lost by tombstones; `None` when it was released.
    fn accounted(
        &self,
        placement: &Placement,
        wanted: Option<&Wanted>,
        expected: Option<&Expected>,
    ) -> Option<usize> {
        let held = self.reach.as_ref().ok().map(|reach| &reach.held)?;
        let Some(wanted) = wanted.filter(|wanted| wanted.is_merged()) else {
            return Some(0);
        };
        let was_there = |uid| expected.is_some_and(|e| e.shown.iter().any(|s| s.uid == uid));
        (!held.is_released(placement))
            .then(|| self.tombstones.accounting_for(&wanted.by, was_there))
    }

    /// Shows that a copy stays although a tombstone wants it gone. What cannot be named as a
    /// secret's, which is a merged copy, is only counted and logged.
    fn hold_back(&mut self, placement: &Placement, owner: Owner, ids: &[TombstoneId]) {
        let Ok(reach) = &mut self.reach else {
            return;
        };
        reach.braked.insert(placement.clone());
        let is_newer = reach.held.newer(placement) == Some(true);
        let failure = if is_newer { Failure::rolled_back() } else { Failure::braked() };
        let Owner::Secret(uid) = owner else {
            return;
        };
        let living = self.desired.secret(uid).map(|secret| &secret.path);
        if let Some(path) = living.or_else(|| ids.iter().find_map(|(_, what)| name(what, uid))) {
            self.statuses.left((path, uid), placement, failure);
        }
    }

    /// Notices that the brake has begun or ceased to hold.
    fn tend_brake(&mut self, now: Instant) {
        let Ok(reach) = &mut self.reach else {
            return;
        };
        let count = reach.held.count();
        if self.metrics.braked() == 0 && count > 0 {
            tracing::error!(
                projections.braked = count,
                "more would be deleted at once than the worker deletes by itself, so it is held back"
            );
        }
        self.metrics.set_braked(count);
        let (held, braked) = (&reach.held, &mut reach.braked);
        let free: Vec<_> = braked.extract_if(.., |placement| !held.holds_back(placement)).collect();
        if !free.is_empty() && !reach.held.holds() {
            tracing::info!(projections.released = free.len(), "deletions are not held back now");
            self.resume_deletions(now);
        }
        for placement in free {
            self.statuses.keep_only(&placement, &self.desired.contest(&placement).uids());
        }
    }

    /// The operator lets go what is held back.
    pub(crate) fn release_brake(&mut self) {
        let now = Instant::now();
        let Ok(reach) = &mut self.reach else {
            return;
        };
        let places = reach.held.release();
        tracing::info!(projections.released = places.len(), "the brake was released");
        for placement in &places {
            reach.schedule.hasten(placement, now);
        }
    }

    fn start_sweep(&mut self, now: Instant) {
        let in_use = self.in_use();
        let Ok(reach) = &mut self.reach else {
            return;
        };
        if reach.sweep.begin(now) {
            let is_unsettled = |placement: &Placement| !reach.schedule.is_settled(placement);
            let unsettled = self.desired.merged().filter(is_unsettled).collect();
            let sweep = Sweep::new(&self.tombstones, in_use, unsettled, reach.acts.iter());
            let kubernetes = reach.reconciler.kubernetes.clone();
            self.tasks.spawn(async move { Finished::Swept(sweep.look(kubernetes).await) });
        }
    }

    /// When something is due next, if anything can be started at all.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let reach = self.reach.as_ref().ok()?;
        let has_room = reach.schedule.running() < ACTS;
        let act = reach.schedule.next_due().filter(|_| has_room);
        [act, reach.sweep.next_due()].into_iter().flatten().min()
    }

    /// A task has ended.
    pub(crate) fn finish(&mut self, finished: Finished) {
        match finished {
            Finished::Confirmed(done) => self.confirmed(&done),
            Finished::Reconciled(report) => self.reconciled(*report),
            Finished::Swept(sweep) => self.swept(sweep),
        }
    }

    fn reconciled(&mut self, report: Report) {
        let Ok(reach) = &mut self.reach else {
            return;
        };
        let (placement, now) = (&report.placement, Instant::now());
        reach.acts.remove(placement);
        let again = reach.schedule.end(placement);
        if report.repaired {
            reach.schedule.repaired(placement, now);
        }
        // Of what a merged copy had held, the sweep may now find nothing.
        let merged = report.wanted.as_ref().is_some_and(Wanted::is_merged);
        if report.wanted.is_none() || (merged && !self.tombstones.is_empty()) {
            reach.sweep.hasten(now);
        }
        reach.take_in(&report, again, &self.metrics);
        if again {
            self.reconsider(&report.placement, now);
        }
        self.show(report);
    }

    /// Shows how an act ended, unless the place belongs to something else by now.
    fn show(&mut self, report: Report) {
        let Report { placement, wanted, expected, result, .. } = report;
        let current = self.desired.wanted(&placement);
        let same = current.filter(|now| wanted.is_some_and(|then| then.owner == now.owner));
        let shown = expected.iter().flat_map(|expected| &expected.shown);
        let shown: BTreeMap<_, _> = shown.map(|shown| (shown.uid, shown)).collect();
        for secret in same.iter().flat_map(|wanted| &wanted.secrets) {
            let shown = shown.get(&secret.uid);
            match (&result, shown.map(|shown| (shown.outcome, shown))) {
                (Err(failure), _) => self.statuses.failed(secret, &placement, failure.clone()),
                (Ok(_), Some((Outcome::In, shown))) => {
                    self.statuses.synced(secret, &placement, (shown.version, shown.changed_at));
                }
                (Ok(_), Some((Outcome::TooLarge, _))) => {
                    self.statuses.failed(secret, &placement, Failure::too_large());
                }
                (Ok(_), Some((Outcome::Vanished, _)) | None) => {}
            }
        }
    }

    fn swept(&mut self, sweep: Sweep) {
        let Ok(reach) = &mut self.reach else {
            return;
        };
        let store = &reach.reconciler.store;
        let done = sweep.confirmed(&self.cluster, store, &self.tombstones, &self.desired);
        let source = Arc::clone(&reach.reconciler.source);
        self.tasks.spawn(async move { Finished::Confirmed(confirm(&*source, done).await) });
    }

    fn confirmed(&mut self, done: &[TombstoneId]) {
        for id in done {
            self.tombstones.remove(id);
        }
        let (remains, now) = (!self.tombstones.is_empty(), Instant::now());
        if let Ok(reach) = &mut self.reach {
            done.iter().for_each(|id| reach.held.forget(id));
            reach.sweep.end(remains, now);
        }
        if !done.is_empty() {
            self.recount(now);
        }
        self.cover();
    }
}

impl<S> Reach<S> {
    /// Remembers how an act ended, and when it is to be tried again.
    fn take_in(&mut self, report: &Report, again: bool, metrics: &SyncMetrics) {
        let (placement, now) = (&report.placement, Instant::now());
        let entry = self.schedule.entry(placement);
        entry.expected.clone_from(&report.expected);
        match &report.result {
            Ok(Settled::Done) => {
                entry.settled();
                if let Some(heard) = entry.heard.take_if(|_| !again) {
                    metrics.observe_lag(now - heard);
                }
                self.held.consider_merged(placement, false);
            }
            Ok(Settled::Vanished) => self.schedule.retry(placement, now),
            Err(failure) => {
                entry.unsure = failure.state == ProjectionState::Conflict;
                let anew = entry.fails_anew(failure.state);
                note(metrics, placement, failure, anew);
                match failure.state {
                    ProjectionState::Braked => self.held.consider_merged(placement, true),
                    ProjectionState::RolledBack => {
                        let found = self.views.observed(placement);
                        let bears = found.and_then(|found| found.marks.resource_version());
                        self.held.consider_newer(placement, bears, true);
                    }
                    _ => {}
                }
                self.schedule.retry(placement, now);
            }
        }
    }
}

/// What a tombstone calls that secret.
fn name(what: &Retired, of: Uid) -> Option<&SecretPath> {
    match what {
        Retired::Binding { path, uid, .. } | Retired::Secret { path, uid } => {
            (*uid == of).then_some(path)
        }
        Retired::Rule { .. } => None,
    }
}

/// Counts a failure, and logs it if it is new.
fn note(metrics: &SyncMetrics, placement: &Placement, failure: &Failure, anew: bool) {
    match failure.state {
        ProjectionState::Conflict if anew => metrics.count_conflict(),
        ProjectionState::Braked
        | ProjectionState::Conflict
        | ProjectionState::Pending
        | ProjectionState::RolledBack => {}
        _ => metrics.count_error(),
    }
    if anew {
        tracing::warn!(
            kubernetes.namespace = %placement.namespace,
            kubernetes.name = placement.name,
            projection.state = %failure.state,
            reason = failure.message,
            "a projection is not in sync; it is tried again"
        );
    }
}
