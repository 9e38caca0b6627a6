//! From a request to a real Kubernetes API server: the real binary, one kube-apiserver and etcd for
//! all tests, a namespace for each.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tresor::cluster::{Assets, Cluster};

use crate::client::{Actor, project, secret};
use crate::harness::{Daemon, Fresh, fresh, fresh_with, run, skip, tresor, wait_until};

/// The cluster, started by the first test that wants it. Its servers end with this process.
pub(crate) fn cluster() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<(TempDir, Cluster)>> = OnceLock::new();
    let started = CLUSTER.get_or_init(|| {
        let assets = Assets::find()?;
        let dir = tempfile::tempdir().unwrap();
        let cluster = Cluster::start(&assets, dir.path()).unwrap();
        Some((dir, cluster))
    });
    if started.is_none() {
        skip("no kube-apiserver, etcd and kubectl; tests/setup/kubernetes.sh gets them");
    }
    started.as_ref().map(|(_, cluster)| cluster)
}

/// What `kubectl` prints; it must succeed.
#[track_caller]
pub(crate) fn kubectl(cluster: &Cluster, args: &[&str]) -> String {
    let output = cluster.kubectl(args).unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A daemon attached to the cluster, with a project `ml` that is projected into a namespace of its
/// own.
pub(crate) struct Attached {
    cluster: &'static Cluster,
    pub(crate) fresh: Fresh,
    namespace: &'static str,
}

impl Attached {
    pub(crate) fn start(namespace: &'static str) -> Option<Self> {
        Self::start_with(namespace, &[])
    }

    /// As [`Self::start`], with further arguments for the daemon.
    pub(crate) fn start_with(namespace: &'static str, arguments: &[&str]) -> Option<Self> {
        let cluster = cluster()?;
        let fresh = fresh_with(|serve| {
            serve.arg("--kubeconfig").arg(cluster.kubeconfig()).args(arguments);
        });
        let attached = Self { cluster, fresh, namespace };
        attached.kubectl(&["create", "namespace", namespace]);
        attached.project_into(&[namespace]);
        Some(attached)
    }

    pub(crate) fn admin(&self) -> &Actor {
        &self.fresh.admin
    }

    fn project_into(&self, namespaces: &[&str]) {
        let rules: Vec<_> =
            namespaces.iter().map(|name| json!({ "mode": "each", "namespace": name })).collect();
        let body = json!({ "spec": { "projectionRules": rules } });
        self.admin().put(&project("ml"), &body).expect(200);
    }

    #[track_caller]
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        kubectl(self.cluster, args)
    }

    /// The Kubernetes Secret, if there is one.
    pub(crate) fn kubernetes(&self, name: &str) -> Option<Value> {
        let get = ["get", "secret", name, "-n", self.namespace, "--ignore-not-found", "-o", "json"];
        let text = self.kubectl(&get);
        (!text.is_empty()).then(|| serde_json::from_str(&text).unwrap())
    }

    /// Its data, decoded.
    pub(crate) fn data(&self, name: &str) -> Option<BTreeMap<String, Vec<u8>>> {
        let object = self.kubernetes(name)?;
        let entries = object["data"].as_object().unwrap().iter();
        let decode = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
        Some(entries.map(|(key, value)| (key.clone(), decode(value))).collect())
    }

    fn resource_version(&self, name: &str) -> String {
        let object = self.kubernetes(name).unwrap();
        object["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
    }

    pub(crate) fn put(&self, name: &str, value: &str) {
        self.admin().try_put_value(&secret("ml", name), value).unwrap();
    }

    #[track_caller]
    pub(crate) fn wait_for_value(&self, name: &str, value: &str) {
        let expected = BTreeMap::from([("value".to_owned(), value.as_bytes().to_vec())]);
        let holds = || self.data(name).as_ref() == Some(&expected);
        wait_until(&format!("{name} holds {value} and nothing else"), holds);
    }

    #[track_caller]
    pub(crate) fn wait_for_state(&self, name: &str, state: &str) -> Value {
        wait_for_state(self.admin(), name, state)
    }
}

/// The same person, at another daemon on the same store.
fn moved(actor: &Actor, address: SocketAddr) -> Actor {
    Actor::new(address, actor.authorization().strip_prefix("Bearer ").unwrap())
}

#[track_caller]
pub(crate) fn wait_for_state(admin: &Actor, name: &str, state: &str) -> Value {
    let mut found = Value::Null;
    wait_until(&format!("{name} is {state}"), || {
        let list = admin.get(&format!("{}/projections", project("ml"))).expect(200).json();
        let items = list["items"].as_array().unwrap();
        found = items.iter().find(|item| item["secret"] == name).cloned().unwrap_or_default();
        found["state"] == state
    });
    found
}

#[test]
fn a_secret_becomes_exactly_these_bytes_and_follows_its_updates() {
    let Some(world) = Attached::start("bytes") else { return };
    let every_byte: Vec<u8> = (0..=255).collect();
    let body = json!({
        "data": { "all.bytes": STANDARD.encode(&every_byte), "empty": "" },
        "stringData": { "TEXT": "h\u{e9}llo" },
    });
    world.admin().put(&secret("ml", "opaque"), &body).expect(201);
    let expected = BTreeMap::from([
        ("all.bytes".to_owned(), every_byte),
        ("empty".to_owned(), Vec::new()),
        ("TEXT".to_owned(), "h\u{e9}llo".as_bytes().to_vec()),
    ]);
    wait_until("the opaque secret is there", || world.data("opaque").as_ref() == Some(&expected));
    let object = world.kubernetes("opaque").unwrap();
    assert_eq!(object["type"], "Opaque");
    assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/managed-by"], "tresor");
    let status = world.wait_for_state("opaque", "Synced");
    let head = world.admin().get(&secret("ml", "opaque")).expect(200);
    assert_eq!((&status["version"], &status["name"]), (&json!(1), &json!("opaque")));
    assert_eq!(status["resourceVersion"], head.resource_version());

    let login = json!({
        "spec": { "type": "registry" },
        "registries": [{ "server": "nvcr.io", "username": "$oauthtoken", "password": "p\"w" }],
    });
    world.admin().put(&secret("ml", "registry"), &login).expect(201);
    let file = concat!(
        r#"{"auths":{"nvcr.io":{"username":"$oauthtoken","password":"p\"w","#,
        r#""auth":"JG9hdXRodG9rZW46cCJ3"}}}"#
    );
    let expected = BTreeMap::from([(".dockerconfigjson".to_owned(), file.as_bytes().to_vec())]);
    wait_until("the registry secret is there", || {
        world.data("registry").as_ref() == Some(&expected)
    });
    assert_eq!(world.kubernetes("registry").unwrap()["type"], "kubernetes.io/dockerconfigjson");

    let update = json!({ "stringData": { "OTHER": "key" } });
    world.admin().put(&secret("ml", "opaque"), &update).expect(200);
    let expected = BTreeMap::from([("OTHER".to_owned(), b"key".to_vec())]);
    wait_until("the update is there", || world.data("opaque").as_ref() == Some(&expected));
}

/// What goes to a cluster was read, and says so in the audit log.
#[test]
fn what_the_worker_reads_for_a_cluster_is_in_the_audit_log() {
    let Some(world) = Attached::start("e2e-audit") else { return };
    world.put("hf", "one");
    world.wait_for_value("hf", "one");
    let log = fs::read_to_string(world.fresh.home.data.join("audit/audit.jsonl")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let read: Vec<_> = lines.filter(|line| line["action"] == "projectSecret").collect();
    assert!(!read.is_empty(), "{log}");
    for record in read {
        assert_eq!(record["actor"], "system:sync");
        assert!(record["resource"].as_str().unwrap().ends_with("/hf"), "{record}");
        assert_eq!((&record["version"], &record["outcome"]), (&json!(1), &json!("ok")));
    }
}

#[test]
fn a_tampered_secret_is_repaired() {
    let Some(world) = Attached::start("tamper") else { return };
    world.put("hf", "right");
    world.wait_for_value("hf", "right");
    let patches = [
        r#"{"stringData":{"value":"wrong"}}"#,
        r#"{"stringData":{"added":"key"}}"#,
        r#"{"data":null}"#,
        r#"{"metadata":{"labels":{"app.kubernetes.io/managed-by":null}}}"#,
    ];
    for patch in patches {
        world.kubectl(&["patch", "secret", "hf", "-n", "tamper", "-p", patch]);
        wait_until("the label is back", || {
            let labels = world.kubernetes("hf").unwrap()["metadata"]["labels"].clone();
            labels["app.kubernetes.io/managed-by"] == "tresor"
        });
        world.wait_for_value("hf", "right");
    }
    world.kubectl(&["delete", "secret", "hf", "-n", "tamper"]);
    world.wait_for_value("hf", "right");
    world.wait_for_state("hf", "Synced");
}

#[test]
fn a_deleted_secret_goes_from_the_cluster() {
    let Some(world) = Attached::start("deleted") else { return };
    world.put("going", "1");
    world.put("staying", "1");
    world.wait_for_value("going", "1");
    world.wait_for_value("staying", "1");
    world.admin().delete(&secret("ml", "going")).expect(204);
    wait_until("the copy is gone", || world.kubernetes("going").is_none());
    world.wait_for_value("staying", "1");
    let list = world.admin().get(&format!("{}/projections", project("ml"))).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
}

#[test]
fn a_rule_that_is_taken_back_takes_its_copies_along() {
    let Some(world) = Attached::start("rules") else { return };
    world.kubectl(&["create", "namespace", "rules-too"]);
    world.project_into(&["rules", "rules-too"]);
    world.put("hf", "1");
    world.wait_for_value("hf", "1");
    let too = || {
        let get = ["get", "secret", "hf", "-n", "rules-too", "--ignore-not-found", "-o", "name"];
        world.kubectl(&get)
    };
    wait_until("the second copy is there", || !too().is_empty());
    world.project_into(&["rules"]);
    wait_until("the second copy is gone", || too().is_empty());
    world.wait_for_value("hf", "1");
}

#[test]
fn a_secret_that_is_not_ours_is_left_alone() {
    let Some(world) = Attached::start("foreign") else { return };
    let create = ["create", "secret", "generic", "hf", "-n", "foreign", "--from-literal=theirs=1"];
    world.kubectl(&create);
    let before = world.resource_version("hf");
    world.put("hf", "ours");
    world.wait_for_state("hf", "Conflict");
    world.admin().delete(&secret("ml", "hf")).expect(204);
    world.put("other", "ours");
    world.wait_for_value("other", "ours");
    assert_eq!(world.resource_version("hf"), before);
    world.put("hf", "again");
    world.wait_for_state("hf", "Conflict");
    world.kubectl(&["delete", "secret", "hf", "-n", "foreign"]);
    world.wait_for_value("hf", "again");
}

#[test]
fn what_cannot_be_projected_yet_says_why_and_follows_when_it_can() {
    let Some(cluster) = cluster() else { return };
    let fresh = fresh_with(|serve| {
        serve.arg("--kubeconfig").arg(cluster.limited_kubeconfig());
    });
    let world = Attached { cluster, fresh, namespace: "denied" };
    world.kubectl(&["create", "namespace", "denied"]);
    world.project_into(&["denied"]);
    world.put("hf", "1");
    world.wait_for_state("hf", "Denied");
    let verbs = "--verb=get,list,watch,create,update,delete";
    world.kubectl(&["create", "role", "tresor", "-n", "denied", verbs, "--resource=secrets"]);
    let bind =
        ["create", "rolebinding", "tresor", "-n", "denied", "--role=tresor", "--user=limited"];
    world.kubectl(&bind);
    world.wait_for_value("hf", "1");

    let Some(other) = Attached::start("present") else { return };
    other.project_into(&["missing"]);
    other.put("hf", "1");
    other.wait_for_state("hf", "NamespaceMissing");
    other.kubectl(&["create", "namespace", "missing"]);
    other.wait_for_state("hf", "Synced");
}

/// Both sides change while nobody looks; the next start brings them together and touches nothing
/// that is as it should be.
#[test]
fn a_start_converges_and_writes_only_what_differs() {
    let Some(world) = Attached::start("converge") else { return };
    for name in ["same", "tampered", "removed", "updated", "dropped"] {
        world.put(name, "1");
    }
    for name in ["same", "tampered", "removed", "updated", "dropped"] {
        world.wait_for_value(name, "1");
        world.wait_for_state(name, "Synced");
    }
    let Attached { cluster, fresh: Fresh { home, daemon, admin }, namespace } = world;
    daemon.stop();
    // A daemon without a cluster changes Tresor's side.
    let alone = Daemon::start(&mut home.serve());
    let admin_alone = moved(&admin, alone.address);
    admin_alone.try_put_value(&secret("ml", "updated"), "2").unwrap().expect(200);
    admin_alone.try_put_value(&secret("ml", "added"), "1").unwrap().expect(201);
    admin_alone.delete(&secret("ml", "dropped")).expect(204);
    alone.stop();
    let kubectl = |args: &[&str]| assert!(cluster.kubectl(args).unwrap().status.success());
    let wrong = r#"{"stringData":{"value":"wrong"}}"#;
    kubectl(&["patch", "secret", "tampered", "-n", namespace, "-p", wrong]);
    kubectl(&["delete", "secret", "removed", "-n", namespace]);

    let mut serve = home.serve();
    serve.arg("--kubeconfig").arg(cluster.kubeconfig());
    let daemon = Daemon::start(&mut serve);
    let admin = moved(&admin, daemon.address);
    let world = Attached { cluster, fresh: Fresh { home, daemon, admin }, namespace };
    let untouched = world.resource_version("same");
    for (name, value) in
        [("tampered", "1"), ("removed", "1"), ("updated", "2"), ("added", "1"), ("same", "1")]
    {
        world.wait_for_value(name, value);
        world.wait_for_state(name, "Synced");
    }
    wait_until("the dropped one is gone", || world.kubernetes("dropped").is_none());
    assert_eq!(world.resource_version("same"), untouched, "it was written without need");
}

#[test]
fn without_a_cluster_every_projection_says_so() {
    let Fresh { admin, .. } = &fresh();
    let rules = json!({ "spec": { "projectionRules": [{ "mode": "each", "namespace": "team" }] } });
    admin.put(&project("ml"), &rules).expect(200);
    admin.try_put_value(&secret("ml", "hf"), "1").unwrap().expect(201);
    wait_for_state(admin, "hf", "NoCluster");
}

/// The README's first command does what it shows, and leaves nothing behind.
#[test]
fn the_demonstration_runs_to_its_end() {
    if cluster().is_none() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let ended = run(tresor(&["demo"]).env("TMPDIR", home.path()));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let mut rest = ended.stdout.as_str();
    let steps =
        ["Cluster", "Start", "Store", "Rest", "Project", "Tamper", "History", "Delete", "Rotate"];
    for name in steps {
        let (_, behind) = rest
            .split_once(&format!("\n{name:<11}"))
            .unwrap_or_else(|| panic!("{name} is not in its place: {}", ended.stdout));
        rest = behind;
    }
    assert_eq!(ended.stderr, "");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "it left something behind");
}

/// Without a cluster it shows what it would apply, with no value in it.
#[test]
fn the_demonstration_needs_no_cluster() {
    let home = tempfile::tempdir().unwrap();
    let mut demo = tresor(&["demo"]);
    let ended = run(demo.env("TMPDIR", home.path()).env("KUBEBUILDER_ASSETS", home.path()));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("HF_TOKEN: <34 bytes>"), "{}", ended.stdout);
    assert!(ended.stdout.contains("tests/setup/kubernetes.sh"), "{}", ended.stdout);
}

