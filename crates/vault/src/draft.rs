//! One act on one secret, from its head to its commit.

use authz::{Action, Basis, Permit};
use crypto::PayloadContext;
use domain::{Payload, ResourceVersion, Retired, Revision, SecretPath, Timestamp, Uid};
use store::{
    Change, ChangeKind, ChangeView, ChangedObject, Commit, Head, Key, MAX_COMMIT_WRITES,
    Precondition, VersionInfo, VersionState, decode_tombstone, encode_tombstone,
};

use crate::history::Grave;
use crate::wraps::Wraps;
use crate::{SecretView, Vault, VaultError};

/// The head's own write, that of its versions' wrapped keys, and what its tombstone takes: one that goes, and
/// one that comes.
const HEAD_WRITES: usize = 4;

/// A head that is being changed, with everything that is to be committed beside it.
pub(crate) struct Draft {
    pub(crate) head: Head,
    pub(crate) commit: Commit,
    /// The wrapped data keys of its versions.
    wraps: Wraps,
    /// The last change before this one; zero for a secret that is being made.
    previous: Revision,
    /// Whether a version was live before: what has one is projected.
    was_live: bool,
}

impl Draft {
    /// A secret that does not exist yet.
    pub(crate) fn of_new(head: Head) -> Self {
        let mut commit = Commit::default();
        commit.require(Precondition::Absent(Key::head(&head.path)));
        let path = store::encode_secret_path(&head.path);
        for id in ids(&head) {
            commit.require(Precondition::Absent(id.clone())).put(id, path.clone());
        }
        let wraps = Wraps::default();
        Self { head, commit, wraps, previous: Revision::ZERO, was_live: false }
    }

    /// A deleted secret that is to live again, under the path that its head has by now.
    pub(crate) fn of_deleted(grave: Grave, wraps: Wraps) -> Self {
        let mut commit = Commit::default();
        commit.require(Precondition::Absent(Key::head(&grave.head.path)));
        let path = store::encode_secret_path(&grave.head.path);
        // Its own identity stayed its own, and leads to where it lives now.
        commit.put(own_id(&grave.head), path.clone());
        if let Some(alias) = alias(&grave.head) {
            commit.require(Precondition::Absent(alias.clone())).put(alias, path);
        }
        // A purge is silent, and may have begun.
        let unwritten = Precondition::WrittenAt(grave.key.clone(), grave.written_at);
        commit.require(unwritten).remove(grave.key);
        Self { head: grave.head, commit, wraps, previous: grave.changed_at, was_live: false }
    }

    /// Whether the secret is being made.
    pub(crate) const fn is_new(&self) -> bool {
        self.previous.get() == 0
    }

    /// Room for more writes, when those of the head are counted.
    fn room(&self) -> usize {
        MAX_COMMIT_WRITES.saturating_sub(self.commit.writes.len() + HEAD_WRITES)
    }

    /// Lets the oldest versions go that are more than `keep`. What does not fit into this commit
    /// is left to the next one.
    pub(crate) fn prune(&mut self, keep: usize) {
        let surplus = self.head.versions.len().saturating_sub(keep).min(self.room());
        let pruned: Vec<VersionInfo> = self.head.versions.drain(..surplus).collect();
        for version in pruned {
            self.remove_records(&version);
        }
    }

    /// Removes the wrapped key and the payload of a version.
    pub(crate) fn remove_records(&mut self, version: &VersionInfo) {
        if version.state != VersionState::Destroyed {
            self.wraps.remove(version.number);
            self.commit.remove(Key::payload(self.head.uid, version.number));
        }
    }
}

impl Vault {
    /// Begins a change of the secret of that name, as far as the permit holds for it.
    pub(crate) fn draft<A: Action>(
        &self,
        permit: &Permit<A, SecretPath>,
        expected: Option<ResourceVersion>,
    ) -> Result<Draft, VaultError> {
        self.draft_of(permit.resource(), self.permitted_head(permit)?, expected)
    }

    /// Begins a change of a secret that was decided on by something else than its name.
    pub(crate) fn draft_of(
        &self,
        path: &SecretPath,
        (head, previous): (Head, Revision),
        expected: Option<ResourceVersion>,
    ) -> Result<Draft, VaultError> {
        let current = self.wire(previous);
        if let Some(expected) = expected.filter(|expected| *expected != current) {
            return Err(self.stale(expected, current));
        }
        let mut commit = Commit::default();
        commit.require(Precondition::ChangedAt(Key::head(path), previous));
        let (wraps, was_live) = (self.wraps(head.uid)?, head.current().is_some());
        Ok(Draft { head, commit, wraps, previous, was_live })
    }

