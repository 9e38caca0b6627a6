//! Digital Hub: projects, secrets as entities, and their values. DIGITALHUB.md is the contract.

mod account;
mod data;
mod entity;
mod kept;
mod names;
mod page;
mod projects;
mod reply;
mod secrets;
mod values;

use authz::{Action, Denied, List, PartOfProject, Permit, decide};
use domain::ProjectPath;
use http::Method;
use vault::VaultError;

use crate::{Access, Context, Route, Surface, Trouble};

/// The interface of Digital Hub.
pub(crate) static SURFACE: Surface = Surface {
    name: "digitalhub",
    document: include_str!("../../openapi/digitalhub.json"),
    routes: &ROUTES,
    prefixes: &["/api/v1/-", PROJECTS, AUTH, CONFIGURATION],
    guarded: &[],
    scheme: None,
    unauthenticated: reply::unauthenticated,
    refuse: reply::refuse,
    not_found: |_| reply::not_found(),
    no_method: |method, _| reply::no_method(method),
};

const PROJECTS: &str = "/api/v1/projects";
const PROJECT: &str = "/api/v1/projects/{project}";
const SECRETS: &str = "/api/v1/-/{project}/secrets";
const DATA: &str = "/api/v1/-/{project}/secrets/data";
const SECRET: &str = "/api/v1/-/{project}/secrets/{id}";
const AUTH: &str = "/api/auth";
const CONFIGURATION: &str = "/.well-known/configuration";

static ROUTES: [Route; 16] = [
    Route::known(Method::GET, PROJECTS, "listProjects", projects::list),
    Route::known(Method::POST, PROJECTS, "createProject", projects::create),
    Route::known(Method::GET, PROJECT, "getProject", projects::show),
    Route::known(Method::PUT, PROJECT, "updateProject", projects::update),
    Route::known(Method::DELETE, PROJECT, "deleteProject", projects::delete),
    Route::known(Method::GET, SECRETS, "listSecrets", secrets::list),
    Route::known(Method::POST, SECRETS, "createSecret", secrets::create),
    Route::known(Method::DELETE, SECRETS, "deleteSecretByName", secrets::delete_by_name),
    Route::known(Method::GET, DATA, "readSecretData", data::read),
    Route::known(Method::PUT, DATA, "writeSecretData", data::write),
    Route::known(Method::GET, SECRET, "getSecret", secrets::show),
    Route::known(Method::PUT, SECRET, "updateSecret", secrets::update),
    Route::known(Method::DELETE, SECRET, "deleteSecret", secrets::delete),
    Route::known(Method::GET, AUTH, "getAccount", account::show),
    Route::known(Method::POST, AUTH, "getAccount", account::show),
    Route {
        method: Method::GET,
        path: CONFIGURATION,
        operation: "getConfiguration",
        access: Access::Anybody,
        handler: account::configuration,
    },
];

/// How often an act begins anew because the secret changed under it.
const ATTEMPTS: usize = 16;

/// The right to see something of a project that exists.
///
/// # Errors
/// When there is none, or nothing of it may be seen, which look alike.
fn inside(
    context: &Context<'_>,
    project: &ProjectPath,
) -> Result<Permit<List, PartOfProject>, Trouble> {
    context.is_about_project(project);
    let part = PartOfProject(project.clone());
    let permit = decide::<List, _>(context.actor()?, part, context.now())?;
    context.vault.check_project(&permit)?;
    Ok(permit)
}

/// The right to do something with a project, for someone who sees something of it: they are told
/// that they may not.
///
/// # Errors
/// When they may not; and as for [`inside`].
fn permit<A: Action>(
    context: &Context<'_>,
    project: &ProjectPath,
) -> Result<Permit<A, ProjectPath>, Trouble> {
    inside(context, project)?;
    let decided = decide::<A, _>(context.actor()?, project.clone(), context.now());
    decided.map_err(|denied| match denied {
        Denied::NotVisible => Denied::Forbidden.into(),
        other => other.into(),
    })
}

/// Tries an act again that insists on what it has seen, while others change that.
fn settle<T>(mut attempt: impl FnMut() -> Result<T, Trouble>) -> Result<T, Trouble> {
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(Trouble::Vault(VaultError::Stale { .. })) => {}
            done => return done,
        }
    }
    attempt()
}

/// Reads a body as each of those that the platform's clients send.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(request: &crate::Request) -> Vec<Result<(), Trouble>> {
    let object = || entity::object(request);
    let secret = object().and_then(|body| {
        let project = reply::project_of("ml")?;
        Ok(entity::SecretBody::read(&body, &project).map(|_| ())?)
    });
    let project = object().and_then(|body| Ok(entity::ProjectBody::read(&body, None).map(|_| ())?));
    vec![secret, project, values::read(request).map(|_| ())]
}
