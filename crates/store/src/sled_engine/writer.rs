//! The one writer thread: it drains the queue into a group, checks each commit against what stands
//! before it, applies all of them as one batch, makes the batch durable once, and only then shows
//! and answers any of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use domain::Revision;

use super::head_file::{Head, HeadFile};
use super::meta::{Meta, encode_event};
use super::raw::Raw;
use super::reserve::Reserve;
use super::{Shared, StepHook};
use crate::engine::{Commit, CommitError, Precondition, StoreError, Stored};
use crate::key::{Key, KeyRange};

const GROUP_COMMITS: usize = 64;
const GROUP_RECORDS: usize = 256;
const GROUP_BYTES: usize = 1 << 20;
/// How many of the oldest events one group removes at most, once too many are kept.
const TRIM_EVENTS: usize = 256;
/// `HEAD` is written after each group and synced this often.
const HEAD_SYNC: Duration = Duration::from_secs(1);

/// What the queue carries.
pub(super) enum Request {
    Commit(Commit, SyncSender<Result<Revision, CommitError>>),
    Stop,
}

/// A point in the life of a group at which a test may look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Applied,
    Synced,
}

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) raw: Raw,
    /// sled's data file, opened once and kept: a reopened descriptor can miss a write-back error.
    pub(super) data: File,
    pub(super) reserve: Reserve,
    pub(super) head: HeadFile,
    pub(super) meta: Meta,
    pub(super) keep_events: u64,
    pub(super) hook: StepHook,
}

type Reply = SyncSender<Result<Revision, CommitError>>;
type Queued = (Commit, Reply);

/// The effect of a group while it is put together.
#[derive(Default)]
struct Group {
    /// Each touched record's new state, and the commit and write that made it.
    records: HashMap<Key, (Option<Stored>, (Revision, u16))>,
    answers: Vec<(Reply, Revision)>,
}

impl Writer {
    /// Serves the queue until it is told to stop or everyone is gone.
    pub(super) fn run(mut self, queue: &Receiver<Request>) {
        let mut carried: Option<Queued> = None;
        let mut head_synced = Instant::now();
        let mut head_dirty = false;
        loop {
            let first = match carried.take() {
                Some(queued) => queued,
                None => match queue.recv_timeout(HEAD_SYNC) {
                    Ok(Request::Commit(commit, reply)) => (commit, reply),
                    Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                    Err(RecvTimeoutError::Timeout) => {
                        self.sync_head(&mut head_dirty, &mut head_synced);
                        continue;
                    }
                },
            };
            let (group, next, stop) = drain(first, queue);
            carried = next;
            head_dirty |= self.serve(group);
            if head_synced.elapsed() >= HEAD_SYNC {
                self.sync_head(&mut head_dirty, &mut head_synced);
            }
            if stop && carried.is_none() {
                break;
            }
        }
        self.sync_head(&mut head_dirty, &mut head_synced);
    }

    fn sync_head(&mut self, dirty: &mut bool, last: &mut Instant) {
        if std::mem::take(dirty)
            && let Err(error) = self.head.sync()
        {
            self.shared.fail(&format!("HEAD could not be synced: {error}"));
        }
        *last = Instant::now();
    }

    /// Serves one group; says whether anything was committed.
    fn serve(&mut self, queued: Vec<Queued>) -> bool {
        if let Some(error) = self.shared.failure() {
            refuse(queued, &CommitError::Store(error));
            return false;
        }
        match self.reserve.ensure() {
            Ok(true) => {}
            Ok(false) => {
                refuse(queued, &CommitError::StorageFull);
                return false;
            }
            Err(error) => {
                self.shared.fail(&format!("disk space could not be reserved: {error}"));
                return self.serve(queued);
            }
        }
        let before = self.meta;
        let mut group = Group::default();
        for (commit, reply) in queued {
            match self.admit(&mut group, commit) {
                Ok(revision) => group.answers.push((reply, revision)),
                Err(error) => answer(&reply, Err(error)),
            }
        }
        if group.answers.is_empty() {
            return false;
        }
        match self.persist(&group) {
            Ok(()) => {
                for (reply, revision) in &group.answers {
                    answer(reply, Ok(*revision));
                }
                true
            }
            Err(error) => {
                self.meta = before;
                self.shared.fail(&error.to_string());
                for (reply, _) in &group.answers {
                    answer(reply, Err(CommitError::Store(error.clone())));
                }
                false
            }
        }
    }

    /// Checks a commit against everything before it, and adds it to the group.
    fn admit(&mut self, group: &mut Group, commit: Commit) -> Result<Revision, CommitError> {
        for (index, precondition) in commit.preconditions.iter().enumerate() {
            let found = self.changed_at(group, precondition.key())?;
            let holds = match precondition {
                Precondition::Absent(_) => found.is_none(),
                Precondition::ChangedAt(_, revision) => found == Some(*revision),
            };
            if !holds {
                return Err(CommitError::Conflict { index });
            }
        }
        let revision = self.meta.revision.next();
        let silent = commit.events.is_empty();
        let mut records = Vec::with_capacity(commit.writes.len());
        for (write, (key, value)) in (0u16..).zip(commit.writes) {
            let kept = if silent { self.changed_at(group, &key)? } else { None };
            let changed_at = kept.unwrap_or(revision);
            let stored = value.map(|value| Stored { value, changed_at });
            records.push((key, (stored, (revision, write))));
        }
        group.records.extend(records);
        for (index, event) in (0u16..).zip(&commit.events) {
            let value = encode_event(self.meta.last_event, event);
            let stored = Stored { value, changed_at: revision };
            // Events have a key of their own, out of the way of the numbers of writes.
            group.records.insert(Key::event(revision, index), (Some(stored), (revision, u16::MAX)));
            self.meta.last_event = revision;
            self.meta.log_count += 1;
        }
        self.meta.revision = revision;
        Ok(revision)
    }

