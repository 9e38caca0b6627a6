//! `tresor keys`, and where commands about keys do their work: in a running daemon, or on a data
//! directory that none has.

use std::fmt::Write as _;
use std::path::Path;

use api::KeysBody;
use clap::{Args, ValueEnum};
use client::Client;

use crate::command::KeyStoreArgs;
use crate::dial::{connect, failed, variable};
use crate::failure::Failure;
use crate::init::{Opened, lock_finished, open};
use crate::root_key::RootSource;
use crate::settings::{Loaded, Origin};

/// Which keys are wanted, and how they are shown.
#[derive(Args)]
pub(crate) struct KeysArgs {
    #[command(flatten)]
    store: KeyStoreArgs,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// One JSON object.
    Json,
    /// A table for people.
    #[default]
    Text,
}

/// Where a command about keys does its work.
pub(crate) enum Place {
    /// In a daemon; whether over its operator's socket.
    Daemon { client: Client, by_socket: bool },
    /// On a data directory that this process has now.
    Offline(Opened),
}

impl Place {
    /// The daemon that TRESOR_ADDR names, unless a flag names a data directory; else the data
    /// directory: by itself, or through the socket of the daemon that has it. Never both: whoever has
    /// the directory holds its lock.
    pub(crate) fn find(loaded: &Loaded, prompt: bool) -> Result<Self, Failure> {
        let flagged = loaded.origin("data-dir") == Some(&Origin::Flag);
        let named = loaded.settings.data_dir.as_deref();
        let data_dir = named.filter(|_| flagged || variable("TRESOR_ADDR").is_none());
        let Some(data_dir) = data_dir else {
            if named.is_none() && variable("TRESOR_ADDR").or(variable("TRESOR_TOKEN")).is_none() {
                return Err(Failure::usage(
                    "name the data directory with --data-dir, or a daemon with TRESOR_ADDR and TRESOR_TOKEN",
                ));
            }
            return Ok(Self::Daemon { client: connect()?, by_socket: false });
        };
        match lock_finished(data_dir) {
            Ok(dir) => {
                let root = RootSource::configured(loaded, prompt)?.load()?;
                open(dir, root.unlock(), &loaded.settings).map(Self::Offline)
            }
            Err(failure) if failure.is_locked() => by_socket(loaded, data_dir, failure),
            Err(failure) => Err(failure),
        }
    }
}

/// The daemon that has a data directory, over its socket.
fn by_socket(loaded: &Loaded, data_dir: &Path, locked: Failure) -> Result<Place, Failure> {
    let fix = "or name the daemon with TRESOR_ADDR and TRESOR_TOKEN";
    let Some(socket) = loaded.settings.operator_socket.below(data_dir) else {
        return Err(locked.and(&format!("it has no operator's socket; {fix}")));
    };
    if let Err(error) = std::os::unix::net::UnixStream::connect(&socket) {
        let socket = socket.display();
        return Err(locked.and(&format!(
            "its operator's socket {socket} cannot be reached: {error}; name it with --operator-socket, {fix}"
        )));
    }
    Ok(Place::Daemon { client: Client::on_socket(&socket), by_socket: true })
}

impl KeysArgs {
    /// What to print.
    pub(crate) async fn run(self) -> Result<String, Failure> {
        let loaded = self.store.load()?;
        let from = RootSource::configured(&loaded, self.store.passphrase).map(|root| root.name());
        let find = move || Place::find(&loaded, self.store.passphrase);
        let found = tokio::task::spawn_blocking(find).await;
        let keys = match found.map_err(|_| Failure::new("the store could not be opened"))?? {
            Place::Daemon { client, .. } => client.keys().await.map_err(failed)?,
            Place::Offline(opened) => {
                let keys = opened.vault.operators_keys().map(|keys| server::keys_body(&keys));
                opened.close()?;
                KeysBody { root_key_source: from.ok(), ..keys? }
            }
        };
        match self.output {
            Output::Json => serde_json::to_string(&keys)
                .map(|text| text + "\n")
                .map_err(|error| Failure::new(error.to_string())),
            Output::Text => Ok(table(&keys)),
        }
    }
}

fn table(keys: &KeysBody) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(out, "{:<6}{:<10}{:<26}RECORDS", "KEK", "STATE", "CREATED");
    for kek in &keys.keks {
        let state = if kek.current { "current" } else { "retired" };
        let _ =
            writeln!(out, "{:<6}{state:<10}{:<26}{}", kek.id, kek.creation_timestamp, kek.records);
    }
    let _ = writeln!(out, "\n{:<14}RECORDS", "METADATA KEY");
    for key in &keys.metadata_keys {
        let _ = writeln!(out, "{:<14}{}", key.id, key.records);
    }
    let _ = writeln!(
        out,
        "\nthe current keys were used {} times at most; they are changed by themselves after {}",
        keys.uses, keys.rotate_after_uses
    );
    if let Some(source) = &keys.root_key_source {
        let _ = writeln!(out, "the root key comes from {source}");
    }
    for root in &keys.root_keys {
        let (slot, kind, at) = (root.slot, &root.kind, &root.creation_timestamp);
        let _ = writeln!(out, "slot {slot}: {kind}, added {at}");
    }
    let rotation = keys.rotation.as_ref();
    let _ = writeln!(out, "{}", rotation.map_or_else(none, crate::rotate::line));
    out
}

/// What is said of a store whose keys are those that it was made with.
pub(crate) fn none() -> String {
    "the keys were never changed".to_owned()
}
