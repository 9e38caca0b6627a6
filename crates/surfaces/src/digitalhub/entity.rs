//! A secret and a project as the platform's entities: read from a request, written to an answer.

use domain::{Invalid, ProjectPath, SecretPath, SecretType};
use serde_json::{Map, Value, json};
use vault::{ProjectView, SecretView, Vault};

use super::kept::{self, Kept};
use super::{names, reply};
use crate::{Request, Trouble};

/// The one store that clients may name.
const PROVIDER: &str = "kubernetes";
/// What a project of the platform holds besides secrets, all of which live elsewhere.
const LISTS: [&str; 5] = ["functions", "artifacts", "workflows", "dataitems", "models"];

/// A secret as it is asked for.
pub(super) struct SecretBody {
    /// Where it is to live.
    pub(super) path: SecretPath,
    /// The identity that the client chose.
    pub(super) id: Option<String>,
    /// What is kept beside it.
    pub(super) kept: Kept,
}

/// A project as it is asked for.
pub(super) struct ProjectBody {
    /// Its name.
    pub(super) path: ProjectPath,
    /// What is kept beside it.
    pub(super) kept: Kept,
}

/// The JSON object of a body.
///
/// # Errors
/// When it is announced as something else, or is none.
pub(super) fn object(request: &Request) -> Result<Map<String, Value>, Trouble> {
    check_media_type(request)?;
    match request.json()? {
        Value::Object(entity) => Ok(entity),
        _ => Err(Invalid::new("body", "must be a JSON object").into()),
    }
}

/// Bodies are JSON. The platform's server also takes YAML, which none of its clients sends.
///
/// # Errors
/// When the body is announced as something else.
pub(super) fn check_media_type(request: &Request) -> Result<(), Trouble> {
    if request.media_type.as_deref() == Some("application/json") {
        return Ok(());
    }
    let status = http::StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err(reply::framework(status, "The Content-Type must be application/json.").into())
}

impl SecretBody {
    /// Reads a secret that is to be made in a project.
    ///
    /// # Errors
    /// Says which field breaks which rule.
    pub(super) fn read(
        entity: &Map<String, Value>,
        project: &ProjectPath,
    ) -> Result<Self, Invalid> {
        let path = names::secret(project, text(entity, "name")?.unwrap_or_default())?;
        check_kind(entity, "secret")?;
        let named = text(entity, "project")?;
        if named.is_some_and(|named| named != project.project.as_str()) {
            let fix = "must be the project of the path, or be left out";
            return Err(Invalid::new("project", fix));
        }
        let id = text(entity, "id")?;
        id.map_or(Ok(()), names::check_id)?;
        check_spec(entity, &path)?;
        let kept = Kept::of(entity, false)?;
        Ok(Self { path, id: id.map(str::to_owned), kept })
    }
}

impl ProjectBody {
    /// Reads a project, which is to be made or, with `known`, to be changed.
    ///
    /// # Errors
    /// Says which field breaks which rule.
    pub(super) fn read(
        entity: &Map<String, Value>,
        known: Option<&ProjectPath>,
    ) -> Result<Self, Invalid> {
        check_kind(entity, "project")?;
        let (name, id) = (text(entity, "name")?, text(entity, "id")?);
        let path = match known {
            None => names::new_project(name.unwrap_or_default())?,
            Some(known) => known.clone(),
        };
        let is_it = |field: Option<&str>| field.is_none_or(|text| text == path.project.as_str());
        if !is_it(id) {
            return Err(Invalid::new("id", "must be the project's name, or be left out"));
        }
        if !is_it(name) {
            return Err(Invalid::new("name", "must be the project's name in the path"));
        }
        Ok(Self { path, kept: Kept::of(entity, true)? })
    }
}

fn check_kind(entity: &Map<String, Value>, kind: &str) -> Result<(), Invalid> {
    match text(entity, "kind")? {
        Some(found) if found == kind => Ok(()),
        _ => Err(Invalid::new("kind", format!("must be {kind}"))),
    }
}

/// A secret's specification says what cannot be otherwise here.
fn check_spec(entity: &Map<String, Value>, path: &SecretPath) -> Result<(), Invalid> {
    // Clients know by these two words what is wrong.
    let wrong = || Invalid::new("spec", "missing spec: must be an object");
    let spec = entity.get("spec").and_then(Value::as_object).ok_or_else(wrong)?;
    let within = |wrong: Invalid| wrong.within("spec");
    let value_path = text(spec, "path").map_err(within)?.unwrap_or_default();
    names::check_value_path(value_path, path)?;
    if text(spec, "provider").map_err(within)? != Some(PROVIDER) {
        return Err(Invalid::new("spec.provider", format!("must be {PROVIDER}")));
    }
    Ok(())
}

fn text<'a>(entity: &'a Map<String, Value>, field: &str) -> Result<Option<&'a str>, Invalid> {
    match entity.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Invalid::new(field, "must be text")),
    }
}

/// Whether a secret is an entity of the platform.
pub(super) fn is_entity(view: &SecretView) -> bool {
    view.head.kind == SecretType::Variable && names::is_name(view.head.path.name.as_str())
}

/// Under which identity clients know a secret.
pub(super) fn id(view: &SecretView) -> String {
    view.head.alias.clone().unwrap_or_else(|| view.head.uid.to_string())
}

