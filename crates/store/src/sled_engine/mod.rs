//! The engine on sled 0.34.7, which is sound when used with the care that STORE.md describes.

mod check;
mod clean;
mod compaction;
mod data_dir;
mod head_file;
mod meta;
mod raw;
mod recovery;
mod reserve;
mod restore;
mod snapshot;
mod tree;
mod waker;
mod writer;

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use domain::{Anchor, Incarnation, ResourceVersion, Revision, Timestamp};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

pub use compaction::{CompactionState, CompactionView};
pub use data_dir::DataDir;
use data_dir::{sync_dir, sync_parent};
use head_file::{Head, HeadFile};
pub use head_file::{HeadView, read_head};
use meta::{Meta, decode_event, event_position};
pub(crate) use meta::{decode_anchor, encode_anchor};
use raw::{Raw, Staged};
pub use restore::{RestoreError, RestorePlan};
use snapshot::Snapshot;
use tree::Tree;
use writer::{Request, Step, Writer};

use crate::backup::{BackupError, BackupSummary};
use crate::engine::{
    Commit, CommitError, Engine, Event, EventPage, EventsGone, MAX_COMMIT_BYTES,
    MAX_COMMIT_PRECONDITIONS, MAX_COMMIT_WRITES, Page, StoreError, Stored,
};
use crate::key::{Key, KeyRange};

/// How a store is run.
#[derive(Clone, Copy, Debug)]
pub struct SledOptions {
    /// Bytes of sled's page cache; its own default is a gigabyte.
    pub cache_bytes: u64,
    /// How many events the change log keeps.
    pub keep_events: u64,
    /// Whether the data files are compacted without being asked, when they have become too long for
    /// what lives in them.
    pub compact_by_itself: bool,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self { cache_bytes: 16 << 20, keep_events: 100_000, compact_by_itself: true }
    }
}

/// Why a data directory cannot be used. Nothing in it was changed, except where a message says so.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its bytes are not what was acknowledged.
    #[error("the data directory is damaged: {what}")]
    Damaged {
        /// What was found, with the resource versions at stake.
        what: String,
    },
    /// The system refused an operation.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process uses it.
    #[error("{} is in use by another tresor process; stop it first", root.display())]
    Locked {
        /// The directory.
        root: PathBuf,
    },
    /// A newer release wrote it.
    #[error(
        "the data directory has format {found} and this release reads up to {supported}; use the release that wrote it, or a newer one"
    )]
    NewerFormat {
        /// The format found.
        found: u16,
        /// The newest format that this release reads.
        supported: u16,
    },
    /// A build from before the first release wrote it.
    #[error(
        "the data directory has format {found}, from before the first release, and this one reads format {supported}; read the secrets with the build that wrote them, and store them anew"
    )]
    OlderFormat {
        /// The format found.
        found: u16,
        /// The format that this release reads.
        supported: u16,
    },
    /// Its file system takes no writes. Opening a store writes to it.
    #[error(
        "cannot {operation} {}: its file system is read-only; if it was not mounted so, the kernel's log tells what failed; make it writable (`mount -o remount,rw`) and start again",
        path.display()
    )]
    ReadOnly {
        /// What was tried.
        operation: &'static str,
        /// On which path.
        path: PathBuf,
    },
}

impl OpenError {
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        if source.kind() == io::ErrorKind::ReadOnlyFilesystem {
            return Self::ReadOnly { operation, path };
        }
        Self::Io { operation, path, source }
    }
}

/// For so many records there is room from the beginning when a range is read.
const PAGE: usize = 256;

/// Answers how far the audit log has come, durably.
type AnchorSource = Box<dyn Fn() -> Option<Anchor> + Send + Sync>;

type StepHook = Arc<dyn Fn(Step) + Send + Sync>;

/// What readers share with the writer.
struct Shared {
    visible: RwLock<Visible>,
    revisions: watch::Sender<Revision>,
    anchors: OnceLock<AnchorSource>,
    compaction: Mutex<CompactionView>,
    compaction_wanted: AtomicBool,
}

