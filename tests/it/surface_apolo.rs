//! Apolo beyond single cases: several clients at once, the audit log, and the platform's workflow
//! from the request to `kubectl`.

use std::collections::BTreeSet;
use std::fs;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::{Actor, Answer, project, secret};
use crate::cluster_e2e::{cluster, kubectl};
use crate::harness::{Fresh, fresh, fresh_with, wait_until};
use crate::render::referred;

const SECRETS: &str = "/apolo/api/v1/secrets";
const JOBS: &str = "/apolo/api/v1/jobs";

fn value(key: &str, text: &str) -> Value {
    json!({ "key": key, "value": STANDARD.encode(text) })
}

fn permissions(user: &str) -> String {
    format!("/apolo/api/v1/users/{user}/permissions")
}

/// What two ask at the same moment.
fn both(one: impl FnOnce() -> Answer + Send, other: impl FnOnce() -> Answer + Send) -> [Answer; 2] {
    thread::scope(|scope| {
        let (one, other) = (scope.spawn(one), scope.spawn(other));
        [one.join().unwrap(), other.join().unwrap()]
    })
}

#[test]
fn two_who_add_one_key_both_leave_a_version() {
    let world = fresh();
    let alice = world.admin.make_user("alice");
    let again = alice.again();
    for round in 0..4 {
        let add = |actor: &Actor, who: &str| {
            actor.post(SECRETS, &value("k", &format!("{who}{round}"))).expect(201)
        };
        both(|| add(&alice, "a"), || add(&again, "b"));
    }
    let path = secret("alice", "k");
    let read = |version: u64| {
        let data = alice.get(&format!("{path}/data?version={version}")).expect(200).json();
        let text = STANDARD.decode(data["data"]["value"].as_str().unwrap()).unwrap();
        String::from_utf8(text).unwrap()
    };
    let kept: BTreeSet<_> = (1..=8).map(read).collect();
    let written = (0..4).flat_map(|round| [format!("a{round}"), format!("b{round}")]);
    assert_eq!(kept, written.collect(), "an update is lost");
}

#[test]
fn who_removes_and_adds_at_once_meets_no_error() {
    let world = fresh();
    let alice = world.admin.make_user("alice");
    let again = alice.again();
    let path = format!("{SECRETS}/k");
    for round in 0..8 {
        alice.post(SECRETS, &value("k", "before")).expect(201);
        let added = value("k", &format!("{round}"));
        let [removed, added] = both(|| alice.delete(&path), || again.post(SECRETS, &added));
        assert_eq!((removed.status, added.status), (204, 201), "{}", removed.text());
        let left = alice.get(&path);
        assert!(matches!(left.status, 200 | 404), "{}", left.text());
        if left.status == 200 {
            assert_eq!(left.json()["value"], STANDARD.encode(format!("{round}")));
        }
    }
}

#[test]
fn of_two_levels_given_at_once_the_higher_is_in_force() {
    let world = fresh();
    let alice = world.admin.make_user("alice");
    let again = alice.again();
    let bob = world.admin.make_user("bob");
    for round in 0..6 {
        let uri = format!("secret://default/default/alice/k{round}");
        let give = |actor: &Actor, level: &str| {
            actor.post(&permissions("bob"), &json!([{ "uri": uri, "action": level }])).expect(201)
        };
        both(|| give(&alice, "manage"), || give(&again, "read"));
        let held = bob.get(&format!("{}?uri={uri}", permissions("bob"))).expect(200).json();
        assert_eq!(held, json!([{ "uri": uri, "action": "manage" }]));
    }
}

