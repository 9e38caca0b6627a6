//! The standard output: bytes that are gone once they are written.

use std::io::{self, Write};
use std::os::fd::AsFd;

use domain::Anchor;

use crate::line::{self, Line};
use crate::station::{Batch, Station};
use crate::writer::{Medium, Reopened};

/// The process's standard output, without the lock that others who print there hold.
///
/// # Errors
/// When the process has none.
pub fn standard_output() -> io::Result<Box<dyn Write + Send>> {
    let own = io::stdout().as_fd().try_clone_to_owned()?;
    Ok(Box::new(std::fs::File::from(own)))
}

pub(crate) struct StreamSink {
    out: Box<dyn Write + Send>,
    /// The last line that went out whole.
    held: Option<Anchor>,
}

impl StreamSink {
    pub(crate) fn new(out: Box<dyn Write + Send>, held: Option<Anchor>) -> Self {
        Self { out, held }
    }
}

impl Medium for StreamSink {
    fn write(&mut self, batch: &Batch, _: &Station) -> io::Result<()> {
        let mut rest = batch.bytes.as_slice();
        while !rest.is_empty() {
            match self.out.write(rest) {
                Ok(0) => return self.stop(batch, rest, io::ErrorKind::WriteZero.into()),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.stop(batch, rest, error),
            }
        }
        if let Err(error) = self.out.flush() {
            return self.stop(batch, &[], error);
        }
        self.held = batch.last;
        Ok(())
    }

    /// An empty line: an end for a line that was cut short, and proof that somebody takes it.
    fn reopen(&mut self, _: Option<Anchor>, _: &Station) -> io::Result<Reopened> {
        self.out.write_all(b"\n")?;
        self.out.flush()?;
        let held = self.held;
        Ok(Reopened {
            held,
            resource_version: None,
            signed: true,
            breakage: None,
            layout: None,
            file: None,
            has_room: true,
        })
    }

    fn look_around(&mut self, _: &Station) -> io::Result<()> {
        Ok(())
    }
}

impl StreamSink {
    /// Notes which line was the last whole one.
    fn stop(&mut self, batch: &Batch, rest: &[u8], error: io::Error) -> io::Result<()> {
        let gone = batch.bytes.get(..batch.bytes.len() - rest.len()).unwrap_or_default();
        let whole = gone.iter().rposition(|&byte| byte == b'\n');
        let whole = whole.and_then(|newline| gone.get(..newline)).unwrap_or_default();
        let last = whole.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
        if let Ok(Line { seq, .. }) = Line::parse(last) {
            self.held = Some(Anchor { seq, hash: line::hash(last) });
        }
        Err(error)
    }
}
