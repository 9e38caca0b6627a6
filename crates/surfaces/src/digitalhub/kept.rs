//! What clients keep beside a secret or a project: descriptions, labels and whatever else they send
//! that Tresor has no use for. It comes back as it went.

use domain::{Annotations, Invalid};
use serde_json::{Map, Value, json};

/// Where it lies beside a secret.
pub(super) const OF_SECRET: &str = "digitalhub.tresor.io/entity";
/// Where it lies beside a project.
pub(super) const OF_PROJECT: &str = "digitalhub.tresor.io/project";

/// The most bytes of it, as JSON: lists read all of it.
const MAX_BYTES: usize = 16 << 10;
/// What the daemon says itself, whatever is sent.
const OURS: [&str; 7] =
    ["project", "name", "created", "updated", "created_by", "updated_by", "embedded"];
/// The states that every version of the platform's SDK knows: one that it does not know ends its
/// whole list with an error.
const STATES: [&str; 19] = [
    "BUILT",
    "CANCELLED",
    "COMPLETED",
    "CREATED",
    "CREATING",
    "DELETED",
    "ERROR",
    "FSM_ERROR",
    "IDLE",
    "NONE",
    "ONLINE",
    "PENDING",
    "READY",
    "RUNNING",
    "RUN_ERROR",
    "STOP",
    "STOPPED",
    "SUCCESS",
    "UNKNOWN",
];

/// What is kept of an entity.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Kept {
    /// Its metadata, without what is the daemon's to say.
    pub(super) metadata: Map<String, Value>,
    /// Its status.
    pub(super) status: Map<String, Value>,
    /// A project's specification; a secret's is made of its name.
    pub(super) spec: Map<String, Value>,
    /// When a project was last changed.
    pub(super) updated: Option<String>,
}

impl Kept {
    /// What an entity brings, with or without its specification.
    ///
    /// # Errors
    /// When clients could not read it back, or it is too much.
    pub(super) fn of(entity: &Map<String, Value>, with_spec: bool) -> Result<Self, Invalid> {
        let mut metadata = object(entity, "metadata")?;
        metadata.retain(|key, _| !OURS.contains(&key.as_str()));
        let status = object(entity, "status")?;
        let spec = if with_spec { object(entity, "spec")? } else { Map::new() };
        check_clients_read(&metadata, &status)?;
        let kept = Self { metadata, status, spec, updated: None };
        if kept.write().len() > MAX_BYTES {
            let fix = format!("must be at most {MAX_BYTES} bytes of JSON, with status and spec");
            return Err(Invalid::new("metadata", fix));
        }
        Ok(kept)
    }

    /// What lies beside a secret or a project; nothing where it was made elsewhere.
    pub(super) fn read(annotations: &Annotations, key: &str) -> Self {
        let text = annotations.text(key).unwrap_or_default();
        let read = serde_json::from_str::<Map<String, Value>>(text).unwrap_or_default();
        let part = |name| read.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
        let updated = read.get("updated").and_then(Value::as_str).map(str::to_owned);
        Self { metadata: part("metadata"), status: part("status"), spec: part("spec"), updated }
    }

    /// As it is stored.
    pub(super) fn write(&self) -> String {
        let Self { metadata, status, spec, updated } = self;
        let all = json!({
            "metadata": metadata, "status": status, "spec": spec, "updated": updated,
        });
        all.to_string()
    }
}

/// A part of an entity; clients leave out what is empty, or send null.
fn object(entity: &Map<String, Value>, part: &str) -> Result<Map<String, Value>, Invalid> {
    match entity.get(part) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(found)) => Ok(found.clone()),
        Some(_) => Err(Invalid::new(part, "must be an object, or be left out")),
    }
}

fn check_clients_read(
    metadata: &Map<String, Value>,
    status: &Map<String, Value>,
) -> Result<(), Invalid> {
    let state = status.get("state");
    if state.is_some_and(|state| !state.as_str().is_some_and(|state| STATES.contains(&state))) {
        let fix = format!("must be one of {}, or be left out", STATES.join(", "));
        return Err(Invalid::new("status.state", fix));
    }
    if metadata.get("relationships").is_some_and(|found| !found.is_array()) {
        return Err(Invalid::new("metadata.relationships", "must be a list, or be left out"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(entity: Value) -> Result<Kept, Invalid> {
        Kept::of(entity.as_object().unwrap(), false)
    }

    fn stored(text: String) -> Kept {
        Kept::read(&Annotations::default().with(OF_SECRET, text).unwrap(), OF_SECRET)
    }

    #[test]
    fn what_is_the_daemons_to_say_is_not_kept() {
        let kept = of(json!({
            "metadata": {"name": "x", "created": "1", "description": "d", "odd": [1, {}]},
            "status": null,
            "spec": {"path": "secret://x"},
        }));
        let kept = kept.unwrap();
        assert_eq!(Value::Object(kept.metadata), json!({"description": "d", "odd": [1, {}]}));
        assert!(kept.status.is_empty() && kept.spec.is_empty());
    }

    #[test]
    fn what_would_end_a_clients_list_with_an_error_is_refused() {
        for (entity, field) in [
            (json!({"metadata": []}), "metadata"),
            (json!({"metadata": "x"}), "metadata"),
            (json!({"status": 1}), "status"),
            (json!({"status": {"state": "WEIRD"}}), "status.state"),
            (json!({"status": {"state": null}}), "status.state"),
            (json!({"metadata": {"relationships": {}}}), "metadata.relationships"),
            (json!({"metadata": {"description": "x".repeat(MAX_BYTES)}}), "metadata"),
        ] {
            assert_eq!(of(entity).unwrap_err().field, field);
        }
        let relations = json!({"metadata": {"relationships": []}, "status": {"state": "READY"}});
        assert!(of(relations).is_ok());
    }

    #[test]
    fn what_lies_there_and_is_not_ours_reads_as_nothing() {
        for text in ["", "null", "[]", "{\"metadata\":1,\"status\":[],\"updated\":2}", "{"] {
            assert_eq!(stored(text.to_owned()), Kept::default());
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_comes_back(
            description in "\\PC{0,60}", state in proptest::sample::select(&STATES[..]), number in any::<i64>(),
        ) {
            let kept = of(json!({
                "metadata": {"description": description, "n": number}, "status": {"state": state},
            })).unwrap();
            prop_assert_eq!(stored(kept.write()), kept);
        }

        #[test]
        fn nothing_that_lies_there_is_too_strange_to_be_read(text in "\\PC{0,80}") {
            stored(text);
        }
    }
}
