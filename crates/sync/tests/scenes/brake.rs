//! Mass deletion waits for a person, and nothing else does.

use domain::{ProjectionMode::Merged, ProjectionState, Retired};
use serde_json::{Value, json};

use crate::support::{Running, World, secret_path, uid};

const NS: &str = "brake";

pub(crate) async fn all(world: &World) {
    world.make_namespace(NS).await;
    let worker = world.start_cautious_worker(3);
    more_deletions_than_allowed_wait_for_a_release(world, &worker).await;
    what_waits_for_a_finalizer_is_not_counted(world).await;
    what_is_withdrawn_holds_nothing_back(world, &worker).await;
    a_merged_copy_keeps_its_entries_until_a_release(world, &worker).await;
    entries_that_were_deleted_go_without_one(world).await;
    worker.stop().await;
    world.fake.clear();
}

fn gone(n: u8) -> Retired {
    Retired::Secret { path: secret_path("brake", &format!("s{n}")), uid: uid(n) }
}

async fn more_deletions_than_allowed_wait_for_a_release(world: &World, worker: &Running) {
    world.fake.rules("brake", &[NS]);
    for n in 40..45 {
        world.fake.put("brake", &format!("s{n}"), n, "Opaque", &[("k", b"v")]);
        world.synced(n).await;
    }
    world.fake.together(|fake| {
        for n in 40..45 {
            fake.remove("brake", &format!("s{n}"), n);
            fake.entomb(gone(n));
        }
    });
    for n in 40..45 {
        world.stands(n, ProjectionState::Braked).await;
    }
    world.fake.put("brake", "other", 46, "Opaque", &[("k", b"v")]);
    world.synced(46).await;
    world.quiet().await;
    for n in 40..45 {
        assert!(world.get(NS, &format!("s{n}")).await.is_some(), "deleted in spite of the brake");
        assert!(!world.fake.is_removed(&gone(n)));
    }
    assert_eq!((worker.metrics.braked(), worker.metrics.deletes()), (5, 0));
    assert_eq!(worker.metrics.projections(ProjectionState::Braked), 5);

    worker.brake.release();
    for n in 40..45 {
        world.removed(&gone(n)).await;
        assert!(world.get(NS, &format!("s{n}")).await.is_none());
        world.until("it is forgotten", async || world.status(n).is_none()).await;
    }
    assert_eq!((worker.metrics.braked(), worker.metrics.deletes()), (0, 5));
}

/// It was deleted before, so that it does not stand in the way of one more.
async fn what_waits_for_a_finalizer_is_not_counted(world: &World) {
    let finalizers = |list: Value| json!({"metadata": {"finalizers": list}});
    for n in 80..84 {
        world.fake.put("brake", &format!("s{n}"), n, "Opaque", &[("k", b"v")]);
        world.synced(n).await;
    }
    for n in 80..83 {
        world.patch(NS, &format!("s{n}"), finalizers(json!(["example.com/hold"]))).await;
        bury(world, n);
        world
            .until("it is deleted and held", async || {
                let secret = world.get(NS, &format!("s{n}")).await;
                secret.is_some_and(|secret| secret.metadata.deletion_timestamp.is_some())
            })
            .await;
    }
    bury(world, 83);
    world.removed(&gone(83)).await;
    for n in 80..83 {
        world.patch(NS, &format!("s{n}"), finalizers(Value::Null)).await;
        world.removed(&gone(n)).await;
    }
}

fn bury(world: &World, n: u8) {
    world.fake.together(|fake| {
        fake.remove("brake", &format!("s{n}"), n);
        fake.entomb(gone(n));
    });
}

async fn what_is_withdrawn_holds_nothing_back(world: &World, worker: &Running) {
    for n in 70..74 {
        world.fake.put("brake", &format!("s{n}"), n, "Opaque", &[("k", b"v")]);
        world.synced(n).await;
    }
    world.fake.together(|fake| {
        for n in 70..74 {
            fake.remove("brake", &format!("s{n}"), n);
            fake.entomb(gone(n));
        }
    });
    world.until("they are held", async || worker.metrics.braked() == 4).await;
    world.fake.withdraw_tombstones();
    world.until("nothing is held", async || worker.metrics.braked() == 0).await;
    for n in 70..74 {
        world.until("it is forgotten", async || world.status(n).is_none()).await;
        assert!(world.get(NS, &format!("s{n}")).await.is_some(), "deleted without a tombstone");
    }
}

async fn a_merged_copy_keeps_its_entries_until_a_release(world: &World, worker: &Running) {
    fill(world).await;
    world.fake.together(|fake| (50..58).for_each(|n| fake.remove("env", &format!("V{n}"), n)));
    world.stands(58, ProjectionState::Braked).await;
    world.quiet().await;
    assert_eq!(entries(world).await, 12);
    assert_eq!(worker.metrics.braked(), 1);
    worker.brake.release();
    world.synced(58).await;
    assert_eq!(entries(world).await, 4);
    world.until("nothing is held", async || worker.metrics.braked() == 0).await;
}

async fn entries_that_were_deleted_go_without_one(world: &World) {
    fill(world).await;
    let what = |n| Retired::Secret { path: secret_path("env", &format!("V{n}")), uid: uid(n) };
    world.fake.together(|fake| {
        for n in 50..58 {
            fake.remove("env", &format!("V{n}"), n);
            fake.entomb(what(n));
        }
    });
    for n in 50..58 {
        world.removed(&what(n)).await;
    }
    assert_eq!(entries(world).await, 4);
}

async fn fill(world: &World) {
    world.fake.rule("env", &[(Merged, NS, "{project}")]);
    world.fake.together(|fake| {
        (50..62).for_each(|n| fake.variable("env", &format!("V{n}"), n, b"v"));
    });
    for n in 50..62 {
        world.synced(n).await;
    }
    assert_eq!(entries(world).await, 12);
}

async fn entries(world: &World) -> usize {
    world.get(NS, "env").await.unwrap().data.unwrap_or_default().len()
}
