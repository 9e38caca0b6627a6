//! Who may refer to which secret in a workload, and which secret a name means there.

use super::*;

use BindingKind::{Members, Owner};

/// The secret that a name means in a workload of a project, for an actor who may use it.
fn meant(
    running: &Running,
    actor: &Actor,
    within: &str,
    path: &SecretPath,
) -> Result<String, VaultError> {
    let permit = running.vault.permit_use(actor, &project(within), path)?;
    running.vault.usable(&permit, &project(within))?;
    Ok(permit.resource().to_string())
}

fn is_hidden(result: &Result<String, VaultError>) -> bool {
    matches!(result, Err(VaultError::NotPermitted(authz::Denied::NotVisible)))
}

#[test]
fn a_name_means_the_projects_own_secret_before_one_that_is_bound_to_it() {
    let (_home, running) = Running::with_project();
    running.make_project("team", vec![rule("team")]);
    running.create("hf", "1").unwrap();
    let admin = &running.admin;
    let (here, home) = (secret_in("team", "hf"), secret("hf"));
    let absent = meant(&running, admin, "team", &here);
    assert!(matches!(absent, Err(VaultError::NotFound)), "it is not bound yet: {absent:?}");
    let elsewhere = meant(&running, admin, "team", &home);
    assert!(matches!(elsewhere, Err(VaultError::NotFound)), "{elsewhere:?}");

    running.bind("hf", &[("team", Owner)]).unwrap();
    for path in [&here, &home] {
        assert_eq!(meant(&running, admin, "team", path).unwrap(), "default/ml/hf");
    }
    running.vault.create_secret(&running.may(here.clone()), &new_secret("2")).unwrap();
    assert_eq!(meant(&running, admin, "team", &here).unwrap(), "default/team/hf");
    // What has no live version is not projected, and takes no name there.
    let versions = Versions { numbers: &BTreeSet::from([1]), expected: None };
    running.vault.delete_versions(&running.may(here.clone()), &versions).unwrap();
    assert_eq!(meant(&running, admin, "team", &here).unwrap(), "default/ml/hf");
}

#[test]
fn who_may_use_a_bound_secret_is_for_the_kind_of_its_binding_to_say() {
    let (_home, running) = Running::with_project();
    running.make_project("team", vec![rule("team")]);
    running.create("hf", "1").unwrap();
    let member = running.actor(&[(Role::Contributor, "team")]);
    let stranger = running.actor(&[(Role::Contributor, "ml")]);
    let here = secret_in("team", "hf");
    running.bind("hf", &[("team", Owner)]).unwrap();
    assert!(is_hidden(&meant(&running, &member, "team", &here)));
    running.bind("hf", &[("team", Members)]).unwrap();
    assert_eq!(meant(&running, &member, "team", &here).unwrap(), "default/ml/hf");
    assert!(is_hidden(&meant(&running, &stranger, "team", &here)));
    // Nobody learns from it whether there is such a secret.
    assert!(is_hidden(&meant(&running, &stranger, "team", &secret_in("team", "none"))));
    assert!(is_hidden(&meant(&running, &stranger, "none", &secret_in("none", "hf"))));
}

#[test]
fn a_secret_that_was_unbound_since_the_decision_is_usable_no_more() {
    let (_home, running) = Running::with_project();
    running.make_project("team", vec![rule("team")]);
    running.create("hf", "1").unwrap();
    running.bind("hf", &[("team", Owner)]).unwrap();
    let there = secret_in("team", "hf");
    let permit = running.vault.permit_use(&running.admin, &project("team"), &there).unwrap();
    running.bind("hf", &[]).unwrap();
    assert!(running.vault.usable(&permit, &project("team")).is_err());
    assert!(running.vault.usable(&permit, &project("ml")).is_ok());
}
