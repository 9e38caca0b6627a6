//! What handlers take out of a request. Each handler takes its [`crate::caller::Caller`] first, so
//! that nobody learns what a body or path should look like before signing in.

use std::time::Duration;

use api::{Problem, ProblemKind};
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use domain::{
    Invalid, OrgName, PrincipalName, ProjectName, ProjectPath, ResourceVersion, SecretName,
    SecretPath, Uid,
};
use http::header;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::answer::Failure;
use crate::app::App;

/// The largest body: a payload of 1 MiB in base64, and room for the rest.
const MAX_BODY_BYTES: usize = 2 << 20;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// The organization in the path.
pub(crate) struct InOrg(pub(crate) OrgName);

impl FromRequestParts<App> for InOrg {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let names = PathNames::take(parts, app).await?;
        Ok(Self(OrgName::parse(names.one("org")?)?))
    }
}

/// The project in the path.
pub(crate) struct InProject(pub(crate) ProjectPath);

impl FromRequestParts<App> for InProject {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        PathNames::take(parts, app).await?.project().map(Self)
    }
}

/// The secret in the path.
pub(crate) struct OfSecret(pub(crate) SecretPath);

impl FromRequestParts<App> for OfSecret {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let names = PathNames::take(parts, app).await?;
        let name = SecretName::parse(names.one("name")?)?;
        Ok(Self(SecretPath { project: names.project()?, name }))
    }
}

/// A secret in the path, by a project and its identity.
pub(crate) struct ProjectAndUid(pub(crate) ProjectPath, pub(crate) Uid);

impl FromRequestParts<App> for ProjectAndUid {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let names = PathNames::take(parts, app).await?;
        Ok(Self(names.project()?, Uid::parse(names.one("uid")?)?))
    }
}

/// A secret in the path, and the project that it is bound to.
pub(crate) struct BoundTo(pub(crate) SecretPath, pub(crate) ProjectPath);

impl FromRequestParts<App> for BoundTo {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let names = PathNames::take(parts, app).await?;
        let name = SecretName::parse(names.one("name")?)?;
        let org = OrgName::parse(names.one("bound_org")?)?;
        let project = ProjectName::parse(names.one("bound_project")?)?;
        let secret = SecretPath { project: names.project()?, name };
        Ok(Self(secret, ProjectPath { org, project }))
    }
}

/// The names in the path, percent-decoded once.
struct PathNames(RawPathParams);

impl PathNames {
    async fn take(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let names = RawPathParams::from_request_parts(parts, app).await;
        names.map(Self).map_err(|_| Invalid::new("path", "must be percent-encoded UTF-8").into())
    }

    fn one(&self, name: &str) -> Result<&str, Failure> {
        let found = self.0.iter().find_map(|(key, value)| (key == name).then_some(value));
        found.ok_or_else(|| Problem::new(ProblemKind::Internal, "The route lacks a name.").into())
    }

    fn project(&self) -> Result<ProjectPath, Failure> {
        let org = OrgName::parse(self.one("org")?)?;
        Ok(ProjectPath { org, project: ProjectName::parse(self.one("project")?)? })
    }
}

/// The name of a user, a machine account or a group in the path.
pub(crate) struct OfPrincipal(pub(crate) PrincipalName);

impl FromRequestParts<App> for OfPrincipal {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let names = PathNames::take(parts, app).await?;
        let name = PrincipalName::parse(names.one("principal")?);
        Ok(Self(name.map_err(|wrong| Invalid::new("principal", wrong.fix))?))
    }
}

/// Someone in the path, and the project of which they are to be a member.
pub(crate) struct OfMember(
    pub(crate) ProjectPath,
    pub(crate) vault::PrincipalKind,
    pub(crate) PrincipalName,
);

impl FromRequestParts<App> for OfMember {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let names = PathNames::take(parts, app).await?;
        let (kind, name) = crate::native::someone("subject", names.one("subject")?)?;
        Ok(Self(names.project()?, kind, name))
    }
}

/// The identity of a token or a grant in the path.
pub(crate) struct OfId(pub(crate) Uid);

impl FromRequestParts<App> for OfId {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let names = PathNames::take(parts, app).await?;
        let id = Uid::parse(names.one("id")?);
        Ok(Self(id.map_err(|wrong| Invalid::new("id", wrong.fix))?))
    }
}

/// The resource version that `If-Match` insists on.
pub(crate) struct IfMatch(Option<ResourceVersion>);

impl IfMatch {
    /// The one version that header and body insist on together.
    pub(crate) fn and(
        &self,
        body: Option<ResourceVersion>,
    ) -> Result<Option<ResourceVersion>, Invalid> {
        match (self.0, body) {
            (Some(header), Some(body)) if header != body => Err(Invalid::new(
                "metadata.resourceVersion",
                "must be the same as in the If-Match header, or stand in one of the two only",
            )),
            (header, body) => Ok(header.or(body)),
        }
    }
}

