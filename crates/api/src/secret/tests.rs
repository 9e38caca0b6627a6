//! What bodies become, and how they are refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{BindingKind, Document, Invalid, Labels, Payload, SecretType};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{Problem, parse};

fn write(json: &str) -> SecretWrite {
    serde_json::from_str(json).unwrap()
}

fn refused(json: &str) -> Invalid {
    write(json).payload(None).err().unwrap()
}

#[test]
fn each_wrong_payload_is_refused_by_field() {
    assert_eq!(refused(r#"{"spec":{"type":"x"}}"#).field, "spec.type");
    assert_eq!(refused(r#"{"data":{"k":"no base64!"}}"#).field, r#"data["k"]"#);
    assert_eq!(refused(r#"{"data":{"a b":"eA=="}}"#).field, "data");
    assert_eq!(refused(r#"{"stringData":{"":"x"}}"#).field, "stringData");
    assert_eq!(refused("{}").field, "data");
    assert_eq!(refused(r#"{"spec":{"type":"registry"}}"#).field, "registries");
    assert_eq!(refused(r#"{"spec":{"type":"registry"},"data":{}}"#).field, "data");
    assert_eq!(refused(r#"{"spec":{"type":"opaque"},"registries":[]}"#).field, "registries");
    assert!(!refused(r#"{"data":{"k":"no base64!"}}"#).to_string().contains("no base64!"));
}

#[test]
fn text_wins_over_base64_of_the_same_key_as_in_kubernetes() {
    let payload = write(r#"{"data":{"k":"b25l","l":"eA=="},"stringData":{"k":"two"}}"#);
    let shown = SecretData::new(3, &payload.payload(None).unwrap());
    let shown = serde_json::to_string(&shown).unwrap();
    assert_eq!(shown, r#"{"version":3,"type":"opaque","data":{"k":"dHdv","l":"eA=="}}"#);
}

#[test]
fn a_login_goes_in_and_comes_out() {
    let json = r#"[{"server":"nvcr.io","username":"$oauthtoken","password":"p","email":"a@b.c"}]"#;
    let secret = write(&format!(r#"{{"spec":{{"type":"registry"}},"registries":{json}}}"#));
    let shown = SecretData::new(1, &secret.payload(None).unwrap());
    let shown = serde_json::to_string(&shown).unwrap();
    assert_eq!(shown, format!(r#"{{"version":1,"type":"registry","registries":{json}}}"#));
}

fn key(name: &str) -> String {
    let path = format!("{}/../domain/tests/keys/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

fn shown(body: &Value) -> Value {
    let payload = write(&body.to_string()).payload(None).unwrap();
    serde_json::to_value(SecretData::new(1, &payload)).unwrap()
}

#[test]
fn each_type_goes_in_and_comes_out() {
    let of = |kind: &str, given: Value| {
        let body = json!({ "spec": { "type": kind }, "stringData": given });
        let mut shown = shown(&body);
        assert_eq!(shown["type"], kind);
        shown["data"].take()
    };
    assert_eq!(of("variable", json!({ "value": "v" })), json!({ "value": "dg==" }));
    let login = json!({ "username": "u", "password": "p" });
    assert_eq!(of("ssh", login), json!({ "username": "dQ==", "password": "cA==" }));
    let access = json!({ "accessKeyId": "i", "secretAccessKey": "s", "region": "r" });
    let expected = json!({ "accessKeyId": "aQ==", "secretAccessKey": "cw==", "region": "cg==" });
    assert_eq!(of("s3", access), expected);
    let base64 = json!({ "spec": { "type": "variable" }, "data": { "value": "AP8=" } });
    assert_eq!(shown(&base64)["data"], json!({ "value": "AP8=" }));
    let (private, public) = (key("p256.sec1"), key("p256.pub"));
    let pair = json!({ "username": "u", "privateKey": private, "publicKey": public });
    let kept = of("ssh", pair);
    assert_eq!(kept["privateKey"], STANDARD.encode(&private));
    assert_eq!(kept["publicKey"], STANDARD.encode(&public));
}

#[test]
fn a_document_comes_out_with_every_digit() {
    let document = r#"{"z":1.0,"a":[1e400,{"b":12345678901234567890.10}],"s":"x"}"#;
    let body = format!(r#"{{"spec":{{"type":"document"}},"document": {document} }}"#);
    let payload = parse::<SecretWrite>(body.as_bytes()).ok().unwrap().payload(None).unwrap();
    let shown = serde_json::to_string(&SecretData::new(2, &payload)).unwrap();
    assert_eq!(shown, format!(r#"{{"version":2,"type":"document","document":{document}}}"#));
}

/// The type of a body, its values, and the field that is refused.
#[test]
fn each_wrong_field_of_each_type_is_refused_by_name() {
    let (private, public, other) = (key("p256.sec1"), key("p256.pub"), key("p256.other.pub"));
    for (kind, body, field) in [
        ("variable", json!({}), "stringData.value"),
        ("variable", json!({ "stringData": { "value": "v", "other": "x" } }), "stringData"),
        ("variable", json!({ "data": { "value": "no base64!" } }), "data.value"),
        ("variable", json!({ "document": {} }), "document"),
        ("variable", json!({ "registries": [] }), "registries"),
        ("ssh", json!({}), "stringData.username"),
        ("ssh", json!({ "data": { "username": "" } }), "data.username"),
        ("ssh", json!({ "stringData": { "username": "u" } }), "stringData.password"),
        ("ssh", json!({ "stringData": { "username": "u", "key": "k" } }), "stringData"),
        (
            "ssh",
            json!({ "stringData": { "username": "u", "privateKey": private } }),
            "stringData.publicKey",
        ),
        (
            "ssh",
            json!({ "stringData": { "username": "u", "privateKey": private, "publicKey": other } }),
            "stringData.publicKey",
        ),
        (
            "ssh",
            json!({ "stringData": { "username": "u", "publicKey": public }, "data": { "privateKey": "eA==" } }),
            "data.privateKey",
        ),
        ("s3", json!({ "stringData": { "accessKeyId": "a" } }), "stringData.secretAccessKey"),
        (
            "s3",
            json!({ "stringData": { "accessKeyId": "a", "secretAccessKey": "s", "endpoint": "x" } }),
            "stringData.endpoint",
        ),
        ("document", json!({}), "document"),
        ("document", json!({ "document": {}, "stringData": {} }), "stringData"),
        ("document", json!({ "document": {}, "data": {} }), "data"),
        ("document", json!({ "document": {}, "registries": [] }), "registries"),
        ("registry", json!({ "document": {} }), "document"),
        ("opaque", json!({ "document": {} }), "document"),
    ] {
        let mut body = body.clone();
        body["spec"] = json!({ "type": kind });
        assert_eq!(refused(&body.to_string()).field, field, "{body}");
    }
    let twice = r#"{"spec":{"type":"document"},"document":{"a":{"b":1,"b":2}}}"#;
    assert_eq!(refused(twice).field, "document");
    let list = parse::<SecretWrite>(br#"{"document":["x"]}"#).err().unwrap();
    assert_eq!(list.detail, "document: must be a JSON object");
}

#[test]
fn a_body_without_a_type_means_the_one_that_the_secret_has() {
    let body = write(r#"{"stringData":{"value":"v"}}"#);
    let kind = |existing| body.payload(existing).unwrap().secret_type();
    assert_eq!(kind(None), SecretType::Opaque);
    assert_eq!(kind(Some(SecretType::Variable)), SecretType::Variable);
    let named = write(r#"{"spec":{"type":"opaque"},"stringData":{"value":"v"}}"#);
    let payload = named.payload(Some(SecretType::Variable)).unwrap();
    assert_eq!(payload.secret_type(), SecretType::Opaque);
}

#[test]
fn bindings_and_kept_versions_are_read_and_refused_by_place() {
    let spec = |json: &str| {
        let body = format!(r#"{{"spec":{json}}}"#);
        parse::<SecretWrite>(body.as_bytes()).map(|write| write.spec)
    };
    let read = spec(
        r#"{"keepVersions":100,"bindings":[{"project":"b"},{"project":"org/b","kind":"members"}]}"#,
    );
    let read = read.ok().unwrap();
    assert_eq!(read.keep_versions, Some(100));
    let bindings = read.bindings().unwrap().unwrap();
    let bindings: Vec<_> = bindings.iter().map(|(path, kind)| (path.to_string(), *kind)).collect();
    let expected =
        [("default/b".to_owned(), BindingKind::Owner), ("org/b".to_owned(), BindingKind::Members)];
    assert_eq!(bindings, expected);
    assert_eq!(spec("{}").ok().unwrap().bindings().unwrap(), None);

    for wrong in ["0", "101", "-1", "1.5", r#""3""#, "5000000000", "true"] {
        let problem = spec(&format!(r#"{{"keepVersions":{wrong}}}"#)).err().unwrap();
        let detail = "spec.keepVersions: must be a whole number from 1 to 100";
        assert_eq!(problem.detail, detail, "{wrong}");
    }
    for (wrong, field) in [
        (r#"[{"project":""}]"#, "spec.bindings[0].project"),
        (r#"[{"project":"a"},{"project":"a/b/c"}]"#, "spec.bindings[1].project"),
        (r#"[{"project":"a"},{"project":"default/a"}]"#, "spec.bindings[1].project"),
        (r#"[{"project":"a","kind":"all"}]"#, "spec.bindings[0].kind"),
    ] {
        let spec = spec(&format!(r#"{{"bindings":{wrong}}}"#)).ok().unwrap();
        assert_eq!(spec.bindings().unwrap_err().field, field);
    }
}

fn patched(patch: &str) -> Result<SecretPatch, Problem> {
    parse(patch.as_bytes())
}

/// What a patch makes of a body's payload, as `GET .../data` shows it.
fn patch(body: &Value, patch: &Value) -> Result<Value, Invalid> {
    let current = write(&body.to_string()).payload(None)?;
    let changed = patched(&patch.to_string()).ok().unwrap().payload(&current)?;
    let mut shown = serde_json::to_value(SecretData::new(1, &changed)).unwrap();
    let shown = shown.as_object_mut().unwrap();
    shown.retain(|name, _| name != "version" && name != "type");
    Ok(Value::Object(std::mem::take(shown)))
}

#[test]
fn a_patch_sets_removes_and_leaves_alone() {
    let opaque = json!({ "stringData": { "a": "1", "b": "2", "c": "3" } });
    let change =
        json!({ "stringData": { "a": "x", "b": null, "z": null }, "data": { "d": "eA==" } });
    let expected = json!({ "data": { "a": "eA==", "c": "Mw==", "d": "eA==" } });
    assert_eq!(patch(&opaque, &change).unwrap(), expected);
    let none = patch(&opaque, &json!({ "metadata": { "labels": {} } })).unwrap();
    assert_eq!(none, json!({ "data": { "a": "MQ==", "b": "Mg==", "c": "Mw==" } }));

    let login =
        json!({ "spec": { "type": "ssh" }, "stringData": { "username": "u", "password": "p" } });
    let keys = json!({ "stringData": {
        "password": null, "privateKey": key("ed25519.openssh"), "publicKey": key("ed25519.pub"),
    } });
    let names: Vec<_> =
        patch(&login, &keys).unwrap()["data"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["privateKey", "publicKey", "username"]);

    let logins = |server: &str| json!([{ "server": server, "username": "u", "password": "p" }]);
    let registry = json!({ "spec": { "type": "registry" }, "registries": logins("a") });
    let changed = patch(&registry, &json!({ "registries": logins("b") })).unwrap();
    assert_eq!(changed, json!({ "registries": logins("b") }));
    assert_eq!(patch(&registry, &json!({})).unwrap(), json!({ "registries": logins("a") }));
}

#[test]
fn a_patched_document_keeps_the_digits_of_what_it_does_not_name() {
    let current =
        Document::parse(br#"{"a":{"n":1.000,"gone":1},"b":1e400}"#).map(Payload::Document);
    let change = r#"{"document":{"a":{"gone":null,"new":[2.50,null]}}}"#;
    let changed = patched(change).ok().unwrap().payload(&current.unwrap()).unwrap();
    let shown = serde_json::to_string(&SecretData::new(1, &changed)).unwrap();
    assert!(shown.contains(r#"{"a":{"n":1.000,"new":[2.50,null]},"b":1e400}"#), "{shown}");
}

#[test]
fn what_a_patch_may_not_do_is_refused_by_field() {
    let opaque = json!({ "stringData": { "a": "1" } });
    let ssh =
        json!({ "spec": { "type": "ssh" }, "stringData": { "username": "u", "password": "p" } });
    let variable = json!({ "spec": { "type": "variable" }, "stringData": { "value": "v" } });
    let document = json!({ "spec": { "type": "document" }, "document": { "a": 1 } });
    for (body, change, field) in [
        (&opaque, json!({ "data": { "a": null } }), "data"),
        (&opaque, json!({ "spec": { "type": "ssh" } }), "spec.type"),
        (&opaque, json!({ "document": {} }), "document"),
        (&opaque, json!({ "data": { "a": null }, "stringData": { "a": "x" } }), "stringData"),
        (&opaque, json!({ "stringData": { "a b": "x" } }), "stringData"),
        (&opaque, json!({ "data": { "a": "no base64!" } }), "data[\"a\"]"),
        (&ssh, json!({ "stringData": { "username": null } }), "stringData.username"),
        (&ssh, json!({ "data": { "password": null } }), "data.password"),
        (&ssh, json!({ "stringData": { "privateKey": "x" } }), "stringData.password"),
        (&variable, json!({ "data": { "value": null } }), "data.value"),
        (&variable, json!({ "data": { "other": null } }), "data"),
        (&document, json!({ "stringData": { "a": "x" } }), "stringData"),
        (&document, json!({ "document": { "a/b": 1, "a-b-c14cddc0": 2 } }), "document"),
    ] {
        assert_eq!(patch(body, &change).unwrap_err().field, field, "{change}");
    }
    let same =
        patch(&ssh, &json!({ "spec": { "type": "ssh" }, "stringData": { "password": "q" } }));
    assert!(same.is_ok());
    for (body, detail) in [
        (r#"{"stringData":null}"#, "stringData: must be a JSON object"),
        (r#"{"document":null}"#, "document: must be a JSON object"),
        (r#"{"document":[1]}"#, "document: must be a JSON object"),
        (r#"{"metadata":null}"#, "metadata: must be a JSON object"),
        (r#"{"spec":{"type":null}}"#, "spec.type: must be a string"),
        (r#"{"registries":null}"#, "registries: must be a sequence"),
        (r#"{"stringData":{"a":"x","a":null}}"#, "stringData: must hold each key once"),
        (r#"{"stringData":{"a":1}}"#, "stringData.a: must be a string"),
        (
            r#"{"spec":{"keepVersions":0}}"#,
            "spec.keepVersions: must be a whole number from 1 to 100",
        ),
    ] {
        assert_eq!(patched(body).err().unwrap().detail, detail, "{body}");
    }
    let unknown = patched(r#"{"status":{}}"#).err().unwrap();
    assert!(unknown.detail.contains("unknown field `status`"), "{}", unknown.detail);
    assert!(patched("[]").is_err());
}

#[test]
fn a_patch_says_what_it_touches() {
    let read = |text: &str| patched(text).ok().unwrap();
    for (text, touches) in [
        ("{}", false),
        (r#"{"metadata":{"labels":{"a":"b"}},"spec":{"keepVersions":3}}"#, false),
        (r#"{"stringData":{}}"#, false),
        (r#"{"stringData":{"a":null}}"#, true),
        (r#"{"data":{"a":"eA=="}}"#, true),
        (r#"{"document":{}}"#, true),
        (r#"{"registries":[]}"#, true),
    ] {
        assert_eq!(read(text).touches_payload(), touches, "{text}");
    }
    assert_eq!(read("{}").keep_versions(), None);
    assert_eq!(read(r#"{"spec":{"keepVersions":null}}"#).keep_versions(), Some(None));
    assert_eq!(read(r#"{"spec":{"keepVersions":7}}"#).keep_versions(), Some(Some(7)));
    assert_eq!(read("{}").bindings().unwrap(), None);
    assert_eq!(read(r#"{"spec":{"bindings":null}}"#).bindings().unwrap(), Some(vec![]));
    let bound = read(r#"{"spec":{"bindings":[{"project":"p"}]}}"#).bindings().unwrap().unwrap();
    assert_eq!(bound[0].0.to_string(), "default/p");
    let seen = read(r#"{"metadata":{"name":"hf","resourceVersion":"7"}}"#);
    assert_eq!(seen.name(), Some("hf"));
    assert_eq!(seen.expected().unwrap().unwrap().to_string(), "7");
    assert!(read(r#"{"metadata":{"resourceVersion":"x"}}"#).expected().is_err());
}

#[test]
fn labels_are_patched_one_by_one() {
    let map = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Labels::parse(pairs.collect()).unwrap()
    };
    let current = map(&[("a", "1"), ("b", "2")]);
    let labels = |labels: &str| {
        let body = format!(r#"{{"metadata":{{"labels":{labels}}}}}"#);
        patched(&body).ok().unwrap().labels(&current)
    };
    assert_eq!(labels(r#"{"a":null,"c":"3"}"#).unwrap(), Some(map(&[("b", "2"), ("c", "3")])));
    assert_eq!(labels("null").unwrap(), Some(map(&[])));
    assert_eq!(labels("{}").unwrap(), None);
    assert_eq!(labels(r#"{"a":"1","z":null}"#).unwrap(), None);
    assert_eq!(labels(r#"{"a":"not a label"}"#).unwrap_err().field, "metadata.labels");
    assert_eq!(patched("{}").ok().unwrap().labels(&current).unwrap(), None);
}

proptest! {
    /// Whatever is sent in the place of a value, no refusal of any type repeats it.
    #[test]
    fn no_refusal_of_any_type_repeats_a_value(
        kind in 0..SecretType::ALL.len(),
        field in any::<prop::sample::Index>(),
        marker in "[A-Z]{4}MARK[a-zA-Z0-9 ,:@/\\\\{}\"\n-]{0,24}KRAM",
        place in 0usize..4,
    ) {
        let kind = SecretType::ALL[kind];
        let mut names = kind.fields().to_vec();
        names.push("key");
        let name = names[field.index(names.len())];
        let mut values = json!({ "username": "u", "accessKeyId": "i", "secretAccessKey": "s" });
        values.as_object_mut().unwrap().retain(|known, _| kind.fields().contains(&known.as_str()));
        values[name] = json!(marker);
        let body = match (kind, place) {
            (SecretType::Registry, _) => json!({ "registries": [{ "server": marker, "username": marker, "password": "" }] }),
            (SecretType::Document, 0) => json!({ "document": { "a/b": marker, "a-b-c14cddc0": marker } }),
            (SecretType::Document, 1) => json!({ "document": [marker] }),
            (SecretType::Document, _) => json!({ "document": {}, "stringData": { "k": marker } }),
            (_, 0) => json!({ "stringData": values }),
            (_, 1) => json!({ "data": { name: marker } }),
            (_, 2) => json!({ "stringData": { name: { "x": marker } } }),
            (_, _) => json!({ "stringData": { name: marker }, "document": { "x": marker } }),
        };
        let mut write = body.clone();
        write["spec"] = json!({ "type": kind.as_str() });
        let refused = match parse::<SecretWrite>(write.to_string().as_bytes()) {
            Ok(write) => write.payload(None).err().map(|wrong| wrong.to_string()),
            Err(problem) => Some(problem.detail),
        };
        prop_assert!(!refused.unwrap_or_default().contains(marker.split_at(8).0));
        let current = json!({ "stringData": { "a": "1" } });
        let current = super::tests::write(&current.to_string()).payload(None).unwrap();
        let refused = match patched(&body.to_string()) {
            Ok(patch) => patch.payload(&current).err().map(|wrong| wrong.to_string()),
            Err(problem) => Some(problem.detail),
        };
        prop_assert!(!refused.unwrap_or_default().contains(marker.split_at(8).0));
    }
}