/// What readers may see: sled's tree, except for the records of the group in flight.
struct Visible {
    /// None once the engine is closed.
    raw: Option<Raw>,
    /// How far the store has come.
    meta: Meta,
    /// The records of the group in flight as they were before it.
    overlay: BTreeMap<Key, Option<Stored>>,
    /// The backups that are under way.
    snapshots: Vec<Arc<Snapshot>>,
    failure: Option<String>,
}

impl Shared {
    fn publish_overlay(&self, old: BTreeMap<Key, Option<Stored>>) {
        let mut visible = self.visible.write();
        for snapshot in &visible.snapshots {
            for (key, old) in &old {
                old.iter().for_each(|old| snapshot.keep(key, old));
            }
        }
        visible.overlay = old;
    }

    /// The group in flight is durable: it may be seen, and told.
    fn show(&self, meta: &Meta) {
        let overlay = {
            let mut visible = self.visible.write();
            visible.meta = *meta;
            std::mem::take(&mut visible.overlay)
        };
        // Readers do not wait for it to be freed.
        drop(overlay);
        self.revisions.send_replace(meta.revision);
    }

    fn fail(&self, reason: &str) {
        self.visible.write().failure.get_or_insert_with(|| {
            tracing::error!(reason, "the store has stopped taking writes");
            reason.to_owned()
        });
    }

    fn failure(&self) -> Option<StoreError> {
        let reason = self.visible.read().failure.clone()?;
        Some(StoreError::Failed { reason })
    }

    /// Passes a read's result on; one that sled failed stops the writes too.
    fn note<T>(&self, read: Result<T, StoreError>) -> Result<T, StoreError> {
        // A store that was closed has not failed.
        if let Err(StoreError::Failed { reason }) = &read
            && self.visible.read().raw.is_some()
        {
            self.fail(reason);
        }
        read
    }
}

impl Visible {
    fn raw(&self) -> Result<&Raw, StoreError> {
        let closed = || StoreError::Failed { reason: "it was closed".to_owned() };
        self.raw.as_ref().ok_or_else(closed)
    }

    fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        match self.overlay.get(key) {
            Some(old) => Ok(old.clone()),
            None => self.raw()?.get(key),
        }
    }

    /// The first `limit` records of a range: sled's, with those of the group in flight as they
    /// were before it.
    fn range(
        &self,
        range: &KeyRange,
        limit: usize,
    ) -> Result<(Vec<(Key, Stored)>, bool), StoreError> {
        let mut old = self.overlay.range(range.start.clone()..range.end.clone()).peekable();
        // One more is read than is given. Few pages are longer than that, and what grows is copied and wiped
        // again and again.
        let mut records = Vec::with_capacity(limit.min(PAGE) + 1);
        let mut raw = self.raw()?.range(range);
        let mut next = raw.next().transpose()?;
        while records.len() <= limit {
            let overlaid = match (&next, old.peek()) {
                (None, None) => break,
                (Some((key, _)), Some((old_key, _))) => *old_key <= key,
                (None, Some(_)) => true,
                (Some(_), None) => false,
            };
            if overlaid {
                let Some((key, value)) = old.next() else { break };
                if next.as_ref().is_some_and(|(in_sled, _)| in_sled == key) {
                    next = raw.next().transpose()?;
                }
                records.extend(value.clone().map(|value| (key.clone(), value)));
            } else {
                records.extend(next.take());
                next = raw.next().transpose()?;
            }
        }
        let more = records.len() > limit;
        records.truncate(limit);
        Ok((records, more))
    }

    /// Events after a revision, in whole commits.
    fn events_after(
        &self,
        after: Revision,
        limit: usize,
    ) -> Result<Result<EventPage, EventsGone>, StoreError> {
        if after < self.meta.log_floor {
            return Ok(Err(EventsGone { oldest: self.meta.log_floor }));
        }
        let damaged = |_| StoreError::Damaged { what: "an event" };
        let mut events: Vec<Event> = Vec::new();
        let (mut range, mut more) = (KeyRange::events(after), true);
        // Whole commits only: read on until the commit that the limit cuts is complete.
        while more {
            let (records, further) = self.range(&range, limit.max(1))?;
            more = further;
            for (key, stored) in records {
                let (revision, index) = event_position(&key).map_err(damaged)?;
                let full = events.len() >= limit;
                if full && events.last().is_some_and(|last| last.revision != revision) {
                    let through = events.last().map_or(after, |last| last.revision);
                    return Ok(Ok(EventPage { events, through }));
                }
                let (_, bytes) = decode_event(&stored.value).map_err(damaged)?;
                events.push(Event { revision, index, bytes: bytes.to_vec() });
                range = range.after(&key);
            }
        }
        Ok(Ok(EventPage { events, through: self.meta.revision.max(after) }))
    }
}

