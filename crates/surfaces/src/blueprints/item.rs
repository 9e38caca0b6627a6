//! One operation of a batch, as the platform's schema has it.

use std::collections::BTreeMap;

use domain::{
    DataKey, Invalid, Payload, Plaintext, RegistryLogin, SecretName, SecretType, is_dns_subdomain,
};
use serde_json::{Map, Value};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Create,
    Delete,
    Update,
}

impl Action {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Update => "update",
        }
    }

    pub(super) const fn done(self) -> &'static str {
        match self {
            Self::Create => "created",
            Self::Delete => "deleted",
            Self::Update => "updated",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Create, Self::Delete, Self::Update].into_iter().find(|one| one.as_str() == text)
    }
}

/// An operation that is well formed.
pub(super) struct Operation {
    pub(super) action: Action,
    pub(super) name: SecretName,
    /// What the secret is to hold; none when it is to go.
    pub(super) payload: Option<Payload>,
}

/// An operation that is not, as far as it could be read: only a name and an action that are well
/// formed are repeated.
pub(super) struct Malformed {
    pub(super) action: Option<Action>,
    pub(super) name: Option<SecretName>,
    pub(super) wrong: Invalid,
}

/// Reads an operation.
pub(super) fn read(item: Value) -> Result<Operation, Malformed> {
    let Value::Object(mut members) = item else {
        let wrong = Invalid::new("item", "must be an object of name, action, type and data");
        return Err(Malformed { action: None, name: None, wrong });
    };
    let name = take_name(&mut members);
    let action = take_action(&mut members);
    let (known_name, known_action) = (name.as_ref().ok().cloned(), action.as_ref().ok().copied());
    let operation = || {
        let (name, action) = (name?, action?);
        let payload = take_payload(&mut members, action)?;
        match members.is_empty() {
            true => Ok(Operation { action, name, payload }),
            false => {
                let fix = "must have no members but name, action, type and data";
                Err(Invalid::new("item", fix))
            }
        }
    };
    operation().map_err(|wrong| Malformed { action: known_action, name: known_name, wrong })
}

fn required(field: &str, fix: &str) -> Invalid {
    Invalid::new(format!("'{field}' is a required property"), fix)
}

fn take_name(members: &mut Map<String, Value>) -> Result<SecretName, Invalid> {
    const FIX: &str = "must be a name of Kubernetes: at most 253 lower-case letters, digits, `-` and `.`, each part between dots starting and ending with a letter or digit";
    match members.remove("name") {
        None => Err(required("name", "send the secret's name")),
        Some(Value::String(text)) if is_dns_subdomain(&text) => {
            SecretName::parse(&text).map_err(|_| Invalid::new("name", FIX))
        }
        Some(_) => Err(Invalid::new("name", FIX)),
    }
}

fn take_action(members: &mut Map<String, Value>) -> Result<Action, Invalid> {
    let fix = "must be create, update or delete";
    match members.remove("action") {
        None => Err(required("action", "send create, update or delete")),
        Some(Value::String(text)) => Action::parse(&text).ok_or(Invalid::new("action", fix)),
        Some(_) => Err(Invalid::new("action", fix)),
    }
}

/// The platform's own example of a deletion names a type, which its schema forbids; data it never
/// names.
fn take_payload(
    members: &mut Map<String, Value>,
    action: Action,
) -> Result<Option<Payload>, Invalid> {
    let kind = members.remove("type").map(kind).transpose()?;
    let data = members.remove("data");
    if action == Action::Delete {
        return match data {
            None => Ok(None),
            Some(_) => Err(Invalid::new("data", "must be left out of a deletion")),
        };
    }
    let kind = kind.ok_or_else(|| required("type", "send opaque or container_registry"))?;
    let data = match data {
        None => return Err(required("data", "send the secret's content as an object")),
        Some(Value::Object(data)) => data,
        Some(_) => return Err(Invalid::new("data", "must be an object of texts")),
    };
    let payload = match kind {
        SecretType::Registry => registry(data),
        _ => opaque(data),
    };
    payload.map(Some)
}

fn kind(value: Value) -> Result<SecretType, Invalid> {
    match value.as_str() {
        Some("opaque") => Ok(SecretType::Opaque),
        Some("container_registry") => Ok(SecretType::Registry),
        _ => Err(Invalid::new("type", "must be opaque or container_registry")),
    }
}

