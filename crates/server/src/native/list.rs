//! Lists and watches of secrets: in one project, or in several at once.

use std::time::Duration;

use api::{Problem, ProblemKind, SecretList, project_path};
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::{Age, Invalid, LabelSelector, ProjectPath, ResourceVersion, SecretType, Timestamp};
use futures::StreamExt;
use http::{StatusCode, header};
use vault::{ListQuery, Since, Sort};

use super::show;
use crate::answer::{Failure, json_of};
use crate::app::App;
use crate::caller::Caller;
use crate::extract::{InProject, Query};
use crate::watching::{Watching, page, permits_of};

const DEFAULT_PAGE: u64 = 100;
const LARGEST_PAGE: u64 = 1000;
/// How long most secrets are in a list.
const USUAL_BYTES: usize = 512;
const FILTERS: [&str; 4] = ["labelSelector", "type", "namePrefix", "nameContains"];
const LIST_ONLY: [&str; 7] =
    ["limit", "continue", "sort", "order", "unusedSince", "olderThan", "rotationDue"];
const WATCH_ONLY: [&str; 2] = ["resourceVersion", "timeoutSeconds"];

/// The project's secrets: a page, or what happens to them from now on.
pub(super) async fn in_project(
    State(app): State<App>,
    caller: Caller,
    InProject(path): InProject,
    query: Query,
) -> Result<Response, Failure> {
    let query = query.only(&parameters(&["watch"]))?;
    list_or_watch(app, caller, Some(vec![path]), &query).await
}

