//! Confirming tombstones: looking once more, at the cluster itself, whether copies remain.
//!
//! The views would nearly do, but they trail behind our own writes: a copy that was created a
//! moment before its tombstone came may not be seen yet, and would stay for ever. So the list is
//! taken after all acts that could write such a copy have ended, and by a call of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::{Namespace, Placement, Retired, Tombstone};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::claim::{Owner, Wanted};
use crate::desired::Desired;
use crate::failure::CallError;
use crate::kubernetes::Kubernetes;
use crate::marks::Marks;
use crate::observed::found_marks;
use crate::source::Source;
use crate::tombstones::{Copy, TombstoneId, Tombstones};

/// So long after a tombstone or a deletion, to take many at once.
const DELAY: Duration = Duration::from_millis(100);
/// At least so long between two sweeps, since each lists whole namespaces.
const INTERVAL: Duration = Duration::from_millis(500);

/// When to sweep.
#[derive(Default)]
pub(crate) struct SweepClock {
    running: bool,
    at: Option<Instant>,
    last: Option<Instant>,
    backoff: Backoff,
}

impl SweepClock {
    /// Something happened that may let a tombstone be confirmed.
    pub(crate) fn hasten(&mut self, now: Instant) {
        self.backoff.reset();
        let earliest = self.last.map_or(now, |last| (last + INTERVAL).max(now));
        self.at = Some(earliest + DELAY);
    }

    /// When the next sweep is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.at.filter(|_| !self.running)
    }

    /// Whether a sweep is to begin now; if so, it has begun.
    pub(crate) fn begin(&mut self, now: Instant) -> bool {
        let due = self.next_due().is_some_and(|at| at <= now);
        if due {
            self.running = true;
            self.at = None;
            self.last = Some(now);
        }
        due
    }

    /// A sweep has ended; another follows if something remains.
    pub(crate) fn end(&mut self, remains: bool, now: Instant) {
        self.running = false;
        if remains && self.at.is_none() {
            self.at = Some(now + self.backoff.next_delay());
        }
    }
}

/// What a sweep is for and what it found.
pub(crate) struct Sweep {
    candidates: BTreeMap<TombstoneId, Tombstone>,
    in_use: BTreeSet<Namespace>,
    /// Where a merged copy may still hold the entry of a retired secret.
    unsettled: BTreeSet<Placement>,
    /// The namespaces whose complete list succeeded, and what is in them.
    found: BTreeMap<Namespace, Vec<(String, Marks)>>,
}

impl Sweep {
    /// A sweep for all tombstones that no running act concerns.
    pub(crate) fn new<'a>(
        tombstones: &Tombstones,
        in_use: BTreeSet<Namespace>,
        unsettled: BTreeSet<Placement>,
        running: impl Iterator<Item = (&'a Placement, &'a Option<Wanted>)> + Clone,
    ) -> Self {
        let is_free =
            |what: &Retired| !running.clone().any(|(at, wanted)| concerns(what, at, wanted));
        let candidates = tombstones.iter().filter(|((_, what), _)| is_free(what));
        let candidates =
            candidates.map(|(id, tombstone)| (id.clone(), tombstone.clone())).collect();
        Self { candidates, in_use, unsettled, found: BTreeMap::new() }
    }

    /// Lists every namespace. One that fails holds up only the tombstones that reach into it.
    pub(crate) async fn look(mut self, kubernetes: Kubernetes) -> Self {
        let reach = self.candidates.keys().flat_map(|(_, what)| self.reach(what));
        for namespace in reach.collect::<BTreeSet<_>>() {
            match kubernetes.list(&namespace).await {
                Ok(objects) => {
                    let marks = objects
                        .iter()
                        .map(|meta| (meta.name.clone().unwrap_or_default(), found_marks(meta)));
                    self.found.insert(namespace, marks.collect());
                }
                Err(CallError::Changed) => {}
                Err(CallError::Failed(failure)) => tracing::debug!(
                    kubernetes.namespace = %namespace,
                    projection.state = %failure.state,
                    "a namespace could not be listed, so its tombstones stay"
                ),
            }
        }
        self
    }

    /// The tombstones of which nothing remains.
    pub(crate) fn confirmed(
        mut self,
        cluster: &str,
        store: &str,
        tombstones: &Tombstones,
        desired: &Desired,
    ) -> Vec<Tombstone> {
        for (namespace, objects) in &self.found {
            for (name, marks) in objects {
                let (cluster, namespace) = (cluster.to_owned(), namespace.clone());
                let placement = Placement { cluster, namespace, name: name.clone() };
                let Some(owner) = marks.owner(&placement, store) else {
                    continue;
                };
                let copy = Copy { placement: &placement, owner, marks };
                let standing = tombstones.standing_for(&copy, desired);
                let is_merged = matches!(owner, Owner::Project(_));
                if is_merged && (!standing.is_empty() || self.unsettled.contains(&placement)) {
                    self.candidates.retain(|(_, what), _| matches!(what, Retired::Rule { .. }));
                }
                for id in standing {
                    self.candidates.remove(id);
                }
            }
        }
        let seen = |what: &Retired| self.reach(what).iter().all(|ns| self.found.contains_key(ns));
        let complete = self.candidates.iter().filter(|((_, what), _)| seen(what));
        complete.map(|(_, tombstone)| tombstone.clone()).collect()
    }

    /// The namespaces that must be free of copies before a tombstone is confirmed.
    fn reach(&self, what: &Retired) -> BTreeSet<Namespace> {
        match what {
            Retired::Secret { .. } | Retired::Binding { .. } => self.in_use.clone(),
            Retired::Rule { namespace, .. } => [namespace.clone()].into(),
        }
    }
}

