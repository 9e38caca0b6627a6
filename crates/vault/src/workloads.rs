//! Secrets as workloads refer to them: who may, and where a reference leads.

use authz::{Actor, Denied, Permit, Use, decide_use};
use domain::{
    BindingKind, DataKey, ProjectPath, ProjectionMode, ProjectionRule, SecretName, SecretPath,
    SecretType, kubernetes_name,
};
use store::Head;

use crate::grants::known;
use crate::{Vault, VaultError};

/// A secret in the workloads of a project.
#[derive(Clone, Debug)]
pub struct UsableSecret {
    /// Its type.
    pub kind: SecretType,
    /// Those rules of the project by which it is this secret that appears for its workloads.
    pub rules: Vec<ProjectionRule>,
}

impl Vault {
    /// The right to refer to a secret in a workload of a project. A name in the project itself means
    /// the project's own secret; where it has none, the oldest one of that name that is bound to it,
    /// as the worker projects them. A secret of another project must be the one that its name means
    /// there: in the cluster, a reference to any other of that name would lead to that one.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] when the project has no such secret; [`VaultError::NotPermitted`]; or
    /// when the store cannot be read.
    pub fn permit_use(
        &self,
        actor: &Actor,
        within: &ProjectPath,
        path: &SecretPath,
    ) -> Result<Permit<Use, SecretPath>, VaultError> {
        let is_here = path.project == *within;
        let here = SecretPath { project: within.clone(), name: path.name.clone() };
        let bound = match self.projected(&here)? {
            Some(_) if is_here => return self.permit(actor, here),
            Some(_) => None,
            None => self.oldest_bound(within, &path.name)?,
        };
        let Some((kind, head)) = bound.filter(|(_, head)| is_here || head.path == *path) else {
            // Told apart for the audit log alone: who may not look there asks in vain.
            self.permit::<Use>(actor, path.clone())?;
            return Err(VaultError::NotFound);
        };
        let now = self.clock.now();
        decide_use(actor, known(&head), (within, kind), now).map_err(VaultError::NotPermitted)
    }

    /// How a secret appears to the workloads of a project.
    ///
    /// # Errors
    /// When there is no such secret or project, or the secret is no longer bound to it.
    pub fn usable(
        &self,
        permit: &Permit<Use, SecretPath>,
        within: &ProjectPath,
    ) -> Result<UsableSecret, VaultError> {
        let (head, _) = self.permitted_head(permit)?;
        let is_bound = head.path.project != *within;
        if is_bound && bound_as(&head, within).is_none() {
            return Err(VaultError::NotPermitted(Denied::NotVisible));
        }
        let (record, _) = self.project_record(within)?;
        let bound = if is_bound { self.bound_paths(within)? } else { Vec::new() };
        let mut rules = Vec::new();
        for rule in record.rules {
            if !self.is_taken(within, &head, &rule, &bound)? {
                rules.push(rule);
            }
        }
        Ok(UsableSecret { kind: head.kind, rules })
    }

    /// Whether the name, or the key, that a bound secret would have under a rule is an older one's.
    /// Different names may come to the same there: a hash tells apart what Kubernetes does not take,
    /// and somebody may choose a name that ends in it.
    fn is_taken(
        &self,
        within: &ProjectPath,
        head: &Head,
        rule: &ProjectionRule,
        bound: &[SecretPath],
    ) -> Result<bool, VaultError> {
        let wanted = place(rule, within, &head.path.name);
        let has_place = |path: &&SecretPath| place(rule, within, &path.name) == wanted;
        for path in bound.iter().filter(has_place) {
            let Some(rival) = self.projected(path)? else { continue };
            let claims = rule.mode == ProjectionMode::Each || rival.kind == SecretType::Variable;
            if claims && rival.uid < head.uid && bound_as(&rival, within).is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn oldest_bound(
        &self,
        within: &ProjectPath,
        wanted: &SecretName,
    ) -> Result<Option<(BindingKind, Head)>, VaultError> {
        let mut oldest: Option<(BindingKind, Head)> = None;
        for path in self.bound_paths(within)?.iter().filter(|path| path.name == *wanted) {
            let Some(head) = self.projected(path)? else { continue };
            let is_older = oldest.as_ref().is_none_or(|(_, other)| head.uid < other.uid);
            if let (true, Some(kind)) = (is_older, bound_as(&head, within)) {
                oldest = Some((kind, head));
            }
        }
        Ok(oldest)
    }

    /// A secret that is projected: without a live version it takes nobody's place.
    fn projected(&self, path: &SecretPath) -> Result<Option<Head>, VaultError> {
        match self.head(path) {
            Ok((head, _)) => Ok(Some(head).filter(|head| head.current().is_some())),
            Err(VaultError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What tells a secret from others under a rule: the name of its Kubernetes Secret, or its key in
/// the one for all.
fn place(rule: &ProjectionRule, within: &ProjectPath, name: &SecretName) -> String {
    let path = SecretPath { project: within.clone(), name: name.clone() };
    match rule.mode {
        ProjectionMode::Each => kubernetes_name(&rule.name_pattern.apply(&path)),
        ProjectionMode::Merged => DataKey::for_name(name).as_str().to_owned(),
    }
}

/// How a secret is bound to a project, if it is.
pub(crate) fn bound_as(head: &Head, project: &ProjectPath) -> Option<BindingKind> {
    let binding = head.bindings.iter().find(|binding| binding.project == *project);
    binding.map(|binding| binding.kind)
}
