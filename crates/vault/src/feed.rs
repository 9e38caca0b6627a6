//! What the sync worker lives on: everything at one revision, then every change.

use authz::{List, Permit, WholeStore};
use domain::{
    Labels, ProjectPath, ProjectionRule, ResourceVersion, Revision, SecretPath, SecretType,
    Tombstone, Uid,
};
use store::{
    Change, ChangedObject, Commit, CommitError, Head, Key, KeyRange, Precondition, ProjectRecord,
    Stored, decode_tombstone,
};
use tokio::sync::watch;

use crate::{Vault, VaultError};

// Small in tests, so that tests turn pages.
const PAGE: usize = if cfg!(test) { 9 } else { 1000 };

/// A project and its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectFeed {
    /// The project.
    pub path: ProjectPath,
    /// Its identity.
    pub uid: Uid,
    /// Where its secrets appear.
    pub rules: Vec<ProjectionRule>,
}

/// A secret, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFeed {
    /// Its name.
    pub path: SecretPath,
    /// Its identity.
    pub uid: Uid,
    /// Its type.
    pub kind: SecretType,
    /// The further projects that it is bound to.
    pub bound_to: Vec<ProjectPath>,
    /// Its current version; none when no version is live.
    pub version: Option<u64>,
    /// Its labels.
    pub labels: Labels,
    /// Its last change.
    pub resource_version: ResourceVersion,
}

/// Everything, as of one revision or a little later: what changed since is delivered again.
#[derive(Clone, Debug)]
pub struct FeedSnapshot {
    /// The revision to go on from.
    pub at: ResourceVersion,
    /// All projects.
    pub projects: Vec<ProjectFeed>,
    /// All secrets.
    pub secrets: Vec<SecretFeed>,
    /// Everything that is to be removed.
    pub tombstones: Vec<Tombstone>,
}

/// One change, with the state that it led to.
#[derive(Clone, Debug)]
pub enum FeedChange {
    /// A project and its rules now.
    Project(ProjectFeed),
    /// A project that is gone.
    ProjectRemoved(ProjectPath),
    /// A secret as it is now.
    Secret(SecretFeed),
    /// A secret that is gone.
    SecretRemoved {
        /// What it was called.
        path: SecretPath,
        /// Its identity.
        uid: Uid,
    },
    /// Something that is to be removed.
    Tombstone(Tombstone),
}

/// Changes in order.
#[derive(Clone, Debug)]
pub struct FeedPage {
    /// The changes.
    pub changes: Vec<FeedChange>,
    /// The revision to go on from.
    pub at: ResourceVersion,
}

