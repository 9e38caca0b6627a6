//! Jobs: real ones, in the namespace in which the project's secrets are.

use authz::{List, SeenProject, decide};
use domain::{Namespace, ProjectPath, ProjectionState};
use http::StatusCode;
use serde_json::{Map, Value, json};
use vault::VaultError;

use super::fields::{Faults, object, query};
use super::home::{check_write, home, own_name};
use super::{say, uri};
use crate::render::{Resolved, Unresolved, Workload, resolve};
use crate::{Answer, Context, Job, JobError, Request, Trouble};

/// Creates a Job in the cluster: accepted is what is there.
pub(super) fn run(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let mut faults = Faults::default();
    query(request, &["from_preset"], &mut faults)?;
    faults.check()?;
    let sent = object(request)?;
    let org = faults.text_of("org_name", sent.get("org_name"));
    let project = faults.text_of("project_name", sent.get("project_name"));
    faults.check()?;
    let home = home(context, (org, project), &mut faults);
    faults.check()?;
    let home = home.ok_or_else(|| say::wrong("project_name is required"))?;
    context.is_about_project(&home);
    check_write(context, request, &home)?;
    let workload = Workload::read(&sent)?;
    let resolved = resolve(context.vault, context.actor()?, Some(&home), workload);
    let resolved = resolved.map_err(unresolved)?;
    let namespace = match resolved.namespace.clone() {
        Some(namespace) => namespace,
        None => first_namespace(context, &home)?,
    };
    let manifest = job_manifest(&resolved, &namespace)?;
    check_arrived(context, &resolved)?;
    let name = context.jobs.create(&Job { namespace: namespace.clone(), manifest });
    let name = name.map_err(not_created)?;
    let shown = shown(context, request, &sent, (&home, &namespace, &name));
    Ok(Answer::json(StatusCode::ACCEPTED, &shown).detail(detail(context, &resolved, &name)))
}

/// Where a job without secrets runs: in the namespace of the project's first rule.
fn first_namespace(context: &Context<'_>, home: &ProjectPath) -> Result<Namespace, Trouble> {
    let seen = decide::<List, _>(context.actor()?, SeenProject(home.clone()), context.now())?;
    let project = match context.vault.project(&seen) {
        Err(VaultError::NotFound) => {
            let text = format!("Project '{}' not found", home.project);
            return Err(say::error(StatusCode::NOT_FOUND, &text).into());
        }
        found => found?,
    };
    let first = project.rules.into_iter().next().map(|rule| rule.namespace);
    first.ok_or_else(|| {
        let text = "the project has no namespace: have an administrator give it a projection rule";
        say::wrong(text).into()
    })
}

/// The Job alone, with a name of its own, and without the namespace's service account: what runs in
/// it gets the secrets that it names, and must not look for others.
fn job_manifest(resolved: &Resolved, namespace: &Namespace) -> Result<Value, Trouble> {
    let no_job = || say::wrong("the body is none of a job");
    let mut list = resolved.workload.manifest(Some(namespace));
    let mut job = list.pointer_mut("/items/0").map(Value::take).ok_or_else(no_job)?;
    if job.get("kind").and_then(Value::as_str) != Some("Job") {
        return Err(no_job().into());
    }
    let metadata = job.get_mut("metadata").and_then(Value::as_object_mut).ok_or_else(no_job)?;
    let name = metadata.remove("name").ok_or_else(no_job)?;
    let prefix = format!("{}-", name.as_str().unwrap_or("job"));
    metadata.insert("generateName".to_owned(), Value::String(prefix));
    let pod = job.pointer_mut("/spec/template/spec").and_then(Value::as_object_mut);
    let pod = pod.ok_or_else(no_job)?;
    pod.insert("automountServiceAccountToken".to_owned(), Value::Bool(false));
    Ok(job)
}

