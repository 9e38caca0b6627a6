//! Holds a log against a copy of it that somebody else kept: what a copy has, the log must have, or
//! else the log was put back to an earlier state together with whatever lies beside it.
//!
//! The copy is what left by the standard output, or any part of a log's files: lines of several
//! lives of the daemon, one behind the other, and between them lines that are none.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use domain::ResourceVersion;

use crate::files::{LogFiles, open_to_read};
use crate::line::{self, Line, MAX_LINE_BYTES};
use crate::record::{Begin, Body};
use crate::signature::{Verify, message};

/// How often, and after how long, the log is read anew when the copy goes on behind its end: beside
/// a running daemon the copy may have got a line before the file did.
const ATTEMPTS: usize = 15;
const PATIENCE: Duration = Duration::from_millis(200);
/// So much of a hash tells two lines apart that nobody made to be alike.
const KEPT_HASH: usize = 16;

/// What a copy has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// How many of its lines are lines of a log.
    pub lines: u64,
    /// What the log does not have of them.
    pub lost: Option<Lost>,
}

/// Lines that the copy has and the log has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// How many there are.
    pub lines: u64,
    /// The lowest number among them.
    pub first: u64,
    /// The highest number among them.
    pub last: u64,
    /// Whether another line has one of these numbers in the log; otherwise all of them lie behind
    /// the log's end.
    pub forked: bool,
    /// Whether the audit key has signed one of them, so that nobody can have made them up.
    pub signed: bool,
    /// The latest resource version that they speak of.
    pub resource_version: Option<ResourceVersion>,
}

/// Compares a copy with a log, also while a daemon writes both. `keys` are those that may have
/// signed, and `store` is whose log it is.
///
/// # Errors
/// When a file cannot be read, or the copy is of another store.
pub fn compare(
    copy: &Path,
    files: &LogFiles,
    (store, keys): (&[u8; 16], &[[u8; 32]]),
    verify: Verify,
) -> io::Result<Compared> {
    // Its end before the log's, so that the log is the one that may have gone on.
    let end = open_to_read(copy)?.metadata()?.len();
    let mut attempts = ATTEMPTS;
    loop {
        let known = Known::read(files)?;
        let mut comparison = Comparison { store, keys, verify, known, found: Compared::default() };
        let file = open_to_read(copy)?;
        let mut is_ours = true;
        each_line(file.take(end), |bytes| is_ours &= comparison.line(bytes))?;
        if !is_ours {
            return Err(io::Error::other("it is the log of another store"));
        }
        let found = comparison.found;
        attempts -= 1;
        let may_come = found.lost.as_ref().is_some_and(|lost| !lost.forked) && attempts > 0;
        if !may_come {
            return Ok(found);
        }
        std::thread::sleep(PATIENCE);
    }
}

/// The hashes of a log's lines; none where the file lacks one, which the log itself confesses.
#[derive(Default)]
struct Known {
    first: u64,
    hashes: Vec<Option<[u8; KEPT_HASH]>>,
}

/// What a log has in the place of a line.
#[derive(PartialEq, Eq)]
enum Place {
    Before,
    Missing,
    Holds([u8; KEPT_HASH]),
    Behind,
}

impl Known {
    fn read(files: &LogFiles) -> io::Result<Self> {
        let mut known = Self::default();
        // Opened before the older ones are listed, so that no file is missed that is renamed
        // meanwhile; one that is then read twice changes nothing.
        let current = open_if_there(files.current())?;
        for (_, path) in files.rotated()? {
            if let Some(file) = open_if_there(&path)? {
                each_line(file, |bytes| known.note(bytes))?;
            }
        }
        if let Some(file) = current {
            each_line(file, |bytes| known.note(bytes))?;
        }
        Ok(known)
    }

    fn note(&mut self, bytes: &[u8]) {
        let Ok(line) = Line::parse(bytes) else { return };
        if self.hashes.is_empty() {
            self.first = line.seq;
        }
        let Some(index) = line.seq.checked_sub(self.first) else { return };
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        // A number far beyond the last one is no line of ours.
        if index <= self.hashes.len().saturating_add(1 << 22) {
            let length = self.hashes.len().max(index + 1);
            self.hashes.resize(length, None);
            if let Some(place) = self.hashes.get_mut(index) {
                *place = Some(kept(bytes));
            }
        }
    }

    fn place(&self, seq: u64) -> Place {
        let Some(index) = seq.checked_sub(self.first) else { return Place::Before };
        match usize::try_from(index).ok().and_then(|index| self.hashes.get(index)) {
            Some(Some(hash)) => Place::Holds(*hash),
            Some(None) => Place::Missing,
            None => Place::Behind,
        }
    }
}

struct Comparison<'a> {
    store: &'a [u8; 16],
    keys: &'a [[u8; 32]],
    verify: Verify,
    known: Known,
    found: Compared,
}

impl Comparison<'_> {
    /// Takes a line of the copy in; says whether it can be of this store.
    fn line(&mut self, bytes: &[u8]) -> bool {
        let Ok(line) = Line::parse(bytes) else { return true };
        if matches!(&line.body, Body::Begin(Begin { store, .. }) if store.0 != *self.store) {
            return false;
        }
        self.found.lines += 1;
        let forked = match self.known.place(line.seq) {
            Place::Before | Place::Missing => return true,
            Place::Holds(hash) if hash == kept(bytes) => return true,
            Place::Holds(_) => true,
            Place::Behind => false,
        };
        let signed = self.is_signed(&line);
        let seq = line.seq;
        let none = Lost { lines: 0, first: seq, last: seq, forked, signed, resource_version: None };
        let lost = self.found.lost.get_or_insert(none);
        lost.lines += 1;
        (lost.first, lost.last) = (lost.first.min(seq), lost.last.max(seq));
        (lost.forked, lost.signed) = (lost.forked | forked, lost.signed | signed);
        lost.resource_version = lost.resource_version.max(line.resource_version());
        true
    }

    fn is_signed(&self, line: &Line) -> bool {
        let Body::Signed(statement, seal) = &line.body else { return false };
        let message = message(statement, self.store, line.seq, &line.prev, line.time);
        self.keys.iter().any(|key| (self.verify)(key, &message, &seal.signature.0))
    }
}

fn open_if_there(path: &Path) -> io::Result<Option<File>> {
    match open_to_read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

fn kept(bytes: &[u8]) -> [u8; KEPT_HASH] {
    line::hash(bytes).first_chunk().copied().unwrap_or_default()
}

/// Whole lines, without their newlines. Longer ones than any of ours come in pieces, which are none.
fn each_line(source: impl Read, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let (mut reader, mut bytes) = (BufReader::with_capacity(64 << 10, source), Vec::new());
    loop {
        bytes.clear();
        let limit = MAX_LINE_BYTES as u64 + 1;
        if reader.by_ref().take(limit).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(());
        }
        if bytes.pop() == Some(b'\n') {
            take(&bytes);
        }
    }
}
