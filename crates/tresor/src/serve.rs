//! `tresor serve`, with and without `--dev`.

use std::io::Write;

use tokio::signal::unix::{SignalKind, signal};

use crate::command::{ServeArgs, StoreArgs};
use crate::daemon::{Daemon, Options};
use crate::failure::Failure;
use crate::init;
use crate::root_key;

/// Runs the daemon until it is told to stop.
pub(crate) async fn serve(args: ServeArgs) -> Result<(), Failure> {
    if args.dev {
        return serve_dev(args).await;
    }
    let Some(data_dir) = args.data_dir.clone() else {
        return Err(Failure::new(
            "name the data directory with --data-dir, or try it out with --dev",
        ));
    };
    let store = StoreArgs { data_dir, root_key_file: args.root_key_file.clone() };
    let dir = init::lock_finished(&store)?;
    let root = root_key::load(store.root_key_file.as_deref())?;
    let daemon = Daemon::start(dir, root, options(args)).await?;
    let signal = until_signal()?;
    say(&format!("serving {}\n", daemon.url()))?;
    daemon.run(signal).await
}

/// A throw-away store and key; nothing to configure, nothing left behind.
async fn serve_dev(args: ServeArgs) -> Result<(), Failure> {
    if args.data_dir.is_some() || args.root_key_file.is_some() {
        return Err(Failure::new(
            "--dev makes a throw-away store of its own: leave --data-dir and --root-key-file out",
        ));
    }
    let home = tempfile::Builder::new().prefix("tresor-dev-").tempdir();
    let home = home.map_err(|error| Failure::new(format!("no temporary directory: {error}")))?;
    let (daemon, token) = start_throw_away(home.path(), options(args)).await?;
    let (url, signal) = (daemon.url(), until_signal()?);
    say(&format!(
        "\
serving {url} from {}, which is removed when this stops

export TRESOR_ADDR={url}
export TRESOR_TOKEN={}

# A project whose secrets appear in the Kubernetes namespace `default`, and a first secret:
curl -sS $TRESOR_ADDR/tresor/v1/orgs/default/projects -H \"Authorization: Bearer $TRESOR_TOKEN\" \\
  -H 'Content-Type: application/json' \\
  -d '{{\"metadata\":{{\"name\":\"demo\"}},\"spec\":{{\"projectionRules\":[{{\"mode\":\"each\",\"namespace\":\"default\"}}]}}}}'
curl -sS $TRESOR_ADDR/tresor/v1/orgs/default/projects/demo/secrets/hf-token -X PUT \\
  -H \"Authorization: Bearer $TRESOR_TOKEN\" -H 'Content-Type: application/json' \\
  -d '{{\"stringData\":{{\"HF_TOKEN\":\"hf_example\"}}}}'
curl -sS $TRESOR_ADDR/tresor/v1/orgs/default/projects/demo/secrets/hf-token/data \\
  -H \"Authorization: Bearer $TRESOR_TOKEN\"
",
        home.path().display(),
        *token
    ))?;
    daemon.run(signal).await
}

/// Makes a store below `home` and starts a daemon on it.
pub(crate) async fn start_throw_away(
    home: &std::path::Path,
    options: Options,
) -> Result<(Daemon, zeroize::Zeroizing<String>), Failure> {
    let store =
        StoreArgs { data_dir: home.join("data"), root_key_file: Some(home.join("root-key")) };
    let made = tokio::task::spawn_blocking(move || {
        let token = init::init(&store)?;
        init::finish(&store)?;
        let root = root_key::load(store.root_key_file.as_deref())?;
        Ok((init::lock_finished(&store)?, root, token))
    });
    let made: Result<_, Failure> =
        made.await.map_err(|_| Failure::new("the throw-away store could not be made"))?;
    let (dir, root, token) = made?;
    Ok((Daemon::start(dir, root, options).await?, token))
}

fn options(args: ServeArgs) -> Options {
    Options {
        listen: args.listen,
        insecure_plain_http: args.insecure_plain_http,
        kubeconfig: args.kubeconfig,
        in_cluster: args.in_cluster,
        cluster_name: args.cluster_name,
    }
}

/// Standard output is where the caller waits for the address.
fn say(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| Failure::new(format!("standard output cannot be written: {error}")))
}

/// Completes on SIGTERM or SIGINT, from the moment this returns.
fn until_signal() -> Result<impl Future<Output = ()>, Failure> {
    let listen = |kind| {
        signal(kind).map_err(|error| Failure::new(format!("signals cannot be awaited: {error}")))
    };
    let (mut terminate, mut interrupt) =
        (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: requests in flight may finish");
    })
}
