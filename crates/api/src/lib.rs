//! The native HTTP contract: what goes over the wire, in both directions, and how it is refused.
//!
//! Server and client both speak in these types. Values of secrets travel in [`WireText`], which
//! wipes itself and cannot be printed.

mod binding;
mod consumer;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod grant;
mod history;
mod keys;
mod object;
mod openapi;
mod parse;
pub mod paths;
mod principal;
mod problem;
mod project;
mod render;
mod secret;
mod store;
mod sync;
mod token;
mod watch;
mod wire_document;
mod wire_text;

pub use binding::{
    BindingBody, BindingList, BindingWrite, BoundSecretBody, BoundSecretList, project_path,
};
pub use consumer::{ConsumerBody, ConsumerList, ConsumerMetadata, ReferenceBody};
pub use grant::{
    AccessBody, AccessList, AccessReview, AccessReviewed, ActionBody, GrantBody, GrantList,
    GrantWrite, MemberWrite,
};
pub use history::{PurgeAction, RollbackAction, UndeleteAction, VersionsAction};
pub use keys::{
    KekBody, KeysBody, MetadataKeyBody, NewRootBody, RootKeyBody, RotateAction, RotationBody,
};
pub use openapi::openapi;
pub use parse::parse;
pub use principal::{
    AccountPatch, AccountPatchSpec, GroupPatch, GroupPatchSpec, GroupWrite, GroupWriteSpec,
    LoginBody, LoginWrite, MachineAccountWrite, NameWrite, OrgBody, OrgList, OrgMetadata, OrgWrite,
    PasswordWrite, PrincipalBody, PrincipalList, PrincipalMetadata, PrincipalSpec, UserWrite,
    principal_name, subject,
};
pub use problem::{Problem, ProblemKind};
pub use project::{
    ProjectBody, ProjectList, ProjectMetadata, ProjectPatch, ProjectPatchSpec, ProjectSpec,
    ProjectWrite, ProjectWriteMetadata, ProjectionBody, ProjectionList, RuleBody,
};
pub use render::{Rendered, WorkloadBody};
pub use secret::{
    Labelled, ListMetadata, MERGE_PATCH, RegistryBody, SecretBody, SecretData, SecretList,
    SecretMetadata, SecretPatch, SecretSpec, SecretStatus, SecretWrite, SecretWriteMetadata,
    SecretWriteSpec, VersionBody, VersionList,
};
pub use store::{
    BackupBody, CompactionBody, FindingBody, RollbackWitness, StoreStatus, VerificationBody,
};
pub use sync::SyncStatus;
pub use token::{NarrowingBody, RightBody, TokenBody, TokenList, TokenMinted, TokenWrite, WhoAmI};
pub use watch::{Bookmark, BookmarkMetadata, WatchLine};
pub use wire_document::WireDocument;
pub use wire_text::{UniqueMap, WireText};
