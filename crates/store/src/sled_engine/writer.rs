//! The one writer thread: it drains the queue into a group, checks each commit against what stands
//! before it, applies all of them as one batch, makes the batch durable once, and only then shows
//! and answers any of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use domain::{Anchor, Revision};

use super::compaction::{Compaction, CompactionState, CompactionView, Slice};
use super::data_dir::DataDir;
use super::head_file::{Head, HeadFile};
use super::meta::{Meta, encode_event};
use super::raw::{Found, Staged, chunks_of};
use super::tree::Tree;
use super::{Shared, SledOptions, StepHook, chain, reason};
use crate::engine::{Commit, CommitError, Precondition, StoreError, Stored};
use crate::key::{Key, KeyRange};

const GROUP_COMMITS: usize = 64;
const GROUP_RECORDS: usize = 256;
const GROUP_BYTES: usize = 1 << 20;
/// Keys of sled that a group touches: each record, and each chunk of a value that comes or goes.
const GROUP_KEYS: usize = 1024;
/// How many keys of sled the oldest events have that one group removes, once too many are kept:
/// what the flat part of the reserve is for. One commit's events go together all the same.
const TRIM_KEYS: usize = 256;
/// The number that a commit's first event has among its writes; the others count down from there.
/// The one above is the engine's own record's.
const FIRST_EVENT: u16 = u16::MAX - 1;
/// `HEAD` is written after each group and synced this often.
const HEAD_SYNC: Duration = Duration::from_secs(1);

/// The data file is compacted by itself when it is longer than this and than so many times what
/// lives in it. A new copy takes 2.0 to 2.3 times that already: sled writes each leaf several times.
const COMPACT_ABOVE_BYTES: u64 = 6 << 20;
const COMPACT_ABOVE_RATIO: u64 = 3;
/// And when it has grown by so much, as a ratio, since the last compaction ended or was given up.
const COMPACT_AFTER_GROWTH: (u64, u64) = (5, 4);
/// A compaction that begins by itself is followed by a rest of so many times its length. The smallest
/// stores would else be compacted several times a second: sled lets them grow to 10 MiB and little
/// further. Larger ones it lets grow to ten times what lives in them, within a minute of full load.
const REST_OF_SMALL: u32 = 20;
const REST: u32 = 2;
const SMALL_BYTES: u64 = 16 << 20;

/// What the queue carries.
pub(super) enum Request {
    Commit(Commit, SyncSender<Result<Revision, CommitError>>),
    /// Looks whether a compaction is wanted.
    Wake,
    Stop,
}

/// A point in the life of a group at which a test may look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Applied,
    Synced,
    /// A slice of a compaction was copied or compared.
    Slice,
    /// A compaction's copy is whole, and `HEAD` still names the old files.
    Copied,
    /// `HEAD` names the copy.
    Switched,
}

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) dir: Arc<DataDir>,
    pub(super) tree: Tree,
    pub(super) head: HeadFile,
    pub(super) meta: Meta,
    pub(super) options: SledOptions,
    pub(super) hook: StepHook,
    pub(super) compaction: Option<Compaction>,
    /// Removes the files that a compaction replaced or gave up.
    pub(super) removal: Option<JoinHandle<()>>,
    /// How long the data file was after the last compaction.
    pub(super) compacted_bytes: u64,
    /// When the next one may begin by itself.
    pub(super) rest_until: Instant,
}

type Reply = SyncSender<Result<Revision, CommitError>>;
type Queued = (Commit, Reply);

/// The effect of a group while it is put together.
#[derive(Default)]
struct Group {
    /// What the tree has before the group, looked up once for each record.
    known: HashMap<Key, Found>,
    /// Each touched record's new state, and the commit and write that made it.
    records: HashMap<Key, (Option<Stored>, (Revision, u16))>,
    answers: Vec<(Reply, Revision)>,
    /// What conflicts with a commit of this group, with the precondition that does not hold. It is
    /// told when the group is durable: told at once, whoever looks why would find the records as
    /// they were, and try the same again.
    conflicts: Vec<(Reply, usize)>,
}

