//! `/tresor/v1/tokens` and `/tresor/v1/whoami`

use api::{RightBody, TokenList, TokenMinted, TokenWrite, WhoAmI, WireText, project_path};
use authz::{Administer, Right, Role, Scope, WholeStore, decide};
use axum::extract::State;
use axum::response::Response;
use domain::Invalid;
use http::StatusCode;
use vault::NewToken;

use super::show;
use crate::answer::{Failure, json, no_content};
use crate::app::App;
use crate::extract::{Caller, Json, NoQuery, TokenId};

/// Who is asking.
pub(super) async fn whoami(caller: Caller, _: NoQuery) -> Response {
    let actor = &caller.actor;
    let token = actor.as_token();
    let body = WhoAmI {
        actor: actor.name(),
        token: token.map(|token| token.id.to_string()),
        description: token.map(|token| token.description.clone()).unwrap_or_default(),
        rights: token.map(|token| show::rights(&token.rights)).unwrap_or_default(),
        expires: token.and_then(|token| token.expires).map(domain::Timestamp::to_rfc3339),
    };
    json(StatusCode::OK, &body)
}

/// All tokens; an administrator's view.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
) -> Result<Response, Failure> {
    let tokens = app
        .act(caller, |vault, actor| {
            let permit = decide::<Administer, _>(actor, WholeStore, vault.clock().now())?;
            Ok(vault.tokens(&permit)?)
        })
        .await?;
    let items = tokens.iter().map(show::token).collect();
    Ok(json(StatusCode::OK, &TokenList { items }))
}

/// Makes a token; an administrator's act.
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    Json(body): Json<TokenWrite>,
) -> Result<Response, Failure> {
    let minted = app
        .act(caller, move |vault, actor| {
            let now = vault.clock().now();
            let permit = decide::<Administer, _>(actor, WholeStore, now)?;
            let new = NewToken {
                description: body.description.clone(),
                rights: rights(&body.rights)?,
                expires: body.expires_in_seconds.map(|seconds| now.plus_seconds(seconds)),
            };
            Ok(vault.create_token(&permit, new)?)
        })
        .await?;
    let token = WireText::new(minted.text.to_string());
    let metadata = show::token(&minted.view);
    Ok(json(StatusCode::CREATED, &TokenMinted { token, metadata }))
}

/// Ends a token; an administrator's act.
pub(super) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    TokenId(id): TokenId,
) -> Result<Response, Failure> {
    app.act(caller, move |vault, actor| {
        let permit = decide::<Administer, _>(actor, WholeStore, vault.clock().now())?;
        Ok(vault.revoke_token(&permit, id)?)
    })
    .await?;
    Ok(no_content())
}

fn rights(bodies: &[RightBody]) -> Result<Vec<Right>, Invalid> {
    let mut rights = Vec::new();
    for (index, body) in bodies.iter().enumerate() {
        let within = |wrong: Invalid| wrong.within(&format!("rights[{index}]"));
        let role = Role::parse(&body.role).map_err(within)?;
        if body.projects.is_empty() {
            rights.push(Right::new(role, Scope::WholeStore).map_err(within)?);
        }
        for project in &body.projects {
            let scope = Scope::Project(project_path("projects", project).map_err(within)?);
            rights.push(Right::new(role, scope).map_err(within)?);
        }
    }
    Ok(rights)
}
