//! Problem documents, RFC 9457.

use domain::Invalid;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What kind of problem it is: it decides type, title and status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// There is one of that name already.
    AlreadyExists,
    /// The daemon cannot serve this now, and may soon.
    Busy,
    /// The resource changed since the version that was insisted on.
    Conflict,
    /// The role does not allow it.
    Forbidden,
    /// What was known then is known no more.
    Gone,
    /// Something that must not happen did.
    Internal,
    /// A field breaks a rule.
    InvalidField,
    /// The body cannot be read.
    MalformedBody,
    /// The path has no such method.
    MethodNotAllowed,
    /// There is none, or the actor may not see it.
    NotFound,
    /// The state of the resource does not allow it.
    NotNow,
    /// The request is larger than is taken.
    PayloadTooLarge,
    /// The body did not arrive in time.
    RequestTimeout,
    /// The disk is full.
    StorageFull,
    /// Someone was wrong too often.
    TooManyRequests,
    /// No valid credential was sent.
    Unauthorized,
    /// The body is of another media type.
    UnsupportedMediaType,
}

impl ProblemKind {
    const fn parts(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::AlreadyExists => (409, "already-exists", "It exists already"),
            Self::Busy => (503, "busy", "Try again soon"),
            Self::Conflict => (409, "conflict", "It has changed"),
            Self::Forbidden => (403, "forbidden", "Not allowed"),
            Self::Gone => (410, "gone", "No longer known"),
            Self::Internal => (500, "internal", "Internal error"),
            Self::InvalidField => (422, "invalid-field", "A field is not valid"),
            Self::MalformedBody => (400, "malformed-body", "The body cannot be read"),
            Self::MethodNotAllowed => (405, "method-not-allowed", "No such method here"),
            Self::NotFound => (404, "not-found", "Not found"),
            Self::NotNow => (409, "not-now", "Not in this state"),
            Self::PayloadTooLarge => (413, "payload-too-large", "The request is too large"),
            Self::RequestTimeout => (408, "request-timeout", "The request took too long"),
            Self::StorageFull => (507, "storage-full", "The disk is full"),
            Self::TooManyRequests => (429, "too-many-requests", "Too many attempts"),
            Self::Unauthorized => (401, "unauthorized", "Not signed in"),
            Self::UnsupportedMediaType => (415, "unsupported-media-type", "Not JSON"),
        }
    }
}

/// A problem document, `application/problem+json`. It never repeats a value that was sent.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// What kind of problem, as a URI.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// The kind in words.
    pub title: Box<str>,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong and what to do.
    pub detail: String,
    /// The field at fault: a JSON path, a parameter or a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<Box<str>>,
    /// The last resource version up to which everything was sent, when a watch ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<Box<str>>,
    /// The oldest resource version that is good, when an older one was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_resource_version: Option<Box<str>>,
    /// After how many seconds to try again; the header `Retry-After` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// Whether it hides that the actor may not: for the audit log, never for the wire.
    #[serde(skip)]
    #[schema(ignore)]
    pub denied: bool,
}

impl Problem {
    /// A problem of a kind.
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        let (status, name, title) = kind.parts();
        Self {
            kind: format!("urn:tresor:problem:{name}").into(),
            title: title.into(),
            status,
            detail: detail.into(),
            field: None,
            resource_version: None,
            oldest_resource_version: None,
            retry_after: None,
            denied: false,
        }
    }

    /// A field that breaks a rule.
    pub fn invalid(invalid: &Invalid) -> Self {
        Self::new(ProblemKind::InvalidField, invalid.to_string()).at(&invalid.field)
    }

    /// The same problem, at a field.
    #[must_use]
    pub fn at(mut self, field: &str) -> Self {
        self.field = Some(field.into());
        self
    }

    /// After how many seconds to try again: as long as is said, and soon where a busy daemon says
    /// nothing.
    pub fn seconds_to_wait(&self) -> Option<u32> {
        self.retry_after.or((self.status == 503).then_some(1))
    }
}
