//! How many records are under which key: a scan of everything that is sealed.

use std::collections::BTreeMap;

use crypto::{KekId, Keyring, metadata_key_of, wrapping_kek};
use store::{Change, Engine, KeyRange, RotationRecord, Stored, WrappedKeys, decode_stored_event};

use crate::{Vault, VaultError};

// Small in tests, so that tests turn pages.
const PAGE: usize = if cfg!(test) { 9 } else { 100 };

/// Stands for the key of a record that does not say it; the numbers of keys begin at 1. It is under no
/// key that stays, so that older ones are kept for it.
pub(crate) const UNREADABLE: u32 = 0;

/// Counts by the numbers that the records name, which their seals bind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// Wrapped data keys by KEK.
    pub(crate) keks: BTreeMap<u32, u64>,
    /// Metadata records, and metadata in events, by metadata key.
    pub(crate) metadata: BTreeMap<u32, u64>,
}

impl Census {
    pub(crate) fn take(engine: &dyn Engine) -> Result<Self, VaultError> {
        let mut census = Self::of_wraps(engine)?;
        let mut count = |sealed: &[u8]| {
            let key = metadata_key_of(sealed).unwrap_or(UNREADABLE);
            *census.metadata.entry(key).or_default() += 1;
        };
        for range in KeyRange::metadata() {
            each(engine, range, |stored| count(&stored.value))?;
        }
        each(engine, KeyRange::change_log(), |stored| {
            if let Ok((_, Change { view: Some(view), .. })) = decode_stored_event(&stored.value) {
                count(&view.sealed);
            }
        })?;
        Ok(census)
    }

    /// Of wrapped data keys alone.
    fn of_wraps(engine: &dyn Engine) -> Result<Self, VaultError> {
        let mut census = Self::default();
        each(engine, KeyRange::wrapped_keys(), |stored| {
            let mut count = |kek| *census.keks.entry(kek).or_default() += 1;
            match WrappedKeys::decode(&stored.value) {
                Ok(keys) => keys.iter().for_each(|(_, wrapped)| {
                    count(wrapping_kek(wrapped).map_or(UNREADABLE, KekId::get));
                }),
                Err(_) => count(UNREADABLE),
            }
        })?;
        Ok(census)
    }

    /// How many records are under keys that a rotation ends.
    pub(crate) fn older(&self, rotation: &RotationRecord) -> u64 {
        let keks = self.keks.iter().filter(|(kek, _)| **kek != rotation.kek);
        let metadata = self.metadata.range(..rotation.metadata_from);
        keks.map(|(_, count)| count).chain(metadata.map(|(_, count)| count)).sum()
    }
}

impl Vault {
    pub(crate) fn census(&self) -> Result<Census, VaultError> {
        Census::take(self.engine.as_ref())
    }

    /// How many records are under keys that a rotation ends: a scan of all that can be.
    pub(crate) fn count_older(
        &self,
        rotation: &RotationRecord,
        keyring: &Keyring,
    ) -> Result<u64, VaultError> {
        let engine = self.engine.as_ref();
        let census = match ends_metadata_keys(rotation, keyring) {
            true => Census::take(engine)?,
            false => Census::of_wraps(engine)?,
        };
        Ok(census.older(rotation))
    }
}

/// Whether a rotation ends keys that seal metadata. A keyring never gets one back, so that no record is under
/// one that it does not have.
pub(super) fn ends_metadata_keys(rotation: &RotationRecord, keyring: &Keyring) -> bool {
    keyring.metadata_key_ids().iter().any(|id| *id < rotation.metadata_from)
}

/// Looks at each record of a range, in pages, so that writers wait for none of them for long. What is
/// written behind the scan meanwhile is under the newest keys.
fn each(
    engine: &dyn Engine,
    mut range: KeyRange,
    mut look: impl FnMut(&Stored),
) -> Result<(), VaultError> {
    loop {
        let page = engine.scan(&range, PAGE)?;
        for (_, stored) in &page.records {
            look(stored);
        }
        match page.records.last() {
            Some((key, _)) if page.more => range = range.after(key),
            _ => return Ok(()),
        }
    }
}
