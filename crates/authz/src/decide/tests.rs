//! What the tests of the decision share: places by their path, and actors by what they hold.

mod common;
mod giving;
mod matrix;
mod oracle;
mod permits;
mod properties;
mod rules;
mod using;

use std::sync::Arc;

use domain::{ProjectName, Revision, SecretName};

use super::*;
use crate::{
    ActionSet, Administer, Audit, Create, Delete, Ground, GroundRecord, Identity, List, Narrowing,
    Read, Share, ShownToken, Update,
};

const NOW: Timestamp = Timestamp::from_unix_millis(1000);
const ALICE: Subject = Subject::User(uid(1));

const fn uid(number: u8) -> Uid {
    Uid::from_bytes([number; 16])
}

fn org(name: &str) -> OrgName {
    OrgName::parse(name).unwrap()
}

/// `ORG/PROJECT`.
fn project(path: &str) -> ProjectPath {
    let (in_org, name) = path.split_once('/').unwrap();
    ProjectPath { org: org(in_org), project: ProjectName::parse(name).unwrap() }
}

/// `ORG/PROJECT/NAME`.
fn secret(path: &str) -> SecretPath {
    let mut parts = path.splitn(3, '/');
    let mut part = || parts.next().unwrap();
    let project = project(&format!("{}/{}", part(), part()));
    SecretPath { project, name: SecretName::parse(part()).unwrap() }
}

fn known(path: &str, number: u8, owner: Option<Subject>) -> KnownSecret {
    KnownSecret { path: secret(path), uid: uid(number), owner }
}

/// The node with a path; the whole store has an empty one.
fn at(path: &str) -> Scope {
    match path.split('/').count() {
        1 if path.is_empty() => Scope::WholeStore,
        1 => Scope::Org(org(path)),
        2 => Scope::Project(project(path)),
        _ => Scope::Below(secret(path)),
    }
}

fn one(path: &str, number: u8) -> Scope {
    Scope::Secret(secret(path), uid(number))
}

fn right(role: Role, scope: Scope) -> Right {
    Right::new(role, scope).unwrap()
}

fn ground(number: u8, changed_at: u64) -> Ground {
    let record = GroundRecord::Principal(uid(number));
    Ground { record, changed_at: Revision::new(changed_at) }
}

fn token_ground() -> Ground {
    Ground { record: GroundRecord::Token(uid(99)), changed_at: Revision::new(9) }
}

fn someone(subject: Subject, held: Vec<Held>, token: Option<ShownToken>) -> Actor {
    let identity =
        Identity { name: "user:alice".to_owned(), subject, held, grounds: vec![ground(1, 7)] };
    Actor::known(Arc::new(identity), token.map(Arc::new))
}

fn directly(rights: impl IntoIterator<Item = Right>) -> Vec<Held> {
    rights.into_iter().map(|right| Held { right, group: None }).collect()
}

/// Alice, with one role at one place and no token.
fn alice(role: Role, scope: Scope) -> Actor {
    someone(ALICE, directly([right(role, scope)]), None)
}

/// Alice, with no right at all.
fn stranger() -> Actor {
    someone(ALICE, Vec::new(), None)
}

fn token(narrowing: Narrowing, expires: Option<Timestamp>) -> ShownToken {
    let (id, description) = (uid(99), "laptop".to_owned());
    ShownToken { id, description, expires, narrowing, ground: token_ground(), stands_in: false }
}

fn narrowed(projects: Option<&[&str]>, actions: Option<&[ActionKind]>) -> Narrowing {
    let projects = projects.map(|named| named.iter().map(|path| project(path)).collect());
    let actions = actions.map(|named| named.iter().copied().collect::<ActionSet>());
    Narrowing { projects, actions }
}

/// Alice, with one role at one place, behind a token.
fn alice_with(role: Role, scope: Scope, narrowing: Narrowing) -> Actor {
    someone(ALICE, directly([right(role, scope)]), Some(token(narrowing, None)))
}

/// What a decision says: which secret alone it holds for, if it does not hold for all; or why not.
type Told = Result<Option<Uid>, Denied>;

const YES: Told = Ok(None);
const FORBIDDEN: Told = Err(Denied::Forbidden);
const NOT_VISIBLE: Told = Err(Denied::NotVisible);
const EXPIRED: Told = Err(Denied::Expired);

/// Calls a decision with the type that stands for an action.
macro_rules! as_type {
    ($action:expr, $decide:ident($($argument:expr),*)) => {
        match $action {
            ActionKind::Administer => $decide::<Administer>($($argument),*),
            ActionKind::Audit => $decide::<Audit>($($argument),*),
            ActionKind::Create => $decide::<Create>($($argument),*),
            ActionKind::Delete => $decide::<Delete>($($argument),*),
            ActionKind::List => $decide::<List>($($argument),*),
            ActionKind::Read => $decide::<Read>($($argument),*),
            ActionKind::Share => $decide::<Share>($($argument),*),
            ActionKind::Update => $decide::<Update>($($argument),*),
            ActionKind::Use => $decide::<Use>($($argument),*),
        }
    };
}

fn told(actor: &Actor, action: ActionKind, resource: &(impl Resource + Clone)) -> Told {
    fn typed<A: Action>(actor: &Actor, resource: impl Resource) -> Told {
        decide::<A, _>(actor, resource, NOW).map(|permit| permit.only)
    }
    as_type!(action, typed(actor, resource.clone()))
}

fn told_known(actor: &Actor, action: ActionKind, secret: &KnownSecret) -> Told {
    fn typed<A: Action>(actor: &Actor, secret: &KnownSecret) -> Told {
        decide_known::<A>(actor, secret.clone(), NOW).map(|permit| permit.only)
    }
    as_type!(action, typed(actor, secret))
}

fn told_use(actor: &Actor, secret: &KnownSecret, there: &str, kind: BindingKind) -> Told {
    let permit = decide_use(actor, secret.clone(), (&project(there), kind), NOW);
    permit.map(|permit| permit.only)
}

/// The actions that an actor may perform on a resource, by name.
fn allowed(actor: &Actor, resource: &(impl Resource + Clone)) -> Vec<ActionKind> {
    let may = |action: &ActionKind| told(actor, *action, resource).is_ok();
    ActionKind::ALL.into_iter().filter(may).collect()
}

fn allowed_known(actor: &Actor, secret: &KnownSecret) -> Vec<ActionKind> {
    let may = |action: &ActionKind| told_known(actor, *action, secret).is_ok();
    ActionKind::ALL.into_iter().filter(may).collect()
}
