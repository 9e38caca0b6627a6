//! The command line.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, FromArgMatches, Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use crate::audit::AuditCommand;
use crate::failure::Failure;
use crate::keys::KeysArgs;
use crate::render::RenderArgs;
use crate::root_key::RootSource;
use crate::rotate::{self, RotateArgs};
use crate::settings::{Form, Loaded, Setting, Sources, TABLE};
use crate::whole_store::{BackupArgs, CompactArgs, RestoreArgs, VerifyArgs};
use crate::{demo, init, logging, serve, slots};

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
    /// Read the audit log and hold it against the store; also beside a running daemon.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Write a backup of a store as it is at one moment, while it is used or without a daemon: sealed as
    /// the store is, with its keyring. Whoever has a root key of now can restore it, and nobody else.
    Backup(BackupArgs),
    /// Make the data files as small as they can be, while the store is used or without a daemon. What was
    /// destroyed or purged before is not in them any more.
    Compact(CompactArgs),
    /// Show the main job in a minute, with a throw-away daemon and, where found, a cluster.
    Demo,
    /// Make a store and print its first administrator's token, which is shown this once.
    Init(StoreArgs),
    /// Print a Kubernetes manifest of a workload that refers to secrets. The daemon is the one that
    /// TRESOR_ADDR names, asked with TRESOR_TOKEN.
    Render(RenderArgs),
    /// Print the keys of a store, how old they are, and how many records are under each; nothing of it
    /// is secret. In the daemon that has the data directory, or that TRESOR_ADDR names; or without one.
    Keys(KeysArgs),
    /// Make a store of a backup, in a directory that has none. Resource versions of before are then of
    /// another incarnation, and whoever comes back with one is told so.
    Restore(RestoreArgs),
    /// See and change which root keys open the store. The daemon must not be running.
    #[command(subcommand)]
    RootKey(RootKeyCommand),
    /// Change the keys: new records are under new keys at once, all others are rewritten while reads
    /// and writes go on, and then the older keys are destroyed. In the daemon that has the data
    /// directory, or that TRESOR_ADDR names; or without one.
    #[command(after_help = rotate::EXIT_CODES)]
    RotateKeys(RotateArgs),
    /// Run the daemon.
    Serve(ServeArgs),
    /// Open every record of a store and follow every reference, while it is used or without a daemon; or
    /// check every byte of backups.
    Verify(VerifyArgs),
}

#[derive(Subcommand)]
enum RootKeyCommand {
    /// Add a second root key, so that both open the store.
    Add(AddArgs),
    /// Drop a root key. Give the one that stays.
    Drop(DropArgs),
    /// Print which root keys there are; nothing of it is secret.
    Status(StoreSettings),
}

/// A data directory and the key to it.
#[derive(Args)]
pub(crate) struct StoreArgs {
    #[command(flatten)]
    settings: StoreSettings,
    /// Ask for the passphrase on the terminal.
    #[arg(long)]
    passphrase: bool,
}

/// A data directory and the key to it, or the daemon that has it.
#[derive(Args)]
pub(crate) struct KeyStoreArgs {
    #[command(flatten)]
    settings: KeySettings,
    /// Ask for the passphrase on the terminal, when no daemon has the data directory.
    #[arg(long)]
    pub(crate) passphrase: bool,
}

#[derive(Args)]
struct AddArgs {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    new: NewRootKey,
}

/// The root key to add.
#[derive(Args)]
#[group(multiple = false)]
pub(crate) struct NewRootKey {
    /// The file of the new root key; it is made when it does not exist.
    #[arg(long, value_name = "PATH")]
    new_root_key_file: Option<PathBuf>,
    /// The file of the new passphrase.
    #[arg(long, value_name = "PATH")]
    new_passphrase_file: Option<PathBuf>,
    /// Ask for the new passphrase on the terminal.
    #[arg(long)]
    new_passphrase: bool,
}

#[derive(Args)]
struct DropArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// The slot to drop, by the number that `tresor root-key status` prints.
    #[arg(long)]
    slot: u8,
}

