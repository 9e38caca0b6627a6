//! Workspaces: projects as platforms have them, with managers, and with secrets that all members
//! pull images with.

use std::collections::{BTreeMap, BTreeSet};

use authz::{
    Actor, Administer, List, Right, Role, Scope, SeenProject, Share, Subject, WholeStore, decide,
    may_give,
};
use domain::{
    BindingKind, Invalid, OrgName, PrincipalName, ProjectName, ProjectPath, SecretPath, SecretType,
};
use store::{
    Binding, ChangeKind, Commit, ConsumerKind, Head, Key, Precondition, PrincipalKind,
    PrincipalRecord, Removal,
};

use crate::bindings::MAX_BINDINGS;
use crate::consumers::{ConsumerView, ReferenceRole, ReferenceView};
use crate::draft::Draft;
use crate::projects::NewProject;
use crate::{Reannotate, RightsChange, SecretView, Vault, VaultError, persist};

/// How many image secrets, and how many managers, one act changes: what fits into a commit, unless
/// all of them carry as many labels and annotations as there may be.
const MAX_CHANGED: usize = 16;

/// What a workspace is to be.
#[derive(Clone, Default)]
pub struct WorkspaceChange<'a> {
    /// What becomes of what clients keep beside it, if that changes.
    pub annotations: Option<Reannotate<'a>>,
    /// The secrets that all its members pull images with from now on, if they change.
    pub images: Option<Vec<SecretPath>>,
    /// Its managers from now on, if they change.
    pub managers: Option<Vec<PrincipalName>>,
}

/// What one act comes to: a commit, who has other rights afterwards, and which secrets changed.
#[derive(Default)]
struct Act {
    commit: Commit,
    principals: Vec<PrincipalRecord>,
    heads: Vec<Head>,
}

/// What became of a workspace.
pub struct WorkspaceChanged {
    /// As it is now.
    pub workspace: ConsumerView,
    /// The secrets that are bound to it otherwise than before.
    pub secrets: Vec<SecretView>,
}

impl Vault {
    /// Makes a project as a workspace, with its rules, image secrets and managers: all of it, or
    /// nothing.
    ///
    /// # Errors
    /// When the actor does not administer the store, there is a project of that name, or one of the
    /// secrets or managers cannot be had.
    pub fn create_workspace(
        &self,
        actor: &Actor,
        path: &ProjectPath,
        new: &NewProject,
        wanted: &WorkspaceChange<'_>,
    ) -> Result<WorkspaceChanged, VaultError> {
        let now = self.clock.now();
        let whole = decide::<Administer, _>(actor, WholeStore, now);
        whole.map_err(VaultError::NotPermitted)?;
        crate::projects::check(new)?;
        let _one_at_a_time = self.rights_writes.lock();
        let secrets = persist(|| {
            let mut act = Act::default();
            self.put_new_project(&mut act.commit, path, new.clone(), actor)?;
            self.set_images(actor, path, &mut act, wanted.images.as_deref())?;
            self.set_managers(actor, path, &mut act, wanted.managers.as_deref())?;
            self.finish(actor, act)
        })?;
        Ok(WorkspaceChanged { workspace: self.workspace(actor, path)?, secrets })
    }

    /// Changes a project as a workspace: all of what is wanted, or nothing. Who administers it opens
    /// to its members what secrets' owners have bound to it, and what they may share themselves.
    ///
    /// # Errors
    /// When there is no such project, the actor does not administer it, or one of the secrets or
    /// managers cannot be had.
    pub fn change_workspace(
        &self,
        actor: &Actor,
        path: &ProjectPath,
        wanted: &WorkspaceChange<'_>,
    ) -> Result<WorkspaceChanged, VaultError> {
        let administers = decide::<Administer, _>(actor, path.clone(), self.clock.now());
        administers.map_err(VaultError::NotPermitted)?;
        let _one_at_a_time = self.rights_writes.lock();
        let secrets = persist(|| {
            let mut act = Act::default();
            self.annotate_in(path, &mut act.commit, wanted.annotations)?;
            self.set_images(actor, path, &mut act, wanted.images.as_deref())?;
            self.set_managers(actor, path, &mut act, wanted.managers.as_deref())?;
            self.finish(actor, act)
        })?;
        Ok(WorkspaceChanged { workspace: self.workspace(actor, path)?, secrets })
    }

