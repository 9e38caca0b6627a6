//! Projects: made, listed, given rules, removed.

use authz::{
    Actor, Administer, Basis, Denied, List, PartOfProject, Permit, Right, Role, Scope, SeenProject,
    WholeStore, decide,
};
use domain::{
    Annotations, Invalid, OrgName, ProjectPath, ProjectionRule, ResourceVersion, Retired, Revision,
    Uid,
};
use store::{
    Change, ChangeKind, ChangedObject, Commit, Key, KeyRange, Precondition, ProjectRecord, Removal,
};

use crate::secrets::check_keep;
use crate::{ListPage, ProjectView, Vault, VaultError, persist};

const MAX_RULES: usize = 16;
const PAGE: usize = 256;

/// What a project is to be.
#[derive(Clone, Debug, Default)]
pub struct NewProject {
    /// Where its secrets appear.
    pub rules: Vec<ProjectionRule>,
    /// How many versions of a secret are kept, where the project says so itself.
    pub keep_versions: Option<u32>,
    /// What clients keep beside it.
    pub annotations: Annotations,
}

/// What changes in a project.
pub struct ProjectChange<'a> {
    /// From what it is to what it is to be.
    pub change: &'a dyn Fn(&NewProject) -> Result<NewProject, Invalid>,
    /// The resource version that the caller has seen, where it insists.
    pub expected: Option<ResourceVersion>,
}

impl Vault {
    /// Makes a project in an organization. Rules are for an administrator of the whole store to set;
    /// see [`Vault::change_project`].
    ///
    /// # Errors
    /// When there is no such organization, there is a project of that name, or the rules contradict
    /// each other.
    pub fn create_project(
        &self,
        permit: &Permit<Administer, OrgName>,
        rules: Option<&Permit<Administer, WholeStore>>,
        path: &ProjectPath,
        new: NewProject,
    ) -> Result<ProjectView, VaultError> {
        check(&new)?;
        if permit.resource() != &path.org || (rules.is_none() && !new.rules.is_empty()) {
            return Err(VaultError::NotPermitted(Denied::Forbidden));
        }
        let mut commit = Commit::default();
        let record = self.put_new_project(&mut commit, path, new, permit.actor())?;
        let revision = self.commit(commit, permit.basis()).map_err(taken)?;
        Ok(self.project_view(path.clone(), record, revision))
    }

    /// Makes a project of who asks, with the rules that the settings give such projects. An account
    /// owns what it makes. Administrators may always do it, other users where the settings let
    /// them, with a token that leaves them all of their rights.
    ///
    /// # Errors
    /// When the actor may not, there is a project of that name, or it may not have the name.
    pub fn create_own_project(
        &self,
        actor: &Actor,
        path: &ProjectPath,
        annotations: Annotations,
    ) -> Result<ProjectView, VaultError> {
        let own = self.own_principal(actor);
        let denied = decide::<Administer, _>(actor, path.org.clone(), self.clock.now()).err();
        let lets = self.settings.users_create_projects
            && own.is_some()
            && !actor.is_narrowed()
            && !self.settings.reserved_projects.contains(path)
            && path.org == OrgName::default_org();
        if let Some(denied) = denied.filter(|_| !lets) {
            let denied = if denied == Denied::NotVisible { Denied::Forbidden } else { denied };
            return Err(VaultError::NotPermitted(denied));
        }
        let rules = self.settings.own_project_rules.iter().filter_map(|rule| rule.apply(path));
        let new = NewProject { rules: rules.collect(), keep_versions: None, annotations };
        check(&new)?;
        let _one_at_a_time = self.rights_writes.lock();
        let mut commit = Commit::default();
        let record = self.put_new_project(&mut commit, path, new, actor)?;
        let owner = own.and_then(|uid| self.rights.principal(uid));
        let mut changed = None;
        if let Some(owner) = owner {
            let mut principal = owner.record.clone();
            let right = Right::new(Role::Owner, Scope::Project(path.clone()))?;
            self.add_grant(&mut principal, right, actor)?;
            commit
                .require(Precondition::ChangedAt(Key::principal(principal.uid), owner.changed_at));
            self.put_principal_in(&mut commit, &principal, ChangeKind::Modified)?;
            changed = Some(principal);
        }
        let revision = self.commit(commit, actor.basis()).map_err(taken)?;
        if let Some(principal) = changed {
            self.rights.put_principal(principal, revision);
        }
        Ok(self.project_view(path.clone(), record, revision))
    }

