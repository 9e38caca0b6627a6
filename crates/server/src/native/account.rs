//! `/tresor/v1/login`, users, machine accounts, groups and organizations.

use api::{
    AccountPatch, GroupPatch, GroupWrite, LoginBody, LoginWrite, MachineAccountWrite, OrgBody,
    OrgList, OrgMetadata, OrgWrite, PasswordWrite, PrincipalBody, PrincipalList, PrincipalMetadata,
    PrincipalSpec, Problem, ProblemKind, UserWrite, WireText, principal_name, subject,
};
use authz::{Administer, WholeStore, decide};
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use domain::{Invalid, PrincipalName};
use http::StatusCode;
use vault::{
    Attempt, Member, NewPrincipal, OrgView, PrincipalChange, PrincipalKind, PrincipalView, Vault,
};

use super::show;
use crate::answer::{Failure, json, no_content, problem};
use crate::app::{App, Refused};
use crate::audit::{About, Notes};
use crate::caller::{Caller, Peer};
use crate::extract::{InOrg, Json, MergePatch, NoQuery, OfPrincipal};

/// Signs a user in.
pub(super) async fn login(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Extension(notes): Extension<Notes>,
    _: NoQuery,
    Json(body): Json<LoginWrite>,
) -> Result<Response, Failure> {
    let seconds = body.seconds()?;
    // What was sent as a name may be a password: only a user's name is written down.
    if app.vault().is_user(&body.username) {
        notes.set_actor(format!("user:{}", body.username));
    }
    let minted = app
        .hash(move |vault| {
            let (name, password) = (body.username.as_str(), body.password());
            let attempt = Attempt { name, password: &password, address: peer.address() };
            let signed_in = vault.sign_in(&attempt)?;
            let expires = vault.clock().now().plus_seconds(seconds);
            vault.start_session(&signed_in, expires, body.jwt)
        })
        .await
        .map_err(|error| problem(Refused::Vault(error)))?;
    let token = WireText::new(minted.text.to_string());
    let metadata = show::token(&minted.view);
    Ok(json(StatusCode::CREATED, &LoginBody { token, metadata }))
}

/// Ends the token that is used.
pub(super) async fn logout(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
) -> Result<Response, Failure> {
    app.act(caller, |vault, actor| {
        let token = actor.token().ok_or_else(|| {
            let detail = "You use no token that could be ended.";
            Problem::new(ProblemKind::NotNow, detail)
        })?;
        Ok(vault.revoke_own_token(actor, token.id)?)
    })
    .await?;
    Ok(no_content())
}

/// Makes a user.
pub(super) async fn create_user(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    Json(body): Json<UserWrite>,
) -> Result<Response, Failure> {
    create(app, caller, move |_| {
        let name = principal_name(&body.metadata)?;
        Ok((PrincipalKind::User, name, body.password(), Vec::new()))
    })
    .await
}

/// Makes a machine account.
pub(super) async fn create_machine(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    Json(body): Json<MachineAccountWrite>,
) -> Result<Response, Failure> {
    create(app, caller, move |_| {
        Ok((PrincipalKind::Machine, principal_name(&body.metadata)?, None, Vec::new()))
    })
    .await
}

/// Makes a group.
pub(super) async fn create_group(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    Json(body): Json<GroupWrite>,
) -> Result<Response, Failure> {
    create(app, caller, move |_| {
        let members = members(&body.spec.members)?;
        Ok((PrincipalKind::Group, principal_name(&body.metadata)?, None, members))
    })
    .await
}

type Wanted = (PrincipalKind, PrincipalName, Option<domain::Plaintext>, Vec<Member>);

async fn create(
    app: App,
    caller: Caller,
    wanted: impl Fn(&Vault) -> Result<Wanted, Invalid> + Send + 'static,
) -> Result<Response, Failure> {
    let view = app
        .act(caller, move |vault, actor| {
            let permit = decide::<Administer, _>(actor, WholeStore, vault.clock().now())?;
            let (kind, name, password, members) = wanted(vault)?;
            let new = NewPrincipal {
                kind,
                name,
                password: password.as_ref(),
                members,
                rights: Vec::new(),
            };
            Ok(vault.create_principal(&permit, &new)?)
        })
        .await?;
    let about = About::named(format!("{}:{}", view.kind.as_str(), view.name));
    Ok(about.of(json(StatusCode::CREATED, &body(&view))))
}

/// All users.
pub(super) async fn users(app: State<App>, caller: Caller, query: NoQuery) -> Answered {
    list(app, caller, query, PrincipalKind::User).await
}

