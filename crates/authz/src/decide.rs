//! The one decision.

use std::marker::PhantomData;

use domain::{BindingKind, OrgName, ProjectPath, SecretPath, Timestamp, Uid};

use crate::{
    Action, ActionKind, Actor, Basis, Create, Held, Place, Right, Role, Scope, Subject, Use,
};

/// Something that a permit can be about.
pub trait Resource {
    /// Where it lies.
    fn place(&self) -> Place<'_>;

    /// What opens it for [`List`](crate::List), where it is not a right that allows listing. For
    /// every other action it is always a right that allows the action.
    fn opening(&self) -> Opening {
        Opening::ByAction
    }
}

/// What opens a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A right that allows the action.
    ByAction,
    /// Any right in the project, at it or above it.
    ByAnyRightInside,
    /// Any right at the project or above it.
    ByMembership,
}

/// The store itself: making organizations, projects, people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholeStore;

/// A project as its members see it: its name and where its secrets appear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenProject(pub ProjectPath);

/// As much of a project's secrets as the actor may list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartOfProject(pub ProjectPath);

impl Resource for WholeStore {
    fn place(&self) -> Place<'_> {
        Place::WholeStore
    }
}

impl Resource for OrgName {
    fn place(&self) -> Place<'_> {
        Place::Organization(self)
    }
}

impl Resource for ProjectPath {
    fn place(&self) -> Place<'_> {
        Place::Project(self)
    }
}

impl Resource for SecretPath {
    fn place(&self) -> Place<'_> {
        Place::Secret(self, None)
    }
}

impl Resource for Scope {
    fn place(&self) -> Place<'_> {
        Self::place(self)
    }
}

impl Resource for SeenProject {
    fn place(&self) -> Place<'_> {
        Place::Project(&self.0)
    }

    fn opening(&self) -> Opening {
        Opening::ByMembership
    }
}

impl Resource for PartOfProject {
    fn place(&self) -> Place<'_> {
        Place::Project(&self.0)
    }

    fn opening(&self) -> Opening {
        Opening::ByAnyRightInside
    }
}

/// A secret that exists, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownSecret {
    /// Where it lives.
    pub path: SecretPath,
    /// Its identity.
    pub uid: Uid,
    /// Who owns it; nobody when its maker has no identity.
    pub owner: Option<Subject>,
}

impl KnownSecret {
    const fn place(&self) -> Place<'_> {
        Place::Secret(&self.path, Some(self.uid))
    }
}

/// Why an actor may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The actor's token has ended.
    #[error("the token has expired")]
    Expired,
    /// The actor may know that the resource exists, and may not do this to it.
    #[error("the role does not allow this")]
    Forbidden,
    /// The actor may not know whether the resource exists.
    #[error("the resource is not visible to this actor")]
    NotVisible,
}

