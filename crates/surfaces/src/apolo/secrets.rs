//! Secrets: added, listed, read, removed.

use authz::{Delete, List, Read, Update, decide};
use domain::{Invalid, Payload, Plaintext, ProjectPath, SecretName, SecretPath, SecretType};
use http::StatusCode;
use serde::Serialize;
use vault::{First, ListQuery, NewSecret, PayloadChange, SecretChange, SecretView, VaultError};

use super::base64_text::{self, Wrong};
use super::fields::{Faults, object};
use super::home::{check_delete, check_write, home, of_query, refused};
use super::{key, say};
use crate::{Answer, Context, Outcome, Request, Touched, Trouble};

/// How often an act is tried while others make and remove the same secret.
const ATTEMPTS: usize = 8;

/// A secret as it is listed, and with its value where that was asked for.
#[derive(Serialize)]
struct Item<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    owner: &'a str,
    org_name: &'a str,
    project_name: &'a str,
}

impl<'a> Item<'a> {
    fn new(path: &'a SecretPath, value: Option<&'a str>) -> Self {
        let project_name = path.project.project.as_str();
        let org_name = path.project.org.as_str();
        Self { key: path.name.as_str(), value, owner: project_name, org_name, project_name }
    }
}

/// Makes a secret, or gives it a new value; the answer does not tell which.
pub(super) fn add(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let (path, value) = wanted(context, request)?;
    context.is_about(&path);
    check_write(context, request, &path.project)?;
    let view = store(context, &path, &value)?;
    let answer = Answer::json(StatusCode::CREATED, &Item::new(&path, None));
    Ok(answer.about(Touched::done(&view)))
}

/// The keys of a project that the actor may read; nothing where there is nothing to see.
pub(super) fn list(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let project = of_query(context, request)?;
    context.is_about_project(&project);
    let views = match readable(context, &project) {
        Ok(views) => views,
        Err(trouble) if trouble.is_absent() => Vec::new(),
        Err(trouble) => return Err(trouble),
    };
    let items: Vec<_> = views.iter().map(|view| Item::new(&view.head.path, None)).collect();
    Ok(Answer::json(StatusCode::OK, &items))
}

/// A value.
pub(super) fn get(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let project = of_query(context, request)?;
    let path = SecretPath { project, name: name_in_path(request)? };
    context.is_about(&path);
    let uri = context.vault.secret_uri(&path);
    let permit = match context.vault.permit::<Read>(context.actor()?, path.clone()) {
        Ok(permit) => permit,
        Err(VaultError::NotPermitted(denied)) => {
            return Err(refused(context, request, (&uri, "read"), denied));
        }
        Err(error) => return Err(error.into()),
    };
    let revealed = match context.vault.reveal(&permit, None) {
        Ok(revealed) => revealed,
        Err(VaultError::NotFound | VaultError::VersionNotFound) => return Err(absent(&path)),
        Err(error) => return Err(error.into()),
    };
    let Payload::Variable(value) = &revealed.payload else { return Err(absent(&path)) };
    let text = base64_text::write(value);
    let answer = Answer::json(StatusCode::OK, &Item::new(&path, Some(&text)));
    Ok(answer.about(Touched::done(&revealed.secret)))
}

/// Removes a secret. What else has the name, and is none that this interface shows, stays.
pub(super) fn remove(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let project = of_query(context, request)?;
    context.is_about_project(&project);
    check_delete(context, request, &project)?;
    let path = SecretPath { project, name: name_in_path(request)? };
    context.is_about(&path);
    for _ in 0..ATTEMPTS {
        let seen = find(context, &path)?.ok_or_else(|| absent(&path))?;
        let permit = context.vault.permit::<Delete>(context.actor()?, path.clone())?;
        match context.vault.delete_secret(&permit, Some(seen.resource_version)) {
            // It is another one by now, or gone.
            Err(VaultError::Stale { .. } | VaultError::NotFound) => {}
            removed => {
                let answer = Answer::empty(StatusCode::NO_CONTENT);
                return Ok(answer.about(Touched::done(&removed?)));
            }
        }
    }
    Err(Trouble::Vault(VaultError::Busy))
}

