//! What must hold for all rights, and that a second decision, made naively, is the same.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::oracle::{
    NODES, Owners, SECRETS, Somebody, Token, Where, expected, expected_known, expected_use,
    has_part, is_member, is_over, project_of, walk,
};
use super::*;

/// Somebody else, of Alice's number.
const ROBOT: Subject = Subject::Machine(uid(1));

impl Somebody {
    fn actor(&self) -> Actor {
        let held = self.held.iter().map(|(role, (path, number))| {
            let scope = number.map_or_else(|| at(path), |number| one(path, number));
            right(*role, scope)
        });
        let shown = self.token.as_ref().map(|shown| {
            let narrowing = narrowed(shown.projects.as_deref(), shown.actions.as_deref());
            let expires = if shown.is_over { 1000 } else { 1001 };
            token(narrowing, Some(Timestamp::from_unix_millis(expires)))
        });
        someone(ALICE, directly(held), shown)
    }

    fn without_token(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    fn and(&self, role: Role, place: Where) -> Self {
        let mut more = self.clone();
        more.held.push((role, place));
        more
    }
}

fn projects() -> impl Iterator<Item = &'static str> {
    NODES.into_iter().filter(|path| path.matches('/').count() == 1)
}

fn told_at(actor: &Actor, path: &str, action: ActionKind) -> Told {
    match path.matches('/').count() {
        0 if path.is_empty() => told(actor, action, &WholeStore),
        0 => told(actor, action, &org(path)),
        1 => told(actor, action, &project(path)),
        _ => told(actor, action, &secret(path)),
    }
}

