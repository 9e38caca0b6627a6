//! Keeps asking the source, and starts over whenever it loses the thread.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::backoff::Backoff;
use crate::source::{Changes, Snapshot, Source, SourceError};

/// What the source said.
pub(crate) enum News {
    /// Everything, anew.
    Snapshot(Snapshot),
    /// What changed since the last news.
    Changes(Changes),
}

/// Sends a snapshot and then its changes, until nobody listens.
pub(crate) async fn follow<S: Source>(source: Arc<S>, out: mpsc::Sender<News>) {
    let mut backoff = Backoff::default();
    while !out.is_closed() {
        match session(&*source, &out, &mut backoff).await {
            SourceError::Gone => tracing::info!("the worker starts over from a snapshot"),
            error @ SourceError::Unavailable(_) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the worker cannot read Tresor's data and tries again"
            ),
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

async fn session<S: Source>(
    source: &S,
    out: &mpsc::Sender<News>,
    backoff: &mut Backoff,
) -> SourceError {
    let snapshot = match source.snapshot().await {
        Ok(snapshot) => snapshot,
        Err(error) => return error,
    };
    let mut at = snapshot.at;
    let mut news = News::Snapshot(snapshot);
    loop {
        if out.send(news).await.is_err() {
            return SourceError::Gone;
        }
        match source.changes(at).await {
            Ok(changes) => {
                backoff.reset();
                at = changes.at;
                news = News::Changes(changes);
            }
            Err(error) => return error,
        }
    }
}