/// What a body wants stored where.
fn wanted(context: &Context<'_>, request: &Request) -> Result<(SecretPath, Plaintext), Trouble> {
    let body = object(request)?;
    let mut faults = Faults::default();
    let (key, value) = (faults.required(&body, "key"), faults.required(&body, "value"));
    if let Some(Err(text)) = key.map(key::check) {
        faults.add("key", text);
    }
    let value = value.map(base64_text::read);
    if let Some(Err(Wrong::Length(text))) = &value {
        faults.add("value", text);
    }
    let org = faults.text_of("org_name", body.get("org_name"));
    let project = faults.text_of("project_name", body.get("project_name"));
    for field in body.keys() {
        if !["key", "value", "org_name", "project_name"].contains(&field.as_str()) {
            faults.unknown(field);
        }
    }
    faults.check()?;
    let project = home(context, (org, project), &mut faults);
    let name = key.and_then(|key| faults.take("key", SecretName::parse(key)));
    faults.check()?;
    let (Some(project), Some(name), Some(value)) = (project, name, value) else {
        return Err(say::wrong("key and value are required").into());
    };
    let value =
        value.map_err(|_| say::wrong(&format!("Secret key '{name}' or its value not valid")))?;
    Ok((SecretPath { project, name }, value))
}

fn store(
    context: &Context<'_>,
    path: &SecretPath,
    value: &Plaintext,
) -> Result<SecretView, Trouble> {
    for _ in 0..ATTEMPTS {
        match update(context, path, value) {
            Err(Trouble::Vault(VaultError::NotFound)) => {}
            done => return done,
        }
        match create(context, path, value) {
            // Someone else was faster: then there is something to update.
            Err(Trouble::Vault(VaultError::AlreadyExists)) => {}
            Err(Trouble::Vault(VaultError::NotFound)) => {
                let text = format!("Project '{}' not found", path.project.project);
                return Err(say::error(StatusCode::NOT_FOUND, &text).into());
            }
            done => return done,
        }
    }
    Err(Trouble::Vault(VaultError::Busy))
}

fn create(
    context: &Context<'_>,
    path: &SecretPath,
    value: &Plaintext,
) -> Result<SecretView, Trouble> {
    let permit = decide(context.actor()?, path.clone(), context.now())?;
    let new = NewSecret::of(First::Version(Payload::variable(value.duplicate())?));
    Ok(context.vault.create_secret(&permit, &new)?)
}

fn update(
    context: &Context<'_>,
    path: &SecretPath,
    value: &Plaintext,
) -> Result<SecretView, Trouble> {
    let permit = context.vault.permit::<Update>(context.actor()?, path.clone())?;
    let new = |kind| match kind {
        SecretType::Variable => Payload::variable(value.duplicate()),
        _ => Err(Invalid::new(TAKEN, "")),
    };
    let change = SecretChange::of(PayloadChange::New(&new));
    match context.vault.update_secret(&permit, &change) {
        Err(VaultError::Invalid(invalid)) if invalid.field == TAKEN => {
            let text = format!(
                "Secret key '{}' is the name of a secret of another type; choose another key, or change that secret with Tresor's own API",
                path.name
            );
            Err(say::wrong(&text).into())
        }
        updated => Ok(updated?),
    }
}

/// The name of a field that no request has: the key is another secret's.
const TAKEN: &str = "taken";

fn readable(context: &Context<'_>, project: &ProjectPath) -> Result<Vec<SecretView>, Trouble> {
    let query = ListQuery { kind: Some(SecretType::Variable), ..ListQuery::default() };
    let mut views = crate::listing::secrets(context, project, query)?;
    views.retain(is_shown);
    let actor = context.actor()?;
    if decide::<Read, _>(actor, project.clone(), context.now()).is_ok() {
        return Ok(views);
    }
    let mut readable = Vec::new();
    for view in views {
        match context.vault.permit::<Read>(actor, view.head.path.clone()) {
            Ok(_) => readable.push(view),
            Err(VaultError::NotPermitted(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(readable)
}

/// A secret that this interface shows.
fn find(context: &Context<'_>, path: &SecretPath) -> Result<Option<SecretView>, Trouble> {
    let permit = context.vault.permit::<List>(context.actor()?, path.clone())?;
    match context.vault.secret(&permit) {
        Ok(view) => Ok(Some(view).filter(is_shown)),
        Err(VaultError::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// One value under a key, and a value that is there.
fn is_shown(view: &SecretView) -> bool {
    let head = &view.head;
    head.kind == SecretType::Variable
        && head.current().is_some()
        && key::check(head.path.name.as_str()).is_ok()
}

fn name_in_path(request: &Request) -> Result<SecretName, Trouble> {
    let text = request.name("key");
    key::check(text).map_err(|text| say::wrong(&text))?;
    Ok(SecretName::parse(text)?)
}

fn absent(path: &SecretPath) -> Trouble {
    let answer = say::no_secret(path.name.as_str());
    answer.about(Touched::in_vain(path.clone(), Outcome::Refused)).into()
}
