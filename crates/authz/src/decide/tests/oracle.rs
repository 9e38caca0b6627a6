//! A second decision, made naively on paths as text. It calls nothing of what is tested.

use super::*;

/// What each role is for, as the design words it.
const ROLES: [(Role, &str); 11] = [
    (Role::Viewer, "list"),
    (Role::Contributor, "create use"),
    (Role::Writer, "list read create update delete use"),
    (Role::Manager, "list create use administer"),
    (Role::Owner, "list read create update delete use share administer"),
    (Role::Read, "list read use"),
    (Role::Write, "list read use update"),
    (Role::Manage, "list read use update delete share"),
    (Role::ReadonlyAdmin, "list read"),
    (Role::Auditor, "list audit"),
    (Role::Admin, "list read create update delete use share administer audit"),
];

/// All that there is, with names that start alike.
pub(super) const NODES: [&str; 19] = [
    "",
    "acme",
    "default",
    "defaul",
    "acme/ml",
    "acme/m",
    "acme/ml2",
    "default/ml",
    "default/ML",
    "defaul/ml",
    "acme/ml/team",
    "acme/ml/team/hf",
    "acme/ml/team/hf/a",
    "acme/ml/team2",
    "acme/ml/tea",
    "acme/ml2/team/hf",
    "acme/m/l/team",
    "default/ml/team/hf",
    "default/ML/team/hf",
];

/// The secrets that exist: where, and their numbers. Some had the name of another before.
pub(super) const SECRETS: [(&str, u8); 8] = [
    ("acme/ml/team", 11),
    ("acme/ml/team/hf", 12),
    ("acme/ml/team/hf", 13),
    ("acme/ml/team2", 14),
    ("acme/ml2/team/hf", 15),
    ("default/ml/team/hf", 16),
    ("default/ML/team/hf", 17),
    ("acme/m/l/team", 18),
];

/// Where a role holds: at a node, or for one secret.
pub(super) type Where = (&'static str, Option<u8>);

#[derive(Clone, Debug)]
pub(super) struct Somebody {
    pub(super) held: Vec<(Role, Where)>,
    pub(super) token: Option<Token>,
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) projects: Option<Vec<&'static str>>,
    pub(super) actions: Option<Vec<ActionKind>>,
    pub(super) is_over: bool,
}

/// Whose each of the secrets is.
pub(super) type Owners = Vec<Option<Subject>>;

/// A node, the one above it, and so on up to the whole store.
pub(super) fn walk(path: &str) -> Vec<&str> {
    let mut nodes = vec![path];
    let mut path = path;
    while let Some((above, _)) = path.rsplit_once('/') {
        nodes.push(above);
        path = above;
    }
    if !path.is_empty() {
        nodes.push("");
    }
    nodes
}

pub(super) fn project_of(path: &str) -> Option<&str> {
    let nodes = walk(path);
    nodes.into_iter().find(|node| node.matches('/').count() == 1)
}

fn does(role: Role, action: ActionKind) -> bool {
    let (_, actions) = ROLES.into_iter().find(|(known, _)| *known == role).unwrap();
    actions.split(' ').any(|known| known == action.as_str())
}

fn is_at((at, number): Where, path: &str, secret: Option<u8>) -> bool {
    match number {
        Some(_) => number == secret,
        None => walk(path).contains(&at),
    }
}

fn holds(who: &Somebody, path: &str, secret: Option<u8>, action: ActionKind) -> bool {
    who.held.iter().any(|(role, place)| does(*role, action) && is_at(*place, path, secret))
}

fn is_good_in(who: &Somebody, path: &str) -> bool {
    let Some(Token { projects: Some(projects), .. }) = &who.token else { return true };
    projects.iter().any(|project| project_of(path) == Some(project))
}

fn is_good_for(who: &Somebody, action: ActionKind) -> bool {
    let Some(Token { actions: Some(actions), .. }) = &who.token else { return true };
    actions.contains(&action)
}

pub(super) fn is_over(who: &Somebody) -> bool {
    who.token.as_ref().is_some_and(|token| token.is_over)
}

fn may(
    who: &Somebody,
    (path, secret): (&str, Option<u8>),
    owner: Option<Subject>,
    action: ActionKind,
) -> bool {
    let owns = owner == Some(ALICE) && action != ActionKind::Audit;
    (owns || holds(who, path, secret, action)) && is_good_in(who, path) && is_good_for(who, action)
}

pub(super) fn is_member(who: &Somebody, project: &str) -> bool {
    is_good_in(who, project) && who.held.iter().any(|(_, place)| is_at(*place, project, None))
}

pub(super) fn has_part(who: &Somebody, project: &str) -> bool {
    let inside = who.held.iter().any(|(_, (at, _))| walk(at).contains(&project));
    is_member(who, project) || (is_good_in(who, project) && inside)
}

fn refusal(who: &Somebody, path: &str, secret: Option<u8>, owner: Option<Subject>) -> Denied {
    let lists = may(who, (path, secret), owner, ActionKind::List);
    let is_visible = match path.split('/').count() {
        1 => path.is_empty() || path == "default" || lists,
        2 => is_member(who, path),
        _ => lists,
    };
    if is_visible { Denied::Forbidden } else { Denied::NotVisible }
}

pub(super) fn expected(who: &Somebody, path: &str, action: ActionKind) -> Told {
    match may(who, (path, None), None, action) {
        _ if is_over(who) => EXPIRED,
        true => YES,
        false => Err(refusal(who, path, None, None)),
    }
}

pub(super) fn expected_known(
    who: &Somebody,
    (path, number): (&str, u8),
    owner: Option<Subject>,
    action: ActionKind,
) -> Told {
    if is_over(who) {
        return EXPIRED;
    }
    if may(who, (path, None), None, action) {
        return YES;
    }
    match may(who, (path, Some(number)), owner, action) {
        true => Ok(Some(uid(number))),
        false => Err(refusal(who, path, Some(number), owner)),
    }
}

pub(super) fn expected_use(
    who: &Somebody,
    (path, number): (&str, u8),
    owner: Option<Subject>,
    (there, kind): (&str, BindingKind),
) -> Told {
    if is_over(who) {
        return EXPIRED;
    }
    let uses = |(role, place): &(Role, Where)| {
        let reaches_it = does(*role, ActionKind::Use) && is_at(*place, path, Some(number));
        let on_itself = place.0.matches('/').count() >= 2;
        let for_members = kind == BindingKind::Members
            && does(*role, ActionKind::Use)
            && is_at(*place, there, None);
        (reaches_it && (on_itself || *role == Role::Admin)) || for_members
    };
    let reason = owner == Some(ALICE) || who.held.iter().any(uses);
    match reason && is_good_in(who, there) && is_good_for(who, ActionKind::Use) {
        true => Ok(Some(uid(number))),
        false => Err(refusal(who, path, Some(number), owner)),
    }
}
