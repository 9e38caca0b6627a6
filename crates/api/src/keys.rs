//! The keys of a store, and how they are changed; nothing of it is secret, but for a new root key.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::WireText;
use crate::object::some_object;

/// The keys of a store.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeysBody {
    /// How often the keys were changed, from 1.
    pub generation: u64,
    /// The key-encryption keys, oldest first.
    pub keks: Vec<KekBody>,
    /// The keys that seal metadata, oldest first.
    pub metadata_keys: Vec<MetadataKeyBody>,
    /// How often the current keys were used, at most: what was reserved before a restart counts.
    pub uses: u64,
    /// After how many uses the keys are changed without being asked.
    pub rotate_after_uses: u64,
    /// Where the daemon has its root key from; left out by a command that works without a daemon and
    /// shows it itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_key_source: Option<String>,
    /// The root keys that open the store.
    pub root_keys: Vec<RootKeyBody>,
    /// The last change of keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationBody>,
}

/// A key-encryption key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KekBody {
    /// Its number.
    pub id: u32,
    /// When it was made, RFC 3339.
    pub creation_timestamp: String,
    /// Whether it wraps new data keys; the others only unwrap.
    pub current: bool,
    /// How many data keys it wraps.
    pub records: u64,
}

/// A key that seals metadata. The one with the largest number seals new records.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MetadataKeyBody {
    /// Its number.
    pub id: u32,
    /// How many records are sealed with it.
    pub records: u64,
}

/// A root key, as far as the store knows it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RootKeyBody {
    /// The number of its slot.
    pub slot: u8,
    /// What it is: `key` or `passphrase`.
    pub kind: String,
    /// When it was added, RFC 3339.
    pub creation_timestamp: String,
}

/// A change of keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotationBody {
    /// The key-encryption key that everything comes under.
    pub kek: u32,
    /// Whether values have new data keys and metadata is sealed anew too.
    pub reseal: bool,
    /// `running`, `paused` or `done`.
    pub state: String,
    /// Why it was begun: `operator`, `uses` or `age`.
    pub reason: String,
    /// When it was begun, RFC 3339.
    pub start_timestamp: String,
    /// When the older keys were destroyed, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_timestamp: Option<String>,
    /// How many records there were to rewrite.
    pub total: u64,
    /// How many of them are rewritten.
    pub done: u64,
    /// How many could not be rewritten; the older keys are kept for them.
    pub stuck: u64,
}

/// A change of keys that is wanted.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotateAction {
    /// Whether values get new data keys, and metadata is sealed anew too.
    #[serde(default)]
    pub reseal: bool,
    /// A second root key; on the operator's socket only.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_object")]
    pub new_root: Option<NewRootBody>,
}

/// A root key to be added: exactly one of the two.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewRootBody {
    /// 64 hexadecimal digits, or standard base64 of 32 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<WireText>,
    /// A passphrase of at least 12 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<WireText>,
}
