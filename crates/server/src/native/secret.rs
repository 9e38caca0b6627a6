//! `/tresor/v1/orgs/{org}/projects/{project}/secrets/{name}`

use api::{SecretData, SecretPatch, SecretWrite, VersionList};
use authz::{Actor, Create, Delete, Denied, List, Read, Update, decide};
use axum::extract::State;
use axum::response::Response;
use domain::{Invalid, SecretPath, Timestamp};
use http::StatusCode;
use vault::{
    Binding, First, NewSecret, PayloadChange, Rebinding, SecretChange, SecretView, Targets, Vault,
    VaultError,
};

use super::binding::Rights;
use super::show;
use crate::answer::{Failure, json, json_at, json_of, no_content, tagged};
use crate::app::{App, Refused};
use crate::audit::About;
use crate::caller::Caller;
use crate::extract::{IfMatch, InProject, Json, MergePatch, NoQuery, OfSecret, Query};

/// Makes a secret.
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    InProject(project): InProject,
    Json(body): Json<SecretWrite>,
) -> Result<Response, Failure> {
    let answered = app.act(caller, move |vault, actor| {
        // The right to create is one of the project's; a name that is none must not hide it.
        let (name, now) = (body.name(), vault.clock().now());
        let path = |name| SecretPath { project: project.clone(), name };
        match &name {
            Ok(name) => decide::<Create, _>(actor, path(name.clone()), now).map(|_| ())?,
            Err(_) => decide::<Create, _>(actor, project.clone(), now).map(|_| ())?,
        }
        if body.metadata.resource_version.is_some() {
            let fix = "must be left out: the secret does not exist yet";
            return Err(Invalid::new("metadata.resourceVersion", fix).into());
        }
        let made = make(vault, actor, path(name?), &body)?;
        Ok(answer(StatusCode::CREATED, vault, &made))
    });
    Ok(answered.await?)
}

/// Makes a secret, or replaces an existing one's metadata and gives it a new version.
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfSecret(path): OfSecret,
    if_match: IfMatch,
    Json(body): Json<SecretWrite>,
) -> Result<Response, Failure> {
    let answered = app.act(caller, move |vault, actor| {
        let now = vault.clock().now();
        let create = || decide::<Create, _>(actor, path.clone(), now);
        let permit = match vault.permit::<Update>(actor, path.clone()) {
            Ok(permit) => permit,
            Err(VaultError::NotPermitted(denied)) => {
                create().map_err(|_| denied)?;
                let view = make_only(vault, actor, &path, &body, &if_match, denied)?;
                return Ok(answer(StatusCode::CREATED, vault, &view));
            }
            Err(error) => return Err(error.into()),
        };
        check_name(body.metadata.name.as_deref(), &path)?;
        let expected = if_match.and(body.expected()?)?;
        let (labels, keep, targets) =
            (body.labels()?, body.spec.keep_versions, body.spec.bindings()?);
        let rights = Rights { vault, actor, secret: &path, making: false };
        let rebinding = Wanted { targets: targets.as_ref(), rights };
        let (new, relabel) = (|kind| body.payload(Some(kind)), |_: &_| Ok(labels.clone()));
        rebinding.with(|bindings| {
            let change = SecretChange {
                payload: PayloadChange::New(&new),
                labels: Some(&relabel),
                annotations: None,
                keep_versions: keep.map(Some),
                bindings,
                expected,
            };
            match vault.update_secret(&permit, &change) {
                // A version that is insisted on belongs to a secret that must exist.
                Err(VaultError::NotFound) if expected.is_none() => {}
                updated => return Ok(answer(StatusCode::OK, vault, &updated?)),
            }
            match make(vault, actor, path.clone(), &body) {
                // Someone else was faster: then there is something to replace.
                Err(Refused::Vault(VaultError::AlreadyExists)) => {
                    let view = vault.update_secret(&permit, &change)?;
                    Ok(answer(StatusCode::OK, vault, &view))
                }
                made => Ok(answer(StatusCode::CREATED, vault, &made?)),
            }
        })
    });
    Ok(answered.await?)
}

/// Changes what is sent and keeps the rest (RFC 7396).
pub(super) async fn patch(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfSecret(path): OfSecret,
    if_match: IfMatch,
    MergePatch(body): MergePatch<SecretPatch>,
) -> Result<Response, Failure> {
    let answered = app.act(caller, move |vault, actor| {
        let permit = vault.permit::<Update>(actor, path.clone())?;
        check_name(body.name(), &path)?;
        let expected = if_match.and(body.expected()?)?;
        let (keep_versions, targets) = (body.keep_versions(), body.bindings()?);
        let rights = Rights { vault, actor, secret: &path, making: false };
        let rebinding = Wanted { targets: targets.as_ref(), rights };
        let relabel = |old: &domain::Labels| Ok(body.labels(old)?.unwrap_or_else(|| old.clone()));
        let patch = |old: &domain::Payload| body.payload(old);
        let check = |kind| body.check_type(kind);
        let payload = match body.touches_payload() {
            true => PayloadChange::Patch(&patch),
            false => PayloadChange::Check(&check),
        };
        rebinding.with(|bindings| {
            let labels: Option<vault::Relabel<'_>> = Some(&relabel);
            let annotations = None;
            let change =
                SecretChange { payload, labels, annotations, keep_versions, bindings, expected };
            Ok(answer(StatusCode::OK, vault, &vault.update_secret(&permit, &change)?))
        })
    });
    Ok(answered.await?)
}

