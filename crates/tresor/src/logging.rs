//! The log: its lines, its levels, and a handle to change the levels while it runs.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::settings::{LogFormat, Settings};

/// Changes what is logged.
pub(crate) struct Levels {
    /// What is logged when nothing is configured.
    default: LevelFilter,
    handle: reload::Handle<EnvFilter, Registry>,
}

/// Starts the log, on standard error.
pub(crate) fn start(settings: &Settings, default: LevelFilter) -> Levels {
    let (filter, handle) = reload::Layer::new(filter(settings, default));
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let lines = match settings.log_format {
        LogFormat::Json => lines.json().with_ansi(false).boxed(),
        LogFormat::Text => lines.boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).init();
    Levels { default, handle }
}

impl Levels {
    /// Applies the levels of other settings.
    pub(crate) fn apply(&self, settings: &Settings) {
        // The subscriber lives as long as the process.
        let _ = self.handle.reload(filter(settings, self.default));
    }
}

/// Log levels, when the text is some: `info,sync=debug`. A bare word that is no level is refused,
/// as it would say nothing and look as if it did.
pub(crate) fn levels(text: &str) -> Option<EnvFilter> {
    let is_clear = |part: &str| part.contains('=') || part.parse::<LevelFilter>().is_ok();
    if text.is_empty() || !text.split(',').all(is_clear) {
        return None;
    }
    EnvFilter::builder().parse(text).ok()
}

fn filter(settings: &Settings, default: LevelFilter) -> EnvFilter {
    let configured = settings.log.as_deref().and_then(levels);
    let builder = EnvFilter::builder().with_default_directive(default.into());
    configured.unwrap_or_else(|| builder.parse_lossy(""))
}
