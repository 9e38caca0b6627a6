//! AI Blueprints beyond single cases: several clients at once, the audit log, and the platform's
//! workflows from the request to `kubectl`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::Actor;
use crate::cluster_e2e::{cluster, kubectl};
use crate::harness::{fresh, fresh_with, wait_until};
use crate::render::{referred, survives};

const SECRETS: &str = "/secrets/";
const RENDER: &str = "/tresor/v1/render";
const NATIVE: &str = "/tresor/v1/orgs/default/projects/default/secrets";

fn operation(action: &str, name: &str, value: &str) -> Value {
    json!({ "name": name, "action": action, "type": "opaque", "data": { "k": value } })
}

fn batch(items: &[Value]) -> Value {
    json!({ "secrets_payload": items })
}

/// Does what two clients ask at the same moment; their statuses and answers.
fn both(clients: [&Actor; 2], bodies: [Value; 2]) -> Vec<(u16, Value)> {
    let [one, other] = bodies;
    thread::scope(|scope| {
        let asked = clients.into_iter().zip([one, other]).map(|(client, body)| {
            scope.spawn(move || {
                let answer = client.post(SECRETS, &body);
                (answer.status, answer.json())
            })
        });
        let asked: Vec<_> = asked.collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn two_who_create_one_name_make_one_secret() {
    let world = fresh();
    let clients = [0, 1].map(|_| world.daemon.actor(world.admin.token()));
    for round in 0..10 {
        let name = format!("s{round}");
        let create = |value: &str| batch(&[operation("create", &name, value)]);
        let answers = both([&clients[0], &clients[1]], [create("one"), create("other")]);
        let mut statuses: Vec<_> = answers.iter().map(|(status, _)| *status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 400], "{answers:?}");
        let (_, refused) = answers.iter().find(|(status, _)| *status == 400).unwrap();
        let message = refused["results"][0]["message"].as_str().unwrap();
        assert!(message.contains("already exists"), "{message}");
        let versions = world.admin.get(&format!("{NATIVE}/{name}/versions")).expect(200).json();
        assert_eq!(versions["items"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn two_who_update_at_once_both_leave_a_version() {
    let world = fresh();
    let clients = [0, 1].map(|_| world.daemon.actor(world.admin.token()));
    world.admin.post(SECRETS, &batch(&[operation("create", "s", "0")])).expect(200);
    for round in 0..4 {
        let update = |who: &str| batch(&[operation("update", "s", &format!("{who}{round}"))]);
        let answers = both([&clients[0], &clients[1]], [update("a"), update("b")]);
        assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
    }
    let value = |version: u64| {
        let data = world.admin.get(&format!("{NATIVE}/s/data?version={version}")).expect(200);
        let text = data.json()["data"]["k"].as_str().unwrap().to_owned();
        String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
    };
    let kept: BTreeSet<_> = (1..=9).map(value).collect();
    let written = (0..4).flat_map(|round| [format!("a{round}"), format!("b{round}")]);
    assert_eq!(kept, written.chain(["0".to_owned()]).collect());
}

#[test]
fn each_secret_of_a_batch_is_in_the_audit_log() {
    let world = fresh();
    let items = [
        operation("create", "a", "v"),
        operation("create", "b", "v"),
        operation("create", "a", "v"),
        json!({ "name": "a", "action": "delete" }),
    ];
    world.admin.post(SECRETS, &batch(&items)).expect(400);
    // What is done beside what cannot be read is not told as refused.
    let deletion = json!({ "name": "b", "action": "delete" });
    world.admin.post(SECRETS, &batch(&[deletion, json!({ "x": 1 })])).expect(400);
    let file = world.home.data.join("audit/audit.jsonl");
    let told = || -> Vec<(String, String, String)> {
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let ours = lines.filter(|line| line["action"] == "blueprints.changeSecrets");
        let text = |line: &Value, member: &str| line[member].as_str().unwrap_or("").to_owned();
        ours.map(|line| (text(&line, "detail"), text(&line, "resource"), text(&line, "outcome")))
            .collect()
    };
    wait_until("all five are written", || told().len() == 5);
    let record = |action: &str, name: &str, outcome: &str| {
        let uri = format!("secret://default/default/default/{name}");
        (action.to_owned(), uri, outcome.to_owned())
    };
    assert_eq!(
        told(),
        [
            record("create", "a", "ok"),
            record("create", "b", "ok"),
            record("create", "a", "refused"),
            record("delete", "a", "ok"),
            record("delete", "b", "ok"),
        ]
    );
}

/// One of the platform's documented workflows.
struct Workflow {
    /// What is posted.
    secrets: Value,
    /// The recipe, one of the renderer's examples, and what changes in it.
    recipe: &'static str,
    change: Value,
    /// What the manifest refers to: Secrets and their keys.
    refers_to: &'static [(&'static str, &'static str)],
}

fn registry(name: &str, server: &str, username: &str, password: &str) -> Value {
    let data = json!({
        "registry_server": server,
        "username": username,
        "password": password,
        "email": "me@example.org",
    });
    json!({ "name": name, "action": "create", "type": "container_registry", "data": data })
}

fn opaque(name: &str, key: &str, value: &str) -> Value {
    json!({ "name": name, "action": "create", "type": "opaque", "data": { key: value } })
}

fn workflows() -> [(&'static str, Workflow); 4] {
    let nim = [
        registry("ngc-secret", "nvcr.io", "$oauthtoken", "nvapi-key"),
        opaque("ngc-api-secret", "NGC_API_KEY", "nvapi-key"),
    ];
    [
        (
            "nim",
            Workflow {
                secrets: batch(&nim),
                recipe: "nim_inference",
                change: json!({}),
                refers_to: &[
                    ("ngc-api-secret", "NGC_API_KEY"),
                    ("ngc-secret", ".dockerconfigjson"),
                ],
            },
        ),
        (
            "huggingface",
            Workflow {
                secrets: batch(&[opaque("hf-secret", "hf-token", "hf_token")]),
                recipe: "vllm_from_hf",
                change: json!({}),
                refers_to: &[("hf-secret", "hf-token")],
            },
        ),
        (
            "docker",
            Workflow {
                secrets: batch(&[registry("docker-creds", "docker.io", "me", "dckr_pat")]),
                recipe: "hf_downloader",
                change: json!({ "recipe_container_secret_name": "docker-creds" }),
                refers_to: &[("docker-creds", ".dockerconfigjson")],
            },
        ),
        (
            "ocir",
            Workflow {
                secrets: batch(&[registry("iad-creds", "iad.ocir.io", "tenancy/me", "auth token")]),
                recipe: "hf_downloader",
                change: json!({}),
                refers_to: &[("iad-creds", ".dockerconfigjson")],
            },
        ),
    ]
}

/// The Kubernetes Secret that an operation stands for, as `kubectl create secret` makes it.
fn expected(item: &Value) -> (String, BTreeMap<String, Vec<u8>>) {
    let data = item["data"].as_object().unwrap();
    let text = |key: &str| data[key].as_str().unwrap();
    if item["type"] == "opaque" {
        let values = data
            .iter()
            .map(|(key, value)| (key.clone(), value.as_str().unwrap().as_bytes().to_vec()));
        return ("Opaque".to_owned(), values.collect());
    }
    let auth = STANDARD.encode(format!("{}:{}", text("username"), text("password")));
    let config = format!(
        "{{\"auths\":{{\"{}\":{{\"username\":\"{}\",\"password\":\"{}\",\"email\":\"{}\",\"auth\":\"{auth}\"}}}}}}",
        text("registry_server"),
        text("username"),
        text("password"),
        text("email"),
    );
    let data = BTreeMap::from([(".dockerconfigjson".to_owned(), config.into_bytes())]);
    ("kubernetes.io/dockerconfigjson".to_owned(), data)
}

#[test]
fn the_four_workflows_lead_from_the_request_to_kubectl() {
    let Some(cluster) = cluster() else { return };
    let kubectl = |args: &[&str]| kubectl(cluster, args);
    for (name, workflow) in workflows() {
        let namespace = format!("flow-{name}");
        kubectl(&["create", "namespace", &namespace]);
        let world = fresh_with(|serve| {
            serve.arg("--kubeconfig").arg(cluster.kubeconfig());
            serve.args(["--blueprints-namespace", &namespace]);
        });
        let admin = &world.admin;
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../surfaces/tests/render");
        let file = file.join(format!("{}.json", workflow.recipe));
        let mut recipe: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        for (key, value) in workflow.change.as_object().unwrap() {
            recipe[key] = value.clone();
        }
        // Without its secrets it is refused by their names.
        let refused = admin.post(RENDER, &recipe);
        assert_eq!(refused.status, 422, "{}", refused.text());
        admin.post(SECRETS, &workflow.secrets).expect(200);

        let items = workflow.secrets["secrets_payload"].as_array().unwrap();
        let listed = admin.get(SECRETS).expect(200).json();
        assert_eq!(listed.as_array().unwrap().len(), items.len(), "{listed}");
        for item in items {
            let (secret, (kind, data)) = (item["name"].as_str().unwrap(), expected(item));
            let get =
                ["get", "secret", secret, "-n", &namespace, "--ignore-not-found", "-o", "json"];
            let mut there = Value::Null;
            wait_until("the Secret is in the cluster", || {
                let text = kubectl(&get);
                there = serde_json::from_str(&text).unwrap_or_default();
                !there.is_null()
            });
            assert_eq!(there["type"], kind.as_str());
            let decode = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
            let got = there["data"].as_object().unwrap().iter();
            let got: BTreeMap<_, _> =
                got.map(|(key, value)| (key.clone(), decode(value))).collect();
            assert_eq!(got, data, "{secret}");
            let shown = admin.get(&format!("{SECRETS}{secret}/")).expect(200).json();
            assert_eq!(shown["type"], kind.as_str());
            assert_eq!(shown["data_keys"], json!(data.keys().collect::<Vec<_>>()));
        }

        let manifest = admin.post(RENDER, &recipe).expect(200).json()["manifest"].clone();
        let mut references = BTreeSet::new();
        referred(&manifest, &mut references);
        let wanted = workflow.refers_to.iter();
        let wanted = wanted.map(|(name, key)| ((*name).to_owned(), Some((*key).to_owned())));
        assert_eq!(references, wanted.collect(), "{name}");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("manifest.json");
        fs::write(&file, manifest.to_string()).unwrap();
        let apply = ["apply", "--dry-run=server", "--validate=strict", "-o", "json", "-f"];
        let kept = kubectl(&[&apply[..], &[file.to_str().unwrap()]].concat());
        let kept: Value = serde_json::from_str(&kept).unwrap();
        let kept = if kept["kind"] == "List" { kept["items"].clone() } else { json!([kept]) };
        survives(&manifest["items"], &kept, name);
        assert!(kept[0]["metadata"]["namespace"] == namespace.as_str(), "{kept}");
    }
}
