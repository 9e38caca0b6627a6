//! The layout of the keyring file (FORMAT.md section 4). No key is used here: what is decoded is
//! not yet trusted.

use domain::{Decoder, Encoder, Malformed, Timestamp};
use ring::digest::{SHA256, digest};

use crate::hazmat::{NONCE_BYTES, TAG_BYTES};
use crate::keys::Wrapped;
use crate::{KekId, KeyringError, StoreId};

const MAGIC: &[u8; 8] = b"TRESORKR";
const FORMAT: u16 = 1;
const CHECKSUM_BYTES: usize = 32;
const MAX_SLOTS: u8 = 2;
const RAW_SOURCE: u8 = 1;

/// The kind number of a metadata key in the table of wrapped keys.
pub(crate) const METADATA_KIND: u8 = 2;

pub(crate) struct KeyringFile {
    pub(crate) body: Body,
    pub(crate) slots: Vec<Slot>,
}

/// What every slot's tag covers.
pub(crate) struct Body {
    pub(crate) store: StoreId,
    pub(crate) generation: u64,
    pub(crate) current_kek: KekId,
    pub(crate) keks: Vec<KekEntry>,
    pub(crate) metadata_keys: Vec<KeyEntry>,
    pub(crate) slot_count: u8,
}

pub(crate) struct KekEntry {
    pub(crate) id: KekId,
    pub(crate) created_at: Timestamp,
    pub(crate) state: KekState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum KekState {
    Current = 1,
    Retired = 2,
}

pub(crate) struct KeyEntry {
    pub(crate) id: u32,
    pub(crate) kek: KekId,
    pub(crate) wrapped: Wrapped,
}

/// The keyring under one root key.
pub(crate) struct Slot {
    pub(crate) id: u8,
    /// One for each KEK, in the table's order.
    pub(crate) keks: Vec<Wrapped>,
    pub(crate) nonce: [u8; NONCE_BYTES],
    pub(crate) tag: [u8; TAG_BYTES],
}

impl KeyringFile {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = self.body.encode();
        for slot in &self.slots {
            out.extend(slot_head(slot.id, &slot.keks));
            out.extend(slot.nonce);
            out.extend(slot.tag);
        }
        out.extend_from_slice(digest(&SHA256, &out).as_ref());
        out
    }

    /// Reads a file in the order that FORMAT.md prescribes, so that each fault has its own answer.
    pub(crate) fn decode(file: &[u8]) -> Result<Self, KeyringError> {
        check_format(file)?;
        let length = file.len().checked_sub(CHECKSUM_BYTES).ok_or(KeyringError::Damaged)?;
        let (content, checksum) = file.split_at_checked(length).ok_or(KeyringError::Damaged)?;
        if digest(&SHA256, content).as_ref() != checksum {
            return Err(KeyringError::Damaged);
        }
        decode_content(content).map_err(|Malformed| KeyringError::Damaged)
    }
}

impl Body {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.raw(MAGIC).u16(FORMAT).raw(self.store.as_bytes());
        out.u64(self.generation).u32(self.current_kek.get()).u8(count(&self.keks));
        for kek in &self.keks {
            out.u32(kek.id.get()).timestamp(kek.created_at).u8(kek.state as u8);
        }
        out.u8(count(&self.metadata_keys));
        for key in &self.metadata_keys {
            out.u8(METADATA_KIND).u32(key.id).u32(key.kek.get());
            key.wrapped.encode(&mut out);
        }
        out.u8(self.slot_count).finish()
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let body = Self {
            store: StoreId::from_bytes(from.array()?),
            generation: from.u64()?,
            current_kek: KekId::new(from.u32()?),
            keks: decode_table(from, decode_kek)?,
            metadata_keys: decode_table(from, decode_key)?,
            slot_count: from.u8()?,
        };
        if body.is_canonical() { Ok(body) } else { Err(Malformed) }
    }

    fn is_canonical(&self) -> bool {
        let kek_ids = || self.keks.iter().map(|kek| kek.id.get());
        let states_agree = self
            .keks
            .iter()
            .all(|kek| (kek.state == KekState::Current) == (kek.id == self.current_kek));
        self.generation > 0
            && ascends_from_one(kek_ids())
            && kek_ids().any(|id| id == self.current_kek.get())
            && states_agree
            && ascends_from_one(self.metadata_keys.iter().map(|key| key.id))
            && self.metadata_keys.iter().all(|key| kek_ids().any(|id| id == key.kek.get()))
            && (1..=MAX_SLOTS).contains(&self.slot_count)
    }
}

