//! Tokens that stand for another one, and what identities are called.

use authz::{ActionKind, ActionSet, Narrowing};
use domain::PrincipalName;

use super::*;

fn user(running: &Running, name: &str) -> Actor {
    let (kind, name) = (PrincipalKind::User, PrincipalName::parse(name).unwrap());
    let new = NewPrincipal { kind, name, password: None, members: Vec::new(), rights: Vec::new() };
    let made = running.vault.create_principal(&running.may(WholeStore), &new).unwrap();
    running.vault.rights.principal_actor(made.uid).unwrap()
}

/// A token of an account that lists only, for 100 seconds.
fn narrowed(running: &Running, account: &Actor) -> MintedToken {
    let actions = [ActionKind::List].into_iter().collect::<ActionSet>();
    let narrowing = Narrowing { projects: Some(vec![project("alice")]), actions: Some(actions) };
    let new = NewToken {
        description: "narrow".to_owned(),
        holder: NewHolder::Myself(narrowing),
        expires: Some(running.now().plus_seconds(100)),
        jwt: false,
    };
    running.vault.create_own_token(account, new).unwrap()
}

fn hour(running: &Running) -> Timestamp {
    running.now().plus_seconds(3600)
}

#[test]
fn a_stand_in_can_do_what_its_token_can_and_no_longer() {
    let (home, running) = Running::with_project();
    let token = narrowed(&running, &user(&running, "alice"));
    let actor = running.vault.authenticate(&token.text).unwrap();
    let made = running.vault.make_stand_in(&actor, hour(&running)).unwrap();
    assert_eq!(made.seconds, 100);
    assert!(!stored(&running, made.text.as_bytes()));
    let shown = running.vault.authenticate(&made.text).unwrap();
    assert_eq!(shown.name(), "user:alice");
    let (own, its) = (actor.token().unwrap(), shown.token().unwrap());
    assert_eq!((own.id, &own.narrowing, own.expires), (its.id, &its.narrowing, its.expires));
    assert_eq!(shown.basis(), actor.basis());
    // One that is made with it ends with it as well.
    let again = running.vault.make_stand_in(&shown, hour(&running)).unwrap();
    home.clock.pass_millis(99_999);
    for text in [&made.text, &again.text] {
        assert!(running.vault.authenticate(text).is_some());
    }
    assert!(running.vault.make_stand_in(&shown, hour(&running)).is_none());
    home.clock.pass_millis(1);
    for text in [&made.text, &again.text] {
        assert!(running.vault.authenticate(text).is_none());
    }
}

#[test]
fn a_stand_in_ends_when_it_says_though_its_token_does_not() {
    let (home, running) = Running::with_project();
    let token = running.mint(Role::Writer, Scope::Project(project("ml")));
    let actor = running.vault.authenticate(&token.text).unwrap();
    let made = running.vault.make_stand_in(&actor, running.now().plus_seconds(10)).unwrap();
    let shown = running.vault.authenticate(&made.text).unwrap();
    // What is narrowed is not made to last, so the end of it is known.
    assert_eq!(shown.token().unwrap().expires, Some(running.now().plus_seconds(10)));
    home.clock.pass_millis(10_000);
    assert!(running.vault.authenticate(&made.text).is_none());
    assert!(running.vault.authenticate(&token.text).is_some());
}

#[test]
fn a_stand_in_ends_with_its_token_and_its_account() {
    let (_home, running) = Running::with_project();
    let alice = user(&running, "alice");
    let stand_in = || {
        let token = narrowed(&running, &alice);
        let actor = running.vault.authenticate(&token.text).unwrap();
        (token.view.id, running.vault.make_stand_in(&actor, hour(&running)).unwrap().text)
    };
    let ((id, revoked), (_, shut_out)) = (stand_in(), stand_in());
    running.vault.revoke_token(&running.may(WholeStore), id).unwrap();
    assert!(running.vault.authenticate(&revoked).is_none());
    assert!(running.vault.authenticate(&shut_out).is_some());
    let change = PrincipalChange { disabled: Some(true), ..PrincipalChange::default() };
    let (kind, name) = (PrincipalKind::User, PrincipalName::parse("alice").unwrap());
    running.vault.change_principal(&running.may(WholeStore), kind, &name, &change).unwrap();
    assert!(running.vault.authenticate(&shut_out).is_none());
}

#[test]
fn a_stand_in_is_good_after_a_restart_and_none_that_was_changed_is() {
    let (home, running) = Running::with_project();
    let made = running.vault.make_stand_in(&running.admin, hour(&running)).unwrap();
    assert!(running.vault.make_stand_in(&Actor::operator(), hour(&running)).is_none());
    drop(running);
    let again = home.start();
    assert!(again.vault.authenticate(&made.text).is_some());
    let mut changed = made.text.to_string();
    let last = changed.pop().unwrap();
    changed.push(if last == 'A' { 'E' } else { 'A' });
    assert!(again.vault.authenticate(&changed).is_none());
}

#[test]
fn identities_of_owners_lead_to_their_names() {
    let (_home, running) = Running::with_project();
    let alice = user(&running, "alice").subject().unwrap().uid();
    let acme = OrgName::parse("acme").unwrap();
    let org = running.vault.create_org(&running.may(WholeStore), &acme).unwrap().uid.unwrap();
    let seen = running.vault.project(&running.may(authz::SeenProject(project("ml")))).unwrap();
    assert_eq!(running.vault.project_of(seen.uid).unwrap(), Some(project("ml")));
    assert_eq!(running.vault.org_of(org), Some(acme));
    assert_eq!(running.vault.user_of(alice).as_deref(), Some("alice"));
    // Each is of one kind.
    assert_eq!(running.vault.project_of(org).unwrap(), None);
    assert_eq!(running.vault.org_of(alice), None);
    assert_eq!(running.vault.user_of(seen.uid), None);
}

#[test]
fn no_user_owns_a_project_that_is_kept_for_others_by_their_name() {
    let reserved_projects = vec![project("organization")];
    let settings = Settings { reserved_projects, ..Settings::default() };
    let (_home, running) = Running::with_settings(settings);
    let name = PrincipalName::parse("organization").unwrap();
    let new = |kind| NewPrincipal {
        kind,
        name: name.clone(),
        password: None,
        members: Vec::new(),
        rights: Vec::new(),
    };
    let made = |kind| running.vault.create_principal(&running.may(WholeStore), &new(kind));
    refused!(made(PrincipalKind::User), VaultError::Invalid(wrong) if wrong.field == "metadata.name");
    made(PrincipalKind::Machine).unwrap();
}

#[test]
fn a_stand_in_makes_no_token_that_would_outlive_it() {
    let (_home, running) = Running::with_project();
    let account = user(&running, "alice");
    let new = || NewToken {
        description: "own".to_owned(),
        holder: NewHolder::Myself(Narrowing::default()),
        expires: None,
        jwt: false,
    };
    let token = running.vault.create_own_token(&account, new()).unwrap();
    let actor = running.vault.authenticate(&token.text).unwrap();
    let made = running.vault.make_stand_in(&actor, hour(&running)).unwrap();
    let shown = running.vault.authenticate(&made.text).unwrap();
    refused!(running.vault.create_own_token(&shown, new()), VaultError::Invalid(_));
    assert!(running.vault.create_own_token(&actor, new()).is_ok());
}
