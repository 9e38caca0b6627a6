//! `params`: the credentials, by type.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{DataKey, Fields, Invalid, Payload, Plaintext, RegistryLogin, SecretType};
use serde_json::{Map, Value, json};

use super::reply::{bad, bad_field, unprocessable};
use crate::Trouble;

/// The types, as the platform calls them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    General,
    Image,
    Ssh,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Image => "image",
            Self::Ssh => "ssh",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::General, Self::Image, Self::Ssh].into_iter().find(|kind| kind.as_str() == text)
    }

    /// What a type of Tresor's is to the platform; some are nothing to it.
    pub(super) const fn of(kind: SecretType) -> Option<Self> {
        match kind {
            SecretType::Opaque => Some(Self::General),
            SecretType::Registry => Some(Self::Image),
            SecretType::Ssh => Some(Self::Ssh),
            SecretType::Document | SecretType::S3 | SecretType::Variable => None,
        }
    }
}

/// Texts by key, one after another.
pub(super) type Params = Vec<BTreeMap<String, Text>>;

/// What was sent under a key. Null is an empty text to the platform.
pub(super) type Text = Plaintext;

/// Reads `params`, whatever the type.
pub(super) fn read(value: Value) -> Result<Params, Trouble> {
    let wrong = || bad("params must be a list of objects of texts");
    let Value::Array(items) = value else { return Err(wrong()) };
    let entry = |item| {
        let Value::Object(members) = item else { return Err(wrong()) };
        let text = |(key, value)| match value {
            Value::String(text) => Ok((key, Plaintext::new(text.into_bytes()))),
            Value::Null => Ok((key, Plaintext::new(Vec::new()))),
            _ => Err(wrong()),
        };
        members.into_iter().map(text).collect::<Result<_, _>>()
    };
    items.into_iter().map(entry).collect()
}

/// The payload that `params` come to, and, for general ones, how their keys were grouped.
pub(super) fn payload(kind: Kind, params: &Params) -> Result<(Payload, Option<String>), Trouble> {
    if params.is_empty() {
        return Err(bad("the input params are empty"));
    }
    match kind {
        Kind::General => general(params),
        Kind::Image => Ok((image(params)?, None)),
        Kind::Ssh => Ok((ssh(params)?, None)),
    }
}

/// A member, unless it is left out or empty, which is the same to the platform.
fn given<'a>(entry: &'a BTreeMap<String, Text>, name: &str) -> Option<&'a Text> {
    let exact = entry.get(name);
    let found = exact.or_else(|| {
        entry.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    });
    found.filter(|value| !value.is_empty())
}

fn required<'a>(entry: &'a BTreeMap<String, Text>, name: &str) -> Result<&'a Text, Trouble> {
    given(entry, name).ok_or_else(|| bad(&format!("the {name} is empty")))
}

/// Base64 of the standard alphabet, strictly padded; line ends in it are left out.
fn decoded(name: &str, text: &Text) -> Result<Plaintext, Trouble> {
    // EXPOSE: one plaintext becomes another.
    let bytes = text.expose();
    let packed: Vec<u8> = bytes.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
    let packed = Plaintext::new(packed);
    // EXPOSE: as above.
    let decoded = STANDARD.decode(packed.expose()).map(Plaintext::new);
    decoded.map_err(|_| bad(&format!("the {name} must be base64 (RFC 4648, with padding)")))
}

fn image(params: &Params) -> Result<Payload, Trouble> {
    let login = |entry: &BTreeMap<String, Text>| {
        let password = required(entry, "password")?;
        let username = required(entry, "username")?.duplicate();
        let server = required(entry, "server")?;
        // EXPOSE: a server's name is no value.
        let server = String::from_utf8_lossy(server.expose()).into_owned();
        let password = decoded("password", password)?;
        Ok(RegistryLogin { server, username, password, email: None })
    };
    let logins = params.iter().map(login).collect::<Result<Vec<_>, Trouble>>()?;
    Payload::registry(logins).map_err(|wrong| told(&wrong, "registries", "params"))
}

fn ssh(params: &Params) -> Result<Payload, Trouble> {
    let [entry] = params.as_slice() else {
        return Err(bad("params must hold one entry for a secret of the type ssh"));
    };
    let mut fields = Fields::of(SecretType::Ssh);
    let mut set = |name: &str, value: Plaintext| {
        fields.set(name, Some(value)).map_err(|wrong| bad_field(&wrong))
    };
    set("username", required(entry, "username")?.duplicate())?;
    let (private, public) = (given(entry, "privateKey"), given(entry, "publicKey"));
    match (given(entry, "password"), private, public) {
        (None, None, None) => return Err(bad("the password or keypair is empty")),
        (Some(password), None, None) => set("password", password.duplicate())?,
        (Some(_), ..) => {
            return Err(bad(
                "the password must be left out beside a keypair: drop it, or drop privateKey and publicKey",
            ));
        }
        (None, ..) => {
            for (name, half) in [("privateKey", private), ("publicKey", public)] {
                if let Some(half) = half {
                    set(name, decoded(name, half)?)?;
                }
            }
        }
    }
    Payload::ssh(fields).map_err(|wrong| bad_field(&wrong))
}