    pub(crate) fn put_new_project(
        &self,
        commit: &mut Commit,
        path: &ProjectPath,
        new: NewProject,
        actor: &Actor,
    ) -> Result<ProjectRecord, VaultError> {
        let record = ProjectRecord {
            uid: self.make_uid()?,
            created_at: self.clock.now(),
            created_by: actor.name(),
            rules: new.rules,
            keep_versions: new.keep_versions,
            annotations: new.annotations,
            removal: Removal::None,
        };
        let key = Key::project(path);
        if self.engine.read(&key)?.is_some() {
            return Err(VaultError::AlreadyExists);
        }
        self.require_org(commit, path)?;
        commit.require(Precondition::Absent(key.clone()));
        commit.put(key.clone(), self.seal_record(&key, &record.encode())?);
        commit.tell(change(ChangeKind::Added, path, &record));
        Ok(record)
    }

    /// Changes what clients keep beside a project.
    ///
    /// # Errors
    /// When there is no such project, or they are too large.
    pub fn annotate_project(
        &self,
        permit: &Permit<Administer, ProjectPath>,
        annotate: &dyn Fn(&Annotations) -> Result<Annotations, Invalid>,
    ) -> Result<ProjectView, VaultError> {
        self.rewrite_project(permit.resource(), &permit.basis(), None, |record| {
            record.annotations = annotate(&record.annotations)?;
            Ok(Vec::new())
        })
    }