/// A store on this machine's disk.
pub struct SledEngine {
    dir: Arc<DataDir>,
    shared: Arc<Shared>,
    queue: Mutex<Sender<Request>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    incarnation: Incarnation,
    anchor: Option<Anchor>,
    options: SledOptions,
}

impl SledEngine {
    /// Makes a new, empty store in a directory that has none. Until this returns, the directory
    /// has none; a call that was cut off is simply made again.
    ///
    /// # Errors
    /// When there is one already, or the disk refuses.
    pub fn create(dir: &DataDir, store: [u8; 16]) -> Result<(), OpenError> {
        if dir.has_store()? {
            let what = format!("{} holds a store already", dir.root().display());
            return Err(OpenError::Damaged { what });
        }
        let meta = Meta {
            store,
            incarnation: Incarnation::default(),
            revision: Revision::ZERO,
            last_event: Revision::ZERO,
            log_floor: Revision::ZERO,
            log_count: 0,
            live_bytes: 0,
            anchor: None,
        };
        let tree = Tree::make(dir, FIRST_FILES, SledOptions::default())?;
        let stored =
            Stored { value: meta.encode(), changed_at: Revision::ZERO, written_at: Revision::ZERO };
        let mut staged = Staged::new(0, None);
        let written =
            staged.put_meta(&Meta::key(), &stored).and_then(|()| tree.raw.apply(staged.finish().0));
        let closed = tree.close();
        written.and(closed).map_err(|error| OpenError::Damaged { what: error.to_string() })?;
        let Meta { incarnation, revision, anchor, .. } = meta;
        // With `HEAD` the store is there.
        let head = Head { store, incarnation, revision, anchor, files: FIRST_FILES };
        HeadFile::create(&dir.head(), &head)?;
        sync_parent(dir)
    }

    /// Opens and checks the store in a directory.
    ///
    /// # Errors
    /// When it is not there, not this store, newer than this release, or not what it acknowledged;
    /// the files are then as they were.
    pub fn open(dir: DataDir, store: [u8; 16], options: SledOptions) -> Result<Self, OpenError> {
        Self::open_with_hook(dir, store, options, Arc::new(|_| {}))
    }

    fn open_with_hook(
        dir: DataDir,
        store: [u8; 16],
        options: SledOptions,
        hook: StepHook,
    ) -> Result<Self, OpenError> {
        let (mut head_file, head) = HeadFile::open(&dir.head())?;
        if head.store != store {
            let what = "HEAD and the keyring belong to different stores".to_owned();
            return Err(OpenError::Damaged { what });
        }
        let store = dir.store(head.files);
        if dir.stores()?.len() > 1 {
            // What goes now may be what `HEAD` names on the disk, if the sync failed that was to make
            // it name the other one.
            let unwritten = |error| OpenError::io("write", &dir.head(), error);
            head_file.replace(&head).map_err(unwritten)?;
        }
        recovery::settle(&dir, &store)?;
        let clean = clean::take(&dir, &store)?;
        reserve::release_ballast(&dir)?;
        let (raw, mut meta) = if clean {
            // Their checksums have just shown the files to be what sled left.
            open_and_check(&store, &head, options, Depth::Summary)?
        } else {
            recover(&dir, &head, options)?
        };
        let tree = Tree::new(&dir, head.files, raw)?;
        tree.take_reserve();
        reserve::take_ballast(&dir);
        // After reads only, `HEAD` is ahead of the last commit.
        meta.anchor = Anchor::later(meta.anchor, head.anchor);
        Self::start(dir, tree, meta, head_file, options, hook)
    }

