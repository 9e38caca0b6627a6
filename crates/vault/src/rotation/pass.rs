//! One pass over the store: every record under an older key is rewritten.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use crypto::{PayloadContext, wrapping_kek};
use domain::{SecretType, Uid};
use store::{
    Commit, CommitError, Head, Key, KeyRange, Precondition, RotationRecord, Stored,
    decode_stored_event, encode_stored_event,
};

use parking_lot::Mutex;

use crate::keys::VaultCommitError;
use crate::rotation::census::ends_metadata_keys;
use crate::{Vault, VaultError};

// Small in tests, so that tests turn pages.
const PAGE: usize = if cfg!(test) { 9 } else { 100 };
/// How many records one commit rewrites, and about how many bytes.
const COMMIT_RECORDS: usize = 80;
const COMMIT_BYTES: usize = 256 << 10;
/// How many commits are under way at once, so that the engine makes several durable together: a sync costs
/// about the same, however much it makes durable.
const COMMITTERS: usize = 4;

/// How fast records are rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As fast as the machine can: nobody else uses the store.
    Full,
    /// At most one record in this time, on average over a commit, so that whoever reads and writes
    /// meanwhile notices little of it.
    One(Duration),
}

impl Pace {
    /// How long after a batch of so many records the next one may follow.
    fn gap(self, records: usize) -> Duration {
        match self {
            Self::Full => Duration::ZERO,
            Self::One(time) => time.saturating_mul(u32::try_from(records).unwrap_or(u32::MAX)),
        }
    }
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It saw every record.
    Whole,
    /// It was told to stop.
    Stopped,
}

struct Pass<'a> {
    vault: &'a Vault,
    rotation: RotationRecord,
    pace: Pace,
    /// When the next batch may be handed over.
    next: Instant,
    stopping: &'a dyn Fn() -> bool,
    batch: Vec<Rewrite>,
    records: usize,
    bytes: usize,
    /// To the committers.
    commits: SyncSender<Vec<Rewrite>>,
    /// The type of each secret, which only its head says and its wrapped keys are bound to; ascending.
    /// 17 bytes for a secret are little beside looking heads up out of order.
    types: Vec<(Uid, SecretType)>,
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

/// Makes one pass. Tells `seen` after each page.
pub(crate) fn pass(
    vault: &Vault,
    rotation: RotationRecord,
    pace: Pace,
    stopping: &dyn Fn() -> bool,
    seen: &mut dyn FnMut(&Vault),
) -> Result<Ended, VaultError> {
    // Whoever hands a batch over waits until a committer takes it.
    let (commits, taken) = mpsc::sync_channel(0);
    let taken = Mutex::new(taken);
    thread::scope(|scope| {
        let committers: Vec<_> =
            (0..COMMITTERS).map(|_| scope.spawn(|| commit_each(vault, &taken))).collect();
        let pass = Pass {
            vault,
            rotation,
            pace,
            next: Instant::now(),
            stopping,
            batch: Vec::new(),
            records: 0,
            bytes: 0,
            commits,
            types: Vec::new(),
        };
        let walked = pass.walk(seen);
        let committed = committers.into_iter().map(|committer| {
            // A panic of ours; the pass is made again from the beginning.
            committer.join().unwrap_or(Err(VaultError::Busy))
        });
        committed.fold(Ok(()), Result::and).and(walked)
    })
}

/// Commits batches until there are no more. After a failure the others are left as they are, for the next
/// pass.
fn commit_each(vault: &Vault, batches: &Mutex<Receiver<Vec<Rewrite>>>) -> Result<(), VaultError> {
    let mut done = Ok(());
    loop {
        let Ok(batch) = batches.lock().recv() else { return done };
        if done.is_ok() {
            done = commit_all(vault, batch);
        }
    }
}

