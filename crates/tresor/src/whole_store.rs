//! `tresor compact`, `backup`, `restore` and `verify`: acts on a store as a whole, in the daemon that has
//! it or without one.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::{BackupBody, CompactionBody, VerificationBody};
use clap::Args;
use client::{Client, ClientError};
use crypto::Keyring;
use domain::{Clock, ResourceVersion};
use store::{
    BackupHeader, BackupSummary, DataDir, Engine, RestoreError, RestorePlan, SledEngine,
    read_backup,
};

use crate::audit::operators_act;
use crate::clock::SystemClock;
use crate::command::{KeyStoreArgs, StoreArgs};
use crate::dial::failed;
use crate::failure::{Failure, chain};
use crate::init::{Opened, open};
use crate::keys::{Output, Place};
use crate::progress::Bytes;

/// How often a compaction is asked how far it has come.
const POLL: Duration = Duration::from_millis(100);

#[derive(Args)]
pub(crate) struct CompactArgs {
    #[command(flatten)]
    store: KeyStoreArgs,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Args)]
pub(crate) struct BackupArgs {
    /// The file to write. It must not exist, and is there only when the backup is whole.
    #[arg(long, value_name = "PATH")]
    to: PathBuf,
    /// An earlier backup: only what was written since is taken, to be restored on top of it.
    #[arg(long, value_name = "PATH")]
    on_top_of: Option<PathBuf>,
    #[command(flatten)]
    store: KeyStoreArgs,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Args)]
pub(crate) struct RestoreArgs {
    /// A whole backup, and behind it those that go on top of it, oldest first.
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    from: Vec<PathBuf>,
    #[command(flatten)]
    store: StoreArgs,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Args)]
pub(crate) struct VerifyArgs {
    /// A whole backup, and behind it those that go on top of it: every byte of them is checked, instead of
    /// a store. It needs no root key; whether the values open, a restore shows.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    backup: Vec<PathBuf>,
    #[command(flatten)]
    store: KeyStoreArgs,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// A backup, as it is told of.
fn told(header: &BackupHeader, summary: &BackupSummary) -> BackupBody {
    let wire = |at| ResourceVersion::new(header.incarnation, at).to_string();
    BackupBody {
        resource_version: wire(header.revision),
        since: header.since.map(wire),
        creation_timestamp: header.created_at.to_rfc3339(),
        records: summary.records,
        kept: summary.kept,
        bytes: summary.bytes,
    }
}

fn line(backup: &BackupBody) -> String {
    let BackupBody { resource_version, creation_timestamp, records, bytes, .. } = backup;
    let since = backup.since.as_ref().map(|since| format!(", on top of {since}"));
    let since = since.unwrap_or_default();
    format!(
        "resourceVersion {resource_version} of {creation_timestamp}{since}: {records} records, {bytes} bytes"
    )
}

async fn find(store: KeyStoreArgs) -> Result<Place, Failure> {
    let loaded = store.load()?;
    let found = tokio::task::spawn_blocking(move || Place::find(&loaded, store.passphrase)).await;
    found.map_err(|_| Failure::new("the store could not be opened"))?
}

/// Does something on an open store, and closes it in order whatever comes of it.
async fn offline<T: Send + 'static>(
    opened: Opened,
    act: impl FnOnce(&Opened) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(move || {
        let done = act(&opened);
        let closed = opened.close();
        done.and_then(|done| closed.map(|()| done))
    });
    done.await.map_err(|_| Failure::new("the work met a defect"))?
}

fn text(
    output: Output,
    json: serde_json::Result<String>,
    line: impl FnOnce() -> String,
) -> Result<String, Failure> {
    match output {
        Output::Text => Ok(line() + "\n"),
        Output::Json => {
            json.map(|text| text + "\n").map_err(|error| Failure::new(error.to_string()))
        }
    }
}

fn store_of(opened: &Opened) -> String {
    format!("store:{}", opened.vault.store_id())
}

impl CompactArgs {
    /// What to print when it is done.
    pub(crate) async fn run(self) -> Result<String, Failure> {
        let output = self.output;
        let done = match find(self.store).await? {
            Place::Daemon { client, .. } => compact_in_daemon(&client).await?,
            Place::Offline(opened) => {
                offline(opened, |opened| {
                    opened.write_down(&operators_act("compactStore", store_of(opened)))?;
                    let mut shown = Bytes::new("copied and compared");
                    let failed = |error| Failure::new(chain(&error));
                    let mut view = opened.engine.begin_compaction().map_err(failed)?;
                    while view.state == store::CompactionState::Running {
                        shown.show(view.done_bytes, view.total_bytes);
                        std::thread::sleep(POLL);
                        view = opened.engine.compaction();
                    }
                    Ok(server::compaction_body(&view))
                })
                .await?
            }
        };
        if let Some(reason) = &done.reason {
            return Err(Failure::new(format!(
                "compaction was given up: {reason}; the store is as it was"
            )));
        }
        text(output, serde_json::to_string(&done), || {
            let CompactionBody { file_bytes_before, file_bytes_after, .. } = done;
            format!("the data file has {file_bytes_after} bytes, and had {file_bytes_before}")
        })
    }
}

