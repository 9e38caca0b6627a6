//! Where watchers wait: one task takes new events into memory, and wakes them all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use authz::{Actor, List, Permit, WholeStore, decide};
use domain::{ResourceVersion, Uid};
use tokio::sync::{Notify, watch};
use vault::Vault;

/// How many watches are open at once.
const MAX_WATCHES: usize = 4096;
/// How many of them one token has, so that no client shuts out the others.
const MAX_OF_ONE: usize = MAX_WATCHES / 4;
/// How long they are left alone after they were woken, for each of them: it takes longer to send a line to
/// each than to write the next change, and what comes meanwhile goes out with one call.
const REST_OF_EACH: Duration = Duration::from_micros(25);
/// And the longest that a change waits for that.
const LONGEST_REST: Duration = Duration::from_millis(50);
/// After how long changes that could not be read are read again.
const RETRY: Duration = Duration::from_secs(1);

/// What all watches share.
pub(crate) struct Hub {
    reached: watch::Sender<Option<ResourceVersion>>,
    closing: watch::Sender<bool>,
    wanted: Notify,
    places: Mutex<Places>,
    /// Watches that were cut off because their client did not read.
    pub(crate) cut_off: AtomicU64,
    /// Lines that were sent.
    pub(crate) lines: AtomicU64,
}

/// The watches that are open, by token.
#[derive(Default)]
struct Places {
    open: usize,
    by_token: HashMap<Uid, usize>,
}

/// A place among the watches; given back on drop.
pub(crate) struct Place {
    hub: Arc<Hub>,
    token: Uid,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.hub.places();
        places.open -= 1;
        if let Entry::Occupied(mut mine) = places.by_token.entry(self.token) {
            *mine.get_mut() -= 1;
            if *mine.get() == 0 {
                mine.remove();
            }
        }
    }
}

impl Hub {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            reached: watch::Sender::new(None),
            closing: watch::Sender::new(false),
            wanted: Notify::new(),
            places: Mutex::default(),
            cut_off: AtomicU64::new(0),
            lines: AtomicU64::new(0),
        })
    }

    /// A place for one more watch of a token, if there is one.
    pub(crate) fn enter(self: &Arc<Self>, token: Uid) -> Option<Place> {
        let mut places = self.places();
        let mine = places.by_token.get(&token).copied().unwrap_or_default();
        if places.open >= MAX_WATCHES || mine >= MAX_OF_ONE {
            return None;
        }
        places.open += 1;
        places.by_token.insert(token, mine + 1);
        drop(places);
        Some(Place { hub: self.clone(), token })
    }

    /// How many watches are open.
    pub(crate) fn open(&self) -> usize {
        self.places().open
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        // Nothing panics between two counts, so they are right whoever panicked.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
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
                    tokio::select! {
                        () = rest(self.reached.receiver_count()) => {}
                        _ = closing.changed() => return,
                    }
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

/// The rest that so many watchers get. For few there is none: a timer's least is a millisecond.
async fn rest(watchers: usize) {
    let rest = REST_OF_EACH.saturating_mul(u32::try_from(watchers).unwrap_or(u32::MAX));
    if rest >= Duration::from_millis(1) {
        tokio::time::sleep(rest.min(LONGEST_REST)).await;
    }
}

/// The right to read the log for everyone; what each watcher is shown is decided for each.
pub(crate) fn permit(vault: &Vault) -> Result<Permit<List, WholeStore>, vault::VaultError> {
    decide(&Actor::sync_worker(), WholeStore, vault.clock().now())
        .map_err(vault::VaultError::NotPermitted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(hub: &Arc<Hub>, token: u8, wanted: usize) -> Vec<Place> {
        let token = Uid::from_bytes([token; 16]);
        std::iter::from_fn(|| hub.enter(token)).take(wanted).collect()
    }

    #[test]
    fn one_token_leaves_places_to_the_others() {
        let hub = Hub::new();
        let mut greedy = enter(&hub, 1, MAX_WATCHES);
        assert_eq!(greedy.len(), MAX_OF_ONE);
        assert_eq!(enter(&hub, 2, 1).len(), 1);
        greedy.pop();
        assert_eq!(enter(&hub, 1, 2).len(), 1);
    }

    #[test]
    fn all_together_have_as_many_as_there_are_and_give_them_back() {
        let hub = Hub::new();
        let all: Vec<_> = (0..9).map(|token| enter(&hub, token, MAX_OF_ONE)).collect();
        assert_eq!(all.iter().map(Vec::len).sum::<usize>(), MAX_WATCHES);
        drop(all);
        assert_eq!(hub.open(), 0);
        assert!(hub.places().by_token.is_empty());
    }
}
