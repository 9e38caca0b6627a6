//! What rules, bindings and history make of a project in the cluster, and what holds the worker back:
//! the real binary and a real kube-apiserver.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::{Actor, project, secret, secrets};
use crate::cluster_e2e::{Attached, cluster};
use crate::harness::{fresh_with, wait_until};

type Data = BTreeMap<String, String>;

/// What is seen of one namespace, with `kubectl`.
struct Namespace<'a>(&'a Attached, &'a str);

impl Namespace<'_> {
    #[track_caller]
    fn object(&self, name: &str) -> Option<Value> {
        let get = ["get", "secret", name, "-n", self.1, "--ignore-not-found", "-o", "json"];
        let text = self.0.kubectl(&get);
        (!text.is_empty()).then(|| serde_json::from_str(&text).unwrap())
    }

    #[track_caller]
    fn data(&self, name: &str) -> Option<Data> {
        let object = self.object(name)?;
        let text = |value: &Value| {
            String::from_utf8(STANDARD.decode(value.as_str().unwrap()).unwrap()).unwrap()
        };
        let entries = object["data"].as_object().into_iter().flatten();
        Some(entries.map(|(key, value)| (key.clone(), text(value))).collect())
    }

    #[track_caller]
    fn wait_for(&self, name: &str, entries: &[(&str, &str)]) {
        let entry = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let expected: Data = entries.iter().map(entry).collect();
        let mut found = None;
        wait_until(&format!("{name} in {} holds {expected:?}", self.1), || {
            found = self.data(name);
            found.as_ref() == Some(&expected)
        });
    }

    #[track_caller]
    fn wait_until_gone(&self, name: &str) {
        wait_until(&format!("{name} in {} is gone", self.1), || self.object(name).is_none());
    }
}

#[track_caller]
fn set_rules(admin: &Actor, name: &str, rules: Value) {
    admin.put(&project(name), &json!({ "spec": { "projectionRules": rules } })).expect(200);
}

fn each(namespace: &str) -> Value {
    json!({ "mode": "each", "namespace": namespace })
}

fn merged(namespace: &str) -> Value {
    json!({ "mode": "merged", "namespace": namespace })
}

#[track_caller]
fn put_variable(admin: &Actor, at: &str, value: &str) {
    let body = json!({ "spec": { "type": "variable" }, "stringData": { "value": value } });
    assert!(matches!(admin.put(at, &body).status, 200 | 201));
}

#[track_caller]
fn act(admin: &Actor, on: &str, action: &str, body: &Value) {
    let answer = admin.post(&format!("{on}/actions/{action}"), body);
    assert!(matches!(answer.status, 200 | 204), "{action}: {}", answer.text());
}

/// The status of a secret's projection into a namespace, as a project shows it.
#[track_caller]
fn wait_for(admin: &Actor, shown_by: &str, name: &str, namespace: &str, state: &str) -> Value {
    let mut found = Value::Null;
    wait_until(&format!("{name} in {namespace} is {state}"), || {
        let list = admin.get(&format!("{}/projections", project(shown_by))).expect(200).json();
        let wanted = |item: &&Value| item["secret"] == name && item["namespace"] == namespace;
        let items = list["items"].as_array().unwrap();
        found = items.iter().find(wanted).cloned().unwrap_or_default();
        found["state"] == state
    });
    found
}

#[test]
fn a_project_projects_by_each_of_its_rules() {
    let Some(world) = Attached::start("rules-each") else { return };
    world.kubectl(&["create", "namespace", "rules-merged"]);
    let (apart, together) = (Namespace(&world, "rules-each"), Namespace(&world, "rules-merged"));
    set_rules(world.admin(), "ml", json!([each("rules-each"), merged("rules-merged")]));
    put_variable(world.admin(), &secret("ml", "one"), "1");
    put_variable(world.admin(), &secret("ml", "two"), "2");
    world.put("opaque", "3");
    apart.wait_for("one", &[("one", "1")]);
    apart.wait_for("two", &[("two", "2")]);
    apart.wait_for("opaque", &[("value", "3")]);
    together.wait_for("ml", &[("one", "1"), ("two", "2")]);
    put_variable(world.admin(), &secret("ml", "two"), "22");
    apart.wait_for("two", &[("two", "22")]);
    together.wait_for("ml", &[("one", "1"), ("two", "22")]);
    set_rules(world.admin(), "ml", json!([merged("rules-merged")]));
    for name in ["one", "two", "opaque"] {
        apart.wait_until_gone(name);
    }
    together.wait_for("ml", &[("one", "1"), ("two", "22")]);
}