fn opaque(data: Map<String, Value>) -> Result<Payload, Invalid> {
    let mut values = BTreeMap::new();
    for (key, value) in data {
        let key = DataKey::parse(&key).map_err(|wrong| Invalid::new("a key of data", wrong.fix))?;
        let Value::String(text) = value else {
            return Err(Invalid::new(format!("data.{key}"), "must be a text"));
        };
        values.insert(key, Plaintext::new(text.into_bytes()));
    }
    Payload::opaque(values)
}

fn registry(mut data: Map<String, Value>) -> Result<Payload, Invalid> {
    let mut take = |field: &str| match data.remove(field) {
        None => Err(required(field, "send it in data")),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Invalid::new(format!("data.{field}"), "must be a text")),
    };
    let server = take("registry_server")?;
    let username = Plaintext::new(take("username")?.into_bytes());
    let password = Plaintext::new(take("password")?.into_bytes());
    let email = Some(take("email")?);
    if !data.is_empty() {
        let fix = "must hold registry_server, username, password and email, and nothing else";
        return Err(Invalid::new("data", fix));
    }
    let payload = Payload::registry(vec![RegistryLogin { server, username, password, email }]);
    payload.map_err(|wrong| {
        let field = wrong.field.replace("registries[0].server", "data.registry_server");
        Invalid::new(field.replace("registries[0].", "data."), wrong.fix)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn refused(item: Value) -> (Option<Action>, String) {
        let malformed = read(item).err().unwrap();
        (malformed.action, malformed.wrong.field)
    }

    #[test]
    fn what_breaks_the_schema_is_named() {
        let registry = json!({ "registry_server": "r", "username": "u", "password": "p" });
        for (item, field) in [
            (json!(1), "item"),
            (json!({ "action": "create" }), "'name' is a required property"),
            (json!({ "name": "A", "action": "create" }), "name"),
            (json!({ "name": 1, "action": "create" }), "name"),
            (json!({ "name": "a" }), "'action' is a required property"),
            (json!({ "name": "a", "action": "patch" }), "action"),
            (json!({ "name": "a", "action": "create" }), "'type' is a required property"),
            (json!({ "name": "a", "action": "create", "type": "ssh" }), "type"),
            (
                json!({ "name": "a", "action": "create", "type": "opaque" }),
                "'data' is a required property",
            ),
            (json!({ "name": "a", "action": "create", "type": "opaque", "data": [] }), "data"),
            (json!({ "name": "a", "action": "create", "type": "opaque", "data": {} }), "data"),
            (
                json!({ "name": "a", "action": "create", "type": "opaque", "data": { "a/b": "" } }),
                "a key of data",
            ),
            (
                json!({ "name": "a", "action": "create", "type": "opaque", "data": { "k": 1 } }),
                "data.k",
            ),
            (
                json!({ "name": "a", "action": "create", "type": "container_registry", "data": registry }),
                "'email' is a required property",
            ),
            (json!({ "name": "a", "action": "delete", "data": {} }), "data"),
            (json!({ "name": "a", "action": "delete", "namespace": "n" }), "item"),
        ] {
            assert_eq!(refused(item.clone()).1, field, "{item}");
        }
    }

    #[test]
    fn the_platforms_own_example_of_a_deletion_is_taken() {
        let item = json!({ "name": "app-config", "action": "delete", "type": "opaque" });
        let operation = read(item).ok().unwrap();
        assert_eq!((operation.action, operation.payload.is_none()), (Action::Delete, true));
    }

    proptest! {
        /// Whatever is refused, no text that was sent as a value is repeated.
        #[test]
        fn no_value_is_repeated(
            kind in prop_oneof![Just("opaque"), Just("container_registry"), Just("x")],
            action in prop_oneof![Just("create"), Just("update"), Just("delete"), Just("x")],
            key in "[a-z_/ ]{0,12}",
        ) {
            let data = json!({ key: "MARKER", "email": ["MARKER"], "username": "MARKER:" });
            let item = json!({ "name": "a", "action": action, "type": kind, "data": data });
            if let Err(malformed) = read(item) {
                prop_assert!(!malformed.wrong.to_string().contains("MARKER"));
            }
        }
    }
}
