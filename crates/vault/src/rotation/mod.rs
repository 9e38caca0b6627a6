//! Changes of keys: begun, gone on with, paused, ended.
//!
//! A rotation begins with a keyring that has a new KEK and a new metadata key, so that nothing new is
//! under the older ones from then on. Then every record under an older key is rewritten, silently:
//! no event, and no resource version that clients see. Each record names its key, so the store itself
//! says how far that has come, and whoever goes on begins by looking. When a scan of everything finds
//! nothing under an older key, those keys leave the keyring, for good.

mod census;
mod pass;
mod views;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use authz::{Administer, Basis, Permit, WholeStore};
use crypto::Keyring;
use domain::Timestamp;
use parking_lot::Mutex;
use store::{
    Commit, Engine, Key, Precondition, RotationReason, RotationRecord, RotationState, Stored,
};
use tokio::sync::Notify;

use crate::{Vault, VaultError, tokens};

pub(crate) use census::{Census, UNREADABLE};
use pass::Ended;
pub use pass::Pace;
pub(crate) use pass::pass;
pub use views::{KekView, KeysView, NewRoot, NewRotation, RotationView, SlotView};

/// How many metadata keys stay after a rotation that does not seal records anew. Were there no bound,
/// a keyring of frequent rotations would be full one day.
const METADATA_KEYS: u32 = 8;
/// How many passes over the store may find nothing left to rewrite, while something is left.
const IDLE_PASSES: u32 = 2;

/// What this process knows of a rotation.
#[derive(Default)]
pub(crate) struct Progress {
    /// One act on the rotation's record at a time.
    acting: Mutex<()>,
    /// One pass at a time.
    running: Mutex<()>,
    /// Tells whoever runs rotations that there is one to run, or that one may be due.
    wanted: Notify,
    /// Tells the pass to stop.
    pausing: AtomicBool,
    /// How many records are still under older keys; counted when a pass begins.
    left: AtomicU64,
    /// Whether that was counted.
    counted: AtomicBool,
    /// How many records the last run could not rewrite.
    stuck: AtomicU64,
}

impl Progress {
    fn set_left(&self, left: u64) {
        self.left.store(left, Ordering::Relaxed);
        self.counted.store(true, Ordering::Release);
    }

    fn less(&self, seals: usize) {
        // A record that appears twice, as one that was moved, must not count below nothing.
        let less = |left: u64| Some(left.saturating_sub(seals as u64));
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    fn known_left(&self) -> Option<u64> {
        self.counted.load(Ordering::Acquire).then(|| self.left.load(Ordering::Relaxed))
    }
}

impl Vault {
    /// Begins a rotation: from when this returns, everything new is under new keys. The rest is done
    /// by [`Vault::run_rotation`], which the daemon calls.
    ///
    /// # Errors
    /// When one is under way, or the keyring file cannot be written; nothing is changed then.
    pub fn begin_rotation(
        &self,
        permit: &Permit<Administer, WholeStore>,
        wanted: &NewRotation,
    ) -> Result<RotationView, VaultError> {
        self.begin(wanted, RotationReason::Operator, &permit.basis())
    }

    /// The same for whoever holds the root key and the data directory, without a daemon.
    ///
    /// # Errors
    /// As [`Vault::begin_rotation`].
    pub fn begin_operators_rotation(
        &self,
        wanted: &NewRotation,
    ) -> Result<RotationView, VaultError> {
        self.begin(wanted, RotationReason::Operator, &Basis::default())
    }

