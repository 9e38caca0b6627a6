//! Who asks, and where they are.

use authz::{Administer, WholeStore, decide};
use serde_json::json;

use super::{entity, reply};
use crate::{Answer, Context, Request, Trouble};

/// The level of the platform's interface that this one is of.
const API_LEVEL: u32 = 15;

/// Who asks, and what they are in which project.
pub(super) fn show(context: &Context<'_>, _: &Request) -> Result<Answer, Trouble> {
    let (actor, now) = (context.actor()?, context.now());
    let mut permissions = vec!["ROLE_USER".to_owned()];
    if decide::<Administer, _>(actor, WholeStore, now).is_ok() {
        permissions.push("ROLE_ADMIN".to_owned());
    }
    for project in context.vault.reachable_projects(actor)? {
        if super::names::project(project.project.as_str()).as_ref() != Some(&project) {
            continue;
        }
        let administers = decide::<Administer, _>(actor, project.clone(), now).is_ok();
        let role = if administers { "ROLE_ADMIN" } else { "ROLE_USER" };
        permissions.push(format!("{}:{role}", project.project));
    }
    let name = actor.name();
    Ok(reply::ok(&json!({ "username": entity::person(&name), "permissions": permissions })))
}

/// What clients ask about the server before they sign in.
pub(super) fn configuration(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    Ok(reply::ok(&json!({
        "dhcore_endpoint": context.base_url(request),
        "dhcore_name": "tresor",
        "dhcore_version": env!("CARGO_PKG_VERSION"),
        "dhcore_api_level": API_LEVEL,
        "dhcore_api_version": "v1",
    })))
}
