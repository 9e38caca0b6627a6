//! `/api/v1/-/{project}/secrets/data`: values, by name.

use std::collections::{BTreeMap, BTreeSet};

use authz::{Denied, Permit, Read, Update};
use domain::{Invalid, Payload, ProjectPath, SecretPath, SecretType};
use http::StatusCode;
use vault::{MAX_TOGETHER, Revealed, VaultError};

use super::page::check_query;
use super::{entity, inside, names, reply, values};
use crate::{Answer, Context, Request, Touched, Trouble};

/// The most names of one question: each is a record of its own in the audit log.
const MAX_ASKED: usize = 256;
/// The most bytes of values in one answer: all of it is in memory at once.
const MAX_ANSWERED: usize = 8 << 20;

/// What became of one name that was asked for.
enum Found {
    /// There is none, or it may not be seen.
    Nothing,
    /// It has a value.
    Value(Box<Revealed>),
    /// It was never written.
    Without,
}

/// The values of the names that are asked for, of those that there are.
pub(super) fn read(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let project = reply::project_of(request.name("project"))?;
    // Whose a secret is may have no other right in the project: each is decided on by itself.
    let seen = inside(context, &project).map(|_| ());
    let (mut found, mut unwritten, mut size) = (Vec::new(), None, 0);
    let keys = match (keys(request), &seen) {
        (Err(_), Err(_)) => BTreeSet::new(),
        (keys, _) => keys?,
    };
    for name in keys {
        let Ok(path) = names::secret(&project, name) else { continue };
        context.is_about(&path);
        match reveal(context, path)? {
            Found::Nothing => {}
            Found::Value(revealed) => {
                size = grown(size, &revealed.payload)?;
                found.push(revealed);
            }
            Found::Without => unwritten = unwritten.or(Some(name)),
        }
    }
    match unwritten {
        None if found.is_empty() => {
            seen?;
            answer(&[])
        }
        Some(name) if found.is_empty() => {
            let message = format!("No value yet: the secret {name} was never written.");
            Err(reply::said(StatusCode::NOT_FOUND, &message).into())
        }
        _ => answer(&found),
    }
}

/// How large an answer is with one more value.
fn grown(size: usize, payload: &Payload) -> Result<usize, Invalid> {
    let Payload::Variable(value) = payload else { return Ok(size) };
    let size = size.saturating_add(value.len());
    if size > MAX_ANSWERED {
        let fix = "must be fewer names: the values are more than 8 MiB in all";
        return Err(Invalid::new("keys", fix));
    }
    Ok(size)
}

/// The names of a question, each once.
fn keys(request: &Request) -> Result<BTreeSet<&str>, Trouble> {
    check_query(request)?;
    let mut given = request.parameters("keys").peekable();
    if given.peek().is_none() {
        let fix = "must be given: the names to read, with commas between them";
        return Err(Invalid::new("keys", fix).into());
    }
    let all = given.flat_map(|keys| keys.split(','));
    let keys: BTreeSet<&str> = all.filter(|name| !name.is_empty()).collect();
    if keys.len() > MAX_ASKED {
        return Err(Invalid::new("keys", format!("must be at most {MAX_ASKED} names")).into());
    }
    Ok(keys)
}

fn reveal(context: &Context<'_>, path: SecretPath) -> Result<Found, Trouble> {
    let revealed = context
        .vault
        .permit::<Read>(context.actor()?, path)
        .and_then(|permit| context.vault.reveal(&permit, None));
    match revealed {
        Ok(revealed) if entity::is_entity(&revealed.secret) => Ok(Found::Value(Box::new(revealed))),
        Ok(_) | Err(VaultError::NotFound | VaultError::NotPermitted(Denied::NotVisible)) => {
            Ok(Found::Nothing)
        }
        Err(VaultError::VersionNotFound) => Ok(Found::Without),
        Err(error) => Err(error.into()),
    }
}

