//! Of several replicas one acts.

use std::sync::Arc;

use domain::ProjectionState;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use sync::LeaseName;
use tokio::runtime::{Builder, Runtime};

use crate::support::{Fake, Running, World, until};

const NS: &str = "lease";

pub(crate) async fn all(world: &World) {
    world.make_namespace(NS).await;
    let (first, second) = (replica(), replica());
    let kill = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let leader = start_on(&kill, world, &first).await;
    leads(&leader).await;
    synced(&first).await;
    let other = start(world, &second);
    only_one_acts(world, &first, &second, &other).await;
    // As a kill does, this leaves no time to release the lease.
    kill.shutdown_background();
    second.put("p", "hf", 1, "Opaque", &[("k", b"after")]);
    leads(&other).await;
    world.holds(NS, "hf", &[("k", b"after")]).await;
    synced(&second).await;

    who_is_not_the_holder_any_more_stops(world, &second, &other).await;
    other.stop().await;
    let holder = lease(world).get("sync").await.unwrap().spec.unwrap().holder_identity;
    assert_eq!(holder.as_deref(), Some(""), "not released");
}

/// Each replica has its own source, which says the same.
fn replica() -> Arc<Fake> {
    let fake = Fake::new();
    fake.rules("p", &[NS]);
    fake.put("p", "hf", 1, "Opaque", &[("k", b"v")]);
    fake
}

fn start(world: &World, fake: &Arc<Fake>) -> Running {
    let lease = LeaseName::parse("lease/sync").unwrap();
    Running::start_as(fake, Some(world.admin.clone()), |worker| worker.with_lease(lease, "host"))
}

async fn start_on(runtime: &Runtime, world: &World, fake: &Arc<Fake>) -> Running {
    // The client's own task must die with it, too.
    let (lease, fake) = (LeaseName::parse("lease/sync").unwrap(), Arc::clone(fake));
    let kubeconfig = world.kubeconfig.clone();
    let start = async move {
        let client = sync::client_from_kubeconfig(&kubeconfig).await.unwrap();
        Running::start_as(&fake, Some(client), |worker| worker.with_lease(lease, "host"))
    };
    runtime.spawn(start).await.unwrap()
}

async fn leads(worker: &Running) {
    until("it leads", async || worker.metrics.is_leader()).await;
}

async fn synced(fake: &Fake) {
    until("it is in sync", async || {
        fake.status(1)
            .is_some_and(|s| s.state == ProjectionState::Synced && s.synced == fake.newest(1))
    })
    .await;
}

async fn follows(fake: &Fake) {
    until("it follows", async || {
        fake.status(1).is_some_and(|status| {
            let message = status.message.unwrap_or_default();
            status.state == ProjectionState::Pending && message.contains("another replica leads")
        })
    })
    .await;
}

fn lease(world: &World) -> Api<Lease> {
    Api::namespaced(world.admin.clone(), NS)
}

async fn only_one_acts(world: &World, first: &Fake, second: &Fake, other: &Running) {
    follows(second).await;
    for fake in [second, first] {
        fake.put("p", "hf", 1, "Opaque", &[("k", b"v2")]);
    }
    world.holds(NS, "hf", &[("k", b"v2")]).await;
    synced(first).await;
    follows(second).await;
    assert!(!other.metrics.is_leader());
    assert_eq!(other.metrics.writes(), 0);
}

async fn who_is_not_the_holder_any_more_stops(world: &World, fake: &Fake, worker: &Running) {
    // A record that is written between two renewals, so that ours meets a conflict or the thief.
    let thief = json!({"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 3600}});
    let (api, params) = (lease(world), PatchParams::default());
    api.patch("sync", &params, &Patch::Merge(thief)).await.unwrap();
    follows(fake).await;
    assert!(!worker.metrics.is_leader());
    api.delete("sync", &DeleteParams::default()).await.unwrap();
    leads(worker).await;
    synced(fake).await;
}
