//! Workspaces, and the common home of the secrets that are bound to them.

use super::*;

use super::consumers::registry;
use domain::PrincipalName;
use store::ConsumerKind::Workspace;

const HOME: &str = "safe";

fn at_home(name: &str) -> SecretPath {
    secret_in(HOME, name)
}

fn name(text: &str) -> PrincipalName {
    PrincipalName::parse(text).unwrap()
}

/// A store with a common home, and the workspaces `w` and `v`.
fn with_home(open: bool) -> (Home, Running) {
    let common = CommonHome { project: project(HOME), rules: vec![rule("home")], open };
    let settings = Settings { common_home: Some(common), ..Settings::default() };
    let (home, running) = Running::with_settings(settings);
    for name in ["w", "v"] {
        running.make_project(name, Vec::new());
    }
    (home, running)
}

impl Running {
    fn member(&self, text: &str, roles: &[(Role, &str)]) -> Actor {
        let new = NewPrincipal {
            kind: PrincipalKind::User,
            name: name(text),
            password: None,
            members: Vec::new(),
            rights: Vec::new(),
        };
        self.vault.create_principal(&self.may(WholeStore), &new).unwrap();
        let right = |(role, place): &(Role, &str)| {
            Right::new(*role, Scope::Project(project(place))).unwrap()
        };
        let give = roles.iter().map(right).collect();
        let change = RightsChange { give, take: &|_| false, disabled: None };
        let whom = (PrincipalKind::User, &name(text));
        self.vault.change_rights(&self.admin, whom, &change).unwrap();
        self.by_name(text)
    }

    fn by_name(&self, text: &str) -> Actor {
        let found = self.vault.rights.named(PrincipalKind::User, text).unwrap();
        self.vault.rights.principal_actor(found.record.uid).unwrap()
    }

    fn common(&self, actor: &Actor, name: &str, to: &[&str]) -> Result<SecretView, VaultError> {
        let to: Vec<_> = to.iter().map(|name| project(name)).collect();
        let new = NewSecret::of(First::Version(registry("r.example")));
        self.vault.create_common_secret(actor, &at_home(name), &to, new)
    }

    fn set_images(&self, actor: &Actor, place: &str, images: &[&str]) -> Result<(), VaultError> {
        let images = Some(images.iter().map(|name| at_home(name)).collect());
        let change = WorkspaceChange { images, ..WorkspaceChange::default() };
        self.vault.change_workspace(actor, &project(place), &change).map(|_| ())
    }

    fn images(&self, place: &str) -> Vec<String> {
        let view = self.vault.consumer(&self.admin, (Workspace, place)).unwrap();
        view.references.iter().map(|found| found.path.name.to_string()).collect()
    }

    fn bindings(&self, name: &str) -> Vec<(String, BindingKind, bool)> {
        let view = self.vault.secret(&self.may(at_home(name))).unwrap();
        let shown = |found: &Binding| (found.project.project.to_string(), found.kind, found.opened);
        view.head.bindings.iter().map(shown).collect()
    }

    fn seen(&self, actor: &Actor, within: Option<&str>) -> Vec<String> {
        let within = within.map(project);
        let found = self.vault.common_secrets(actor, within.as_ref(), &|_| true).unwrap();
        found.iter().map(|view| view.head.path.name.to_string()).collect()
    }
}

#[test]
fn who_makes_secrets_in_each_project_makes_one_that_is_bound_to_them_and_owns_it() {
    let (_home, running) = with_home(false);
    let alice = running.member("alice", &[(Role::Contributor, "w")]);
    let made = running.common(&alice, "a", &["w"]).unwrap();
    assert_eq!(running.bindings("a"), [("w".to_owned(), BindingKind::Owner, false)]);
    assert!(running.vault.permit::<authz::Read>(&alice, at_home("a")).is_ok());
    assert_eq!(made.head.owner, alice.subject().unwrap().to_string());
    for to in [&["v"][..], &["w", "v"], &[], &["absent"], &["w", "absent"]] {
        refused!(running.common(&alice, "b", to), VaultError::NotPermitted(_));
    }
    // The administrator makes them everywhere, in what is there.
    running.common(&running.admin, "b", &[]).unwrap();
    running.common(&running.admin, "c", &["v"]).unwrap();
    refused!(running.common(&running.admin, "d", &["absent"]), VaultError::Invalid(_));
    // Elsewhere nothing of this holds.
    let new = NewSecret::of(First::Version(registry("r.example")));
    let elsewhere = secret_in("v", "x");
    let refused = running.vault.create_common_secret(&alice, &elsewhere, &[project("w")], new);
    refused!(refused, VaultError::NotPermitted(_));
    running.check_records();
    // The home was made with the first of them, and as the settings say.
    let (record, _) = running.vault.project_record(&project(HOME)).unwrap();
    assert_eq!(record.rules, [rule("home")]);
}

