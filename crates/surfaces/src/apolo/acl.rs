//! Who may what: permissions given, listed and taken back.

use std::collections::BTreeMap;

use authz::{Administer, Scope, WholeStore, decide};
use domain::{Invalid, PrincipalName};
use http::StatusCode;
use serde_json::{Value, json};
use vault::{GrantPermit, GrantView, NewGrant, PrincipalKind, VaultError};

use super::fields::{Faults, body, query};
use super::home::{missing, own_name, refused};
use super::level::{Level, held};
use super::{say, uri};
use crate::{Answer, Context, Outcome, Request, Touched, Trouble};

/// Gives a permission, and answers with the one that is in force: one that is higher stays.
pub(super) fn share(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    query(request, &[], &mut Faults::default())?;
    let (scope, level) = permission(context, request)?;
    let permit = permit(context, request, &scope)?;
    let name = user(request)?;
    let before = theirs(context, &permit, &scope, &name);
    let explicit = before.iter().filter_map(|grant| Level::of_role(grant.role)).max();
    let in_force = held_by(context, &scope, &name)?;
    if explicit.min(in_force) < Some(level) {
        let to = (PrincipalKind::User, name.clone());
        let new = NewGrant { to, role: level.role(&scope) };
        let given = context.vault.grant(&permit, &scope, &new);
        given.map_err(|error| not_given(context, request, &scope, error))?;
    }
    let level = in_force.max(Some(level)).unwrap_or(level);
    let uri = uri::shown(context.vault, request, &context.vault.uri_of(&scope));
    let answer = json!([{ "uri": uri, "action": level.as_str() }]);
    let detail = format!("{} to user:{name}", level.as_str());
    Ok(about(Answer::json(StatusCode::CREATED, &answer), &scope).detail(detail))
}

/// Takes back what was given at a place itself.
pub(super) fn revoke(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let mut faults = Faults::default();
    query(request, &["uri"], &mut faults)?;
    let Some(text) = request.parameter("uri") else {
        faults.add("uri", "is required");
        faults.check()?;
        return Err(say::wrong("uri is required").into());
    };
    faults.check()?;
    let scope = scope(context, text)?;
    let permit = permit(context, request, &scope)?;
    let name = user(request)?;
    let whose = (PrincipalKind::User, &name);
    let taken =
        context.vault.revoke_at(&permit, &scope, whose, &|role| Level::of_role(role).is_some());
    let taken = taken.map_err(|error| not_given(context, request, &scope, error))?;
    if taken == 0 {
        held_by(context, &scope, &name)?;
        return Err(say::wrong("Operation has no effect").into());
    }
    let answer = about(Answer::empty(StatusCode::NO_CONTENT), &scope);
    Ok(answer.detail(format!("from user:{name}")))
}

/// What a user holds.
pub(super) fn list(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let wanted = wanted(context, request)?;
    let whose = whose(context, request)?;
    let grants = match &whose {
        Whose::Own(_) => context.vault.grants_of(context.actor()?),
        Whose::Other(name, permit) => {
            let kind = PrincipalKind::User;
            context
                .vault
                .grants_held_by(permit, kind, name)
                .map_err(|error| unknown(name, error))?
        }
    };
    let mut rows = BTreeMap::new();
    for grant in &grants {
        add(&mut rows, grant.uri.clone(), Level::of_role(grant.role));
    }
    rows.retain(|uri, _| wanted.covers(context, uri));
    if let Wanted::At(scope) = &wanted {
        let of = match &whose {
            Whose::Own(_) => None,
            Whose::Other(name, _) => Some(name),
        };
        add(&mut rows, context.vault.uri_of(scope), held(context, scope, of)?);
    }
    if wanted.covers_user(whose.name()) {
        rows.insert(format!("user://{}", whose.name()), Level::Read);
    }
    let row = |(uri, level): (&String, &Level)| json!({ "uri": uri::shown(context.vault, request, uri), "action": level.as_str() });
    Ok(Answer::json(StatusCode::OK, &rows.iter().map(row).collect::<Vec<_>>()))
}

