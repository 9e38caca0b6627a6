//! A slot: the keyring key under one root key (FORMAT.md section 4).

use domain::{Decoder, Encoder, Malformed, Timestamp};

use crate::argon2id::SALT_BYTES;
use crate::hazmat::{Cipher, Refused};
use crate::keys::{KeyringKey, Wrapped, unwrap, wrap};
use crate::random::{FreshNonce, fill};
use crate::{
    Argon2Cost, MakeError, NoMemory, NoRandomness, Passphrase, RootKey, StoreId, associated,
};

const RAW: u8 = 1;
const ARGON2ID: u8 = 2;
const ARGON2ID_BYTES: usize = 3 * size_of::<u32>() + SALT_BYTES;

/// What an operator opens a keyring with.
#[derive(Clone, Copy)]
pub enum Unlock<'a> {
    /// The root key itself.
    Key(&'a RootKey),
    /// A passphrase, which the root key is derived from.
    Passphrase(&'a Passphrase),
}

impl<'a> From<&'a RootKey> for Unlock<'a> {
    fn from(key: &'a RootKey) -> Self {
        Self::Key(key)
    }
}

impl<'a> From<&'a Passphrase> for Unlock<'a> {
    fn from(passphrase: &'a Passphrase) -> Self {
        Self::Passphrase(passphrase)
    }
}

/// Where a slot's root key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootSource {
    /// Derived from a passphrase with Argon2id, at this cost.
    Argon2id(Argon2Cost),
    /// Given as it is.
    Raw,
}

/// What a keyring file says about a slot; nothing of it is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotInfo {
    /// The slot's number, 1 or 2, which it keeps.
    pub id: u8,
    /// When it was added.
    pub created_at: Timestamp,
    /// Where its root key comes from.
    pub source: RootSource,
}

#[derive(Clone)]
pub(crate) struct Slot {
    pub(crate) head: SlotHead,
    pub(crate) wrapped: Wrapped,
}

/// A slot up to what it wraps, which is bound to these bytes.
#[derive(Clone)]
pub(crate) struct SlotHead {
    pub(crate) id: u8,
    pub(crate) created_at: Timestamp,
    pub(crate) source: SlotSource,
}

#[derive(Clone)]
pub(crate) enum SlotSource {
    Argon2id { cost: Argon2Cost, salt: [u8; SALT_BYTES] },
    Raw,
}

impl Slot {
    /// A slot for a root key that has none yet.
    pub(crate) fn make(
        store: StoreId,
        id: u8,
        root: Unlock<'_>,
        now: Timestamp,
        key: &KeyringKey,
    ) -> Result<Self, MakeError> {
        let head = SlotHead { id, created_at: now, source: SlotSource::make(root)? };
        Self::wrap(store, head, root, key)
    }

    /// The same slot around another keyring key.
    pub(crate) fn rewrap(
        self,
        store: StoreId,
        root: Unlock<'_>,
        key: &KeyringKey,
    ) -> Result<Self, MakeError> {
        Self::wrap(store, self.head, root, key)
    }

    fn wrap(
        store: StoreId,
        head: SlotHead,
        root: Unlock<'_>,
        key: &KeyringKey,
    ) -> Result<Self, MakeError> {
        let cipher = head.source.cipher(root)?.ok_or(MakeError::OtherSource)?;
        let associated = associated::slot(store, &head.encode());
        let wrapped = wrap(&cipher, FreshNonce::make()?, &associated, key.as_bytes());
        Ok(Self { head, wrapped })
    }

    /// The keyring key, if this is the root key's slot.
    pub(crate) fn open(
        &self,
        store: StoreId,
        root: Unlock<'_>,
    ) -> Result<Option<KeyringKey>, NoMemory> {
        let Some(cipher) = self.head.source.cipher(root)? else { return Ok(None) };
        let associated = associated::slot(store, &self.head.encode());
        match unwrap(&cipher, &associated, &self.wrapped) {
            Ok(bytes) => Ok(Some(KeyringKey::new(bytes))),
            Err(Refused) => Ok(None),
        }
    }

