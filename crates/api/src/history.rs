//! What is sent to `actions/...` of a secret.

use std::collections::BTreeSet;

use domain::{Invalid, ResourceVersion, SecretName, Uid};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Versions, to be deleted or destroyed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VersionsAction {
    /// Their numbers.
    #[schema(min_items = 1, max_items = 40)]
    pub versions: Vec<u64>,
    /// The resource version that the caller has seen, where it insists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

/// A version that is to become the newest one.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RollbackAction {
    /// Its number.
    #[schema(minimum = 1)]
    pub version: u64,
    /// The resource version that the caller has seen, where it insists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

/// What is to come back: versions of a secret, or else a deleted secret.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UndeleteAction {
    /// The numbers of deleted versions of the secret of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 40)]
    pub versions: Option<Vec<u64>>,
    /// The identity of a deleted secret that had this name; the one deleted last when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[0-9a-f]{32}$")]
    pub uid: Option<String>,
    /// The name that the secret gets, if not the one that it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The resource version that the caller has seen, where it insists; for versions only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

/// Which deleted secret is to go for good.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PurgeAction {
    /// Its identity; may be left out when only one deleted secret had the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[0-9a-f]{32}$")]
    pub uid: Option<String>,
}

impl VersionsAction {
    /// The numbers.
    ///
    /// # Errors
    /// When one is named twice.
    pub fn numbers(&self) -> Result<BTreeSet<u64>, Invalid> {
        numbers(&self.versions)
    }

    /// The resource version that the caller insists on.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn expected(&self) -> Result<Option<ResourceVersion>, Invalid> {
        expected(self.resource_version.as_deref())
    }
}

impl RollbackAction {
    /// The resource version that the caller insists on.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn expected(&self) -> Result<Option<ResourceVersion>, Invalid> {
        expected(self.resource_version.as_deref())
    }
}

impl UndeleteAction {
    /// The numbers of versions, if versions are meant.
    ///
    /// # Errors
    /// When a secret is meant as well, or a number is named twice.
    pub fn numbers(&self) -> Result<Option<BTreeSet<u64>>, Invalid> {
        let Some(versions) = &self.versions else {
            return match self.resource_version {
                None => Ok(None),
                Some(_) => Err(Invalid::new(
                    "resourceVersion",
                    "must be left out unless versions are named: a deleted secret does not change",
                )),
            };
        };
        if self.uid.is_some() || self.name.is_some() {
            let fix = "must be left out to bring back a secret; else leave out uid and name";
            return Err(Invalid::new("versions", fix));
        }
        numbers(versions).map(Some)
    }

    /// The deleted secret that is meant.
    ///
    /// # Errors
    /// When it is no identity.
    pub fn uid(&self) -> Result<Option<Uid>, Invalid> {
        self.uid.as_deref().map(Uid::parse).transpose()
    }

    /// The name that the secret gets.
    ///
    /// # Errors
    /// When it is no secret's name.
    pub fn name(&self) -> Result<Option<SecretName>, Invalid> {
        let parsed = self.name.as_deref().map(SecretName::parse).transpose();
        parsed.map_err(|wrong| Invalid::new("name", wrong.fix))
    }

    /// The resource version that the caller insists on.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn expected(&self) -> Result<Option<ResourceVersion>, Invalid> {
        expected(self.resource_version.as_deref())
    }
}

impl PurgeAction {
    /// The deleted secret that is meant.
    ///
    /// # Errors
    /// When it is no identity.
    pub fn uid(&self) -> Result<Option<Uid>, Invalid> {
        self.uid.as_deref().map(Uid::parse).transpose()
    }
}

fn numbers(versions: &[u64]) -> Result<BTreeSet<u64>, Invalid> {
    let set: BTreeSet<u64> = versions.iter().copied().collect();
    if set.len() != versions.len() {
        return Err(Invalid::new("versions", "must name each version once"));
    }
    Ok(set)
}

fn expected(text: Option<&str>) -> Result<Option<ResourceVersion>, Invalid> {
    let parsed = text.map(ResourceVersion::parse).transpose();
    parsed.map_err(|wrong| Invalid::new("resourceVersion", wrong.fix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undelete(json: &str) -> UndeleteAction {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn contradictions_are_refused_by_field() {
        let field = |json| undelete(json).numbers().unwrap_err().field;
        assert_eq!(field(r#"{"versions":[1],"uid":"x"}"#), "versions");
        assert_eq!(field(r#"{"versions":[1],"name":"x"}"#), "versions");
        assert_eq!(field(r#"{"versions":[1,1]}"#), "versions");
        assert_eq!(field(r#"{"resourceVersion":"1"}"#), "resourceVersion");
        assert_eq!(undelete(r#"{"name":"a//b"}"#).name().unwrap_err().field, "name");
        assert_eq!(undelete(r#"{"uid":"b"}"#).uid().unwrap_err().field, "uid");
        assert!(undelete("{}").numbers().unwrap().is_none());
    }
}
