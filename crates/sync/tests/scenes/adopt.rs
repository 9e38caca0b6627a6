//! A foreign Secret becomes ours only when whoever owns it says so.

use domain::ProjectionState;
use serde_json::json;

use crate::cluster::Cluster;
use crate::support::{World, bytes};

const NS: &str = "adopt";

pub(crate) async fn all(world: &World, cluster: &Cluster) {
    world.make_namespace(NS).await;
    world.fake.rules("adopt", &[NS]);
    a_conflict_names_the_command_that_ends_it(world, cluster).await;
    a_stray_annotation_does_nothing(world).await;
    what_could_only_be_deleted_is_left_alone(world).await;
}

async fn a_conflict_names_the_command_that_ends_it(world: &World, cluster: &Cluster) {
    let meta = json!({
        "name": "theirs",
        "annotations": {"theirs": "1"},
        "labels": {"theirs": "1"},
        "finalizers": ["example.com/hold"],
    });
    world.create(NS, json!({"metadata": meta, "data": {"k": "eA==", "other": "eA=="}})).await;
    world.fake.put("adopt", "theirs", 30, "Opaque", &[("k", b"ours")]);
    world.stands(30, ProjectionState::Conflict).await;
    let before = world.get(NS, "theirs").await.unwrap();
    let message = world.status(30).unwrap().message.unwrap();
    let (_, command) = message.split_once("kubectl ").unwrap();
    let words: Vec<&str> = command.split(' ').collect();
    assert!(cluster.kubectl(&words).unwrap().status.success(), "{command}");

    world.holds(NS, "theirs", &[("k", b"ours")]).await;
    world.synced(30).await;
    let meta = world.get(NS, "theirs").await.unwrap().metadata;
    assert_eq!(meta.uid, before.metadata.uid);
    assert_eq!(meta.finalizers, before.metadata.finalizers);
    assert_eq!(meta.labels.unwrap()["theirs"], "1");
    let annotations = meta.annotations.unwrap();
    assert_eq!(annotations["theirs"], "1");
    assert!(!annotations.contains_key("tresor.dev/adopt"));
    world.patch(NS, "theirs", json!({"data": {"k": "eA=="}})).await;
    world.holds(NS, "theirs", &[("k", b"ours")]).await;
    world.patch(NS, "theirs", json!({"metadata": {"finalizers": null}})).await;
}

/// With our label the watch sees it at once, so that nothing but the value can be what is missing.
async fn a_stray_annotation_does_nothing(world: &World) {
    let labels = json!({"app.kubernetes.io/managed-by": "tresor"});
    let adopt = |value: &str| json!({"metadata": {"annotations": {"tresor.dev/adopt": value}}});
    let meta = json!({"name": "stray", "labels": labels});
    world.create(NS, json!({"metadata": meta, "data": {"k": "eA=="}})).await;
    world.fake.put("adopt", "stray", 31, "Opaque", &[("k", b"ours")]);
    world.stands(31, ProjectionState::Conflict).await;
    for stray in ["true", "secret://test/default/adopt", "secret://test/default/adopt/other"] {
        world.patch(NS, "stray", adopt(stray)).await;
        world.quiet().await;
        let data = world.get(NS, "stray").await.unwrap().data;
        assert_eq!(data, Some(bytes(&[("k", b"x")])), "{stray}");
    }
    world.patch(NS, "stray", adopt("secret://test/default/adopt/stray")).await;
    world.holds(NS, "stray", &[("k", b"ours")]).await;
    world.synced(31).await;
}

async fn what_could_only_be_deleted_is_left_alone(world: &World) {
    let labels = json!({"app.kubernetes.io/managed-by": "tresor"});
    let adopt = json!({"tresor.dev/adopt": "secret://test/default/adopt/typed"});
    let meta = json!({"name": "typed", "labels": labels, "annotations": adopt});
    world.create(NS, json!({"metadata": meta, "type": "example.com/other"})).await;
    let before = world.get(NS, "typed").await;
    world.fake.put("adopt", "typed", 32, "Opaque", &[("k", b"ours")]);
    world.stands(32, ProjectionState::Conflict).await;
    assert!(world.status(32).unwrap().message.unwrap().contains("another type"));
    world.quiet().await;
    assert_eq!(world.get(NS, "typed").await, before);
}
