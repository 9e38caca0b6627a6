//! `/tresor/v1/orgs/{org}/projects`

use api::{ProjectBody, ProjectList, ProjectPatch, ProjectSpec, ProjectWrite, ProjectionList};
use authz::{Administer, List, Scope, SeenProject, WholeStore, decide};
use axum::extract::State;
use axum::response::Response;
use domain::{Annotations, Invalid, ProjectPath};
use http::StatusCode;
use vault::{NewProject, ProjectChange};

use super::show;
use crate::answer::{Failure, json, json_at, no_content};
use crate::app::App;
use crate::audit::About;
use crate::caller::Caller;
use crate::extract::{IfMatch, InOrg, InProject, Json, MergePatch, NoQuery};

/// The projects that the caller may list.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    InOrg(org): InOrg,
    _: NoQuery,
) -> Result<Response, Failure> {
    let mut page = app.act(caller, |vault, actor| Ok(vault.projects(actor)?)).await?;
    page.items.retain(|project| project.path.org == org);
    let metadata = show::list_metadata(&page);
    let items = page.items.iter().map(show::project).collect();
    Ok(json(StatusCode::OK, &ProjectList { metadata, items }))
}

/// Makes a project; an administrator's act.
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    InOrg(org): InOrg,
    Json(body): Json<ProjectWrite>,
) -> Result<Response, Failure> {
    let body = app
        .act(caller, move |vault, actor| {
            let now = vault.clock().now();
            let permit = decide::<Administer, _>(actor, org.clone(), now)?;
            let rules = decide::<Administer, _>(actor, WholeStore, now).ok();
            if body.metadata.resource_version.is_some() {
                let fix = "must be left out: the project does not exist yet";
                return Err(Invalid::new("metadata.resourceVersion", fix).into());
            }
            let path = ProjectPath { org: org.clone(), project: body.name()? };
            Ok(vault.create_project(&permit, rules.as_ref(), &path, wanted(&body.spec)?)?)
        })
        .await?;
    let about = About::named(app.vault().uri_of(&Scope::Project(body.path.clone())));
    Ok(about.of(answer(StatusCode::CREATED, &show::project(&body))))
}

/// One project.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    InProject(path): InProject,
) -> Result<Response, Failure> {
    let view = app
        .act(caller, move |vault, actor| {
            let seen = SeenProject(path.clone());
            let permit = decide::<List, _>(actor, seen, vault.clock().now())?;
            Ok(vault.project(&permit)?)
        })
        .await?;
    Ok(answer(StatusCode::OK, &show::project(&view)))
}

/// Replaces a project's rules; an administrator's act.
pub(super) async fn replace(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    InProject(path): InProject,
    if_match: IfMatch,
    Json(body): Json<ProjectWrite>,
) -> Result<Response, Failure> {
    let view = app
        .act(caller, move |vault, actor| {
            let now = vault.clock().now();
            // Who may not see the project is not told that there is one.
            decide::<Administer, _>(actor, path.clone(), now)?;
            let permit = decide::<Administer, _>(actor, WholeStore, now)?;
            check_name(body.metadata.name.as_deref(), &path)?;
            let expected = if_match.and(body.expected()?)?;
            let new = wanted(&body.spec)?;
            let change = ProjectChange {
                change: &|old| {
                    Ok(NewProject { annotations: old.annotations.clone(), ..new.clone() })
                },
                expected,
            };
            Ok(vault.change_project(&permit, &path, &change)?)
        })
        .await?;
    Ok(answer(StatusCode::OK, &show::project(&view)))
}

/// Changes what is sent and keeps the rest (RFC 7396); an administrator's act.
pub(super) async fn patch(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    InProject(path): InProject,
    if_match: IfMatch,
    MergePatch(body): MergePatch<ProjectPatch>,
) -> Result<Response, Failure> {
    let view = app
        .act(caller, move |vault, actor| {
            let now = vault.clock().now();
            decide::<Administer, _>(actor, path.clone(), now)?;
            let permit = decide::<Administer, _>(actor, WholeStore, now)?;
            check_name(body.metadata.name.as_deref(), &path)?;
            let rules = body.rules()?;
            let change = |old: &NewProject| {
                Ok(NewProject {
                    rules: rules.clone().unwrap_or_else(|| old.rules.clone()),
                    keep_versions: body.spec.keep_versions.unwrap_or(old.keep_versions),
                    annotations: old.annotations.clone(),
                })
            };
            let change =
                ProjectChange { change: &change, expected: if_match.and(body.expected()?)? };
            Ok(vault.change_project(&permit, &path, &change)?)
        })
        .await?;
    Ok(answer(StatusCode::OK, &show::project(&view)))
}

/// Removes an empty project.
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    InProject(path): InProject,
    if_match: IfMatch,
) -> Result<Response, Failure> {
    app.act(caller, move |vault, actor| {
        let permit = decide::<Administer, _>(actor, path.clone(), vault.clock().now())?;
        Ok(vault.delete_project(&permit, if_match.and(None)?)?)
    })
    .await?;
    Ok(no_content())
}

/// How the project's projections stand.
pub(super) async fn projections(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
    InProject(path): InProject,
) -> Result<Response, Failure> {
    let statuses = app
        .act(caller, move |vault, actor| {
            let permit = decide::<List, _>(actor, path.clone(), vault.clock().now())?;
            Ok(vault.projections(&permit)?)
        })
        .await?;
    let items = statuses.iter().map(show::projection).collect();
    Ok(json(StatusCode::OK, &ProjectionList { items }))
}

fn check_name(name: Option<&str>, path: &ProjectPath) -> Result<(), Invalid> {
    if name.is_some_and(|name| name != path.project.as_str()) {
        let fix = "must be the project's name in the path, or be left out";
        return Err(Invalid::new("metadata.name", fix));
    }
    Ok(())
}

fn wanted(spec: &ProjectSpec) -> Result<NewProject, Invalid> {
    Ok(NewProject {
        rules: spec.rules()?,
        keep_versions: spec.keep_versions,
        annotations: Annotations::default(),
    })
}

fn answer(status: StatusCode, body: &ProjectBody) -> Response {
    json_at(status, &body.metadata.resource_version, body)
}