#[test]
fn a_home_that_is_somebody_s_own_project_takes_nothing() {
    let (_home, running) = with_home(false);
    running.member(HOME, &[]);
    let refused = running.common(&running.admin, "a", &[]);
    refused!(refused, VaultError::Invalid(wrong) if wrong.field == "project");
}

#[test]
fn an_open_home_takes_secrets_of_everyone_and_a_narrowed_token_stays_where_it_is_good_for() {
    let (_home, running) = with_home(true);
    let alice = running.member("alice", &[(Role::Contributor, "w")]);
    running.common(&alice, "a", &[]).unwrap();
    refused!(running.common(&alice, "b", &["v"]), VaultError::NotPermitted(_));
    let narrowed = |places: &[&str]| {
        let projects = Some(places.iter().map(|place| project(place)).collect());
        let holder = NewHolder::Myself(authz::Narrowing { projects, actions: None });
        let new = NewToken { description: "n".to_owned(), holder, expires: None, jwt: false };
        let token = running.vault.create_own_token(&alice, new).unwrap();
        running.vault.authenticate(&token.text).unwrap()
    };
    refused!(running.common(&narrowed(&["w"]), "b", &["w"]), VaultError::NotPermitted(_));
    refused!(running.common(&narrowed(&["w"]), "b", &[]), VaultError::NotPermitted(_));
}

#[test]
fn who_lists_all_projects_of_a_secret_sees_it_without_reading_it() {
    let (_home, running) = with_home(false);
    let manager = running.member("mo", &[(Role::Manager, "w")]);
    let member = running.member("al", &[(Role::Contributor, "w")]);
    running.common(&running.admin, "in-w", &["w"]).unwrap();
    running.common(&running.admin, "in-both", &["w", "v"]).unwrap();
    running.common(&running.admin, "nowhere", &[]).unwrap();
    assert_eq!(running.seen(&manager, None), ["in-w"]);
    assert_eq!(running.seen(&manager, Some("w")), ["in-both", "in-w"]);
    assert_eq!(running.seen(&manager, Some("v")), [""; 0]);
    assert_eq!(running.seen(&member, None), [""; 0]);
    assert_eq!(running.seen(&running.admin, None), ["in-both", "in-w", "nowhere"]);
    running.common(&member, "own", &["w"]).unwrap();
    assert_eq!(running.seen(&member, None), ["own"]);
    assert_eq!(running.seen(&member, Some("w")), ["own"]);
    assert_eq!(running.seen(&member, Some("v")), [""; 0]);
    running.vault.delete_secret(&running.may(at_home("own")), None).unwrap();
    assert!(running.vault.is_seen_by_binding(&manager, &at_home("in-w")).unwrap());
    for hidden in ["in-both", "nowhere", "absent"] {
        assert!(!running.vault.is_seen_by_binding(&manager, &at_home(hidden)).unwrap());
    }
    refused!(
        running.vault.permit::<authz::Read>(&manager, at_home("in-w")),
        VaultError::NotPermitted(_)
    );
}

