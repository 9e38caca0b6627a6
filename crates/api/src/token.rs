//! Tokens on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::object::{objects, present, some_object};
use crate::{GrantBody, WireText};

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
    /// What it may do by itself, for a token that belongs to no account; an administrator makes
    /// those. Left out, it is one of who asks, or of a machine account.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "objects")]
    pub rights: Vec<RightBody>,
    /// The machine account that it is to belong to; an administrator makes those.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub machine_account: Option<String>,
    /// What it is to leave of the rights of its account; all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_object")]
    pub narrowing: Option<NarrowingBody>,
    /// After how many seconds it ends; never by itself when left out, and a JWT after a year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub expires_in_seconds: Option<u64>,
    /// Whether its text is to be a JSON Web Token, for clients that look into it.
    #[serde(default)]
    pub jwt: bool,
}

/// What a token leaves of the rights of its account.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NarrowingBody {
    /// The projects that it is good for, each `PROJECT` or `ORG/PROJECT`; every place when left out.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub projects: Option<Vec<String>>,
    /// The actions that it is good for; all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub actions: Option<Vec<String>>,
}

/// A token, without the token.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenBody {
    /// Its identity.
    pub id: String,
    /// What it is for.
    pub description: String,
    /// What it may do by itself, where it belongs to no account.
    pub rights: Vec<RightBody>,
    /// The account that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// What it leaves of the rights of that account; all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub narrowing: Option<NarrowingBody>,
    /// When it was made, RFC 3339.
    pub creation_timestamp: String,
    /// Who made it.
    pub created_by: String,
    /// When it ends, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// When it was last shown, RFC 3339; to within a minute after a crash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_timestamp: Option<String>,
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
    /// What the token may do by itself, where it belongs to no account.
    pub rights: Vec<RightBody>,
    /// What the account was granted, itself and through its groups.
    pub grants: Vec<GrantBody>,
    /// What the token leaves of that; all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub narrowing: Option<NarrowingBody>,
    /// When it ends, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}
