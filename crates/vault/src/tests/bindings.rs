//! Bindings: who may make and end them, and what they leave behind.

use super::*;

use BindingKind::{Members, Owner};

/// Binds a secret to exactly these projects, with the rights that an actor has.
pub(super) fn bind_as(
    running: &Running,
    actor: &Actor,
    name: &str,
    targets: &[(&str, BindingKind)],
) -> Result<SecretView, VaultError> {
    let now = running.now();
    let wanted = |_: &[Binding]| -> Targets {
        targets.iter().map(|(name, kind)| (project(name), *kind)).collect()
    };
    let may_bind = |to: &ProjectPath, kind: BindingKind| {
        let share = decide(actor, secret(name), now).map_err(VaultError::NotPermitted)?;
        Ok(match kind {
            Owner => {
                let to = decide(actor, to.clone(), now).map_err(|_| unusable())?;
                BindingPermit::Owner(Sharing::Share(share), to)
            }
            Members => {
                let to = decide(actor, to.clone(), now).map_err(|_| unusable())?;
                BindingPermit::Members(Sharing::Share(share), to)
            }
        })
    };
    let may_unbind = |from: &ProjectPath| match decide(actor, secret(name), now) {
        Ok(share) => Ok(UnbindingPermit::Secret(share)),
        Err(_) => decide(actor, from.clone(), now)
            .map(UnbindingPermit::Project)
            .map_err(VaultError::NotPermitted),
    };
    let rebinding = Rebinding { wanted: &wanted, may_bind: &may_bind, may_unbind: &may_unbind };
    let permit = decide(actor, secret(name), now).map_err(VaultError::NotPermitted)?;
    running.vault.rebind_secret(&permit, &rebinding, None)
}

/// A store whose secret `hf` has three other projects to be bound to.
fn with_others() -> (Home, Running) {
    let (home, running) = Running::with_project();
    for name in ["a", "b", "c"] {
        running.make_project(name, vec![rule(name)]);
    }
    running.create("hf", "1").unwrap();
    (home, running)
}

fn bound(view: &SecretView) -> Vec<(String, BindingKind)> {
    let bindings = view.head.bindings.iter();
    bindings.map(|b| (b.project.project.to_string(), b.kind)).collect()
}

fn bound_in(running: &Running, name: &str) -> Vec<String> {
    let views = running.vault.bound_secrets(&running.may(project(name))).unwrap();
    views.into_iter().map(|view| view.path.to_string()).collect()
}

#[test]
fn a_secret_is_bound_listed_there_and_unbound_with_a_tombstone() {
    let (home, running) = with_others();
    let view = running.bind("hf", &[("b", Members), ("a", Owner)]).unwrap();
    assert_eq!(bound(&view), [("a".to_owned(), Owner), ("b".to_owned(), Members)]);
    assert_eq!(bound_in(&running, "a"), ["default/ml/hf"]);
    running.check_records();
    assert!(running.tombstones().is_empty());

    let view = running.bind("hf", &[("b", Members)]).unwrap();
    assert_eq!(bound(&view), [("b".to_owned(), Members)]);
    let what: Vec<_> = running.tombstones().into_iter().map(|t| t.what).collect();
    let uid = view.head.uid;
    assert_eq!(what, [Retired::Binding { path: secret("hf"), uid, project: project("a") }]);
    assert!(bound_in(&running, "a").is_empty());
    let again = home.killed().start();
    again.check_records();
    assert_eq!(bound_in(&again, "b"), ["default/ml/hf"]);
}

#[test]
fn a_binding_that_is_wanted_as_it_is_writes_nothing() {
    let (_home, running) = with_others();
    let before = running.bind("hf", &[("a", Owner)]).unwrap().resource_version;
    assert_eq!(running.bind("hf", &[("a", Owner)]).unwrap().resource_version, before);
    assert_eq!(running.vault.resource_version(), before);
}

#[test]
fn a_change_of_kind_keeps_the_projections() {
    let (_home, running) = with_others();
    running.bind("hf", &[("a", Owner)]).unwrap();
    let view = running.bind("hf", &[("a", Members)]).unwrap();
    assert_eq!(bound(&view), [("a".to_owned(), Members)]);
    assert!(running.tombstones().is_empty());
    running.check_records();
}

