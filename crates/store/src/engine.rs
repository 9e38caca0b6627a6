//! What a store engine is: one ordered keyspace, all-or-nothing commits, and a log of events.
//!
//! Calls block and belong on a thread that may; nothing here is async, except that a watcher can
//! await the next revision.

use std::io::Write;

use domain::{ResourceVersion, Revision, Timestamp};
use tokio::sync::watch;

use crate::backup::{BackupError, BackupSummary};
use crate::{CompactionView, Key, KeyRange};

/// The most writes in one commit: what a transaction of etcd takes, with room to spare.
pub const MAX_COMMIT_WRITES: usize = 100;
/// The most preconditions of one commit.
pub const MAX_COMMIT_PRECONDITIONS: usize = 100;
/// The most bytes of keys, values and events in one commit.
pub const MAX_COMMIT_BYTES: usize = 1_310_720;

/// A record's value, and which commits it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The value's bytes.
    pub value: Vec<u8>,
    /// The commit that last changed the record as clients see it; silent commits do not count.
    pub changed_at: Revision,
    /// The commit that last wrote the record, silently or not.
    pub written_at: Revision,
}

/// What must hold for a commit to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// There is no such record.
    Absent(Key),
    /// The record was last changed by that commit; it may have been rewritten silently since.
    ChangedAt(Key, Revision),
    /// The record was last written by that commit: what a silent commit rests on.
    WrittenAt(Key, Revision),
}

impl Precondition {
    /// The record it is about.
    pub const fn key(&self) -> &Key {
        match self {
            Self::Absent(key) | Self::ChangedAt(key, _) | Self::WrittenAt(key, _) => key,
        }
    }
}

/// An act on the store: all of it happens, durably, or none of it.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// What must hold.
    pub preconditions: Vec<Precondition>,
    /// What is put, or removed where there is no value. Each key appears once.
    pub writes: Vec<(Key, Option<Vec<u8>>)>,
    /// What watchers are told, encoded. A commit without events is *silent*: a record that it
    /// rewrites keeps the revision that clients see.
    pub events: Vec<Vec<u8>>,
}

impl Commit {
    /// Adds a precondition.
    pub fn require(&mut self, precondition: Precondition) -> &mut Self {
        self.preconditions.push(precondition);
        self
    }

    /// Adds a put.
    pub fn put(&mut self, key: Key, value: Vec<u8>) -> &mut Self {
        self.writes.push((key, Some(value)));
        self
    }

    /// Adds a removal.
    pub fn remove(&mut self, key: Key) -> &mut Self {
        self.writes.push((key, None));
        self
    }

    /// Adds an event.
    pub fn tell(&mut self, event: Vec<u8>) -> &mut Self {
        self.events.push(event);
        self
    }

    /// Adds all of another commit, whose keys are others.
    pub fn append(&mut self, other: Self) -> &mut Self {
        self.preconditions.extend(other.preconditions);
        self.writes.extend(other.writes);
        self.events.extend(other.events);
        self
    }

    /// The bytes it brings.
    pub fn size(&self) -> usize {
        let writes = self.writes.iter();
        let written: usize = writes
            .map(|(key, value)| key.as_bytes().len() + value.as_ref().map_or(0, Vec::len))
            .sum();
        written + self.events.iter().map(Vec::len).sum::<usize>()
    }
}

/// A part of a scan.
#[derive(Clone, Debug)]
pub struct Page {
    /// The records, in the order of their keys.
    pub records: Vec<(Key, Stored)>,
    /// The revision at which all of them were read.
    pub at: Revision,
    /// Whether the range goes on behind the last record.
    pub more: bool,
}

/// One event of the change log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The commit that it belongs to.
    pub revision: Revision,
    /// Its place in that commit.
    pub index: u16,
    /// What the commit said.
    pub bytes: Vec<u8>,
}

/// Events in order; a commit's events are never torn apart.
#[derive(Clone, Debug)]
pub struct EventPage {
    /// The events.
    pub events: Vec<Event>,
    /// Everything up to here has been delivered: resume after it.
    pub through: Revision,
}

