//! Items that clients send.

use domain::{Fields, Invalid, Payload, Plaintext, RegistryLogin, SecretName, SecretType};
use http::StatusCode;
use serde_json::{Map, Value};

use super::item::{Item, MASK};
use super::{key, say};
use crate::{Request, Trouble};

const NOT_THE_MASK: &str = "must be the value itself, and not the mask that stands for one";

/// An item to be made.
pub(super) struct New {
    pub(super) name: SecretName,
    pub(super) payload: Payload,
}

impl New {
    /// Reads `{"name", "_type", "value"}`.
    ///
    /// # Errors
    /// When the body is something else, by the field at fault.
    pub(super) fn read(request: &Request) -> Result<Self, Trouble> {
        let mut members = object(request)?;
        check_members(&members, &["name", "_type", "value"])?;
        let name = required(&mut members, "name")?;
        let Value::String(name) = name else {
            return Err(Invalid::new("name", "must be a text").into());
        };
        let name = SecretName::parse(&name).map_err(|wrong| Invalid::new("name", wrong.fix))?;
        let kind = required(&mut members, "_type")?;
        let kind = kind.as_str().and_then(key::kind_of).ok_or_else(|| {
            let fix = "must be secret/Custom, secret/S3 or secret/ContainerRegistry";
            Invalid::new("_type", fix)
        })?;
        match payload(kind, required(&mut members, "value")?)? {
            Some(payload) => Ok(Self { name, payload }),
            None => Err(Invalid::new("value", NOT_THE_MASK).into()),
        }
    }
}

/// Reads what an item is to be: itself, with the same value masked or another one. None when the
/// value is to stay.
///
/// # Errors
/// When the body is something else, or would change what never changes; by the field at fault.
pub(super) fn read_change(
    request: &Request,
    item: &Item<'_>,
    kind: SecretType,
) -> Result<Option<Payload>, Trouble> {
    let mut members = object(request)?;
    check_members(&members, &["_id", "_key", "_type", "_updated_at", "name", "value"])?;
    let kept = [
        ("_id", item.id.as_str()),
        ("_key", item.key.as_str()),
        ("_type", item.kind),
        ("name", item.name),
    ];
    for (field, text) in kept {
        if members.get(field).is_some_and(|sent| sent != text) {
            let fix = "must be what the item has, or be left out: it never changes";
            return Err(Invalid::new(field, fix).into());
        }
    }
    // When that was is for the daemon to say; what a client has read, it may send back.
    if members.get("_updated_at").is_some_and(|sent| !sent.is_u64()) {
        let fix = "must be the seconds that the item has, or be left out";
        return Err(Invalid::new("_updated_at", fix).into());
    }
    Ok(payload(kind, required(&mut members, "value")?)?)
}

/// What a value makes of a secret of a type; nothing when it is the mask.
fn payload(kind: SecretType, value: Value) -> Result<Option<Payload>, Invalid> {
    if value == MASK {
        return Ok(None);
    }
    match (kind, value) {
        (SecretType::Variable, Value::String(text)) => {
            Payload::variable(Plaintext::new(text.into_bytes())).map(Some)
        }
        (SecretType::Variable, _) => Err(Invalid::new("value", "must be a text")),
        (SecretType::S3, Value::Object(members)) => {
            s3(members).map(Some).map_err(|wrong| wrong.within("value"))
        }
        (_, Value::Object(members)) => {
            registry(members).map(Some).map_err(|wrong| wrong.within("value"))
        }
        (SecretType::S3, _) => {
            let fields = SecretType::S3.fields().join(", ");
            Err(Invalid::new("value", format!("must be an object of {fields}")))
        }
        _ => Err(Invalid::new("value", "must be an object of server, username and password")),
    }
}

fn s3(members: Map<String, Value>) -> Result<Payload, Invalid> {
    check_members(&members, SecretType::S3.fields())?;
    let mut fields = Fields::of(SecretType::S3);
    for (name, value) in members {
        fields.set(&name, Some(Plaintext::new(text(&name, value)?.into_bytes())))?;
    }
    Payload::s3(fields)
}

/// One login, or `registries`, a list of them, as an item with several shows them.
fn registry(mut members: Map<String, Value>) -> Result<Payload, Invalid> {
    let Some(all) = members.remove("registries") else {
        let only = login(members)?;
        return Payload::registry(vec![only]).map_err(|wrong| {
            let field = wrong.field.strip_prefix("registries[0].").unwrap_or(&wrong.field);
            Invalid::new(field.trim_start_matches("registries"), wrong.fix)
        });
    };
    let Value::Array(all) = all else {
        return Err(Invalid::new("registries", "must be a list of logins"));
    };
    if !members.is_empty() {
        return Err(Invalid::new("", "must have nothing beside registries"));
    }
    let one = |(index, one)| {
        let login = match one {
            Value::Object(members) => login(members),
            _ => Err(Invalid::new("", "must be an object of server, username and password")),
        };
        login.map_err(|wrong: Invalid| wrong.within(&format!("registries[{index}]")))
    };
    let logins: Result<Vec<_>, _> = all.into_iter().enumerate().map(one).collect();
    Payload::registry(logins?)
}

fn login(mut members: Map<String, Value>) -> Result<RegistryLogin, Invalid> {
    let mut take = |name: &str| match members.remove(name) {
        Some(value) => text(name, value).map(Some),
        None => Ok(None),
    };
    let missing = |name: &str| Invalid::new(name, "must be given");
    let server = take("server")?.ok_or_else(|| missing("server"))?;
    let username = take("username")?.ok_or_else(|| missing("username"))?;
    let password = take("password")?.ok_or_else(|| missing("password"))?;
    let email = take("email")?;
    check_members(&members, &[])?;
    let [username, password] = [username, password].map(|text| Plaintext::new(text.into_bytes()));
    Ok(RegistryLogin { server, username, password, email })
}

