//! `POST /secrets/`: operations on secrets, each for itself and in order.

use authz::{Administer, Create, Delete, Denied, Update, WholeStore, decide};
use domain::{Invalid, SecretName, SecretPath};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use vault::{First, NewProject, NewSecret, PayloadChange, SecretChange, SecretView, VaultError};

use super::item::{Action, Malformed, Operation, read};
use super::{detail, home_rule, invalid, only_parameters};
use crate::{Answer, Context, Outcome, Request, Touched, Trouble};

/// How many operations are taken at once: each is a commit, and a record of the audit log.
const MAX_OPERATIONS: usize = 100;

/// Does what each item says. One that fails stops no other, and nothing that was done is undone.
pub(super) fn change(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    context.is_about_project(&context.settings.blueprints_project);
    only_parameters(request, &[])?;
    if request.media_type.as_deref() != Some("application/json") {
        let text = "Unsupported media type in request. Send application/json.";
        return Err(detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into());
    }
    let items = items(request)?;
    let mut answer = Answer::empty(StatusCode::OK);
    let mut results = Vec::new();
    for item in items {
        results.push(one(context, item, &mut answer));
    }
    let failed = results.iter().any(|result| result.status != "success");
    let status = if failed { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let body = Batch { operations_processed: results.len(), results };
    let touched = std::mem::take(&mut answer.touched);
    Ok(Answer { touched, ..Answer::json(status, &body) })
}

pub(super) fn items(request: &Request) -> Result<Vec<Value>, Trouble> {
    let body = request.json().map_err(|trouble| match trouble {
        Trouble::NotJson { line, column } => {
            let text = format!("JSON parse error - at line {line} column {column}");
            detail(StatusCode::BAD_REQUEST, &text).into()
        }
        other => other,
    })?;
    let wanted = "must be an object with the member secrets_payload, a list of operations";
    let Value::Object(mut members) = body else {
        return Err(invalid(&Invalid::new("body", wanted)));
    };
    let items = members.remove("secrets_payload");
    if !members.is_empty() {
        return Err(invalid(&Invalid::new("body", wanted)));
    }
    match items {
        Some(Value::Array(items)) if items.len() > MAX_OPERATIONS => {
            let fix = format!("must hold at most {MAX_OPERATIONS} operations; send the rest after");
            Err(invalid(&Invalid::new("secrets_payload", fix)))
        }
        Some(Value::Array(items)) if !items.is_empty() => Ok(items),
        Some(Value::Array(_)) => {
            Err(invalid(&Invalid::new("secrets_payload", "must hold at least one operation")))
        }
        Some(_) => Err(invalid(&Invalid::new("secrets_payload", "must be a list of operations"))),
        None => Err(invalid(&Invalid::new("body", wanted))),
    }
}

/// What came of a batch.
#[derive(Serialize)]
struct Batch {
    operations_processed: usize,
    results: Vec<Processed>,
}

/// What came of an operation, in the platform's order of members.
#[derive(Serialize)]
struct Processed {
    action: Option<&'static str>,
    name: Option<String>,
    namespace: String,
    status: &'static str,
    message: String,
}

/// Does one operation, and says what came of it.
fn one(context: &Context<'_>, item: Value, answer: &mut Answer) -> Processed {
    let namespace = &context.settings.blueprints_namespace;
    let result =
        |action: Option<Action>, name: Option<&str>, status: &'static str, message: &str| {
            Processed {
                action: action.map(Action::as_str),
                name: name.map(str::to_owned),
                namespace: namespace.to_string(),
                status,
                message: message.to_owned(),
            }
        };
    let operation = match read(item) {
        Ok(operation) => operation,
        Err(Malformed { action, name, wrong }) => {
            let name = name.as_ref().map(SecretName::as_str);
            return result(action, name, "error", &wrong.to_string());
        }
    };
    let (action, name) = (operation.action, operation.name.clone());
    let path =
        SecretPath { project: context.settings.blueprints_project.clone(), name: name.clone() };
    match perform(context, &path, operation) {
        Ok(view) => {
            answer.touched.push(Touched::done(&view).detail(action.as_str()));
            let message = format!("Secret '{name}' {} successfully", action.done());
            result(Some(action), Some(name.as_str()), "success", &message)
        }
        Err(trouble) => {
            let outcome = if trouble.is_denied() { Outcome::Denied } else { Outcome::Refused };
            answer.touched.push(Touched::in_vain(path, outcome).detail(action.as_str()));
            let message = explain(&trouble, action, name.as_str());
            result(Some(action), Some(name.as_str()), "error", &message)
        }
    }
}

