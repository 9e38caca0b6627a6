//! `/api/v1/users`: people, their global roles, and the workspaces whose members they are.

use std::collections::BTreeMap;

use authz::{Administer, Permit, Right, Role, Scope, WholeStore, decide};
use domain::{Plaintext, PrincipalName, ProjectPath, Uid};
use serde_json::{Value, json};
use vault::{GrantView, NewPrincipal, PrincipalKind, PrincipalView, RightsChange, VaultError};

use super::body::Body;
use super::{reply, show, workspaces};
use crate::{Answer, Context, Request, Trouble};

/// What the platform calls them in refusals.
const USERS: &str = "users";
/// The platform's name for administrators.
const ADMIN: &str = "system-admin";
/// The platform's name for administrators who read.
const READONLY: &str = "system-admin-readonly";
/// The role that everyone has.
const DEFAULT: &str = "default";

/// What stands for who asks in the place of an identity, be there a user of that name or not.
const SELF: &str = "self";

/// The platform's names of workspaces.
type Names = BTreeMap<ProjectPath, String>;

/// A user as the platform shows one, by what they themselves hold.
pub(super) fn own(
    context: &Context<'_>,
    account: &PrincipalView,
    grants: &[GrantView],
    names: &Names,
) -> Value {
    let subject = format!("user:{}", account.name);
    let direct = || grants.iter().filter(|grant| grant.subject == subject);
    let scopes = direct().filter_map(|grant| {
        let scope = context.vault.scope_of(&grant.uri).ok()?;
        Some((grant.role, scope))
    });
    let scopes: Vec<_> = scopes.collect();
    let has = |role: Role| scopes.iter().any(|(held, _)| *held == role);
    let mut roles = vec![DEFAULT];
    roles.extend(has(Role::Admin).then_some(ADMIN));
    roles.extend(has(Role::ReadonlyAdmin).then_some(READONLY));
    let within = |meant: fn(Role) -> bool| {
        let found = scopes.iter().filter(move |(role, _)| meant(*role));
        let mut projects: Vec<_> =
            found.filter_map(|(_, scope)| workspace_of(context, scope)).collect();
        projects.sort();
        projects.dedup();
        let entry = |project: &ProjectPath| {
            let id = project.project.as_str();
            let name = names.get(project).map_or(id, String::as_str);
            json!({ "id": id, "name": name })
        };
        projects.iter().map(entry).collect::<Vec<_>>()
    };
    json!({
        "id": account.uid.to_string(),
        "name": account.name,
        "email": "",
        "type": DEFAULT,
        "roles": roles,
        "workspaces": within(is_member),
        "managedWorkspaces": within(is_manager),
        "creationTime": show::time(account.created_at),
        "restrictedType": u8::from(account.disabled),
    })
}

fn is_member(role: Role) -> bool {
    role.allows(authz::ActionKind::Create)
}

fn is_manager(role: Role) -> bool {
    role.allows(authz::ActionKind::Administer)
}

fn workspace_of(context: &Context<'_>, scope: &Scope) -> Option<ProjectPath> {
    match scope {
        Scope::Project(path) => {
            show::workspace(context, path.project.as_str()).filter(|own| own == path)
        }
        _ => None,
    }
}

fn administer(context: &Context<'_>) -> Result<Permit<Administer, WholeStore>, Trouble> {
    let permit = decide::<Administer, _>(context.actor()?, WholeStore, context.now());
    permit.map_err(|_| reply::forbidden("The user is not allowed to manage users"))
}

/// All users, for administrators; oneself, for others.
pub(super) fn list(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let (actor, vault) = (context.actor()?, context.vault);
    if request.query.is_none() {
        return Err(reply::bad("the query must be percent-encoded UTF-8"));
    }
    let names = workspaces::names(context, actor)?;
    let mut items = Vec::new();
    match administer(context) {
        Ok(permit) => {
            for account in vault.principals(&permit, PrincipalKind::User) {
                let name = PrincipalName::parse(&account.name)?;
                let grants = vault.grants_held_by(&permit, PrincipalKind::User, &name)?;
                items.push(own(context, &account, &grants, &names));
            }
        }
        Err(_) => {
            let account = vault.own_account(actor).filter(|own| own.kind == PrincipalKind::User);
            let shown = |account| own(context, &account, &vault.grants_of(actor), &names);
            items.extend(account.map(shown));
        }
    }
    let given = |name: &str| request.parameter(name).filter(|text| !text.is_empty());
    if let Some(name) = given("name") {
        items.retain(|user| user["name"] == name);
    }
    if given("email").is_some() {
        items.clear();
    }
    if let Some(workspace) = given("workspaceId") {
        let is_there = |user: &Value| {
            let all = user["workspaces"].as_array().into_iter().flatten();
            all.into_iter().any(|entry| entry["id"] == workspace)
        };
        items.retain(is_there);
    }
    Ok(reply::ok(&show::list(&items)))
}

