//! The native HTTP contract: what goes over the wire, in both directions, and how it is refused.
//!
//! Server and client both speak in these types. Values of secrets travel in [`WireText`], which
//! wipes itself and cannot be printed.

mod object;
mod parse;
mod problem;
mod project;
mod secret;
mod token;
mod wire_document;
mod wire_text;

pub use parse::parse;
pub use problem::{Problem, ProblemKind};
pub use project::{
    ProjectBody, ProjectList, ProjectMetadata, ProjectSpec, ProjectWrite, ProjectWriteMetadata,
    ProjectionBody, ProjectionList, RuleBody,
};
pub use secret::{
    BindingBody, Labelled, ListMetadata, MAX_BINDINGS, MERGE_PATCH, RegistryBody, SecretBody,
    SecretData, SecretList, SecretMetadata, SecretPatch, SecretSpec, SecretStatus, SecretWrite,
    SecretWriteMetadata, SecretWriteSpec, VersionBody, VersionList,
};
pub use token::{RightBody, TokenBody, TokenList, TokenMinted, TokenWrite, WhoAmI};
pub use wire_document::WireDocument;
pub use wire_text::{UniqueMap, WireText};