#[test]
fn a_manager_opens_to_members_what_owners_bound_there_and_nothing_else() {
    let (_home, running) = with_home(false);
    let alice = running.member("alice", &[(Role::Contributor, "w"), (Role::Contributor, "v")]);
    let manager = running.member("mo", &[(Role::Manager, "w")]);
    running.common(&alice, "a", &["w"]).unwrap();
    running.common(&alice, "elsewhere", &["v"]).unwrap();
    running.common(&manager, "own", &["w"]).unwrap();
    refused!(running.set_images(&manager, "w", &["a", "elsewhere"]), VaultError::NotPermitted(_));
    refused!(running.set_images(&manager, "w", &["absent"]), VaultError::NotPermitted(_));
    assert_eq!(running.images("w"), [""; 0], "all or nothing");
    refused!(running.set_images(&manager, "v", &[]), VaultError::NotPermitted(_));
    refused!(running.set_images(&alice, "w", &["a"]), VaultError::NotPermitted(_));

    let member = running.member("bo", &[(Role::Contributor, "w")]);
    let use_it = |actor: &Actor| running.vault.permit_use(actor, &project("w"), &at_home("a"));
    assert!(use_it(&member).is_err());
    running.set_images(&manager, "w", &["a", "own"]).unwrap();
    assert_eq!(running.images("w"), ["a", "own"]);
    assert_eq!(running.bindings("a"), [("w".to_owned(), BindingKind::Members, true)]);
    assert!(use_it(&member).is_ok());
    // It is its owner's again, and the administrator's binding ends.
    running.set_images(&running.admin, "w", &["elsewhere"]).unwrap();
    assert_eq!(running.bindings("a"), [("w".to_owned(), BindingKind::Owner, false)]);
    assert!(use_it(&member).is_err());
    let both = [
        ("v".to_owned(), BindingKind::Owner, false),
        ("w".to_owned(), BindingKind::Members, false),
    ];
    assert_eq!(running.bindings("elsewhere"), both);
    running.set_images(&manager, "w", &[]).unwrap();
    assert_eq!(running.bindings("elsewhere"), both[..1]);
    running.check_records();
}

#[test]
fn an_image_goes_with_its_secret_in_the_same_commit() {
    let (_home, running) = with_home(false);
    running.common(&running.admin, "a", &[]).unwrap();
    running.set_images(&running.admin, "w", &["a"]).unwrap();
    let before = running.engine.revision().get();
    running.vault.delete_secret(&running.may(at_home("a")), None).unwrap();
    assert_eq!(running.engine.revision().get(), before + 1);
    assert_eq!(running.images("w"), [""; 0]);
    running.check_records();
}

#[test]
fn a_workspace_is_made_with_all_that_it_is_to_have_or_not_at_all() {
    let (_home, running) = with_home(false);
    running.member("mo", &[]);
    running.common(&running.admin, "a", &[]).unwrap();
    let new = NewProject { rules: vec![rule("x")], ..NewProject::default() };
    let make = |place: &str, images: &[&str], managers: &[&str]| {
        let wanted = WorkspaceChange {
            annotations: None,
            images: Some(images.iter().map(|name| at_home(name)).collect()),
            managers: Some(managers.iter().map(|text| name(text)).collect()),
        };
        running.vault.create_workspace(&running.admin, &project(place), &new, &wanted)
    };
    refused!(make("x", &["absent"], &["mo"]), VaultError::NotFound);
    refused!(make("x", &["a"], &["zoe"]), VaultError::Invalid(wrong) if wrong.field == "managers");
    refused!(running.vault.consumer(&running.admin, (Workspace, "x")), VaultError::NotFound);
    assert!(running.bindings("a").is_empty());
    make("x", &["a"], &["mo"]).unwrap();
    assert_eq!(running.images("x"), ["a"]);
    assert_eq!(running.vault.managers(&running.admin, &project("x")).unwrap(), ["mo"]);
    refused!(make("x", &[], &[]), VaultError::AlreadyExists);
    let mo = running.by_name("mo");
    running.set_images(&mo, "x", &[]).unwrap();
    // Also in the store, not only in the table of rights.
    let change = WorkspaceChange { managers: Some(Vec::new()), ..WorkspaceChange::default() };
    running.vault.change_workspace(&running.admin, &project("x"), &change).unwrap();
    refused!(running.set_images(&running.by_name("mo"), "x", &[]), VaultError::NotPermitted(_));
    refused!(
        running.vault.create_workspace(&mo, &project("y"), &new, &WorkspaceChange::default()),
        VaultError::NotPermitted(_)
    );
    running.check_records();
}

