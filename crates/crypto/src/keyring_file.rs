//! The layout of the keyring file (FORMAT.md section 4). No key is used here: what is decoded is
//! not yet trusted.

use domain::{Decoder, Encoder, Malformed, Timestamp};
use ring::digest::{SHA256, digest};

use crate::hazmat::{NONCE_BYTES, Refused, TAG_BYTES};
use crate::keys::{Kek, KeyBytes, KeyringKey, Wrapped};
use crate::random::FreshNonce;
use crate::slot::Slot;
use crate::{KekId, KeyringError, NoRandomness, StoreId, associated};

const MAGIC: &[u8; 8] = b"TRESORKR";
const FORMAT: u16 = 3;
const CHECKSUM_BYTES: usize = 32;
/// The most KEKs, and the most wrapped keys.
pub(crate) const MAX_ENTRIES: usize = 255;
/// The most slots, and the largest number of one.
pub(crate) const MAX_SLOTS: u8 = 2;

pub(crate) struct KeyringFile {
    pub(crate) body: Body,
    pub(crate) nonce: [u8; NONCE_BYTES],
    pub(crate) tag: [u8; TAG_BYTES],
}

/// What the tag covers.
#[derive(Clone)]
pub(crate) struct Body {
    pub(crate) store: StoreId,
    pub(crate) generation: u64,
    pub(crate) current_kek: KekId,
    pub(crate) keks: Vec<KekEntry>,
    pub(crate) keys: Vec<KeyEntry>,
    pub(crate) slots: Vec<Slot>,
}

#[derive(Clone)]
pub(crate) struct KekEntry {
    pub(crate) id: KekId,
    pub(crate) created_at: Timestamp,
    pub(crate) state: KekState,
    pub(crate) wrapped: Wrapped,
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum KekState {
    Current = 1,
    Retired = 2,
}

/// What one of the keyring's own keys is for, as the table of wrapped keys numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum KeyKind {
    Metadata = 2,
    Audit = 3,
    Token = 4,
}

impl KeyKind {
    pub(crate) const ALL: [Self; 3] = [Self::Metadata, Self::Audit, Self::Token];

    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    fn from_code(code: u8) -> Result<Self, Malformed> {
        Self::ALL.into_iter().find(|kind| kind.code() == code).ok_or(Malformed)
    }
}

#[derive(Clone)]
pub(crate) struct KeyEntry {
    pub(crate) kind: KeyKind,
    pub(crate) id: u32,
    pub(crate) kek: KekId,
    pub(crate) wrapped: Wrapped,
}

impl KeyringFile {
    pub(crate) fn seal(body: Body, key: &KeyringKey) -> Result<Self, NoRandomness> {
        let nonce = FreshNonce::make()?.into_bytes();
        let tag = key.cipher().seal(nonce, &associated::keyring(&body.encode()), &mut []);
        Ok(Self { body, nonce, tag })
    }

    /// Whether the holder of the keyring key wrote every byte.
    pub(crate) fn verify(&self, key: &KeyringKey) -> Result<(), Refused> {
        let associated = associated::keyring(&self.body.encode());
        key.cipher().open(self.nonce, &associated, &mut [], self.tag)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = self.body.encode();
        out.extend(self.nonce);
        out.extend(self.tag);
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
            kek.wrapped.encode(&mut out);
        }
        out.u8(count(&self.keys));
        for key in &self.keys {
            out.u8(key.kind.code()).u32(key.id).u32(key.kek.get());
            key.wrapped.encode(&mut out);
        }
        out.u8(count(&self.slots));
        for slot in &self.slots {
            slot.encode(&mut out);
        }
        out.finish()
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let body = Self {
            store: StoreId::from_bytes(from.array()?),
            generation: from.u64()?,
            current_kek: KekId::new(from.u32()?),
            keks: decode_table(from, decode_kek)?,
            keys: decode_table(from, decode_key)?,
            slots: decode_table(from, Slot::decode)?,
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
            && self.keys.is_sorted_by_key(|key| key.kind)
            && KeyKind::ALL.into_iter().all(|kind| self.has_key_of(kind))
            && self.keys.iter().all(|key| kek_ids().any(|id| id == key.kek.get()))
            && ascends_from_one(self.slots.iter().map(|slot| slot.head.id.into()))
            && self.slots.iter().all(|slot| slot.head.id <= MAX_SLOTS)
    }