/// How to run the daemon.
#[derive(Args)]
pub(crate) struct ServeArgs {
    /// A throw-away store and key, removed at the end; prints a token and a first curl.
    #[arg(long)]
    pub(crate) dev: bool,
    /// Check the settings, and end.
    #[arg(long)]
    pub(crate) check_config: bool,
    /// Ask for the passphrase on the terminal.
    #[arg(long)]
    pub(crate) passphrase: bool,
    #[command(flatten)]
    settings: AllSettings,
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// One line, and the exit code that goes with it.
    pub fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::AdminToken(args) => {
                let (loaded, root) = args.open()?;
                print(&format!(
                    "{}\n",
                    *init::admin_token(loaded.data_dir()?, &root, &loaded.settings)?
                ))
            }
            Command::Audit(command) => command.run(&mut std::io::stdout().lock()),
            Command::Backup(args) => print(&runtime()?.block_on(args.run())?),
            Command::Compact(args) => print(&runtime()?.block_on(args.run())?),
            Command::Verify(args) => print(&runtime()?.block_on(args.run())?),
            Command::Restore(args) => print(&args.run()?),
            Command::Demo => {
                logging::start(&Loaded::default().settings, LevelFilter::ERROR);
                runtime()?.block_on(demo::demo())
            }
            Command::Init(args) => {
                let (loaded, root) = args.open()?;
                print(&format!("{}\n", *init::init(loaded.data_dir()?, &root, &loaded.settings)?))?;
                init::finish(loaded.data_dir()?)?;
                tracing::info!(
                    "the store is made; the line above is its administrator's token, shown this once"
                );
                Ok(())
            }
            Command::Render(args) => {
                let (mut out, mut complaints) = (std::io::stdout().lock(), std::io::stderr());
                runtime()?.block_on(args.run(&mut out, &mut complaints))
            }
            Command::Keys(args) => print(&runtime()?.block_on(args.run())?),
            Command::RootKey(command) => command.run(),
            Command::RotateKeys(args) => runtime()?.block_on(args.run()),
            Command::Serve(args) => {
                let sources = args.settings.0.sources();
                let loaded = sources.load()?;
                let levels = logging::start(&loaded.settings, LevelFilter::INFO);
                runtime()?.block_on(serve::serve(&args, sources, loaded, levels))
            }
        }
    }
}

impl RootKeyCommand {
    fn run(self) -> Result<(), Failure> {
        match self {
            Self::Add(AddArgs { store, new }) => {
                let (loaded, present) = store.open()?;
                let new = new.source().ok_or_else(|| {
                    Failure::usage(
                        "name the new root key with --new-root-key-file, --new-passphrase-file or --new-passphrase",
                    )
                })?;
                let slot = slots::add(loaded.data_dir()?, &present, &new)?;
                print(&format!("slot {slot} was added; each root key opens the store now\n"))
            }
            Self::Drop(DropArgs { store, slot }) => {
                let (loaded, staying) = store.open()?;
                slots::drop_slot(loaded.data_dir()?, &staying, slot)?;
                print(&format!("slot {slot} was dropped; its root key opens the store no more\n"))
            }
            Self::Status(settings) => print(&slots::status(settings.load()?.data_dir()?)?),
        }
    }
}

impl StoreSettings {
    fn load(&self) -> Result<Loaded, Failure> {
        let loaded = self.0.sources().load()?;
        logging::start(&loaded.settings, LevelFilter::ERROR);
        Ok(loaded)
    }
}

impl AuditSettings {
    /// Nothing is logged: what these commands find is what they print.
    pub(crate) fn load(&self) -> Result<Loaded, Failure> {
        self.0.sources().load()
    }
}

impl StoreArgs {
    pub(crate) fn open(&self) -> Result<(Loaded, RootSource), Failure> {
        let loaded = self.settings.load()?;
        let root = RootSource::configured(&loaded, self.passphrase)?;
        Ok((loaded, root))
    }
}

impl KeyStoreArgs {
    pub(crate) fn load(&self) -> Result<Loaded, Failure> {
        let loaded = self.settings.0.sources().load()?;
        logging::start(&loaded.settings, LevelFilter::ERROR);
        Ok(loaded)
    }
}

impl NewRootKey {
    /// The one that was named.
    pub(crate) fn source(self) -> Option<RootSource> {
        match (self.new_root_key_file, self.new_passphrase_file, self.new_passphrase) {
            (Some(path), _, _) => Some(RootSource::key_file(path)),
            (None, Some(path), _) => Some(RootSource::passphrase_file(path)),
            (None, None, true) => Some(RootSource::terminal()),
            (None, None, false) => None,
        }
    }
}