/// What others hold where a user may give it.
pub(super) fn shared(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let wanted = wanted(context, request)?;
    let given = match whose(context, request)? {
        Whose::Own(_) => context.vault.grants_given(context.actor()?)?,
        Whose::Other(name, permit) => {
            let given = context.vault.grants_given_by(&permit, PrincipalKind::User, &name);
            given.map_err(|error| unknown(&name, error))?
        }
    };
    let mut rows = BTreeMap::new();
    for grant in &given {
        let Some(user) = grant.subject.strip_prefix("user:") else { continue };
        add(&mut rows, (grant.uri.clone(), user.to_owned()), Level::of_role(grant.role));
    }
    rows.retain(|(uri, _), _| wanted.covers(context, uri));
    let row = |((uri, user), level): (&(String, String), &Level)| {
        let uri = uri::shown(context.vault, request, uri);
        json!({ "user": user, "uri": uri, "action": level.as_str() })
    };
    Ok(Answer::json(StatusCode::OK, &rows.iter().map(row).collect::<Vec<_>>()))
}

/// There are no roles, so nobody has one.
pub(super) fn roles(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    whose(context, request)?;
    Ok(Answer::json(StatusCode::OK, &json!({ "subroles": [] })))
}

/// A role is not made into a group: its name holds its maker's, and its maker alone changes it, while
/// only administrators change groups.
pub(super) fn no_roles(_: &Context<'_>, _: &Request) -> Result<Answer, Trouble> {
    let text = "Roles are not supported; an administrator makes a group with POST /tresor/v1/groups, and gives it rights with POST /tresor/v1/grants";
    Err(say::wrong(text).into())
}

/// Whose permissions are asked for.
enum Whose {
    Own(String),
    Other(PrincipalName, authz::Permit<Administer, WholeStore>),
}

impl Whose {
    fn name(&self) -> &str {
        match self {
            Self::Own(name) => name,
            Self::Other(name, _) => name.as_str(),
        }
    }
}

/// One's own; those of others are for administrators, and nobody else is told who there is.
fn whose(context: &Context<'_>, request: &Request) -> Result<Whose, Trouble> {
    let name = decoded(request);
    if own_name(context).as_deref() == Some(&name) {
        return Ok(Whose::Own(name));
    }
    let permit = decide::<Administer, _>(context.actor()?, WholeStore, context.now());
    let permit =
        permit.map_err(|denied| refused(context, request, (&nobody(&name), "read"), denied))?;
    Ok(Whose::Other(user(request)?, permit))
}

/// The URI of a user who may not be there. What is no name is not repeated.
fn nobody(name: &str) -> String {
    match PrincipalName::parse(name) {
        Ok(name) => format!("user://{name}"),
        Err(_) => "user://".to_owned(),
    }
}

/// The user in the path, where a slash in a name stands as a colon.
fn decoded(request: &Request) -> String {
    request.name("user").replace(':', "/")
}

fn user(request: &Request) -> Result<PrincipalName, Trouble> {
    let name = decoded(request);
    PrincipalName::parse(&name).map_err(|_| {
        // No user can have such a name, and what it holds may be anything.
        let shown = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '/') && name.len() < 64;
        say::no_user(if shown { &name } else { "" }).into()
    })
}

fn unknown(name: &PrincipalName, error: VaultError) -> Trouble {
    match error {
        VaultError::NotFound => say::no_user(name.as_str()).into(),
        other => other.into(),
    }
}

/// The permission that a body wants given: one, since several could not be given at once or not at
/// all.
fn permission(context: &Context<'_>, request: &Request) -> Result<(Scope, Level), Trouble> {
    let sent = body(request)?;
    let Some([Value::Object(one)]) = sent.as_array().map(Vec::as_slice) else {
        return Err(say::wrong("value is not a list of one permission").into());
    };
    let mut faults = Faults::default();
    let (uri, action) = (faults.required(one, "uri"), faults.required(one, "action"));
    let level = action.and_then(Level::parse);
    if action.is_some() && level.is_none() {
        faults.add("action", "must be read, write or manage");
    }
    for field in one.keys().filter(|field| !["uri", "action"].contains(&field.as_str())) {
        faults.unknown(field);
    }
    faults.check()?;
    let (Some(uri), Some(level)) = (uri, level) else {
        return Err(say::wrong("uri and action are required").into());
    };
    Ok((scope(context, uri)?, level))
}