/// One user, for administrators; oneself, for others.
pub(super) fn show(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let (actor, vault) = (context.actor()?, context.vault);
    let id = show::id(request.name("id"), "userId")?;
    let names = workspaces::names(context, actor)?;
    let account = vault.own_account(actor).filter(|own| own.kind == PrincipalKind::User);
    if let Some(account) = account.filter(|own| id == SELF || is_it(own, id)) {
        return Ok(reply::ok(&own(context, &account, &vault.grants_of(actor), &names)));
    }
    let Ok(permit) = administer(context) else {
        return Err(reply::absent(USERS, "").denied().into());
    };
    let account = found(context, &permit, id)?;
    let name = PrincipalName::parse(&account.name)?;
    let grants = vault.grants_held_by(&permit, PrincipalKind::User, &name)?;
    Ok(reply::ok(&own(context, &account, &grants, &names)))
}

fn is_it(account: &PrincipalView, id: &str) -> bool {
    account.name == id || account.uid.to_string() == id
}

fn found(
    context: &Context<'_>,
    permit: &Permit<Administer, WholeStore>,
    id: &str,
) -> Result<PrincipalView, Trouble> {
    let known = context.vault.user_known_by(id).filter(|_| id != SELF);
    // What is no user's is not repeated: anything may have been sent there.
    let (_, name) = known.ok_or_else(|| Trouble::from(reply::absent(USERS, "")))?;
    let found = context.vault.principal(permit, PrincipalKind::User, &name);
    found.map_err(|error| reply::about(USERS, name.as_str(), error))
}

/// What is sent to make a user.
struct New {
    name: String,
    password: Plaintext,
    workspaces: Vec<String>,
}

impl New {
    fn read(request: &Request) -> Result<Self, Trouble> {
        let mut body = Body::read(request, false)?;
        let name = body.required("name")?;
        let password = Plaintext::new(body.required("password")?.into_bytes());
        check_type(body.text("type")?)?;
        let workspaces = body.texts("workspaces")?.unwrap_or_default();
        Ok(Self { name, password, workspaces })
    }
}

fn check_type(kind: Option<String>) -> Result<(), Trouble> {
    match kind.as_deref() {
        None | Some("" | DEFAULT) => Ok(()),
        Some(_) => Err(reply::bad("type must be default, or left out")),
    }
}

/// Makes a user; an administrator's act.
pub(super) fn create(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let permit = administer(context)?;
    let new = New::read(request)?;
    let name = PrincipalName::parse(&new.name).map_err(|wrong| field(wrong, "name"))?;
    let rights = members_of(context, &new.workspaces)?;
    let wanted = NewPrincipal {
        kind: PrincipalKind::User,
        name: name.clone(),
        password: Some(&new.password),
        members: Vec::new(),
        rights,
    };
    let made = match context.vault.create_principal(&permit, &wanted) {
        Ok(made) => made,
        Err(VaultError::AlreadyExists) => return Err(reply::exists(USERS, name.as_str())),
        Err(VaultError::Invalid(wrong)) => {
            let at = if wrong.field.contains("password") { "password" } else { "name" };
            return Err(field(wrong, at));
        }
        Err(error) => return Err(error.into()),
    };
    let told = show::some(new.workspaces.iter().map(String::as_str));
    let answer = reply::ok(&json!({ "id": made.uid.to_string() }));
    Ok(answer.detail(format!("user:{name}; workspaces: {told}")))
}

fn field(wrong: domain::Invalid, at: &str) -> Trouble {
    reply::bad_field(&domain::Invalid::new(at, wrong.fix))
}

/// The rights of members of workspaces, all of which exist.
fn members_of(context: &Context<'_>, ids: &[String]) -> Result<Vec<Right>, Trouble> {
    let right = |id: &String| {
        let there = show::workspace(context, id).filter(|path| workspaces::exists(context, path));
        let path = there.ok_or_else(|| reply::bad("workspaces must name workspaces that exist"))?;
        Ok(Right::new(Role::Contributor, Scope::Project(path))?)
    };
    ids.iter().map(right).collect()
}

/// What changes in a user.
struct Change {
    roles: Option<Vec<Role>>,
    workspaces: Option<Vec<String>>,
    password: Option<Plaintext>,
    disabled: Option<bool>,
}