/// Whether an act could be writing a copy that the tombstone stands for.
fn concerns(what: &Retired, placement: &Placement, wanted: &Option<Wanted>) -> bool {
    let Some(wanted) = wanted else {
        return false;
    };
    match what {
        Retired::Secret { uid, .. } | Retired::Binding { uid, .. } => wanted.holds(*uid),
        Retired::Rule { project, namespace } => {
            *namespace == placement.namespace && *project == wanted.by
        }
    }
}

/// Tells the source, and returns those that it has taken note of.
pub(crate) async fn confirm<S: Source>(source: &S, tombstones: Vec<Tombstone>) -> Vec<TombstoneId> {
    let mut done = Vec::with_capacity(tombstones.len());
    for tombstone in tombstones {
        match source.removed(&tombstone).await {
            Ok(()) => done.push((tombstone.at, tombstone.what)),
            Err(error) => tracing::debug!(
                tombstone.revision = %tombstone.at,
                error = &error as &dyn std::error::Error,
                "a removal could not be reported; it is tried again"
            ),
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marks::Origin;
    use domain::{OrgName, ProjectName, ProjectPath, Revision, SecretName, SecretPath, Uid};

    const UID: Uid = Uid::from_bytes([1; 16]);

    fn project() -> ProjectPath {
        ProjectPath { org: OrgName::default_org(), project: ProjectName::parse("p").unwrap() }
    }

    fn place() -> Placement {
        let namespace = Namespace::parse("ns").unwrap();
        Placement { cluster: "c".to_owned(), namespace, name: "env".to_owned() }
    }

    fn secret() -> Retired {
        let path = SecretPath { project: project(), name: SecretName::parse("A").unwrap() };
        Retired::Secret { path, uid: UID }
    }

    fn rule() -> Retired {
        Retired::Rule { project: project(), namespace: place().namespace }
    }

    /// Of a secret's and a rule's tombstone, those that are confirmed when a merged copy was found.
    fn confirmed(what: &[Retired], settled: bool) -> Vec<Retired> {
        let mut tombstones = Tombstones::default();
        for what in what {
            let (id, at) = (UID, Revision::ZERO);
            tombstones.insert(Tombstone { id, at, what: what.clone() });
        }
        let unsettled = if settled { BTreeSet::new() } else { [place()].into() };
        let in_use = [place().namespace].into();
        let mut sweep = Sweep::new(&tombstones, in_use, unsettled, std::iter::empty());
        let path = project();
        let origin = Origin::Project { path: &path, uid: UID, entries: 1, changed_at: None };
        let marks = Marks::expected(&origin, &place(), "s");
        sweep.found.insert(place().namespace, vec![(place().name, marks)]);
        let nothing = Desired::new("c".to_owned());
        let done = sweep.confirmed("c", "s", &tombstones, &nothing);
        done.into_iter().map(|tombstone| tombstone.what).collect()
    }

    #[test]
    fn a_secret_s_tombstone_waits_for_merged_copies_that_may_still_hold_its_entry() {
        assert_eq!(confirmed(&[secret()], true), [secret()]);
        assert_eq!(confirmed(&[secret()], false), []);
        // This copy goes as a whole, and until then nobody empties it.
        assert_eq!(confirmed(&[secret(), rule()], true), []);
    }

    #[test]
    fn a_namespace_that_was_not_listed_confirms_nothing() {
        let mut tombstones = Tombstones::default();
        tombstones.insert(Tombstone { id: UID, at: Revision::ZERO, what: secret() });
        let in_use = BTreeSet::from([place().namespace]);
        let sweep = Sweep::new(&tombstones, in_use, BTreeSet::new(), std::iter::empty());
        let nothing = Desired::new("c".to_owned());
        assert!(sweep.confirmed("c", "s", &tombstones, &nothing).is_empty());
    }
}
