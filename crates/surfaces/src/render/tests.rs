//! Whole workloads, by example, and what no workload may do.

use std::fs;
use std::path::{Path, PathBuf};

use domain::{DataKey, Invalid, Namespace, SecretName, kubernetes_name};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

/// Stands for what was sent in the place of a value.
const MARKER: &str = "hf_M4rk3rThatMustNotComeBack";

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/render")
}

fn read(sent: &Value) -> Result<Workload, Invalid> {
    Workload::read(sent.as_object().unwrap())
}

/// Where references lead whose secrets are all there, each in a Kubernetes Secret of its name.
fn placed(workload: Workload) -> Workload<Place> {
    let place = |reference: Reference| {
        let name = match &reference.secret {
            Named::Name(name) => name.clone(),
            Named::Uri(uri) => SecretName::parse(uri.rsplit('/').next().unwrap()).unwrap(),
        };
        let key = match reference.wants {
            Wants::All | Wants::Logins => None,
            Wants::Entry { key, .. } => Some(key.as_str().to_owned()),
            Wants::Value => Some(DataKey::for_name(&name).as_str().to_owned()),
        };
        Ok::<_, ()>(Place { secret: kubernetes_name(name.as_str()), key })
    };
    workload.try_map(place).unwrap()
}

/// What `tresor render` prints of a workload that is projected into the namespace `platform`.
fn rendered(workload: Workload) -> String {
    let warnings: String = workload.warnings.iter().map(|w| format!("# warning: {w}\n")).collect();
    let namespace = Namespace::parse("platform").unwrap();
    warnings + &yaml(&placed(workload).manifest(Some(&namespace)))
}

/// If you're here because this failed: manifests look different now. When that was meant, run the
/// test again with `TRESOR_BLESS=1`, look at the difference, and commit it; `tests/it/render.rs` asks
/// a real API server whether it takes them.
#[test]
fn each_example_becomes_the_manifest_beside_it() {
    let mut compared = 0;
    for entry in fs::read_dir(examples()).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let sent: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let made = rendered(read(&sent).unwrap());
        let golden = file.with_extension("yaml");
        if std::env::var_os("TRESOR_BLESS").is_some() {
            fs::write(&golden, &made).unwrap();
        }
        let kept = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(made, kept, "{} differs", golden.display());
        compared += 1;
    }
    assert!(compared >= 10, "only {compared} examples");
}

fn recipe(with: Value) -> Value {
    let mut recipe = json!({
        "recipe_mode": "job",
        "deployment_name": "d",
        "recipe_image_uri": "i",
        "recipe_environment_secrets":
            [{ "envvar_name": "HF", "secret_name": "hf", "secret_key": "k" }],
    });
    let members = recipe.as_object_mut().unwrap();
    members.extend(with.as_object().unwrap().clone());
    recipe
}

#[track_caller]
fn is_refused(sent: &Value, field: &str) {
    let refused = read(sent).unwrap_err();
    assert_eq!(refused.field, field, "{sent}: {refused}");
    assert!(!refused.to_string().contains(MARKER), "{refused}");
}

