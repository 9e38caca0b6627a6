//! The common home: secrets that are made on account of the projects that they are bound to, and
//! seen by who lists those.

use std::collections::BTreeSet;

use authz::{Actor, Create, Denied, List, Permit, Share, Use, decide, decide_create_for};
use domain::{BindingKind, ProjectPath, SecretPath};
use store::Head;

use crate::bindings::{BindingPermit, Rebinding, Sharing, Targets, UnbindingPermit};
use crate::{NewSecret, SecretView, Vault, VaultError};

impl Vault {
    /// Makes a secret in the common home, bound by its owner to these projects. Who may make secrets
    /// in each of them may; without any, who may make secrets in the home itself, or everyone where
    /// the settings say so.
    ///
    /// # Errors
    /// When the actor may not, one of the projects does not exist, or the name is taken.
    pub fn create_common_secret(
        &self,
        actor: &Actor,
        path: &SecretPath,
        projects: &[ProjectPath],
        new: NewSecret<'_>,
    ) -> Result<SecretView, VaultError> {
        let permit = self.permit_common(actor, path, projects)?;
        let wanted = |_: &[store::Binding]| owner_bindings(projects);
        let may_bind = |project: &ProjectPath, _| {
            let make = Sharing::Make(self.permit_common(actor, path, projects)?);
            Ok(BindingPermit::Owner(make, self.permit_to_use(actor, project)?))
        };
        let bindings =
            Rebinding { wanted: &wanted, may_bind: &may_bind, may_unbind: &nothing_ends };
        self.create_secret(&permit, &NewSecret { bindings: Some(bindings), ..new })
    }

    fn permit_common(
        &self,
        actor: &Actor,
        path: &SecretPath,
        projects: &[ProjectPath],
    ) -> Result<Permit<Create, SecretPath>, VaultError> {
        let now = self.clock.now();
        let permit = if self.settings.common_home.as_ref() == Some(&path.project) {
            let home = (path.clone(), self.settings.common_home_is_open);
            decide_create_for(actor, home, projects, now)
        } else {
            decide(actor, path.clone(), now)
        };
        permit.map_err(VaultError::NotPermitted)
    }

    fn permit_to_use(
        &self,
        actor: &Actor,
        project: &ProjectPath,
    ) -> Result<Permit<Use, ProjectPath>, VaultError> {
        decide(actor, project.clone(), self.clock.now()).map_err(VaultError::NotPermitted)
    }

    /// The right to bind a secret to a project as its owner.
    ///
    /// # Errors
    /// When the actor may not share the secret, or not use secrets in the project.
    pub fn permit_owner_binding(
        &self,
        actor: &Actor,
        path: &SecretPath,
        project: &ProjectPath,
    ) -> Result<BindingPermit, VaultError> {
        let share = Sharing::Share(self.permit::<Share>(actor, path.clone())?);
        Ok(BindingPermit::Owner(share, self.permit_to_use(actor, project)?))
    }

    /// The secrets of a home that an actor sees because of the projects that they are bound to: those
    /// bound to one project whose secrets the actor lists; or, without one, those that are bound to
    /// such projects and to no others. By name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn secrets_seen_by_binding(
        &self,
        actor: &Actor,
        home: &ProjectPath,
        within: Option<&ProjectPath>,
    ) -> Result<Vec<SecretView>, VaultError> {
        let projects: Vec<_> = match within {
            Some(project) => vec![project.clone()],
            None => self.all_projects()?.into_iter().map(|(path, ..)| path).collect(),
        };
        let mut seen = BTreeSet::new();
        for project in projects.iter().filter(|project| self.lists(actor, project)) {
            let bound = self.bound_paths(project)?;
            seen.extend(bound.into_iter().filter(|path| path.project == *home));
        }
        let mut found = Vec::new();
        for path in seen {
            match self.head(&path) {
                Ok((head, _)) if within.is_none() && !self.lists_all(actor, &head) => {}
                Ok((head, revision)) => {
                    found.push(SecretView { head, resource_version: self.wire(revision) });
                }
                // Deleted since the index was read.
                Err(VaultError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Whether an actor sees a secret because of the projects that it is bound to, all of which are
    /// ones whose secrets they list.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn is_seen_by_binding(&self, actor: &Actor, path: &SecretPath) -> Result<bool, VaultError> {
        match self.head(path) {
            Ok((head, _)) => Ok(self.lists_all(actor, &head)),
            Err(VaultError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn lists_all(&self, actor: &Actor, head: &Head) -> bool {
        let mut bound = head.bindings.iter();
        !head.bindings.is_empty() && bound.all(|binding| self.lists(actor, &binding.project))
    }

    fn lists(&self, actor: &Actor, project: &ProjectPath) -> bool {
        decide::<List, _>(actor, project.clone(), self.clock.now()).is_ok()
    }
}

/// A secret that is being made has no binding that could end.
fn nothing_ends(_: &ProjectPath) -> Result<UnbindingPermit, VaultError> {
    Err(VaultError::NotPermitted(Denied::Forbidden))
}

fn owner_bindings(projects: &[ProjectPath]) -> Targets {
    projects.iter().map(|project| (project.clone(), BindingKind::Owner)).collect()
}