    pub(crate) fn info(&self) -> SlotInfo {
        let source = match self.head.source {
            SlotSource::Argon2id { cost, .. } => RootSource::Argon2id(cost),
            SlotSource::Raw => RootSource::Raw,
        };
        SlotInfo { id: self.head.id, created_at: self.head.created_at, source }
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.raw(&self.head.encode());
        self.wrapped.encode(out);
    }

    pub(crate) fn decode(from: &mut Decoder<'_>) -> Result<Self, Malformed> {
        Ok(Self { head: SlotHead::decode(from)?, wrapped: Wrapped::decode(from)? })
    }
}

impl SlotHead {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.u8(self.id);
        match &self.source {
            SlotSource::Argon2id { cost, salt } => {
                let mut parameters = Encoder::with_capacity(ARGON2ID_BYTES);
                parameters.u32(cost.memory_kib()).u32(cost.iterations()).u32(cost.lanes());
                out.u8(ARGON2ID).timestamp(self.created_at).bytes(&parameters.raw(salt).finish());
            }
            SlotSource::Raw => {
                out.u8(RAW).timestamp(self.created_at).bytes(b"");
            }
        }
        out.finish()
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let (id, kind, created_at) = (from.u8()?, from.u8()?, from.timestamp()?);
        let mut parameters = Decoder::new(from.bytes()?);
        let source = match kind {
            RAW => SlotSource::Raw,
            ARGON2ID => {
                let (memory, iterations) = (parameters.u32()?, parameters.u32()?);
                let cost = Argon2Cost::checked(memory, iterations, parameters.u32()?);
                SlotSource::Argon2id { cost: cost.ok_or(Malformed)?, salt: parameters.array()? }
            }
            _ => return Err(Malformed),
        };
        parameters.finish()?;
        Ok(Self { id, created_at, source })
    }
}

impl SlotSource {
    fn make(root: Unlock<'_>) -> Result<Self, MakeError> {
        let Unlock::Passphrase(passphrase) = root else { return Ok(Self::Raw) };
        passphrase.check_for_new_slot().map_err(|_| MakeError::PassphraseTooShort)?;
        let mut salt = [0; SALT_BYTES];
        fill(&mut salt).map_err(|NoRandomness| MakeError::NoRandomness)?;
        Ok(Self::Argon2id { cost: Argon2Cost::RECOMMENDED, salt })
    }

    /// The root key as a cipher; none when it is of the other source.
    fn cipher(&self, root: Unlock<'_>) -> Result<Option<Cipher>, NoMemory> {
        match (self, root) {
            (Self::Argon2id { cost, salt }, Unlock::Passphrase(passphrase)) => {
                Ok(Some(passphrase.derive_root_key(*cost, salt)?.cipher()))
            }
            (Self::Raw, Unlock::Key(key)) => Ok(Some(key.cipher())),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_is_accepted_is_written_back_as_it_was(
            id: u8, kind in 0..4u8, at: u64, memory in prop::sample::select(vec![
                0, 1 << 16, (1 << 16) + 1, 1 << 21, u32::MAX,
            ]),
            iterations in 0..40u32, lanes in 0..20u32, salt in prop::collection::vec(0..=255u8, 15..18),
            cut in any::<Option<prop::sample::Index>>(),
        ) {
            let mut parameters = Encoder::default();
            parameters.u32(memory).u32(iterations).u32(lanes).raw(&salt);
            let parameters = if kind == RAW { Vec::new() } else { parameters.finish() };
            let mut bytes = Encoder::default();
            bytes.u8(id).u8(kind).timestamp(Timestamp::from_unix_millis(at)).bytes(&parameters);
            let mut bytes = bytes.finish();
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            let mut from = Decoder::new(&bytes);
            let decoded = SlotHead::decode(&mut from);
            let strong = Argon2Cost::checked(memory, iterations, lanes).is_some();
            let good = kind == RAW || kind == ARGON2ID && strong && salt.len() == SALT_BYTES;
            prop_assert_eq!(decoded.is_ok(), good && cut.is_none());
            if let Ok(head) = decoded {
                prop_assert_eq!(head.encode(), bytes);
            }
        }
    }
}
