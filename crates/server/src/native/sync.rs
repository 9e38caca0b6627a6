//! `/tresor/v1/sync`

use authz::{Administer, List, WholeStore, decide};
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::answer::{Failure, json, no_content};
use crate::app::App;
use crate::caller::Caller;
use crate::extract::NoQuery;

/// How the worker stands; for those who may list everything.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
) -> Result<Response, Failure> {
    let worker = app.worker().clone();
    let status = app
        .act(caller, move |vault, actor| {
            decide::<List, _>(actor, WholeStore, vault.clock().now())?;
            Ok(worker.status())
        })
        .await?;
    Ok(json(StatusCode::OK, &status))
}

/// Lets the worker do what its brake holds back now; an administrator's act.
pub(super) async fn release_brake(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
) -> Result<Response, Failure> {
    let worker = app.worker().clone();
    app.act(caller, move |vault, actor| {
        decide::<Administer, _>(actor, WholeStore, vault.clock().now())?;
        tracing::warn!(actor = actor.name(), "the brake on mass deletion is released");
        worker.release_brake();
        Ok(())
    })
    .await?;
    Ok(no_content())
}
