//! Where watchers wait: one task takes new events into memory, and wakes them all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use authz::{Actor, List, Permit, WholeStore, decide};
use domain::ResourceVersion;
use tokio::sync::{Notify, watch};
use vault::Vault;

/// How many watches are open at once.
const MAX_WATCHES: usize = 4096;
/// After how long changes that could not be read are read again.
const RETRY: Duration = Duration::from_secs(1);

/// What all watches share.
pub(crate) struct Hub {
    reached: watch::Sender<Option<ResourceVersion>>,
    closing: watch::Sender<bool>,
    wanted: Notify,
    open: AtomicUsize,
    /// Watches that were cut off because their client did not read.
    pub(crate) cut_off: AtomicU64,
    /// Lines that were sent.
    pub(crate) lines: AtomicU64,
}

/// A place among the watches; given back on drop.
pub(crate) struct Place(Arc<Hub>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hub {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            reached: watch::Sender::new(None),
            closing: watch::Sender::new(false),
            wanted: Notify::new(),
            open: AtomicUsize::new(0),
            cut_off: AtomicU64::new(0),
            lines: AtomicU64::new(0),
        })
    }

    /// A place for one more watch, if there is one.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Place> {
        let grow = |open| (open < MAX_WATCHES).then_some(open + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow).ok()?;
        Some(Place(self.clone()))
    }

    /// How many watches are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// A receiver that is woken whenever there is something new.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<ResourceVersion>> {
        let receiver = self.reached.subscribe();
        self.wanted.notify_one();
        receiver
    }

    /// A receiver that is woken when the daemon stops.
    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// Whether the daemon is stopping.
    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Ends all watches.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Keeps what is in memory up to date while anyone watches.
    pub(crate) async fn keep_up(self: Arc<Self>, vault: Arc<Vault>) {
        let (mut revisions, mut closing) = (vault.revisions(), self.closing());
        while !*closing.borrow_and_update() {
            if self.reached.receiver_count() == 0 {
                tokio::select! {
                    () = self.wanted.notified() => {}
                    _ = closing.changed() => return,
                }
            }
            revisions.borrow_and_update();
            let reader = vault.clone();
            let kept_up = tokio::task::spawn_blocking(move || reader.keep_up(&permit(&reader)?));
            let again = match kept_up.await {
                Ok(Ok(reached)) => {
                    self.reached.send_replace(Some(reached));
                    Duration::MAX
                }
                Ok(Err(error)) => {
                    tracing::error!(%error, "changes cannot be read for those who watch");
                    RETRY
                }
                // A panic is a defect of ours, and has said so; who watches must not starve of it.
                Err(_) => RETRY,
            };
            tokio::select! {
                changed = revisions.changed() => if changed.is_err() { return },
                _ = closing.changed() => return,
                () = tokio::time::sleep(again) => {}
            }
        }
    }
}

/// The right to read the log for everyone; what each watcher is shown is decided for each.
pub(crate) fn permit(vault: &Vault) -> Result<Permit<List, WholeStore>, vault::VaultError> {
    decide(&Actor::sync_worker(), WholeStore, vault.clock().now())
        .map_err(vault::VaultError::NotPermitted)
}
