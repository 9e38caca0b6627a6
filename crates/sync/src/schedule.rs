//! Which placement is worked on next, and when.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use domain::{Placement, ProjectionState};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::decide::Expected;

/// So many repairs of one placement in a row are made at once; then somebody is taken to fight us,
/// and each further one waits.
const PATIENCE: u32 = 5;
/// A change waits so long for others that belong into the same Kubernetes Secret, unless it is the
/// first in so long.
const TOGETHER: Duration = Duration::from_millis(200);
/// After so long without a repair the fight is over.
const PEACE: Duration = Duration::from_secs(60);

/// The placements that are waiting or being worked on.
#[derive(Default)]
pub(crate) struct Schedule {
    entries: HashMap<Placement, Entry>,
    due: BTreeSet<(Instant, Placement)>,
    running: HashMap<Placement, Again>,
}

/// What is remembered of a placement from one act to the next.
#[derive(Default)]
pub(crate) struct Entry {
    /// What was expected there last.
    pub(crate) expected: Option<Expected>,
    /// Whether what the watch shows was not the truth last time.
    pub(crate) unsure: bool,
    /// Since when a change waits to be in the cluster.
    pub(crate) heard: Option<Instant>,
    begun: Option<Instant>,
    done: bool,
    failing: Option<ProjectionState>,
    due: Option<Instant>,
    backoff: Backoff,
    repairs: u32,
    repaired_at: Option<Instant>,
    fight: Backoff,
}

/// Whether something happened to a placement while it was being worked on.
type Again = bool;

impl Schedule {
    /// Something happened to that placement: it is next, and its back-off starts over.
    pub(crate) fn hasten(&mut self, placement: &Placement, now: Instant) {
        self.hasten_from(placement, now, now);
    }

    /// As [`Self::hasten`], for a placement that many secrets share: what happens to them shortly
    /// after an act began is taken together.
    pub(crate) fn hasten_together(&mut self, placement: &Placement, now: Instant) {
        let begun = self.entries.get(placement).and_then(|entry| entry.begun);
        self.hasten_from(placement, begun.map_or(now, |at| (at + TOGETHER).max(now)), now);
    }

    fn hasten_from(&mut self, placement: &Placement, earliest: Instant, now: Instant) {
        if let Some(again) = self.running.get_mut(placement) {
            *again = true;
            return;
        }
        let entry = self.entries.entry(placement.clone()).or_default();
        entry.backoff.reset();
        let at = earliest + entry.wait_for_peace(now);
        self.plan(placement, at);
    }

    /// The last attempt failed: try again after a while.
    pub(crate) fn retry(&mut self, placement: &Placement, now: Instant) {
        let entry = self.entries.entry(placement.clone()).or_default();
        let at = now + entry.backoff.next_delay();
        self.plan(placement, at);
    }

    /// That placement was written although its secret had not changed.
    pub(crate) fn repaired(&mut self, placement: &Placement, now: Instant) {
        let entry = self.entries.entry(placement.clone()).or_default();
        entry.repairs += 1;
        entry.repaired_at = Some(now);
    }

    /// The next placement whose time has come.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Placement> {
        self.due.first().filter(|(at, _)| *at <= now)?;
        let (_, placement) = self.due.pop_first()?;
        if let Some(entry) = self.entries.get_mut(&placement) {
            entry.due = None;
        }
        Some(placement)
    }

    /// When to look again.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// An act begins.
    pub(crate) fn begin(&mut self, placement: &Placement, now: Instant) -> &Entry {
        self.running.insert(placement.clone(), false);
        let entry = self.entries.entry(placement.clone()).or_default();
        entry.begun = Some(now);
        entry
    }

    /// A change of that placement was heard of, and is not in the cluster yet.
    pub(crate) fn heard(&mut self, placement: &Placement, now: Instant) {
        let entry = self.entries.entry(placement.clone()).or_default();
        entry.heard.get_or_insert(now);
    }

    /// Whether the last act ended well and nothing has happened since.
    pub(crate) fn is_settled(&self, placement: &Placement) -> bool {
        let entry = self.entries.get(placement);
        let rests = entry.is_some_and(|e| e.done && e.due.is_none() && e.failing.is_none());
        rests && !self.running.contains_key(placement)
    }

    /// An act has ended. True when it should be done again at once.
    pub(crate) fn end(&mut self, placement: &Placement) -> Again {
        self.running.remove(placement).unwrap_or_default()
    }

    /// What is remembered of a placement.
    pub(crate) fn entry(&mut self, placement: &Placement) -> &mut Entry {
        self.entries.entry(placement.clone()).or_default()
    }

    /// Nothing is to be done there any more.
    pub(crate) fn forget(&mut self, placement: &Placement) {
        if let Some(at) = self.entries.remove(placement).and_then(|entry| entry.due) {
            self.due.remove(&(at, placement.clone()));
        }
    }

    /// How many acts are going on.
    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    fn plan(&mut self, placement: &Placement, at: Instant) {
        let entry = self.entries.entry(placement.clone()).or_default();
        if let Some(planned) = entry.due.replace(at) {
            self.due.remove(&(planned, placement.clone()));
        }
        self.due.insert((at, placement.clone()));
    }
}

