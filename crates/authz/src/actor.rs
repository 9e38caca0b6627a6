//! Who asks.

use std::sync::Arc;

use domain::{Invalid, ProjectPath, Revision, Timestamp, Uid};

use crate::Role;

/// Where a role holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// In one project.
    Project(ProjectPath),
    /// In the whole store.
    WholeStore,
}

/// A role and where it holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Right {
    role: Role,
    scope: Scope,
}

impl Right {
    /// A global role holds in the whole store and the others in a project.
    ///
    /// # Errors
    /// When role and scope do not go together.
    pub fn new(role: Role, scope: Scope) -> Result<Self, Invalid> {
        match (&scope, role.is_global()) {
            (Scope::WholeStore, true) | (Scope::Project(_), false) => Ok(Self { role, scope }),
            (Scope::WholeStore, false) => Err(Invalid::new(
                "projects",
                format!("must name the projects in which {role} holds"),
            )),
            (Scope::Project(_), true) => {
                Err(Invalid::new("projects", format!("must be left out: {role} holds everywhere")))
            }
        }
    }

    /// The role.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Where it holds.
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    pub(crate) fn reaches(&self, project: Option<&ProjectPath>) -> bool {
        match &self.scope {
            Scope::WholeStore => true,
            Scope::Project(mine) => project == Some(mine),
        }
    }
}

/// An authenticated token and what it may do.
#[derive(Debug)]
pub struct TokenActor {
    /// The token's identity.
    pub id: Uid,
    /// What its maker called it.
    pub description: String,
    /// What it may do.
    pub rights: Vec<Right>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// The store's revision that last changed the token's record.
    pub changed_at: Revision,
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Actor(Kind);

#[derive(Clone, Debug)]
enum Kind {
    SyncWorker,
    Token(Arc<TokenActor>),
}

/// What a permit was decided on: the record that must be unchanged when its act is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basis {
    /// The token's identity.
    pub token: Uid,
    /// The revision of its record.
    pub changed_at: Revision,
}

impl Actor {
    /// The projection worker inside the daemon, `system:sync`: it lists and reads everything and
    /// changes nothing.
    pub const fn sync_worker() -> Self {
        Self(Kind::SyncWorker)
    }

    /// The bearer of a token.
    pub const fn token(token: Arc<TokenActor>) -> Self {
        Self(Kind::Token(token))
    }

    /// A name for logs and for `createdBy`; never a credential.
    pub fn name(&self) -> String {
        match &self.0 {
            Kind::SyncWorker => "system:sync".to_owned(),
            Kind::Token(token) => format!("token:{}", token.id),
        }
    }

    /// The token, if the actor bears one.
    pub fn as_token(&self) -> Option<&TokenActor> {
        match &self.0 {
            Kind::SyncWorker => None,
            Kind::Token(token) => Some(token),
        }
    }

    /// What a decision about this actor rests on, if that can change.
    pub fn basis(&self) -> Option<Basis> {
        self.as_token().map(|token| Basis { token: token.id, changed_at: token.changed_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{OrgName, ProjectName};

    #[test]
    fn a_role_holds_where_it_belongs() {
        let project =
            ProjectPath { org: OrgName::default_org(), project: ProjectName::parse("ml").unwrap() };
        for role in Role::ALL {
            assert_eq!(Right::new(role, Scope::WholeStore).is_ok(), role.is_global(), "{role}");
            let in_project = Right::new(role, Scope::Project(project.clone()));
            assert_eq!(in_project.is_ok(), !role.is_global(), "{role}");
        }
    }
}
