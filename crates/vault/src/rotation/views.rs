//! What is told about keys; nothing of it is secret.

use authz::{List, Permit, WholeStore};
use crypto::{Passphrase, RootKey, RootSource, SlotInfo, Unlock};
use domain::{Invalid, Timestamp};
use store::{RotationReason, RotationRecord, RotationState};

use crate::{Vault, VaultError};

/// A rotation that is wanted.
#[derive(Default)]
pub struct NewRotation {
    /// Whether values get new data keys, and metadata is sealed anew too, so that nothing of what the
    /// older keys opened is left to be opened with them. Without it, data keys are only wrapped anew.
    pub reseal: bool,
    /// A second root key, if the root key is to change. The one before opens the store until it is
    /// dropped.
    pub new_root: Option<NewRoot>,
}

/// A root key that is to open the store.
pub enum NewRoot {
    /// A key of 32 bytes.
    Key(RootKey),
    /// A passphrase.
    Passphrase(Passphrase),
}

impl NewRoot {
    /// A key as its file holds it.
    ///
    /// # Errors
    /// When it is none; the error repeats nothing of it.
    pub fn parse_key(text: &str) -> Result<Self, Invalid> {
        let key = RootKey::from_text(text);
        key.map(Self::Key).map_err(|error| Invalid::new("newRoot.key", error.to_string()))
    }

    /// A passphrase as its file holds it.
    ///
    /// # Errors
    /// When it is none or too short; the error repeats nothing of it.
    pub fn parse_passphrase(text: &str) -> Result<Self, Invalid> {
        let invalid =
            |error: crypto::PassphraseError| Invalid::new("newRoot.passphrase", error.to_string());
        let passphrase = Passphrase::from_text(text).map_err(invalid)?;
        passphrase.check_for_new_slot().map_err(invalid)?;
        Ok(Self::Passphrase(passphrase))
    }

    pub(super) fn unlock(&self) -> Unlock<'_> {
        match self {
            Self::Key(key) => key.into(),
            Self::Passphrase(passphrase) => passphrase.into(),
        }
    }
}

/// A rotation as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationView {
    /// The KEK that everything comes under.
    pub kek: u32,
    /// Whether values and metadata are sealed anew too.
    pub reseal: bool,
    /// Where it stands.
    pub state: RotationState,
    /// Why it was begun.
    pub reason: RotationReason,
    /// When it was begun.
    pub started_at: Timestamp,
    /// When the older keys were destroyed.
    pub finished_at: Option<Timestamp>,
    /// How many records there were to rewrite.
    pub total: u64,
    /// How many of them are rewritten, or gone.
    pub done: u64,
    /// How many the last run could not rewrite; the older keys are kept for them.
    pub stuck: u64,
}

/// A key-encryption key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KekView {
    /// Its number.
    pub id: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether it wraps new data keys.
    pub is_current: bool,
    /// How many data keys it wraps.
    pub records: u64,
}

/// The keys of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysView {
    /// How often the keys were changed.
    pub generation: u64,
    /// The KEKs, oldest first.
    pub keks: Vec<KekView>,
    /// The metadata keys, oldest first: number, and records sealed with it.
    pub metadata_keys: Vec<(u32, u64)>,
    /// How often the current keys were used, at most; reserved uses count after a restart.
    pub uses: u64,
    /// After how many uses the keys are changed without being asked.
    pub rotate_after_uses: u64,
    /// The root keys that open the store.
    pub slots: Vec<SlotView>,
    /// The last rotation.
    pub rotation: Option<RotationView>,
}

/// A root key, as far as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotView {
    /// Its number.
    pub id: u8,
    /// When it was added.
    pub created_at: Timestamp,
    /// Whether it is a passphrase.
    pub is_passphrase: bool,
}

impl Vault {
    /// All keys, and how many records are under each. It takes a scan.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn keys(&self, _permit: &Permit<List, WholeStore>) -> Result<KeysView, VaultError> {
        self.operators_keys()
    }

    /// The same for whoever holds the root key and the data directory, without a daemon.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn operators_keys(&self) -> Result<KeysView, VaultError> {
        let (census, keyring) = (self.census()?, self.keyring());
        let keks = keyring.kek_infos().into_iter().map(|kek| KekView {
            id: kek.id.get(),
            created_at: kek.created_at,
            is_current: kek.is_current,
            records: census.keks.get(&kek.id.get()).copied().unwrap_or_default(),
        });
        let metadata = |id: u32| (id, census.metadata.get(&id).copied().unwrap_or_default());
        Ok(KeysView {
            generation: keyring.generation(),
            keks: keks.collect(),
            metadata_keys: keyring.metadata_key_ids().into_iter().map(metadata).collect(),
            uses: keyring.uses(),
            rotate_after_uses: self.settings.rotate_after_uses,
            slots: keyring.slot_infos().iter().map(SlotView::from).collect(),
            rotation: self.rotation()?,
        })
    }

    /// The last rotation, and how far it has come.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn rotation_status(
        &self,
        _permit: &Permit<List, WholeStore>,
    ) -> Result<Option<RotationView>, VaultError> {
        self.rotation()
    }

    pub(super) fn rotation(&self) -> Result<Option<RotationView>, VaultError> {
        let Some((record, _)) = self.rotation_record()? else { return Ok(None) };
        let left = if record.state == RotationState::Done { 0 } else { self.left(&record)? };
        Ok(Some(self.view_of(&record, left)))
    }

    pub(super) fn view_of(&self, record: &RotationRecord, left: u64) -> RotationView {
        RotationView {
            kek: record.kek,
            reseal: record.reseal,
            state: record.state,
            reason: record.reason,
            started_at: record.started_at,
            finished_at: record.finished_at,
            total: record.total,
            done: record.total.saturating_sub(left),
            stuck: self.keys.progress.stuck.load(std::sync::atomic::Ordering::Relaxed),
        }
    }
}

impl From<&SlotInfo> for SlotView {
    fn from(slot: &SlotInfo) -> Self {
        let is_passphrase = slot.source != RootSource::Raw;
        Self { id: slot.id, created_at: slot.created_at, is_passphrase }
    }
}