#[test]
fn a_merged_copy_follows_its_entries_down_to_none() {
    let Some(world) = Attached::start("merged") else { return };
    let (admin, copy) = (world.admin(), Namespace(&world, "merged"));
    set_rules(admin, "ml", json!([merged("merged")]));
    world.put("no-entry", "of another type");
    put_variable(admin, &secret("ml", "a"), "1");
    put_variable(admin, &secret("ml", "b"), "2");
    copy.wait_for("ml", &[("a", "1"), ("b", "2")]);

    let by_hand = r#"{"stringData":{"foreign":"key"}}"#;
    world.kubectl(&["patch", "secret", "ml", "-n", "merged", "-p", by_hand]);
    copy.wait_for("ml", &[("a", "1"), ("b", "2")]);

    put_variable(admin, &secret("ml", "large"), &"x".repeat(1_048_000));
    put_variable(admin, &secret("ml", "after"), &"y".repeat(1_000));
    wait_for(admin, "ml", "after", "merged", "TooLarge");
    wait_for(admin, "ml", "large", "merged", "Synced");
    put_variable(admin, &secret("ml", "small"), "3");
    wait_for(admin, "ml", "small", "merged", "Synced");
    let held = copy.data("ml").unwrap();
    assert_eq!(held.keys().collect::<Vec<_>>(), ["a", "b", "large", "small"]);
    admin.delete(&secret("ml", "large")).expect(204);
    wait_for(admin, "ml", "after", "merged", "Synced");

    for name in ["small", "after", "b"] {
        admin.delete(&secret("ml", name)).expect(204);
    }
    copy.wait_for("ml", &[("a", "1")]);
    admin.delete(&secret("ml", "a")).expect(204);
    copy.wait_for("ml", &[]);
}

#[test]
fn a_bound_secret_appears_by_the_other_projects_rule_and_goes_with_each_end_of_it() {
    let Some(world) = Attached::start("bound-home") else { return };
    let (admin, away) = (world.admin(), Namespace(&world, "bound-away"));
    world.kubectl(&["create", "namespace", "bound-away"]);
    admin.make_project("other");
    let rule =
        json!({ "mode": "each", "namespace": "bound-away", "namePattern": "{project}-{name}" });
    set_rules(admin, "other", json!([rule]));
    let bind = |name: &str| {
        let bindings = format!("{}/bindings", secret("ml", name));
        admin.post(&bindings, &json!({ "project": "other" })).expect(200);
    };
    for name in ["unbound", "deleted", "purged", "ruled"] {
        world.put(name, "1");
        bind(name);
        away.wait_for(&format!("other-{name}"), &[("value", "1")]);
        wait_for(admin, "other", name, "bound-away", "Synced");
    }
    admin.delete(&format!("{}/bindings/default/other", secret("ml", "unbound"))).expect(204);
    away.wait_until_gone("other-unbound");
    world.wait_for_value("unbound", "1");

    admin.delete(&secret("ml", "deleted")).expect(204);
    away.wait_until_gone("other-deleted");
    admin.delete(&secret("ml", "purged")).expect(204);
    act(admin, &secret("ml", "purged"), "purge", &json!({}));
    away.wait_until_gone("other-purged");

    set_rules(admin, "other", json!([]));
    away.wait_until_gone("other-ruled");
    world.wait_for_value("ruled", "1");
}

