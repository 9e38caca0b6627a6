//! The worker against a real API server: what it writes, what it repairs, what it leaves alone.
//!
//! Skipped, and said so, where kube-apiserver, etcd and kubectl are not found; with
//! `TRESOR_TESTS_COMPLETE=1` that is a failure.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests fail the test, as the tests themselves do"
)]

#[path = "../../tresor/src/cluster.rs"]
#[expect(unreachable_pub, reason = "the module is part of another crate and included here")]
mod cluster;
mod scenes;
mod support;

use std::collections::BTreeMap;

use domain::{ProjectionState, Retired};
use kube::api::{DeleteParams, PostParams};
use serde_json::json;
use support::{World, bytes, namespace, project, secret_path, uid};

/// A value that must turn up nowhere but in the cluster.
const CANARY: &str = "canary-6b1f0e-value";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_worker_keeps_a_real_cluster_in_sync() {
    let Some(assets) = cluster::Assets::find() else {
        let complete = std::env::var_os("TRESOR_TESTS_COMPLETE").is_some_and(|v| v == "1");
        assert!(!complete, "kube-apiserver, etcd and kubectl are not found");
        println!("SKIPPED: kube-apiserver, etcd and kubectl are not found");
        return;
    };
    let log = support::Log::everything();
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = cluster::Cluster::start(&assets, dir.path()).unwrap();
    let world = World::new(&cluster).await;

    let mut worker = world.start_worker(&world.admin);
    creates_exact_bytes_and_types(&world).await;
    worker.stop().await;
    worker = world.start_worker(&world.admin);
    a_restart_writes_nothing(&world, &worker).await;
    updates_hold_exactly_the_new_keys(&world).await;
    drift_is_repaired(&world).await;
    a_foreign_secret_is_left_alone_until_it_goes(&world, &worker).await;
    what_appears_between_looking_and_writing_is_safe(&world).await;
    a_tombstone_deletes_and_nothing_else_does(&world).await;
    a_finalizer_does_not_hold_up_others(&world).await;
    an_oversize_secret_fails_alone(&world).await;
    a_missing_namespace_is_waited_for(&world).await;
    a_taken_name_is_taken_over(&world).await;
    a_rule_s_tombstone_clears_its_namespace(&world).await;
    a_lost_position_leads_to_a_new_snapshot(&world).await;
    an_outage_is_survived(&world, &mut cluster).await;
    worker.stop().await;
    world.fake.clear();

    let limited = sync::client_from_kubeconfig(&cluster.limited_kubeconfig()).await.unwrap();
    let worker = world.start_worker(&limited);
    denied_rights_are_shown_and_delete_nothing(&world, &cluster).await;
    worker.stop().await;
    log.holds_no(CANARY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn projects_share_merge_and_hand_over_in_a_real_cluster() {
    let Some(assets) = cluster::Assets::find() else {
        let complete = std::env::var_os("TRESOR_TESTS_COMPLETE").is_some_and(|v| v == "1");
        assert!(!complete, "kube-apiserver, etcd and kubectl are not found");
        println!("SKIPPED: kube-apiserver, etcd and kubectl are not found");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster::Cluster::start(&assets, dir.path()).unwrap();
    let world = World::new(&cluster).await;

    let worker = world.start_worker(&world.admin);
    scenes::bindings::all(&world).await;
    scenes::undelete::all(&world).await;
    scenes::merged::all(&world, &worker).await;
    scenes::adopt::all(&world, &cluster).await;
    worker.stop().await;
    world.fake.clear();
    scenes::brake::all(&world).await;
    scenes::rollback::all(&world).await;
    scenes::lease::all(&world).await;
}

async fn creates_exact_bytes_and_types(world: &World) {
    world.make_namespace("create").await;
    world.fake.rules("create", &["create"]);
    let all: Vec<u8> = (0..=255).collect();
    world.fake.put("create", "hf/Token", 1, "Opaque", &[("HF_TOKEN", &all), ("empty", b"")]);
    let login = br#"{"auths":{"nvcr.io":{"auth":"JG9hdXRodG9rZW46cA=="}}}"#;
    let docker = "kubernetes.io/dockerconfigjson";
    world.fake.put("create", "pull", 2, docker, &[(".dockerconfigjson", login)]);

    let name = world.synced(1).await;
    assert!(name.starts_with("hf-token-"), "{name}");
    let secret = world.get("create", &name).await.unwrap();
    assert_eq!(secret.type_.as_deref(), Some("Opaque"));
    assert_eq!(secret.data, Some(bytes(&[("HF_TOKEN", &all), ("empty", b"")])));
    assert_eq!(secret.metadata.labels.unwrap()["app.kubernetes.io/managed-by"], "tresor");
    let annotations = secret.metadata.annotations.unwrap();
    assert_eq!(annotations["tresor.dev/source"], "secret://test/default/create/hf/Token");
    assert_eq!(annotations["tresor.dev/placement"], format!("create/{name}"));
    assert_eq!(annotations["tresor.dev/uid"], uid(1).to_string());
    assert_eq!(annotations["tresor.dev/version"], "1");
    let managers = secret.metadata.managed_fields.unwrap();
    assert_eq!(managers[0].manager.as_deref(), Some("tresor"));

    let name = world.synced(2).await;
    let secret = world.get("create", &name).await.unwrap();
    assert_eq!(secret.type_.as_deref(), Some(docker));
    assert_eq!(secret.data, Some(bytes(&[(".dockerconfigjson", login)])));
}

async fn a_restart_writes_nothing(world: &World, worker: &support::Running) {
    let before = world.resource_versions("create").await;
    assert_eq!(before.len(), 2);
    world.synced(1).await;
    world.synced(2).await;
    world.quiet().await;
    assert_eq!(worker.metrics.writes(), 0);
    assert_eq!(world.resource_versions("create").await, before);
}

async fn updates_hold_exactly_the_new_keys(world: &World) {
    let name = world.synced(1).await;
    let theirs = json!({"metadata": {"annotations": {"theirs": "1"}, "labels": {"theirs": "1"}}});
    world.patch("create", &name, theirs).await;
    world.fake.put("create", "hf/Token", 1, "Opaque", &[("NEW", b"2")]);
    world.holds("create", &name, &[("NEW", b"2")]).await;
    let meta = world.get("create", &name).await.unwrap().metadata;
    assert_eq!(meta.annotations.unwrap()["theirs"], "1");
    assert_eq!(meta.labels.unwrap()["theirs"], "1");
}

async fn drift_is_repaired(world: &World) {
    world.make_namespace("drift").await;
    world.fake.rules("drift", &["drift"]);
    let data: &[(&str, &[u8])] = &[("a", b"1"), ("b", b"2")];
    for (n, name) in [(10, "edited"), (11, "bound"), (12, "retyped"), (13, "frozen")] {
        world.fake.put("drift", name, n, "Opaque", data);
        world.synced(n).await;
    }

    world.patch("drift", "edited", json!({"data": {"a": "eA=="}})).await;
    world.holds("drift", "edited", data).await;
    world.patch("drift", "edited", json!({"data": {"c": "eA=="}})).await;
    world.holds("drift", "edited", data).await;
    world.patch("drift", "edited", json!({"data": null})).await;
    world.holds("drift", "edited", data).await;

    let unlabel = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}});
    world.patch("drift", "bound", unlabel).await;
    world.labelled("drift", "bound").await;
    let old = world.get("drift", "bound").await.unwrap().metadata.uid;
    world.secrets("drift").delete("bound", &DeleteParams::default()).await.unwrap();
    world.holds("drift", "bound", data).await;
    assert_ne!(world.get("drift", "bound").await.unwrap().metadata.uid, old);

    // Who wants another type has to delete and create; ours may come back in between, so that
    // their creation may need another try.
    let mut retyped = world.get("drift", "retyped").await.unwrap();
    retyped.type_ = Some("example.com/other".to_owned());
    world.force(retyped).await;
    world
        .until("the type is repaired", async || {
            world
                .get("drift", "retyped")
                .await
                .is_some_and(|s| s.type_.as_deref() == Some("Opaque"))
        })
        .await;
    world.holds("drift", "retyped", data).await;

    world.patch("drift", "frozen", json!({"immutable": true})).await;
    world.fake.put("drift", "frozen", 13, "Opaque", &[("a", b"thawed")]);
    world.holds("drift", "frozen", &[("a", b"thawed")]).await;
}

