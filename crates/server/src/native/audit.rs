//! `/tresor/v1/audit`

use audit::LogFiles;
use authz::{Audit, WholeStore, decide};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use crate::answer::Failure;
use crate::app::App;
use crate::caller::Caller;
use crate::extract::Query;

const USUAL_LINES: u64 = 1000;
const MOST_LINES: u64 = 10_000;

/// The newest records of the audit log, as they were written.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Response, Failure> {
    let query = query.only(&["after", "limit"])?;
    let limit = query.number("limit")?.unwrap_or(USUAL_LINES).min(MOST_LINES);
    let after = query.number("after")?.unwrap_or(0);
    let file = app.audit_file();
    let lines = app
        .act(caller, move |vault, actor| {
            decide::<Audit, _>(actor, WholeStore, vault.clock().now())?;
            let Some(file) = &file else { return Ok(Vec::new()) };
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let newest = audit::tail(&LogFiles::new(&**file), limit);
            let (lines, _) = newest.map_err(|error| {
                tracing::error!(%error, "the audit log cannot be read");
                let detail = "The audit log cannot be read now; the daemon's log says why.";
                api::Problem::new(api::ProblemKind::Busy, detail)
            })?;
            Ok(lines)
        })
        .await?;
    let mut body = String::new();
    for line in lines.iter().filter(|line| number(line).is_none_or(|number| number > after)) {
        body.push_str(line.trim_end());
        body.push('\n');
    }
    let headers = [
        (header::CONTENT_TYPE, "application/jsonl"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((StatusCode::OK, headers, body).into_response())
}

/// A record's sequence number; a damaged line has none, and is shown all the same.
fn number(line: &str) -> Option<u64> {
    let record: serde_json::Value = serde_json::from_str(line).ok()?;
    record.get("seq")?.as_u64()
}
