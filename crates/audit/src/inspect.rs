//! What is found at the end of the log, held against an anchor. Nothing that is found keeps the log
//! from going on.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use domain::{Anchor, ResourceVersion};

use crate::backward::{Backward, Placed};
use crate::files::{LogFiles, open_to_read, open_to_write};
use crate::line::{self, Line, NOTHING};
use crate::record::{Body, Break, Reason, Statement};

/// The current file, ready to be written behind its end.
pub(crate) struct Found {
    pub(crate) file: File,
    pub(crate) end: u64,
    /// The number of its first line, if it has any.
    pub(crate) first: Option<u64>,
    /// The last line of the log.
    pub(crate) last: Anchor,
    /// Whether that is a checkpoint, or there is none.
    pub(crate) signed: bool,
    /// The latest resource version that a line behind the anchor speaks of.
    pub(crate) resource_version: Option<ResourceVersion>,
    /// What is wrong.
    pub(crate) breakage: Option<Break>,
    /// From here on the file may not be on the disk.
    pub(crate) unproven_from: u64,
    /// The first lines of the older files.
    pub(crate) rotated: Vec<u64>,
}

/// Looks at the end of the log. A last line without an end is cut off when it lies behind the
/// anchor; otherwise it is left as it is, and gets an end.
pub(crate) fn inspect(files: &LogFiles, expected: Option<Anchor>) -> io::Result<Found> {
    let file = open_to_write(files.current())?;
    let rotated = files.rotated()?;
    let (lines, whole) = Backward::new(file.try_clone()?)?;
    let proven = expected.is_none();
    let mut walk = Walk { expected, proven, unproven_from: whole, ..Walk::default() };
    walk.through(lines, true)?;
    for (_, path) in rotated.iter().rev() {
        if walk.done {
            break;
        }
        walk.through(Backward::new(open_to_read(path)?)?.0, false)?;
    }
    let last = walk.last.unwrap_or(NOTHING);
    let is_short = expected.is_some_and(|expected| last.seq < expected.seq);
    let mut end = file.metadata()?.len();
    let torn = end - whole;
    if torn > 0 && is_short {
        file.write_all_at(b"\n", end)?;
        end += 1;
    } else if torn > 0 {
        file.set_len(whole)?;
        end = whole;
    }
    let reason = match walk.last {
        None if expected.is_some() => Some(Reason::Missing),
        _ if is_short => Some(Reason::Short),
        _ if !walk.proven || walk.unsound => Some(Reason::Differs),
        _ if torn > 0 => Some(Reason::Torn),
        _ => None,
    };
    let cut = if is_short { 0 } else { torn };
    let breakage = reason.map(|reason| Break::new(reason, last, expected, cut));
    let first = if end == 0 { None } else { Some(first_line(&file, last)?) };
    let rotated = rotated.into_iter().map(|(first, _)| first).collect();
    let signed = !walk.ends_unsigned;
    Ok(Found {
        file,
        end,
        first,
        last,
        signed,
        resource_version: walk.resource_version,
        breakage,
        unproven_from: walk.unproven_from,
        rotated,
    })
}

/// The number of a file's first line; when that is none, the next best.
fn first_line(file: &File, last: Anchor) -> io::Result<u64> {
    let mut begin = vec![0; line::MAX_LINE_BYTES];
    let read = file.read_at(&mut begin, 0)?;
    begin.truncate(read);
    let first = begin.split(|&byte| byte == b'\n').next().map(Line::parse);
    Ok(first.and_then(Result::ok).map_or(last.seq, |line| line.seq))
}

/// From the last line back to the anchor.
#[derive(Default)]
struct Walk {
    expected: Option<Anchor>,
    last: Option<Anchor>,
    ends_unsigned: bool,
    /// The line behind the one that is looked at.
    behind: Option<Link>,
    /// The anchor's line was found.
    proven: bool,
    /// What lies behind it is no chain.
    unsound: bool,
    unproven_from: u64,
    resource_version: Option<ResourceVersion>,
    done: bool,
}

/// What a line says of the one before it.
struct Link {
    seq: u64,
    prev: [u8; 32],
    /// What it stands behind, where it says that something is missing.
    after: Option<Anchor>,
}

impl Walk {
    fn through(&mut self, mut lines: Backward, is_current: bool) -> io::Result<()> {
        while !self.done
            && let Some(placed) = lines.next_line()?
        {
            let end = placed.at + placed.bytes.len() as u64 + 1;
            self.look_at(&placed);
            if is_current {
                self.unproven_from = if self.done { end } else { placed.at };
            }
        }
        let is_next = |link: &Link| self.expected.is_some_and(|e| e.seq + 1 == link.seq);
        if !self.done
            && let Some(link) = self.behind.as_ref().filter(|link| is_next(link))
        {
            self.proven = self.expected.is_some_and(|expected| expected.hash == link.prev);
            self.done = true;
        }
        Ok(())
    }

    fn look_at(&mut self, Placed { bytes, .. }: &Placed) {
        let Ok(line) = Line::parse(bytes) else {
            self.unsound = true;
            return;
        };
        let anchor = Anchor { seq: line.seq, hash: line::hash(bytes) };
        if self.last.is_none() {
            self.last = Some(anchor);
            let is_checkpoint = matches!(line.body, Body::Signed(Statement::Checkpoint(_), _));
            self.ends_unsigned = !is_checkpoint;
        }
        self.unsound |= self.behind.as_ref().is_some_and(|link| !link.follows(anchor));
        match self.expected {
            None => self.done = true,
            Some(expected) if anchor.seq <= expected.seq => {
                (self.proven, self.done) = (anchor == expected, true);
            }
            Some(_) => self.resource_version = self.resource_version.max(line.resource_version()),
        }
        // The first line of a file, and behind it what says that something is missing before it.
        let carried = self.behind.take().and_then(|link| link.after);
        let after = match line.body {
            Body::Begin(_) => carried,
            Body::Entry(_) => None,
            Body::Signed(statement, _) => statement.after(),
        };
        self.behind = Some(Link { seq: line.seq, prev: line.prev, after });
    }
}

impl Link {
    fn follows(&self, before: Anchor) -> bool {
        let is_next = before.seq + 1 == self.seq && before.hash == self.prev;
        is_next || self.after == Some(before)
    }
}
