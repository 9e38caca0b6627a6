//! What a refused or lost call means for a projection.

use std::fmt;

use domain::ProjectionState;
use kube::core::Status;

/// What was being done, by the name that RBAC has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Create,
    Delete,
    Get,
    List,
    Update,
    Watch,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Get => "get",
            Self::List => "list",
            Self::Update => "update",
            Self::Watch => "watch",
        })
    }
}

/// A state to show, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) state: ProjectionState,
    pub(crate) message: String,
}

/// A call that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallError {
    /// The object is not, or no longer, what the call was conditional on: look again.
    Changed,
    /// Anything that looking again does not help.
    Failed(Failure),
}

impl Failure {
    pub(crate) fn new(state: ProjectionState, message: impl Into<String>) -> Self {
        Self { state, message: message.into() }
    }

    /// Reads an error of the cluster. Its own message is never repeated: Kubernetes quotes objects
    /// in some of them, and a proxy may put anything there.
    pub(crate) fn of(verb: Verb, namespace: &str, error: &kube::Error) -> Self {
        Self::about("Secret", verb, namespace, error)
    }

    /// As [`Self::of`], for a kind that RBAC knows by its plural in lower case.
    pub(crate) fn about(kind: &str, verb: Verb, namespace: &str, error: &kube::Error) -> Self {
        let kube::Error::Api(status) = error else {
            return unanswered(error);
        };
        match status.code {
            401 => Self::new(
                ProjectionState::Denied,
                "the cluster does not accept the worker's credentials",
            ),
            403 if is_terminating(status) => Self::new(
                ProjectionState::NamespaceMissing,
                format!("the namespace {namespace} is being deleted"),
            ),
            403 => Self::new(
                ProjectionState::Denied,
                format!(
                    "the worker may not {verb} {}s in the namespace {namespace}",
                    kind.to_lowercase()
                ),
            ),
            404 => Self::new(
                ProjectionState::NamespaceMissing,
                format!("the namespace {namespace} does not exist"),
            ),
            413 => Self::new(
                ProjectionState::Failed,
                format!("the cluster finds the {kind} too large"),
            ),
            502..=504 => Self::new(
                ProjectionState::Unreachable,
                format!("the cluster answers with status {}", status.code),
            ),
            code => Self::new(
                ProjectionState::Failed,
                format!(
                    "the cluster refuses to {verb} the {kind}: {} (status {code})",
                    reason(status)
                ),
            ),
        }
    }

    /// There is nothing to apply it to.
    pub(crate) fn no_cluster() -> Self {
        Self::new(ProjectionState::NoCluster, "no cluster is attached to this daemon")
    }

    /// It is another's turn.
    pub(crate) fn not_leading() -> Self {
        Self::new(ProjectionState::Pending, "another replica leads and applies it")
    }

    /// A better claim holds the place, or the key in it. Its secret is not named: the project may
    /// be none of the reader's business.
    pub(crate) fn name_taken() -> Self {
        Self::new(
            ProjectionState::NameTaken,
            "another secret has this name there, since a project's own come before bound ones and \
             older ones before younger; rename the secret or change the rule",
        )
    }

    /// The other entries of the merged copy leave no room.
    pub(crate) fn too_large() -> Self {
        Self::new(
            ProjectionState::TooLarge,
            "the entry does not fit into the 1 MiB that a Kubernetes Secret takes; make it or \
             those before it smaller, or give it a rule of mode each",
        )
    }

    /// A deletion that waits for a person.
    pub(crate) fn braked() -> Self {
        Self::new(
            ProjectionState::Braked,
            "more Kubernetes Secrets would be deleted at once than the worker deletes by itself; \
             release the brake if that is meant",
        )
    }

    /// What is in the cluster is not replaced by what is older.
    pub(crate) fn rolled_back() -> Self {
        Self::new(
            ProjectionState::RolledBack,
            "the Secret shows a later state than Tresor has: the data directory was put back to an \
             earlier one; put the later one in its place, or release the brake to go on with the \
             earlier one",
        )
    }

    /// No answer within the time that a call gets.
    pub(crate) fn timed_out() -> Self {
        Self::new(ProjectionState::Unreachable, "the cluster does not answer in time")
    }
}

/// A call that got no answer, or none that makes sense. An answer that does not parse could hold
/// an object, so nothing of it is repeated.
fn unanswered(error: &kube::Error) -> Failure {
    match error {
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => {
            Failure::new(ProjectionState::Failed, "the cluster's answer is not understood")
        }
        kube::Error::Auth(_) => Failure::new(
            ProjectionState::Denied,
            "the credentials in the cluster's configuration cannot be used",
        ),
        _ => Failure::new(ProjectionState::Unreachable, "the cluster does not answer"),
    }
}

/// Kubernetes answers 403 for a namespace that is going away, as it does for missing rights.
fn is_terminating(status: &Status) -> bool {
    let causes = status.details.as_ref().map(|details| details.causes.as_slice());
    causes.unwrap_or_default().iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// Kubernetes' reasons are single words; whatever else is there is not from Kubernetes.
fn reason(status: &Status) -> &str {
    let is_word = !status.reason.is_empty()
        && status.reason.len() <= 64
        && status.reason.chars().all(|c| c.is_ascii_alphabetic());
    if is_word { &status.reason } else { "no reason given" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(code: u16, reason: &str) -> Failure {
        let status = Status::failure("echoes s3cr3t-value", reason).with_code(code);
        Failure::of(Verb::Create, "ns", &kube::Error::Api(status.boxed()))
    }

    #[test]
    fn each_answer_has_its_state() {
        for (code, state) in [
            (401, ProjectionState::Denied),
            (403, ProjectionState::Denied),
            (404, ProjectionState::NamespaceMissing),
            (413, ProjectionState::Failed),
            (422, ProjectionState::Failed),
            (429, ProjectionState::Failed),
            (500, ProjectionState::Failed),
            (503, ProjectionState::Unreachable),
        ] {
            assert_eq!(read(code, "Reason").state, state, "{code}");
        }
    }

    #[test]
    fn a_denial_says_what_is_missing() {
        let message = read(403, "Forbidden").message;
        assert_eq!(message, "the worker may not create secrets in the namespace ns");
    }

    #[test]
    fn another_kind_is_named_as_rbac_does() {
        let status = Status::failure("", "Forbidden").with_code(403);
        let failure = Failure::about("Lease", Verb::Get, "ns", &kube::Error::Api(status.boxed()));
        assert_eq!(failure.message, "the worker may not get leases in the namespace ns");
    }

    #[test]
    fn the_cluster_s_own_words_are_not_repeated() {
        assert_eq!(
            read(422, "Invalid").message,
            "the cluster refuses to create the Secret: Invalid (status 422)"
        );
        for code in [400, 401, 403, 404, 413, 422, 500, 503] {
            let message = read(code, "s3cr3t-value, again").message;
            assert!(!message.contains("s3cr3t"), "{message}");
        }
    }

    #[test]
    fn an_answer_that_does_not_parse_is_not_repeated() {
        let error = serde_json::from_str::<u8>("\"s3cr3t\"").unwrap_err();
        let failure = Failure::of(Verb::Get, "ns", &kube::Error::SerdeError(error));
        assert_eq!(failure.state, ProjectionState::Failed);
        assert!(!failure.message.contains("s3cr3t"));
    }
}
