//! `/api/v1/clusters`: what a cluster refers to, and no cluster.

use authz::{Administer, Permit, Use, WholeStore, decide};
use domain::{Annotations, Invalid, SecretName, SecretPath};
use serde_json::{Value, json};
use vault::{ConsumerChange, ConsumerKind, ConsumerView, NewConsumer, ReferenceRole, VaultError};

use super::body::Body;
use super::params::Kind;
use super::{reply, show};
use crate::{Answer, Context, Request, Trouble};

/// What the platform calls them in refusals.
const CLUSTERS: &str = "clusters";
/// Where it is kept whether a cluster is protected.
const PROTECTED: &str = "safe-protected";
/// Where a cluster's description is kept.
const DESCRIPTION: &str = "safe-description";

fn is_protected(kept: &Annotations) -> bool {
    kept.text(PROTECTED) == Some("true")
}

fn view(found: &ConsumerView, alone: bool) -> Value {
    let body = json!({
        "clusterId": found.name,
        "userId": show::user_id(&found.owner),
        "phase": "Ready",
        "isProtected": is_protected(&found.annotations),
        "creationTime": show::time(found.created_at),
    });
    if !alone {
        return body;
    }
    let secret = |role| found.secrets(role).next().map_or("", |found| found.path.name.as_str());
    let more = json!({
        "description": found.annotations.text(DESCRIPTION).unwrap_or_default(),
        "sshSecretId": secret(ReferenceRole::Ssh),
        "imageSecretId": secret(ReferenceRole::Image),
    });
    show::with(body, more)
}

/// All clusters.
pub(super) fn list(context: &Context<'_>, _: &Request) -> Result<Answer, Trouble> {
    let found = context.vault.consumers(context.actor()?, ConsumerKind::Cluster)?;
    let items: Vec<_> = found.iter().map(|found| view(found, false)).collect();
    Ok(reply::ok(&show::list(&items)))
}

/// One cluster. Its secrets are for administrators to see.
pub(super) fn show(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let id = show::id(request.name("id"), "clusterId")?;
    let found = context.vault.consumer(context.actor()?, (ConsumerKind::Cluster, id));
    let found = found.map_err(|error| about(id, error))?;
    Ok(reply::ok(&view(&found, true)))
}

/// What is sent to make a cluster, or to change one.
struct Wanted {
    name: Option<String>,
    ssh: Option<String>,
    image: Option<String>,
    description: Option<String>,
    is_protected: Option<bool>,
}

impl Wanted {
    fn read(request: &Request, is_new: bool) -> Result<Self, Trouble> {
        let mut body = Body::read(request, !is_new)?;
        let (name, ssh) = match is_new {
            true => (Some(body.required("name")?), body.text("sshSecretId")?),
            false => (None, None),
        };
        Ok(Self {
            name,
            ssh: ssh.filter(|id| !id.is_empty()),
            image: body.text("imageSecretId")?,
            description: body.text("description")?,
            is_protected: body.flag("isProtected")?,
        })
    }

    fn annotate(&self, old: &Annotations) -> Result<Annotations, Invalid> {
        let mut kept = old.clone();
        if let Some(is_protected) = self.is_protected {
            kept = kept.with(PROTECTED, is_protected.to_string())?;
        }
        match &self.description {
            Some(text) => kept.with(DESCRIPTION, text.clone()),
            None => Ok(kept),
        }
    }
}

/// The right to register clusters and nodes.
pub(super) fn administer(
    context: &Context<'_>,
    verb: &str,
    kind: &str,
) -> Result<Permit<Administer, WholeStore>, Trouble> {
    let permit = decide::<Administer, _>(context.actor()?, WholeStore, context.now());
    permit.map_err(|_| reply::forbidden(&format!("The user is not allowed to {verb} {kind}")))
}

/// The right to refer to a secret of a type, by the field that names it.
pub(super) fn secret(
    context: &Context<'_>,
    (field, kind): (&str, Kind),
    id: &str,
) -> Result<Permit<Use, SecretPath>, Trouble> {
    let project = context.settings.safe_project.clone();
    // What cannot be a secret's name is that of none, and is not repeated.
    let name = SecretName::parse(id).map_err(|_| Trouble::from(reply::absent("secrets", "")))?;
    let about = |error| reply::about("secrets", id, error);
    let path = SecretPath { project, name };
    let permit = context.vault.permit::<Use>(context.actor()?, path).map_err(about)?;
    let found = context.vault.secret_type(&permit).map_err(about)?;
    if Kind::of(found) != Some(kind) {
        let text = format!("{field} must name a secret of the type {}", kind.as_str());
        return Err(reply::bad(&text));
    }
    Ok(permit)
}