/// A secret's metadata.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfSecret(path): OfSecret,
) -> Result<Response, Failure> {
    let view = look(&app, &caller, path)?;
    Ok(answer(StatusCode::OK, app.vault(), &view))
}

/// A secret's history.
pub(super) async fn versions(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfSecret(path): OfSecret,
) -> Result<Response, Failure> {
    let view = look(&app, &caller, path)?;
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
    let revealed = app.look(&caller, |vault, actor| {
        let permit = vault.permit::<Read>(actor, path)?;
        Ok(vault.reveal(&permit, version)?)
    })?;
    let body = SecretData::new(revealed.version, &revealed.payload);
    let about = About::secret(app.vault(), &revealed.secret, Some(revealed.version));
    let version = revealed.secret.resource_version.to_string();
    let answer = json_of(body.about_bytes(), StatusCode::OK, &body);
    Ok(about.of(tagged(&version, answer)))
}

/// Deletes a secret; it can be undeleted until it is purged.
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfSecret(path): OfSecret,
    if_match: IfMatch,
) -> Result<Response, Failure> {
    let view = app
        .act(caller, move |vault, actor| {
            let permit = vault.permit::<Delete>(actor, path.clone())?;
            Ok(vault.delete_secret(&permit, if_match.and(None)?)?)
        })
        .await?;
    Ok(About::secret(app.vault(), &view, None).of(no_content()))
}

/// The bindings that a body wants, if it speaks of them.
struct Wanted<'a> {
    targets: Option<&'a Targets>,
    rights: Rights<'a>,
}

impl Wanted<'_> {
    fn with<T>(&self, act: impl FnOnce(Option<Rebinding<'_>>) -> T) -> T {
        let Some(targets) = self.targets else { return act(None) };
        let wanted = |_: &[Binding]| targets.clone();
        act(Some(Rebinding {
            wanted: &wanted,
            may_bind: &|project, kind| self.rights.to_bind(project, kind, "spec.bindings"),
            may_unbind: &|project| self.rights.to_unbind(project),
        }))
    }
}

/// The PUT of someone who may create and not update: what exists already is not theirs to touch.
fn make_only(
    vault: &Vault,
    actor: &Actor,
    path: &SecretPath,
    body: &SecretWrite,
    if_match: &IfMatch,
    denied: Denied,
) -> Result<SecretView, Refused> {
    if if_match.and(body.expected()?)?.is_some() {
        return Err(denied.into());
    }
    match make(vault, actor, path.clone(), body) {
        Err(Refused::Vault(VaultError::AlreadyExists)) => Err(denied.into()),
        made => made,
    }
}

fn make(
    vault: &Vault,
    actor: &Actor,
    path: SecretPath,
    body: &SecretWrite,
) -> Result<SecretView, Refused> {
    let now: Timestamp = vault.clock().now();
    let permit = decide::<Create, _>(actor, path.clone(), now)?;
    check_name(body.metadata.name.as_deref(), &path)?;
    let targets = body.spec.bindings()?;
    let rights = Rights { vault, actor, secret: &path, making: true };
    let wanted = Wanted { targets: targets.as_ref(), rights };
    let (payload, labels) = (body.payload(None)?, body.labels()?);
    let keep_versions = body.spec.keep_versions;
    wanted.with(|bindings| {
        let first = First::Version(payload);
        let new = NewSecret { labels, keep_versions, bindings, ..NewSecret::of(first) };
        Ok(vault.create_secret(&permit, &new)?)
    })
}

fn check_name(name: Option<&str>, path: &SecretPath) -> Result<(), Invalid> {
    if name.is_some_and(|name| name != path.name.as_str()) {
        let fix = "must be the secret's name in the path, or be left out";
        return Err(Invalid::new("metadata.name", fix));
    }
    Ok(())
}

pub(super) fn look(app: &App, caller: &Caller, path: SecretPath) -> Result<SecretView, Failure> {
    let looked = app.look(caller, |vault, actor| {
        let permit = vault.permit::<List>(actor, path)?;
        Ok(vault.secret(&permit)?)
    });
    Ok(looked?)
}

/// A secret, without values, with its resource version as `ETag`.
pub(super) fn answer(status: StatusCode, vault: &Vault, view: &SecretView) -> Response {
    let body = show::secret(view, vault);
    let version = view.head.current().map(|version| version.number);
    let response = json_at(status, &body.metadata.resource_version, &body);
    About::secret(vault, view, version).of(response)
}
