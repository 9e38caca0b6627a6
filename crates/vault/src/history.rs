//! What becomes of versions and of secrets that are no longer wanted.
//!
//! Deleting is soft, in both: a version or a secret that was deleted comes back with undelete.
//! Destroying a version and purging a secret are for good.

use std::collections::BTreeSet;

use authz::{Action, Basis, Create, Delete, List, PartOfProject, Permit, Scope, Update};
use domain::{Invalid, ResourceVersion, Revision, SecretPath, Timestamp, Uid};
use store::{ChangeKind, Commit, Head, Key, KeyRange, Precondition, VersionInfo, VersionState};

use crate::bindings::check_actor;
use crate::draft::{Draft, own_id};
use crate::{SecretView, Vault, VaultError, persist};

/// The most versions that one act names: each takes a write of a commit, and all of them one more.
const MAX_VERSIONS: usize = 40;

/// A deleted secret, as it lies in the store.
pub(crate) struct Grave {
    pub(crate) key: Key,
    pub(crate) head: Head,
    pub(crate) changed_at: Revision,
    pub(crate) written_at: Revision,
}

/// The versions that an act is about.
pub struct Versions<'a> {
    /// Their numbers.
    pub numbers: &'a BTreeSet<u64>,
    /// The resource version that the caller has seen, where it insists.
    pub expected: Option<ResourceVersion>,
}

impl Vault {
    /// Makes versions unreadable until they are undeleted.
    ///
    /// # Errors
    /// When there is no such secret, or one of the versions is not kept or destroyed.
    pub fn delete_versions(
        &self,
        permit: &Permit<Delete, SecretPath>,
        versions: &Versions<'_>,
    ) -> Result<SecretView, VaultError> {
        self.change_versions(permit, versions, VersionState::Deleted)
    }

    /// Makes deleted versions readable again.
    ///
    /// # Errors
    /// When there is no such secret, or one of the versions is not kept or destroyed.
    pub fn undelete_versions(
        &self,
        permit: &Permit<Update, SecretPath>,
        versions: &Versions<'_>,
    ) -> Result<SecretView, VaultError> {
        self.change_versions(permit, versions, VersionState::Live)
    }

    /// Destroys versions for good: their keys and payloads go, their numbers stay.
    ///
    /// # Errors
    /// When there is no such secret, or one of the versions is not kept.
    pub fn destroy_versions(
        &self,
        permit: &Permit<Delete, SecretPath>,
        versions: &Versions<'_>,
    ) -> Result<SecretView, VaultError> {
        self.change_versions(permit, versions, VersionState::Destroyed)
    }

    /// Deletes a secret: it leaves its project and every cluster, its name is free, and it can be
    /// undeleted until it is purged. Its bindings end for good, since the projects that it was
    /// bound to may be others' by the time that it comes back.
    ///
    /// # Errors
    /// When there is no such secret, clusters or nodes are reached with it, or it changed since the
    /// resource version that the caller insists on.
    pub fn delete_secret(
        &self,
        permit: &Permit<Delete, SecretPath>,
        expected: Option<ResourceVersion>,
    ) -> Result<SecretView, VaultError> {
        let view = persist(|| self.try_delete(permit, expected))?;
        if self.settings.purge_after_seconds == 0 {
            let key = Key::deleted_head(permit.resource(), view.head.uid);
            // The secret is deleted, whatever becomes of this: what is left over goes with the
            // next of the regular purges.
            match self.purge(&key, view.resource_version.revision(), &Basis::default()) {
                Ok(()) | Err(VaultError::NotFound) => {}
                Err(error) => tracing::warn!(%error, "a deleted secret was not purged at once"),
            }
        }
        Ok(view)
    }

    /// Brings a deleted secret back with all its versions, under its own name or another one of
    /// the project: the one named by its identity, or the one deleted last.
    ///
    /// # Errors
    /// When there is no such deleted secret, or the name is taken.
    pub fn undelete_secret(
        &self,
        permit: &Permit<Update, SecretPath>,
        to: &Permit<Create, SecretPath>,
        uid: Option<Uid>,
    ) -> Result<SecretView, VaultError> {
        check_actor([permit.basis()], to.actor())?;
        persist(|| self.try_undelete(permit, to, uid))
    }

