//! Users, machine accounts and groups: made, listed, changed, shut out, removed.

use std::collections::BTreeSet;

use authz::{
    Actor, Administer, Basis, GroundRecord, Permit, Right, Role, Scope, WholeStore, may_give,
};
use crypto::PasswordHash;
use domain::{
    Annotations, Invalid, OrgName, Plaintext, PrincipalName, ProjectName, ProjectPath, Revision,
    Uid,
};
use store::{
    Change, ChangeKind, ChangedObject, Commit, Grant, Key, Precondition, PrincipalKind,
    PrincipalRecord, ProjectRecord, Removal,
};

use crate::rights::{Principal, Without};
use crate::{PrincipalView, RightsChange, Vault, VaultError};

/// The most members of a group.
const MAX_MEMBERS: usize = 4096;
/// The most groups that one principal is in: a commit requires each to be unchanged.
const MAX_GROUPS_OF_ONE: usize = 32;
/// How many tokens one commit removes.
const TOKENS_A_COMMIT: usize = 30;

/// A principal to be made.
pub struct NewPrincipal<'a> {
    /// What kind.
    pub kind: PrincipalKind,
    /// Its name.
    pub name: PrincipalName,
    /// A user's password; one without signs in with tokens only.
    pub password: Option<&'a Plaintext>,
    /// A group's members.
    pub members: Vec<Member>,
    /// What it may do from the beginning, beside what a user's own project gives.
    pub rights: Vec<Right>,
}

/// A member of a group, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// A user or a machine account.
    pub kind: PrincipalKind,
    /// Its name.
    pub name: PrincipalName,
}

/// What changes in a principal.
#[derive(Default)]
pub struct PrincipalChange {
    /// Whether it is shut out from now on, if that changes.
    pub disabled: Option<bool>,
    /// A group's members from now on, if they change.
    pub members: Option<Vec<Member>>,
}

impl Vault {
    /// Makes a principal. A user gets a personal project of the same name, in the default
    /// organization, and owns it.
    ///
    /// # Errors
    /// When the name is taken, by a principal of that kind or, for a user, by a project or an
    /// organization; when the password is weak, or a member does not exist.
    pub fn create_principal(
        &self,
        permit: &Permit<Administer, WholeStore>,
        new: &NewPrincipal<'_>,
    ) -> Result<PrincipalView, VaultError> {
        let password = self.hash_new_password(new.password, &new.name)?;
        let _one_at_a_time = self.rights_writes.lock();
        let name = new.name.as_str();
        if self.rights.named(new.kind, name).is_some() {
            return Err(VaultError::AlreadyExists);
        }
        let (uid, now, by) = (self.make_uid()?, self.clock.now(), permit.actor().name());
        let mut commit = Commit::default();
        let mut record = PrincipalRecord {
            uid,
            kind: new.kind,
            name: name.to_owned(),
            created_at: now,
            created_by: by.clone(),
            disabled: false,
            password,
            password_set_at: now,
            members: self.member_uids(&new.members, &[])?,
            grants: Vec::new(),
        };
        if new.kind == PrincipalKind::User {
            record.grants.push(self.personal_project(&mut commit, &record)?);
        }
        if !new.rights.is_empty() {
            let change =
                RightsChange { give: new.rights.clone(), take: &|_| false, disabled: None };
            self.regrant(permit.actor(), &mut commit, &mut record, &change)?;
        }
        let names = Key::principal_name(new.kind, name);
        commit.require(Precondition::Absent(names.clone()));
        commit.put(names, uid.as_bytes().to_vec());
        self.put_principal_in(&mut commit, &record, ChangeKind::Added)?;
        let revision = self.commit(commit, permit.basis())?;
        self.rights.put_principal(record, revision);
        self.principal_view_of(uid)
    }

    /// All principals of a kind, by name.
    pub fn principals(
        &self,
        _permit: &Permit<Administer, WholeStore>,
        kind: PrincipalKind,
    ) -> Vec<PrincipalView> {
        let all = self.rights.principals();
        let of_kind = all.iter().filter(|principal| principal.record.kind == kind);
        let mut views: Vec<_> = of_kind.map(|principal| self.principal_view(principal)).collect();
        views.sort_by(|a, b| a.name.cmp(&b.name));
        views
    }

