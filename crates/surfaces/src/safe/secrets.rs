//! `/api/v1/secrets`

use std::collections::BTreeMap;

use authz::{
    Action, Actor, Administer, Create, Delete, Denied, List, Permit, Read, Share, Update,
    WholeStore, decide,
};
use domain::{
    Annotations, BindingKind, Invalid, Labels, ProjectPath, SecretName, SecretPath, SecretType,
};
use serde::Serialize;
use serde_json::{Value, json};
use vault::{
    Binding, First, Head, NewSecret, PayloadChange, Reannotate, Rebinding, Relabel, SecretChange,
    SecretView, Targets, UnbindingPermit, VaultError,
};

use super::params::{self, Kind};
use super::secret_body::{Change, New, is_reserved, labels};
use super::{reply, show};
use crate::{Answer, Context, Outcome, Request, Touched, Trouble};

/// What the platform calls them in refusals.
const SECRETS: &str = "secrets";
/// The annotation that says how the keys of a general secret were grouped.
const GROUPS: &str = "safe-groups";

/// A secret as it is listed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    secret_id: String,
    secret_name: String,
    workspace_ids: Vec<String>,
    #[serde(rename = "type")]
    kind: &'static str,
    creation_time: String,
    user_id: String,
    user_name: String,
}

fn item(context: &Context<'_>, view: &SecretView, kind: Kind) -> Item {
    let head = &view.head;
    let bound = head.bindings.iter().map(|binding| &binding.project);
    let workspaces = bound.filter(|project| show::is_workspace(context, project));
    let workspaces = workspaces.map(|project| project.project.to_string());
    Item {
        secret_id: head.path.name.to_string(),
        secret_name: head.path.name.to_string(),
        workspace_ids: workspaces.collect(),
        kind: kind.as_str(),
        creation_time: show::time(head.created_at),
        user_id: show::user_id(&head.owner).to_owned(),
        user_name: show::user_name(context, view),
    }
}

/// The secrets that one may list: all of them, one's own, and those of the workspaces that one
/// manages.
pub(super) fn list(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    context.is_about_project(&context.settings.safe_project);
    let filter = Filter::read(context, request)?;
    let (actor, vault) = (context.actor()?, context.vault);
    let wanted = |head: &Head| filter.takes(context, head);
    let found = match &filter.workspace {
        Some(Workspace::Unknown) => Vec::new(),
        Some(Workspace::Of(project)) => vault.common_secrets(actor, Some(project), &wanted)?,
        Some(Workspace::None) | None => vault.common_secrets(actor, None, &wanted)?,
    };
    let items = found.iter().filter_map(|view| {
        let kind = Kind::of(view.head.kind)?;
        Some(item(context, view, kind))
    });
    Ok(reply::ok(&show::list(&items.collect::<Vec<_>>())))
}

/// What a list is narrowed to.
struct Filter {
    kinds: Option<Vec<Kind>>,
    workspace: Option<Workspace>,
    labels: Vec<(String, String)>,
}

/// The workspace that a list is narrowed to.
enum Workspace {
    /// Those that are bound to none.
    None,
    /// Those that are bound to this one.
    Of(ProjectPath),
    /// One that cannot be.
    Unknown,
}

impl Filter {
    fn read(context: &Context<'_>, request: &Request) -> Result<Self, Trouble> {
        let Some(query) = &request.query else {
            return Err(reply::bad("the query must be percent-encoded UTF-8"));
        };
        let kinds = request.parameter("type").filter(|text| !text.is_empty());
        let workspace =
            request.parameter("workspaceId").map(|id| match show::workspace(context, id) {
                _ if id.is_empty() => Workspace::None,
                Some(project) => Workspace::Of(project),
                None => Workspace::Unknown,
            });
        let pairs = label_pairs(query)?;
        let object = request.parameter("labels").filter(|_| pairs.is_empty());
        let object = object.map(label_object).transpose()?.unwrap_or_default();
        let pairs = pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
        Ok(Self {
            kinds: kinds.map(|text| text.split(',').filter_map(Kind::parse).collect()),
            workspace,
            // The platform's own are not selected by.
            labels: pairs.chain(object).filter(|(key, _)| !is_reserved(key)).collect(),
        })
    }

