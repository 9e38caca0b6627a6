//! The native API, `/tresor/v1`, and the probes.

mod binding;
mod history;
mod list;
mod project;
mod secret;
pub(crate) mod show;
mod token;

use api::{Problem, ProblemKind};
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::{StatusCode, header};

use crate::answer::{Failure, json, not_found};
use crate::app::App;
use crate::metrics::MEDIA_TYPE;

/// The route table.
pub(crate) fn routes(app: App) -> Router {
    let project = "/tresor/v1/orgs/{org}/projects/{project}";
    let secret = "/tresor/v1/orgs/{org}/projects/{project}/secrets/{name}";
    let router = match app.serves_metrics() {
        true => Router::new().route("/metrics", get(metrics)),
        false => Router::new(),
    };
    router
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/tresor/v1/whoami", get(token::whoami))
        .route("/tresor/v1/tokens", get(token::list).post(token::create))
        .route("/tresor/v1/tokens/{id}", delete(token::revoke))
        .route("/tresor/v1/orgs/{org}/projects", get(project::list).post(project::create))
        .route(
            project,
            get(project::show).put(project::replace).patch(project::patch).delete(project::delete),
        )
        .route(&format!("{project}/projections"), get(project::projections))
        .route(&format!("{project}/bindings"), get(binding::of_project))
        .route(&format!("{project}/bindings/{{uid}}"), delete(binding::unbind_from_project))
        .route(&format!("{project}/deleted-secrets"), get(list::deleted))
        .route(&format!("{project}/deleted-secrets/{{uid}}"), get(history::show_deleted))
        .route("/tresor/v1/secrets", get(list::everywhere))
        .route(&format!("{project}/secrets"), get(list::in_project).post(secret::create))
        .route(
            secret,
            get(secret::show).put(secret::put).patch(secret::patch).delete(secret::delete),
        )
        .route(&format!("{secret}/data"), get(secret::data))
        .route(&format!("{secret}/versions"), get(secret::versions))
        .route(&format!("{secret}/bindings"), get(binding::of_secret).post(binding::bind))
        .route(
            &format!("{secret}/bindings/{{bound_org}}/{{bound_project}}"),
            delete(binding::unbind),
        )
        .route(&format!("{secret}/actions/rollback"), post(history::roll_back))
        .route(&format!("{secret}/actions/delete"), post(history::delete))
        .route(&format!("{secret}/actions/undelete"), post(history::undelete))
        .route(&format!("{secret}/actions/destroy"), post(history::destroy))
        .route(&format!("{secret}/actions/purge"), post(history::purge))
        .fallback(async || Failure(not_found()))
        .method_not_allowed_fallback(async || {
            let detail = "This path exists, and not for this method. See the Allow header.";
            Failure(Problem::new(ProblemKind::MethodNotAllowed, detail))
        })
        .with_state(app)
}

/// What is served on an address of its own for metrics.
pub(crate) fn metrics_routes(app: App) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .fallback(async || Failure(not_found()))
        .with_state(app)
}

/// For Prometheus. It takes no token: it shows counts, never a name.
async fn metrics(State(app): State<App>) -> Result<Response, Failure> {
    let text = app
        .metrics()
        .text()
        .map_err(|_| Problem::new(ProblemKind::Internal, "The metrics could not be written."))?;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}

/// Able to take requests: not while the daemon stops, so that a load balancer looks elsewhere.
async fn readyz(State(app): State<App>) -> Result<Response, Failure> {
    if app.hub().is_closing() {
        return Err(Problem::new(ProblemKind::Busy, "The daemon is stopping.").into());
    }
    healthz(State(app)).await
}

/// Alive, and able to serve: a store that stopped taking writes needs a restart, which is what a
/// failing probe asks for.
async fn healthz(State(app): State<App>) -> Result<Response, Failure> {
    match app.vault().failure() {
        None => Ok(json(StatusCode::OK, &serde_json::json!({ "status": "ok" }))),
        Some(_) => {
            let detail =
                "The store has stopped taking writes; the daemon's log says why. Restart it.";
            Err(Problem::new(ProblemKind::Busy, detail).into())
        }
    }
}