#[test]
fn apolos_requests_are_in_the_audit_log() {
    let world = fresh();
    let alice = world.admin.make_user("alice");
    world.admin.make_user("bob");
    let bob = world.admin.sign_in("bob", crate::client::PASSWORD);
    let uri = "secret://default/default/alice/k";
    let key = format!("{SECRETS}/k?org_name=default&project_name=alice");
    alice.post(SECRETS, &value("k", "one")).expect(201);
    alice.post(SECRETS, &value("k", "two")).expect(201);
    alice.get(&key).expect(200);
    bob.get(&key).expect(403);
    let share = json!([{ "uri": uri, "action": "write" }]);
    alice.post(&permissions("bob"), &share).expect(201);
    alice.delete(&format!("{}?uri={uri}", permissions("bob"))).expect(204);
    alice.get(&format!("{SECRETS}/absent")).expect(404);
    alice.post(JOBS, &json!({ "image": "x" })).expect(400);
    alice.delete(&key).expect(204);
    let file = world.home.data.join("audit/audit.jsonl");
    let records = || -> Vec<Value> {
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .filter(|line| line["action"].as_str().is_some_and(|it| it.starts_with("apolo.")))
            .collect()
    };
    wait_until("all are written", || records().len() == 9);
    let project = "secret://default/default/alice";
    let expected = [
        ("user:alice", "apolo.addSecret", uri, json!(1), "ok", Value::Null),
        ("user:alice", "apolo.addSecret", uri, json!(2), "ok", Value::Null),
        ("user:alice", "apolo.getSecret", uri, json!(2), "ok", Value::Null),
        ("user:bob", "apolo.getSecret", uri, Value::Null, "denied", Value::Null),
        ("user:alice", "apolo.share", uri, Value::Null, "ok", json!("write to user:bob")),
        ("user:alice", "apolo.revoke", uri, Value::Null, "ok", json!("from user:bob")),
        ("user:alice", "apolo.getSecret", project, Value::Null, "refused", Value::Null),
        ("user:alice", "apolo.runJob", project, Value::Null, "refused", Value::Null),
        ("user:alice", "apolo.removeSecret", uri, json!(2), "ok", Value::Null),
    ];
    for (record, (actor, action, resource, version, outcome, detail)) in
        records().iter().zip(expected)
    {
        let text = |member: &str| record[member].as_str().unwrap_or_default();
        assert_eq!((text("actor"), text("action")), (actor, action), "{record}");
        assert_eq!((text("resource"), text("outcome")), (resource, outcome), "{record}");
        assert_eq!((&record["version"], &record["detail"]), (&version, &detail), "{record}");
    }
}

#[test]
fn apolo_s_workflow_reaches_kubernetes() {
    let Some(cluster) = cluster() else { return };
    let kubectl = |args: &[&str]| kubectl(cluster, args);
    let Fresh { admin, home: _home, daemon: _daemon } = fresh_with(|serve| {
        serve.arg("--kubeconfig").arg(cluster.kubeconfig());
        serve.args(["--apolo-namespace", "platform--{org}--{project}"]);
    });
    let (namespace, name) = ("platform--default--alice", "project--default--alice--secrets");
    kubectl(&["create", "namespace", namespace]);
    let alice = admin.make_user("alice");
    let data = || {
        let get = ["get", "secret", name, "-n", namespace, "--ignore-not-found", "-o", "json"];
        let there: Value = serde_json::from_str(&kubectl(&get)).unwrap_or_default();
        there["data"].clone()
    };
    let holds = |what: &str, wanted: &Value| wait_until(what, || data() == *wanted);

    alice.post(SECRETS, &value("secret-password", "p@$$w0rd123")).expect(201);
    let one = json!({ "secret-password": STANDARD.encode("p@$$w0rd123") });
    holds("the key is in the cluster", &one);
    alice.post(SECRETS, &value("other", "1")).expect(201);
    alice.post(SECRETS, &value("secret-password", "new")).expect(201);
    let new = json!({ "other": "MQ==", "secret-password": STANDARD.encode("new") });
    holds("the new value is, beside the other key", &new);
    alice.delete(&format!("{SECRETS}/other")).expect(204);
    let left = json!({ "secret-password": STANDARD.encode("new") });
    holds("the removed key is not", &left);
    is_projected(&alice, "Synced");

    let uri = "secret://default/default/alice/secret-password";
    let body = json!({
        "pass_config": false, "project_name": "alice", "org_name": "default",
        "cluster_name": "default", "preset_name": "default", "max_run_time_minutes": 1440,
        "image": "ubuntu:latest", "resources": { "shm": true }, "command": "true",
        "http": { "port": 80, "requires_auth": true },
        "secret_env": { "mypass": uri },
        "secret_volumes": [
            { "src_secret_uri": uri, "dst_path": "/var/secrets/secret-password.txt" }
        ],
    });
    let shown = alice.post(&format!("{JOBS}?from_preset="), &body).expect(202).json();
    let id = shown["id"].as_str().unwrap();
    assert!(id.starts_with("job-") && id.len() > 4, "{shown}");
    assert_eq!(shown["uri"], format!("job://default/default/alice/{id}"));
    for (member, wanted) in [
        ("owner", "alice"),
        ("cluster_name", "default"),
        ("status", "pending"),
        ("namespace", namespace),
    ] {
        assert_eq!(shown[member], wanted, "{shown}");
    }
    assert_eq!(shown["container"]["secret_env"]["mypass"], uri);
    let job: Value =
        serde_json::from_str(&kubectl(&["get", "job", id, "-n", namespace, "-o", "json"])).unwrap();
    let mut references = BTreeSet::new();
    referred(&job["spec"], &mut references);
    assert_eq!(references, BTreeSet::from([(name.to_owned(), Some("secret-password".to_owned()))]));
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    let from = &pod["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"];
    assert_eq!(*from, json!({ "name": name, "key": "secret-password" }));
    assert!(!job.to_string().contains("new"), "a value is in the Job");

    // As the oldest clients ask, and again: a Job of its own.
    let old =
        json!({ "container": { "image": "ubuntu", "resources": {} }, "is_preemptible": false });
    let other = alice.post(JOBS, &old).expect(202).json();
    assert_ne!(other["id"], shown["id"]);
    assert_eq!(kubectl(&["get", "job", "-n", namespace, "-o", "name"]).lines().count(), 2);
}

