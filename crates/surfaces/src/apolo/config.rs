//! What a client learns when it signs in.

use std::collections::BTreeSet;

use authz::{Administer, Create, Read, Share, Update, decide};
use domain::{OrgName, ProjectPath};
use http::StatusCode;
use serde_json::{Value, json};

use crate::{Answer, Context, Request, Trouble};

/// Where everything is. Who is nobody is told that there is something, and not what.
pub(super) fn show(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let base = context.base_url(request);
    let (clusters, projects) = match context.known {
        Some(_) => {
            let projects = projects(context)?;
            (vec![cluster(context, &base, &projects)], projects)
        }
        None => (Vec::new(), Vec::new()),
    };
    let projects: Vec<_> = projects.iter().map(|path| project(context, path)).collect();
    // Clients want each of these to be there. There is no sign-in by a browser, so they lead nowhere.
    let config = json!({
        "authorized": context.known.is_some(),
        "auth_url": "",
        "token_url": "",
        "logout_url": "",
        "headless_callback_url": "",
        "client_id": "",
        "audience": "",
        "admin_url": format!("{base}/apolo/admin/v1"),
        "clusters": clusters,
        "projects": projects,
    });
    Ok(Answer::json(StatusCode::OK, &config))
}

/// The projects that the actor is a member of. One with no more than a share of a key in it would
/// push the actor's own from its place: clients begin with the first by name.
fn projects(context: &Context<'_>) -> Result<Vec<ProjectPath>, Trouble> {
    let views = context.vault.projects(context.actor()?)?.items;
    Ok(views.into_iter().map(|view| view.path).collect())
}

fn cluster(context: &Context<'_>, base: &str, projects: &[ProjectPath]) -> Value {
    let default = OrgName::default_org();
    let others: BTreeSet<_> = projects.iter().map(|path| &path.org).collect();
    // Clients begin with the first.
    let first = others.contains(&default) || others.is_empty();
    let first = first.then_some(&default).into_iter();
    let orgs: Vec<_> = first.chain(others.into_iter().filter(|org| **org != default)).collect();
    let orgs: Vec<_> = orgs.into_iter().map(OrgName::as_str).collect();
    json!({
        "name": context.settings.cluster,
        "orgs": orgs,
        "secrets_url": format!("{base}/apolo/api/v1/secrets"),
        "users_url": format!("{base}/apolo/api/v1/users"),
        // No registry is here; clients refuse to run any image without the name of one.
        "registry_url": base,
        "storage_url": "",
        "blob_storage_url": "",
        "monitoring_url": "",
        "disks_url": "",
        "buckets_url": "",
        "resource_pool_types": [],
        "resource_presets": [preset()],
    })
}

/// Clients run nothing without a preset. This one says nothing: a job gets what it asks for, or what
/// its namespace gives.
fn preset() -> Value {
    json!({
        "name": "default",
        "cpu": 0.0,
        "memory": 0,
        "memory_mb": 0,
        "credits_per_hour": "0",
        "scheduler_enabled": false,
        "preemptible_node": false,
        "is_preemptible": false,
    })
}

fn project(context: &Context<'_>, path: &ProjectPath) -> Value {
    json!({
        "name": path.project.as_str(),
        "org_name": path.org.as_str(),
        "cluster_name": context.settings.cluster,
        "role": role(context, path),
    })
}

/// The platform's word for what the actor may do in a project.
fn role(context: &Context<'_>, path: &ProjectPath) -> &'static str {
    let Some(actor) = context.known else { return "reader" };
    let now = context.now();
    let shares = decide::<Share, _>(actor, path.clone(), now).is_ok();
    if shares && decide::<Administer, _>(actor, path.clone(), now).is_ok() {
        return "owner";
    }
    let writes = decide::<Create, _>(actor, path.clone(), now).is_ok()
        && decide::<Update, _>(actor, path.clone(), now).is_ok();
    match writes && decide::<Read, _>(actor, path.clone(), now).is_ok() {
        true => "writer",
        false => "reader",
    }
}