    fn takes(&self, context: &Context<'_>, head: &Head) -> bool {
        let Some(kind) = Kind::of(head.kind) else { return false };
        let of_kind = self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind));
        let mut bound = head.bindings.iter().map(|binding| &binding.project);
        let unbound = !matches!(self.workspace, Some(Workspace::None))
            || !bound.any(|project| show::is_workspace(context, project));
        let has = |(key, value): &(String, String)| head.labels.as_map().get(key) == Some(value);
        of_kind && unbound && self.labels.iter().all(has)
    }
}

/// `labels[KEY]=VALUE`, the first of each key.
fn label_pairs(query: &[(String, String)]) -> Result<Vec<(&str, &str)>, Trouble> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for (name, value) in query {
        let key = name.strip_prefix("labels[").and_then(|rest| rest.strip_suffix(']'));
        // One in another is no text.
        if key.is_some_and(|key| key.contains(['[', ']'])) {
            return Err(no_labels());
        }
        if let Some(key) = key.filter(|key| !pairs.iter().any(|(known, _)| known == key)) {
            pairs.push((key, value));
        }
    }
    Ok(pairs)
}

fn no_labels() -> Trouble {
    reply::bad("invalid query: labels must be a JSON object of texts, or labels[KEY]=VALUE")
}

/// `labels` as one JSON object, the other way to write them.
fn label_object(text: &str) -> Result<Vec<(String, String)>, Trouble> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let Ok(Value::Object(members)) = serde_json::from_str(text) else { return Err(no_labels()) };
    let text = |(key, value)| match value {
        Value::String(text) => Ok((key, text)),
        _ => Err(no_labels()),
    };
    members.into_iter().map(text).collect()
}

/// Makes a secret.
pub(super) fn create(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let home = &context.settings.safe_project;
    context.is_about_project(home);
    let new = New::read(request)?;
    let actor = context.actor()?;
    let projects = workspaces(context, &new.workspaces)?;
    // Rights come before the rest, and need no name that could be one.
    let any = SecretName::parse(&new.name).or_else(|_| SecretName::parse("x"));
    let place = SecretPath { project: home.clone(), name: any.map_err(|w| reply::bad_field(&w))? };
    let may = context.vault.permit_common(actor, &place, &projects);
    may.map_err(|error| refused(actor, error.into(), "create", &new.workspaces))?;
    let kind = new.checked_kind()?;
    let (payload, groups) = params::payload(kind, &new.params)?;
    let path = SecretPath { project: home.clone(), name: new.checked_name()? };
    context.is_about(&path);
    let secret = NewSecret {
        labels: labels(&new.labels).map_err(|wrong| reply::unprocessable(&wrong))?,
        annotations: annotated(&Annotations::default(), groups)?,
        ..NewSecret::of(First::Version(payload))
    };
    match context.vault.create_common_secret(actor, &path, &projects, secret) {
        Ok(view) => {
            let id = path.name.as_str();
            let answer = reply::ok(&json!({ "secretId": id })).about(Touched::done(&view));
            Ok(bound_to(answer, Some(&new.workspaces)))
        }
        Err(VaultError::AlreadyExists) => Err(reply::exists(SECRETS, path.name.as_str())),
        Err(error) => Err(refused(actor, error.into(), "create", &new.workspaces)),
    }
}

/// An answer that tells the audit log to which workspaces the secret is bound by it.
fn bound_to(answer: Answer, workspaces: Option<&Vec<String>>) -> Answer {
    match workspaces {
        None => answer,
        Some(ids) => {
            let ids = show::some(ids.iter().map(String::as_str));
            answer.detail(format!("workspaces: {ids}"))
        }
    }
}

fn annotated(old: &Annotations, groups: Option<String>) -> Result<Annotations, Invalid> {
    match groups {
        Some(groups) => old.with(GROUPS, groups),
        None => {
            let others = old.as_map().iter().filter(|(key, _)| *key != GROUPS);
            Annotations::parse(others.map(|(k, v)| (k.clone(), v.clone())).collect())
        }
    }
}

/// The projects that are these workspaces. What cannot be one is none that the actor may use.
fn workspaces(context: &Context<'_>, ids: &[String]) -> Result<Vec<ProjectPath>, Trouble> {
    let actor = context.actor()?;
    let found = ids.iter().map(|id| show::workspace(context, id)).collect::<Option<Vec<_>>>();
    found.ok_or_else(|| match decide::<Administer, _>(actor, WholeStore, context.now()) {
        Ok(_) => reply::bad("workspaceIds must name workspaces that exist"),
        Err(_) => not_allowed(actor, "create", ids),
    })
}