#[test]
fn what_is_wrong_in_a_recipe_is_refused_where_it_is() {
    let secret = |name: &str, secret: &str, key: &str| json!({ "envvar_name": name, "secret_name": secret, "secret_key": key });
    let secrets = |list: Value| recipe(json!({ "recipe_environment_secrets": list }));
    let (good, path) = (secret("A", "s", "k"), "recipe_environment_secrets");
    is_refused(&secrets(json!(MARKER)), path);
    is_refused(&secrets(json!([MARKER])), &format!("{path}[0]"));
    is_refused(&secrets(json!([good, {}])), &format!("{path}[1].envvar_name"));
    is_refused(&secrets(json!([secret("1A", "s", "k")])), &format!("{path}[0].envvar_name"));
    is_refused(&secrets(json!([secret("", "s", "k")])), &format!("{path}[0].envvar_name"));
    is_refused(&secrets(json!([secret("A", "a//b", "k")])), &format!("{path}[0].secret_name"));
    is_refused(&secrets(json!([secret("A", "s", "a/b")])), &format!("{path}[0].secret_key"));
    is_refused(&secrets(json!([good, good])), &format!("{path}[1].envvar_name"));
    let mut optional = good.clone();
    optional["optional"] = json!(true);
    is_refused(&secrets(json!([optional])), &format!("{path}[0].optional"));

    let with = |name: &str, value: Value| recipe(json!({ name: value }));
    let env = |key: &str, value: Value| {
        with("recipe_container_env", json!([{ "key": key, "value": value }]))
    };
    is_refused(&env("HF", json!("x")), "recipe_container_env[0].key");
    is_refused(&env(MARKER, json!({ MARKER: MARKER })), "recipe_container_env[0].value");
    is_refused(&env("A", json!(1.5)), "recipe_container_env[0].value");
    is_refused(&env("A", json!(true)), "recipe_container_env[0].value");
    let mount = |path: &str| json!({ "name": "s", "mount_location": path });
    let mounts = |list: Value| with("recipe_secret_mounts", list);
    is_refused(&mounts(json!([mount("a")])), "recipe_secret_mounts[0].mount_location");
    let twice = json!([mount("/a"), mount("/a/")]);
    is_refused(&mounts(twice), "recipe_secret_mounts[1].mount_location");
    for mode in ["update", "shared_node_pool", "team", MARKER] {
        is_refused(&with("recipe_mode", json!(mode)), "recipe_mode");
    }
    is_refused(&with("recipe_mode", json!(null)), "recipe_mode");
    is_refused(&with("recipe_mode", json!("service")), "recipe_container_port");
    is_refused(&with("deployment_name", json!("--")), "deployment_name");
    is_refused(&with("recipe_image_uri", json!("a b")), "recipe_image_uri");
    is_refused(&with("recipe_image_uri", json!("")), "recipe_image_uri");
    is_refused(&with("recipe_container_secret_name", json!(["a"])), "recipe_container_secret_name");
    for port in [json!(8000), json!("0"), json!("65536"), json!("+80"), json!(MARKER)] {
        is_refused(&with("recipe_container_port", port), "recipe_container_port");
    }
    is_refused(&with("recipe_nvidia_gpu_count", json!(-1)), "recipe_nvidia_gpu_count");
    is_refused(
        &with("recipe_container_command_args", json!([1])),
        "recipe_container_command_args[0]",
    );
    let probe = |params: Value| with("recipe_liveness_probe_params", params);
    let at = |name: &str| format!("recipe_liveness_probe_params.{name}");
    is_refused(&probe(json!({})), &at("port"));
    is_refused(&probe(json!({ "port": 80, "scheme": MARKER })), &at("scheme"));
    is_refused(&probe(json!({ "port": 80, "success_threshold": 2 })), &at("success_threshold"));
    is_refused(&probe(json!({ "port": 80, "period_seconds": 1.5 })), &at("period_seconds"));
    is_refused(&probe(json!({ "port": 80, "command": MARKER })), &at("command"));
    is_refused(&json!({ "deployment_group": { "name": "g" } }), "deployment_group");
    is_refused(&json!({ "blueprint_title": "t", "pre_filled_samples": [] }), "pre_filled_samples");
    is_refused(&json!({ "anything": MARKER }), "body");
    let many: Vec<_> = (0..257).map(|n| secret(&format!("A{n}"), "s", "k")).collect();
    is_refused(&secrets(json!(many)), "body");
}

