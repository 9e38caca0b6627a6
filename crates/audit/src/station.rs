//! Between those who append and what a sink's lines end up in: a bounded queue, how far the sink has
//! come, and whether it can be relied on.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::Anchor;
use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::watch;

use crate::writer::{Medium, Reopened};

/// The most bytes that wait for a sink. One that lags behind further is out.
const QUEUE_BYTES: usize = 8 << 20;
/// A buffer larger than this is given back once it is empty.
const KEPT_BYTES: usize = 64 << 10;
/// How long a line may lie in the file before it is durable, when nobody waits for that.
const SYNC_WITHIN: Duration = Duration::from_millis(100);
/// How often a sink that is out is tried.
const RETRY: Duration = Duration::from_secs(1);
/// How often an idle sink looks around.
const IDLE: Duration = Duration::from_secs(1);
/// How many batches somebody who has a line in the file writes before the file's own thread takes over.
const HELP: usize = 4;

/// How far a sink has come since it was last admitted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) written: u64,
    pub(crate) synced: u64,
    /// It is out: what it has not reached it will not reach.
    pub(crate) ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Stdout,
}

impl Kind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Stdout => "stdout",
        }
    }
}

/// A sink, as everybody but its own threads sees it.
pub(crate) struct Station {
    pub(crate) kind: Kind,
    deadline: Duration,
    /// Whoever holds it writes. None until the sink's thread runs.
    medium: Mutex<Option<Box<dyn Medium>>>,
    queue: Mutex<Queue>,
    wake_writer: Condvar,
    wake_syncer: Condvar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    On,
    Out,
}

struct Queue {
    state: State,
    /// No more lines are taken, and whether the writer has ended.
    closing: bool,
    writer_gone: bool,
    waiting: Batch,
    spare: Vec<u8>,
    progress: watch::Sender<Progress>,
    /// Since when the oldest line in the queue waits, and since when the sink is busy with a batch.
    oldest: Option<Instant>,
    busy: Option<Instant>,
    /// When the sink, being out, was last tried.
    tried: Option<Instant>,
    /// Whether the disk refuses to keep room for more lines.
    low: bool,
    written: Option<Anchor>,
    synced: Option<Anchor>,
    /// What is not durable yet, and since when; and since when it is being made durable.
    file: Option<Arc<File>>,
    unsynced: Option<Instant>,
    syncing: Option<Instant>,
    /// Somebody waits for the sync of this line.
    wanted: u64,
    /// Grows when the sink goes out, so that a sync of an earlier life is not mistaken.
    life: u64,
}

/// Whole lines, to be written at once.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) last: Option<Anchor>,
    pub(crate) cuts: Vec<Cut>,
}

/// Where in a batch a new file begins.
pub(crate) struct Cut {
    pub(crate) at: usize,
    /// The number of the first line of the file that ends here.
    pub(crate) first: u64,
    /// The last line of the file that ends here.
    pub(crate) last: Anchor,
    /// Files to delete, by their first lines, once the batch is durable.
    pub(crate) doomed: Vec<u64>,
}

/// What a sink's writer is to do next.
pub(crate) enum Next {
    Close,
    Idle,
    Retry,
    Write,
}

/// What its syncer is to do next.
pub(crate) struct Sync {
    pub(crate) file: Arc<File>,
    upto: Option<Anchor>,
    life: u64,
}

impl Station {
    /// A sink that is out until it was admitted.
    pub(crate) fn new(kind: Kind, deadline: Duration) -> Self {
        let queue = Queue {
            state: State::Out,
            closing: false,
            writer_gone: false,
            waiting: Batch::default(),
            spare: Vec::new(),
            progress: watch::Sender::default(),
            oldest: None,
            busy: None,
            tried: None,
            low: false,
            written: None,
            synced: None,
            file: None,
            unsynced: None,
            syncing: None,
            wanted: 0,
            life: 0,
        };
        Self {
            kind,
            deadline,
            medium: Mutex::new(None),
            queue: Mutex::new(queue),
            wake_writer: Condvar::new(),
            wake_syncer: Condvar::new(),
        }
    }

