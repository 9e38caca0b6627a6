//! `tresor serve`, with and without `--dev`.

use std::io::Write;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::command::ServeArgs;
use crate::daemon::Daemon;
use crate::failure::Failure;
use crate::init;
use crate::logging::Levels;
use crate::memory;
use crate::reload::Reload;
use crate::root_key::RootSource;
use crate::settings::{Loaded, Settings, Sources};

/// Runs the daemon until it is told to stop.
pub(crate) async fn serve(
    args: &ServeArgs,
    sources: Sources,
    loaded: Loaded,
    levels: Levels,
) -> Result<(), Failure> {
    let settings = loaded.settings.clone();
    let running = loaded.clone();
    if args.dev {
        check_dev(&settings)?;
    }
    if args.check_config {
        check_root_key(&loaded, args.passphrase)?;
        return say("the settings are right\n");
    }
    // Before anything takes long: until then, a hangup ends the process.
    tokio::spawn(Reload { sources, running, levels }.at_each(listen(SignalKind::hangup())?));
    if args.dev {
        return serve_dev(&settings).await;
    }
    let source = RootSource::configured(&loaded, args.passphrase)?;
    let dir = init::lock_finished(loaded.data_dir()?)?;
    let root = source.load()?;
    let daemon = Daemon::start(dir, (root, source.name()), &settings).await?;
    if memory::lock() {
        tracing::info!("no page of this process is swapped out");
    } else {
        tracing::warn!(
            "pages of this process may be swapped out, keys and values among them: give it CAP_IPC_LOCK or \
             an unlimited RLIMIT_MEMLOCK, or have no swap that is not encrypted"
        );
    }
    let signal = until_signal()?;
    say(&format!("serving {}\n", daemon.url()))?;
    daemon.run(signal).await
}

/// A root key may be missing from a file that is checked elsewhere, but two are never right.
fn check_root_key(loaded: &Loaded, prompt: bool) -> Result<(), Failure> {
    match RootSource::configured(loaded, prompt) {
        Err(failure) if failure.is_usage() => Err(failure),
        _ => Ok(()),
    }
}

fn check_dev(settings: &Settings) -> Result<(), Failure> {
    let Settings { data_dir, root_key_file, passphrase_file, .. } = settings;
    if data_dir.is_some() || root_key_file.is_some() || passphrase_file.is_some() {
        return Err(Failure::usage(
            "--dev makes a throw-away store of its own: leave data-dir, root-key-file and \
             passphrase-file out",
        ));
    }
    Ok(())
}

/// A throw-away store and key; nothing to configure, nothing left behind.
async fn serve_dev(settings: &Settings) -> Result<(), Failure> {
    let home = tempfile::Builder::new().prefix("tresor-dev-").tempdir();
    let home = home.map_err(|error| Failure::new(format!("no temporary directory: {error}")))?;
    let (daemon, token) = start_throw_away(home.path(), settings).await?;
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
    settings: &Settings,
) -> Result<(Daemon, zeroize::Zeroizing<String>), Failure> {
    let (data_dir, source) = (home.join("data"), RootSource::key_file(home.join("root-key")));
    let of_it = settings.clone();
    let made = tokio::task::spawn_blocking(move || {
        let token = init::init(&data_dir, &source, &of_it)?;
        init::finish(&data_dir)?;
        Ok((init::lock_finished(&data_dir)?, (source.load()?, source.name()), token))
    });
    let made: Result<_, Failure> =
        made.await.map_err(|_| Failure::new("the throw-away store could not be made"))?;
    let (dir, root, token) = made?;
    Ok((Daemon::start(dir, root, settings).await?, token))
}

/// Standard output is where the caller waits for the address.
fn say(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| Failure::new(format!("standard output cannot be written: {error}")))
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::new(format!("signals cannot be awaited: {error}")))
}

/// Completes on SIGTERM or SIGINT, from the moment this returns.
fn until_signal() -> Result<impl Future<Output = ()>, Failure> {
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
