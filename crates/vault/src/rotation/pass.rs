//! One pass over the store: every record under an older key is rewritten.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use crypto::{PayloadContext, wrapping_kek};
use domain::{SecretType, Uid};
use store::{
    Commit, CommitError, Head, Key, KeyRange, Precondition, RotationRecord, Stored, WrappedKeys,
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
    /// At most one record in this time, or one data key where several lie in a record, on average over a
    /// commit: so that whoever reads and writes meanwhile notices little of it.
    One(Duration),
}

impl Pace {
    /// How long after a batch of so many the next one may follow.
    fn gap(self, seals: usize) -> Duration {
        match self {
            Self::Full => Duration::ZERO,
            Self::One(time) => time.saturating_mul(u32::try_from(seals).unwrap_or(u32::MAX)),
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
    seals: usize,
    bytes: usize,
    /// To the committers.
    commits: SyncSender<Vec<Rewrite>>,
    /// The type of each secret, which only its head says and its wrapped keys are bound to; ascending.
    /// 17 bytes for a secret are little beside looking heads up out of order.
    types: Vec<(Uid, SecretType)>,
}

/// Records that are rewritten together, and what they were.
#[derive(Default)]
struct Rewrite {
    writes: Vec<(Key, Vec<u8>)>,
    before: Vec<Precondition>,
    /// How many seals under older keys it ends, as a census counts them.
    seals: usize,
}

impl Rewrite {
    fn one(key: Key, before: &Stored, value: Vec<u8>) -> Self {
        let mut rewrite = Self { seals: 1, ..Self::default() };
        rewrite.add(key, before, value);
        rewrite
    }

    fn add(&mut self, key: Key, before: &Stored, value: Vec<u8>) {
        self.before.push(Precondition::WrittenAt(key.clone(), before.written_at));
        self.writes.push((key, value));
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
            seals: 0,
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
        if self.each(KeyRange::wrapped_keys(), seen, Self::data_keys)? == Ended::Stopped {
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
                        tell_of_damage(key, None);
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
    fn data_keys(&mut self, key: &Key, stored: &Stored) -> Result<(), VaultError> {
        let uid = key.wrapped_keys_of().ok_or(VaultError::Damaged)?;
        // Of nobody: the secret was moved while the heads were read, or there is none; the next pass sees.
        let Some(kind) = self.type_of(uid) else { return Ok(()) };
        if !self.rotation.reseal {
            let (rewrite, _) = self.anew(key, stored, |pass, version, wrapped, _| {
                pass.vault.rewrap(&PayloadContext { uid, version, kind }, wrapped)
            })?;
            return self.add(rewrite);
        }
        // The payloads may be too many for one commit: then it takes several, one after another, each of
        // which rewrites the keys again.
        let mut stored = stored.clone();
        loop {
            let (rewrite, more) = self.anew(key, &stored, |pass, version, wrapped, rewrite| {
                let context = PayloadContext { uid, version, kind };
                pass.payload_anew(&context, wrapped, rewrite)
            })?;
            if !more {
                return self.add(rewrite);
            }
            commit_all(self.vault, vec![rewrite])?;
            match self.vault.engine.read(key)? {
                Some(now) if !(self.stopping)() => stored = now,
                _ => return Ok(()),
            }
        }
    }

    /// Makes each data key under an older KEK anew, as far as they fit into a commit; says whether there
    /// are more.
    fn anew(
        &self,
        key: &Key,
        stored: &Stored,
        mut make: impl FnMut(&Self, u64, &[u8], &mut Rewrite) -> Result<Option<Vec<u8>>, VaultError>,
    ) -> Result<(Rewrite, bool), VaultError> {
        let keys = WrappedKeys::decode(&stored.value).map_err(|_| VaultError::Damaged)?;
        let (mut anew, mut rewrite, mut more) = (keys.clone(), Rewrite::default(), false);
        for (version, wrapped) in keys.iter() {
            let kek = wrapping_kek(wrapped);
            if kek.as_ref().is_ok_and(|kek| kek.get() == self.rotation.kek) {
                continue;
            }
            more = rewrite.writes.len() + 1 >= COMMIT_RECORDS || rewrite.bytes() >= COMMIT_BYTES;
            if more {
                break;
            }
            let made = match kek {
                Ok(_) => make(self, version, wrapped, &mut rewrite),
                Err(_) => Err(VaultError::Damaged),
            };
            match made {
                Ok(Some(wrapped)) => {
                    anew.put(version, wrapped);
                    rewrite.seals += 1;
                }
                Ok(None) => {}
                Err(VaultError::Damaged) => tell_of_damage(key, Some(version)),
                Err(error) => return Err(error),
            }
        }
        if rewrite.seals > 0 {
            rewrite.add(key.clone(), stored, anew.encode());
        }
        Ok((rewrite, more))
    }

    /// A version under a new data key: adds the payload to what is rewritten.
    fn payload_anew(
        &self,
        context: &PayloadContext,
        wrapped: &[u8],
        rewrite: &mut Rewrite,
    ) -> Result<Option<Vec<u8>>, VaultError> {
        let key = Key::payload(context.uid, context.version);
        let Some(payload) = self.vault.engine.read(&key)? else { return Ok(None) };
        let sealed = self.vault.seal_anew(context, wrapped, &payload.value)?;
        rewrite.add(key, &payload, sealed.payload.into_bytes());
        Ok(Some(sealed.wrapped_key.into_bytes()))
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
        if rewrite.writes.is_empty() {
            return Ok(());
        }
        let (records, bytes) = (rewrite.writes.len(), rewrite.bytes());
        if self.records + records > COMMIT_RECORDS || self.bytes + bytes > COMMIT_BYTES {
            self.flush()?;
        }
        self.records += records;
        self.seals += rewrite.seals;
        self.bytes += bytes;
        self.batch.push(rewrite);
        Ok(())
    }

    /// Hands over what was gathered.
    fn flush(&mut self) -> Result<(), VaultError> {
        let gap = self.pace.gap(self.seals);
        (self.records, self.seals, self.bytes) = (0, 0, 0);
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
                let left_out = rewrites.remove(at);
                vault.keys.progress.less(left_out.seals);
            }
            Err(VaultCommitError::Commit(error)) => return Err(error.into()),
            Err(VaultCommitError::Vault(error)) => return Err(error),
        }
    }
    vault.keys.progress.less(rewrites.iter().map(|rewrite| rewrite.seals).sum());
    Ok(())
}

/// A key may hold a name, so that it is not told.
fn tell_of_damage(key: &Key, version: Option<u64>) {
    tracing::error!(
        record.kind = key.as_bytes().first(),
        secret.uid = key.wrapped_keys_of().map(|uid| uid.to_string()),
        secret.version = version,
        "a record does not open, and stays under its older key"
    );
}

/// Which rewrite a precondition belongs to; none when it is the keyring's.
fn place(batch: &[Rewrite], index: usize) -> Option<usize> {
    let mut behind = 0;
    batch.iter().position(|rewrite| {
        behind += rewrite.before.len();
        index < behind
    })
}
