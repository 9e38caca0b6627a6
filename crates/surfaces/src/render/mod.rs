//! Manifests for workloads that refer to secrets.
//!
//! [`Workload::read`] takes what a platform describes a workload by, [`resolve`] asks the vault where
//! each secret that it names appears, and [`Workload::manifest`] makes of both what `kubectl apply`
//! takes. No value is looked at: Kubernetes itself puts it into the container.

mod environment;
mod job;
mod manifest;
mod members;
mod name;
mod recipe;
mod resolve;
mod run;
mod words;
mod workload;
mod yaml;

pub use resolve::{Astray, Resolved, Unresolved, resolve};
pub use workload::{Named, Place, Reference, Wants, Workload};
pub use yaml::yaml;

#[cfg(test)]
mod tests;
