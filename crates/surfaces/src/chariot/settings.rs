//! Settings: listed, made, read, changed, removed.

use authz::{Action, Administer, Create, Delete, Denied, List, Permit, Read, Update, decide};
use domain::{ProjectPath, SecretPath};
use http::StatusCode;
use serde::Serialize;
use vault::{
    First, ListQuery, NewProject, NewSecret, PayloadChange, SecretChange, SecretView, VaultError,
};

use super::body::{self, New};
use super::item::{Item, Value};
use super::key::Key;
use super::owner::Owner;
use super::query::{self, Listing};
use super::say;
use crate::{Answer, Context, Outcome, Request, Touched, Trouble, listing};

/// How often an act begins anew because the secret changed under it.
const ATTEMPTS: usize = 16;

/// What is answered to who asks for all.
#[derive(Serialize)]
struct All<'a> {
    data: Vec<Item<'a>>,
}

/// The items of an owner that the actor may list, masked.
pub(super) fn list(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let owner = Owner::of_path(context, request)?;
    owner.check_seen(context)?;
    let wanted = Listing::read(request)?;
    let views = match listing::secrets(context, &owner.home, ListQuery::default()) {
        Ok(views) => views,
        Err(trouble) if trouble.is_absent() && owner.is_seen_org(context)? => Vec::new(),
        Err(trouble) => return Err(trouble),
    };
    let data = wanted.apply(views.iter().filter_map(Item::masked).collect());
    Ok(Answer::json(StatusCode::OK, &All { data }))
}

/// Makes an item.
pub(super) fn create(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let owner = Owner::of_path(context, request)?;
    owner.check_seen(context)?;
    let (actor, now) = (context.actor()?, context.now());
    let new = match query::none(request).and_then(|()| New::read(request)) {
        Ok(new) => new,
        // What is wrong with a request is told to those who may create.
        Err(trouble) => {
            decide::<Create, _>(actor, owner.home, now).map_err(seen)?;
            return Err(trouble);
        }
    };
    let path = SecretPath { project: owner.home.clone(), name: new.name };
    context.is_about(&path);
    let permit = decide::<Create, _>(actor, path, now).map_err(seen)?;
    let view = make(context, &owner, &permit, &NewSecret::of(First::Version(new.payload)))?;
    answer(StatusCode::CREATED, &view)
}

/// Who sees an owner is told that they may not create there.
fn seen(denied: Denied) -> Denied {
    if denied == Denied::NotVisible { Denied::Forbidden } else { denied }
}

fn make(
    context: &Context<'_>,
    owner: &Owner,
    permit: &Permit<Create, SecretPath>,
    new: &NewSecret<'_>,
) -> Result<SecretView, Trouble> {
    match context.vault.create_secret(permit, new) {
        Err(VaultError::AlreadyExists) => {
            let text = "name: must be another one: a secret of this project has it, be it of a type that is not shown here";
            Err(say::error(StatusCode::CONFLICT, text).into())
        }
        Err(VaultError::NotFound) if owner.is_org => {
            make_home(context, &owner.home)?;
            Ok(context.vault.create_secret(permit, new)?)
        }
        made => Ok(made?),
    }
}