    /// Names what the lines end up in.
    pub(crate) fn set_medium(&self, medium: Box<dyn Medium>) {
        *self.medium.lock() = Some(medium);
    }

    /// Gives a line to the sink. The answer is where its progress shows, when it can be relied on.
    /// A line for the file lies there until it is written by whoever waits for it, or by the file's
    /// thread, which is then to be woken.
    pub(crate) fn push(
        &self,
        line: &[u8],
        anchor: Anchor,
        now: Instant,
    ) -> Option<watch::Receiver<Progress>> {
        let mut queue = self.queue.lock();
        if queue.state != State::On || queue.closing {
            return None;
        }
        if queue.waiting.bytes.len() + line.len() >= QUEUE_BYTES {
            self.end(&mut queue, &"its queue is full");
            return None;
        }
        let relied_on = !queue.is_behind(now, self.deadline);
        queue.waiting.bytes.extend_from_slice(line);
        queue.waiting.bytes.push(b'\n');
        queue.waiting.last = Some(anchor);
        if queue.oldest.is_none() {
            queue.oldest = Some(now);
            if self.kind == Kind::Stdout {
                self.wake_writer.notify_one();
            }
        }
        relied_on.then(|| queue.progress.subscribe())
    }

    /// Ends the current file behind what was pushed last.
    pub(crate) fn cut(&self, first: u64, last: Anchor, doomed: Vec<u64>) {
        let mut queue = self.queue.lock();
        if queue.state == State::On {
            let at = queue.waiting.bytes.len();
            queue.waiting.cuts.push(Cut { at, first, last, doomed });
        }
    }

    /// Whether a line that is appended soon can be relied on.
    pub(crate) fn is_ready(&self) -> bool {
        let (queue, now) = (self.queue.lock(), Instant::now());
        let waits_for_disk = [queue.unsynced, queue.syncing].into_iter().flatten();
        let late = self.deadline + SYNC_WITHIN;
        let disk_hangs = waits_for_disk.into_iter().any(|since| now - since > late);
        let on = queue.state == State::On && !queue.closing;
        on && !queue.low && !disk_hangs && !queue.is_behind(now, self.deadline)
    }

    pub(crate) fn is_on(&self) -> bool {
        self.queue.lock().state == State::On
    }

    /// Where the sink's progress shows, when it can be relied on.
    pub(crate) fn progress(&self) -> Option<watch::Receiver<Progress>> {
        let queue = self.queue.lock();
        (queue.state == State::On && !queue.closing).then(|| queue.progress.subscribe())
    }

    /// Somebody waits until that line is durable.
    pub(crate) fn want_sync(&self, seq: u64) {
        let mut queue = self.queue.lock();
        if queue.wanted < seq {
            queue.wanted = seq;
            self.wake_syncer.notify_one();
        }
    }

    /// The last line that the sink has, durably where it can make anything durable.
    pub(crate) fn anchor(&self) -> Option<Anchor> {
        let queue = self.queue.lock();
        match self.kind {
            Kind::File => queue.synced,
            Kind::Stdout => queue.written,
        }
    }

    /// Has the sink's thread write what waits.
    pub(crate) fn wake(&self) {
        self.wake_writer.notify_one();
    }

    /// Writes what waits for the file, on the thread of somebody who has a line there: handing a line
    /// to another thread and waiting for its answer costs several times what writing it does. Where
    /// another is writing, that one writes these lines too.
    pub(crate) fn help(&self) {
        for _ in 0..HELP {
            let Some(mut medium) = self.medium.try_lock() else { return };
            if let Some(batch) = self.take_batch(Queue::is_light) {
                self.write(&mut medium, batch);
            }
            drop(medium);
            // Who came meanwhile found the medium taken, and relies on this.
            if self.queue.lock().waiting.last.is_none() {
                return;
            }
        }
        self.wake();
    }

