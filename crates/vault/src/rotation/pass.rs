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
const COMMIT_RECORDS: usize = if cfg!(test) { 5 } else { 80 };
const COMMIT_BYTES: usize = if cfg!(test) { 300 } else { 256 << 10 };
/// A piece of what is rewritten that takes about as long as a seal does.
const WEIGHED_BYTES: usize = 4 << 10;
/// How many commits are under way at once, so that the engine makes several durable together: a sync costs
/// about the same, however much it makes durable.
const COMMITTERS: usize = 4;

/// How fast records are rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As fast as the machine can: nobody else uses the store.
    Full,
    /// At most one seal in this time, or 4 KiB where it is more than that, on average over a commit: so that
    /// whoever reads and writes meanwhile notices little of it.
    One(Duration),
}

impl Pace {
    /// How long after a batch of that weight the next one may follow.
    pub(crate) fn gap(self, weight: usize) -> Duration {
        match self {
            Self::Full => Duration::ZERO,
            Self::One(time) => time.saturating_mul(u32::try_from(weight).unwrap_or(u32::MAX)),
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
    weight: usize,
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
    /// The secret, where it is the data keys of one.
    of: Option<(Uid, SecretType)>,
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

    /// As [`Pace::One`] counts.
    fn weight(&self) -> usize {
        self.seals.max(self.bytes() / WEIGHED_BYTES)
    }

    fn add_to(&self, commit: &mut Commit) {
        commit.preconditions.extend(self.before.iter().cloned());
        for (key, value) in &self.writes {
            commit.put(key.clone(), value.clone());
        }
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
        let committers: Vec<_> = (0..COMMITTERS)
            .map(|_| scope.spawn(|| commit_each(vault, &rotation, &taken)))
            .collect();
        let pass = Pass {
            vault,
            rotation,
            pace,
            next: Instant::now(),
            stopping,
            batch: Vec::new(),
            records: 0,
            weight: 0,
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
fn commit_each(
    vault: &Vault,
    rotation: &RotationRecord,
    batches: &Mutex<Receiver<Vec<Rewrite>>>,
) -> Result<(), VaultError> {
    let mut done = Ok(());
    loop {
        let Ok(batch) = batches.lock().recv() else { return done };
        if done.is_ok() {
            done = commit_all(vault, rotation, batch);
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
        // The payloads that are sealed anew may be too many for one commit: then it takes several, one after
        // another, each of which rewrites the keys again.
        let mut stored = stored.clone();
        loop {
            let (rewrite, more) = secret_anew(self.vault, &self.rotation, (uid, kind), &stored)?;
            if !more {
                return self.add(rewrite);
            }
            self.wait(rewrite.weight());
            commit_all(self.vault, &self.rotation, vec![rewrite])?;
            match self.vault.engine.read(key)? {
                Some(now) if !(self.stopping)() => stored = now,
                _ => return Ok(()),
            }
        }
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
        self.weight += rewrite.weight();
        self.bytes += bytes;
        self.batch.push(rewrite);
        Ok(())
    }

    /// Waits until what has that weight may be committed.
    fn wait(&mut self, weight: usize) {
        thread::sleep(self.next.saturating_duration_since(Instant::now()));
        // Time that was lost, to a slow disk perhaps, is not made up for.
        self.next = self.next.max(Instant::now()) + self.pace.gap(weight);
    }

    /// Hands over what was gathered.
    fn flush(&mut self) -> Result<(), VaultError> {
        let weight = std::mem::take(&mut self.weight);
        (self.records, self.bytes) = (0, 0);
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        self.wait(weight);
        // The committers take batches until this pass is gone.
        self.commits.send(batch).map_err(|_| VaultError::Busy)
    }
}

/// Commits rewrites. A metadata record that was changed or removed since it was read is left out: it is under the
/// newest keys by now, or gone. The data keys of a secret that was written are rewritten while nobody else
/// commits, however often it is written.
fn commit_all(
    vault: &Vault,
    rotation: &RotationRecord,
    mut rewrites: Vec<Rewrite>,
) -> Result<(), VaultError> {
    let mut contested = Vec::new();
    while !rewrites.is_empty() {
        let mut commit = Commit::default();
        for rewrite in &rewrites {
            rewrite.add_to(&mut commit);
        }
        match vault.commit_sealed(commit) {
            Ok(_) => break,
            Err(VaultCommitError::Commit(CommitError::Conflict { index })) => {
                let at = place(&rewrites, index).ok_or(VaultError::KeyringGeneration)?;
                let left_out = rewrites.remove(at);
                match left_out.of {
                    Some(of) => contested.push(of),
                    None => vault.keys.progress.less(left_out.seals),
                }
            }
            Err(VaultCommitError::Commit(error)) => return Err(error.into()),
            Err(VaultCommitError::Vault(error)) => return Err(error),
        }
    }
    vault.keys.progress.less(rewrites.iter().map(|rewrite| rewrite.seals).sum());
    contested.into_iter().try_for_each(|of| commit_alone(vault, rotation, of))
}

fn commit_alone(
    vault: &Vault,
    rotation: &RotationRecord,
    of: (Uid, SecretType),
) -> Result<(), VaultError> {
    loop {
        let (mut seals, mut more) = (0, false);
        vault.commit_alone(|| {
            let key = Key::wrapped_keys(of.0);
            let Some(stored) = vault.engine.read(&key)? else { return Ok(None) };
            let (rewrite, rest) = secret_anew(vault, rotation, of, &stored)?;
            (seals, more) = (rewrite.seals, rest);
            let mut commit = Commit::default();
            rewrite.add_to(&mut commit);
            Ok(Some(commit).filter(|_| seals > 0))
        })?;
        vault.keys.progress.less(seals);
        if !more {
            return Ok(());
        }
    }
}

/// A secret's data keys under the newest KEK, and its payloads under new data keys where they are to be sealed
/// anew, as far as one commit takes them; whether there are more. What does not open stays as it is.
fn secret_anew(
    vault: &Vault,
    rotation: &RotationRecord,
    (uid, kind): (Uid, SecretType),
    stored: &Stored,
) -> Result<(Rewrite, bool), VaultError> {
    let key = Key::wrapped_keys(uid);
    let keys = WrappedKeys::decode(&stored.value).map_err(|_| VaultError::Damaged)?;
    let (mut anew, mut more) = (keys.clone(), false);
    let mut rewrite = Rewrite { of: Some((uid, kind)), ..Rewrite::default() };
    for (version, wrapped) in keys.iter() {
        let kek = wrapping_kek(wrapped);
        if kek.as_ref().is_ok_and(|kek| kek.get() == rotation.kek) {
            continue;
        }
        let payload_key = Key::payload(uid, version);
        let payload = if rotation.reseal { vault.engine.read(&payload_key)? } else { None };
        let bytes = rewrite.bytes() + payload.as_ref().map_or(0, |payload| payload.value.len());
        more = rewrite.writes.len() + 1 >= COMMIT_RECORDS
            || !rewrite.writes.is_empty() && bytes + stored.value.len() > COMMIT_BYTES;
        if more {
            break;
        }
        let context = PayloadContext { uid, version, kind };
        let made = match (kek, payload) {
            (Err(_), _) => Err(VaultError::Damaged),
            (Ok(_), Some(payload)) => {
                vault.seal_anew(&context, wrapped, &payload.value).map(|sealed| {
                    rewrite.add(payload_key, &payload, sealed.payload.into_bytes());
                    Some(sealed.wrapped_key.into_bytes())
                })
            }
            // Its payload went since the keys were read.
            (Ok(_), None) if rotation.reseal => Ok(None),
            (Ok(_), None) => vault.rewrap(&context, wrapped),
        };
        match made {
            Ok(Some(wrapped)) => {
                anew.put(version, wrapped);
                rewrite.seals += 1;
            }
            Ok(None) => {}
            Err(VaultError::Damaged) => tell_of_damage(&key, Some(version)),
            Err(error) => return Err(error),
        }
    }
    if rewrite.seals > 0 {
        rewrite.add(key, stored, anew.encode());
    }
    Ok((rewrite, more))
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
