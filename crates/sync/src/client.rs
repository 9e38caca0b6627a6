//! How the worker reaches a cluster.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// A client for a cluster.
pub use kube::Client;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

/// Why there is no client for a cluster. The causes may quote the configuration, which may hold
/// credentials; they are in `source()` and not in the message.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The process does not run in a pod with a service account.
    #[error("no service account of a pod is found here")]
    InCluster(#[source] kube::config::InClusterError),
    /// The kubeconfig cannot be read or names something it does not define.
    #[error("the kubeconfig {path} cannot be used")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: kube::config::KubeconfigError,
    },
    /// What the configuration says cannot be turned into a connection.
    #[error("the cluster's configuration cannot be used")]
    Unusable(#[source] kube::Error),
}

/// A client for the current context of that kubeconfig, and of no other: neither `KUBECONFIG` nor
/// `~/.kube/config` is looked at, so that nobody's cluster is touched by accident.
///
/// # Errors
/// When the file cannot be read or used; nothing is dialled yet.
pub async fn client_from_kubeconfig(path: &Path) -> Result<Client, ClientError> {
    let refuse = |source| ClientError::Kubeconfig { path: path.to_owned(), source };
    let kubeconfig = Kubeconfig::read_from(path).map_err(refuse)?;
    let options = KubeConfigOptions::default();
    connect(Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(refuse)?)
}

/// A client for the cluster that this process runs in, with its pod's service account. Must be
/// called on a Tokio runtime.
///
/// # Errors
/// When there is no service account; nothing is dialled yet.
pub fn client_in_cluster() -> Result<Client, ClientError> {
    connect(Config::incluster().map_err(ClientError::InCluster)?)
}

fn connect(mut config: Config) -> Result<Client, ClientError> {
    // The worker retries by itself, so that each attempt shows in a state.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    // A watch is ended by the server before this; anything else that is silent for so long is dead.
    config.read_timeout = Some(Duration::from_secs(45));
    config.reset_reader_on_write = true;
    Client::try_from(config).map_err(ClientError::Unusable)
}
