//! The native API, `/tresor/v1`, and the probes.

pub(crate) mod account;
mod audit;
mod binding;
mod consumer;
mod docs;
mod grant;
mod history;
mod keys;
mod list;
mod project;
mod render;
mod secret;
pub(crate) mod show;
mod store;
mod sync;
mod token;

use api::{Problem, ProblemKind, paths};
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::{StatusCode, header};

use crate::answer::{Failure, json, not_found};
use crate::app::App;
use crate::metrics::MEDIA_TYPE;
use crate::surface;

pub(crate) use grant::to as someone;
pub use keys::{keys_body, rotation_body};
pub use store::{compaction_body, verification_body};

/// The route table.
pub(crate) fn routes(app: App) -> Router {
    let probes =
        Router::new().route(paths::HEALTHZ, get(healthz)).route(paths::READYZ, get(readyz));
    let probes = match app.serves_metrics() {
        true => probes.route(paths::METRICS, get(metrics)),
        false => probes,
    };
    let one_project =
        get(project::show).put(project::replace).patch(project::patch).delete(project::delete);
    let one_secret = get(secret::show).put(secret::put).patch(secret::patch).delete(secret::delete);
    Router::new()
        .merge(probes)
        .merge(docs::routes(&app))
        .route(paths::LOGIN, post(account::login))
        .route(paths::LOGOUT, post(account::logout))
        .route(paths::USERS, get(account::users).post(account::create_user))
        .route(
            paths::USER,
            get(account::user).patch(account::patch_user).delete(account::delete_user),
        )
        .route(paths::PASSWORD, put(account::set_password))
        .route(paths::MACHINE_ACCOUNTS, get(account::machines).post(account::create_machine))
        .route(
            paths::MACHINE_ACCOUNT,
            get(account::machine).patch(account::patch_machine).delete(account::delete_machine),
        )
        .route(paths::GROUPS, get(account::groups).post(account::create_group))
        .route(
            paths::GROUP,
            get(account::group).patch(account::patch_group).delete(account::delete_group),
        )
        .route(paths::GRANTS, get(grant::list).post(grant::create))
        .route(paths::GRANT, delete(grant::revoke))
        .route(paths::ACCESS_REVIEWS, post(grant::review))
        .route(paths::AUDIT, get(audit::show))
        .route(paths::ORGS, get(account::orgs).post(account::create_org))
        .route(paths::ORG, delete(account::delete_org))
        .route(paths::MEMBERS, get(grant::members))
        .route(paths::MEMBER, put(grant::put_member).delete(grant::delete_member))
        .route(paths::ACCESS, get(grant::access))
        .route(paths::WHOAMI, get(token::whoami))
        .route(paths::TOKENS, get(token::list).post(token::create))
        .route(paths::TOKEN, delete(token::revoke))
        .route(paths::ALL_SECRETS, get(list::everywhere))
        .route(paths::PROJECTS, get(project::list).post(project::create))
        .route(paths::PROJECT, one_project)
        .route(paths::PROJECTIONS, get(project::projections))
        .route(paths::BOUND_SECRETS, get(binding::of_project))
        .route(paths::BOUND_SECRET, delete(binding::unbind_from_project))
        .route(paths::DELETED_SECRETS, get(list::deleted))
        .route(paths::DELETED_SECRET, get(history::show_deleted))
        .route(paths::SECRETS, get(list::in_project).post(secret::create))
        .route(paths::SECRET, one_secret)
        .route(paths::DATA, get(secret::data))
        .route(paths::VERSIONS, get(secret::versions))
        .route(paths::BINDINGS, get(binding::of_secret).post(binding::bind))
        .route(paths::BINDING, delete(binding::unbind))
        .route(paths::ROLL_BACK, post(history::roll_back))
        .route(paths::DELETE_VERSIONS, post(history::delete))
        .route(paths::UNDELETE, post(history::undelete))
        .route(paths::DESTROY, post(history::destroy))
        .route(paths::PURGE, post(history::purge))
        .route(paths::RENDER, post(render::render))
        .route(paths::CONSUMERS, get(consumer::list))
        .route(paths::STORE, get(store::show))
        .route(paths::COMPACT, post(store::compact))
        .route(paths::VERIFY, post(store::verify))
        .route(paths::BACKUP, get(store::back_up))
        .route(paths::SYNC, get(sync::show))
        .route(paths::RELEASE_BRAKE, post(sync::release_brake))
        .route(paths::KEYS, get(keys::show))
        .route(paths::ROTATION, get(keys::rotation))
        .route(paths::ROTATE, post(keys::rotate))
        .route(paths::PAUSE_ROTATION, post(keys::pause))
        .route(paths::RESUME_ROTATION, post(keys::resume))
        .merge(surface::routes(&app))
        .fallback(surface::not_found)
        .method_not_allowed_fallback(surface::no_method)
        .with_state(app)
}

/// What is served on an address of its own for metrics.
pub(crate) fn metrics_routes(app: App) -> Router {
    Router::new()
        .route(paths::METRICS, get(metrics))
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