impl Group {
    /// Answers everyone, once what was committed is durable.
    fn tell(&self) {
        for (reply, revision) in &self.answers {
            answer(reply, Ok(*revision));
        }
        for (reply, index) in &self.conflicts {
            answer(reply, Err(CommitError::Conflict { index: *index }));
        }
    }

    /// Answers everyone that the engine failed.
    fn fail(&self, error: &StoreError) {
        let replies = self.answers.iter().map(|(reply, _)| reply);
        for reply in replies.chain(self.conflicts.iter().map(|(reply, _)| reply)) {
            answer(reply, Err(CommitError::Store(error.clone())));
        }
    }
}

impl Writer {
    /// Serves the queue until it is told to stop or everyone is gone.
    pub(super) fn run(mut self, queue: &Receiver<Request>) {
        let mut carried: Option<Queued> = None;
        let mut head_synced = Instant::now();
        let mut head_dirty = false;
        let _guard = Guard(self.shared.clone());
        loop {
            // A compaction goes on whenever nobody is waiting.
            let patience = if self.compaction.is_some() { Duration::ZERO } else { HEAD_SYNC };
            let next = match carried.take() {
                Some((commit, reply)) => Ok(Request::Commit(commit, reply)),
                None => queue.recv_timeout(patience),
            };
            let mut stop = false;
            match next {
                Ok(Request::Commit(commit, reply)) => {
                    let (group, next, stopped) = self.drain((commit, reply), queue);
                    carried = next;
                    stop = stopped;
                    head_dirty |= self.serve(group);
                }
                Ok(Request::Wake) => {}
                Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if self.compaction.is_some() => {}
                Err(RecvTimeoutError::Timeout) => {
                    self.idle();
                    head_dirty |= self.note_anchor();
                }
            }
            if head_synced.elapsed() >= HEAD_SYNC {
                self.sync_head(&mut head_dirty, &mut head_synced);
            }
            self.compact_when_due();
            if self.shared.compaction_wanted.load(Ordering::Relaxed) {
                self.begin_compaction();
            }
            self.compact_some();
            if stop && carried.is_none() {
                break;
            }
        }
        self.give_compaction_up("the store was closed");
        if let Some(removal) = self.removal.take() {
            // What it could not remove, the next start does.
            let _ = removal.join();
        }
        head_dirty |= self.note_anchor();
        self.sync_head(&mut head_dirty, &mut head_synced);
    }

    /// Takes over how far the audit log has come; says whether that is news.
    fn take_anchor(&mut self) -> bool {
        let told = self.shared.anchors.get().and_then(|source| source());
        let before = self.meta.anchor;
        self.meta.anchor = Anchor::later(before, told);
        self.meta.anchor != before
    }

    /// When nothing is written, the audit log goes on with what is read: `HEAD` follows it. Says
    /// whether it was written.
    fn note_anchor(&mut self) -> bool {
        if self.shared.failure().is_some() || !self.take_anchor() {
            return false;
        }
        match self.head.write(&self.head()) {
            Ok(()) => true,
            Err(error) => {
                self.shared.fail(&format!("HEAD could not be written: {error}"));
                false
            }
        }
    }

    fn head(&self) -> Head {
        let Meta { store, incarnation, revision, anchor, .. } = self.meta;
        Head { store, incarnation, revision, anchor, files: self.tree.number }
    }

    fn sync_head(&mut self, dirty: &mut bool, last: &mut Instant) {
        if std::mem::take(dirty)
            && let Err(error) = self.head.sync()
        {
            self.shared.fail(&format!("HEAD could not be synced: {error}"));
        }
        *last = Instant::now();
    }

    /// Between groups sled tidies its file by itself: keep room for that, and look at its results.
    fn idle(&self) {
        // No room is an answer for the next group, not a failure.
        let _ = self.tree.ensure(0);
        match self.tree.has_blobs() {
            Ok(false) => {}
            Ok(true) => self.shared.fail("sled has moved a node into a blob file"),
            Err(error) => self.shared.fail(&format!("the blob directory cannot be read: {error}")),
        }
    }

