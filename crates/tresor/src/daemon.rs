//! A running daemon: the store, the listener and the sync worker, started in order and stopped in
//! the reverse one.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use audit::AuditLog;
use prometheus_client::collector::Collector;
use server::{App, Limits, Listener, Mounted, OperatorSocket};
use store::{DataDir, SledEngine};
use sync::Worker;
use tokio::sync::watch;
use tokio::task::JoinSet;
use vault::Vault;

use crate::clock::SystemClock;
use crate::failure::{Failure, chain};
use crate::init::{Opened, open};
use crate::process_metrics::ProcessMetrics;
use crate::root_key::Root;
use crate::rotating::rotate_keys;
use crate::settings::Settings;
use crate::source::InProcess;
use crate::sync_control::{Jobber, WorkerHandle, WorkerMetrics};

/// A running daemon.
pub(crate) struct Daemon {
    pub(crate) address: SocketAddr,
    engine: Arc<SledEngine>,
    audit: Arc<AuditLog>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Daemon {
    /// Starts a daemon on a finished data directory. What can be refused without touching the
    /// store is refused first.
    pub(crate) async fn start(
        dir: DataDir,
        (root, root_key_source): (Root, String),
        settings: &Settings,
    ) -> Result<Self, Failure> {
        let listener = listen(settings.listen, settings.insecure_plain_http).await?;
        let address = listener.address().map_err(|error| Failure::new(error.to_string()))?;
        let kubernetes = match &settings.kubeconfig {
            Some(path) => Some(sync::client_from_kubeconfig(path).await),
            None if settings.in_cluster => Some(sync::client_in_cluster()),
            None => None,
        };
        let kubernetes = kubernetes.transpose().map_err(|error| Failure::new(chain(&error)))?;
        let metrics = match settings.metrics_listen {
            // Nothing secret travels there, so it may be seen from elsewhere.
            Some(address) => Some(listen(address, true).await?),
            None => None,
        };
        let (data_dir, of_it) = (dir.root().to_owned(), settings.clone());
        let opened = tokio::task::spawn_blocking(move || open(dir, root.unlock(), &of_it));
        let Opened { engine, vault, audit } =
            opened.await.map_err(|_| Failure::new("the store could not be opened"))??;
        let stop = watch::Sender::new(false);
        let socket = operator_socket(settings, &data_dir)?;
        tracing::info!(
            audit.key = hex(&vault.audit_key().bytes),
            "the audit log verifies with this public key; keep it elsewhere"
        );
        let source = Arc::new(InProcess { vault: vault.clone(), audit: audit.clone() });
        let jobber = kubernetes.clone().map(|client| {
            let runtime = tokio::runtime::Handle::current();
            Jobber { client, runtime }
        });
        let mut worker = Worker::new(
            source,
            kubernetes,
            settings.cluster_name.clone(),
            vault.store_id(),
            Arc::new(SystemClock),
        )
        .with_max_deletions(count(settings.max_deletions));
        if let Some(lease) = &settings.lease {
            worker = worker.with_lease(lease.clone(), &host_name());
        }
        let handle = WorkerHandle {
            cluster: settings.cluster_name.clone(),
            brake: worker.brake(),
            metrics: worker.metrics(),
            kubernetes: jobber,
        };
        let metrics_of_worker = WorkerMetrics(worker.metrics());
        let mut tasks = JoinSet::new();
        let others: Vec<Box<dyn Collector>> =
            vec![Box::new(metrics_of_worker), Box::new(ProcessMetrics)];
        let app = App::new(vault.clone(), Arc::new(handle), limits(settings), others);
        let app = app.with_surfaces(mounted(settings));
        let app = app.with_root_key_source(root_key_source);
        let mut app = app.with_audit(audit.clone(), settings.audit_file.below(&data_dir));
        if let Some(metrics) = metrics {
            tasks.spawn(metrics.serve_metrics(app.clone(), stopped(&stop)));
            app = app.without_metrics();
        }
        if let Some(socket) = socket {
            tasks.spawn(socket.serve(app.clone(), stopped(&stop)));
        }
        tasks.spawn(listener.serve(app, stopped(&stop)));
        tasks.spawn(purge_expired(vault.clone(), stopped(&stop)));
        tasks.spawn(rotate_keys(vault.clone(), audit.clone(), stopped(&stop)));
        tasks.spawn(write_usage(vault, stopped(&stop)));
        tasks.spawn(worker.run(stopped(&stop)));
        Ok(Self { address, engine, audit, stop, tasks })
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
        let (engine, audit) = (self.engine, self.audit);
        // The log first, so that the store's last word on it is that of the whole log.
        let closed = tokio::task::spawn_blocking(move || {
            if let Err(error) = audit.close() {
                tracing::error!(%error, "the end of the audit log was not signed");
            }
            engine.close()
        });
        let closed = closed.await;
        Ok(closed.map_err(|_| Failure::new("the store could not be closed"))??)
    }
}

async fn listen(address: SocketAddr, insecure_plain_http: bool) -> Result<Listener, Failure> {
    let bound = Listener::bind(address, insecure_plain_http).await;
    bound.map_err(|error| Failure::new(chain(&error)))
}

fn mounted(settings: &Settings) -> Mounted {
    let wanted =
        |surface: &&surfaces::Surface| settings.surfaces.0.iter().any(|name| name == surface.name);
    Mounted {
        surfaces: surfaces::surfaces().iter().copied().filter(wanted).collect(),
        settings: surfaces::Settings {
            cluster: settings.cluster_name.clone(),
            blueprints_project: settings.blueprints_project.0.clone(),
            blueprints_namespace: settings.blueprints_namespace.0.clone(),
            chariot_organization_project: settings.chariot_organization_project.0.clone(),
            safe_project: settings.safe_project.0.clone(),
            public_url: settings.public_url.as_ref().map(|url| url.0.clone()),
        },
    }
}

fn limits(settings: &Settings) -> Limits {
    Limits {
        connections: count(settings.max_connections),
        requests: count(settings.max_requests),
        watch: Duration::from_secs(settings.max_watch_seconds.into()),
        bookmark: Duration::from_secs(settings.bookmark_seconds.into()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// For people who look at the Lease; in a pod it is the pod's name.
fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

fn operator_socket(
    settings: &Settings,
    data_dir: &Path,
) -> Result<Option<OperatorSocket>, Failure> {
    let Some(path) = settings.operator_socket.below(data_dir) else { return Ok(None) };
    let shown = path.display().to_string();
    let bound = OperatorSocket::bind(path);
    bound.map(Some).map_err(|error| {
        Failure::new(format!(
            "the operator's socket {shown} cannot be made: {error}; name another with operator-socket, or none"
        ))
    })
}

/// Writes down what was read and shown: once a minute, and at the end.
async fn write_usage(vault: Arc<Vault>, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    let mut minutes = tokio::time::interval(Duration::from_secs(60));
    minutes.tick().await;
    let mut running = true;
    while running {
        tokio::select! {
            _ = minutes.tick() => {}
            () = &mut stop => running = false,
        }
        let vault = vault.clone();
        match tokio::task::spawn_blocking(move || vault.write_usage()).await {
            Ok(Ok(())) => {}
            // It is kept and tried again; the store's own failure is told elsewhere too.
            Ok(Err(error)) => {
                tracing::warn!(%error, "what was used when could not be written down");
            }
            Err(_) => return,
        }
    }
}

/// Purges what was deleted long enough ago, and tokens that have ended: when the daemon starts, and then once an hour.
async fn purge_expired(vault: Arc<Vault>, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    let mut hours = tokio::time::interval(Duration::from_secs(3600));
    loop {
        tokio::select! {
            _ = hours.tick() => {}
            () = &mut stop => return,
        }
        let vault = vault.clone();
        let purge = move || {
            if let Err(error) = vault.finish_removals() {
                tracing::warn!(%error, "removals of projects could not be gone on with");
            }
            Ok((vault.purge_expired()?, vault.purge_ended_tokens()?))
        };
        match tokio::task::spawn_blocking(purge).await {
            Ok(Ok((0, 0))) => {}
            Ok(Ok((secrets, tokens))) => tracing::info!(
                secrets.count = secrets,
                tokens.count = tokens,
                "deleted secrets and ended tokens were purged"
            ),
            // It is tried again in an hour; the store's own failure is told elsewhere too.
            Ok(Err(error)) => {
                let error: &vault::VaultError = &error;
                tracing::warn!(%error, "deleted secrets and ended tokens could not be purged");
            }
            Err(_) => return,
        }
    }
}

/// Completes when the daemon is to stop, or is gone.
fn stopped(stop: &watch::Sender<bool>) -> impl Future<Output = ()> + Send + 'static {
    let mut stop = stop.subscribe();
    async move {
        let _ = stop.wait_for(|stopped| *stopped).await;
    }
}
