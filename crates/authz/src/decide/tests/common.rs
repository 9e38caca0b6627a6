//! Who may make a secret in a common home.

use super::*;

const HOME: &str = "default/safe/x";

fn told_for(actor: &Actor, open: bool, projects: &[&str]) -> Told {
    let Scope::Below(home) = at(HOME) else { panic!("a secret") };
    let projects: Vec<_> = projects.iter().map(|text| project(text)).collect();
    let permit = decide_create_for(actor, (home, open), &projects, NOW);
    permit.map(|permit| permit.only)
}

#[test]
fn who_may_create_in_each_project_may_on_their_account() {
    for role in Role::ALL.into_iter().filter(|role| !role.is_global()) {
        let actor = alice(role, at("default/w"));
        let creates = if role.allows(ActionKind::Create) { Ok(None) } else { NOT_VISIBLE };
        assert_eq!(told_for(&actor, false, &["default/w"]), creates, "{role}");
        assert_eq!(told_for(&actor, true, &["default/w"]), creates, "{role}, open or not");
        assert_eq!(told_for(&actor, true, &["default/w", "default/v"]), NOT_VISIBLE, "{role}");
    }
}

#[test]
fn without_a_project_who_may_create_in_the_home_may_and_everyone_where_it_is_open() {
    let stranger = alice(Role::Contributor, at("default/w"));
    assert_eq!(told_for(&stranger, false, &[]), NOT_VISIBLE);
    assert_eq!(told_for(&stranger, true, &[]), Ok(None));
    let at_home = alice(Role::Contributor, at("default/safe"));
    assert_eq!(told_for(&at_home, false, &[]), Ok(None));
    // Whoever creates at home creates there on anybody's account.
    assert_eq!(told_for(&at_home, false, &["default/w"]), Ok(None));
}
