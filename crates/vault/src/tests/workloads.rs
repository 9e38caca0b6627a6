//! Who may refer to which secret in a workload, and which secret a name means there.

use super::*;

use domain::{Placement, ProjectionState, ProjectionStatus, kubernetes_name};

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
    // In the cluster the name leads to the project's own, whatever a reference meant.
    let elsewhere = meant(&running, admin, "team", &home);
    assert!(matches!(elsewhere, Err(VaultError::NotFound)), "{elsewhere:?}");
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

/// A secret of another project, bound to a project by whoever may bind everything.
fn bind_in(running: &Running, home: &str, name: &str, kind: SecretType, to: &str) {
    let path = secret_in(home, name);
    let value = Plaintext::new(b"v".to_vec());
    let first = match kind {
        SecretType::Variable => Payload::variable(value).unwrap(),
        _ => payload("v"),
    };
    let new = first_of(First::Version(first));
    running.vault.create_secret(&running.may(path.clone()), &new).unwrap();
    let to = project(to);
    let wanted = |_: &[Binding]| -> Targets { vec![(to.clone(), Owner)] };
    let may_bind = |to: &ProjectPath, _: BindingKind| {
        let share = Sharing::Share(running.may(path.clone()));
        Ok(BindingPermit::Owner(share, running.may(to.clone())))
    };
    let may_unbind = |_: &ProjectPath| Ok(UnbindingPermit::Secret(running.may(path.clone())));
    let bindings = Rebinding { wanted: &wanted, may_bind: &may_bind, may_unbind: &may_unbind };
    running.vault.rebind_secret(&running.may(path.clone()), &bindings, None).unwrap();
}

/// Who binds a secret under a name that an older one has gets no reference to the older one.
#[test]
fn a_reference_to_ones_own_secret_does_not_lead_to_an_older_one_of_its_name() {
    let (home, running) = Running::with_project();
    ["team", "mallory"].iter().for_each(|name| running.make_project(name, vec![rule("n")]));
    bind_in(&running, "ml", "hf", SecretType::Opaque, "team");
    home.clock.pass_millis(1);
    bind_in(&running, "mallory", "hf", SecretType::Opaque, "team");
    let rights = [
        (Role::Writer, Scope::Project(project("team"))),
        (Role::Manage, Scope::Below(secret_in("mallory", "hf"))),
    ];
    let rights = rights.map(|(role, scope)| Right::new(role, scope).unwrap());
    let token = running.mint_rights(rights.into());
    let mallory = running.vault.authenticate(&token.text).unwrap();
    let own = meant(&running, &mallory, "team", &secret_in("mallory", "hf"));
    assert!(matches!(own, Err(VaultError::NotFound)), "{own:?}");
    assert!(is_hidden(&meant(&running, &mallory, "team", &secret("hf"))));
    assert!(is_hidden(&meant(&running, &mallory, "team", &secret_in("team", "hf"))));
    running.bind("hf", &[]).unwrap();
    for path in [secret_in("mallory", "hf"), secret_in("team", "hf")] {
        assert_eq!(meant(&running, &mallory, "team", &path).unwrap(), "default/mallory/hf");
    }
}

/// Names that differ may come to one name in Kubernetes, or to one key.
#[test]
fn a_bound_secret_appears_by_no_rule_under_which_an_older_one_has_its_place() {
    let (home, running) = Running::with_project();
    let merged = ProjectionRule::new(
        ProjectionMode::Merged,
        Namespace::parse("n").unwrap(),
        NamePattern::default_for(ProjectionMode::Merged),
    );
    let prefixed = ProjectionRule {
        name_pattern: NamePattern::parse(ProjectionMode::Each, "x-{name}").unwrap(),
        ..rule("n")
    };
    running.make_project("team", vec![rule("n"), merged.clone(), prefixed.clone()]);
    running.make_project("mallory", Vec::new());
    let clash = kubernetes_name("a/b");
    assert_eq!(clash, DataKey::for_text("a/b").as_str());
    let shown = |path: &SecretPath| {
        let permit = running.vault.permit_use(&running.admin, &project("team"), path).unwrap();
        running.vault.usable(&permit, &project("team")).unwrap().rules
    };
    bind_in(&running, "ml", "a/b", SecretType::Variable, "team");
    home.clock.pass_millis(1);
    bind_in(&running, "mallory", &clash, SecretType::Variable, "team");
    assert_eq!(shown(&secret("a/b")).len(), 3);
    assert_eq!(shown(&secret_in("mallory", &clash)), std::slice::from_ref(&prefixed));
    // What is no variable has no key in the one for all.
    let other = kubernetes_name("c/d");
    bind_in(&running, "ml", "c/d", SecretType::Opaque, "team");
    home.clock.pass_millis(1);
    bind_in(&running, "mallory", &other, SecretType::Variable, "team");
    assert_eq!(shown(&secret_in("mallory", &other)).len(), 2);
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

#[test]
fn how_a_projection_stands_is_told_of_that_secret_in_that_place_alone() {
    let (_home, running) = Running::with_project();
    let uid = running.create("hf", "1").unwrap().head.uid;
    running.create("other", "1").unwrap();
    let namespace = Namespace::parse("n").unwrap();
    let placement =
        Placement { cluster: "default".into(), namespace: namespace.clone(), name: "hf".into() };
    let state = |name: &str, place: (&Namespace, &str)| {
        let permit =
            running.vault.permit_use(&running.admin, &project("ml"), &secret(name)).unwrap();
        running.vault.projection_state(&permit, place).unwrap()
    };
    assert_eq!(state("hf", (&namespace, "hf")), None);
    running.vault.report_projection(ProjectionStatus {
        secret: secret("hf"),
        uid,
        placement: placement.clone(),
        state: ProjectionState::Synced,
        synced: None,
        since: running.now(),
        message: None,
    });
    assert_eq!(state("hf", (&namespace, "hf")), Some(ProjectionState::Synced));
    assert_eq!(state("other", (&namespace, "hf")), None);
    assert_eq!(state("hf", (&namespace, "other")), None);
    assert_eq!(state("hf", (&Namespace::parse("m").unwrap(), "hf")), None);
    running.vault.forget_projection(uid, &placement);
    assert_eq!(state("hf", (&namespace, "hf")), None);
}
