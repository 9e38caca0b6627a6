//! The wrapped data keys of one secret, while an act on it is put together.

use domain::{Revision, Uid};
use store::{Commit, Key, Precondition, WrappedKeys};

use crate::{Vault, VaultError};

/// The wrapped data keys as they were read, and what is to become of them.
pub(crate) struct Wraps {
    /// None where they cannot be read: that is no reason not to change or to delete the secret.
    keys: Option<WrappedKeys>,
    /// When they were last written; none where there are none. A change of keys writes them silently, so
    /// that it is not enough to know when the secret last changed.
    written_at: Option<Revision>,
    changed: bool,
}

impl Default for Wraps {
    fn default() -> Self {
        Self { keys: Some(WrappedKeys::default()), written_at: None, changed: false }
    }
}

impl Wraps {
    /// Adds that of a new version.
    pub(crate) fn put(&mut self, number: u64, wrapped: Vec<u8>) -> Result<(), VaultError> {
        let keys = self.keys.as_mut().ok_or(VaultError::Damaged)?;
        keys.put(number, wrapped);
        self.changed = true;
        Ok(())
    }

    /// Takes out that of a version whose payload goes. What cannot be read stays as it is.
    pub(crate) fn remove(&mut self, number: u64) {
        if let Some(keys) = &mut self.keys {
            keys.remove(number);
            self.changed = true;
        }
    }

    /// Adds what has changed to a commit: one write at most.
    pub(crate) fn stage(self, uid: Uid, commit: &mut Commit) {
        match self.keys {
            Some(keys) if self.changed && !keys.is_empty() => {
                require(commit, uid, self.written_at);
                commit.put(Key::wrapped_keys(uid), keys.encode());
            }
            Some(_) if self.changed => self.discard(uid, commit),
            _ => {}
        }
    }

    /// Removes all of them, whatever they are.
    pub(crate) fn discard(self, uid: Uid, commit: &mut Commit) {
        require(commit, uid, self.written_at);
        commit.remove(Key::wrapped_keys(uid));
    }
}

fn require(commit: &mut Commit, uid: Uid, written_at: Option<Revision>) {
    let key = Key::wrapped_keys(uid);
    commit.require(match written_at {
        Some(at) => Precondition::WrittenAt(key, at),
        None => Precondition::Absent(key),
    });
}

impl Vault {
    /// The wrapped data keys of a secret.
    pub(crate) fn wraps(&self, uid: Uid) -> Result<Wraps, VaultError> {
        let Some(stored) = self.engine.read(&Key::wrapped_keys(uid))? else {
            return Ok(Wraps::default());
        };
        let keys = WrappedKeys::decode(&stored.value).ok();
        Ok(Wraps { keys, written_at: Some(stored.written_at), changed: false })
    }
}
