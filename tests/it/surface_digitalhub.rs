//! Digital Hub beyond single cases: several clients at once, the audit log, and a project's values in
//! a real cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::{Actor, Answer, secret};
use crate::cluster_e2e::{cluster, kubectl};
use crate::harness::{Fresh, fresh, fresh_with, wait_until};

const PROJECTS: &str = "/api/v1/projects";
const SECRETS: &str = "/api/v1/-/ml/secrets";
const DATA: &str = "/api/v1/-/ml/secrets/data";
const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];

fn entity(name: &str) -> Value {
    let spec = json!({ "path": format!("secret://{name}"), "provider": "kubernetes" });
    json!({ "kind": "secret", "name": name, "project": "ml", "spec": spec })
}

fn project(name: &str) -> Value {
    json!({ "kind": "project", "name": name })
}

/// The administrator, on connections of their own.
fn clients(world: &Fresh) -> [Actor; 2] {
    [world.admin.again(), world.admin.again()]
}

/// Does what two clients ask at the same moment.
fn both(clients: &[Actor; 2], method: &str, path: &str, bodies: [Value; 2]) -> [Answer; 2] {
    let [one, other] = clients;
    let [first, second] = bodies.map(|body| body.to_string());
    thread::scope(|scope| {
        let other = scope.spawn(|| other.send(method, path, &JSON, second.as_bytes()));
        [one.send(method, path, &JSON, first.as_bytes()), other.join().unwrap()]
    })
}

/// All values that a secret had, oldest first.
fn history(world: &Fresh, name: &str) -> Vec<String> {
    let path = secret("ml", name);
    let versions = world.admin.get(&format!("{path}/versions")).expect(200).json();
    let value = |version: &Value| {
        let data = world.admin.get(&format!("{path}/data?version={}", version["version"]));
        let text = data.expect(200).json()["data"]["value"].as_str().unwrap().to_owned();
        String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
    };
    let mut items = versions["items"].as_array().unwrap().clone();
    items.sort_by_key(|item| item["version"].as_u64());
    items.iter().map(value).collect()
}

#[test]
fn two_who_make_the_same_make_one() {
    let world = fresh();
    let clients = clients(&world);
    for round in 0..10 {
        let name = format!("same-{round}");
        for (path, body) in [(SECRETS, entity(&name)), (PROJECTS, project(&name))] {
            let answers = both(&clients, "POST", path, [body.clone(), body]);
            let mut statuses = answers.each_ref().map(|answer| answer.status);
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 400], "{answers:?}");
            let refused = answers.iter().find(|answer| answer.status == 400).unwrap();
            assert!(refused.text().contains("Duplicated entity"), "{}", refused.text());
        }
    }
    let page = world.admin.get(SECRETS).expect(200).json();
    assert_eq!(page["totalElements"], 10);
}

#[test]
fn two_who_write_at_once_both_leave_a_version() {
    let world = fresh();
    let clients = clients(&world);
    for name in ["s", "left", "right"] {
        world.admin.post(SECRETS, &entity(name)).expect(200);
    }
    for round in 0..4 {
        let write = |who: &str| json!({ "s": format!("{who}{round}") });
        for answer in both(&clients, "PUT", DATA, [write("a"), write("b")]) {
            answer.expect(200);
        }
        let bodies = [json!({ "left": round }), json!({ "right": round })];
        for answer in both(&clients, "PUT", DATA, bodies) {
            answer.expect(200);
        }
    }
    let kept: BTreeSet<_> = history(&world, "s").into_iter().collect();
    assert_eq!(kept, (0..4).flat_map(|round| [format!("a{round}"), format!("b{round}")]).collect());
    let counted: Vec<_> = (0..4).map(|round| round.to_string()).collect();
    assert_eq!((history(&world, "left"), history(&world, "right")), (counted.clone(), counted));
}

/// A description that is changed while values are written loses neither.
#[test]
fn descriptions_and_values_that_change_at_once_both_stay() {
    let world = fresh();
    let [one, other] = clients(&world);
    let made = world.admin.post(SECRETS, &entity("s")).expect(200).json();
    let path = format!("{SECRETS}/{}", made["id"].as_str().unwrap());
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..8 {
                let mut body = entity("s");
                body["metadata"] = json!({ "description": format!("d{round}") });
                one.put(&path, &body).expect(200);
            }
        });
        for round in 0..8 {
            other.put(DATA, &json!({ "s": format!("v{round}") })).expect(200);
        }
    });
    let shown = world.admin.get(&path).expect(200).json();
    assert_eq!(shown["metadata"]["description"], "d7");
    assert_eq!(history(&world, "s"), (0..8).map(|round| format!("v{round}")).collect::<Vec<_>>());
}

#[test]
fn values_are_written_together_or_not_at_all() {
    let world = fresh();
    let clients = clients(&world);
    for name in ["a", "b"] {
        world.admin.post(SECRETS, &entity(name)).expect(200);
    }
    for round in 0..4 {
        let write =
            |who: &str| json!({ "a": format!("{who}{round}"), "b": format!("{who}{round}") });
        for answer in both(&clients, "PUT", DATA, [write("x"), write("y")]) {
            answer.expect(200);
        }
        let missing = json!({ "a": "lost", "b": "lost", "none": "lost" });
        assert_eq!(world.admin.put(DATA, &missing).status, 400);
    }
    let (a, b) = (history(&world, "a"), history(&world, "b"));
    assert_eq!((a.len(), &a), (8, &b), "each pair was written at once");
}

