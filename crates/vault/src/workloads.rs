//! Secrets as workloads refer to them: who may, and where a reference leads.

use authz::{Actor, Denied, Permit, Use, decide_use};
use domain::{BindingKind, ProjectPath, ProjectionRule, SecretPath, SecretType};
use store::Head;

use crate::grants::known;
use crate::{Vault, VaultError};

/// A secret in the workloads of a project.
#[derive(Clone, Debug)]
pub struct UsableSecret {
    /// Its type.
    pub kind: SecretType,
    /// The rules of the project, which say where the secret appears for its workloads.
    pub rules: Vec<ProjectionRule>,
}

impl Vault {
    /// The right to refer to a secret in a workload of a project. A name in the project itself means
    /// the project's own secret; where it has none, the oldest one of that name that is bound to it,
    /// as the worker projects them. A secret of another project must be bound.
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
        let there = self.projected(path)?;
        let bound = match there {
            Some(_) if path.project == *within => return self.permit(actor, path.clone()),
            None if path.project == *within => self.oldest_bound(within, path)?,
            there => there.and_then(|head| Some((bound_as(&head, within)?, head))),
        };
        let Some((kind, head)) = bound else {
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
        if head.path.project != *within && bound_as(&head, within).is_none() {
            return Err(VaultError::NotPermitted(Denied::NotVisible));
        }
        let (record, _) = self.project_record(within)?;
        Ok(UsableSecret { kind: head.kind, rules: record.rules })
    }

    fn oldest_bound(
        &self,
        within: &ProjectPath,
        wanted: &SecretPath,
    ) -> Result<Option<(BindingKind, Head)>, VaultError> {
        let mut oldest: Option<(BindingKind, Head)> = None;
        for path in self.bound_paths(within)?.iter().filter(|path| path.name == wanted.name) {
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

/// How a secret is bound to a project, if it is.
pub(crate) fn bound_as(head: &Head, project: &ProjectPath) -> Option<BindingKind> {
    let binding = head.bindings.iter().find(|binding| binding.project == *project);
    binding.map(|binding| binding.kind)
}
