//! The audit log: opened for the daemon, and read for the operator.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use audit::{AuditLog, Entry, Filter, Format, LogFiles, Options, Outcome, Signer};
use authz::Actor;
use clap::{Args, Subcommand, ValueEnum};
use domain::{Anchor, Clock, Timestamp};
use vault::{Vault, Witness};

use crate::audit_verify::VerifyArgs;
use crate::clock::SystemClock;
use crate::command::AuditSettings;
use crate::failure::{Failure, chain};
use crate::settings::Settings;

/// How often `tail -f` looks for more.
const FOLLOW: Duration = Duration::from_millis(200);

/// Opens the log that the settings name. `expected` is how far it had come when the store was last
/// written.
pub(crate) fn open_audit(
    settings: &Settings,
    data_dir: &Path,
    vault: &Arc<Vault>,
    expected: Option<Anchor>,
) -> Result<Arc<AuditLog>, Failure> {
    let stdout = settings.audit_stdout.then(audit::standard_output).transpose();
    let stdout = stdout.map_err(|error| {
        Failure::new(format!("the audit log cannot go to standard output: {error}"))
    })?;
    let options = Options {
        file: settings.audit_file.below(data_dir),
        stdout,
        max_file_bytes: u64::from(settings.audit_max_file_mib) << 20,
        keep_files: usize::try_from(settings.audit_keep_files).unwrap_or(usize::MAX),
        deadline: Duration::from_millis(settings.audit_deadline_ms.into()),
        store: vault.store_bytes(),
        expected,
    };
    let signer = Arc::new(VaultSigner(vault.clone()));
    let opened = AuditLog::open(options, signer, Arc::new(SystemClock));
    let log = opened.map_err(|error| Failure::new(chain(&error)))?;
    hold_store_against(&log, vault);
    Ok(log)
}

/// A log that lies elsewhere stays when the data directory is put back, and then speaks of what the
/// store has never seen. That is written down in the log as well: the anchor then moves behind those
/// lines, and the next start finds nothing any more.
fn hold_store_against(log: &AuditLog, vault: &Vault) {
    let Some(seen) = log.resource_version_found() else { return };
    if vault.witness(seen, Witness::AuditLog) {
        return;
    }
    let detail =
        format!("the log speaks of resourceVersion {seen}, which the store has not reached");
    let entry = Entry {
        resource_version: Some(vault.resource_version().to_string()),
        outcome: Outcome::Failed,
        detail: Some(detail),
        ..operators_act("openStore", format!("store:{}", vault.store_id()))
    };
    if log.append(&entry).written_blocking().is_err() {
        tracing::error!("that the store was put back could not be written to the audit log");
    }
}

/// Signs with the keyring's audit key.
struct VaultSigner(Arc<Vault>);

impl Signer for VaultSigner {
    fn key_id(&self) -> u32 {
        self.0.audit_key().id
    }

    fn public_key(&self) -> [u8; 32] {
        self.0.audit_key().bytes
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign_audit(message)
    }
}

/// The record of something that the operator did without a daemon.
pub(crate) fn operators_act(action: &str, resource: String) -> Entry {
    Entry {
        time: SystemClock.now(),
        actor: Actor::operator().name(),
        action: action.to_owned(),
        resource: Some(resource),
        ..Entry::default()
    }
}

/// The record of something that the daemon did by itself.
pub(crate) fn daemons_act(action: &str, resource: String) -> Entry {
    Entry { actor: "system:daemon".to_owned(), ..operators_act(action, resource) }
}

/// `tresor audit`: reads the log, also beside a running daemon. No root key is needed.
#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Print entries, for other programs.
    Export(ExportArgs),
    /// Print the last lines.
    Tail(TailArgs),
    /// Hold the log against itself, its keys and the store. Exit code 1 when anything is wrong.
    Verify(VerifyArgs),
}

#[derive(Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    settings: AuditSettings,
    /// From then on, such as 2026-11-22 or 2026-11-22T09:30:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Before then.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// By that actor.
    #[arg(long)]
    actor: Option<String>,
    /// Of that action.
    #[arg(long)]
    action: Option<String>,
    /// About resources that begin so.
    #[arg(long, value_name = "PREFIX")]
    resource: Option<String>,
    /// What to print.
    #[arg(long, value_enum, default_value_t)]
    format: ExportFormat,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum ExportFormat {
    /// A table with commas.
    Csv,
    /// The lines as they stand in the log.
    #[default]
    Jsonl,
}

