//! The worker's loop state, and how it reacts to each thing that can happen.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;

use domain::{Namespace, Placement, ProjectionState};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::desired::{Desired, Touched};
use crate::failure::Failure;
use crate::follow::News;
use crate::metrics::SyncMetrics;
use crate::reconcile::{Job, Look, Reconciler, Report, Settled};
use crate::schedule::Schedule;
use crate::source::{Change, SecretMeta, Source};
use crate::statuses::Statuses;
use crate::sweep::{Sweep, SweepClock, confirm};
use crate::tombstones::{Copy, TombstoneId, Tombstones};
use crate::views::{LISTS, Noticed, Views};
use crate::watch::{Seen, Sighting};

/// At most so many acts at once; with the lists and the sweep, at most sixteen calls. Watches that
/// wait for something to happen are not counted.
const ACTS: usize = 16 - LISTS - 1;

/// Everything that the loop knows.
pub(crate) struct Desk<S> {
    pub(crate) cluster: String,
    pub(crate) desired: Desired,
    pub(crate) tombstones: Tombstones,
    pub(crate) statuses: Statuses<S>,
    pub(crate) reach: Option<Reach<S>>,
    pub(crate) tasks: JoinSet<Finished>,
}

/// What there is only when a cluster is attached.
pub(crate) struct Reach<S> {
    pub(crate) views: Views,
    pub(crate) reconciler: Arc<Reconciler<S>>,
    pub(crate) schedule: Schedule,
    pub(crate) sweep: SweepClock,
    pub(crate) acts: HashMap<Placement, Option<SecretMeta>>,
}

/// What a task returns to the loop.
pub(crate) enum Finished {
    Confirmed(Vec<TombstoneId>),
    Reconciled(Box<Report>),
    Swept(Sweep),
}

