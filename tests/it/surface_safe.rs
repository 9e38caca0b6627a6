//! Primus-SaFE beyond single cases: several clients at once, the audit log, and where its secrets
//! appear in a real cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::Actor;
use crate::cluster_e2e::{cluster, kubectl};
use crate::harness::{Fresh, fresh, fresh_with, wait_until};

const SECRETS: &str = "/api/v1/secrets";
const WORKSPACES: &str = "/api/v1/workspaces";
const HOME: &str = "/tresor/v1/orgs/default/projects/safe/secrets";

fn general(name: &str, params: &Value, workspaces: &[&str]) -> Value {
    json!({ "name": name, "type": "general", "params": params, "workspaceIds": workspaces })
}

fn image(server: &str, password: &str) -> Value {
    json!([{ "server": server, "username": "robot", "password": STANDARD.encode(password) }])
}

/// Two clients of the administrator at the same moment.
fn both(world: &Fresh, ask: impl Fn(&Actor, &str) -> u16 + Sync) -> [u16; 2] {
    thread::scope(|scope| {
        let ask = &ask;
        let asked = ["one", "other"].map(|which| {
            let client = world.admin.again();
            scope.spawn(move || ask(&client, which))
        });
        asked.map(|thread| thread.join().unwrap())
    })
}

#[test]
fn two_who_make_one_secret_make_one() {
    let world = fresh();
    for round in 0..10 {
        let name = format!("s{round}");
        let body = |value: &str| general(&name, &json!([{ "k": value }]), &[]);
        let mut statuses = both(&world, |client, who| client.post(SECRETS, &body(who)).status);
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
    }
}

#[test]
fn two_who_change_one_secret_at_once_both_leave_a_version() {
    let world = fresh();
    world.admin.post(SECRETS, &general("s", &json!([{ "k": "0" }]), &[])).expect(200);
    let path = format!("{SECRETS}/s");
    for round in 0..4 {
        let statuses = both(&world, |client, who| {
            client.patch(&path, &json!({ "params": [{ "k": format!("{who}{round}") }] })).status
        });
        assert_eq!(statuses, [200, 200]);
    }
    let value = |version: u64| {
        let data = world.admin.get(&format!("{HOME}/s/data?version={version}")).expect(200).json();
        String::from_utf8(STANDARD.decode(data["data"]["k"].as_str().unwrap()).unwrap()).unwrap()
    };
    let kept: BTreeSet<_> = (1..=9).map(value).collect();
    let written = (0..4).flat_map(|round| [format!("one{round}"), format!("other{round}")]);
    assert_eq!(kept, written.chain(["0".to_owned()]).collect());
}

/// A secret that is deleted while a workspace takes it, or a node registers with it: either both see
/// it, or it is gone for both.
#[test]
fn a_secret_that_goes_meanwhile_is_referred_to_by_nothing() {
    let world = fresh();
    let admin = &world.admin;
    admin.make_project("w");
    for round in 0..6 {
        let (name, node) = (format!("i{round}"), format!("n{round}"));
        let body = json!({ "name": name, "type": "image", "params": image("r", "p") });
        admin.post(SECRETS, &body).expect(200);
        let key = json!({ "name": node, "type": "ssh", "params": [{ "username": "u", "password": "p" }] });
        admin.post(SECRETS, &key).expect(200);
        let register = json!({ "hostname": node, "privateIP": "10.0.0.1", "sshSecretId": node });
        let statuses = both(&world, |client, who| match who {
            "one" => {
                let bound = json!({ "imageSecretIds": [name] });
                client.patch(&format!("{WORKSPACES}/w"), &bound).status
                    + client.post("/api/v1/nodes", &register).status
            }
            _ => {
                client.delete(&format!("{SECRETS}/{name}")).status
                    + client.delete(&format!("{SECRETS}/{node}")).status
            }
        });
        let workspace = admin.get(&format!("{WORKSPACES}/w")).expect(200).json();
        assert_eq!(workspace["imageSecretIds"], json!([]), "{statuses:?}");
        let there = admin.get(&format!("{SECRETS}/{node}")).status == 200;
        let held = admin.get(&format!("/api/v1/nodes/{node}")).status == 200;
        assert_eq!(there, held, "{statuses:?}");
    }
}

