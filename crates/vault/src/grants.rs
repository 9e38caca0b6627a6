//! Rights given and taken back: on the store, an organization, a project, a prefix of names, or one
//! secret.

use authz::{
    Action, Actor, Administer, Denied, Permit, Right, Role, Scope, Share, Subject, WholeStore,
    decide, may_give,
};
use domain::{Invalid, PrincipalName, ProjectPath, SecretPath, SecretUri, Uid};
use store::{Commit, Grant, Key, Precondition, PrincipalKind, PrincipalRecord, Removal};

use crate::rights::Without;
use crate::{GrantView, Vault, VaultError};

/// The most grants of one principal: all of them lie in its record.
const MAX_GRANTS_OF_ONE: usize = 1000;

/// The most rights that one act gives: each place has to be there when it is committed.
const MAX_GIVEN: usize = 64;

/// The right to give and to take rights at a place.
pub enum GrantPermit {
    /// Of who administers the place.
    Administer(Permit<Administer, Scope>),
    /// Of who shares everything at and below a name.
    Share(Permit<Share, Scope>),
    /// Of who shares one secret, and nothing else of its name; with that secret's owner.
    ShareOne(Permit<Share, SecretPath>, Option<Subject>),
}

impl GrantPermit {
    /// Who was permitted.
    pub const fn actor(&self) -> &Actor {
        match self {
            Self::Administer(permit) => permit.actor(),
            Self::Share(permit) => permit.actor(),
            Self::ShareOne(permit, _) => permit.actor(),
        }
    }
}

/// A right to be given.
pub struct NewGrant {
    /// To whom: a kind and a name.
    pub to: (PrincipalKind, PrincipalName),
    /// The role.
    pub role: Role,
}

/// What changes in the rights of one principal.
pub struct RightsChange<'a> {
    /// What it is to have.
    pub give: Vec<Right>,
    /// What it is to lose.
    pub take: &'a dyn Fn(&Right) -> bool,
    /// Whether it is shut out from now on, if that changes; for administrators of the whole store.
    pub disabled: Option<bool>,
}

impl Vault {
    /// Gives and takes rights of one principal, all of them or none. Each is for who may give it.
    ///
    /// # Errors
    /// When nobody has that name, a place does not exist, a right is not the actor's to give or to
    /// take, or no administrator would be left.
    pub fn change_rights(
        &self,
        actor: &Actor,
        (kind, name): (PrincipalKind, &PrincipalName),
        wanted: &RightsChange<'_>,
    ) -> Result<(), VaultError> {
        let _one_at_a_time = self.rights_writes.lock();
        let found = self.rights.named(kind, name.as_str()).ok_or(VaultError::NotFound)?;
        let mut commit = Commit::default();
        let mut record = found.record.clone();
        if let Some(disabled) = wanted.disabled.filter(|disabled| *disabled != record.disabled) {
            let permit = decide::<Administer, _>(actor, WholeStore, self.clock.now());
            permit.map_err(VaultError::NotPermitted)?;
            record.disabled = disabled;
        }
        self.regrant(actor, &mut commit, &mut record, wanted)?;
        if record == found.record {
            return Ok(());
        }
        self.check_administrators(&Without { instead: Some(&record), ..Without::default() })?;
        self.rewrite_grants(commit, record, found.changed_at, actor)
    }

    /// Puts the rights that one is to have into a record, and what must hold for that into a commit.
    pub(crate) fn regrant(
        &self,
        actor: &Actor,
        commit: &mut Commit,
        record: &mut PrincipalRecord,
        wanted: &RightsChange<'_>,
    ) -> Result<(), VaultError> {
        if wanted.give.len() > MAX_GIVEN {
            let fix = format!("must be at most {MAX_GIVEN} rights at once");
            return Err(Invalid::new("rights", fix).into());
        }
        let own = gives_up_own(actor, record);
        for grant in record.grants.iter().filter(|grant| (wanted.take)(&grant.right)) {
            if !own {
                let permit = self.permit_granting(actor, grant.right.scope())?;
                self.check_may_give(&permit, &grant.right)?;
            }
        }
        record.grants.retain(|grant| !(wanted.take)(&grant.right));
        for right in &wanted.give {
            if !record.grants.iter().any(|grant| grant.right == *right) {
                let permit = self.permit_granting(actor, right.scope())?;
                let right = self.right_to_give(&permit, right.scope(), right.role(), commit)?;
                self.add_grant(record, right, actor)?;
            }
        }
        Ok(())
    }

