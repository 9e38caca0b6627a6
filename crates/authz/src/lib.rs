//! Who may do what.
//!
//! [`decide`] is the only maker of a [`Permit`], and every use case of the vault demands one. A
//! permit names its action and its resource in its type and carries the resource itself, so a use
//! case cannot act on anything but what was decided on.
//!
//! A permit has no public constructor and no public field:
//!
//! ```
//! use authz::{Actor, Read, decide};
//! use domain::{OrgName, ProjectName, ProjectPath, SecretName, SecretPath, Timestamp};
//! # let project = ProjectPath { org: OrgName::default_org(), project: ProjectName::parse("ml")? };
//! # let secret = SecretPath { project, name: SecretName::parse("hf")? };
//! let permit = decide::<Read, _>(&Actor::sync_worker(), secret, Timestamp::default());
//! assert!(permit.is_ok());
//! # Ok::<(), domain::Invalid>(())
//! ```
//!
//! ```compile_fail
//! use authz::{Actor, Permit, Read};
//! use domain::{OrgName, ProjectName, ProjectPath, SecretName, SecretPath};
//! # let project = ProjectPath { org: OrgName::default_org(), project: ProjectName::parse("ml")? };
//! # let secret = SecretPath { project, name: SecretName::parse("hf")? };
//! let permit = Permit::<Read, _> { actor: Actor::sync_worker(), resource: secret, action: () };
//! # Ok::<(), domain::Invalid>(())
//! ```

mod action;
mod actor;
mod decide;
mod role;

pub use action::{Action, ActionKind, Administer, Create, Delete, List, Read, Share, Update, Use};
pub use actor::{Actor, Basis, Right, Scope, TokenActor};
pub use decide::{Denied, Permit, Resource, WholeStore, decide};
pub use role::Role;