    /// All projects of the default organization that an actor is a member of, or sees as an
    /// administrator, as consumers of secrets, by name.
    pub(crate) fn workspaces(&self, actor: &Actor) -> Result<Vec<ConsumerView>, VaultError> {
        let of_default = |path: &ProjectPath| path.org == OrgName::default_org();
        let projects = self.projects(actor)?.items.into_iter();
        projects.filter(|view| of_default(&view.path)).map(|v| self.consumer_of(actor, v)).collect()
    }

    /// One of them.
    pub(crate) fn workspace_named(
        &self,
        actor: &Actor,
        name: &str,
    ) -> Result<ConsumerView, VaultError> {
        let project = ProjectName::parse(name).map_err(|_| VaultError::NotFound)?;
        let path = ProjectPath { org: OrgName::default_org(), project };
        let seen = decide::<List, _>(actor, SeenProject(path.clone()), self.clock.now());
        seen.map_err(VaultError::NotPermitted)?;
        self.workspace(actor, &path)
    }

    fn workspace(&self, actor: &Actor, path: &ProjectPath) -> Result<ConsumerView, VaultError> {
        let (record, revision) = self.project_record(path)?;
        self.consumer_of(actor, self.project_view(path.clone(), record, revision))
    }

    fn consumer_of(
        &self,
        actor: &Actor,
        project: crate::ProjectView,
    ) -> Result<ConsumerView, VaultError> {
        let lists = decide::<List, _>(actor, project.path.clone(), self.clock.now()).is_ok();
        let references = if lists { self.image_references(&project.path)? } else { Vec::new() };
        Ok(ConsumerView {
            kind: ConsumerKind::Workspace,
            name: project.path.project.as_str().to_owned(),
            uid: project.uid,
            owner: self.owner_of_name(&project.created_by),
            created_by: project.created_by,
            created_at: project.created_at,
            annotations: project.annotations,
            references,
            resource_version: project.resource_version,
        })
    }

    /// The names of the managers of each project whose secrets' names the actor sees.
    pub fn managers(&self, actor: &Actor) -> BTreeMap<ProjectPath, Vec<String>> {
        let mut found: BTreeMap<ProjectPath, Vec<String>> = BTreeMap::new();
        for principal in self.rights.principals() {
            let record = &principal.record;
            for grant in record.grants.iter().filter(|_| record.kind == PrincipalKind::User) {
                if let (Role::Manager, Scope::Project(path)) =
                    (grant.right.role(), grant.right.scope())
                {
                    found.entry(path.clone()).or_default().push(record.name.clone());
                }
            }
        }
        found.retain(|path, _| decide::<List, _>(actor, path.clone(), self.clock.now()).is_ok());
        found.values_mut().for_each(|names| names.sort());
        found
    }

    fn image_references(&self, project: &ProjectPath) -> Result<Vec<ReferenceView>, VaultError> {
        let mut found = Vec::new();
        for (head, revision) in self.images(project)? {
            let resource_version = self.wire(revision);
            let (path, uid) = (head.path, head.uid);
            let role = ReferenceRole::Image;
            found.push(ReferenceView { role, path, uid, resource_version });
        }
        Ok(found)
    }

