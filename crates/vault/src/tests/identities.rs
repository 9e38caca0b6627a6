//! Secrets that are found by an identity, that have no version yet, or that change together.

use super::*;

fn aliased(alias: &str) -> NewSecret<'static> {
    let alias = Some(alias.to_owned());
    NewSecret { alias, ..first_of(First::Version(payload("1"))) }
}

impl Running {
    fn add(&self, name: &str, new: &NewSecret<'_>) -> Result<SecretView, VaultError> {
        self.vault.create_secret(&self.may(secret(name)), new)
    }

    fn found(&self, id: &str) -> Option<String> {
        match self.vault.permit_by_id::<List>(&self.admin, id) {
            Ok(permit) => Some(permit.resource().name.to_string()),
            Err(VaultError::NotPermitted(_)) => None,
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_secret_is_found_by_its_identity_and_its_alias_while_it_lives() {
    let (_home, running) = Running::with_project();
    let uid = running.add("a", &aliased("client-1")).unwrap().head.uid.to_string();
    let find = || [running.found(&uid), running.found("client-1")];
    assert_eq!(find(), [Some("a".to_owned()), Some("a".to_owned())]);
    refused!(running.add("b", &aliased("client-1")), VaultError::IdTaken);
    refused!(running.add("b", &aliased(&uid)), VaultError::IdTaken);
    running.check_records();
    running.delete("a").unwrap();
    assert_eq!(find(), [None, None]);
    // Nobody takes the identity of what may come back.
    refused!(running.add("b", &aliased(&uid)), VaultError::IdTaken);
    running.check_records();
    running.undelete("a", "c", None).unwrap();
    assert_eq!(find(), [Some("c".to_owned()), Some("c".to_owned())]);
    running.delete("c").unwrap();
    // The alias is free, and whoever has it keeps it.
    running.add("d", &aliased("client-1")).unwrap();
    running.undelete("c", "c", None).unwrap();
    assert_eq!(find(), [Some("c".to_owned()), Some("d".to_owned())]);
    running.check_records();
}

#[test]
fn of_two_who_choose_one_alias_at_once_one_gets_it() {
    let (_home, running) = Running::with_project();
    for round in 0..10 {
        let alias = format!("client-{round}");
        let made = std::thread::scope(|scope| {
            let make = |name: String| {
                let (running, alias) = (&running, &alias);
                scope.spawn(move || running.add(&name, &aliased(alias)).is_ok())
            };
            [make(format!("a{round}")), make(format!("b{round}"))].map(|one| one.join().unwrap())
        });
        assert_eq!(made.iter().filter(|made| **made).count(), 1);
        running.check_records();
    }
}

/// The index lies in the clear: what it says is believed only where the sealed head says so too.
#[test]
fn an_entry_of_the_index_that_was_forged_leads_nowhere() {
    let (_home, running) = Running::with_project();
    running.add("a", &aliased("client-1")).unwrap();
    let path = running.engine.read(&Key::secret_id("client-1")).unwrap().unwrap().value;
    let mut forged = Commit::default();
    forged.put(Key::secret_id("client-2"), path);
    running.engine.commit(forged).unwrap();
    assert_eq!(
        (running.found("client-1"), running.found("client-2")),
        (Some("a".to_owned()), None)
    );
}

#[test]
fn an_alias_is_text_that_fits_into_a_path() {
    let (_home, running) = Running::with_project();
    for wrong in ["", "a/b", "a b", "\u{e4}", &"x".repeat(257)] {
        let refused = running.add("a", &aliased(wrong));
        refused!(refused, VaultError::Invalid(wrong) if wrong.field == "id");
    }
    running.add("a", &aliased("A-b_c.d+e")).unwrap();
}

#[test]
fn an_identity_tells_nothing_to_who_may_not_see_the_secret() {
    let (_home, running) = Running::with_project();
    running.make_project("other", Vec::new());
    running.add("a", &aliased("client-1")).unwrap();
    let stranger = running.actor(&[(Role::Owner, "other")]);
    for id in ["client-1", "client-2"] {
        let refused = running.vault.permit_by_id::<List>(&stranger, id);
        refused!(refused, VaultError::NotPermitted(authz::Denied::NotVisible));
    }
}

#[test]
fn a_secret_without_a_version_is_listed_and_neither_read_nor_projected() {
    let (_home, running) = Running::with_project();
    let made = running.add("a", &first_of(First::Nothing(SecretType::Opaque))).unwrap();
    assert!(made.head.versions.is_empty());
    refused!(running.reveal("a", None), VaultError::VersionNotFound);
    refused!(
        running.vault.data_keys::<List>(&running.may(secret("a"))),
        VaultError::VersionNotFound
    );
    let feed = running.vault.feed(&running.worker()).unwrap();
    assert!(feed.secrets.iter().all(|secret| secret.version.is_none()));
    running.update("a", "first").unwrap();
    assert_eq!(running.reveal("a", Some(1)).unwrap(), "first");
    assert_eq!(running.vault.data_keys::<List>(&running.may(secret("a"))).unwrap(), ["MARKER-key"]);
    running.check_records();
}

#[test]
fn secrets_change_together_or_not_at_all() {
    let (_home, running) = Running::with_project();
    for name in ["a", "b"] {
        running.create(name, "old").unwrap();
    }
    let changes = |names: &[&str]| {
        let change = |name: &&str| (running.may::<Update, _>(secret(name)), payload("new"));
        names.iter().map(change).collect::<Vec<_>>()
    };
    refused!(running.vault.update_secrets(&changes(&["a", "b", "none"])), VaultError::NotFound);
    assert_eq!(running.reveal("a", None).unwrap(), "old");
    let views = running.vault.update_secrets(&changes(&["a", "b"])).unwrap();
    assert_eq!(views[0].resource_version, views[1].resource_version);
    for name in ["a", "b"] {
        assert_eq!(running.reveal(name, None).unwrap(), "new");
    }
    running.check_records();
    let many: Vec<String> = (0..=MAX_TOGETHER).map(|n| format!("s{n}")).collect();
    for name in &many {
        running.create(name, "old").unwrap();
        running.keep(name, Some(1)).unwrap();
    }
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    refused!(running.vault.update_secrets(&changes(&many)), VaultError::Invalid(_));
    let views = running.vault.update_secrets(&changes(&many[1..])).unwrap();
    assert!(views.iter().all(|view| view.head.versions.len() == 1));
    running.check_records();
}

#[test]
fn what_clients_keep_beside_a_secret_and_a_project_stays_with_it() {
    let (home, running) = Running::with_project();
    let annotations = Annotations::default().with("k", "MARKER-note".to_owned()).unwrap();
    let new = NewSecret { annotations, ..first_of(First::Version(payload("1"))) };
    running.add("a", &new).unwrap();
    running.update("a", "2").unwrap();
    let annotate = |old: &Annotations| old.with("p", "MARKER-note".to_owned());
    running.vault.annotate_project(&running.may(project("ml")), &annotate).unwrap();
    assert!(!stored(&running, b"MARKER-note"));
    drop(running);
    let running = home.start();
    assert_eq!(running.secret("a").unwrap().head.annotations.text("k"), Some("MARKER-note"));
    let reannotate = |_: &Annotations| Ok(Annotations::default());
    running.change("a", &SecretChange { annotations: Some(&reannotate), ..nothing() }).unwrap();
    assert_eq!(running.secret("a").unwrap().head.annotations.text("k"), None);
    let seen = running.may(authz::SeenProject(project("ml")));
    let view = running.vault.project(&seen).unwrap();
    assert_eq!(view.annotations.text("p"), Some("MARKER-note"));
}

#[test]
fn the_type_is_known_to_whoever_may_do_anything_with_the_secret() {
    let (_home, running) = Running::with_project();
    running.create("a", "1").unwrap();
    let permit = running.may::<Delete, _>(secret("a"));
    assert_eq!(running.vault.secret_type(&permit).unwrap(), SecretType::Opaque);
    let nowhere = running.may::<Update, _>(secret("none"));
    refused!(running.vault.secret_type(&nowhere), VaultError::NotFound);
}
