//! The wrapped data keys of one secret, while an act on it is put together.

use domain::{Revision, Uid};
use store::{Commit, Key, Precondition, WrappedKeys};

use crate::{Vault, VaultError};

/// The wrapped data keys as they were read, and what is to become of them.
#[derive(Default)]
pub(crate) struct Wraps {
    keys: WrappedKeys,
    /// When they were last written; none where there are none. A change of keys writes them silently, so
    /// that it is not enough to know when the secret last changed.
    written_at: Option<Revision>,
    changed: bool,
}

impl Wraps {
    pub(crate) fn put(&mut self, number: u64, wrapped: Vec<u8>) {
        self.keys.put(number, wrapped);
        self.changed = true;
    }

    pub(crate) fn remove(&mut self, number: u64) {
        self.keys.remove(number);
        self.changed = true;
    }

    /// Adds what has changed to a commit: one write at most.
    pub(crate) fn stage(self, uid: Uid, commit: &mut Commit) {
        if !self.changed {
            return;
        }
        let key = Key::wrapped_keys(uid);
        match self.written_at {
            Some(at) => commit.require(Precondition::WrittenAt(key.clone(), at)),
            None => commit.require(Precondition::Absent(key.clone())),
        };
        if self.keys.is_empty() {
            commit.remove(key);
        } else {
            commit.put(key, self.keys.encode());
        }
    }
}

impl Vault {
    /// The wrapped data keys of a secret.
    pub(crate) fn wraps(&self, uid: Uid) -> Result<Wraps, VaultError> {
        let Some(stored) = self.engine.read(&Key::wrapped_keys(uid))? else {
            return Ok(Wraps::default());
        };
        let keys = WrappedKeys::decode(&stored.value).map_err(|_| VaultError::Damaged)?;
        Ok(Wraps { keys, written_at: Some(stored.written_at), changed: false })
    }
}
