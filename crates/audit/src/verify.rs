//! Holds a log against itself, against keys and against an anchor; one line at a time.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use domain::{Anchor, ResourceVersion};

use crate::chain::CHECKPOINT_LINES;
use crate::files::{LogFiles, open_to_read};
use crate::line::{self, Line, MAX_LINE_BYTES, NOTHING};
use crate::record::{Begin, Body, FORMAT, Hex, Reason, Seal, Statement};
use crate::signature::{Verify, message};

/// The most faults that are kept; the others are counted.
const KEPT_FAULTS: usize = 1000;

/// How often a log is read anew because files were deleted meanwhile.
const ATTEMPTS: usize = 10;

/// What the log is held against.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Public keys that are known from elsewhere. Without any, the key that the log names first.
    pub public_keys: Vec<[u8; 32]>,
    /// How far the log had come when the store was last written. Read it before the log.
    pub anchor: Option<Anchor>,
    /// The store's identity; without it, the one that the log names first.
    pub store: Option<[u8; 16]>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many lines there are, and in how many files.
    pub lines: u64,
    /// The files.
    pub files: u64,
    /// The number of the first line.
    pub first: Option<u64>,
    /// The last line.
    pub last: Option<Anchor>,
    /// How many lines behind the last signature nothing but the chain, and the anchor where it lies
    /// behind them, vouches for.
    pub unsigned: u64,
    /// Whether the log was held against keys from elsewhere.
    pub trusted_keys: bool,
    /// The keys that may have signed: those from elsewhere or the one that the log names first, and
    /// their successors.
    pub keys: Vec<[u8; 32]>,
    /// The latest resource version that an entry speaks of, and that entry's number.
    pub resource_version: Option<(ResourceVersion, u64)>,
    /// What is wrong, in the order in which it was found.
    pub faults: Vec<Fault>,
    /// How many more faults there are.
    pub more_faults: u64,
    /// What is to be known, and is no fault.
    pub notices: Vec<Notice>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// In which file; none when a file is missing.
    pub file: PathBuf,
    /// In which line of it, from 1; 0 where it is about no line.
    pub line: u64,
    /// The number that the line has, or should have.
    pub seq: u64,
    /// What is wrong.
    pub kind: FaultKind,
    /// For people.
    pub what: String,
}

/// What can be wrong with a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// The anchor's line has another hash.
    Anchor,
    /// A file does not begin as one does.
    Begin,
    /// The daemon found the file other than it had left it.
    Break,
    /// The log ends before the anchor.
    Cut,
    /// A line is not the one that its successor names.
    Edited,
    /// The log does not begin at its beginning, and does not say why.
    FirstMissing,
    /// The file could not be written for a while.
    Gap,
    /// A line is there twice, or belongs nowhere.
    Inserted,
    /// Not a line of this format.
    Malformed,
    /// A line stands behind one that came after it.
    Moved,
    /// Lines are missing.
    Removed,
    /// A signature is wrong, or by a key that is not trusted.
    Signature,
    /// It belongs to another store.
    Store,
    /// Too many lines without a signature.
    Unsigned,
}

/// Something to be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// In which file.
    pub file: PathBuf,
    /// In which line of it, from 1.
    pub line: u64,
    /// For people.
    pub what: String,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Reads a whole log, also while a daemon writes it.
///
/// # Errors
/// When a file cannot be read.
pub fn verify(files: &LogFiles, trust: &Trust, verify: Verify) -> io::Result<Report> {
    for _ in 0..ATTEMPTS {
        let mut check = Check::new(trust, verify);
        if check.all(files)? {
            return Ok(check.finish(files));
        }
    }
    Err(io::Error::other("files are deleted faster than they can be read"))
}

struct Check<'a> {
    trust: &'a Trust,
    verify: Verify,
    report: Report,
    keys: Vec<[u8; 32]>,
    store: Option<[u8; 16]>,
    /// The line with the highest number so far.
    head: Anchor,
    /// That line was no line of ours: what its successor says of it is told already.
    head_is_told: bool,
    /// Lines that were missing when the chain went on without them.
    missing: BTreeSet<u64>,
    /// A file's first line goes on behind a hole, which its second may explain.
    hole: Option<Hole>,
    unsigned: u64,
    unsigned_is_told: bool,
    retained_through: u64,
    file: PathBuf,
    /// The name of the file before.
    previous: Option<String>,
    line: u64,
    anchor_was_met: bool,
}

