//! The one decision.

use std::marker::PhantomData;

use domain::{ProjectPath, SecretPath, Timestamp};

use crate::{Action, ActionKind, Actor, Basis, Right, Role};

/// Something that a permit can be about.
pub trait Resource {
    /// The project it lies in; none for what belongs to the whole store.
    fn project(&self) -> Option<&ProjectPath>;
}

/// The store itself: making projects and tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholeStore;

impl Resource for WholeStore {
    fn project(&self) -> Option<&ProjectPath> {
        None
    }
}

impl Resource for ProjectPath {
    fn project(&self) -> Option<&ProjectPath> {
        Some(self)
    }
}

impl Resource for SecretPath {
    fn project(&self) -> Option<&ProjectPath> {
        Some(&self.project)
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

/// Proof that an actor may perform action `A` on resource `R`, with the resource inside.
pub struct Permit<A, R> {
    actor: Actor,
    resource: R,
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
    pub fn basis(&self) -> Option<Basis> {
        self.actor.basis()
    }
}

/// Decides whether an actor may perform action `A` on a resource.
///
/// # Errors
/// Says whether the actor may at least know that the resource exists.
pub fn decide<A: Action, R: Resource>(
    actor: &Actor,
    resource: R,
    now: Timestamp,
) -> Result<Permit<A, R>, Denied> {
    let allowed = |action| match actor.as_token() {
        None => Role::ReadonlyAdmin.allows(action),
        Some(token) => allows(&token.rights, resource.project(), action),
    };
    let ended =
        actor.as_token().and_then(|token| token.expires).is_some_and(|expires| expires <= now);
    if ended {
        return Err(Denied::Expired);
    }
    if allowed(A::KIND) {
        return Ok(Permit { actor: actor.clone(), resource, action: PhantomData });
    }
    let visible = resource.project().is_none() || allowed(ActionKind::List);
    Err(if visible { Denied::Forbidden } else { Denied::NotVisible })
}

fn allows(rights: &[Right], project: Option<&ProjectPath>, action: ActionKind) -> bool {
    rights.iter().any(|right| right.reaches(project) && right.role().allows(action))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::{OrgName, ProjectName, Revision, SecretName, Uid};

    use super::*;
    use crate::{Administer, Create, Delete, List, Read, Scope, TokenActor, Update};

    const NOW: Timestamp = Timestamp::from_unix_millis(1000);

    fn project(name: &str) -> ProjectPath {
        ProjectPath { org: OrgName::default_org(), project: ProjectName::parse(name).unwrap() }
    }

    fn secret(in_project: &str) -> SecretPath {
        SecretPath { project: project(in_project), name: SecretName::parse("hf").unwrap() }
    }

    fn actor(role: Role, scope: Scope, expires: Option<Timestamp>) -> Actor {
        Actor::token(Arc::new(TokenActor {
            id: Uid::from_bytes([1; 16]),
            description: String::new(),
            rights: vec![Right::new(role, scope).unwrap()],
            expires,
            changed_at: Revision::new(7),
        }))
    }

    #[test]
    fn a_role_in_one_project_reaches_no_other_not_even_one_that_starts_alike() {
        let writer = actor(Role::Writer, Scope::Project(project("ml")), None);
        assert!(decide::<Read, _>(&writer, secret("ml"), NOW).is_ok());
        for other in ["ml2", "m", "ML"] {
            assert_eq!(
                decide::<Read, _>(&writer, secret(other), NOW).err(),
                Some(Denied::NotVisible)
            );
        }
        assert_eq!(
            decide::<Administer, _>(&writer, WholeStore, NOW).err(),
            Some(Denied::Forbidden)
        );
    }

    #[test]
    fn who_may_list_is_told_no_and_who_may_not_is_told_nothing() {
        let viewer = actor(Role::Viewer, Scope::Project(project("ml")), None);
        assert_eq!(decide::<Read, _>(&viewer, secret("ml"), NOW).err(), Some(Denied::Forbidden));
        let contributor = actor(Role::Contributor, Scope::Project(project("ml")), None);
        assert!(decide::<Create, _>(&contributor, secret("ml"), NOW).is_ok());
        assert_eq!(
            decide::<Read, _>(&contributor, secret("ml"), NOW).err(),
            Some(Denied::NotVisible)
        );
    }

    #[test]
    fn a_token_ends_at_its_expiry_and_not_later() {
        let at = |expires| actor(Role::Admin, Scope::WholeStore, Some(expires));
        let one_later = Timestamp::from_unix_millis(1001);
        assert!(decide::<Read, _>(&at(one_later), secret("ml"), NOW).is_ok());
        assert_eq!(decide::<Read, _>(&at(NOW), secret("ml"), NOW).err(), Some(Denied::Expired));
    }

    #[test]
    fn the_sync_worker_reads_and_changes_nothing() {
        let worker = Actor::sync_worker();
        assert!(decide::<List, _>(&worker, project("ml"), NOW).is_ok());
        assert!(decide::<Read, _>(&worker, secret("ml"), NOW).is_ok());
        assert!(decide::<Create, _>(&worker, secret("ml"), NOW).is_err());
        assert!(decide::<Update, _>(&worker, secret("ml"), NOW).is_err());
        assert!(decide::<Delete, _>(&worker, secret("ml"), NOW).is_err());
        assert!(decide::<Administer, _>(&worker, WholeStore, NOW).is_err());
    }

    #[test]
    fn a_permit_names_the_record_it_was_decided_on() {
        let admin = actor(Role::Admin, Scope::WholeStore, None);
        let permit = decide::<Read, _>(&admin, secret("ml"), NOW).ok().unwrap();
        let basis = Basis { token: Uid::from_bytes([1; 16]), changed_at: Revision::new(7) };
        assert_eq!(permit.basis(), Some(basis));
        assert_eq!(permit.resource(), &secret("ml"));
    }
}