    /// The place that a URI names.
    ///
    /// # Errors
    /// When it is of another cluster, or names nothing that could be.
    pub fn scope_of(&self, uri: &str) -> Result<Scope, VaultError> {
        let uri = SecretUri::parse(uri)?;
        if uri.cluster() != self.settings.cluster {
            let fix = format!("must be of the cluster `{}`", self.settings.cluster);
            return Err(Invalid::new("uri", fix).into());
        }
        Ok(Scope::from_uri(&uri, |org| self.rights.org(org).is_some())?)
    }

    /// The URI of a place.
    pub fn uri_of(&self, scope: &Scope) -> String {
        scope.to_uri(&self.settings.cluster).to_string()
    }

    /// Decides whether an actor may give and take rights at a place. Who owns a secret may share
    /// that one, but not its name.
    ///
    /// # Errors
    /// Why not.
    pub fn permit_granting(&self, actor: &Actor, scope: &Scope) -> Result<GrantPermit, VaultError> {
        let now = self.clock.now();
        match scope {
            Scope::Below(path) | Scope::Secret(path, _) => {
                let below = Scope::Below(path.clone());
                let denied = match decide::<Share, _>(actor, below, now) {
                    Ok(permit) => return Ok(GrantPermit::Share(permit)),
                    Err(denied) => denied,
                };
                let of = match scope {
                    Scope::Secret(_, uid) => Some(*uid),
                    _ => None,
                };
                let head = self.head_of(path, of)?.ok_or(VaultError::NotPermitted(denied))?;
                let (known, owner) = (known(&head), owner_of(&head.owner));
                let permit = authz::decide_known::<Share>(actor, known, now);
                let permit = permit.map_err(VaultError::NotPermitted)?;
                Ok(GrantPermit::ShareOne(permit, owner))
            }
            _ => {
                let permit = decide::<Administer, _>(actor, scope.clone(), now);
                permit.map(GrantPermit::Administer).map_err(VaultError::NotPermitted)
            }
        }
    }

    /// Gives a right. One that is held already is left as it is.
    ///
    /// # Errors
    /// When nobody has that name, the place does not exist, or the role allows what the giver may
    /// not do there.
    pub fn grant(
        &self,
        permit: &GrantPermit,
        scope: &Scope,
        new: &NewGrant,
    ) -> Result<GrantView, VaultError> {
        let _one_at_a_time = self.rights_writes.lock();
        let mut commit = Commit::default();
        let right = self.right_to_give(permit, scope, new.role, &mut commit)?;
        let (kind, name) = &new.to;
        let found = self.rights.named(*kind, name.as_str());
        let found = found.ok_or_else(nobody)?;
        let held = found.record.grants.iter().find(|grant| grant.right == right);
        if let Some(held) = held {
            return Ok(self.grant_view(&found.record, held));
        }
        let mut record = found.record.clone();
        let grant = self.add_grant(&mut record, right, permit.actor())?;
        self.rewrite_grants(commit, record.clone(), found.changed_at, permit.actor())?;
        Ok(self.grant_view(&record, &grant))
    }

    /// Makes a role the only one that someone has at a place itself; or, without one, takes away those
    /// that they have there. All of it is done, or nothing.
    ///
    /// # Errors
    /// As [`Vault::grant`] and [`Vault::revoke_grant`].
    pub fn set_role(
        &self,
        permit: &GrantPermit,
        scope: &Scope,
        (kind, name): (PrincipalKind, &PrincipalName),
        role: Option<Role>,
    ) -> Result<Option<GrantView>, VaultError> {
        let _one_at_a_time = self.rights_writes.lock();
        let mut commit = Commit::default();
        let wanted = role.map(|role| self.right_to_give(permit, scope, role, &mut commit));
        let wanted = wanted.transpose()?;
        let found = self.rights.named(kind, name.as_str());
        let found = match (found, role) {
            (Some(found), _) => found,
            (None, Some(_)) => return Err(nobody().into()),
            (None, None) => return Err(VaultError::NotFound),
        };
        let mut record = found.record.clone();
        let goes = |grant: &Grant| {
            grant.right.scope() == scope
                && wanted.as_ref().is_none_or(|right| *right != grant.right)
        };
        if !gives_up_own(permit.actor(), &record) {
            for grant in record.grants.iter().filter(|grant| goes(grant)) {
                self.check_may_give(permit, &grant.right)?;
            }
        }
        let count = record.grants.len();
        record.grants.retain(|grant| !goes(grant));
        let loses = record.grants.len() < count;
        let Some(right) = wanted else {
            if !loses {
                return Err(VaultError::NotFound);
            }
            self.rewrite_grants(commit, record, found.changed_at, permit.actor())?;
            return Ok(None);
        };
        if let Some(held) = record.grants.iter().find(|grant| grant.right == right).cloned() {
            if loses {
                self.rewrite_grants(commit, record.clone(), found.changed_at, permit.actor())?;
            }
            return Ok(Some(self.grant_view(&record, &held)));
        }
        let grant = self.add_grant(&mut record, right, permit.actor())?;
        self.rewrite_grants(commit, record.clone(), found.changed_at, permit.actor())?;
        Ok(Some(self.grant_view(&record, &grant)))
    }

