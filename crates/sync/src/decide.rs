//! The comparison: what one look at both sides leads to. Pure, so that every case is a test.

use std::sync::Arc;

use domain::{Placement, ResourceVersion, Uid};

use crate::claim::{Owner, Wanted};
use crate::digest::Digest;
use crate::marks::Marks;
use crate::observed::Observed;
use crate::source::SecretMeta;

/// A merged copy with fewer entries may lose any number of them at once.
const FEW_ENTRIES: usize = 10;

/// What a placement must hold.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    /// Whose copy.
    pub(crate) owner: Owner,
    /// What became of each secret that belongs there, as of the moment it was revealed.
    pub(crate) shown: Vec<Shown>,
    /// The type.
    pub(crate) type_: &'static str,
    /// What type and data come to.
    pub(crate) digest: Digest,
    /// The annotations and labels.
    pub(crate) marks: Marks,
}

/// What became of one secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The secret.
    pub(crate) uid: Uid,
    /// The version.
    pub(crate) version: u64,
    /// When the secret last changed.
    pub(crate) changed_at: ResourceVersion,
    /// Whether it is there.
    pub(crate) outcome: Outcome,
}

/// Whether a secret is in the copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is.
    In,
    /// There was no room.
    TooLarge,
    /// It was gone when it was asked for; the source is about to say so.
    Vanished,
}

impl Expected {
    /// Whether that is still what is wanted, as far as the worker has heard.
    pub(crate) fn is_for(&self, wanted: &Wanted) -> bool {
        let same = |(shown, secret): (&Shown, &Arc<SecretMeta>)| {
            shown.uid == secret.uid
                && shown.changed_at >= secret.changed_at
                && shown.outcome != Outcome::Vanished
        };
        self.owner == wanted.owner
            && self.marks.is_by(&wanted.by)
            && self.marks.has_labels(&wanted.labels)
            && self.shown.len() == wanted.secrets.len()
            && self.shown.iter().zip(&wanted.secrets).all(same)
    }

    /// How many secrets are in the copy.
    pub(crate) fn entries(&self) -> usize {
        self.shown.iter().filter(|shown| shown.outcome == Outcome::In).count()
    }

    /// A merged copy without entries asks for nothing: one that is there stays, and none is made.
    fn is_idle(&self, ground: &Ground<'_>, observed: Option<&Observed>) -> bool {
        let there = observed.and_then(|o| o.marks.owner(ground.placement, ground.store));
        matches!(self.owner, Owner::Project(_)) && self.entries() == 0 && there != Some(self.owner)
    }

    /// Whether the secret is older than its own copy: each change of a secret makes it younger, and
    /// a copy shows no change that was not durable. Of a merged copy that says nothing, since the
    /// entry that was its youngest may be gone.
    fn is_older(&self, owner: Owner, observed: &Observed) -> bool {
        let changed_at = self.shown.first().map(|shown| shown.changed_at);
        let is_own = owner == self.owner && matches!(owner, Owner::Secret(_));
        is_own && changed_at.is_some() && observed.marks.resource_version() > changed_at
    }

    /// Whether a merged copy would lose more than half of its entries without tombstones that say
    /// why.
    fn loses_too_much(&self, ground: &Ground<'_>, observed: &Observed) -> bool {
        // Anybody may have written any number there.
        let before = observed.marks.entries().min(observed.keys);
        let lost = before.saturating_sub(self.entries());
        ground.accounted.is_some_and(|accounted| {
            before >= FEW_ENTRIES && lost.saturating_sub(accounted) * 2 > before
        })
    }
}

/// What to do about a placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Take over what its owner in the cluster hands over, provided that it is still as it was
    /// seen.
    Adopt,
    /// Leave it alone until somebody releases the brake.
    Brake,
    /// Leave alone what is not ours, and say so.
    Conflict,
    /// Create it, provided that it is still absent.
    Create,
    /// Delete it, provided that it is still the object that was seen.
    Delete,
    /// Everything is as it should be.
    Nothing,
    /// Delete it and create it anew, since Kubernetes would not take the change.
    Recreate,
    /// Leave alone what is handed over, since it could be taken only by deleting it.
    Unadoptable,
    /// Replace its data and marks, provided that it is still as it was seen.
    Update,
    /// Leave alone what is of a later state than the store until somebody says to go on.
    RolledBack,
    /// Wait until Kubernetes has deleted it.
    Wait,
}

