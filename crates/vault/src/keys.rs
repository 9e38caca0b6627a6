//! The keyring in use, and the one place where anything sealed is committed.
//!
//! The keyring is replaced while others seal with it. So that nothing is stored under a key that new
//! records must not have any more, every commit holds [`Keys::recorded_at`] shared from the moment
//! that its seals are looked at until it is durable, and a replacement holds it alone: what was
//! sealed before the replacement and not yet committed is sealed anew.

use std::sync::Arc;

use crypto::{Keyring, PayloadContext, metadata_key_of, wrapping_kek};
use domain::{Malformed, Revision, SecretType, Uid};
use parking_lot::{Mutex, RwLock};
use store::{Change, Commit, CommitError, Engine, Head, Key, Precondition, WrappedKeys};

use crate::rotation::Progress;
use crate::sealing::NextBlock;
use crate::{Vault, VaultError};

pub(crate) struct Keys {
    keyring: RwLock<Arc<Keyring>>,
    /// When the store last recorded the keyring's generation: every commit that carries something
    /// sealed requires that it still is that one.
    recorded_at: RwLock<Revision>,
    pub(crate) reserving: Mutex<NextBlock>,
    pub(crate) progress: Progress,
}

impl Keys {
    /// Records the keyring in a new store, and refuses a store that was written with a later one.
    ///
    /// The file is durable before the store knows of it, so that it may be one generation ahead.
    pub(crate) fn open(engine: &dyn Engine, keyring: Keyring) -> Result<Self, VaultError> {
        let key = Key::keyring();
        let recorded_at = match engine.read(&key)? {
            Some(stored) => {
                let recorded =
                    stored.value.as_slice().try_into().map_err(|_| VaultError::Damaged)?;
                let recorded = u64::from_be_bytes(recorded);
                if recorded == keyring.generation() {
                    stored.written_at
                } else if recorded.checked_add(1) == Some(keyring.generation()) {
                    let was = Precondition::WrittenAt(key, stored.written_at);
                    engine.commit(crate::rotation::catch_up(engine, &keyring, was)?)?
                } else {
                    return Err(VaultError::KeyringGeneration);
                }
            }
            None => {
                let mut commit = Commit::default();
                commit.require(Precondition::Absent(key));
                record_generation(&mut commit, &keyring);
                engine.commit(commit)?
            }
        };
        Ok(Self {
            keyring: RwLock::new(Arc::new(keyring)),
            recorded_at: RwLock::new(recorded_at),
            reserving: Mutex::default(),
            progress: Progress::default(),
        })
    }
}

/// Has a commit say which generation of the keyring the store goes with.
pub(crate) fn record_generation(commit: &mut Commit, keyring: &Keyring) {
    commit.put(Key::keyring(), keyring.generation().to_be_bytes().to_vec());
}

impl Vault {
    /// The keys as they are now.
    pub(crate) fn keyring(&self) -> Arc<Keyring> {
        self.keys.keyring.read().clone()
    }

    /// Commits under the keys as they are now. The last precondition that a conflict may name is
    /// that of the keyring.
    pub(crate) fn commit_sealed(&self, mut commit: Commit) -> Result<Revision, VaultCommitError> {
        let recorded_at = self.keys.recorded_at.read();
        match bring_up_to_date(self, &mut commit) {
            // It was sealed a moment ago, so that it is the keys which are gone: a whole rotation
            // came in between. The act is tried again.
            Err(VaultError::Damaged) => Err(VaultError::Busy),
            done => done,
        }?;
        commit.require(Precondition::WrittenAt(Key::keyring(), *recorded_at));
        Ok(self.engine.commit(commit)?)
    }

    /// Makes a commit, and commits it, while nobody else commits anything sealed. It must be under the keys as
    /// they are now.
    pub(crate) fn commit_alone(
        &self,
        make: impl FnOnce() -> Result<Option<Commit>, VaultError>,
    ) -> Result<(), VaultError> {
        let recorded_at = self.keys.recorded_at.write();
        let Some(mut commit) = make()? else { return Ok(()) };
        commit.require(Precondition::WrittenAt(Key::keyring(), *recorded_at));
        self.engine.commit(commit)?;
        Ok(())
    }

    /// Replaces the keyring: durably in its file, then in the store together with `commit`, and only
    /// then for whoever seals next. It waits for commits that are under way.
    pub(crate) fn replace_keyring(
        &self,
        next: Keyring,
        mut commit: Commit,
    ) -> Result<(), VaultError> {
        let mut recorded_at = self.keys.recorded_at.write();
        record_generation(&mut commit, &next);
        commit.require(Precondition::WrittenAt(Key::keyring(), *recorded_at));
        let before = self.keyring();
        self.engine.write_keyring(&next.to_file()).map_err(VaultError::KeyringFile)?;
        match self.engine.commit(commit) {
            Ok(revision) => {
                *recorded_at = revision;
                *self.keys.keyring.write() = Arc::new(next);
                Ok(())
            }
            // It may be in the store all the same, which then opens with the new file alone; and if it is
            // not, with a file that is one generation ahead.
            Err(error @ CommitError::Store(_)) => Err(error.into()),
            Err(error) => {
                // Nothing was sealed under the new keys. Should this fail too, the file is a
                // generation ahead, and the next start goes on from there.
                if let Err(error) = self.engine.write_keyring(&before.to_file()) {
                    tracing::warn!(%error, "the keyring file is one generation ahead of the store");
                }
                Err(error.into())
            }
        }
    }
}

