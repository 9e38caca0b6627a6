//! How far a change of keys has come: a bar on a terminal, JSON lines elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use api::RotationBody;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::keys::Output;
use crate::rotate::outcome;

/// How often a line is written.
const BETWEEN_LINES: Duration = Duration::from_secs(1);

pub(crate) struct Progress {
    shape: Shape,
    began: Option<(Instant, u64)>,
}

enum Shape {
    Bar(ProgressBar),
    Lines { last: Option<Instant> },
}

impl Progress {
    /// As it was asked for, else as fits to where the standard output goes.
    pub(crate) fn new(output: Option<Output>) -> Self {
        let text =
            output.map_or_else(|| std::io::stdout().is_terminal(), |output| output == Output::Text);
        let shape = if text { Shape::Bar(bar()) } else { Shape::Lines { last: None } };
        Self { shape, began: None }
    }

    /// Shows a step. Lines that nobody reads stop nothing.
    pub(crate) fn show(&mut self, rotation: &RotationBody) {
        let (began, at_first) = *self.began.get_or_insert((Instant::now(), rotation.done));
        let seconds = began.elapsed().as_secs_f64();
        let done = rotation.done.saturating_sub(at_first);
        let rate = if seconds > 0.0 { done as f64 / seconds } else { 0.0 };
        match &mut self.shape {
            Shape::Bar(bar) => {
                bar.set_length(rotation.total);
                bar.set_position(rotation.done);
            }
            Shape::Lines { last } => {
                if last.is_some_and(|last| last.elapsed() < BETWEEN_LINES) {
                    return;
                }
                *last = Some(Instant::now());
                let _ = print_line(&with_rate(rotation, rate));
            }
        }
    }

    /// Shows how it ended, and says what that comes to.
    pub(crate) fn end(
        self,
        rotation: Option<&RotationBody>,
        new_root: bool,
    ) -> Result<(), Failure> {
        let (text, ended) = outcome(rotation);
        let line = match self.shape {
            Shape::Bar(bar) => {
                bar.finish_and_clear();
                let mut text = text;
                if ended.is_ok() && self.began.is_some() {
                    text.push_str(
                        "\nbackups that were made before keep their own keyring, and so the keys of then",
                    );
                }
                if ended.is_ok() && new_root {
                    text.push_str(
                        "\nboth root keys open the store now: start the daemon with the new one, then drop the other with tresor root-key drop",
                    );
                }
                text
            }
            Shape::Lines { .. } => match rotation {
                Some(rotation) => serde_json::to_value(rotation).unwrap_or_default().to_string(),
                None => json!({ "state": "none" }).to_string(),
            },
        };
        print_line(&line)
            .map_err(|error| Failure::new(format!("standard output cannot be written: {error}")))?;
        ended
    }
}

fn bar() -> ProgressBar {
    let template =
        "{bar:40} {percent:>3} %  {human_pos} of {human_len} records  {per_sec}  {eta} left";
    let style = ProgressStyle::with_template(template);
    let bar = ProgressBar::new(0);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// How many bytes of something are done, on a terminal; elsewhere nothing is shown.
pub(crate) struct Bytes(Option<ProgressBar>);

impl Bytes {
    pub(crate) fn new(what: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let template = format!(
            "{{bar:40}} {{percent:>3}} %  {{bytes}} of {{total_bytes}} {what}  {{bytes_per_sec}}  {{eta}} left"
        );
        let bar = ProgressBar::new(0);
        Self(Some(match ProgressStyle::with_template(&template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }))
    }

    pub(crate) fn show(&mut self, done: u64, total: u64) {
        if let Some(bar) = &self.0 {
            bar.set_length(total.max(done));
            bar.set_position(done);
        }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// A rotation as a line for other programs: with records a second, and about how many seconds are left.
fn with_rate(rotation: &RotationBody, rate: f64) -> String {
    let mut line = serde_json::to_value(rotation).unwrap_or_default();
    let left = rotation.total.saturating_sub(rotation.done) as f64;
    if let Value::Object(fields) = &mut line {
        fields.insert("recordsPerSecond".to_owned(), json!(rate.round()));
        let seconds = if rate > 0.0 { json!((left / rate).ceil()) } else { Value::Null };
        fields.insert("secondsLeft".to_owned(), seconds);
    }
    line.to_string()
}

fn print_line(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
