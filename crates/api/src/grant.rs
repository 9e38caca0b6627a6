//! Grants, members, and who may do what, on the wire.

use domain::{Invalid, ProjectPath};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::object::present;
use crate::project_path;

/// A right to be given.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrantWrite {
    /// To whom: `user:NAME`, `machine:NAME` or `group:NAME`.
    pub subject: String,
    /// Where: `secret://CLUSTER/ORG/PROJECT/NAME`, or less of it. It holds there and below.
    pub uri: String,
    /// Which role.
    pub role: String,
}

/// A right that was given.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantBody {
    /// Its identity.
    pub id: String,
    /// To whom.
    pub subject: String,
    /// Where.
    pub uri: String,
    /// Which role.
    pub role: String,
    /// Whether it holds for the secret that had this name when it was given, and for none that comes
    /// by the name later or lies below: what the owner of a secret gives is of this kind.
    pub only_this_secret: bool,
    /// When it was given, RFC 3339.
    pub creation_timestamp: String,
    /// Who gave it.
    pub created_by: String,
}

/// Rights that were given.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GrantList {
    /// They, by place, holder and role.
    pub items: Vec<GrantBody>,
}

/// What a member of a project is to be.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemberWrite {
    /// Which role; it takes the place of those that the member has in the project.
    pub role: String,
}

/// A question: may someone do something?
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessReview {
    /// Who; the one who asks when left out.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub subject: Option<String>,
    /// Where.
    pub uri: String,
    /// What.
    pub action: String,
    /// For the action `use`: in a workload of which project, `PROJECT` or `ORG/PROJECT`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub project: Option<String>,
}

impl AccessReview {
    /// The project of the workload.
    ///
    /// # Errors
    /// When it is no project's name.
    pub fn project(&self) -> Result<Option<ProjectPath>, Invalid> {
        self.project.as_deref().map(|text| project_path("project", text)).transpose()
    }
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AccessReviewed {
    /// Whether they may.
    pub allowed: bool,
    /// Why: each reason there is.
    pub reasons: Vec<String>,
}

/// Who may do what with a secret.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AccessList {
    /// Everyone who may do anything with it.
    pub items: Vec<AccessBody>,
}

/// What someone may do with a secret.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AccessBody {
    /// Who.
    pub subject: String,
    /// Whether they are shut out for now.
    pub disabled: bool,
    /// What, and why.
    pub actions: Vec<ActionBody>,
}

/// An action, and why it is allowed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ActionBody {
    /// The action.
    pub action: String,
    /// Each reason there is.
    pub reasons: Vec<String>,
}