fn not_allowed(actor: &Actor, verb: &str, workspaces: &[String]) -> Trouble {
    let user = actor.subject().map(|subject| subject.uid().to_string()).unwrap_or_default();
    // Ids that are none are not repeated: anything may have been sent there.
    let shown = workspaces.iter().filter(|id| domain::is_dns_subdomain(id));
    let shown: Vec<&str> = shown.map(String::as_str).collect();
    let shown = shown.join(" ");
    reply::forbidden(&format!(
        "The user({user}) is not allowed to {verb} secret, workspace: [{shown}]"
    ))
}

/// What a refusal of an act on workspaces is called here.
fn refused(actor: &Actor, trouble: Trouble, verb: &str, workspaces: &[String]) -> Trouble {
    match trouble {
        Trouble::Denied(Denied::Forbidden | Denied::NotVisible) => {
            not_allowed(actor, verb, workspaces)
        }
        Trouble::Invalid(wrong) if wrong.field == "project" => {
            reply::bad("workspaceIds must name workspaces that exist")
        }
        Trouble::Invalid(wrong) if wrong.field == "spec.bindings" => {
            reply::bad_field(&Invalid::new("workspaceIds", wrong.fix))
        }
        Trouble::Invalid(wrong) if wrong.field.starts_with("metadata.labels") => {
            reply::unprocessable(&wrong)
        }
        Trouble::Invalid(wrong) => reply::bad_field(&wrong),
        other => other,
    }
}

/// One secret, with its values.
pub(super) fn show(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let path = path(context, request)?;
    let permit = permitted::<Read>(context, &path, "get")?;
    let (view, params) = match context.vault.reveal(&permit, None) {
        Ok(revealed) => {
            let groups = revealed.secret.head.annotations.as_map().get(GROUPS);
            let shown = params::show(&revealed.payload, groups.map(String::as_str));
            (revealed.secret, shown)
        }
        // Every version was deleted over Tresor's own interface.
        Err(VaultError::VersionNotFound) => {
            let list = permitted::<List>(context, &path, "get")?;
            (context.vault.secret(&list).map_err(|e| about(&path, e))?, Vec::new())
        }
        Err(error) => return Err(about(&path, error)),
    };
    let Some(kind) = Kind::of(view.head.kind) else {
        return Err(about(&path, VaultError::NotFound));
    };
    let own = view.head.labels.as_map().iter().filter(|(key, _)| !is_reserved(key));
    let labels: BTreeMap<_, _> = own.collect();
    let more = json!({ "params": params, "labels": labels });
    Ok(reply::ok(&show::with(json!(item(context, &view, kind)), more)).about(Touched::done(&view)))
}