    /// Serves one group; says whether anything was committed.
    fn serve(&mut self, Drained { queued, keys, known }: Drained) -> bool {
        if let Some(error) = self.shared.failure() {
            refuse(queued, &CommitError::Store(error));
            return false;
        }
        match self.tree.ensure(keys) {
            Ok(true) => {}
            Ok(false) if self.compaction.is_some() => {
                // The copy has the room that the store needs.
                self.give_compaction_up("the disk is full");
                if let Some(removal) = self.removal.take() {
                    let _ = removal.join();
                }
                return self.serve(Drained { queued, keys, known });
            }
            Ok(false) => {
                refuse(queued, &CommitError::StorageFull);
                return false;
            }
            Err(error) => {
                self.shared.fail(&format!("disk space could not be reserved: {error}"));
                return self.serve(Drained { queued, keys, known });
            }
        }
        let before = self.meta;
        let mut group = Group { known, ..Group::default() };
        for (commit, reply) in queued {
            match self.admit(&mut group, commit) {
                Ok(revision) => group.answers.push((reply, revision)),
                Err(CommitError::Conflict { index }) => group.conflicts.push((reply, index)),
                Err(error) => {
                    if let CommitError::Store(failed) = &error {
                        self.shared.fail(&reason(failed));
                    }
                    answer(&reply, Err(error));
                }
            }
        }
        if let Some(error) = self.shared.failure() {
            self.meta = before;
            group.fail(&error);
            return false;
        }
        if group.answers.is_empty() {
            group.tell();
            return false;
        }
        match self.persist(&mut group) {
            Ok(()) => {
                group.tell();
                true
            }
            Err(error) => {
                self.meta = before;
                self.shared.fail(&reason(&error));
                group.fail(&error);
                false
            }
        }
    }

    /// Checks a commit against everything before it, and adds it to the group.
    fn admit(&mut self, group: &mut Group, commit: Commit) -> Result<Revision, CommitError> {
        for (index, precondition) in commit.preconditions.iter().enumerate() {
            let found = self.revisions(group, precondition.key())?;
            let holds = match precondition {
                Precondition::Absent(_) => found.is_none(),
                Precondition::ChangedAt(_, at) => found.is_some_and(|(changed, _)| changed == *at),
                Precondition::WrittenAt(_, at) => found.is_some_and(|(_, written)| written == *at),
            };
            if !holds {
                return Err(CommitError::Conflict { index });
            }
        }
        let revision = self.meta.revision.next();
        let silent = commit.events.is_empty();
        let mut records = Vec::with_capacity(commit.writes.len());
        for (write, (key, value)) in (0u16..).zip(commit.writes) {
            let kept = if silent { self.revisions(group, &key)? } else { None };
            let changed_at = kept.map_or(revision, |(changed_at, _)| changed_at);
            let stored = value.map(|value| Stored { value, changed_at, written_at: revision });
            records.push((key, (stored, (revision, write))));
        }
        group.records.extend(records);
        for (index, event) in (0u16..).zip(&commit.events) {
            let value = encode_event(self.meta.last_event, event);
            let stored = Stored { value, changed_at: revision, written_at: revision };
            // Chunks of large events are named out of the way of those of writes.
            let origin = (revision, FIRST_EVENT - index);
            group.records.insert(Key::event(revision, index), (Some(stored), origin));
            self.meta.last_event = revision;
            self.meta.log_count += 1;
        }
        self.meta.revision = revision;
        Ok(revision)
    }

    /// When a record was last changed and last written.
    fn revisions(
        &self,
        group: &mut Group,
        key: &Key,
    ) -> Result<Option<(Revision, Revision)>, CommitError> {
        if let Some((stored, _)) = group.records.get(key) {
            return Ok(stored.as_ref().map(|stored| (stored.changed_at, stored.written_at)));
        }
        let outline = self.find(&mut group.known, key).and_then(Found::outline);
        let outline = outline.map_err(CommitError::Store)?;
        Ok(outline.map(|outline| (outline.changed_at, outline.written_at)))
    }