#[test]
fn of_two_claims_on_a_name_the_better_one_holds_until_it_goes() {
    let Some(world) = Attached::start("taken") else { return };
    let (admin, copy) = (world.admin(), Namespace(&world, "taken"));
    world.put("hf", "older");
    admin.make_project("other");
    set_rules(admin, "other", json!([each("taken")]));
    admin.try_put_value(&secret("other", "hf"), "younger").unwrap().expect(201);
    let taken = wait_for(admin, "other", "hf", "taken", "NameTaken");
    let message = taken["message"].as_str().unwrap();
    assert!(!message.contains("ml"), "it names a foreign project: {message}");
    copy.wait_for("hf", &[("value", "older")]);
    admin.delete(&secret("ml", "hf")).expect(204);
    copy.wait_for("hf", &[("value", "younger")]);
    wait_for(admin, "other", "hf", "taken", "Synced");

    // A project's own secret comes before a bound one, although that is older.
    world.kubectl(&["create", "namespace", "taken-too"]);
    let too = Namespace(&world, "taken-too");
    set_rules(admin, "ml", json!([]));
    world.put("key", "bound");
    let bindings = format!("{}/bindings", secret("ml", "key"));
    admin.post(&bindings, &json!({ "project": "other" })).expect(200);
    set_rules(admin, "other", json!([each("taken-too")]));
    too.wait_for("key", &[("value", "bound")]);
    admin.try_put_value(&secret("other", "key"), "own").unwrap().expect(201);
    too.wait_for("key", &[("value", "own")]);
    wait_for(admin, "ml", "key", "taken-too", "NameTaken");
    admin.delete(&secret("other", "key")).expect(204);
    too.wait_for("key", &[("value", "bound")]);
    wait_for(admin, "ml", "key", "taken-too", "Synced");
}

#[test]
fn a_name_that_kubernetes_would_refuse_gets_one_that_the_status_shows() {
    let Some(world) = Attached::start("names") else { return };
    let (admin, copy) = (world.admin(), Namespace(&world, "names"));
    let names = ["Team/HF token", "team/hf token", "\u{fc}ber", "a_b"];
    for name in names {
        let body = json!({ "metadata": { "name": name }, "stringData": { "value": name } });
        admin.post(&secrets("ml"), &body).expect(201);
    }
    let mut shown = Vec::new();
    for name in names {
        let status = wait_for(admin, "ml", name, "names", "Synced");
        let sanitized = status["name"].as_str().unwrap().to_owned();
        copy.wait_for(&sanitized, &[("value", name)]);
        shown.push(sanitized);
    }
    assert!(shown[0].starts_with("team-hf-token-") && shown[1].starts_with("team-hf-token-"));
    shown.sort();
    shown.dedup();
    assert_eq!(shown.len(), names.len(), "{shown:?}");
}

#[test]
fn the_copy_follows_the_history() {
    let Some(world) = Attached::start("history") else { return };
    let (admin, copy, hf) = (world.admin(), Namespace(&world, "history"), secret("ml", "hf"));
    world.put("hf", "1");
    world.put("hf", "2");
    world.wait_for_value("hf", "2");
    act(admin, &hf, "rollback", &json!({ "version": 1 }));
    world.wait_for_value("hf", "1");
    act(admin, &hf, "delete", &json!({ "versions": [3] }));
    world.wait_for_value("hf", "2");

    act(admin, &hf, "delete", &json!({ "versions": [1, 2] }));
    copy.wait_until_gone("hf");
    act(admin, &hf, "undelete", &json!({ "versions": [1] }));
    world.wait_for_value("hf", "1");

    admin.delete(&hf).expect(204);
    copy.wait_until_gone("hf");
    act(admin, &hf, "undelete", &json!({ "name": "renamed" }));
    world.wait_for_value("renamed", "1");
    assert!(copy.object("hf").is_none());
}

#[test]
fn the_brake_holds_many_deletions_until_an_administrator_lets_them_go() {
    let Some(world) = Attached::start_with("brake", &["--max-deletions", "2"]) else { return };
    let (admin, copy) = (world.admin(), Namespace(&world, "brake"));
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        world.put(name, name);
    }
    for name in names {
        world.wait_for_value(name, name);
    }
    // All at once: one by one they would be as many turns.
    set_rules(admin, "ml", json!([]));
    let sync = || admin.get("/tresor/v1/sync").expect(200).json();
    wait_until("the brake holds all", || sync()["braked"] == 5);
    assert_eq!(sync()["projections"], json!({ "Braked": 5 }));
    for name in names {
        let status = world.wait_for_state(name, "Braked");
        assert!(status["message"].as_str().unwrap().contains("release the brake"), "{status}");
        world.wait_for_value(name, name);
    }
    assert_eq!(sync()["deletes"], 0);

    let release = "/tresor/v1/sync/actions/release-brake";
    for role in ["owner", "manager", "viewer"] {
        admin.make_actor(role, &["ml"]).post(release, &json!({})).problem(403, "forbidden");
    }
    for role in ["auditor", "readonly-admin"] {
        admin.make_actor(role, &[]).post(release, &json!({})).problem(403, "forbidden");
    }
    assert_eq!(sync()["braked"], 5);
    admin.post(release, &json!({})).expect(204);
    for name in names {
        copy.wait_until_gone(name);
    }
    wait_until("nothing is held", || sync()["braked"] == 0 && sync()["deletes"] == 5);
}