async fn a_foreign_secret_is_left_alone_until_it_goes(world: &World, worker: &support::Running) {
    world.make_namespace("foreign").await;
    world.create("foreign", json!({"metadata": {"name": "mine"}, "data": {"k": "eA=="}})).await;
    let before = world.get("foreign", "mine").await;
    let conflicts = worker.metrics.conflicts();
    world.fake.rules("foreign", &["foreign"]);
    world.fake.put("foreign", "mine", 20, "Opaque", &[("k", b"ours")]);
    world.stands(20, ProjectionState::Conflict).await;
    world.fake.put("foreign", "mine", 20, "Opaque", &[("k", b"ours 2")]);
    world.quiet().await;
    assert_eq!(world.get("foreign", "mine").await, before);
    assert_eq!(worker.metrics.conflicts(), conflicts + 1);
    // Even a tombstone of that very secret is no right to delete it.
    let what = Retired::Secret { path: secret_path("foreign", "mine"), uid: uid(20) };
    world.fake.entomb(what.clone());
    world.removed(&what).await;
    assert_eq!(world.get("foreign", "mine").await, before);

    world.secrets("foreign").delete("mine", &DeleteParams::default()).await.unwrap();
    world.holds("foreign", "mine", &[("k", b"ours 2")]).await;
    world.synced(20).await;
}