#[derive(Args)]
pub(crate) struct TailArgs {
    #[command(flatten)]
    settings: AuditSettings,
    /// How many lines.
    #[arg(short = 'n', long, default_value_t = 10)]
    lines: usize,
    /// Go on with what is added.
    #[arg(short, long)]
    follow: bool,
}

impl AuditCommand {
    /// Runs the command; what it prints goes to `out`.
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Self::Export(args) => args.run(out),
            Self::Tail(args) => args.run(out),
            Self::Verify(args) => args.run(out),
        }
    }
}

impl ExportArgs {
    fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let (_, files) = located(&self.settings)?;
        let Self { since, until, actor, action, resource, .. } = self;
        let filter = Filter { since, until, actor, action, resource };
        let format = match self.format {
            ExportFormat::Csv => Format::Csv,
            ExportFormat::Jsonl => Format::Jsonl,
        };
        let exported = audit::export(&files, &filter, format, out);
        let malformed = exported.map_err(|error| unreadable(&files, &error))?.malformed;
        if malformed > 0 {
            return Err(Failure::new(format!(
                "{malformed} lines are none of an audit log and were left out; run: tresor audit verify"
            )));
        }
        Ok(())
    }
}

impl TailArgs {
    fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let (_, files) = located(&self.settings)?;
        let failed = |error| unreadable(&files, &error);
        let (mut lines, mut follow) = audit::tail(&files, self.lines).map_err(failed)?;
        loop {
            for line in lines {
                writeln!(out, "{line}").map_err(unwritable)?;
            }
            out.flush().map_err(unwritable)?;
            if !self.follow {
                return Ok(());
            }
            std::thread::sleep(FOLLOW);
            lines = follow.next_lines().map_err(failed)?;
        }
    }
}

/// The data directory, and the log's files.
pub(crate) fn located(settings: &AuditSettings) -> Result<(PathBuf, LogFiles), Failure> {
    let loaded = settings.load()?;
    let data_dir = loaded.data_dir()?.to_owned();
    let file = loaded.settings.audit_file.below(&data_dir);
    let file = file.ok_or_else(|| Failure::usage("there is no audit file: audit-file is none"))?;
    Ok((data_dir, LogFiles::new(file)))
}

