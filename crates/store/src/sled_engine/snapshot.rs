//! The state at one commit, while commits go on: what a backup is taken of.
//!
//! The keyspace is read from its beginning to its end, a page at a time. What a group replaces behind
//! the last page is kept as it was, by the writer, until the backup takes it; what the backup then
//! finds to be written after its commit, it passes over.

use std::io::Write;
use std::sync::Arc;

use domain::{ResourceVersion, Revision, Timestamp};
use parking_lot::Mutex;

use super::SledEngine;
use super::meta::Meta;
use crate::backup::{BackupError, BackupHeader, BackupSummary, BackupWriter};
use crate::engine::{StoreError, Stored};
use crate::key::{Key, KeyRange};

/// The most bytes of replaced records that wait for a backup to take them.
const KEEP_BYTES: usize = 64 << 20;
/// Records of a page. They are as long as 1 MiB, and all of them are in memory.
const PAGE: usize = 16;
/// How often the keyring may be replaced while a backup begins.
const KEYRING_TRIES: usize = 100;

/// What the writer keeps for a backup that is under way.
pub(super) struct Snapshot {
    at: Revision,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The last key that was read.
    through: Option<Key>,
    /// Replaced records that are to be taken, as they were.
    replaced: Vec<(Key, Stored)>,
    bytes: usize,
    outrun: bool,
}

impl Snapshot {
    /// Keeps a record that a group is about to replace or remove.
    pub(super) fn keep(&self, key: &Key, old: &Stored) {
        let mut state = self.state.lock();
        let taken = state.through.as_ref().is_some_and(|through| key <= through);
        if taken || old.written_at > self.at || state.outrun {
            return;
        }
        state.bytes += key.as_bytes().len() + old.value.len();
        if state.bytes > KEEP_BYTES {
            state.outrun = true;
            state.replaced = Vec::new();
            return;
        }
        state.replaced.push((key.clone(), old.clone()));
    }

    /// What was kept since it was last asked.
    fn take(&self) -> Result<Vec<(Key, Stored)>, BackupError> {
        let mut state = self.state.lock();
        state.bytes = 0;
        if state.outrun {
            Err(BackupError::Outrun)
        } else {
            Ok(std::mem::take(&mut state.replaced))
        }
    }
}

impl SledEngine {
    /// Begins to keep what is replaced; with the state of now.
    fn begin_snapshot(&self) -> (Arc<Snapshot>, Meta) {
        let mut visible = self.shared.visible.write();
        let meta = visible.meta;
        let snapshot = Arc::new(Snapshot { at: meta.revision, state: Mutex::default() });
        // The group in flight is not in that state, and has published what it replaces already.
        for (key, old) in &visible.overlay {
            old.iter().for_each(|old| snapshot.keep(key, old));
        }
        visible.snapshots.push(snapshot.clone());
        (snapshot, meta)
    }

    fn end_snapshot(&self, snapshot: &Arc<Snapshot>) {
        self.shared.visible.write().snapshots.retain(|kept| !Arc::ptr_eq(kept, snapshot));
    }

    /// The next page, and whether there is another. What was written since is left out.
    fn snapshot_page(
        &self,
        snapshot: &Snapshot,
        range: &KeyRange,
    ) -> Result<(Vec<(Key, Stored)>, bool), StoreError> {
        // The writer publishes what it replaces under the same lock: it either finds the page behind
        // `through` or has kept the records for us.
        let visible = self.shared.visible.read();
        if let Some(reason) = &visible.failure {
            return Err(StoreError::Failed { reason: reason.clone() });
        }
        let (records, more) = visible.range(range, PAGE)?;
        if let Some((last, _)) = records.last() {
            snapshot.state.lock().through = Some(last.clone());
        }
        Ok((records, more))
    }

    pub(super) fn write_snapshot(
        &self,
        since: Option<ResourceVersion>,
        created_at: Timestamp,
        out: &mut dyn Write,
        told: &mut dyn FnMut(u64, u64),
    ) -> Result<BackupSummary, BackupError> {
        let (snapshot, meta, keyring) = self.snapshot_with_keyring()?;
        let done = self.write_backup(&snapshot, &meta, since, created_at, keyring, out, told);
        self.end_snapshot(&snapshot);
        done
    }

    /// The keyring of a moment later may have lost keys that the state of now needs, so it is read
    /// before and after.
    fn snapshot_with_keyring(&self) -> Result<(Arc<Snapshot>, Meta, Vec<u8>), BackupError> {
        let read = || {
            let keyring = self.dir.read_keyring().ok().flatten();
            keyring.ok_or(StoreError::Keyring { reason: "it cannot be read".to_owned() })
        };
        for _ in 0..KEYRING_TRIES {
            let before = read()?;
            let (snapshot, meta) = self.begin_snapshot();
            if read().is_ok_and(|after| after == before) {
                return Ok((snapshot, meta, before));
            }
            self.end_snapshot(&snapshot);
        }
        Err(BackupError::Keyring)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "it is one act, cut in two for the end of the snapshot"
    )]
    fn write_backup(
        &self,
        snapshot: &Snapshot,
        meta: &Meta,
        since: Option<ResourceVersion>,
        created_at: Timestamp,
        keyring: Vec<u8>,
        out: &mut dyn Write,
        told: &mut dyn FnMut(u64, u64),
    ) -> Result<BackupSummary, BackupError> {
        let now = ResourceVersion::new(meta.incarnation, meta.revision);
        if let Some(since) = since
            && (since.incarnation() != meta.incarnation || since > now)
        {
            return Err(BackupError::NotOurs { since, now });
        }
        let since = since.map(ResourceVersion::revision);
        let header = BackupHeader {
            store: meta.store,
            incarnation: meta.incarnation,
            revision: meta.revision,
            since,
            created_at,
            last_event: meta.last_event,
            log_floor: meta.log_floor,
            log_count: meta.log_count,
            anchor: meta.anchor,
            keyring,
        };
        let mut out = BackupWriter::begin(out, &header)?;
        let mut done = 0;
        let mut add = |key: &Key, stored: &Stored| {
            done += (key.as_bytes().len() + stored.value.len()) as u64;
            told(done, meta.live_bytes);
            match since {
                Some(since) if stored.written_at <= since => out.kept(key, stored.written_at),
                _ => out.record(key, stored),
            }
        };
        let (mut range, mut more) = (KeyRange::records().after(&Meta::key()), true);
        while more {
            let page = self.snapshot_page(snapshot, &range);
            let (records, further) = self.shared.note(page)?;
            // A record that is in both was replaced after it was read: it is the same in both.
            for (key, old) in snapshot.take()? {
                add(&key, &old)?;
            }
            for (key, stored) in
                records.iter().filter(|(_, stored)| stored.written_at <= snapshot.at)
            {
                add(key, stored)?;
            }
            if let Some((last, _)) = records.last() {
                range = range.after(last);
            }
            more = further;
        }
        for (key, old) in snapshot.take()? {
            add(&key, &old)?;
        }
        out.finish()
    }
}
