//! Answers: JSON, problem documents, and which error becomes which.

use api::{Problem, ProblemKind};
use authz::Denied;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use vault::VaultError;

use crate::app::{Refused, unauthorized};
use crate::audit::WasDenied;

/// How long most answers are.
const SMALL: usize = 512;

/// A JSON answer; it may hold a value, so no cache may keep it.
pub(crate) fn json<T: Serialize>(status: StatusCode, body: &T) -> Response {
    json_of(SMALL, status, body)
}

/// As [`json()`], of a body that is about so many bytes long: one that grows is copied and wiped each time.
pub(crate) fn json_of<T: Serialize>(about: usize, status: StatusCode, body: &T) -> Response {
    let mut bytes = Vec::with_capacity(about.max(SMALL));
    match serde_json::to_writer(&mut bytes, body) {
        Ok(()) => {
            // For whoever reads it in a terminal.
            bytes.push(b'\n');
            with_type(status, bytes, "application/json")
        }
        Err(_) => Failure(Problem::new(ProblemKind::Internal, "The answer could not be written."))
            .into_response(),
    }
}

/// A JSON answer about one version of a resource, which its `ETag` names.
pub(crate) fn json_at<T: Serialize>(status: StatusCode, version: &str, body: &T) -> Response {
    tagged(version, json(status, body))
}

/// An answer about one version of a resource, which its `ETag` names.
pub(crate) fn tagged(version: &str, mut response: Response) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// An answer without a body.
pub(crate) fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// A problem document as an answer.
pub(crate) struct Failure(pub(crate) Problem);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let bytes = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = with_type(status, bytes, "application/problem+json");
        if problem.denied {
            response.extensions_mut().insert(WasDenied);
        }
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = problem.seconds_to_wait() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<domain::Invalid> for Failure {
    fn from(invalid: domain::Invalid) -> Self {
        Self(Problem::invalid(&invalid))
    }
}

/// What a refusal is to the outside. What may not be seen and what is not there look the same.
pub(crate) fn problem(refused: Refused) -> Problem {
    match refused {
        Refused::Problem(problem) => problem,
        Refused::Denied(Denied::Expired) => unauthorized(),
        Refused::Denied(Denied::Forbidden) => {
            let detail =
                "Your role does not allow this, or your token does not. Ask for a role that does.";
            Problem::new(ProblemKind::Forbidden, detail)
        }
        Refused::Denied(Denied::NotVisible) => Problem { denied: true, ..not_found() },
        Refused::Vault(error) => vault_problem(error),
    }
}

