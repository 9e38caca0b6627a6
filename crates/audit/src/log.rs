//! The open log.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use domain::{Anchor, Clock, ResourceVersion};
use parking_lot::Mutex;

use crate::chain::{Chain, tell};
use crate::entry::Entry;
use crate::file_sink::FileSink;
use crate::files::{LogFiles, open_to_write};
use crate::line::{self, NOTHING};
use crate::receipt::{Receipt, Unavailable};
use crate::record::Statement;
use crate::signature::Signer;
use crate::station::{Kind, Station};
use crate::stream_sink::StreamSink;
use crate::syncer;
use crate::writer::{self, Medium, Reopened};

/// How the log is kept.
pub struct Options {
    /// The current file, if there is to be one.
    pub file: Option<PathBuf>,
    /// A stream that lines go to as well; see [`crate::standard_output`].
    pub stdout: Option<Box<dyn Write + Send>>,
    /// A new file is begun before one grows beyond this.
    pub max_file_bytes: u64,
    /// How many older files are kept; 0 is all.
    pub keep_files: usize,
    /// How long a record may take to reach a sink.
    pub deadline: Duration,
    /// The store's identity.
    pub store: [u8; 16],
    /// How far the log had come when the store was last written.
    pub expected: Option<Anchor>,
}

/// Why the log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes it.
    #[error("the audit log {} is in use by another process; stop it first", path.display())]
    InUse {
        /// Its current file.
        path: PathBuf,
    },
    /// The system refused an operation.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The audit log, open for appending.
pub struct AuditLog {
    /// None when it is switched off.
    open: Option<Open>,
}

struct Open {
    shared: Arc<Shared>,
    file: Option<Arc<Station>>,
    stdout: Option<Arc<Station>>,
    deadline: Duration,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// As it was found.
    resource_version: Option<ResourceVersion>,
}

/// What appenders share with the sinks' threads.
pub(crate) struct Shared {
    chain: Mutex<Chain>,
}

impl Shared {
    pub(crate) fn checkpoint_if_due(&self) {
        self.chain.lock().checkpoint_if_due();
    }

    pub(crate) fn readmit(&self, station: &Station, reopened: Reopened) {
        self.chain.lock().readmit(station, reopened);
    }
}

impl AuditLog {
    /// A log that takes everything and keeps nothing.
    pub fn disabled() -> Arc<Self> {
        Arc::new(Self { open: None })
    }

