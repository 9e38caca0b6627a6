//! `tresor rotate-keys`: changes the keys of a store, in the daemon that has it or without one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use api::{NewRootBody, RotateAction, RotationBody, WireText};
use clap::Args;
use client::{Client, ClientError};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use vault::{NewRoot, NewRotation, Pace};

use crate::audit::operators_act;
use crate::command::{KeyStoreArgs, NewRootKey};
use crate::dial::failed;
use crate::failure::{Failure, chain};
use crate::init::Opened;
use crate::keys::{Output, Place, none};
use crate::progress::Progress;
use crate::root_key::{Root, RootSource};

/// How often a daemon is asked how far it has come.
const POLL: Duration = Duration::from_millis(200);
/// How long a daemon may be away, as when it is restarted.
const PATIENCE: Duration = Duration::from_secs(15);

/// What to do with the keys.
#[derive(Args)]
pub(crate) struct RotateArgs {
    #[command(flatten)]
    act: Act,
    /// Give each value a new data key and seal it and all metadata anew, history included. Without it,
    /// data keys are wrapped anew and values stay as they are.
    #[arg(long, conflicts_with_all = ["pause", "resume", "status"])]
    reseal: bool,
    /// Change the root key too: one of the three options that begin with --new- names it. The one
    /// before opens the store until it is dropped.
    #[arg(long, conflicts_with_all = ["pause", "resume", "status"])]
    new_root: bool,
    #[command(flatten)]
    new: NewRootKey,
    #[command(flatten)]
    store: KeyStoreArgs,
    /// What to print; JSON lines when it does not go to a terminal.
    #[arg(short, long, value_enum)]
    output: Option<Output>,
}

/// Instead of beginning a change of keys.
#[derive(Args)]
#[group(multiple = false)]
struct Act {
    /// Have the one that is under way stop where it is.
    #[arg(long)]
    pause: bool,
    /// Have the one that is paused, or was interrupted, go on.
    #[arg(long)]
    resume: bool,
    /// Print how it stands.
    #[arg(long)]
    status: bool,
}

/// Printed below the help.
pub(crate) const EXIT_CODES: &str = "\
Exit codes: 0 the keys are changed (with --status: no change of keys is under way); 1 it failed; 2 the \
command line is wrong; 3 the root key is wrong; 4 a daemon that cannot be reached has the data \
directory; 5 the store is damaged; 6 a change of keys is under way or paused; 7 records could not be \
rewritten, and the older keys are kept for them.";

impl RotateArgs {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let Self { act, reseal, new_root, new, store, output } = self;
        let new = new.source();
        if new.is_some() != new_root {
            return Err(Failure::usage(
                "to change the root key, say --new-root and one of --new-root-key-file, --new-passphrase-file and --new-passphrase",
            ));
        }
        let wanted = match act {
            Act { pause: true, .. } => Wanted::Pause,
            Act { resume: true, .. } => Wanted::Resume,
            Act { status: true, .. } => Wanted::Status,
            _ => Wanted::Begin { reseal, new },
        };
        let loaded = store.load()?;
        let find = move || Place::find(&loaded, store.passphrase);
        let found = tokio::task::spawn_blocking(find).await;
        let mut shown = Progress::new(output);
        let done = match found.map_err(|_| Failure::new("the store could not be opened"))?? {
            Place::Daemon { client, by_socket } => {
                wanted.in_daemon(&client, by_socket, &mut shown).await?
            }
            Place::Offline(opened) => wanted.offline(opened, &mut shown).await?,
        };
        shown.end(done.as_ref(), new_root)
    }
}

/// What a command asks for.
enum Wanted {
    Begin { reseal: bool, new: Option<RootSource> },
    Pause,
    Resume,
    Status,
}

impl Wanted {
    async fn in_daemon(
        self,
        client: &Client,
        by_socket: bool,
        shown: &mut Progress,
    ) -> Result<Option<RotationBody>, Failure> {
        let begun = match self {
            Self::Status => return client.rotation().await.map_err(failed),
            Self::Pause => return client.pause_rotation().await.map(Some).map_err(failed),
            Self::Resume => client.resume_rotation().await.map_err(failed)?,
            Self::Begin { reseal, new } => {
                let new_root = match new {
                    Some(new) => Some(new_root_of(client, by_socket, new).await?),
                    None => None,
                };
                let wanted = RotateAction { reseal, new_root };
                client.rotate(&wanted).await.map_err(refused)?
            }
        };
        shown.show(&begun);
        follow(client, shown).await.map(Some)
    }

    async fn offline(
        self,
        opened: Opened,
        shown: &mut Progress,
    ) -> Result<Option<RotationBody>, Failure> {
        let (told, mut seen) = mpsc::unbounded_channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        let work = tokio::task::spawn_blocking(move || {
            let done = self.on_store(&opened, &told, &stopping);
            // Whatever came of it, the store is closed in order.
            let closed = opened.close();
            let done = done?;
            closed.map(|()| done)
        });
        show_until_done(&mut seen, shown, &stop).await?;
        work.await.map_err(|_| Failure::new("the rotation met a defect; it can be resumed"))?
    }