    /// Takes a right back. When this returns, it opens nothing any more.
    ///
    /// # Errors
    /// When there is none of that identity, the actor could not have given it, or no administrator
    /// would be left.
    pub fn revoke_grant(&self, actor: &Actor, id: Uid) -> Result<GrantView, VaultError> {
        let _one_at_a_time = self.rights_writes.lock();
        let all = self.rights.principals();
        let found = all.iter().find_map(|principal| {
            let grant = principal.record.grants.iter().find(|grant| grant.id == id)?;
            Some((principal, grant))
        });
        let (principal, grant) = found.ok_or(VaultError::NotFound)?;
        if !gives_up_own(actor, &principal.record) {
            // Whether there is such a grant is not told to who may not see it.
            let permit = self.permit_granting(actor, grant.right.scope());
            let permit = permit.map_err(|error| match error {
                VaultError::NotPermitted(_) => VaultError::NotPermitted(Denied::NotVisible),
                other => other,
            })?;
            self.check_may_give(&permit, &grant.right)?;
        }
        let mut record = principal.record.clone();
        record.grants.retain(|grant| grant.id != id);
        self.check_administrators(&Without { instead: Some(&record), ..Without::default() })?;
        self.rewrite_grants(Commit::default(), record, principal.changed_at, actor)?;
        Ok(self.grant_view(&principal.record, grant))
    }

    /// Takes all rights back that someone was given at a place itself and whose roles are meant, as
    /// far as they are the actor's to take; all in one commit. How many there were.
    ///
    /// # Errors
    /// When none of those that there are is the actor's to take, or no administrator would be left.
    pub fn revoke_at(
        &self,
        permit: &GrantPermit,
        scope: &Scope,
        (kind, name): (PrincipalKind, &PrincipalName),
        meant: &dyn Fn(Role) -> bool,
    ) -> Result<usize, VaultError> {
        let _one_at_a_time = self.rights_writes.lock();
        let Some(found) = self.rights.named(kind, name.as_str()) else { return Ok(0) };
        let own = gives_up_own(permit.actor(), &found.record);
        let (mut record, mut refused) = (found.record.clone(), None);
        record.grants.retain(|grant| {
            if !meant(grant.right.role()) || !is_at(scope, grant.right.scope()) {
                return true;
            }
            let may = if own { Ok(()) } else { self.check_may_give(permit, &grant.right) };
            may.map_err(|error| refused = Some(error)).is_err()
        });
        let taken = found.record.grants.len() - record.grants.len();
        if taken == 0 {
            return refused.map_or(Ok(0), Err);
        }
        self.check_administrators(&Without { instead: Some(&record), ..Without::default() })?;
        self.rewrite_grants(Commit::default(), record, found.changed_at, permit.actor())?;
        Ok(taken)
    }

    /// The grants at a place, and those below it where they are wanted.
    pub fn grants_at(&self, permit: &GrantPermit, scope: &Scope, below: bool) -> Vec<GrantView> {
        // What lies below the name of one's own secret is not one's own.
        let below = below && !matches!(permit, GrantPermit::ShareOne(..));
        self.grants_where(|_, grant| {
            let theirs = grant.right.scope();
            is_at(scope, theirs) || (below && scope.reaches(&theirs.place()))
        })
    }

    /// What an actor holds itself, directly and through its groups.
    pub fn grants_of(&self, actor: &Actor) -> Vec<GrantView> {
        let Some(subject) = actor.subject() else { return Vec::new() };
        let groups = self.rights.principal(subject.uid()).map(|found| found.groups.clone());
        let mine = groups.into_iter().flatten().chain([subject.uid()]).collect::<Vec<_>>();
        self.grants_where(|record, _| mine.contains(&record.uid))
    }

