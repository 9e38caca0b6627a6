//! What use cases show: metadata, never a value.

use authz::Right;
use domain::{
    ProjectPath, ProjectionRule, ResourceVersion, SecretPath, SecretType, Timestamp, Uid,
};
use store::{Binding, Head};

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
}

/// A token, without the token.
#[derive(Clone, Debug)]
pub struct TokenView {
    /// Its identity.
    pub id: Uid,
    /// What it is for.
    pub description: String,
    /// What it may do.
    pub rights: Vec<Right>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it ends, if it does by itself.
    pub expires: Option<Timestamp>,
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
