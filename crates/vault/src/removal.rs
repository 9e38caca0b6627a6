//! Projects removed with all that is in them.

use authz::{Administer, Basis, Delete, Permit};
use domain::{ProjectPath, Revision, SecretPath, Uid};
use store::{ChangeKind, Key, KeyRange, Precondition, Removal};

use crate::bindings::check_actor;
use crate::draft::Draft;
use crate::{Vault, VaultError, persist};

/// A project that was marked to go with all that is in it: that one, and none that has its name
/// after it.
#[derive(Clone, Copy)]
struct Marked<'a> {
    path: &'a ProjectPath,
    uid: Uid,
    removal: Removal,
}

impl Vault {
    /// Removes a project with all secrets in it, their history and what was deleted before, ends
    /// the bindings of other projects' secrets to it, and takes back what was granted in it.
    ///
    /// It is more than one commit takes. The first one marks the project, which takes no more
    /// secrets from then on; whatever interrupts the rest, the daemon goes on with it by itself
    /// ([`Vault::finish_removals`]).
    ///
    /// # Errors
    /// When there is no such project, tokens hold rights in it, or clusters or nodes are reached with
    /// a secret of it.
    pub fn delete_project_with_all(
        &self,
        permit: &Permit<Administer, ProjectPath>,
        delete: &Permit<Delete, ProjectPath>,
    ) -> Result<(), VaultError> {
        check_actor([delete.basis()], permit.actor())?;
        if delete.resource() != permit.resource() {
            return Err(VaultError::NotFound);
        }
        self.begin_removal(permit, Removal::WithAll)
    }

    /// Removes a project in which no secret is, not even a deleted one; ends the bindings of other
    /// projects' secrets to it, and takes back what was granted in it. It goes on as
    /// [`Vault::delete_project_with_all`] does.
    ///
    /// # Errors
    /// When there is no such project, it has secrets, or tokens hold rights in it.
    pub fn delete_project_with_bindings(
        &self,
        permit: &Permit<Administer, ProjectPath>,
    ) -> Result<(), VaultError> {
        self.begin_removal(permit, Removal::Unbound)
    }

    fn begin_removal(
        &self,
        permit: &Permit<Administer, ProjectPath>,
        removal: Removal,
    ) -> Result<(), VaultError> {
        let path = permit.resource();
        let no_new_token = self.rights_writes.lock();
        if self.is_named_by_a_token(path) {
            return Err(VaultError::ProjectHasTokens);
        }
        let (record, revision) = self.project_record(path)?;
        self.mark_project(path, &permit.basis(), self.wire(revision), removal)?;
        drop(no_new_token);
        // The mark is what was decided on, and it is made.
        match self.finish_removal(Marked { path, uid: record.uid, removal }) {
            // Whoever else went on with it came to its end.
            Err(VaultError::NotFound) => Ok(()),
            done => done,
        }
    }

