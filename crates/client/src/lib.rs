//! Typed calls to a daemon's native API.

mod socket;

use std::path::Path;
use std::sync::Arc;

use api::{
    CompactionBody, KeysBody, Problem, ProjectBody, ProjectWrite, ProjectionList, Rendered,
    RotateAction, RotationBody, SecretBody, SecretData, SecretWrite, StoreStatus, VerificationBody,
    WorkloadBody, paths,
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// What may stand in a path segment as it is: the unreserved characters of RFC 3986.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The daemon's answer is not what its API promises.
    #[error("the daemon's answer cannot be understood")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The daemon does not answer.
    #[error("the daemon does not answer")]
    Connection(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The daemon refused the call.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
    /// The daemon's address or the token cannot be used.
    #[error("the {0} is not usable in a request")]
    Setting(&'static str),
}

/// A way to a daemon, and what shows who asks.
pub struct Client {
    way: Way,
    authorization: Option<HeaderValue>,
}

type Http = hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>;

/// How a daemon is reached.
enum Way {
    Network(Box<Http>, String),
    /// The operator's socket, which takes no token.
    Socket(Arc<Path>),
}

impl Client {
    /// A client for the daemon at `address`, such as `http://127.0.0.1:8220`.
    ///
    /// # Errors
    /// When the token cannot stand in a header.
    pub fn new(address: &str, token: &str) -> Result<Self, ClientError> {
        let authorization = zeroize::Zeroizing::new(format!("Bearer {token}"));
        let mut authorization =
            HeaderValue::from_str(&authorization).map_err(|_| ClientError::Setting("token"))?;
        authorization.set_sensitive(true);
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
        let way = Way::Network(Box::new(http), address.trim_end_matches('/').to_owned());
        Ok(Self { way, authorization: Some(authorization) })
    }

    /// A client for the daemon behind an operator's socket, for its own user and root.
    pub fn on_socket(path: &Path) -> Self {
        Self { way: Way::Socket(path.into()), authorization: None }
    }

    /// Makes a project in the default organization.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create_project(&self, project: &ProjectWrite) -> Result<ProjectBody, ClientError> {
        self.call(Method::POST, "/tresor/v1/orgs/default/projects", Some(project)).await
    }

    /// Makes a secret or gives it a new version.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn put_secret(
        &self,
        project: &str,
        name: &str,
        secret: &SecretWrite,
    ) -> Result<SecretBody, ClientError> {
        self.call(Method::PUT, &secret_path(project, name), Some(secret)).await
    }

    /// One version in the clear: the current one, or the one named.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn secret_data(
        &self,
        project: &str,
        name: &str,
        version: Option<u64>,
    ) -> Result<SecretData, ClientError> {
        let query = version.map(|version| format!("?version={version}")).unwrap_or_default();
        let path = format!("{}/data{query}", secret_path(project, name));
        self.call(Method::GET, &path, None::<&()>).await
    }

    /// Removes a secret.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete_secret(&self, project: &str, name: &str) -> Result<(), ClientError> {
        self.send(Method::DELETE, &secret_path(project, name), None::<&()>).await.map(|_| ())
    }

    /// How a project's projections stand.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn projections(&self, project: &str) -> Result<ProjectionList, ClientError> {
        let path = format!("{}/projections", project_path(project));
        self.call(Method::GET, &path, None::<&()>).await
    }

    /// A manifest of a workload, in the project that is named or that it names itself.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn render(
        &self,
        project: Option<&str>,
        workload: &WorkloadBody,
    ) -> Result<Rendered, ClientError> {
        let query = |project| format!("?project={}", utf8_percent_encode(project, SEGMENT));
        let path = format!("{}{}", api::paths::RENDER, project.map(query).unwrap_or_default());
        self.call(Method::POST, &path, Some(workload)).await
    }

    /// The keys of the store.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn keys(&self) -> Result<KeysBody, ClientError> {
        self.call(Method::GET, paths::KEYS, None::<&()>).await
    }

    /// The last change of keys; none when there was none.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rotation(&self) -> Result<Option<RotationBody>, ClientError> {
        match self.call(Method::GET, paths::ROTATION, None::<&()>).await {
            Err(ClientError::Refused(problem)) if problem.status == 404 => Ok(None),
            other => other.map(Some),
        }
    }

    /// Begins a change of keys.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rotate(&self, wanted: &RotateAction) -> Result<RotationBody, ClientError> {
        self.call(Method::POST, paths::ROTATE, Some(wanted)).await
    }

    /// Has a change of keys stop where it is.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn pause_rotation(&self) -> Result<RotationBody, ClientError> {
        self.call(Method::POST, paths::PAUSE_ROTATION, None::<&()>).await
    }

    /// Has a change of keys go on.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn resume_rotation(&self) -> Result<RotationBody, ClientError> {
        self.call(Method::POST, paths::RESUME_ROTATION, None::<&()>).await
    }

    /// Which store it is, and how the last compaction stands.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn store(&self) -> Result<StoreStatus, ClientError> {
        self.call(Method::GET, paths::STORE, None::<&()>).await
    }

    /// Begins a compaction, unless one is under way.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn compact(&self) -> Result<CompactionBody, ClientError> {
        self.call(Method::POST, paths::COMPACT, None::<&()>).await
    }

    /// Opens every record and follows every reference; answers when it is done.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn verify(&self) -> Result<VerificationBody, ClientError> {
        self.call(Method::POST, paths::VERIFY, None::<&()>).await
    }

    /// A backup, or what was written since a resource version, part by part. Only a backup that was
    /// verified to its end is whole.
    ///
    /// # Errors
    /// See [`ClientError`]; that of `take` ends it.
    pub async fn back_up(
        &self,
        since: Option<&str>,
        mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), ClientError> {
        let query = since.map(|since| format!("?since={since}")).unwrap_or_default();
        let path = format!("{}{query}", paths::BACKUP);
        let answer = self.request(Method::GET, &path, None::<&()>).await?;
        if !answer.status().is_success() {
            return whole(answer).await.map(|_| ());
        }
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| ClientError::Connection(Box::new(error)))?;
            if let Some(part) = frame.data_ref() {
                take(part).map_err(|error| ClientError::Answer(Box::new(error)))?;
            }
        }
        Ok(())
    }

    async fn call<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<T, ClientError> {
        let answer = self.send(method, path, body).await?;
        serde_json::from_slice(&answer).map_err(|error| ClientError::Answer(Box::new(error)))
    }

    async fn send<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<Bytes, ClientError> {
        whole(self.request(method, path, body).await?).await
    }

    async fn request<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<Response<Incoming>, ClientError> {
        let bytes = body.map(serde_json::to_vec).transpose();
        let bytes = bytes.map_err(|error| ClientError::Answer(Box::new(error)))?;
        let mut request =
            Request::builder().method(method).header(header::CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        let body = Full::from(bytes.unwrap_or_default());
        let complete = |request: http::request::Builder, uri: String| {
            let request = request.uri(uri).body(body);
            request.map_err(|_| ClientError::Setting("daemon's address"))
        };
        match &self.way {
            Way::Network(http, address) => {
                let request = complete(request, format!("{address}{path}"))?;
                let answer = http.request(request).await;
                answer.map_err(|error| ClientError::Connection(Box::new(error)))
            }
            Way::Socket(socket) => {
                // HTTP/1.1 wants a host; nobody looks at this one.
                let request = request.header(header::HOST, "operator");
                let request = complete(request, path.to_owned())?;
                socket::send(socket, request).await.map_err(ClientError::Connection)
            }
        }
    }
}

/// An answer's whole body, or why the daemon refused.
async fn whole(answer: Response<Incoming>) -> Result<Bytes, ClientError> {
    let refused = !answer.status().is_success();
    let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
    let body = body.map_err(ClientError::Connection)?.to_bytes();
    if !refused {
        return Ok(body);
    }
    match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => Err(ClientError::Refused(Box::new(problem))),
        Err(error) => Err(ClientError::Answer(Box::new(error))),
    }
}

fn project_path(project: &str) -> String {
    format!("/tresor/v1/orgs/default/projects/{}", utf8_percent_encode(project, SEGMENT))
}

fn secret_path(project: &str, name: &str) -> String {
    format!("{}/secrets/{}", project_path(project), utf8_percent_encode(name, SEGMENT))
}
