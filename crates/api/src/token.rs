//! Tokens on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::WireText;
use crate::object::objects;

/// A role, and the projects it holds in.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RightBody {
    /// The role's name.
    pub role: String,
    /// The projects, each `PROJECT` or `ORG/PROJECT`; left out for a role that holds everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub projects: Vec<String>,
}

/// A token to be made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenWrite {
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// What it may do.
    #[serde(deserialize_with = "objects")]
    pub rights: Vec<RightBody>,
    /// After how many seconds it ends; never by itself when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub expires_in_seconds: Option<u64>,
}

/// A token, without the token.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenBody {
    /// Its identity.
    pub id: String,
    /// What it is for.
    pub description: String,
    /// What it may do.
    pub rights: Vec<RightBody>,
    /// When it was made, RFC 3339.
    pub creation_timestamp: String,
    /// Who made it.
    pub created_by: String,
    /// When it ends, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// A token that was just made: the only time that it is shown.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct TokenMinted {
    /// The token.
    pub token: WireText,
    /// What is kept of it.
    pub metadata: TokenBody,
}

/// All tokens.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenList {
    /// The tokens, oldest first.
    pub items: Vec<TokenBody>,
}

/// Who is asking.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WhoAmI {
    /// The actor's name, as logs and `createdBy` show it.
    pub actor: String,
    /// The token's identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What the token is for.
    pub description: String,
    /// What it may do.
    pub rights: Vec<RightBody>,
    /// When it ends, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}
