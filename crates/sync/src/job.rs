//! Jobs, created as they are handed over.
//!
//! What creates one is not the loop: a Job is asked for by somebody who waits for the answer, and is
//! theirs from then on. Nothing here looks at it again.

use domain::Namespace;
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::PostParams;
use serde_json::Value;

use crate::failure::{CallError, Verb};
use crate::kubernetes::{as_manager, quietly_about};

/// Why a Job was not created. What the cluster said is not repeated, as everywhere here.
#[derive(Debug, thiserror::Error)]
pub enum NotCreated {
    /// The cluster refuses it, for the reason in these words.
    #[error("{0}")]
    Refused(String),
    /// The cluster cannot be reached, in these words.
    #[error("{0}")]
    Unreachable(String),
}

/// Creates a Job of a manifest, and returns the name that it got.
///
/// It needs the right to `create` `jobs` of the group `batch` in the namespace.
///
/// # Errors
/// When the manifest is none of a Job, or the cluster does not create it.
pub async fn create_job(
    client: kube::Client,
    namespace: &Namespace,
    manifest: Value,
) -> Result<String, NotCreated> {
    let unfit = |_| NotCreated::Refused("the manifest is none of a Job".to_owned());
    let job: Job = serde_json::from_value(manifest).map_err(unfit)?;
    let api: Api<Job> = Api::namespaced(client, namespace.as_str());
    let params: PostParams = as_manager();
    let created = quietly_about("Job", Verb::Create, namespace, api.create(&params, &job)).await;
    let created = created.map_err(|error| match error {
        CallError::Changed => NotCreated::Refused("a Job of that name is there".to_owned()),
        CallError::Failed(failure) => match failure.state {
            domain::ProjectionState::Unreachable => NotCreated::Unreachable(failure.message),
            _ => NotCreated::Refused(failure.message),
        },
    })?;
    let unnamed = || NotCreated::Refused("the cluster gave the Job no name".to_owned());
    created.metadata.name.ok_or_else(unnamed)
}
