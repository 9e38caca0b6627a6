//! Primus-SaFE: secrets, and what of users, workspaces, clusters and nodes concerns them, as the
//! platform's API server answers. SAFE.md is the contract.
//!
//! All its secrets live in one project, the common home. A workspace is a project of the default
//! organization: `workspaceIds` are bindings by the secret's owner, a workspace's `imageSecretIds`
//! bindings for all its members.

mod body;
mod clusters;
mod nodes;
mod params;
mod reply;
mod secret_body;
mod secrets;
mod session;
mod show;
mod users;
mod workspaces;

use domain::{NamePattern, Namespace, ProjectionMode, ProjectionRule, SecretType};
use http::Method;
use vault::HomeLabels;

use crate::{Access, Route, Surface};

/// The interface of Primus-SaFE.
pub(crate) static SURFACE: Surface = Surface {
    name: "safe",
    document: include_str!("../../openapi/safe.json"),
    routes: &ROUTES,
    prefixes: &["/api/v1"],
    guarded: &[],
    scheme: None,
    unauthenticated: reply::unauthenticated,
    refuse: reply::refuse,
    not_found: reply::no_route,
    no_method: |_, path| reply::no_route(path),
};

const SECRETS: &str = "/api/v1/secrets";
const SECRET: &str = "/api/v1/secrets/{id}";
const WORKSPACES: &str = "/api/v1/workspaces";
const WORKSPACE: &str = "/api/v1/workspaces/{id}";
const CLUSTERS: &str = "/api/v1/clusters";
const CLUSTER: &str = "/api/v1/clusters/{id}";
const NODES: &str = "/api/v1/nodes";
const NODE: &str = "/api/v1/nodes/{id}";
const USERS: &str = "/api/v1/users";
const USER: &str = "/api/v1/users/{id}";

static ROUTES: [Route; 26] = [
    Route::known(Method::GET, SECRETS, "listSecrets", secrets::list),
    Route::known(Method::POST, SECRETS, "createSecret", secrets::create),
    Route::known(Method::GET, SECRET, "getSecret", secrets::show),
    Route::known(Method::PATCH, SECRET, "updateSecret", secrets::update),
    Route::known(Method::DELETE, SECRET, "deleteSecret", secrets::delete),
    Route::known(Method::GET, WORKSPACES, "listWorkspaces", workspaces::list),
    Route::known(Method::POST, WORKSPACES, "createWorkspace", workspaces::create),
    Route::known(Method::GET, WORKSPACE, "getWorkspace", workspaces::show),
    Route::known(Method::PATCH, WORKSPACE, "updateWorkspace", workspaces::update),
    Route::known(Method::DELETE, WORKSPACE, "deleteWorkspace", workspaces::delete),
    Route::known(Method::GET, CLUSTERS, "listClusters", clusters::list),
    Route::known(Method::POST, CLUSTERS, "createCluster", clusters::create),
    Route::known(Method::GET, CLUSTER, "getCluster", clusters::show),
    Route::known(Method::PATCH, CLUSTER, "updateCluster", clusters::update),
    Route::known(Method::DELETE, CLUSTER, "deleteCluster", clusters::delete),
    Route::known(Method::GET, NODES, "listNodes", nodes::list),
    Route::known(Method::POST, NODES, "createNode", nodes::create),
    Route::known(Method::GET, NODE, "getNode", nodes::show),
    Route::known(Method::DELETE, NODE, "deleteNode", nodes::delete),
    Route::known(Method::GET, USERS, "listUsers", users::list),
    Route::known(Method::POST, USERS, "createUser", users::create),
    Route::known(Method::GET, USER, "getUser", users::show),
    Route::known(Method::PATCH, USER, "updateUser", users::update),
    Route::known(Method::DELETE, USER, "deleteUser", users::delete),
    Route {
        method: Method::POST,
        path: "/api/v1/login",
        operation: "login",
        access: Access::SigningIn,
        handler: session::login,
    },
    Route {
        method: Method::POST,
        path: "/api/v1/logout",
        operation: "logout",
        access: Access::Welcome,
        handler: session::logout,
    },
];

/// The rule that puts the platform's secrets where the platform has them, with its labels.
pub fn home_rule(namespace: Namespace) -> ProjectionRule {
    let mode = ProjectionMode::Each;
    let rule = ProjectionRule::new(mode, namespace, NamePattern::default_for(mode));
    ProjectionRule { secret_labels: true, ..rule }
}

/// The labels by which the platform knows its secrets, which nobody else sets.
pub fn home_labels() -> HomeLabels {
    let kinds = [SecretType::Opaque, SecretType::Registry, SecretType::Ssh].into_iter();
    let named = kinds.filter_map(|kind| Some((kind, params::Kind::of(kind)?.as_str().to_owned())));
    HomeLabels {
        reserved: secret_body::RESERVED.map(str::to_owned).into(),
        kind: "primus-safe.secret.type".to_owned(),
        kinds: named.collect(),
        name: "primus-safe.display.name".to_owned(),
        owner: "primus-safe.user.id".to_owned(),
    }
}

/// Reads a body as each of those that the platform's clients send.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(request: &crate::Request) -> Vec<Result<(), crate::Trouble>> {
    vec![
        secret_body::fuzz(request),
        session::fuzz(request),
        workspaces::fuzz(request),
        clusters::fuzz(request),
        nodes::fuzz(request),
        users::fuzz(request),
    ]
}
