//! `/api/v1/-/{project}/secrets`, and by identity: secrets without their values.

use authz::{Action, Create, Delete, Denied, List, Permit, Update, decide};
use domain::{Annotations, ProjectPath, SecretPath, SecretType};
use http::Method;
use vault::{First, ListQuery, NewSecret, PayloadChange, SecretChange, SecretView, VaultError};

use super::entity::{self, SecretBody};
use super::kept::OF_SECRET;
use super::page::{Paging, Row, check_query};
use super::{inside, names, reply, settle};
use crate::{Answer, Context, Request, Touched, Trouble, listing};

/// The entities of a project, all or the one of a name.
pub(super) fn list(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let project = reply::project_of(request.name("project"))?;
    inside(context, &project)?;
    let paging = Paging::read(request)?;
    let found = match request.parameter("name") {
        Some(name) => named(context, &project, name)?.into_iter().collect(),
        None => {
            let query = ListQuery { kind: Some(SecretType::Variable), ..ListQuery::default() };
            listing::secrets(context, &project, query)?
        }
    };
    let rows = found.into_iter().filter(entity::is_entity).map(row).collect();
    Ok(reply::ok(&paging.answer(rows, |view| entity::secret(context.vault, view))))
}

/// The entity of a name, if there is one to be seen.
fn named(
    context: &Context<'_>,
    project: &ProjectPath,
    name: &str,
) -> Result<Option<SecretView>, Trouble> {
    // What is no name is that of none.
    let Ok(path) = names::secret(project, name) else { return Ok(None) };
    match look(context, &path) {
        Ok(view) => Ok(Some(view)),
        Err(trouble) if trouble.is_absent() => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

fn row(view: SecretView) -> Row<SecretView> {
    let head = &view.head;
    let (name, created) = (head.path.name.to_string(), head.created_at.to_rfc3339());
    Row { name, created, updated: head.updated_at.to_rfc3339(), of: view }
}

/// Makes an entity, which has no value yet.
pub(super) fn create(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let project = reply::project_of(request.name("project"))?;
    inside(context, &project)?;
    let body = entity::object(request).and_then(|entity| {
        let read = SecretBody::read(&entity, &project);
        read.map_err(Trouble::from)
    });
    let (actor, now) = (context.actor()?, context.now());
    let body = match body {
        Ok(body) => body,
        // What is wrong with a body is told to those who may create.
        Err(trouble) => {
            decide::<Create, _>(actor, project, now).map_err(seen)?;
            return Err(trouble);
        }
    };
    context.is_about(&body.path);
    let permit = decide::<Create, _>(actor, body.path.clone(), now).map_err(seen)?;
    let new = NewSecret {
        annotations: Annotations::default().with(OF_SECRET, body.kept.write())?,
        alias: body.id.clone(),
        ..NewSecret::of(First::Nothing(SecretType::Variable))
    };
    match context.vault.create_secret(&permit, &new) {
        Ok(view) => Ok(answer(context, &view)),
        Err(VaultError::AlreadyExists) => Err(reply::duplicated("secret", body.path.name.as_str())),
        Err(VaultError::IdTaken) => {
            Err(reply::duplicated("secret", body.id.as_deref().unwrap_or_default()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Who sees something of a project is told that they may not create in it.
fn seen(denied: Denied) -> Denied {
    if denied == Denied::NotVisible { Denied::Forbidden } else { denied }
}

/// One entity.
pub(super) fn show(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let (_, view) = find::<List>(context, request)?;
    Ok(answer(context, &view))
}

/// Replaces what clients keep beside an entity. Name, identity and specification stay.
pub(super) fn update(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let view = settle(|| {
        let (permit, view) = find::<Update>(context, request)?;
        let entity = entity::object(request)?;
        let body = SecretBody::read(&entity, &view.head.path.project)?;
        let reannotate = |old: &Annotations| old.with(OF_SECRET, body.kept.write());
        let change = SecretChange {
            annotations: Some(&reannotate),
            expected: Some(view.resource_version),
            ..SecretChange::of(PayloadChange::Keep)
        };
        Ok(context.vault.update_secret(&permit, &change)?)
    })?;
    Ok(answer(context, &view))
}

/// Removes an entity and its value, by its identity.
pub(super) fn delete(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let view = settle(|| {
        let (permit, view) = find::<Delete>(context, request)?;
        Ok(context.vault.delete_secret(&permit, Some(view.resource_version))?)
    })?;
    Ok(reply::done().about(Touched::done(&view)))
}

/// Removes an entity and its value, by its name. Nothing is removed where none is said.
pub(super) fn delete_by_name(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let project = reply::project_of(request.name("project"))?;
    context.is_about_project(&project);
    let mut all = request.parameters("name").filter(|name| !name.is_empty());
    let (Some(name), None) = (all.next(), all.next()) else {
        inside(context, &project)?;
        check_query(request)?;
        return Err(reply::no_method(&Method::DELETE).allow("GET, POST").into());
    };
    let path = names::secret(&project, name).map_err(|_| reply::no_such_entity())?;
    context.is_about(&path);
    let view = settle(|| {
        let view = look(context, &path)?;
        let permit = context.vault.permit::<Delete>(context.actor()?, path.clone())?;
        Ok(context.vault.delete_secret(&permit, Some(view.resource_version))?)
    })?;
    Ok(reply::done().about(Touched::done(&view)))
}

/// The entity of the identity in the path, and the right to do something with it. Whose it is may
/// have no other right in the project.
fn find<A: Action>(
    context: &Context<'_>,
    request: &Request,
) -> Result<(Permit<A, SecretPath>, SecretView), Trouble> {
    let project = reply::project_of(request.name("project"))?;
    context.is_about_project(&project);
    let (actor, id) = (context.actor()?, request.name("id"));
    let seen = context.vault.permit_by_id::<List>(actor, id)?;
    let path = of_project(seen.resource(), &project)?;
    context.is_about(&path);
    let view = look(context, &path)?;
    // Another may have come by the name between the two.
    if entity::id(&view) != id && view.head.uid.to_string() != id {
        return Err(VaultError::NotFound.into());
    }
    Ok((context.vault.permit::<A>(actor, path)?, view))
}

/// One of another project is not there.
fn of_project(path: &SecretPath, project: &ProjectPath) -> Result<SecretPath, Trouble> {
    if path.project == *project { Ok(path.clone()) } else { Err(VaultError::NotFound.into()) }
}

/// The entity of a name.
fn look(context: &Context<'_>, path: &SecretPath) -> Result<SecretView, Trouble> {
    let permit = context.vault.permit::<List>(context.actor()?, path.clone())?;
    let view = context.vault.secret(&permit)?;
    if entity::is_entity(&view) { Ok(view) } else { Err(VaultError::NotFound.into()) }
}

fn answer(context: &Context<'_>, view: &SecretView) -> Answer {
    reply::ok(&entity::secret(context.vault, view)).about(Touched::done(view))
}