/// The settings that every command on a data directory has as flags.
const OF_A_STORE: [&str; 3] = ["data-dir", "root-key-file", "passphrase-file"];

/// The settings that say where keys are changed.
const OF_KEYS: [&str; 4] = ["data-dir", "root-key-file", "passphrase-file", "operator-socket"];

/// The settings that say where the audit log is.
const OF_THE_AUDIT_LOG: [&str; 2] = ["data-dir", "audit-file"];

pub(crate) struct AuditSettings(SettingFlags);
struct KeySettings(SettingFlags);
struct StoreSettings(SettingFlags);
struct AllSettings(SettingFlags);

/// Flags as they were given, made from the table of settings.
#[derive(Default)]
struct SettingFlags {
    config: Option<PathBuf>,
    given: BTreeMap<&'static str, String>,
}

impl SettingFlags {
    fn sources(&self) -> Sources {
        Sources::new(self.given.clone(), self.config.clone())
    }

    fn augment(command: clap::Command, has: impl Fn(&Setting) -> bool) -> clap::Command {
        let config = Arg::new("config").long("config").value_name("FILE");
        let config = config.value_parser(clap::value_parser!(PathBuf));
        let config = config.help("The configuration file [env: TRESOR_CONFIG]");
        command.arg(config).args(TABLE.iter().filter(|setting| has(setting)).map(flag))
    }

    fn update(&mut self, matches: &ArgMatches, has: impl Fn(&Setting) -> bool) {
        self.config = matches.get_one("config").cloned();
        for setting in TABLE.iter().filter(|setting| has(setting)) {
            if let Some(text) = matches.get_one::<String>(setting.name) {
                self.given.insert(setting.name, text.clone());
            }
        }
    }
}

fn flag(setting: &Setting) -> Arg {
    let default = setting.default.map(|text| format!(" [default: {text}]")).unwrap_or_default();
    let help = format!("{} [env: {}]{default}", setting.about, setting.variable());
    let name = setting.form.placeholder();
    let flag = Arg::new(setting.name).long(setting.name).value_name(name).help(help);
    if setting.form == Form::Flag {
        return flag.num_args(0..=1).require_equals(true).default_missing_value("true");
    }
    flag
}

macro_rules! flags_from_table {
    ($type:ident, $has:expr) => {
        impl Args for $type {
            fn augment_args(command: clap::Command) -> clap::Command {
                SettingFlags::augment(command, $has)
            }

            fn augment_args_for_update(command: clap::Command) -> clap::Command {
                SettingFlags::augment(command, $has)
            }
        }

        impl FromArgMatches for $type {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                let mut flags = SettingFlags::default();
                flags.update(matches, $has);
                Ok(Self(flags))
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                self.0.update(matches, $has);
                Ok(())
            }
        }
    };
}

flags_from_table!(AllSettings, |_| true);
flags_from_table!(AuditSettings, |setting| OF_THE_AUDIT_LOG.contains(&setting.name));
flags_from_table!(KeySettings, |setting| OF_KEYS.contains(&setting.name));
flags_from_table!(StoreSettings, |setting| OF_A_STORE.contains(&setting.name));

#[expect(clippy::print_stdout, reason = "this is the command's output")]
fn print(text: &str) -> Result<(), Failure> {
    print!("{text}");
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    // A worker may wait for the disk while it reads a value: others go on meanwhile.
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    // Writers park one blocking thread each while their group becomes durable, and a group takes
    // 64 of them; others come on top.
    let built = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores + 2)
        .max_blocking_threads(128)
        .enable_all()
        .build();
    built.map_err(|error| Failure::new(format!("the runtime cannot be started: {error}")))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_setting_is_a_flag_of_serve_that_names_its_variable() {
        let cli = Cli::command();
        cli.clone().debug_assert();
        let serve = cli.find_subcommand("serve").unwrap();
        for setting in &TABLE {
            let is_it = |arg: &&Arg| arg.get_long() == Some(setting.name);
            let flag = serve.get_arguments().find(is_it).unwrap();
            let help = flag.get_help().unwrap().to_string();
            assert!(help.contains(&format!("[env: {}]", setting.variable())), "{help}");
        }
    }
}
