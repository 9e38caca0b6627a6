//! What use cases show: metadata, never a value.

use authz::Right;
use domain::{ProjectPath, ProjectionRule, ResourceVersion, Timestamp, Uid};
use store::Head;

/// A secret as it is listed.
#[derive(Clone, Debug)]
pub struct SecretView {
    /// Everything but the values.
    pub head: Head,
    /// Its last change.
    pub resource_version: ResourceVersion,
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
    /// The store's resource version when this page was read.
    pub resource_version: ResourceVersion,
    /// The name of the last item, when the list goes on behind it.
    pub next: Option<String>,
}
