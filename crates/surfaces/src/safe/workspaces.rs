//! `/api/v1/workspaces`: projects, with the secrets that their members pull images with.

use std::collections::BTreeMap;

use authz::{Actor, Administer, Denied, WholeStore, decide};
use domain::{
    Annotations, Invalid, Labels, NamePattern, Namespace, PrincipalName, ProjectPath,
    ProjectionMode, ProjectionRule, SecretName, SecretPath,
};
use serde_json::{Value, json};
use vault::{
    ConsumerKind, ConsumerView, NewProject, VaultError, WorkspaceChange, WorkspaceChanged,
};

use super::body::Body;
use super::{reply, show, users};
use crate::{Answer, Context, Request, Touched, Trouble};

/// What the platform calls them in refusals.
const WORKSPACES: &str = "workspaces";
/// Where the platform's name of a workspace is kept.
const NAME: &str = "safe-name";
/// Where its cluster is kept.
const CLUSTER: &str = "safe-cluster";
/// Where its description is kept.
const DESCRIPTION: &str = "safe-description";
/// The label by which the platform knows copies of its secrets.
const MIRROR: (&str, &str) = ("primus-safe/secret-mirror", "true");

/// Whether a workspace exists.
pub(super) fn exists(context: &Context<'_>, path: &ProjectPath) -> bool {
    let all = context.actor().ok().and_then(|actor| {
        context.vault.consumer(actor, (ConsumerKind::Workspace, path.project.as_str())).ok()
    });
    all.is_some()
}

/// The platform's names of the workspaces that somebody sees, by identity.
pub(super) fn names(
    context: &Context<'_>,
    actor: &Actor,
) -> Result<BTreeMap<ProjectPath, String>, Trouble> {
    let projects = context.vault.projects(actor)?.items.into_iter();
    let named = projects.filter_map(|project| {
        let name = project.annotations.text(NAME)?.to_owned();
        Some((project.path, name))
    });
    Ok(named.collect())
}

/// Who manages which workspace, as far as one sees it.
type Managers = BTreeMap<ProjectPath, Vec<String>>;

/// A workspace as the platform shows one; with its image secrets where it is shown alone. Who does
/// not list its secrets does not see who manages it, either.
fn view(
    context: &Context<'_>,
    found: &ConsumerView,
    managers: &Managers,
    alone: bool,
) -> Result<Value, Trouble> {
    let kept = |key: &str| found.annotations.text(key).unwrap_or_default().to_owned();
    let path = show::workspace(context, &found.name).ok_or(VaultError::NotFound)?;
    let managers = managers.get(&path).into_iter().flatten();
    let managers = managers.filter_map(|name| context.vault.user_known_by(name));
    let managers: Vec<_> = managers.map(users::entry).collect();
    let name = found.annotations.text(NAME).unwrap_or(&found.name);
    let body = json!({
        "workspaceId": found.name,
        "workspaceName": name,
        "clusterId": kept(CLUSTER),
        "userId": show::user_id(&found.owner),
        "phase": "Running",
        "creationTime": show::time(found.created_at),
        "description": kept(DESCRIPTION),
        "managers": managers,
    });
    if !alone {
        return Ok(body);
    }
    let home = &context.settings.safe_project;
    let images = found.secrets(vault::ReferenceRole::Image);
    let ids = images.filter(|found| found.path.project == *home);
    let ids = ids.map(|found| found.path.name.as_str());
    Ok(show::with(body, json!({ "imageSecretIds": ids.collect::<Vec<_>>() })))
}

/// The workspaces that one is a member of, or sees as an administrator.
pub(super) fn list(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    if request.query.is_none() {
        return Err(reply::bad("the query must be percent-encoded UTF-8"));
    }
    let found = context.vault.consumers(context.actor()?, ConsumerKind::Workspace)?;
    let of_cluster = request.parameter("clusterId").filter(|id| !id.is_empty());
    let shown = found.iter().filter(|view| show::workspace(context, &view.name).is_some());
    let shown =
        shown.filter(|view| of_cluster.is_none_or(|id| view.annotations.text(CLUSTER) == Some(id)));
    let managers = context.vault.managers(context.actor()?);
    let items =
        shown.map(|found| view(context, found, &managers, false)).collect::<Result<Vec<_>, _>>()?;
    Ok(reply::ok(&show::list(&items)))
}

/// One workspace.
pub(super) fn show(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let path = path(context, request)?;
    let managers = context.vault.managers(context.actor()?);
    Ok(reply::ok(&view(context, &found(context, &path)?, &managers, true)?))
}