pub(crate) fn unreadable(files: &LogFiles, error: &std::io::Error) -> Failure {
    Failure::new(format!("the audit log {} cannot be read: {error}", files.current().display()))
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
pub(crate) fn unwritable(error: std::io::Error) -> Failure {
    Failure::new(format!("standard output cannot be written: {error}"))
}

/// A day, or a time in UTC to the second or the millisecond.
fn time(text: &str) -> Result<Timestamp, String> {
    let seconds = text.strip_suffix('Z').unwrap_or(text);
    [text.to_owned(), format!("{text}T00:00:00.000Z"), format!("{seconds}.000Z")]
        .iter()
        .find_map(|text| audit::parse_time(text))
        .ok_or_else(|| "write a day or a time in UTC: 2026-11-22, 2026-11-22T09:30:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use audit::{Entry, Outcome};
    use clap::Parser;
    use crypto::{Keyring, StoreId};
    use domain::Clock;
    use store::{DataDir, SledEngine, SledOptions};

    use super::*;
    use crate::root_key::RootSource;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: AuditCommand,
    }

    /// What a command prints, and the exit code.
    fn run(line: &[&str]) -> (String, u8) {
        let mut out = Vec::new();
        let ended =
            Line::try_parse_from([&["audit"], line].concat()).unwrap().command.run(&mut out);
        let code = ended.err().map_or(0, |failure| failure.exit_code);
        (String::from_utf8(out).unwrap(), code)
    }

    /// A store and its audit log with three entries, both closed; and the public key.
    fn store_with_log(data_dir: &Path) -> String {
        let root = RootSource::key_file(data_dir.with_extension("key")).load_or_make().unwrap();
        let store = StoreId::make().unwrap();
        let keyring = Keyring::make(store, root.unlock(), SystemClock.now()).unwrap();
        let dir = DataDir::create(data_dir).unwrap();
        SledEngine::create(&dir, *store.as_bytes()).unwrap();
        let engine = SledEngine::open(dir, *store.as_bytes(), SledOptions::default()).unwrap();
        let (engine, settings) = (Arc::new(engine), Settings::default());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let kept = vault::Settings::default();
        let vault = Vault::open(engine.clone(), engine.incarnation(), keyring, clock, kept);
        let vault = Arc::new(vault.unwrap());
        let key = vault.audit_key().bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let log = open_audit(&settings, data_dir, &vault, engine.anchor()).unwrap();
        let told = log.clone();
        engine.anchor_with(move || told.anchor());
        for (actor, outcome) in
            [("user:alice", Outcome::Ok), ("user:bob", Outcome::Denied), ("=cmd", Outcome::Ok)]
        {
            let entry = Entry {
                time: SystemClock.now(),
                actor: actor.to_owned(),
                action: "read".to_owned(),
                outcome,
                ..Entry::default()
            };
            log.append(&entry).synced_blocking().unwrap();
        }
        log.close().unwrap();
        engine.close().unwrap();
        key
    }

    #[test]
    fn the_commands_read_what_the_daemon_wrote_and_find_what_somebody_changed() {
        let home = tempfile::tempdir().unwrap();
        let data_dir = home.path().join("data");
        let key = store_with_log(&data_dir);
        let at = ["--data-dir", data_dir.to_str().unwrap()];
        let with = |words: &[&'static str]| run(&[words, &at].concat());

        let (shown, code) = run(&[&["verify", "--public-key", &key], at.as_slice()].concat());
        assert_eq!(code, 0, "{shown}");
        assert_eq!(
            shown,
            "5 lines in 1 files, the last one is 5\nthe store vouches for the lines up to 5\n"
        );
        assert!(with(&["verify"]).0.ends_with("the key that the log names itself\n"));
        let (lines, code) = with(&["tail", "-n", "2"]);
        assert!(code == 0 && lines.lines().count() == 2 && lines.contains("\"checkpoint\""));
        let (table, code) = with(&["export", "--format", "csv"]);
        assert!(code == 0 && table.lines().count() == 4 && table.contains(",'=cmd,"), "{table}");
        let (lines, _) = with(&["export", "--actor", "user:bob", "--since", "2026-01-01"]);
        assert!(lines.lines().count() == 1 && lines.contains("\"denied\""), "{lines}");

        let file = data_dir.join("audit/audit.jsonl");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("user:bob", "user:eve")).unwrap();
        let (shown, code) = with(&["verify"]);
        assert!(code == 1 && shown.contains("audit.jsonl:3: Edited: line 3: "), "{shown}");
        fs::remove_dir_all(data_dir.join("audit")).unwrap();
        let (shown, code) = with(&["verify"]);
        assert!(code == 1 && shown.contains("Cut: line 5: "), "{shown}");
    }

    #[test]
    fn a_key_or_a_time_that_is_none_is_refused() {
        for words in [
            ["verify", "--public-key", "12"],
            ["export", "--since", "yesterday"],
            ["export", "--format", "xml"],
        ] {
            assert!(Line::try_parse_from([&["audit"], words.as_slice()].concat()).is_err());
        }
    }

    #[test]
    fn a_time_is_a_day_or_a_moment_in_utc() {
        let read = |text: &str| time(text).ok().map(Timestamp::to_rfc3339);
        let day = Some("2026-11-22T00:00:00.000Z".to_owned());
        assert_eq!(read("2026-11-22"), day);
        assert_eq!(read("2026-11-22T00:00:00Z"), day);
        assert_eq!(read("2026-11-22T00:00:00.000Z"), day);
        assert_eq!(read("2026-11-22T09:30:00.123Z").unwrap(), "2026-11-22T09:30:00.123Z");
        for other in ["", "2026-11", "2026-13-01", "22.11.2026", "2026-11-22T09:30:00+01:00"] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