struct Hole {
    behind: Anchor,
    place: u64,
    next: u64,
}

impl<'a> Check<'a> {
    fn new(trust: &'a Trust, verify: Verify) -> Self {
        Self {
            trust,
            verify,
            report: Report { trusted_keys: !trust.public_keys.is_empty(), ..Report::default() },
            keys: trust.public_keys.clone(),
            store: trust.store,
            head: NOTHING,
            head_is_told: false,
            missing: BTreeSet::new(),
            hole: None,
            unsigned: 0,
            unsigned_is_told: false,
            retained_through: 0,
            file: PathBuf::new(),
            previous: None,
            line: 0,
            anchor_was_met: false,
        }
    }

    fn fault(&mut self, kind: FaultKind, seq: u64, what: impl Into<String>) {
        self.fault_at(self.line, kind, seq, what.into());
    }

    fn fault_at(&mut self, line: u64, kind: FaultKind, seq: u64, what: String) {
        if self.report.faults.len() < KEPT_FAULTS {
            self.report.faults.push(Fault { file: self.file.clone(), line, seq, kind, what });
        } else {
            self.report.more_faults += 1;
        }
    }

    fn notice(&mut self, what: String) {
        if self.report.notices.len() < KEPT_FAULTS {
            self.report.notices.push(Notice { file: self.file.clone(), line: self.line, what });
        }
    }

    /// Reads everything; says no when files were deleted meanwhile, as configured, so that what says
    /// so may lie in a file that is newer than those that were read.
    fn all(&mut self, files: &LogFiles) -> io::Result<bool> {
        // Opened before the older ones are listed: should it become one of them meanwhile, it is
        // read once all the same.
        let current = match open_to_read(files.current()) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let identity = |file: &File| file.metadata().map(|found| (found.dev(), found.ino()));
        let own = current.as_ref().map(identity).transpose()?;
        let mut own_was_read = false;
        for (_, path) in files.rotated()? {
            let file = match open_to_read(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                opened => opened?,
            };
            own_was_read |= own == Some(identity(&file)?);
            self.file(path, file)?;
        }
        if let Some(current) = current.filter(|_| !own_was_read) {
            self.file(files.current().to_owned(), current)?;
        }
        Ok(!own_was_read || !self.lacks_beginning())
    }

    fn file(&mut self, path: PathBuf, file: File) -> io::Result<()> {
        let before = self.file.file_name().map(|name| name.to_string_lossy().into_owned());
        (self.previous, self.file, self.line) = (before, path, 0);
        self.report.files += 1;
        let (mut reader, mut bytes) = (BufReader::with_capacity(64 << 10, file), Vec::new());
        loop {
            bytes.clear();
            let limit = MAX_LINE_BYTES as u64 + 1;
            if reader.by_ref().take(limit).read_until(b'\n', &mut bytes)? == 0 {
                return Ok(());
            }
            self.line += 1;
            let mut is_whole = bytes.last() == Some(&b'\n');
            if is_whole {
                bytes.pop();
            } else if bytes.len() as u64 == limit {
                // Longer than any line of ours: the rest is passed over, not kept.
                while !is_whole && !reader.fill_buf()?.is_empty() {
                    let block = reader.fill_buf()?;
                    let newline = block.iter().position(|&byte| byte == b'\n');
                    let passed = newline.map_or(block.len(), |newline| newline + 1);
                    is_whole = newline.is_some();
                    reader.consume(passed);
                }
            }
            if is_whole {
                self.line(&bytes);
            } else {
                self.notice("the last line has no end: it is being written, or was torn".into());
            }
        }
    }