impl Pass<'_> {
    fn walk(mut self, seen: &mut dyn FnMut(&Vault)) -> Result<Ended, VaultError> {
        for range in [KeyRange::all_heads(), KeyRange::all_deleted_heads()] {
            if self.each(range, seen, Self::note_type)? == Ended::Stopped {
                return Ok(Ended::Stopped);
            }
        }
        self.types.sort_unstable_by_key(|(uid, _)| *uid);
        if self.each(KeyRange::wrapped_keys(), seen, Self::version)? == Ended::Stopped {
            return Ok(Ended::Stopped);
        }
        if !ends_metadata_keys(&self.rotation, &self.vault.keyring()) {
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
                        let (uid, version) = key.wrapped_version().unzip();
                        tracing::error!(
                            record.kind = key.as_bytes().first(),
                            secret.uid = uid.map(|uid| uid.to_string()),
                            secret.version = version,
                            "a record does not open, and stays under its older key"
                        );
                    }
                    done => done?,
                }
            }
            seen(self.vault);
            match page.records.last() {
                Some((key, _)) if page.more => range = range.after(key),
                _ => {
                    self.flush()?;
                    return Ok(Ended::Whole);
                }
            }
        }
    }

    fn note_type(&mut self, key: &Key, stored: &Stored) -> Result<(), VaultError> {
        let head = self.vault.open_record(key, &stored.value, Head::decode)?;
        self.types.push((head.uid, head.kind));
        Ok(())
    }

    /// In the order of the keys, so that what is written together lies together.
    fn version(&mut self, key: &Key, wrapped: &Stored) -> Result<(), VaultError> {
        let kek = wrapping_kek(&wrapped.value).map_err(|_| VaultError::Damaged)?;
        if kek.get() == self.rotation.kek {
            return Ok(());
        }
        let (uid, version) = key.wrapped_version().ok_or(VaultError::Damaged)?;
        // Of nobody: the secret was moved while the heads were read, or there is none; the next pass sees.
        let Some(kind) = self.type_of(uid) else { return Ok(()) };
        let (vault, key) = (self.vault, key.clone());
        let context = PayloadContext { uid, version, kind };
        if !self.rotation.reseal {
            let rewrapped = vault.rewrap(&context, &wrapped.value)?;
            return rewrapped.map_or(Ok(()), |anew| self.add(Rewrite::one(key, wrapped, anew)));
        }
        let payload_key = Key::payload(uid, version);
        let Some(payload) = vault.engine.read(&payload_key)? else { return Ok(()) };
        let sealed = vault.seal_anew(&context, &wrapped.value, &payload.value)?;
        let mut rewrite = Rewrite::one(key, wrapped, sealed.wrapped_key.into_bytes());
        let payload = Rewrite::one(payload_key, &payload, sealed.payload.into_bytes());
        rewrite.writes.extend(payload.writes);
        rewrite.before.extend(payload.before);
        self.add(rewrite)
    }

    /// A secret's type.
    fn type_of(&self, uid: Uid) -> Option<SecretType> {
        let at = self.types.binary_search_by_key(&uid, |(uid, _)| *uid).ok()?;
        self.types.get(at).map(|(_, kind)| *kind)
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
        let (records, bytes) = (rewrite.writes.len(), rewrite.bytes());
        if self.records + records > COMMIT_RECORDS || self.bytes + bytes > COMMIT_BYTES {
            self.flush()?;
        }
        self.records += records;
        self.bytes += bytes;
        self.batch.push(rewrite);
        Ok(())
    }

    /// Hands over what was gathered.
    fn flush(&mut self) -> Result<(), VaultError> {
        let gap = self.pace.gap(self.records);
        (self.records, self.bytes) = (0, 0);
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        thread::sleep(self.next.saturating_duration_since(Instant::now()));
        // Time that was lost, to a slow disk perhaps, is not made up for.
        self.next = self.next.max(Instant::now()) + gap;
        // The committers take batches until this pass is gone.
        self.commits.send(batch).map_err(|_| VaultError::Busy)
    }
}

/// Commits rewrites, without those whose records were changed or removed since they were read: they are
/// under the newest keys by now, or gone.
fn commit_all(vault: &Vault, mut rewrites: Vec<Rewrite>) -> Result<(), VaultError> {
    while !rewrites.is_empty() {
        let mut commit = Commit::default();
        for rewrite in &rewrites {
            commit.preconditions.extend(rewrite.before.iter().cloned());
            for (key, value) in &rewrite.writes {
                commit.put(key.clone(), value.clone());
            }
        }
        match vault.commit_sealed(commit) {
            Ok(_) => break,
            Err(VaultCommitError::Commit(CommitError::Conflict { index })) => {
                let at = place(&rewrites, index).ok_or(VaultError::KeyringGeneration)?;
                rewrites.remove(at);
                vault.keys.progress.one_less();
            }
            Err(VaultCommitError::Commit(error)) => return Err(error.into()),
            Err(VaultCommitError::Vault(error)) => return Err(error),
        }
    }
    for _ in &rewrites {
        vault.keys.progress.one_less();
    }
    Ok(())
}

/// Which rewrite a precondition belongs to; none when it is the keyring's.
fn place(batch: &[Rewrite], index: usize) -> Option<usize> {
    let mut behind = 0;
    batch.iter().position(|rewrite| {
        behind += rewrite.before.len();
        index < behind
    })
}
