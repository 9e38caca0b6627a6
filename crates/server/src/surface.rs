//! The platforms' interfaces, mounted: authentication, limits and the audit log are the server's, all
//! else is the surface's.

use std::cell::RefCell;

use api::{Problem, ProblemKind};
use audit::Outcome;
use axum::Router;
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use domain::Invalid;
use http::request::Parts;
use http::{Extensions, HeaderValue, Method, header};
use percent_encoding::percent_decode_str;
use surfaces::{Access, Answer, Context, Place, Route, Settings, Surface, Touched, Trouble};
use vault::{Vault, VaultError};

use crate::answer::{Failure, not_found as no_such_resource, problem};
use crate::app::{App, Refused, unauthorized};
use crate::audit::{About, Notes, Several, WasDenied};
use crate::caller::{Caller, Peer, Unknown};
use crate::extract::collect;

/// The platforms' interfaces that are switched on.
pub struct Mounted {
    /// Which.
    pub surfaces: Vec<&'static Surface>,
    /// What the operator decided about them.
    pub settings: Settings,
}

/// The routes of what is switched on.
pub(crate) fn routes(app: &App) -> Router<App> {
    let mut router = Router::new();
    for surface in app.surfaces().iter().flat_map(|mounted| mounted.surfaces.iter().copied()) {
        for route in surface.routes {
            let Ok(method) = MethodFilter::try_from(route.method.clone()) else { continue };
            let serve =
                move |State(app): State<App>, request: Request| serve(app, surface, route, request);
            router = router.route(route.path, on(method, serve));
        }
    }
    router
}

/// A path that is no route, in the words of whom it may have been meant for.
pub(crate) async fn not_found(State(app): State<App>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match owner(&app, parts.uri.path()) {
        Some(surface) => {
            guarded(&app, surface, &parts, || (surface.not_found)(parts.uri.path())).await
        }
        None => Failure(no_such_resource()).into_response(),
    }
}

/// A method that a path does not have.
pub(crate) async fn no_method(State(app): State<App>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match owner(&app, parts.uri.path()) {
        Some(surface) => {
            let answer = || (surface.no_method)(&parts.method, parts.uri.path());
            guarded(&app, surface, &parts, answer).await
        }
        None => {
            let detail = "This path exists, and not for this method. See the Allow header.";
            Failure(Problem::new(ProblemKind::MethodNotAllowed, detail)).into_response()
        }
    }
}

/// A refusal of the server's own, in the words of whom the request was meant for.
pub(crate) fn say(app: &App, path: &str, problem: Problem) -> Response {
    match owner(app, path) {
        Some(surface) => refused(surface, &problem),
        None => Failure(problem).into_response(),
    }
}

fn owner(app: &App, path: &str) -> Option<&'static Surface> {
    let surfaces = app.surfaces()?.surfaces.iter().copied();
    // One's prefix may lie below another's.
    surfaces
        .filter_map(|surface| Some((begins(path, surface.prefixes)?, surface)))
        .max_by_key(|(length, _)| *length)
        .map(|(_, surface)| surface)
}

