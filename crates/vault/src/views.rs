//! What use cases show: metadata, never a value.

use authz::{ActionKind, Narrowing, Right, Role};
use domain::{
    Annotations, OrgName, ProjectPath, ProjectionRule, ResourceVersion, SecretPath, SecretType,
    Timestamp, Uid,
};
use store::{Binding, Head, PrincipalKind};

/// A secret as it is listed.
#[derive(Clone, Debug)]
pub struct SecretView {
    /// Everything but the values.
    pub head: Head,
    /// Its last change.
    pub resource_version: ResourceVersion,
}

/// A secret of another project, where it is bound.
#[derive(Clone, Debug)]
pub struct BoundView {
    /// Where it lives.
    pub path: SecretPath,
    /// Its identity.
    pub uid: Uid,
    /// Its type.
    pub kind: SecretType,
    /// The binding.
    pub binding: Binding,
}

/// A project.
#[derive(Clone, Debug)]
pub struct ProjectView {
    /// Its name.
    pub path: ProjectPath,
    /// Its identity.
    pub uid: Uid,
    /// Its last change.
    pub resource_version: ResourceVersion,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Where its secrets appear.
    pub rules: Vec<ProjectionRule>,
    /// How many versions of a secret are kept, where the project says so itself.
    pub keep_versions: Option<u32>,
    /// What clients keep beside it.
    pub annotations: Annotations,
}

/// A token, without the token.
#[derive(Clone, Debug)]
pub struct TokenView {
    /// Its identity.
    pub id: Uid,
    /// What it is for.
    pub description: String,
    /// What it may do, where it belongs to nobody.
    pub rights: Vec<Right>,
    /// Whose it is, `KIND:NAME`, where it belongs to an account.
    pub principal: Option<String>,
    /// What it leaves of that account's rights.
    pub narrowing: Narrowing,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it ends, if it does by itself.
    pub expires: Option<Timestamp>,
    /// When it was last shown, if it ever was.
    pub last_used_at: Option<Timestamp>,
}

/// A user, a machine account or a group.
#[derive(Clone, Debug)]
pub struct PrincipalView {
    /// Its identity.
    pub uid: Uid,
    /// What kind it is.
    pub kind: PrincipalKind,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Whether it is shut out.
    pub disabled: bool,
    /// Whether it can sign in with a password.
    pub has_password: bool,
    /// A group's members, `KIND:NAME`.
    pub members: Vec<String>,
    /// The groups that it is in, `KIND:NAME`.
    pub groups: Vec<String>,
    /// Its last change.
    pub resource_version: ResourceVersion,
}

/// An organization. The default one was never made, and has neither identity nor maker.
#[derive(Clone, Debug)]
pub struct OrgView {
    /// Its name.
    pub name: OrgName,
    /// Its identity.
    pub uid: Option<Uid>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// Who made it.
    pub created_by: Option<String>,
    /// Its last change.
    pub resource_version: ResourceVersion,
}

/// A right that was given.
#[derive(Clone, Debug)]
pub struct GrantView {
    /// Its identity.
    pub id: Uid,
    /// To whom, `KIND:NAME`.
    pub subject: String,
    /// Where.
    pub uri: String,
    /// What.
    pub role: Role,
    /// Whether it holds for one secret alone, and not for others that come by its name or lie below.
    pub only_this_secret: bool,
    /// When it was given.
    pub created_at: Timestamp,
    /// Who gave it.
    pub created_by: String,
}

/// What someone may do with a secret, and why.
#[derive(Clone, Debug)]
pub struct AccessView {
    /// Who.
    pub subject: String,
    /// Whether they are shut out for now.
    pub disabled: bool,
    /// Each action, with all reasons.
    pub actions: Vec<(ActionKind, Vec<String>)>,
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct ListPage<T> {
    /// What is on it, by name.
    pub items: Vec<T>,
    /// The store's resource version when the list's first page was read.
    pub resource_version: ResourceVersion,
    /// Where the list goes on, if it does.
    pub next: Option<String>,
}