#[test]
fn the_labels_of_a_rule_are_those_of_its_copies_whatever_somebody_makes_of_them() {
    let Some(attached) = Attached::start("rule-labels") else { return };
    let admin = attached.admin();
    let rule = |labels: Value, of_secrets: bool| {
        let rule = json!({ "mode": "each", "namespace": "rule-labels", "labels": labels,
                           "secretLabels": of_secrets });
        let body = json!({ "spec": { "projectionRules": [rule] } });
        admin.put(&project("ml"), &body).expect(200);
    };
    let labels = || -> BTreeMap<String, String> {
        let object = attached.kubernetes("hf").unwrap();
        let all = object["metadata"]["labels"].as_object().unwrap().clone().into_iter();
        let all = all.filter(|(key, _)| key != "app.kubernetes.io/managed-by");
        all.map(|(key, value)| (key, value.as_str().unwrap().to_owned())).collect()
    };
    let become_these = |wanted: &[(&str, &str)]| {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let wanted: BTreeMap<_, _> = wanted.iter().map(pair).collect();
        wait_until(&format!("the labels are {wanted:?}"), || labels() == wanted);
    };
    let body = json!({ "metadata": { "labels": { "own": "x" } }, "stringData": { "value": "v" } });
    admin.put(&secret("ml", "hf"), &body).expect(201);
    attached.wait_for_value("hf", "v");
    become_these(&[]);
    rule(json!({ "team": "ml", "tier": "1" }), false);
    become_these(&[("team", "ml"), ("tier", "1")]);
    // Somebody's own stay, ours come back, and those that no rule gives any more go.
    let of = ["-n", "rule-labels", "label", "--overwrite", "secret", "hf"];
    attached.kubectl(&[&of[..], &["team=other", "theirs=y", "tier-"]].concat());
    become_these(&[("team", "ml"), ("theirs", "y"), ("tier", "1")]);
    rule(json!({ "team": "ml" }), true);
    become_these(&[("own", "x"), ("team", "ml"), ("theirs", "y")]);
    rule(json!({}), false);
    become_these(&[("theirs", "y")]);
    let refused = |rule: Value| {
        let body = json!({ "spec": { "projectionRules": [rule] } });
        admin.put(&project("ml"), &body).problem(422, "invalid-field")
    };
    let managed = json!({ "app.kubernetes.io/managed-by": "me" });
    refused(json!({ "mode": "each", "namespace": "n", "labels": managed }));
    refused(json!({ "mode": "merged", "namespace": "n", "secretLabels": true }));
}