/// Why an actor may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason<'a> {
    /// The secret is bound to the project for all its members, and this right makes the actor one
    /// who uses secrets there.
    MembersBinding(&'a Held),
    /// It is the operator, who holds the data directory and the root key.
    Operator,
    /// The secret is theirs.
    Owner,
    /// A right allows it.
    Right(&'a Held),
    /// It is the sync worker.
    SyncWorker,
}

/// Proof that an actor may perform action `A` on resource `R`, with the resource inside.
pub struct Permit<A, R> {
    actor: Actor,
    resource: R,
    only: Option<Uid>,
    action: PhantomData<A>,
}

impl<A: Action, R> Permit<A, R> {
    /// Who was permitted.
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// What the permit is about.
    pub const fn resource(&self) -> &R {
        &self.resource
    }

    /// What the decision rests on: a commit is refused when that has changed since.
    pub fn basis(&self) -> Basis {
        self.actor.basis()
    }

    /// Whether the permit holds for the secret of that identity. One that rests on ownership, or on
    /// what an owner gave, holds for that secret, and not for another that has come by its name
    /// since.
    pub fn covers(&self, uid: Uid) -> bool {
        self.only.is_none_or(|only| only == uid)
    }
}

/// Decides whether an actor may perform action `A` on a resource, by the rights that it holds.
///
/// # Errors
/// Says whether the actor may at least know that the resource exists.
pub fn decide<A: Action, R: Resource>(
    actor: &Actor,
    resource: R,
    now: Timestamp,
) -> Result<Permit<A, R>, Denied> {
    if actor.has_expired(now) {
        return Err(Denied::Expired);
    }
    let place = resource.place();
    let allowed = match (resource.opening(), place.project(), A::KIND) {
        (Opening::ByMembership, Some(project), ActionKind::List) => is_member(actor, project),
        (Opening::ByAnyRightInside, Some(project), ActionKind::List) => {
            has_any_right_inside(actor, project)
        }
        _ => allows(actor, &place, None, A::KIND),
    };
    if !allowed {
        return Err(denied(actor, &place, None));
    }
    let (actor, only) = (actor.clone(), only_secret(actor, &place, A::KIND));
    Ok(Permit { actor, resource, only, action: PhantomData })
}

/// Decides about a secret that exists: by the rights that the actor holds, or because it is theirs.
///
/// # Errors
/// As [`decide`].
pub fn decide_known<A: Action>(
    actor: &Actor,
    secret: KnownSecret,
    now: Timestamp,
) -> Result<Permit<A, SecretPath>, Denied> {
    if actor.has_expired(now) {
        return Err(Denied::Expired);
    }
    let place = secret.place();
    if !allows(actor, &place, secret.owner, A::KIND) {
        return Err(denied(actor, &place, secret.owner));
    }
    let (actor, only) = (actor.clone(), only_secret(actor, &place, A::KIND));
    Ok(Permit { actor, resource: secret.path, only, action: PhantomData })
}

/// Decides whether an actor may refer to a secret in a workload of a project that it is bound to.
///
/// A binding of the kind *owner* leaves that to the secret's owner, to whom has a grant on the
/// secret itself, and to administrators; one of the kind *members* also gives it to all members of
/// the project that use secrets there. Neither lets anyone read.
///
/// # Errors
/// As [`decide`].
pub fn decide_use(
    actor: &Actor,
    secret: KnownSecret,
    (project, kind): (&ProjectPath, BindingKind),
    now: Timestamp,
) -> Result<Permit<Use, SecretPath>, Denied> {
    if actor.has_expired(now) {
        return Err(Denied::Expired);
    }
    let is_left = actor.is_left(&Place::Project(project), ActionKind::Use);
    if is_left && reasons_to_use(actor, &secret, (project, kind)).next().is_some() {
        let (actor, action) = (actor.clone(), PhantomData);
        let KnownSecret { path, uid, .. } = secret;
        return Ok(Permit { actor, resource: path, only: Some(uid), action });
    }
    Err(denied(actor, &secret.place(), secret.owner))
}

/// Decides whether an actor may make a secret in a common home, where secrets are made on account of
/// the projects that they are bound to: who may make secrets in each of those may. One that is bound
/// to none is for who may make secrets in the home itself, or for everyone where the home is `open`.
///
/// Which projects are such homes is not decided here.
///
/// # Errors
/// As [`decide`].
pub fn decide_create_for(
    actor: &Actor,
    (home, open): (SecretPath, bool),
    projects: &[ProjectPath],
    now: Timestamp,
) -> Result<Permit<Create, SecretPath>, Denied> {
    if actor.has_expired(now) {
        return Err(Denied::Expired);
    }
    let may = |project| allows(actor, &Place::Project(project), None, ActionKind::Create);
    let is_left = actor.is_left(&home.place(), ActionKind::Create);
    let on_their_account = if projects.is_empty() { open } else { projects.iter().all(may) };
    if is_left && on_their_account {
        return Ok(Permit {
            actor: actor.clone(),
            resource: home,
            only: None,
            action: PhantomData,
        });
    }
    decide(actor, home, now)
}

/// Why an actor may perform an action at a place: every reason there is, and none when it may not.
/// Neither the actor's token nor its time is looked at.
pub fn reasons<'a>(
    actor: &'a Actor,
    place: Place<'a>,
    owner: Option<Subject>,
    action: ActionKind,
) -> impl Iterator<Item = Reason<'a>> {
    let operator = actor.is_operator().then_some(Reason::Operator);
    let worker = actor.is_sync_worker() && Role::ReadonlyAdmin.allows(action);
    let worker = worker.then_some(Reason::SyncWorker);
    let owns = owner.is_some() && actor.subject() == owner && Role::Owner.allows(action);
    let owner = owns.then_some(Reason::Owner);
    let held = held(actor)
        .iter()
        .filter(move |held| held.right.role().allows(action) && held.right.scope().reaches(&place));
    operator.into_iter().chain(worker).chain(owner).chain(held.map(Reason::Right))
}