fn general(params: &Params) -> Result<(Payload, Option<String>), Trouble> {
    let mut data = BTreeMap::new();
    for (key, value) in params.iter().flatten() {
        let key = DataKey::parse(key).map_err(|_| {
            let fix =
                "a key must be 1 to 253 letters, digits, `-`, `_` or `.`, and not begin with `..`";
            unprocessable(&Invalid::new("data", fix))
        })?;
        if data.insert(key, value.duplicate()).is_some() {
            return Err(bad(
                "params must not name a key twice, since all share one Kubernetes Secret",
            ));
        }
    }
    let groups: Vec<Vec<&str>> =
        params.iter().map(|entry| entry.keys().map(String::as_str).collect()).collect();
    // One group is how they are shown anyway.
    let groups = (groups.len() > 1).then(|| json!(groups).to_string());
    let payload = Payload::opaque(data).map_err(|wrong| match wrong.fix.as_str() {
        fix if fix.contains("at least one") => bad("the input params are empty"),
        _ => unprocessable(&Invalid::new("data", format!("Too long: {}", wrong.fix))),
    })?;
    Ok((payload, groups))
}

/// What the core calls one thing, in the platform's words.
fn told(wrong: &Invalid, from: &str, to: &str) -> Trouble {
    let field = wrong.field.replacen(from, to, 1);
    bad_field(&Invalid::new(field, wrong.fix.clone()))
}

/// `params` of a payload: what was sent, in the order in which it was.
pub(super) fn show(payload: &Payload, groups: Option<&str>) -> Vec<Value> {
    match payload {
        Payload::Registry(logins) => logins.iter().map(login).collect(),
        Payload::Ssh(fields) => {
            let shown = fields.iter().map(|(name, value)| {
                let shown = match name {
                    "privateKey" | "publicKey" => encoded(value),
                    _ => text(value),
                };
                (name.to_owned(), shown)
            });
            vec![Value::Object(shown.collect())]
        }
        Payload::Opaque(data) => grouped(data, groups),
        Payload::Document(_) | Payload::S3(_) | Payload::Variable(_) => Vec::new(),
    }
}

fn login(login: &RegistryLogin) -> Value {
    json!({
        "server": login.server,
        "username": text(&login.username),
        "password": encoded(&login.password),
    })
}

/// General values by how their keys were grouped when this version, or another, was sent. What no
/// group names stands in the first.
fn grouped(data: &BTreeMap<DataKey, Plaintext>, groups: Option<&str>) -> Vec<Value> {
    let groups: Vec<Vec<String>> =
        groups.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let mut named = BTreeSet::new();
    let mut shown: Vec<Map<String, Value>> = Vec::new();
    for group in groups {
        let mut entry = Map::new();
        for key in group {
            let found = data.iter().find(|(known, _)| known.as_str() == key);
            if let Some((known, value)) = found.filter(|(known, _)| named.insert(*known)) {
                entry.insert(known.as_str().to_owned(), text(value));
            }
        }
        shown.push(entry);
    }
    let rest: Vec<_> = data.iter().filter(|(key, _)| !named.contains(key)).collect();
    if shown.is_empty() {
        shown.push(Map::new());
    }
    if let Some(first) = shown.first_mut() {
        first.extend(rest.into_iter().map(|(key, value)| (key.as_str().to_owned(), text(value))));
    }
    shown.into_iter().map(Value::Object).collect()
}

/// A value as text. One that was made elsewhere and is no text is shown as base64.
fn text(value: &Plaintext) -> Value {
    // EXPOSE: this is the answer to who may read the secret.
    match std::str::from_utf8(value.expose()) {
        Ok(text) => Value::String(text.to_owned()),
        Err(_) => encoded(value),
    }
}

