//! A running daemon: the store, the listener and the sync worker, started in order and stopped in
//! the reverse one.

use std::net::SocketAddr;
use std::sync::Arc;

use server::{App, Listener};
use store::{DataDir, SledEngine};
use sync::Worker;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::SystemClock;
use crate::failure::{Failure, chain};
use crate::init::{Opened, open};
use crate::root_key::Root;
use crate::settings::Settings;
use crate::source::InProcess;

/// A running daemon.
pub(crate) struct Daemon {
    pub(crate) address: SocketAddr,
    engine: Arc<SledEngine>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Daemon {
    /// Starts a daemon on a finished data directory. What can be refused without touching the
    /// store is refused first.
    pub(crate) async fn start(
        dir: DataDir,
        root: Root,
        settings: &Settings,
    ) -> Result<Self, Failure> {
        let listener = Listener::bind(settings.listen, settings.insecure_plain_http).await;
        let listener = listener.map_err(|error| Failure::new(chain(&error)))?;
        let address = listener.address().map_err(|error| Failure::new(error.to_string()))?;
        let kubernetes = match &settings.kubeconfig {
            Some(path) => Some(sync::client_from_kubeconfig(path).await),
            None if settings.in_cluster => Some(sync::client_in_cluster()),
            None => None,
        };
        let kubernetes = kubernetes.transpose().map_err(|error| Failure::new(chain(&error)))?;
        let opened = tokio::task::spawn_blocking(move || open(dir, root.unlock()));
        let Opened { engine, vault } =
            opened.await.map_err(|_| Failure::new("the store could not be opened"))??;
        let stop = watch::Sender::new(false);
        let source = Arc::new(InProcess(vault.clone()));
        let worker = Worker::new(
            source,
            kubernetes,
            settings.cluster_name.clone(),
            vault.store_id(),
            Arc::new(SystemClock),
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(listener.serve(App::new(vault.clone()), stopped(&stop)));
        tasks.spawn(worker.run(stopped(&stop)));
        Ok(Self { address, engine, stop, tasks })
    }

    /// The daemon's base address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves until `signal` completes. A listener or worker that ends before that has met a defect
    /// of ours; then the daemon ends too, so that whoever supervises it starts a whole one.
    pub(crate) async fn run(mut self, signal: impl Future<Output = ()>) -> Result<(), Failure> {
        let died = tokio::select! {
            () = signal => false,
            _ = self.tasks.join_next() => true,
        };
        self.stop().await?;
        if died {
            return Err(Failure::new("a part of the daemon ended by itself; see the log above"));
        }
        Ok(())
    }

    /// Lets requests in flight finish, then closes the store.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        self.stop.send_replace(true);
        // A task that panicked has said so; the store is closed all the same.
        while self.tasks.join_next().await.is_some() {}
        let engine = self.engine;
        let closed = tokio::task::spawn_blocking(move || engine.close()).await;
        Ok(closed.map_err(|_| Failure::new("the store could not be closed"))??)
    }
}

/// Completes when the daemon is to stop, or is gone.
fn stopped(stop: &watch::Sender<bool>) -> impl Future<Output = ()> + Send + 'static {
    let mut stop = stop.subscribe();
    async move {
        let _ = stop.wait_for(|stopped| *stopped).await;
    }
}