async fn compact_in_daemon(client: &Client) -> Result<CompactionBody, Failure> {
    let mut shown = Bytes::new("copied and compared");
    let mut view = client.compact().await.map_err(failed)?;
    while view.state == "running" {
        shown.show(view.done_bytes, view.total_bytes);
        tokio::time::sleep(POLL).await;
        view = client.store().await.map_err(failed)?.compaction;
    }
    Ok(view)
}

impl BackupArgs {
    /// What to print when it is done.
    pub(crate) async fn run(self) -> Result<String, Failure> {
        let Self { to, on_top_of, store, output } = self;
        let below = on_top_of.map(|file| header_of(&file)).transpose()?;
        let since = below.as_ref().map(BackupHeader::resource_version);
        let partial = Partial::make(&to)?;
        let place = find(store).await?;
        let file = partial.file.try_clone().map_err(|error| partial.failed(&error))?;
        let mut out = BufWriter::with_capacity(1 << 18, file);
        match place {
            Place::Daemon { client, .. } => {
                let since = since.map(|since| since.to_string());
                let taken = client.back_up(since.as_deref(), |part| out.write_all(part)).await;
                match taken {
                    Err(ClientError::Answer(error)) if error.is::<io::Error>() => {
                        return Err(partial.failed(&*error));
                    }
                    other => other.map_err(failed)?,
                }
                out.flush().map_err(|error| partial.failed(&error))?;
            }
            Place::Offline(opened) => {
                offline(opened, move |opened| {
                    let mut shown = Bytes::new("read");
                    let told = &mut |done, total| shown.show(done, total);
                    let now = SystemClock.now();
                    let done = opened.engine.back_up(since, now, &mut out, told);
                    done.map_err(|error| Failure::new(chain(&error)))?;
                    opened.write_down(&operators_act("backUpStore", store_of(opened)))
                })
                .await?;
            }
        }
        let (header, summary) = partial.finish()?;
        let taken = told(&header, &summary);
        text(output, serde_json::to_string(&taken), || {
            format!("{} holds {}", to.display(), line(&taken))
        })
    }
}

/// A file that gets its name when it is whole. It is locked while it is written.
struct Partial {
    path: PathBuf,
    to: PathBuf,
    file: File,
    done: bool,
}

impl Partial {
    fn make(to: &Path) -> Result<Self, Failure> {
        if to.exists() {
            return Err(Failure::new(format!("{} exists; name another file", to.display())));
        }
        let mut name = to.as_os_str().to_owned();
        name.push(".partial");
        let path = PathBuf::from(name);
        let busy = || Failure::new(format!("another backup to {} is under way", to.display()));
        // What a command that was killed has left is no backup, and may be somebody else's to read. What
        // another one writes at this moment is locked.
        let left = File::open(&path).ok();
        if left.as_ref().is_some_and(is_locked) {
            return Err(busy());
        }
        let _ = fs::remove_file(&path);
        let mut options = OpenOptions::new();
        let made = options.read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = made.map_err(|error| {
            Failure::new(format!("{} cannot be written: {error}", path.display()))
        })?;
        // One that began at the same time has taken it for what was left.
        if is_locked(&file) {
            return Err(busy());
        }
        Ok(Self { path, to: to.to_owned(), file, done: false })
    }

    fn failed(&self, error: &dyn std::error::Error) -> Failure {
        Failure::new(format!("{} cannot be written: {}", self.path.display(), chain(error)))
    }

    /// Makes it durable, reads it back to its end, and gives it its name.
    fn finish(mut self) -> Result<(BackupHeader, BackupSummary), Failure> {
        self.file.sync_all().map_err(|error| self.failed(&error))?;
        let read = verified(&self.path)?;
        // A link, and not a rename: what has come by the name meanwhile stays.
        fs::hard_link(&self.path, &self.to)
            .or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Err(error),
                // Not every file system has links.
                _ => fs::rename(&self.path, &self.to),
            })
            .map_err(|error| self.failed(&error))?;
        self.done = true;
        let _ = fs::remove_file(&self.path);
        let parent = self.to.parent().filter(|parent| !parent.as_os_str().is_empty());
        let synced = File::open(parent.unwrap_or(Path::new("."))).and_then(|dir| dir.sync_all());
        let to = self.to.display();
        synced.map_err(|error| {
            Failure::new(format!("{to} is whole, and may lose its name in a power cut: {error}"))
        })?;
        Ok(read)
    }
}

