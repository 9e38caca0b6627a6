//! Who may do what.
//!
//! [`decide`] is the only maker of a [`Permit`], and every use case of the vault demands one. A
//! permit names its action and its resource in its type and carries the resource itself, so a use
//! case cannot act on anything but what was decided on.
//!
//! A permit has no public constructor and no public field. Who has one can pass it on:
//!
//! ```
//! use authz::{Actor, Permit, Read, WholeStore, decide};
//! use domain::Timestamp;
//! # fn main() -> Result<(), authz::Denied> {
//! let real = decide::<Read, _>(&Actor::sync_worker(), WholeStore, Timestamp::default())?;
//! let same: Permit<Read, WholeStore> = real;
//! # Ok(())
//! # }
//! ```
//!
//! and, this being the only difference, cannot make another from its parts:
//!
//! ```compile_fail,E0451
//! use authz::{Actor, Permit, Read, WholeStore, decide};
//! use domain::Timestamp;
//! # fn main() -> Result<(), authz::Denied> {
//! let real = decide::<Read, _>(&Actor::sync_worker(), WholeStore, Timestamp::default())?;
//! let same: Permit<Read, WholeStore> = Permit { ..real };
//! # Ok(())
//! # }
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
    decide, decide_create_for, decide_known, decide_use, may_give, reasons, reasons_to_use,
};
pub use role::Role;
pub use scope::{Place, Right, Scope};
