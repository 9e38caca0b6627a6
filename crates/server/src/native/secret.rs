//! `/tresor/v1/orgs/{org}/projects/{project}/secrets`

use api::{SecretBody, SecretData, SecretList, SecretWrite, VersionList};
use authz::{Actor, Create, Delete, Denied, List, Read, Update, decide};
use axum::extract::State;
use axum::response::Response;
use domain::{Invalid, SecretPath};
use http::StatusCode;
use vault::{NewSecret, SecretChange, SecretView, Vault, VaultError};

use super::show;
use crate::answer::{Failure, json, json_at, no_content};
use crate::app::{App, Refused};
use crate::extract::{Caller, IfMatch, InProject, Json, NoQuery, OfSecret, Query};

const DEFAULT_PAGE: u64 = 100;
const LARGEST_PAGE: u64 = 1000;

/// A page of the project's secrets, without values.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    InProject(path): InProject,
    query: Query,
) -> Result<Response, Failure> {
    let query = query.only(&["limit", "continue"])?;
    let limit = query.number("limit")?.unwrap_or(DEFAULT_PAGE).min(LARGEST_PAGE);
    let after = query.text("continue").map(str::to_owned);
    let page = app
        .act(caller, move |vault, actor| {
            let permit = decide::<List, _>(actor, path.clone(), vault.clock().now())?;
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            Ok(vault.secrets(&permit, after.as_deref(), limit)?)
        })
        .await?;
    let metadata = show::list_metadata(&page);
    let items = page.items.iter().map(show::secret).collect();
    Ok(json(StatusCode::OK, &SecretList { metadata, items }))
}

/// Makes a secret.
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    InProject(project): InProject,
    Json(body): Json<SecretWrite>,
) -> Result<Response, Failure> {
    let view = app
        .act(caller, move |vault, actor| {
            // The right to create is one of the project's; a name that is none must not hide it.
            let name = body.name();
            let nameless = decide::<Create, _>(actor, project.clone(), vault.clock().now());
            nameless.map_err(Refused::from)?;
            if body.metadata.resource_version.is_some() {
                let fix = "must be left out: the secret does not exist yet";
                return Err(Invalid::new("metadata.resourceVersion", fix).into());
            }
            let path = SecretPath { project: project.clone(), name: name? };
            make(vault, actor, path, &body)
        })
        .await?;
    Ok(answer(StatusCode::CREATED, &show::secret(&view)))
}

/// Makes a secret, or replaces an existing one's labels and gives it a new version.
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfSecret(path): OfSecret,
    if_match: IfMatch,
    Json(body): Json<SecretWrite>,
) -> Result<Response, Failure> {
    let (view, status) = app
        .act(caller, move |vault, actor| {
            let now = vault.clock().now();
            let create = || decide::<Create, _>(actor, path.clone(), now);
            let permit = match decide::<Update, _>(actor, path.clone(), now) {
                Ok(permit) => permit,
                Err(denied) => {
                    create().map_err(|_| denied)?;
                    return make_only(vault, actor, &path, &body, &if_match, denied);
                }
            };
            check_name(&body, &path)?;
            let expected = if_match.and(body.expected()?)?;
            let change = SecretChange {
                payload: Some(body.payload(None)?),
                labels: Some(body.labels()?),
                expected,
            };
            match vault.update_secret(&permit, &change) {
                // A version that is insisted on belongs to a secret that must exist.
                Err(VaultError::NotFound) if expected.is_none() => {}
                updated => return Ok((updated?, StatusCode::OK)),
            }
            match make(vault, actor, path.clone(), &body) {
                // Someone else was faster: then there is something to replace.
                Err(Refused::Vault(VaultError::AlreadyExists)) => {
                    Ok((vault.update_secret(&permit, &change)?, StatusCode::OK))
                }
                made => Ok((made?, StatusCode::CREATED)),
            }
        })
        .await?;
    Ok(answer(status, &show::secret(&view)))
}

/// A secret's metadata.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfSecret(path): OfSecret,
) -> Result<Response, Failure> {
    let view = look(&app, caller, path).await?;
    Ok(answer(StatusCode::OK, &show::secret(&view)))
}

/// A secret's history.
pub(super) async fn versions(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfSecret(path): OfSecret,
) -> Result<Response, Failure> {
    let view = look(&app, caller, path).await?;
    Ok(json(StatusCode::OK, &VersionList { items: show::versions(&view) }))
}

/// One version in the clear.
pub(super) async fn data(
    State(app): State<App>,
    caller: Caller,
    OfSecret(path): OfSecret,
    query: Query,
) -> Result<Response, Failure> {
    let version = query.only(&["version"])?.number("version")?;
    let revealed = app
        .act(caller, move |vault, actor| {
            let permit = decide::<Read, _>(actor, path.clone(), vault.clock().now())?;
            Ok(vault.reveal(&permit, version)?)
        })
        .await?;
    let body = SecretData::new(revealed.version, &revealed.payload);
    Ok(json_at(StatusCode::OK, &revealed.secret.resource_version.to_string(), &body))
}

/// Removes a secret.
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfSecret(path): OfSecret,
    if_match: IfMatch,
) -> Result<Response, Failure> {
    app.act(caller, move |vault, actor| {
        let permit = decide::<Delete, _>(actor, path.clone(), vault.clock().now())?;
        Ok(vault.delete_secret(&permit, if_match.and(None)?)?)
    })
    .await?;
    Ok(no_content())
}

/// The PUT of someone who may create and not update: what exists already is not theirs to touch.
fn make_only(
    vault: &Vault,
    actor: &Actor,
    path: &SecretPath,
    body: &SecretWrite,
    if_match: &IfMatch,
    denied: Denied,
) -> Result<(SecretView, StatusCode), Refused> {
    if if_match.and(body.expected()?)?.is_some() {
        return Err(denied.into());
    }
    match make(vault, actor, path.clone(), body) {
        Err(Refused::Vault(VaultError::AlreadyExists)) => Err(denied.into()),
        made => Ok((made?, StatusCode::CREATED)),
    }
}

fn make(
    vault: &Vault,
    actor: &Actor,
    path: SecretPath,
    body: &SecretWrite,
) -> Result<SecretView, Refused> {
    let permit = decide::<Create, _>(actor, path, vault.clock().now())?;
    check_name(body, permit.resource())?;
    let new = NewSecret { payload: body.payload(None)?, labels: body.labels()? };
    Ok(vault.create_secret(&permit, &new)?)
}

fn check_name(body: &SecretWrite, path: &SecretPath) -> Result<(), Invalid> {
    if body.metadata.name.as_deref().is_some_and(|name| name != path.name.as_str()) {
        let fix = "must be the secret's name in the path, or be left out";
        return Err(Invalid::new("metadata.name", fix));
    }
    Ok(())
}

async fn look(app: &App, caller: Caller, path: SecretPath) -> Result<SecretView, Failure> {
    let looked = app.act(caller, move |vault, actor| {
        let permit = decide::<List, _>(actor, path.clone(), vault.clock().now())?;
        Ok(vault.secret(&permit)?)
    });
    Ok(looked.await?)
}

fn answer(status: StatusCode, body: &SecretBody) -> Response {
    json_at(status, &body.metadata.resource_version, body)
}
