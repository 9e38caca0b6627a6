//! `tresor audit verify`: the log against itself, its keys, the store, and a copy from elsewhere.

use std::io::Write;
use std::path::{Path, PathBuf};

use audit::{LogFiles, Lost, Report, Trust};
use clap::Args;
use domain::{Anchor, ResourceVersion};

use crate::audit::{located, unreadable, unwritable};
use crate::command::AuditSettings;
use crate::failure::Failure;

#[derive(Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    settings: AuditSettings,
    /// A public audit key that is known from elsewhere, in hexadecimal; else the one that the log
    /// names itself is taken.
    #[arg(long, value_name = "HEX", value_parser = public_key)]
    public_key: Vec<[u8; 32]>,
    /// A copy of the log that another machine kept, such as what audit-stdout sent: the log must have
    /// each of its lines.
    #[arg(long, value_name = "FILE")]
    copy: Option<PathBuf>,
}

impl VerifyArgs {
    /// Prints what is found; an error when anything is wrong.
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let (data_dir, files) = located(&self.settings)?;
        // Before the log: beside a running daemon both go on meanwhile.
        let head = store::read_head(&data_dir)?;
        let (anchor, store) = (head.anchor, Some(head.store));
        let trust = Trust { public_keys: self.public_key, anchor, store };
        let report = audit::verify(&files, &trust, crypto::verify_signature);
        let report = report.map_err(|error| unreadable(&files, &error))?;
        show(&report, anchor, out).map_err(unwritable)?;
        let lost = self.copy.map(|copy| compare(&copy, &files, (&head.store, &report.keys), out));
        let lost = lost.transpose()?.flatten();
        // After the log: what the log speaks of was in `HEAD` before.
        let at = store::read_head(&data_dir)?.resource_version;
        let is_behind = show_age(&report, lost.as_ref(), at, out).map_err(unwritable)?;
        let count = report.faults.len() as u64 + report.more_faults;
        match (is_behind, count) {
            (false, 0) => Ok(()),
            (false, _) => Err(Failure::new(format!("the audit log has {count} faults"))),
            (true, _) => Err(Failure::new("the data directory is older than the audit log")),
        }
    }
}

/// Says which lines of a copy the log does not have.
fn compare(
    copy: &Path,
    files: &LogFiles,
    keys: (&[u8; 16], &[[u8; 32]]),
    out: &mut dyn Write,
) -> Result<Option<Lost>, Failure> {
    let shown = copy.display();
    let compared = audit::compare(copy, files, keys, crypto::verify_signature);
    let compared = compared
        .map_err(|error| Failure::new(format!("the copy {shown} cannot be used: {error}")))?;
    if compared.lines == 0 {
        return Err(Failure::new(format!("the copy {shown} has no line of an audit log")));
    }
    let Some(lost) = compared.lost else {
        let lines = compared.lines;
        writeln!(out, "{shown}: the log has all of its {lines} lines").map_err(unwritable)?;
        return Ok(None);
    };
    let Lost { lines, first, last, .. } = lost;
    let place = if lost.forked { "the log has others there" } else { "the log ends before them" };
    let signed = if lost.signed { "signed" } else { "not signed" };
    writeln!(
        out,
        "{shown}: Lost: {lines} lines between {first} and {last}, {signed}, are not in the log: {place}"
    )
    .map_err(unwritable)?;
    Ok(Some(lost))
}

/// Says whether the data directory is behind what the log, or a copy of it, speaks of.
fn show_age(
    report: &Report,
    lost: Option<&Lost>,
    at: ResourceVersion,
    out: &mut dyn Write,
) -> std::io::Result<bool> {
    let own = report.resource_version.filter(|(seen, _)| *seen > at);
    if let Some((seen, line)) = own {
        writeln!(out, "line {line} speaks of resourceVersion {seen}, and the store is at {at}")?;
    }
    if let Some(seen) = lost.and_then(|lost| lost.resource_version) {
        writeln!(out, "the lost lines speak of resourceVersion {seen}, and the store is at {at}")?;
    }
    Ok(own.is_some() || lost.is_some())
}

fn show(report: &Report, anchor: Option<Anchor>, out: &mut dyn Write) -> std::io::Result<()> {
    for fault in &report.faults {
        let file = fault.file.display();
        let kind = format!("{:?}", fault.kind);
        writeln!(out, "{file}:{}: {kind}: line {}: {}", fault.line, fault.seq, fault.what)?;
    }
    if report.more_faults > 0 {
        writeln!(out, "and {} more", report.more_faults)?;
    }
    for notice in &report.notices {
        writeln!(out, "{}:{}: note: {}", notice.file.display(), notice.line, notice.what)?;
    }
    let last = report.last.map_or(0, |last| last.seq);
    writeln!(out, "{} lines in {} files, the last one is {last}", report.lines, report.files)?;
    match anchor {
        Some(anchor) => writeln!(out, "the store vouches for the lines up to {}", anchor.seq)?,
        None => writeln!(out, "the store vouches for no line yet")?,
    }
    if report.unsigned > 0 {
        writeln!(out, "the last {} lines are not signed yet", report.unsigned)?;
    }
    if !report.trusted_keys {
        writeln!(out, "the signatures were held against the key that the log names itself")?;
    }
    Ok(())
}

fn public_key(text: &str) -> Result<[u8; 32], String> {
    audit::parse_public_key(text).ok_or_else(|| "a public key has 64 hexadecimal digits".to_owned())
}