/// Makes the project of an organization's own secrets, which its administrator's first one calls
/// for. Where they appear is for an administrator of the whole store to say.
fn make_home(context: &Context<'_>, home: &ProjectPath) -> Result<(), Trouble> {
    let Ok(permit) = decide::<Administer, _>(context.actor()?, home.org.clone(), context.now())
    else {
        let text = "the organization has no settings yet: its administrator's first one makes their project";
        return Err(say::forbidden(text).into());
    };
    match context.vault.create_project(&permit, None, home, NewProject::default()) {
        Ok(_) | Err(VaultError::AlreadyExists) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// One item: masked, or with its value for those who may read it.
pub(super) fn read(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let sought = Sought::of_path(context, request)?;
    let in_clear = query::decrypt(request);
    if let Ok(false) = in_clear {
        let (_, view) = sought.find::<List>(context)?;
        return answer(StatusCode::OK, &view);
    }
    // What is wrong with a request is told to those who see what it is about.
    if let Err(trouble) = in_clear {
        sought.find::<List>(context)?;
        return Err(trouble);
    }
    let revealed = context.vault.reveal(&sought.permit::<Read>(context)?, None);
    let revealed = match revealed {
        Err(VaultError::VersionNotFound) => return Err(say::absent().into()),
        revealed => revealed?,
    };
    let item = sought.item(&revealed.secret)?;
    let touched = Touched::done(&revealed.secret);
    match Value::clear(&revealed.payload) {
        Ok(value) => Ok(Answer::json(StatusCode::OK, &item.with(value)).about(touched)),
        Err(invalid) => {
            let refused = say::error(StatusCode::UNPROCESSABLE_ENTITY, &invalid.to_string());
            Err(refused.about(Touched { outcome: Outcome::Refused, ..touched }).into())
        }
    }
}

/// Gives an item another value, or leaves it as it is.
pub(super) fn update(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let sought = Sought::of_path(context, request)?;
    let view = settle(|| {
        let (permit, view) = sought.find::<Update>(context)?;
        query::none(request)?;
        let payload = body::read_change(request, &sought.item(&view)?, view.head.kind)?;
        let Some(payload) = payload else { return Ok(view) };
        let new = |_| Ok(payload.duplicate());
        let change = SecretChange {
            expected: Some(view.resource_version),
            ..SecretChange::of(PayloadChange::New(&new))
        };
        Ok(context.vault.update_secret(&permit, &change)?)
    })?;
    answer(StatusCode::OK, &view)
}

/// Removes an item.
pub(super) fn delete(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let sought = Sought::of_path(context, request)?;
    let view = settle(|| {
        let (permit, view) = sought.find::<Delete>(context)?;
        query::none(request)?;
        Ok(context.vault.delete_secret(&permit, Some(view.resource_version))?)
    })?;
    Ok(Answer::empty(StatusCode::NO_CONTENT).about(Touched::done(&view)))
}

/// The item that a path names, whether or not it is there.
struct Sought {
    home: ProjectPath,
    key: Key,
}

impl Sought {
    fn of_path(context: &Context<'_>, request: &Request) -> Result<Self, Trouble> {
        let owner = Owner::of_path(context, request)?;
        let key = Key::of_path(request).ok_or_else(|| Trouble::from(say::absent()))?;
        Ok(Self { home: owner.home, key })
    }

    /// The right to do something with it. Whose it is may have no other right in the project.
    fn permit<A: Action>(&self, context: &Context<'_>) -> Result<Permit<A, SecretPath>, Trouble> {
        let (actor, uid) = (context.actor()?, self.key.uid.to_string());
        let is_here = |path: &SecretPath| path.project == self.home;
        let seen = context.vault.permit_by_id::<List>(actor, &uid).ok();
        let seen = seen.filter(|permit| is_here(permit.resource()));
        // A refusal tells the audit log what was refused, as far as the actor sees it.
        if let Some(seen) = &seen {
            context.is_about(seen.resource());
        }
        match context.vault.permit_by_id::<A>(actor, &uid) {
            Ok(permit) if is_here(permit.resource()) => Ok(permit),
            // One of another owner is not there, whatever may be done with it.
            Ok(_) => Err(say::absent().into()),
            Err(VaultError::NotPermitted(Denied::Forbidden)) if seen.is_none() => {
                Err(say::absent().into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// It, and the right to do something with it.
    fn find<A: Action>(
        &self,
        context: &Context<'_>,
    ) -> Result<(Permit<A, SecretPath>, SecretView), Trouble> {
        let seen = self.permit::<List>(context)?;
        let view = context.vault.secret(&seen)?;
        self.item(&view)?;
        Ok((self.permit::<A>(context)?, view))
    }

    /// The secret as an item, if it is the one: the key says more than an identity.
    fn item<'a>(&self, view: &'a SecretView) -> Result<Item<'a>, Trouble> {
        let is_it = Key::of(view) == Some(self.key);
        Item::masked(view).filter(|_| is_it).ok_or_else(|| say::absent().into())
    }
}

fn answer(status: StatusCode, view: &SecretView) -> Result<Answer, Trouble> {
    let item = Item::masked(view).ok_or_else(|| Trouble::from(say::absent()))?;
    Ok(Answer::json(status, &item).about(Touched::done(view)))
}

/// Tries an act again that insists on what it has seen, while others change that.
fn settle<T>(mut attempt: impl FnMut() -> Result<T, Trouble>) -> Result<T, Trouble> {
    for _ in 0..ATTEMPTS {
        match attempt() {
            Err(Trouble::Vault(VaultError::Stale { .. })) => {}
            done => return done,
        }
    }
    Err(Trouble::Vault(VaultError::Busy))
}