impl Change {
    fn read(request: &Request) -> Result<Self, Trouble> {
        let mut body = Body::read(request, true)?;
        let role = |name: &String| match name.as_str() {
            ADMIN => Ok(Some(Role::Admin)),
            READONLY => Ok(Some(Role::ReadonlyAdmin)),
            DEFAULT => Ok(None),
            _ => Err(reply::bad(&format!("roles must be of {DEFAULT}, {ADMIN} and {READONLY}"))),
        };
        let roles = body.texts("roles")?;
        let roles = roles.map(|names| names.iter().filter_map(|n| role(n).transpose()).collect());
        let disabled = match body.number("restrictedType")? {
            None => None,
            Some(0) => Some(false),
            Some(1) => Some(true),
            Some(_) => return Err(reply::bad("restrictedType must be 0 or 1")),
        };
        let password = body.text("password")?.map(|text| Plaintext::new(text.into_bytes()));
        let workspaces = body.texts("workspaces")?;
        Ok(Self { roles: roles.transpose()?, workspaces, password, disabled })
    }
}

impl Change {
    /// What changes, for the audit log.
    fn told(&self) -> String {
        let roles = self.roles.as_ref().map(|roles| {
            format!("; roles: {}", show::some(roles.iter().map(|role| role.as_str())))
        });
        let workspaces = self
            .workspaces
            .as_ref()
            .map(|ids| format!("; workspaces: {}", show::some(ids.iter().map(String::as_str))));
        let disabled = self.disabled.map(|disabled| match disabled {
            true => "; shut out".to_owned(),
            false => "; let in".to_owned(),
        });
        roles.into_iter().chain(workspaces).chain(disabled).collect()
    }
}

/// Replaces a user's roles, workspaces or password, or freezes them; an administrator's act. People
/// change their own password over Tresor's own interface, which wants the present one.
pub(super) fn update(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let permit = administer(context)?;
    let change = Change::read(request)?;
    let id = show::id(request.name("id"), "userId")?;
    let account = found(context, &permit, id)?;
    let name = PrincipalName::parse(&account.name)?;
    let members = members_of(context, change.workspaces.as_deref().unwrap_or_default())?;
    if change.password.is_some()
        && (change.roles.is_some() || change.workspaces.is_some() || change.disabled.is_some())
    {
        // They are two acts, and half of them must not be done.
        return Err(reply::bad("the password must be changed by a request of its own"));
    }
    if let Some(password) = &change.password {
        let set = context.vault.set_password(&permit, &name, password);
        set.map_err(|error| match error {
            VaultError::Invalid(wrong) => field(wrong, "password"),
            other => reply::about(USERS, name.as_str(), other),
        })?;
        return Ok(reply::done().detail(format!("user:{name}")));
    }
    let global = |role: &Role| Right::new(*role, Scope::WholeStore);
    let roles = change.roles.iter().flatten().map(global).collect::<Result<Vec<_>, _>>()?;
    let take = |right: &Right| {
        let is_listed = |all: &[Right]| all.contains(right);
        let is_role = matches!(right.role(), Role::Admin | Role::ReadonlyAdmin);
        let is_member =
            right.role() == Role::Contributor && workspace_of(context, right.scope()).is_some();
        (change.roles.is_some() && is_role && !is_listed(&roles))
            || (change.workspaces.is_some() && is_member && !is_listed(&members))
    };
    let give = roles.iter().chain(&members).cloned().collect();
    let wanted = RightsChange { give, take: &take, disabled: change.disabled };
    let whom = (PrincipalKind::User, &name);
    context.vault.change_rights(context.actor()?, whom, &wanted).map_err(|error| match error {
        VaultError::LastAdministrator => {
            reply::conflict("nobody would be left who administers the platform")
        }
        VaultError::Invalid(wrong) if wrong.field == "rights" => field(wrong, "workspaces"),
        other => reply::about(USERS, name.as_str(), other),
    })?;
    Ok(reply::done().detail(format!("user:{name}{}", change.told())))
}

/// Removes a user; an administrator's act.
pub(super) fn delete(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let permit = administer(context)?;
    let id = show::id(request.name("id"), "userId")?;
    let account = found(context, &permit, id)?;
    let name = PrincipalName::parse(&account.name)?;
    match context.vault.delete_principal(&permit, PrincipalKind::User, &name) {
        Ok(()) => Ok(reply::done().detail(format!("user:{name}"))),
        Err(VaultError::LastAdministrator) => {
            Err(reply::conflict("nobody would be left who administers the platform"))
        }
        Err(error) => Err(reply::about(USERS, name.as_str(), error)),
    }
}

/// An identity and the name that goes with it, as the platform shows people.
pub(super) fn entry((uid, name): (Uid, PrincipalName)) -> Value {
    json!({ "id": uid.to_string(), "name": name.as_str() })
}

/// Reads a body as a creation and as a change.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(request: &Request) -> Result<(), Trouble> {
    New::read(request)?;
    Change::read(request).map(|_| ())
}
