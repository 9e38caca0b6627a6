//! Every request that touches anything is written down before it is answered: who asked for what, and
//! what became of it. It happens outside the handlers, so that none can forget it.
//!
//! The action is the operation's name in the OpenAPI document. The resource is what the path names,
//! as far as it exists: a name that leads nowhere may be a value in the wrong place. Nothing of a
//! query or a body is written down, and nothing of an answer but its status and versions.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Instant;

use api::{Problem, ProblemKind};
use audit::{Entry, Outcome};
use authz::Actor;
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::{Method, StatusCode};
use vault::SecretView;

use crate::app::App;
use crate::caller::{AskedBy, Peer};
use crate::extract::drain;
use crate::surface::say;

/// What a handler says of its request beyond what the path and the answer say.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Noted>>);

#[derive(Clone, Default)]
struct Noted {
    actor: Option<String>,
}

impl Notes {
    /// Who it is, where no credential says so.
    pub(crate) fn set_actor(&self, name: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).actor = Some(name);
    }

    fn take(&self) -> Noted {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What an answer is about, in its extensions.
#[derive(Clone, Default)]
pub(crate) struct About {
    /// Which thing; what the path names when none is given.
    pub(crate) resource: Option<String>,
    /// Its identity.
    pub(crate) uid: Option<String>,
    /// Which of its versions.
    pub(crate) version: Option<u64>,
    /// The resource version that was read or made.
    pub(crate) resource_version: Option<String>,
    /// What else there is to say.
    pub(crate) detail: Option<String>,
}

impl About {
    /// A secret, and one of its versions where that is meant.
    pub(crate) fn secret(app: &vault::Vault, view: &SecretView, version: Option<u64>) -> Self {
        Self {
            resource: Some(app.secret_uri(&view.head.path)),
            uid: Some(view.head.uid.to_string()),
            version,
            resource_version: Some(view.resource_version.to_string()),
            detail: None,
        }
    }

    /// Something with a name.
    pub(crate) fn named(resource: impl Into<String>) -> Self {
        Self { resource: Some(resource.into()), ..Self::default() }
    }

    /// The same, with something else to say.
    pub(crate) fn detail(mut self, detail: String) -> Self {
        self.detail = Some(detail);
        self
    }

    /// Puts it into an answer.
    pub(crate) fn of(self, mut response: Response) -> Response {
        response.extensions_mut().insert(self);
        response
    }
}

/// In an answer's extensions: the things that one request touched, each of which gets a record with
/// an outcome of its own.
#[derive(Clone)]
pub(crate) struct Several(pub(crate) Vec<(About, Outcome)>);

/// In an answer's extensions: the actor may not, whatever the status pretends.
#[derive(Clone)]
pub(crate) struct WasDenied;

/// The operations of the document, by path, and of each path by method.
static OPERATIONS: LazyLock<HashMap<String, Vec<(Method, String)>>> = LazyLock::new(|| {
    let mut operations: HashMap<String, Vec<_>> = HashMap::new();
    for (path, item) in api::openapi().paths.paths {
        for (method, operation) in [
            (Method::GET, item.get),
            (Method::PUT, item.put),
            (Method::POST, item.post),
            (Method::PATCH, item.patch),
            (Method::DELETE, item.delete),
        ] {
            let name = operation.and_then(|operation| operation.operation_id);
            let named = name.map(|name| (method, name));
            operations.entry(path.clone()).or_default().extend(named);
        }
    }
    for surface in surfaces::surfaces() {
        for route in surface.routes {
            let name = format!("{}.{}", surface.name, route.operation);
            let of_path = operations.entry(route.path.to_owned()).or_default();
            of_path.push((route.method.clone(), name));
        }
    }
    operations
});

/// How many requests of nobody known are written down, at once and a second from then on: whoever
/// has no credential must not be able to fill the disk. Nothing of the store is touched by them.
const UNKNOWN_AT_ONCE: u32 = 1000;
const UNKNOWN_A_SECOND: u32 = 10;

/// Counts requests that come without a valid credential.
pub(crate) struct Unknown(Mutex<Bucket>);

struct Bucket {
    left: u32,
    filled_at: Instant,
    unwritten: u64,
}

impl Default for Unknown {
    fn default() -> Self {
        Self(Mutex::new(Bucket { left: UNKNOWN_AT_ONCE, filled_at: Instant::now(), unwritten: 0 }))
    }
}

impl Unknown {
    /// How many were not written down since the last one that was; none when this one is not to be
    /// either.
    fn take(&self) -> Option<u64> {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = bucket.filled_at.elapsed().as_secs();
        if seconds > 0 {
            let more = u32::try_from(seconds).unwrap_or(u32::MAX).saturating_mul(UNKNOWN_A_SECOND);
            bucket.left = bucket.left.saturating_add(more).min(UNKNOWN_AT_ONCE);
            bucket.filled_at = Instant::now();
        }
        if bucket.left == 0 {
            bucket.unwritten += 1;
            return None;
        }
        bucket.left -= 1;
        Some(std::mem::take(&mut bucket.unwritten))
    }
}

/// What tells nothing of the store.
const UNRECORDED: [&str; 3] = [api::paths::HEALTHZ, api::paths::READYZ, api::paths::METRICS];

/// Writes a request down. A request that would change something is not begun while nothing can be
/// written down, and no answer leaves before its record is.
///
/// What changes something comes to its end on a task of its own: when the client hangs up, the
/// server lets go of the request, and the change would be made and not written down.
pub(crate) async fn record(app: App, request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return recorded(app, request, next).await;
    }
    let uri = request.uri().clone();
    let done = tokio::spawn(recorded(app.clone(), request, next)).await;
    done.unwrap_or_else(|_| {
        let detail = "The daemon met a defect of its own; see its log.";
        say(&app, uri.path(), Problem::new(ProblemKind::Internal, detail))
    })
}