    /// Begins a rotation when the keys have become as old, or were used as often, as the settings
    /// allow; says so if it did.
    ///
    /// # Errors
    /// As [`Vault::begin_rotation`].
    pub fn begin_due_rotation(&self) -> Result<Option<RotationView>, VaultError> {
        let last = self.rotation_record()?;
        if last.as_ref().is_some_and(|(last, _)| last.state != RotationState::Done) {
            return Ok(None);
        }
        // What a rotation itself takes must not make the next one due.
        let own = last.map_or(0, |(last, _)| last.total.saturating_mul(2));
        let keyring = self.keyring();
        let made = keyring.kek_infos().into_iter().find(|kek| kek.is_current);
        let age = made.map_or(0, |kek| self.clock.now().seconds_since(kek.created_at));
        let reason = if keyring.uses() >= self.settings.rotate_after_uses.max(own) {
            RotationReason::Uses
        } else if (1..=age).contains(&self.settings.rotate_after_seconds) {
            RotationReason::Age
        } else {
            return Ok(None);
        };
        self.begin(&NewRotation::default(), reason, &Basis::default()).map(Some)
    }

    /// Why no rotation could be begun now, if so; for whoever has something to make before.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn rotation_in_the_way(&self) -> Result<Option<VaultError>, VaultError> {
        Ok(self.rotation_under_way()?.map(|(record, _)| VaultError::RotationUnderWay {
            paused: record.state == RotationState::Paused,
        }))
    }

    fn begin(
        &self,
        wanted: &NewRotation,
        reason: RotationReason,
        basis: &Basis,
    ) -> Result<RotationView, VaultError> {
        let _one_at_a_time = self.keys.progress.acting.lock();
        if let Some(in_the_way) = self.rotation_in_the_way()? {
            return Err(in_the_way);
        }
        let last = self.rotation_record()?;
        let (now, keyring) = (self.clock.now(), self.keyring());
        let next = match &wanted.new_root {
            Some(root) => keyring.with_root_added(root.unlock(), now)?.rotated(now)?,
            None => keyring.rotated(now)?,
        };
        let record = RotationRecord {
            reason,
            reseal: wanted.reseal,
            metadata_from: oldest_kept(&next, wanted.reseal),
            total: 0,
            ..record_of(&next, now)
        };
        // Everything that is there now; what comes is under the new keys.
        let total = self.count_older(&record, &next)?;
        let record = RotationRecord { total, ..record };
        let mut commit = Commit::default();
        put_record(&mut commit, &record, last.map(|(_, stored)| stored).as_ref());
        tokens::require_grounds(&mut commit, basis);
        self.replace_keyring(next, commit)?;
        let progress = &self.keys.progress;
        progress.set_left(total);
        progress.stuck.store(0, Ordering::Relaxed);
        progress.pausing.store(false, Ordering::Relaxed);
        progress.wanted.notify_one();
        Ok(self.view_of(&record, total))
    }

    /// Has the rotation stop where it is, until it is resumed. New records are under the new keys all
    /// the same, and the older ones are kept.
    ///
    /// # Errors
    /// When none is under way.
    pub fn pause_rotation(
        &self,
        permit: &Permit<Administer, WholeStore>,
    ) -> Result<RotationView, VaultError> {
        self.set_state(RotationState::Paused, &permit.basis())
    }

    /// Has a paused rotation go on.
    ///
    /// # Errors
    /// When none is under way.
    pub fn resume_rotation(
        &self,
        permit: &Permit<Administer, WholeStore>,
    ) -> Result<RotationView, VaultError> {
        self.set_state(RotationState::Running, &permit.basis())
    }

    /// The same as [`Vault::pause_rotation`] for whoever holds the root key and the data directory.
    ///
    /// # Errors
    /// When none is under way.
    pub fn pause_operators_rotation(&self) -> Result<RotationView, VaultError> {
        self.set_state(RotationState::Paused, &Basis::default())
    }

    /// The same as [`Vault::resume_rotation`] for whoever holds the root key and the data directory.
    ///
    /// # Errors
    /// When none is under way.
    pub fn resume_operators_rotation(&self) -> Result<RotationView, VaultError> {
        self.set_state(RotationState::Running, &Basis::default())
    }