    /// Writes what waits, whatever belongs to it.
    pub(crate) fn write_all(&self) {
        let mut medium = self.medium.lock();
        if let Some(batch) = self.take_batch(|_| true) {
            self.write(&mut medium, batch);
        }
    }

    /// Taken and written under one lock, so that lines go out in the order in which they came.
    fn write(&self, medium: &mut Option<Box<dyn Medium>>, batch: Batch) {
        let Some(medium) = medium else { return self.fail(&"it has no medium") };
        match medium.write(&batch, self) {
            Ok(()) => self.wrote(batch),
            Err(error) => self.fail(&error),
        }
    }

    fn take_batch(&self, wanted: impl Fn(&Queue) -> bool) -> Option<Batch> {
        let mut queue = self.queue.lock();
        if queue.state != State::On || queue.waiting.last.is_none() || !wanted(&queue) {
            return None;
        }
        queue.busy = queue.oldest.take();
        let spare = std::mem::take(&mut queue.spare);
        let next = Batch { bytes: spare, ..Batch::default() };
        Some(std::mem::replace(&mut queue.waiting, next))
    }

    /// Tries to make the medium writable again.
    pub(crate) fn reopen(&self) -> io::Result<Reopened> {
        let mut medium = self.medium.lock();
        let medium = medium.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        medium.reopen(self.anchor(), self)
    }

    /// Looks whether the medium still is what it was.
    pub(crate) fn look_around(&self) {
        let mut medium = self.medium.lock();
        if let Some(Err(error)) = medium.as_mut().map(|medium| medium.look_around(self)) {
            self.fail(&error);
        }
    }

    /// What the sink's writer does next; waits for it.
    pub(crate) fn next(&self) -> Next {
        let mut queue = self.queue.lock();
        let begun = Instant::now();
        loop {
            let out = queue.state == State::Out;
            if !out && queue.waiting.last.is_some() {
                return Next::Write;
            }
            let now = Instant::now();
            if queue.closing {
                return Next::Close;
            }
            let until = match (queue.state, queue.tried) {
                (State::On, _) => begun + IDLE,
                (State::Out, Some(tried)) => tried + RETRY,
                (State::Out, None) => now,
            };
            if until <= now {
                if out {
                    queue.tried = Some(now);
                    return Next::Retry;
                }
                return Next::Idle;
            }
            self.wake_writer.wait_until(&mut queue, until);
        }
    }

    /// A batch was written. Another thread may have given the sink up meanwhile.
    fn wrote(&self, mut batch: Batch) {
        let mut queue = self.queue.lock();
        queue.busy = None;
        batch.bytes.clear();
        if batch.bytes.capacity() <= KEPT_BYTES {
            queue.spare = batch.bytes;
        }
        if queue.state == State::Out {
            return;
        }
        queue.written = batch.last;
        if queue.file.is_some() && queue.unsynced.is_none() {
            // From then on the syncer knows until when it waits.
            queue.unsynced = Some(Instant::now());
            self.wake_syncer.notify_one();
        }
        let written = batch.last.map_or(0, |last| last.seq);
        queue.progress.send_modify(|progress| progress.written = written);
    }

    /// The sink has failed, and is out.
    fn fail(&self, why: &dyn std::fmt::Display) {
        self.end(&mut self.queue.lock(), why);
    }

    fn end(&self, queue: &mut MutexGuard<'_, Queue>, why: &dyn std::fmt::Display) {
        if queue.state != State::On {
            return;
        }
        tracing::error!(sink = self.kind.as_str(), error = %why, "an audit sink is out");
        queue.state = State::Out;
        queue.waiting = Batch::default();
        (queue.oldest, queue.busy, queue.unsynced, queue.syncing) = (None, None, None, None);
        (queue.file, queue.tried) = (None, None);
        queue.life += 1;
        queue.progress.send_modify(|progress| progress.ended = true);
        self.wake_writer.notify_one();
    }