    /// Opens the log and goes on with its chain. What is found in the file, and is not what was
    /// left, is told and recorded, and is no error.
    ///
    /// # Errors
    /// When the file cannot be written, or another process has it.
    pub fn open(
        options: Options,
        signer: Arc<dyn Signer>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, OpenError> {
        let Options { file, stdout, max_file_bytes, keep_files, deadline, store, expected } =
            options;
        if file.is_none() && stdout.is_none() {
            return Ok(Self::disabled());
        }
        let files = file.map(LogFiles::new);
        let station = |kind| Arc::new(Station::new(kind, deadline));
        let stations = (
            files.as_ref().map(|_| station(Kind::File)),
            stdout.as_ref().map(|_| station(Kind::Stdout)),
        );
        let opened = match (&files, &stations.0) {
            (Some(files), Some(station)) => Some(open_file(files, expected, station)?),
            _ => None,
        };
        let (sink, found) = opened.unzip();
        let held = found.as_ref().and_then(|found| found.held);
        let resource_version = found.as_ref().and_then(|found| found.resource_version);
        let mut chain = Chain {
            store,
            signer,
            clock,
            max_file_bytes,
            keep_files,
            deadline,
            files: files.clone(),
            file: stations.0.clone(),
            stdout: stations.1.clone(),
            head: Anchor::later(expected, held).unwrap_or(NOTHING),
            layout: None,
            unsigned: 0,
            checkpoint_at: Instant::now(),
            line: Vec::new(),
        };
        let stream = stdout.map(|out| StreamSink::new(out, Some(chain.head)));
        if let Some(station) = &stations.1 {
            station.admit(Some(chain.head), None);
        }
        chain.start(found);
        let open = Open {
            shared: Arc::new(Shared { chain: Mutex::new(chain) }),
            file: stations.0,
            stdout: stations.1,
            deadline,
            threads: Mutex::new(Vec::new()),
            resource_version,
        };
        if let (Some(station), Some(sink)) = (&open.file, sink) {
            open.spawn("audit-file", station, sink)?;
            let station = station.clone();
            open.spawn_thread("audit-sync", move || syncer::run(&station))?;
        }
        if let (Some(station), Some(stream)) = (&open.stdout, stream) {
            open.spawn("audit-stdout", station, stream)?;
        }
        Ok(Arc::new(Self { open: Some(open) }))
    }

    /// The latest resource version that the log spoke of when it was opened, in the lines behind the
    /// one that the store knows. The store has been there, unless it was put back since.
    pub fn resource_version_found(&self) -> Option<ResourceVersion> {
        self.open.as_ref()?.resource_version
    }

    /// Whether a record that is appended soon can be written. Ask before an act that cannot be
    /// taken back.
    pub fn is_ready(&self) -> bool {
        self.open.as_ref().is_none_or(|open| open.stations().any(|station| station.is_ready()))
    }

    /// Adds a record. It counts once the receipt says so; this does not wait for a sink.
    pub fn append(&self, entry: &Entry) -> Receipt {
        let Some(open) = &self.open else { return Receipt::free() };
        let members = line::entry_members(entry);
        open.shared.chain.lock().entry(entry.time, &members)
    }

    /// The last line that is durable in the file; where there is only the standard output, that was
    /// written there. It may be kept by others as proof that the log came so far.
    pub fn anchor(&self) -> Option<Anchor> {
        let open = self.open.as_ref()?;
        open.stations().next()?.anchor().filter(|anchor| anchor.seq > 0)
    }

    /// Signs what is new, and waits until everything so far is durable.
    ///
    /// # Errors
    /// When no sink has it by the deadline.
    pub fn flush(&self) -> Result<(), Unavailable> {
        let Some(open) = &self.open else { return Ok(()) };
        let receipt = {
            let mut chain = open.shared.chain.lock();
            chain.checkpoint();
            chain.receipt()
        };
        receipt.synced_blocking()
    }

    /// Flushes, and ends the threads. Afterwards nothing can be appended.
    ///
    /// # Errors
    /// As [`AuditLog::flush`].
    pub fn close(&self) -> Result<(), Unavailable> {
        let Some(open) = &self.open else { return Ok(()) };
        let mut threads = open.threads.lock();
        if threads.is_empty() {
            return Ok(());
        }
        let flushed = self.flush();
        open.stations().for_each(|station| station.close());
        let until = Instant::now() + open.deadline;
        for thread in threads.drain(..) {
            while !thread.is_finished() && Instant::now() < until {
                thread::sleep(Duration::from_millis(1));
            }
            // One that hangs in a write is left behind.
            if thread.is_finished() && thread.join().is_err() {
                tracing::error!("a thread of the audit log met a defect");
            }
        }
        flushed
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        if self.close().is_err() {
            tracing::error!("the audit log did not close cleanly: its last lines may be missing");
        }
    }
}

impl Open {
    /// The file comes first.
    fn stations(&self) -> impl Iterator<Item = &Arc<Station>> {
        self.file.iter().chain(&self.stdout)
    }

    fn spawn(
        &self,
        name: &str,
        station: &Arc<Station>,
        medium: impl Medium + 'static,
    ) -> Result<(), OpenError> {
        station.set_medium(Box::new(medium));
        let (shared, station) = (self.shared.clone(), station.clone());
        self.spawn_thread(name, move || writer::run(&shared, &station))
    }

    fn spawn_thread(
        &self,
        name: &str,
        run: impl FnOnce() + Send + 'static,
    ) -> Result<(), OpenError> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
        let thread = thread.map_err(|source| OpenError::Io {
            operation: "start a thread for",
            path: PathBuf::from(name),
            source,
        })?;
        self.threads.lock().push(thread);
        Ok(())
    }
}

impl Chain {
    /// The first lines, if there is anything to say.
    fn start(&mut self, found: Option<Reopened>) {
        let Some(Reopened { held, signed, breakage, layout, file, .. }) = found else {
            self.begin();
            return;
        };
        let is_new = layout.as_ref().is_some_and(|layout| layout.first.is_none());
        self.layout = layout;
        if let Some(station) = &self.file {
            station.admit(held, file);
        }
        if is_new {
            self.begin();
        }
        if let Some(found) = breakage {
            tell(&found);
            self.state(Statement::Break(found));
        } else if !signed {
            // What the last run left unsigned must not add up with what this one has not signed yet.
            self.unsigned += 1;
            self.checkpoint();
        }
    }
}

fn open_file(
    files: &LogFiles,
    expected: Option<Anchor>,
    station: &Station,
) -> Result<(FileSink, Reopened), OpenError> {
    let failed = |operation, path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { operation, path, source }
    };
    files.make_dir().map_err(failed("create", files.dir()))?;
    let lock = lock(&files.lock_path(), files.current())?;
    let mut sink = FileSink::new(files.clone(), lock);
    let found = sink.reopen(expected, station).map_err(failed("open", files.current()))?;
    Ok((sink, found))
}

fn lock(path: &Path, shown: &Path) -> Result<File, OpenError> {
    let failed = |source| OpenError::Io { operation: "lock", path: path.to_owned(), source };
    let lock = open_to_write(path).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: shown.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