fn scope(context: &Context<'_>, uri: &str) -> Result<Scope, Trouble> {
    let scope = context.vault.scope_of(uri)?;
    match &scope {
        Scope::Below(path) => context.is_about(path),
        Scope::Project(path) => context.is_about_project(path),
        Scope::Org(_) | Scope::Secret(..) | Scope::WholeStore => {}
    }
    Ok(scope)
}

/// The right to give and take there, or the level that it wants.
fn permit(context: &Context<'_>, request: &Request, scope: &Scope) -> Result<GrantPermit, Trouble> {
    let permit = context.vault.permit_granting(context.actor()?, scope);
    permit.map_err(|error| not_given(context, request, scope, error))
}

/// Who may not give, and who may not give that much, lack the same level.
fn not_given(
    context: &Context<'_>,
    request: &Request,
    scope: &Scope,
    error: VaultError,
) -> Trouble {
    let uri = context.vault.uri_of(scope);
    match error {
        VaultError::NotPermitted(denied) => refused(context, request, (&uri, "manage"), denied),
        VaultError::Invalid(Invalid { field, .. }) if field == "role" => {
            missing(context, request, &uri, "manage").into()
        }
        other => other.into(),
    }
}

/// What a user was given at the place itself.
fn theirs(
    context: &Context<'_>,
    permit: &GrantPermit,
    scope: &Scope,
    name: &PrincipalName,
) -> Vec<GrantView> {
    let subject = format!("user:{name}");
    let mut grants = context.vault.grants_at(permit, scope, false);
    grants.retain(|grant| grant.subject == subject);
    grants
}

/// The level that a user has, for one who may give it.
fn held_by(
    context: &Context<'_>,
    scope: &Scope,
    name: &PrincipalName,
) -> Result<Option<Level>, Trouble> {
    held(context, scope, Some(name)).map_err(|trouble| match trouble {
        Trouble::Invalid(Invalid { field, .. }) if field == "subject" => {
            say::no_user(name.as_str()).into()
        }
        other => other,
    })
}

fn about(answer: Answer, scope: &Scope) -> Answer {
    match scope {
        Scope::Below(path) => answer.about(Touched::in_vain(path.clone(), Outcome::Done)),
        _ => answer,
    }
}

/// The higher level of two at the same place.
fn add<K: Ord>(rows: &mut BTreeMap<K, Level>, key: K, level: Option<Level>) {
    if let Some(level) = level {
        let known = rows.entry(key).or_insert(level);
        *known = level.max(*known);
    }
}

/// Which rows are asked for.
enum Wanted {
    All,
    At(Scope),
    Scheme(String),
    User(String),
}

fn wanted(context: &Context<'_>, request: &Request) -> Result<Wanted, Trouble> {
    let mut faults = Faults::default();
    query(request, &["uri"], &mut faults)?;
    faults.check()?;
    let Some(text) = request.parameter("uri") else { return Ok(Wanted::All) };
    let scheme_only = text.strip_suffix("://").or_else(|| text.strip_suffix(':'));
    if let Some(scheme) = scheme_only {
        return Ok(Wanted::Scheme(scheme.to_ascii_lowercase()));
    }
    match text.split_once(':') {
        Some(("secret", _)) => Ok(Wanted::At(scope(context, text)?)),
        Some(("user", rest)) => Ok(Wanted::User(rest.trim_start_matches('/').to_owned())),
        Some((scheme, _)) => Ok(Wanted::Scheme(scheme.to_ascii_lowercase())),
        None => Err(say::wrong("uri: must be a URI, such as secret://CLUSTER/ORG/PROJECT").into()),
    }
}

impl Wanted {
    /// Whether a secret's URI, or one above it, is among what is asked for.
    fn covers(&self, context: &Context<'_>, uri: &str) -> bool {
        match self {
            Self::All => true,
            Self::At(scope) => {
                let theirs = context.vault.scope_of(uri);
                theirs.is_ok_and(|theirs| scope.reaches(&theirs.place()))
            }
            Self::Scheme(scheme) => scheme == "secret",
            Self::User(_) => false,
        }
    }

    fn covers_user(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::At(_) => false,
            Self::Scheme(scheme) => scheme == "user",
            Self::User(wanted) => wanted == name,
        }
    }
}