/// The length of the longest prefix that a path begins with, if it begins with one.
fn begins(path: &str, prefixes: &[&str]) -> Option<usize> {
    let is_below = |prefix: &&&str| {
        path.strip_prefix(**prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'))
    };
    prefixes.iter().filter(is_below).map(|prefix| prefix.len()).max()
}

/// An answer that is no route's; where the surface guards its paths, for those it knows.
async fn guarded(
    app: &App,
    surface: &Surface,
    parts: &Parts,
    answer: impl FnOnce() -> Answer,
) -> Response {
    if begins(parts.uri.path(), surface.guarded).is_some() {
        let peer = peer(&parts.extensions);
        match Caller::identify(app, &parts.headers, peer, surface.scheme).await {
            Ok(_) => {}
            Err(Unknown::Because(why)) => return plain((surface.unauthenticated)(why)),
            Err(Unknown::Problem(problem)) => return refused(surface, &problem),
        }
    }
    plain(answer())
}

async fn serve(
    app: App,
    surface: &'static Surface,
    route: &'static Route,
    request: Request,
) -> Response {
    match answer(&app, surface, route, request).await {
        Ok(response) => response,
        Err(problem) => refused(surface, &problem),
    }
}

async fn answer(
    app: &App,
    surface: &'static Surface,
    route: &'static Route,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let caller = match caller(app, surface, route, &parts).await? {
        Ok(caller) => caller,
        Err(answer) => return Ok(plain(answer)),
    };
    if let Some(caller) = &caller {
        caller.note(&parts.extensions);
    }
    let body = match parts.method {
        Method::GET | Method::HEAD => bytes::Bytes::new(),
        _ => collect(body).await?,
    };
    let asked = asked(&mut parts, app, body).await?;
    let peer = peer(&parts.extensions);
    let place = match route.access {
        Access::SigningIn => Some(app.place_to_hash().ok_or_else(crowded)?),
        Access::Anybody | Access::Known | Access::Welcome => None,
    };
    let notes = parts.extensions.get::<Notes>().cloned();
    let (app, act) = (app.clone(), route.handler);
    let done = tokio::task::spawn_blocking(move || {
        let _place = place;
        let credential = caller.as_ref().map(|caller| &caller.credential);
        // Anew, since the body and the queue may have taken their time: whose credential has ended
        // meanwhile is nobody.
        let decide = || match credential {
            None => Ok(None),
            Some(shown) => shown.actor(app.vault()).map(Some).ok_or_else(unauthorized),
        };
        let attempt = || -> Result<(Result<Answer, Trouble>, Option<Place>), Problem> {
            let actor = decide()?;
            let mounted = app.surfaces().ok_or_else(no_such_resource)?;
            let context = Context {
                vault: app.vault(),
                known: actor.as_ref(),
                address: peer.address(),
                settings: &mounted.settings,
                jobs: app.worker().as_ref(),
                place: RefCell::new(None),
                who: RefCell::new(None),
            };
            let done = act(&context, &asked);
            if let (Some(notes), Some(who)) = (&notes, context.who.take()) {
                notes.set_actor(who);
            }
            Ok((done, context.place.into_inner()))
        };
        let mut done = attempt()?;
        if matches!(done.0, Err(Trouble::Vault(VaultError::RightsChanged))) {
            done = attempt()?;
        }
        Ok(conclude(app.vault(), surface, done))
    });
    done.await.unwrap_or_else(|_| {
        // A panic is a defect of ours; it ends this request and no other.
        let detail = "The daemon met a defect of its own; see its log.";
        Err(Problem::new(ProblemKind::Internal, detail))
    })
}

/// Who asks; or the answer to who does not show it.
async fn caller(
    app: &App,
    surface: &Surface,
    route: &Route,
    parts: &Parts,
) -> Result<Result<Option<Caller>, Answer>, Problem> {
    if matches!(route.access, Access::Anybody | Access::SigningIn) {
        return Ok(Ok(None));
    }
    let may_be_nobody =
        route.access == Access::Welcome && !parts.headers.contains_key(header::AUTHORIZATION);
    let peer = peer(&parts.extensions);
    match Caller::identify(app, &parts.headers, peer, surface.scheme).await {
        Ok(caller) => Ok(Ok(Some(caller))),
        Err(Unknown::Because(_)) if may_be_nobody => Ok(Ok(None)),
        Err(Unknown::Because(why)) => Ok(Err((surface.unauthenticated)(why))),
        Err(Unknown::Problem(problem)) => Err(problem),
    }
}

fn peer(extensions: &Extensions) -> Peer {
    let peer = extensions.get::<Peer>().copied();
    peer.unwrap_or(Peer::Network(std::net::Ipv4Addr::UNSPECIFIED.into()))
}

fn crowded() -> Problem {
    problem(Refused::Vault(VaultError::Overloaded))
}

