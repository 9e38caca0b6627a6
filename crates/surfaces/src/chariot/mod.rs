//! Striveworks Chariot: settings, which are secrets of a project, an organization or a user; and the
//! login of its clients.
#![doc = include_str!("../../CHARIOT.md")]

mod body;
mod docs;
mod item;
mod key;
mod login;
mod owner;
mod query;
mod say;
mod settings;

use http::Method;

#[cfg(any(test, fuzzing))]
use crate::Trouble;
use crate::{Access, Route, Surface};

/// The interface of Chariot.
pub(crate) static SURFACE: Surface = Surface {
    name: "chariot",
    document: include_str!("../../openapi/chariot.json"),
    routes: &ROUTES,
    prefixes: &[IDENTITY, "/auth/client"],
    guarded: &[IDENTITY],
    scheme: None,
    unauthenticated: say::unauthenticated,
    refuse: say::refused,
    not_found: |_| say::no_page(),
    no_method: |method, _| say::no_method(method),
};

const IDENTITY: &str = "/api/identity";

macro_rules! route {
    ($method:ident $path:expr, $operation:literal $access:ident $handler:path) => {
        Route {
            method: Method::$method,
            path: $path,
            operation: $operation,
            access: Access::$access,
            handler: $handler,
        }
    };
}

macro_rules! below {
    ($rest:literal) => {
        concat!("/api/identity/v2/settings/{owner_type}/{owner_id}", $rest)
    };
}

/// Each with and without a slash at the end; and an item's key, which holds slashes, also as one
/// segment.
static ROUTES: [Route; 20] = [
    route!(POST "/auth/client/v2/chariot/login", "login" SigningIn login::login),
    route!(GET below!("/"), "listSettings" Known settings::list),
    route!(GET below!(""), "listSettings" Known settings::list),
    route!(POST below!("/"), "createSetting" Known settings::create),
    route!(POST below!(""), "createSetting" Known settings::create),
    route!(GET below!("/{key}"), "readSetting" Known settings::read),
    route!(GET below!("/{key}/"), "readSetting" Known settings::read),
    route!(GET below!("/secret/{type}/{id}/"), "readSetting" Known settings::read),
    route!(GET below!("/secret/{type}/{id}"), "readSetting" Known settings::read),
    route!(PUT below!("/{key}"), "updateSetting" Known settings::update),
    route!(PUT below!("/{key}/"), "updateSetting" Known settings::update),
    route!(PUT below!("/secret/{type}/{id}/"), "updateSetting" Known settings::update),
    route!(PUT below!("/secret/{type}/{id}"), "updateSetting" Known settings::update),
    route!(DELETE below!("/{key}"), "deleteSetting" Known settings::delete),
    route!(DELETE below!("/{key}/"), "deleteSetting" Known settings::delete),
    route!(DELETE below!("/secret/{type}/{id}/"), "deleteSetting" Known settings::delete),
    route!(DELETE below!("/secret/{type}/{id}"), "deleteSetting" Known settings::delete),
    route!(GET "/api/identity/v1/swagger/index.html", "showPage" Anybody docs::page),
    route!(GET "/api/identity/v1/swagger/init.js", "showScript" Anybody docs::script),
    route!(GET "/api/identity/v1/swagger/doc.json", "showDocument" Anybody docs::document),
];

/// Reads a body as each of those that clients send.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(request: &crate::Request) -> Vec<Result<(), Trouble>> {
    let mut done = vec![login::fuzz(request), body::New::read(request).map(|_| ())];
    done.extend(domain::SecretType::ALL.map(|kind| body::fuzz_change(request, kind)));
    done
}
