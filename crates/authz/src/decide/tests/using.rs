//! Who may refer to a secret in a workload of a project that it is bound to.

use BindingKind::{Members, Owner};

use super::*;

const HOME: &str = "acme/ml/team/hf";
const THERE: &str = "default/web";
const MAY: Told = Ok(Some(uid(5)));

fn bound() -> KnownSecret {
    known(HOME, 5, Some(Subject::User(uid(2))))
}

/// What is told for a binding that the secret's owner made, and for one for all members.
fn both(actor: &Actor) -> [Told; 2] {
    [Owner, Members].map(|kind| told_use(actor, &bound(), THERE, kind))
}

#[test]
fn the_owner_may_use_it_wherever_it_is_bound() {
    let owner = someone(Subject::User(uid(2)), Vec::new(), None);
    assert_eq!(both(&owner), [MAY, MAY]);
    let same_number = someone(Subject::Machine(uid(2)), Vec::new(), None);
    assert_eq!(both(&same_number), [NOT_VISIBLE, NOT_VISIBLE]);
}

#[test]
fn who_has_a_grant_on_it_may() {
    for scope in [one(HOME, 5), at(HOME), at("acme/ml/team")] {
        for role in [Role::Read, Role::Write, Role::Manage] {
            assert_eq!(both(&alice(role, scope.clone())), [MAY, MAY], "{role}");
        }
        let sees = alice(Role::Viewer, scope);
        assert_eq!(both(&sees), [FORBIDDEN, FORBIDDEN]);
    }
    for scope in [one(HOME, 6), at("acme/ml/tea"), at("acme/ml/team/hf/below")] {
        assert_eq!(both(&alice(Role::Manage, scope)), [NOT_VISIBLE, NOT_VISIBLE]);
    }
}

#[test]
fn a_member_of_the_project_may_when_it_is_bound_for_members_and_the_role_uses() {
    for role in Role::ALL.into_iter().filter(|role| !role.is_global()) {
        for scope in [THERE, "default"] {
            let uses = if role.allows(ActionKind::Use) { MAY } else { NOT_VISIBLE };
            assert_eq!(both(&alice(role, at(scope))), [NOT_VISIBLE, uses], "{role} {scope}");
        }
    }
    let part = alice(Role::Writer, at("default/web/team"));
    assert_eq!(both(&part), [NOT_VISIBLE, NOT_VISIBLE], "not a member");
}

#[test]
fn a_role_in_its_home_is_no_grant_on_it() {
    for role in [Role::Writer, Role::Owner] {
        for scope in ["acme/ml", "acme"] {
            assert_eq!(both(&alice(role, at(scope))), [FORBIDDEN, FORBIDDEN], "{role} {scope}");
        }
        assert_eq!(both(&alice(role, at(""))), [FORBIDDEN, MAY], "{role}: a member there, too");
    }
}

#[test]
fn administrators_may_and_other_global_roles_may_not() {
    assert_eq!(both(&alice(Role::Admin, at(""))), [MAY, MAY]);
    assert_eq!(both(&Actor::operator()), [MAY, MAY]);
    for role in [Role::Auditor, Role::ReadonlyAdmin] {
        assert_eq!(both(&alice(role, at(""))), [FORBIDDEN, FORBIDDEN], "{role}");
    }
}

#[test]
fn a_stranger_learns_nothing() {
    assert_eq!(both(&stranger()), [NOT_VISIBLE, NOT_VISIBLE]);
}

#[test]
fn a_token_must_be_good_for_using_and_for_the_project_where_it_is_used() {
    let admin = |narrowing| alice_with(Role::Admin, Scope::WholeStore, narrowing);
    let uses = Some(&[ActionKind::Use][..]);
    assert_eq!(both(&admin(narrowed(Some(&[THERE]), None))), [MAY, MAY]);
    assert_eq!(both(&admin(narrowed(Some(&[THERE]), uses))), [MAY, MAY]);
    assert_eq!(both(&admin(narrowed(Some(&["acme/ml"]), None))), [FORBIDDEN, FORBIDDEN]);
    let elsewhere = narrowed(Some(&["default/web2"]), None);
    assert_eq!(both(&admin(elsewhere)), [NOT_VISIBLE, NOT_VISIBLE]);
    let reads = narrowed(None, Some(&[ActionKind::List, ActionKind::Read]));
    assert_eq!(both(&admin(reads)), [FORBIDDEN, FORBIDDEN]);
}

#[test]
fn neither_binding_lets_anyone_do_anything_else() {
    let member = alice(Role::Owner, at(THERE));
    assert_eq!(told_use(&member, &bound(), THERE, Members), MAY);
    assert_eq!(allowed_known(&member, &bound()), []);
}

#[test]
fn the_reasons_tell_a_grant_from_a_membership() {
    let grant = Held { right: right(Role::Read, at(HOME)), group: None };
    let home = Held { right: right(Role::Writer, at("acme/ml")), group: None };
    let there = Held { right: right(Role::Writer, at(THERE)), group: Some(Arc::from("web")) };
    let held = vec![grant.clone(), home, there.clone()];
    let actor = someone(Subject::User(uid(2)), held, None);
    let (secret, project) = (bound(), project(THERE));
    let why = |kind| reasons_to_use(&actor, &secret, (&project, kind)).collect::<Vec<_>>();
    assert_eq!(why(Owner), [Reason::Owner, Reason::Right(&grant)]);
    let all = [Reason::Owner, Reason::Right(&grant), Reason::MembersBinding(&there)];
    assert_eq!(why(Members), all);
}
