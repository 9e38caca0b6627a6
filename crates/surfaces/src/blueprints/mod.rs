//! OCI AI Blueprints: `/login/` and `/secrets/`, as the platform's control plane answers them.
//!
//! The platform's secrets are Kubernetes Secrets of one namespace. Here they are the secrets of one
//! project, and what is listed is what the projects that one may list are projected as.
#![doc = include_str!("../../BLUEPRINTS.md")]

mod batch;
mod item;
mod list;
mod login;

use api::Problem;
use domain::{Invalid, NamePattern, ProjectionMode, ProjectionRule};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, Method, StatusCode};
use serde_json::json;

use crate::{Access, Answer, Context, Request, Route, Surface, Trouble, Unauthenticated};

/// The interface of OCI AI Blueprints.
pub(crate) static SURFACE: Surface = Surface {
    name: "blueprints",
    document: include_str!("../../openapi/blueprints.json"),
    routes: &[
        Route {
            method: Method::POST,
            path: "/login",
            operation: "login",
            access: Access::SigningIn,
            handler: login::login,
        },
        Route {
            method: Method::POST,
            path: "/login/",
            operation: "login",
            access: Access::SigningIn,
            handler: login::login,
        },
        Route {
            method: Method::GET,
            path: "/secrets",
            operation: "listSecrets",
            access: Access::Known,
            handler: list::all,
        },
        Route {
            method: Method::GET,
            path: "/secrets/",
            operation: "listSecrets",
            access: Access::Known,
            handler: list::all,
        },
        Route {
            method: Method::POST,
            path: "/secrets",
            operation: "changeSecrets",
            access: Access::Known,
            handler: batch::change,
        },
        Route {
            method: Method::POST,
            path: "/secrets/",
            operation: "changeSecrets",
            access: Access::Known,
            handler: batch::change,
        },
        Route {
            method: Method::GET,
            path: "/secrets/{name}",
            operation: "readSecret",
            access: Access::Known,
            handler: list::one,
        },
        Route {
            method: Method::GET,
            path: "/secrets/{name}/",
            operation: "readSecret",
            access: Access::Known,
            handler: list::one,
        },
    ],
    prefixes: &["/secrets", "/login"],
    guarded: &[],
    scheme: Some("Token"),
    unauthenticated,
    refuse,
    not_found: |_| not_found(),
    no_method: |method, _| no_method(method),
};

/// The rule that puts the platform's secrets where the platform has them.
fn home_rule(context: &Context<'_>) -> ProjectionRule {
    let mode = ProjectionMode::Each;
    let namespace = context.settings.blueprints_namespace.clone();
    ProjectionRule::new(mode, namespace, NamePattern::default_for(mode))
}

/// `{"detail": ...}`, which every refusal of the platform is.
fn detail(status: StatusCode, text: &str) -> Answer {
    Answer::json(status, &json!({ "detail": text }))
}

/// A refusal of something that was sent.
fn invalid(invalid: &Invalid) -> Trouble {
    detail(StatusCode::BAD_REQUEST, &invalid.to_string()).into()
}

/// Refuses parameters that the route does not have: one that is misspelt must not pass for one that
/// is there. `format` is what browsers send to the platform.
fn only_parameters(request: &Request, known: &[&str]) -> Result<(), Trouble> {
    let Some(query) = &request.query else {
        return Err(invalid(&Invalid::new("query", "must be percent-encoded UTF-8")));
    };
    match query.iter().all(|(name, _)| name == "format" || known.contains(&name.as_str())) {
        true => Ok(()),
        false => {
            let fix = match known {
                [] => "must be left out".to_owned(),
                known => format!("may hold {} and nothing else", known.join(", ")),
            };
            Err(invalid(&Invalid::new("query", fix)))
        }
    }
}

fn unauthenticated(why: Unauthenticated) -> Answer {
    let text = match why {
        Unauthenticated::BadPassword => "Invalid username/password.",
        Unauthenticated::BadToken => "Invalid token.",
        Unauthenticated::NoCredential => "Invalid token header. No credentials provided.",
        Unauthenticated::NoHeader | Unauthenticated::UnknownScheme => {
            "Authentication credentials were not provided."
        }
    };
    detail(StatusCode::UNAUTHORIZED, text).with(WWW_AUTHENTICATE, HeaderValue::from_static("Token"))
}

fn refuse(problem: &Problem) -> Answer {
    let status = match problem.status {
        // The platform knows these two for what it refuses.
        409 | 422 => StatusCode::BAD_REQUEST,
        status => StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    };
    let answer = match status {
        StatusCode::UNAUTHORIZED => return unauthenticated(Unauthenticated::BadToken),
        StatusCode::NOT_FOUND => not_found(),
        status => detail(status, &problem.detail),
    };
    answer.retry_after(problem)
}

fn not_found() -> Answer {
    detail(StatusCode::NOT_FOUND, "Not found.")
}

fn no_method(method: &Method) -> Answer {
    let known = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
    let shown = known.into_iter().find(|name| *name == method.as_str()).unwrap_or("of that name");
    detail(StatusCode::METHOD_NOT_ALLOWED, &format!("Method \"{shown}\" not allowed."))
}

/// Reads a body as each of those that the platform's clients send.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(request: &Request) -> Vec<Result<(), Trouble>> {
    let mut done = vec![login::fuzz(request)];
    match batch::items(request) {
        Err(trouble) => done.push(Err(trouble)),
        Ok(items) => {
            for item in items {
                let read = item::read(item).map(|_| ());
                done.push(read.map_err(|malformed| malformed.wrong.into()));
            }
        }
    }
    done
}