fn perform(
    context: &Context<'_>,
    path: &SecretPath,
    operation: Operation,
) -> Result<SecretView, Trouble> {
    let vault = context.vault;
    match (operation.action, operation.payload) {
        (Action::Create, Some(payload)) => create(context, path, First::Version(payload)),
        (Action::Update, Some(payload)) => {
            let permit = vault.permit::<Update>(context.actor()?, path.clone())?;
            let new = |_| Ok(payload.duplicate());
            let change = SecretChange::of(PayloadChange::New(&new));
            Ok(vault.update_secret(&permit, &change)?)
        }
        _ => {
            let permit = vault.permit::<Delete>(context.actor()?, path.clone())?;
            Ok(vault.delete_secret(&permit, None)?)
        }
    }
}

fn create(context: &Context<'_>, path: &SecretPath, first: First) -> Result<SecretView, Trouble> {
    let permit = decide::<Create, _>(context.actor()?, path.clone(), context.now())?;
    let new = NewSecret::of(first);
    match context.vault.create_secret(&permit, &new) {
        Err(VaultError::NotFound) if make_home(context)? => {
            Ok(context.vault.create_secret(&permit, &new)?)
        }
        made => Ok(made?),
    }
}

/// Makes the project of the platform's secrets, which an administrator's first secret calls for,
/// with the rule that puts them where the platform has them. Whether it is there now.
fn make_home(context: &Context<'_>) -> Result<bool, Trouble> {
    let (actor, now) = (context.actor()?, context.now());
    let path = &context.settings.blueprints_project;
    let Ok(all) = decide::<Administer, _>(actor, WholeStore, now) else { return Ok(false) };
    let permit = decide::<Administer, _>(actor, path.org.clone(), now)?;
    let new = NewProject { rules: vec![home_rule(context)], ..NewProject::default() };
    match context.vault.create_project(&permit, Some(&all), path, new) {
        Ok(_) | Err(VaultError::AlreadyExists) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Why an operation failed, and what to do.
fn explain(trouble: &Trouble, action: Action, name: &str) -> String {
    match trouble {
        Trouble::Invalid(wrong) if wrong.field == "spec.type" => format!(
            "Secret '{name}' is of another type, which never changes: delete it and create it anew"
        ),
        Trouble::Invalid(wrong) => wrong.to_string(),
        Trouble::Denied(Denied::Forbidden) => {
            format!("You may not {} secrets in this project", action.as_str())
        }
        Trouble::Vault(VaultError::AlreadyExists) => {
            format!("Secret '{name}' already exists: use the action update to replace its data")
        }
        trouble if trouble.is_absent() && action == Action::Create => {
            "The project of these secrets does not exist, or you may not see it: an administrator's first secret makes it".to_owned()
        }
        trouble if trouble.is_absent() => {
            format!("Secret '{name}' does not exist: use the action create to make it")
        }
        Trouble::Vault(VaultError::TooLarge) => {
            format!("Secret '{name}' is too large: a secret holds at most 1 MiB")
        }
        Trouble::Vault(VaultError::StorageFull) => {
            "The disk is full: nothing was stored; free space on it".to_owned()
        }
        _ => "The daemon cannot do this now: try again".to_owned(),
    }
}