/// Every secret has to be in the cluster, as this daemon last put it there: under its name could be
/// another project's, or one of somebody else, and the pod would read that.
fn check_arrived(context: &Context<'_>, resolved: &Resolved) -> Result<(), Trouble> {
    if !context.jobs.has_cluster() {
        return Err(not_created(JobError::NoCluster));
    }
    let Some(astray) = resolved.astray.first() else { return Ok(()) };
    let state = astray.state.map_or("Pending", ProjectionState::as_str);
    let text = format!(
        "{}: the secret is not in the cluster yet, or its name there is taken (it is {state}); look at the projections of the project `{}`, and send the job again when it is Synced",
        astray.field, resolved.home
    );
    Err(say::error(StatusCode::CONFLICT, &text).into())
}

/// The job as its clients read it, the oldest and the newest.
fn shown(
    context: &Context<'_>,
    request: &Request,
    sent: &Map<String, Value>,
    (home, namespace, name): (&ProjectPath, &Namespace, &str),
) -> Value {
    let (org, project) = (home.org.as_str(), home.project.as_str());
    let cluster = &context.settings.cluster;
    let owner = own_name(context).unwrap_or_else(|| project.to_owned());
    let long = format!("job://{cluster}/{org}/{project}/{name}");
    let job_uri = uri::shown_job(context.vault, request, (&long, home));
    json!({
        "id": name,
        "name": sent.get("name").filter(|name| name.is_string()),
        "owner": owner,
        "cluster_name": cluster,
        "org_name": org,
        "project_name": project,
        "namespace": namespace.as_str(),
        "status": "pending",
        "history": {
            "status": "pending",
            "reason": "Creating",
            "description": "",
            "created_at": context.now().to_rfc3339(),
            "run_time_seconds": 0,
            "restarts": 0,
        },
        "statuses": [],
        "container": container(sent),
        "uri": job_uri,
        "pass_config": false,
        "scheduler_enabled": false,
        "preemptible_node": false,
        "is_preemptible": false,
        "restart_policy": "never",
        "max_run_time_minutes": sent.get("max_run_time_minutes"),
        "preset_name": sent.get("preset_name"),
        "total_price_credits": "0",
        "price_credits_per_hour": "0",
    })
}

/// What was asked to run, with the numbers that clients insist on.
fn container(sent: &Map<String, Value>) -> Value {
    let inner = sent.get("container").and_then(Value::as_object).unwrap_or(sent);
    let copied = ["image", "entrypoint", "command", "env", "secret_env", "secret_volumes", "http"];
    let members = copied.iter().filter_map(|name| {
        let value = inner.get(*name).filter(|value| !value.is_null())?;
        Some(((*name).to_owned(), value.clone()))
    });
    let mut container: Map<_, _> = members.collect();
    let mut resources = json!({ "cpu": 0.0, "memory": 0, "memory_mb": 0, "shm": false });
    if let (Some(resources), Some(wanted)) =
        (resources.as_object_mut(), inner.get("resources").and_then(Value::as_object))
    {
        resources.extend(wanted.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    container.insert("resources".to_owned(), resources);
    Value::Object(container)
}

fn unresolved(error: Unresolved) -> Trouble {
    match error {
        Unresolved::Reference { invalid, denied } => {
            let answer = say::wrong(&invalid.to_string());
            if denied { answer.denied().into() } else { answer.into() }
        }
        Unresolved::Vault(error) => error.into(),
    }
}

fn not_created(error: JobError) -> Trouble {
    let (status, text) = match error {
        JobError::NoCluster => {
            let hint = "no cluster is attached to this daemon; make a manifest with `tresor render` and apply it with kubectl";
            (StatusCode::BAD_REQUEST, hint.to_owned())
        }
        JobError::Refused(why) => {
            (StatusCode::BAD_REQUEST, format!("the job was not created: {why}"))
        }
        JobError::Unreachable => {
            let text = "the cluster does not answer; whether the job was created is not known";
            (StatusCode::SERVICE_UNAVAILABLE, text.to_owned())
        }
    };
    say::error(status, &text).into()
}

/// What the audit log says: which Job, and which secrets it refers to.
fn detail(context: &Context<'_>, resolved: &Resolved, name: &str) -> String {
    match resolved.refers_to(context.vault) {
        Some(secrets) => format!("job {name} {secrets}"),
        None => format!("job {name}"),
    }
}
