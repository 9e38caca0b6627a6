//! Opening a keyring file, and changing who opens it (FORMAT.md section 4).

use domain::Timestamp;

use crate::hazmat::Refused;
use crate::keyring_file::{Body, KekEntry, KeyringFile, MAX_SLOTS};
use crate::keys::KeyringKey;
use crate::slot::Slot;
use crate::{Keyring, KeyringError, MakeError, NoMemory, SlotError, SlotInfo, StoreId, Unlock};

/// A keyring file whose every byte is known to be authentic.
pub(crate) struct Unlocked {
    pub(crate) file: KeyringFile,
    pub(crate) key: KeyringKey,
    /// The slot that the root key opened.
    pub(crate) slot: u8,
}

impl Unlocked {
    pub(crate) fn open(file: &[u8], root: Unlock<'_>) -> Result<Self, KeyringError> {
        let file = KeyringFile::decode(file)?;
        let found = find(&file.body.slots, file.body.store, root);
        let found = found.map_err(|NoMemory| KeyringError::NoMemory)?;
        let (slot, key) = found.ok_or(KeyringError::WrongRootKey)?;
        file.verify(&key).map_err(|Refused| KeyringError::Damaged)?;
        Ok(Self { file, key, slot })
    }
}

impl Keyring {
    /// The slots of a keyring file. No root key vouches for the answer.
    ///
    /// # Errors
    /// When the file is damaged or of another format.
    pub fn slots(file: &[u8]) -> Result<Vec<SlotInfo>, KeyringError> {
        Ok(KeyringFile::decode(file)?.body.slots.iter().map(Slot::info).collect())
    }

    /// The same keyring, for a second root key too. The keys, and so the generation, stay.
    ///
    /// # Errors
    /// When `present` does not open the file, `new` does already, or both slots are taken.
    pub fn with_slot_added<'a, 'b>(
        file: &[u8],
        present: impl Into<Unlock<'a>>,
        new: impl Into<Unlock<'b>>,
        now: Timestamp,
    ) -> Result<Vec<u8>, SlotError> {
        let Unlocked { file, key, .. } = Unlocked::open(file, present.into())?;
        let mut body = file.body;
        add_slot(&mut body, new.into(), now, &key)?;
        Ok(KeyringFile::seal(body, &key).map_err(MakeError::from)?.encode())
    }

    /// The same keyring without slot `id`, under a new keyring key, so that who kept the dropped
    /// root key and an older file cannot open later ones with them. `present` opens the slot that
    /// stays, and has thereby shown that it does.
    ///
    /// # Errors
    /// When `present` does not open the file, or opens that very slot.
    pub fn with_slot_dropped<'a>(
        file: &[u8],
        present: impl Into<Unlock<'a>>,
        id: u8,
    ) -> Result<Vec<u8>, SlotError> {
        let present = present.into();
        let Unlocked { file, key, slot: opened } = Unlocked::open(file, present)?;
        let mut body = file.body;
        if id == opened {
            return Err(SlotError::InUse(id));
        }
        if body.slots.iter().all(|slot| slot.head.id != id) {
            return Err(SlotError::Unknown(id));
        }
        let store = body.store;
        let new_key = KeyringKey::make().map_err(MakeError::from)?;
        let rewrap = |kek: &KekEntry| {
            let bytes = kek.unwrap(store, &key).map_err(|Refused| KeyringError::Damaged)?;
            let about = (kek.created_at, kek.state);
            let rewrapped = KekEntry::wrap(store, kek.id, about, &bytes, &new_key);
            Ok(rewrapped.map_err(MakeError::from)?)
        };
        body.keks = body.keks.iter().map(rewrap).collect::<Result<_, SlotError>>()?;
        // There are two slots at most, so what stays is the one that was opened.
        let staying = body.slots.into_iter().filter(|slot| slot.head.id != id);
        let staying = staying.map(|slot| slot.rewrap(store, present, &new_key));
        body.slots = staying.collect::<Result<_, _>>()?;
        Ok(KeyringFile::seal(body, &new_key).map_err(MakeError::from)?.encode())
    }
}

/// Adds a slot for a root key that has none yet.
pub(crate) fn add_slot(
    body: &mut Body,
    new: Unlock<'_>,
    now: Timestamp,
    key: &KeyringKey,
) -> Result<(), SlotError> {
    let free = (1..=MAX_SLOTS).find(|id| body.slots.iter().all(|slot| slot.head.id != *id));
    let free = free.ok_or(SlotError::Full)?;
    if let Some((same, _)) = find(&body.slots, body.store, new).map_err(MakeError::from)? {
        return Err(SlotError::SameKey(same));
    }
    body.slots.push(Slot::make(body.store, free, new, now, key)?);
    body.slots.sort_by_key(|slot| slot.head.id);
    Ok(())
}

/// The root key's slot, and the keyring key in it.
fn find(
    slots: &[Slot],
    store: StoreId,
    root: Unlock<'_>,
) -> Result<Option<(u8, KeyringKey)>, NoMemory> {
    for slot in slots {
        if let Some(key) = slot.open(store, root)? {
            return Ok(Some((slot.head.id, key)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RootKey;

    /// Who kept an older file and the dropped root key has the keyring key of then.
    #[test]
    fn the_keyring_key_of_before_a_drop_opens_nothing_of_after_it() {
        let now = Timestamp::default();
        let [first, second] = [(); 2].map(|()| RootKey::make().unwrap());
        let made = Keyring::make(StoreId::make().unwrap(), &first, now).unwrap().to_file();
        let both = Keyring::with_slot_added(&made, &first, &second, now).unwrap();
        let old = Unlocked::open(&both, (&first).into()).ok().unwrap().key;
        let after = Keyring::with_slot_dropped(&both, &second, 1).unwrap();
        let after = KeyringFile::decode(&after).unwrap();
        assert!(after.verify(&old).is_err());
        assert!(after.body.keks[0].unwrap(after.body.store, &old).is_err());
    }
}
