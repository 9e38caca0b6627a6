//! `/tresor/v1/render`

use api::{Problem, Rendered, WorkloadBody, project_path};
use authz::Scope;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use surfaces::render::{Astray, Resolved, Unresolved, Workload, resolve};
use vault::Vault;

use crate::answer::{Failure, json};
use crate::app::{App, Refused};
use crate::audit::About;
use crate::caller::Caller;
use crate::extract::{Json, Query};

/// Makes a manifest of a workload, for whoever may use each secret that it refers to.
pub(super) async fn render(
    State(app): State<App>,
    caller: Caller,
    query: Query,
    Json(WorkloadBody(sent)): Json<WorkloadBody>,
) -> Result<Response, Failure> {
    let query = query.only(&["project"])?;
    let named = query.text("project").map(|text| project_path("project", text)).transpose()?;
    let workload = Workload::read(&sent)?;
    let has_cluster = app.worker().has_cluster();
    let (about, body) = app
        .act(caller, move |vault, actor| {
            let resolved = resolve(vault, actor, named.as_ref(), workload.clone())?;
            let manifest = resolved.workload.manifest(resolved.namespace.as_ref());
            let about = about(vault, &resolved);
            let mut warnings = resolved.workload.warnings;
            // Without a cluster it is for others to bring the secrets there.
            if has_cluster {
                warnings.extend(resolved.astray.iter().filter_map(warning));
            }
            Ok((about, Rendered { manifest, warnings }))
        })
        .await?;
    Ok(about.of(json(StatusCode::OK, &body)))
}

/// What stands in the way of a reference, where that is known.
fn warning(astray: &Astray) -> Option<String> {
    let (field, state) = (&astray.field, astray.state?);
    Some(format!(
        "{field}: the Kubernetes Secret is not the secret's (yet): it is {state}; look at the project's projections before you apply this"
    ))
}

/// What the audit log says: the project, if anything in it was looked at, and the secrets.
fn about(vault: &Vault, resolved: &Resolved) -> About {
    let Some(detail) = resolved.refers_to(vault) else { return About::default() };
    About::named(vault.uri_of(&Scope::Project(resolved.home.clone()))).detail(detail)
}

impl From<Unresolved> for Refused {
    fn from(unresolved: Unresolved) -> Self {
        match unresolved {
            Unresolved::Reference { invalid, denied } => {
                Self::Problem(Problem { denied, ..Problem::invalid(&invalid) })
            }
            Unresolved::Vault(error) => Self::Vault(error),
        }
    }
}
