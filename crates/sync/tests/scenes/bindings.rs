//! Secrets that further projects use, and names that several want.

use domain::{ProjectionMode::Each, ProjectionState, Retired};

use crate::support::{World, namespace, project, secret_path, uid};

pub(crate) async fn all(world: &World) {
    for name in ["lend", "borrow", "shared"] {
        world.make_namespace(name).await;
    }
    a_binding_makes_a_copy_and_its_end_removes_that_one(world).await;
    what_two_projects_want_stays_until_neither_does(world).await;
    a_project_s_own_secret_comes_before_a_bound_one(world).await;
}

fn unbound(name: &str, n: u8, from: &str) -> Retired {
    Retired::Binding { path: secret_path("lender", name), uid: uid(n), project: project(from) }
}

async fn a_binding_makes_a_copy_and_its_end_removes_that_one(world: &World) {
    world.fake.rules("lender", &["lend"]);
    world.fake.rule("borrower", &[(Each, "borrow", "{project}-{name}")]);
    world.fake.put("lender", "hf", 1, "Opaque", &[("k", b"v")]);
    world.holds("lend", "hf", &[("k", b"v")]).await;
    world.fake.bind(1, &["borrower"]);
    world.holds("borrow", "borrower-hf", &[("k", b"v")]).await;
    let mark = async |key| world.annotation("borrow", "borrower-hf", key).await;
    assert_eq!(mark("tresor.dev/source").await, "secret://test/default/lender/hf");
    assert_eq!(mark("tresor.dev/project").await, "default/borrower");
    world.fake.put("lender", "hf", 1, "Opaque", &[("k", b"v2")]);
    world.holds("borrow", "borrower-hf", &[("k", b"v2")]).await;

    world.fake.bind(1, &[]);
    world.quiet().await;
    assert!(world.get("borrow", "borrower-hf").await.is_some(), "deleted without a tombstone");
    world.fake.entomb(unbound("hf", 1, "borrower"));
    world.removed(&unbound("hf", 1, "borrower")).await;
    assert!(world.get("borrow", "borrower-hf").await.is_none());
    assert!(world.get("lend", "hf").await.is_some(), "the home's own copy was deleted");
}

async fn what_two_projects_want_stays_until_neither_does(world: &World) {
    world.fake.rules("friend", &["lend"]);
    world.fake.bind(1, &["friend"]);
    let made = world.get("lend", "hf").await.unwrap().metadata.uid;
    let rule = Retired::Rule { project: project("lender"), namespace: namespace("lend") };
    world.fake.together(|fake| {
        fake.rules("lender", &[]);
        fake.entomb(rule.clone());
    });
    world.removed(&rule).await;
    // The tombstone is confirmed only when the copy says whose rule it is by now.
    assert_eq!(world.annotation("lend", "hf", "tresor.dev/project").await, "default/friend");
    assert_eq!(world.get("lend", "hf").await.unwrap().metadata.uid, made);

    world.fake.together(|fake| {
        fake.bind(1, &[]);
        fake.entomb(unbound("hf", 1, "friend"));
    });
    world.removed(&unbound("hf", 1, "friend")).await;
    assert!(world.get("lend", "hf").await.is_none());
}

async fn a_project_s_own_secret_comes_before_a_bound_one(world: &World) {
    world.fake.rules("own", &["shared"]);
    world.fake.put("lender", "token", 2, "Opaque", &[("k", b"bound")]);
    world.fake.bind(2, &["own"]);
    world.holds("shared", "token", &[("k", b"bound")]).await;
    world.fake.put("own", "token", 3, "Opaque", &[("k", b"own")]);
    world.holds("shared", "token", &[("k", b"own")]).await;
    world.synced(3).await;
    world.stands(2, ProjectionState::NameTaken).await;

    let what = Retired::Secret { path: secret_path("own", "token"), uid: uid(3) };
    world.fake.together(|fake| {
        fake.remove("own", "token", 3);
        fake.entomb(what.clone());
    });
    world.holds("shared", "token", &[("k", b"bound")]).await;
    world.removed(&what).await;
    world.synced(2).await;
}
