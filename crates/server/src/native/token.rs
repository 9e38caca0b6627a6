//! `/tresor/v1/tokens` and `/tresor/v1/whoami`

use api::{
    NarrowingBody, RightBody, TokenList, TokenMinted, TokenWrite, WhoAmI, WireText, project_path,
};
use authz::{
    ActionKind, Administer, Denied, Narrowing, Right, Role, Scope, Subject, WholeStore, decide,
};
use axum::extract::State;
use axum::response::Response;
use domain::{Invalid, PrincipalName};
use http::StatusCode;
use vault::{NewHolder, NewToken};

use super::show;
use crate::answer::{Failure, json, no_content};
use crate::app::App;
use crate::audit::About;
use crate::caller::Caller;
use crate::extract::{Json, NoQuery, OfId};

/// Who is asking.
pub(super) async fn whoami(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
) -> Result<Response, Failure> {
    let body = app
        .act(caller, |vault, actor| {
            let token = actor.token();
            let own = actor.identity().filter(|identity| is_token(&identity.subject));
            let rights: Vec<_> =
                own.iter().flat_map(|own| own.held.iter().map(|held| held.right.clone())).collect();
            Ok(WhoAmI {
                actor: actor.name(),
                token: token.map(|token| token.id.to_string()),
                description: token.map(|token| token.description.clone()).unwrap_or_default(),
                rights: show::rights(&rights),
                grants: vault.grants_of(actor).iter().map(super::grant::body).collect(),
                narrowing: token.and_then(|token| show::narrowing(&token.narrowing)),
                expires: token.and_then(|token| token.expires).map(domain::Timestamp::to_rfc3339),
            })
        })
        .await?;
    Ok(json(StatusCode::OK, &body))
}

const fn is_token(subject: &Subject) -> bool {
    matches!(subject, Subject::Token(_))
}

/// The tokens of who asks; an administrator's view is of all.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
) -> Result<Response, Failure> {
    let tokens = app
        .act(caller, |vault, actor| {
            match decide::<Administer, _>(actor, WholeStore, vault.clock().now()) {
                Ok(permit) => Ok(vault.tokens(&permit)),
                Err(Denied::Expired) => Err(Denied::Expired.into()),
                Err(_) => Ok(vault.own_tokens(actor)),
            }
        })
        .await?;
    let items = tokens.iter().map(show::token).collect();
    Ok(json(StatusCode::OK, &TokenList { items }))
}

/// Makes a token: one of who asks, or, as an administrator, another.
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    Json(body): Json<TokenWrite>,
) -> Result<Response, Failure> {
    let minted = app
        .act(caller, move |vault, actor| {
            let now = vault.clock().now();
            let for_others = !body.rights.is_empty() || body.machine_account.is_some();
            let permit = match for_others {
                true => Some(decide::<Administer, _>(actor, WholeStore, now)?),
                false => None,
            };
            let new = NewToken {
                description: body.description.clone(),
                holder: holder(&body)?,
                expires: body.expires_in_seconds.map(|seconds| now.plus_seconds(seconds)),
                jwt: body.jwt,
            };
            match permit {
                Some(permit) => Ok(vault.create_token(&permit, new)?),
                None => Ok(vault.create_own_token(actor, new)?),
            }
        })
        .await?;
    let token = WireText::new(minted.text.to_string());
    let metadata = show::token(&minted.view);
    let about = About::named(format!("token:{}", minted.view.id));
    Ok(about.of(json(StatusCode::CREATED, &TokenMinted { token, metadata })))
}

/// Ends a token: one of who asks, or, as an administrator, any.
pub(super) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    OfId(id): OfId,
) -> Result<Response, Failure> {
    app.act(caller, move |vault, actor| {
        match decide::<Administer, _>(actor, WholeStore, vault.clock().now()) {
            Ok(permit) => Ok(vault.revoke_token(&permit, id)?),
            Err(Denied::Expired) => Err(Denied::Expired.into()),
            // Whether there is a token of others of that identity is not told.
            Err(_) => Ok(vault.revoke_own_token(actor, id)?),
        }
    })
    .await?;
    Ok(no_content())
}

fn holder(body: &TokenWrite) -> Result<NewHolder, Invalid> {
    let narrowing = body.narrowing.as_ref().map(narrowing).transpose()?;
    match (&body.machine_account, body.rights.is_empty()) {
        (Some(_), false) => {
            let fix = "must be left out with machineAccount: that account's rights are the token's";
            Err(Invalid::new("rights", fix))
        }
        (Some(name), true) => {
            let name = PrincipalName::parse(name);
            let name = name.map_err(|wrong| Invalid::new("machineAccount", wrong.fix))?;
            Ok(NewHolder::Machine(name, narrowing.unwrap_or_default()))
        }
        (None, false) if narrowing.is_some() => {
            let fix = "must be left out with rights, which name projects themselves";
            Err(Invalid::new("narrowing", fix))
        }
        (None, false) => Ok(NewHolder::Itself(rights(&body.rights)?)),
        (None, true) => Ok(NewHolder::Myself(narrowing.unwrap_or_default())),
    }
}

fn narrowing(body: &NarrowingBody) -> Result<Narrowing, Invalid> {
    let project = |text: &String| project_path("narrowing.projects", text);
    let projects = body.projects.as_ref().map(|names| names.iter().map(project).collect());
    let action = |text: &String| {
        ActionKind::parse(text).map_err(|wrong| Invalid::new("narrowing.actions", wrong.fix))
    };
    let actions = body.actions.as_ref().map(|names| names.iter().map(action).collect());
    Ok(Narrowing { projects: projects.transpose()?, actions: actions.transpose()? })
}

fn rights(bodies: &[RightBody]) -> Result<Vec<Right>, Invalid> {
    let mut rights = Vec::new();
    for (index, body) in bodies.iter().enumerate() {
        let within = |wrong: Invalid| wrong.within(&format!("rights[{index}]"));
        let role = Role::parse(&body.role).map_err(within)?;
        if body.projects.is_empty() {
            if !role.is_global() {
                let fix = format!("must name the projects in which {role} holds");
                return Err(within(Invalid::new("projects", fix)));
            }
            rights.push(Right::new(role, Scope::WholeStore).map_err(within)?);
        }
        for project in &body.projects {
            let scope = Scope::Project(project_path("projects", project).map_err(within)?);
            rights.push(Right::new(role, scope).map_err(within)?);
        }
    }
    Ok(rights)
}
