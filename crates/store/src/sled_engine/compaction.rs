//! Compaction: sled does not shrink its file, and what was removed stays legible in it. So all that
//! lives is copied into a new directory, and the old one is removed.
//!
//! The writer does it between groups, a slice at a time, so that nothing is ever copied while it
//! changes. What a group changes in the part that is copied already, it changes in the copy too.
//! When all is copied, both are compared; then `HEAD` names the copy, and from that moment on it is
//! the store. Until then a kill leaves the store as it was, and the next start removes the copy.

use std::time::Instant;

use super::tree::Tree;
use crate::engine::StoreError;

/// What one slice copies or compares: a few milliseconds, which a commit may have to wait for. With
/// smaller ones, what is written meanwhile would make the copy longer than what lives in it; and a
/// group, which may append a commit of 1.25 MiB, must be less than one, or none would be the last.
const SLICE_KEYS: usize = 512;
const SLICE_BYTES: u64 = 2 << 20;
/// The copy is synced each time that so much was added, so that the last sync is short.
const SYNC_BYTES: u64 = 8 << 20;

/// How a compaction stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CompactionState {
    /// There was none since the store was opened.
    #[default]
    None,
    /// It is under way.
    Running,
    /// It has ended, and the old files are gone.
    Done,
    /// It was given up, for this reason; the store is as it was.
    Failed(String),
}

/// The last compaction since the store was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactionView {
    /// How it stands.
    pub state: CompactionState,
    /// How many there were since the store was opened, this one included.
    pub count: u64,
    /// The bytes that are copied and compared.
    pub done_bytes: u64,
    /// The bytes to be copied and compared, as they were when it began.
    pub total_bytes: u64,
    /// How long the data file was.
    pub file_bytes_before: u64,
    /// How long it is now; zero until it is done.
    pub file_bytes_after: u64,
}

/// One that is under way.
pub(super) struct Compaction {
    to: Tree,
    phase: Phase,
    /// The last key that this phase is done with.
    through: Option<Vec<u8>>,
    unsynced: u64,
    pub(super) began: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Copying,
    Comparing,
}

/// What came of a slice.
pub(super) enum Slice {
    /// So many bytes were copied or compared, and there is more.
    More(u64),
    /// Copy and store are equal.
    Equal,
    /// The disk has no room for the copy.
    Full,
    /// The store, and not the copy, met an error.
    Unreadable(StoreError),
}

impl Compaction {
    pub(super) fn new(to: Tree, began: Instant) -> Self {
        Self { to, phase: Phase::Copying, through: None, unsynced: 0, began }
    }

    /// The last key that the copy holds for good, if it holds any. While both are compared, it holds
    /// all.
    pub(super) fn copied(&self) -> Option<&[u8]> {
        match self.phase {
            Phase::Copying => self.through.as_deref(),
            // No key begins with this byte.
            Phase::Comparing => Some(&[u8::MAX]),
        }
    }

    /// Changes in the copy what a group has changed in the store.
    pub(super) fn follow(&mut self, batch: sled::Batch, keys: usize) -> Result<bool, StoreError> {
        if keys == 0 {
            return Ok(true);
        }
        if !ensure(&self.to, keys)? {
            return Ok(false);
        }
        self.to.raw.apply(batch)?;
        Ok(true)
    }

    /// Copies or compares the next keys.
    pub(super) fn step(&mut self, from: &Tree) -> Result<Slice, StoreError> {
        match self.phase {
            Phase::Copying => self.copy(from),
            Phase::Comparing => self.compare(from),
        }
    }

    fn copy(&mut self, from: &Tree) -> Result<Slice, StoreError> {
        if !ensure(&self.to, SLICE_KEYS)? {
            return Ok(Slice::Full);
        }
        let mut batch = sled::Batch::default();
        let mut slice = Extent::default();
        for entry in from.raw.behind(self.through.as_deref()) {
            let (key, value) = match entry {
                Ok(entry) => entry,
                Err(error) => return Ok(Slice::Unreadable(error)),
            };
            let full = slice.add(&key, &value);
            batch.insert(key, value);
            if full {
                break;
            }
        }
        self.to.raw.apply(batch)?;
        self.unsynced += slice.bytes;
        if self.unsynced >= SYNC_BYTES {
            self.to.sync()?;
            self.unsynced = 0;
        }
        // The last slice is the one that met the end: waiting for an empty one might take for ever,
        // since each commit appends its events.
        if slice.is_full() {
            self.through = slice.last;
        } else {
            (self.phase, self.through) = (Phase::Comparing, None);
        }
        Ok(Slice::More(slice.bytes))
    }

    fn compare(&mut self, from: &Tree) -> Result<Slice, StoreError> {
        let mut copies = self.to.raw.behind(self.through.as_deref());
        let mut slice = Extent::default();
        for entry in from.raw.behind(self.through.as_deref()) {
            let (key, value) = match entry {
                Ok(entry) => entry,
                Err(error) => return Ok(Slice::Unreadable(error)),
            };
            let full = slice.add(&key, &value);
            if copies.next().transpose()? != Some((key, value)) {
                return Err(differs());
            }
            if full {
                self.through = slice.last;
                return Ok(Slice::More(slice.bytes));
            }
        }
        if copies.next().is_some() { Err(differs()) } else { Ok(Slice::Equal) }
    }

    /// The copy, made durable, to take the store's place; nothing may be committed in between.
    pub(super) fn finish(&self) -> Result<(), StoreError> {
        if self.to.has_blobs().map_err(|error| failed(&error))? {
            return Err(StoreError::Failed { reason: "the copy has a blob file".to_owned() });
        }
        self.to.sync_all()
    }

    pub(super) fn into_copy(self) -> Tree {
        self.to
    }
}

/// How far a slice has come.
#[derive(Default)]
struct Extent {
    keys: usize,
    bytes: u64,
    last: Option<Vec<u8>>,
}

impl Extent {
    /// Adds an entry; whether that makes the slice full.
    fn add(&mut self, key: &[u8], value: &[u8]) -> bool {
        self.keys += 1;
        self.bytes += (key.len() + value.len()) as u64;
        if self.is_full() {
            self.last = Some(key.to_vec());
        }
        self.is_full()
    }

    const fn is_full(&self) -> bool {
        self.keys == SLICE_KEYS || self.bytes >= SLICE_BYTES
    }
}

fn ensure(tree: &Tree, keys: usize) -> Result<bool, StoreError> {
    tree.ensure(keys).map_err(|error| failed(&error))
}

fn failed(error: &std::io::Error) -> StoreError {
    StoreError::Failed { reason: error.to_string() }
}

fn differs() -> StoreError {
    StoreError::Failed { reason: "the copy is not what was copied".to_owned() }
}
