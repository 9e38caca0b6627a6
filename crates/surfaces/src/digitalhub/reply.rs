//! The platform's answers: what its clients tell apart by status and by words in the body.

use api::Problem;
use domain::ProjectPath;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use crate::{Answer, Trouble, Unauthenticated};

/// Clients know by the first three words that there is none.
const NO_SUCH_ENTITY: &str = "No such EntityName: it does not exist, or you may not see it.";

/// An answer that says no more than that it was done. Clients of the first versions want JSON, and
/// the console wants exactly 200.
pub(super) fn done() -> Answer {
    ok(&json!({}))
}

/// An answer with a body.
pub(super) fn ok(body: &Value) -> Answer {
    Answer::json(StatusCode::OK, body)
}

/// A refusal of the platform's own code.
pub(super) fn said(status: StatusCode, message: &str) -> Answer {
    let number = status.as_u16();
    Answer::json(status, &json!({ "status": number, "message": message, "errorCode": null }))
}

/// A request that breaks a rule.
pub(super) fn bad(message: &str) -> Trouble {
    said(StatusCode::BAD_REQUEST, message).into()
}

/// A name or an identity that is taken; clients know by the first two words.
pub(super) fn duplicated(kind: &str, name: &str) -> Trouble {
    bad(&format!("Duplicated entity {kind}:{name}."))
}

/// There is none, or it may not be seen.
pub(super) fn no_such_entity() -> Answer {
    said(StatusCode::NOT_FOUND, NO_SUCH_ENTITY)
}

/// The project in a path.
///
/// # Errors
/// As for a project that does not exist, when none can have the name.
pub(super) fn project_of(name: &str) -> Result<ProjectPath, Trouble> {
    super::names::project(name).ok_or_else(|| no_such_entity().into())
}

/// Who gives a wrong password, or nothing, is forbidden; only who has a wrong token is told to sign
/// in, since clients then try to renew it.
pub(super) fn unauthenticated(why: Unauthenticated) -> Answer {
    match why {
        Unauthenticated::BadToken => {
            let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            let message = "The token is not valid, or has expired.";
            framework(StatusCode::UNAUTHORIZED, message).with(WWW_AUTHENTICATE, challenge)
        }
        Unauthenticated::BadPassword
        | Unauthenticated::NoCredential
        | Unauthenticated::NoHeader
        | Unauthenticated::UnknownScheme => {
            let message = "Show who you are, by a token or by a name and its password.";
            framework(StatusCode::FORBIDDEN, message)
        }
    }
}

/// What has no answer of its own.
pub(super) fn refuse(problem: &Problem) -> Answer {
    let status = StatusCode::from_u16(problem.status);
    let answer = match status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR) {
        StatusCode::NOT_FOUND => no_such_entity(),
        StatusCode::UNPROCESSABLE_ENTITY => said(StatusCode::BAD_REQUEST, &problem.detail),
        StatusCode::UNAUTHORIZED => unauthenticated(Unauthenticated::BadToken),
        status => said(status, &problem.detail),
    };
    answer.retry_after(problem)
}

/// A path that there is not.
pub(super) fn not_found() -> Answer {
    framework(StatusCode::NOT_FOUND, "There is no such path here.")
}

/// A method that a path does not have.
pub(super) fn no_method(_: &Method) -> Answer {
    framework(StatusCode::METHOD_NOT_ALLOWED, "The path does not have this method.")
}

/// A refusal as the web framework of the platform's server words it.
pub(super) fn framework(status: StatusCode, message: &str) -> Answer {
    let error = status.canonical_reason().unwrap_or_default();
    let number = status.as_u16();
    Answer::json(status, &json!({ "status": number, "error": error, "message": message }))
}

#[cfg(test)]
mod tests {
    use api::ProblemKind;
    use http::header::RETRY_AFTER;

    use super::*;

    fn refused(kind: ProblemKind, retry_after: Option<u32>) -> (u16, Value, Option<String>) {
        let mut problem = Problem::new(kind, "what and how");
        problem.retry_after = retry_after;
        let answer = refuse(&problem);
        let found = answer.headers.iter().find(|(name, _)| name == RETRY_AFTER);
        let seconds = found.map(|(_, value)| value.to_str().unwrap().to_owned());
        (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap(), seconds)
    }

    #[test]
    fn a_refusal_has_the_platforms_shape_and_says_when_to_come_back() {
        let told =
            |status: u16| json!({ "status": status, "message": "what and how", "errorCode": null });
        for (kind, retry_after, status, seconds) in [
            (ProblemKind::InvalidField, None, 400, None),
            (ProblemKind::MalformedBody, None, 400, None),
            (ProblemKind::Forbidden, None, 403, None),
            (ProblemKind::Conflict, None, 409, None),
            (ProblemKind::PayloadTooLarge, None, 413, None),
            (ProblemKind::TooManyRequests, Some(9), 429, Some("9")),
            (ProblemKind::Busy, None, 503, Some("1")),
            (ProblemKind::StorageFull, None, 507, None),
        ] {
            let wanted = (status, told(status), seconds.map(str::to_owned));
            assert_eq!(refused(kind, retry_after), wanted, "{kind:?}");
        }
        assert_eq!(refused(ProblemKind::Unauthorized, None).0, 401);
        let (status, body, _) = refused(ProblemKind::NotFound, None);
        assert!(
            status == 404 && body["message"].as_str().unwrap().starts_with("No such EntityName")
        );
    }
}
