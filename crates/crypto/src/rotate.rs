//! New keys for a store, and the end of old ones (FORMAT.md section 13).
//!
//! Nothing here changes a keyring: each act makes another one, which its caller makes durable before
//! anything is sealed with it. The old one wipes its keys when the last of its users is done.

use domain::Timestamp;

use crate::hazmat::Refused;
use crate::keyring_file::{Body, KekEntry, KekState, KeyEntry, KeyKind, KeyringFile, MAX_ENTRIES};
use crate::keys::{Kek, KeyBytes};
use crate::slot::Slot;
use crate::slots::add_slot;
use crate::{KekId, Keyring, MakeError, RotateError, SlotError, SlotInfo, Unlock};

/// A key-encryption key of a keyring, as far as it may be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KekInfo {
    /// Its number.
    pub id: KekId,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether it wraps new data keys; all others only unwrap.
    pub is_current: bool,
}

impl Keyring {
    /// The KEKs, oldest first.
    pub fn kek_infos(&self) -> Vec<KekInfo> {
        let info = |kek: &KekEntry| KekInfo {
            id: kek.id,
            created_at: kek.created_at,
            is_current: kek.state == KekState::Current,
        };
        self.file.body.keks.iter().map(info).collect()
    }

    /// The numbers of the metadata keys, oldest first.
    pub fn metadata_key_ids(&self) -> Vec<u32> {
        let keys = self.file.body.keys.iter();
        keys.filter(|key| key.kind == KeyKind::Metadata).map(|key| key.id).collect()
    }

    /// The root keys that open this keyring.
    pub fn slot_infos(&self) -> Vec<SlotInfo> {
        self.file.body.slots.iter().map(Slot::info).collect()
    }

    /// The same keyring with a new KEK and a new metadata key for everything that is sealed from now
    /// on. What it had before opens as ever; the keyring's own keys are under the new KEK at once. No
    /// use of the new keys is reserved.
    ///
    /// # Errors
    /// When the keyring is full, or the operating system gives no random bytes.
    pub fn rotated(&self, now: Timestamp) -> Result<Self, RotateError> {
        let old = &self.file.body;
        let (store, id) = (old.store, next(old.keks.iter().map(|kek| kek.id.get()))?);
        let id = KekId::new(id);
        let bytes = KeyBytes::make()?;
        let mut keks: Vec<_> = old.keks.iter().map(KekEntry::retired).collect();
        keks.push(KekEntry::wrap(store, id, (now, KekState::Current), &bytes, &self.key)?);
        let kek = Kek::new(id, &bytes);
        let mut keys = Vec::with_capacity(old.keys.len() + 1);
        for entry in &old.keys {
            let key = entry.unwrap(store, self.keks()).map_err(damaged)?;
            keys.push(KeyEntry::wrap(store, (entry.kind, entry.id), &key, &kek)?);
        }
        let metadata = next(self.metadata_key_ids().into_iter())?;
        let metadata = (KeyKind::Metadata, metadata);
        keys.push(KeyEntry::wrap(store, metadata, &KeyBytes::make()?, &kek)?);
        keys.sort_by_key(|key| (key.kind, key.id));
        if keks.len() > MAX_ENTRIES || keys.len() > MAX_ENTRIES {
            return Err(RotateError::Full);
        }
        self.remade(Body { current_kek: id, keks, keys, ..self.next_body() })
    }

    /// The same keyring without the KEKs that only unwrap, and without the metadata keys below a
    /// number. The caller has seen that nothing is left that they would open.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn without_older(&self, metadata_from: u32) -> Result<Self, RotateError> {
        let mut body = self.next_body();
        body.keks.retain(|kek| kek.id == body.current_kek);
        let kept = metadata_from.min(self.metadata_key_id());
        body.keys.retain(|key| key.kind != KeyKind::Metadata || key.id >= kept);
        let mut made = self.remade(body)?;
        made.uses = self.uses.clone();
        Ok(made)
    }

    /// The same keyring, for a second root key too. The keys, and so the generation, stay.
    ///
    /// # Errors
    /// When the new root key opens the keyring already, or both slots are taken.
    pub fn with_root_added(&self, new: Unlock<'_>, now: Timestamp) -> Result<Self, SlotError> {
        let mut body = self.file.body.clone();
        add_slot(&mut body, new, now, &self.key)?;
        let mut made = self.remade(body).map_err(MakeError::from)?;
        made.uses = self.uses.clone();
        Ok(made)
    }

    /// A body to change, of the generation after this one's.
    fn next_body(&self) -> Body {
        let body = self.file.body.clone();
        Body { generation: body.generation.saturating_add(1), ..body }
    }

    fn remade(&self, body: Body) -> Result<Self, RotateError> {
        let file = KeyringFile::seal(body, &self.key)?;
        Self::from_file(file, self.key.share()).map_err(damaged)
    }
}

impl KekEntry {
    fn retired(&self) -> Self {
        Self { state: KekState::Retired, ..self.clone() }
    }
}

fn next(ids: impl Iterator<Item = u32>) -> Result<u32, RotateError> {
    ids.max().unwrap_or(0).checked_add(1).ok_or(RotateError::Full)
}

fn damaged(Refused: Refused) -> RotateError {
    RotateError::Damaged
}
