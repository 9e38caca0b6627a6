//! The brake on mass deletion, and on what a store that was put back would do. Pure, but for the
//! handle by which it is released.
//!
//! It holds no clock and no rate: what counts is how many copies tombstones would delete now. As
//! long as it holds, none of them goes, so the count stays what it was until somebody releases the
//! brake or what was deleted lives again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::{Placement, ResourceVersion};
use tokio::sync::Notify;

use crate::tombstones::TombstoneId;

/// The operator's hand on a worker's brake.
#[derive(Clone, Debug, Default)]
pub struct Brake(pub(crate) Arc<Notify>);

impl Brake {
    /// Lets the worker delete what it holds back now: every copy that the tombstones of this
    /// moment stand for, the loss of entries in the merged copies that are `Braked` now, and the
    /// replacement of copies that are of a later state than the store.
    ///
    /// What is retired afterwards is counted anew, and a worker that holds nothing back ignores it.
    /// It is not remembered across a restart: whatever is left then may have to be released again.
    pub fn release(&self) {
        self.0.notify_one();
    }
}

/// What the worker holds back.
#[derive(Debug, Default)]
pub(crate) struct Held {
    limit: usize,
    doomed: BTreeMap<Placement, Vec<TombstoneId>>,
    merged: BTreeSet<Placement>,
    released: BTreeSet<TombstoneId>,
    released_merged: BTreeSet<Placement>,
    /// Copies of a later state than the store's, by the resource versions that they bear.
    newer: BTreeMap<Placement, ResourceVersion>,
    released_newer: BTreeMap<Placement, ResourceVersion>,
}

impl Held {
    /// More than `limit` deletions at once are held back.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// These tombstones would delete the copy in that place; none: it stays or is gone.
    pub(crate) fn consider(&mut self, placement: &Placement, tombstones: Vec<TombstoneId>) {
        let counts =
            !tombstones.is_empty() && !tombstones.iter().any(|id| self.released.contains(id));
        if counts {
            self.doomed.insert(placement.clone(), tombstones);
        } else {
            self.doomed.remove(placement);
        }
    }

    /// A merged copy would lose too many entries, or does no more.
    pub(crate) fn consider_merged(&mut self, placement: &Placement, loses_too_much: bool) {
        if loses_too_much {
            self.merged.insert(placement.clone());
        } else {
            self.merged.remove(placement);
            self.released_merged.remove(placement);
        }
    }

    /// A copy there bears that resource version, if there is one, and it is of a later state than the
    /// store's or is not. Once it was, it is until there is another: the store may come as far again,
    /// and is then not what it was.
    pub(crate) fn consider_newer(
        &mut self,
        placement: &Placement,
        bears: Option<ResourceVersion>,
        is_newer: bool,
    ) {
        for known in [&mut self.newer, &mut self.released_newer] {
            if known.get(placement).copied() != bears {
                known.remove(placement);
            }
        }
        let released = self.released_newer.contains_key(placement);
        if let Some(bears) = bears.filter(|_| is_newer && !released) {
            self.newer.insert(placement.clone(), bears);
        }
    }

    /// Whether the copy there is of a later state than the store's; `None` when it may be replaced
    /// all the same.
    pub(crate) fn newer(&self, placement: &Placement) -> Option<bool> {
        let released = self.released_newer.contains_key(placement);
        (!released).then(|| self.newer.contains_key(placement))
    }

    /// Whether deletions are held back.
    pub(crate) fn holds(&self) -> bool {
        self.doomed.len() > self.limit
    }

    /// Whether the deletion of that copy is held back.
    pub(crate) fn holds_back(&self, placement: &Placement) -> bool {
        self.counts(placement) && (self.holds() || self.newer.contains_key(placement))
    }

    /// Whether the deletion of that copy counts, since nobody has released it.
    pub(crate) fn counts(&self, placement: &Placement) -> bool {
        self.doomed.contains_key(placement)
    }

    /// Whether that merged copy may lose as many entries as it likes.
    pub(crate) fn is_released(&self, placement: &Placement) -> bool {
        self.released_merged.contains(placement)
    }

    /// How many Kubernetes Secrets are not as they would be without the brake.
    pub(crate) fn count(&self) -> usize {
        self.merged.len() + if self.holds() { self.doomed.len() } else { 0 }
    }

    /// The places of the copies that tombstones would delete.
    pub(crate) fn doomed(&self) -> impl Iterator<Item = &Placement> {
        self.doomed.keys()
    }

