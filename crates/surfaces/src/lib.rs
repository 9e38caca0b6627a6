//! The interfaces of other platforms, each a thin translation to the vault's use cases.
//!
//! Nothing here listens, stores, decides or encrypts: a surface turns a request into an act of the
//! vault, by an actor whom the server has authenticated, and the result into the platform's answer.
//! A [`Surface`] is data: its routes, how each of them is asked, and what a refusal looks like. The
//! server mounts those that are switched on.
//!
//! Each surface has an OpenAPI document, written by hand in `openapi/NAME.json`, with an operation for
//! each route: its `operationId` is the route's operation, as in the audit log. Where several routes
//! share an operation, the first of the table has the plain name, and those after it `_2`, `_3` and so
//! on. `document` compares the two in a test, and `tests/it/surface_documents.rs` plays each document
//! against a daemon.

mod answer;
mod apolo;
mod blueprints;
mod chariot;
mod digitalhub;
#[cfg(test)]
mod document;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod listing;
pub mod render;
mod request;
mod route;
mod safe;
mod trouble;

pub use answer::{Answer, Outcome, Touched};
pub use request::Request;
pub use route::{
    APOLO_NAMES, Access, Context, DIGITALHUB_NAMES, Handler, Job, JobError, Jobs, Place, Route,
    Settings, Surface, Unauthenticated, surfaces,
};
pub use safe::{home_labels as safe_home_labels, home_rule as safe_home_rule};
pub use trouble::Trouble;