    fn start(
        dir: DataDir,
        tree: Tree,
        meta: Meta,
        head: HeadFile,
        options: SledOptions,
        hook: StepHook,
    ) -> Result<Self, OpenError> {
        let dir = Arc::new(dir);
        let failed = |error| OpenError::io("start the writer of", dir.root(), error);
        let visible = Visible {
            raw: Some(tree.raw.clone()),
            meta,
            overlay: BTreeMap::new(),
            snapshots: Vec::new(),
            failure: None,
        };
        let shared = Arc::new(Shared {
            visible: RwLock::new(visible),
            revisions: watch::Sender::new(meta.revision),
            anchors: OnceLock::new(),
            compaction: Mutex::new(CompactionView::default()),
            compaction_wanted: AtomicBool::new(false),
        });
        let writer = Writer {
            shared: shared.clone(),
            dir: dir.clone(),
            tree,
            head,
            meta,
            options,
            hook,
            compaction: None,
            removal: None,
            compacted_bytes: 0,
            rest_until: Instant::now(),
        };
        let (queue, requests) = mpsc::channel();
        let thread = thread::Builder::new().name("store-writer".to_owned());
        let thread = thread.spawn(move || writer.run(&requests)).map_err(failed)?;
        let (queue, writer) = (Mutex::new(queue), Mutex::new(Some(thread)));
        let Meta { incarnation, anchor, .. } = meta;
        Ok(Self { dir, shared, queue, writer, incarnation, anchor, options })
    }

    /// How far the audit log had come when the store was last written, as it was found at the start:
    /// what the audit log is held against before it goes on.
    pub fn anchor(&self) -> Option<Anchor> {
        self.anchor
    }

    /// Names who is asked, with each group and each write of `HEAD`, how far the audit log has come.
    /// The answer must not run ahead of what the log has made durable, and is given at once. Only
    /// the first call counts.
    pub fn anchor_with(&self, source: impl Fn() -> Option<Anchor> + Send + Sync + 'static) {
        // A second source would be a defect of ours; the first one goes on.
        let _ = self.shared.anchors.set(Box::new(source));
    }

    /// How often this store was restored.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Stops in order: finishes what is queued, opens sled once more so that the next start finds
    /// a short log, and marks the files as clean. Afterwards every call fails.
    ///
    /// # Errors
    /// When the files could not be left clean; nothing acknowledged is lost by that, and the next
    /// start treats the stop as unclean.
    pub fn close(&self) -> Result<(), OpenError> {
        // The writer may be gone already; then there is nothing to stop.
        let _ = self.queue.lock().send(Request::Stop);
        let Some(writer) = self.writer.lock().take() else { return Ok(()) };
        let died = writer.join().is_err();
        let failed = self.shared.failure();
        let raw = self.shared.visible.write().raw.take();
        let closed = raw.map_or(Ok(()), Raw::close);
        if died || failed.is_some() {
            let what = failed.map_or_else(|| "the writer died".to_owned(), |f| f.to_string());
            return Err(OpenError::Damaged { what });
        }
        let unclean = |error: StoreError| OpenError::Damaged { what: error.to_string() };
        closed.map_err(unclean)?;
        let (_, head) = HeadFile::open(&self.dir.head())?;
        let store = self.dir.store(head.files);
        reserve::release_ballast(&self.dir)?;
        let (raw, _) = recover(&self.dir, &head, self.options)?;
        let tree = Tree::new(&self.dir, head.files, raw)?;
        tree.take_reserve();
        tree.close().map_err(unclean)?;
        clean::write(&self.dir, &store)?;
        reserve::take_ballast(&self.dir);
        Ok(())
    }
}

impl Drop for SledEngine {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the store did not close cleanly; the next start checks it");
        }
    }
}