    /// Removes a deleted secret for good: the one named by its identity, or the only one of that
    /// name. Returns which it was.
    ///
    /// # Errors
    /// When there is no such deleted secret; when none is named and the name belongs to a living
    /// secret or to several deleted ones.
    pub fn purge_secret(
        &self,
        permit: &Permit<Delete, SecretPath>,
        uid: Option<Uid>,
    ) -> Result<Uid, VaultError> {
        let path = permit.resource();
        let mut graves = self.deleted_of_name(path)?;
        match uid {
            Some(uid) => graves.retain(|grave| grave.head.uid == uid),
            None if self.engine.read(&Key::head(path))?.is_some() => {
                return Err(VaultError::StillLives);
            }
            None => {}
        }
        graves.retain(|grave| permit.covers(grave.head.uid));
        match graves.as_slice() {
            [] => Err(VaultError::NotFound),
            [grave] => {
                self.purge(&grave.key, grave.changed_at, &permit.basis())?;
                Ok(grave.head.uid)
            }
            _ => Err(VaultError::SeveralDeleted),
        }
    }

    /// One deleted secret, by its identity.
    ///
    /// # Errors
    /// When there is none.
    pub fn deleted_secret(
        &self,
        permit: &Permit<List, PartOfProject>,
        uid: Uid,
    ) -> Result<SecretView, VaultError> {
        let mut found = Err(VaultError::NotFound);
        self.each(&KeyRange::deleted_heads(&permit.resource().0), |key, stored| {
            if key.ends_with(uid) {
                let head = self.open_record(key, &stored.value, Head::decode)?;
                if !self.may_list(permit.actor(), &head) {
                    return Ok(());
                }
                found = Ok(SecretView { head, resource_version: self.wire(stored.changed_at) });
            }
            Ok(())
        })?;
        found
    }