/// All machine accounts.
pub(super) async fn machines(app: State<App>, caller: Caller, query: NoQuery) -> Answered {
    list(app, caller, query, PrincipalKind::Machine).await
}

/// All groups.
pub(super) async fn groups(app: State<App>, caller: Caller, query: NoQuery) -> Answered {
    list(app, caller, query, PrincipalKind::Group).await
}

type Answered = Result<Response, Failure>;

async fn list(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    kind: PrincipalKind,
) -> Result<Response, Failure> {
    let views = app
        .act(caller, move |vault, actor| {
            let permit = decide::<Administer, _>(actor, WholeStore, vault.clock().now())?;
            Ok(vault.principals(&permit, kind))
        })
        .await?;
    Ok(json(StatusCode::OK, &PrincipalList { items: views.iter().map(body).collect() }))
}

/// A user.
pub(super) async fn user(
    app: State<App>,
    caller: Caller,
    name: OfPrincipal,
    query: NoQuery,
) -> Answered {
    show_one(app, caller, name, query, PrincipalKind::User).await
}

/// A machine account.
pub(super) async fn machine(
    app: State<App>,
    caller: Caller,
    name: OfPrincipal,
    query: NoQuery,
) -> Answered {
    show_one(app, caller, name, query, PrincipalKind::Machine).await
}

/// A group.
pub(super) async fn group(
    app: State<App>,
    caller: Caller,
    name: OfPrincipal,
    query: NoQuery,
) -> Answered {
    show_one(app, caller, name, query, PrincipalKind::Group).await
}

async fn show_one(
    State(app): State<App>,
    caller: Caller,
    OfPrincipal(name): OfPrincipal,
    _: NoQuery,
    kind: PrincipalKind,
) -> Result<Response, Failure> {
    let view = app
        .act(caller, move |vault, actor| {
            if let Some(own) = vault.own_account(actor).filter(|own| is(own, kind, &name)) {
                return Ok(own);
            }
            let permit = decide::<Administer, _>(actor, WholeStore, vault.clock().now())?;
            Ok(vault.principal(&permit, kind, &name)?)
        })
        .await?;
    Ok(json(StatusCode::OK, &body(&view)))
}

/// Shuts a user out, or lets it in again.
pub(super) async fn patch_user(
    app: State<App>,
    caller: Caller,
    query: NoQuery,
    name: OfPrincipal,
    body: MergePatch<AccountPatch>,
) -> Answered {
    patch_account(app, caller, query, name, body, PrincipalKind::User).await
}

/// Shuts a machine account out, or lets it in again.
pub(super) async fn patch_machine(
    app: State<App>,
    caller: Caller,
    query: NoQuery,
    name: OfPrincipal,
    body: MergePatch<AccountPatch>,
) -> Answered {
    patch_account(app, caller, query, name, body, PrincipalKind::Machine).await
}

async fn patch_account(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfPrincipal(name): OfPrincipal,
    MergePatch(patch): MergePatch<AccountPatch>,
    kind: PrincipalKind,
) -> Result<Response, Failure> {
    change(app, caller, kind, name, move || {
        Ok(PrincipalChange { disabled: Some(patch.spec.disabled), members: None })
    })
    .await
}

/// Replaces a group's members.
pub(super) async fn patch_group(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfPrincipal(name): OfPrincipal,
    MergePatch(patch): MergePatch<GroupPatch>,
) -> Result<Response, Failure> {
    change(app, caller, PrincipalKind::Group, name, move || {
        Ok(PrincipalChange { disabled: None, members: Some(members(&patch.spec.members)?) })
    })
    .await
}

async fn change(
    app: App,
    caller: Caller,
    kind: PrincipalKind,
    name: PrincipalName,
    wanted: impl Fn() -> Result<PrincipalChange, Invalid> + Send + 'static,
) -> Result<Response, Failure> {
    let view = app
        .act(caller, move |vault, actor| {
            let permit = decide::<Administer, _>(actor, WholeStore, vault.clock().now())?;
            Ok(vault.change_principal(&permit, kind, &name, &wanted()?)?)
        })
        .await?;
    Ok(json(StatusCode::OK, &body(&view)))
}

/// Removes a user.
pub(super) async fn delete_user(
    app: State<App>,
    caller: Caller,
    query: NoQuery,
    name: OfPrincipal,
) -> Answered {
    delete(app, caller, query, name, PrincipalKind::User).await
}

/// Removes a machine account.
pub(super) async fn delete_machine(
    app: State<App>,
    caller: Caller,
    query: NoQuery,
    name: OfPrincipal,
) -> Answered {
    delete(app, caller, query, name, PrincipalKind::Machine).await
}

