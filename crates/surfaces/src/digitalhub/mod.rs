//! Digital Hub.

use api::Problem;
use http::{Method, StatusCode};

use crate::{Answer, Surface, Unauthenticated};

/// The interface of Digital Hub.
pub(crate) static SURFACE: Surface = Surface {
    name: "digitalhub",
    routes: &[],
    prefixes: &["/api/v1/-", "/api/v1/projects"],
    scheme: None,
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
