//! The keyring: all keys of a store, open; and everything that is sealed and opened with them.

use std::sync::Arc;

use domain::{Plaintext, Sealed, Timestamp};

use crate::hazmat::Refused;
use crate::keyring_file::{Body, KekEntry, KekState, KeyEntry, KeyKind, KeyringFile};
use crate::keys::{Kek, KeyBytes, KeyringKey, MetadataKey};
use crate::random::{Fresh, FreshNonce};
use crate::signing::{SIGNATURE_BYTES, SigningKey};
use crate::slot::Slot;
use crate::slots::Unlocked;
use crate::uses::UseCounter;
use crate::{
    KekId, KeyringError, MakeError, NoRandomness, OpenError, PayloadContext, PublicKey,
    RewrapError, SealError, StoreId, Unlock, associated, record, verify_signature,
};

/// The two records of one sealed version. They are apart so that a rotation rewrites the small one
/// only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedVersion {
    /// The payload's key under the current KEK.
    pub wrapped_key: Sealed,
    /// The payload under its key.
    pub payload: Sealed,
}

/// The keys of one store.
///
/// A keyring that was just made or opened seals nothing until [`Keyring::set_uses`] was called.
pub struct Keyring {
    pub(crate) file: KeyringFile,
    pub(crate) key: KeyringKey,
    kek: Kek,
    retired_keks: Vec<Kek>,
    metadata_key: MetadataKey,
    older_metadata_keys: Vec<MetadataKey>,
    audit_key: SigningKey,
    token_key: SigningKey,
    older_token_keys: Vec<PublicKey>,
    pub(crate) uses: Arc<UseCounter>,
}

static_assertions::assert_impl_all!(Keyring: Send, Sync);
static_assertions::assert_not_impl_any!(
    Keyring: std::fmt::Debug, std::fmt::Display, Clone, PartialEq
);

