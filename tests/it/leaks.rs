//! Values and tokens stay where they belong: nothing of them in logs, in errors, or in the bytes
//! of the data directory.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::json;

use crate::client::{
    Actor, Answer, Connection, JSON, MERGE_PATCH, PROJECTS, TOKENS, WHOAMI, Watch,
};
use crate::client::{opaque, project, request, right, secret, secrets};
use crate::harness::{Daemon, Fresh, fresh_with};

/// Text that is found again in any spelling that a careless line of code could give it.
pub(crate) struct Marked {
    what: &'static str,
    spellings: Vec<Vec<u8>>,
}

impl Marked {
    pub(crate) fn new(what: &'static str, text: &str) -> Self {
        let bytes = text.as_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let numbers: Vec<_> = bytes.iter().map(u8::to_string).collect();
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut spellings = vec![
            bytes.to_vec(),
            hex.clone().into_bytes(),
            hex.to_uppercase().into_bytes(),
            numbers.join(", ").into_bytes(),
            utf16,
        ];
        // Inside other text, base64 falls on one of three alignments; the ends depend on the
        // neighbours, the middle does not.
        for shift in 0..3 {
            let shifted = [&b"..."[..shift], bytes].concat();
            for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                let encoded = engine.encode(&shifted);
                spellings.push(encoded.as_bytes()[4..encoded.len() - 4].to_vec());
            }
        }
        Self { what, spellings }
    }

    /// All spellings.
    pub(crate) fn spellings(&self) -> &[Vec<u8>] {
        &self.spellings
    }

    #[track_caller]
    pub(crate) fn is_not_in(&self, place: &str, bytes: &[u8]) {
        for spelling in &self.spellings {
            let found = bytes.windows(spelling.len()).position(|window| window == spelling);
            let spelled = String::from_utf8_lossy(spelling);
            assert_eq!(found, None, "{} is in {place}, spelled {spelled}", self.what);
        }
    }
}

/// A value that no other run has, so that a find is a leak of this one.
pub(crate) fn marker(what: &str) -> String {
    let random = tempfile::Builder::new().prefix("").rand_bytes(24).tempfile().unwrap();
    format!("hf_{what}_{}", random.path().file_name().unwrap().to_str().unwrap())
}

/// What the test does with the daemon; the answers that must not repeat anything.
fn drive(fresh: &Fresh, marks: &Marks) -> Vec<Answer> {
    let Fresh { admin, daemon, .. } = fresh;
    let anonymous = daemon.anonymous();
    let (hf, pull) = (secret("ml", "hf"), secret("ml", "pull"));
    let value = &marks.value;
    admin.put(&hf, &json!({ "stringData": { "HF_TOKEN": value } })).expect(201);
    admin.put(&hf, &json!({ "data": { "b64": STANDARD.encode(value) } })).expect(200);
    let login =
        json!({ "server": "r.example", "username": marks.username, "password": marks.password });
    let registry = json!({ "spec": { "type": "registry" }, "registries": [login] });
    admin.put(&pull, &registry).expect(201);
    assert!(admin.get(&format!("{pull}/data")).text().contains(&marks.password));
    assert!(admin.get(&format!("{hf}/data")).text().contains(&STANDARD.encode(value)));
    admin.put(&secret("ml", "gone"), &opaque(value)).expect(201);
    admin.delete(&secret("ml", "gone")).expect(204);

    history_and_bindings(admin, value);
    let mut answers = refusals(admin, value);
    let token = format!("Bearer {}", marks.revoked);
    answers.push(anonymous.send("GET", WHOAMI, &[("Authorization", &token)], b""));
    answers.push(anonymous.send(
        "GET",
        WHOAMI,
        &[("Authorization", &format!("Bearer {value}"))],
        b"",
    ));
    answers.push(anonymous.put(&hf, &opaque(value)));
    let mut raw = Connection::open(daemon.address).unwrap();
    raw.send(format!("{value} / HTTP/9.9\r\n{value}\r\n\r\n").as_bytes()).unwrap();
    answers.extend(raw.receive());
    let mut cut = Connection::open(daemon.address).unwrap();
    let headers = [JSON[0], ("Authorization", &admin.authorization())];
    let whole = request("PUT", &hf, &headers, opaque(value).to_string().as_bytes());
    cut.send(&whole[..whole.len() - 3]).unwrap();
    drop(cut);
    answers
}