    fn line(&mut self, bytes: &[u8]) {
        self.report.lines += 1;
        let Ok(line) = Line::parse(bytes) else {
            let seq = self.head.seq + 1;
            self.fault(FaultKind::Malformed, seq, "this is no line of an audit log");
            // Most likely it is the next line, edited; then its successor goes on behind it.
            (self.head, self.head_is_told) = (Anchor { seq, hash: [0; 32] }, true);
            return;
        };
        let anchor = Anchor { seq: line.seq, hash: line::hash(bytes) };
        self.explain_hole(&line);
        if self.report.first.is_none() {
            self.report.first = Some(line.seq);
            // What lies before is held against the beginning, or the retention, at the end.
            self.head = Anchor { seq: line.seq.saturating_sub(1), hash: line.prev };
            if line.seq == 1 && line.prev != NOTHING.hash {
                self.fault(FaultKind::Edited, 1, "the first line names one before it");
            }
        }
        if self.line == 1 {
            self.first_of_file(&line);
        }
        if line.seq <= self.head.seq && !(self.head_is_told && line.seq == self.head.seq) {
            return self.out_of_place(line.seq);
        }
        self.link(&line);
        if self.trust.anchor.is_some_and(|kept| kept.seq == anchor.seq) {
            self.anchor_was_met = true;
            if self.trust.anchor != Some(anchor) {
                let what = "the store keeps another hash of this line";
                self.fault(FaultKind::Anchor, line.seq, what);
            }
        }
        (self.head, self.head_is_told) = (anchor, false);
        self.unsigned += 1;
        let spoken_of = line.resource_version().map(|version| (version, line.seq));
        self.report.resource_version = self.report.resource_version.max(spoken_of);
        match &line.body {
            Body::Begin(_) | Body::Entry(_) => {}
            Body::Signed(statement, seal) => self.signed(&line, statement, seal),
        }
        if self.unsigned > CHECKPOINT_LINES && !self.unsigned_is_told {
            self.unsigned_is_told = true;
            let what = format!("more than {CHECKPOINT_LINES} lines in a row without a signature");
            self.fault(FaultKind::Unsigned, line.seq, what);
        }
    }

    /// A line whose number was passed already.
    fn out_of_place(&mut self, seq: u64) {
        if self.missing.remove(&seq) {
            self.fault(FaultKind::Moved, seq, "this line stands behind later ones");
        } else {
            self.fault(FaultKind::Inserted, seq, "a line of this number was here already");
        }
    }

    /// Holds a line against the one before it.
    fn link(&mut self, line: &Line) {
        if line.seq == self.head.seq + 1 || self.head_is_told && line.seq == self.head.seq {
            if line.prev != self.head.hash && !self.head_is_told {
                let what = "the line after this one names another hash: one of the two was edited";
                let at = self.line.saturating_sub(1);
                self.fault_at(at, FaultKind::Edited, self.head.seq, what.into());
            }
            return;
        }
        let explained = matches!(&line.body, Body::Signed(statement, _)
            if statement.after().is_some_and(|after| after == self.head || self.head_is_told));
        if explained {
            // The statement says it itself.
        } else if matches!(line.body, Body::Begin(_)) {
            self.hole = Some(Hole { behind: self.head, place: self.line, next: line.seq });
        } else {
            self.removed(self.line, self.head.seq + 1, line.seq);
        }
    }

    fn removed(&mut self, place: u64, from: u64, next: u64) {
        let what = match next - from {
            1 => format!("line {from} is missing before this one"),
            _ => format!("lines {from} to {} are missing before this one", next - 1),
        };
        self.fault_at(place, FaultKind::Removed, from, what);
        let room = KEPT_FAULTS.saturating_sub(self.missing.len());
        self.missing.extend((from..next).take(room));
    }

    /// Behind a file's first line a statement may say why the chain does not go on.
    fn explain_hole(&mut self, line: &Line) {
        let Some(Hole { behind, place, next }) = self.hole.take() else { return };
        let says = |statement: &Statement| statement.after() == Some(behind);
        let explained = matches!(&line.body, Body::Signed(statement, _) if says(statement));
        if !explained {
            self.removed(place, behind.seq + 1, next);
        }
    }