impl Keyring {
    /// New keys for a new store, under `root`.
    ///
    /// # Errors
    /// When the operating system gives no random bytes, or no slot can be made for the root key.
    pub fn make<'a>(
        store: StoreId,
        root: impl Into<Unlock<'a>>,
        now: Timestamp,
    ) -> Result<Self, MakeError> {
        let keyring_key = KeyringKey::make()?;
        let slot = Slot::make(store, 1, root.into(), now, &keyring_key)?;
        let (kek_bytes, kek_id, id) = (KeyBytes::make()?, KekId::new(1), 1);
        let current = (now, KekState::Current);
        let entry = KekEntry::wrap(store, kek_id, current, &kek_bytes, &keyring_key)?;
        let kek = Kek::new(kek_id, &kek_bytes);
        let keys = [KeyBytes::make()?, KeyBytes::make()?, KeyBytes::make()?];
        let wrap = |(kind, key): (KeyKind, &_)| KeyEntry::wrap(store, (kind, id), key, &kek);
        let body = Body {
            store,
            generation: 1,
            current_kek: kek_id,
            keks: vec![entry],
            keys: KeyKind::ALL.into_iter().zip(&keys).map(wrap).collect::<Result<_, _>>()?,
            slots: vec![slot],
        };
        let file = KeyringFile::seal(body, &keyring_key)?;
        Self::from_file(file, keyring_key).map_err(|Refused| MakeError::Damaged)
    }

    /// Opens a keyring file.
    ///
    /// # Errors
    /// Tells a damaged file, a file of another format and a wrong root key apart.
    pub fn open<'a>(file: &[u8], root: impl Into<Unlock<'a>>) -> Result<Self, KeyringError> {
        let Unlocked { file, key, .. } = Unlocked::open(file, root.into())?;
        Self::from_file(file, key).map_err(|Refused| KeyringError::Damaged)
    }

    /// The keys in a file, once the keyring key is known. Nothing is counted as used.
    pub(crate) fn from_file(file: KeyringFile, key: KeyringKey) -> Result<Self, Refused> {
        let keks = open_keks(&file.body, &key)?;
        let (metadata_key, older_metadata_keys) =
            open_keys(&file.body, &keks, KeyKind::Metadata, MetadataKey::new)?;
        // An older audit key signs nothing more; it is opened to see that it is whole.
        let (audit_key, _) = open_keys(&file.body, &keks, KeyKind::Audit, SigningKey::new)?;
        let (token_key, older_token_keys) =
            open_keys(&file.body, &keks, KeyKind::Token, SigningKey::new)?;
        let is_current = |kek: &Kek| kek.id == file.body.current_kek;
        let (mut current, retired_keks): (Vec<_>, Vec<_>) = keks.into_iter().partition(is_current);
        Ok(Self {
            kek: current.pop().ok_or(Refused)?,
            retired_keks,
            metadata_key,
            older_metadata_keys,
            audit_key,
            token_key,
            older_token_keys: older_token_keys.iter().map(SigningKey::public).collect(),
            uses: Arc::default(),
            file,
            key,
        })
    }

    /// The bytes of the keyring file. They hold no key in the clear.
    pub fn to_file(&self) -> Vec<u8> {
        self.file.encode()
    }

    /// The store that the keys belong to.
    pub fn store_id(&self) -> StoreId {
        self.file.body.store
    }

    /// How often the keys were changed, from 1. Another root key changes none of them.
    pub fn generation(&self) -> u64 {
        self.file.body.generation
    }

    /// The KEK that wraps new data keys.
    pub fn current_kek(&self) -> KekId {
        self.kek.id
    }

    /// The number of the metadata key that seals new records.
    pub fn metadata_key_id(&self) -> u32 {
        self.metadata_key.id
    }

    /// Counts everything below `used_from` as used, and allows uses below `reserved_until`. The
    /// caller has stored that reservation durably before. Neither number ever falls: called again
    /// while others seal, it only adds.
    pub fn set_uses(&self, used_from: u64, reserved_until: u64) {
        self.uses.reserve(used_from, reserved_until);
    }

    /// How many uses of the current keys are counted. One payload or one metadata record is one.
    pub fn uses(&self) -> u64 {
        self.uses.taken()
    }

    /// How many uses are left of those reserved.
    pub fn uses_left(&self) -> u64 {
        self.uses.left()
    }

    /// Seals one version's payload under a data key of its own.
    ///
    /// # Errors
    /// When no use is reserved or left, or the plaintext is longer than
    /// [`crate::MAX_PLAINTEXT_BYTES`].
    pub fn seal_payload(
        &self,
        context: &PayloadContext,
        plaintext: &Plaintext,
    ) -> Result<SealedVersion, SealError> {
        // EXPOSE: the bytes are copied into the buffer in which they are encrypted.
        let plaintext = plaintext.expose();
        record::check_length(plaintext)?;
        self.uses.take()?;
        let fresh = Fresh::make().map_err(|NoRandomness| SealError::NoRandomness)?;
        let (store, kek) = (self.store_id(), self.kek.id);
        let wrap_ad = associated::data_key(store, context, kek);
        let wrapped = self.kek.wrap_data_key(&fresh.key, fresh.wrap_nonce, &wrap_ad);
        let payload_ad = associated::payload(store, context);
        let payload = record::seal_payload(fresh.key, fresh.payload_nonce, &payload_ad, plaintext)?;
        Ok(SealedVersion { wrapped_key: record::encode_wrap(kek, &wrapped), payload })
    }

    /// Opens one version's payload.
    ///
    /// # Errors
    /// When the records were not sealed by this store under this context.
    pub fn open_payload(
        &self,
        context: &PayloadContext,
        wrapped_key: &[u8],
        payload: &[u8],
    ) -> Result<Plaintext, OpenError> {
        let (id, wrapped) = record::decode_wrap(wrapped_key)?;
        let wrap_ad = associated::data_key(self.store_id(), context, id);
        let key = self.kek(id)?.unwrap_data_key(&wrapped, &wrap_ad)?;
        record::open_payload(key, &associated::payload(self.store_id(), context), payload)
    }

    /// Seals a metadata record, bound to the key under which the store keeps it.
    ///
    /// # Errors
    /// When no use is reserved or left, or the plaintext is longer than
    /// [`crate::MAX_PLAINTEXT_BYTES`].
    pub fn seal_metadata(&self, store_key: &[u8], plaintext: &[u8]) -> Result<Sealed, SealError> {
        record::check_length(plaintext)?;
        self.uses.take()?;
        let nonce = FreshNonce::make().map_err(|NoRandomness| SealError::NoRandomness)?;
        let key = &self.metadata_key;
        let associated = associated::metadata(self.store_id(), key.id, store_key);
        record::seal_metadata(key, nonce, &associated, plaintext)
    }

    /// Opens a metadata record.
    ///
    /// # Errors
    /// When the record was not sealed by this store under this store key.
    pub fn open_metadata(&self, store_key: &[u8], sealed: &[u8]) -> Result<Plaintext, OpenError> {
        let key = self.metadata_key(record::metadata_key_of(sealed)?)?;
        let associated = associated::metadata(self.store_id(), key.id, store_key);
        record::open_metadata(key, &associated, sealed)
    }

    /// Signs a message of the audit log with the newest audit key.
    pub fn sign_audit(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.audit_key.sign(message)
    }

    /// What verifies [`Keyring::sign_audit`]; it may be known to everyone.
    pub fn audit_key(&self) -> PublicKey {
        self.audit_key.public()
    }

    /// Signs a token's text with the newest token key.
    pub fn sign_token(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.token_key.sign(message)
    }

    /// What verifies [`Keyring::sign_token`]; it may be known to everyone.
    pub fn token_key(&self) -> PublicKey {
        self.token_key.public()
    }

    /// Whether the token key of that number, the newest or an older one, signed the message.
    pub fn verify_token(&self, key_id: u32, message: &[u8], signature: &[u8]) -> bool {
        let signed_with = |key: PublicKey| verify_signature(&key.bytes, message, signature);
        self.token_keys().find(|key| key.id == key_id).is_some_and(signed_with)
    }

    /// All keys whose tokens are taken, the newest first.
    pub(crate) fn token_keys(&self) -> impl Iterator<Item = PublicKey> {
        std::iter::once(self.token_key()).chain(self.older_token_keys.iter().copied())
    }

    /// Wraps a version's data key under the current KEK, if an older one wraps it now; the payload
    /// stays as it is.
    ///
    /// # Errors
    /// When the record was not made by this store under this context, or no use is reserved or left.
    pub fn rewrap(
        &self,
        context: &PayloadContext,
        wrapped_key: &[u8],
    ) -> Result<Option<Sealed>, RewrapError> {
        let (id, wrapped) = record::decode_wrap(wrapped_key)?;
        if id == self.kek.id {
            return Ok(None);
        }
        let store = self.store_id();
        let key =
            self.kek(id)?.unwrap_data_key(&wrapped, &associated::data_key(store, context, id))?;
        self.uses.take()?;
        let nonce = FreshNonce::make().map_err(|NoRandomness| SealError::NoRandomness)?;
        let wrap_ad = associated::data_key(store, context, self.kek.id);
        Ok(Some(record::encode_wrap(self.kek.id, &self.kek.wrap_data_key(&key, nonce, &wrap_ad))))
    }

    fn kek(&self, id: KekId) -> Result<&Kek, OpenError> {
        self.keks().find(|kek| kek.id == id).ok_or(OpenError)
    }

    /// The current KEK, then those that only unwrap.
    pub(crate) fn keks(&self) -> impl Iterator<Item = &Kek> {
        std::iter::once(&self.kek).chain(&self.retired_keks)
    }

    fn metadata_key(&self, id: u32) -> Result<&MetadataKey, OpenError> {
        let mut known = std::iter::once(&self.metadata_key).chain(&self.older_metadata_keys);
        known.find(|key| key.id == id).ok_or(OpenError)
    }
}

fn open_keks(body: &Body, key: &KeyringKey) -> Result<Vec<Kek>, Refused> {
    let open_one = |entry: &KekEntry| Ok(Kek::new(entry.id, &entry.unwrap(body.store, key)?));
    body.keks.iter().map(open_one).collect()
}

/// The newest key of a kind, and the older ones.
fn open_keys<K>(
    body: &Body,
    keks: &[Kek],
    kind: KeyKind,
    make: fn(u32, &KeyBytes) -> K,
) -> Result<(K, Vec<K>), Refused> {
    let open_one = |entry: &KeyEntry| Ok(make(entry.id, &entry.unwrap(body.store, keks)?));
    let entries = body.keys.iter().filter(|entry| entry.kind == kind);
    let mut keys: Vec<K> = entries.map(open_one).collect::<Result<_, _>>()?;
    // The ids ascend, so the last one is the newest.
    let newest = keys.pop().ok_or(Refused)?;
    Ok((newest, keys))
}