/// Why an actor may refer to a secret in a workload of a project that it is bound to; see
/// [`decide_use`].
pub fn reasons_to_use<'a>(
    actor: &'a Actor,
    secret: &'a KnownSecret,
    (project, kind): (&'a ProjectPath, BindingKind),
) -> impl Iterator<Item = Reason<'a>> {
    let at_home = reasons(actor, secret.place(), secret.owner, ActionKind::Use);
    let own = at_home.filter(|reason| match reason {
        Reason::Right(held) => {
            let on_itself = matches!(held.right.scope(), Scope::Below(_) | Scope::Secret(..));
            on_itself || held.right.role().is_global()
        }
        _ => true,
    });
    let there = reasons(actor, Place::Project(project), None, ActionKind::Use);
    let members = there.filter_map(move |reason| match reason {
        Reason::Right(held) if kind == BindingKind::Members => Some(Reason::MembersBinding(held)),
        _ => None,
    });
    own.chain(members)
}

/// Whether an actor may give someone else a role at a place: only one that allows nothing there
/// that the actor may not do. Whose the secret is counts for a right on that secret alone: its
/// name, and what lies below it, are not its owner's.
pub fn may_give(actor: &Actor, right: &Right, owner: Option<Subject>) -> bool {
    let place = right.scope().place();
    let owner = owner.filter(|_| matches!(right.scope(), Scope::Secret(..)));
    right.role().actions().all(|action| allows(actor, &place, owner, action))
}

fn allows(actor: &Actor, place: &Place<'_>, owner: Option<Subject>, action: ActionKind) -> bool {
    actor.is_left(place, action) && reasons(actor, *place, owner, action).next().is_some()
}

/// The secret that a permit at a place holds for alone: the one that is there, where the actor may
/// not do this to whatever else gets its name.
fn only_secret(actor: &Actor, place: &Place<'_>, action: ActionKind) -> Option<Uid> {
    let Place::Secret(path, uid) = *place else { return None };
    uid.filter(|_| !allows(actor, &Place::Secret(path, None), None, action))
}

fn held(actor: &Actor) -> &[Held] {
    actor.identity().map_or(&[], |identity| &identity.held)
}

/// Whether an actor has a right at a project or above it.
fn is_member(actor: &Actor, project: &ProjectPath) -> bool {
    let place = Place::Project(project);
    has_right(actor, project, |right| right.scope().reaches(&place))
}

fn has_any_right_inside(actor: &Actor, project: &ProjectPath) -> bool {
    has_right(actor, project, |right| right.scope().touches(project))
}

fn has_right(actor: &Actor, project: &ProjectPath, is_one: impl Fn(&Right) -> bool) -> bool {
    if !actor.is_left_in(project) {
        return false;
    }
    actor.is_operator()
        || actor.is_sync_worker()
        || held(actor).iter().any(|held| is_one(&held.right))
}

/// What an actor that may not is told.
fn denied(actor: &Actor, place: &Place<'_>, owner: Option<Subject>) -> Denied {
    let is_visible = match place {
        Place::WholeStore => true,
        // That there is a default organization is known to all.
        Place::Organization(org) => {
            **org == OrgName::default_org() || allows(actor, place, None, ActionKind::List)
        }
        Place::Project(project) => is_member(actor, project),
        Place::Secret(..) => allows(actor, place, owner, ActionKind::List),
    };
    if is_visible { Denied::Forbidden } else { Denied::NotVisible }
}

#[cfg(test)]
mod tests;
