//! What belongs where, kept up to date change by change. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::{
    DataKey, MANAGED_BY, Namespace, Placement, ProjectPath, ProjectionMode, ProjectionRule,
    SecretPath, SecretType, Uid, kubernetes_name,
};

use crate::claim::{Claim, Contest, Owner, Wanted};
use crate::source::{ProjectRules, SecretMeta};

/// Rules and secrets, and the claims on places that follow from them.
pub(crate) struct Desired {
    cluster: String,
    projects: BTreeMap<ProjectPath, ProjectRules>,
    secrets: BTreeMap<Uid, Arc<SecretMeta>>,
    members: BTreeMap<ProjectPath, BTreeSet<Member>>,
    claims: BTreeMap<Placement, BTreeSet<Claim>>,
}

/// The places where a change may have changed something.
pub(crate) type Touched = BTreeSet<Placement>;

/// A secret that is projected by a project's rules: its own before those that are bound to it, the
/// older before the younger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Member {
    bound: bool,
    uid: Uid,
}

impl Desired {
    /// Nothing is desired yet.
    pub(crate) fn new(cluster: String) -> Self {
        Self {
            cluster,
            projects: BTreeMap::new(),
            secrets: BTreeMap::new(),
            members: BTreeMap::new(),
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
        for project in projects {
            touched.extend(self.put_rules(project));
        }
        for secret in secrets {
            touched.extend(self.put_secret(secret));
        }
        touched
    }

    /// A project has these rules now.
    pub(crate) fn put_rules(&mut self, project: ProjectRules) -> Touched {
        let path = project.path.clone();
        let before = self.claims_by(&path);
        self.projects.insert(path.clone(), project);
        let after = self.claims_by(&path);
        self.change_claims(before, after)
    }

    /// A project is gone, and its rules with it.
    pub(crate) fn remove_project(&mut self, path: &ProjectPath) -> Touched {
        let before = self.claims_by(path);
        self.projects.remove(path);
        self.change_claims(before, Vec::new())
    }

    /// A secret is new or has changed.
    pub(crate) fn put_secret(&mut self, secret: SecretMeta) -> Touched {
        let mut touched = self.remove_secret(secret.uid);
        for project in homes(&secret) {
            let member = Member { bound: *project != secret.path.project, uid: secret.uid };
            self.members.entry(project.clone()).or_default().insert(member);
        }
        let after = self.claims_of(&secret);
        touched.extend(self.merged_places(&secret));
        touched.extend(self.change_claims(Vec::new(), after));
        self.secrets.insert(secret.uid, Arc::new(secret));
        touched
    }

    /// A secret is gone.
    pub(crate) fn remove_secret(&mut self, uid: Uid) -> Touched {
        let Some(gone) = self.secrets.remove(&uid) else {
            return Touched::new();
        };
        for project in homes(&gone) {
            if let Some(members) = self.members.get_mut(project) {
                members.remove(&Member { bound: *project != gone.path.project, uid });
                if members.is_empty() {
                    self.members.remove(project);
                }
            }
        }
        let mut touched = self.merged_places(&gone);
        touched.extend(self.change_claims(self.claims_of(&gone), Vec::new()));
        touched
    }

    /// A secret, if there is one of that identity.
    pub(crate) fn secret(&self, uid: Uid) -> Option<&SecretMeta> {
        self.secrets.get(&uid).map(Arc::as_ref)
    }

    /// The claim that is granted.
    pub(crate) fn winner(&self, placement: &Placement) -> Option<&Claim> {
        self.claims.get(placement)?.first()
    }

    /// What belongs in a place.
    pub(crate) fn wanted(&self, placement: &Placement) -> Option<Wanted> {
        Some(self.grant(placement, self.winner(placement)?).0)
    }

    /// What belongs in a place, and which secrets found the name or their key there taken. A secret
    /// that both is there and was refused there is no loser: its value is in the place.
    pub(crate) fn contest(&self, placement: &Placement) -> Contest {
        let mut contest = Contest::default();
        let mut known = BTreeSet::new();
        for claim in self.claims.get(placement).into_iter().flatten() {
            let (wanted, refused) = self.grant(placement, claim);
            let mut losers = refused;
            if contest.winner.is_none() {
                known.extend(wanted.secrets.iter().map(|secret| secret.uid));
                contest.winner = Some(wanted);
            } else {
                losers.extend(wanted.secrets);
            }
            contest.losers.extend(losers.into_iter().filter(|secret| known.insert(secret.uid)));
        }
        contest
    }

    /// The places in a namespace that are claimed.
    pub(crate) fn placements(&self, namespace: &Namespace) -> Vec<Placement> {
        let first = Placement {
            cluster: self.cluster.clone(),
            namespace: namespace.clone(),
            name: String::new(),
        };
        let claimed = self.claims.range(first..).map(|(placement, _)| placement);
        claimed.take_while(|placement| placement.namespace == *namespace).cloned().collect()
    }

    /// The places of merged copies.
    pub(crate) fn merged(&self) -> impl Iterator<Item = Placement> + '_ {
        self.projects.keys().flat_map(|project| self.merged_claims(project)).map(|(place, _)| place)
    }