impl Engine for SledEngine {
    fn read(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        let read = self.shared.visible.read().get(key);
        self.shared.note(read)
    }

    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Page, StoreError> {
        // Held for the whole page, so that the group in flight cannot turn visible half-way.
        let page = || {
            let visible = self.shared.visible.read();
            let (records, more) = visible.range(range, limit)?;
            Ok(Page { records, at: visible.meta.revision, more })
        };
        self.shared.note(page())
    }

    fn commit(&self, commit: Commit) -> Result<Revision, CommitError> {
        let too_large = commit.writes.len() > MAX_COMMIT_WRITES
            || commit.preconditions.len() > MAX_COMMIT_PRECONDITIONS
            || commit.events.len() > MAX_COMMIT_WRITES
            || commit.size() > MAX_COMMIT_BYTES;
        if too_large {
            return Err(CommitError::TooLarge);
        }
        let (reply, answer) = sync_channel(1);
        let stopped = || {
            let closed = StoreError::Failed { reason: "its writer has stopped".to_owned() };
            CommitError::Store(self.failure().unwrap_or(closed))
        };
        self.queue.lock().send(Request::Commit(commit, reply)).map_err(|_| stopped())?;
        answer.recv().map_err(|_| stopped())?
    }

    fn write_keyring(&self, bytes: &[u8]) -> Result<(), StoreError> {
        // The store may have failed since; the file is its own.
        self.dir.write_keyring(bytes).map_err(|error| StoreError::Keyring {
            reason: std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string),
        })
    }

    fn failure(&self) -> Option<StoreError> {
        self.shared.failure()
    }

    fn revision(&self) -> Revision {
        self.shared.visible.read().meta.revision
    }

    fn events_after(
        &self,
        after: Revision,
        limit: usize,
    ) -> Result<Result<EventPage, EventsGone>, StoreError> {
        let page = self.shared.visible.read().events_after(after, limit);
        self.shared.note(page)
    }

    fn revisions(&self) -> watch::Receiver<Revision> {
        self.shared.revisions.subscribe()
    }

    fn begin_compaction(&self) -> Result<CompactionView, StoreError> {
        if let Some(error) = self.failure() {
            return Err(error);
        }
        // One that is under way may have copied what was removed since: then there is another.
        self.shared.compaction_wanted.store(true, Ordering::Relaxed);
        // A writer that has ended says so with the next call.
        let _ = self.queue.lock().send(Request::Wake);
        Ok(self.compaction())
    }

    fn compaction(&self) -> CompactionView {
        let view = self.shared.compaction.lock();
        let wanted = self.shared.compaction_wanted.load(Ordering::Relaxed);
        let state = match (self.failure(), &view.state) {
            // A writer that met a defect does not come to say so.
            (Some(_), CompactionState::Running) => {
                CompactionState::Failed("the store has stopped".to_owned())
            }
            (None, _) if wanted => CompactionState::Running,
            (_, state) => state.clone(),
        };
        CompactionView { state, ..view.clone() }
    }

    fn back_up(
        &self,
        since: Option<ResourceVersion>,
        created_at: Timestamp,
        out: &mut dyn io::Write,
        told: &mut dyn FnMut(u64, u64),
    ) -> Result<BackupSummary, BackupError> {
        self.write_snapshot(since, created_at, out, told)
    }
}

/// The number of a new store's directory of data files.
const FIRST_FILES: u32 = 1;

/// How much of a store is checked once sled has opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// Every record and every event.
    Everything,
    /// How far the store has come.
    Summary,
}

/// Opens files that may be damaged: with a copy aside, which goes when everything was checked and
/// comes back when something is wrong.
fn recover(dir: &DataDir, head: &Head, options: SledOptions) -> Result<(Raw, Meta), OpenError> {
    let store = dir.store(head.files);
    let copied = recovery::copy_aside(dir, &store)?;
    // The copy gets to the disk while it is read.
    let (opened, synced) = thread::scope(|scope| {
        let beside = thread::Builder::new().name("store-sync".to_owned());
        let syncing = beside.spawn_scoped(scope, || copied.sync());
        let opened = open_and_check(&store, head, options, Depth::Everything);
        let synced = match syncing {
            Ok(syncing) => syncing.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(_) => copied.sync(),
        };
        (opened, synced)
    });
    let opened = opened.and_then(|(raw, meta)| match synced {
        Ok(()) => Ok((raw, meta)),
        Err(error) => Err(raw.close_after(OpenError::io("sync", &store, error))),
    });
    match opened {
        Ok((raw, meta)) => match recovery::discard_copy(dir) {
            Ok(()) => Ok((raw, meta)),
            Err(error) => Err(raw.close_after(error)),
        },
        Err(error) => {
            recovery::put_back(dir, &store)?;
            Err(error)
        }
    }
}

