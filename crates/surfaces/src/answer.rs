//! What a surface answers.

use api::Problem;
use domain::{ResourceVersion, SecretPath};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use vault::SecretView;

/// An answer: status, headers, body, and what the audit log is to say of it.
#[derive(Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Headers beyond those that every answer has.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body; it may hold a value.
    pub body: Vec<u8>,
    /// What was touched, one record of the audit log each. Without any, the record names what the
    /// request was about.
    pub touched: Vec<Touched>,
    /// Whether the actor may not, whatever the status pretends.
    pub denied: bool,
    /// What else the audit log is to say, where there is at most one record.
    pub detail: Option<String>,
}

/// A secret that a request touched.
#[derive(Clone, Debug)]
pub struct Touched {
    /// Which.
    pub path: SecretPath,
    /// Its identity, where it was seen.
    pub uid: Option<String>,
    /// Which version was read or made.
    pub version: Option<u64>,
    /// The resource version that was read or made.
    pub resource_version: Option<ResourceVersion>,
    /// What became of it.
    pub outcome: Outcome,
    /// What was done, where one request does several things.
    pub detail: Option<&'static str>,
}

/// What became of an act on one secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The actor may not.
    Denied,
    /// It was done.
    Done,
    /// It was refused.
    Refused,
}

impl Touched {
    /// A secret that was read or changed.
    pub fn done(view: &SecretView) -> Self {
        Self {
            path: view.head.path.clone(),
            uid: Some(view.head.uid.to_string()),
            version: view.head.current().map(|version| version.number),
            resource_version: Some(view.resource_version),
            outcome: Outcome::Done,
            detail: None,
        }
    }

    /// A secret that was asked for in vain.
    pub const fn in_vain(path: SecretPath, outcome: Outcome) -> Self {
        Self { path, uid: None, version: None, resource_version: None, outcome, detail: None }
    }

    /// The same, with what was done.
    #[must_use]
    pub const fn detail(mut self, detail: &'static str) -> Self {
        self.detail = Some(detail);
        self
    }
}

impl Answer {
    /// An answer without a body.
    pub const fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            touched: Vec::new(),
            denied: false,
            detail: None,
        }
    }

    /// A JSON answer, on one line, as the platforms' own servers send it.
    pub fn json<T: Serialize + ?Sized>(status: StatusCode, body: &T) -> Self {
        let mut answer = Self::empty(status);
        match serde_json::to_vec(body) {
            Ok(bytes) => answer.body = bytes,
            Err(_) => answer.status = StatusCode::INTERNAL_SERVER_ERROR,
        }
        answer.with(CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    /// An answer of plain text.
    pub fn text(status: StatusCode, text: &str) -> Self {
        let answer = Self { body: text.as_bytes().to_vec(), ..Self::empty(status) };
        answer.with(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))
    }

    /// The same, with a header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same, saying when to try again, where that is worth it.
    #[must_use]
    pub(crate) fn retry_after(self, problem: &Problem) -> Self {
        match problem.seconds_to_wait() {
            Some(seconds) => self.with(RETRY_AFTER, HeaderValue::from(seconds)),
            None => self,
        }
    }

    /// The same, saying which methods the path has.
    #[must_use]
    pub fn allow(self, methods: &'static str) -> Self {
        self.with(ALLOW, HeaderValue::from_static(methods))
    }

    /// The same, about a secret.
    #[must_use]
    pub fn about(mut self, touched: Touched) -> Self {
        self.touched.push(touched);
        self
    }

    /// The same, with something else for the audit log to say.
    #[must_use]
    pub fn detail(mut self, detail: String) -> Self {
        self.detail = Some(detail);
        self
    }

    /// The same, for the audit log a refusal of rights.
    #[must_use]
    pub const fn denied(mut self) -> Self {
        self.denied = true;
        self
    }
}