/// Removes a group.
pub(super) async fn delete_group(
    app: State<App>,
    caller: Caller,
    query: NoQuery,
    name: OfPrincipal,
) -> Answered {
    delete(app, caller, query, name, PrincipalKind::Group).await
}

async fn delete(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfPrincipal(name): OfPrincipal,
    kind: PrincipalKind,
) -> Result<Response, Failure> {
    app.act(caller, move |vault, actor| {
        let permit = decide::<Administer, _>(actor, WholeStore, vault.clock().now())?;
        Ok(vault.delete_principal(&permit, kind, &name)?)
    })
    .await?;
    Ok(no_content())
}

/// Sets a user's password: by an administrator, or by the user who knows the present one.
pub(super) async fn set_password(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfPrincipal(name): OfPrincipal,
    Json(body): Json<PasswordWrite>,
) -> Result<Response, Failure> {
    let address = caller.peer.address();
    app.act(caller, move |vault, actor| {
        let (new, present) = (body.password(), body.current_password());
        let own = vault.own_account(actor).is_some_and(|own| is(&own, PrincipalKind::User, &name));
        if let Some(present) = present.filter(|_| own) {
            let attempt = Attempt { name: name.as_str(), password: &present, address };
            return Ok(vault.change_own_password(actor, &attempt, &new)?);
        }
        let permit = decide::<Administer, _>(actor, WholeStore, vault.clock().now());
        match permit {
            Ok(permit) => Ok(vault.set_password(&permit, &name, &new)?),
            Err(_) if own => {
                Err(Invalid::new("currentPassword", "must be your present password").into())
            }
            Err(denied) => Err(denied.into()),
        }
    })
    .await?;
    Ok(no_content())
}

/// The organizations that the caller may see.
pub(super) async fn orgs(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
) -> Result<Response, Failure> {
    let views = app.act(caller, |vault, actor| Ok(vault.orgs(actor)?)).await?;
    Ok(json(StatusCode::OK, &OrgList { items: views.iter().map(org).collect() }))
}

/// Makes an organization.
pub(super) async fn create_org(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    Json(body): Json<OrgWrite>,
) -> Result<Response, Failure> {
    let view = app
        .act(caller, move |vault, actor| {
            let permit = decide::<Administer, _>(actor, WholeStore, vault.clock().now())?;
            Ok(vault.create_org(&permit, &body.name()?)?)
        })
        .await?;
    let about = About::named(view.name.as_str());
    Ok(about.of(json(StatusCode::CREATED, &org(&view))))
}

/// Removes an organization.
pub(super) async fn delete_org(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    InOrg(name): InOrg,
) -> Result<Response, Failure> {
    app.act(caller, move |vault, actor| {
        let permit = decide::<Administer, _>(actor, WholeStore, vault.clock().now())?;
        Ok(vault.delete_org(&permit, &name)?)
    })
    .await?;
    Ok(no_content())
}

fn is(view: &PrincipalView, kind: PrincipalKind, name: &PrincipalName) -> bool {
    view.kind == kind && view.name == name.as_str()
}

fn members(texts: &[String]) -> Result<Vec<Member>, Invalid> {
    let member = |text: &String| {
        let (kind, name) = subject("spec.members", text)?;
        let kind = PrincipalKind::parse(kind);
        let wrong = || Invalid::new("spec.members", "must be user:NAME or machine:NAME");
        Ok(Member { kind: kind.ok_or_else(wrong)?, name })
    };
    texts.iter().map(member).collect()
}

fn body(view: &PrincipalView) -> PrincipalBody {
    PrincipalBody {
        metadata: PrincipalMetadata {
            name: view.name.clone(),
            uid: view.uid.to_string(),
            resource_version: view.resource_version.to_string(),
            creation_timestamp: view.created_at.to_rfc3339(),
            created_by: view.created_by.clone(),
        },
        spec: PrincipalSpec {
            kind: view.kind.as_str().to_owned(),
            disabled: view.disabled,
            has_password: view.has_password,
            members: view.members.clone(),
            groups: view.groups.clone(),
        },
    }
}

fn org(view: &OrgView) -> OrgBody {
    OrgBody {
        metadata: OrgMetadata {
            name: view.name.to_string(),
            uid: view.uid.map(|uid| uid.to_string()),
            creation_timestamp: view.created_at.map(domain::Timestamp::to_rfc3339),
            created_by: view.created_by.clone(),
        },
    }
}