    /// The sink can be written again, and has everything up to that line, durably if it is a file.
    pub(crate) fn admit(&self, held: Option<Anchor>, file: Option<Arc<File>>) {
        let mut queue = self.queue.lock();
        queue.state = State::On;
        let reached = held.map_or(0, |held| held.seq);
        let progress = Progress { written: reached, synced: reached, ended: false };
        queue.progress = watch::Sender::new(progress);
        (queue.file, queue.written) = (file, held);
        if let Some(held) = held {
            queue.note_synced(held);
        }
    }

    /// Takes over the file that lines go into from now on. What was written before is durable.
    pub(crate) fn begin_file(&self, file: Arc<File>, synced: Anchor) {
        let mut queue = self.queue.lock();
        if queue.state == State::Out {
            return;
        }
        queue.life += 1;
        (queue.file, queue.unsynced, queue.syncing) = (Some(file), None, None);
        queue.note_synced(synced);
    }

    /// Everything up to that line was made durable by the writer itself.
    pub(crate) fn synced_through(&self, anchor: Anchor) {
        self.queue.lock().note_synced(anchor);
    }

    /// Whether the disk keeps room for what comes.
    pub(crate) fn set_low(&self, low: bool) {
        let mut queue = self.queue.lock();
        if low && !queue.low {
            tracing::error!("the disk has no room left for the audit log: it is not ready");
        }
        queue.low = low;
    }

    /// What the syncer does next; waits for it. Nothing when the sink is closed.
    pub(crate) fn next_sync(&self) -> Option<Sync> {
        let mut queue = self.queue.lock();
        loop {
            let due = queue.unsynced.map(|since| since + SYNC_WITHIN);
            let wanted = queue.synced.map_or(0, |synced| synced.seq) < queue.wanted;
            let closing = queue.closing;
            match (due, queue.file.clone()) {
                (Some(due), Some(file)) if wanted || closing || due <= Instant::now() => {
                    (queue.syncing, queue.unsynced) = (queue.unsynced, None);
                    let (upto, life) = (queue.written, queue.life);
                    return Some(Sync { file, upto, life });
                }
                (Some(due), Some(_)) => {
                    self.wake_syncer.wait_until(&mut queue, due);
                }
                _ if queue.writer_gone => return None,
                _ => self.wake_syncer.wait(&mut queue),
            }
        }
    }

    /// The syncer has done what it was told, or could not.
    pub(crate) fn synced(&self, sync: &Sync, result: std::io::Result<()>) {
        let mut queue = self.queue.lock();
        // The file that was synced is not the current one any more.
        if queue.life != sync.life {
            return;
        }
        queue.syncing = None;
        match (result, sync.upto) {
            (Ok(()), Some(upto)) => queue.note_synced(upto),
            (Ok(()), None) => {}
            (Err(error), _) => self.end(&mut queue, &format_args!("fdatasync: {error}")),
        }
    }

    /// No more lines are taken; those that wait are still written.
    pub(crate) fn close(&self) {
        let mut queue = self.queue.lock();
        queue.closing = true;
        self.wake_writer.notify_all();
        self.wake_syncer.notify_all();
    }

    /// The writer is gone: the medium is let go of, and the syncer may go once everything is durable.
    pub(crate) fn writer_gone(&self) {
        drop(self.medium.lock().take());
        self.queue.lock().writer_gone = true;
        self.wake_syncer.notify_all();
    }
}

impl Queue {
    /// Whether what waits only has to be written. Beginning a file takes longer, and is not for those
    /// who serve requests.
    fn is_light(&self) -> bool {
        self.waiting.cuts.is_empty()
    }

    /// Whether a line waits for longer than it should.
    fn is_behind(&self, now: Instant, deadline: Duration) -> bool {
        let waits = [self.oldest, self.busy].into_iter().flatten();
        waits.into_iter().any(|since| now.saturating_duration_since(since) > deadline)
    }

    fn note_synced(&mut self, anchor: Anchor) {
        self.synced = Anchor::later(self.synced, Some(anchor));
        self.progress.send_modify(|progress| progress.synced = anchor.seq);
    }
}