/// Who, with which roles, may make which kind of binding of `ml/hf` to `a`.
#[test]
fn an_owner_s_binding_wants_use_there_and_a_member_s_wants_its_administration() {
    let (_home, running) = with_others();
    for (roles, owner, members) in [
        (vec![(Role::Owner, "ml"), (Role::Contributor, "a")], true, false),
        (vec![(Role::Owner, "ml"), (Role::Manager, "a")], true, true),
        (vec![(Role::Owner, "ml"), (Role::Viewer, "a")], false, false),
        (vec![(Role::Owner, "ml")], false, false),
        (vec![(Role::Writer, "ml"), (Role::Owner, "a")], false, false),
        (vec![(Role::Manager, "ml"), (Role::Owner, "a")], false, false),
    ] {
        let actor = running.actor(&roles);
        for (kind, expected) in [(Owner, owner), (Members, members)] {
            let done = bind_as(&running, &actor, "hf", &[("a", kind)]);
            assert_eq!(done.is_ok(), expected, "{roles:?} {kind:?} {:?}", done.err());
            running.bind("hf", &[]).unwrap();
        }
    }
}

#[test]
fn a_binding_is_ended_by_who_shares_the_secret_and_by_who_administers_the_project() {
    let (_home, running) = with_others();
    let cases = [
        (vec![(Role::Owner, "ml")], true),
        (vec![(Role::Viewer, "ml"), (Role::Manager, "a")], true),
        (vec![(Role::Viewer, "ml"), (Role::Writer, "a")], false),
    ];
    for (roles, expected) in cases {
        running.bind("hf", &[("a", Owner)]).unwrap();
        let done = bind_as(&running, &running.actor(&roles), "hf", &[]);
        assert_eq!(done.is_ok(), expected, "{roles:?} {:?}", done.err());
    }
    let admin_of_a = running.actor(&[(Role::Manager, "a")]);
    let permit = decide(&admin_of_a, project("a"), running.now()).unwrap();
    let uid = running.secret("hf").unwrap().head.uid;
    running.vault.unbind_from_project(&permit, uid).unwrap();
    assert!(bound_in(&running, "a").is_empty());
    refused!(running.vault.unbind_from_project(&permit, uid), VaultError::NotFound);
    running.check_records();
}

/// Binds `hf` to `a` with whatever permits are handed in.
fn bind_with(
    running: &Running,
    may_bind: &dyn Fn() -> BindingPermit,
    may_unbind: &dyn Fn() -> UnbindingPermit,
    wanted: &[(&str, BindingKind)],
) -> Result<SecretView, VaultError> {
    let targets = |_: &[Binding]| -> Targets {
        wanted.iter().map(|(name, kind)| (project(name), *kind)).collect()
    };
    let rebinding = Rebinding {
        wanted: &targets,
        may_bind: &|_, _| Ok(may_bind()),
        may_unbind: &|_| Ok(may_unbind()),
    };
    running.vault.rebind_secret(&running.may(secret("hf")), &rebinding, None)
}

#[test]
fn a_permit_for_another_secret_project_kind_or_actor_binds_nothing() {
    let (_home, running) = with_others();
    running.create("other", "1").unwrap();
    let unbind = || UnbindingPermit::Secret(running.may(secret("hf")));
    let owner = |name: &str, to: &str| {
        BindingPermit::Owner(Sharing::Share(running.may(secret(name))), running.may(project(to)))
    };
    let members = |name: &str, to: &str| {
        BindingPermit::Members(Sharing::Share(running.may(secret(name))), running.may(project(to)))
    };
    for (kind, permit) in [
        (Owner, &(|| owner("other", "a")) as &dyn Fn() -> BindingPermit),
        (Owner, &|| owner("hf", "b")),
        (Owner, &|| members("hf", "a")),
        (Members, &|| members("other", "a")),
        (Members, &|| members("hf", "b")),
        (Members, &|| owner("hf", "a")),
    ] {
        let done = bind_with(&running, permit, &unbind, &[("a", kind)]);
        refused!(done, VaultError::NotFound);
    }
    let stranger = running.actor(&[(Role::Owner, "ml"), (Role::Owner, "a")]);
    let foreign = || {
        let (share, to) = (secret("hf"), project("a"));
        let share = decide::<Share, _>(&stranger, share, running.now()).unwrap();
        BindingPermit::Owner(
            Sharing::Share(share),
            decide::<Use, _>(&stranger, to, running.now()).unwrap(),
        )
    };
    let done = bind_with(&running, &foreign, &unbind, &[("a", Owner)]);
    refused!(done, VaultError::RightsChanged);
    assert!(bound(&running.secret("hf").unwrap()).is_empty());
    bind_with(&running, &|| owner("hf", "a"), &unbind, &[("a", Owner)]).unwrap();
}