async fn recorded(app: App, mut request: Request, next: Next) -> Response {
    let method = match request.method() {
        &Method::HEAD => Method::GET,
        other => other.clone(),
    };
    let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let matched = matched.filter(|path| !UNRECORDED.contains(path));
    let operations = matched.and_then(|path| OPERATIONS.get(path)).into_iter().flatten();
    let Some((_, action)) = operations.into_iter().find(|(of, _)| *of == method) else {
        // What is not written down, a method that the path does not have, or a page of the documentation.
        return next.run(request).await;
    };
    let uri = request.uri().clone();
    let changes = method != Method::GET;
    if changes && !app.audit().is_ready() {
        drain(request).await;
        let detail =
            "The audit log cannot be written, so nothing is changed; the daemon's log says why.";
        return say(&app, uri.path(), Problem::new(ProblemKind::Busy, detail));
    }
    let (asked, notes) = (AskedBy::default(), Notes::default());
    request.extensions_mut().insert(asked.clone());
    request.extensions_mut().insert(notes.clone());
    let time = app.vault().clock().now();
    let peer = request.extensions().get::<Peer>().copied();
    let (mut parts, body) = request.into_parts();
    let names = RawPathParams::from_request_parts(&mut parts, &app).await.ok();
    let response = next.run(Request::from_parts(parts, body)).await;
    let about = response.extensions().get::<About>().cloned().unwrap_or_default();
    let several = response.extensions().get::<Several>().cloned();
    let outcome = outcome(&response);
    let resource = match about.resource {
        Some(resource) => Some(resource),
        None => resource(&app, names, (outcome == Outcome::Ok, changes)).await,
    };
    let noted = notes.take();
    let actor = asked.get();
    let mut detail = about.detail;
    // Strangers get little, and be it a ping: what they get must not fill the disk either.
    let is_nobody = actor.is_none() && (outcome != Outcome::Ok || noted.actor.is_none());
    if is_nobody {
        match app.unknown().take() {
            None => return response,
            Some(0) => {}
            Some(more) => detail = Some(format!("and {more} more that were not written down")),
        }
    }
    let entry = Entry {
        time,
        actor: actor.map(Actor::name).or(noted.actor).unwrap_or_else(|| "anonymous".to_owned()),
        token: actor.and_then(Actor::token).map(|token| token.id.to_string()),
        address: peer.and_then(Peer::address).map(|address| address.to_string()),
        action: action.clone(),
        resource,
        uid: about.uid,
        version: about.version,
        resource_version: about.resource_version.or_else(|| tag(&response)),
        outcome,
        status: Some(response.status().as_u16()),
        detail,
    };
    let entries = match several {
        None => vec![entry],
        Some(Several(all)) => each(&entry, all),
    };
    let changed = changes && entries.iter().any(|entry| entry.outcome == Outcome::Ok);
    let receipts: Vec<_> = entries.iter().map(|entry| app.audit().append(entry)).collect();
    let mut written = Ok(());
    for receipt in receipts {
        let done = match changed {
            true => receipt.synced().await,
            false => receipt.written().await,
        };
        written = written.and(done);
    }
    match written {
        Ok(()) => response,
        Err(audit::Unavailable) => {
            tracing::error!(%action, "a request was not answered: its audit record was not written");
            let detail = match changed {
                true => {
                    "It was done, and its audit record could not be written; the daemon's log says why."
                }
                false => {
                    "The audit record of this could not be written; the daemon's log says why."
                }
            };
            say(&app, uri.path(), Problem::new(ProblemKind::Busy, detail))
        }
    }
}

