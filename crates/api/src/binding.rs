//! Bindings on the wire.

use domain::{BindingKind, Invalid, OrgName, ProjectName, ProjectPath};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A binding that is to be made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BindingWrite {
    /// The project: `PROJECT`, or `ORG/PROJECT`.
    pub project: String,
    /// `owner`: only the owner, grantees and administrators may use the secret there. `members`:
    /// all members may. `owner` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

impl BindingWrite {
    /// Checks the binding.
    ///
    /// # Errors
    /// Names the field at fault.
    pub fn check(&self) -> Result<(ProjectPath, BindingKind), Invalid> {
        let kind = self.kind.as_deref().map_or(Ok(BindingKind::Owner), BindingKind::parse)?;
        Ok((project_path("project", &self.project)?, kind))
    }
}

/// A binding.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BindingBody {
    /// The project: `ORG/PROJECT`.
    pub project: String,
    /// `owner` or `members`.
    pub kind: String,
    /// Who made it.
    pub created_by: String,
    /// When it was made, RFC 3339.
    pub creation_timestamp: String,
}

/// A secret's bindings.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BindingList {
    /// The bindings, by project.
    pub items: Vec<BindingBody>,
}

/// A secret of another project that is bound to this one.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BoundSecretBody {
    /// Its name.
    pub name: String,
    /// Its home: `ORG/PROJECT`.
    pub project: String,
    /// Its identity.
    pub uid: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The binding.
    pub binding: BindingBody,
}

/// The secrets of other projects that are bound to a project.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BoundSecretList {
    /// The secrets, by home and name.
    pub items: Vec<BoundSecretBody>,
}

/// Reads a project as `PROJECT`, which is one of the default organization, or `ORG/PROJECT`.
///
/// # Errors
/// When it is neither; `field` says where it stood.
pub fn project_path(field: &str, text: &str) -> Result<ProjectPath, Invalid> {
    let parsed = match text.split_once('/') {
        None => ProjectName::parse(text).map(|project| (OrgName::default_org(), project)),
        Some((org, project)) => OrgName::parse(org)
            .and_then(|org| ProjectName::parse(project).map(|project| (org, project))),
    };
    let wrong = |wrong: Invalid| {
        Invalid::new(field, format!("must be PROJECT or ORG/PROJECT, each of which {}", wrong.fix))
    };
    parsed.map(|(org, project)| ProjectPath { org, project }).map_err(wrong)
}
