//! Tokens, and what ends with them.

use super::*;

/// What an actor may do is decided before the act and holds until its commit, or the act is void.
#[test]
fn an_act_is_void_when_the_token_was_revoked_between_decision_and_commit() {
    let (_home, running) = Running::with_project();
    let token = running.mint(Role::Writer, Scope::Project(project("ml")));
    let writer = running.vault.authenticate(&token.text).unwrap();
    let permit = decide::<Create, _>(&writer, secret("late"), running.now()).unwrap();
    let admin = decide::<Administer, _>(&running.admin, WholeStore, running.now()).unwrap();
    running.vault.revoke_token(&admin, token.view.id).unwrap();
    assert!(running.vault.authenticate(&token.text).is_none());
    let refused = running.vault.create_secret(&permit, &new_secret("x"));
    assert!(matches!(refused, Err(VaultError::RightsChanged)), "{:?}", refused.err());
    assert!(matches!(running.reveal("late", None), Err(VaultError::NotFound)));
}

#[test]
fn a_token_survives_a_restart_ends_at_its_time_and_is_not_stored() {
    let (home, running) = Running::with_project();
    let permit = decide::<Administer, _>(&running.admin, WholeStore, running.now()).unwrap();
    let expires = Some(running.now().plus_seconds(60));
    let rights = vec![Right::new(Role::Admin, Scope::WholeStore).unwrap()];
    let new = new_token("", rights, expires);
    let token = running.vault.create_token(&permit, new).unwrap();
    drop(running);
    let again = home.start();
    assert!(again.vault.authenticate(&token.text).is_some());
    home.clock.0.fetch_add(59_999, Ordering::SeqCst);
    assert!(again.vault.authenticate(&token.text).is_some());
    home.clock.0.fetch_add(1, Ordering::SeqCst);
    assert!(again.vault.authenticate(&token.text).is_none());
    assert!(!stored(&again, token.text.as_bytes()));
}

#[test]
fn the_last_administrators_token_stays() {
    let (_home, running) = Running::with_project();
    let permit = decide::<Administer, _>(&running.admin, WholeStore, running.now()).unwrap();
    let own = running.admin.token().unwrap().id;
    let refused = running.vault.revoke_token(&permit, own);
    assert!(matches!(refused, Err(VaultError::LastAdministrator)));
    running.mint(Role::Admin, Scope::WholeStore);
    assert!(running.vault.revoke_token(&permit, own).is_ok());
}