fn text(field: &str, value: Value) -> Result<String, Invalid> {
    match value {
        Value::String(text) if text == MASK => Err(Invalid::new(field, NOT_THE_MASK)),
        Value::String(text) => Ok(text),
        _ => Err(Invalid::new(field, "must be a text")),
    }
}

fn object(request: &Request) -> Result<Map<String, Value>, Trouble> {
    if request.media_type.as_deref() != Some("application/json") {
        let text = "Content-Type: must be application/json";
        return Err(say::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into());
    }
    match request.json()? {
        Value::Object(members) => Ok(members),
        _ => Err(Invalid::new("body", "must be an object").into()),
    }
}

fn required(members: &mut Map<String, Value>, field: &str) -> Result<Value, Invalid> {
    members.remove(field).ok_or_else(|| Invalid::new(field, "must be given"))
}

/// Refuses members that there are not. Their names may be values in the wrong place, so they are
/// repeated only when they look like names.
fn check_members(members: &Map<String, Value>, known: &[&str]) -> Result<(), Invalid> {
    let looks_like_one = |name: &str| {
        name.len() <= 32 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    match members.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) if looks_like_one(name) => {
            Err(Invalid::new(name.as_str(), "must be left out: there is no such member"))
        }
        Some(_) => Err(Invalid::new("one more member", "must be left out")),
    }
}

/// Reads a body as a change of an item of that type.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz_change(request: &Request, kind: SecretType) -> Result<(), Trouble> {
    let value = super::item::Value::Text(MASK);
    let (id, key) = (String::new(), String::new());
    let item = Item { id, key, kind: "secret/S3", updated_at: 0, name: "s3", value };
    read_change(request, &item, kind).map(|_| ())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::chariot::item;

    fn made(kind: &str, value: Value) -> Result<Payload, String> {
        let body = json!({ "name": "n", "_type": kind, "value": value }).to_string();
        match New::read(&Request::of_json(body.as_bytes())) {
            Ok(new) => Ok(new.payload),
            Err(Trouble::Invalid(invalid)) => Err(invalid.to_string()),
            Err(_) => Err("something else".to_owned()),
        }
    }

    fn login() -> Value {
        json!({ "server": "r.example", "username": "u", "password": "p" })
    }

    #[test]
    fn what_is_shown_in_clear_is_taken_back() {
        let other = json!({ "server": "s", "username": "u", "password": "p", "email": "e@f" });
        for (kind, value) in [
            ("secret/Custom", json!("")),
            ("secret/Custom", json!("$x \u{e4}\n")),
            ("secret/S3", json!({ "accessKeyId": "AKIA", "secretAccessKey": "s" })),
            ("secret/S3", json!({ "accessKeyId": "A", "secretAccessKey": "s", "bucket": "b" })),
            ("secret/ContainerRegistry", login()),
            ("secret/ContainerRegistry", other.clone()),
            ("secret/ContainerRegistry", json!({ "registries": [login(), other] })),
        ] {
            let payload = made(kind, value.clone()).unwrap();
            let shown = item::Value::clear(&payload).unwrap();
            assert_eq!(serde_json::to_value(&shown).unwrap(), value);
        }
    }

    #[test]
    fn what_is_wrong_is_said_by_its_field() {
        let registries = |items: Value| json!({ "registries": items });
        for (kind, value, field) in [
            ("secret/Custom", json!("********"), "value: must be the value itself"),
            ("secret/Custom", json!(1), "value: must be a text"),
            ("secret/Opaque", json!("v"), "_type: "),
            ("secret/S3", json!("v"), "value: must be an object of accessKeyId"),
            ("secret/S3", json!({}), "value.accessKeyId: must be given"),
            ("secret/S3", json!({ "key": "v" }), "value.key: must be left out"),
            ("secret/S3", json!({ "accessKeyId": 1 }), "value.accessKeyId: must be a text"),
            ("secret/S3", json!({ "accessKeyId": "********" }), "value.accessKeyId: must be the"),
            ("secret/ContainerRegistry", json!({}), "value.server: must be given"),
            ("secret/ContainerRegistry", json!([]), "value: must be an object of server"),
            ("secret/ContainerRegistry", registries(json!({})), "value.registries: must be a"),
            ("secret/ContainerRegistry", registries(json!([])), "value.registries: must hold"),
            ("secret/ContainerRegistry", registries(json!([1])), "value.registries[0]: must be"),
            (
                "secret/ContainerRegistry",
                registries(json!([{ "server": " ", "username": "u", "password": "p" }])),
                "value.registries[0].server: must be a registry host",
            ),
            (
                "secret/ContainerRegistry",
                json!({ "server": "r", "username": "a:b", "password": "p" }),
                "value.username: must be text",
            ),
            (
                "secret/ContainerRegistry",
                json!({ "server": "r", "username": "u", "password": "p", "token": "t" }),
                "value.token: must be left out",
            ),
        ] {
            let refused = made(kind, value.clone()).err().unwrap_or_default();
            assert!(refused.starts_with(field), "{kind} {value}: {refused}");
        }
    }

    proptest! {
        #[test]
        fn a_text_is_taken_as_it_is(text in any::<String>()) {
            prop_assume!(text != MASK);
            let payload = made("secret/Custom", json!(text)).unwrap();
            let shown = serde_json::to_value(item::Value::clear(&payload).unwrap()).unwrap();
            prop_assert_eq!(shown, json!(text));
        }
    }
}