impl FromRequestParts<App> for IfMatch {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Failure> {
        let mut all = parts.headers.get_all(header::IF_MATCH).iter();
        let only = match (all.next(), all.next()) {
            (None, _) => return Ok(Self(None)),
            (Some(only), None) => only.to_str().unwrap_or_default().trim(),
            (Some(_), Some(_)) => "",
        };
        let bare = only.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(only);
        let version = ResourceVersion::parse(bare).map_err(|_| {
            Invalid::new("If-Match", "must be one ETag exactly as Tresor returned it")
        })?;
        Ok(Self(Some(version)))
    }
}

/// No query string at all: a parameter that is not understood, such as a dry run, must not pass for
/// one that is.
pub(crate) struct NoQuery;

impl FromRequestParts<App> for NoQuery {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Failure> {
        match parts.uri.query() {
            None | Some("") => Ok(Self),
            Some(_) => Err(Invalid::new("query", "must be left out").into()),
        }
    }
}

/// The query string's parameters, each at most once and none unknown.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Refuses parameters that the route does not have.
    pub(crate) fn only(self, known: &[&str]) -> Result<Self, Invalid> {
        self.only_repeating(known, "")
    }

    /// As [`Query::only`], and one more parameter that may appear more than once.
    pub(crate) fn only_repeating(self, known: &[&str], repeatable: &str) -> Result<Self, Invalid> {
        for (index, (name, _)) in self.0.iter().enumerate() {
            if name == repeatable {
                continue;
            }
            let repeated = self.0.iter().skip(index + 1).any(|(other, _)| other == name);
            if !known.contains(&name.as_str()) || repeated {
                let fix = format!("may hold each of {} once, and nothing else", known.join(", "));
                return Err(Invalid::new("query", fix));
            }
        }
        Ok(self)
    }

    /// A parameter's text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|(key, value)| (key == name).then_some(value.as_str()))
    }

    /// The texts of a parameter that may appear more than once.
    pub(crate) fn texts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter's number, from 1 up.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Invalid> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| *number >= 1);
        number.map(Some).ok_or_else(|| Invalid::new(name, "must be a whole number from 1 up"))
    }
}

impl FromRequestParts<App> for Query {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let parsed = axum::extract::Query::<Vec<(String, String)>>::from_request_parts(parts, app);
        match parsed.await {
            Ok(axum::extract::Query(pairs)) => Ok(Self(pairs)),
            Err(_) => Err(Invalid::new("query", "must be percent-encoded UTF-8").into()),
        }
    }
}

/// A JSON body.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &App) -> Result<Self, Failure> {
        read(request, "application/json").await.map(Self)
    }
}

/// A body that changes what it names and keeps the rest, RFC 7396.
pub(crate) struct MergePatch<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for MergePatch<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &App) -> Result<Self, Failure> {
        read(request, "application/merge-patch+json").await.map(Self)
    }
}

/// Takes a body of which nothing is wanted, so that the connection can go on behind it.
pub(crate) async fn drain(request: Request) {
    let collected = Limited::new(request.into_body(), MAX_BODY_BYTES).collect();
    // Whatever comes of it, the answer is the same.
    let _ = tokio::time::timeout(BODY_TIMEOUT, collected).await;
}

async fn read<T: DeserializeOwned>(request: Request, media_type: &str) -> Result<T, Failure> {
    let sent = request.headers().get(header::CONTENT_TYPE);
    if !sent.is_some_and(|value| is(media_type, value.to_str().unwrap_or_default())) {
        let detail =
            format!("Send the body as JSON, with the header `Content-Type: {media_type}`.");
        let problem = Problem::new(ProblemKind::UnsupportedMediaType, detail);
        return Err(problem.at("Content-Type").into());
    }
    let body = collect(request.into_body()).await?;
    api::parse(&body).map_err(Failure)
}

/// All of a body, within limits.
pub(crate) async fn collect(body: axum::body::Body) -> Result<bytes::Bytes, Problem> {
    let collected = Limited::new(body, MAX_BODY_BYTES).collect();
    match tokio::time::timeout(BODY_TIMEOUT, collected).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(unreadable(error.as_ref())),
        Err(_) => {
            let detail = "The body did not arrive in time. Send it at once.";
            Err(Problem::new(ProblemKind::RequestTimeout, detail))
        }
    }
}

fn is(media_type: &str, sent: &str) -> bool {
    let essence = sent.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case(media_type)
}

fn unreadable(error: &(dyn std::error::Error + 'static)) -> Problem {
    if error.is::<LengthLimitError>() {
        let detail =
            format!("The body is larger than {MAX_BODY_BYTES} bytes. A payload is at most 1 MiB.");
        return Problem::new(ProblemKind::PayloadTooLarge, detail).at("body");
    }
    let detail = "The body could not be read to its end. Send it again.";
    Problem::new(ProblemKind::MalformedBody, detail).at("body")
}
