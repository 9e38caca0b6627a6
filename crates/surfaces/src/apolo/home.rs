//! The project that a request is about, and what one may do there.

use authz::{Create, Delete, Denied, Update, decide};
use domain::{OrgName, ProjectName, ProjectPath};
use vault::PrincipalKind;

use super::fields::Faults;
use super::{say, uri};
use crate::{Answer, Context, Request, Trouble};

/// The project that a request names. Clients from before organizations and projects name none, and
/// mean their user's own.
pub(super) fn home(
    context: &Context<'_>,
    (org, project): (Option<&str>, Option<&str>),
    faults: &mut Faults,
) -> Option<ProjectPath> {
    let org = org.map_or_else(|| Ok(OrgName::default_org()), OrgName::parse);
    let org = faults.take("org_name", org);
    let own;
    let project = match project {
        Some(project) => project,
        None => {
            own = own_name(context);
            match &own {
                Some(own) => own,
                None => {
                    faults.add("project_name", "is required");
                    return None;
                }
            }
        }
    };
    let project = faults.take("project_name", ProjectName::parse(project));
    Some(ProjectPath { org: org?, project: project? })
}

/// The project that the query names, which may name nothing else.
pub(super) fn of_query(context: &Context<'_>, request: &Request) -> Result<ProjectPath, Trouble> {
    let mut faults = Faults::default();
    let org = faults.name("org_name", request.parameter("org_name"));
    let project = faults.name("project_name", request.parameter("project_name"));
    super::fields::query(request, &["org_name", "project_name"], &mut faults)?;
    faults.check()?;
    let home = home(context, (org, project), &mut faults);
    faults.check()?;
    home.ok_or_else(|| say::wrong("project_name is required").into())
}

/// The user who asks, by name; nobody for what is no user.
pub(super) fn own_name(context: &Context<'_>) -> Option<String> {
    let account = context.vault.own_account(context.known?)?;
    (account.kind == PrincipalKind::User).then_some(account.name)
}

/// Refuses who may not write to a project: a right to one of its secrets is not enough.
pub(super) fn check_write(
    context: &Context<'_>,
    request: &Request,
    project: &ProjectPath,
) -> Result<(), Trouble> {
    let (actor, now) = (context.actor()?, context.now());
    let may = decide::<Create, _>(actor, project.clone(), now)
        .and_then(|_| decide::<Update, _>(actor, project.clone(), now));
    may.map(|_| ()).map_err(|denied| no_write(context, request, project, denied))
}

/// Refuses who may not remove what is in a project.
pub(super) fn check_delete(
    context: &Context<'_>,
    request: &Request,
    project: &ProjectPath,
) -> Result<(), Trouble> {
    let may = decide::<Delete, _>(context.actor()?, project.clone(), context.now());
    may.map(|_| ()).map_err(|denied| no_write(context, request, project, denied))
}

fn no_write(
    context: &Context<'_>,
    request: &Request,
    project: &ProjectPath,
    denied: Denied,
) -> Trouble {
    let scope = authz::Scope::Project(project.clone());
    refused(context, request, (&context.vault.uri_of(&scope), "write"), denied)
}

/// What the actor may not: the same, whether or not it is there.
pub(super) fn refused(
    context: &Context<'_>,
    request: &Request,
    (uri, action): (&str, &str),
    denied: Denied,
) -> Trouble {
    match denied {
        Denied::Expired => denied.into(),
        Denied::Forbidden | Denied::NotVisible => missing(context, request, uri, action).into(),
    }
}

/// The answer to who may not, with the URI in the form that the client knows.
pub(super) fn missing(context: &Context<'_>, request: &Request, uri: &str, action: &str) -> Answer {
    say::missing(&uri::shown(context.vault, request, uri), action)
}