async fn what_appears_between_looking_and_writing_is_safe(world: &World) {
    world.make_namespace("race").await;
    world.fake.rules("race", &["race"]);
    let theirs = json!({"metadata": {"name": "new"}, "data": {"k": "eA=="}});
    let api = world.secrets("race");
    world.fake.ambush(async move {
        let theirs = serde_json::from_value(theirs).unwrap();
        api.create(&PostParams::default(), &theirs).await.unwrap();
    });
    world.fake.put("race", "new", 25, "Opaque", &[("k", b"ours")]);
    world.stands(25, ProjectionState::Conflict).await;
    let data = world.get("race", "new").await.unwrap().data;
    assert_eq!(data, Some(bytes(&[("k", b"x")])), "a Secret that is not ours was overwritten");

    // Ours is to be replaced, since it cannot be changed, and is another's by then.
    world.fake.put("race", "old", 26, "Opaque", &[("k", b"ours")]);
    world.holds("race", "old", &[("k", b"ours")]).await;
    world.patch("race", "old", json!({"immutable": true})).await;
    let api = world.secrets("race");
    world.fake.ambush(async move {
        api.delete("old", &DeleteParams::default()).await.unwrap();
        let theirs = json!({"metadata": {"name": "old"}, "data": {"k": "eA=="}});
        let theirs = serde_json::from_value(theirs).unwrap();
        api.create(&PostParams::default(), &theirs).await.unwrap();
    });
    world.fake.put("race", "old", 26, "Opaque", &[("k", b"ours 2")]);
    world.until("the ambush has happened", async || world.fake.is_sprung()).await;
    world.stands(26, ProjectionState::Conflict).await;
    let data = world.get("race", "old").await.unwrap().data;
    assert_eq!(data, Some(bytes(&[("k", b"x")])), "a Secret that is not ours was deleted");
}

async fn a_tombstone_deletes_and_nothing_else_does(world: &World) {
    world.make_namespace("tomb").await;
    world.make_namespace("tomb-2").await;
    world.fake.rules("tomb", &["tomb", "tomb-2"]);
    world.fake.put("tomb", "hf", 30, "Opaque", &[("k", b"v")]);
    world.holds("tomb", "hf", &[("k", b"v")]).await;
    world.holds("tomb-2", "hf", &[("k", b"v")]).await;
    // A copy under another name, with label and annotations and all.
    let mut copy = world.get("tomb", "hf").await.unwrap();
    copy.metadata.name = Some("hf-copy".to_owned());
    copy.metadata.resource_version = None;
    copy.metadata.uid = None;
    world.secrets("tomb").create(&PostParams::default(), &copy).await.unwrap();

    world.fake.remove("tomb", "hf", 30);
    world.until("the projections are forgotten", async || world.status(30).is_none()).await;
    world.quiet().await;
    assert!(world.get("tomb", "hf").await.is_some(), "deleted without a tombstone");

    let what = Retired::Secret { path: secret_path("tomb", "hf"), uid: uid(30) };
    world.fake.entomb(what.clone());
    world.removed(&what).await;
    assert!(world.get("tomb", "hf").await.is_none());
    assert!(world.get("tomb-2", "hf").await.is_none());
    assert!(world.get("tomb", "hf-copy").await.is_some(), "a copy that is not ours was deleted");
}