    /// One project.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn project(&self, permit: &Permit<List, SeenProject>) -> Result<ProjectView, VaultError> {
        let SeenProject(path) = permit.resource();
        let (record, revision) = self.project_record(path)?;
        Ok(self.project_view(path.clone(), record, revision))
    }

    /// Whether a project exists that an actor may list something of.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn check_project(&self, permit: &Permit<List, PartOfProject>) -> Result<(), VaultError> {
        self.project_record(&permit.resource().0).map(|_| ())
    }

    /// The project of an identity. All are looked through: a table of them would cost each commit
    /// that makes one, for clients of one platform.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn project_of(&self, uid: Uid) -> Result<Option<ProjectPath>, VaultError> {
        let mut all = self.all_projects()?.into_iter();
        Ok(all.find(|(_, record, _)| record.uid == uid).map(|(path, ..)| path))
    }

    /// The projects in which an actor has any right, be it to one secret.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn reachable_projects(&self, actor: &Actor) -> Result<Vec<ProjectPath>, VaultError> {
        let now = self.clock.now();
        let paths = self.all_projects()?.into_iter().map(|(path, ..)| path);
        Ok(paths
            .filter(|path| decide::<List, _>(actor, PartOfProject(path.clone()), now).is_ok())
            .collect())
    }

    /// The projects that an actor is a member of, or may see as an administrator, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn projects(&self, actor: &Actor) -> Result<ListPage<ProjectView>, VaultError> {
        let resource_version = self.resource_version();
        let mut items = Vec::new();
        for (path, record, revision) in self.all_projects()? {
            if decide::<List, _>(actor, SeenProject(path.clone()), self.clock.now()).is_ok() {
                items.push(self.project_view(path, record, revision));
            }
        }
        Ok(ListPage { items, resource_version, next: None })
    }

    /// Changes a project's rules. A rule that goes leaves a tombstone, on which the sync worker
    /// removes what it had projected.
    ///
    /// Which namespaces a project may reach is for an administrator of the whole store to say:
    /// whoever manages a project could else send its values to where they can read them, or plant
    /// Secrets with others.
    ///
    /// # Errors
    /// When there is no such project, the rules contradict each other, or it changed meanwhile.
    pub fn change_project(
        &self,
        permit: &Permit<Administer, WholeStore>,
        path: &ProjectPath,
        wanted: &ProjectChange<'_>,
    ) -> Result<ProjectView, VaultError> {
        self.rewrite_project(path, &permit.basis(), wanted.expected, |record| {
            if record.removal.is_resumed() {
                let fix = "must not be one that is being removed";
                return Err(Invalid::new("project", fix));
            }
            let (rules, keep_versions) = (std::mem::take(&mut record.rules), record.keep_versions);
            let old = NewProject { rules, keep_versions, annotations: record.annotations.clone() };
            let new = (wanted.change)(&old)?;
            check(&new)?;
            record.removal = Removal::None;
            record.rules = new.rules;
            record.keep_versions = new.keep_versions;
            record.annotations = new.annotations;
            Ok(old.rules.into_iter().filter(|rule| !record.rules.contains(rule)).collect())
        })
    }

    /// Removes an empty project that no token names. What was granted in it goes with it.
    ///
    /// The record is first marked, which makes every creation that was decided on it fail, and then
    /// the project is searched once more: so no secret is left behind in a project that is gone. A
    /// token would come to life again with the next project of the name.
    ///
    /// # Errors
    /// When there is no such project, it has secrets or tokens, or it changed meanwhile.
    pub fn delete_project(
        &self,
        permit: &Permit<Administer, ProjectPath>,
        expected: Option<ResourceVersion>,
    ) -> Result<(), VaultError> {
        self.remove_project(permit.resource(), permit.basis(), expected)
    }

    pub(crate) fn remove_project(
        &self,
        path: &ProjectPath,
        basis: Basis,
        expected: Option<ResourceVersion>,
    ) -> Result<(), VaultError> {
        let _no_new_right = self.rights_writes.lock();
        if self.is_named_by_a_token(path) {
            return Err(VaultError::ProjectHasTokens);
        }
        let (record, revision) = self.project_record(path)?;
        let current = self.wire(revision);
        if let Some(expected) = expected.filter(|expected| *expected != current) {
            return Err(self.stale(expected, current));
        }
        if let Err(in_use) = self.check_unused(path) {
            // A removal that was cut off may have left its mark; one with all in it goes on.
            if record.removal == Removal::IfEmpty {
                self.mark_project(path, &basis, current, Removal::None)?;
            }
            return Err(in_use);
        }
        let mark = if record.removal.is_resumed() { record.removal } else { Removal::IfEmpty };
        let marked = self.mark_project(path, &basis, current, mark)?;
        if let Err(in_use) = self.check_unused(path) {
            if mark == Removal::IfEmpty {
                self.mark_project(path, &basis, marked.resource_version, Removal::None)?;
            }
            return Err(in_use);
        }
        let basis = self.strip_grants(basis, &|scope| scope.project() == Some(path))?;
        let key = Key::project(path);
        let mut commit = Commit::default();
        commit.require(Precondition::ChangedAt(key.clone(), marked.resource_version.revision()));
        commit.remove(key).tell(change(ChangeKind::Deleted, path, &record));
        for rule in record.rules {
            self.bury_rule(&mut commit, path, rule)?;
        }
        self.commit(commit, basis).map(|_| ())
    }

    fn check_unused(&self, path: &ProjectPath) -> Result<(), VaultError> {
        self.check_empty(path)?;
        match self.engine.scan(&KeyRange::bindings(path), 1)?.records.is_empty() {
            true => Ok(()),
            false => Err(VaultError::ProjectHasBindings),
        }
    }

    /// That no secret is in a project, not even a deleted one.
    pub(crate) fn check_empty(&self, path: &ProjectPath) -> Result<(), VaultError> {
        if !self.engine.scan(&KeyRange::heads(path), 1)?.records.is_empty() {
            return Err(VaultError::ProjectNotEmpty);
        }
        match self.engine.scan(&KeyRange::deleted_heads(path), 1)?.records.is_empty() {
            true => Ok(()),
            false => Err(VaultError::ProjectHasDeletedSecrets),
        }
    }

    pub(crate) fn mark_project(
        &self,
        path: &ProjectPath,
        basis: &Basis,
        expected: ResourceVersion,
        removal: Removal,
    ) -> Result<ProjectView, VaultError> {
        self.rewrite_project(path, basis, Some(expected), |record| {
            record.removal = removal;
            Ok(Vec::new())
        })
    }

    pub(crate) fn all_projects(
        &self,
    ) -> Result<Vec<(ProjectPath, ProjectRecord, Revision)>, VaultError> {
        let (mut range, mut more, mut projects) = (KeyRange::projects(), true, Vec::new());
        while more {
            let page = self.engine.scan(&range, PAGE)?;
            more = page.more;
            for (key, stored) in page.records {
                let path = key.project_path().ok_or(VaultError::Damaged)?;
                let record = self.open_record(&key, &stored.value, ProjectRecord::decode)?;
                projects.push((path, record, stored.changed_at));
                range = range.after(&key);
            }
        }
        Ok(projects)
    }

    pub(crate) fn project_record(
        &self,
        path: &ProjectPath,
    ) -> Result<(ProjectRecord, Revision), VaultError> {
        let found = self.read_record(&Key::project(path), ProjectRecord::decode)?;
        found.ok_or(VaultError::NotFound)
    }

    /// Reads, changes and writes a project; `change_record` returns the rules that go with it.
    fn rewrite_project(
        &self,
        path: &ProjectPath,
        basis: &Basis,
        expected: Option<ResourceVersion>,
        change_record: impl Fn(&mut ProjectRecord) -> Result<Vec<ProjectionRule>, Invalid>,
    ) -> Result<ProjectView, VaultError> {
        persist(|| self.try_rewrite_project(path, basis, expected, &change_record))
    }

    fn try_rewrite_project(
        &self,
        path: &ProjectPath,
        basis: &Basis,
        expected: Option<ResourceVersion>,
        change_record: &impl Fn(&mut ProjectRecord) -> Result<Vec<ProjectionRule>, Invalid>,
    ) -> Result<ProjectView, VaultError> {
        let (mut record, revision) = self.project_record(path)?;
        let current = self.wire(revision);
        if let Some(expected) = expected.filter(|expected| *expected != current) {
            return Err(self.stale(expected, current));
        }
        let key = Key::project(path);
        let mut commit = Commit::default();
        for rule in change_record(&mut record)? {
            self.bury_rule(&mut commit, path, rule)?;
        }
        commit.require(Precondition::ChangedAt(key.clone(), revision));
        commit.put(key.clone(), self.seal_record(&key, &record.encode())?);
        commit.tell(change(ChangeKind::Modified, path, &record));
        let revision = self.commit(commit, basis.clone())?;
        Ok(self.project_view(path.clone(), record, revision))
    }

    fn bury_rule(
        &self,
        commit: &mut Commit,
        project: &ProjectPath,
        rule: ProjectionRule,
    ) -> Result<(), VaultError> {
        let retired = Retired::Rule { project: project.clone(), namespace: rule.namespace };
        self.entomb(commit, self.make_uid()?, &retired);
        Ok(())
    }

    pub(crate) fn project_view(
        &self,
        path: ProjectPath,
        record: ProjectRecord,
        revision: Revision,
    ) -> ProjectView {
        ProjectView {
            path,
            uid: record.uid,
            resource_version: self.wire(revision),
            created_at: record.created_at,
            created_by: record.created_by,
            rules: record.rules,
            keep_versions: record.keep_versions,
            annotations: record.annotations,
        }
    }
}

/// Someone else made a project of that name at the same time.
fn taken(error: VaultError) -> VaultError {
    match error {
        VaultError::Busy => VaultError::AlreadyExists,
        other => other,
    }
}

pub(crate) fn check(project: &NewProject) -> Result<(), Invalid> {
    check_keep(project.keep_versions)?;
    let rules = &project.rules;
    let at = "spec.projectionRules";
    if rules.len() > MAX_RULES {
        return Err(Invalid::new(at, format!("must be at most {MAX_RULES} rules")));
    }
    for rule in rules {
        rule.check().map_err(|wrong| wrong.within(at))?;
    }
    let mut sorted: Vec<_> = rules.iter().collect();
    sorted.sort();
    if sorted.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
        return Err(Invalid::new(at, "must not name the same rule twice"));
    }
    Ok(())
}

pub(crate) fn change(kind: ChangeKind, path: &ProjectPath, record: &ProjectRecord) -> Vec<u8> {
    Change { kind, object: ChangedObject::Project(path.clone()), uid: record.uid, view: None }
        .encode()
}