    fn on_store(
        self,
        opened: &Opened,
        told: &UnboundedSender<RotationBody>,
        stop: &AtomicBool,
    ) -> Result<Option<RotationBody>, Failure> {
        let vault = &opened.vault;
        let body = |view| server::rotation_body(&view);
        match self {
            Self::Status => return Ok(vault.operators_keys()?.rotation.map(body)),
            Self::Pause => return Ok(Some(body(vault.pause_operators_rotation()?))),
            Self::Resume => {
                vault.resume_operators_rotation()?;
            }
            Self::Begin { reseal, new } => {
                if let Some(error) = vault.rotation_in_the_way()? {
                    return Err(error.into());
                }
                let new_root = new.map(|new| new.load_or_make()).transpose()?;
                let new_root = new_root.map(|root| match root {
                    Root::Key(key) => NewRoot::Key(key),
                    Root::Passphrase(passphrase) => NewRoot::Passphrase(passphrase),
                });
                let begun = vault.begin_operators_rotation(&NewRotation { reseal, new_root })?;
                opened.write_down(&operators_act("rotateKeys", format!("kek:{}", begun.kek)))?;
            }
        }
        let ended =
            vault.run_rotation(Pace::Full, &|| stop.load(Ordering::Relaxed), &mut |view| {
                // Who shows it may be gone; the rotation goes on.
                let _ = told.send(server::rotation_body(view));
            })?;
        Ok(ended.map(body))
    }
}

/// Shows what the work tells until it ends; a Ctrl-C has it stop where it is.
async fn show_until_done(
    seen: &mut UnboundedReceiver<RotationBody>,
    shown: &mut Progress,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    loop {
        tokio::select! {
            told = seen.recv() => match told {
                Some(rotation) => shown.show(&rotation),
                None => return Ok(()),
            },
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.map_err(|error| Failure::new(error.to_string()))?;
                stop.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// Shows how far a daemon has come, until it is done. A daemon that is away for a moment goes on when
/// it is back.
async fn follow(client: &Client, shown: &mut Progress) -> Result<RotationBody, Failure> {
    let mut seen = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            _ = tokio::signal::ctrl_c() => {
                return Err(Failure::unfinished("the rotation goes on in the daemon; see it with: tresor rotate-keys --status"));
            }
        }
        match client.rotation().await {
            Ok(Some(rotation)) => {
                seen = Instant::now();
                shown.show(&rotation);
                if rotation.state != "running" || rotation.stuck > 0 {
                    return Ok(rotation);
                }
            }
            Ok(None) => return Err(Failure::new("the daemon knows of no rotation any more")),
            Err(ClientError::Connection(_)) if seen.elapsed() < PATIENCE => {}
            Err(error) => {
                return Err(Failure::unfinished(&format!(
                    "{}; the rotation goes on by itself as long as the daemon runs: tresor rotate-keys --status",
                    chain(&error)
                )));
            }
        }
    }
}

/// The new root key as it is sent; what the daemon would refuse is found before a key file is made.
async fn new_root_of(
    client: &Client,
    by_socket: bool,
    new: RootSource,
) -> Result<NewRootBody, Failure> {
    if !by_socket {
        return Err(Failure::usage(
            "a root key does not travel over the network: run this on the daemon's machine, with --data-dir",
        ));
    }
    let keys = client.keys().await.map_err(failed)?;
    if keys.root_keys.len() > 1 {
        return Err(Failure::new(
            "both slots are taken: drop one first, with tresor root-key drop",
        ));
    }
    if keys.rotation.is_some_and(|rotation| rotation.state != "done") {
        return Err(Failure::unfinished(
            "a change of the keys is under way: tresor rotate-keys --status",
        ));
    }
    let made = tokio::task::spawn_blocking(move || new.load_or_make()).await;
    let text = |text: zeroize::Zeroizing<String>| WireText::new(text.to_string());
    Ok(match made.map_err(|_| Failure::new("the new root key could not be read"))?? {
        Root::Key(key) => NewRootBody { key: Some(text(key.to_text())), passphrase: None },
        Root::Passphrase(passphrase) => {
            NewRootBody { key: None, passphrase: Some(text(passphrase.to_text())) }
        }
    })
}

/// Why a daemon does not: because of the rotation that is under way, or for another reason.
fn refused(error: ClientError) -> Failure {
    match &error {
        ClientError::Refused(problem) if problem.status == 409 && problem.field.is_none() => {
            Failure::unfinished(&chain(&error))
        }
        _ => failed(error),
    }
}

/// A rotation in one line.
pub(crate) fn line(rotation: &RotationBody) -> String {
    let RotationBody { kek, state, reason, total, done, start_timestamp, .. } = rotation;
    let what = if rotation.reseal { "sealed anew" } else { "wrapped anew" };
    let because = match reason.as_str() {
        "age" => "because the keys were old",
        "uses" => "because the keys were used often",
        _ => "by an operator",
    };
    match &rotation.completion_timestamp {
        Some(at) => format!(
            "KEK {kek} replaced all older keys, {because}: begun {start_timestamp}, done {at}, {total} records {what}"
        ),
        None => format!(
            "KEK {kek} is replacing the older keys, {because}: {state}, {done} of {total} records {what}, begun {start_timestamp}"
        ),
    }
}

/// What a rotation that is over, or is not, comes to.
pub(crate) fn outcome(rotation: Option<&RotationBody>) -> (String, Result<(), Failure>) {
    let Some(rotation) = rotation else { return (none(), Ok(())) };
    let ended = match rotation.state.as_str() {
        _ if rotation.stuck > 0 => Err(Failure::stuck(rotation.stuck)),
        "done" => Ok(()),
        "paused" => {
            Err(Failure::unfinished("it is paused; go on with: tresor rotate-keys --resume"))
        }
        _ => Err(Failure::unfinished(
            "it is not finished; a daemon goes on by itself, and so does: tresor rotate-keys --resume",
        )),
    };
    (line(rotation), ended)
}
