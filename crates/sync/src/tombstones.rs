//! What is to be removed, and what a tombstone covers. Pure.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Namespace, Placement, ProjectPath, Retired, Revision, Tombstone, Uid};

use crate::claim::{Claim, Owner};
use crate::desired::Desired;
use crate::marks::Marks;

/// A tombstone's identity.
pub(crate) type TombstoneId = (Revision, Retired);

/// The tombstones that are not confirmed yet.
#[derive(Default)]
pub(crate) struct Tombstones {
    all: BTreeMap<TombstoneId, Tombstone>,
    secrets: BTreeMap<Uid, BTreeSet<TombstoneId>>,
    rules: BTreeMap<Namespace, BTreeSet<TombstoneId>>,
}

/// A copy in the cluster that is ours.
pub(crate) struct Copy<'a> {
    pub(crate) placement: &'a Placement,
    pub(crate) owner: Owner,
    pub(crate) marks: &'a Marks,
}

impl Tombstones {
    /// Forgets everything and starts from a snapshot.
    pub(crate) fn replace(&mut self, tombstones: Vec<Tombstone>) {
        *self = Self::default();
        tombstones.into_iter().for_each(|tombstone| self.insert(tombstone));
    }

    pub(crate) fn insert(&mut self, tombstone: Tombstone) {
        let id = (tombstone.at, tombstone.what.clone());
        match &tombstone.what {
            Retired::Secret { uid, .. } | Retired::Binding { uid, .. } => {
                self.secrets.entry(*uid).or_default().insert(id.clone())
            }
            Retired::Rule { namespace, .. } => {
                self.rules.entry(namespace.clone()).or_default().insert(id.clone())
            }
        };
        self.all.insert(id, tombstone);
    }

