//! Organizations: made, listed, removed.

use authz::{Actor, Administer, List, Permit, Scope, WholeStore, decide};
use domain::{Invalid, OrgName, ProjectName, ProjectPath, Revision, Uid};
use store::{Change, ChangeKind, ChangedObject, Commit, Key, KeyRange, OrgRecord, Precondition};

use crate::{OrgView, Vault, VaultError};

impl Vault {
    /// Makes an organization. Its name is none of a project of the default organization, since a
    /// URI may leave that one out.
    ///
    /// # Errors
    /// When there is one of that name already, or such a project.
    pub fn create_org(
        &self,
        permit: &Permit<Administer, WholeStore>,
        name: &OrgName,
    ) -> Result<OrgView, VaultError> {
        let _one_at_a_time = self.rights_writes.lock();
        if *name == OrgName::default_org() || self.rights.org(name).is_some() {
            return Err(VaultError::AlreadyExists);
        }
        let record = OrgRecord {
            uid: self.make_uid()?,
            created_at: self.clock.now(),
            created_by: permit.actor().name(),
            deleting: false,
        };
        let key = Key::org(name);
        let mut commit = Commit::default();
        commit.require(Precondition::Absent(key.clone()));
        commit.require(Precondition::Absent(Key::project(&namesake(name)?)));
        commit.put(key.clone(), self.seal_record(&key, &record.encode())?);
        commit.tell(change(ChangeKind::Added, &record));
        let revision = self.commit(commit, permit.basis()).map_err(|error| match error {
            VaultError::Busy => taken().into(),
            other => other,
        })?;
        self.rights.put_org(name.clone(), record.clone(), revision);
        Ok(self.org_view(name.clone(), Some(&record), revision))
    }

    /// The organizations that an actor may list, or has a right in, by name; the default one first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn orgs(&self, actor: &Actor) -> Result<Vec<OrgView>, VaultError> {
        let now = self.clock.now();
        let made = self.rights.orgs().into_iter();
        let made = made.map(|(name, record, revision)| (name, Some(record), revision));
        let all = [(OrgName::default_org(), None, Revision::ZERO)].into_iter().chain(made);
        let is_shown = |name: &OrgName| {
            let held = actor.identity().map_or(&[][..], |identity| &identity.held);
            let inside = |scope: &Scope| scope.project().is_some_and(|path| path.org == *name);
            decide::<List, _>(actor, name.clone(), now).is_ok()
                || held.iter().any(|held| inside(held.right.scope()))
        };
        let shown = all.filter(|(name, ..)| is_shown(name));
        Ok(shown.map(|(name, record, at)| self.org_view(name, record.as_ref(), at)).collect())
    }

    /// The organization of an identity; the default one has none.
    pub fn org_of(&self, uid: Uid) -> Option<OrgName> {
        let mut orgs = self.rights.orgs().into_iter();
        orgs.find(|(_, record, _)| record.uid == uid).map(|(name, ..)| name)
    }

    /// Removes an organization that has no projects. What was granted on it goes with it.
    ///
    /// # Errors
    /// When there is none of that name, or it has projects.
    pub fn delete_org(
        &self,
        permit: &Permit<Administer, WholeStore>,
        name: &OrgName,
    ) -> Result<(), VaultError> {
        if *name == OrgName::default_org() {
            return Err(Invalid::new("org", "must not be the default organization").into());
        }
        let _one_at_a_time = self.rights_writes.lock();
        let (mut record, revision) = self.rights.org(name).ok_or(VaultError::NotFound)?;
        let named = |scope: &Scope| matches!(scope, Scope::Org(org) if org == name);
        if self.rights.is_named_by_a_token(named, self.clock.now()) {
            return Err(VaultError::ProjectHasTokens);
        }
        // First marked, so that every project fails that was decided on it, and then searched.
        record.deleting = true;
        let marked = self.write_org(name, &record, revision, permit)?;
        if !self.engine.scan(&KeyRange::projects_of(name), 1)?.records.is_empty() {
            record.deleting = false;
            self.write_org(name, &record, marked, permit)?;
            return Err(VaultError::OrgNotEmpty);
        }
        let basis = self.strip_grants(permit.basis(), &named)?;
        let key = Key::org(name);
        let mut commit = Commit::default();
        commit.require(Precondition::ChangedAt(key.clone(), marked));
        commit.remove(key).tell(change(ChangeKind::Deleted, &record));
        self.commit(commit, basis)?;
        self.rights.remove_org(name);
        Ok(())
    }

    /// What a project needs to come into being in an organization, as preconditions of its commit.
    pub(crate) fn require_org(
        &self,
        commit: &mut Commit,
        project: &ProjectPath,
    ) -> Result<(), VaultError> {
        if project.org == OrgName::default_org() {
            let namesake = OrgName::parse(project.project.as_str())?;
            if self.rights.org(&namesake).is_some() {
                let fix = "must not be an organization's name: a URI may leave `default` out";
                return Err(Invalid::new("metadata.name", fix).into());
            }
            commit.require(Precondition::Absent(Key::org(&namesake)));
            return Ok(());
        }
        let found = self.rights.org(&project.org).filter(|(record, _)| !record.deleting);
        let (_, revision) = found.ok_or(VaultError::NotFound)?;
        commit.require(Precondition::ChangedAt(Key::org(&project.org), revision));
        Ok(())
    }

    fn write_org(
        &self,
        name: &OrgName,
        record: &OrgRecord,
        at: Revision,
        permit: &Permit<Administer, WholeStore>,
    ) -> Result<Revision, VaultError> {
        let key = Key::org(name);
        let mut commit = Commit::default();
        commit.require(Precondition::ChangedAt(key.clone(), at));
        commit.put(key.clone(), self.seal_record(&key, &record.encode())?);
        commit.tell(change(ChangeKind::Modified, record));
        let revision = self.commit(commit, permit.basis())?;
        self.rights.put_org(name.clone(), record.clone(), revision);
        Ok(revision)
    }

    fn org_view(&self, name: OrgName, record: Option<&OrgRecord>, at: Revision) -> OrgView {
        OrgView {
            name,
            uid: record.map(|record| record.uid),
            created_at: record.map(|record| record.created_at),
            created_by: record.map(|record| record.created_by.clone()),
            resource_version: self.wire(at),
        }
    }
}

fn namesake(org: &OrgName) -> Result<ProjectPath, Invalid> {
    let project = ProjectName::parse(org.as_str())?;
    Ok(ProjectPath { org: OrgName::default_org(), project })
}

fn taken() -> Invalid {
    let fix = "must not be the name of a project of the default organization: a URI may leave that organization out";
    Invalid::new("metadata.name", fix)
}

fn change(kind: ChangeKind, record: &OrgRecord) -> Vec<u8> {
    Change { kind, object: ChangedObject::Organization, uid: record.uid, view: None }.encode()
}