    /// Purges every secret that was deleted longer ago than deleted secrets are kept. The daemon
    /// calls it from time to time; the settings, and no actor, say what goes.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn purge_expired(&self) -> Result<usize, VaultError> {
        let (now, keep) = (self.clock.now(), self.settings.purge_after_seconds);
        let mut expired = Vec::new();
        self.each(&KeyRange::all_deleted_heads(), |key, stored| {
            let head = self.open_record(key, &stored.value, Head::decode)?;
            let ends = head.deleted_at.map(|at| at.plus_seconds(keep));
            if ends.is_some_and(|ends| ends <= now) {
                expired.push((key.clone(), stored.changed_at));
            }
            Ok(())
        })?;
        let mut purged = 0;
        for (key, deleted) in expired {
            match self.purge(&key, deleted, &Basis::default()) {
                Ok(()) => purged += 1,
                Err(VaultError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(purged)
    }

    /// When a secret that was deleted at a time will be purged.
    pub fn purged_at(&self, deleted_at: Timestamp) -> Timestamp {
        deleted_at.plus_seconds(self.settings.purge_after_seconds)
    }

    fn change_versions<A: Action>(
        &self,
        permit: &Permit<A, SecretPath>,
        versions: &Versions<'_>,
        state: VersionState,
    ) -> Result<SecretView, VaultError> {
        if versions.numbers.is_empty() || versions.numbers.len() > MAX_VERSIONS {
            let fix = format!("must name 1 to {MAX_VERSIONS} versions");
            return Err(Invalid::new("versions", fix).into());
        }
        persist(|| {
            let mut draft = self.draft(permit, versions.expected)?;
            for number in versions.numbers {
                set_state(&mut draft, *number, state)?;
            }
            draft.head.updated_at = self.clock.now();
            self.write(draft, ChangeKind::Modified, permit.basis())
        })
    }

    pub(crate) fn try_delete(
        &self,
        permit: &Permit<Delete, SecretPath>,
        expected: Option<ResourceVersion>,
    ) -> Result<SecretView, VaultError> {
        let mut draft = self.draft(permit, expected)?;
        // The secret's own tombstone goes when it comes back, and its bindings do not.
        for binding in std::mem::take(&mut draft.head.bindings) {
            self.unbind(&mut draft, &binding.project)?;
        }
        draft.head.deleted_at = Some(self.clock.now());
        self.write_deleted(draft, permit.basis())
    }

    fn try_undelete(
        &self,
        permit: &Permit<Update, SecretPath>,
        to: &Permit<Create, SecretPath>,
        uid: Option<Uid>,
    ) -> Result<SecretView, VaultError> {
        let from = permit.resource();
        let (_, project_at) = self.open_project(to.resource())?;
        if from.project != to.resource().project {
            return Err(VaultError::NotFound);
        }
        let mut candidates = self.deleted_of_name(from)?;
        candidates.retain(|grave| uid.is_none_or(|uid| uid == grave.head.uid));
        candidates.retain(|grave| permit.covers(grave.head.uid));
        let latest = candidates.into_iter().max_by_key(|grave| grave.changed_at);
        let mut grave = latest.ok_or(VaultError::NotFound)?;
        if self.engine.read(&Key::head(to.resource()))?.is_some() {
            return Err(VaultError::AlreadyExists);
        }
        // Someone else may have the alias by now.
        if let Some(alias) = &grave.head.alias
            && self.engine.read(&Key::secret_id(alias))?.is_some()
        {
            grave.head.alias = None;
        }
        grave.head.path = to.resource().clone();
        grave.head.deleted_at = None;
        grave.head.updated_at = self.clock.now();
        let wraps = self.wraps(grave.head.uid)?;
        let mut draft = Draft::of_deleted(grave, wraps);
        let project = Key::project(&to.resource().project);
        draft.commit.require(Precondition::ChangedAt(project, project_at));
        self.write(draft, ChangeKind::Added, to.basis())
    }

    /// The head of the deleted secret of that name and identity, or of the one deleted last.
    pub(crate) fn deleted_head(
        &self,
        path: &SecretPath,
        uid: Option<Uid>,
    ) -> Result<Option<Head>, VaultError> {
        let mut graves = self.deleted_of_name(path)?;
        graves.retain(|grave| uid.is_none_or(|uid| uid == grave.head.uid));
        Ok(graves.into_iter().max_by_key(|grave| grave.changed_at).map(|grave| grave.head))
    }

    fn deleted_of_name(&self, path: &SecretPath) -> Result<Vec<Grave>, VaultError> {
        let mut found = Vec::new();
        self.each(&KeyRange::deleted_named(path), |key, stored| {
            let head = self.open_record(key, &stored.value, Head::decode)?;
            let (changed_at, written_at) = (stored.changed_at, stored.written_at);
            found.push(Grave { key: key.clone(), head, changed_at, written_at });
            Ok(())
        })?;
        Ok(found)
    }

    /// Removes a deleted secret. Its versions go first, a few at a time and noted in its head, so
    /// that a purge that is cut off leaves a secret that says what it has lost.
    ///
    /// It ends when the secret was brought back, even if it was deleted again: only that deletion
    /// was decided on.
    pub(crate) fn purge(
        &self,
        key: &Key,
        deleted: Revision,
        basis: &Basis,
    ) -> Result<(), VaultError> {
        while !persist(|| self.purge_some(key, deleted, basis))? {}
        // What its owner gave on it says nothing any more. Nobody's right is asked twice: the secret
        // is gone.
        if let Some(uid) = key.last_uid() {
            let _one_at_a_time = self.rights_writes.lock();
            let gone = |scope: &Scope| matches!(scope, Scope::Secret(_, of) if *of == uid);
            self.strip_grants(Basis::default(), &gone)?;
        }
        Ok(())
    }

    /// One commit of a purge; whether it was the last one.
    pub(crate) fn purge_some(
        &self,
        key: &Key,
        deleted: Revision,
        basis: &Basis,
    ) -> Result<bool, VaultError> {
        let stored = self.engine.read(key)?.filter(|stored| stored.changed_at == deleted);
        let stored = stored.ok_or(VaultError::NotFound)?;
        let mut head = self.open_record(key, &stored.value, Head::decode)?;
        let mut commit = Commit::default();
        // These commits are silent, so what they rest on is the last write.
        commit.require(Precondition::WrittenAt(key.clone(), stored.written_at));
        let mut wraps = self.wraps(head.uid)?;
        let kept = head.versions.iter_mut().filter(|v| v.state != VersionState::Destroyed);
        for version in kept.take(MAX_VERSIONS) {
            wraps.remove(version.number);
            commit.remove(Key::payload(head.uid, version.number));
            version.state = VersionState::Destroyed;
        }
        let done = head.versions.iter().all(|v| v.state == VersionState::Destroyed);
        if done {
            wraps.discard(head.uid, &mut commit);
            commit.remove(key.clone()).remove(Key::last_use(head.uid)).remove(own_id(&head));
            commit.remove(Key::holding(head.uid));
        } else {
            wraps.stage(head.uid, &mut commit);
            commit.put(key.clone(), self.seal_record(key, &head.encode())?);
        }
        self.commit(commit, basis.clone())?;
        if done {
            self.forget_reads(head.uid);
        }
        Ok(done)
    }
}

fn set_state(draft: &mut Draft, number: u64, state: VersionState) -> Result<(), VaultError> {
    let refuse = |what: &str| {
        let fix = format!("must name versions that are {what}; see the secret's versions");
        Err(Invalid::new("versions", fix).into())
    };
    let Some(version) = draft.head.versions.iter_mut().find(|v| v.number == number) else {
        return refuse("kept");
    };
    if version.state == VersionState::Destroyed && state != VersionState::Destroyed {
        return refuse("not destroyed");
    }
    let before: VersionInfo = version.clone();
    version.state = state;
    if state == VersionState::Destroyed {
        draft.remove_records(&before);
    }
    Ok(())
}