fn encoded(value: &Plaintext) -> Value {
    // EXPOSE: this is the answer to who may read the secret.
    Value::String(STANDARD.encode(value.expose()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(kind: Kind, params: Value) -> Option<Vec<Value>> {
        let params = read(params).ok()?;
        let (payload, groups) = payload(kind, &params).ok()?;
        Some(show(&payload, groups.as_deref()))
    }

    fn message(kind: Kind, params: Value) -> String {
        let refused = read(params).and_then(|params| payload(kind, &params).map(|_| ()));
        let Err(Trouble::Said(answer)) = refused else { panic!("it is refused") };
        String::from_utf8(answer.body).unwrap()
    }

    #[test]
    fn what_was_sent_comes_back_as_it_was() {
        let image = json!([
            { "server": "z.example", "username": "u", "password": "cA==" },
            { "server": "a.example", "username": "u", "password": "cQ==" },
        ]);
        assert_eq!(json!(taken(Kind::Image, image.clone()).unwrap()), image);
        let general = json!([{ "b": "1", "c": "" }, { "a": "dGV4dA==" }]);
        assert_eq!(json!(taken(Kind::General, general.clone()).unwrap()), general);
        let ssh = json!([{ "username": "root", "password": "MyPassword123!", "privateKey": "", "publicKey": null }]);
        let shown = json!([{ "username": "root", "password": "MyPassword123!" }]);
        assert_eq!(json!(taken(Kind::Ssh, ssh).unwrap()), shown);
    }

    #[test]
    fn what_is_wrong_is_told_by_name_and_not_repeated() {
        let image = |entry: Value| message(Kind::Image, json!([entry]));
        assert!(image(json!({})).contains("the password is empty"));
        assert!(image(json!({ "password": "eA==" })).contains("the username is empty"));
        assert!(
            image(json!({ "password": "eA==", "username": "u" })).contains("the server is empty")
        );
        let entry = json!({ "server": "s", "username": "u", "password": "MARKED plain" });
        let refused = image(entry);
        assert!(refused.contains("the password must be base64") && !refused.contains("MARKED"));
        let twice = json!([
            { "server": "s", "username": "u", "password": "eA==" },
            { "server": "s", "username": "v", "password": "eA==" },
        ]);
        assert!(message(Kind::Image, twice).contains("name each server once"));
        let both = json!([{ "username": "u", "password": "p", "privateKey": "eA==" }]);
        assert!(message(Kind::Ssh, both).contains("drop"));
        assert!(message(Kind::Ssh, json!([{ "username": "u" }])).contains("password or keypair"));
        assert!(message(Kind::Ssh, json!([{}])).contains("the username is empty"));
        assert!(message(Kind::Ssh, json!([{}, {}])).contains("one entry"));
        assert!(message(Kind::General, json!([{ "a": "1" }, { "a": "2" }])).contains("twice"));
        assert!(message(Kind::General, json!([{ "a b": "1" }])).contains("Invalid"));
        assert!(message(Kind::General, json!([{}])).contains("params are empty"));
        assert!(message(Kind::General, json!([])).contains("params are empty"));
        assert!(message(Kind::General, json!([{ "a": 1 }])).contains("objects of texts"));
    }

    #[test]
    fn base64_may_hold_line_ends_and_nothing_else_that_is_none() {
        let with = |text: &str| {
            taken(Kind::Image, json!([{ "server": "s", "username": "u", "password": text }]))
        };
        assert!(with("cGFz\r\nc3dv\ncmQ=").is_some());
        for text in ["cGFzc3dvcmQ", "cGFz c3dvcmQ=", "_-8=", "=", "cA=", "cA==="] {
            assert!(with(text).is_none(), "{text}");
        }
    }

    #[test]
    fn groups_that_another_version_left_lose_nothing() {
        let key = |text: &str| DataKey::parse(text).unwrap();
        let value = |text: &str| Plaintext::new(text.as_bytes().to_vec());
        let data = BTreeMap::from([(key("a"), value("1")), (key("new"), value("2"))]);
        for groups in [None, Some("["), Some(r#"[["gone"],["a","a"],["a"]]"#), Some("[]")] {
            let shown = grouped(&data, groups);
            let count: usize = shown.iter().map(|entry| entry.as_object().unwrap().len()).sum();
            assert_eq!(count, 2, "{groups:?}: {shown:?}");
        }
    }

    proptest! {
        #[test]
        fn general_texts_come_back_grouped(
            entries in prop::collection::vec(
                prop::collection::btree_map("[-._a-zA-Z0-9]{1,9}", ".{0,9}", 1..4), 1..4)
        ) {
            let keys: Vec<_> = entries.iter().flat_map(|entry| entry.keys()).collect();
            let unique: BTreeSet<_> = keys.iter().collect();
            let valid = keys.iter().all(|key| DataKey::parse(key).is_ok());
            let sent = json!(entries);
            match taken(Kind::General, sent.clone()) {
                Some(shown) => prop_assert_eq!(json!(shown), sent),
                None => prop_assert!(unique.len() < keys.len() || !valid),
            }
        }
    }
}