/// Replaces credentials, workspaces or labels.
pub(super) fn update(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let change = Change::read(request)?;
    let path = path(context, request)?;
    let permit = permitted::<Update>(context, &path, "update")?;
    let actor = context.actor()?;
    let kind = context.vault.secret_type(&permit).map_err(|error| about(&path, error))?;
    let Some(kind) = Kind::of(kind) else { return Err(about(&path, VaultError::NotFound)) };
    let ids = change.workspaces.clone().unwrap_or_default();
    let targets = change.workspaces.as_ref().map(|ids| workspaces(context, ids));
    let targets = targets.transpose()?;
    let payload = change.params.as_ref().map(|params| params::payload(kind, params)).transpose()?;
    let (payload, groups) = payload.unzip();
    let make = |wanted: SecretType| match &payload {
        Some(payload) if payload.secret_type() == wanted => Ok(payload.duplicate()),
        _ => Err(Invalid::new("params", "must be of the secret's own type, which never changes")),
    };
    let reannotate = |old: &Annotations| annotated(old, groups.clone().flatten());
    let relabel = |old: &Labels| change.labels.as_ref().map_or_else(|| Ok(old.clone()), labels);
    let wanted = |old: &[Binding]| wanted(context, old, targets.as_deref().unwrap_or_default());
    let may_bind = |to: &ProjectPath, _| {
        let creates = decide::<Create, _>(actor, to.clone(), context.now());
        creates.map_err(VaultError::NotPermitted)?;
        context.vault.permit_owner_binding(actor, &path, to)
    };
    let may_unbind = |_: &ProjectPath| {
        // What is left for no workspace is made by who may make such secrets.
        if ids.is_empty() {
            context.vault.permit_common(actor, &path, &[])?;
        }
        let share = context.vault.permit::<Share>(actor, path.clone())?;
        Ok(UnbindingPermit::Secret(share))
    };
    let rebinding = Rebinding { wanted: &wanted, may_bind: &may_bind, may_unbind: &may_unbind };
    let new = if payload.is_some() { PayloadChange::New(&make) } else { PayloadChange::Keep };
    let wanted = SecretChange {
        labels: change.labels.as_ref().map(|_| &relabel as Relabel<'_>),
        annotations: payload.as_ref().map(|_| &reannotate as Reannotate<'_>),
        bindings: targets.as_ref().map(|_| rebinding),
        ..SecretChange::of(new)
    };
    let changes = payload.is_some() || targets.is_some() || change.labels.is_some();
    if !changes {
        return Ok(reply::done());
    }
    match context.vault.update_secret(&permit, &wanted) {
        Ok(view) => {
            let answer = reply::done().about(Touched::done(&view));
            Ok(bound_to(answer, change.workspaces.as_ref()))
        }
        Err(error @ VaultError::NotFound) => Err(about(&path, error)),
        Err(error) => Err(refused(actor, error.into(), "create", &ids)),
    }
}

/// These workspaces and no others. A binding that an administrator of one made stays as it is, and so
/// does one to a project that is no workspace here, which other interfaces make.
fn wanted(context: &Context<'_>, old: &[Binding], projects: &[ProjectPath]) -> Targets {
    let kind = |project: &ProjectPath| {
        let found = old.iter().find(|binding| binding.project == *project);
        found.map_or(BindingKind::Owner, |binding| binding.kind)
    };
    let named = projects.iter().map(|project| (project.clone(), kind(project)));
    let others = old.iter().filter(|binding| !show::is_workspace(context, &binding.project));
    named.chain(others.map(|binding| (binding.project.clone(), binding.kind))).collect()
}

/// Deletes a secret; what pulled images with it does so no more.
pub(super) fn delete(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let path = path(context, request)?;
    let permit = permitted::<Delete>(context, &path, "delete")?;
    let kind = context.vault.secret_type(&permit).map_err(|error| about(&path, error))?;
    if Kind::of(kind).is_none() {
        return Err(about(&path, VaultError::NotFound));
    }
    let view = context.vault.delete_secret(&permit, None).map_err(|error| about(&path, error))?;
    Ok(reply::done().about(Touched::done(&view)))
}

/// The secret that a path names. What cannot be a secret's name is that of none.
fn path(context: &Context<'_>, request: &Request) -> Result<SecretPath, Trouble> {
    let project = context.settings.safe_project.clone();
    context.is_about_project(&project);
    let id = show::id(request.name("id"), "secretId")?;
    match SecretName::parse(id) {
        Ok(name) => {
            let path = SecretPath { project, name };
            context.is_about(&path);
            Ok(path)
        }
        Err(_) => Err(reply::absent(SECRETS, "").into()),
    }
}

/// The right to do something with a secret. Who may see it and no more is told so; to others it is
/// not there.
fn permitted<A: Action>(
    context: &Context<'_>,
    path: &SecretPath,
    verb: &str,
) -> Result<Permit<A, SecretPath>, Trouble> {
    let (actor, vault) = (context.actor()?, context.vault);
    match vault.permit::<A>(actor, path.clone()) {
        Ok(permit) => Ok(permit),
        Err(VaultError::NotPermitted(denied)) => {
            let sees = denied == Denied::Forbidden || vault.is_seen_by_binding(actor, path)?;
            if denied != Denied::Expired && sees {
                let touched = Touched::in_vain(path.clone(), Outcome::Denied);
                return Err(with(not_allowed(actor, verb, &[]), touched));
            }
            Err(about(path, VaultError::NotPermitted(denied)))
        }
        Err(error) => Err(about(path, error)),
    }
}

fn with(trouble: Trouble, touched: Touched) -> Trouble {
    match trouble {
        Trouble::Said(answer) => answer.about(touched).into(),
        other => other,
    }
}

fn about(path: &SecretPath, error: VaultError) -> Trouble {
    reply::about(SECRETS, path.name.as_str(), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_texts_by_key_and_nothing_deeper() {
        let query = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let flat = query(&[("labels[a]", "1"), ("labels[a]", "2"), ("labels[b]", "")]);
        assert_eq!(label_pairs(&flat).ok(), Some(vec![("a", "1"), ("b", "")]));
        for name in ["labels[a][b]", "labels[a][]", "labels[[a]]"] {
            assert!(label_pairs(&query(&[(name, "1")])).is_err(), "{name}");
        }
    }
}
