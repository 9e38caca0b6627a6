//! `.../secrets/{name}/actions/...`, and the project's deleted secrets one by one.

use api::{PurgeAction, RollbackAction, UndeleteAction, VersionsAction};
use authz::{Create, Delete, List, PartOfProject, Update, decide};
use axum::extract::State;
use axum::response::Response;
use domain::{Invalid, SecretPath};
use http::StatusCode;
use vault::{PayloadChange, SecretChange, SecretView, Vault, Versions};

use super::{secret, show};
use crate::answer::{Failure, json_at, no_content};
use crate::app::{App, Refused};
use crate::audit::About;
use crate::caller::Caller;
use crate::extract::{IfMatch, Json, NoQuery, OfSecret, ProjectAndUid};

/// Makes an earlier version the newest one too.
pub(super) async fn roll_back(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfSecret(path): OfSecret,
    if_match: IfMatch,
    Json(body): Json<RollbackAction>,
) -> Result<Response, Failure> {
    let answered = app.act(caller, move |vault, actor| {
        let permit = vault.permit::<Update>(actor, path.clone())?;
        let change = SecretChange {
            expected: if_match.and(body.expected()?)?,
            ..SecretChange::of(PayloadChange::RollBack(body.version))
        };
        Ok(secret::answer(StatusCode::OK, vault, &vault.update_secret(&permit, &change)?))
    });
    Ok(answered.await?)
}

/// Makes versions unreadable until they are undeleted.
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfSecret(path): OfSecret,
    if_match: IfMatch,
    Json(body): Json<VersionsAction>,
) -> Result<Response, Failure> {
    let answered = app.act(caller, move |vault, actor| {
        let permit = vault.permit::<Delete>(actor, path.clone())?;
        with_versions(vault, &body, &if_match, |versions| vault.delete_versions(&permit, versions))
    });
    Ok(answered.await?)
}

/// Destroys versions for good.
pub(super) async fn destroy(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfSecret(path): OfSecret,
    if_match: IfMatch,
    Json(body): Json<VersionsAction>,
) -> Result<Response, Failure> {
    let answered = app.act(caller, move |vault, actor| {
        let permit = vault.permit::<Delete>(actor, path.clone())?;
        with_versions(vault, &body, &if_match, |versions| vault.destroy_versions(&permit, versions))
    });
    Ok(answered.await?)
}

/// Brings back versions of a secret, or a deleted secret.
pub(super) async fn undelete(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfSecret(path): OfSecret,
    if_match: IfMatch,
    Json(body): Json<UndeleteAction>,
) -> Result<Response, Failure> {
    let answered = app.act(caller, move |vault, actor| {
        if let Some(numbers) = body.numbers()? {
            let permit = vault.permit::<Update>(actor, path.clone())?;
            let expected = if_match.and(body.expected()?)?;
            let versions = Versions { numbers: &numbers, expected };
            let view = vault.undelete_versions(&permit, &versions)?;
            return Ok(secret::answer(StatusCode::OK, vault, &view));
        }
        if if_match.and(None)?.is_some() {
            let fix = "must be left out: a deleted secret does not change";
            return Err(Invalid::new("If-Match", fix).into());
        }
        let (name, uid) = (body.name()?.unwrap_or_else(|| path.name.clone()), body.uid()?);
        let permit = vault.permit_deleted::<Update>(actor, path.clone(), uid)?;
        let to = SecretPath { project: path.project.clone(), name };
        let to = decide::<Create, _>(actor, to, vault.clock().now())?;
        let view = vault.undelete_secret(&permit, &to, uid)?;
        Ok(secret::answer(StatusCode::OK, vault, &view))
    });
    Ok(answered.await?)
}

/// Removes a deleted secret for good.
pub(super) async fn purge(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfSecret(path): OfSecret,
    Json(body): Json<PurgeAction>,
) -> Result<Response, Failure> {
    app.act(caller, move |vault, actor| {
        let uid = body.uid()?;
        let permit = vault.permit_deleted::<Delete>(actor, path.clone(), uid)?;
        let purged = vault.purge_secret(&permit, uid)?;
        Ok(About { uid: Some(purged.to_string()), ..About::default() })
    })
    .await
    .map(|about| about.of(no_content()))
    .map_err(Into::into)
}

/// One deleted secret, by its identity.
pub(super) async fn show_deleted(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    ProjectAndUid(project, uid): ProjectAndUid,
) -> Result<Response, Failure> {
    let body = app
        .act(caller, move |vault, actor| {
            let part = PartOfProject(project.clone());
            let permit = decide::<List, _>(actor, part, vault.clock().now())?;
            Ok(show::secret(&vault.deleted_secret(&permit, uid)?, vault))
        })
        .await?;
    Ok(json_at(StatusCode::OK, &body.metadata.resource_version, &body))
}

fn with_versions(
    vault: &Vault,
    body: &VersionsAction,
    if_match: &IfMatch,
    act: impl FnOnce(&Versions<'_>) -> Result<SecretView, vault::VaultError>,
) -> Result<Response, Refused> {
    let (numbers, expected) = (body.numbers()?, if_match.and(body.expected()?)?);
    let view = act(&Versions { numbers: &numbers, expected })?;
    Ok(secret::answer(StatusCode::OK, vault, &view))
}