    fn set_state(&self, state: RotationState, basis: &Basis) -> Result<RotationView, VaultError> {
        let _one_at_a_time = self.keys.progress.acting.lock();
        let Some((record, stored)) = self.rotation_under_way()? else {
            return Err(VaultError::NoRotation);
        };
        let record = RotationRecord { state, ..record };
        let mut commit = Commit::default();
        put_record(&mut commit, &record, Some(&stored));
        tokens::require_grounds(&mut commit, basis);
        self.engine.commit(commit)?;
        let progress = &self.keys.progress;
        progress.pausing.store(state == RotationState::Paused, Ordering::Relaxed);
        progress.wanted.notify_one();
        Ok(self.view_of(&record, self.left(&record)?))
    }

    /// Completes when there may be a rotation to begin or to go on with.
    pub async fn rotation_wanted(&self) {
        self.keys.progress.wanted.notified().await;
    }

    /// Rewrites what is under older keys and destroys these, until that is done, the rotation is
    /// paused, or `stop` says so; as the rotation then stands, if there was one to run. `seen` is told
    /// of each step.
    ///
    /// # Errors
    /// When records stay under older keys, or the store cannot be written. It can be called again.
    pub fn run_rotation(
        &self,
        pace: Pace,
        stop: &dyn Fn() -> bool,
        seen: &mut dyn FnMut(&RotationView),
    ) -> Result<Option<RotationView>, VaultError> {
        let progress = &self.keys.progress;
        let Some(_the_only_one) = progress.running.try_lock() else { return Ok(None) };
        let (mut idle, mut before, mut ran) = (0, u64::MAX, false);
        loop {
            let under_way = self.rotation_under_way()?;
            let Some((record, _)) = under_way.filter(|(r, _)| r.state == RotationState::Running)
            else {
                return if ran { self.rotation() } else { Ok(None) };
            };
            // What was counted when it was begun need not be counted again before the first pass.
            let known = progress.known_left().filter(|left| !ran && *left > 0);
            let left = match known {
                Some(left) => left,
                None => self.count_older(&record, &self.keyring())?,
            };
            ran = true;
            progress.set_left(left);
            progress.stuck.store(0, Ordering::Relaxed);
            seen(&self.view_of(&record, left));
            if left == 0 {
                return self.destroy_older().map(Some);
            }
            idle = if left < before { 0 } else { idle + 1 };
            if idle >= IDLE_PASSES {
                progress.stuck.store(left, Ordering::Relaxed);
                return Err(VaultError::RotationStuck { left });
            }
            before = left;
            let stopping = || stop() || progress.pausing.load(Ordering::Relaxed);
            let left = || progress.left.load(Ordering::Relaxed);
            let mut told = |vault: &Self| seen(&vault.view_of(&record, left()));
            if pass(self, record, pace, &stopping, &mut told)? == Ended::Stopped && stop() {
                return self.rotation();
            }
        }
    }

    /// Destroys the older keys: a scan found nothing under them, and nothing new can come under them.
    fn destroy_older(&self) -> Result<RotationView, VaultError> {
        let _one_at_a_time = self.keys.progress.acting.lock();
        let Some((record, stored)) = self.rotation_under_way()? else {
            return Err(VaultError::NoRotation);
        };
        if record.state == RotationState::Paused {
            // Paused since the scan: the older keys are kept, as was promised.
            return Ok(self.view_of(&record, 0));
        }
        let keyring = self.keyring();
        let next = keyring.without_older(record.metadata_from)?;
        let done = RotationRecord {
            state: RotationState::Done,
            finished_at: Some(self.clock.now()),
            ..record
        };
        let mut commit = Commit::default();
        put_record(&mut commit, &done, Some(&stored));
        for kek in keyring.kek_infos().iter().filter(|kek| !kek.is_current) {
            commit.remove(Key::key_uses(kek.id.get()));
        }
        self.replace_keyring(next, commit)?;
        self.keys.progress.set_left(0);
        Ok(self.view_of(&done, 0))
    }

    /// Looks whether the keys were used so often that they are due to be changed.
    pub(crate) fn note_uses(&self, keyring: &Keyring) {
        if keyring.uses() >= self.settings.rotate_after_uses {
            self.keys.progress.wanted.notify_one();
        }
    }

    /// How often the current keys were used, as far as this process knows.
    pub fn key_uses(&self) -> u64 {
        self.keyring().uses()
    }

