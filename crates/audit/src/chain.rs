//! The chain: numbers, hashes and signs each line, under one short lock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{Anchor, Clock, Timestamp};

use crate::files::LogFiles;
use crate::line;
use crate::receipt::{Lane, Receipt};
use crate::record::{
    Base64, Begin, Body, Checkpoint, FORMAT, Gap, Hex, Reason, Retention, Seal, Statement,
};
use crate::signature::{Signer, message};
use crate::station::Station;
use crate::writer::{Layout, Reopened};

/// How many lines, and how much time, go by without a signature.
pub(crate) const CHECKPOINT_LINES: u64 = 1000;
const CHECKPOINT_AFTER: Duration = Duration::from_secs(60);
/// What a line has beside its own members, at most.
const FRAME_BYTES: u64 = 256;

pub(crate) struct Chain {
    pub(crate) store: [u8; 16],
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) max_file_bytes: u64,
    pub(crate) keep_files: usize,
    pub(crate) deadline: Duration,
    pub(crate) files: Option<LogFiles>,
    pub(crate) file: Option<Arc<Station>>,
    pub(crate) stdout: Option<Arc<Station>>,
    pub(crate) head: Anchor,
    pub(crate) layout: Option<Layout>,
    /// Lines since the last checkpoint, and when that was.
    pub(crate) unsigned: u64,
    pub(crate) checkpoint_at: Instant,
    pub(crate) line: Vec<u8>,
}

impl Chain {
    /// Adds a request's record.
    pub(crate) fn entry(&mut self, time: Timestamp, members: &[u8]) -> Receipt {
        let now = Instant::now();
        let room = members.len() as u64 + FRAME_BYTES;
        let is_full = |layout: &Layout| layout.bytes + room > self.max_file_bytes;
        if self.layout.as_ref().is_some_and(is_full) {
            self.rotate();
        }
        let receipt = self.push("entry", time, members, now);
        self.unsigned += 1;
        let due = now - self.checkpoint_at >= CHECKPOINT_AFTER;
        if due || self.unsigned >= CHECKPOINT_LINES {
            self.checkpoint();
        }
        receipt
    }

    /// Signs what is new, if anything is.
    pub(crate) fn checkpoint(&mut self) {
        if self.unsigned > 0 {
            self.state(Statement::Checkpoint(Checkpoint {}));
            (self.unsigned, self.checkpoint_at) = (0, Instant::now());
        }
    }

    pub(crate) fn checkpoint_if_due(&mut self) {
        if self.checkpoint_at.elapsed() >= CHECKPOINT_AFTER {
            self.checkpoint();
        }
    }

    /// Stands for everything up to now.
    pub(crate) fn receipt(&self) -> Receipt {
        let lane = |station: &Option<Arc<Station>>| {
            let station = station.clone()?;
            station.progress().map(|progress| Lane { station, progress })
        };
        let deadline = Instant::now() + self.deadline;
        Receipt::new(self.head.seq, deadline, lane(&self.file), lane(&self.stdout))
    }

    /// The first line of the current file.
    pub(crate) fn begin(&mut self) {
        let previous = self.layout.as_ref().and_then(|layout| layout.rotated.back());
        let previous = previous.zip(self.files.as_ref());
        let previous = previous.map(|(first, files)| files.rotated_name(*first));
        if let Some(layout) = &mut self.layout {
            layout.first = Some(self.head.seq + 1);
        }
        let (store, public_key) = (Hex(self.store), Hex(self.signer.public_key()));
        self.add(&Body::Begin(Begin { format: FORMAT, store, public_key, previous }));
    }

    /// A sink is back: the chain says in it what it lacks.
    pub(crate) fn readmit(&mut self, station: &Station, reopened: Reopened) {
        let Reopened { held, breakage, layout, file, .. } = reopened;
        station.admit(held, file);
        let is_new = layout.as_ref().is_some_and(|layout| layout.first.is_none());
        if layout.is_some() {
            self.layout = layout;
        }
        let after = held.unwrap_or(line::NOTHING);
        let lacks = after.seq < self.head.seq;
        if is_new {
            self.begin();
        }
        let sink = station.kind.as_str().to_owned();
        let seen = (after.seq, Hex(after.hash));
        // A line that a failed write of our own left without an end belongs to the gap.
        match breakage.filter(|found| !(lacks && found.reason == Reason::Torn)) {
            Some(found) => {
                tell(&found);
                self.state(Statement::Break(found));
            }
            None if lacks => {
                let (after_seq, after_hash) = seen;
                self.state(Statement::Gap(Gap { sink, after_seq, after_hash }));
            }
            None => {}
        }
        tracing::warn!(sink = station.kind.as_str(), "an audit sink is back");
    }

    fn rotate(&mut self) {
        if !self.file.as_ref().is_some_and(|file| file.is_on()) {
            return;
        }
        self.checkpoint();
        let (Some(layout), Some(file)) = (&mut self.layout, &self.file) else { return };
        let Some(first) = layout.first else { return };
        layout.rotated.push_back(first);
        let mut doomed = Vec::new();
        while self.keep_files > 0 && layout.rotated.len() > self.keep_files {
            doomed.extend(layout.rotated.pop_front());
        }
        let kept = layout.rotated.front().copied().unwrap_or(first);
        let deletes = !doomed.is_empty();
        file.cut(first, self.head, doomed);
        (layout.bytes, layout.first) = (0, None);
        self.begin();
        if deletes {
            self.state(Statement::Retention(Retention { through: kept - 1 }));
        }
    }

    /// Signs and adds a statement.
    pub(crate) fn state(&mut self, statement: Statement) {
        let time = self.clock.now();
        let seq = self.head.seq + 1;
        let message = message(&statement, &self.store, seq, &self.head.hash, time);
        let signature = Base64(self.signer.sign(&message).to_vec());
        let seal = Seal { key: self.signer.key_id(), signature };
        self.add_at(time, &Body::Signed(statement, seal));
    }

    fn add(&mut self, body: &Body) {
        self.add_at(self.clock.now(), body);
    }

    fn add_at(&mut self, time: Timestamp, body: &Body) {
        // Nobody waits for these lines; whoever appends next waits for them too.
        let _ = self.push(body.kind(), time, &line::members(body), Instant::now());
        self.unsigned += 1;
    }

    fn push(&mut self, kind: &str, time: Timestamp, members: &[u8], now: Instant) -> Receipt {
        self.line.clear();
        let seq = self.head.seq + 1;
        line::write(&mut self.line, seq, time, kind, members, &self.head.hash);
        self.head = Anchor { seq, hash: line::hash(&self.line) };
        if let Some(layout) = &mut self.layout {
            layout.bytes += self.line.len() as u64 + 1;
        }
        let lane = |station: &Option<Arc<Station>>| {
            let station = station.clone()?;
            let progress = station.push(&self.line, self.head, now)?;
            Some(Lane { station, progress })
        };
        Receipt::new(seq, now + self.deadline, lane(&self.file), lane(&self.stdout))
    }
}

/// What was found is said where the operator looks, too.
pub(crate) fn tell(found: &crate::record::Break) {
    tracing::error!(
        reason = found.reason.as_str(),
        after.seq = found.after_seq,
        expected = ?found.expected(),
        cut.bytes = found.cut_bytes,
        "the audit log is not as it was left; run `tresor audit verify`"
    );
}
