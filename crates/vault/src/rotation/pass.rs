//! One pass over the store: every record under an older key is rewritten.

use crypto::{PayloadContext, wrapping_kek};
use domain::{SecretType, Uid};
use store::{
    Commit, CommitError, Head, Key, KeyRange, Precondition, RotationRecord, Stored, VersionState,
    decode_stored_event, encode_stored_event,
};

use crate::keys::VaultCommitError;
use crate::{Vault, VaultError};

// Small in tests, so that tests turn pages.
const PAGE: usize = if cfg!(test) { 9 } else { 500 };
/// How many records one commit rewrites, and about how many bytes: well below what a commit takes, so
/// that a client's write never waits for long behind one.
const BATCH_RECORDS: usize = 90;
const BATCH_BYTES: usize = 256 << 10;

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It saw every record.
    Whole,
    /// It was told to stop.
    Stopped,
}

pub(crate) struct Pass<'a> {
    vault: &'a Vault,
    rotation: RotationRecord,
    stopping: &'a dyn Fn() -> bool,
    batch: Vec<Rewrite>,
    bytes: usize,
}

/// Records that are rewritten together, and what they were.
struct Rewrite {
    writes: Vec<(Key, Vec<u8>)>,
    before: Vec<Precondition>,
}

impl Rewrite {
    fn one(key: Key, before: &Stored, value: Vec<u8>) -> Self {
        let written = Precondition::WrittenAt(key.clone(), before.written_at);
        Self { writes: vec![(key, value)], before: vec![written] }
    }

    fn bytes(&self) -> usize {
        self.writes.iter().map(|(key, value)| key.as_bytes().len() + value.len()).sum()
    }
}

impl<'a> Pass<'a> {
    pub(crate) fn new(
        vault: &'a Vault,
        rotation: RotationRecord,
        stopping: &'a dyn Fn() -> bool,
    ) -> Self {
        Self { vault, rotation, stopping, batch: Vec::new(), bytes: 0 }
    }

    /// Tells `seen` after each page.
    pub(crate) fn run(mut self, seen: &mut dyn FnMut(&Vault)) -> Result<Ended, VaultError> {
        let heads = [KeyRange::all_heads(), KeyRange::all_deleted_heads()];
        for range in heads {
            if self.each(range, seen, Self::versions_of)? == Ended::Stopped {
                return Ok(Ended::Stopped);
            }
        }
        if self
            .vault
            .keyring()
            .metadata_key_ids()
            .iter()
            .all(|id| *id >= self.rotation.metadata_from)
        {
            return Ok(Ended::Whole);
        }
        for range in KeyRange::metadata() {
            if self.each(range, seen, Self::metadata)? == Ended::Stopped {
                return Ok(Ended::Stopped);
            }
        }
        self.each(KeyRange::change_log(), seen, Self::event)
    }

    fn each(
        &mut self,
        mut range: KeyRange,
        seen: &mut dyn FnMut(&Vault),
        mut rewrite: impl FnMut(&mut Self, &Key, &Stored) -> Result<(), VaultError>,
    ) -> Result<Ended, VaultError> {
        loop {
            let page = self.vault.engine.scan(&range, PAGE)?;
            for (key, stored) in &page.records {
                if (self.stopping)() {
                    self.flush()?;
                    return Ok(Ended::Stopped);
                }
                match rewrite(self, key, stored) {
                    Err(VaultError::Damaged) => {
                        // It stays, and so do the keys; the others go on.
                        tracing::error!(record.key = ?key, "a record does not open, and stays under its older key");
                    }
                    done => done?,
                }
            }
            self.flush()?;
            seen(self.vault);
            match page.records.last() {
                Some((key, _)) if page.more => range = range.after(key),
                _ => return Ok(Ended::Whole),
            }
        }
    }

    fn versions_of(&mut self, key: &Key, stored: &Stored) -> Result<(), VaultError> {
        let head = self.vault.open_record(key, &stored.value, Head::decode)?;
        let mut damaged = false;
        for version in &head.versions {
            if version.state != VersionState::Destroyed {
                match self.version(head.uid, version.number, head.kind) {
                    Err(VaultError::Damaged) => damaged = true,
                    done => done?,
                }
            }
        }
        if damaged { Err(VaultError::Damaged) } else { Ok(()) }
    }

