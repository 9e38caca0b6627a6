//! Who may give which role where: nobody gives what they do not have.

use super::*;

fn given(actor: &Actor, scope: &Scope, owner: Option<Subject>) -> Vec<Role> {
    let may = |role: &Role| {
        Right::new(*role, scope.clone()).is_ok_and(|right| may_give(actor, &right, owner))
    };
    Role::ALL.into_iter().filter(may).collect()
}

#[test]
fn who_does_not_read_makes_no_reader() {
    let manager = alice(Role::Manager, at("acme/ml"));
    let roles = [Role::Contributor, Role::Manager, Role::Viewer];
    assert_eq!(given(&manager, &at("acme/ml"), None), roles);
    assert_eq!(given(&manager, &at("acme/ml/team"), None), roles);
    for elsewhere in ["", "acme", "acme/ml2", "acme/web/team"] {
        assert_eq!(given(&manager, &at(elsewhere), None), [], "{elsewhere}");
    }
}

#[test]
fn an_owner_gives_everything_but_global_roles() {
    let all_but_global: Vec<_> = Role::ALL.into_iter().filter(|role| !role.is_global()).collect();
    let owner = alice(Role::Owner, at("acme/ml"));
    assert_eq!(given(&owner, &at("acme/ml"), None), all_but_global);
    assert_eq!(given(&owner, &at("acme/ml/team"), None), all_but_global);
    assert_eq!(given(&owner, &at("acme"), None), []);
    assert_eq!(given(&owner, &at(""), None), []);
    assert_eq!(given(&stranger(), &one("acme/ml/hf", 5), Some(ALICE)), all_but_global);
    assert_eq!(given(&stranger(), &one("acme/ml/hf", 5), Some(Subject::User(uid(2)))), []);
    assert_eq!(given(&stranger(), &one("acme/ml/hf", 5), None), []);
}

/// Symptom: who had made a secret `team` could give rights on everything below `team/`, and could
/// take the rights on it that others had been given. Cause: whose the secret is was counted for its
/// name as well. Fix: it counts for a right on that secret alone.
#[test]
fn an_owner_gives_nothing_on_the_name_and_on_what_lies_below_it() {
    assert_eq!(given(&stranger(), &at("acme/ml/team"), Some(ALICE)), []);
}

#[test]
fn a_global_role_is_given_by_an_administrator() {
    let admin = alice(Role::Admin, Scope::WholeStore);
    assert_eq!(given(&admin, &Scope::WholeStore, None), Role::ALL);
    assert_eq!(given(&Actor::operator(), &Scope::WholeStore, None), Role::ALL);
    for role in [Role::Owner, Role::Manager, Role::Manage] {
        let held = given(&alice(role, Scope::WholeStore), &Scope::WholeStore, None);
        assert!(!held.contains(&Role::Admin) && !held.contains(&Role::Auditor), "{role}: {held:?}");
    }
}

#[test]
fn who_has_a_grant_gives_what_it_holds() {
    let grants = [Role::Manage, Role::Read, Role::Viewer, Role::Write];
    let of_one = alice(Role::Manage, one("acme/ml/team/hf", 5));
    assert_eq!(given(&of_one, &one("acme/ml/team/hf", 5), None), grants);
    assert_eq!(given(&of_one, &one("acme/ml/team/hf", 6), None), []);
    assert_eq!(given(&of_one, &at("acme/ml/team/hf"), None), [], "the name is not theirs");
    let of_prefix = alice(Role::Manage, at("acme/ml/team"));
    for scope in [at("acme/ml/team"), at("acme/ml/team/hf"), one("acme/ml/team/hf", 5)] {
        assert_eq!(given(&of_prefix, &scope, None), grants);
    }
    assert_eq!(given(&of_prefix, &at("acme/ml"), None), []);
}

#[test]
fn a_token_narrows_what_is_given() {
    let narrowing = narrowed(Some(&["acme/ml"]), Some(&[ActionKind::List, ActionKind::Share]));
    let admin = alice_with(Role::Admin, Scope::WholeStore, narrowing);
    assert_eq!(given(&admin, &at("acme/ml"), None), [Role::Viewer]);
    assert_eq!(given(&admin, &at("acme/ml/team"), None), [Role::Viewer]);
    for elsewhere in ["", "acme", "acme/web"] {
        assert_eq!(given(&admin, &at(elsewhere), None), [], "{elsewhere}");
    }
}