/// The secrets of the projects that are named, or of all that the caller may list.
pub(super) async fn everywhere(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Response, Failure> {
    let query = query.only_repeating(&parameters(&["watch"]), "project")?;
    let mut projects = Vec::new();
    for name in query.texts("project") {
        projects.push(project_path("project", name)?);
    }
    projects.sort();
    projects.dedup();
    let named = Some(projects).filter(|projects| !projects.is_empty());
    list_or_watch(app, caller, named, &query).await
}

/// The project's deleted secrets, a page of them.
pub(super) async fn deleted(
    State(app): State<App>,
    caller: Caller,
    InProject(path): InProject,
    query: Query,
) -> Result<Response, Failure> {
    let known: Vec<_> = FILTERS.into_iter().chain(LIST_ONLY).collect();
    let query =
        ListQuery { deleted: true, ..list_query(&query.only(&known)?, app.vault().clock().now())? };
    list(app, caller, Some(vec![path]), query).await
}

fn parameters(more: &[&'static str]) -> Vec<&'static str> {
    FILTERS.into_iter().chain(LIST_ONLY).chain(WATCH_ONLY).chain(more.iter().copied()).collect()
}

async fn list_or_watch(
    app: App,
    caller: Caller,
    projects: Option<Vec<ProjectPath>>,
    query: &Query,
) -> Result<Response, Failure> {
    let watching = match query.text("watch") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Invalid::new("watch", "must be true or false").into()),
    };
    let (foreign, place): (&[&str], _) =
        if watching { (&LIST_ONLY, "a list") } else { (&WATCH_ONLY, "a watch") };
    if let Some(name) = foreign.iter().find(|name| query.text(name).is_some()) {
        let fix = format!("must be left out: it belongs to {place}");
        return Err(Invalid::new(*name, fix).into());
    }
    let list_query = list_query(query, app.vault().clock().now())?;
    if watching {
        watch(app, caller, projects, list_query, query).await
    } else {
        list(app, caller, projects, list_query).await
    }
}

async fn list(
    app: App,
    caller: Caller,
    named: Option<Vec<ProjectPath>>,
    query: ListQuery,
) -> Result<Response, Failure> {
    let list = app
        .act(caller, move |vault, actor| {
            let shown = |view| show::secret(&view, vault);
            let (_, page) = page(vault, actor, named.as_deref(), &query, &shown)?;
            let metadata = show::list_metadata(&page);
            Ok(SecretList { metadata, items: page.items })
        })
        .await?;
    Ok(json_of(list.items.len() * USUAL_BYTES, StatusCode::OK, &list))
}

async fn watch(
    app: App,
    caller: Caller,
    projects: Option<Vec<ProjectPath>>,
    list_query: ListQuery,
    query: &Query,
) -> Result<Response, Failure> {
    let from = query.text("resourceVersion").map(resource_version).transpose()?;
    let longest = app.limits().watch;
    let lasts = query.number("timeoutSeconds")?.map(Duration::from_secs).unwrap_or(longest);
    let watcher = caller.watcher();
    let (credential, named) = (caller.credential.clone(), projects.clone());
    app.act(caller, move |vault, actor| {
        for permit in permits_of(vault, actor, named.as_deref())? {
            vault.check_project(&permit)?;
        }
        // A cursor that is too old is refused at once, with a status of its own.
        if let Some(from) = from {
            vault.changes_after(&crate::hub::permit(vault)?, from)?;
        }
        Ok(())
    })
    .await?;
    let place = app.hub().enter(watcher).ok_or_else(|| {
        let detail = "As many watches are open as the daemon takes, or as one token may have. End one, or try again.";
        Problem::new(ProblemKind::Busy, detail)
    })?;
    let lasts = lasts.min(longest);
    let watching =
        Watching { app, credential, projects, query: list_query, from, lasts, _place: place };
    let lines = stream_of(watching.start());
    let headers = [
        (header::CONTENT_TYPE, "application/jsonl"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((StatusCode::OK, headers, Body::from_stream(lines)).into_response())
}

fn stream_of(
    lines: tokio::sync::mpsc::Receiver<bytes::Bytes>,
) -> impl futures::Stream<Item = Result<bytes::Bytes, std::convert::Infallible>> + Send {
    futures::stream::unfold(lines, |mut lines| async move {
        lines.recv().await.map(|bytes| (bytes, lines))
    })
    .map(Ok)
}

fn resource_version(text: &str) -> Result<ResourceVersion, Invalid> {
    ResourceVersion::parse(text).map_err(|wrong| Invalid::new("resourceVersion", wrong.fix))
}

/// An instant: a time of RFC 3339, or an age from now back.
fn since(query: &Query, name: &str, now: Timestamp) -> Result<Option<Since>, Invalid> {
    let Some(text) = query.text(name) else { return Ok(None) };
    let at = match Age::parse(text) {
        Ok(age) => Some(age.before(now)),
        Err(_) => text.parse::<jiff::Timestamp>().ok().and_then(|time| {
            u64::try_from(time.as_millisecond()).ok().map(Timestamp::from_unix_millis)
        }),
    };
    let fix = "must be an age such as 90d, or a time such as 2026-01-31T00:00:00Z";
    let at = at.ok_or_else(|| Invalid::new(name, fix))?;
    Ok(Some(Since { text: text.to_owned(), at }))
}

fn list_query(query: &Query, now: Timestamp) -> Result<ListQuery, Invalid> {
    let text = |name| query.text(name).unwrap_or_default().to_owned();
    let sort = match query.text("sort") {
        None | Some("name") => Sort::Name,
        Some("created") => Sort::Created,
        Some("type") => Sort::Type,
        Some("updated") => Sort::Updated,
        Some(_) => {
            return Err(Invalid::new("sort", "must be name, created, updated or type"));
        }
    };
    let descending = match query.text("order") {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(_) => return Err(Invalid::new("order", "must be asc or desc")),
    };
    let rotation_due = match query.text("rotationDue") {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => return Err(Invalid::new("rotationDue", "must be true or false")),
    };
    let kind = query.text("type").map(SecretType::parse).transpose();
    let limit = query.number("limit")?.unwrap_or(DEFAULT_PAGE).min(LARGEST_PAGE);
    Ok(ListQuery {
        deleted: false,
        selector: LabelSelector::parse(&text("labelSelector"))?,
        kind: kind.map_err(|wrong| Invalid::new("type", wrong.fix))?,
        name_prefix: text("namePrefix"),
        name_contains: text("nameContains"),
        unused_since: since(query, "unusedSince", now)?,
        older_than: since(query, "olderThan", now)?,
        rotation_due,
        sort,
        descending,
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
        continue_: query.text("continue").map(str::to_owned),
    })
}
