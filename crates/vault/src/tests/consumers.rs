//! Clusters and nodes, and the secrets that they refer to.

use super::*;

use domain::{Fields, RegistryLogin};
use store::ConsumerKind::{Cluster, Node};

fn ssh(password: &str) -> Payload {
    let mut fields = Fields::of(SecretType::Ssh);
    for (name, value) in [("username", "root"), ("password", password)] {
        fields.set(name, Some(text(value))).unwrap();
    }
    Payload::ssh(fields).unwrap()
}

fn text(text: &str) -> Plaintext {
    Plaintext::new(text.as_bytes().to_vec())
}

pub(super) fn registry(server: &str) -> Payload {
    Payload::registry(vec![RegistryLogin {
        server: server.to_owned(),
        username: text("robot"),
        password: text("MARKER-password"),
        email: None,
    }])
    .unwrap()
}

impl Running {
    fn put(&self, name: &str, payload: Payload) -> SecretView {
        let new = first_of(First::Version(payload));
        self.vault.create_secret(&self.may(secret(name)), &new).unwrap()
    }

    fn register(
        &self,
        (kind, name): (ConsumerKind, &str),
        ssh: Option<&str>,
        image: Option<&str>,
    ) -> Result<ConsumerView, VaultError> {
        let permit = |name: &str| self.vault.permit(&self.admin, secret(name)).unwrap();
        let (ssh, image) = (ssh.map(permit), image.map(permit));
        let annotations = Annotations::default();
        let new = NewConsumer { kind, name, annotations, ssh, image };
        self.vault.create_consumer(&self.may(WholeStore), &new)
    }

    fn references(&self, place: (ConsumerKind, &str)) -> Vec<(ReferenceRole, String, u64)> {
        let view = self.vault.consumer(&self.admin, place).unwrap();
        let shown = |found: &ReferenceView| {
            (found.role, found.path.name.to_string(), found.resource_version.revision().get())
        };
        view.references.iter().map(shown).collect()
    }

    fn unregister(&self, place: (ConsumerKind, &str)) -> Result<(), VaultError> {
        self.vault.delete_consumer(&self.may(WholeStore), place, &|_| Ok(()))
    }
}

#[test]
fn what_a_node_or_a_cluster_is_reached_with_is_not_deleted_and_the_refusal_names_them() {
    let (home, running) = Running::with_project();
    running.put("key", ssh("MARKER"));
    running.register((Node, "n1"), Some("key"), None).unwrap();
    running.register((Cluster, "c1"), Some("key"), None).unwrap();
    refused!(running.delete("key"), VaultError::InUse { users } if users == "cluster c1, node n1");
    running.unregister((Cluster, "c1")).unwrap();
    refused!(running.delete("key"), VaultError::InUse { users } if users == "node n1");
    // Also after a start.
    drop(running);
    let running = home.start();
    refused!(running.delete("key"), VaultError::InUse { .. });
    running.unregister((Node, "n1")).unwrap();
    running.delete("key").unwrap();
    assert_eq!(running.keys(0x12).len(), 0);
    running.purge("key", None).unwrap();
    assert_eq!(running.keys(0x13), [], "nothing is left of what referred to it");
}

#[test]
fn a_refusal_names_ten_and_counts_the_others() {
    let (_home, running) = Running::with_project();
    running.put("key", ssh("MARKER"));
    for n in 0..13 {
        running.register((Node, &format!("n{n:02}")), Some("key"), None).unwrap();
    }
    refused!(running.delete("key"), VaultError::InUse { users } if users.ends_with("node n09, 3 more"));
}

#[test]
fn a_reference_shows_the_secret_s_newest_change_and_no_record_is_rewritten_for_it() {
    let (_home, running) = Running::with_project();
    running.put("key", ssh("MARKER"));
    running.put("pull", registry("r.example"));
    running.register((Cluster, "c1"), Some("key"), Some("pull")).unwrap();
    let own = running.vault.consumer(&running.admin, (Cluster, "c1")).unwrap().resource_version;
    let later = |name: &str, make: Make<'_>| {
        let view = running.change(name, &new_version(make, None)).unwrap();
        view.resource_version.revision().get()
    };
    let key = later("key", &|_| Ok(ssh("MARKER2")));
    let pull = later("pull", &|_| Ok(registry("s.example")));
    assert_eq!(
        running.references((Cluster, "c1")),
        [
            (ReferenceRole::Ssh, "key".to_owned(), key),
            (ReferenceRole::Image, "pull".to_owned(), pull)
        ]
    );
    let now = running.vault.consumer(&running.admin, (Cluster, "c1")).unwrap().resource_version;
    assert_eq!(own, now);
}

