//! What every handler shares, and how it gets to the vault.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::{Problem, ProblemKind, SyncStatus};
use audit::AuditLog;
use authz::Actor;
use prometheus_client::collector::Collector;
use tokio::sync::Semaphore;
use vault::{Vault, VaultError};

use crate::answer::problem;
use crate::audit::Unknown;
use crate::caller::Caller;
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::surface::Mounted;

/// How many requests wait for a password to be hashed, those included that hash: each holds a
/// thread, and whoever has no password must not be able to hold all of them.
const MAX_HASHING: usize = 16;

/// The service behind the routes. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    vault: Arc<Vault>,
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    worker: Arc<dyn SyncControl>,
    audit: Arc<AuditLog>,
    /// The audit log's file, for those who may read it.
    audit_file: Option<Arc<Path>>,
    /// Where the root key comes from, for those who look after it.
    root_key_source: Option<Arc<str>>,
    limits: Limits,
    /// Who may wait for a password to be hashed.
    hashing: Arc<Semaphore>,
    /// Requests of nobody known.
    unknown: Arc<Unknown>,
    /// The platforms' interfaces that are switched on.
    surfaces: Option<Arc<Mounted>>,
    /// Whether `/metrics` is served beside everything else, and not on an address of its own.
    serves_metrics: bool,
    /// Held by who reads the whole store.
    whole_store: Arc<Semaphore>,
}

/// The worker that projects into Kubernetes, as far as requests reach it.
pub trait SyncControl: surfaces::Jobs {
    /// How it stands.
    fn status(&self) -> SyncStatus;

    /// Lets it do what its brake holds back at this moment.
    fn release_brake(&self);
}

/// How much the daemon takes at once, and how long a watch lasts.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections that are served at once; more wait to be accepted.
    pub connections: usize,
    /// Requests that are served at once, over all connections. Watches do not count.
    pub requests: usize,
    /// The longest that a watch lasts; its client goes on with another.
    pub watch: Duration,
    /// How often a watch is told how far it has come.
    pub bookmark: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2048,
            requests: 256,
            watch: Duration::from_secs(3600),
            bookmark: Duration::from_secs(30),
        }
    }
}

impl App {
    /// A service over a vault, which shows the metrics of others in the house too.
    pub fn new(
        vault: Arc<Vault>,
        worker: Arc<dyn SyncControl>,
        limits: Limits,
        others: Vec<Box<dyn Collector>>,
    ) -> Self {
        let hub = Hub::new();
        let metrics = Arc::new(Metrics::new(vault.clone(), hub.clone(), others));
        let hashing = Arc::new(Semaphore::new(MAX_HASHING));
        let (audit, audit_file) = (AuditLog::disabled(), None);
        Self(Arc::new(Inner {
            vault,
            hub,
            metrics,
            worker,
            audit,
            audit_file,
            root_key_source: None,
            limits,
            hashing,
            unknown: Arc::new(Unknown::default()),
            surfaces: None,
            serves_metrics: true,
            whole_store: Arc::new(Semaphore::new(1)),
        }))
    }

