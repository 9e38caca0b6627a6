//! How the platform refuses.

use api::Problem;
use http::StatusCode;
use serde_json::json;

use crate::{Answer, Unauthenticated};

/// The largest body, in bytes.
pub(super) const MAX_BODY_BYTES: usize = 1 << 20;

/// An error in words.
pub(super) fn error(status: StatusCode, text: &str) -> Answer {
    Answer::json(status, &json!({ "error": text }))
}

/// A request that is wrong in itself.
pub(super) fn wrong(text: &str) -> Answer {
    error(StatusCode::BAD_REQUEST, text)
}

/// What the actor may not: the action that is missing, and where. Clients show people the body as it
/// is, so it has the spaces that the platform's server writes.
pub(super) fn missing(uri: &str, action: &str) -> Answer {
    let (uri, action) = (json!(uri), json!(action));
    let body = format!(r#"{{"missing": [{{"uri": {uri}, "action": {action}}}]}}"#);
    let mut answer = Answer::json(StatusCode::FORBIDDEN, &json!({}));
    answer.body = body.into_bytes();
    answer.denied()
}

/// A key that is not there, to who may know.
pub(super) fn no_secret(key: &str) -> Answer {
    error(StatusCode::NOT_FOUND, &format!("Secret '{key}' not found"))
}

/// A user that is not there, to who may know.
pub(super) fn no_user(name: &str) -> Answer {
    error(StatusCode::NOT_FOUND, &format!("user \"{name}\" was not found"))
}

/// A body that is too large.
pub(super) fn too_large() -> Answer {
    let text = format!("Maximum request body size {MAX_BODY_BYTES} exceeded.");
    Answer::text(StatusCode::PAYLOAD_TOO_LARGE, &text)
}

/// Who has not shown who they are.
pub(super) fn unauthenticated(why: Unauthenticated) -> Answer {
    match why {
        Unauthenticated::BadPassword | Unauthenticated::BadToken | Unauthenticated::NoHeader => {
            Answer::text(StatusCode::UNAUTHORIZED, "401: Unauthorized")
        }
        Unauthenticated::NoCredential => wrong("No credentials"),
        Unauthenticated::UnknownScheme => wrong("Unexpected authorization scheme"),
    }
}

/// What has no answer of its own.
pub(super) fn refused(problem: &Problem) -> Answer {
    let answer = match problem.status {
        401 => unauthenticated(Unauthenticated::BadToken),
        413 => too_large(),
        // The platform's own word for a field that breaks a rule.
        422 => wrong(&problem.detail),
        status => {
            let status = StatusCode::from_u16(status);
            error(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &problem.detail)
        }
    };
    answer.retry_after(problem)
}
