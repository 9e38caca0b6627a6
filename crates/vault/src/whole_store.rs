//! Acts on the store as a whole: compaction and backup.

use std::io::Write;

use authz::{Administer, List, Permit, WholeStore};
use domain::{Incarnation, ResourceVersion};
use store::{BackupError, BackupSummary, CompactionView};

use crate::{Vault, VaultError};

impl Vault {
    /// Begins a compaction, unless one is under way; an administrator's act.
    ///
    /// # Errors
    /// When the store has stopped.
    pub fn compact(
        &self,
        _permit: &Permit<Administer, WholeStore>,
    ) -> Result<CompactionView, VaultError> {
        Ok(self.engine.begin_compaction()?)
    }

    /// How the last compaction since the start stands.
    pub fn compaction(&self, _permit: &Permit<List, WholeStore>) -> CompactionView {
        self.engine.compaction()
    }

    /// Writes a backup of the state of now: whole, or what was written since; an administrator's act.
    /// Values in it are sealed, and the keyring is in it, wrapped by the root keys.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub fn back_up(
        &self,
        _permit: &Permit<Administer, WholeStore>,
        since: Option<ResourceVersion>,
        out: &mut dyn Write,
        told: &mut dyn FnMut(u64, u64),
    ) -> Result<BackupSummary, BackupError> {
        self.engine.back_up(since, self.clock.now(), out, told)
    }

    /// Whether a backup may go on top of that state: it is one that this store has had.
    pub fn has_had(&self, at: ResourceVersion) -> bool {
        at.incarnation() == self.incarnation && at <= self.resource_version()
    }
}

/// What a store that is restored is to be called; none when it was restored too often. A restore of the
/// same backup, made twice, must not count the same way twice: resource versions of the first would
/// be taken for those of the second. So there are 256 that it may be.
///
/// # Errors
/// When the operating system gives no random bytes.
pub fn next_incarnation(before: Incarnation) -> Result<Option<Incarnation>, VaultError> {
    let mut random = [0];
    getrandom::fill(&mut random).map_err(|_| VaultError::NoRandomness)?;
    let next = before.get() + 1 + u32::from(random[0]);
    Ok(Some(Incarnation::new(next)).filter(|kept| kept.get() == next))
}
