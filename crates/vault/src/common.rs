//! The common home: secrets that are made on account of the projects that they are bound to, and
//! seen by who lists those.

use authz::{Actor, Basis, Create, Denied, List, Permit, Share, Use, decide, decide_create_for};
use domain::{
    Annotations, BindingKind, Invalid, OrgName, PrincipalName, ProjectPath, ProjectionRule,
    SecretPath, Uid,
};
use store::{
    ChangeKind, Commit, Head, Key, KeyRange, Precondition, PrincipalKind, ProjectRecord, Removal,
};

use crate::bindings::{BindingPermit, Rebinding, Sharing, Targets, UnbindingPermit};
use crate::lists::MAX_SORTED;
use crate::workloads::bound_as;
use crate::{NewSecret, SecretView, Vault, VaultError};

/// A project in which secrets are made on account of the projects that they are bound to. It is made
/// with the first of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommonHome {
    /// The project.
    pub project: ProjectPath,
    /// Its rules, when it is made.
    pub rules: Vec<ProjectionRule>,
    /// Whether everyone makes secrets there that are bound to no project.
    pub open: bool,
}

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
        self.make_common_home(&path.project)?;
        let wanted = |_: &[store::Binding]| owner_bindings(projects);
        let may_bind = |project: &ProjectPath, _| {
            let make = Sharing::Make(self.permit_common(actor, path, projects)?);
            Ok(BindingPermit::Owner(make, self.permit_to_use(actor, project)?))
        };
        let bindings =
            Rebinding { wanted: &wanted, may_bind: &may_bind, may_unbind: &nothing_ends };
        self.create_secret(&permit, &NewSecret { bindings: Some(bindings), ..new })
    }

    /// The right to make a secret in the common home, on account of these projects; elsewhere, the
    /// right to make one there.
    ///
    /// # Errors
    /// When the actor may not.
    pub fn permit_common(
        &self,
        actor: &Actor,
        path: &SecretPath,
        projects: &[ProjectPath],
    ) -> Result<Permit<Create, SecretPath>, VaultError> {
        let now = self.clock.now();
        // Everyone has a project of their own, which is no reason to make secrets in a common one.
        let on_account = !projects.iter().any(|project| self.is_personal(project));
        let permit = match &self.settings.common_home {
            Some(home) if home.project == path.project && on_account => {
                decide_create_for(actor, (path.clone(), home.open), projects, now)
            }
            _ => decide(actor, path.clone(), now),
        };
        permit.map_err(VaultError::NotPermitted)
    }

    /// Whether a project is some user's own.
    pub fn is_personal(&self, path: &ProjectPath) -> bool {
        path.org == OrgName::default_org()
            && self.rights.named(PrincipalKind::User, path.project.as_str()).is_some()
    }

    /// Makes the common home as the settings say, which no actor decides.
    fn make_common_home(&self, path: &ProjectPath) -> Result<(), VaultError> {
        let Some(home) = self.settings.common_home.as_ref().filter(|home| home.project == *path)
        else {
            return Ok(());
        };
        let key = Key::project(path);
        if self.is_personal(path) {
            let fix = "must be moved by the operator: the home of these secrets is configured to be a user's own project";
            return Err(Invalid::new("project", fix).into());
        }
        if self.engine.read(&key)?.is_some() {
            return Ok(());
        }
        let record = ProjectRecord {
            uid: self.make_uid()?,
            created_at: self.clock.now(),
            created_by: "system:configuration".to_owned(),
            rules: home.rules.clone(),
            keep_versions: None,
            annotations: Annotations::default(),
            removal: Removal::None,
        };
        let mut commit = Commit::default();
        commit.require(Precondition::Absent(key.clone()));
        commit.put(key.clone(), self.seal_record(&key, &record.encode())?);
        commit.tell(crate::projects::change(ChangeKind::Added, path, &record));
        match self.commit(commit, Basis::default()) {
            // Somebody else made it at the same time.
            Ok(_) | Err(VaultError::Busy) => Ok(()),
            Err(error) => Err(error),
        }
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

    /// The secrets of the common home that an actor sees, by name: those that they may list, and those
    /// that are bound to projects whose secrets they list and to no others. Within one project, those
    /// that are bound to it, where listing that project's secrets is enough.
    ///
    /// # Errors
    /// When there are more than are put into one answer, or the store cannot be read.
    pub fn common_secrets(
        &self,
        actor: &Actor,
        within: Option<&ProjectPath>,
        wanted: &dyn Fn(&Head) -> bool,
    ) -> Result<Vec<SecretView>, VaultError> {
        let Some(home) = &self.settings.common_home else { return Ok(Vec::new()) };
        let is_bound = |head: &Head, to: &ProjectPath| bound_as(head, to).is_some();
        let lists_within = within.is_some_and(|project| self.lists(actor, project));
        let mut found = Vec::new();
        self.each(&KeyRange::heads(&home.project), |key, stored| {
            let head = self.open_record(key, &stored.value, Head::decode)?;
            let is_meant = wanted(&head) && within.is_none_or(|to| is_bound(&head, to));
            let is_seen =
                || lists_within || self.may_list(actor, &head) || self.lists_all(actor, &head);
            if is_meant && is_seen() {
                if found.len() >= MAX_SORTED {
                    let fix = format!(
                        "must leave at most {MAX_SORTED} secrets: name a workspace or a type"
                    );
                    return Err(Invalid::new("query", fix).into());
                }
                found.push(SecretView { head, resource_version: self.wire(stored.changed_at) });
            }
            Ok(())
        })?;
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

    /// The identity of the user of a name, or the name of the user of an identity: whoever knows the
    /// one may know the other.
    pub fn user_known_by(&self, id_or_name: &str) -> Option<(Uid, PrincipalName)> {
        let found = match Uid::parse(id_or_name) {
            Ok(uid) => self.rights.principal(uid),
            Err(_) => self.rights.named(PrincipalKind::User, id_or_name),
        };
        let found = found.filter(|found| found.record.kind == PrincipalKind::User)?;
        Some((found.record.uid, PrincipalName::parse(&found.record.name).ok()?))
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