    /// Goes on with the removal of projects that was interrupted; how many went. The daemon calls it
    /// when it starts and from time to time; that they go was decided when they were marked. One
    /// that cannot be finished keeps no other from it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn finish_removals(&self) -> Result<usize, VaultError> {
        let projects = self.all_projects()?.into_iter();
        let marked: Vec<_> =
            projects.filter(|(_, record, _)| record.removal.is_resumed()).collect();
        let mut finished = 0;
        for (path, record, _) in &marked {
            let (uid, removal) = (record.uid, record.removal);
            match self.finish_removal(Marked { path, uid, removal }) {
                Ok(()) => finished += 1,
                // Someone else finished it.
                Err(VaultError::NotFound) => {}
                Err(error) => tracing::warn!(%error, "a project's removal was not finished"),
            }
        }
        Ok(finished)
    }

    /// As one who looked at what is marked a while ago.
    #[cfg(test)]
    pub(crate) fn finish_stale(&self, path: &ProjectPath, uid: Uid) -> Result<(), VaultError> {
        self.finish_removal(Marked { path, uid, removal: Removal::WithAll })
    }

    fn finish_removal(&self, project: Marked<'_>) -> Result<(), VaultError> {
        let path = project.path;
        // Nothing new is made or referred to in a project that is marked, so this is asked once for
        // all.
        if let Err(stays) = self.check_may_go(project) {
            let marked = self.wire(self.still_marked(project)?);
            self.mark_project(path, &Basis::default(), marked, Removal::None)?;
            return Err(stays);
        }
        let mut living = Vec::new();
        self.each(&KeyRange::heads(path), |key, _| {
            living.push(key.secret_path().ok_or(VaultError::Damaged)?);
            Ok(())
        })?;
        for secret in &living {
            self.unless_absent(project, persist(|| self.delete_unasked(secret, project)))?;
        }
        let mut deleted = Vec::new();
        self.each(&KeyRange::deleted_heads(path), |key, stored| {
            deleted.push((key.clone(), stored.changed_at));
            Ok(())
        })?;
        // What was found is this project's, if it is there still: it takes nothing new.
        self.still_marked(project)?;
        for (key, at) in &deleted {
            self.unless_absent(project, self.purge(key, *at, &Basis::default()))?;
        }
        let mut bound = Vec::new();
        self.each(&KeyRange::bindings(path), |key, stored| {
            bound.push(self.open_record(key, &stored.value, store::decode_secret_path)?);
            Ok(())
        })?;
        for secret in &bound {
            self.unless_absent(project, persist(|| self.unbind_unasked(secret, project)))?;
        }
        let last = self.wire(self.still_marked(project)?);
        self.remove_project(path, Basis::default(), Some(last))
    }

    /// Whether a project may go as it is marked.
    fn check_may_go(&self, project: Marked<'_>) -> Result<(), VaultError> {
        let path = project.path;
        if project.removal == Removal::Unbound {
            return self.check_empty(path);
        }
        match self.holders_in(path)? {
            Some(users) => Err(VaultError::InUse { users }),
            None => Ok(()),
        }
    }

    /// When the project's record last changed, if it is that one and still marked.
    fn still_marked(&self, project: Marked<'_>) -> Result<Revision, VaultError> {
        let (record, revision) = self.project_record(project.path)?;
        let is_it = record.uid == project.uid && record.removal == project.removal;
        if is_it { Ok(revision) } else { Err(VaultError::NotFound) }
    }

    /// What is gone already is no trouble, as long as the project is the one that is to go.
    fn unless_absent(
        &self,
        project: Marked<'_>,
        done: Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        match done {
            Err(VaultError::NotFound) => self.still_marked(project).map(|_| ()),
            other => other,
        }
    }

    /// A change of a secret that is made only while the project is marked.
    fn draft_unasked(&self, path: &SecretPath, project: Marked<'_>) -> Result<Draft, VaultError> {
        let marked = self.still_marked(project)?;
        let mut draft = self.draft_of(path, self.head(path)?, None)?;
        draft.commit.require(Precondition::ChangedAt(Key::project(project.path), marked));
        Ok(draft)
    }

    fn delete_unasked(&self, path: &SecretPath, project: Marked<'_>) -> Result<(), VaultError> {
        let mut draft = self.draft_unasked(path, project)?;
        for binding in std::mem::take(&mut draft.head.bindings) {
            self.unbind(&mut draft, &binding.project)?;
        }
        draft.head.deleted_at = Some(self.clock.now());
        self.write_deleted(draft, Basis::default()).map(|_| ())
    }

    fn unbind_unasked(&self, path: &SecretPath, project: Marked<'_>) -> Result<(), VaultError> {
        let mut draft = self.draft_unasked(path, project)?;
        draft.head.bindings.retain(|binding| binding.project != *project.path);
        self.unbind(&mut draft, project.path)?;
        draft.head.updated_at = self.clock.now();
        self.write(draft, ChangeKind::Modified, Basis::default()).map(|_| ())
    }
}
