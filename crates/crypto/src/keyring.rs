//! The keyring: all keys of a store, open; and everything that is sealed and opened with them.

use domain::{Plaintext, Sealed, Timestamp};

use crate::hazmat::Refused;
use crate::keyring_file::{Body, KekEntry, KekState, KeyEntry, KeyringFile, METADATA_KIND};
use crate::keys::{Kek, KeyBytes, KeyringKey, MetadataKey};
use crate::random::{Fresh, FreshNonce};
use crate::slot::Slot;
use crate::slots::Unlocked;
use crate::uses::UseCounter;
use crate::{
    KekId, KeyringError, MakeError, NoRandomness, OpenError, PayloadContext, SealError, StoreId,
    Unlock, associated, record,
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
    file: KeyringFile,
    kek: Kek,
    retired_keks: Vec<Kek>,
    metadata_key: MetadataKey,
    older_metadata_keys: Vec<MetadataKey>,
    uses: UseCounter,
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
        let (kek_bytes, metadata_bytes) = (KeyBytes::make()?, KeyBytes::make()?);
        let (kek_id, metadata_id) = (KekId::new(1), 1);
        let current = (now, KekState::Current);
        let entry = KekEntry::wrap(store, kek_id, current, &kek_bytes, &keyring_key)?;
        let kek = Kek::new(kek_id, &kek_bytes);
        let key_ad = associated::key(store, METADATA_KIND, metadata_id, kek_id);
        let wrapped = kek.wrap_key(&metadata_bytes, FreshNonce::make()?, &key_ad);
        let body = Body {
            store,
            generation: 1,
            current_kek: kek_id,
            keks: vec![entry],
            metadata_keys: vec![KeyEntry { id: metadata_id, kek: kek_id, wrapped }],
            slots: vec![slot],
        };
        Ok(Self {
            file: KeyringFile::seal(body, &keyring_key)?,
            kek,
            retired_keks: Vec::new(),
            metadata_key: MetadataKey::new(metadata_id, &metadata_bytes),
            older_metadata_keys: Vec::new(),
            uses: UseCounter::default(),
        })
    }

    /// Opens a keyring file.
    ///
    /// # Errors
    /// Tells a damaged file, a file of another format and a wrong root key apart.
    pub fn open<'a>(file: &[u8], root: impl Into<Unlock<'a>>) -> Result<Self, KeyringError> {
        let Unlocked { file, key, .. } = Unlocked::open(file, root.into())?;
        let damaged = |Refused| KeyringError::Damaged;
        let keks = open_keks(&file.body, &key).map_err(damaged)?;
        let mut metadata_keys = open_metadata_keys(&file.body, &keks).map_err(damaged)?;
        let is_current = |kek: &Kek| kek.id == file.body.current_kek;
        let (mut current, retired_keks): (Vec<_>, Vec<_>) = keks.into_iter().partition(is_current);
        Ok(Self {
            kek: current.pop().ok_or(KeyringError::Damaged)?,
            retired_keks,
            // The ids ascend, so the last one is the newest.
            metadata_key: metadata_keys.pop().ok_or(KeyringError::Damaged)?,
            older_metadata_keys: metadata_keys,
            uses: UseCounter::default(),
            file,
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
        let key = self.metadata_key(record::metadata_key_id(sealed)?)?;
        let associated = associated::metadata(self.store_id(), key.id, store_key);
        record::open_metadata(key, &associated, sealed)
    }

    fn kek(&self, id: KekId) -> Result<&Kek, OpenError> {
        let mut known = std::iter::once(&self.kek).chain(&self.retired_keks);
        known.find(|kek| kek.id == id).ok_or(OpenError)
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

fn open_metadata_keys(body: &Body, keks: &[Kek]) -> Result<Vec<MetadataKey>, Refused> {
    let open_one = |entry: &KeyEntry| {
        let kek = keks.iter().find(|kek| kek.id == entry.kek).ok_or(Refused)?;
        let associated = associated::key(body.store, METADATA_KIND, entry.id, entry.kek);
        let bytes = kek.unwrap_key(&entry.wrapped, &associated)?;
        Ok(MetadataKey::new(entry.id, &bytes))
    };
    body.metadata_keys.iter().map(open_one).collect()
}