    fn version(&mut self, uid: Uid, version: u64, kind: SecretType) -> Result<(), VaultError> {
        let (key, vault) = (Key::wrapped_key(uid, version), self.vault);
        // Gone since the head was read.
        let Some(wrapped) = vault.engine.read(&key)? else { return Ok(()) };
        let kek = wrapping_kek(&wrapped.value).map_err(|_| VaultError::Damaged)?;
        if kek.get() == self.rotation.kek {
            return Ok(());
        }
        let context = PayloadContext { uid, version, kind };
        if !self.rotation.reseal {
            let rewrapped = vault.rewrap(&context, &wrapped.value)?;
            return rewrapped.map_or(Ok(()), |anew| self.add(Rewrite::one(key, &wrapped, anew)));
        }
        let payload_key = Key::payload(uid, version);
        let Some(payload) = vault.engine.read(&payload_key)? else { return Ok(()) };
        let sealed = vault.seal_anew(&context, &wrapped.value, &payload.value)?;
        let mut rewrite = Rewrite::one(key, &wrapped, sealed.wrapped_key.into_bytes());
        let payload = Rewrite::one(payload_key, &payload, sealed.payload.into_bytes());
        rewrite.writes.extend(payload.writes);
        rewrite.before.extend(payload.before);
        self.add(rewrite)
    }

    fn metadata(&mut self, key: &Key, stored: &Stored) -> Result<(), VaultError> {
        let anew = self.vault.reseal(key, &stored.value, self.rotation.metadata_from)?;
        anew.map_or(Ok(()), |anew| self.add(Rewrite::one(key.clone(), stored, anew)))
    }

    fn event(&mut self, key: &Key, stored: &Stored) -> Result<(), VaultError> {
        let decoded = decode_stored_event(&stored.value).map_err(|_| VaultError::Damaged)?;
        let (previous, mut change) = decoded;
        if !self.vault.reseal_view(&mut change, self.rotation.metadata_from)? {
            return Ok(());
        }
        let anew = encode_stored_event(previous, &change);
        self.add(Rewrite::one(key.clone(), stored, anew))
    }

    fn add(&mut self, rewrite: Rewrite) -> Result<(), VaultError> {
        let bytes = rewrite.bytes();
        let records: usize = self.batch.iter().map(|other| other.writes.len()).sum();
        if records + rewrite.writes.len() > BATCH_RECORDS || self.bytes + bytes > BATCH_BYTES {
            self.flush()?;
        }
        self.bytes += bytes;
        self.batch.push(rewrite);
        Ok(())
    }

    /// Commits the batch, without those that were changed or removed since they were read: they are
    /// under the newest keys by now, or gone.
    fn flush(&mut self) -> Result<(), VaultError> {
        self.bytes = 0;
        let mut batch = std::mem::take(&mut self.batch);
        while !batch.is_empty() {
            let mut commit = Commit::default();
            for rewrite in &batch {
                commit.preconditions.extend(rewrite.before.iter().cloned());
                for (key, value) in &rewrite.writes {
                    commit.put(key.clone(), value.clone());
                }
            }
            match self.vault.commit_sealed(commit) {
                Ok(_) => break,
                Err(VaultCommitError::Commit(CommitError::Conflict { index })) => {
                    let at = place(&batch, index).ok_or(VaultError::KeyringGeneration)?;
                    batch.remove(at);
                    self.vault.keys.progress.one_less();
                }
                Err(VaultCommitError::Commit(error)) => return Err(error.into()),
                Err(VaultCommitError::Vault(error)) => return Err(error),
            }
        }
        for _ in &batch {
            self.vault.keys.progress.one_less();
        }
        Ok(())
    }
}

/// Which rewrite a precondition belongs to; none when it is the keyring's.
fn place(batch: &[Rewrite], index: usize) -> Option<usize> {
    let mut behind = 0;
    batch.iter().position(|rewrite| {
        behind += rewrite.before.len();
        index < behind
    })
}