    /// Seals a payload as the next version.
    pub(crate) fn add_version(
        &self,
        draft: &mut Draft,
        payload: &Payload,
        created_by: String,
        created_at: Timestamp,
    ) -> Result<(), VaultError> {
        let (uid, number, kind) = (draft.head.uid, draft.head.next_number(), draft.head.kind);
        let sealed = self.seal_version(&PayloadContext { uid, version: number, kind }, payload)?;
        draft.wraps.put(number, sealed.wrapped_key.into_bytes())?;
        draft.commit.put(Key::payload(uid, number), sealed.payload.into_bytes());
        let (state, created_by) = (VersionState::Live, created_by.into());
        draft.head.versions.push(VersionInfo { number, state, created_at, created_by });
        Ok(())
    }

    /// Commits a draft as the secret's head.
    pub(crate) fn write(
        &self,
        draft: Draft,
        kind: ChangeKind,
        basis: Basis,
    ) -> Result<SecretView, VaultError> {
        let (commit, head) = self.complete(draft, kind)?;
        let revision = self.commit(commit, basis)?;
        Ok(SecretView { head, resource_version: self.wire(revision) })
    }

    /// All that a draft comes to.
    pub(crate) fn complete(
        &self,
        mut draft: Draft,
        kind: ChangeKind,
    ) -> Result<(Commit, Head), VaultError> {
        self.label_as_home(&mut draft.head)?;
        let is_live = draft.head.current().is_some();
        let key = Key::head(&draft.head.path);
        draft.wraps.stage(draft.head.uid, &mut draft.commit);
        draft.commit.put(key.clone(), self.seal_record(&key, &draft.head.encode())?);
        draft.commit.tell(self.secret_event(kind, &draft.head, draft.previous)?);
        match (draft.was_live, is_live) {
            (true, false) => self.entomb_secret(&mut draft.commit, &draft.head),
            (false, true) => self.exhume_secret(&mut draft.commit, &draft.head)?,
            _ => {}
        }
        Ok((draft.commit, draft.head))
    }

    /// Commits a draft as the head of a deleted secret.
    pub(crate) fn write_deleted(
        &self,
        mut draft: Draft,
        basis: Basis,
    ) -> Result<SecretView, VaultError> {
        let kept = Key::deleted_head(&draft.head.path, draft.head.uid);
        self.end_references(&mut draft)?;
        draft.commit.remove(Key::head(&draft.head.path));
        // Its own identity is nobody else's until it is purged.
        if let Some(alias) = alias(&draft.head) {
            draft.commit.remove(alias);
        }
        draft.commit.put(kept.clone(), self.seal_record(&kept, &draft.head.encode())?);
        draft.commit.tell(self.secret_event(ChangeKind::Deleted, &draft.head, draft.previous)?);
        if draft.was_live {
            self.entomb_secret(&mut draft.commit, &draft.head);
        }
        let revision = self.commit(draft.commit, basis)?;
        Ok(SecretView { head: draft.head, resource_version: self.wire(revision) })
    }

    /// Leaves a tombstone, and tells the workers about it.
    pub(crate) fn entomb(&self, commit: &mut Commit, id: Uid, retired: &Retired) {
        commit.put(Key::tombstone(id), encode_tombstone(retired));
        let (kind, object) = (ChangeKind::Added, ChangedObject::Tombstone);
        commit.tell(Change { kind, object, uid: id, view: None }.encode());
    }

    fn entomb_secret(&self, commit: &mut Commit, head: &Head) {
        let retired = Retired::Secret { path: head.path.clone(), uid: head.uid };
        self.entomb(commit, head.uid, &retired);
    }

    /// Takes back the tombstone of a secret that lives again. One of another name still stands for
    /// the copies that have that name, and goes on under an identity of its own.
    fn exhume_secret(&self, commit: &mut Commit, head: &Head) -> Result<(), VaultError> {
        let key = Key::tombstone(head.uid);
        let Some(stored) = self.engine.read(&key)? else { return Ok(()) };
        let retired = decode_tombstone(&stored.value).map_err(|_| VaultError::Damaged)?;
        commit.remove(key);
        if !matches!(&retired, Retired::Secret { path, .. } if *path == head.path) {
            self.entomb(commit, self.make_uid()?, &retired);
        }
        Ok(())
    }

    fn secret_event(
        &self,
        kind: ChangeKind,
        head: &Head,
        previous: Revision,
    ) -> Result<Vec<u8>, VaultError> {
        let key = Key::event_view(head.uid, previous);
        let view = ChangeView { previous, sealed: self.seal_record(&key, &head.encode_shown())? };
        let object = ChangedObject::Secret(head.path.clone());
        Ok(Change { kind, object, uid: head.uid, view: Some(view) }.encode())
    }
}

/// The identities under which a living secret is found.
fn ids(head: &Head) -> impl Iterator<Item = Key> {
    [own_id(head)].into_iter().chain(alias(head))
}

pub(crate) fn own_id(head: &Head) -> Key {
    Key::secret_id(&head.uid.to_string())
}

fn alias(head: &Head) -> Option<Key> {
    head.alias.as_deref().map(Key::secret_id)
}