/// A slot up to its tag, which covers these bytes.
pub(crate) fn slot_head(id: u8, keks: &[Wrapped]) -> Vec<u8> {
    let mut out = Encoder::default();
    out.u8(id).u8(RAW_SOURCE).bytes(b"");
    for kek in keks {
        kek.encode(&mut out);
    }
    out.finish()
}

fn check_format(file: &[u8]) -> Result<(), KeyringError> {
    let mut file = Decoder::new(file);
    let magic = file.array().map_err(|Malformed| KeyringError::Damaged)?;
    let format = file.u16().map_err(|Malformed| KeyringError::Damaged)?;
    match format {
        _ if magic != *MAGIC => Err(KeyringError::Damaged),
        FORMAT => Ok(()),
        found if found > FORMAT => Err(KeyringError::NewerFormat { found }),
        _ => Err(KeyringError::Damaged),
    }
}

fn decode_content(content: &[u8]) -> Result<KeyringFile, Malformed> {
    let mut from = Decoder::new(content);
    from.raw(MAGIC.len() + size_of::<u16>())?;
    let body = Body::decode(&mut from)?;
    let slots = (1..=body.slot_count)
        .map(|id| decode_slot(&mut from, id, body.keks.len()))
        .collect::<Result<_, _>>()?;
    from.finish()?;
    Ok(KeyringFile { body, slots })
}

fn decode_table<T>(
    from: &mut Decoder<'_>,
    decode: impl Fn(&mut Decoder<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    match from.u8()? {
        0 => Err(Malformed),
        count => (0..count).map(|_| decode(from)).collect(),
    }
}

fn decode_kek(from: &mut Decoder<'_>) -> Result<KekEntry, Malformed> {
    let (id, created_at) = (KekId::new(from.u32()?), from.timestamp()?);
    let state = match from.u8()? {
        1 => KekState::Current,
        2 => KekState::Retired,
        _ => return Err(Malformed),
    };
    Ok(KekEntry { id, created_at, state })
}

fn decode_key(from: &mut Decoder<'_>) -> Result<KeyEntry, Malformed> {
    expect(from.u8()?, METADATA_KIND)?;
    Ok(KeyEntry { id: from.u32()?, kek: KekId::new(from.u32()?), wrapped: Wrapped::decode(from)? })
}

fn decode_slot(from: &mut Decoder<'_>, id: u8, keks: usize) -> Result<Slot, Malformed> {
    expect(from.u8()?, id)?;
    expect(from.u8()?, RAW_SOURCE)?;
    expect(from.bytes()?, b"")?;
    let keks = (0..keks).map(|_| Wrapped::decode(from)).collect::<Result<_, _>>()?;
    Ok(Slot { id, keks, nonce: from.array()?, tag: from.array()? })
}

fn expect<T: PartialEq>(found: T, only: T) -> Result<(), Malformed> {
    if found == only { Ok(()) } else { Err(Malformed) }
}

fn ascends_from_one(ids: impl Iterator<Item = u32> + Clone) -> bool {
    let positive = ids.clone().all(|id| id > 0);
    positive && ids.clone().zip(ids.skip(1)).all(|(one, next)| one < next)
}

/// Whoever adds a key to a table keeps it at 255 entries or fewer.
fn count<T>(table: &[T]) -> u8 {
    u8::try_from(table.len()).unwrap_or(u8::MAX)
}