fn answer(found: &[Box<Revealed>]) -> Result<Answer, Trouble> {
    let mut texts = BTreeMap::new();
    for revealed in found {
        let name = revealed.secret.head.path.name.as_str();
        let Payload::Variable(value) = &revealed.payload else { continue };
        // EXPOSE: the values are what was asked for; they go into the answer and nowhere else.
        let text = std::str::from_utf8(value.expose()).map_err(|_| {
            let fix = "holds bytes that are no text; read it over Tresor's own interface";
            Invalid::new(name, fix)
        })?;
        texts.insert(name, text);
    }
    let answer = Answer::json(StatusCode::OK, &texts);
    Ok(found.iter().fold(answer, |answer, revealed| {
        let mut touched = Touched::done(&revealed.secret);
        touched.version = Some(revealed.version);
        answer.about(touched)
    }))
}

/// Gives all secrets that are named a new value, or none of them.
pub(super) fn write(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let project = reply::project_of(request.name("project"))?;
    let seen = inside(context, &project).map(|_| ());
    let values = match (wanted(request), seen.is_err()) {
        (Err(_), true) => values::Values::new(),
        (wanted, _) => wanted?,
    };
    let (mut changes, mut missing) = (Vec::new(), Vec::new());
    for (name, value) in values {
        match permit(context, &project, &name)? {
            Some(permit) => {
                let payload = Payload::variable(value).map_err(|wrong| wrong.within(&name))?;
                changes.push((permit, payload));
            }
            None => missing.push(name),
        }
    }
    if changes.is_empty() || !missing.is_empty() {
        seen?;
    }
    if !missing.is_empty() {
        return Err(missing_secrets(&missing));
    }
    let written = match context.vault.update_secrets(&changes) {
        // One of them went while the others were looked at.
        Err(VaultError::NotFound) => {
            let names: Vec<_> = changes.iter().map(|(permit, _)| name_of(permit)).collect();
            return Err(missing_secrets(&names));
        }
        done => done?,
    };
    let touched = written.iter().map(Touched::done);
    Ok(touched.fold(reply::done(), Answer::about))
}

/// The values of a body, as many as are written together.
fn wanted(request: &Request) -> Result<values::Values, Trouble> {
    entity::check_media_type(request)?;
    let values = values::read(request)?;
    if values.len() > MAX_TOGETHER {
        let fix = format!("must be at most {MAX_TOGETHER} values at once");
        return Err(Invalid::new("body", fix).into());
    }
    Ok(values)
}

/// The right to write an entity; nothing where there is none that may be seen.
fn permit(
    context: &Context<'_>,
    project: &ProjectPath,
    name: &str,
) -> Result<Option<Permit<Update, SecretPath>>, Trouble> {
    let path = names::secret(project, name)?;
    context.is_about(&path);
    let permit = match context.vault.permit::<Update>(context.actor()?, path) {
        Ok(permit) => permit,
        Err(VaultError::NotPermitted(Denied::NotVisible)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match context.vault.secret_type(&permit) {
        Ok(SecretType::Variable) => Ok(Some(permit)),
        Ok(_) | Err(VaultError::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn name_of(permit: &Permit<Update, SecretPath>) -> String {
    permit.resource().name.to_string()
}

/// In the platform's words. What is repeated are names in the platform's alphabet.
fn missing_secrets(names: &[String]) -> Trouble {
    reply::bad(&format!("missing secrets for {}", names.join(",")))
}

#[cfg(test)]
mod tests {
    use domain::Plaintext;

    use super::*;

    #[test]
    fn the_values_of_an_answer_are_at_most_8_mib_in_all() {
        let value = |bytes| Payload::variable(Plaintext::new(vec![b'v'; bytes])).unwrap();
        let half = 512 << 10;
        let grow = |count: usize| (0..count).try_fold(0, |size, _| grown(size, &value(half)));
        assert_eq!(grow(16).unwrap(), 8 << 20);
        let refused = grow(17).unwrap_err();
        assert_eq!(refused.field, "keys");
        assert!(refused.fix.contains("fewer names"), "{refused}");
        assert!(grown(8 << 20, &value(1)).is_err());
    }
}