/// A workspace is removed while secrets are bound to it.
#[test]
fn a_workspace_that_goes_meanwhile_leaves_no_binding() {
    let world = fresh();
    world.admin.post(SECRETS, &general("s", &json!([{ "k": "v" }]), &[])).expect(200);
    for round in 0..6 {
        let name = format!("w{round}");
        world.admin.make_project(&name);
        both(&world, |client, who| match who {
            "one" => {
                let bind = json!({ "workspaceIds": [name] });
                client.patch(&format!("{SECRETS}/s"), &bind).status
            }
            _ => client.delete(&format!("{WORKSPACES}/{name}")).status,
        });
        let shown = world.admin.get(&format!("{SECRETS}/s")).expect(200).json();
        let gone = world.admin.get(&format!("{WORKSPACES}/{name}")).status == 404;
        assert!(!gone || shown["workspaceIds"] == json!([]), "{shown}");
        assert!(gone, "the last word is the removal's");
    }
}

#[test]
fn what_is_done_is_in_the_audit_log_and_no_value_is() {
    let world = fresh();
    let admin = &world.admin;
    let marked = "MARKEDVALUE";
    admin.post(SECRETS, &general("s", &json!([{ "k": marked }]), &[])).expect(200);
    admin.get(&format!("{SECRETS}/s")).expect(200);
    let patch = json!({ "params": [{ "k": marked, "l": marked }] });
    admin.patch(&format!("{SECRETS}/s"), &patch).expect(200);
    let stranger = admin.make_user("mallory");
    stranger.get(&format!("{SECRETS}/s")).expect(404);
    // Values where something else belongs.
    let bodies = [
        json!({ "name": marked, "type": marked, "params": [{ "k": "v" }] }),
        json!({ "name": "a", "type": "ssh", "params": [{ "username": "u", "privateKey": marked }] }),
        json!({ "name": "a", "type": "image", "params": [{ marked: marked, "password": marked }] }),
        json!({ "name": "a", "type": "general", "params": [{ "a b": marked }] }),
        json!({ "name": "a", "type": "general", "params": [{ "k": "v" }], "labels": { "a": format!("{marked} x") } }),
        json!({ "name": "a", "type": "general", "params": marked, "workspaceIds": [marked] }),
    ];
    for body in bodies {
        let refused = admin.post(SECRETS, &body);
        assert!(refused.status >= 400 && !refused.text().contains(marked), "{}", refused.text());
    }
    admin.delete(&format!("{SECRETS}/s")).expect(200);
    let file = world.home.data.join("audit/audit.jsonl");
    let told = || -> Vec<(String, String, Value)> {
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let text = |line: &Value, member: &str| line[member].as_str().unwrap_or("").to_owned();
        let ours = lines.filter(|line| text(line, "resource").ends_with("/safe/s"));
        ours.map(|line| (text(&line, "action"), text(&line, "outcome"), line["version"].clone()))
            .collect()
    };
    wait_until("all are written", || told().len() >= 5);
    let record = |action: &str, outcome: &str, version: Value| {
        (format!("safe.{action}"), outcome.to_owned(), version)
    };
    assert_eq!(
        told(),
        [
            record("createSecret", "ok", json!(1)),
            record("getSecret", "ok", json!(1)),
            record("updateSecret", "ok", json!(2)),
            record("getSecret", "denied", Value::Null),
            record("deleteSecret", "ok", json!(2)),
        ]
    );
    assert!(!fs::read_to_string(&file).unwrap().contains(marked));
    assert!(!world.daemon.said().contains(marked));
}

