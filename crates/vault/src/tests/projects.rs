//! Projects: removed when nothing needs them, and not before.

use authz::SeenProject;
use domain::{NamespacePattern, RuleTemplate};

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
    record.removal = store::Removal::IfEmpty;
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

#[test]
fn a_project_goes_with_all_that_is_in_it_however_often_that_is_interrupted() {
    let (home, running) = Running::with_project();
    running.make_project("x", Vec::new());
    running.make_project("y", Vec::new());
    for name in ["a", "b"] {
        let path = secret_in("x", name);
        running.vault.create_secret(&running.may(path), &new_secret("1")).unwrap();
    }
    running.vault.delete_secret(&running.may(secret_in("x", "b")), None).unwrap();
    running.create("bound", "1").unwrap();
    running.bind("bound", &[("x", BindingKind::Owner), ("y", BindingKind::Owner)]).unwrap();
    let remove = |running: &Running, name: &str| {
        let (_, revision) = running.vault.project_record(&project(name)).unwrap();
        let at = running.vault.wire(revision);
        let mark = store::Removal::WithAll;
        running.vault.mark_project(&project(name), &authz::Basis::default(), at, mark).unwrap();
    };
    // Marked, and killed before anything went.
    remove(&running, "x");
    let one =
        |_: &NewProject| Ok(NewProject { rules: vec![rule("team")], ..NewProject::default() });
    let change = ProjectChange { change: &one, expected: None };
    let refused = running.vault.change_project(&running.may(WholeStore), &project("x"), &change);
    refused!(refused, VaultError::Invalid(wrong) if wrong.field == "project");
    let late = running.vault.create_secret(&running.may(secret_in("x", "late")), &new_secret("1"));
    refused!(late, VaultError::NotFound);
    drop(running);
    let running = home.killed().start();
    assert_eq!(running.vault.finish_removals().unwrap(), 1);
    refused!(running.vault.project_record(&project("x")), VaultError::NotFound);
    assert!(running.heads(&KeyRange::all_deleted_heads()).is_empty());
    let left = running.heads(&KeyRange::all_heads());
    let bound_to: Vec<_> = left[0].bindings.iter().map(|binding| &binding.project).collect();
    assert_eq!((left.len(), bound_to), (1, vec![&project("y")]));
    running.check_records();
    assert_eq!(running.vault.finish_removals().unwrap(), 0);
    remove(&running, "ml");
    assert_eq!(running.vault.finish_removals().unwrap(), 1);
    assert!(running.heads(&KeyRange::all_heads()).is_empty());
    running.check_records();
}

#[test]
fn removing_a_project_with_all_wants_both_rights_and_says_when_tokens_are_in_the_way() {
    let (_home, running) = Running::with_project();
    running.create("a", "1").unwrap();
    let token = running.mint(Role::Writer, Scope::Project(project("ml")));
    let remove = || {
        let (administer, delete) = (running.may(project("ml")), running.may(project("ml")));
        running.vault.delete_project_with_all(&administer, &delete)
    };
    refused!(remove(), VaultError::ProjectHasTokens);
    running.create("b", "1").unwrap();
    running.vault.revoke_token(&running.may(WholeStore), token.view.id).unwrap();
    remove().unwrap();
    refused!(remove(), VaultError::NotFound);
    running.check_records();
}