/// The acts beside writing and reading.
fn history_and_bindings(admin: &Actor, value: &str) {
    let path = secret("ml", "acts");
    admin.make_project("elsewhere");
    for _ in 0..3 {
        admin.put(&path, &opaque(value));
    }
    let patch = opaque(value).to_string();
    admin.send("PATCH", &path, MERGE_PATCH, patch.as_bytes()).expect(200);
    let act = |action: &str, body| {
        admin.post(&format!("{path}/actions/{action}"), &body).expect(200);
    };
    act("rollback", json!({ "version": 1 }));
    act("delete", json!({ "versions": [2] }));
    act("undelete", json!({ "versions": [2] }));
    act("destroy", json!({ "versions": [2] }));
    admin.post(&format!("{path}/bindings"), &json!({ "project": "elsewhere" })).expect(200);
    admin.delete(&path).expect(204);
    act("undelete", json!({}));
    admin.delete(&path).expect(204);
    admin.post(&format!("{path}/actions/purge"), &json!({})).expect(204);
}

/// What is shown to who may not read: counts, changes, and the description of the API.
fn shown(fresh: &Fresh, watches: [Watch; 2]) -> Vec<(&'static str, String)> {
    fresh.admin.put(&secret("ml", "end"), &opaque("v")).expect(201);
    let mut lines = String::new();
    let again = fresh.admin.watch(&format!("{}?watch=true", secrets("ml")));
    for mut watch in watches.into_iter().chain([again]) {
        loop {
            let line = watch.next_text().unwrap();
            lines.push_str(&line);
            if line.contains("\"name\":\"end\"") {
                break;
            }
        }
    }
    assert!(lines.contains("\"acts\"") && lines.contains("DELETED"), "the acts were watched");
    let anonymous = fresh.daemon.anonymous();
    let get = |path| anonymous.get(path).expect(200).text();
    let document = get("/tresor/v1/openapi.json");
    vec![("a watch", lines), ("the metrics", get("/metrics")), ("the document", document)]
}

/// Values in every place where they do not belong.
fn refusals(admin: &Actor, value: &str) -> Vec<Answer> {
    let hf = secret("ml", "hf");
    let mut answers = Vec::new();
    for body in [
        format!("{{\"stringData\":{{\"k\":\"{value}\"}}"),
        format!("{{\"stringData\":\"{value}\"}}"),
        format!("{{\"stringData\":{{\"k\":[\"{value}\"]}}}}"),
        format!("{{\"data\":{{\"k\":\"{value}\"}}}}"),
        format!("{{\"spec\":{{\"type\":\"{value}\"}}}}"),
        format!("{{\"metadata\":\"{value}\"}}"),
        format!("{{\"metadata\":{{\"resourceVersion\":\"{value}\"}}}}"),
        format!(
            "{{\"metadata\":{{\"labels\":{{\"a\":\"{value} \"}}}},\"stringData\":{{\"k\":\"v\"}}}}"
        ),
        format!("{{\"metadata\":{{\"name\":\"{value}/..\"}},\"stringData\":{{\"k\":\"v\"}}}}"),
        format!(
            "{{\"spec\":{{\"type\":\"registry\"}},\"registries\":[{{\"server\":\"r\",\"username\":\"a:{value}\",\"password\":\"{value}\"}}]}}"
        ),
        format!(
            "{{\"spec\":{{\"type\":\"registry\"}},\"registries\":[{{\"server\":\"{value} \",\"username\":\"a\",\"password\":\"p\"}}]}}"
        ),
        value.to_owned(),
        format!("value={value}"),
    ] {
        answers.push(admin.send("PUT", &hf, JSON, body.as_bytes()));
    }
    answers.push(admin.send("PUT", &hf, &[("Content-Type", value)], b"{}"));
    answers.push(admin.send("DELETE", &hf, &[("If-Match", value)], b""));
    answers.push(admin.get(&format!("{}?{value}={value}", secrets("ml"))));
    answers.push(admin.get(&format!("{}?continue={value}%2F..", secrets("ml"))));
    answers.push(admin.get(&format!("{hf}/data?version={value}")));
    answers.push(admin.get(&format!("{}?value={value}", secret("ml", "missing"))));
    answers.push(admin.get(&secret("ml", value)));
    answers.push(admin.get(&format!("{}%2F..", secret("ml", value))));
    answers.push(admin.get(&project(value)));
    answers.push(admin.get(&format!("/tresor/v1/{value}")));
    answers.push(admin.delete(&format!("{TOKENS}/{value}")));
    answers.push(admin.post(TOKENS, &json!({ "rights": [right(value, &["ml"])] })));
    let rule = json!({ "mode": value, "namespace": value });
    let body = json!({ "metadata": { "name": "p" }, "spec": { "projectionRules": [rule] } });
    answers.push(admin.post(PROJECTS, &body));
    let large = format!("{value}{}", "x".repeat(1 << 20));
    answers.push(admin.put(&hf, &opaque(&large)));
    let larger = format!("{{\"stringData\":{{\"k\":\"{value}{}\"}}}}", "x".repeat(2 << 20));
    answers.push(admin.send("PUT", &hf, JSON, larger.as_bytes()));
    for answer in &answers {
        assert!((400..500).contains(&answer.status), "{answer:?}");
    }
    answers
}