    /// The namespaces that rules name, whether or not a secret is projected there.
    pub(crate) fn namespaces(&self) -> BTreeSet<Namespace> {
        let rules = self.projects.values().flat_map(|project| &project.rules);
        rules.map(|rule| rule.namespace.clone()).collect()
    }

    /// What a claim would put into its place, and the secrets whose key there is taken.
    fn grant(&self, placement: &Placement, claim: &Claim) -> (Wanted, Vec<Arc<SecretMeta>>) {
        let (secrets, refused) = match claim.owner() {
            Owner::Project(_) => self.entries(&claim.by),
            Owner::Secret(uid) => {
                (self.secrets.get(&uid).into_iter().cloned().collect(), Vec::new())
            }
        };
        let labels = self.labels(placement, claim);
        (Wanted { owner: claim.owner(), by: claim.by.clone(), secrets, labels }, refused)
    }

    /// The labels of a copy: those of each rule of the project that leads to the place, and where
    /// one says so those of the secret that they leave room for.
    fn labels(&self, placement: &Placement, claim: &Claim) -> BTreeMap<String, String> {
        let secret = match claim.owner() {
            Owner::Secret(uid) => self.secret(uid),
            Owner::Project(_) => None,
        };
        let mode = secret.map_or(ProjectionMode::Merged, |_| ProjectionMode::Each);
        let leads_here = |rule: &&ProjectionRule| {
            let name = match secret {
                Some(secret) => rule.name_pattern.apply(&SecretPath {
                    project: claim.by.clone(),
                    name: secret.path.name.clone(),
                }),
                None => rule.name_pattern.apply_to_project(&claim.by),
            };
            rule.namespace == placement.namespace && kubernetes_name(&name) == placement.name
        };
        let mut labels = BTreeMap::new();
        for rule in self.rules(&claim.by, mode).filter(|rule| has_labels(rule)).filter(leads_here) {
            let passed_on = secret.filter(|_| rule.secret_labels);
            let passed_on = passed_on.into_iter().flat_map(|secret| secret.labels.as_map());
            for (key, value) in rule.labels.as_map().iter().chain(passed_on) {
                if key != MANAGED_BY {
                    labels.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
        }
        labels
    }

    /// The variables of a project that get an entry in its merged copies, and those whose key a
    /// better claim has.
    fn entries(&self, project: &ProjectPath) -> (Vec<Arc<SecretMeta>>, Vec<Arc<SecretMeta>>) {
        let members = self.members.get(project).into_iter().flatten();
        let secrets = members.filter_map(|member| self.secrets.get(&member.uid));
        let mut keys = BTreeSet::new();
        secrets
            .filter(|secret| is_entry(secret))
            .cloned()
            .partition(|secret| keys.insert(DataKey::for_name(&secret.path.name)))
    }

    /// All claims that the rules of a project make.
    fn claims_by(&self, project: &ProjectPath) -> Vec<(Placement, Claim)> {
        let members = self.members.get(project).into_iter().flatten();
        let secrets = members.filter_map(|member| self.secrets.get(&member.uid));
        let each = secrets.flat_map(|secret| self.each_claims(secret, project));
        self.merged_claims(project).into_iter().chain(each).collect()
    }

    /// All claims that are made for a secret.
    fn claims_of(&self, secret: &SecretMeta) -> Vec<(Placement, Claim)> {
        homes(secret).into_iter().flat_map(|by| self.each_claims(secret, by)).collect()
    }

    /// The claims that a project's rules make for a secret; none when it has no live version. In a
    /// pattern `{project}` is the project whose rule it is, so that whoever writes a rule knows all
    /// names that it can lead to but for `{name}`.
    fn each_claims(&self, secret: &SecretMeta, by: &ProjectPath) -> Vec<(Placement, Claim)> {
        if secret.version.is_none() {
            return Vec::new();
        }
        let path = SecretPath { project: by.clone(), name: secret.path.name.clone() };
        let rules = self.rules(by, ProjectionMode::Each);
        let places = rules.map(|rule| self.place(&rule.namespace, &rule.name_pattern.apply(&path)));
        places.map(|place| (place, Claim::of_secret(secret, by))).collect()
    }

    fn merged_claims(&self, by: &ProjectPath) -> Vec<(Placement, Claim)> {
        let Some(uid) = self.projects.get(by).map(|project| project.uid) else {
            return Vec::new();
        };
        let rules = self.rules(by, ProjectionMode::Merged);
        let name = |rule: &ProjectionRule| rule.name_pattern.apply_to_project(by);
        let places = rules.map(|rule| self.place(&rule.namespace, &name(rule)));
        places.map(|place| (place, Claim::of_project(uid, by))).collect()
    }

    /// The merged copies in which a secret has, or had, an entry.
    fn merged_places(&self, secret: &SecretMeta) -> Touched {
        if !is_entry(secret) {
            return Touched::new();
        }
        let claims = homes(secret).into_iter().flat_map(|project| self.merged_claims(project));
        claims.map(|(placement, _)| placement).collect()
    }

    fn rules(
        &self,
        project: &ProjectPath,
        mode: ProjectionMode,
    ) -> impl Iterator<Item = &ProjectionRule> {
        let project = self.projects.get(project).into_iter();
        project.flat_map(|project| &project.rules).filter(move |rule| rule.mode == mode)
    }

    fn place(&self, namespace: &Namespace, name: &str) -> Placement {
        let (cluster, namespace) = (self.cluster.clone(), namespace.clone());
        Placement { cluster, namespace, name: kubernetes_name(name) }
    }

    fn change_claims(
        &mut self,
        before: Vec<(Placement, Claim)>,
        after: Vec<(Placement, Claim)>,
    ) -> Touched {
        let mut touched = Touched::new();
        for (placement, claim) in before {
            if let Some(claims) = self.claims.get_mut(&placement) {
                claims.remove(&claim);
                if claims.is_empty() {
                    self.claims.remove(&placement);
                }
            }
            touched.insert(placement);
        }
        for (placement, claim) in after {
            touched.insert(placement.clone());
            self.claims.entry(placement).or_default().insert(claim);
        }
        touched
    }
}

/// The projects by whose rules a secret is projected.
fn homes(secret: &SecretMeta) -> BTreeSet<&ProjectPath> {
    secret.bound_to.iter().chain([&secret.path.project]).collect()
}

fn has_labels(rule: &ProjectionRule) -> bool {
    rule.secret_labels || !rule.labels.as_map().is_empty()
}

fn is_entry(secret: &SecretMeta) -> bool {
    secret.kind == SecretType::Variable && secret.version.is_some()
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