    /// What the tree has under a key; it is looked up the first time.
    fn find<'known>(
        &self,
        known: &'known mut HashMap<Key, Found>,
        key: &Key,
    ) -> Result<&'known Found, StoreError> {
        if !known.contains_key(key) {
            known.insert(key.clone(), self.tree.raw.find(key)?);
        }
        known.get(key).ok_or(StoreError::Damaged { what: "a record" })
    }

    /// Makes a group durable, then visible.
    fn persist(&mut self, group: &mut Group) -> Result<(), StoreError> {
        let trimmed = self.trim()?;
        for (key, _) in &trimmed {
            // An event that is rewritten silently, and is as old as to go, goes.
            group.records.remove(key);
        }
        self.take_anchor();
        let revision = self.meta.revision;
        let copied = self.compaction.as_ref().and_then(Compaction::copied);
        let mut staged = Staged::new(self.meta.live_bytes, copied);
        let mut old = Vec::with_capacity(group.records.len() + trimmed.len());
        for (key, (stored, origin)) in &group.records {
            let found = self.find(&mut group.known, key)?;
            let before = self.tree.raw.stage(&mut staged, key, found, stored.as_ref(), *origin)?;
            old.push((key.clone(), before));
        }
        for (key, found) in trimmed {
            let before = self.tree.raw.stage(&mut staged, &key, &found, None, (revision, 0))?;
            old.push((key, before));
        }
        self.meta.live_bytes = staged.live_bytes();
        let meta = Stored { value: self.meta.encode(), changed_at: revision, written_at: revision };
        staged.put_meta(&Meta::key(), &meta)?;
        let (batch, copy) = staged.finish();

        // sled shows a batch at once. Until it is durable, readers are shown these instead.
        self.shared.publish_overlay(old.into_iter().collect());
        self.tree.raw.apply(batch)?;
        (self.hook)(Step::Applied);
        self.tree.sync()?;
        let head = self.head();
        self.head
            .write(&head)
            .map_err(|error| StoreError::Failed { reason: format!("HEAD: {error}") })?;
        (self.hook)(Step::Synced);
        self.shared.show(&self.meta);
        if let Some((batch, keys)) = copy {
            self.follow(batch, keys);
        }
        Ok(())
    }

    /// The oldest events to be removed with this group, when too many are kept; whole commits, and
    /// never the newest.
    fn trim(&mut self) -> Result<Vec<(Key, Found)>, StoreError> {
        if self.meta.log_count <= self.options.keep_events {
            return Ok(Vec::new());
        }
        let surplus =
            usize::try_from(self.meta.log_count - self.options.keep_events).unwrap_or(usize::MAX);
        let range = KeyRange::events(self.meta.log_floor);
        let (mut oldest, mut keys): (Vec<(Key, Found, Revision)>, _) = (Vec::new(), 0);
        for entry in self.tree.raw.range_of_found(&range).take(surplus.saturating_add(1)) {
            let (key, found) = entry?;
            let Some(outline) = found.outline()? else { continue };
            keys += 1 + usize::from(outline.chunks);
            let another = oldest.first().is_some_and(|(_, _, old)| *old < outline.changed_at);
            oldest.push((key, found, outline.changed_at));
            if keys > TRIM_KEYS && another {
                break;
            }
        }
        // The last commit in hand may go on behind it: leave it whole for the next group.
        let Some(last) = oldest.last().map(|(_, _, changed_at)| *changed_at) else {
            return Ok(Vec::new());
        };
        oldest.retain(|(_, _, changed_at)| *changed_at < last);
        if let Some((_, _, newest)) = oldest.last() {
            self.meta.log_floor = *newest;
            self.meta.log_count -= oldest.len() as u64;
        }
        Ok(oldest.into_iter().map(|(key, found, _)| (key, found)).collect())
    }
}

/// The writer's part in a compaction.
impl Writer {
    /// Begins a compaction when the data file has become too long for what lives in it.
    fn compact_when_due(&mut self) {
        let rests = !self.options.compact_by_itself || Instant::now() < self.rest_until;
        if rests || self.compaction.is_some() {
            return;
        }
        let Ok(bytes) = self.tree.file_bytes() else { return };
        let (times, over) = COMPACT_AFTER_GROWTH;
        let due = bytes > COMPACT_ABOVE_BYTES
            && bytes > self.meta.live_bytes.saturating_mul(COMPACT_ABOVE_RATIO)
            && bytes > self.compacted_bytes / over * times;
        if due {
            self.begin_compaction();
        }
    }