#[test]
fn an_image_reference_goes_with_the_secret_in_the_same_commit_and_does_not_come_back() {
    let (_home, running) = Running::with_project();
    running.put("pull", registry("r.example"));
    running.register((Cluster, "c1"), None, Some("pull")).unwrap();
    let before = running.engine.revision().get();
    running.delete("pull").unwrap();
    assert_eq!(running.engine.revision().get(), before + 1, "one commit");
    assert_eq!(running.references((Cluster, "c1")), []);
    running.undelete("pull", "pull", None).unwrap();
    assert_eq!(running.references((Cluster, "c1")), [], "it was let go for good");
    running.delete("pull").unwrap();
    running.put("pull", registry("r.example"));
    assert_eq!(running.references((Cluster, "c1")), [], "nor is it another of the name");
    let image = Some(Some(running.vault.permit(&running.admin, secret("pull")).unwrap()));
    let change = ConsumerChange { image, ..ConsumerChange::default() };
    running.vault.change_consumer(&running.may(WholeStore), (Cluster, "c1"), &change).unwrap();
    assert_eq!(running.references((Cluster, "c1")).len(), 1);
    let change = ConsumerChange { image: Some(None), ..ConsumerChange::default() };
    running.vault.change_consumer(&running.may(WholeStore), (Cluster, "c1"), &change).unwrap();
    assert_eq!(running.references((Cluster, "c1")), []);
}

#[test]
fn a_reference_is_to_a_secret_of_the_type_that_it_needs() {
    let (_home, running) = Running::with_project();
    running.put("key", ssh("MARKER"));
    running.put("pull", registry("r.example"));
    let before = running.engine.revision();
    for (ssh, image, field) in
        [(Some("pull"), None, "sshSecretId"), (None, Some("key"), "imageSecretId")]
    {
        let refused = running.register((Cluster, "c1"), ssh, image);
        refused!(refused, VaultError::Invalid(wrong) if wrong.field == field);
    }
    for name in ["", "A", "a_b", "-a", &"a".repeat(254)] {
        let refused = running.register((Node, name), None, None);
        refused!(refused, VaultError::Invalid(wrong) if wrong.field == "name");
    }
    assert_eq!(running.engine.revision(), before, "nothing changed");
    running.register((Node, "n1"), Some("key"), None).unwrap();
    refused!(running.register((Node, "n1"), Some("key"), None), VaultError::AlreadyExists);
    running.unregister((Node, "n1")).unwrap();
    refused!(running.unregister((Node, "n1")), VaultError::NotFound);
    running.delete("key").unwrap();
}

#[test]
fn references_are_shown_to_who_lists_everything() {
    let (_home, running) = Running::with_project();
    running.put("key", ssh("MARKER"));
    running.register((Node, "n1"), Some("key"), None).unwrap();
    let member = running.actor(&[(Role::Owner, "ml")]);
    let all = running.vault.consumers(&member, Node).unwrap();
    assert_eq!(all.len(), 1);
    assert!(all[0].references.is_empty());
    assert_eq!(running.vault.consumers(&running.admin, Node).unwrap()[0].references.len(), 1);
}

#[test]
fn a_project_is_not_removed_with_a_secret_that_something_is_reached_with() {
    let (_home, running) = Running::with_project();
    running.put("key", ssh("MARKER"));
    running.put("other", ssh("MARKER"));
    running.register((Node, "n1"), Some("key"), None).unwrap();
    let path = project("ml");
    let remove = || {
        let (permit, delete) = (running.may(path.clone()), running.may(path.clone()));
        running.vault.delete_project_with_all(&permit, &delete)
    };
    refused!(remove(), VaultError::InUse { users } if users == "node n1");
    assert!(running.secret("key").is_ok() && running.secret("other").is_ok());
    running.put("third", ssh("MARKER"));
    running.unregister((Node, "n1")).unwrap();
    remove().unwrap();
}

/// Whoever comes first: either the node refers to a secret that lives, or the secret is gone.
#[test]
fn a_secret_that_is_deleted_while_something_registers_with_it_is_never_referred_to() {
    let (_home, running) = Running::with_project();
    for round in 0..20 {
        let name = format!("key{round}");
        running.put(&name, ssh("MARKER"));
        let node = format!("n{round}");
        std::thread::scope(|scope| {
            let register = scope.spawn(|| running.register((Node, &node), Some(&name), None));
            let delete = scope.spawn(|| running.delete(&name));
            let (registered, deleted) = (register.join().unwrap(), delete.join().unwrap());
            match (registered, deleted) {
                (Ok(_), Err(VaultError::InUse { .. })) => {
                    assert_eq!(running.references((Node, &node)).len(), 1);
                }
                (Err(VaultError::NotFound), Ok(_)) => {}
                (registered, deleted) => panic!("{registered:?} {:?}", deleted.is_ok()),
            }
        });
    }
}

/// However many ask for it, and whatever the daemon does by itself meanwhile.
#[test]
fn a_removal_that_is_refused_is_never_told_as_done() {
    let (_home, running) = Running::with_project();
    running.put("key", ssh("MARKER"));
    running.register((Node, "n1"), Some("key"), None).unwrap();
    let path = project("ml");
    let remove = || {
        let (permit, delete) = (running.may(path.clone()), running.may(path.clone()));
        running.vault.delete_project_with_all(&permit, &delete)
    };
    std::thread::scope(|scope| {
        let removers: Vec<_> =
            (0..2).map(|_| scope.spawn(|| (0..20).map(|_| remove()).collect::<Vec<_>>())).collect();
        for _ in 0..20 {
            running.vault.finish_removals().unwrap();
        }
        for done in removers.into_iter().flat_map(|remover| remover.join().unwrap()) {
            refused!(done, VaultError::InUse { .. });
        }
    });
    assert!(running.secret("key").is_ok());
}