    pub(crate) fn remove(&mut self, id: &TombstoneId) {
        self.all.remove(id);
        match &id.1 {
            Retired::Secret { uid, .. } | Retired::Binding { uid, .. } => {
                release(&mut self.secrets, uid, id);
            }
            Retired::Rule { namespace, .. } => release(&mut self.rules, namespace, id),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&TombstoneId, &Tombstone)> {
        self.all.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The namespaces that must be watched for the sake of a rule that is gone.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.rules.keys()
    }

    /// The tombstones for whose sake a copy goes.
    ///
    /// There is none for a copy of what is desired right there: the secret lives again, or another
    /// rule or binding still wants it.
    pub(crate) fn dooming(&self, copy: &Copy<'_>, desired: &Desired) -> Vec<&TombstoneId> {
        if desired.winner(copy.placement).map(Claim::owner) == Some(copy.owner) {
            return Vec::new();
        }
        self.standing_for(copy, desired)
    }

    /// The tombstones that are not confirmed while that copy is as it is: those that doom it, and
    /// those of a rule that made it, even if another project's rule wants the same by now. Its mark
    /// has to say so first, or that project's tombstone would not find it one day.
    pub(crate) fn standing_for(&self, copy: &Copy<'_>, desired: &Desired) -> Vec<&TombstoneId> {
        let winner = desired.winner(copy.placement).filter(|claim| claim.owner() == copy.owner);
        let of_secret = match copy.owner {
            Owner::Secret(uid) if winner.is_none() => self.secrets.get(&uid),
            _ => None,
        };
        let rules = self.rules.get(&copy.placement.namespace).into_iter().flatten();
        let of_rule = rules.filter(|(_, what)| match what {
            Retired::Rule { project, .. } => {
                copy.marks.is_by(project) && winner.is_none_or(|claim| claim.by != *project)
            }
            Retired::Secret { .. } | Retired::Binding { .. } => false,
        });
        of_secret.into_iter().flatten().chain(of_rule).collect()
    }

    /// How many of a project's lost entries are accounted for: the secrets of its own that are
    /// retired, those that were there a moment ago, and the bindings to it that are no more.
    pub(crate) fn accounting_for(
        &self,
        project: &ProjectPath,
        was_there: impl Fn(Uid) -> bool,
    ) -> usize {
        let accounts = |what: &Retired| match what {
            Retired::Secret { path, uid } => path.project == *project || was_there(*uid),
            Retired::Binding { project: bound, .. } => bound == project,
            Retired::Rule { .. } => false,
        };
        self.all.keys().filter(|(_, what)| accounts(what)).count()
    }
}

fn release<K: Ord>(index: &mut BTreeMap<K, BTreeSet<TombstoneId>>, key: &K, id: &TombstoneId) {
    if let Some(ids) = index.get_mut(key) {
        ids.remove(id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marks::Origin;
    use crate::source::{ProjectRules, SecretMeta};
    use domain::{
        Incarnation, Labels, NamePattern, OrgName, ProjectName, ProjectPath, ProjectionMode,
        ProjectionRule, ResourceVersion, SecretName, SecretPath, SecretType,
    };

    const UID: Uid = Uid::from_bytes([1; 16]);

    fn project(name: &str) -> ProjectPath {
        ProjectPath { org: OrgName::default_org(), project: ProjectName::parse(name).unwrap() }
    }

    fn path() -> SecretPath {
        SecretPath { project: project("p"), name: SecretName::parse("hf").unwrap() }
    }

    fn place(namespace: &str) -> Placement {
        let namespace = Namespace::parse(namespace).unwrap();
        Placement { cluster: "c".to_owned(), namespace, name: "hf".to_owned() }
    }

    fn rv() -> ResourceVersion {
        ResourceVersion::new(Incarnation::default(), Revision::ZERO)
    }

    fn rule(of: &str, namespace: &str) -> Retired {
        Retired::Rule { project: project(of), namespace: Namespace::parse(namespace).unwrap() }
    }

    fn secret(uid: Uid) -> Retired {
        Retired::Secret { path: path(), uid }
    }

    fn covered(what: Retired, namespace: &str, desired: &Desired) -> bool {
        let placement = place(namespace);
        let (path, by) = (path(), project("p"));
        let origin =
            Origin::Secret { path: &path, uid: UID, version: 1, changed_at: rv(), by: &by };
        let marks = Marks::expected(&origin, &placement, "s");
        let mut all = Tombstones::default();
        all.insert(Tombstone { id: UID, at: Revision::ZERO, what });
        let copy = Copy { placement: &placement, owner: Owner::Secret(UID), marks: &marks };
        let doomed = !all.dooming(&copy, desired).is_empty();
        assert!(!doomed || !all.standing_for(&copy, desired).is_empty());
        doomed
    }

    #[test]
    fn a_secret_s_tombstone_stands_for_its_copies_and_no_other_s() {
        let nothing = Desired::new("c".to_owned());
        assert!(covered(secret(UID), "ns", &nothing));
        assert!(!covered(secret(Uid::from_bytes([2; 16])), "ns", &nothing));
    }

    #[test]
    fn a_rule_s_tombstone_stands_for_its_project_s_copies_in_its_namespace() {
        let nothing = Desired::new("c".to_owned());
        assert!(covered(rule("p", "ns"), "ns", &nothing));
        assert!(!covered(rule("p", "ns"), "other", &nothing));
        assert!(!covered(rule("q", "ns"), "ns", &nothing));
    }

    #[test]
    fn what_is_desired_there_is_not_covered() {
        let mut desired = Desired::new("c".to_owned());
        let rules = vec![ProjectionRule::new(
            ProjectionMode::Each,
            Namespace::parse("ns").unwrap(),
            NamePattern::default_for(ProjectionMode::Each),
        )];
        desired.put_rules(ProjectRules { path: project("p"), uid: UID, rules });
        let meta = SecretMeta {
            path: path(),
            uid: UID,
            kind: SecretType::Opaque,
            bound_to: Vec::new(),
            version: Some(1),
            labels: Labels::default(),
            changed_at: rv(),
        };
        desired.put_secret(meta);
        assert!(!covered(secret(UID), "ns", &desired));
        assert!(!covered(rule("p", "ns"), "ns", &desired));
        assert!(covered(secret(UID), "other", &desired));
    }

    #[test]
    fn two_tombstones_of_one_secret_are_confirmed_one_by_one() {
        let mut all = Tombstones::default();
        for revision in [1, 2, 2] {
            all.insert(Tombstone { id: UID, at: Revision::new(revision), what: secret(UID) });
        }
        let placement = place("ns");
        let copy =
            Copy { placement: &placement, owner: Owner::Secret(UID), marks: &Marks::default() };
        let standing =
            |all: &Tombstones| all.standing_for(&copy, &Desired::new("c".to_owned())).len();
        assert_eq!(standing(&all), 2);
        all.remove(&(Revision::new(1), secret(UID)));
        assert_eq!(standing(&all), 1);
        all.remove(&(Revision::new(2), secret(UID)));
        assert!(standing(&all) == 0 && all.is_empty());
    }

    fn binding(to: &str) -> Retired {
        Retired::Binding { path: path(), uid: UID, project: project(to) }
    }

    fn each(of: &str, namespace: &str) -> ProjectRules {
        let rules = vec![ProjectionRule::new(
            ProjectionMode::Each,
            Namespace::parse(namespace).unwrap(),
            NamePattern::default_for(ProjectionMode::Each),
        )];
        ProjectRules { path: project(of), uid: UID, rules }
    }

    fn meta(bound_to: &[&str]) -> SecretMeta {
        SecretMeta {
            path: path(),
            uid: UID,
            kind: SecretType::Opaque,
            bound_to: bound_to.iter().map(|name| project(name)).collect(),
            version: Some(1),
            labels: Labels::default(),
            changed_at: rv(),
        }
    }

    #[test]
    fn a_binding_s_tombstone_stands_for_the_copies_that_nothing_desires_any_more() {
        let mut desired = Desired::new("c".to_owned());
        desired.put_rules(each("p", "home"));
        desired.put_rules(each("q", "bound"));
        desired.put_rules(each("r", "other"));
        desired.put_secret(meta(&["r"]));
        assert!(covered(binding("q"), "bound", &desired));
        assert!(
            !covered(binding("q"), "home", &desired) && !covered(binding("q"), "other", &desired)
        );
    }

    /// Who wants the copy now has to have marked it, or its own tombstone would never find it.
    #[test]
    fn a_rule_s_tombstone_waits_until_the_copy_names_whose_rule_keeps_it() {
        let mut desired = Desired::new("c".to_owned());
        desired.put_rules(each("q", "ns"));
        desired.put_secret(meta(&["q"]));
        let standing = |by: &str| {
            let (placement, path, by) = (place("ns"), path(), project(by));
            let origin =
                Origin::Secret { path: &path, uid: UID, version: 1, changed_at: rv(), by: &by };
            let marks = Marks::expected(&origin, &placement, "s");
            let copy = Copy { placement: &placement, owner: Owner::Secret(UID), marks: &marks };
            let mut all = Tombstones::default();
            all.insert(Tombstone { id: UID, at: Revision::ZERO, what: rule("p", "ns") });
            assert!(all.dooming(&copy, &desired).is_empty(), "what is desired goes");
            !all.standing_for(&copy, &desired).is_empty()
        };
        assert!(standing("p"));
        assert!(!standing("q"));
    }

    #[test]
    fn a_merged_copy_goes_only_with_its_rule() {
        let nothing = Desired::new("c".to_owned());
        let (placement, by) = (place("ns"), project("p"));
        let origin = Origin::Project { path: &by, uid: UID, entries: 1, changed_at: None };
        let marks = Marks::expected(&origin, &placement, "s");
        let copy = Copy { placement: &placement, owner: Owner::Project(UID), marks: &marks };
        for (what, goes) in [(secret(UID), false), (binding("p"), false), (rule("p", "ns"), true)] {
            let mut all = Tombstones::default();
            all.insert(Tombstone { id: UID, at: Revision::ZERO, what: what.clone() });
            assert_eq!(!all.dooming(&copy, &nothing).is_empty(), goes, "{what:?}");
        }
    }

    #[test]
    fn lost_entries_are_accounted_for_by_what_retired_them() {
        let mut all = Tombstones::default();
        let other = Uid::from_bytes([2; 16]);
        for (n, what) in
            [secret(UID), binding("p"), binding("q"), rule("p", "ns")].into_iter().enumerate()
        {
            all.insert(Tombstone { id: UID, at: Revision::new(n as u64), what });
        }
        assert_eq!(all.accounting_for(&project("p"), |_| false), 2);
        assert_eq!(all.accounting_for(&project("q"), |_| false), 1);
        assert_eq!(all.accounting_for(&project("q"), |uid| uid == UID), 2);
        assert_eq!(all.accounting_for(&project("r"), |uid| uid == other), 0);
    }
}
