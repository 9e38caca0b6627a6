//! OCI AI Blueprints.

use api::Problem;
use http::{Method, StatusCode};

use crate::{Answer, Surface, Unauthenticated};

/// The interface of OCI AI Blueprints.
pub(crate) static SURFACE: Surface = Surface {
    name: "blueprints",
    routes: &[],
    prefixes: &["/secrets"],
    scheme: Some("Token"),
    unauthenticated,
    refuse,
    not_found,
    no_method,
};

fn unauthenticated(_: Unauthenticated) -> Answer {
    Answer::empty(StatusCode::UNAUTHORIZED)
}

fn refuse(problem: &Problem) -> Answer {
    let status = StatusCode::from_u16(problem.status);
    Answer::empty(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
}

fn not_found() -> Answer {
    Answer::empty(StatusCode::NOT_FOUND)
}

fn no_method(_: &Method) -> Answer {
    Answer::empty(StatusCode::METHOD_NOT_ALLOWED)
}