async fn a_finalizer_does_not_hold_up_others(world: &World) {
    world.make_namespace("final").await;
    world.fake.rules("final", &["final"]);
    for (n, name) in [(40, "held"), (41, "free")] {
        world.fake.put("final", name, n, "Opaque", &[("k", b"v")]);
        world.synced(n).await;
    }
    let finalizers = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    world.patch("final", "held", finalizers).await;
    let held = Retired::Secret { path: secret_path("final", "held"), uid: uid(40) };
    let free = Retired::Secret { path: secret_path("final", "free"), uid: uid(41) };
    for (n, name, what) in [(40, "held", &held), (41, "free", &free)] {
        world.fake.remove("final", name, n);
        world.fake.entomb(what.clone());
    }
    world.removed(&free).await;
    // The same name is wanted again while the old object still waits.
    world.fake.put("final", "held", 42, "Opaque", &[("k", b"new")]);
    world.stands(42, ProjectionState::Pending).await;
    world.quiet().await;
    assert!(!world.fake.is_removed(&held));
    world.patch("final", "held", json!({"metadata": {"finalizers": null}})).await;
    world.removed(&held).await;
    world.holds("final", "held", &[("k", b"new")]).await;
}

async fn an_oversize_secret_fails_alone(world: &World) {
    world.make_namespace("large").await;
    world.fake.rules("large", &["large"]);
    let large = CANARY.repeat(1_100_000 / CANARY.len());
    world.fake.put("large", "large", 45, "Opaque", &[(CANARY, large.as_bytes())]);
    world.fake.put("large", "small", 46, "Opaque", &[("k", CANARY.as_bytes())]);
    world.stands(45, ProjectionState::Failed).await;
    world.synced(46).await;
    let message = world.status(45).unwrap().message.unwrap();
    assert!(!message.contains(CANARY), "{message}");
}

async fn a_missing_namespace_is_waited_for(world: &World) {
    world.fake.rules("late", &["late"]);
    world.fake.put("late", "hf", 50, "Opaque", &[("k", b"v")]);
    world.stands(50, ProjectionState::NamespaceMissing).await;
    world.make_namespace("late").await;
    world.holds("late", "hf", &[("k", b"v")]).await;
    world.synced(50).await;
}

async fn a_taken_name_is_taken_over(world: &World) {
    world.make_namespace("taken").await;
    world.fake.rules("taken-1", &["taken"]);
    world.fake.rules("taken-2", &["taken"]);
    world.fake.put("taken-1", "hf", 60, "Opaque", &[("k", b"first")]);
    world.fake.put("taken-2", "hf", 61, "Opaque", &[("k", b"second")]);
    world.synced(60).await;
    world.stands(61, ProjectionState::NameTaken).await;
    let message = world.status(61).unwrap().message.unwrap();
    assert!(!message.contains("taken-1"), "{message}");
    world.holds("taken", "hf", &[("k", b"first")]).await;

    let what = Retired::Secret { path: secret_path("taken-1", "hf"), uid: uid(60) };
    world.fake.remove("taken-1", "hf", 60);
    world.fake.entomb(what.clone());
    world.holds("taken", "hf", &[("k", b"second")]).await;
    world.removed(&what).await;
    world.synced(61).await;
}

async fn a_rule_s_tombstone_clears_its_namespace(world: &World) {
    for name in ["rule", "rule-2"] {
        world.make_namespace(name).await;
    }
    world.fake.rules("rule", &["rule", "rule-2"]);
    world.fake.rules("neighbour", &["rule"]);
    world.fake.put("rule", "hf", 70, "Opaque", &[("k", b"v")]);
    world.fake.put("neighbour", "other", 71, "Opaque", &[("k", b"v")]);
    world.holds("rule", "hf", &[("k", b"v")]).await;
    world.holds("rule-2", "hf", &[("k", b"v")]).await;
    world.synced(71).await;

    world.fake.rules("rule", &["rule-2"]);
    world.fake.rules("neighbour", &["rule-2"]);
    let what = Retired::Rule { project: project("rule"), namespace: namespace("rule") };
    world.fake.entomb(what.clone());
    world.removed(&what).await;
    assert!(world.get("rule", "hf").await.is_none());
    assert!(world.get("rule", "other").await.is_some(), "another project's copy was deleted");
    assert!(world.get("rule-2", "hf").await.is_some());
}