    /// How many records a rotation has still to rewrite, as far as this process has counted them.
    pub fn rotation_left(&self) -> u64 {
        self.keys.progress.known_left().unwrap_or_default()
    }

    fn rotation_record(&self) -> Result<Option<(RotationRecord, Stored)>, VaultError> {
        read_record(self.engine.as_ref())
    }

    pub(crate) fn rotation_under_way(
        &self,
    ) -> Result<Option<(RotationRecord, Stored)>, VaultError> {
        Ok(self.rotation_record()?.filter(|(record, _)| record.state != RotationState::Done))
    }

    fn left(&self, record: &RotationRecord) -> Result<u64, VaultError> {
        match self.keys.progress.known_left() {
            Some(left) => Ok(left),
            None => {
                let left = self.count_older(record, &self.keyring())?;
                // Nothing new comes under older keys, so that one scan is enough for all who ask.
                self.keys.progress.set_left(left);
                Ok(left)
            }
        }
    }
}

fn read_record(engine: &dyn Engine) -> Result<Option<(RotationRecord, Stored)>, VaultError> {
    let Some(stored) = engine.read(&Key::rotation())? else { return Ok(None) };
    let record = RotationRecord::decode(&stored.value).map_err(|_| VaultError::Damaged)?;
    Ok(Some((record, stored)))
}

/// The rotation that a keyring is the beginning of, as far as it says so itself.
fn record_of(keyring: &Keyring, now: Timestamp) -> RotationRecord {
    RotationRecord {
        kek: keyring.current_kek().get(),
        metadata_from: oldest_kept(keyring, false),
        reseal: false,
        state: RotationState::Running,
        reason: RotationReason::Operator,
        started_at: now,
        finished_at: None,
        total: 0,
    }
}

/// The oldest metadata key that stays.
fn oldest_kept(keyring: &Keyring, reseal: bool) -> u32 {
    let newest = keyring.metadata_key_id();
    let kept = if reseal { 1 } else { METADATA_KEYS };
    newest.saturating_sub(kept - 1)
}

fn put_record(commit: &mut Commit, record: &RotationRecord, before: Option<&Stored>) {
    let key = Key::rotation();
    commit.require(match before {
        Some(stored) => Precondition::WrittenAt(key.clone(), stored.written_at),
        None => Precondition::Absent(key.clone()),
    });
    commit.put(key, record.encode());
}

/// What the store has to be told when the keyring file is one generation ahead of it: a power cut fell
/// between the two. With a new KEK a rotation began, and is gone on with; without an old one it ended.
///
/// # Errors
/// When records of the store are under keys that the file does not have: it is another store's time.
pub(crate) fn catch_up(
    engine: &dyn Engine,
    keyring: &Keyring,
    was: Precondition,
) -> Result<Commit, VaultError> {
    let census = Census::take(engine)?;
    let keks: Vec<_> = keyring.kek_infos().iter().map(|kek| kek.id.get()).collect();
    let metadata = keyring.metadata_key_ids();
    let all_in = |counts: &BTreeMap<u32, u64>, ids: &[u32]| {
        counts.keys().all(|id| *id == UNREADABLE || ids.contains(id))
    };
    if !all_in(&census.keks, &keks) || !all_in(&census.metadata, &metadata) {
        return Err(VaultError::KeyringGeneration);
    }
    let mut commit = Commit::default();
    commit.require(was);
    crate::keys::record_generation(&mut commit, keyring);
    let last = read_record(engine)?;
    let kek = keyring.current_kek().get();
    if keyring.kek_infos().len() > 1 && last.as_ref().is_none_or(|(last, _)| last.kek != kek) {
        let now = keyring.kek_infos().last().map(|kek| kek.created_at).unwrap_or_default();
        let record = record_of(keyring, now);
        let record = RotationRecord { total: census.older(&record), ..record };
        put_record(&mut commit, &record, last.map(|(_, stored)| stored).as_ref());
    }
    Ok(commit)
}