#[test]
fn rights_and_references_that_are_given_are_in_the_audit_log() {
    let world = fresh();
    let admin = &world.admin;
    admin.make_user("bob");
    admin.make_project("w");
    let body = json!({ "name": "pull", "type": "image", "params": image("r", "p") });
    admin.post(SECRETS, &body).expect(200);
    let key = json!([{ "username": "u", "password": "p" }]);
    admin.post(SECRETS, &json!({ "name": "key", "type": "ssh", "params": key })).expect(200);
    let rights = json!({ "roles": ["system-admin"], "workspaces": ["w"], "restrictedType": 0 });
    admin.patch("/api/v1/users/bob", &rights).expect(200);
    let workspace = json!({ "managers": ["bob"], "imageSecretIds": ["pull"] });
    admin.patch(&format!("{WORKSPACES}/w"), &workspace).expect(200);
    let cluster = json!({ "name": "c", "sshSecretId": "key", "imageSecretId": "pull" });
    admin.post("/api/v1/clusters", &cluster).expect(200);
    let node = json!({ "hostname": "n", "privateIP": "10.0.0.1", "sshSecretId": "key" });
    admin.post("/api/v1/nodes", &node).expect(200);
    admin.delete("/api/v1/nodes/n").expect(200);
    let bound = json!({ "workspaceIds": ["w"] });
    admin.patch(&format!("{SECRETS}/key"), &bound).expect(200);
    let file = world.home.data.join("audit/audit.jsonl");
    let told = || -> Vec<(String, String, String)> {
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let text = |line: &Value, member: &str| line[member].as_str().unwrap_or("").to_owned();
        let ours = lines
            .map(|line| (text(&line, "action"), text(&line, "resource"), text(&line, "detail")));
        ours.filter(|(action, ..)| action.starts_with("safe.")).skip(2).collect()
    };
    wait_until("all are written", || told().len() >= 6);
    let home = "secret://default/default/safe";
    let record = |action: &str, resource: &str, detail: &str| {
        (format!("safe.{action}"), resource.to_owned(), detail.to_owned())
    };
    let pull = format!("{home}/pull");
    assert_eq!(
        told(),
        [
            record("updateUser", "bob", "user:bob; roles: admin; workspaces: w; let in"),
            record("updateWorkspace", &pull, "workspace w: image secrets; managers: bob"),
            record("createCluster", "", &format!("cluster:c; ssh {home}/key; image {pull}")),
            record("createNode", "", &format!("node:n; ssh {home}/key")),
            record("deleteNode", "n", "node:n"),
            record("updateSecret", &format!("{home}/key"), "workspaces: w"),
        ]
    );
}

/// What a Kubernetes Secret holds: type, labels, data.
fn object(namespace: &str, name: &str) -> Option<(String, BTreeMap<String, String>, Value)> {
    let cluster = cluster()?;
    let get = ["get", "secret", name, "-n", namespace, "--ignore-not-found", "-o", "json"];
    let object: Value = serde_json::from_str(&kubectl(cluster, &get)).ok()?;
    let labels = object["metadata"]["labels"].as_object()?.iter();
    let labels = labels.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()));
    let data = object["data"].as_object()?.iter().map(|(key, value)| {
        let bytes = STANDARD.decode(value.as_str().unwrap()).unwrap();
        (key.clone(), Value::String(String::from_utf8(bytes).unwrap()))
    });
    let data = Value::Object(data.collect());
    Some((object["type"].as_str()?.to_owned(), labels.collect(), data))
}

#[track_caller]
fn holds(namespace: &str, name: &str, data: &Value) {
    let is_there = || object(namespace, name).is_some_and(|(_, _, found)| found == *data);
    wait_until(&format!("{namespace}/{name} holds {data}"), is_there);
}

#[track_caller]
fn is_gone(namespace: &str, name: &str) {
    wait_until(&format!("{namespace}/{name} is gone"), || object(namespace, name).is_none());
}

