//! One Kubernetes Secret for all variables of a project.

use std::time::{Duration, Instant};

use domain::{ProjectionMode::Merged, ProjectionState, Retired};
use kube::api::DeleteParams;
use serde_json::json;

use crate::CANARY;
use crate::support::{Running, World, namespace, project, secret_path, uid};

const NS: &str = "merged";
const COPY: &str = "env-m";

pub(crate) async fn all(world: &World, worker: &Running) {
    world.make_namespace(NS).await;
    entries_come_change_and_go(world).await;
    drift_is_repaired(world).await;
    a_key_has_one_secret(world).await;
    what_does_not_fit_is_shown_and_the_rest_is_there(world).await;
    many_changes_are_few_writes(world, worker).await;
    the_last_entry_leaves_an_empty_secret(world).await;
    a_rule_s_end_removes_the_copy(world).await;
}

fn gone(name: &str, n: u8) -> Retired {
    Retired::Secret { path: secret_path("m", name), uid: uid(n) }
}

async fn bury(world: &World, name: &str, n: u8) {
    world.fake.together(|fake| {
        fake.retract(n);
        fake.entomb(gone(name, n));
    });
    world.removed(&gone(name, n)).await;
}

async fn entries_come_change_and_go(world: &World) {
    world.fake.rule("m", &[(Merged, NS, "env-{project}")]);
    world.fake.put("m", "opaque", 20, "Opaque", &[("k", b"v")]);
    world.quiet().await;
    assert!(world.get(NS, COPY).await.is_none(), "made without an entry");

    world.fake.variable("m", "A", 21, CANARY.as_bytes());
    world.holds(NS, COPY, &[("A", CANARY.as_bytes())]).await;
    assert_eq!(world.synced(21).await, COPY);
    let secret = world.get(NS, COPY).await.unwrap();
    assert_eq!(secret.type_.as_deref(), Some("Opaque"));
    let mark = async |key| world.annotation(NS, COPY, key).await;
    assert_eq!(mark("tresor.dev/source").await, "secret://test/default/m");
    assert_eq!(mark("tresor.dev/entries").await, "1");
    assert_eq!(mark("tresor.dev/version").await, "");

    world.fake.variable("m", "dir/B", 22, b"b");
    world.fake.variable("lender", "C", 23, b"c");
    world.fake.bind(23, &["m"]);
    world.fake.variable("m", "A", 21, b"a2");
    let key = "dir-B-".to_owned() + &domain::short_hash("dir/B");
    world.holds(NS, COPY, &[("A", b"a2"), ("C", b"c"), (&key, b"b")]).await;
    for n in [21, 22, 23] {
        world.synced(n).await;
    }

    // The tombstone is confirmed only when the entry is gone.
    bury(world, "dir/B", 22).await;
    let data = world.get(NS, COPY).await.unwrap().data.unwrap();
    assert!(!data.contains_key(&key), "confirmed while the entry was still there");
    world.fake.bind(23, &[]);
    world.holds(NS, COPY, &[("A", b"a2")]).await;
}

async fn drift_is_repaired(world: &World) {
    world.patch(NS, COPY, json!({"data": {"A": "eA=="}})).await;
    world.holds(NS, COPY, &[("A", b"a2")]).await;
    world.patch(NS, COPY, json!({"data": {"theirs": "eA=="}})).await;
    world.holds(NS, COPY, &[("A", b"a2")]).await;
    world.secrets(NS).delete(COPY, &DeleteParams::default()).await.unwrap();
    world.holds(NS, COPY, &[("A", b"a2")]).await;
}

async fn a_key_has_one_secret(world: &World) {
    world.fake.variable("lender", "A", 5, b"older but bound");
    world.fake.bind(5, &["m"]);
    world.stands(5, ProjectionState::NameTaken).await;
    world.quiet().await;
    world.holds(NS, COPY, &[("A", b"a2")]).await;
    world.fake.bind(5, &[]);
    world.until("it is no candidate any more", async || world.status(5).is_none()).await;
}

async fn what_does_not_fit_is_shown_and_the_rest_is_there(world: &World) {
    let (large, larger) = (vec![b'x'; 700_000], vec![b'y'; 400_000]);
    world.fake.together(|fake| {
        fake.variable("m", "L", 24, &large);
        fake.variable("m", "M", 25, &larger);
        fake.variable("m", "S", 26, b"s");
    });
    world.holds(NS, COPY, &[("A", b"a2"), ("L", &large), ("S", b"s")]).await;
    world.stands(25, ProjectionState::TooLarge).await;
    world.synced(24).await;
    world.synced(26).await;
    bury(world, "L", 24).await;
    world.holds(NS, COPY, &[("A", b"a2"), ("M", &larger), ("S", b"s")]).await;
    world.synced(25).await;

    // Exactly what Kubernetes takes, by its own judgement.
    world.fake.variable("m", "M", 25, &vec![b'z'; (1 << 20) - 3]);
    world.synced(25).await;
    bury(world, "M", 25).await;
}

async fn many_changes_are_few_writes(world: &World, worker: &Running) {
    world.synced(21).await;
    let (before, began) = (worker.metrics.writes(), Instant::now());
    for n in 100..200 {
        world.fake.variable("m", &format!("V{n}"), n, &[n]);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for n in 100..200 {
        world.synced(n).await;
    }
    // One at once, then what comes within a fifth of a second together.
    let writes = u128::from(worker.metrics.writes() - before);
    assert!(writes <= began.elapsed().as_millis() / 200 + 1, "{writes} writes");
    assert_eq!(world.get(NS, COPY).await.unwrap().data.unwrap().len(), 102);
    assert!(worker.metrics.projections(ProjectionState::Synced) >= 102);
    assert!(worker.metrics.lags().counts.iter().sum::<u64>() > 0);

    let what: Vec<_> = (100..200).map(|n| gone(&format!("V{n}"), n)).collect();
    world.fake.together(|fake| {
        for (n, what) in (100..200).zip(&what) {
            fake.retract(n);
            fake.entomb(what.clone());
        }
    });
    world.holds(NS, COPY, &[("A", b"a2"), ("S", b"s")]).await;
    for what in &what {
        world.removed(what).await;
    }
}

async fn the_last_entry_leaves_an_empty_secret(world: &World) {
    bury(world, "A", 21).await;
    bury(world, "S", 26).await;
    let empty = world.get(NS, COPY).await.unwrap();
    assert_eq!(empty.data.unwrap_or_default().len(), 0);
    world.patch(NS, COPY, json!({"data": {"theirs": "eA=="}})).await;
    world
        .until("it is empty again", async || {
            world.get(NS, COPY).await.is_some_and(|s| s.data.unwrap_or_default().is_empty())
        })
        .await;
}

async fn a_rule_s_end_removes_the_copy(world: &World) {
    world.fake.rules("m", &[]);
    world.quiet().await;
    assert!(world.get(NS, COPY).await.is_some(), "deleted without a tombstone");
    let what = Retired::Rule { project: project("m"), namespace: namespace(NS) };
    world.fake.entomb(what.clone());
    world.removed(&what).await;
    assert!(world.get(NS, COPY).await.is_none());
}
