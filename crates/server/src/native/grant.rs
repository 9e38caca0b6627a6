//! `/tresor/v1/grants`, a project's members, and who may do what.

use api::{
    AccessBody, AccessList, AccessReview, AccessReviewed, ActionBody, GrantBody, GrantList,
    GrantWrite, MemberWrite, subject,
};
use authz::{ActionKind, Actor, Administer, List, Role, Scope, SeenProject, decide};
use axum::extract::State;
use axum::response::Response;
use domain::{Invalid, PrincipalName, ProjectPath};
use http::StatusCode;
use vault::{GrantPermit, GrantView, NewGrant, PrincipalKind, Review, Vault, VaultError};

use crate::answer::{Failure, json, no_content};
use crate::app::{App, Refused};
use crate::audit::About;
use crate::caller::Caller;
use crate::extract::{InProject, Json, NoQuery, OfId, OfMember, OfSecret, Query};

/// What was granted at a place, or to who asks.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Response, Failure> {
    let query = query.only(&["uri", "below"])?;
    let below = match query.text("below") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Invalid::new("below", "must be true or false").into()),
    };
    let uri = query.text("uri").map(str::to_owned);
    let views = app
        .act(caller, move |vault, actor| {
            let Some(uri) = &uri else { return Ok(vault.grants_of(actor)) };
            let scope = vault.scope_of(uri)?;
            let permit = vault.permit_granting(actor, &scope)?;
            Ok(vault.grants_at(&permit, &scope, below))
        })
        .await?;
    Ok(json(StatusCode::OK, &GrantList { items: views.iter().map(body).collect() }))
}

/// Gives a right.
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    Json(write): Json<GrantWrite>,
) -> Result<Response, Failure> {
    let view = app
        .act(caller, move |vault, actor| {
            let scope = vault.scope_of(&write.uri)?;
            let permit = vault.permit_granting(actor, &scope)?;
            let new =
                NewGrant { to: to("subject", &write.subject)?, role: Role::parse(&write.role)? };
            Ok(vault.grant(&permit, &scope, &new)?)
        })
        .await?;
    Ok(about(&view).of(json(StatusCode::CREATED, &body(&view))))
}

/// Takes a right back.
pub(super) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfId(id): OfId,
) -> Result<Response, Failure> {
    let view = app.act(caller, move |vault, actor| Ok(vault.revoke_grant(actor, id)?)).await?;
    Ok(about(&view).of(no_content()))
}

/// A project's members.
pub(super) async fn members(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    InProject(path): InProject,
) -> Result<Response, Failure> {
    let views = app
        .act(caller, move |vault, actor| {
            let (scope, permit) = administer(vault, actor, &path)?;
            Ok(vault.grants_at(&permit, &scope, false))
        })
        .await?;
    Ok(json(StatusCode::OK, &GrantList { items: views.iter().map(body).collect() }))
}

/// Makes someone a member of a project, or gives them another role there.
pub(super) async fn put_member(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfMember(path, kind, name): OfMember,
    Json(write): Json<MemberWrite>,
) -> Result<Response, Failure> {
    let view = app
        .act(caller, move |vault, actor| {
            let (scope, permit) = administer(vault, actor, &path)?;
            let role = Some(Role::parse(&write.role)?);
            let set = vault.set_role(&permit, &scope, (kind, &name), role)?;
            Ok(set.ok_or(VaultError::NotFound)?)
        })
        .await?;
    Ok(about(&view).of(json(StatusCode::OK, &body(&view))))
}

/// Ends a membership.
pub(super) async fn delete_member(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfMember(path, kind, name): OfMember,
) -> Result<Response, Failure> {
    let full = format!("{}:{name}", kind.as_str());
    app.act(caller, move |vault, actor| {
        let (scope, permit) = administer(vault, actor, &path)?;
        vault.set_role(&permit, &scope, (kind, &name), None)?;
        Ok(())
    })
    .await?;
    Ok(About::default().detail(full).of(no_content()))
}

/// What the audit log says of a grant.
fn about(view: &GrantView) -> About {
    About::named(view.uri.as_str()).detail(format!("{} to {}", view.role, view.subject))
}

/// Who may do what with a secret, and why.
pub(super) async fn access(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfSecret(path): OfSecret,
) -> Result<Response, Failure> {
    let views = app
        .act(caller, move |vault, actor| {
            let permit = vault.permit_access(actor, &path)?;
            Ok(vault.access(&permit, &path)?)
        })
        .await?;
    let action = |(action, reasons): &(ActionKind, Vec<String>)| ActionBody {
        action: action.to_string(),
        reasons: reasons.clone(),
    };
    let items = views.iter().map(|view| AccessBody {
        subject: view.subject.clone(),
        disabled: view.disabled,
        actions: view.actions.iter().map(action).collect(),
    });
    Ok(json(StatusCode::OK, &AccessList { items: items.collect() }))
}

/// Whether someone may do something, and why.
pub(super) async fn review(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    Json(asked): Json<AccessReview>,
) -> Result<Response, Failure> {
    let reviewed = app
        .act(caller, move |vault, actor| {
            let subject = asked.subject.as_deref().map(|text| to("subject", text)).transpose()?;
            let review = Review {
                subject,
                scope: vault.scope_of(&asked.uri)?,
                action: ActionKind::parse(&asked.action)?,
                within: asked.project()?,
            };
            Ok(vault.review(actor, &review)?)
        })
        .await?;
    let (allowed, reasons) = (reviewed.allowed, reviewed.reasons);
    Ok(json(StatusCode::OK, &AccessReviewed { allowed, reasons }))
}

/// The right to a project's members; a project that is not there has none.
fn administer(
    vault: &Vault,
    actor: &Actor,
    path: &ProjectPath,
) -> Result<(Scope, GrantPermit), Refused> {
    let now = vault.clock().now();
    decide::<Administer, _>(actor, path.clone(), now)?;
    let seen = decide::<List, _>(actor, SeenProject(path.clone()), now)?;
    vault.project(&seen)?;
    let scope = Scope::Project(path.clone());
    let permit = vault.permit_granting(actor, &scope)?;
    Ok((scope, permit))
}

/// Someone, by kind and name.
pub(crate) fn to(field: &str, text: &str) -> Result<(PrincipalKind, PrincipalName), Invalid> {
    let (kind, name) = subject(field, text)?;
    let wrong = || Invalid::new(field, "must be user:NAME, machine:NAME or group:NAME");
    Ok((PrincipalKind::parse(kind).ok_or_else(wrong)?, name))
}

pub(super) fn body(view: &GrantView) -> GrantBody {
    GrantBody {
        id: view.id.to_string(),
        subject: view.subject.clone(),
        uri: view.uri.clone(),
        role: view.role.to_string(),
        only_this_secret: view.only_this_secret,
        creation_timestamp: view.created_at.to_rfc3339(),
        created_by: view.created_by.clone(),
    }
}
