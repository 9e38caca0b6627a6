//! What watchers are told: each change of a secret once, in order, with the metadata that it left.
//!
//! The newest events are kept decoded in memory, so that a thousand watchers cost one reading of
//! the log. A watcher that lags behind them reads the log itself.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use authz::{List, Permit, WholeStore};
use domain::{ResourceVersion, Revision};
use parking_lot::Mutex;
use store::{Change, ChangeKind, ChangedObject, Event, Head, Key};

use crate::{SecretView, Vault, VaultError, Witness};

// The bounds are small in tests, so that tests reach them.

/// How many events are kept decoded.
const RECENT: usize = if cfg!(test) { 24 } else { 1024 };
/// How many events a watcher takes at once.
const BATCH: usize = if cfg!(test) { 5 } else { 256 };

/// One change of one secret.
pub struct Happening {
    /// How it changed.
    pub kind: ChangeKind,
    /// Its metadata as of this change; of its versions only the current one.
    pub view: SecretView,
    encoded: OnceLock<Vec<u8>>,
}

impl Happening {
    /// The change in a form that is made once for all watchers.
    pub fn encoded(&self, encode: impl FnOnce(&SecretView) -> Vec<u8>) -> &[u8] {
        self.encoded.get_or_init(|| encode(&self.view))
    }

    fn revision(&self) -> Revision {
        self.view.resource_version.revision()
    }
}

/// Changes in order.
pub struct Happenings {
    /// The changes; those of one commit are never torn apart.
    pub changes: Vec<Arc<Happening>>,
    /// Where to go on.
    pub through: ResourceVersion,
}

/// The newest events.
#[derive(Default)]
pub(crate) struct Recent(Mutex<Ring>);

/// All events after one revision and up to another.
#[derive(Default)]
struct Ring {
    after: Revision,
    through: Revision,
    events: VecDeque<Arc<Happening>>,
}

impl Ring {
    /// Takes what follows on a revision, unless someone else has brought it meanwhile.
    fn push(&mut self, after: Revision, changes: Vec<Arc<Happening>>, through: Revision) {
        if self.through != after {
            return;
        }
        self.events.extend(changes);
        self.through = through;
        let surplus = self.events.len().saturating_sub(RECENT);
        let last = self.events.drain(..surplus).next_back().map(|last| last.revision());
        if let Some(last) = last {
            self.after = last;
            while self.events.front().is_some_and(|next| next.revision() == self.after) {
                self.events.pop_front();
            }
        }
    }

    /// Forgets everything before a revision, unless someone else has come further meanwhile.
    fn begin_at(&mut self, revision: Revision) {
        if self.through < revision {
            *self = Self { after: revision, through: revision, events: VecDeque::new() };
        }
    }

    /// Events after a revision in whole commits, and where they end; none when it lies before the
    /// ring.
    fn read(&self, after: Revision) -> Option<(Vec<Arc<Happening>>, Revision)> {
        if after < self.after || self.through < after {
            return None;
        }
        let begin = self.events.partition_point(|event| event.revision() <= after);
        let mut taken: Vec<Arc<Happening>> = Vec::new();
        for event in self.events.range(begin..) {
            let last = taken.last().map(|last| last.revision());
            if taken.len() >= BATCH && last != Some(event.revision()) {
                return Some((taken, last.unwrap_or(after)));
            }
            taken.push(event.clone());
        }
        Some((taken, self.through))
    }
}

impl Vault {
    /// Takes what is new in the log into memory, and returns how far it reaches.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn keep_up(
        &self,
        _permit: &Permit<List, WholeStore>,
    ) -> Result<ResourceVersion, VaultError> {
        loop {
            let (through, newest) = (self.recent.0.lock().through, self.engine.revision());
            if through >= newest {
                return Ok(self.wire(through));
            }
            let far_behind = newest.get() - through.get() > RECENT as u64;
            let kept = || self.engine.events_after(through, RECENT);
            let Some(page) = (if far_behind { None } else { kept()?.ok() }) else {
                // Nobody watched for a while: what lies between is read by whoever asks for it.
                self.recent.0.lock().begin_at(newest);
                continue;
            };
            let changes = self.happenings_of(page.events)?;
            self.recent.0.lock().push(through, changes, page.through);
        }
    }

    /// Changes after a resource version, from memory alone; none when they reach back too far.
    pub fn recent_changes(
        &self,
        _permit: &Permit<List, WholeStore>,
        after: ResourceVersion,
    ) -> Option<Happenings> {
        if after.incarnation() != self.incarnation {
            return None;
        }
        let (changes, through) = self.recent.0.lock().read(after.revision())?;
        Some(Happenings { changes, through: self.wire(through) })
    }

    /// Changes after a resource version, from the log.
    ///
    /// # Errors
    /// [`VaultError::Gone`] when the log no longer reaches back that far, or has never been there.
    pub fn changes_after(
        &self,
        _permit: &Permit<List, WholeStore>,
        after: ResourceVersion,
    ) -> Result<Happenings, VaultError> {
        self.check_kept(after)?;
        let Ok(page) = self.engine.events_after(after.revision(), BATCH)? else {
            return Err(self.gone(after));
        };
        let changes = self.happenings_of(page.events)?;
        Ok(Happenings { changes, through: self.wire(page.through) })
    }

    /// Whether all changes after a resource version are still known.
    pub(crate) fn check_kept(&self, after: ResourceVersion) -> Result<(), VaultError> {
        let foreign = after.incarnation() != self.incarnation;
        if foreign || after.revision() > self.engine.revision() {
            return Err(self.gone(after));
        }
        match self.engine.events_after(after.revision(), 1)? {
            Ok(_) => Ok(()),
            Err(_) => Err(self.gone(after)),
        }
    }

    /// The refusal of a resource version, with the oldest one that is good.
    fn gone(&self, after: ResourceVersion) -> VaultError {
        let oldest = match self.engine.events_after(Revision::ZERO, 1) {
            Ok(Err(gone)) => gone.oldest,
            _ => Revision::ZERO,
        };
        let ahead = !self.witness(after, Witness::Client);
        VaultError::Gone { oldest: self.wire(oldest), ahead }
    }

    fn happenings_of(&self, events: Vec<Event>) -> Result<Vec<Arc<Happening>>, VaultError> {
        let mut changes = Vec::with_capacity(events.len());
        for event in events {
            let change = Change::decode(&event.bytes).map_err(|_| VaultError::Damaged)?;
            let (ChangedObject::Secret(_), Some(view)) = (&change.object, &change.view) else {
                continue;
            };
            let key = Key::event_view(change.uid, view.previous);
            let head = self.open_record(&key, &view.sealed, Head::decode)?;
            let view = SecretView { head, resource_version: self.wire(event.revision) };
            let kind = change.kind;
            changes.push(Arc::new(Happening { kind, view, encoded: OnceLock::new() }));
        }
        Ok(changes)
    }
}
