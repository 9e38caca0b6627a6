//! The words of Tresor.
//!
//! Everything here is pure: no clock, no randomness, no disk, no network and no keys. What a name may
//! look like, which secret types exist, what they become in Kubernetes, how versions and resource
//! versions are counted, and the two byte types that the whole house agrees on: [`Plaintext`], which
//! wipes itself and cannot be printed, and [`Sealed`], which may go to a disk.

mod age;
mod anchor;
mod annotations;
mod binding;
mod clock;
mod codec;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod invalid;
mod kubernetes_name;
mod labels;
mod name;
mod password;
mod payload;
mod plaintext;
mod projected;
mod projection;
mod revision;
mod rule;
mod secret_type;
mod selector;
mod uid;
mod uri;

pub use age::{Age, ROTATE_AFTER};
pub use anchor::Anchor;
pub use annotations::{Annotations, MAX_ANNOTATION_BYTES};
pub use binding::BindingKind;
pub use clock::{Clock, Timestamp};
pub use codec::{Decoder, Encoder, Malformed};
pub use invalid::Invalid;
pub use kubernetes_name::{is_dns_subdomain, kubernetes_name};
pub use labels::{Labels, MAX_LABELS, is_label_value};
pub use name::{
    DataKey, HASH_DIGITS, MAX_NAME_BYTES, Namespace, OrgName, PrincipalName, ProjectName,
    ProjectPath, SecretName, SecretPath, short_hash,
};
pub use password::check_password;
pub use payload::{Document, Fields, MAX_PAYLOAD_BYTES, Payload, RegistryLogin};
pub use plaintext::{Plaintext, Sealed};
pub use projected::KubernetesSecret;
pub use projection::{Placement, ProjectionState, ProjectionStatus, Retired, Tombstone};
pub use revision::{Incarnation, ResourceVersion, Revision};
pub use rule::{
    MANAGED_BY, NamePattern, NamespacePattern, ProjectionMode, ProjectionRule, RuleTemplate,
};
pub use secret_type::SecretType;
pub use selector::LabelSelector;
pub use uid::Uid;
pub use uri::SecretUri;