/// Why something sealed was not committed.
pub(crate) enum VaultCommitError {
    /// The engine refused.
    Commit(CommitError),
    /// It could not be sealed anew.
    Vault(VaultError),
}

impl From<CommitError> for VaultCommitError {
    fn from(error: CommitError) -> Self {
        Self::Commit(error)
    }
}

impl From<VaultError> for VaultCommitError {
    fn from(error: VaultError) -> Self {
        Self::Vault(error)
    }
}

/// Seals anew what a commit carries under keys that were replaced since it was put together.
fn bring_up_to_date(vault: &Vault, commit: &mut Commit) -> Result<(), VaultError> {
    let keyring = vault.keyring();
    for at in 0..commit.writes.len() {
        let Some((key, Some(value))) = commit.writes.get(at) else { continue };
        let anew = if let Some(uid) = key.wrapped_keys_of() {
            let keys = WrappedKeys::decode(value).map_err(|Malformed| VaultError::Damaged)?;
            keys_up_to_date(vault, commit, uid, keys)?.map(|keys| keys.encode())
        } else if key.is_metadata() {
            vault.reseal(key, value, keyring.metadata_key_id())?
        } else {
            None
        };
        if let (Some(anew), Some((_, value))) = (anew, commit.writes.get_mut(at)) {
            *value = Some(anew);
        }
    }
    for event in &mut commit.events {
        let mut change = Change::decode(event).map_err(|Malformed| VaultError::Damaged)?;
        if vault.reseal_view(&mut change, keyring.metadata_key_id())? {
            *event = change.encode();
        }
    }
    Ok(())
}

/// A secret's data keys with those that a commit brings under the current KEK, if they are not. Those of versions
/// that were there before stay as they were stored, and the rotation comes to them: it may have to seal their
/// payloads anew too.
fn keys_up_to_date(
    vault: &Vault,
    commit: &Commit,
    uid: Uid,
    keys: WrappedKeys,
) -> Result<Option<WrappedKeys>, VaultError> {
    let current = vault.keyring().current_kek();
    let is_brought = |version| {
        let payload = Key::payload(uid, version);
        commit.writes.iter().any(|(key, value)| *key == payload && value.is_some())
    };
    let late = |(version, wrapped): &(u64, &[u8])| {
        wrapping_kek(wrapped).is_ok_and(|kek| kek != current) && is_brought(*version)
    };
    let late: Vec<_> = keys.iter().filter(late).collect();
    if late.is_empty() {
        return Ok(None);
    }
    let kind = secret_type(vault, commit, uid)?;
    let mut anew = keys.clone();
    for (version, wrapped) in late {
        if let Some(wrapped) = vault.rewrap(&PayloadContext { uid, version, kind }, wrapped)? {
            anew.put(version, wrapped);
        }
    }
    Ok(Some(anew))
}

/// The type of a secret whose head a commit writes; a version never comes without its head.
fn secret_type(vault: &Vault, commit: &Commit, uid: Uid) -> Result<SecretType, VaultError> {
    for (key, value) in &commit.writes {
        if let (Some(value), true) = (value, key.is_head()) {
            let head = vault.open_record(key, value, Head::decode)?;
            if head.uid == uid {
                return Ok(head.kind);
            }
        }
    }
    Err(VaultError::Damaged)
}

impl Vault {
    /// A metadata record under the newest metadata key, if it is under one below `from`.
    pub(crate) fn reseal(
        &self,
        key: &Key,
        sealed: &[u8],
        from: u32,
    ) -> Result<Option<Vec<u8>>, VaultError> {
        if metadata_key_of(sealed).map_err(|_| VaultError::Damaged)? >= from {
            return Ok(None);
        }
        let opened = self.keyring().open_metadata(key.as_bytes(), sealed);
        let opened = opened.map_err(|_| VaultError::Damaged)?;
        // EXPOSE: a record of names and times is sealed again where it lies.
        self.seal_record(key, opened.expose()).map(Some)
    }

    /// The same for the metadata in an event; says whether it was.
    pub(crate) fn reseal_view(&self, change: &mut Change, from: u32) -> Result<bool, VaultError> {
        let uid = change.uid;
        let Some(view) = &mut change.view else { return Ok(false) };
        let key = Key::event_view(uid, view.previous);
        match self.reseal(&key, &view.sealed, from)? {
            Some(anew) => {
                view.sealed = anew;
                Ok(true)
            }
            None => Ok(false),
        }
    }
}