    fn changed_at(&self, group: &Group, key: &Key) -> Result<Option<Revision>, CommitError> {
        match group.records.get(key) {
            Some((stored, _)) => Ok(stored.as_ref().map(|stored| stored.changed_at)),
            None => self.raw.changed_at(key).map_err(CommitError::Store),
        }
    }

    /// Makes a group durable, then visible.
    fn persist(&mut self, group: &Group) -> Result<(), StoreError> {
        let trimmed = self.trim()?;
        let mut batch = sled::Batch::default();
        let mut old = HashMap::with_capacity(group.records.len());
        for (key, (stored, origin)) in &group.records {
            if let Entry::Vacant(vacant) = old.entry(key.clone()) {
                vacant.insert(self.raw.get(key)?);
            }
            match stored {
                Some(stored) => self.raw.stage_put(&mut batch, key, stored, *origin)?,
                None => self.raw.stage_remove(&mut batch, key)?,
            }
        }
        for (key, stored) in trimmed {
            self.raw.stage_remove(&mut batch, &key)?;
            old.insert(key, Some(stored));
        }
        let meta = Stored { value: self.meta.encode(), changed_at: self.meta.revision };
        self.raw.stage_put(&mut batch, &Meta::key(), &meta, (self.meta.revision, u16::MAX))?;

        // sled shows a batch at once. Until it is durable, readers are shown these instead.
        self.shared.publish_overlay(old);
        self.raw.apply(batch)?;
        (self.hook)(Step::Applied);
        self.raw.flush()?;
        rustix::fs::fdatasync(&self.data)
            .map_err(|error| StoreError::Failed { reason: format!("fdatasync: {error}") })?;
        let head = Head {
            store: self.meta.store,
            incarnation: self.meta.incarnation,
            revision: self.meta.revision,
        };
        self.head
            .write(&head)
            .map_err(|error| StoreError::Failed { reason: format!("HEAD: {error}") })?;
        (self.hook)(Step::Synced);
        self.shared.show(&self.meta);
        Ok(())
    }

    /// The oldest events to be removed with this group, when too many are kept; whole commits, and
    /// never the newest.
    fn trim(&mut self) -> Result<Vec<(Key, Stored)>, StoreError> {
        if self.meta.log_count <= self.keep_events {
            return Ok(Vec::new());
        }
        let surplus = usize::try_from(self.meta.log_count - self.keep_events).unwrap_or(usize::MAX);
        let range = KeyRange::events(self.meta.log_floor);
        let oldest = self.raw.range(&range).take(surplus.min(TRIM_EVENTS) + 1);
        let mut oldest = oldest.collect::<Result<Vec<_>, _>>()?;
        // The last commit in hand may go on behind it: leave it whole for the next group.
        let Some(last) = oldest.last().map(|(_, stored)| stored.changed_at) else {
            return Ok(Vec::new());
        };
        oldest.retain(|(_, stored)| stored.changed_at < last);
        if let Some((_, newest)) = oldest.last() {
            self.meta.log_floor = newest.changed_at;
            self.meta.log_count -= oldest.len() as u64;
        }
        Ok(oldest)
    }
}

/// Takes what is queued, up to the size of a group. A commit that no longer fits is carried over.
fn drain(first: Queued, queue: &Receiver<Request>) -> (Vec<Queued>, Option<Queued>, bool) {
    let weigh = |commit: &Commit| (commit.writes.len() + commit.events.len(), commit.size());
    let (mut records, mut bytes) = weigh(&first.0);
    let mut group = vec![first];
    while group.len() < GROUP_COMMITS {
        let (commit, reply) = match queue.try_recv() {
            Ok(Request::Commit(commit, reply)) => (commit, reply),
            Ok(Request::Stop) => return (group, None, true),
            Err(_) => break,
        };
        let (more_records, more_bytes) = weigh(&commit);
        if records + more_records > GROUP_RECORDS || bytes + more_bytes > GROUP_BYTES {
            return (group, Some((commit, reply)), false);
        }
        records += more_records;
        bytes += more_bytes;
        group.push((commit, reply));
    }
    (group, None, false)
}

fn refuse(queued: Vec<Queued>, error: &CommitError) {
    for (_, reply) in queued {
        answer(&reply, Err(error.clone()));
    }
}

/// A caller that went away has no use for its answer; the commit stands either way.
fn answer(reply: &Reply, result: Result<Revision, CommitError>) {
    let _ = reply.send(result);
}