#[test]
fn what_is_wrong_in_a_run_or_a_job_is_refused_where_it_is() {
    is_refused(&json!({ "secrets": ["a"] }), "image");
    is_refused(&json!({ "spec": { "secrets": ["a"] } }), "spec.image");
    is_refused(&json!({ "image": "i", "secrets": ["a", "a"] }), "secrets[1]");
    is_refused(&json!({ "image": "i", "secrets": ["team/hf"] }), "secrets[0]");
    let envs = json!([{ "name": "a", "value": MARKER }]);
    is_refused(&json!({ "image": "i", "secrets": ["a"], "envs": envs }), "envs[0].name");
    is_refused(&json!({ "image": "i", "project": "a/b", "secrets": [] }), "project");

    let job = |with: Value| {
        let mut job = json!({ "image": "i", "secret_env": { "A": "secret://c/p/k" } });
        job.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        job
    };
    is_refused(&job(json!({ "secret_env": { "A": MARKER } })), "secret_env.A");
    is_refused(&job(json!({ "secret_env": { "A": ["x"] } })), "secret_env.A");
    is_refused(
        &job(json!({ "env": { "A": MARKER } })),
        "secret_env.A".replace("secret_", "").as_str(),
    );
    is_refused(&job(json!({ "command": "'" })), "command");
    is_refused(&job(json!({ "http": { "port": "80" } })), "http.port");
    is_refused(&job(json!({ "resources": { "cpu": "1" } })), "resources.cpu");
    is_refused(&job(json!({ "resources": { "shm": 1 } })), "resources.shm");
    let volume = |path: &str| json!([{ "src_secret_uri": "secret://c/p/k", "dst_path": path }]);
    is_refused(&job(json!({ "secret_volumes": volume("relative") })), "secret_volumes[0].dst_path");
    is_refused(
        &job(json!({ "resources": { "shm": true }, "secret_volumes": volume("/dev/shm") })),
        "secret_volumes[0].dst_path",
    );
    let nested = json!({ "container": { "image": "i", "secret_env": { "A": MARKER } } });
    is_refused(&nested, "container.secret_env.A");
    let beside = json!({ "container": { "image": "i" }, "resources": { "memory": 1 } });
    is_refused(&beside, "resources");
}

#[test]
fn what_is_not_used_is_said_by_name_and_bounded() {
    let mut sent = recipe(json!({ "recipe_node_shape": MARKER, "x\u{1b}y": MARKER, "n": null }));
    let warnings = read(&sent).unwrap().warnings;
    assert_eq!(warnings, ["n is not used", "recipe_node_shape is not used", "xy is not used"]);
    for index in 0..100 {
        sent[format!("{index}{}", "x".repeat(1000))] = json!(MARKER);
    }
    let warnings = read(&sent).unwrap().warnings;
    assert!(warnings.len() == 65 && warnings.iter().all(|warning| warning.len() < 100));
    assert_eq!(warnings[64], "39 more members are not used");
}

#[test]
fn a_variable_of_a_secret_is_never_optional_and_comes_before_the_others() {
    let sent = recipe(json!({ "recipe_container_env": [{ "key": "A", "value": "$(HF)" }] }));
    let manifest = placed(read(&sent).unwrap()).manifest(None);
    let pod = &manifest["items"][0]["spec"]["template"]["spec"];
    let reference = json!({ "secretKeyRef": { "name": "hf", "key": "k" } });
    assert_eq!(
        pod["containers"][0]["env"],
        json!([{ "name": "HF", "valueFrom": reference }, { "name": "A", "value": "$(HF)" }])
    );
    assert!(pod.get("imagePullSecrets").is_none() && pod.get("volumes").is_none());
    assert!(manifest["items"][0]["metadata"].get("namespace").is_none());
}