#[test]
fn a_foreign_secret_is_handed_over_by_the_command_that_the_conflict_shows() {
    let Some(world) = Attached::start("adopt") else { return };
    let copy = Namespace(&world, "adopt");
    let create = ["create", "secret", "generic", "hf", "-n", "adopt", "--from-literal=theirs=1"];
    world.kubectl(&create);
    world.kubectl(&["label", "secret", "hf", "-n", "adopt", "team=theirs"]);
    world.put("hf", "ours");
    let conflict = world.wait_for_state("hf", "Conflict");
    let message = conflict["message"].as_str().unwrap();
    let (_, command) = message.split_once("kubectl ").unwrap();
    let arguments: Vec<_> = command.split(' ').collect();
    assert_eq!(copy.data("hf").unwrap(), Data::from([("theirs".to_owned(), "1".to_owned())]));
    world.kubectl(&arguments);
    // So that it is seen at once, and not at the next look around.
    let ours = "app.kubernetes.io/managed-by=tresor";
    world.kubectl(&["label", "secret", "hf", "-n", "adopt", ours]);
    world.wait_for_value("hf", "ours");
    world.wait_for_state("hf", "Synced");
    assert_eq!(copy.object("hf").unwrap()["metadata"]["labels"]["team"], "theirs");
}

/// With a Lease, and with no right but those that the README names.
#[test]
fn the_rights_in_the_readme_are_enough() {
    let Some(cluster) = cluster() else { return };
    let fresh = fresh_with(|serve| {
        serve.arg("--kubeconfig").arg(cluster.limited_kubeconfig());
        serve.args(["--lease", "rights-lease/tresor"]);
    });
    let kubectl = |args: &[&str]| {
        let output = cluster.kubectl(args).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let admin = &fresh.admin;
    let readme = include_str!("../../README.md");
    let roles = readme.lines().filter_map(|line| line.strip_prefix("kubectl create role "));
    let roles: Vec<_> = roles.collect();
    assert_eq!(roles.len(), 2, "one for Secrets and one for the Lease: {roles:?}");
    for (namespace, role) in ["rights", "rights-lease"].into_iter().zip(roles) {
        kubectl(&["create", "namespace", namespace]);
        let role = role.replace("NAMESPACE", namespace);
        let create: Vec<_> = ["create", "role"].into_iter().chain(role.split(' ')).collect();
        kubectl(&create);
        let name = role.split(' ').next().unwrap();
        let role = format!("--role={name}");
        kubectl(&["create", "rolebinding", name, "-n", namespace, &role, "--user=limited"]);
    }
    let holder = || {
        let path = "jsonpath={.spec.holderIdentity}";
        let get = ["get", "lease", "tresor", "-n", "rights-lease", "--ignore-not-found"];
        kubectl(&[&get[..], &["-o", path]].concat())
    };
    wait_until("the Lease is held", || !holder().is_empty());
    wait_until("it leads", || admin.get("/tresor/v1/sync").expect(200).json()["leader"] == true);

    set_rules(admin, "ml", json!([each("rights"), merged("rights")]));
    put_variable(admin, &secret("ml", "hf"), "1");
    let get = |name: &str, key: &str| {
        let path = format!("jsonpath={{.data.{key}}}");
        kubectl(&["get", "secret", name, "-n", "rights", "--ignore-not-found", "-o", &path])
    };
    wait_until("both are made", || get("hf", "hf") == "MQ==" && get("ml", "hf") == "MQ==");
    put_variable(admin, &secret("ml", "hf"), "2");
    wait_until("both are updated", || get("hf", "hf") == "Mg==" && get("ml", "hf") == "Mg==");
    admin.delete(&secret("ml", "hf")).expect(204);
    wait_until("the copy is gone", || get("hf", "hf").is_empty());
    let sync = admin.get("/tresor/v1/sync").expect(200).json();
    assert_eq!(sync["projections"].get("Denied"), None, "{sync}");
    fresh.daemon.stop();
    assert_eq!(holder(), "", "the Lease is not released");
}