    /// The same service, which writes down what it is asked.
    #[must_use]
    pub fn with_audit(mut self, log: Arc<AuditLog>, file: Option<PathBuf>) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        inner.audit = log;
        inner.audit_file = file.map(Into::into);
        self
    }

    /// The same service, which tells where the root key comes from.
    #[must_use]
    pub fn with_root_key_source(mut self, source: String) -> Self {
        Arc::make_mut(&mut self.0).root_key_source = Some(source.into());
        self
    }

    /// The same service, which answers platforms' clients too.
    #[must_use]
    pub fn with_surfaces(mut self, mounted: Mounted) -> Self {
        Arc::make_mut(&mut self.0).surfaces = Some(Arc::new(mounted));
        self
    }

    pub(crate) fn surfaces(&self) -> Option<&Arc<Mounted>> {
        self.0.surfaces.as_ref()
    }

    pub(crate) fn unknown(&self) -> &Unknown {
        &self.0.unknown
    }

    pub(crate) fn audit(&self) -> &Arc<AuditLog> {
        &self.0.audit
    }

    pub(crate) fn audit_file(&self) -> Option<Arc<Path>> {
        self.0.audit_file.clone()
    }

    /// The same service without `/metrics`, which has an address of its own.
    #[must_use]
    pub fn without_metrics(mut self) -> Self {
        Arc::make_mut(&mut self.0).serves_metrics = false;
        self
    }

    /// One at a time reads the whole store.
    pub(crate) fn whole_store(&self) -> &Arc<Semaphore> {
        &self.0.whole_store
    }

    pub(crate) fn root_key_source(&self) -> Option<Arc<str>> {
        self.0.root_key_source.clone()
    }

    pub(crate) fn vault(&self) -> &Vault {
        &self.0.vault
    }

    pub(crate) fn shared_vault(&self) -> Arc<Vault> {
        self.0.vault.clone()
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.0.hub
    }

    pub(crate) fn worker(&self) -> &Arc<dyn SyncControl> {
        &self.0.worker
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    pub(crate) fn serves_metrics(&self) -> bool {
        self.0.serves_metrics
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Runs an act on a thread that may block. When the caller's rights changed between decision
    /// and commit, the act is decided once more, on the rights as they are now.
    pub(crate) async fn act<T: Send + 'static>(
        &self,
        caller: Caller,
        act: impl Fn(&Vault, &Actor) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Problem> {
        let vault = self.0.vault.clone();
        let done = tokio::task::spawn_blocking(move || {
            // Anew, since the body and the queue may have taken their time.
            let decide = || caller.credential.actor(&vault).ok_or_else(unauthorized);
            let mut result = act(&vault, &decide()?);
            if matches!(result, Err(Refused::Vault(VaultError::RightsChanged))) {
                result = act(&vault, &decide()?);
            }
            result.map_err(problem)
        });
        done.await.unwrap_or_else(|_| Err(defect()))
    }

    /// Runs an act that reads a few records, on the thread that serves the request: handing it to
    /// another and back costs more than the act. It waits for no commit; at worst a page of the
    /// store comes from the disk, for which there are more workers than cores. The caller was identified
    /// a moment ago, and nothing was waited for since.
    pub(crate) fn look<T>(
        &self,
        caller: &Caller,
        act: impl FnOnce(&Vault, &Actor) -> Result<T, Refused>,
    ) -> Result<T, Problem> {
        let look = || act(&self.0.vault, &caller.actor).map_err(problem);
        catch_unwind(AssertUnwindSafe(look)).unwrap_or_else(|_| Err(defect()))
    }
}

/// A panic is a defect of ours; it ends one request and no other.
fn defect() -> Problem {
    Problem::new(ProblemKind::Internal, "The daemon met a defect of its own; see its log.")
}

impl App {
    /// Runs what may hash a password, on a thread that may block; not more at once than there are
    /// places.
    pub(crate) async fn hash<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Vault) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let Ok(_place) = self.0.hashing.clone().try_acquire_owned() else {
            return Err(VaultError::Overloaded);
        };
        let vault = self.0.vault.clone();
        let done = tokio::task::spawn_blocking(move || act(&vault)).await;
        done.unwrap_or(Err(VaultError::Overloaded))
    }

    /// A place among those who may hash a password.
    pub(crate) fn place_to_hash(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        self.0.hashing.clone().try_acquire_owned().ok()
    }
}

/// Why an act was refused: by decision, or by what it met.
#[derive(Debug)]
pub(crate) enum Refused {
    Denied(authz::Denied),
    Problem(Problem),
    Vault(VaultError),
}

impl From<authz::Denied> for Refused {
    fn from(denied: authz::Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<VaultError> for Refused {
    fn from(error: VaultError) -> Self {
        Self::Vault(error)
    }
}

impl From<domain::Invalid> for Refused {
    fn from(invalid: domain::Invalid) -> Self {
        Self::Problem(Problem::invalid(&invalid))
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

pub(crate) fn unauthorized() -> Problem {
    let detail = "Send a valid token in the header `Authorization: Bearer TOKEN`, or a name and password as HTTP Basic.";
    Problem::new(ProblemKind::Unauthorized, detail)
}