    /// The registry secrets that are bound to a project for all its members, by home and name.
    fn images(&self, project: &ProjectPath) -> Result<Vec<(Head, domain::Revision)>, VaultError> {
        let mut found = Vec::new();
        for path in self.bound_paths(project)? {
            match self.head(&path) {
                Ok((head, revision)) if is_image(&head, project) => found.push((head, revision)),
                Ok(_) | Err(VaultError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        found.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
        Ok(found)
    }

    fn finish(&self, actor: &Actor, act: Act) -> Result<Vec<SecretView>, VaultError> {
        if act.commit.writes.is_empty() {
            return Ok(Vec::new());
        }
        let revision = self.commit(act.commit, actor.basis())?;
        for record in act.principals {
            self.rights.put_principal(record, revision);
        }
        let resource_version = self.wire(revision);
        Ok(act.heads.into_iter().map(|head| SecretView { head, resource_version }).collect())
    }

    /// Requires the project as it is, and puts what is to be kept beside it.
    fn annotate_in(
        &self,
        path: &ProjectPath,
        commit: &mut Commit,
        reannotate: Option<Reannotate<'_>>,
    ) -> Result<(), VaultError> {
        let (mut record, revision) = self.project_record(path)?;
        if record.removal != Removal::None {
            return Err(VaultError::NotFound);
        }
        let key = Key::project(path);
        commit.require(Precondition::ChangedAt(key.clone(), revision));
        if let Some(reannotate) = reannotate {
            record.annotations = reannotate(&record.annotations)?;
            commit.put(key.clone(), self.seal_record(&key, &record.encode())?);
            commit.tell(crate::projects::change(ChangeKind::Modified, path, &record));
        }
        Ok(())
    }

    fn set_managers(
        &self,
        actor: &Actor,
        path: &ProjectPath,
        act: &mut Act,
        wanted: Option<&[PrincipalName]>,
    ) -> Result<(), VaultError> {
        let Some(wanted) = wanted else { return Ok(()) };
        let manages = manager_right(path)?;
        let known = |name: &PrincipalName| self.rights.named(PrincipalKind::User, name.as_str());
        if wanted.iter().any(|name| known(name).is_none()) {
            return Err(Invalid::new("managers", "must be users that exist").into());
        }
        let is_wanted = |name: &str| wanted.iter().any(|wanted| wanted.as_str() == name);
        for principal in self.rights.principals() {
            let record = &principal.record;
            let has = record.grants.iter().any(|grant| grant.right == manages);
            let wants = record.kind == PrincipalKind::User && is_wanted(&record.name);
            if has == wants || record.kind != PrincipalKind::User {
                continue;
            }
            if act.principals.len() >= MAX_CHANGED {
                let fix = format!("must change at most {MAX_CHANGED} managers at once");
                return Err(Invalid::new("managers", fix).into());
            }
            let mut changed = record.clone();
            self.manage(actor, act, &mut changed, (&manages, wants))?;
            let at = Precondition::ChangedAt(Key::principal(record.uid), principal.changed_at);
            act.commit.require(at);
            self.put_principal_in(&mut act.commit, &changed, ChangeKind::Modified)?;
            act.principals.push(changed);
        }
        Ok(())
    }

    /// Gives or takes the right to manage a project. That the project is there is required already;
    /// one that is just being made is not there to be looked at.
    fn manage(
        &self,
        actor: &Actor,
        act: &mut Act,
        record: &mut PrincipalRecord,
        (manages, wants): (&Right, bool),
    ) -> Result<(), VaultError> {
        if !wants {
            let take = |right: &Right| right == manages;
            let change = RightsChange { give: Vec::new(), take: &take, disabled: None };
            return self.regrant(actor, &mut act.commit, record, &change);
        }
        if !may_give(actor, manages, None) {
            let fix = "must be left out: you may not do yourself all that a manager does";
            return Err(Invalid::new("managers", fix).into());
        }
        self.add_grant(record, manages.clone(), actor).map(|_| ())
    }

    fn set_images(
        &self,
        actor: &Actor,
        path: &ProjectPath,
        act: &mut Act,
        wanted: Option<&[SecretPath]>,
    ) -> Result<(), VaultError> {
        let Some(wanted) = wanted else { return Ok(()) };
        let wanted: BTreeSet<_> = wanted.iter().collect();
        let mut changed = 0;
        let mut add = |vault: &Self, act: &mut Act, draft: Draft| {
            changed += 1;
            if changed > MAX_CHANGED {
                let fix = format!("must change at most {MAX_CHANGED} secrets at once");
                return Err(VaultError::from(Invalid::new("imageSecretIds", fix)));
            }
            let (commit, head) = vault.complete(draft, ChangeKind::Modified)?;
            act.heads.push(head);
            act.commit.append(commit);
            Ok(())
        };
        // What others than the common home have bound here has no name on these lists.
        let common = self.settings.common_home.as_ref().map(|home| &home.project);
        for (head, revision) in self.images(path)? {
            if !wanted.contains(&head.path) && Some(&head.path.project) == common {
                let place = head.path.clone();
                let draft = self.draft_of(&place, (head, revision), None)?;
                add(self, act, self.close_to_members(draft, path)?)?;
            }
        }
        for secret in wanted {
            if let Some(draft) = self.open_to_members(actor, secret, path)? {
                add(self, act, draft)?;
            }
        }
        Ok(())
    }

    /// A secret with its binding for all members ended: its owner's stays, if it began as that.
    fn close_to_members(
        &self,
        mut draft: Draft,
        project: &ProjectPath,
    ) -> Result<Draft, VaultError> {
        let mut ends = false;
        draft.head.bindings.retain_mut(|binding| {
            if binding.project == *project {
                ends = !binding.opened;
                (binding.kind, binding.opened) = (BindingKind::Owner, false);
            }
            !(binding.project == *project && ends)
        });
        if ends {
            self.unbind(&mut draft, project)?;
        }
        draft.head.updated_at = self.clock.now();
        Ok(draft)
    }

    /// A secret bound to a project for all its members; nothing where it is already. What its owner
    /// bound there may be opened by whoever administers the project; to bind it, one has to be able
    /// to share it.
    fn open_to_members(
        &self,
        actor: &Actor,
        secret: &SecretPath,
        project: &ProjectPath,
    ) -> Result<Option<Draft>, VaultError> {
        let found = match self.head(secret) {
            Ok(found) => found,
            Err(VaultError::NotFound) => {
                self.permit::<Share>(actor, secret.clone())?;
                return Err(VaultError::NotFound);
            }
            Err(error) => return Err(error),
        };
        let mut draft = self.draft_of(secret, found, None)?;
        let bound = draft.head.bindings.iter_mut().find(|binding| binding.project == *project);
        match bound {
            Some(binding) => {
                check_type(draft.head.kind)?;
                if binding.kind == BindingKind::Members {
                    return Ok(None);
                }
                (binding.kind, binding.opened) = (BindingKind::Members, true);
            }
            None => {
                self.permit::<Share>(actor, secret.clone())?;
                check_type(draft.head.kind)?;
                self.bind_for_members(actor, &mut draft, project)?;
            }
        }
        draft.head.updated_at = self.clock.now();
        Ok(Some(draft))
    }

    fn bind_for_members(
        &self,
        actor: &Actor,
        draft: &mut Draft,
        project: &ProjectPath,
    ) -> Result<(), VaultError> {
        let refuse = |fix: String| Err(Invalid::new("imageSecretIds", fix).into());
        if draft.head.path.project == *project {
            return refuse("must not name a secret of the workspace itself".to_owned());
        }
        if draft.head.bindings.len() >= MAX_BINDINGS {
            return refuse(format!("must be bound to at most {MAX_BINDINGS} workspaces"));
        }
        self.index_binding(draft, project)?;
        draft.head.bindings.push(Binding {
            project: project.clone(),
            kind: BindingKind::Members,
            opened: false,
            created_by: actor.name(),
            created_at: self.clock.now(),
        });
        draft.head.bindings.sort_by(|a, b| a.project.cmp(&b.project));
        Ok(())
    }
}

impl Vault {
    /// The identity of somebody who is known by `KIND:NAME`; nothing where they are gone. A token that
    /// belongs to nobody has no other name.
    fn owner_of_name(&self, full_name: &str) -> String {
        if let Some(Subject::Token(_)) = Subject::parse(full_name) {
            return full_name.to_owned();
        }
        let parts = full_name.split_once(':');
        let kind = parts.and_then(|(kind, _)| PrincipalKind::parse(kind));
        let found = kind.zip(parts).and_then(|(kind, (_, name))| self.rights.named(kind, name));
        found.map(|found| found.record.subject().to_string()).unwrap_or_default()
    }
}

fn manager_right(path: &ProjectPath) -> Result<Right, VaultError> {
    Ok(Right::new(Role::Manager, Scope::Project(path.clone()))?)
}

fn is_image(head: &Head, project: &ProjectPath) -> bool {
    let is_here =
        |binding: &Binding| binding.project == *project && binding.kind == BindingKind::Members;
    head.kind == SecretType::Registry && head.bindings.iter().any(is_here)
}

fn check_type(kind: SecretType) -> Result<(), Invalid> {
    match kind {
        SecretType::Registry => Ok(()),
        _ => Err(Invalid::new("imageSecretIds", "must name secrets of the type image")),
    }
}
