//! A secret without a live version goes; one that lives again is not held back by its tombstone.

use domain::Retired;

use crate::support::{World, secret_path, uid};

fn tombstone() -> Retired {
    Retired::Secret { path: secret_path("undelete", "hf"), uid: uid(10) }
}

pub(crate) async fn all(world: &World) {
    world.make_namespace("undelete").await;
    world.fake.rules("undelete", &["undelete"]);
    world.fake.put("undelete", "hf", 10, "Opaque", &[("k", b"v")]);
    world.holds("undelete", "hf", &[("k", b"v")]).await;

    world.fake.together(|fake| {
        fake.retract(10);
        fake.entomb(tombstone());
    });
    world.removed(&tombstone()).await;
    assert!(world.get("undelete", "hf").await.is_none());
    world.fake.undelete(10);
    world.holds("undelete", "hf", &[("k", b"v")]).await;
    world.synced(10).await;

    // Whichever the order, and also from a snapshot.
    stays(world, |world| {
        world.fake.retract(10);
        world.fake.entomb(tombstone());
        world.fake.undelete(10);
    })
    .await;
    stays(world, |world| {
        world.fake.retract(10);
        world.fake.undelete(10);
        world.fake.entomb(tombstone());
    })
    .await;
    stays(world, |world| {
        world.fake.entomb(tombstone());
        world.fake.retract(10);
        world.fake.undelete(10);
        world.fake.forget_history();
    })
    .await;
}

/// The copy is never deleted, and the stale tombstone does not linger.
async fn stays(world: &World, change: impl FnOnce(&World)) {
    let before = world.get("undelete", "hf").await.unwrap().metadata.uid;
    let confirmed = world.fake.times_removed(&tombstone());
    world.fake.together(|_| change(world));
    world
        .until("the stale tombstone is confirmed", async || {
            world.fake.times_removed(&tombstone()) > confirmed
        })
        .await;
    world.synced(10).await;
    assert_eq!(world.get("undelete", "hf").await.unwrap().metadata.uid, before);
}
