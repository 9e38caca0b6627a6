//! The key hierarchy in types (FORMAT.md section 2): each key can do only what its row allows.

use std::fmt;
use std::sync::Arc;

use domain::{Decoder, Encoder, Malformed};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::hazmat::{Cipher, KEY_BYTES, NONCE_BYTES, Refused, TAG_BYTES};
use crate::random::{FreshNonce, fill};
use crate::{NoRandomness, OpenError};

/// The number of a key-encryption key; numbers ascend and are never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KekId(u32);

impl KekId {
    /// The id with a stored number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The stored number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for KekId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The bytes of some key: on the heap, so that moving the owner copies none of them.
pub(crate) struct KeyBytes(Box<[u8; KEY_BYTES]>);

static_assertions::assert_not_impl_any!(
    KeyBytes: fmt::Debug, fmt::Display, Clone, PartialEq
);

impl KeyBytes {
    pub(crate) fn zeroed() -> Self {
        Self(Box::new([0; KEY_BYTES]))
    }

    pub(crate) fn make() -> Result<Self, NoRandomness> {
        let mut key = Self::zeroed();
        fill(key.as_mut_bytes())?;
        Ok(key)
    }

    pub(crate) fn copied_from(bytes: &[u8; KEY_BYTES]) -> Self {
        let mut key = Self::zeroed();
        key.0.copy_from_slice(bytes);
        key
    }

    pub(crate) fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    pub(crate) fn as_mut_bytes(&mut self) -> &mut [u8; KEY_BYTES] {
        &mut self.0
    }
}

impl Drop for KeyBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for KeyBytes {}

/// The key of one payload: whoever seals or opens with it gives it away.
pub(crate) struct DataKey(KeyBytes);

static_assertions::assert_impl_all!(KeyBytes: ZeroizeOnDrop);
static_assertions::assert_not_impl_any!(DataKey: fmt::Debug, fmt::Display, Clone, PartialEq);

impl DataKey {
    pub(crate) fn new(bytes: KeyBytes) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        self.0.as_bytes()
    }
}

/// A key under another key: `wrap` of FORMAT.md section 1.
#[derive(Clone)]
pub(crate) struct Wrapped {
    nonce: [u8; NONCE_BYTES],
    key: [u8; KEY_BYTES],
    tag: [u8; TAG_BYTES],
}

impl Wrapped {
    pub(crate) const BYTES: usize = NONCE_BYTES + KEY_BYTES + TAG_BYTES;

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.raw(&self.nonce).raw(&self.key).raw(&self.tag);
    }

    pub(crate) fn decode(from: &mut Decoder<'_>) -> Result<Self, Malformed> {
        Ok(Self { nonce: from.array()?, key: from.array()?, tag: from.array()? })
    }
}

/// Wraps `key` under `cipher`.
pub(crate) fn wrap(
    cipher: &Cipher,
    nonce: FreshNonce,
    associated: &[u8],
    key: &[u8; KEY_BYTES],
) -> Wrapped {
    let nonce = nonce.into_bytes();
    // Encrypted where it lies: the copy is a key only until the next line.
    let mut key = *key;
    let tag = cipher.seal(nonce, associated, &mut key);
    Wrapped { nonce, key, tag }
}

/// Takes a key out of its wrap.
pub(crate) fn unwrap(
    cipher: &Cipher,
    associated: &[u8],
    wrapped: &Wrapped,
) -> Result<KeyBytes, Refused> {
    let mut key = KeyBytes::copied_from(&wrapped.key);
    cipher.open(wrapped.nonce, associated, key.as_mut_bytes(), wrapped.tag)?;
    Ok(key)
}

/// The keyring key: wraps KEKs and tags the keyring file. A keyring and the one that follows it share
/// one copy, which is wiped with the last of them.
pub(crate) struct KeyringKey(Arc<KeyBytes>);

static_assertions::assert_not_impl_any!(KeyringKey: fmt::Debug, fmt::Display, Clone, PartialEq);

impl KeyringKey {
    pub(crate) fn new(bytes: KeyBytes) -> Self {
        Self(Arc::new(bytes))
    }

    pub(crate) fn make() -> Result<Self, NoRandomness> {
        KeyBytes::make().map(Self::new)
    }

    pub(crate) fn share(&self) -> Self {
        Self(self.0.clone())
    }

    pub(crate) fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        self.0.as_bytes()
    }

    pub(crate) fn cipher(&self) -> Cipher {
        Cipher::new(&self.0)
    }

    pub(crate) fn wrap_kek(
        &self,
        kek: &KeyBytes,
        associated: &[u8],
    ) -> Result<Wrapped, NoRandomness> {
        Ok(wrap(&self.cipher(), FreshNonce::make()?, associated, kek.as_bytes()))
    }

    pub(crate) fn unwrap_kek(
        &self,
        wrapped: &Wrapped,
        associated: &[u8],
    ) -> Result<KeyBytes, Refused> {
        unwrap(&self.cipher(), associated, wrapped)
    }
}

/// A key-encryption key: wraps keys, never content.
pub(crate) struct Kek {
    pub(crate) id: KekId,
    cipher: Cipher,
}

static_assertions::assert_not_impl_any!(Kek: fmt::Debug, fmt::Display, Clone, PartialEq);

impl Kek {
    pub(crate) fn new(id: KekId, bytes: &KeyBytes) -> Self {
        Self { id, cipher: Cipher::new(bytes) }
    }

    pub(crate) fn wrap_data_key(
        &self,
        key: &DataKey,
        nonce: FreshNonce,
        associated: &[u8],
    ) -> Wrapped {
        wrap(&self.cipher, nonce, associated, key.as_bytes())
    }

    pub(crate) fn unwrap_data_key(
        &self,
        wrapped: &Wrapped,
        associated: &[u8],
    ) -> Result<DataKey, OpenError> {
        let bytes = unwrap(&self.cipher, associated, wrapped).map_err(|Refused| OpenError)?;
        Ok(DataKey::new(bytes))
    }

    /// Wraps one of the keyring's own keys.
    pub(crate) fn wrap_key(&self, key: &KeyBytes, nonce: FreshNonce, associated: &[u8]) -> Wrapped {
        wrap(&self.cipher, nonce, associated, key.as_bytes())
    }

    /// Takes one of the keyring's own keys out of its wrap.
    pub(crate) fn unwrap_key(
        &self,
        wrapped: &Wrapped,
        associated: &[u8],
    ) -> Result<KeyBytes, Refused> {
        unwrap(&self.cipher, associated, wrapped)
    }
}

/// A key that seals metadata records, never keys.
pub(crate) struct MetadataKey {
    pub(crate) id: u32,
    pub(crate) cipher: Cipher,
}

static_assertions::assert_not_impl_any!(MetadataKey: fmt::Debug, fmt::Display, Clone, PartialEq);

impl MetadataKey {
    pub(crate) fn new(id: u32, bytes: &KeyBytes) -> Self {
        Self { id, cipher: Cipher::new(bytes) }
    }
}
