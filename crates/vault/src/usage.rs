//! When secrets were last read and tokens last shown: noted in memory, written down from time to
//! time and silently, so that reading writes nothing.

use std::collections::HashMap;

use domain::{Timestamp, Uid};
use parking_lot::Mutex;
use store::{Commit, Key, decode_last_use, encode_last_use};

use crate::{Vault, VaultError};

/// How many are written down in one commit.
const AT_ONCE: usize = 50;

/// What is known and not written down yet.
#[derive(Default)]
pub(crate) struct Usage {
    reads: Mutex<HashMap<Uid, Timestamp>>,
    /// What was last written down of each token.
    written: Mutex<HashMap<Uid, Timestamp>>,
}

impl Vault {
    /// Notes that a secret was read. The sync worker's reading does not count: it says nothing about
    /// whether anybody needs the secret.
    pub(crate) fn note_read(&self, uid: Uid) {
        self.usage.reads.lock().insert(uid, self.clock.now());
    }

    /// Forgets a secret that is gone for good.
    pub(crate) fn forget_reads(&self, uid: Uid) {
        self.usage.reads.lock().remove(&uid);
    }

    /// When a secret was last read through the API, if it ever was.
    pub fn last_read(&self, uid: Uid) -> Option<Timestamp> {
        let noted = self.usage.reads.lock().get(&uid).copied();
        noted.or_else(|| self.stored_last_use(uid))
    }

    /// What is written down; a record that cannot be read is as good as none.
    pub(crate) fn stored_last_use(&self, uid: Uid) -> Option<Timestamp> {
        let read = self.read_record(&Key::last_use(uid), decode_last_use);
        read.ok().flatten().map(|(at, _)| at)
    }

    /// Writes down what was noted. The daemon calls it from time to time, and when it stops.
    ///
    /// # Errors
    /// When the store cannot be written; what was noted is then kept.
    pub fn write_usage(&self) -> Result<(), VaultError> {
        let mut noted: Vec<_> = self.usage.reads.lock().iter().map(|(k, v)| (*k, *v)).collect();
        let reads = noted.len();
        {
            let (mut written, tokens) = (self.usage.written.lock(), self.rights.tokens());
            written.retain(|id, _| self.rights.token(*id).is_some());
            for token in tokens {
                let id = token.record.id;
                let used = token.used().filter(|used| written.get(&id) != Some(used));
                noted.extend(used.map(|used| (id, used)));
            }
        }
        for (number, some) in noted.chunks(AT_ONCE).enumerate() {
            let mut commit = Commit::default();
            for (uid, at) in some {
                let key = Key::last_use(*uid);
                commit.put(key.clone(), self.seal_record(&key, &encode_last_use(*at))?);
            }
            self.commit(commit, authz::Basis::default())?;
            for (index, (uid, at)) in some.iter().enumerate() {
                if number * AT_ONCE + index < reads {
                    let mut reads = self.usage.reads.lock();
                    // Unless it was read again meanwhile.
                    if reads.get(uid) == Some(at) {
                        reads.remove(uid);
                    }
                } else {
                    self.usage.written.lock().insert(*uid, *at);
                }
            }
        }
        Ok(())
    }
}