/// A secret as clients see it. Nothing in it is ever null: their objects break on that.
pub(super) fn secret(vault: &Vault, view: &SecretView) -> Value {
    let head = &view.head;
    let Kept { mut metadata, mut status, .. } = Kept::read(&head.annotations, kept::OF_SECRET);
    let (project, name) = (head.path.project.project.as_str(), head.path.name.as_str());
    let (id, owner) = (id(view), person(&vault.owner_name(head)).to_owned());
    let ours = [
        ("project", project),
        ("name", name),
        ("created", &head.created_at.to_rfc3339()),
        ("updated", &head.updated_at.to_rfc3339()),
        ("created_by", &owner),
    ];
    metadata.extend(ours.map(|(key, value)| (key.to_owned(), value.into())));
    metadata.insert("embedded".to_owned(), false.into());
    status.entry("state").or_insert_with(|| "CREATED".into());
    json!({
        "id": id,
        "key": format!("store://{project}/secret/secret/{name}:{id}"),
        "kind": "secret",
        "metadata": metadata,
        "name": name,
        "project": project,
        "spec": { "path": names::value_path(name), "provider": PROVIDER },
        "status": status,
        "user": owner,
    })
}

/// A project as its members see it.
pub(super) fn project(view: &ProjectView) -> Value {
    let Kept { mut metadata, mut status, spec, .. } =
        Kept::read(&view.annotations, kept::OF_PROJECT);
    let (name, owner) = (view.path.project.as_str(), person(&view.created_by));
    let ours = [
        ("project", name),
        ("name", name),
        ("created", &view.created_at.to_rfc3339()),
        ("updated", &updated(view)),
        ("created_by", owner),
    ];
    metadata.extend(ours.map(|(key, value)| (key.to_owned(), value.into())));
    status.entry("state").or_insert_with(|| "CREATED".into());
    let mut all: Map<String, Value> =
        LISTS.iter().map(|list| ((*list).to_owned(), json!([]))).collect();
    all.extend(spec);
    let mut entity = glimpse(&view.path);
    if let Value::Object(entity) = &mut entity {
        let more = [("metadata", metadata), ("spec", all), ("status", status)];
        entity.extend(more.map(|(key, part)| (key.to_owned(), Value::Object(part))));
        entity.insert("user".to_owned(), owner.into());
    }
    entity
}

/// A project as those see it who have a right to some secret in it, and none to the project.
pub(super) fn glimpse(path: &ProjectPath) -> Value {
    let name = path.project.as_str();
    json!({
        "id": name,
        "key": format!("store://{name}"),
        "kind": "project",
        "name": name,
        "project": name,
    })
}

/// When a project last changed, as clients see it.
pub(super) fn updated(view: &ProjectView) -> String {
    let kept = Kept::read(&view.annotations, kept::OF_PROJECT);
    kept.updated.unwrap_or_else(|| view.created_at.to_rfc3339())
}

/// A user by their bare name, as the platform has them; everyone else as Tresor has them.
pub(super) fn person(name: &str) -> &str {
    name.strip_prefix("user:").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entity() -> Value {
        json!({
            "kind": "secret", "name": "s", "project": "ml",
            "spec": {"path": "secret://s", "provider": "kubernetes"},
        })
    }

    fn read(entity: &Value) -> Result<SecretBody, Invalid> {
        let project = names::project("ml").unwrap();
        SecretBody::read(entity.as_object().unwrap(), &project)
    }

    #[test]
    fn a_secret_is_refused_by_the_field_at_fault() {
        assert!(read(&entity()).is_ok());
        for (pointer, value, field) in [
            ("/kind", json!("secrets"), "kind"),
            ("/kind", json!(null), "kind"),
            ("/name", json!(null), "name"),
            ("/name", json!("a/b"), "name"),
            ("/name", json!(1), "name"),
            ("/project", json!("other"), "project"),
            ("/project", json!(["ml"]), "project"),
            ("/spec", json!(null), "spec"),
            ("/spec", json!([]), "spec"),
            ("/spec/path", json!("secret://other"), "spec.path"),
            ("/spec/path", json!(null), "spec.path"),
            ("/spec/provider", json!("vault"), "spec.provider"),
            ("/spec/provider", json!(null), "spec.provider"),
        ] {
            let mut wrong = entity();
            *wrong.pointer_mut(pointer).unwrap() = value;
            assert_eq!(read(&wrong).err().unwrap().field, field, "{pointer}");
        }
        let mut wrong = entity();
        wrong["id"] = json!("data");
        assert_eq!(read(&wrong).err().unwrap().field, "id");
    }

    #[test]
    fn a_project_has_one_name() {
        let read = |entity: Value, known: Option<&str>| {
            let known = known.map(|name| names::project(name).unwrap());
            ProjectBody::read(entity.as_object().unwrap(), known.as_ref()).map(|body| body.path)
        };
        assert!(read(json!({"kind": "project", "name": "ml", "id": "ml"}), None).is_ok());
        assert!(read(json!({"kind": "project"}), Some("ml")).is_ok());
        for (entity, known, field) in [
            (json!({"kind": "project"}), None, "name"),
            (json!({"kind": "secret", "name": "ml"}), None, "kind"),
            (json!({"kind": "project", "name": "ml", "id": "other"}), None, "id"),
            (json!({"kind": "project", "name": "other"}), Some("ml"), "name"),
        ] {
            assert_eq!(read(entity, known).unwrap_err().field, field);
        }
    }

    proptest! {
        #[test]
        fn no_entity_is_too_strange_to_be_read(
            field in "(kind|name|project|id|spec|metadata|status)", text in "\\PC{0,30}", shape in 0..5,
        ) {
            let mut strange = entity();
            strange[&field] = match shape {
                0 => json!(text),
                1 => json!([text]),
                2 => json!({text: null}),
                3 => json!(true),
                _ => json!(1.5),
            };
            if let Ok(body) = read(&strange) {
                prop_assert_eq!(body.path.project.project.as_str(), "ml");
            }
        }
    }
}