impl<S: Source> Desk<S> {
    /// The source said something.
    pub(crate) fn hear(&mut self, news: News) {
        let mut entombed = false;
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
                touched
            }
        };
        self.cover();
        for placement in &touched {
            self.touch(placement);
        }
        if entombed {
            self.bury();
        }
    }

    fn change(&mut self, change: Change) -> Touched {
        match change {
            Change::Project(project) => self.desired.put_rules(project),
            Change::ProjectRemoved(path) => self.desired.remove_project(path),
            Change::Secret(secret) => self.desired.put_secret(secret),
            Change::SecretRemoved { uid, .. } => self.desired.remove_secret(uid),
            Change::Tombstone(tombstone) => {
                self.tombstones.insert(tombstone);
                Touched::new()
            }
        }
    }

    /// Watches the namespaces that are in use now, and no others.
    fn cover(&mut self) {
        let in_use = self.in_use();
        if let Some(reach) = &mut self.reach {
            reach.views.cover(&in_use);
        }
    }

    fn in_use(&self) -> BTreeSet<Namespace> {
        let mut in_use = self.desired.namespaces();
        in_use.extend(self.tombstones.namespaces().cloned());
        in_use
    }

    /// What is desired in a place may have changed: show it, and work on it.
    fn touch(&mut self, placement: &Placement) {
        let claimants: Vec<SecretMeta> = self.desired.claimants(placement).cloned().collect();
        self.statuses.keep_only(placement, &claimants);
        let Some(reach) = &mut self.reach else {
            for secret in &claimants {
                self.statuses.failed(secret, placement, Failure::no_cluster());
            }
            return;
        };
        if let Some((winner, others)) = claimants.split_first() {
            for secret in others {
                self.statuses.failed(secret, placement, Failure::name_taken());
            }
            match reach.views.failure(&placement.namespace) {
                Some(failure) => self.statuses.failed(winner, placement, failure.clone()),
                None => self.statuses.pending(winner, placement),
            }
        }
        reach.schedule.hasten(placement, Instant::now());
    }

    /// New tombstones came: work on every object, since each may be covered by one.
    fn bury(&mut self) {
        let Some(reach) = &mut self.reach else {
            return;
        };
        let now = Instant::now();
        for (namespace, name) in reach.views.names() {
            let placement = Placement {
                cluster: self.cluster.clone(),
                namespace: namespace.clone(),
                name: name.clone(),
            };
            reach.schedule.hasten(&placement, now);
        }
        reach.sweep.hasten(now);
    }

    /// A watch saw something.
    pub(crate) fn see(&mut self, sighting: Sighting) {
        let namespace = sighting.namespace.clone();
        let Some(reach) = &mut self.reach else {
            return;
        };
        if matches!(sighting.seen, Seen::Gone(_)) && !self.tombstones.is_empty() {
            reach.sweep.hasten(Instant::now());
        }
        match reach.views.accept(sighting) {
            Noticed::Objects(names) => self.hasten(&namespace, names),
            Noticed::Live => {
                tracing::info!(kubernetes.namespace = %namespace, "a namespace is in sight");
                self.hasten_all(&namespace);
            }
            Noticed::Failing(failure) => {
                tracing::warn!(
                    kubernetes.namespace = %namespace,
                    projection.state = %failure.state,
                    reason = failure.message,
                    "a namespace cannot be watched; it is tried again"
                );
                self.show_failure(&namespace, &failure);
            }
        }
    }

    fn hasten(&mut self, namespace: &Namespace, names: Vec<String>) {
        let Some(reach) = &mut self.reach else {
            return;
        };
        let now = Instant::now();
        for name in names {
            let (cluster, namespace) = (self.cluster.clone(), namespace.clone());
            reach.schedule.hasten(&Placement { cluster, namespace, name }, now);
        }
    }

    fn hasten_all(&mut self, namespace: &Namespace) {
        let Some(reach) = &mut self.reach else {
            return;
        };
        let observed = reach.views.names().filter(|(ns, _)| *ns == namespace);
        let mut names: BTreeSet<String> = observed.map(|(_, name)| name.clone()).collect();
        names.extend(self.desired.placements(namespace).into_iter().map(|place| place.name));
        if !self.tombstones.is_empty() {
            reach.sweep.hasten(Instant::now());
        }
        self.hasten(namespace, names.into_iter().collect());
    }

    fn show_failure(&mut self, namespace: &Namespace, failure: &Failure) {
        for placement in self.desired.placements(namespace) {
            if let Some(winner) = self.desired.winner(&placement) {
                self.statuses.failed(winner, &placement, failure.clone());
            }
        }
    }

    /// Starts whatever is due and has room.
    pub(crate) fn start_due(&mut self) {
        let now = Instant::now();
        while let Some(reach) = &mut self.reach {
            if reach.schedule.running() >= ACTS {
                break;
            }
            let Some(placement) = reach.schedule.pop(now) else {
                break;
            };
            self.start(placement);
        }
        self.start_sweep(now);
    }

    fn start(&mut self, placement: Placement) {
        let Some(reach) = &mut self.reach else {
            return;
        };
        // As soon as the namespace is in sight, all of it is hastened again.
        if !reach.views.is_live(&placement.namespace) {
            return;
        }
        let wanted = self.desired.winner(&placement).cloned();
        let observed = reach.views.observed(&placement);
        let retired = observed.and_then(|observed| {
            let owner = observed.marks.owner(&placement, &reach.reconciler.store)?;
            let copy = Copy { placement: &placement, owner, marks: &observed.marks };
            let covered = !self.tombstones.standing_for(&copy, &self.desired).is_empty();
            covered.then_some(owner)
        });
        if wanted.is_none() && retired.is_none() {
            return reach.schedule.forget(&placement);
        }
        let observed = observed.cloned();
        let entry = reach.schedule.begin(&placement);
        let look = if entry.unsure { Look::Unknown } else { Look::Seen(observed) };
        let expected = entry.expected.clone();
        reach.acts.insert(placement.clone(), wanted.clone());
        let job = Job { placement, wanted, expected, look, retired };
        let reconciler = Arc::clone(&reach.reconciler);
        self.tasks.spawn(async move { Finished::Reconciled(Box::new(reconciler.run(job).await)) });
    }

    fn start_sweep(&mut self, now: Instant) {
        let in_use = self.in_use();
        let Some(reach) = &mut self.reach else {
            return;
        };
        if reach.sweep.begin(now) {
            let sweep = Sweep::new(&self.tombstones, in_use, reach.acts.iter());
            let kubernetes = reach.reconciler.kubernetes.clone();
            self.tasks.spawn(async move { Finished::Swept(sweep.look(kubernetes).await) });
        }
    }

    /// When something is due next, if anything can be started at all.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let reach = self.reach.as_ref()?;
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
        let Some(reach) = &mut self.reach else {
            return;
        };
        let (placement, now) = (&report.placement, Instant::now());
        reach.acts.remove(placement);
        let again = reach.schedule.end(placement);
        if report.repaired {
            reach.schedule.repaired(placement, now);
        }
        if report.wanted.is_none() {
            reach.sweep.hasten(now);
        }
        let entry = reach.schedule.entry(placement);
        entry.expected.clone_from(&report.expected);
        match &report.result {
            Ok(Settled::Done) => entry.settled(),
            Ok(Settled::Vanished) => reach.schedule.retry(placement, now),
            Err(failure) => {
                entry.unsure = failure.state == ProjectionState::Conflict;
                let anew = entry.fails_anew(failure.state);
                note(&reach.reconciler.metrics, placement, failure, anew);
                reach.schedule.retry(placement, now);
            }
        }
        if again {
            reach.schedule.hasten(placement, now);
        }
        self.show(report);
    }

    /// Shows how an act ended, unless the place belongs to another secret by now.
    fn show(&mut self, report: Report) {
        let Report { placement, wanted, expected, result, .. } = report;
        let current = self.desired.winner(&placement);
        let same = current.filter(|now| wanted.is_some_and(|then| then.uid == now.uid));
        match (result, same, expected) {
            (Ok(Settled::Done), Some(secret), Some(expected)) => {
                let at = (expected.version, expected.changed_at);
                self.statuses.synced(secret, &placement, at);
            }
            (Err(failure), Some(secret), _) => self.statuses.failed(secret, &placement, failure),
            _ => {}
        }
    }

    fn swept(&mut self, sweep: Sweep) {
        let Some(reach) = &mut self.reach else {
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
        let remains = !self.tombstones.is_empty();
        if let Some(reach) = &mut self.reach {
            reach.sweep.end(remains, Instant::now());
        }
        self.cover();
    }
}

/// Counts a failure, and logs it if it is new.
fn note(metrics: &SyncMetrics, placement: &Placement, failure: &Failure, anew: bool) {
    match failure.state {
        ProjectionState::Conflict if anew => metrics.count_conflict(),
        ProjectionState::Conflict | ProjectionState::Pending => {}
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
