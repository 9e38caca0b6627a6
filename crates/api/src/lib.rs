//! The native HTTP contract: what goes over the wire, in both directions, and how it is refused.
//!
//! Server and client both speak in these types. Values of secrets travel in [`WireText`], which
//! wipes itself and cannot be printed.

mod binding;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod history;
mod object;
mod parse;
mod problem;
mod project;
mod secret;
mod token;
mod watch;
mod wire_text;

pub use binding::{
    BindingBody, BindingList, BindingWrite, BoundSecretBody, BoundSecretList, project_path,
};
pub use history::{PurgeAction, RollbackAction, UndeleteAction, VersionsAction};
pub use parse::parse;
pub use problem::{Problem, ProblemKind};
pub use project::{
    ProjectBody, ProjectList, ProjectMetadata, ProjectPatch, ProjectPatchSpec, ProjectSpec,
    ProjectWrite, ProjectWriteMetadata, ProjectionBody, ProjectionList, RuleBody,
};
pub use secret::{
    Labelled, ListMetadata, RegistryBody, SecretBody, SecretData, SecretList, SecretMetadata,
    SecretSpec, SecretStatus, SecretWrite, SecretWriteMetadata, SecretWriteSpec, VersionBody,
    VersionList,
};
pub use token::{RightBody, TokenBody, TokenList, TokenMinted, TokenWrite, WhoAmI};
pub use watch::{Bookmark, BookmarkMetadata, WatchLine};
pub use wire_text::{UniqueMap, WireText};