/// The field of a secret that something is reached with, and the type of such secrets.
pub(super) const SSH: (&str, Kind) = ("sshSecretId", Kind::Ssh);
/// The field of a secret that images are pulled with, and the type of such secrets.
const IMAGE: (&str, Kind) = ("imageSecretId", Kind::Image);

/// Registers a cluster; an administrator's act.
pub(super) fn create(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let permit = administer(context, "create", "cluster")?;
    let wanted = Wanted::read(request, true)?;
    let name = wanted.name.as_deref().unwrap_or_default();
    let given = |id: &Option<String>| id.clone().filter(|id| !id.is_empty());
    let ssh = given(&wanted.ssh).map(|id| secret(context, SSH, &id)).transpose()?;
    let image = given(&wanted.image).map(|id| secret(context, IMAGE, &id)).transpose()?;
    let annotations = wanted.annotate(&Annotations::default())?;
    let new = NewConsumer { kind: ConsumerKind::Cluster, name, annotations, ssh, image };
    match context.vault.create_consumer(&permit, &new) {
        Ok(made) => {
            let answer = reply::ok(&json!({ "clusterId": name }));
            Ok(answer.detail(told(context, &made)))
        }
        Err(error) => Err(refused(error, CLUSTERS, name)),
    }
}

/// What a refusal to register is called: of a name that is none, of one that is taken, of a secret
/// that went meanwhile.
pub(super) fn refused(error: VaultError, kind: &str, name: &str) -> Trouble {
    match error {
        VaultError::AlreadyExists => reply::exists(kind, name),
        VaultError::NotFound => reply::about("secrets", "", error),
        VaultError::Invalid(wrong) if wrong.field == "name" => {
            reply::unprocessable(&Invalid::new("metadata.name", wrong.fix))
        }
        error => reply::about(kind, name, error),
    }
}

/// Protects a cluster or not, or gives it another image secret; an administrator's act. An empty text
/// takes the image secret away.
pub(super) fn update(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let permit = administer(context, "update", "cluster")?;
    let wanted = Wanted::read(request, false)?;
    let id = show::id(request.name("id"), "clusterId")?;
    let image = wanted.image.as_deref().map(|id| match id {
        "" => Ok(None),
        id => secret(context, IMAGE, id).map(Some),
    });
    let annotate = |old: &Annotations| wanted.annotate(old);
    let change = ConsumerChange { annotations: Some(&annotate), image: image.transpose()? };
    match context.vault.change_consumer(&permit, (ConsumerKind::Cluster, id), &change) {
        Ok(changed) => Ok(reply::done().detail(told(context, &changed))),
        Err(error) => Err(about(id, error)),
    }
}

/// What the audit log is to say of a cluster or a node: which, and to which secrets it refers now.
pub(super) fn told(context: &Context<'_>, found: &ConsumerView) -> String {
    let references = found.references.iter().map(|reference| {
        format!("; {} {}", reference.role.as_str(), context.vault.secret_uri(&reference.path))
    });
    format!("{}:{}{}", found.kind.as_str(), found.name, references.collect::<String>())
}

/// Takes a cluster off the register; an administrator's act.
pub(super) fn delete(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let permit = administer(context, "delete", "cluster")?;
    let id = show::id(request.name("id"), "clusterId")?;
    let unprotected = |kept: &Annotations| match is_protected(kept) {
        true => Err(Invalid::new(PROTECTED, "must not be set").into()),
        false => Ok(()),
    };
    let place = (ConsumerKind::Cluster, id);
    match context.vault.delete_consumer(&permit, place, &unprotected) {
        Ok(()) => Ok(reply::done().detail(format!("cluster:{id}"))),
        Err(VaultError::Invalid(wrong)) if wrong.field == PROTECTED => {
            Err(reply::forbidden("the cluster is protected, it can not be deleted"))
        }
        Err(error) => Err(about(id, error)),
    }
}

/// Ids that name nothing are not repeated.
fn about(id: &str, error: VaultError) -> Trouble {
    let shown = if domain::is_dns_subdomain(id) { id } else { "" };
    reply::about(CLUSTERS, shown, error)
}

/// Reads a body as a creation and as a change.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(request: &Request) -> Result<(), Trouble> {
    Wanted::read(request, false)?;
    Wanted::read(request, true).map(|_| ())
}