impl Entry {
    /// The last attempt succeeded.
    pub(crate) fn settled(&mut self) {
        self.backoff.reset();
        self.unsure = false;
        self.failing = None;
        self.done = true;
    }

    /// The last attempt failed. True when the one before did not, or in another way.
    pub(crate) fn fails_anew(&mut self, state: ProjectionState) -> bool {
        self.failing.replace(state) != Some(state)
    }

    /// No time, unless somebody keeps undoing what is written there.
    fn wait_for_peace(&mut self, now: Instant) -> Duration {
        if self.repaired_at.is_none_or(|at| now.duration_since(at) > PEACE) {
            self.repairs = 0;
            self.fight.reset();
        }
        if self.repairs < PATIENCE { Duration::ZERO } else { self.fight.next_delay() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Namespace;

    fn place(name: &str) -> Placement {
        let namespace = Namespace::parse("ns").unwrap();
        Placement { cluster: "c".to_owned(), namespace, name: name.to_owned() }
    }

    #[test]
    fn a_failing_placement_waits_and_does_not_delay_another() {
        let (mut schedule, now) = (Schedule::default(), Instant::now());
        schedule.retry(&place("bad"), now);
        schedule.hasten(&place("good"), now);
        assert_eq!(schedule.pop(now), Some(place("good")));
        assert_eq!(schedule.pop(now), None);
        assert_eq!(schedule.pop(now + Duration::from_secs(1)), Some(place("bad")));
    }

    #[test]
    fn a_change_ends_the_waiting() {
        let (mut schedule, now) = (Schedule::default(), Instant::now());
        for _ in 0..10 {
            schedule.retry(&place("a"), now);
        }
        schedule.hasten(&place("a"), now);
        assert_eq!(schedule.pop(now), Some(place("a")));
        assert_eq!(schedule.next_due(), None);
        schedule.retry(&place("a"), now);
        assert!(schedule.next_due() <= Some(now + Duration::from_millis(500)));
    }

    #[test]
    fn what_happens_during_an_act_leads_to_another_one() {
        let (mut schedule, now) = (Schedule::default(), Instant::now());
        schedule.begin(&place("a"), now);
        schedule.hasten(&place("a"), now);
        assert_eq!(schedule.pop(now), None);
        assert!(schedule.end(&place("a")));
        schedule.begin(&place("a"), now);
        assert!(!schedule.end(&place("a")));
    }

    #[test]
    fn who_keeps_undoing_our_work_is_not_fought_at_full_speed() {
        let (mut schedule, now) = (Schedule::default(), Instant::now());
        for _ in 0..PATIENCE {
            schedule.hasten(&place("a"), now);
            assert_eq!(schedule.pop(now), Some(place("a")));
            schedule.repaired(&place("a"), now);
        }
        schedule.hasten(&place("a"), now);
        assert_eq!(schedule.pop(now), None);
        let later = now + PEACE + Duration::from_secs(1);
        schedule.hasten(&place("a"), later);
        assert_eq!(schedule.pop(later), Some(place("a")));
    }

    #[test]
    fn what_is_forgotten_is_not_due() {
        let (mut schedule, now) = (Schedule::default(), Instant::now());
        schedule.hasten(&place("a"), now);
        schedule.forget(&place("a"));
        assert_eq!(schedule.pop(now), None);
    }

    #[test]
    fn the_first_of_many_changes_is_made_at_once_and_the_others_together() {
        let (mut schedule, now) = (Schedule::default(), Instant::now());
        schedule.hasten_together(&place("a"), now);
        assert_eq!(schedule.pop(now), Some(place("a")));
        schedule.begin(&place("a"), now);
        schedule.end(&place("a"));
        for _ in 0..100 {
            schedule.hasten_together(&place("a"), now);
        }
        assert_eq!(schedule.pop(now), None);
        assert_eq!(schedule.pop(now + TOGETHER), Some(place("a")));
        assert_eq!(schedule.next_due(), None);
    }

    #[test]
    fn a_placement_is_settled_once_it_was_done_and_until_something_happens() {
        let (mut schedule, now) = (Schedule::default(), Instant::now());
        assert!(!schedule.is_settled(&place("a")));
        schedule.begin(&place("a"), now);
        schedule.entry(&place("a")).settled();
        assert!(!schedule.is_settled(&place("a")));
        schedule.end(&place("a"));
        assert!(schedule.is_settled(&place("a")));
        schedule.hasten(&place("a"), now);
        assert!(!schedule.is_settled(&place("a")));
    }
}
