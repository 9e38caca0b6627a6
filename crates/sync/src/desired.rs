//! Which secret belongs where, kept up to date change by change. Pure.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Namespace, Placement, ProjectPath, ProjectionRule, Uid};

use crate::names::kubernetes_name;
use crate::source::{ProjectRules, SecretMeta};

/// Rules and secrets, and the claims on places that follow from them.
pub(crate) struct Desired {
    cluster: String,
    rules: BTreeMap<ProjectPath, Vec<ProjectionRule>>,
    secrets: BTreeMap<Uid, SecretMeta>,
    homes: BTreeMap<ProjectPath, BTreeSet<Uid>>,
    claims: BTreeMap<Placement, BTreeSet<Uid>>,
}

/// The places where a change may have changed something.
pub(crate) type Touched = BTreeSet<Placement>;

impl Desired {
    /// Nothing is desired yet.
    pub(crate) fn new(cluster: String) -> Self {
        Self {
            cluster,
            rules: BTreeMap::new(),
            secrets: BTreeMap::new(),
            homes: BTreeMap::new(),
            claims: BTreeMap::new(),
        }
    }

    /// Forgets everything and starts from a snapshot.
    pub(crate) fn replace(
        &mut self,
        projects: Vec<ProjectRules>,
        secrets: Vec<SecretMeta>,
    ) -> Touched {
        let mut touched: Touched = self.claims.keys().cloned().collect();
        *self = Self::new(std::mem::take(&mut self.cluster));
        self.rules = projects.into_iter().map(|project| (project.path, project.rules)).collect();
        for secret in secrets {
            touched.extend(self.put_secret(secret));
        }
        touched
    }

    /// A project has these rules now.
    pub(crate) fn put_rules(&mut self, project: ProjectRules) -> Touched {
        let members: Vec<Uid> =
            self.homes.get(&project.path).into_iter().flatten().copied().collect();
        let mut touched = Touched::new();
        for uid in &members {
            touched.extend(self.unclaim(*uid));
        }
        self.rules.insert(project.path, project.rules);
        for uid in &members {
            touched.extend(self.claim(*uid));
        }
        touched
    }

    /// A project is gone, and its rules with it.
    pub(crate) fn remove_project(&mut self, path: ProjectPath) -> Touched {
        let touched = self.put_rules(ProjectRules {
            path: path.clone(),
            uid: Uid::from_bytes([0; 16]),
            rules: Vec::new(),
        });
        self.rules.remove(&path);
        touched
    }

    /// A secret is new or has changed.
    pub(crate) fn put_secret(&mut self, secret: SecretMeta) -> Touched {
        let uid = secret.uid;
        let mut touched = self.remove_secret(uid);
        self.homes.entry(secret.path.project.clone()).or_default().insert(uid);
        self.secrets.insert(uid, secret);
        touched.extend(self.claim(uid));
        touched
    }

    /// A secret is gone.
    pub(crate) fn remove_secret(&mut self, uid: Uid) -> Touched {
        let touched = self.unclaim(uid);
        if let Some(gone) = self.secrets.remove(&uid)
            && let Some(members) = self.homes.get_mut(&gone.path.project)
        {
            members.remove(&uid);
            if members.is_empty() {
                self.homes.remove(&gone.path.project);
            }
        }
        touched
    }

    /// The secret that belongs in a place: of those that claim it the oldest, since uids sort by
    /// time. A later one can so never take an earlier one's place.
    pub(crate) fn winner(&self, placement: &Placement) -> Option<&SecretMeta> {
        self.claims.get(placement)?.first().and_then(|uid| self.secrets.get(uid))
    }

    /// All secrets that claim a place, the winner first.
    pub(crate) fn claimants(&self, placement: &Placement) -> impl Iterator<Item = &SecretMeta> {
        let uids = self.claims.get(placement).into_iter().flatten();
        uids.filter_map(|uid| self.secrets.get(uid))
    }

    /// The places in a namespace that some secret claims.
    pub(crate) fn placements(&self, namespace: &Namespace) -> Vec<Placement> {
        let first = Placement {
            cluster: self.cluster.clone(),
            namespace: namespace.clone(),
            name: String::new(),
        };
        let claimed = self.claims.range(first..).map(|(placement, _)| placement);
        claimed.take_while(|placement| placement.namespace == *namespace).cloned().collect()
    }

    /// The namespaces that rules name, whether or not a secret is projected there.
    pub(crate) fn namespaces(&self) -> BTreeSet<Namespace> {
        self.rules.values().flatten().map(|rule| rule.namespace.clone()).collect()
    }

    fn claim(&mut self, uid: Uid) -> Touched {
        let touched = self.places(uid);
        for placement in &touched {
            self.claims.entry(placement.clone()).or_default().insert(uid);
        }
        touched
    }

    fn unclaim(&mut self, uid: Uid) -> Touched {
        let touched = self.places(uid);
        for placement in &touched {
            if let Some(claimants) = self.claims.get_mut(placement) {
                claimants.remove(&uid);
                if claimants.is_empty() {
                    self.claims.remove(placement);
                }
            }
        }
        touched
    }