/// A record for each of several things, all from the same request.
fn each(entry: &Entry, all: Vec<(About, Outcome)>) -> Vec<Entry> {
    let record = |(about, outcome): (About, Outcome)| Entry {
        resource: about.resource,
        uid: about.uid,
        version: about.version,
        resource_version: about.resource_version,
        detail: about.detail,
        outcome,
        ..entry.clone()
    };
    all.into_iter().map(record).collect()
}

fn outcome(response: &Response) -> Outcome {
    let denied = response.extensions().get::<WasDenied>().is_some();
    match response.status() {
        _ if denied => Outcome::Denied,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
            Outcome::Denied
        }
        status if status.is_success() => Outcome::Ok,
        status if status.is_client_error() => Outcome::Refused,
        _ => Outcome::Failed,
    }
}

fn tag(response: &Response) -> Option<String> {
    let tag = response.headers().get(http::header::ETAG)?.to_str().ok()?;
    Some(tag.trim_matches('"').to_owned())
}

/// What the names in a path stand for. Where the request came to nothing, they are looked up: only
/// what exists is written down. So it is where an organization was only looked into: one that is not
/// there looks empty.
async fn resource(
    app: &App,
    names: Option<RawPathParams>,
    (done, changes): (bool, bool),
) -> Option<String> {
    let one = |wanted: &str| {
        let mut names = names.iter().flatten();
        names.find(|(key, _)| *key == wanted).map(|(_, value)| value.to_owned())
    };
    let (org, project, name) = (one("org"), one("project"), one("name"));
    let (principal, id) = (one("principal"), one("id"));
    if let Some(org) = org {
        let vault = app.shared_vault();
        if done && (changes || project.is_some()) {
            return vault.known_uri(&org, project.as_deref(), name.as_deref(), true);
        }
        let found = tokio::task::spawn_blocking(move || {
            vault.known_uri(&org, project.as_deref(), name.as_deref(), false)
        });
        return found.await.ok().flatten();
    }
    match (principal, id) {
        (Some(name), _) => (done || app.vault().knows_principal(&name)).then_some(name),
        (None, Some(id)) => (done || app.vault().knows_id(&id)).then_some(id),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_credential_does_not_fill_the_disk_and_is_counted() {
        let unknown = Unknown::default();
        let written = (0..2 * UNKNOWN_AT_ONCE).filter(|_| unknown.take().is_some()).count();
        assert!(written < UNKNOWN_AT_ONCE as usize + 100, "{written}");
        let missed = u64::from(2 * UNKNOWN_AT_ONCE) - written as u64;
        let now = Instant::now();
        unknown.0.lock().unwrap().filled_at =
            now.checked_sub(std::time::Duration::from_secs(2)).unwrap();
        assert_eq!(unknown.take(), Some(missed));
        assert_eq!(unknown.take(), Some(0));
    }
}
