//! Neu.ro and Apolo: secrets, configuration, permissions and jobs, as the platform's clients ask for
//! them.
#![doc = include_str!("../../APOLO.md")]

mod acl;
mod base64_text;
mod config;
mod fields;
mod home;
mod jobs;
mod key;
mod level;
mod say;
mod secrets;
mod uri;

use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::{Access, Answer, Context, Request, Route, Surface, Trouble};

/// Which server this is, in every answer.
const VERSION_HEADER: HeaderName = HeaderName::from_static("x-service-version");
const VERSION: HeaderValue =
    HeaderValue::from_static(concat!("platform-secrets/", env!("CARGO_PKG_VERSION")));

/// The interface of Neu.ro and Apolo.
pub(crate) static SURFACE: Surface = Surface {
    name: "apolo",
    document: include_str!("../../openapi/apolo.json"),
    routes: &ROUTES,
    prefixes: &["/apolo"],
    guarded: &[],
    scheme: None,
    unauthenticated: |why| marked(say::unauthenticated(why)),
    refuse: |problem| marked(say::refused(problem)),
    not_found: |_| marked(Answer::text(StatusCode::NOT_FOUND, "404: Not Found")),
    no_method: |_, _| {
        let text = "405: Method Not Allowed";
        marked(Answer::text(StatusCode::METHOD_NOT_ALLOWED, text))
    },
};

/// A route whose every answer is marked.
macro_rules! route {
    ($method:ident $path:literal $operation:literal $access:ident $handler:path) => {
        Route {
            method: Method::$method,
            path: $path,
            operation: $operation,
            access: Access::$access,
            handler: |context, request| served($handler(context, request)),
        }
    };
}

static ROUTES: [Route; 17] = [
    route!(GET "/apolo/ping" "ping" Anybody ping),
    route!(GET "/apolo/api/v1/ping" "ping" Anybody ping),
    route!(GET "/apolo/secured-ping" "securedPing" Known secured_ping),
    route!(GET "/apolo/api/v1/secured-ping" "securedPing" Known secured_ping),
    route!(GET "/apolo/api/v1/config" "config" Welcome config::show),
    route!(POST "/apolo/api/v1/secrets" "addSecret" Known secrets::add),
    route!(GET "/apolo/api/v1/secrets" "listSecrets" Known secrets::list),
    route!(GET "/apolo/api/v1/secrets/{key}" "getSecret" Known secrets::get),
    route!(DELETE "/apolo/api/v1/secrets/{key}" "removeSecret" Known secrets::remove),
    route!(GET "/apolo/api/v1/users/{user}/permissions" "listPermissions" Known acl::list),
    route!(POST "/apolo/api/v1/users/{user}/permissions" "share" Known acl::share),
    route!(DELETE "/apolo/api/v1/users/{user}/permissions" "revoke" Known acl::revoke),
    route!(GET "/apolo/api/v1/users/{user}/permissions/shared" "listShared" Known acl::shared),
    route!(GET "/apolo/api/v1/users/{user}/subroles" "listRoles" Known acl::roles),
    route!(POST "/apolo/api/v1/users" "addRole" Known acl::no_roles),
    route!(DELETE "/apolo/api/v1/users/{user}" "removeRole" Known acl::no_roles),
    route!(POST "/apolo/api/v1/jobs" "runJob" Known jobs::run),
];

fn ping(_: &Context<'_>, _: &Request) -> Result<Answer, Trouble> {
    Ok(Answer::text(StatusCode::OK, "Pong"))
}

fn secured_ping(_: &Context<'_>, _: &Request) -> Result<Answer, Trouble> {
    Ok(Answer::text(StatusCode::OK, "Secured Pong"))
}

/// An answer of a handler's own, marked; what is left to the general refusal is marked there.
fn served(done: Result<Answer, Trouble>) -> Result<Answer, Trouble> {
    match done {
        Ok(answer) => Ok(marked(answer)),
        Err(Trouble::Said(answer)) => Err(marked(*answer).into()),
        Err(Trouble::NotJson { line, column }) => {
            let text = format!("Expecting value: line {line} column {column}");
            Err(marked(say::error(StatusCode::BAD_REQUEST, &text)).into())
        }
        Err(other) => Err(other),
    }
}

fn marked(answer: Answer) -> Answer {
    answer.with(VERSION_HEADER, VERSION)
}

/// Reads a body as each of those that the platform's clients send.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(request: &Request) -> Vec<Result<(), Trouble>> {
    let read = || {
        let body = fields::object(request)?;
        let mut faults = fields::Faults::default();
        let (key, value) = (faults.required(&body, "key"), faults.required(&body, "value"));
        if let Some(Err(text)) = key.map(key::check) {
            faults.add("key", text);
        }
        if let Some(Ok(value)) = value.map(base64_text::read) {
            let again = base64_text::read(&base64_text::write(&value)).ok();
            // EXPOSE: what is written is what was read.
            let same = again.is_some_and(|again| again.expose() == value.expose());
            debug_assert!(same, "a value is written as another one");
        }
        faults.check()
    };
    vec![read(), fields::body(request).map(|_| ())]
}
