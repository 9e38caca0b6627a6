//! `/tresor/v1/store`

use std::error::Error as _;
use std::io::{self, Write};

use api::{
    CompactionBody, FindingBody, Problem, ProblemKind, RollbackWitness, StoreStatus,
    VerificationBody,
};
use authz::{Administer, List, WholeStore, decide};
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::{Invalid, ResourceVersion};
use http::{StatusCode, header};
use tokio::sync::mpsc::{self, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use vault::{CompactionState, CompactionView, Suspicion, Verification};

use crate::answer::{Failure, json};
use crate::app::App;
use crate::caller::Caller;
use crate::extract::{NoQuery, Query};

/// Parts of a backup that wait for a client to take them.
const PARTS: usize = 4;
const PART_BYTES: usize = 64 << 10;

/// Which store it is, how far it has come, and whether it was put back; for those who may list
/// everything.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
) -> Result<Response, Failure> {
    let status = app
        .act(caller, |vault, actor| {
            let permit = decide::<List, _>(actor, WholeStore, vault.clock().now())?;
            Ok(StoreStatus {
                store_id: vault.store_id(),
                resource_version: vault.resource_version().to_string(),
                rollback: vault.rollback().into_iter().map(witness).collect(),
                compaction: compaction_body(&vault.compaction(&permit)),
            })
        })
        .await?;
    Ok(json(StatusCode::OK, &status))
}

fn witness(suspicion: Suspicion) -> RollbackWitness {
    RollbackWitness {
        witness: suspicion.witness.as_str().to_owned(),
        resource_version: suspicion.resource_version.to_string(),
        at: suspicion.at.to_rfc3339(),
    }
}

/// Makes the data files as small as they can be; an administrator's act.
pub(super) async fn compact(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
) -> Result<Response, Failure> {
    let begun = app
        .act(caller, |vault, actor| {
            let permit = decide::<Administer, _>(actor, WholeStore, vault.clock().now())?;
            Ok(vault.compact(&permit)?)
        })
        .await?;
    Ok(json(StatusCode::ACCEPTED, &compaction_body(&begun)))
}

/// Opens every record, and follows every reference; an administrator's act.
pub(super) async fn verify(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
) -> Result<Response, Failure> {
    let whole = app.whole_store().clone();
    let done = app
        .act(caller, move |vault, actor| {
            let permit = decide::<Administer, _>(actor, WholeStore, vault.clock().now())?;
            let _alone = alone(&whole)?;
            Ok(vault.verify(&permit, &mut |_| {})?)
        })
        .await?;
    Ok(json(StatusCode::OK, &verification_body(&done)))
}

/// Reads the whole store, which one at a time may.
fn alone(whole: &std::sync::Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Problem> {
    let detail = "Another backup or verification is under way; try again when it is done.";
    whole.clone().try_acquire_owned().map_err(|_| Problem::new(ProblemKind::Busy, detail))
}

/// A backup of the state of now; an administrator's act. What goes wrong once it has begun ends the
/// answer before its end, so that nobody takes it for a whole one.
pub(super) async fn back_up(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Response, Failure> {
    let query = query.only(&["since"])?;
    let since = query.text("since").map(ResourceVersion::parse).transpose();
    let since = since.map_err(|wrong| Invalid::new("since", wrong.fix))?;
    let whole = app.whole_store().clone();
    let (permit, place) = app
        .act(caller, move |vault, actor| {
            let permit = decide::<Administer, _>(actor, WholeStore, vault.clock().now())?;
            if since.is_some_and(|since| !vault.has_had(since)) {
                let fix = "must be a resourceVersion that this store has had since it was made or restored; take a whole backup";
                return Err(Invalid::new("since", fix).into());
            }
            Ok((permit, alone(&whole)?))
        })
        .await?;
    let (parts, taken) = mpsc::channel(PARTS);
    let vault = app.shared_vault();
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let mut out = io::BufWriter::with_capacity(PART_BYTES, Parts(parts.clone()));
        let done = vault.back_up(&permit, since, &mut out, &mut |_, _| {});
        match done {
            Ok(summary) => {
                tracing::info!(
                    records = summary.records,
                    bytes = summary.bytes,
                    "a backup was taken"
                );
            }
            Err(error) => {
                let cause = error.source().map(tracing::field::display);
                tracing::warn!(%error, cause, "a backup came to no end");
                // What is in the buffer is not worth sending.
                drop(out.into_parts());
                let _ = parts.blocking_send(Err(io::Error::other("the backup came to no end")));
            }
        }
    });
    let headers =
        [(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, "no-store")];
    let body = futures::stream::unfold(taken, |mut taken| async move {
        taken.recv().await.map(|part| (part, taken))
    });
    Ok((StatusCode::OK, headers, Body::from_stream(body)).into_response())
}

/// A body that is written from a thread that may block.
struct Parts(Sender<io::Result<Bytes>>);

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A compaction on the wire.
pub fn compaction_body(view: &CompactionView) -> CompactionBody {
    let (state, reason) = match &view.state {
        CompactionState::None => ("none", None),
        CompactionState::Running => ("running", None),
        CompactionState::Done => ("done", None),
        CompactionState::Failed(reason) => ("failed", Some(reason.clone())),
    };
    CompactionBody {
        state: state.to_owned(),
        reason,
        count: view.count,
        done_bytes: view.done_bytes,
        total_bytes: view.total_bytes,
        file_bytes_before: view.file_bytes_before,
        file_bytes_after: view.file_bytes_after,
    }
}

/// A verification on the wire.
pub fn verification_body(done: &Verification) -> VerificationBody {
    let finding = |finding: &vault::Finding| FindingBody {
        at: finding.at.clone(),
        what: finding.what.to_owned(),
    };
    VerificationBody {
        secrets: done.secrets,
        versions: done.versions,
        records: done.records,
        wrong: done.wrong,
        findings: done.findings.iter().map(finding).collect(),
    }
}
