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
mod scope;

pub use action::{
    Action, ActionKind, ActionSet, Administer, Audit, Create, Delete, List, Read, Share, Update,
    Use,
};
pub use actor::{
    Actor, Basis, Ground, GroundRecord, Held, Identity, Narrowing, ShownToken, Subject,
};
pub use decide::{
    Denied, KnownSecret, Opening, PartOfProject, Permit, Reason, Resource, SeenProject, WholeStore,
    decide, decide_known, decide_use, may_give, reasons, reasons_to_use,
};
pub use role::Role;
pub use scope::{Place, Right, Scope};
