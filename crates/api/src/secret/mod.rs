//! Secrets on the wire.

mod binding;
mod body;
mod data;
mod patch;
mod registry;
mod values;
mod write;

pub use body::{
    Labelled, ListMetadata, SecretBody, SecretList, SecretMetadata, SecretSpec, SecretStatus,
    VersionBody, VersionList,
};
pub use data::SecretData;
pub use patch::{MERGE_PATCH, SecretPatch};
pub use registry::RegistryBody;
pub use write::{SecretWrite, SecretWriteMetadata, SecretWriteSpec};

#[cfg(test)]
mod tests;