#[test]
fn no_answer_names_an_api_level() {
    let world = fresh();
    world.admin.post(SECRETS, &entity("s")).expect(200);
    for path in [PROJECTS, SECRETS, DATA, "/api/auth", "/.well-known/configuration", "/api/v1/-/x"]
    {
        for actor in [&world.admin, &world.daemon.anonymous()] {
            let answer = actor.get(path);
            assert_eq!(answer.header("x-api-level"), None, "{path}");
            assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        }
    }
}

#[test]
fn each_value_that_is_read_or_written_is_in_the_audit_log() {
    let world = fresh();
    for name in ["a", "b"] {
        world.admin.post(SECRETS, &entity(name)).expect(200);
    }
    world.admin.put(DATA, &json!({ "a": "MARK", "b": "MARK" })).expect(200);
    world.admin.get(&format!("{DATA}?keys=a,b,none")).expect(200);
    let stranger = world.admin.make_user("mallory");
    stranger.get(&format!("{DATA}?keys=a")).expect(404);
    world.admin.make_member("ml", "user:mallory", "viewer");
    stranger.get(&format!("{DATA}?keys=a")).expect(403);
    let file = world.home.data.join("audit/audit.jsonl");
    let told = || -> Vec<(String, String, String, Value)> {
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains("MARK"));
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let text = |line: &Value, member: &str| line[member].as_str().unwrap_or("").to_owned();
        let ours = lines.filter(|line| text(line, "action").ends_with("SecretData"));
        ours.map(|line| {
            let version = line["version"].clone();
            (text(&line, "action"), text(&line, "resource"), text(&line, "outcome"), version)
        })
        .collect()
    };
    wait_until("all are written", || told().len() >= 6);
    let record = |action: &str, name: &str, outcome: &str, version: Value| {
        let action = format!("digitalhub.{action}SecretData");
        (action, format!("secret://default/default/ml{name}"), outcome.to_owned(), version)
    };
    let done = |action, name| record(action, name, "ok", json!(1));
    assert_eq!(
        told(),
        [
            done("write", "/a"),
            done("write", "/b"),
            done("read", "/a"),
            done("read", "/b"),
            record("read", "/a", "denied", Value::Null),
            record("read", "/a", "denied", Value::Null),
        ]
    );
}

#[test]
fn a_projects_values_are_one_kubernetes_secret() {
    let Some(cluster) = cluster() else { return };
    let kubectl = |args: &[&str]| kubectl(cluster, args);
    kubectl(&["create", "namespace", "digitalhub"]);
    let world = fresh_with(|serve| {
        serve.arg("--kubeconfig").arg(cluster.kubeconfig());
        serve.args(["--digitalhub-namespace", "digitalhub"]);
    });
    let admin = &world.admin;
    let in_cluster = || -> Option<BTreeMap<String, String>> {
        let get = ["get", "secret", "proj-secrets-p1", "-n", "digitalhub", "--ignore-not-found"];
        let text = kubectl(&[&get[..], &["-o", "json"]].concat());
        let object: Value = serde_json::from_str(&text).ok()?;
        assert_eq!(object["type"], "Opaque");
        let decode = |value: &Value| {
            String::from_utf8(STANDARD.decode(value.as_str().unwrap()).unwrap()).unwrap()
        };
        let entries = object["data"].as_object()?.iter();
        Some(entries.map(|(key, value)| (key.clone(), decode(value))).collect())
    };
    let becomes = |entries: &[(&str, &str)]| {
        let entry = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let wanted: BTreeMap<_, _> = entries.iter().map(entry).collect();
        wait_until(&format!("the Secret holds {entries:?}"), || {
            in_cluster().as_ref() == Some(&wanted)
        });
    };
    admin.post(PROJECTS, &project("p1")).expect(200);
    let (secrets, data) = ("/api/v1/-/p1/secrets", "/api/v1/-/p1/secrets/data");
    let made = ["API_KEY", "with.dot"].map(|name| {
        let body = Value::Object({
            let mut body = entity(name).as_object().unwrap().clone();
            body.insert("project".to_owned(), json!("p1"));
            body
        });
        admin.post(secrets, &body).expect(200).json()["id"].as_str().unwrap().to_owned()
    });
    admin.put(data, &json!({ "API_KEY": "value1" })).expect(200);
    // What was never written is in no cluster.
    becomes(&[("API_KEY", "value1")]);
    admin.put(data, &json!({ "API_KEY": "value2", "with.dot": "grün" })).expect(200);
    becomes(&[("API_KEY", "value2"), ("with.dot", "grün")]);
    let [key, dot] = made;
    admin.delete(&format!("{secrets}/{dot}")).expect(200);
    becomes(&[("API_KEY", "value2")]);
    admin.delete(&format!("{secrets}/{key}")).expect(200);
    wait_until("the Secret is gone with its last entry", || in_cluster().is_none());
    // A name that comes again has nothing of before.
    let mut again = entity("again");
    again["project"] = json!("p1");
    admin.post(secrets, &again).expect(200);
    admin.put(data, &json!({ "again": "3" })).expect(200);
    becomes(&[("again", "3")]);
    admin.delete(&format!("{PROJECTS}/p1?cascade=true")).expect(200);
    wait_until("the Secret is gone with its project", || in_cluster().is_none());
}
