//! The thread of a sink: writes what is queued and nobody else writes, and brings the sink back when it
//! was out.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{Anchor, ResourceVersion};

use crate::log::Shared;
use crate::record::Break;
use crate::station::{Batch, Next, Station};

const LOOK_AROUND: Duration = Duration::from_secs(1);

/// Where a sink's lines end up.
pub(crate) trait Medium: Send {
    /// Writes a batch whole. After an error it is unknown how much of it went out.
    fn write(&mut self, batch: &Batch, station: &Station) -> io::Result<()>;
    /// Makes it writable, and says what it holds.
    fn reopen(&mut self, expected: Option<Anchor>, station: &Station) -> io::Result<Reopened>;
    /// Whether it still is what it was, looked at once a second.
    fn look_around(&mut self, station: &Station) -> io::Result<()>;
}

/// What a medium holds.
pub(crate) struct Reopened {
    /// Its last line.
    pub(crate) held: Option<Anchor>,
    /// Whether that is a checkpoint.
    pub(crate) signed: bool,
    /// A file's: the latest resource version that a line behind the expected one speaks of.
    pub(crate) resource_version: Option<ResourceVersion>,
    /// What is wrong with it.
    pub(crate) breakage: Option<Break>,
    /// A file's: how the log lies in its files.
    pub(crate) layout: Option<Layout>,
    pub(crate) file: Option<Arc<File>>,
    /// Whether there is room for more lines.
    pub(crate) has_room: bool,
}

/// How the log lies in its files.
pub(crate) struct Layout {
    /// The number of the current file's first line, when it has one.
    pub(crate) first: Option<u64>,
    /// The current file's length, with all that is queued for it.
    pub(crate) bytes: u64,
    /// The first lines of the older files.
    pub(crate) rotated: VecDeque<u64>,
}

/// Runs until the log is closed.
pub(crate) fn run(shared: &Shared, station: &Station) {
    let mut looked = Instant::now();
    loop {
        match station.next() {
            Next::Close => break,
            Next::Idle => shared.checkpoint_if_due(),
            Next::Retry => match station.reopen() {
                Ok(reopened) if reopened.has_room => shared.readmit(station, reopened),
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "an audit sink is still out"),
            },
            Next::Write => station.write_all(),
        }
        if looked.elapsed() >= LOOK_AROUND {
            looked = Instant::now();
            station.look_around();
        }
    }
    station.writer_gone();
}
