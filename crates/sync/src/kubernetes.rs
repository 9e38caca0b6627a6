//! The calls to the cluster, each conditional on what was observed.
//!
//! Updates are a `PUT` at a resource version rather than a server-side apply: apply leaves the keys
//! that another field manager added, and cannot say "only if it does not exist", while a projected
//! Secret must hold exactly our keys and must never be a foreign one. The field manager is set all
//! the same, so that who applies over our fields is told of the conflict.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use domain::{KubernetesSecret, Namespace, Placement};
use k8s_openapi::ByteString;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use kube::core::{PartialObjectMeta, Request};
use kube::{Api, Client, Resource};
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;
use zeroize::Zeroize;

use crate::failure::{CallError, Failure, Verb};
use crate::marks::{LABEL, MANAGER, Marks};
use crate::observed::ObjectVersion;

/// A call that takes longer is given up: it would hold one of the few places for calls.
const TIME_OUT: Duration = Duration::from_secs(10);

/// What a deletion led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// The object is gone.
    Done,
    /// The object waits for somebody's finalizer.
    Pending,
}

/// The cluster, as far as the worker uses it.
#[derive(Clone)]
pub(crate) struct Kubernetes {
    client: Client,
}

impl Kubernetes {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// The Secrets of a namespace.
    pub(crate) fn api(&self, namespace: &Namespace) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace.as_str())
    }

    /// The Leases of a namespace.
    pub(crate) fn leases(&self, namespace: &Namespace) -> Api<Lease> {
        Api::namespaced(self.client.clone(), namespace.as_str())
    }

    /// The object in a place, whosever it is.
    pub(crate) async fn get(&self, placement: &Placement) -> Result<Option<Secret>, CallError> {
        let api = self.api(&placement.namespace);
        quietly(Verb::Get, &placement.namespace, api.get_opt(&placement.name)).await
    }

    /// Creates the object. `Changed` when there is one already.
    pub(crate) async fn create(
        &self,
        placement: &Placement,
        secret: &KubernetesSecret,
        marks: &Marks,
    ) -> Result<(), CallError> {
        let meta = ObjectMeta {
            name: Some(placement.name.clone()),
            namespace: Some(placement.namespace.as_str().to_owned()),
            ..ObjectMeta::default()
        };
        let body = manifest(meta, secret, marks)?;
        let request = secrets(&placement.namespace).create(&as_manager(), body);
        self.write(Verb::Create, placement, request).await
    }

    /// Replaces data and marks of the object whose metadata was read. Whatever else the metadata
    /// says stays. `Changed` when the object is no longer as it was read.
    pub(crate) async fn replace(
        &self,
        placement: &Placement,
        read: ObjectMeta,
        secret: &KubernetesSecret,
        marks: &Marks,
    ) -> Result<(), CallError> {
        let body = manifest(read, secret, marks)?;
        let request = secrets(&placement.namespace).replace(&placement.name, &as_manager(), body);
        self.write(Verb::Update, placement, request).await
    }

    /// Deletes the object that was observed. `Changed` when it is no longer that one.
    pub(crate) async fn delete(
        &self,
        placement: &Placement,
        at: &ObjectVersion,
    ) -> Result<Deletion, CallError> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(at.uid.clone()),
                resource_version: Some(at.resource_version.clone()),
            }),
            ..DeleteParams::default()
        };
        let api = self.api(&placement.namespace);
        let deleted =
            quietly(Verb::Delete, &placement.namespace, api.delete(&placement.name, &params));
        // The object itself is answered while finalizers hold it, and a status once it is gone.
        deleted.await.map(|answer| answer.either(|_| Deletion::Pending, |_| Deletion::Done))
    }

    /// The metadata of all labelled objects of a namespace: complete, or an error.
    pub(crate) async fn list(&self, namespace: &Namespace) -> Result<Vec<ObjectMeta>, CallError> {
        let api = self.api(namespace);
        let mut params = ListParams::default().labels(&selector()).limit(500);
        let mut found = Vec::new();
        loop {
            let page = quietly(Verb::List, namespace, api.list_metadata(&params)).await?;
            found.extend(page.items.into_iter().map(|object| object.metadata));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(found),
            }
        }
    }

    async fn write(
        &self,
        verb: Verb,
        placement: &Placement,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<(), CallError> {
        let request = request.map_err(|_| CallError::Failed(unwritable()))?;
        let call = self.client.request::<PartialObjectMeta<Secret>>(request);
        quietly(verb, &placement.namespace, call).await.map(|_| ())
    }
}

/// The label selector of the watches and lists.
pub(crate) fn selector() -> String {
    format!("{LABEL}={MANAGER}")
}

/// Waits for a call, for so long; and keeps kube from logging, since it logs the whole body of an
/// answer that it cannot parse.
async fn quietly<T>(
    verb: Verb,
    namespace: &Namespace,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, CallError> {
    quietly_about("Secret", verb, namespace, call).await
}

/// As [`quietly`], for another kind than Secrets.
pub(crate) async fn quietly_about<T>(
    kind: &str,
    verb: Verb,
    namespace: &Namespace,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, CallError> {
    let call = call.with_subscriber(NoSubscriber::default());
    match tokio::time::timeout(TIME_OUT, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(classify(kind, verb, namespace, &error)),
        Err(_elapsed) => Err(CallError::Failed(Failure::timed_out())),
    }
}

fn classify(kind: &str, verb: Verb, namespace: &Namespace, error: &kube::Error) -> CallError {
    let code = match error {
        kube::Error::Api(status) => status.code,
        _ => 0,
    };
    match (code, verb) {
        (409, _) | (404, Verb::Update | Verb::Delete) => CallError::Changed,
        _ => CallError::Failed(Failure::about(kind, verb, namespace.as_str(), error)),
    }
}

fn secrets(namespace: &Namespace) -> Request {
    Request::new(Secret::url_path(&(), Some(namespace.as_str())))
}

pub(crate) fn as_manager() -> PostParams {
    PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() }
}

/// The object as JSON. Our own copies of the values are wiped; those that the HTTP client makes
/// are wiped by the allocator of the binary.
fn manifest(
    mut meta: ObjectMeta,
    secret: &KubernetesSecret,
    marks: &Marks,
) -> Result<Vec<u8>, CallError> {
    // Absent means unchanged here, and an old copy would be refused.
    meta.managed_fields = None;
    marks.write_to(&mut meta);
    // EXPOSE: this is what the worker is for, the value goes to the API server.
    let data = secret.data.iter().map(|(k, v)| (k.clone(), ByteString(v.expose().to_vec())));
    let mut object = Secret {
        metadata: meta,
        type_: Some(secret.type_.to_owned()),
        data: Some(data.collect::<BTreeMap<_, _>>()),
        ..Secret::default()
    };
    let body = serde_json::to_vec(&object);
    object.data.iter_mut().flat_map(|data| data.values_mut()).for_each(|value| value.0.zeroize());
    body.map_err(|_| CallError::Failed(unwritable()))
}

fn unwritable() -> Failure {
    Failure::new(domain::ProjectionState::Failed, "the Secret cannot be written as a request")
}
