//! A store that was put back to an earlier state replaces and deletes nothing that is of a later
//! one until somebody says to go on.

use domain::{ProjectionMode::Merged, ProjectionState, Retired};

use crate::support::{World, secret_path, uid};

const NS: &str = "rollback";

fn revived() -> Retired {
    Retired::Secret { path: secret_path("back", "revived"), uid: uid(93) }
}

pub(crate) async fn all(world: &World) {
    world.make_namespace(NS).await;
    a_store_that_is_put_back_waits_for_a_release(world).await;
    a_restart_alone_is_no_rollback(world).await;
    a_secret_that_is_put_back_alone_waits_too(world).await;
    world.fake.clear();
}

async fn a_store_that_is_put_back_waits_for_a_release(world: &World) {
    let worker = world.start_worker(&world.admin);
    world.fake.rules("back", &[NS]);
    world.fake.rule("back-env", &[(Merged, NS, "{project}")]);
    world.fake.put("back", "hf", 90, "Opaque", &[("k", b"earlier")]);
    world.fake.variable("back-env", "V", 91, b"earlier");
    world.fake.put("back", "revived", 93, "Opaque", &[("k", b"v")]);
    synced(world, &[90, 91, 93]).await;
    worker.stop().await;
    // It is backed up when a secret is deleted, which lives again in the future that is lost.
    world.fake.retract(93);
    world.fake.entomb(revived());
    let backup = world.fake.backup();
    world.fake.undelete(93);
    world.fake.put("back", "hf", 90, "Opaque", &[("k", b"later")]);
    world.fake.variable("back-env", "V", 91, b"later");
    let last = world.fake.newest(91).unwrap().1;
    let worker = world.start_worker(&world.admin);
    synced(world, &[90, 91, 93]).await;
    assert_eq!(world.fake.suspected(), None);
    worker.stop().await;

    world.fake.put_back(backup);
    let worker = world.start_worker(&world.admin);
    for n in [90, 91, 93] {
        world.stands(n, ProjectionState::RolledBack).await;
    }
    assert_eq!(world.fake.suspected(), Some(last));
    // Neither a change of the store nor that it comes as far again lets the old replace the new.
    for n in 0..8u8 {
        world.fake.put("back", "other", 94, "Opaque", &[("k", &[n])]);
    }
    world.fake.variable("back-env", "V", 91, b"earlier, changed");
    world.synced(94).await;
    assert!(world.fake.newest(91).unwrap().1 > last);
    world.quiet().await;
    world.holds(NS, "hf", &[("k", b"later")]).await;
    world.holds(NS, "back-env", &[("V", b"later")]).await;
    world.holds(NS, "revived", &[("k", b"v")]).await;
    assert!(!world.fake.is_removed(&revived()));
    assert_eq!(worker.metrics.deletes(), 0);

    worker.brake.release();
    synced(world, &[90, 91]).await;
    world.removed(&revived()).await;
    world.holds(NS, "hf", &[("k", b"earlier")]).await;
    world.holds(NS, "back-env", &[("V", b"earlier, changed")]).await;
    assert!(world.get(NS, "revived").await.is_none());
    world.fake.put("back", "hf", 90, "Opaque", &[("k", b"new")]);
    world.holds(NS, "hf", &[("k", b"new")]).await;
    worker.stop().await;
}

async fn a_restart_alone_is_no_rollback(world: &World) {
    world.fake.put_back(world.fake.backup());
    let worker = world.start_worker(&world.admin);
    synced(world, &[90, 91, 94]).await;
    assert_eq!((world.fake.suspected(), worker.metrics.writes()), (None, 0));
    worker.stop().await;
}

/// The store goes on; one record of it is that of before.
async fn a_secret_that_is_put_back_alone_waits_too(world: &World) {
    let backup = world.fake.backup();
    world.fake.put("back", "hf", 90, "Opaque", &[("k", b"later")]);
    let last = world.fake.newest(90).unwrap().1;
    let worker = world.start_worker(&world.admin);
    synced(world, &[90]).await;
    worker.stop().await;
    world.fake.put("back", "other", 94, "Opaque", &[("k", b"goes on")]);
    world.fake.put_back_only(90, &backup);
    let worker = world.start_worker(&world.admin);
    world.stands(90, ProjectionState::RolledBack).await;
    world.synced(94).await;
    assert_eq!(world.fake.suspected(), Some(last));
    world.holds(NS, "hf", &[("k", b"later")]).await;
    // Who deletes the copy has also said what to do.
    world.delete(NS, "hf").await;
    world.holds(NS, "hf", &[("k", b"new")]).await;
    worker.stop().await;
}

async fn synced(world: &World, secrets: &[u8]) {
    for n in secrets {
        world.synced(*n).await;
    }
}
