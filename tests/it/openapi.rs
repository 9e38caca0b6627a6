//! The OpenAPI document against the daemon that serves it.

use serde_json::Value;

use crate::client::Actor;
use crate::harness::{Daemon, fresh};

const DOCUMENT: &str = "/tresor/v1/openapi.json";
const METHODS: [&str; 5] = ["GET", "PUT", "POST", "PATCH", "DELETE"];
/// What takes no token: probes. They describe nothing of the store.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// A path of the document that wants a token, with its parameters filled in.
pub(crate) struct Route {
    pub(crate) path: String,
    pub(crate) methods: Vec<&'static str>,
}

/// All routes of the document that want a token.
#[track_caller]
pub(crate) fn documented(daemon: &Daemon) -> Vec<Route> {
    let document = daemon.anonymous().get(DOCUMENT).expect(200).json();
    let routes: Vec<_> = all(&document).filter(|route| !OPEN.contains(&&*route.path)).collect();
    assert!(routes.len() > 20, "the document holds the routes");
    routes
}

fn all(document: &Value) -> impl Iterator<Item = Route> {
    document["paths"].as_object().unwrap().iter().map(|(path, item)| {
        let has = |method: &&str| item.get(method.to_lowercase()).is_some();
        Route { path: filled(path), methods: METHODS.into_iter().filter(has).collect() }
    })
}

fn filled(path: &str) -> String {
    let id = "00000000000000000000000000000000";
    path.replace("{org}", "default")
        .replace("{project}", "ml")
        .replace("{name}", "hf")
        .replace("{bound_org}", "default")
        .replace("{bound_project}", "vision")
        .replace("{uid}", id)
        .replace("{id}", id)
}

fn allowed(answer: &crate::client::Answer) -> Vec<String> {
    let allow = answer.header("allow").unwrap_or_default();
    let mut methods: Vec<_> = allow.split(',').map(|m| m.trim().to_owned()).collect();
    // HEAD comes with GET (RFC 9110, section 9.3.2), and the document need not say so.
    methods.retain(|method| method != "HEAD");
    methods.sort();
    methods
}

#[test]
fn every_documented_operation_wants_a_token_except_the_probes() {
    let fresh = fresh();
    let anonymous = fresh.daemon.anonymous();
    let document = anonymous.get(DOCUMENT).expect(200).json();
    for Route { path, methods } in all(&document) {
        for method in methods {
            let answer = anonymous.send(method, &path, &[], b"");
            match OPEN.contains(&&*path) {
                true => assert_eq!(answer.status, 200, "{method} {path}"),
                false => drop(answer.problem(401, "unauthorized")),
            }
        }
    }
}

#[test]
fn every_documented_path_says_which_methods_it_has() {
    let fresh = fresh();
    let others = ["OPTIONS", "TRACE", "PROPFIND"];
    let check = |actor: &Actor, Route { path, mut methods }: Route| {
        methods.sort_unstable();
        let undocumented = METHODS.into_iter().chain(others).filter(|m| !methods.contains(m));
        for method in undocumented {
            let refused = actor.send(method, &path, &[], b"");
            refused.problem(405, "method-not-allowed");
            assert_eq!(allowed(&refused), methods, "{method} {path}");
        }
    };
    let document = fresh.admin.get(DOCUMENT).expect(200).json();
    all(&document).for_each(|route| check(&fresh.admin, route));
}