/// All that an actor is told: what was asked about, which lies at the first path and, when it is
/// used elsewhere, at the second one; and the answer.
fn all_told(actor: &Actor, owners: &Owners) -> Vec<(String, [&'static str; 2], Told)> {
    let mut all = Vec::new();
    for action in ActionKind::ALL {
        for path in NODES {
            all.push((format!("{action} {path}"), [path; 2], told_at(actor, path, action)));
        }
        for ((path, number), owner) in SECRETS.into_iter().zip(owners) {
            let known = known(path, number, *owner);
            let told = told_known(actor, action, &known);
            all.push((format!("{action} {path} {number}"), [path; 2], told));
        }
    }
    for there in projects() {
        let seen = told(actor, ActionKind::List, &SeenProject(project(there)));
        all.push((format!("see {there}"), [there; 2], seen));
        let part = told(actor, ActionKind::List, &PartOfProject(project(there)));
        all.push((format!("part of {there}"), [there; 2], part));
        for ((path, number), owner) in SECRETS.into_iter().zip(owners) {
            for kind in [BindingKind::Owner, BindingKind::Members] {
                let told = told_use(actor, &known(path, number, *owner), there, kind);
                all.push((format!("use {path} {number} in {there} {kind:?}"), [path, there], told));
            }
        }
    }
    all
}

fn any_right() -> impl Strategy<Value = (Role, Where)> {
    let at_node = select(&NODES[..]).prop_map(|path| (path, None));
    let for_one = select(&SECRETS[..]).prop_map(|(path, number)| (path, Some(number)));
    (select(&Role::ALL[..]), prop_oneof![3 => at_node, 1 => for_one])
        .prop_map(|(role, place)| (role, if role.is_global() { ("", None) } else { place }))
}

fn any_token() -> impl Strategy<Value = Token> {
    let projects = option::of(vec(select(projects().collect::<Vec<_>>()), 0..3));
    let actions = option::of(vec(select(&ActionKind::ALL[..]), 0..6));
    (projects, actions, proptest::bool::weighted(0.05))
        .prop_map(|(projects, actions, is_over)| Token { projects, actions, is_over })
}

fn anybody() -> impl Strategy<Value = Somebody> {
    (vec(any_right(), 0..4), option::of(any_token()))
        .prop_map(|(held, token)| Somebody { held, token })
}

fn any_owners() -> impl Strategy<Value = Owners> {
    vec(select(&[None, Some(ALICE), Some(ROBOT)][..]), SECRETS.len())
}

proptest! {
    #[test]
    fn the_oracle_agrees(who in anybody(), owners in any_owners()) {
        let actor = who.actor();
        for action in ActionKind::ALL {
            for path in NODES {
                let told = told_at(&actor, path, action);
                prop_assert_eq!(told, expected(&who, path, action), "{} {}", action, path);
                prop_assert_eq!(told, super::told(&actor, action, &at(path)), "as a scope");
            }
            for (secret, owner) in SECRETS.into_iter().zip(&owners) {
                let known = known(secret.0, secret.1, *owner);
                let expected = expected_known(&who, secret, *owner, action);
                let told = told_known(&actor, action, &known);
                prop_assert_eq!(told, expected, "{} {:?}", action, known);
                for (there, kind) in projects().flat_map(|there| {
                    [BindingKind::Owner, BindingKind::Members].map(|kind| (there, kind))
                }) {
                    let expected = expected_use(&who, secret, *owner, (there, kind));
                    let told = told_use(&actor, &known, there, kind);
                    prop_assert_eq!(told, expected, "{:?} in {} {:?}", known, there, kind);
                }
            }
        }
        for path in projects() {
            let (seen, part) = (SeenProject(project(path)), PartOfProject(project(path)));
            for (told, opened) in [
                (told(&actor, ActionKind::List, &seen), is_member(&who, path)),
                (told(&actor, ActionKind::List, &part), has_part(&who, path)),
            ] {
                let expected = match opened {
                    _ if is_over(&who) => EXPIRED,
                    true => YES,
                    false => NOT_VISIBLE,
                };
                prop_assert_eq!(told, expected, "{}", path);
            }
        }
    }

    #[test]
    fn narrowing_never_adds(who in anybody(), token in any_token(), owners in any_owners()) {
        let narrow = all_told(&Somebody { token: Some(token), ..who.clone() }.actor(), &owners);
        let plain = all_told(&who.without_token().actor(), &owners);
        for ((what, _, narrow), (_, _, plain)) in narrow.into_iter().zip(plain) {
            prop_assert!(narrow.is_err() || narrow == plain, "{} {:?} {:?}", what, narrow, plain);
        }
    }

    #[test]
    fn a_right_more_never_takes_a_permission(
        who in anybody(),
        (role, place) in any_right(),
        owners in any_owners(),
    ) {
        let before = all_told(&who.actor(), &owners);
        let after = all_told(&who.and(role, place).actor(), &owners);
        for ((what, _, before), (_, _, after)) in before.into_iter().zip(after) {
            prop_assert!(before.is_err() || after.is_ok(), "{} {:?} {:?}", what, before, after);
            prop_assert!(before != FORBIDDEN || after != NOT_VISIBLE, "{} is hidden", what);
        }
    }

    #[test]
    fn a_grant_in_one_tenant_changes_no_decision_about_another(
        who in anybody(),
        (role, place) in any_right().prop_filter("of a tenant", |(_, place)| !place.0.is_empty()),
        owners in any_owners(),
    ) {
        let tenant = project_of(place.0).unwrap_or(place.0);
        let before = all_told(&who.actor(), &owners);
        let after = all_told(&who.and(role, place).actor(), &owners);
        for ((what, paths, before), (_, _, after)) in before.into_iter().zip(after) {
            let is_another = paths.iter().all(|path| !walk(path).contains(&tenant));
            prop_assert!(!is_another || before == after, "{} {:?} {:?}", what, before, after);
        }
    }

    /// Who was given a right, and has no other, may nothing that the giver may not.
    #[test]
    fn nobody_gives_what_they_do_not_have(
        who in anybody().prop_filter("whose token lasts", |who| !is_over(who)),
        (role, place) in any_right(),
        owners in any_owners(),
    ) {
        let of_secret = SECRETS.into_iter().zip(&owners).find(|((path, number), _)| {
            place.1.map_or(*path == place.0, |wanted| *number == wanted)
        });
        let owner = of_secret.and_then(|(_, owner)| *owner);
        let given = Somebody { held: vec![(role, place)], token: None };
        let [actor, given] = [who.actor(), given.actor()];
        let right = given.identity().unwrap().held[0].right.clone();
        if may_give(&actor, &right, owner) {
            for action in ActionKind::ALL {
                for path in NODES {
                    let theirs = told_at(&given, path, action);
                    let ours = told_at(&actor, path, action);
                    prop_assert!(theirs.is_err() || ours.is_ok(), "{} {}", action, path);
                }
                for ((path, number), owner) in SECRETS.into_iter().zip(&owners) {
                    let known = known(path, number, None);
                    let theirs = told_known(&given, action, &known);
                    let ours = told_known(&actor, action, &KnownSecret { owner: *owner, ..known });
                    prop_assert!(theirs.is_err() || ours.is_ok(), "{} {} {}", action, path, number);
                }
            }
        }
    }
}