async fn asked(
    parts: &mut Parts,
    app: &App,
    body: bytes::Bytes,
) -> Result<surfaces::Request, Problem> {
    let names = RawPathParams::from_request_parts(parts, app).await;
    let wrong = Invalid::new("path", "must be percent-encoded UTF-8");
    let names = names.map_err(|_| Problem::invalid(&wrong))?;
    let names = names.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    type Pairs = axum::extract::Query<Vec<(String, String)>>;
    let query = Pairs::from_request_parts(parts, app).await.ok().map(|pairs| pairs.0);
    // What is no UTF-8 would be read with other characters in its place.
    let raw = parts.uri.query().unwrap_or_default();
    let query = query.filter(|_| percent_decode_str(raw).decode_utf8().is_ok());
    let text = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let essence =
        |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let host = text(header::HOST).or(authority).filter(|host| is_host(host));
    Ok(surfaces::Request {
        names,
        query,
        media_type: text(header::CONTENT_TYPE).map(essence),
        content_type: text(header::CONTENT_TYPE).map(str::to_owned),
        user_agent: text(header::USER_AGENT).map(str::to_owned),
        host: host.map(str::to_owned),
        body,
    })
}

fn is_host(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '[' | ']');
    !text.is_empty() && text.len() <= 253 && text.chars().all(fits)
}

/// What came of an act, as a response.
fn conclude(
    vault: &Vault,
    surface: &Surface,
    (done, place): (Result<Answer, Trouble>, Option<Place>),
) -> Response {
    let mut answer = match done {
        Ok(answer) => answer,
        Err(Trouble::Said(answer)) => *answer,
        Err(trouble) => {
            let problem = problem_of(trouble);
            let denied = problem.denied;
            let answer = (surface.refuse)(&problem);
            if denied { answer.denied() } else { answer }
        }
    };
    let touched = std::mem::take(&mut answer.touched);
    let said = answer.detail.take();
    let mut response = plain(answer);
    let about = |touched: &Touched| About {
        resource: resource(vault, touched),
        uid: touched.uid.clone(),
        version: touched.version,
        resource_version: touched.resource_version.map(|version| version.to_string()),
        detail: touched.detail.map(str::to_owned),
    };
    match touched.as_slice() {
        [] => {
            let place = place.and_then(|(project, name)| {
                let name = name.as_ref().map(domain::SecretName::as_str);
                let (org, project) = (project.org.as_str(), project.project.as_str());
                vault.known_uri(org, Some(project), name, false)
            });
            response.extensions_mut().insert(About {
                resource: place,
                detail: said,
                ..About::default()
            });
        }
        // The status is that of all of it; what was done to each says its own record.
        all => {
            let record = |one: &Touched| {
                let about = about(one);
                let detail = said.clone().or(about.detail);
                (About { detail, ..about }, outcome(one))
            };
            response.extensions_mut().insert(Several(all.iter().map(record).collect()));
        }
    }
    response
}

fn outcome(touched: &Touched) -> Outcome {
    match touched.outcome {
        surfaces::Outcome::Denied => Outcome::Denied,
        surfaces::Outcome::Done => Outcome::Ok,
        surfaces::Outcome::Refused => Outcome::Refused,
    }
}

/// What was asked for in vain is named as far as it exists.
fn resource(vault: &Vault, touched: &Touched) -> Option<String> {
    let (path, seen) = (&touched.path, touched.outcome == surfaces::Outcome::Done);
    let (org, project) = (path.project.org.as_str(), path.project.project.as_str());
    vault.known_uri(org, Some(project), Some(path.name.as_str()), seen)
}

fn problem_of(trouble: Trouble) -> Problem {
    problem(match trouble {
        Trouble::Denied(denied) => Refused::Denied(denied),
        Trouble::Invalid(invalid) => invalid.into(),
        Trouble::NotJson { line, column } => {
            let detail = format!("The body is not JSON at line {line}, column {column}.");
            Refused::Problem(Problem::new(ProblemKind::MalformedBody, detail).at("body"))
        }
        Trouble::Said(_) => Refused::Problem(no_such_resource()),
        Trouble::Vault(error) => Refused::Vault(error),
    })
}

fn refused(surface: &Surface, problem: &Problem) -> Response {
    plain((surface.refuse)(problem))
}

/// An answer, with the headers that every answer has.
fn plain(answer: Answer) -> Response {
    let mut response = (answer.status, answer.body).into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.extend(answer.headers);
    if answer.denied {
        response.extensions_mut().insert(WasDenied);
    }
    response
}