    fn first_of_file(&mut self, line: &Line) {
        let Body::Begin(Begin { format, store, public_key, previous }) = &line.body else {
            let what = "the first line of a file does not say whose it is";
            return self.fault(FaultKind::Begin, line.seq, what);
        };
        if *format != FORMAT {
            self.fault(FaultKind::Begin, line.seq, format!("this is of format {format}"));
        }
        if *self.store.get_or_insert(store.0) != store.0 {
            let what = format!("this file belongs to the store {store}");
            self.fault(FaultKind::Store, line.seq, what);
        }
        if self.keys.is_empty() {
            self.keys.push(public_key.0);
        } else if !self.keys.contains(&public_key.0) {
            let what = format!("the public key {public_key} is not trusted");
            self.fault(FaultKind::Signature, line.seq, what);
        }
        let is_first = self.report.files == 1;
        if !is_first && *previous != self.previous {
            let named = previous.as_deref().unwrap_or("none");
            let what = format!("another file should stand before this one: {named}");
            self.fault(FaultKind::Begin, line.seq, what);
        }
    }

    fn signed(&mut self, line: &Line, statement: &Statement, seal: &Seal) {
        let Some(store) = self.store else {
            let what = "a signature in a file that does not say whose it is";
            return self.fault(FaultKind::Signature, line.seq, what);
        };
        let message = message(statement, &store, line.seq, &line.prev, line.time);
        let is_right = |key: &[u8; 32]| (self.verify)(key, &message, &seal.signature.0);
        if !self.keys.iter().any(is_right) {
            let what = format!("no trusted key has signed this {}", statement.kind());
            return self.fault(FaultKind::Signature, line.seq, what);
        }
        (self.unsigned, self.unsigned_is_told) = (0, false);
        match statement {
            // Nothing but the torn line is missing: this one follows, or the first of its file between.
            Statement::Break(found)
                if found.reason == Reason::Torn
                    && found.after_seq + if self.line == 2 { 2 } else { 1 } >= line.seq =>
            {
                let cut = found.cut_bytes;
                self.notice(format!(
                    "after a crash {cut} bytes of a line without an end were cut off"
                ));
            }
            Statement::Break(found) => {
                let expected = found.expected().map_or(0, |expected| expected.seq);
                let what = format!(
                    "the daemon found the log other than it had left it ({}): it ended at line {}, and line {expected} was durable",
                    found.reason.as_str(),
                    found.after_seq
                );
                self.fault(FaultKind::Break, line.seq, what);
            }
            Statement::Checkpoint(_) => {}
            Statement::Gap(gap) if gap.sink == "file" => {
                let (from, to) = (gap.after_seq + 1, line.seq.saturating_sub(1));
                let what = format!("lines {from} to {to} could not be written");
                self.fault(FaultKind::Gap, line.seq, what);
            }
            Statement::Gap(gap) => self.notice(format!(
                "lines {} to {} did not reach the sink {}",
                gap.after_seq + 1,
                line.seq.saturating_sub(1),
                gap.sink
            )),
            Statement::Key(key) => {
                self.keys.push(key.new_public_key.0);
                self.notice(format!("the audit key is now {}", key.new_public_key));
            }
            Statement::Retention(kept) => {
                self.retained_through = self.retained_through.max(kept.through);
            }
        }
    }

    /// Whether it begins later than the log says.
    fn lacks_beginning(&self) -> bool {
        self.report.first.unwrap_or(1) > self.retained_through + 1
    }

    fn finish(mut self, files: &LogFiles) -> Report {
        if let Some(Hole { behind, place, next }) = self.hole.take() {
            self.removed(place, behind.seq + 1, next);
        }
        let first = self.report.first.unwrap_or(1);
        if self.lacks_beginning() {
            let what = format!("the log begins at line {first}, and does not say why");
            self.file = files.current().to_owned();
            self.fault_at(0, FaultKind::FirstMissing, 1, what);
        }
        if let Some(Anchor { seq, hash }) = self.trust.anchor {
            if seq > self.head.seq {
                self.file = files.current().to_owned();
                let what = format!(
                    "the log ends at line {}, and the store knows of line {seq}",
                    self.head.seq
                );
                self.fault(FaultKind::Cut, seq, what);
            } else if !self.anchor_was_met && seq >= first {
                let what = format!("the line of hash {} that the store keeps is gone", Hex(hash));
                self.fault_at(0, FaultKind::Anchor, seq, what);
            }
        }
        self.report.unsigned = self.unsigned;
        self.report.keys = self.keys;
        self.report.last = (self.head.seq > 0).then_some(self.head);
        self.report
    }
}