/// Any JSON, most of it with members that mean something.
fn anything() -> impl Strategy<Value = Value> {
    let words = [
        "recipe_mode",
        "service",
        "job",
        "deployment_name",
        "recipe_image_uri",
        "image",
        "container",
        "secrets",
        "spec",
        "secret_env",
        "secret_volumes",
        "recipe_environment_secrets",
        "recipe_container_env",
        "envvar_name",
        "secret_name",
        "secret_key",
        "key",
        "value",
        "8000",
        "recipe_container_port",
        "recipe_secret_mounts",
        "name",
        "mount_location",
        "/a",
        "resources",
        "secret://c/p/k",
        "recipe_liveness_probe_params",
        "http",
        "port",
        "command",
        "env",
        MARKER,
    ];
    let word = prop_oneof![4 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => ".{0,8}"];
    let leaf = prop_oneof![
        word.clone().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 64, 8, move |inner| {
        let members = proptest::collection::vec((word.clone(), inner.clone()), 0..8);
        prop_oneof![
            proptest::collection::vec(inner, 0..4).prop_map(Value::from),
            members.prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Every place in a document where a text is, as a JSON pointer.
fn places(value: &Value, at: &str, out: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| places(item, &format!("{at}/{i}"), out));
        }
        Value::Object(members) => {
            members.iter().for_each(|(name, item)| places(item, &format!("{at}/{name}"), out));
        }
        Value::String(_) => out.push(at.to_owned()),
        _ => {}
    }
}

/// Where a text may go into the manifest; a warning or a refusal repeats none.
#[test]
fn a_text_in_any_place_of_any_example_is_never_repeated_in_a_refusal_or_a_warning() {
    let mut refused = 0;
    for entry in fs::read_dir(examples()).unwrap() {
        let file = entry.unwrap().path();
        let Ok(example) = serde_json::from_slice::<Value>(&fs::read(file).unwrap()) else {
            continue;
        };
        let mut all = Vec::new();
        places(&example, "", &mut all);
        for place in all {
            for text in [MARKER.to_owned(), format!("{MARKER}\n//"), format!("1:{MARKER} '")] {
                let mut sent = example.clone();
                *sent.pointer_mut(&place).unwrap() = json!(text);
                match read(&sent) {
                    Ok(workload) => {
                        assert!(!workload.warnings.join("\n").contains(MARKER), "{place}");
                        placed(workload).manifest(None);
                    }
                    Err(wrong) => {
                        refused += 1;
                        assert!(!wrong.to_string().contains(MARKER), "{place}: {wrong}");
                    }
                }
            }
        }
    }
    assert!(refused > 100, "only {refused} were refused");
}

proptest! {
    #[test]
    fn whatever_is_sent_is_refused_or_has_a_manifest(members in proptest::collection::vec(("[a-z_]{1,9}|recipe_mode|image|secrets", anything()), 0..6), base in 0usize..4) {
        let mut sent = match base {
            0 => recipe(json!({})),
            1 => json!({ "image": "i", "secrets": ["a"] }),
            2 => json!({ "image": "i" }),
            _ => json!({}),
        };
        let object = sent.as_object_mut().unwrap();
        object.extend(members);
        if let Ok(workload) = Workload::read(object) {
            let manifest = placed_anywhere(workload).manifest(None);
            prop_assert!(yaml(&manifest).starts_with("---\n"));
        }
    }

    #[test]
    fn a_member_of_any_shape_in_an_example_is_refused_or_has_a_manifest(value in anything(), pick in any::<proptest::sample::Index>()) {
        let mut sent = recipe(json!({}));
        let names = ["recipe_mode", "deployment_name", "recipe_image_uri", "recipe_environment_secrets",
            "recipe_container_env", "recipe_secret_mounts", "recipe_container_secret_name",
            "recipe_container_command", "recipe_container_port", "recipe_liveness_probe_params",
            "recipe_nvidia_gpu_count", "recipe_shared_memory_volume_size_limit_in_mb"];
        sent[names[pick.index(names.len())]] = value;
        let object: &Map<String, Value> = sent.as_object().unwrap();
        match Workload::read(object) {
            Ok(workload) => {
                placed_anywhere(workload).manifest(None);
            }
            Err(wrong) => prop_assert!(!wrong.fix.contains(MARKER), "{wrong}"),
        }
    }
}

fn placed_anywhere(workload: Workload) -> Workload<Place> {
    let place = |_: Reference| Ok::<_, ()>(Place { secret: "s".to_owned(), key: None });
    workload.try_map(place).unwrap()
}
