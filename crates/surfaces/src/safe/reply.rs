//! `{"errorCode", "errorMessage"}`, and how refusals become it.

use api::Problem;
use domain::Invalid;
use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use vault::VaultError;

use crate::{Answer, Trouble, Unauthenticated};

/// How much of a path a refusal repeats.
const SHOWN_PATH: usize = 256;

/// An answer with a body.
pub(super) fn ok<T: Serialize>(body: &T) -> Answer {
    Answer::json(StatusCode::OK, body)
}

/// The answer to what was done and has nothing to show.
pub(super) const fn done() -> Answer {
    Answer::empty(StatusCode::OK)
}

fn error(status: StatusCode, code: &str, message: &str) -> Answer {
    Answer::json(status, &json!({ "errorCode": code, "errorMessage": message }))
}

/// A refusal of something that was sent.
pub(super) fn bad(message: &str) -> Trouble {
    error(StatusCode::BAD_REQUEST, "Primus.00002", &format!("Bad request. {message}")).into()
}

/// As [`bad`], of a field.
pub(super) fn bad_field(invalid: &Invalid) -> Trouble {
    bad(&told(&invalid.to_string()))
}

/// What the core says of a field, in the platform's words.
fn told(text: &str) -> String {
    let kept = "description, flavorId and the keys of several params:";
    text.replacen("metadata.annotations:", kept, 1)
}

/// What Kubernetes itself refuses on the platform: a name, a label or a key that is none of its.
pub(super) fn unprocessable(invalid: &Invalid) -> Trouble {
    error(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", &invalid.to_string()).into()
}

/// One of a kind that is not there, or may not be seen.
pub(super) fn absent(kind: &str, id: &str) -> Answer {
    error(StatusCode::NOT_FOUND, "NotFound", &format!("{kind} \"{id}\" not found"))
}

/// One of a kind that is there already.
pub(super) fn exists(kind: &str, id: &str) -> Trouble {
    error(StatusCode::CONFLICT, "AlreadyExists", &format!("{kind} \"{id}\" already exists")).into()
}

/// What the state of things does not allow.
pub(super) fn conflict(message: &str) -> Trouble {
    error(StatusCode::CONFLICT, "Primus.00012", message).into()
}

/// What one may not do to what one may see.
pub(super) fn forbidden(message: &str) -> Trouble {
    error(StatusCode::FORBIDDEN, "Primus.00003", message).denied().into()
}

/// The general refusal of an act on one of a kind: what is not there, or may not be seen, is named as
/// absent.
pub(super) fn about(kind: &str, id: &str, trouble: impl Into<Trouble>) -> Trouble {
    match trouble.into() {
        trouble if trouble.is_absent() => {
            let denied = trouble.is_denied();
            let answer = absent(kind, id);
            if denied { answer.denied().into() } else { answer.into() }
        }
        Trouble::Vault(VaultError::InUse { users }) => conflict(&format!(
            "{kind} \"{id}\" is in use as the ssh secret of {users}: delete them, or give them another one"
        )),
        Trouble::Invalid(wrong) => bad_field(&wrong),
        other => other,
    }
}

pub(super) fn unauthenticated(why: Unauthenticated) -> Answer {
    let text = match why {
        Unauthenticated::NoHeader | Unauthenticated::UnknownScheme => "token not present",
        Unauthenticated::BadPassword => "invalid user name or password",
        Unauthenticated::BadToken | Unauthenticated::NoCredential => {
            "The user's token is invalid, please login first"
        }
    };
    error(StatusCode::UNAUTHORIZED, "Primus.00009", text)
}

/// What has no answer of its own.
pub(super) fn refuse(problem: &Problem) -> Answer {
    let bad = |text: &str| format!("Bad request. {text}");
    let (status, code, message) = match problem.status {
        // The platform answers 400 to a body that is too large, too.
        400 | 408 | 413 | 415 | 422 => (400, "Primus.00002", bad(&told(&problem.detail))),
        401 => return unauthenticated(Unauthenticated::BadToken),
        403 => (403, "Primus.00003", problem.detail.clone()),
        404 => (404, "Primus.00005", problem.detail.clone()),
        409 => (409, "Primus.00012", problem.detail.clone()),
        429 => (429, "Primus.00008", problem.detail.clone()),
        500 => (500, "Primus.00001", format!("Internal error. {}", problem.detail)),
        status => (status, "Primus.00008", problem.detail.clone()),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let answer = error(status, code, &message);
    answer.retry_after(problem)
}

/// The answer to a path or a method that there is not.
pub(super) fn no_route(path: &str) -> Answer {
    let shown: String = path.chars().take(SHOWN_PATH).collect();
    error(StatusCode::NOT_FOUND, "Primus.00005", &format!("{shown} not found"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn who_finds_the_daemon_busy_is_told_when_to_come_back() {
        let answer = refuse(&Problem::new(api::ProblemKind::Busy, "Try again."));
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers.contains(&(http::header::RETRY_AFTER, HeaderValue::from(1))));
    }

    #[test]
    fn a_refusal_names_what_was_sent() {
        let said = |field| {
            let invalid = Invalid::new(field, "must be x");
            let Trouble::Said(answer) = bad_field(&invalid) else { panic!("it is an answer") };
            assert_eq!(answer.body, refuse(&Problem::invalid(&invalid)).body);
            String::from_utf8(answer.body).unwrap()
        };
        let kept = said("metadata.annotations");
        assert!(kept.contains("Bad request. description, flavorId and the keys"), "{kept}");
        assert!(said("port").contains("Bad request. port: must be x"));
    }
}