    /// One principal.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn principal(
        &self,
        _permit: &Permit<Administer, WholeStore>,
        kind: PrincipalKind,
        name: &PrincipalName,
    ) -> Result<PrincipalView, VaultError> {
        let found = self.rights.named(kind, name.as_str()).ok_or(VaultError::NotFound)?;
        Ok(self.principal_view(&found))
    }

    /// The account of who asks, if they have one.
    pub fn own_account(&self, actor: &authz::Actor) -> Option<PrincipalView> {
        let found = self.rights.principal(self.own_principal(actor)?)?;
        Some(self.principal_view(&found))
    }

    /// The name of the user of an identity.
    pub fn user_of(&self, uid: Uid) -> Option<String> {
        let found = self.rights.principal(uid)?;
        (found.record.kind == PrincipalKind::User).then(|| found.record.name.clone())
    }

    /// Shuts a principal out or lets it in again, or replaces a group's members. When this returns,
    /// whoever lost a right has lost it.
    ///
    /// # Errors
    /// When there is none of that name, a member does not exist, or no administrator would be left.
    pub fn change_principal(
        &self,
        permit: &Permit<Administer, WholeStore>,
        kind: PrincipalKind,
        name: &PrincipalName,
        change: &PrincipalChange,
    ) -> Result<PrincipalView, VaultError> {
        let _one_at_a_time = self.rights_writes.lock();
        let found = self.rights.named(kind, name.as_str()).ok_or(VaultError::NotFound)?;
        let mut record = found.record.clone();
        if let Some(disabled) = change.disabled {
            if kind == PrincipalKind::Group {
                let fix =
                    "must be left out: a group is not shut out; take its grants or members away";
                return Err(Invalid::new("spec.disabled", fix).into());
            }
            record.disabled = disabled;
        }
        if let Some(members) = &change.members {
            record.members = self.member_uids(members, &found.record.members)?;
            if record.members.iter().any(|member| !found.record.members.contains(member)) {
                self.check_may_act_as(permit.actor(), found.record.uid, "spec.members")?;
            }
        }
        self.check_administrators(&Without { instead: Some(&record), ..Without::default() })?;
        self.write_principal(record, found.changed_at, permit.basis())?;
        self.principal_view_of(found.record.uid)
    }

    /// Sets a user's password, and ends every token of theirs that was made by signing in: whoever
    /// knew the old one is out.
    ///
    /// # Errors
    /// When there is no such user, or the password is weak.
    pub fn set_password(
        &self,
        permit: &Permit<Administer, WholeStore>,
        name: &PrincipalName,
        password: &Plaintext,
    ) -> Result<(), VaultError> {
        let found = self.rights.named(PrincipalKind::User, name.as_str());
        let uid = found.ok_or(VaultError::NotFound)?.record.uid;
        self.check_may_act_as(permit.actor(), uid, "principal")?;
        self.replace_password(uid, name, password, permit.basis(), None)
    }

    /// Removes a principal with its tokens, its grants and its places in groups. A user's personal
    /// project goes too, when it holds nothing; otherwise it is left to the administrators.
    ///
    /// It is shut out first, so that a removal that is cut off leaves nobody who can sign in; it is
    /// finished by asking again.
    ///
    /// # Errors
    /// When there is none of that name, or no administrator would be left.
    pub fn delete_principal(
        &self,
        permit: &Permit<Administer, WholeStore>,
        kind: PrincipalKind,
        name: &PrincipalName,
    ) -> Result<(), VaultError> {
        let mut basis = permit.basis();
        let writes = self.rights_writes.lock();
        let found = self.rights.named(kind, name.as_str()).ok_or(VaultError::NotFound)?;
        let uid = found.record.uid;
        self.check_administrators(&Without { principal: Some(uid), ..Without::default() })?;
        if kind != PrincipalKind::Group && !found.record.disabled {
            let record = PrincipalRecord { disabled: true, ..found.record.clone() };
            basis = self.write_principal(record, found.changed_at, basis)?;
        }
        basis = self.remove_tokens_of(uid, basis)?;
        for group in &found.groups {
            let Some(group) = self.rights.principal(*group) else { continue };
            let mut record = group.record.clone();
            record.members.retain(|member| *member != uid);
            basis = self.write_principal(record, group.changed_at, basis)?;
        }
        let last = self.rights.principal(uid).ok_or(VaultError::NotFound)?;
        let key = Key::principal(uid);
        let mut commit = Commit::default();
        commit.require(Precondition::ChangedAt(key.clone(), last.changed_at));
        commit.remove(key).remove(Key::principal_name(kind, name.as_str()));
        commit.tell(change(ChangeKind::Deleted, uid));
        self.commit(commit, basis)?;
        self.rights.remove_principal(uid);
        drop(writes);
        if kind == PrincipalKind::User {
            self.drop_personal_project(name);
        }
        Ok(())
    }

    /// Whoever can sign in as another, or put somebody into a group, gives the rights of those: only
    /// rights that the actor, with the token that it uses, may give.
    pub(crate) fn check_may_act_as(
        &self,
        actor: &Actor,
        uid: Uid,
        field: &str,
    ) -> Result<(), VaultError> {
        let holder = self.rights.identity_of(uid);
        let held = holder.as_ref().and_then(Actor::identity).map_or(&[][..], |own| &own.held);
        if held.iter().all(|held| may_give(actor, &held.right, None)) {
            return Ok(());
        }
        let fix = "must have no rights that you, with the token that you use, may not give";
        Err(Invalid::new(field, fix).into())
    }

    /// Ends all tokens of a principal.
    fn remove_tokens_of(&self, uid: Uid, mut basis: Basis) -> Result<Basis, VaultError> {
        let all = self.rights.tokens();
        let theirs: Vec<_> = all.iter().filter(|token| token.principal() == Some(uid)).collect();
        for some in theirs.chunks(TOKENS_A_COMMIT) {
            self.remove_tokens(some.iter().map(|token| &token.record), &basis)?;
            // The one that asks may be among them.
            let gone = |record| some.iter().any(|t| record == GroundRecord::Token(t.record.id));
            basis = basis.without(gone);
        }
        Ok(basis)
    }

    /// The hash of a password that someone is to get, once it was found strong enough.
    fn hash_new_password(
        &self,
        password: Option<&Plaintext>,
        name: &PrincipalName,
    ) -> Result<Option<Vec<u8>>, VaultError> {
        let Some(password) = password else { return Ok(None) };
        domain::check_password(password, name.as_str())?;
        let _slot = self.hashing.enter()?;
        let hash = PasswordHash::make(password).map_err(|_| VaultError::NoRandomness)?;
        Ok(Some(hash.encode()))
    }

    /// Gives a user another password. Tokens of theirs that were made by signing in end, except the
    /// one that asks.
    pub(crate) fn replace_password(
        &self,
        uid: Uid,
        name: &PrincipalName,
        password: &Plaintext,
        basis: Basis,
        keep: Option<Uid>,
    ) -> Result<(), VaultError> {
        let hash = self.hash_new_password(Some(password), name)?;
        let _one_at_a_time = self.rights_writes.lock();
        let found = self.rights.principal(uid).ok_or(VaultError::NotFound)?;
        let now = self.clock.now();
        let record =
            PrincipalRecord { password: hash, password_set_at: now, ..found.record.clone() };
        self.write_principal(record, found.changed_at, basis)?;
        let all = self.rights.tokens();
        let sessions: Vec<_> = all
            .iter()
            .filter(|token| token.principal() == Some(uid) && token.record.session)
            .filter(|token| keep != Some(token.record.id))
            .collect();
        for some in sessions.chunks(TOKENS_A_COMMIT) {
            // The password stands, and with it the end of what it opened; no right is asked twice.
            self.remove_tokens(some.iter().map(|token| &token.record), &Basis::default())?;
        }
        Ok(())
    }

    /// Writes a principal, and returns what the rest of the act rests on.
    pub(crate) fn write_principal(
        &self,
        record: PrincipalRecord,
        at: Revision,
        basis: Basis,
    ) -> Result<Basis, VaultError> {
        let mut commit = Commit::default();
        commit.require(Precondition::ChangedAt(Key::principal(record.uid), at));
        self.put_principal_in(&mut commit, &record, ChangeKind::Modified)?;
        let revision = self.commit(commit, basis.clone())?;
        let changed = GroundRecord::Principal(record.uid);
        self.rights.put_principal(record, revision);
        Ok(basis.once_changed(changed, revision))
    }

    pub(crate) fn check_administrators(&self, without: &Without<'_>) -> Result<(), VaultError> {
        let now = self.clock.now();
        // A store that never had one but the operator may change as it likes.
        let had = self.rights.has_administrator(&Without::default(), now);
        if had && !self.rights.has_administrator(without, now) {
            return Err(VaultError::LastAdministrator);
        }
        Ok(())
    }

    /// Takes away all grants whose scope is named, from everyone, and returns what the rest of the
    /// act rests on.
    pub(crate) fn strip_grants(
        &self,
        mut basis: Basis,
        named: &dyn Fn(&Scope) -> bool,
    ) -> Result<Basis, VaultError> {
        for principal in self.rights.principals() {
            let grants = &principal.record.grants;
            if grants.iter().any(|grant| named(grant.right.scope())) {
                let mut record = principal.record.clone();
                record.grants.retain(|grant| !named(grant.right.scope()));
                basis = self.write_principal(record, principal.changed_at, basis)?;
            }
        }
        Ok(basis)
    }

    pub(crate) fn put_principal_in(
        &self,
        commit: &mut Commit,
        record: &PrincipalRecord,
        kind: ChangeKind,
    ) -> Result<(), VaultError> {
        let key = Key::principal(record.uid);
        commit.put(key.clone(), self.seal_record(&key, &record.encode())?);
        commit.tell(change(kind, record.uid));
        Ok(())
    }

    /// A new user's project, and the right to it.
    fn personal_project(
        &self,
        commit: &mut Commit,
        user: &PrincipalRecord,
    ) -> Result<Grant, VaultError> {
        let path = personal_path(&user.name)?;
        let key = Key::project(&path);
        let is_kept = self.settings.reserved_projects.contains(&path);
        if is_kept || self.engine.read(&key)?.is_some() {
            let fix = "must not be the name of a project: each user gets one of the same name";
            return Err(Invalid::new("metadata.name", fix).into());
        }
        self.require_org(commit, &path)?;
        let project = ProjectRecord {
            uid: self.make_uid()?,
            created_at: user.created_at,
            created_by: user.created_by.clone(),
            rules: self
                .settings
                .personal_rules
                .iter()
                .filter_map(|rule| rule.apply(&path))
                .collect(),
            keep_versions: None,
            annotations: Annotations::default(),
            removal: Removal::None,
        };
        commit.require(Precondition::Absent(key.clone()));
        commit.put(key.clone(), self.seal_record(&key, &project.encode())?);
        commit.tell(crate::projects::change(ChangeKind::Added, &path, &project));
        Ok(Grant {
            id: self.make_uid()?,
            right: Right::new(Role::Owner, Scope::Project(path))?,
            created_at: user.created_at,
            created_by: user.created_by.clone(),
        })
    }

    /// By what the removal of the user was decided on, which is made by now.
    fn drop_personal_project(&self, name: &PrincipalName) {
        let Ok(path) = personal_path(name.as_str()) else { return };
        match self.remove_project(&path, Basis::default(), None) {
            Ok(()) | Err(VaultError::NotFound) => {}
            Err(error) => tracing::info!(%error, "a removed user's project stays"),
        }
    }

    fn member_uids(&self, members: &[Member], before: &[Uid]) -> Result<Vec<Uid>, VaultError> {
        let refuse = |fix: String| Err(Invalid::new("spec.members", fix).into());
        if members.len() > MAX_MEMBERS {
            return refuse(format!("must be at most {MAX_MEMBERS} members"));
        }
        let mut uids = BTreeSet::new();
        for member in members {
            if member.kind == PrincipalKind::Group {
                return refuse(
                    "must be users and machine accounts; a group holds no groups".into(),
                );
            }
            let Some(found) = self.rights.named(member.kind, member.name.as_str()) else {
                return refuse("must name users and machine accounts that exist".into());
            };
            let is_new = !before.contains(&found.record.uid);
            if is_new && found.groups.len() >= MAX_GROUPS_OF_ONE {
                return refuse(format!("must be in at most {MAX_GROUPS_OF_ONE} groups each"));
            }
            uids.insert(found.record.uid);
        }
        Ok(uids.into_iter().collect())
    }

    fn principal_view_of(&self, uid: Uid) -> Result<PrincipalView, VaultError> {
        let found = self.rights.principal(uid).ok_or(VaultError::NotFound)?;
        Ok(self.principal_view(&found))
    }

    pub(crate) fn principal_view(&self, principal: &Principal) -> PrincipalView {
        let name_of = |uid: &Uid| self.rights.principal(*uid).map(|found| found.record.full_name());
        let PrincipalRecord { uid, kind, name, created_at, created_by, disabled, .. } =
            principal.record.clone();
        let mut members: Vec<_> = principal.record.members.iter().filter_map(name_of).collect();
        members.sort();
        PrincipalView {
            uid,
            kind,
            name,
            created_at,
            created_by,
            disabled,
            has_password: principal.record.password.is_some(),
            members,
            groups: principal.groups.iter().filter_map(name_of).collect(),
            resource_version: self.wire(principal.changed_at),
        }
    }
}

fn personal_path(name: &str) -> Result<ProjectPath, Invalid> {
    Ok(ProjectPath { org: OrgName::default_org(), project: ProjectName::parse(name)? })
}

fn change(kind: ChangeKind, uid: Uid) -> Vec<u8> {
    Change { kind, object: ChangedObject::Principal, uid, view: None }.encode()
}
