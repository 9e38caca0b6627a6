//! Entries for other programs, as JSON lines or as a table.

use std::io::{self, BufRead, BufReader, Read, Write};

use domain::Timestamp;

use crate::entry::Entry;
use crate::files::{LogFiles, open_to_read};
use crate::line::{Line, MAX_LINE_BYTES};
use crate::record::Body;

/// Which entries; what is left out is not looked at.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// From then on.
    pub since: Option<Timestamp>,
    /// Before then.
    pub until: Option<Timestamp>,
    /// By that actor.
    pub actor: Option<String>,
    /// Of that action.
    pub action: Option<String>,
    /// About resources that begin so.
    pub resource: Option<String>,
}

/// What comes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A table with commas, after RFC 4180. A cell that a spreadsheet would take for a formula begins
    /// with an apostrophe.
    Csv,
    /// The lines as they stand in the log.
    #[default]
    Jsonl,
}

/// What an export has met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Entries that were written.
    pub entries: u64,
    /// Lines that are none, and were left out.
    pub malformed: u64,
}

const COLUMNS: &str = "seq,time,actor,token,address,action,resource,uid,version,resourceVersion,outcome,status,detail\r\n";

/// Writes the entries of a log that a filter lets through, oldest first.
///
/// # Errors
/// When a file cannot be read, or the output not written.
pub fn export(
    files: &LogFiles,
    filter: &Filter,
    format: Format,
    out: &mut dyn Write,
) -> io::Result<Exported> {
    let mut exported = Exported::default();
    if format == Format::Csv {
        out.write_all(COLUMNS.as_bytes())?;
    }
    let current = open_to_read(files.current());
    let mut paths: Vec<_> = files.rotated()?.into_iter().map(|(_, path)| path).collect();
    if current.is_ok() {
        paths.push(files.current().to_owned());
    } else if paths.is_empty() {
        current?;
    }
    for path in paths {
        let mut reader = BufReader::new(open_to_read(&path)?);
        let mut bytes = Vec::new();
        let limit = MAX_LINE_BYTES as u64 + 1;
        while reader.by_ref().take(limit).read_until(b'\n', &mut bytes)? > 0 {
            let is_whole = bytes.last() == Some(&b'\n');
            let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            match Line::parse(line) {
                Ok(Line { seq, body: Body::Entry(entry), .. }) if filter.lets_through(&entry) => {
                    exported.entries += 1;
                    match format {
                        Format::Csv => out.write_all(row(seq, &entry).as_bytes())?,
                        Format::Jsonl => {
                            out.write_all(line)?;
                            out.write_all(b"\n")?;
                        }
                    }
                }
                Ok(_) => {}
                Err(_) if is_whole => exported.malformed += 1,
                // The daemon is writing it.
                Err(_) => {}
            }
            bytes.clear();
        }
    }
    out.flush()?;
    Ok(exported)
}

impl Filter {
    fn lets_through(&self, entry: &Entry) -> bool {
        let resource = entry.resource.as_deref().unwrap_or_default();
        self.since.is_none_or(|since| entry.time >= since)
            && self.until.is_none_or(|until| entry.time < until)
            && self.actor.as_ref().is_none_or(|actor| *actor == entry.actor)
            && self.action.as_ref().is_none_or(|action| *action == entry.action)
            && self.resource.as_ref().is_none_or(|prefix| resource.starts_with(prefix))
    }
}

fn row(seq: u64, entry: &Entry) -> String {
    let text = |text: &Option<String>| cell(text.as_deref().unwrap_or_default());
    let version = entry.version.map(|version| version.to_string()).unwrap_or_default();
    let status = entry.status.map(|status| status.to_string()).unwrap_or_default();
    let cells = [
        seq.to_string(),
        entry.time.to_rfc3339(),
        cell(&entry.actor),
        text(&entry.token),
        text(&entry.address),
        cell(&entry.action),
        text(&entry.resource),
        text(&entry.uid),
        version,
        text(&entry.resource_version),
        entry.outcome.as_str().to_owned(),
        status,
        text(&entry.detail),
    ];
    cells.join(",") + "\r\n"
}

/// A spreadsheet takes a cell that begins so for a formula, whoever wrote it.
fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\r', '\n']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}