    fn begin_compaction(&mut self) {
        if self.compaction.is_some() || self.removal.as_ref().is_some_and(|one| !one.is_finished())
        {
            return;
        }
        if self.shared.failure().is_some() {
            self.shared.compaction_wanted.store(false, Ordering::Relaxed);
            return self.compaction_failed("the store has stopped");
        }
        let file_bytes = self.tree.file_bytes().unwrap_or_default();
        {
            let mut view = self.shared.compaction.lock();
            self.shared.compaction_wanted.store(false, Ordering::Relaxed);
            *view = CompactionView {
                state: CompactionState::Running,
                count: view.count + 1,
                done_bytes: 0,
                total_bytes: self.meta.live_bytes.saturating_mul(2),
                file_bytes_before: file_bytes,
                file_bytes_after: 0,
            };
        }
        tracing::info!(file_bytes, live_bytes = self.meta.live_bytes, "compaction begins");
        let began = Instant::now();
        match Tree::make(&self.dir, self.tree.number + 1, self.options) {
            Ok(to) => self.compaction = Some(Compaction::new(to, began)),
            Err(error) => self.compaction_failed(&chain(&error)),
        }
    }

    /// Copies or compares a slice of the compaction that is under way.
    fn compact_some(&mut self) {
        let Some(compaction) = &mut self.compaction else { return };
        if self.shared.failure().is_some() {
            return self.give_compaction_up("the store has stopped");
        }
        match compaction.step(&self.tree) {
            Ok(Slice::More(bytes)) => {
                self.shared.compaction.lock().done_bytes += bytes;
                (self.hook)(Step::Slice);
            }
            Ok(Slice::Equal) => self.switch(),
            Ok(Slice::Full) => self.give_compaction_up("the disk has no room for the copy"),
            Ok(Slice::Unreadable(error)) => {
                self.shared.fail(&reason(&error));
                self.give_compaction_up("the store cannot be read");
            }
            Err(error) => self.give_compaction_up(&reason(&error)),
        }
    }

    fn follow(&mut self, batch: sled::Batch, keys: usize) {
        let Some(compaction) = &mut self.compaction else { return };
        match compaction.follow(batch, keys) {
            Ok(true) => {}
            Ok(false) => self.give_compaction_up("the disk has no room for the copy"),
            Err(error) => self.give_compaction_up(&reason(&error)),
        }
    }

    /// The copy takes the store's place.
    fn switch(&mut self) {
        let Some(compaction) = self.compaction.take() else { return };
        if let Err(error) = compaction.finish() {
            self.compaction = Some(compaction);
            return self.give_compaction_up(&reason(&error));
        }
        let began = compaction.began;
        let old = std::mem::replace(&mut self.tree, compaction.into_copy());
        (self.hook)(Step::Copied);
        let head = self.head();
        // Both say the same, so that it does not matter which one counts after a kill in between. Once
        // it is unknown which one does, nothing may be written to either.
        if let Err(error) = self.head.replace(&head) {
            return self.shared.fail(&format!("HEAD could not be written: {error}"));
        }
        (self.hook)(Step::Switched);
        let raw = self.shared.visible.write().raw.replace(self.tree.raw.clone());
        drop(raw);
        let (shared, dir) = (self.shared.clone(), self.dir.clone());
        let file_bytes = self.tree.file_bytes().unwrap_or_default();
        self.compacted_bytes = file_bytes;
        let rest = if file_bytes <= SMALL_BYTES { REST_OF_SMALL } else { REST };
        self.rest_until = Instant::now() + began.elapsed() * rest;
        let removal = move || {
            let removed = old.remove().and_then(|()| dir.sync());
            let mut view = shared.compaction.lock();
            match removed {
                Ok(()) => {
                    let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                    tracing::info!(file_bytes, millis, "compaction is done");
                    view.state = CompactionState::Done;
                    view.file_bytes_after = file_bytes;
                    view.done_bytes = view.total_bytes;
                }
                Err(error) => {
                    tracing::warn!(%error, "the files before compaction are still there; the next start removes them");
                    view.state = CompactionState::Failed(chain(&error));
                }
            }
        };
        self.remove_with(removal);
    }

