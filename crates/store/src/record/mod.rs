//! What the records hold before they are sealed, and how the ones in the clear are written.
//!
//! Each begins with a format number of its own. Heads, projects, organizations, tokens, principals,
//! consumers and times of last use are sealed by the vault before they reach an engine; changes and
//! tombstones carry names only, holdings and rotations numbers only, and stay in the clear. So does what holds
//! wrapped data keys, each of which is sealed.

mod change;
mod consumer;
mod head;
mod last_use;
mod org;
mod principal;
mod project;
mod right;
mod rotation;
mod token;
mod tombstone;
mod wrapped_keys;

pub use change::{
    Change, ChangeKind, ChangeView, ChangedObject, decode_stored_event, encode_stored_event,
};
pub use consumer::{ConsumerKind, ConsumerRecord, Holding, SecretRef};
pub use head::{Binding, Head, VersionInfo, VersionState};
pub use last_use::{decode_last_use, encode_last_use};
pub use org::OrgRecord;
pub use principal::{Grant, PrincipalKind, PrincipalRecord};
pub use project::{ProjectRecord, Removal};
pub use rotation::{RotationReason, RotationRecord, RotationState};
pub use token::{TokenHolder, TokenRecord};
pub use tombstone::{decode_tombstone, encode_tombstone};
pub use wrapped_keys::WrappedKeys;

use std::collections::BTreeMap;

use domain::{
    Annotations, Decoder, Encoder, Labels, Malformed, OrgName, ProjectName, ProjectPath,
    SecretName, SecretPath,
};

/// The format number that every record of this release begins with.
const FORMAT: u8 = 1;

fn check_format(input: &mut Decoder<'_>) -> Result<(), Malformed> {
    if input.u8()? == FORMAT { Ok(()) } else { Err(Malformed) }
}

fn take_bool(input: &mut Decoder<'_>) -> Result<bool, Malformed> {
    match input.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed),
    }
}

/// The bytes of a record that leads to a secret: a binding's, or an identity's.
pub fn encode_secret_path(path: &SecretPath) -> Vec<u8> {
    let mut out = Encoder::default();
    put_secret(out.u8(FORMAT), path);
    out.finish()
}

/// Reads back what [`encode_secret_path`] wrote.
///
/// # Errors
/// When the bytes are not exactly such an encoding.
pub fn decode_secret_path(bytes: &[u8]) -> Result<SecretPath, Malformed> {
    let mut input = Decoder::new(bytes);
    check_format(&mut input)?;
    let path = take_secret(&mut input)?;
    input.finish()?;
    Ok(path)
}

fn put_labels(out: &mut Encoder, labels: &Labels) {
    put_map(out, labels.as_map());
}

fn take_labels(input: &mut Decoder<'_>) -> Result<Labels, Malformed> {
    Labels::parse(take_map(input)?).map_err(|_| Malformed)
}

fn put_annotations(out: &mut Encoder, annotations: &Annotations) {
    put_map(out, annotations.as_map());
}

fn take_annotations(input: &mut Decoder<'_>) -> Result<Annotations, Malformed> {
    Annotations::parse(take_map(input)?).map_err(|_| Malformed)
}

fn put_map(out: &mut Encoder, map: &BTreeMap<String, String>) {
    out.u32(map.len() as u32);
    for (key, value) in map {
        out.text(key).text(value);
    }
}

fn take_map(input: &mut Decoder<'_>) -> Result<BTreeMap<String, String>, Malformed> {
    let mut map = BTreeMap::new();
    for _ in 0..input.u32()? {
        let (key, value) = (input.text()?.to_owned(), input.text()?.to_owned());
        if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return Err(Malformed);
        }
        map.insert(key, value);
    }
    Ok(map)
}

fn put_project(out: &mut Encoder, path: &ProjectPath) {
    out.text(path.org.as_str()).text(path.project.as_str());
}

fn take_project(input: &mut Decoder<'_>) -> Result<ProjectPath, Malformed> {
    let org = OrgName::parse(input.text()?).map_err(|_| Malformed)?;
    let project = ProjectName::parse(input.text()?).map_err(|_| Malformed)?;
    Ok(ProjectPath { org, project })
}

fn put_secret(out: &mut Encoder, path: &SecretPath) {
    put_project(out, &path.project);
    out.text(path.name.as_str());
}

fn take_secret(input: &mut Decoder<'_>) -> Result<SecretPath, Malformed> {
    let project = take_project(input)?;
    let name = SecretName::parse(input.text()?).map_err(|_| Malformed)?;
    Ok(SecretPath { project, name })
}

#[cfg(test)]
mod tests;
