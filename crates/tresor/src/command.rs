//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use crate::failure::Failure;
use crate::{demo, init, serve};

/// A secrets daemon for AI platforms on Kubernetes.
#[derive(Parser)]
#[command(name = "tresor", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print a new administrator's token; for when all are lost. The daemon must not be running.
    AdminToken(StoreArgs),
    /// Show the main job in a minute, with a throw-away daemon and, where found, a cluster.
    Demo,
    /// Make a store and print its first administrator's token, which is shown this once.
    Init(StoreArgs),
    /// Run the daemon.
    Serve(ServeArgs),
}

/// A data directory and the key to it.
#[derive(Args)]
pub struct StoreArgs {
    /// The directory that holds keyring and store.
    #[arg(long, env = "TRESOR_DATA_DIR")]
    pub data_dir: PathBuf,
    /// The file that holds the root key: 32 bytes in base64 or hexadecimal, mode 0600. Without it
    /// the key is taken from the environment variable TRESOR_ROOT_KEY.
    #[arg(long, env = "TRESOR_ROOT_KEY_FILE")]
    pub root_key_file: Option<PathBuf>,
}

/// How to run the daemon.
#[derive(Args)]
pub struct ServeArgs {
    /// A throw-away store and key, removed at the end; prints a token and a first curl.
    #[arg(long)]
    pub dev: bool,
    /// The directory that `tresor init` made.
    #[arg(long, env = "TRESOR_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// The file that holds the root key; else the environment variable TRESOR_ROOT_KEY does.
    #[arg(long, env = "TRESOR_ROOT_KEY_FILE")]
    pub root_key_file: Option<PathBuf>,
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, env = "TRESOR_LISTEN", default_value = "127.0.0.1:8220")]
    pub listen: SocketAddr,
    /// Listen on an address other than loopback although values then travel in the clear.
    #[arg(long, env = "TRESOR_INSECURE_PLAIN_HTTP")]
    pub insecure_plain_http: bool,
    /// The cluster to project into; never ~/.kube/config unless it is named here.
    #[arg(long, env = "TRESOR_KUBECONFIG", conflicts_with = "in_cluster")]
    pub kubeconfig: Option<PathBuf>,
    /// Project into the cluster that this daemon runs in, with its pod's service account.
    #[arg(long, env = "TRESOR_IN_CLUSTER")]
    pub in_cluster: bool,
    /// What that cluster is called in the status of projections.
    #[arg(long, env = "TRESOR_CLUSTER_NAME", default_value = "default")]
    pub cluster_name: String,
}

impl Cli {
    /// What is logged unless `TRESOR_LOG` says otherwise: everything that a running daemon has to
    /// tell, and of the others only what goes wrong.
    pub const fn log_level(&self) -> LevelFilter {
        match self.command {
            Command::Serve(_) => LevelFilter::INFO,
            Command::AdminToken(_) | Command::Demo | Command::Init(_) => LevelFilter::ERROR,
        }
    }

    /// Runs the command.
    ///
    /// # Errors
    /// One line, and the exit code that goes with it.
    pub fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::AdminToken(args) => hand_over(&init::admin_token(&args)?),
            Command::Demo => runtime()?.block_on(demo::demo()),
            Command::Init(args) => {
                hand_over(&init::init(&args)?)?;
                init::finish(&args)?;
                tracing::info!(
                    "the store is made; the line above is its administrator's token, shown this once"
                );
                Ok(())
            }
            Command::Serve(args) => runtime()?.block_on(serve::serve(args)),
        }
    }
}

#[expect(clippy::print_stdout, reason = "the token is this command's output")]
fn hand_over(token: &str) -> Result<(), Failure> {
    println!("{token}");
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    // Writers park one blocking thread each while their group becomes durable, and a group takes
    // 64 of them; readers come on top.
    let built =
        tokio::runtime::Builder::new_multi_thread().max_blocking_threads(128).enable_all().build();
    built.map_err(|error| Failure::new(format!("the runtime cannot be started: {error}")))
}
