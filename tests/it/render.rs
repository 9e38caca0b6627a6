//! Manifests: a real API server takes them, their references lead to what is really there, nobody
//! gets one who may not use the secrets, and no value is in one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::client::{Actor, Answer, opaque, project, secret};
use crate::cluster_e2e::{cluster, kubectl};
use crate::harness::{Ended, Fresh, clean, fresh, fresh_with, run, tresor, wait_until};
use crate::leaks::{Marked, marker};

const RENDER: &str = "/tresor/v1/render";
/// The project and the namespace of the examples.
const HOME: &str = "platform";

/// The workloads whose manifests `crates/surfaces` compares.
fn examples() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../surfaces/tests/render");
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    assert!(files.len() >= 10);
    files
}

fn example(file: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn projected_into(admin: &Actor, name: &str, rules: &Value) {
    admin.put(&project(name), &json!({ "spec": { "projectionRules": rules } })).expect(200);
}

fn each(namespace: &str) -> Value {
    json!({ "mode": "each", "namespace": namespace })
}

fn variable(value: &str) -> Value {
    json!({ "spec": { "type": "variable" }, "stringData": { "value": value } })
}

fn login(value: &str) -> Value {
    let login = json!({ "server": "r.example", "username": "u", "password": value });
    json!({ "spec": { "type": "registry" }, "registries": [login] })
}

/// All secrets that the examples refer to; how many.
fn make_secrets(admin: &Actor, value: &str) -> usize {
    let mut opaque: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for file in examples() {
        let sent = example(&file);
        for entry in sent["recipe_environment_secrets"].as_array().into_iter().flatten() {
            let [name, key] = ["secret_name", "secret_key"].map(|m| entry[m].as_str().unwrap());
            opaque.entry(name.into()).or_default().insert(key.into(), json!(value));
        }
    }
    let config = json!({ "config.yaml": value }).as_object().unwrap().clone();
    opaque.insert("llamastack-inference-config".to_owned(), config);
    for (name, data) in &opaque {
        admin.put(&secret(HOME, name), &json!({ "stringData": data })).expect(201);
    }
    let (logins, variables) =
        (["ngc-secret", "iad-creds"], ["somesecret", "other.secret", "secret-password", "tls.key"]);
    logins.iter().for_each(|name| drop(admin.put(&secret(HOME, name), &login(value)).expect(201)));
    for name in variables {
        admin.put(&secret(HOME, name), &variable(value)).expect(201);
    }
    opaque.len() + logins.len() + variables.len()
}

/// `tresor render`, asking a daemon.
fn command(fresh: &Fresh, arguments: &[&str]) -> Ended {
    let mut command = tresor(&["render"]);
    command.args(arguments).env("TRESOR_ADDR", format!("http://{}", fresh.daemon.address));
    run(command.env("TRESOR_TOKEN", fresh.admin.token()))
}

/// Everything that was sent is in the answer: a field that the API server does not know is dropped
/// without a word. It writes quantities its own way.
#[track_caller]
pub(crate) fn survives(sent: &Value, kept: &Value, at: &str) {
    match (sent, kept) {
        (Value::Object(sent), Value::Object(kept)) => {
            for (name, value) in sent {
                let at = format!("{at}.{name}");
                let there = kept.get(name).unwrap_or_else(|| panic!("{at} was dropped"));
                let quantity = at.contains(".resources.") || name == "sizeLimit";
                if !quantity || value.is_object() {
                    survives(value, there, &at);
                }
            }
        }
        (Value::Array(sent), Value::Array(kept)) => {
            assert_eq!(sent.len(), kept.len(), "{at}");
            let pairs = sent.iter().zip(kept).enumerate();
            pairs.for_each(|(i, (sent, kept))| survives(sent, kept, &format!("{at}[{i}]")));
        }
        _ => assert_eq!(sent, kept, "{at}"),
    }
}

/// The Kubernetes Secrets that a manifest refers to, with the keys.
pub(crate) fn referred(value: &Value, out: &mut BTreeSet<(String, Option<String>)>) {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match value {
        Value::Array(items) => items.iter().for_each(|item| referred(item, out)),
        Value::Object(members) => {
            if let Some(from) = members.get("secretKeyRef") {
                assert!(from.get("optional").is_none());
                out.insert((text(&from["name"]).unwrap(), text(&from["key"])));
            }
            if let Some(name) = members.get("secretName").and_then(text) {
                let key = members.get("items").and_then(|items| text(&items[0]["key"]));
                out.insert((name, key));
            }
            for login in
                members.get("imagePullSecrets").and_then(Value::as_array).into_iter().flatten()
            {
                out.insert((text(&login["name"]).unwrap(), Some(".dockerconfigjson".to_owned())));
            }
            members.values().for_each(|member| referred(member, out));
        }
        _ => {}
    }
}

#[test]
fn a_real_api_server_takes_each_manifest_and_has_all_that_it_refers_to() {
    let Some(cluster) = cluster() else { return };
    let kubectl = |args: &[&str]| kubectl(cluster, args);
    let world = fresh_with(|serve| {
        serve.arg("--kubeconfig").arg(cluster.kubeconfig());
    });
    let admin = &world.admin;
    kubectl(&["create", "namespace", HOME]);
    admin.make_project(HOME);
    projected_into(admin, HOME, &json!([each(HOME)]));
    let value = marker("rendered");
    let count = make_secrets(admin, &value);
    wait_until("everything is projected", || {
        let list = admin.get(&format!("{}/projections", project(HOME))).expect(200).json();
        let items = list["items"].as_array().unwrap();
        items.iter().filter(|item| item["state"] == "Synced").count() == count
    });
    let dir = tempfile::tempdir().unwrap();
    let (mut references, marked) = (BTreeSet::new(), Marked::new("a value", &value));
    for file in examples() {
        let sent = example(&file);
        // Runs and jobs say themselves where they belong.
        let query = if sent.get("recipe_mode").is_some() {
            format!("?project={HOME}")
        } else {
            String::new()
        };
        let answer = admin.post(&format!("{RENDER}{query}"), &sent).expect(200);
        marked.is_not_in("a manifest", &answer.body);
        let rendered = answer.json();
        referred(&rendered["manifest"], &mut references);
        let name = file.display();
        let golden = fs::read_to_string(file.with_extension("yaml")).unwrap();
        let warnings = rendered["warnings"].as_array().unwrap().iter();
        let warnings: String =
            warnings.map(|warning| format!("# warning: {}\n", warning.as_str().unwrap())).collect();
        let printed = command(&world, &[file.to_str().unwrap(), "--project", HOME]);
        assert_eq!(printed.code, Some(0), "{name}: {printed:?}");
        assert_eq!(warnings.replace("# warning", "tresor"), printed.stderr, "{name}");
        assert_eq!(warnings + &printed.stdout, golden, "{name}");

        // As people have it, in YAML; read back by someone else.
        let manifest = dir.path().join("manifest.yaml");
        fs::write(&manifest, printed.stdout).unwrap();
        let apply = ["apply", "--dry-run=server", "--validate=strict", "-o", "json", "-f"];
        let kept: Value =
            serde_json::from_str(&kubectl(&[&apply[..], &[manifest.to_str().unwrap()]].concat()))
                .unwrap();
        // Of one object kubectl makes no list.
        let kept = if kept["kind"] == "List" { kept["items"].clone() } else { json!([kept]) };
        survives(&rendered["manifest"]["items"], &kept, &name.to_string());
    }
    assert!(references.len() > 25, "{references:?}");
    for (name, key) in &references {
        let there: Value =
            serde_json::from_str(&kubectl(&["get", "secret", name, "-n", HOME, "-o", "json"]))
                .unwrap();
        let has = |key: &String| there["data"].get(key).is_some();
        assert!(key.as_ref().is_none_or(has), "the Secret {name} has no {key:?}");
    }
    marked.is_not_in("what the daemon says", world.daemon.said().as_bytes());
}

/// Of a project with one Kubernetes Secret for all its variables, references lead into that one.
#[test]
fn a_variable_is_found_among_the_others_where_a_rule_merges_them() {
    let Some(cluster) = cluster() else { return };
    let world = fresh_with(|serve| {
        serve.arg("--kubeconfig").arg(cluster.kubeconfig());
    });
    let admin = &world.admin;
    assert!(cluster.kubectl(&["create", "namespace", "merging"]).unwrap().status.success());
    projected_into(
        admin,
        "ml",
        &json!([{ "mode": "merged", "namespace": "merging", "namePattern": "proj-secrets-{project}" }]),
    );
    admin.put(&secret("ml", "HF_TOKEN"), &variable("v")).expect(201);
    admin.put(&secret("ml", "team%2Fkey"), &variable("w")).expect(201);
    let job = json!({
        "project_name": "ml",
        "container": {
            "image": "busybox",
            "secret_env": { "A": "secret://default/ml/HF_TOKEN", "B": "secret://default/ml/team/key" },
            "secret_volumes": [{ "src_secret_uri": "secret://default/ml/team/key", "dst_path": "/k/f" }],
        },
    });
    let manifest = admin.post(RENDER, &job).expect(200).json()["manifest"].clone();
    assert_eq!(manifest["items"][0]["metadata"]["namespace"], "merging");
    let mut references = BTreeSet::new();
    referred(&manifest, &mut references);
    assert_eq!(references.len(), 2, "{references:?}");
    wait_until("the merged copy has all keys", || {
        let get = [
            "get",
            "secret",
            "proj-secrets-ml",
            "-n",
            "merging",
            "--ignore-not-found",
            "-o",
            "json",
        ];
        let found = cluster.kubectl(&get).unwrap().stdout;
        let found: Value = serde_json::from_slice(&found).unwrap_or_default();
        references.iter().all(|(name, key)| {
            name == "proj-secrets-ml" && found["data"].get(key.as_ref().unwrap()).is_some()
        })
    });
}

fn recipe(with: &Value) -> Value {
    let mut recipe =
        json!({ "recipe_mode": "job", "deployment_name": "d", "recipe_image_uri": "busybox" });
    recipe.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
    recipe
}

fn refers(name: &str, key: &str) -> Value {
    let secret = json!({ "envvar_name": "A", "secret_name": name, "secret_key": key });
    recipe(&json!({ "recipe_environment_secrets": [secret] }))
}

fn render(actor: &Actor, home: &str, sent: &Value) -> Answer {
    actor.post(&format!("{RENDER}?project={home}"), sent)
}

#[track_caller]
fn is_refused(answer: &Answer, field: &str, says: &[&str]) {
    let problem = answer.problem(422, "invalid-field");
    assert_eq!(problem["field"], field, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    says.iter().for_each(|text| assert!(detail.contains(text), "{detail}"));
}

#[test]
fn a_reference_that_leads_nowhere_is_refused_by_name() {
    let Fresh { admin, .. } = &fresh();
    let (name, key) =
        ("recipe_environment_secrets[0].secret_name", "recipe_environment_secrets[0].secret_key");
    admin.put(&secret("ml", "hf"), &opaque("v")).expect(201);
    admin.put(&secret("ml", "login"), &login("v")).expect(201);
    admin.put(&secret("ml", "one"), &variable("v")).expect(201);
    let check = |sent: &Value, field: &str, says: &[&str]| {
        is_refused(&render(admin, "ml", sent), field, says);
    };
    let with = |member: &str, value: Value| recipe(&json!({ member: value }));
    check(&refers("hf", "value"), name, &["projection rule", "`default/ml`"]);
    projected_into(admin, "ml", &json!([each("team"), { "mode": "merged", "namespace": "other" }]));
    render(admin, "ml", &refers("hf", "value")).expect(200);
    check(&refers("none", "value"), name, &["`none`", "`default/ml`"]);
    check(&refers("hf", "none"), key, &["`none`", "`hf`"]);
    let pull = "recipe_container_secret_name";
    check(&with(pull, json!("hf")), pull, &["registry"]);
    check(&with(pull, json!("none")), pull, &["`none`"]);
    render(admin, "ml", &with(pull, json!("login"))).expect(200);
    let mount = |name: &str| {
        with("recipe_secret_mounts", json!([{ "name": name, "mount_location": "/c" }]))
    };
    check(&mount("none"), "recipe_secret_mounts[0].name", &["`none`"]);
    let run = |name: &str| json!({ "image": "busybox", "secrets": [name] });
    check(&run("login"), "secrets[0]", &["one value"]);
    for uri in ["secret://elsewhere/ml/hf", "secret://default/ml", "secret://default/ml/none"] {
        check(&json!({ "image": "i", "secret_env": { "A": uri } }), "secret_env.A", &[]);
    }
    // One namespace for all: a login is in none that merges.
    projected_into(admin, "ml", &json!([{ "mode": "merged", "namespace": "other" }]));
    render(admin, "ml", &run("one")).expect(200);
    let mut both = run("one");
    both["secrets"] = json!(["one", "hf"]);
    check(&both, "secrets[1]", &["mode `each`"]);
    check(&with(pull, json!("login")), pull, &["mode `each`"]);
    // The first namespace that shows all: `team` here, and `other` where variables are all there is.
    let merged = json!({ "mode": "merged", "namespace": "other" });
    projected_into(admin, "ml", &json!([merged, each("team")]));
    let namespace = |sent: &Value| {
        let rendered = render(admin, "ml", sent).expect(200).json();
        rendered["manifest"]["items"][0]["metadata"]["namespace"].clone()
    };
    assert_eq!(namespace(&both), "team");
    assert_eq!(namespace(&with(pull, json!("login"))), "team");
    assert_eq!(namespace(&run("one")), "other");
    // What is deleted is not projected.
    admin
        .post(&format!("{}/actions/delete", secret("ml", "one")), &json!({ "versions": [1] }))
        .expect(200);
    check(&run("one"), "secrets[0]", &["`one`"]);
}

#[test]
fn who_may_not_see_a_secret_is_told_what_is_told_of_one_that_is_not_there() {
    let Fresh { admin, .. } = &fresh();
    projected_into(admin, "ml", &json!([each("team")]));
    admin.put(&secret("ml", "hf"), &opaque("v")).expect(201);
    let stranger = admin.make_user("stranger");
    let told = |home: &str, name: &str| {
        let answer = render(&stranger, home, &refers(name, "value"));
        let detail = answer.problem(422, "invalid-field");
        detail
            .to_string()
            .replace(&format!("`{name}`"), "NAME")
            .replace(&format!("/{home}`"), "HOME")
    };
    let absent = told("ml", "none");
    assert_eq!(told("ml", "hf"), absent);
    assert_eq!(told("nowhere", "hf"), absent);
    // A key tells no more, nor does a secret that is not bound.
    let key = |key: &str| render(&stranger, "ml", &refers("hf", key)).text();
    assert_eq!(key("value"), key("none"));
    let uri = |name: &str| {
        let uri = format!("secret://default/ml/{name}");
        let answer =
            render(&stranger, "stranger", &json!({ "image": "i", "secret_env": { "A": uri } }));
        answer.expect(422).text().replace(name, "NAME")
    };
    assert_eq!(uri("hf"), uri("none"));
    // Who may use it and not read it gets the manifest.
    admin.make_member("ml", "user:stranger", "contributor");
    render(&stranger, "ml", &refers("hf", "value")).expect(200);
    stranger.get(&format!("{}/data", secret("ml", "hf"))).expect(404);
}

#[test]
fn the_command_reads_a_file_or_its_input_and_ends_as_the_readme_says() {
    let fresh = fresh();
    projected_into(&fresh.admin, "ml", &json!([each("team")]));
    fresh.admin.put(&secret("ml", "hf"), &opaque("v")).expect(201);
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = dir.path().join(name);
        fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let good = write("good.json", &refers("hf", "value").to_string());
    let printed = command(&fresh, &[&good, "--project", "default/ml", "-o", "json"]);
    assert_eq!((printed.code, printed.stderr.as_str()), (Some(0), ""), "{printed:?}");
    let manifest: Value = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!(manifest["items"][0]["metadata"]["namespace"], "team");

    let mut shell = Command::new("sh");
    clean(&mut shell);
    shell.args(["-c", "exec \"$0\" render - --project ml < \"$1\""]);
    shell.args([env!("CARGO_BIN_EXE_tresor"), &good]);
    shell.env("TRESOR_ADDR", format!("http://{}", fresh.daemon.address));
    let piped = run(shell.env("TRESOR_TOKEN", fresh.admin.token()));
    assert!(
        piped.code == Some(0) && piped.stdout.starts_with("---\napiVersion: batch/v1\n"),
        "{piped:?}"
    );

    let absent = write("absent.json", &refers("none", "value").to_string());
    let refused = command(&fresh, &[&absent, "--project", "ml"]);
    let line = refused.one_error_line(1);
    assert!(line.contains("recipe_environment_secrets[0].secret_name") && line.contains("`none`"));
    let broken = write("broken.json", "{\"recipe_mode\": hf_MARKED");
    let refused = command(&fresh, &[&broken]);
    let line = refused.one_error_line(1);
    assert!(line.contains("line 1") && !line.contains("MARKED"), "{line}");
    command(&fresh, &[dir.path().join("none").to_str().unwrap()]).one_error_line(2);
    let nobody = run(tresor(&["render", &good]).env("TRESOR_ADDR", "http://127.0.0.1:1"));
    assert!(nobody.one_error_line(2).contains("TRESOR_TOKEN"));
    let unheard = run(tresor(&["render", &good])
        .envs([("TRESOR_ADDR", "http://127.0.0.1:1"), ("TRESOR_TOKEN", "t")]));
    assert!(unheard.one_error_line(1).contains("does not answer"), "{unheard:?}");
}