fn found(context: &Context<'_>, path: &ProjectPath) -> Result<ConsumerView, Trouble> {
    let place = (ConsumerKind::Workspace, path.project.as_str());
    let found = context.vault.consumer(context.actor()?, place);
    found.map_err(|error| reply::about(WORKSPACES, path.project.as_str(), error))
}

/// What is sent to make a workspace, or to change one.
struct Wanted {
    name: Option<String>,
    cluster: Option<String>,
    description: Option<String>,
    images: Option<Vec<String>>,
    managers: Option<Vec<String>>,
}

impl Wanted {
    fn read(request: &Request, is_new: bool) -> Result<Self, Trouble> {
        let mut body = Body::read(request, !is_new)?;
        let (name, cluster) = match is_new {
            true => (Some(body.required("name")?), Some(body.required("clusterId")?)),
            false => (None, None),
        };
        Ok(Self {
            name,
            cluster,
            description: body.text("description")?,
            images: body.texts("imageSecretIds")?,
            managers: body.texts("managers")?,
        })
    }

    fn change(&self, context: &Context<'_>) -> Result<WorkspaceChange<'static>, Trouble> {
        let images = self.images.as_ref().map(|ids| images(context, ids)).transpose()?;
        let managers = self.managers.as_ref().map(|ids| managers(context, ids)).transpose()?;
        Ok(WorkspaceChange { annotations: None, images, managers })
    }
}

fn images(context: &Context<'_>, ids: &[String]) -> Result<Vec<SecretPath>, Trouble> {
    let project = &context.settings.safe_project;
    let path = |id: &String| {
        // What cannot be a secret's name is that of none, and is not repeated.
        let name =
            SecretName::parse(id).map_err(|_| Trouble::from(reply::absent("secrets", "")))?;
        Ok(SecretPath { project: project.clone(), name })
    };
    ids.iter().map(path).collect()
}

fn managers(context: &Context<'_>, ids: &[String]) -> Result<Vec<PrincipalName>, Trouble> {
    let name = |id: &String| {
        let known = context.vault.user_known_by(id);
        known.map(|(_, name)| name).ok_or_else(|| reply::bad("managers must be users that exist"))
    };
    ids.iter().map(name).collect()
}

/// Makes a workspace in a cluster; an administrator's act. The secrets of its members appear in the
/// namespace of its name, with the label by which the platform knows such copies.
pub(super) fn create(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let actor = context.actor()?;
    let administers = decide::<Administer, _>(actor, WholeStore, context.now());
    administers.map_err(|_| reply::forbidden("The user is not allowed to create workspace"))?;
    let wanted = Wanted::read(request, true)?;
    let (name, cluster) = (wanted.name.as_deref(), wanted.cluster.as_deref());
    let (name, cluster) = (name.unwrap_or_default(), cluster.unwrap_or_default());
    if context.vault.consumer(actor, (ConsumerKind::Cluster, cluster)).is_err() {
        return Err(reply::bad("clusterId must name a cluster that exists"));
    }
    let id = format!("{cluster}-{name}").to_lowercase().replace('_', "-");
    let namespace = Namespace::parse(&id).map_err(|wrong| {
        let fix =
            format!("must make, behind the cluster's, the name of a namespace: {}", wrong.fix);
        reply::unprocessable(&Invalid::new("metadata.name", fix))
    })?;
    let taken = || reply::exists(WORKSPACES, &id);
    let path = show::workspace(context, &id).ok_or_else(taken)?;
    context.is_about_project(&path);
    let kept = Annotations::default().with(NAME, name.to_owned())?;
    let kept = kept.with(CLUSTER, cluster.to_owned())?;
    let kept = kept.with(DESCRIPTION, wanted.description.clone().unwrap_or_default())?;
    let new =
        NewProject { rules: vec![mirror_rule(namespace)?], keep_versions: None, annotations: kept };
    let change = wanted.change(context)?;
    match context.vault.create_workspace(actor, &path, &new, &change) {
        Ok(changed) => Ok(told(reply::ok(&json!({ "workspaceId": id })), &change, &changed)),
        Err(VaultError::AlreadyExists) => Err(reply::exists(WORKSPACES, &id)),
        Err(error) => Err(refused(error, &id)),
    }
}

fn mirror_rule(namespace: Namespace) -> Result<ProjectionRule, Invalid> {
    let mode = ProjectionMode::Each;
    let labels = Labels::parse([(MIRROR.0.to_owned(), MIRROR.1.to_owned())].into())?;
    let rule = ProjectionRule::new(mode, namespace, NamePattern::default_for(mode));
    Ok(ProjectionRule { labels, ..rule })
}

fn refused(error: VaultError, id: &str) -> Trouble {
    match error {
        VaultError::Invalid(wrong) => reply::bad_field(&wrong),
        VaultError::TooLarge => reply::bad(
            "imageSecretIds and managers: must change fewer at once, in several requests",
        ),
        // The workspace is there by now: it is one of the secrets that is not.
        VaultError::NotFound | VaultError::NotPermitted(Denied::NotVisible) => {
            reply::about("secrets", "of imageSecretIds", error)
        }
        VaultError::NotPermitted(Denied::Forbidden) => {
            reply::forbidden("The user is not allowed to share a secret of imageSecretIds")
        }
        error => reply::about(WORKSPACES, id, error),
    }
}

/// Replaces a workspace's image secrets, managers or description: of who manages it.
pub(super) fn update(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let wanted = Wanted::read(request, false)?;
    let path = path(context, request)?;
    administer(context, &path, "update")?;
    let described = |old: &Annotations| {
        let text = wanted.description.clone().unwrap_or_default();
        old.with(DESCRIPTION, text)
    };
    let mut change = wanted.change(context)?;
    change.annotations = wanted.description.as_ref().map(|_| &described as vault::Reannotate<'_>);
    let id = path.project.as_str();
    match context.vault.change_workspace(context.actor()?, &path, &change) {
        Ok(changed) => Ok(told(reply::done(), &change, &changed)),
        Err(error) => Err(refused(error, id)),
    }
}

/// An answer with what the audit log is to say: who manages the workspace now, and each secret that
/// is bound to it otherwise than before.
fn told(answer: Answer, change: &WorkspaceChange<'_>, changed: &WorkspaceChanged) -> Answer {
    let secrets = changed.secrets.iter();
    let answer = secrets.fold(answer, |answer, secret| answer.about(Touched::done(secret)));
    let managers = change
        .managers
        .as_ref()
        .map(|names| format!("managers: {}", show::some(names.iter().map(PrincipalName::as_str))));
    let bound = (!changed.secrets.is_empty()).then(|| "image secrets".to_owned());
    match bound.into_iter().chain(managers).collect::<Vec<_>>() {
        said if said.is_empty() => answer,
        said => answer.detail(format!("workspace {}: {}", changed.workspace.name, said.join("; "))),
    }
}

/// The right to change a workspace, for one who may see that it is there.
fn administer(context: &Context<'_>, path: &ProjectPath, verb: &str) -> Result<(), Trouble> {
    found(context, path)?;
    match decide::<Administer, _>(context.actor()?, path.clone(), context.now()) {
        Ok(_) => Ok(()),
        Err(Denied::Expired) => Err(Denied::Expired.into()),
        Err(_) => Err(reply::forbidden(&format!("The user is not allowed to {verb} workspace"))),
    }
}

/// Removes a workspace, and ends the bindings to it; an administrator's act. Secrets that live in the
/// project itself, which this interface makes none of, keep it.
pub(super) fn delete(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let path = path(context, request)?;
    found(context, &path)?;
    let (actor, now) = (context.actor()?, context.now());
    let administers = decide::<Administer, _>(actor, WholeStore, now);
    administers.map_err(|_| reply::forbidden("The user is not allowed to delete workspace"))?;
    let permit = decide::<Administer, _>(actor, path.clone(), now)?;
    let id = path.project.as_str();
    let stays = |why: &str| Err(reply::conflict(&format!("{WORKSPACES} \"{id}\" {why}")));
    match context.vault.delete_project_with_bindings(&permit) {
        Ok(()) => Ok(reply::done()),
        Err(VaultError::ProjectHasTokens) => stays("is still named by tokens: revoke them first"),
        Err(VaultError::ProjectNotEmpty) => {
            stays("still has secrets of its own, made over another interface: delete them first")
        }
        Err(VaultError::ProjectHasDeletedSecrets) => {
            stays("still keeps deleted secrets of its own: purge them over Tresor's interface")
        }
        Err(error) => Err(reply::about(WORKSPACES, id, error)),
    }
}

fn path(context: &Context<'_>, request: &Request) -> Result<ProjectPath, Trouble> {
    let id = show::id(request.name("id"), "workspaceId")?;
    let path =
        show::workspace(context, id).ok_or_else(|| Trouble::from(reply::absent(WORKSPACES, "")))?;
    context.is_about_project(&path);
    Ok(path)
}

/// Reads a body as a creation and as a change.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(request: &Request) -> Result<(), Trouble> {
    Wanted::read(request, false)?;
    Wanted::read(request, true).map(|_| ())
}
