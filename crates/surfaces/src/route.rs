//! What a surface is: routes, and how it refuses.

use std::cell::RefCell;
use std::net::IpAddr;

use api::Problem;
use authz::Actor;
use domain::{Namespace, ProjectName, ProjectPath, SecretName, SecretPath, Timestamp};
use http::Method;
use serde_json::Value;
use vault::Vault;

use crate::{Answer, Request, Trouble};

/// A platform's interface.
pub struct Surface {
    /// What it is called in the configuration, and in front of its operations.
    pub name: &'static str,
    /// Its description, in OpenAPI 3.1: an operation for each route.
    pub document: &'static str,
    /// Its routes.
    pub routes: &'static [Route],
    /// What its paths begin with, for those that are no route.
    pub prefixes: &'static [&'static str],
    /// Below which paths who does not show who they are is told so, and not which paths there are.
    pub guarded: &'static [&'static str],
    /// The scheme that it wants beside Bearer and Basic, if it has one of its own.
    pub scheme: Option<&'static str>,
    /// The answer to who does not show who they are.
    pub unauthenticated: fn(Unauthenticated) -> Answer,
    /// The answer to what has no answer of its own.
    pub refuse: fn(&Problem) -> Answer,
    /// The answer on a path that there is not.
    pub not_found: fn(&str) -> Answer,
    /// The answer to a method that the path does not have.
    pub no_method: fn(&Method, &str) -> Answer,
}

/// One route of a surface.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with `{NAME}` for a segment that is a name.
    pub path: &'static str,
    /// What it is called in the audit log, behind the surface's name and a dot.
    pub operation: &'static str,
    /// Who may ask.
    pub access: Access,
    /// What it does, on a thread that may block. It is called again when the actor's rights changed
    /// while it ran; then nothing of it happened.
    pub handler: Handler,
}

/// What a route does.
pub type Handler = fn(&Context<'_>, &Request) -> Result<Answer, Trouble>;

impl Route {
    /// A route for anybody who shows who they are.
    pub(crate) const fn known(
        method: Method,
        path: &'static str,
        operation: &'static str,
        handler: Handler,
    ) -> Self {
        Self { method, path, operation, access: Access::Known, handler }
    }
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody, whether or not they show who they are.
    Anybody,
    /// Anybody who shows who they are.
    Known,
    /// Somebody who is about to sign in: what it does may hash a password.
    SigningIn,
    /// Anybody; who shows who they are gets more to see, and who shows it wrongly is refused.
    Welcome,
}

/// Why someone is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unauthenticated {
    /// A name and password that nobody has.
    BadPassword,
    /// A token that is none.
    BadToken,
    /// The header holds a scheme and nothing else.
    NoCredential,
    /// The header is not there.
    NoHeader,
    /// The header has a scheme that is not taken.
    UnknownScheme,
}

/// What the operator decides about surfaces.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the cluster is called in URIs.
    pub cluster: String,
    /// Where AI Blueprints' secrets live.
    pub blueprints_project: ProjectPath,
    /// The namespace in which they appear.
    pub blueprints_namespace: Namespace,
    /// What the project is called in which an organization's own secrets of Chariot live.
    pub chariot_organization_project: ProjectName,
    /// Where Primus-SaFE's secrets live.
    pub safe_project: ProjectPath,
    /// Where clients reach the daemon, when that is not where they believe to.
    pub public_url: Option<String>,
}

/// What a handler works with.
pub struct Context<'a> {
    /// The use cases.
    pub vault: &'a Vault,
    /// Who asks, where they have shown it.
    pub known: Option<&'a Actor>,
    /// From where, where that is a network.
    pub address: Option<IpAddr>,
    /// What the operator decided.
    pub settings: &'a Settings,
    /// The cluster, for what is to run in it.
    pub jobs: &'a dyn Jobs,
    /// What the request is about, for its record in the audit log.
    pub place: RefCell<Option<Place>>,
    /// Who it is, where no credential says so.
    pub who: RefCell<Option<String>>,
}

/// A project, or a secret in it.
pub type Place = (ProjectPath, Option<SecretName>);

/// What applies workloads to the cluster.
pub trait Jobs: Send + Sync {
    /// Whether there is a cluster.
    fn has_cluster(&self) -> bool;

    /// Creates a Job, and returns the name that it got.
    ///
    /// # Errors
    /// When there is no cluster, or it refuses.
    fn create(&self, job: &Job) -> Result<String, JobError>;
}

/// A Job to be created.
pub struct Job {
    /// The namespace.
    pub namespace: Namespace,
    /// The manifest.
    pub manifest: Value,
}

/// Why a Job was not created.
#[derive(Debug)]
pub enum JobError {
    /// No cluster is attached.
    NoCluster,
    /// The cluster said no, in these words.
    Refused(String),
    /// It could not be reached.
    Unreachable,
}

impl<'a> Context<'a> {
    /// Who asks.
    ///
    /// # Errors
    /// When nobody is known, which a route that wants [`Access::Known`] never meets.
    pub fn actor(&self) -> Result<&'a Actor, Trouble> {
        self.known.ok_or(Trouble::Denied(authz::Denied::Expired))
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.vault.clock().now()
    }

    /// Says which project the request is about.
    pub fn is_about_project(&self, path: &ProjectPath) {
        *self.place.borrow_mut() = Some((path.clone(), None));
    }

    /// Says which secret the request is about.
    pub fn is_about(&self, path: &SecretPath) {
        *self.place.borrow_mut() = Some((path.project.clone(), Some(path.name.clone())));
    }

    /// Says who asks, where they have no credential yet.
    pub fn is_by(&self, name: String) {
        *self.who.borrow_mut() = Some(name);
    }

    /// The daemon's address, as the client of a request knows it.
    pub fn base_url(&self, request: &Request) -> String {
        match (&self.settings.public_url, &request.host) {
            (Some(url), _) => url.trim_end_matches('/').to_owned(),
            (None, Some(host)) => format!("http://{host}"),
            (None, None) => String::new(),
        }
    }
}

/// How Apolo names the one Kubernetes Secret of a project.
pub const APOLO_NAMES: &str = "project--{org}--{project}--secrets";
/// How Digital Hub names the one Kubernetes Secret of a project.
pub const DIGITALHUB_NAMES: &str = "proj-secrets-{project}";

/// All surfaces, by name.
pub fn surfaces() -> &'static [&'static Surface] {
    static ALL: [&Surface; 5] = [
        &crate::apolo::SURFACE,
        &crate::blueprints::SURFACE,
        &crate::chariot::SURFACE,
        &crate::digitalhub::SURFACE,
        &crate::safe::SURFACE,
    ];
    &ALL
}