/// Where and for which store is being decided.
pub(crate) struct Ground<'a> {
    /// The place.
    pub(crate) placement: &'a Placement,
    /// The store whose copies are ours.
    pub(crate) store: &'a str,
    /// Whose copy in this place a tombstone covers, if one does.
    pub(crate) retired: Option<Owner>,
    /// How many lost entries of a merged copy tombstones account for; `None` when the brake was
    /// released for it.
    pub(crate) accounted: Option<usize>,
    /// Whether what is there was found to be of a later state than the store's; `None` when the brake
    /// was released for it.
    pub(crate) newer: Option<bool>,
}

/// Compares what should be with what is.
pub(crate) fn decide(
    ground: &Ground<'_>,
    expected: Option<&Expected>,
    observed: Option<&Observed>,
) -> Action {
    let expected = expected.filter(|expected| !expected.is_idle(ground, observed));
    match (expected, observed) {
        (None, None) => Action::Nothing,
        (Some(_), None) => Action::Create,
        (None, Some(observed)) => undesired(ground, observed),
        (Some(expected), Some(observed)) => desired(ground, expected, observed),
    }
}

/// Only a tombstone gives the right to delete, and only what is ours beyond doubt.
fn undesired(ground: &Ground<'_>, observed: &Observed) -> Action {
    let owner = observed.marks.owner(ground.placement, ground.store);
    let ours_and_retired = observed.labelled && owner.is_some() && owner == ground.retired;
    match (ours_and_retired, observed.deleting) {
        (true, false) => Action::Delete,
        (true, true) => Action::Wait,
        (false, _) => Action::Nothing,
    }
}

fn desired(ground: &Ground<'_>, expected: &Expected, observed: &Observed) -> Action {
    let Some(owner) = observed.marks.owner(ground.placement, ground.store) else {
        return foreign(expected, observed);
    };
    if observed.deleting {
        return Action::Wait;
    }
    if owner == expected.owner && expected.loses_too_much(ground, observed) {
        return Action::Brake;
    }
    let same_data = observed.digest == expected.digest;
    if same_data && observed.labelled && observed.marks == expected.marks {
        return Action::Nothing;
    }
    if ground.newer.is_some_and(|known| known || expected.is_older(owner, observed)) {
        return Action::RolledBack;
    }
    // What a retired secret left goes even if the cluster then refuses its successor's bytes.
    let retired = owner != expected.owner && ground.retired == Some(owner);
    if retired || cannot_hold(expected, observed) { Action::Recreate } else { Action::Update }
}

/// A foreign Secret is taken over only when it names what may take it, and never by deleting it:
/// whoever wrote the annotation gave away its content, but not the object.
fn foreign(expected: &Expected, observed: &Observed) -> Action {
    let handed_over = observed.adopt.as_deref() == Some(expected.marks.source());
    match (handed_over, observed.deleting) {
        (false, _) => Action::Conflict,
        (true, true) => Action::Wait,
        (true, false) if cannot_hold(expected, observed) => Action::Unadoptable,
        (true, false) => Action::Adopt,
    }
}

