//! A line: written in one way, and read in that way only.

use std::io;

use domain::{Anchor, ResourceVersion, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::entry::Entry;
use crate::record::{Body, Hex, Seal, Statement, parse_time};

/// The most bytes of a line: all texts of an entry, each byte of them escaped, and some room.
pub(crate) const MAX_LINE_BYTES: usize = 128 << 10;
/// What stands before a line where it is hashed: a text behind its length.
const LABEL: &[u8] = b"\x13tresor/1/audit-line";
/// What stands before the first line.
pub(crate) const NOTHING: Anchor = Anchor { seq: 0, hash: [0; 32] };

/// A line that was read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) seq: u64,
    pub(crate) time: Timestamp,
    pub(crate) body: Body,
    pub(crate) prev: [u8; 32],
}

/// Not a line of this log's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoLine;

#[derive(Deserialize)]
struct Envelope {
    seq: u64,
    time: String,
    kind: String,
    prev: Hex<32>,
}

impl Line {
    /// Reads a line without its newline; takes only what would be written.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, NoLine> {
        if bytes.len() > MAX_LINE_BYTES {
            return Err(NoLine);
        }
        let Envelope { seq, time, kind, prev } = member(bytes)?;
        let time = parse_time(&time).ok_or(NoLine)?;
        let body = match kind.as_str() {
            "begin" => Body::Begin(member(bytes)?),
            "entry" => Body::Entry(Entry { time, ..member(bytes)? }),
            "break" => signed(Statement::Break(member(bytes)?), bytes)?,
            "checkpoint" => signed(Statement::Checkpoint(member(bytes)?), bytes)?,
            "gap" => signed(Statement::Gap(member(bytes)?), bytes)?,
            "key" => signed(Statement::Key(member(bytes)?), bytes)?,
            "retention" => signed(Statement::Retention(member(bytes)?), bytes)?,
            _ => return Err(NoLine),
        };
        let line = Self { seq, time, body, prev: prev.0 };
        let mut again = Vec::with_capacity(bytes.len());
        let members = members(&line.body);
        write(&mut again, seq, time, line.body.kind(), &members, &line.prev);
        if again == bytes { Ok(line) } else { Err(NoLine) }
    }
}

impl Line {
    /// The resource version that it speaks of. It was durable in the store before.
    pub(crate) fn resource_version(&self) -> Option<ResourceVersion> {
        let Body::Entry(entry) = &self.body else { return None };
        ResourceVersion::parse(entry.resource_version.as_deref()?).ok()
    }
}

fn signed(statement: Statement, bytes: &[u8]) -> Result<Body, NoLine> {
    Ok(Body::Signed(statement, member::<Seal>(bytes)?))
}

fn member<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, NoLine> {
    serde_json::from_slice(bytes).map_err(|_| NoLine)
}

/// The members that belong to a line's kind, each with a comma before it.
pub(crate) fn members(body: &Body) -> Vec<u8> {
    let mut out = Vec::with_capacity(320);
    match body {
        Body::Begin(begin) => append(&mut out, begin),
        Body::Entry(entry) => append(&mut out, entry.shortened().as_ref().unwrap_or(entry)),
        Body::Signed(statement, seal) => {
            match statement {
                Statement::Break(found) => append(&mut out, found),
                Statement::Checkpoint(checkpoint) => append(&mut out, checkpoint),
                Statement::Gap(gap) => append(&mut out, gap),
                Statement::Key(key) => append(&mut out, key),
                Statement::Retention(retention) => append(&mut out, retention),
            }
            append(&mut out, seal);
        }
    }
    out
}

/// The members of an entry.
pub(crate) fn entry_members(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(320);
    append(&mut out, entry.shortened().as_ref().unwrap_or(entry));
    out
}

/// Adds an object's members to an object that is being written.
fn append(out: &mut Vec<u8>, value: &impl Serialize) {
    let begin = out.len();
    let mut serializer = serde_json::Serializer::with_formatter(&mut *out, Ascii);
    // Structures of texts and numbers do not fail to serialize, and a vector takes all bytes.
    let _ = value.serialize(&mut serializer);
    out.pop();
    let is_empty = out.len() <= begin + 1;
    match out.get_mut(begin) {
        Some(brace) if !is_empty => *brace = b',',
        _ => out.truncate(begin),
    }
}

/// Writes a line, without its newline.
pub(crate) fn write(
    out: &mut Vec<u8>,
    seq: u64,
    time: Timestamp,
    kind: &str,
    members: &[u8],
    prev: &[u8; 32],
) {
    out.extend_from_slice(b"{\"seq\":");
    out.extend_from_slice(seq.to_string().as_bytes());
    out.extend_from_slice(b",\"time\":\"");
    out.extend_from_slice(time.to_rfc3339().as_bytes());
    out.extend_from_slice(b"\",\"kind\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.push(b'"');
    out.extend_from_slice(members);
    out.extend_from_slice(b",\"prev\":\"");
    Hex(*prev).write(out);
    out.extend_from_slice(b"\"}");
}

/// A line's hash.
pub(crate) fn hash(line: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(LABEL);
    hash.update(line);
    hash.finalize().into()
}

/// Writes JSON in ASCII: no byte of a name reaches a terminal as it is.
struct Ascii;

impl serde_json::ser::Formatter for Ascii {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if fragment.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return out.write_all(fragment.as_bytes());
        }
        for character in fragment.chars() {
            if (' '..='~').contains(&character) {
                write!(out, "{character}")?;
            } else {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}
