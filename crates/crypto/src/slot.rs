//! A root key's slot in the keyring file: what it wraps, and the tag over the rest of the file
//! (FORMAT.md section 4).

use crate::hazmat::{Cipher, Refused};
use crate::keyring_file::{Body, KekEntry, KeyEntry, KeyringFile, METADATA_KIND, Slot, slot_head};
use crate::keys::{Kek, KeyBytes, MetadataKey, Wrapped, unwrap, wrap};
use crate::random::FreshNonce;
use crate::{KekId, NoRandomness, associated};

/// Wraps the KEKs, in the table's order, and tags `body` under the root key.
pub(crate) fn make(
    id: u8,
    root: &Cipher,
    body: &Body,
    keks: &[(KekId, &KeyBytes)],
) -> Result<Slot, NoRandomness> {
    let wrap_one = |(id, bytes): &(KekId, &KeyBytes)| {
        let associated = associated::kek(body.store, *id);
        Ok(wrap(root, FreshNonce::make()?, &associated, bytes.as_bytes()))
    };
    let keks = keks.iter().map(wrap_one).collect::<Result<Vec<_>, _>>()?;
    let nonce = FreshNonce::make()?.into_bytes();
    let tag = root.seal(nonce, &tag_associated(body, id, &keks), &mut []);
    Ok(Slot { id, keks, nonce, tag })
}

/// The slot that the root key belongs to. With it the whole body is known to be authentic.
pub(crate) fn verified<'a>(file: &'a KeyringFile, root: &Cipher) -> Option<&'a Slot> {
    file.slots.iter().find(|slot| {
        let associated = tag_associated(&file.body, slot.id, &slot.keks);
        root.open(slot.nonce, &associated, &mut [], slot.tag).is_ok()
    })
}

pub(crate) fn open_keks(body: &Body, slot: &Slot, root: &Cipher) -> Result<Vec<Kek>, Refused> {
    let open_one = |(entry, wrapped): (&KekEntry, &Wrapped)| {
        let bytes = unwrap(root, &associated::kek(body.store, entry.id), wrapped)?;
        Ok(Kek::new(entry.id, &bytes))
    };
    body.keks.iter().zip(&slot.keks).map(open_one).collect()
}

pub(crate) fn open_metadata_keys(body: &Body, keks: &[Kek]) -> Result<Vec<MetadataKey>, Refused> {
    let open_one = |entry: &KeyEntry| {
        let kek = keks.iter().find(|kek| kek.id == entry.kek).ok_or(Refused)?;
        let associated = associated::key(body.store, METADATA_KIND, entry.id, entry.kek);
        let bytes = kek.unwrap_key(&entry.wrapped, &associated)?;
        Ok(MetadataKey::new(entry.id, &bytes))
    };
    body.metadata_keys.iter().map(open_one).collect()
}

fn tag_associated(body: &Body, id: u8, keks: &[Wrapped]) -> Vec<u8> {
    associated::slot(&body.encode(), &slot_head(id, keks))
}
