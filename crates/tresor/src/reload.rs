//! SIGHUP: the configuration file is read again, and what can change in a running daemon does.

use tokio::signal::unix::Signal;

use crate::logging::Levels;
use crate::settings::{Loaded, Setting, Sources};

/// What the daemon was started with.
pub(crate) struct Reload {
    pub(crate) sources: Sources,
    pub(crate) running: Loaded,
    pub(crate) levels: Levels,
}

impl Reload {
    /// Reads the file again at each hangup, for ever.
    pub(crate) async fn at_each(mut self, mut hangup: Signal) {
        while hangup.recv().await.is_some() {
            self.once();
        }
    }

    fn once(&mut self) {
        let loaded = match self.sources.load() {
            Ok(loaded) => loaded,
            Err(failure) => {
                let error = failure.message;
                tracing::error!(%error, "the configuration is not read again, and nothing changes");
                return;
            }
        };
        self.levels.apply(&loaded.settings);
        let changed = loaded.changed(&self.running);
        let (live, waiting): (Vec<_>, Vec<_>) = changed.into_iter().partition(|row| row.live);
        let names = |rows: Vec<&Setting>| {
            rows.into_iter().map(|row| row.name).collect::<Vec<_>>().join(", ")
        };
        let (live, waiting) = (names(live), names(waiting));
        if waiting.is_empty() {
            tracing::info!(differs_from_start = live, "the configuration was read again");
        } else {
            tracing::warn!(
                differs_from_start = live,
                needs_restart = waiting,
                "the configuration was read again; not all of it applies before a restart"
            );
        }
    }
}