#[test]
fn a_permit_for_another_secret_project_or_actor_unbinds_nothing() {
    let (_home, running) = with_others();
    running.create("other", "1").unwrap();
    running.bind("hf", &[("a", Owner)]).unwrap();
    let bind = || {
        BindingPermit::Owner(Sharing::Share(running.may(secret("hf"))), running.may(project("a")))
    };
    let elsewhere = || UnbindingPermit::Secret(running.may(secret("other")));
    refused!(bind_with(&running, &bind, &elsewhere, &[]), VaultError::NotFound);
    let elsewhere = || UnbindingPermit::Project(running.may(project("b")));
    refused!(bind_with(&running, &bind, &elsewhere, &[]), VaultError::NotFound);
    let stranger = running.actor(&[(Role::Owner, "a")]);
    let foreign =
        || UnbindingPermit::Project(decide(&stranger, project("a"), running.now()).unwrap());
    refused!(bind_with(&running, &bind, &foreign, &[]), VaultError::RightsChanged);
    assert_eq!(bound(&running.secret("hf").unwrap()).len(), 1);
}

#[test]
fn an_unknown_project_and_one_that_the_actor_may_not_use_look_alike() {
    let (_home, running) = with_others();
    let actor = running.actor(&[(Role::Owner, "ml")]);
    let message = |error: Option<VaultError>| match error {
        Some(VaultError::Invalid(Invalid { field, fix })) => format!("{field}: {fix}"),
        other => panic!("{other:?}"),
    };
    let unusable = message(bind_as(&running, &actor, "hf", &[("a", Owner)]).err());
    let unknown = message(bind_as(&running, &actor, "hf", &[("nowhere", Owner)]).err());
    let admin_s = message(running.bind("hf", &[("nowhere", Owner)]).err());
    assert_eq!(unusable, unknown);
    assert_eq!(unusable, admin_s);
}