/// The log no longer reaches back that far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("events after that revision are no longer kept; the oldest resumable revision is {oldest}")]
pub struct EventsGone {
    /// The oldest revision after which all events are kept.
    pub oldest: Revision,
}

/// Why the store cannot be read or written. None of them carries a value.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// A record is not what its format says.
    #[error(
        "a stored record is damaged ({what}); run `tresor verify` on a copy of the data directory"
    )]
    Damaged {
        /// Which kind of record.
        what: &'static str,
    },
    /// The keyring file was not replaced.
    #[error("the keyring file cannot be written: {reason}; the keys in use are those of before")]
    Keyring {
        /// What the system says.
        reason: String,
    },
    /// The engine met an error that it cannot reason about, and stopped.
    #[error("the store has stopped: {reason}; restart the daemon, which checks the store again")]
    Failed {
        /// What happened.
        reason: String,
    },
}

/// Why a commit was not applied. Nothing of it happened, except where [`CommitError::Store`] says
/// that the engine failed: then it is unknown until the store was opened again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// A precondition did not hold.
    #[error("a record changed meanwhile")]
    Conflict {
        /// The first precondition that did not hold.
        index: usize,
    },
    /// The disk has no room for it.
    #[error("the disk is full")]
    StorageFull,
    /// The store cannot be written.
    #[error("the store cannot be written")]
    Store(#[source] StoreError),
    /// It is larger than a commit may be.
    #[error("the commit is too large")]
    TooLarge,
}

/// A store engine.
pub trait Engine: Send + Sync {
    /// One record, as of the last durable commit.
    ///
    /// # Errors
    /// When the engine has failed or the record is damaged.
    fn read(&self, key: &Key) -> Result<Option<Stored>, StoreError>;

    /// The first records of a range, at most `limit`, all as of one revision.
    ///
    /// # Errors
    /// When the engine has failed or a record is damaged.
    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Page, StoreError>;

    /// Applies a commit and returns when it is durable.
    ///
    /// # Errors
    /// Says why nothing was applied; see [`CommitError`].
    fn commit(&self, commit: Commit) -> Result<Revision, CommitError>;

    /// Keeps a keyring file with the store, in place of the one before: when this returns, the new
    /// one is what a power cut leaves.
    ///
    /// # Errors
    /// When it cannot be written; the one before is then untouched.
    fn write_keyring(&self, bytes: &[u8]) -> Result<(), StoreError>;

    /// Why writes are refused, if they are until the store is opened again.
    fn failure(&self) -> Option<StoreError>;

    /// The last durable revision.
    fn revision(&self) -> Revision;

    /// Events after a revision, at most about `limit`, in whole commits.
    ///
    /// # Errors
    /// [`EventsGone`] inside when the log no longer reaches back that far.
    fn events_after(
        &self,
        after: Revision,
        limit: usize,
    ) -> Result<Result<EventPage, EventsGone>, StoreError>;

    /// Begins a compaction, unless one is under way: afterwards nothing of what was removed before it
    /// began is in the data files, and they are as small as they can be. Reads and commits go on.
    ///
    /// # Errors
    /// When the engine has failed.
    fn begin_compaction(&self) -> Result<CompactionView, StoreError>;

    /// How the last compaction since the start stands, whether it was asked for or began by itself.
    fn compaction(&self) -> CompactionView;

    /// Writes a backup of the state at one commit, while commits go on: whole, or what was written since
    /// `since`. `told` is called with the bytes that are read and with how many there are.
    ///
    /// # Errors
    /// See [`BackupError`]; what was written to `out` is then no backup, and is not taken for one.
    fn back_up(
        &self,
        since: Option<ResourceVersion>,
        created_at: Timestamp,
        out: &mut dyn Write,
        told: &mut dyn FnMut(u64, u64),
    ) -> Result<BackupSummary, BackupError>;

    /// A receiver that sees each newly durable revision; intermediate ones may be skipped.
    fn revisions(&self) -> watch::Receiver<Revision>;
}
