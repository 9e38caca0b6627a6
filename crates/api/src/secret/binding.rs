//! Bindings on the wire, and how many versions are kept: what a secret's `spec` says beside its type.

use std::fmt;

use domain::{BindingKind, Invalid, ProjectPath};
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

use crate::BindingWrite;

const MOST_VERSIONS: u64 = 100;

/// Checks a list of bindings; each project once.
pub(super) fn check(list: &[BindingWrite]) -> Result<Vec<(ProjectPath, BindingKind)>, Invalid> {
    let at = "spec.bindings";
    let mut bindings: Vec<(ProjectPath, BindingKind)> = Vec::with_capacity(list.len());
    for (index, body) in list.iter().enumerate() {
        let place = format!("{at}[{index}]");
        let (project, kind) = body.check().map_err(|wrong| wrong.within(&place))?;
        if bindings.iter().any(|(known, _)| *known == project) {
            let fix = "must be another project than those before it";
            return Err(Invalid::new("project", fix).within(&place));
        }
        bindings.push((project, kind));
    }
    Ok(bindings)
}

/// For `#[serde(deserialize_with)]` on a number of versions; `null` is none.
pub(super) fn keep_versions<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    Option::<Versions>::deserialize(from).map(|versions| versions.map(|Versions(count)| count))
}

/// As [`keep_versions`], for a field that may be left out or be `null`, which are not the same.
pub(super) fn changed_keep_versions<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<u32>>, D::Error> {
    keep_versions(from).map(Some)
}

struct Versions(u32);

impl<'de> Deserialize<'de> for Versions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(VersionsVisitor).map(Self)
    }
}

struct VersionsVisitor;

impl Visitor<'_> for VersionsVisitor {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 1 to {MOST_VERSIONS}")
    }

    fn visit_u64<E: Error>(self, count: u64) -> Result<u32, E> {
        let checked = u32::try_from(count).ok().filter(|_| (1..=MOST_VERSIONS).contains(&count));
        checked.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(count), &self))
    }
}