#[test]
fn bindings_to_the_home_project_twice_to_one_or_to_too_many_are_refused_by_their_field() {
    let (_home, running) = with_others();
    let many: Vec<_> = (0..=MAX_BINDINGS).map(|number| format!("p{number}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), Owner)).collect();
    for wrong in [&[("ml", Owner)][..], &[("a", Owner), ("a", Members)], &many] {
        let done = running.bind("hf", wrong);
        refused!(done, VaultError::Invalid(wrong) if wrong.field == "spec.bindings");
    }
    assert!(bound(&running.secret("hf").unwrap()).is_empty());
}

#[test]
fn as_many_bindings_as_may_be_are_replaced_in_one_act_beside_a_new_version() {
    let (home, running) = Running::with_project();
    let names: Vec<_> = (0..2 * MAX_BINDINGS).map(|number| format!("p{number:02}")).collect();
    names.iter().for_each(|name| running.make_project(name, Vec::new()));
    let targets =
        |names: &[String]| -> Targets { names.iter().map(|name| (project(name), Owner)).collect() };
    let (first, second) = names.split_at(MAX_BINDINGS);
    running.create("hf", "1").unwrap();
    for names in [first, second] {
        let wanted = |_: &[Binding]| targets(names);
        let may_bind = |to: &ProjectPath, _| {
            Ok(BindingPermit::Owner(
                Sharing::Share(running.may(secret("hf"))),
                running.may(to.clone()),
            ))
        };
        let may_unbind = |_: &ProjectPath| Ok(UnbindingPermit::Secret(running.may(secret("hf"))));
        let bindings =
            Some(Rebinding { wanted: &wanted, may_bind: &may_bind, may_unbind: &may_unbind });
        let make: Make<'_> = &|_| Ok(payload("2"));
        let change = SecretChange { bindings, ..new_version(make, None) };
        let view = running.change("hf", &change).unwrap();
        assert_eq!(view.head.bindings.len(), MAX_BINDINGS);
        running.check_records();
    }
    assert_eq!(running.tombstones().len(), MAX_BINDINGS);
    running.delete("hf").unwrap();
    running.check_records();
    home.killed().start().check_records();
}

/// The secret's own tombstone goes when the secret comes back. Those of its bindings must not: a
/// worker that was away in between still finds the copies by them.
#[test]
fn deleting_a_secret_ends_its_bindings_for_good_and_their_copies_are_found_after_an_undelete() {
    let (_home, running) = with_others();
    let uid = running.bind("hf", &[("a", Owner), ("b", Members)]).unwrap().head.uid;
    running.delete("hf").unwrap();
    running.check_records();
    assert!(bound_in(&running, "a").is_empty() && bound_in(&running, "b").is_empty());
    let view = running.undelete("hf", "hf", None).unwrap();
    assert!(view.head.bindings.is_empty());
    let mut what: Vec<_> = running.tombstones().into_iter().map(|t| t.what).collect();
    what.sort();
    let of = |name| Retired::Binding { path: secret("hf"), uid, project: project(name) };
    assert_eq!(what, [of("a"), of("b")]);
}

#[test]
fn a_project_stays_while_a_secret_is_bound_to_it() {
    let (_home, running) = with_others();
    running.bind("hf", &[("a", Owner)]).unwrap();
    let remove = || running.vault.delete_project(&running.may(project("a")), None);
    refused!(remove(), VaultError::ProjectHasBindings);
    running.bind("hf", &[]).unwrap();
    remove().unwrap();
    let done = running.bind("hf", &[("a", Owner)]);
    refused!(done, VaultError::Invalid(wrong) if wrong.field == "project");
}

/// A project that goes while secrets are being bound to it is left by none of them behind.
#[test]
fn a_removal_and_a_binding_at_the_same_time_leave_no_binding_to_nowhere() {
    let (_home, running) = with_others();
    for round in 0..12 {
        let name = format!("t{round}");
        running.make_project(&name, Vec::new());
        let (removed, bound) = std::thread::scope(|scope| {
            let bound = scope.spawn(|| running.bind("hf", &[(&name, Owner)]).is_ok());
            let removal = running.vault.delete_project(&running.may(project(&name)), None);
            (removal.is_ok(), bound.join().unwrap())
        });
        assert!(!(removed && bound), "both happened");
        running.check_records();
        let targets = running.secret("hf").unwrap().head.bindings;
        for target in targets {
            assert!(running.vault.project_record(&target.project).is_ok());
        }
        running.bind("hf", &[]).unwrap();
    }
}

#[test]
fn a_secret_is_made_with_its_bindings() {
    let (_home, running) = with_others();
    let wanted = |_: &[Binding]| -> Targets { vec![(project("a"), Owner)] };
    let may_bind = |to: &ProjectPath, _| {
        Ok(BindingPermit::Owner(Sharing::Make(running.may(secret("new"))), running.may(to.clone())))
    };
    let may_unbind = |_: &ProjectPath| Err(VaultError::NotFound);
    let rebinding = Rebinding { wanted: &wanted, may_bind: &may_bind, may_unbind: &may_unbind };
    let new = NewSecret { bindings: Some(rebinding), ..new_secret("1") };
    let view = running.vault.create_secret(&running.may(secret("new")), &new).unwrap();
    assert_eq!(bound(&view), [("a".to_owned(), Owner)]);
    assert_eq!(bound_in(&running, "a"), ["default/ml/new"]);
    running.check_records();
}
