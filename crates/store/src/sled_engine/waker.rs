//! Somebody who looks after a flush that takes long.
//!
//! sled does not always wake who waits for a write that has failed, and would let the writer wait for
//! ever. Another flush, though, looks first whether a write has failed, and then wakes everybody.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How often flushes are looked at, and how long one may take before there is another.
const PATIENCE: Duration = Duration::from_secs(1);

/// The flush that is under way.
struct Flush {
    db: sled::Db,
    since: Instant,
    /// How long it may take until there is another one. It doubles: a slow disk is not to be met with
    /// a thread for each second.
    patience: Duration,
}

/// Looks after the flushes of one tree, until it is dropped.
#[derive(Clone)]
pub(super) struct Waker(Arc<Mutex<Option<Flush>>>);

impl Waker {
    pub(super) fn new() -> Self {
        let flush = Arc::default();
        let weak = Arc::downgrade(&flush);
        let thread = thread::Builder::new().name("store-waker".to_owned());
        // Without it there is only less to hope for where the disk fails.
        let _ = thread.spawn(move || watch(&weak));
        Self(flush)
    }

    /// Flushes the tree.
    pub(super) fn flush(&self, db: &sled::Db) -> sled::Result<usize> {
        let flush = Flush { db: db.clone(), since: Instant::now(), patience: PATIENCE };
        *self.0.lock() = Some(flush);
        let flushed = db.flush();
        drop(self.0.lock().take());
        flushed
    }
}

fn watch(flush: &Weak<Mutex<Option<Flush>>>) {
    loop {
        thread::sleep(PATIENCE);
        let Some(flush) = flush.upgrade() else { return };
        let mut flush = flush.lock();
        let Some(slow) = flush.as_mut().filter(|flush| flush.since.elapsed() >= flush.patience)
        else {
            continue;
        };
        slow.patience *= 2;
        let db = slow.db.clone();
        // It may be the next one that waits. What it returns is told to the first one, too.
        let _ = thread::Builder::new().name("store-waker".to_owned()).spawn(move || db.flush());
    }
}
