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

use crate::{Access, Answer, Context, Request, Route, Surface, Trouble};

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
    route(Method::GET, SECRETS, "listSecrets", secrets::list),
    route(Method::POST, SECRETS, "createSecret", secrets::create),
    route(Method::GET, SECRET, "getSecret", secrets::show),
    route(Method::PATCH, SECRET, "updateSecret", secrets::update),
    route(Method::DELETE, SECRET, "deleteSecret", secrets::delete),
    route(Method::GET, WORKSPACES, "listWorkspaces", workspaces::list),
    route(Method::POST, WORKSPACES, "createWorkspace", workspaces::create),
    route(Method::GET, WORKSPACE, "getWorkspace", workspaces::show),
    route(Method::PATCH, WORKSPACE, "updateWorkspace", workspaces::update),
    route(Method::DELETE, WORKSPACE, "deleteWorkspace", workspaces::delete),
    route(Method::GET, CLUSTERS, "listClusters", clusters::list),
    route(Method::POST, CLUSTERS, "createCluster", clusters::create),
    route(Method::GET, CLUSTER, "getCluster", clusters::show),
    route(Method::PATCH, CLUSTER, "updateCluster", clusters::update),
    route(Method::DELETE, CLUSTER, "deleteCluster", clusters::delete),
    route(Method::GET, NODES, "listNodes", nodes::list),
    route(Method::POST, NODES, "createNode", nodes::create),
    route(Method::GET, NODE, "getNode", nodes::show),
    route(Method::DELETE, NODE, "deleteNode", nodes::delete),
    route(Method::GET, USERS, "listUsers", users::list),
    route(Method::POST, USERS, "createUser", users::create),
    route(Method::GET, USER, "getUser", users::show),
    route(Method::PATCH, USER, "updateUser", users::update),
    route(Method::DELETE, USER, "deleteUser", users::delete),
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

type Handler = fn(&Context<'_>, &Request) -> Result<Answer, Trouble>;

const fn route(
    method: Method,
    path: &'static str,
    operation: &'static str,
    handler: Handler,
) -> Route {
    Route { method, path, operation, access: Access::Known, handler }
}

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
pub(crate) fn fuzz(request: &Request) -> Vec<Result<(), Trouble>> {
    vec![
        secret_body::fuzz(request),
        session::fuzz(request),
        workspaces::fuzz(request),
        clusters::fuzz(request),
        nodes::fuzz(request),
        users::fuzz(request),
    ]
}