/// Whether another process has locked a file; if not, it is locked now. Where the file system has no locks,
/// none has.
fn is_locked(file: &File) -> bool {
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.done {
            // What is left of it is no backup.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn verified(file: &Path) -> Result<(BackupHeader, BackupSummary), Failure> {
    let opened = File::open(file)
        .map_err(|error| Failure::new(format!("{} cannot be read: {error}", file.display())))?;
    let mut input = BufReader::with_capacity(1 << 18, opened);
    read_backup(&mut input)
        .map_err(|error| RestoreError::Backup { file: file.to_owned(), error }.into())
}

fn header_of(file: &Path) -> Result<BackupHeader, Failure> {
    verified(file).map(|(header, _)| header)
}

impl RestoreArgs {
    /// What to print when it is done.
    pub(crate) fn run(self) -> Result<String, Failure> {
        let Self { from, store, output } = self;
        let (loaded, root) = store.open()?;
        let data_dir = loaded.data_dir()?;
        let plan = RestorePlan::read(&from)?;
        // Nothing is made for somebody who cannot open it.
        let root = root.load()?;
        Keyring::open(&plan.header.keyring, root.unlock())?;
        let dir = DataDir::create(data_dir)?;
        let mut shown = Bytes::new("restored");
        let before = plan.header.incarnation;
        let next = vault::next_incarnation(before)?;
        let incarnation = next.ok_or_else(|| RestoreError::TooOften(before.get()))?;
        let told = &mut |bytes| shown.show(bytes, plan.bytes);
        SledEngine::restore(&dir, &plan, incarnation, told)?;
        let opened = open(dir, root.unlock(), &loaded.settings)?;
        let was = plan.header.resource_version();
        let entry = audit::Entry {
            resource_version: Some(opened.vault.resource_version().to_string()),
            detail: Some(format!("from a backup of resourceVersion {was}")),
            ..operators_act("restoreStore", store_of(&opened))
        };
        let done = opened
            .write_down(&entry)
            .and_then(|()| Ok(opened.vault.verify_operators_store(&mut |_| {})?));
        let now = opened.vault.resource_version();
        let closed = opened.close();
        let done = server::verification_body(&done?);
        closed?;
        judge(&done)?;
        text(output, serde_json::to_string(&done), || {
            format!(
                "{} holds the store of resourceVersion {was}, which is {now} from now on: {} secrets with {} versions, and all {} records open",
                data_dir.display(),
                done.secrets,
                done.versions,
                done.records
            )
        })
    }
}

impl VerifyArgs {
    /// What to print when nothing is wrong.
    pub(crate) async fn run(self) -> Result<String, Failure> {
        let Self { backup, store, output } = self;
        if !backup.is_empty() {
            let plan = RestorePlan::read(&backup)?;
            let summary = BackupSummary { bytes: plan.bytes, ..plan.summary };
            let read = told(&plan.header, &summary);
            return text(output, serde_json::to_string(&read), || {
                format!("every byte is as it was written; {}", line(&read))
            });
        }
        let done = match find(store).await? {
            Place::Daemon { client, .. } => client.verify().await.map_err(failed)?,
            Place::Offline(opened) => {
                offline(opened, |opened| {
                    opened.write_down(&operators_act("verifyStore", store_of(opened)))?;
                    let done = opened.vault.verify_operators_store(&mut |_| {})?;
                    Ok(server::verification_body(&done))
                })
                .await?
            }
        };
        judge(&done)?;
        text(output, serde_json::to_string(&done), || {
            format!(
                "nothing is wrong: {} secrets with {} versions, and all {} records open",
                done.secrets, done.versions, done.records
            )
        })
    }
}

/// What is wrong goes into the one line of the failure, as far as a line takes it.
fn judge(done: &VerificationBody) -> Result<(), Failure> {
    if done.wrong == 0 {
        return Ok(());
    }
    let shown: Vec<_> =
        done.findings.iter().take(10).map(|f| format!("{}: {}", f.at, f.what)).collect();
    let more = done.wrong.saturating_sub(shown.len() as u64);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Err(Failure::damaged(format!(
        "{} of {} records are wrong: {}{more}",
        done.wrong,
        done.records,
        shown.join("; ")
    )))
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Open(error) => error.into(),
            RestoreError::Backup { .. } => Self::damaged(chain(&error)),
            other => Self::new(chain(&other)),
        }
    }
}