    /// Lets go what is held back now, and returns where that is.
    pub(crate) fn release(&mut self) -> BTreeSet<Placement> {
        let mut places = std::mem::take(&mut self.merged);
        self.released_merged.extend(places.iter().cloned());
        let newer = std::mem::take(&mut self.newer);
        places.extend(newer.keys().cloned());
        self.released_newer.extend(newer);
        if self.holds() {
            for (placement, tombstones) in std::mem::take(&mut self.doomed) {
                self.released.extend(tombstones);
                places.insert(placement);
            }
        }
        places
    }

    /// A tombstone is confirmed, and nothing is released by it any more.
    pub(crate) fn forget(&mut self, id: &TombstoneId) {
        self.released.remove(id);
    }

    /// Forgets the copies in places that are not looked at any more.
    pub(crate) fn keep_only(&mut self, is_seen: impl Fn(&Placement) -> bool) {
        self.doomed.retain(|placement, _| is_seen(placement));
        self.newer.retain(|placement, _| is_seen(placement));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Incarnation, Namespace, OrgName, ProjectName, ProjectPath, Retired, Revision};

    fn place(n: u64) -> Placement {
        let namespace = Namespace::parse("ns").unwrap();
        Placement { cluster: "c".to_owned(), namespace, name: format!("n{n}") }
    }

    fn tombstone(n: u64) -> TombstoneId {
        let project =
            ProjectPath { org: OrgName::default_org(), project: ProjectName::parse("p").unwrap() };
        let namespace = Namespace::parse("ns").unwrap();
        (Revision::new(n), Retired::Rule { project, namespace })
    }

    fn held(limit: usize, doomed: u64) -> Held {
        let mut held = Held::new(limit);
        (0..doomed).for_each(|n| held.consider(&place(n), vec![tombstone(n)]));
        held
    }

    #[test]
    fn it_holds_only_what_is_more_than_the_limit() {
        assert!(!held(3, 3).holds_back(&place(0)));
        assert!(held(3, 4).holds_back(&place(0)));
        assert!(!held(3, 4).holds_back(&place(9)));
        assert_eq!((held(3, 3).count(), held(3, 4).count()), (0, 4));
        assert!(held(0, 1).holds(), "with a limit of none every deletion is held");
    }

    #[test]
    fn what_lives_again_lets_the_rest_go() {
        let mut held = held(3, 4);
        held.consider(&place(0), Vec::new());
        assert!(!held.holds());
    }

    #[test]
    fn a_release_lets_go_what_was_there_and_nothing_later() {
        let mut held = held(3, 4);
        assert_eq!(held.release(), (0..4).map(place).collect());
        held.consider(&place(0), vec![tombstone(0)]);
        assert!(!held.holds());
        (10..14).for_each(|n| held.consider(&place(n), vec![tombstone(n)]));
        assert!(held.holds_back(&place(10)) && !held.holds_back(&place(0)));
    }

    #[test]
    fn a_release_while_nothing_is_held_is_none() {
        let mut held = held(3, 3);
        assert!(held.release().is_empty());
        held.consider(&place(3), vec![tombstone(3)]);
        assert!(held.holds());
    }

    #[test]
    fn a_copy_of_a_later_state_stays_until_a_release_or_until_it_is_another() {
        let at = |n| Some(ResourceVersion::new(Incarnation::new(0), Revision::new(n)));
        let mut held = held(3, 2);
        held.consider_newer(&place(0), at(9), true);
        assert!(held.holds_back(&place(0)) && !held.holds_back(&place(1)));
        // The store has come as far again.
        held.consider_newer(&place(0), at(9), false);
        assert_eq!((held.newer(&place(0)), held.newer(&place(1))), (Some(true), Some(false)));
        held.consider_newer(&place(0), at(8), false);
        assert_eq!(held.newer(&place(0)), Some(false));
        held.consider_newer(&place(0), at(9), true);
        assert_eq!(held.release(), [place(0)].into());
        held.consider_newer(&place(0), at(9), true);
        assert!(held.newer(&place(0)).is_none() && !held.holds_back(&place(0)));
        held.consider_newer(&place(0), at(10), true);
        assert_eq!(held.newer(&place(0)), Some(true), "it is another");
        held.consider_newer(&place(0), None, false);
        assert_eq!(held.newer(&place(0)), Some(false), "it is gone");
    }

    #[test]
    fn a_merged_copy_is_released_once() {
        let mut held = Held::new(3);
        held.consider_merged(&place(0), true);
        assert_eq!(held.count(), 1);
        assert_eq!(held.release(), [place(0)].into());
        assert!(held.is_released(&place(0)) && held.count() == 0);
        held.consider_merged(&place(0), false);
        assert!(!held.is_released(&place(0)));
    }
}
