//! Projects removed with all that is in them.

use authz::{Administer, Basis, Delete, Permit};
use domain::{ProjectPath, SecretPath};
use store::{ChangeKind, Head, Key, KeyRange, Removal};

use crate::bindings::check_actor;
use crate::{Vault, VaultError, persist};

impl Vault {
    /// Removes a project with all secrets in it, their history and what was deleted before, ends
    /// the bindings of other projects' secrets to it, and takes back what was granted in it.
    ///
    /// It is more than one commit takes. The first one marks the project, which takes no more
    /// secrets from then on; whatever interrupts the rest, the daemon goes on with it by itself
    /// ([`Vault::finish_removals`]).
    ///
    /// # Errors
    /// When there is no such project, or tokens hold rights in it.
    pub fn delete_project_with_all(
        &self,
        permit: &Permit<Administer, ProjectPath>,
        delete: &Permit<Delete, ProjectPath>,
    ) -> Result<(), VaultError> {
        check_actor([delete.basis()], permit.actor())?;
        let path = permit.resource();
        if delete.resource() != path {
            return Err(VaultError::NotFound);
        }
        if self.is_named_by_a_token(path) {
            return Err(VaultError::ProjectHasTokens);
        }
        let (_, revision) = self.project_record(path)?;
        self.mark_project(path, &permit.basis(), self.wire(revision), Removal::WithAll)?;
        // The mark is what was decided on, and it is made.
        self.finish_removal(path)
    }

    /// Goes on with the removal of projects that was interrupted. The daemon calls it when it
    /// starts and from time to time; that they go was decided when they were marked.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn finish_removals(&self) -> Result<usize, VaultError> {
        let projects = self.all_projects()?.into_iter();
        let marked: Vec<_> =
            projects.filter(|(_, record, _)| record.removal == Removal::WithAll).collect();
        let mut finished = 0;
        for (path, ..) in &marked {
            match self.finish_removal(path) {
                Ok(()) => finished += 1,
                // Someone else finished it, or a token was made for it in between.
                Err(VaultError::NotFound | VaultError::ProjectHasTokens) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(finished)
    }

    fn finish_removal(&self, path: &ProjectPath) -> Result<(), VaultError> {
        let mut living = Vec::new();
        self.each(&KeyRange::heads(path), |key, _| {
            living.push(key.secret_path().ok_or(VaultError::Damaged)?);
            Ok(())
        })?;
        for secret in &living {
            absent_is_fine(persist(|| self.delete_unasked(secret)))?;
        }
        let mut deleted = Vec::new();
        self.each(&KeyRange::deleted_heads(path), |key, stored| {
            deleted.push((key.clone(), stored.changed_at));
            Ok(())
        })?;
        for (key, at) in &deleted {
            absent_is_fine(self.purge(key, *at, &Basis::default()))?;
        }
        let mut bound = Vec::new();
        self.each(&KeyRange::bindings(path), |key, stored| {
            bound.push(self.open_record(key, &stored.value, store::decode_secret_path)?);
            Ok(())
        })?;
        for secret in &bound {
            absent_is_fine(persist(|| self.unbind_unasked(secret, path)))?;
        }
        self.remove_project(path, Basis::default(), None)
    }

    fn delete_unasked(&self, path: &SecretPath) -> Result<(), VaultError> {
        let mut draft = self.draft_of(path, self.head(path)?, None)?;
        for binding in std::mem::take(&mut draft.head.bindings) {
            self.unbind(&mut draft, &binding.project)?;
        }
        draft.head.deleted_at = Some(self.clock.now());
        self.write_deleted(draft, Basis::default()).map(|_| ())
    }

    fn unbind_unasked(&self, path: &SecretPath, from: &ProjectPath) -> Result<(), VaultError> {
        let (head, revision): (Head, _) = self.head(path)?;
        let mut draft = self.draft_of(path, (head, revision), None)?;
        draft.head.bindings.retain(|binding| binding.project != *from);
        draft.commit.require(store::Precondition::ChangedAt(Key::head(path), revision));
        self.unbind(&mut draft, from)?;
        draft.head.updated_at = self.clock.now();
        self.write(draft, ChangeKind::Modified, Basis::default()).map(|_| ())
    }
}

fn absent_is_fine(done: Result<(), VaultError>) -> Result<(), VaultError> {
    match done {
        Err(VaultError::NotFound) => Ok(()),
        other => other,
    }
}