/// Waits until the only projection of alice's project is in a state.
fn is_projected(alice: &Actor, state: &str) {
    wait_until(&format!("the projection is {state}"), || {
        let list = alice.get(&format!("{}/projections", project("alice"))).expect(200).json();
        list["items"].as_array().unwrap().iter().any(|item| item["state"] == state)
    });
}

/// A pod would read whatever has the name, be it Tresor's or not.
#[test]
fn no_job_mounts_a_kubernetes_secret_that_is_not_tresor_s() {
    let Some(cluster) = cluster() else { return };
    let kubectl = |args: &[&str]| kubectl(cluster, args);
    let Fresh { admin, home: _home, daemon: _daemon } = fresh_with(|serve| {
        serve.arg("--kubeconfig").arg(cluster.kubeconfig());
        serve.args(["--apolo-namespace", "foreign--{org}--{project}"]);
    });
    let (namespace, name) = ("foreign--default--alice", "project--default--alice--secrets");
    kubectl(&["create", "namespace", namespace]);
    kubectl(&["create", "secret", "generic", name, "-n", namespace, "--from-literal=pw=theirs"]);
    let alice = admin.make_user("alice");
    alice.post(SECRETS, &value("pw", "mine")).expect(201);
    is_projected(&alice, "Conflict");

    let secret_env = json!({ "pw": "secret://default/default/alice/pw" });
    let job = json!({ "image": "ubuntu", "secret_env": secret_env });
    let refused = alice.post(JOBS, &job).expect(409).json();
    let text = refused["error"].as_str().unwrap();
    for said in ["secret_env.pw", "not in the cluster yet", "Conflict", "`default/alice`"] {
        assert!(text.contains(said), "{text}");
    }
    assert_eq!(kubectl(&["get", "job", "-n", namespace, "-o", "name"]), "");
    let rendered = alice.post("/tresor/v1/render?project=alice", &job).expect(200).json();
    let warnings = rendered["warnings"].as_array().unwrap();
    let says = |text: &str| warnings.iter().any(|line| line.as_str().unwrap().contains(text));
    assert!(says("secret_env.pw") && says("Conflict"), "{rendered}");

    kubectl(&["delete", "secret", name, "-n", namespace]);
    is_projected(&alice, "Synced");
    alice.post(JOBS, &job).expect(202);
    let rendered = alice.post("/tresor/v1/render?project=alice", &job).expect(200).json();
    assert!(!rendered["warnings"].to_string().contains("secret_env"), "{rendered}");
}

#[test]
fn a_job_that_kubernetes_refuses_is_none() {
    let Some(cluster) = cluster() else { return };
    let world = fresh_with(|serve| {
        serve.arg("--kubeconfig").arg(cluster.limited_kubeconfig());
        serve.args(["--apolo-namespace", "nowhere"]);
    });
    let alice = world.admin.make_user("alice");
    let refused = alice.post(JOBS, &json!({ "image": "ubuntu" })).expect(400).json();
    let text = refused["error"].as_str().unwrap();
    assert!(text.contains("may not create jobs in the namespace nowhere"), "{text}");
}
