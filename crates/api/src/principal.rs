//! Users, machine accounts, groups, organizations and signing in, on the wire.

use domain::{Invalid, OrgName, Plaintext, PrincipalName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::object::{object, present};
use crate::{TokenBody, WireText};

/// What names someone to be made.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NameWrite {
    /// The name.
    pub name: String,
}

/// A user to be made.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserWrite {
    /// Its name.
    #[serde(deserialize_with = "object")]
    pub metadata: NameWrite,
    /// Its password; without one it signs in with tokens only.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub password: Option<WireText>,
}

impl UserWrite {
    /// The password's bytes.
    pub fn password(&self) -> Option<Plaintext> {
        self.password.as_ref().map(plaintext)
    }
}

/// A machine account to be made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MachineAccountWrite {
    /// Its name.
    #[serde(deserialize_with = "object")]
    pub metadata: NameWrite,
}

/// A group to be made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupWrite {
    /// Its name.
    #[serde(deserialize_with = "object")]
    pub metadata: NameWrite,
    /// Who is in it.
    #[serde(default, deserialize_with = "object")]
    pub spec: GroupWriteSpec,
}

/// Who is to be in a group.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupWriteSpec {
    /// Users and machine accounts, each `user:NAME` or `machine:NAME`.
    #[serde(default)]
    pub members: Vec<String>,
}

/// What changes in a user or a machine account.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountPatch {
    /// What is to be.
    #[serde(deserialize_with = "object")]
    pub spec: AccountPatchSpec,
}

/// Whether an account is to be shut out.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountPatchSpec {
    /// Whether it is shut out: its password and its tokens open nothing.
    pub disabled: bool,
}

/// What changes in a group.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupPatch {
    /// What is to be.
    #[serde(deserialize_with = "object")]
    pub spec: GroupPatchSpec,
}

/// Who is to be in a group.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupPatchSpec {
    /// All of them: who is not named is in it no longer.
    pub members: Vec<String>,
}

/// A user, a machine account or a group.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrincipalBody {
    /// What it is called, and since when.
    pub metadata: PrincipalMetadata,
    /// What it is.
    pub spec: PrincipalSpec,
}

/// What a principal is called, and since when.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrincipalMetadata {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uid: String,
    /// Its last change.
    pub resource_version: String,
    /// When it was made, RFC 3339.
    pub creation_timestamp: String,
    /// Who made it.
    pub created_by: String,
}

/// What a principal is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrincipalSpec {
    /// `user`, `machine` or `group`.
    pub kind: String,
    /// Whether it is shut out.
    pub disabled: bool,
    /// Whether it can sign in with a password.
    pub has_password: bool,
    /// A group's members.
    pub members: Vec<String>,
    /// The groups that it is in.
    pub groups: Vec<String>,
}

/// Principals of one kind.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PrincipalList {
    /// They, by name.
    pub items: Vec<PrincipalBody>,
}

/// Another password.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PasswordWrite {
    /// The new password.
    pub password: WireText,
    /// The present one; an administrator leaves it out for others.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub current_password: Option<WireText>,
}

impl PasswordWrite {
    /// The new password's bytes.
    pub fn password(&self) -> Plaintext {
        plaintext(&self.password)
    }

    /// The present password's bytes.
    pub fn current_password(&self) -> Option<Plaintext> {
        self.current_password.as_ref().map(plaintext)
    }
}

/// Signing in.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoginWrite {
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: WireText,
    /// After how many seconds the token ends; 12 hours when left out.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(minimum = 1, maximum = 2_592_000)]
    pub expires_in_seconds: Option<u64>,
    /// Whether the token is to be a JSON Web Token, for clients that look into it.
    #[serde(default)]
    pub jwt: bool,
}

impl LoginWrite {
    /// The longest that a session lasts, in seconds.
    pub const LONGEST_SECONDS: u64 = 30 * 24 * 3600;
    const USUAL_SECONDS: u64 = 12 * 3600;

    /// The password's bytes.
    pub fn password(&self) -> Plaintext {
        plaintext(&self.password)
    }

    /// How long the session lasts, in seconds.
    ///
    /// # Errors
    /// When it is none, or too long.
    pub fn seconds(&self) -> Result<u64, Invalid> {
        match self.expires_in_seconds {
            None => Ok(Self::USUAL_SECONDS),
            Some(seconds) if (1..=Self::LONGEST_SECONDS).contains(&seconds) => Ok(seconds),
            Some(_) => {
                let fix = format!("must be 1 to {}", Self::LONGEST_SECONDS);
                Err(Invalid::new("expiresInSeconds", fix))
            }
        }
    }
}

/// Someone has signed in: the only time that the token is shown.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct LoginBody {
    /// The token.
    pub token: WireText,
    /// What is kept of it.
    pub metadata: TokenBody,
}

/// An organization to be made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrgWrite {
    /// Its name.
    #[serde(deserialize_with = "object")]
    pub metadata: NameWrite,
}

impl OrgWrite {
    /// The name.
    ///
    /// # Errors
    /// When it is none.
    pub fn name(&self) -> Result<OrgName, Invalid> {
        let name = OrgName::parse(&self.metadata.name);
        name.map_err(|wrong| Invalid::new("metadata.name", wrong.fix))
    }
}

/// An organization.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrgBody {
    /// What it is called, and since when.
    pub metadata: OrgMetadata,
}

/// What an organization is called, and since when.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrgMetadata {
    /// Its name.
    pub name: String,
    /// Its identity; the default organization was never made, and has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// When it was made, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<String>,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
}

/// Organizations.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct OrgList {
    /// They, by name; the default one first.
    pub items: Vec<OrgBody>,
}

/// A kind and a name, `user:alice`.
///
/// # Errors
/// When it is anything else; `field` is where it stood.
pub fn subject<'a>(field: &str, text: &'a str) -> Result<(&'a str, PrincipalName), Invalid> {
    let wrong = || Invalid::new(field, "must be user:NAME, machine:NAME or group:NAME");
    let (kind, name) = text.split_once(':').ok_or_else(wrong)?;
    let known = ["user", "machine", "group"].contains(&kind);
    let name = PrincipalName::parse(name).ok().filter(|_| known);
    Ok((kind, name.ok_or_else(wrong)?))
}

/// The name of a principal that is to be made.
///
/// # Errors
/// When it is none.
pub fn principal_name(metadata: &NameWrite) -> Result<PrincipalName, Invalid> {
    PrincipalName::parse(&metadata.name)
}

fn plaintext(text: &WireText) -> Plaintext {
    // EXPOSE: a password goes to where it is hashed.
    Plaintext::new(text.expose().as_bytes().to_vec())
}