async fn a_lost_position_leads_to_a_new_snapshot(world: &World) {
    world.fake.forget_history();
    world.fake.put("create", "pull", 2, "Opaque", &[("k", b"after")]);
    world.holds("create", "pull", &[("k", b"after")]).await;
}

async fn an_outage_is_survived(world: &World, cluster: &mut cluster::Cluster) {
    cluster.stop_api_server();
    world.fake.put("create", "pull", 2, "Opaque", &[("k", b"outage")]);
    world.stands(2, ProjectionState::Unreachable).await;
    cluster.start_api_server().unwrap();
    world.holds("create", "pull", &[("k", b"outage")]).await;
    world.synced(2).await;
}

async fn denied_rights_are_shown_and_delete_nothing(world: &World, cluster: &cluster::Cluster) {
    world.fake.rules("rbac", &["rbac"]);
    world.fake.put("rbac", "hf", 80, "Opaque", &[("k", b"v")]);
    world.make_namespace("rbac").await;
    world.stands(80, ProjectionState::Denied).await;
    let message = world.status(80).unwrap().message.unwrap();
    assert_eq!(message, "the worker may not list secrets in the namespace rbac");

    // An old copy lies there, and its tombstone comes while nothing can be listed.
    let marks = [
        ("source", "secret://test/default/rbac/old"),
        ("placement", "rbac/old"),
        ("store", "store-1"),
    ];
    let mut annotations: BTreeMap<String, String> =
        marks.iter().map(|(k, v)| (format!("tresor.dev/{k}"), (*v).to_owned())).collect();
    annotations.insert("tresor.dev/uid".to_owned(), uid(81).to_string());
    let labels = json!({"app.kubernetes.io/managed-by": "tresor"});
    let meta = json!({"name": "old", "labels": labels, "annotations": annotations});
    world.create("rbac", json!({"metadata": meta})).await;
    let what = Retired::Secret { path: secret_path("rbac", "old"), uid: uid(81) };
    world.fake.entomb(what.clone());
    world.quiet().await;
    assert!(!world.fake.is_removed(&what), "confirmed although the list was refused");
    assert!(world.get("rbac", "old").await.is_some(), "deleted although the list was refused");

    let verbs = "--verb=get,list,watch";
    let made =
        cluster.kubectl(&["-n", "rbac", "create", "role", "sync", verbs, "--resource=secrets"]);
    assert!(made.unwrap().status.success());
    let bind = ["-n", "rbac", "create", "rolebinding", "sync", "--role=sync", "--user=limited"];
    assert!(cluster.kubectl(&bind).unwrap().status.success());
    world
        .until("the missing verb is named", async || {
            let message = world.status(80).and_then(|status| status.message);
            message.is_some_and(|m| m == "the worker may not create secrets in the namespace rbac")
        })
        .await;
    assert!(world.get("rbac", "old").await.is_some());

    let all = ["get", "list", "watch", "create", "update", "delete"];
    let all = json!([{"op": "replace", "path": "/rules/0/verbs", "value": all}]).to_string();
    let patch = ["-n", "rbac", "patch", "role", "sync", "--type=json", "-p", &all];
    assert!(cluster.kubectl(&patch).unwrap().status.success());
    world.removed(&what).await;
    assert!(world.get("rbac", "old").await.is_none());
    world.holds("rbac", "hf", &[("k", b"v")]).await;
    world.synced(80).await;
}

/// Without a cluster every projection says so, and nothing is confirmed.
#[tokio::test]
async fn without_a_cluster_everything_is_no_cluster() {
    let fake = support::Fake::new();
    fake.rules("p", &["ns"]);
    fake.put("p", "hf", 1, "Opaque", &[("k", b"v")]);
    let what = Retired::Secret { path: secret_path("p", "old"), uid: uid(2) };
    fake.entomb(what.clone());
    let worker = support::Running::start(&fake, None);
    support::until("it is reported", async || {
        fake.status(1).is_some_and(|status| status.state == ProjectionState::NoCluster)
    })
    .await;
    fake.remove("p", "hf", 1);
    support::until("it is forgotten", async || fake.status(1).is_none()).await;
    assert!(!fake.is_removed(&what));
    worker.stop().await;
}