    /// Whether there is a key of that kind, and all of them are in order.
    fn has_key_of(&self, kind: KeyKind) -> bool {
        let ids = self.keys.iter().filter(move |key| key.kind == kind).map(|key| key.id);
        ids.clone().next().is_some() && ascends_from_one(ids)
    }
}

impl KeyEntry {
    /// An entry of a key that is wrapped now.
    pub(crate) fn wrap(
        store: StoreId,
        (kind, id): (KeyKind, u32),
        key: &KeyBytes,
        kek: &Kek,
    ) -> Result<Self, NoRandomness> {
        let associated = associated::key(store, kind.code(), id, kek.id);
        let wrapped = kek.wrap_key(key, FreshNonce::make()?, &associated);
        Ok(Self { kind, id, kek: kek.id, wrapped })
    }

    pub(crate) fn unwrap<'a>(
        &self,
        store: StoreId,
        keks: impl IntoIterator<Item = &'a Kek>,
    ) -> Result<KeyBytes, Refused> {
        let kek = keks.into_iter().find(|kek| kek.id == self.kek).ok_or(Refused)?;
        let associated = associated::key(store, self.kind.code(), self.id, self.kek);
        kek.unwrap_key(&self.wrapped, &associated)
    }
}

impl KekEntry {
    /// An entry of a KEK that is wrapped now.
    pub(crate) fn wrap(
        store: StoreId,
        id: KekId,
        (created_at, state): (Timestamp, KekState),
        kek: &KeyBytes,
        key: &KeyringKey,
    ) -> Result<Self, NoRandomness> {
        let wrapped = key.wrap_kek(kek, &associated::kek(store, id))?;
        Ok(Self { id, created_at, state, wrapped })
    }

    pub(crate) fn unwrap(&self, store: StoreId, key: &KeyringKey) -> Result<KeyBytes, Refused> {
        key.unwrap_kek(&self.wrapped, &associated::kek(store, self.id))
    }
}

fn check_format(file: &[u8]) -> Result<(), KeyringError> {
    let mut file = Decoder::new(file);
    let magic = file.array().map_err(|Malformed| KeyringError::Damaged)?;
    let format = file.u16().map_err(|Malformed| KeyringError::Damaged)?;
    match format {
        _ if magic != *MAGIC => Err(KeyringError::Damaged),
        FORMAT => Ok(()),
        0 => Err(KeyringError::Damaged),
        found @ 1..FORMAT => Err(KeyringError::OlderFormat { found }),
        found => Err(KeyringError::NewerFormat { found }),
    }
}

fn decode_content(content: &[u8]) -> Result<KeyringFile, Malformed> {
    let mut from = Decoder::new(content);
    from.raw(MAGIC.len() + size_of::<u16>())?;
    let body = Body::decode(&mut from)?;
    let (nonce, tag) = (from.array()?, from.array()?);
    from.finish()?;
    Ok(KeyringFile { body, nonce, tag })
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
    Ok(KekEntry { id, created_at, state, wrapped: Wrapped::decode(from)? })
}

fn decode_key(from: &mut Decoder<'_>) -> Result<KeyEntry, Malformed> {
    Ok(KeyEntry {
        kind: KeyKind::from_code(from.u8()?)?,
        id: from.u32()?,
        kek: KekId::new(from.u32()?),
        wrapped: Wrapped::decode(from)?,
    })
}

fn ascends_from_one(ids: impl Iterator<Item = u32> + Clone) -> bool {
    let positive = ids.clone().all(|id| id > 0);
    positive && ids.clone().zip(ids.skip(1)).all(|(one, next)| one < next)
}

/// Whoever adds a key to a table keeps it at [`MAX_ENTRIES`] or fewer.
fn count<T>(table: &[T]) -> u8 {
    u8::try_from(table.len()).unwrap_or(u8::MAX)
}