struct Marks {
    value: String,
    username: String,
    password: String,
    /// A token that was valid once.
    revoked: String,
}

#[test]
fn no_marked_value_appears_anywhere() {
    no_marked_value_appears("text");
}

#[test]
fn no_marked_value_appears_anywhere_with_json_logs() {
    no_marked_value_appears("json");
}

fn no_marked_value_appears(log_format: &str) {
    let fresh = fresh_with(|serve| {
        serve.env("TRESOR_LOG", "trace").env("TRESOR_LOG_FORMAT", log_format);
    });
    let text = |actor: &Actor| actor.authorization().replace("Bearer ", "");
    let wanted = json!({ "rights": [right("writer", &["ml"])], "description": "short-lived" });
    let (short, id) = fresh.admin.mint(&wanted);
    short.get(&secrets("ml")).expect(200);
    fresh.admin.delete(&format!("{TOKENS}/{id}")).expect(204);
    let marks = Marks {
        value: marker("value"),
        username: marker("user"),
        password: marker("password"),
        revoked: text(&short),
    };
    let watch = |path: &str| fresh.admin.watch(&format!("{path}?watch=true"));
    let watches = [watch(&secrets("ml")), watch("/tresor/v1/secrets")];
    let answers = drive(&fresh, &marks);
    let shown = shown(&fresh, watches);
    let root_key = std::fs::read_to_string(&fresh.home.key).unwrap();
    let key_bytes = STANDARD.decode(root_key.trim()).unwrap();

    let Fresh { home, daemon, admin } = fresh;
    let killed = home.copy();
    let ended = daemon.stop();
    let logs = format!("{}{}", ended.stdout, ended.stderr);
    assert!(logs.lines().count() > 30, "there are logs to look into: {logs}");
    assert!(logs.contains("request served"), "with a line for each request");
    // Opened again, so that what a start writes and says is looked at too.
    let again = Daemon::start(home.serve().env("TRESOR_LOG", "trace")).stop();

    for (what, marked) in [
        ("the value", &marks.value),
        ("the user name", &marks.username),
        ("the password", &marks.password),
        ("a revoked token", &marks.revoked),
        ("the administrator's token", &text(&admin)),
        ("the root key's text", &root_key.trim().to_owned()),
    ] {
        let marked = Marked::new(what, marked);
        marked.is_not_in("the logs", logs.as_bytes());
        for (place, text) in &shown {
            marked.is_not_in(place, text.as_bytes());
        }
        marked.is_not_in("the logs of the second start", format!("{again:?}").as_bytes());
        for (path, bytes) in home.files().into_iter().chain(killed.files()) {
            marked.is_not_in(&path.display().to_string(), &bytes);
        }
        for answer in &answers {
            marked.is_not_in("an answer", format!("{answer:?}").as_bytes());
            marked.is_not_in("an answer's body", &answer.body);
        }
    }
    for (path, bytes) in home.files() {
        let found = bytes.windows(key_bytes.len()).any(|window| window == key_bytes);
        assert!(!found, "the root key is in {}", path.display());
    }
}

#[test]
fn a_method_of_the_callers_own_making_is_not_logged() {
    let fresh = fresh_with(|_| {});
    let value = marker("method");
    fresh.admin.send(&value, WHOAMI, &[], b"").problem(405, "method-not-allowed");
    let ended = fresh.daemon.stop();
    Marked::new("the method", &value).is_not_in("the logs", ended.stderr.as_bytes());
}

#[test]
fn the_search_itself_finds_what_it_looks_for() {
    let marked = Marked::new("the value", "hf_value_0123456789");
    let spelled =
        |bytes: &[u8]| std::panic::catch_unwind(|| marked.is_not_in("the test", bytes)).is_err();
    assert!(!spelled(b"nothing here"));
    for prefix in ["", "a", "ab", "abc"] {
        let text = format!("{prefix}hf_value_0123456789 and more");
        assert!(spelled(text.as_bytes()));
        assert!(spelled(STANDARD.encode(&text).as_bytes()));
        assert!(spelled(format!("{:?}", text.as_bytes()).as_bytes()));
    }
}