/// sled meets damaged bytes with errors and with panics, when it opens and when it reads.
fn open_and_check(
    store: &Path,
    head: &Head,
    options: SledOptions,
    depth: Depth,
) -> Result<(Raw, Meta), OpenError> {
    let raw = Raw::new(open_sled(store, options)?);
    let check = AssertUnwindSafe(|| check::check(&raw, store, head, depth));
    let checked = catch_unwind(check).unwrap_or_else(|_| {
        let what = "sled panicked while its records were read".to_owned();
        Err(OpenError::Damaged { what })
    });
    match checked {
        Ok(meta) => Ok((raw, meta)),
        Err(error) => Err(raw.close_after(error)),
    }
}

/// sled moves a node of more than a quarter of a segment into a blob file, which it never syncs. Of
/// the nodes that we can make it build the largest is an index of 257 separators, each as long as
/// the longest key (1.5 KiB): just below 400 KiB. The size is fixed when a store is made.
const SEGMENT_BYTES: usize = 2 << 20;

/// Opens sled on a thread of its own and catches its panics: it meets damaged bytes with either.
fn open_sled(path: &Path, options: SledOptions) -> Result<sled::Db, OpenError> {
    let config = sled::Config::new()
        .path(path)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(options.cache_bytes)
        // Its thread also frees memory; durability does not rest on it.
        .flush_every_ms(Some(500));
    let open = move || {
        // A file that was just closed may keep its lock for a moment, in a thread of sled's own.
        for _ in 0..100 {
            match config.open() {
                Err(sled::Error::Io(error)) if error.to_string().contains("acquire lock") => {
                    thread::sleep(Duration::from_millis(20));
                }
                other => return other,
            }
        }
        config.open()
    };
    let damaged = |what: String| {
        let shown = path.display();
        OpenError::Damaged { what: format!("sled cannot open {shown}: {what}") }
    };
    let thread = thread::Builder::new().name("store-open".to_owned());
    let opened = thread
        .spawn(move || catch_unwind(AssertUnwindSafe(open)))
        .map_err(|error| OpenError::io("open", path, error))?
        .join();
    match opened {
        Ok(Ok(Ok(db))) => Ok(db),
        Ok(Ok(Err(sled::Error::Io(error)))) if is_circumstance(&error) => {
            Err(OpenError::io("open", path, error))
        }
        Ok(Ok(Err(error))) => Err(damaged(error.to_string())),
        Ok(Err(_)) | Err(_) => Err(damaged("it panicked".to_owned())),
    }
}

/// An error with what it comes from.
fn chain(error: &OpenError) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// What an error says, for another one that says what follows from it.
fn reason(error: &StoreError) -> String {
    match error {
        StoreError::Failed { reason } => reason.clone(),
        other => other.to_string(),
    }
}

/// Whether an error tells of the machine rather than of the bytes.
fn is_circumstance(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let full_tables = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE];
    matches!(error.kind(), PermissionDenied | QuotaExceeded | ReadOnlyFilesystem | StorageFull)
        || full_tables.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Syncs every file below sled's directory, the directory, and the one above it.
fn sync_files(store: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::io("sync", store, error);
    for entry in std::fs::read_dir(store).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        std::fs::File::open(entry.path()).and_then(|file| file.sync_all()).map_err(failed)?;
    }
    sync_dir(store)?;
    store.parent().map_or(Ok(()), sync_dir)
}

#[cfg(test)]
mod damage;
#[cfg(test)]
mod power_loss;
#[cfg(test)]
mod tests;
