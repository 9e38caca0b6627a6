//! `/api/v1/projects`

use std::collections::BTreeMap;

use authz::{Administer, Delete, List, SeenProject, WholeStore, decide};
use domain::{Annotations, ProjectPath};
use serde_json::Value;
use vault::{ProjectView, VaultError};

use super::entity::{self, ProjectBody};
use super::kept::OF_PROJECT;
use super::page::{Paging, Row, check_query};
use super::{inside, names, permit, reply};
use crate::{Answer, Context, Request, Trouble};

/// The projects in which who asks may see something.
pub(super) fn list(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let actor = context.actor()?;
    let paging = Paging::read(request)?;
    let seen = context.vault.projects(actor)?.items.into_iter();
    let mut views: BTreeMap<ProjectPath, ProjectView> =
        seen.map(|view| (view.path.clone(), view)).collect();
    let reachable = context.vault.reachable_projects(actor)?.into_iter();
    let ours =
        reachable.filter(|path| names::project(path.project.as_str()).as_ref() == Some(path));
    let rows = ours.map(|path| row(views.remove(&path), &path)).collect();
    Ok(reply::ok(&paging.answer(rows, Value::clone)))
}

fn row(view: Option<ProjectView>, path: &ProjectPath) -> Row<Value> {
    let name = path.project.to_string();
    match view {
        None => {
            let (created, updated) = (String::new(), String::new());
            Row { name, created, updated, of: entity::glimpse(path) }
        }
        Some(view) => {
            let (created, updated) = (view.created_at.to_rfc3339(), entity::updated(&view));
            Row { name, created, updated, of: entity::project(&view) }
        }
    }
}

/// Makes a project, which who asks then owns. One that exists is never overwritten.
pub(super) fn create(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let body = ProjectBody::read(&entity::object(request)?, None)?;
    context.is_about_project(&body.path);
    let annotations = Annotations::default().with(OF_PROJECT, body.kept.write())?;
    match context.vault.create_own_project(context.actor()?, &body.path, annotations) {
        Ok(view) => Ok(reply::ok(&entity::project(&view))),
        Err(VaultError::AlreadyExists) => {
            Err(reply::duplicated("project", body.path.project.as_str()))
        }
        Err(error) => Err(error.into()),
    }
}

/// One project, as much of it as who asks may see.
pub(super) fn show(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let path = reply::project_of(request.name("project"))?;
    inside(context, &path)?;
    let seen = decide::<List, _>(context.actor()?, SeenProject(path.clone()), context.now());
    match seen {
        Ok(permit) => Ok(reply::ok(&entity::project(&context.vault.project(&permit)?))),
        Err(_) => Ok(reply::ok(&entity::glimpse(&path))),
    }
}

/// Replaces what clients keep beside a project.
pub(super) fn update(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let path = reply::project_of(request.name("project"))?;
    let permit = permit::<Administer>(context, &path)?;
    let ProjectBody { mut kept, .. } = ProjectBody::read(&entity::object(request)?, Some(&path))?;
    kept.updated = Some(context.now().to_rfc3339());
    let annotate = |old: &Annotations| old.with(OF_PROJECT, kept.write());
    Ok(reply::ok(&entity::project(&context.vault.annotate_project(&permit, &annotate)?)))
}

/// Removes a project, with all that is in it only when that is said.
pub(super) fn delete(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let path = reply::project_of(request.name("project"))?;
    let done = match cascade(request)? {
        false => remove_empty(context, &path),
        true => remove_with_all(context, &path),
    };
    let (actor, now) = (context.actor()?, context.now());
    let administers = || decide::<Administer, _>(actor, WholeStore, now).is_ok();
    match done {
        // Whoever may see every project is told, as by the platform, that there is none left.
        Err(trouble) if trouble.is_absent() && administers() => Ok(reply::done()),
        done => done.map(|()| reply::done()),
    }
}

fn remove_empty(context: &Context<'_>, path: &ProjectPath) -> Result<(), Trouble> {
    let permit = permit::<Administer>(context, path)?;
    let refused = |what| {
        let way = "Ask with cascade=true to remove it with all that is in it.";
        Err(reply::bad(&format!("The project {what}. {way}")))
    };
    match context.vault.delete_project(&permit, None) {
        Err(VaultError::ProjectNotEmpty) => refused("still has secrets"),
        Err(VaultError::ProjectHasDeletedSecrets) => refused("still keeps deleted secrets"),
        Err(VaultError::ProjectHasBindings) => refused("still has secrets of others bound to it"),
        done => Ok(done?),
    }
}

fn remove_with_all(context: &Context<'_>, path: &ProjectPath) -> Result<(), Trouble> {
    let administer = permit::<Administer>(context, path)?;
    let delete = permit::<Delete>(context, path)?;
    Ok(context.vault.delete_project_with_all(&administer, &delete)?)
}

/// Whether all goes with it. A query that is not understood must not pass for a yes or a no.
fn cascade(request: &Request) -> Result<bool, Trouble> {
    check_query(request)?;
    let mut all = request.parameters("cascade");
    let wrong = || domain::Invalid::new("cascade", "must be true or false, once");
    let text = match (all.next(), all.next()) {
        (None, _) => return Ok(false),
        (Some(text), None) => text,
        _ => return Err(wrong().into()),
    };
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(wrong().into()),
    }
}