    /// Where the rules of its project put a secret; nowhere when it has no live version.
    fn places(&self, uid: Uid) -> Touched {
        let Some(secret) = self.secrets.get(&uid).filter(|secret| secret.version.is_some()) else {
            return Touched::new();
        };
        let rules = self.rules.get(&secret.path.project).into_iter().flatten();
        rules
            .map(|rule| Placement {
                cluster: self.cluster.clone(),
                namespace: rule.namespace.clone(),
                name: kubernetes_name(&rule.name_pattern.apply(&secret.path)),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{
        Incarnation, NamePattern, OrgName, ProjectName, ProjectionMode, ResourceVersion, Revision,
        SecretName, SecretPath, SecretType,
    };

    fn project(name: &str) -> ProjectPath {
        ProjectPath { org: OrgName::default_org(), project: ProjectName::parse(name).unwrap() }
    }

    fn rules(name: &str, rules: &[(&str, &str)]) -> ProjectRules {
        let rule = |(namespace, pattern): &(&str, &str)| ProjectionRule {
            mode: ProjectionMode::Each,
            namespace: Namespace::parse(namespace).unwrap(),
            name_pattern: NamePattern::parse(ProjectionMode::Each, pattern).unwrap(),
        };
        let rules = rules.iter().map(rule).collect();
        ProjectRules { path: project(name), uid: Uid::from_bytes([0; 16]), rules }
    }

    fn secret(home: &str, name: &str, uid: u8) -> SecretMeta {
        SecretMeta {
            path: SecretPath { project: project(home), name: SecretName::parse(name).unwrap() },
            uid: Uid::from_bytes([uid; 16]),
            kind: SecretType::Opaque,
            bound_to: Vec::new(),
            version: Some(1),
            changed_at: ResourceVersion::new(Incarnation::default(), Revision::new(1)),
        }
    }

    fn place(namespace: &str, name: &str) -> Placement {
        let namespace = Namespace::parse(namespace).unwrap();
        Placement { cluster: "c".to_owned(), namespace, name: name.to_owned() }
    }

    fn desired() -> Desired {
        let mut desired = Desired::new("c".to_owned());
        desired.put_rules(rules("a", &[("ns", "{name}"), ("other", "{project}-{name}")]));
        desired
    }

    fn winner(desired: &Desired, placement: &Placement) -> Option<u8> {
        desired.winner(placement).map(|secret| secret.uid.as_bytes()[0])
    }

    #[test]
    fn each_rule_gives_each_secret_a_place() {
        let mut desired = desired();
        let touched = desired.put_secret(secret("a", "hf", 1));
        assert_eq!(touched, [place("ns", "hf"), place("other", "a-hf")].into());
        assert_eq!(winner(&desired, &place("ns", "hf")), Some(1));
        assert_eq!(desired.placements(&place("ns", "").namespace), [place("ns", "hf")]);
    }

    #[test]
    fn a_secret_without_a_live_version_or_rule_has_none() {
        let mut desired = desired();
        assert!(desired.put_secret(secret("b", "hf", 1)).is_empty());
        assert!(desired.put_secret(SecretMeta { version: None, ..secret("a", "x", 2) }).is_empty());
        desired.put_secret(secret("a", "x", 2));
        let lost = SecretMeta { version: None, ..secret("a", "x", 2) };
        assert_eq!(desired.put_secret(lost), [place("ns", "x"), place("other", "a-x")].into());
        assert_eq!(winner(&desired, &place("ns", "x")), None);
    }

    #[test]
    fn the_oldest_claim_wins_and_the_next_takes_over() {
        let mut desired = desired();
        desired.put_rules(rules("b", &[("ns", "{name}")]));
        let contested = place("ns", "hf");
        desired.put_secret(secret("b", "hf", 2));
        assert_eq!(winner(&desired, &contested), Some(2));
        desired.put_secret(secret("a", "hf", 1));
        assert_eq!(winner(&desired, &contested), Some(1));
        assert_eq!(desired.claimants(&contested).count(), 2);
        assert!(desired.remove_secret(Uid::from_bytes([1; 16])).contains(&contested));
        assert_eq!(winner(&desired, &contested), Some(2));
    }

    #[test]
    fn new_rules_move_what_the_old_ones_placed() {
        let mut desired = desired();
        desired.put_secret(secret("a", "hf", 1));
        let touched = desired.put_rules(rules("a", &[("new", "{name}")]));
        assert_eq!(touched, [place("ns", "hf"), place("other", "a-hf"), place("new", "hf")].into());
        assert_eq!(winner(&desired, &place("ns", "hf")), None);
        assert_eq!(desired.namespaces(), [place("new", "").namespace].into());
        assert_eq!(desired.remove_project(project("a")), [place("new", "hf")].into());
        assert!(desired.namespaces().is_empty());
    }

    #[test]
    fn a_snapshot_touches_what_was_and_what_is() {
        let mut desired = desired();
        desired.put_secret(secret("a", "old", 1));
        let touched =
            desired.replace(vec![rules("a", &[("ns", "{name}")])], vec![secret("a", "new", 2)]);
        assert!(touched.contains(&place("ns", "old")) && touched.contains(&place("ns", "new")));
        assert_eq!(winner(&desired, &place("ns", "old")), None);
    }

    #[test]
    fn a_name_with_a_slash_and_one_with_a_hyphen_have_two_places() {
        let mut desired = desired();
        desired.put_secret(secret("a", "a/b", 1));
        desired.put_secret(secret("a", "a-b", 2));
        assert_eq!(desired.placements(&place("ns", "").namespace).len(), 2);
    }
}