    /// What a principal holds itself, directly and through its groups.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn grants_held_by(
        &self,
        _permit: &Permit<Administer, WholeStore>,
        kind: PrincipalKind,
        name: &PrincipalName,
    ) -> Result<Vec<GrantView>, VaultError> {
        Ok(self.grants_of(&self.actor_named(kind, name)?))
    }

    /// What others hold at the places at which an actor may give and take rights.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn grants_given(&self, actor: &Actor) -> Result<Vec<GrantView>, VaultError> {
        let mut found = Vec::new();
        for principal in self.rights.principals() {
            let record = &principal.record;
            if Some(record.subject()) == actor.subject() {
                continue;
            }
            for grant in &record.grants {
                match self.permit_granting(actor, grant.right.scope()) {
                    Ok(_) => found.push(self.grant_view(record, grant)),
                    Err(VaultError::NotPermitted(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        found.sort_by(|a, b| (&a.uri, &a.subject, a.role).cmp(&(&b.uri, &b.subject, b.role)));
        Ok(found)
    }

    /// As [`Vault::grants_given`], of a principal.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn grants_given_by(
        &self,
        _permit: &Permit<Administer, WholeStore>,
        kind: PrincipalKind,
        name: &PrincipalName,
    ) -> Result<Vec<GrantView>, VaultError> {
        self.grants_given(&self.actor_named(kind, name)?)
    }

    /// A principal as an actor, for looking at its rights and nothing else.
    fn actor_named(&self, kind: PrincipalKind, name: &PrincipalName) -> Result<Actor, VaultError> {
        let found = self.rights.named(kind, name.as_str()).ok_or(VaultError::NotFound)?;
        self.rights.identity_of(found.record.uid).ok_or(VaultError::NotFound)
    }

    fn grants_where(&self, wanted: impl Fn(&PrincipalRecord, &Grant) -> bool) -> Vec<GrantView> {
        let mut found = Vec::new();
        for principal in self.rights.principals() {
            let record = &principal.record;
            let grants = record.grants.iter().filter(|grant| wanted(record, grant));
            found.extend(grants.map(|grant| self.grant_view(record, grant)));
        }
        found.sort_by(|a, b| (&a.uri, &a.subject, a.role).cmp(&(&b.uri, &b.subject, b.role)));
        found
    }

    /// What is to be given, with what must still hold when it is.
    fn right_to_give(
        &self,
        permit: &GrantPermit,
        scope: &Scope,
        role: Role,
        commit: &mut Commit,
    ) -> Result<Right, VaultError> {
        let scope = match permit {
            GrantPermit::ShareOne(permit, _) => {
                let (head, revision) = self.permitted_head(permit)?;
                commit.require(Precondition::ChangedAt(Key::head(permit.resource()), revision));
                Scope::Secret(permit.resource().clone(), head.uid)
            }
            GrantPermit::Administer(_) | GrantPermit::Share(_) => scope.clone(),
        };
        if let Some(project) = scope.project() {
            self.require_project(commit, project)?;
        }
        if let Scope::Org(org) = &scope
            && let Some((_, revision)) = self.rights.org(org)
        {
            commit.require(Precondition::ChangedAt(Key::org(org), revision));
        }
        let right = Right::new(role, scope).map_err(|_| {
            Invalid::new("uri", format!("must be the whole store: {role} holds everywhere"))
        })?;
        self.check_may_give(permit, &right)?;
        Ok(right)
    }

    fn require_project(&self, commit: &mut Commit, path: &ProjectPath) -> Result<(), VaultError> {
        let (record, revision) = match self.project_record(path) {
            Ok(found) if found.0.removal == Removal::None => found,
            Ok(_) | Err(VaultError::NotFound) => return Err(VaultError::NotFound),
            Err(error) => return Err(error),
        };
        drop(record);
        commit.require(Precondition::ChangedAt(Key::project(path), revision));
        Ok(())
    }

    /// Nobody gives what they do not have: a manager, who reads no values, makes no reader.
    fn check_may_give(&self, permit: &GrantPermit, right: &Right) -> Result<(), VaultError> {
        let owner = match permit {
            GrantPermit::ShareOne(_, owner) => *owner,
            GrantPermit::Administer(_) | GrantPermit::Share(_) => None,
        };
        if may_give(permit.actor(), right, owner) {
            return Ok(());
        }
        let fix = "must be a role that allows nothing there that you may not do yourself";
        Err(Invalid::new("role", fix).into())
    }

    pub(crate) fn add_grant(
        &self,
        record: &mut PrincipalRecord,
        right: Right,
        actor: &Actor,
    ) -> Result<Grant, VaultError> {
        if record.grants.len() >= MAX_GRANTS_OF_ONE {
            let fix =
                format!("must have at most {MAX_GRANTS_OF_ONE} grants; use a group or a prefix");
            return Err(Invalid::new("subject", fix).into());
        }
        let (id, created_at, created_by) = (self.make_uid()?, self.clock.now(), actor.name());
        let grant = Grant { id, right, created_at, created_by };
        record.grants.push(grant.clone());
        Ok(grant)
    }

    fn rewrite_grants(
        &self,
        mut commit: Commit,
        record: PrincipalRecord,
        at: domain::Revision,
        actor: &Actor,
    ) -> Result<(), VaultError> {
        commit.require(Precondition::ChangedAt(Key::principal(record.uid), at));
        self.put_principal_in(&mut commit, &record, store::ChangeKind::Modified)?;
        let revision = self.commit(commit, actor.basis())?;
        self.rights.put_principal(record, revision);
        Ok(())
    }

    fn grant_view(&self, record: &PrincipalRecord, grant: &Grant) -> GrantView {
        GrantView {
            id: grant.id,
            subject: record.full_name(),
            uri: self.uri_of(grant.right.scope()),
            role: grant.right.role(),
            only_this_secret: matches!(grant.right.scope(), Scope::Secret(..)),
            created_at: grant.created_at,
            created_by: grant.created_by.clone(),
        }
    }

    /// The head of the secret that has a name; or of that identity, be it deleted.
    fn head_of(
        &self,
        path: &SecretPath,
        uid: Option<Uid>,
    ) -> Result<Option<store::Head>, VaultError> {
        match self.head(path) {
            Ok((head, _)) if uid.is_none_or(|uid| uid == head.uid) => Ok(Some(head)),
            Ok(_) | Err(VaultError::NotFound) => match uid {
                Some(_) => self.deleted_head(path, uid),
                None => Ok(None),
            },
            Err(error) => Err(error),
        }
    }

    /// The right to do something with a secret: by what the actor holds, or because it is theirs.
    ///
    /// # Errors
    /// [`VaultError::NotPermitted`]; or when the store cannot be read.
    pub fn permit<A: Action>(
        &self,
        actor: &Actor,
        path: SecretPath,
    ) -> Result<Permit<A, SecretPath>, VaultError> {
        self.permit_among(actor, path, |vault, path| vault.head_of(path, None))
    }

    /// As [`Vault::permit`], for a secret that is deleted: the one of that identity, or the one
    /// deleted last.
    ///
    /// # Errors
    /// As [`Vault::permit`].
    pub fn permit_deleted<A: Action>(
        &self,
        actor: &Actor,
        path: SecretPath,
        uid: Option<Uid>,
    ) -> Result<Permit<A, SecretPath>, VaultError> {
        self.permit_among(actor, path, |vault, path| vault.deleted_head(path, uid))
    }

    fn permit_among<A: Action>(
        &self,
        actor: &Actor,
        path: SecretPath,
        find: impl Fn(&Self, &SecretPath) -> Result<Option<store::Head>, VaultError>,
    ) -> Result<Permit<A, SecretPath>, VaultError> {
        let now = self.clock.now();
        let denied = match decide::<A, _>(actor, path.clone(), now) {
            Ok(permit) => return Ok(permit),
            Err(denied) => denied,
        };
        let Some(head) = find(self, &path)? else { return Err(VaultError::NotPermitted(denied)) };
        let known = known(&head);
        authz::decide_known::<A>(actor, known, now).map_err(VaultError::NotPermitted)
    }
}

impl Vault {
    /// Who owns a secret, as people know them: `KIND:NAME`, where the owner still exists.
    pub fn owner_name(&self, head: &store::Head) -> String {
        let found = owner_of(&head.owner).and_then(|owner| self.rights.principal(owner.uid()));
        found.map_or_else(|| head.owner.clone(), |found| found.record.full_name())
    }
}

/// Whether something was given at a place itself; what an owner gave is where it was given.
fn is_at(scope: &Scope, given: &Scope) -> bool {
    match (scope, given) {
        (Scope::Below(path), Scope::Secret(given, _)) => path == given,
        _ => scope == given,
    }
}

fn nobody() -> Invalid {
    Invalid::new("subject", "must be a user, a machine account or a group that exists")
}

/// Anybody may give up what is theirs, unless the token that they use leaves less than all of it.
fn gives_up_own(actor: &Actor, record: &PrincipalRecord) -> bool {
    actor.subject() == Some(record.subject()) && !actor.is_narrowed()
}

/// A secret as authorization knows it.
pub(crate) fn known(head: &store::Head) -> authz::KnownSecret {
    let owner = owner_of(&head.owner);
    authz::KnownSecret { path: head.path.clone(), uid: head.uid, owner }
}

/// Who owns a secret, by what its head says.
pub(crate) fn owner_of(owner: &str) -> Option<Subject> {
    Subject::parse(owner)
}