    /// Removes the copy; the store is as it was.
    fn give_compaction_up(&mut self, reason: &str) {
        let Some(compaction) = self.compaction.take() else { return };
        self.compaction_failed(reason);
        let copy = compaction.into_copy();
        let dir = self.dir.clone();
        self.remove_with(move || {
            if let Err(error) = copy.remove().and_then(|()| dir.sync()) {
                tracing::warn!(%error, "the unfinished copy is still there; the next start removes it");
            }
        });
    }

    fn compaction_failed(&mut self, reason: &str) {
        // It is no failure where it was simply not done in time, and is told in the status besides.
        tracing::info!(reason, "compaction was given up; the store is as it was");
        self.shared.compaction.lock().state = CompactionState::Failed(reason.to_owned());
        // It is tried again by itself when the file has grown.
        self.compacted_bytes = self.tree.file_bytes().unwrap_or_default();
    }

    /// Closing a tree takes sled up to half a second, which no commit should wait for.
    fn remove_with(&mut self, removal: impl FnOnce() + Send + 'static) {
        let thread = thread::Builder::new().name("store-removal".to_owned()).spawn(removal);
        // Without a thread the files stay until the next start.
        self.removal = thread.ok();
    }
}

/// What is served together, and how many keys of sled that touches.
struct Drained {
    queued: Vec<Queued>,
    keys: usize,
    known: HashMap<Key, Found>,
}

impl Writer {
    /// Takes what is queued, up to the size of a group. A commit that no longer fits is carried
    /// over.
    fn drain(&self, first: Queued, queue: &Receiver<Request>) -> (Drained, Option<Queued>, bool) {
        let (mut records, mut bytes) = (weigh(&first.0), first.0.size());
        let mut known = HashMap::new();
        let keys = self.keys(&first.0, &mut known);
        let mut group = Drained { keys, queued: vec![first], known };
        while group.queued.len() < GROUP_COMMITS {
            let (commit, reply) = match queue.try_recv() {
                Ok(Request::Commit(commit, reply)) => (commit, reply),
                Ok(Request::Wake) => continue,
                Ok(Request::Stop) => return (group, None, true),
                Err(_) => break,
            };
            let more = (weigh(&commit), commit.size(), self.keys(&commit, &mut group.known));
            let fits = records + more.0 <= GROUP_RECORDS
                && bytes + more.1 <= GROUP_BYTES
                && group.keys + more.2 <= GROUP_KEYS;
            if !fits {
                return (group, Some((commit, reply)), false);
            }
            records += more.0;
            bytes += more.1;
            group.keys += more.2;
            group.queued.push((commit, reply));
        }
        (group, None, false)
    }

    /// How many keys of sled a commit touches. A value that goes takes its chunks along, so that a
    /// small commit can be a large one for sled.
    fn keys(&self, commit: &Commit, known: &mut HashMap<Key, Found>) -> usize {
        let comes = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, |v| chunks_of(v.len()));
        // What cannot be read is found again, and told, when the commit is admitted.
        let mut goes = |key| -> usize {
            let found = self.find(known, key).and_then(Found::outline);
            found.ok().flatten().map_or(0, |old| old.chunks.into())
        };
        let writes = commit.writes.iter().map(|(key, value)| 1 + comes(value) + goes(key));
        let events = commit.events.iter().map(|event| 1 + chunks_of(event.len()));
        writes.sum::<usize>() + events.sum::<usize>()
    }
}

/// A writer that ends other than in order, by a panic of sled's, has failed.
struct Guard(Arc<Shared>);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail("its writer met a defect");
        }
    }
}

fn weigh(commit: &Commit) -> usize {
    commit.writes.len() + commit.events.len()
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
