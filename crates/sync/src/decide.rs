//! The comparison: what one look at both sides leads to. Pure, so that every case is a test.

use domain::{Placement, ResourceVersion, Uid};

use crate::digest::Digest;
use crate::marks::Marks;
use crate::observed::Observed;

/// What a placement must hold.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    /// The secret.
    pub(crate) uid: Uid,
    /// The version.
    pub(crate) version: u64,
    /// When the secret last changed, as of the moment it was revealed.
    pub(crate) changed_at: ResourceVersion,
    /// The type.
    pub(crate) type_: &'static str,
    /// What type and data come to.
    pub(crate) digest: Digest,
    /// The annotations.
    pub(crate) marks: Marks,
}

/// What to do about a placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
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
    /// Replace its data and marks, provided that it is still as it was seen.
    Update,
    /// Wait until Kubernetes has deleted it.
    Wait,
}

/// Where and for which store is being decided.
pub(crate) struct Ground<'a> {
    /// The place.
    pub(crate) placement: &'a Placement,
    /// The store whose copies are ours.
    pub(crate) store: &'a str,
    /// The secret whose copy in this place a tombstone covers, if one does.
    pub(crate) retired: Option<Uid>,
}

/// Compares what should be with what is.
pub(crate) fn decide(
    ground: &Ground<'_>,
    expected: Option<&Expected>,
    observed: Option<&Observed>,
) -> Action {
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
        return Action::Conflict;
    };
    if observed.deleting {
        return Action::Wait;
    }
    let same_data = observed.digest == expected.digest;
    if same_data && observed.labelled && observed.marks == expected.marks {
        return Action::Nothing;
    }
    // A retired secret's bytes go even if the cluster then refuses those of its successor.
    let retired = owner != expected.uid && ground.retired == Some(owner);
    if retired || observed.type_ != expected.type_ || (observed.immutable && !same_data) {
        return Action::Recreate;
    }
    Action::Update
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
        retired: Option<Uid>,
    }

    impl Case {
        /// Everything in sync.
        fn new() -> Self {
            let namespace = Namespace::parse("ns").unwrap();
            let placement = Placement { cluster: "c".to_owned(), namespace, name: "hf".to_owned() };
            let digest = DigestKey::make().digest("Opaque", [].into_iter());
            let marks = marks(&placement, ME);
            let expected = Expected {
                uid: ME,
                version: 1,
                changed_at: ResourceVersion::new(Incarnation::default(), Revision::ZERO),
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
                digest,
            };
            Self { placement, expected: Some(expected), observed: Some(observed), retired: None }
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
            self.retired = Some(uid);
            self
        }

        fn undesired(mut self) -> Self {
            self.expected = None;
            self
        }

        #[track_caller]
        fn leads_to(self, action: Action) {
            let ground = Ground { placement: &self.placement, store: "s", retired: self.retired };
            assert_eq!(decide(&ground, self.expected.as_ref(), self.observed.as_ref()), action);
        }
    }

    fn marks(placement: &Placement, uid: Uid) -> Marks {
        let project =
            ProjectPath { org: OrgName::default_org(), project: ProjectName::parse("p").unwrap() };
        let path = SecretPath { project, name: SecretName::parse("hf").unwrap() };
        let changed_at = ResourceVersion::new(Incarnation::default(), Revision::ZERO);
        Marks::expected(&Origin { path: &path, uid, version: 1, changed_at }, placement, "s")
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
}
