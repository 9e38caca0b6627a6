//! What is kept of an object in the cluster.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use zeroize::Zeroize;

use crate::digest::{Digest, DigestKey};
use crate::marks::{ADOPT, LABEL, MANAGER, Marks};

/// More than three names of 512 bytes come to when every byte is encoded as three.
const MAX_URI_BYTES: usize = 8192;

/// A Secret in the cluster, without its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Observed {
    /// Which object, at which state: what a write or a deletion is conditional on.
    pub(crate) at: ObjectVersion,
    /// Its type, which Kubernetes never lets anyone change.
    pub(crate) type_: String,
    /// Whether Kubernetes refuses changes of its data.
    pub(crate) immutable: bool,
    /// Whether it is being deleted and waits for somebody's finalizer.
    pub(crate) deleting: bool,
    /// Whether it carries our label.
    pub(crate) labelled: bool,
    /// Our annotations and labels on it.
    pub(crate) marks: Marks,
    /// The URI of what its owner in the cluster lets take it over.
    pub(crate) adopt: Option<String>,
    /// How many keys its data has.
    pub(crate) keys: usize,
    /// What its type and data come to.
    pub(crate) digest: Digest,
}

/// An object's identity and state in Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ObjectVersion {
    /// The identity; an object of the same name created later has another.
    pub(crate) uid: String,
    /// The state.
    pub(crate) resource_version: String,
}

impl Observed {
    /// Reduces an object to what is kept, and wipes its data.
    pub(crate) fn of(mut secret: Secret, key: &DigestKey) -> (Self, ObjectMeta) {
        let type_ = secret.type_.take().unwrap_or_default();
        let mut data = secret.data.take().unwrap_or_default();
        let digest = key.digest(&type_, data.iter().map(|(k, v)| (k.as_str(), v.0.as_slice())));
        data.values_mut().for_each(|value| value.0.zeroize());
        let meta = secret.metadata;
        let observed = Self {
            at: ObjectVersion::of(&meta),
            type_,
            immutable: secret.immutable.unwrap_or_default(),
            deleting: meta.deletion_timestamp.is_some(),
            labelled: is_labelled(&meta),
            marks: found_marks(&meta),
            adopt: found_adopt(&meta),
            keys: data.len(),
            digest,
        };
        (observed, meta)
    }
}

impl ObjectVersion {
    pub(crate) fn of(meta: &ObjectMeta) -> Self {
        Self {
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
        }
    }
}

/// An object's marks from its metadata alone.
pub(crate) fn found_marks(meta: &ObjectMeta) -> Marks {
    Marks::found(meta)
}

/// No longer than any URI of ours, since anybody may write anything there.
fn found_adopt(meta: &ObjectMeta) -> Option<String> {
    let uri = meta.annotations.as_ref()?.get(ADOPT)?;
    (uri.len() <= MAX_URI_BYTES).then(|| uri.clone())
}

fn is_labelled(meta: &ObjectMeta) -> bool {
    meta.labels.as_ref().and_then(|labels| labels.get(LABEL)).is_some_and(|v| v == MANAGER)
}
