//! Whose settings a path names, and the project in which they live.

use authz::{List, PartOfProject, decide};
use domain::{OrgName, ProjectName, ProjectPath, Uid};

use super::say;
use crate::{Context, Request, Trouble};

/// An owner of settings. That one is named does not mean that it is there.
pub(super) struct Owner {
    /// The project of its settings.
    pub(super) home: ProjectPath,
    /// Whether it is an organization, which may not have the project yet.
    pub(super) is_org: bool,
}

impl Owner {
    /// The owner that a path names, by its identity or its name: names of projects are those of the
    /// default organization.
    ///
    /// # Errors
    /// When there is no such kind of owner, or it is sure that there is no such owner.
    pub(super) fn of_path(context: &Context<'_>, request: &Request) -> Result<Self, Trouble> {
        let id = request.name("owner_id");
        let found = match request.name("owner_type") {
            "organization" => organization(context, id),
            "project" => project(context, id)?,
            "user" => user(context, id),
            _ => return Err(say::no_page().into()),
        };
        let owner = found.ok_or_else(|| Trouble::from(say::absent()))?;
        context.is_about_project(&owner.home);
        Ok(owner)
    }

    /// Refuses who sees nothing of it.
    ///
    /// # Errors
    /// When it is not there or not to be seen, which look alike.
    pub(super) fn check_seen(&self, context: &Context<'_>) -> Result<(), Trouble> {
        if self.is_org && self.is_seen_org(context)? {
            return Ok(());
        }
        let part = PartOfProject(self.home.clone());
        let permit = decide::<List, _>(context.actor()?, part, context.now())?;
        Ok(context.vault.check_project(&permit)?)
    }

    /// Whether it is an organization that the actor sees. Then whether its project is there, and
    /// what is in it, is not told by what is refused.
    pub(super) fn is_seen_org(&self, context: &Context<'_>) -> Result<bool, Trouble> {
        if !self.is_org {
            return Ok(false);
        }
        let orgs = context.vault.orgs(context.actor()?)?;
        Ok(orgs.iter().any(|org| org.name == self.home.org))
    }
}

fn organization(context: &Context<'_>, id: &str) -> Option<Owner> {
    // What is an identity is no name: somebody could else take the name of what is gone.
    let org = match Uid::parse(id) {
        Ok(uid) => context.vault.org_of(uid)?,
        Err(_) => OrgName::parse(id).ok()?,
    };
    let project = context.settings.chariot_organization_project.clone();
    Some(Owner { home: ProjectPath { org, project }, is_org: true })
}

fn project(context: &Context<'_>, id: &str) -> Result<Option<Owner>, Trouble> {
    let home = match Uid::parse(id) {
        Ok(uid) => context.vault.project_of(uid)?,
        Err(_) => in_default_org(id),
    };
    Ok(home.map(|home| Owner { home, is_org: false }))
}

/// A user's settings live in their personal project.
fn user(context: &Context<'_>, id: &str) -> Option<Owner> {
    let name = match Uid::parse(id) {
        Ok(uid) => context.vault.user_of(uid)?,
        Err(_) => context.vault.is_user(id).then(|| id.to_owned())?,
    };
    Some(Owner { home: in_default_org(&name)?, is_org: false })
}

fn in_default_org(name: &str) -> Option<ProjectPath> {
    let project = ProjectName::parse(name).ok()?;
    Some(ProjectPath { org: OrgName::default_org(), project })
}
