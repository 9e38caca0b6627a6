//! How the platform refuses.

use api::Problem;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, Method, StatusCode};
use serde_json::json;

use crate::{Answer, Unauthenticated};

/// An error in words.
pub(super) fn error(status: StatusCode, text: &str) -> Answer {
    Answer::json(status, &json!({ "error": text }))
}

/// What is not there, or not for the actor to see.
pub(super) fn absent() -> Answer {
    error(StatusCode::NOT_FOUND, "not found")
}

/// What the actor sees, and may not do.
pub(super) fn forbidden(text: &str) -> Answer {
    error(StatusCode::FORBIDDEN, text).denied()
}

/// A path that there is not, as the platform's router says it.
pub(super) fn no_page() -> Answer {
    Answer::text(StatusCode::NOT_FOUND, "404 page not found")
}

/// A method that a path does not have.
pub(super) fn no_method(_: &Method) -> Answer {
    error(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
}

/// Who has not shown who they are. Why is not told.
pub(super) fn unauthenticated(_: Unauthenticated) -> Answer {
    error(StatusCode::UNAUTHORIZED, "invalid bearer token")
        .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

/// What has no answer of its own.
pub(super) fn refused(problem: &Problem) -> Answer {
    let answer = match problem.status {
        401 => return unauthenticated(Unauthenticated::BadToken),
        404 => absent(),
        // A field that breaks a rule.
        422 => error(StatusCode::BAD_REQUEST, &problem.detail),
        status => {
            let status = StatusCode::from_u16(status);
            error(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &problem.detail)
        }
    };
    answer.retry_after(problem)
}

#[cfg(test)]
mod tests {
    use api::ProblemKind;
    use http::header::RETRY_AFTER;
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_refusal_has_the_platforms_shape() {
        for (kind, status, text) in [
            (ProblemKind::InvalidField, 400, "what and how"),
            (ProblemKind::Conflict, 409, "what and how"),
            (ProblemKind::NotFound, 404, "not found"),
            (ProblemKind::PayloadTooLarge, 413, "what and how"),
            (ProblemKind::StorageFull, 507, "what and how"),
            (ProblemKind::Unauthorized, 401, "invalid bearer token"),
        ] {
            let answer = refused(&Problem::new(kind, "what and how"));
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!((answer.status.as_u16(), body), (status, json!({ "error": text })));
        }
        let mut problem = Problem::new(ProblemKind::TooManyRequests, "later");
        problem.retry_after = Some(9);
        assert!(refused(&problem).headers.iter().any(|(name, _)| name == RETRY_AFTER));
    }
}