#[test]
fn more_than_fits_into_a_commit_is_refused_before_anything_is_done() {
    let (_home, running) = with_home(false);
    let names: Vec<_> = (0..17).map(|n| format!("a{n}")).collect();
    for name in &names {
        running.common(&running.admin, name, &[]).unwrap();
    }
    let all: Vec<_> = names.iter().map(String::as_str).collect();
    let refused = running.set_images(&running.admin, "w", &all);
    refused!(refused, VaultError::Invalid(wrong) if wrong.field == "imageSecretIds");
    assert_eq!(running.images("w"), [""; 0]);
    running.set_images(&running.admin, "w", &all[..16]).unwrap();
    running.set_images(&running.admin, "w", &all).unwrap();
    assert_eq!(running.images("w").len(), 17);
}

#[test]
fn rights_change_together_or_not_at_all() {
    let (_home, running) = with_home(false);
    running.member("alice", &[(Role::Contributor, "w")]);
    let manager = running.member("mo", &[(Role::Manager, "w")]);
    let right = |role, place: &str| Right::new(role, Scope::Project(project(place))).unwrap();
    let change = |actor: &Actor, give: Vec<Right>, take: &dyn Fn(&Right) -> bool| {
        let change = RightsChange { give, take, disabled: None };
        running.vault.change_rights(actor, (PrincipalKind::User, &name("alice")), &change)
    };
    let held = || {
        let found = running.vault.rights.named(PrincipalKind::User, "alice").unwrap();
        found.record.grants.iter().filter(|grant| grant.right.role() == Role::Contributor).count()
    };
    let mixed = vec![right(Role::Contributor, "v")];
    refused!(
        change(&manager, mixed, &|right| right.role() == Role::Contributor),
        VaultError::NotPermitted(_)
    );
    assert_eq!(held(), 1);
    let give = vec![right(Role::Contributor, "v"), right(Role::Contributor, "absent")];
    refused!(change(&running.admin, give, &|_| false), VaultError::NotFound);
    assert_eq!(held(), 1);
    change(&running.admin, vec![right(Role::Contributor, "v")], &|_| false).unwrap();
    assert_eq!(held(), 2);
    change(&manager, Vec::new(), &|held| *held == right(Role::Contributor, "w")).unwrap();
    assert_eq!(held(), 1);
    let shut = RightsChange { give: Vec::new(), take: &|_| false, disabled: Some(true) };
    let whom = (PrincipalKind::User, &name("alice"));
    refused!(running.vault.change_rights(&manager, whom, &shut), VaultError::NotPermitted(_));
    running.vault.change_rights(&running.admin, whom, &shut).unwrap();
    assert!(running.vault.rights.named(PrincipalKind::User, "alice").unwrap().record.disabled);
}

/// A project goes with its bindings, and with nothing else that is in it; whatever cuts that off.
#[test]
fn a_project_goes_with_its_bindings_and_stays_with_a_secret() {
    let (home, running) = with_home(false);
    running.common(&running.admin, "a", &["w", "v"]).unwrap();
    let permit = |running: &Running| running.may::<Administer, _>(project("w"));
    running.vault.create_secret(&running.may(secret_in("w", "own")), &new_secret("1")).unwrap();
    let remove = |running: &Running| running.vault.delete_project_with_bindings(&permit(running));
    refused!(remove(&running), VaultError::ProjectNotEmpty);
    running.vault.delete_secret(&running.may(secret_in("w", "own")), None).unwrap();
    refused!(remove(&running), VaultError::ProjectHasDeletedSecrets);
    assert_eq!(running.bindings("a").len(), 2, "nothing was touched");
    running.vault.create_secret(&running.may(secret_in("w", "own")), &new_secret("2")).unwrap();
    running.vault.delete_secret(&running.may(secret_in("w", "own")), None).unwrap();
    for head in running.heads(&KeyRange::deleted_heads(&project("w"))) {
        running.vault.purge_secret(&running.may(secret_in("w", "own")), Some(head.uid)).unwrap();
    }
    // Cut off behind its mark, it goes on by itself.
    let (_, at) = running.vault.project_record(&project("w")).unwrap();
    let (basis, at) = (Basis::default(), running.vault.wire(at));
    running.vault.mark_project(&project("w"), &basis, at, store::Removal::Unbound).unwrap();
    drop(running);
    let running = home.start();
    assert_eq!(running.vault.finish_removals().unwrap(), 1);
    refused!(running.vault.project_record(&project("w")), VaultError::NotFound);
    assert_eq!(running.bindings("a"), [("v".to_owned(), BindingKind::Owner, false)]);
    running.check_records();
}
