//! The platform's three levels of access, and the core's roles.

use authz::{ActionKind, Role, Scope};
use domain::PrincipalName;
use vault::{PrincipalKind, Review};

use crate::{Context, Trouble};

/// A level of access; each holds those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Read,
    Write,
    Manage,
}

impl Level {
    const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Manage];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Manage => "manage",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == text)
    }

    /// The role that gives the level at a place. Whoever writes to a project makes secrets in it,
    /// which no role on one secret allows.
    pub(super) const fn role(self, scope: &Scope) -> Role {
        match (self, scope) {
            (Self::Read, _) => Role::Read,
            (Self::Write, Scope::Below(_) | Scope::Secret(..)) => Role::Write,
            (Self::Write, _) => Role::Writer,
            (Self::Manage, Scope::Below(_) | Scope::Secret(..)) => Role::Manage,
            (Self::Manage, _) => Role::Owner,
        }
    }

    /// The level that a role is shown as. What lets nobody read is none: clients know no word for it.
    pub(super) const fn of_role(role: Role) -> Option<Self> {
        match role {
            Role::Admin | Role::Manage | Role::Owner => Some(Self::Manage),
            Role::Write | Role::Writer => Some(Self::Write),
            Role::Read | Role::ReadonlyAdmin => Some(Self::Read),
            Role::Auditor | Role::Contributor | Role::Manager | Role::Viewer => None,
        }
    }

    /// What someone must be allowed to do at a place to have the level there.
    const fn actions(self, scope: &Scope) -> &'static [ActionKind] {
        use ActionKind::{Administer, Create, Read, Share, Update};
        match (self, scope) {
            (Self::Read, _) => &[Read],
            (Self::Write, Scope::Below(_) | Scope::Secret(..)) => &[Read, Update],
            (Self::Write, _) => &[Read, Create, Update],
            (Self::Manage, Scope::Below(_) | Scope::Secret(..)) => &[Read, Update, Share],
            (Self::Manage, _) => &[Read, Create, Update, Share, Administer],
        }
    }
}

/// The level that someone has at a place by all that they hold; who asks, when nobody is named.
///
/// # Errors
/// When the actor may not ask about others, or nobody has the name.
pub(super) fn held(
    context: &Context<'_>,
    scope: &Scope,
    of: Option<&PrincipalName>,
) -> Result<Option<Level>, Trouble> {
    let mut highest = None;
    for level in Level::ALL {
        for action in level.actions(scope) {
            let subject = of.map(|name| (PrincipalKind::User, name.clone()));
            let review = Review { subject, scope: scope.clone(), action: *action, within: None };
            if !context.vault.review(context.actor()?, &review)?.allowed {
                return Ok(highest);
            }
        }
        highest = Some(level);
    }
    Ok(highest)
}

#[cfg(test)]
mod tests {
    use domain::{OrgName, ProjectName, ProjectPath, SecretName, SecretPath};

    use super::*;

    fn scopes() -> [Scope; 4] {
        let org = OrgName::default_org();
        let project = ProjectPath { org: org.clone(), project: ProjectName::parse("ml").unwrap() };
        let name = SecretName::parse("hf").unwrap();
        let secret = SecretPath { project: project.clone(), name };
        [Scope::WholeStore, Scope::Org(org), Scope::Project(project), Scope::Below(secret)]
    }

    #[test]
    fn the_role_of_a_level_is_shown_as_that_level_and_allows_what_it_means() {
        for scope in scopes() {
            for level in Level::ALL {
                let role = level.role(&scope);
                assert_eq!(Level::of_role(role), Some(level));
                assert!(!role.is_global());
                assert!(level.actions(&scope).iter().all(|action| role.allows(*action)));
                let higher = Level::ALL.into_iter().filter(|other| *other > level);
                for other in higher {
                    assert!(!other.actions(&scope).iter().all(|action| role.allows(*action)));
                }
            }
        }
    }

    #[test]
    fn what_lets_nobody_read_is_no_level() {
        for role in Role::ALL {
            assert_eq!(Level::of_role(role).is_some(), role.allows(ActionKind::Read), "{role}");
        }
        for level in Level::ALL {
            assert_eq!(Level::parse(level.as_str()), Some(level));
        }
        assert_eq!(Level::parse("list"), None);
        assert!(Level::Read < Level::Write && Level::Write < Level::Manage);
    }
}