/// Whether Kubernetes would refuse to change the object into what is expected.
fn cannot_hold(expected: &Expected, observed: &Observed) -> bool {
    observed.type_ != expected.type_ || (observed.immutable && observed.digest != expected.digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::DigestKey;
    use crate::marks::Origin;
    use crate::observed::ObjectVersion;
    use domain::{Incarnation, Namespace, OrgName, ProjectName, ProjectPath, Revision};
    use domain::{SecretName, SecretPath};

    const ME: Uid = Uid::from_bytes([1; 16]);
    const OTHER: Uid = Uid::from_bytes([2; 16]);

    struct Case {
        placement: Placement,
        expected: Option<Expected>,
        observed: Option<Observed>,
        retired: Option<Owner>,
        accounted: Option<usize>,
        newer: Option<bool>,
    }

    fn rv() -> ResourceVersion {
        ResourceVersion::new(Incarnation::default(), Revision::ZERO)
    }

    fn shown(n: u8, outcome: Outcome) -> Shown {
        Shown { uid: Uid::from_bytes([n; 16]), version: 1, changed_at: rv(), outcome }
    }

    impl Case {
        /// Everything in sync.
        fn new() -> Self {
            let namespace = Namespace::parse("ns").unwrap();
            let placement = Placement { cluster: "c".to_owned(), namespace, name: "hf".to_owned() };
            let digest = DigestKey::make().digest("Opaque", [].into_iter());
            let marks = marks(&placement, ME);
            let expected = Expected {
                owner: Owner::Secret(ME),
                shown: vec![shown(1, Outcome::In)],
                type_: "Opaque",
                digest,
                marks: marks.clone(),
            };
            let observed = Observed {
                at: ObjectVersion::default(),
                type_: "Opaque".to_owned(),
                immutable: false,
                deleting: false,
                labelled: true,
                marks,
                adopt: None,
                keys: 12,
                digest,
            };
            let (expected, observed) = (Some(expected), Some(observed));
            let newer = Some(false);
            Self { placement, expected, observed, retired: None, accounted: Some(0), newer }
        }

        /// A merged copy that had `before` entries and is to have `now`.
        fn merged(before: u8, now: u8) -> Self {
            let mut case = Self::new().other_data();
            let at = case.placement.clone();
            let expected = case.expected.as_mut().unwrap();
            expected.owner = Owner::Project(ME);
            expected.shown = (0..now).map(|n| shown(n, Outcome::In)).collect();
            expected.marks = merged_marks(&at, now);
            case.observe(|o| o.marks = merged_marks(&at, before))
        }

        fn observe(mut self, change: impl FnOnce(&mut Observed)) -> Self {
            change(self.observed.as_mut().unwrap());
            self
        }

        fn other_data(self) -> Self {
            self.observe(|o| o.digest = DigestKey::make().digest("Opaque", [].into_iter()))
        }

        fn of_another_secret(self) -> Self {
            let marks = marks(&self.placement, OTHER);
            self.observe(|o| o.marks = marks)
        }

        fn retire(mut self, uid: Uid) -> Self {
            self.retired = Some(Owner::Secret(uid));
            self
        }

        fn undesired(mut self) -> Self {
            self.expected = None;
            self
        }

        #[track_caller]
        fn leads_to(self, action: Action) {
            let (placement, accounted) = (&self.placement, self.accounted);
            let (retired, newer) = (self.retired, self.newer);
            let ground = Ground { placement, store: "s", retired, accounted, newer };
            assert_eq!(decide(&ground, self.expected.as_ref(), self.observed.as_ref()), action);
        }
    }

    fn project() -> ProjectPath {
        ProjectPath { org: OrgName::default_org(), project: ProjectName::parse("p").unwrap() }
    }

    fn marks(placement: &Placement, uid: Uid) -> Marks {
        marks_at(placement, uid, rv())
    }

    fn marks_at(placement: &Placement, uid: Uid, changed_at: ResourceVersion) -> Marks {
        let by = project();
        let path = SecretPath { project: project(), name: SecretName::parse("hf").unwrap() };
        let origin = Origin::Secret { path: &path, uid, version: 1, changed_at, by: &by };
        Marks::expected(&origin, placement, "s")
    }

    fn merged_marks(placement: &Placement, entries: u8) -> Marks {
        let (path, entries) = (project(), usize::from(entries));
        let origin = Origin::Project { path: &path, uid: ME, entries, changed_at: None };
        Marks::expected(&origin, placement, "s")
    }

    #[test]
    fn nothing_is_done_when_nothing_differs() {
        Case::new().leads_to(Action::Nothing);
        Case::new().observe(|o| o.immutable = true).leads_to(Action::Nothing);
        Case { observed: None, ..Case::new().undesired() }.leads_to(Action::Nothing);
    }

    #[test]
    fn what_is_absent_is_created() {
        Case { observed: None, ..Case::new() }.leads_to(Action::Create);
    }

    #[test]
    fn drift_is_repaired_in_place_where_kubernetes_allows_it() {
        Case::new().other_data().leads_to(Action::Update);
        Case::new().observe(|o| o.labelled = false).leads_to(Action::Update);
        Case::new().of_another_secret().leads_to(Action::Update);
    }

    #[test]
    fn drift_that_kubernetes_would_not_let_us_repair_is_replaced() {
        Case::new().other_data().observe(|o| o.immutable = true).leads_to(Action::Recreate);
        Case::new().other_data().observe(|o| o.type_.push('2')).leads_to(Action::Recreate);
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        Case::new().observe(|o| o.marks = Marks::default()).leads_to(Action::Conflict);
        Case::new().observe(|o| o.marks = Marks::default()).retire(ME).leads_to(Action::Conflict);
        let undesired = Case::new().undesired().retire(ME);
        undesired.observe(|o| o.marks = Marks::default()).leads_to(Action::Nothing);
    }

    #[test]
    fn only_a_tombstone_deletes() {
        Case::new().undesired().leads_to(Action::Nothing);
        Case::new().undesired().retire(OTHER).leads_to(Action::Nothing);
        Case::new().undesired().retire(ME).leads_to(Action::Delete);
        let unlabelled = Case::new().undesired().retire(ME).observe(|o| o.labelled = false);
        unlabelled.leads_to(Action::Nothing);
    }

    #[test]
    fn a_retired_secret_s_copy_is_replaced_rather_than_edited() {
        Case::new().of_another_secret().retire(OTHER).leads_to(Action::Recreate);
    }

    #[test]
    fn what_is_being_deleted_is_waited_for() {
        Case::new().observe(|o| o.deleting = true).leads_to(Action::Wait);
        Case::new().undesired().retire(ME).observe(|o| o.deleting = true).leads_to(Action::Wait);
    }

    #[test]
    fn a_merged_copy_without_entries_is_emptied_but_neither_made_nor_removed() {
        Case::merged(3, 0).leads_to(Action::Update);
        Case { observed: None, ..Case::merged(3, 0) }.leads_to(Action::Nothing);
        Case::merged(3, 0).of_another_secret().leads_to(Action::Nothing);
        Case::merged(3, 0).of_another_secret().retire(OTHER).leads_to(Action::Delete);
        Case::merged(3, 0).observe(|o| o.marks = Marks::default()).leads_to(Action::Nothing);
        Case { observed: None, ..Case::merged(3, 1) }.leads_to(Action::Create);
    }

    #[test]
    fn a_merged_copy_does_not_lose_most_of_its_entries_unaccounted() {
        Case::merged(9, 0).leads_to(Action::Update);
        Case::merged(10, 5).leads_to(Action::Update);
        Case::merged(10, 4).leads_to(Action::Brake);
        Case { accounted: Some(1), ..Case::merged(10, 4) }.leads_to(Action::Update);
        Case { accounted: None, ..Case::merged(10, 0) }.leads_to(Action::Update);
        Case::merged(10, 20).leads_to(Action::Update);
        let few = Case::merged(200, 4).observe(|o| o.keys = 4);
        few.leads_to(Action::Update);
    }

    #[test]
    fn what_is_of_a_later_state_is_replaced_only_after_a_release() {
        let younger = || {
            let at = Case::new().placement;
            let later = ResourceVersion::new(Incarnation::default(), Revision::new(9));
            Case::new().other_data().observe(|o| o.marks = marks_at(&at, ME, later))
        };
        younger().leads_to(Action::RolledBack);
        Case { newer: None, ..younger() }.leads_to(Action::Update);
        younger().observe(|o| o.deleting = true).leads_to(Action::Wait);
        younger().observe(|o| o.type_.push('2')).leads_to(Action::RolledBack);
        Case { newer: None, ..younger() }
            .observe(|o| o.immutable = true)
            .leads_to(Action::Recreate);
        younger().observe(|o| o.marks = Marks::default()).leads_to(Action::Conflict);
        let known = || Case { newer: Some(true), ..Case::new().other_data() };
        known().leads_to(Action::RolledBack);
        known().of_another_secret().leads_to(Action::RolledBack);
        Case { newer: Some(true), ..Case::merged(3, 1) }.leads_to(Action::RolledBack);
        Case { newer: Some(true), ..Case::new() }.leads_to(Action::Nothing);
    }

    #[test]
    fn a_foreign_secret_is_taken_only_by_what_it_names() {
        let foreign = |adopt: &str| {
            let adopt = Some(adopt.to_owned());
            Case::new().observe(|o| (o.marks, o.adopt) = (Marks::default(), adopt))
        };
        let mine = "secret://c/default/p/hf";
        foreign(mine).leads_to(Action::Adopt);
        foreign(mine).observe(|o| o.labelled = false).leads_to(Action::Adopt);
        foreign(mine).observe(|o| o.deleting = true).leads_to(Action::Wait);
        foreign(mine).undesired().retire(ME).leads_to(Action::Nothing);
        for stray in ["", "true", "secret://c/default/p", "secret://c/default/p/hf2"] {
            foreign(stray).leads_to(Action::Conflict);
        }
    }

    #[test]
    fn what_is_handed_over_is_never_deleted() {
        let foreign = || {
            let adopt = Some("secret://c/default/p/hf".to_owned());
            Case::new().observe(|o| (o.marks, o.adopt) = (Marks::default(), adopt))
        };
        foreign().observe(|o| o.type_.push('2')).leads_to(Action::Unadoptable);
        foreign().other_data().leads_to(Action::Adopt);
        let frozen = foreign().other_data().observe(|o| o.immutable = true);
        frozen.leads_to(Action::Unadoptable);
    }

    #[test]
    fn a_secret_s_copy_and_a_merged_one_of_the_same_identity_are_never_confused() {
        let at = Case::new().placement;
        let merged = |case: Case| case.observe(|o| o.marks = merged_marks(&at, 1));
        merged(Case::new().undesired().retire(ME)).leads_to(Action::Nothing);
        merged(Case::new()).leads_to(Action::Update);
    }
}