#[test]
fn primus_safe_s_secrets_appear_where_the_platform_has_them() {
    let Some(cluster) = cluster() else { return };
    for namespace in ["primus-safe", "prod-ai-team", "prod-other"] {
        kubectl(cluster, &["create", "namespace", namespace]);
    }
    let world = fresh_with(|serve| {
        serve.arg("--kubeconfig").arg(cluster.kubeconfig());
    });
    let admin = &world.admin;
    let alice = admin.make_user("alice");
    admin.post("/api/v1/clusters", &json!({ "name": "prod" })).expect(200);
    for name in ["ai_team", "other"] {
        admin.post(WORKSPACES, &json!({ "name": name, "clusterId": "prod" })).expect(200);
    }
    let membership = json!({ "workspaces": ["prod-ai-team", "prod-other"] });
    admin.patch("/api/v1/users/alice", &membership).expect(200);
    let id = alice.get("/api/v1/users/self").expect(200).json()["id"].as_str().unwrap().to_owned();

    // General values as they were sent, with the platform's labels and the user's own.
    let body = json!({
        "name": "github", "type": "general", "workspaceIds": ["prod-ai-team"],
        "labels": { "secret.usage": "cicd" }, "params": [{ "github_token": "your github token" }],
    });
    alice.post(SECRETS, &body).expect(200);
    let data = json!({ "github_token": "your github token" });
    holds("primus-safe", "github", &data);
    holds("prod-ai-team", "github", &data);
    let (kind, labels, _) = object("primus-safe", "github").unwrap();
    let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let ours = ("app.kubernetes.io/managed-by", "tresor");
    assert_eq!(kind, "Opaque");
    let at_home = [
        ours,
        ("primus-safe.display.name", "github"),
        ("primus-safe.secret.type", "general"),
        ("primus-safe.user.id", &id),
        ("secret.usage", "cicd"),
    ];
    assert_eq!(labels, pairs(&at_home));
    let mirror = [ours, ("primus-safe/secret-mirror", "true")];
    assert_eq!(object("prod-ai-team", "github").unwrap().1, pairs(&mirror));
    let relabel = json!({ "labels": { "other": "x" } });
    alice.patch(&format!("{SECRETS}/github"), &relabel).expect(200);
    wait_until("the labels follow", || {
        let labels = object("primus-safe", "github").unwrap().1;
        labels.contains_key("other") && !labels.contains_key("secret.usage")
    });

    // A registry's password decoded, for all members of the workspace; a change in each copy.
    let body =
        json!({ "name": "pull", "type": "image", "params": image("harbor.example.com", "pw") });
    admin.post(SECRETS, &body).expect(200);
    let pulls = json!({ "imageSecretIds": ["pull"] });
    admin.patch(&format!("{WORKSPACES}/prod-ai-team"), &pulls).expect(200);
    let config = |password: &str| {
        let auth = STANDARD.encode(format!("robot:{password}"));
        let login = json!({ "username": "robot", "password": password, "auth": auth });
        json!({ "auths": { "harbor.example.com": login } })
    };
    let pulls_with = |namespace: &str, password: &str| {
        let there = || {
            let Some((kind, _, data)) = object(namespace, "pull") else { return false };
            assert_eq!(kind, "kubernetes.io/dockerconfigjson");
            let text = data[".dockerconfigjson"].as_str().unwrap();
            serde_json::from_str::<Value>(text).unwrap() == config(password)
        };
        wait_until(&format!("{namespace} pulls with {password}"), there);
    };
    pulls_with("primus-safe", "pw");
    pulls_with("prod-ai-team", "pw");
    let change = json!({ "params": image("harbor.example.com", "new") });
    admin.patch(&format!("{SECRETS}/pull"), &change).expect(200);
    pulls_with("primus-safe", "new");
    pulls_with("prod-ai-team", "new");
    admin
        .patch(&format!("{WORKSPACES}/prod-ai-team"), &json!({ "imageSecretIds": [] }))
        .expect(200);
    is_gone("prod-ai-team", "pull");
    pulls_with("primus-safe", "new");

    // A key pair under the platform's names, in both workspaces.
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/../domain/tests/keys");
    let read = |name: &str| fs::read_to_string(format!("{keys}/{name}")).unwrap();
    let (private, public) = (read("ed25519.openssh"), read("ed25519.pub"));
    let pair = json!([{
        "username": "root", "password": "",
        "privateKey": STANDARD.encode(&private), "publicKey": STANDARD.encode(&public),
    }]);
    let both = ["prod-ai-team", "prod-other"];
    let body = json!({ "name": "key", "type": "ssh", "params": pair, "workspaceIds": both });
    alice.post(SECRETS, &body).expect(200);
    let files = json!({ "username": "root", "authorize": private, "authorize.pub": public });
    for namespace in ["primus-safe", "prod-ai-team", "prod-other"] {
        holds(namespace, "key", &files);
    }
    let password = json!([{ "username": "root", "password": "MyPassword123!" }]);
    alice.patch(&format!("{SECRETS}/key"), &json!({ "params": password })).expect(200);
    let files = json!({ "username": "root", "password": "MyPassword123!" });
    for namespace in ["primus-safe", "prod-ai-team", "prod-other"] {
        holds(namespace, "key", &files);
    }
    alice.patch(&format!("{SECRETS}/key"), &json!({ "workspaceIds": ["prod-other"] })).expect(200);
    is_gone("prod-ai-team", "key");
    holds("prod-other", "key", &files);
    alice.delete(&format!("{SECRETS}/key")).expect(200);
    for namespace in ["primus-safe", "prod-other"] {
        is_gone(namespace, "key");
    }
    // A workspace that goes takes its copies along, and leaves those of the home.
    admin.delete(&format!("{WORKSPACES}/prod-ai-team")).expect(200);
    is_gone("prod-ai-team", "github");
    holds("primus-safe", "github", &data);
}