impl Vault {
    /// Everything there is.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn feed(&self, _permit: &Permit<List, WholeStore>) -> Result<FeedSnapshot, VaultError> {
        let at = self.resource_version();
        let projects = self.all_projects()?.into_iter();
        let projects = projects
            .map(|(path, record, _)| ProjectFeed { path, uid: record.uid, rules: record.rules })
            .collect();
        let mut secrets = Vec::new();
        self.each(&KeyRange::all_heads(), |key, stored| {
            let head = self.open_record(key, &stored.value, Head::decode)?;
            secrets.push(self.secret_feed(head, stored.changed_at));
            Ok(())
        })?;
        Ok(FeedSnapshot { at, projects, secrets, tombstones: self.tombstones()? })
    }

    /// What changed after a resource version; none when the log no longer reaches back that far.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn feed_after(
        &self,
        _permit: &Permit<List, WholeStore>,
        after: ResourceVersion,
    ) -> Result<Option<FeedPage>, VaultError> {
        let unknown = after.incarnation() != self.incarnation;
        if unknown || after.revision() > self.engine.revision() {
            return Ok(None);
        }
        let Ok(page) = self.engine.events_after(after.revision(), PAGE)? else { return Ok(None) };
        let mut changes = Vec::new();
        for event in page.events {
            let change = Change::decode(&event.bytes).map_err(|_| VaultError::Damaged)?;
            changes.extend(self.feed_change(change)?);
        }
        Ok(Some(FeedPage { changes, at: self.wire(page.through) }))
    }

    /// A receiver that sees each new revision.
    pub fn revisions(&self) -> watch::Receiver<Revision> {
        self.engine.revisions()
    }

    /// Lays a tombstone to rest: nothing that it stood for is left in any cluster.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn clear_tombstone(
        &self,
        _permit: &Permit<List, WholeStore>,
        tombstone: &Tombstone,
    ) -> Result<(), VaultError> {
        let key = Key::tombstone(tombstone.id);
        // Told more than once, or a later one of the same identity: then there is nothing to do.
        let lies = self.engine.read(&key)?.is_some_and(|stored| stored.changed_at == tombstone.at);
        if !lies {
            return Ok(());
        }
        let mut commit = Commit::default();
        commit.require(Precondition::ChangedAt(key.clone(), tombstone.at)).remove(key);
        match self.engine.commit(commit) {
            // Told at the same time by two.
            Ok(_) | Err(CommitError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn feed_change(&self, change: Change) -> Result<Option<FeedChange>, VaultError> {
        let uid = change.uid;
        match change.object {
            ChangedObject::Consumer
            | ChangedObject::Organization
            | ChangedObject::Principal
            | ChangedObject::Token => Ok(None),
            ChangedObject::Tombstone => {
                let key = Key::tombstone(uid);
                let stored = self.engine.read(&key)?;
                stored.map(|stored| tombstone(&key, &stored).map(FeedChange::Tombstone)).transpose()
            }
            ChangedObject::Project(path) => match self.project_record(&path) {
                Ok((record, _)) => {
                    let ProjectRecord { uid, rules, .. } = record;
                    Ok(Some(FeedChange::Project(ProjectFeed { path, uid, rules })))
                }
                Err(VaultError::NotFound) => Ok(Some(FeedChange::ProjectRemoved(path))),
                Err(error) => Err(error),
            },
            ChangedObject::Secret(path) => match self.head(&path) {
                // The name may belong to a later secret by now; this event's own one is then gone.
                Ok((head, revision)) if head.uid == uid => {
                    Ok(Some(FeedChange::Secret(self.secret_feed(head, revision))))
                }
                Ok(_) | Err(VaultError::NotFound) => {
                    Ok(Some(FeedChange::SecretRemoved { path, uid }))
                }
                Err(error) => Err(error),
            },
        }
    }

    fn tombstones(&self) -> Result<Vec<Tombstone>, VaultError> {
        let mut tombstones = Vec::new();
        self.each(&KeyRange::tombstones(), |key, stored| {
            tombstones.push(tombstone(key, stored)?);
            Ok(())
        })?;
        Ok(tombstones)
    }

    pub(crate) fn each(
        &self,
        range: &KeyRange,
        mut visit: impl FnMut(&Key, &Stored) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        let (mut range, mut more) = (range.clone(), true);
        while more {
            let page = self.engine.scan(&range, PAGE)?;
            more = page.more;
            for (key, stored) in &page.records {
                visit(key, stored)?;
            }
            if let Some((last, _)) = page.records.last() {
                range = range.after(last);
            }
        }
        Ok(())
    }

    fn secret_feed(&self, head: Head, revision: Revision) -> SecretFeed {
        let version = head.current().map(|version| version.number);
        let resource_version = self.wire(revision);
        let bound_to = head.bindings.into_iter().map(|binding| binding.project).collect();
        let Head { path, uid, kind, labels, .. } = head;
        SecretFeed { path, uid, kind, bound_to, version, labels, resource_version }
    }
}

fn tombstone(key: &Key, stored: &Stored) -> Result<Tombstone, VaultError> {
    let what = decode_tombstone(&stored.value).map_err(|_| VaultError::Damaged)?;
    let id = key.uid().ok_or(VaultError::Damaged)?;
    Ok(Tombstone { id, at: stored.changed_at, what })
}
