//! Each secret type through the real binary: made, read back, refused by field, and in Kubernetes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::client::{Actor, JSON, decoded, secret};
use crate::cluster_e2e::Attached;
use crate::harness::{fresh, wait_until};

macro_rules! key {
    ($name:literal) => {
        include_str!(concat!("../../crates/domain/tests/keys/", $name))
    };
}

const PRIVATE: &str = key!("rsa.pkcs8");
const PUBLIC: &str = key!("rsa.pub");
const OTHER_PUBLIC: &str = key!("rsa.other.pub");

/// A type, what is sent in `stringData`, and what becomes of it in Kubernetes.
struct WithFields {
    name: &'static str,
    kind: &'static str,
    fields: Vec<(&'static str, &'static str)>,
    projected: Vec<(&'static str, &'static str)>,
}

fn types_with_fields() -> Vec<WithFields> {
    let least = [("accessKeyId", "AKIA"), ("secretAccessKey", "s/+=")];
    let rest = [
        ("sessionToken", "FwoG"),
        ("endpoint", "http://minio:9000"),
        ("region", "eu-central-1"),
        ("bucket", "models"),
    ];
    vec![
        WithFields {
            name: "variable",
            kind: "variable",
            fields: vec![("value", "h\u{e9}llo")],
            projected: vec![("variable", "h\u{e9}llo")],
        },
        WithFields {
            name: "ssh-password",
            kind: "ssh",
            fields: vec![("username", "root"), ("password", "pa ss")],
            projected: vec![("username", "root"), ("password", "pa ss")],
        },
        WithFields {
            name: "ssh-keys",
            kind: "ssh",
            fields: vec![("username", "git"), ("privateKey", PRIVATE), ("publicKey", PUBLIC)],
            projected: vec![("username", "git"), ("authorize", PRIVATE), ("authorize.pub", PUBLIC)],
        },
        WithFields {
            name: "s3-least",
            kind: "s3",
            fields: least.to_vec(),
            projected: vec![("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "s/+=")],
        },
        WithFields {
            name: "s3-most",
            kind: "s3",
            fields: [&least[..], &rest[..]].concat(),
            projected: vec![
                ("AWS_ACCESS_KEY_ID", "AKIA"),
                ("AWS_SECRET_ACCESS_KEY", "s/+="),
                ("AWS_SESSION_TOKEN", "FwoG"),
                ("AWS_ENDPOINT_URL", "http://minio:9000"),
                ("AWS_REGION", "eu-central-1"),
                ("AWS_DEFAULT_REGION", "eu-central-1"),
                ("AWS_S3_BUCKET", "models"),
            ],
        },
    ]
}

impl WithFields {
    fn body(&self) -> Value {
        let fields: BTreeMap<_, _> = self.fields.iter().copied().collect();
        json!({ "spec": { "type": self.kind }, "stringData": fields })
    }
}

const DOCUMENT: &str =
    r#"{"url":"https://h/?a=\"b\"","n":1.000,"deep":{"l":[1e400,null]},"a/b":true}"#;

fn put_document(admin: &Actor, path: &str, document: &str) {
    let body = format!(r#"{{"spec":{{"type":"document"}},"document":{document}}}"#);
    admin.send("PUT", path, JSON, body.as_bytes()).expect(201);
}

#[test]
fn each_type_is_made_and_read_back() {
    let fresh = fresh();
    let admin = &fresh.admin;
    for case in types_with_fields() {
        let path = secret("ml", case.name);
        let made = admin.put(&path, &case.body()).expect(201).json();
        assert_eq!(made["spec"]["type"], case.kind);
        let read = admin.get(&format!("{path}/data")).expect(200).json();
        assert_eq!((&read["type"], &read["version"]), (&json!(case.kind), &json!(1)));
        let read: BTreeMap<_, _> = read["data"].as_object().unwrap().iter().collect();
        assert_eq!(read.len(), case.fields.len(), "{}", case.name);
        for (name, value) in &case.fields {
            assert_eq!(decoded(read[&(*name).to_owned()]), *value, "{} {name}", case.name);
        }
    }
    let path = secret("ml", "document");
    put_document(admin, &path, DOCUMENT);
    let read = admin.get(&format!("{path}/data")).expect(200).text();
    let expected = format!(r#"{{"version":1,"type":"document","document":{DOCUMENT}}}"#);
    assert_eq!(read.trim_end(), expected);
}

#[test]
fn each_type_survives_a_restart() {
    let mut fresh = fresh();
    let paths: Vec<_> = types_with_fields().iter().map(|case| secret("ml", case.name)).collect();
    for (case, path) in types_with_fields().iter().zip(&paths) {
        fresh.admin.put(path, &case.body()).expect(201);
    }
    let document = secret("ml", "document");
    put_document(&fresh.admin, &document, DOCUMENT);
    let all = |admin: &Actor| -> Vec<String> {
        let data = |path: &String| admin.get(&format!("{path}/data")).expect(200).text();
        paths.iter().chain([&document]).map(data).collect()
    };
    let before = all(&fresh.admin);
    fresh.daemon.stop();
    fresh.daemon = crate::harness::Daemon::start(&mut fresh.home.serve());
    let token = fresh.admin.authorization();
    let again = fresh.daemon.actor(token.strip_prefix("Bearer ").unwrap());
    assert_eq!(all(&again), before);
}

/// No answer repeats this, which stands where a value is wrong.
const MARKER: &str = "hf_M4rk3rThatMustNotComeBack";

#[test]
fn each_wrong_field_is_refused_by_name_and_repeats_nothing() {
    let fresh = fresh();
    let pair = |private: &str, public: &str| json!({ "username": "git", "privateKey": private, "publicKey": public });
    let s3 = |name: &str| {
        let mut fields = json!({ "accessKeyId": "i", "secretAccessKey": "s" });
        fields[name] = json!(format!("{MARKER} \n/"));
        fields
    };
    for (kind, fields, field) in [
        ("variable", json!({}), "stringData.value"),
        ("variable", json!({ "value": "v", "other": MARKER }), "stringData"),
        ("ssh", json!({ "password": MARKER }), "stringData.username"),
        ("ssh", json!({ "username": "git" }), "stringData.password"),
        ("ssh", json!({ "username": "git", "publicKey": PUBLIC }), "stringData.privateKey"),
        ("ssh", pair(MARKER, PUBLIC), "stringData.privateKey"),
        ("ssh", pair(key!("encrypted.openssh"), PUBLIC), "stringData.privateKey"),
        ("ssh", pair(PRIVATE, MARKER), "stringData.publicKey"),
        ("ssh", pair(PRIVATE, OTHER_PUBLIC), "stringData.publicKey"),
        ("s3", json!({ "accessKeyId": MARKER }), "stringData.secretAccessKey"),
        ("s3", s3("accessKeyId"), "stringData.accessKeyId"),
        ("s3", s3("secretAccessKey"), "stringData.secretAccessKey"),
        ("s3", s3("sessionToken"), "stringData.sessionToken"),
        ("s3", s3("endpoint"), "stringData.endpoint"),
        ("s3", s3("region"), "stringData.region"),
        ("s3", s3("bucket"), "stringData.bucket"),
        ("document", json!({ "k": MARKER }), "stringData"),
        ("registry", json!({ "k": MARKER }), "stringData"),
    ] {
        let body = json!({ "spec": { "type": kind }, "stringData": fields });
        refused(&fresh.admin, &body.to_string(), field);
    }
    for document in [
        format!(r#"{{"a":{{"b":"{MARKER}","b":"{MARKER}"}}}}"#),
        format!(r#"["{MARKER}"]"#),
        format!(r#"{{"a/b":"{MARKER}","a-b-c14cddc0":"{MARKER}"}}"#),
        format!(r#"{{"{MARKER}":{}{}}}"#, "[".repeat(64), "]".repeat(64)),
        format!(r#"{{"{MARKER}":"{}"}}"#, "x".repeat(1 << 20)),
        format!(r#"{{"{MARKER}":"\ud800"}}"#),
    ] {
        let body = format!(r#"{{"spec":{{"type":"document"}},"document":{document}}}"#);
        refused(&fresh.admin, &body, "document");
    }
}

#[track_caller]
fn refused(admin: &Actor, body: &str, field: &str) {
    let path = secret("ml", "refused");
    let answer = admin.send("PUT", &path, JSON, body.as_bytes());
    let problem = answer.problem(422, "invalid-field");
    assert_eq!(problem["field"], field, "{problem}");
    assert!(!answer.text().contains(MARKER), "{problem}");
    for line in PRIVATE.lines().chain(PUBLIC.split(' ')).filter(|line| line.len() > 20) {
        assert!(!answer.text().contains(line), "{problem}");
    }
    admin.get(&path).problem(404, "not-found");
}

#[test]
fn each_type_becomes_its_exact_kubernetes_secret() {
    let Some(world) = Attached::start("types") else { return };
    for case in types_with_fields() {
        let name = case.name;
        world.admin().put(&secret("ml", name), &case.body()).expect(201);
        let expected = case.projected.iter();
        let expected: BTreeMap<_, _> =
            expected.map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
        wait_until(&format!("{name} is there"), || world.data(name).as_ref() == Some(&expected));
        assert_eq!(world.kubernetes(name).unwrap()["type"], "Opaque");
    }
    put_document(world.admin(), &secret("ml", "document"), DOCUMENT);
    let expected = [
        ("url", r#"https://h/?a="b""#),
        ("n", "1.000"),
        ("deep", r#"{"l":[1e400,null]}"#),
        ("a-b-c14cddc0", "true"),
    ];
    let expected: BTreeMap<_, _> = expected
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()))
        .collect();
    wait_until("the document is there", || world.data("document").as_ref() == Some(&expected));
    assert_eq!(world.kubernetes("document").unwrap()["type"], "Opaque");
}
