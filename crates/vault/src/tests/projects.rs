//! Projects: removed when nothing needs them, and not before.

use authz::SeenProject;

use super::*;

#[test]
fn a_project_with_secrets_stays_and_takes_more() {
    let (_home, running) = Running::with_project();
    running.create("hf", "1").unwrap();
    let permit = || decide::<Administer, _>(&running.admin, project("ml"), running.now()).unwrap();
    let refused = running.vault.delete_project(&permit(), None);
    assert!(matches!(refused, Err(VaultError::ProjectNotEmpty)));
    running.create("more", "1").unwrap();
    for name in ["hf", "more"] {
        running.delete(name).unwrap();
        let refused = running.vault.delete_project(&permit(), None);
        assert!(matches!(
            refused,
            Err(VaultError::ProjectNotEmpty | VaultError::ProjectHasDeletedSecrets)
        ));
        let purge = decide::<Delete, _>(&running.admin, secret(name), running.now()).unwrap();
        running.vault.purge_secret(&purge, None).unwrap();
    }
    running.vault.delete_project(&permit(), None).unwrap();
    assert!(matches!(running.create("late", "1"), Err(VaultError::NotFound)));
}

#[test]
fn a_project_that_is_being_removed_takes_no_secret_and_can_be_removed_again() {
    let (_home, running) = Running::with_project();
    let (mut record, revision) = running.vault.project_record(&project("ml")).unwrap();
    record.deleting = true;
    let key = Key::project(&project("ml"));
    let mut commit = Commit::default();
    commit.require(Precondition::ChangedAt(key.clone(), revision));
    commit.put(key.clone(), running.vault.seal_record(&key, &record.encode()).unwrap());
    running.engine.commit(commit).unwrap();
    assert!(matches!(running.create("hf", "1"), Err(VaultError::NotFound)));
    let permit = decide::<Administer, _>(&running.admin, project("ml"), running.now()).unwrap();
    running.vault.delete_project(&permit, None).unwrap();
}

/// Rights are by name: they must not wait for the next project of that name.
#[test]
fn a_project_that_a_token_names_stays_and_a_token_names_only_projects_that_exist() {
    let (_home, running) = Running::with_project();
    let token = running.mint(Role::Writer, Scope::Project(project("ml")));
    let remove = decide::<Administer, _>(&running.admin, project("ml"), running.now()).unwrap();
    let refused = running.vault.delete_project(&remove, None);
    assert!(matches!(refused, Err(VaultError::ProjectHasTokens)));
    let admin = decide::<Administer, _>(&running.admin, WholeStore, running.now()).unwrap();
    running.vault.revoke_token(&admin, token.view.id).unwrap();
    running.vault.delete_project(&remove, None).unwrap();
    let rights = vec![Right::new(Role::Writer, Scope::Project(project("ml"))).unwrap()];
    let new = new_token("", rights, None);
    let refused = running.vault.create_token(&admin, new).err();
    assert!(matches!(refused, Some(VaultError::Invalid(invalid)) if invalid.field == "rights"));
}

/// A refused removal changes nothing that others insist on.
#[test]
fn a_refused_removal_leaves_the_projects_version_alone() {
    let (_home, running) = Running::with_project();
    running.create("hf", "1").unwrap();
    let list =
        decide::<List, _>(&running.admin, SeenProject(project("ml")), running.now()).unwrap();
    let before = running.vault.project(&list).unwrap().resource_version;
    let remove = decide::<Administer, _>(&running.admin, project("ml"), running.now()).unwrap();
    assert!(running.vault.delete_project(&remove, None).is_err());
    assert_eq!(running.vault.project(&list).unwrap().resource_version, before);
}