#[test]
fn users_make_projects_of_their_own_where_the_settings_let_them() {
    let template = RuleTemplate {
        mode: ProjectionMode::Merged,
        namespace: NamespacePattern::parse("hub").unwrap(),
        name_pattern: NamePattern::parse(ProjectionMode::Merged, "proj-secrets-{project}").unwrap(),
    };
    for lets in [false, true] {
        let settings = Settings {
            own_project_rules: vec![template.clone()],
            users_create_projects: lets,
            ..Settings::default()
        };
        let (_home, running) = Running::with_settings(settings);
        let al = running.user("al");
        let make = |actor: &Actor, name: &str| {
            running.vault.create_own_project(actor, &project(name), Annotations::default())
        };
        let by_admin = make(&running.admin, "by-admin").unwrap();
        assert_eq!(by_admin.rules, [template.apply(&project("by-admin")).unwrap()]);
        if !lets {
            refused!(make(&al, "own"), VaultError::NotPermitted(authz::Denied::Forbidden));
            continue;
        }
        make(&al, "own").unwrap();
        let al = running.sign_in("al");
        refused!(make(&al, "own"), VaultError::AlreadyExists);
        refused!(make(&al, "ml"), VaultError::AlreadyExists);
        // A token that leaves less than all makes nothing that its holder then owns.
        let narrowing = authz::Narrowing {
            projects: None,
            actions: Some(authz::ActionKind::ALL.into_iter().collect()),
        };
        let narrowed = running.own_token(&al, narrowing).unwrap();
        let narrowed = running.vault.authenticate(&narrowed.text).unwrap();
        refused!(make(&narrowed, "narrow"), VaultError::NotPermitted(_));
        let now = running.now();
        decide::<Administer, _>(&al, project("own"), now).unwrap();
        assert!(decide::<Administer, _>(&al, project("by-admin"), now).is_err());
        let elsewhere = ProjectPath { org: OrgName::parse("acme").unwrap(), ..project("own") };
        let refused = running.vault.create_own_project(&al, &elsewhere, Annotations::default());
        refused!(refused, VaultError::NotPermitted(_));
    }
}

/// Symptom: a project that was made anew went with its secrets. Cause: whoever went on with removals
/// held a list from before, and looked at names.
#[test]
fn who_goes_on_with_a_removal_leaves_the_next_project_of_the_name_alone() {
    let (_home, running) = Running::with_project();
    running.create("old", "1").unwrap();
    let (record, revision) = running.vault.project_record(&project("ml")).unwrap();
    let (at, mark) = (running.vault.wire(revision), store::Removal::WithAll);
    running.vault.mark_project(&project("ml"), &authz::Basis::default(), at, mark).unwrap();
    assert_eq!(running.vault.finish_removals().unwrap(), 1);
    running.make_project("ml", Vec::new());
    running.create("new", "1").unwrap();
    running.delete("new").unwrap();
    running.create("newer", "1").unwrap();
    // As one who has not heard of that yet.
    refused!(running.vault.finish_stale(&project("ml"), record.uid), VaultError::NotFound);
    assert_eq!(running.reveal("newer", None).unwrap(), "1");
    running.undelete("new", "new", None).unwrap();
    running.check_records();
}

#[test]
fn nobody_gets_a_token_for_a_project_that_is_being_removed() {
    let (_home, running) = Running::with_project();
    let (_, revision) = running.vault.project_record(&project("ml")).unwrap();
    let (at, mark) = (running.vault.wire(revision), store::Removal::WithAll);
    running.vault.mark_project(&project("ml"), &authz::Basis::default(), at, mark).unwrap();
    let rights = vec![Right::new(Role::Writer, Scope::Project(project("ml"))).unwrap()];
    let refused = running.vault.create_token(&running.may(WholeStore), new_token("", rights, None));
    refused!(refused, VaultError::Invalid(wrong) if wrong.field == "rights");
}

/// What administrators keep in a platform's project would else be of whoever makes it first.
#[test]
fn a_reserved_project_is_for_administrators_to_make() {
    let settings = Settings {
        users_create_projects: true,
        reserved_projects: vec![project("home")],
        ..Settings::default()
    };
    let (_home, running) = Running::with_settings(settings);
    let al = running.user("al");
    let make = |actor: &Actor, name: &str| {
        running.vault.create_own_project(actor, &project(name), Annotations::default())
    };
    refused!(make(&al, "home"), VaultError::NotPermitted(authz::Denied::Forbidden));
    make(&al, "other").unwrap();
    make(&running.admin, "home").unwrap();
}