fn vault_problem(error: VaultError) -> Problem {
    let new = |kind, detail: &str| Problem::new(kind, detail);
    match error {
        VaultError::NotFound => not_found(),
        VaultError::Invalid(invalid) => Problem::invalid(&invalid),
        VaultError::AlreadyExists => {
            let detail = "One of this name exists already. Choose another name, or replace it with PUT to its own path.";
            new(ProblemKind::AlreadyExists, detail).at("metadata.name")
        }
        VaultError::Stale { current } => {
            let detail = format!(
                "The resource has changed and is now at resourceVersion {current}. Read it again and repeat the change on what you find."
            );
            new(ProblemKind::Conflict, &detail).at("metadata.resourceVersion")
        }
        VaultError::Gone { oldest, ahead: false } => {
            let detail = format!(
                "Changes are kept from resourceVersion {oldest} on. List again, and watch from the list's resourceVersion."
            );
            gone(detail, oldest)
        }
        VaultError::Gone { oldest, ahead: true } => {
            let detail = "This resourceVersion has never been in this store: it was put back to an earlier state, or it is another store. List again.";
            gone(detail.to_owned(), oldest)
        }
        VaultError::NotPermitted(denied) => problem(Refused::Denied(denied)),
        VaultError::SeveralDeleted => new(
            ProblemKind::NotNow,
            "Several deleted secrets had this name. Name one by its uid; the project's deleted-secrets lists them.",
        )
        .at("uid"),
        VaultError::StillLives => new(
            ProblemKind::NotNow,
            "A secret of this name lives. Delete it first, or name a deleted one by its uid.",
        )
        .at("uid"),
        VaultError::InUse { users } => {
            let detail = format!(
                "The secret is what {users} are reached with. Take them off the register, or give them another one."
            );
            new(ProblemKind::NotNow, &detail)
        }
        VaultError::ProjectHasBindings => new(
            ProblemKind::NotNow,
            "Secrets of other projects are bound to the project. End those bindings first.",
        ),
        VaultError::ProjectHasDeletedSecrets => new(
            ProblemKind::NotNow,
            "The project still keeps deleted secrets. Purge them first.",
        ),
        VaultError::IdTaken => {
            let detail = "Another secret has this id. Choose another, or leave it out.";
            new(ProblemKind::AlreadyExists, detail).at("id")
        }
        VaultError::LastAdministrator => new(
            ProblemKind::NotNow,
            "Nobody would be left who administers the store. Make another administrator first.",
        ),
        VaultError::OrgNotEmpty => {
            new(ProblemKind::NotNow, "The organization still has projects. Remove them first.")
        }
        VaultError::TooManyTokens => {
            new(ProblemKind::NotNow, "The account has as many tokens as one may have. Revoke some.")
        }
        VaultError::WrongPassword => {
            let detail = "There is no user of that name and password, or the account is disabled.";
            new(ProblemKind::Unauthorized, detail)
        }
        VaultError::TooManyAttempts { seconds } => {
            let detail = format!("Too many attempts failed. Try again in {seconds} seconds.");
            let mut problem = new(ProblemKind::TooManyRequests, &detail);
            problem.retry_after = Some(u32::try_from(seconds).unwrap_or(u32::MAX));
            problem
        }
        VaultError::Overloaded => {
            new(ProblemKind::Busy, "More people sign in at once than can be checked. Try again.")
        }
        VaultError::ProjectHasTokens => {
            new(ProblemKind::NotNow, "Tokens still hold rights in the project. Revoke them first.")
        }
        VaultError::ProjectNotEmpty => {
            new(ProblemKind::NotNow, "The project still has secrets. Delete them first.")
        }
        VaultError::VersionNotFound => {
            let detail = "There is no such live version. See the secret's versions for those that can be read.";
            new(ProblemKind::NotFound, detail).at("version")
        }
        VaultError::TooLarge => {
            let detail = "The secret does not fit into one act of the store. Make it smaller.";
            new(ProblemKind::PayloadTooLarge, detail).at("data")
        }
        VaultError::StorageFull => {
            let detail = "The disk is full: nothing was stored. Free space on it; reading goes on meanwhile.";
            new(ProblemKind::StorageFull, detail)
        }
        VaultError::Busy | VaultError::RightsChanged => {
            new(ProblemKind::Busy, "Others changed the same resource at the same time. Try again.")
        }
        VaultError::NoRotation => {
            new(ProblemKind::NotNow, "No change of the keys is under way.")
        }
        VaultError::RotationUnderWay { paused } => {
            let fix = if paused { "It is paused: resume it." } else { "Wait for its end." };
            new(ProblemKind::NotNow, &format!("A change of the keys is under way. {fix}"))
        }
        VaultError::RootKey(error) => {
            new(ProblemKind::NotNow, &format!("The root key was not changed: {error}.")).at("newRoot")
        }
        VaultError::KeyringFile(_)
        | VaultError::Keyring(_)
        | VaultError::RotationStuck { .. } => {
            tracing::error!(%error, "the keys were not changed");
            new(ProblemKind::Busy, "The keys were not changed; the daemon's log says why.")
        }
        VaultError::KeysExhausted
        | VaultError::KeyringGeneration
        | VaultError::NoRandomness
        | VaultError::Unavailable(_) => {
            tracing::error!(%error, "a request met a store that cannot serve it");
            new(ProblemKind::Busy, "The store cannot serve this now; the daemon's log says why.")
        }
        VaultError::Damaged => {
            tracing::error!(%error, "a request met a damaged record");
            new(ProblemKind::Internal, "A stored record is damaged; the daemon's log says more.")
        }
    }
}

fn gone(detail: String, oldest: domain::ResourceVersion) -> Problem {
    let mut problem = Problem::new(ProblemKind::Gone, detail).at("resourceVersion");
    problem.oldest_resource_version = Some(oldest.to_string().into());
    problem
}

pub(crate) fn not_found() -> Problem {
    let detail = "There is no such resource, or your token may not see it.";
    Problem::new(ProblemKind::NotFound, detail)
}

fn with_type(status: StatusCode, bytes: Vec<u8>, media_type: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, bytes).into_response()
}
