//! Bad input: each request is refused with the right status and field, repeats nothing of what was
//! sent, and changes nothing.

use serde_json::{Value, json};

use crate::client::{Actor, JSON, PROJECTS, TOKENS, opaque, project, secret, secrets};
use crate::harness::{Fresh, fresh};

/// Stands in every bad request, in the place of a value; no answer may hold it.
const MARKER: &str = "hf_M4rk3rThatMustNotComeBack";

/// One bad request and its refusal.
struct Case {
    what: &'static str,
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    status: u16,
    kind: &'static str,
    field: Option<String>,
}

impl Case {
    /// A request whose body is JSON and whose refusal is 422 at a field.
    fn new(
        what: &'static str,
        method: &'static str,
        path: &str,
        body: &Value,
        field: &str,
    ) -> Self {
        Self::raw(what, method, path, body.to_string().as_bytes(), 422, "invalid-field", field)
    }

    fn raw(
        what: &'static str,
        method: &'static str,
        path: &str,
        body: &[u8],
        status: u16,
        kind: &'static str,
        field: &str,
    ) -> Self {
        let (path, body) = (path.to_owned(), body.to_vec());
        let headers = vec![(JSON[0].0, JSON[0].1.to_owned())];
        let field = Some(field.to_owned()).filter(|field| !field.is_empty());
        Self { what, method, path, headers, body, status, kind, field }
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn only_headers(mut self, headers: &[(&'static str, &str)]) -> Self {
        self.headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self
    }
}

/// A POST that makes a secret named `new`.
fn post(what: &'static str, body: &Value, field: &str) -> Case {
    let mut body = body.clone();
    let metadata = body["metadata"].take();
    body["metadata"] = if metadata.is_null() { json!({ "name": "new" }) } else { metadata };
    Case::new(what, "POST", &secrets("ml"), &body, field)
}

/// A body that is no JSON or no object, sent to where a secret is made.
fn malformed(what: &'static str, body: &[u8]) -> Case {
    Case::raw(what, "POST", &secrets("ml"), body, 400, "malformed-body", "body")
}

fn get(what: &'static str, path: &str, field: &str) -> Case {
    Case::raw(what, "GET", path, b"", 422, "invalid-field", field).only_headers(&[])
}

/// Sends each bad request and compares everything there is before and after it.
fn check(fresh: &Fresh, cases: Vec<Case>) {
    let admin = &fresh.admin;
    let before = everything(admin);
    let mut failures = Vec::new();
    for case in cases {
        let headers: Vec<_> =
            case.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = admin.send(case.method, &case.path, &headers, &case.body);
        let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let right = answer.status == case.status
            && answer.header("content-type") == Some("application/problem+json")
            && problem["type"] == format!("urn:tresor:problem:{}", case.kind)
            && problem["detail"].as_str().is_some_and(|detail| detail.len() > 20)
            && problem["field"].as_str() == case.field.as_deref();
        let mut wrong = |what: &str| {
            failures.push(format!(
                "{}: {what}\n    {} {}",
                case.what,
                answer.status,
                answer.text()
            ));
        };
        if !right {
            wrong(&format!("expected {} {} at {:?}", case.status, case.kind, case.field));
        }
        if format!("{answer:?}").contains(MARKER) || answer.text().contains(MARKER) {
            wrong("repeats what was sent");
        }
        if everything(admin) != before {
            wrong("changed something");
            break;
        }
    }
    assert!(failures.is_empty(), "{} refusals are wrong:\n{}", failures.len(), failures.join("\n"));
}

/// What can be seen of the store. A list carries the store's own resource version, so a write that
/// leaves no other trace is seen too.
fn everything(admin: &Actor) -> Vec<String> {
    let data = format!("{}/data", secret("ml", "kept"));
    [PROJECTS, TOKENS, &secrets("ml"), &data]
        .into_iter()
        .map(|path| {
            let mut shown = admin.get(path).expect(200).json();
            forget_uses(&mut shown);
            shown.to_string()
        })
        .collect()
}

/// Looking is a use, and is shown.
fn forget_uses(shown: &mut Value) {
    match shown {
        Value::Object(members) => {
            members.retain(|key, _| key != "lastUsedTimestamp" && key != "lastReadTimestamp");
            members.values_mut().for_each(forget_uses);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_uses),
        _ => {}
    }
}

/// A daemon with one secret, which has two versions; the resource versions of both.
fn with_a_secret() -> (Fresh, String, String) {
    let fresh = fresh();
    let path = secret("ml", "kept");
    let old = fresh.admin.put(&path, &opaque("one")).expect(201).resource_version();
    let new = fresh.admin.put(&path, &opaque("two")).expect(200).resource_version();
    (fresh, old, new)
}

#[test]
fn a_payload_that_breaks_a_rule_is_refused_at_its_field() {
    let (fresh, _, _) = with_a_secret();
    let mebibyte = format!("{MARKER}{}", "x".repeat(1 << 20));
    let long_key = "k".repeat(254);
    let login = |server: &str, username: &str, password: &str| json!({ "server": server, "username": username, "password": password });
    let registry = |logins: Value| json!({ "spec": { "type": "registry" }, "registries": logins });
    let many: Vec<_> = (0..65).map(|n| login(&format!("r{n}"), "u", MARKER)).collect();
    let data = |text: &str| json!({ "data": { "k": text } });
    check(
        &fresh,
        vec![
            post(
                "unknown type",
                &json!({ "spec": { "type": MARKER }, "stringData": { "k": "v" } }),
                "spec.type",
            ),
            post(
                "type in capitals",
                &json!({ "spec": { "type": "Opaque" }, "stringData": { "k": MARKER } }),
                "spec.type",
            ),
            post("not base64", &data(&format!("{MARKER}!")), r#"data["k"]"#),
            post("base64 without padding", &data("YQ"), r#"data["k"]"#),
            post("base64 of the URL kind", &data("-_-_"), r#"data["k"]"#),
            post("base64 with a line break", &data("YWJj\nYWJj"), r#"data["k"]"#),
            post("no payload", &json!({}), "data"),
            post("empty payload", &json!({ "stringData": {} }), "data"),
            post("over 1 MiB", &json!({ "stringData": { "k": mebibyte } }), "data"),
            post(
                "over 1 MiB in pieces",
                &json!({ "stringData": { "a": "x".repeat(1 << 19), "b": "x".repeat(1 << 19) } }),
                "data",
            ),
            post(
                "over 1 MiB of password",
                &registry(json!([login("r", "u", &mebibyte)])),
                "registries",
            ),
            post(
                "data key with a space",
                &json!({ "stringData": { "a b": MARKER } }),
                "stringData",
            ),
            post("data key with a slash", &json!({ "data": { "a/b": "YQ==" } }), "data"),
            post("data key ..", &json!({ "stringData": { "..": MARKER } }), "stringData"),
            post(
                "data key too long",
                &json!({ "stringData": { long_key.as_str(): MARKER } }),
                "stringData",
            ),
            post("no login", &registry(json!([])), "registries"),
            post("logins left out", &json!({ "spec": { "type": "registry" } }), "registries"),
            post("too many logins", &registry(json!(many)), "registries"),
            post(
                "a server twice",
                &registry(json!([login("r", "u", MARKER), login("r", "v", MARKER)])),
                "registries",
            ),
            post("no server", &registry(json!([login("", "u", MARKER)])), "registries[0].server"),
            post(
                "server with a space",
                &registry(json!([login("r", "u", "p"), login("a b", "u", MARKER)])),
                "registries[1].server",
            ),
            post(
                "user name with a colon",
                &registry(json!([login("r", &format!("a:{MARKER}"), "p")])),
                "registries[0].username",
            ),
            post(
                "empty password",
                &registry(json!([login("r", MARKER, "")])),
                "registries[0].password",
            ),
            post(
                "password left out",
                &registry(json!([{ "server": "r", "username": MARKER }])),
                "registries[0]",
            ),
            post(
                "data for a registry",
                &json!({ "spec": { "type": "registry" }, "data": { "k": MARKER } }),
                "data",
            ),
            post(
                "stringData for a registry",
                &json!({ "spec": { "type": "registry" }, "stringData": { "k": MARKER } }),
                "stringData",
            ),
            post(
                "logins for opaque",
                &json!({ "registries": [login("r", "u", MARKER)] }),
                "registries",
            ),
            Case::new(
                "another type",
                "PUT",
                &secret("ml", "kept"),
                &registry(json!([login("r", "u", MARKER)])),
                "spec.type",
            ),
        ],
    );
}

#[test]
fn a_name_or_label_that_breaks_a_rule_is_refused_at_its_field() {
    let (fresh, _, _) = with_a_secret();
    let too_long = "n".repeat(513);
    let mut cases = Vec::new();
    for name in [
        "",
        ".",
        "..",
        "a/..",
        "../a",
        "a/./b",
        "a//b",
        "/a",
        "a/",
        "a\0b",
        "a\nb",
        "a\u{7f}",
        "a\u{85}",
        too_long.as_str(),
    ] {
        let body = json!({ "metadata": { "name": name }, "stringData": { "k": MARKER } });
        cases.push(post("a secret's name", &body, "metadata.name"));
        let body = json!({ "metadata": { "name": name } });
        cases.push(Case::new("a project's name", "POST", PROJECTS, &body, "metadata.name"));
    }
    let body = json!({ "metadata": { "name": "a/b" } });
    cases.push(Case::new("a project of two segments", "POST", PROJECTS, &body, "metadata.name"));
    cases.push(Case::new(
        "a project without a name",
        "POST",
        PROJECTS,
        &json!({}),
        "metadata.name",
    ));
    let nameless = json!({ "metadata": {}, "stringData": { "k": MARKER } });
    cases.push(post("a secret without a name", &nameless, "metadata.name"));
    let other = json!({ "metadata": { "name": "other" }, "stringData": { "k": MARKER } });
    cases.push(Case::new(
        "another name than the path's",
        "PUT",
        &secret("ml", "kept"),
        &other,
        "metadata.name",
    ));
    cases.push(Case::new(
        "a new secret by another name",
        "PUT",
        &secret("ml", "new"),
        &other,
        "metadata.name",
    ));
    let other = json!({ "metadata": { "name": "other" } });
    cases.push(Case::new(
        "another project than the path's",
        "PUT",
        &project("ml"),
        &other,
        "metadata.name",
    ));
    let too_many: serde_json::Map<_, _> = (0..65).map(|n| (format!("l{n}"), json!(""))).collect();
    for labels in [
        json!({ "a b": "x" }),
        json!({ "": "x" }),
        json!({ "a/b/c": "x" }),
        json!({ "a": format!("{MARKER} {MARKER}") }),
        json!({ "a": "x".repeat(64) }),
        json!(too_many),
    ] {
        let body =
            json!({ "metadata": { "name": "new", "labels": labels }, "stringData": { "k": "v" } });
        cases.push(post("labels", &body, "metadata.labels"));
    }
    check(&fresh, cases);
}

#[test]
fn a_body_of_another_shape_is_refused_at_its_field() {
    let (fresh, _, _) = with_a_secret();
    let deep = format!("{{\"stringData\":{}\"{MARKER}\"", "[".repeat(100_000));
    let deep_object = format!("{}\"{MARKER}\"", "{\"spec\":".repeat(100_000));
    let marked = |text: &str| text.replace("MARKER", MARKER).into_bytes();
    let raw = |what, body: &str, field| {
        Case::raw(what, "POST", &secrets("ml"), &marked(body), 422, "invalid-field", field)
    };
    let to = |what, path: &str, body: &str, field| {
        Case::raw(what, "POST", path, &marked(body), 422, "invalid-field", field)
    };
    check(
        &fresh,
        vec![
            raw("unknown field", r#"{"value":"MARKER"}"#, "value"),
            raw("unknown field in metadata", r#"{"metadata":{"nam":"MARKER"}}"#, "metadata.nam"),
            raw("unknown field in spec", r#"{"spec":{"bindings":"MARKER"}}"#, "spec.bindings"),
            raw(
                "unknown field in a login",
                r#"{"registries":[{"server":"r","pass":"MARKER"}]}"#,
                "registries[0].pass",
            ),
            raw("status is not written", r#"{"status":{"currentVersion":9}}"#, "status"),
            raw("text for a map", r#"{"stringData":"MARKER"}"#, "stringData"),
            raw("list for a map", r#"{"data":["MARKER"]}"#, "data"),
            raw("number for a value", r#"{"stringData":{"k":5}}"#, "stringData.k"),
            raw("object for a value", r#"{"stringData":{"k":{"MARKER":1}}}"#, "stringData.k"),
            raw("null for a value", r#"{"stringData":{"k":null}}"#, "stringData.k"),
            raw("number for a name", r#"{"metadata":{"name":5}}"#, "metadata.name"),
            raw(
                "number for a version",
                r#"{"metadata":{"resourceVersion":5}}"#,
                "metadata.resourceVersion",
            ),
            raw("text for metadata", r#"{"metadata":"MARKER"}"#, "metadata"),
            raw("list for labels", r#"{"metadata":{"labels":["MARKER"]}}"#, "metadata.labels"),
            raw("object for logins", r#"{"registries":{"MARKER":1}}"#, "registries"),
            raw("text for the body", r#""MARKER""#, "body"),
            raw("null for the body", "null", "body"),
            raw("a key twice", r#"{"stringData":{"k":"MARKER","k":"MARKER"}}"#, "stringData"),
            raw("a label twice", r#"{"metadata":{"labels":{"a":"b","a":"c"}}}"#, "metadata.labels"),
            raw("spec twice", r#"{"spec":{"type":"opaque"},"spec":{"type":"registry"}}"#, "body"),
            raw("type twice", r#"{"spec":{"type":"opaque","type":"registry"}}"#, "spec"),
            raw("nested deeply", &deep, "stringData"),
            raw("nested deeply in objects", &deep_object, "spec.spec"),
            malformed("not JSON", MARKER.as_bytes()),
            malformed("empty", b""),
            malformed("cut off", &marked(r#"{"stringData":{"k":"MARKER"#)),
            malformed(
                "more behind it",
                &marked(r#"{"metadata":{"name":"new"},"stringData":{"k":"MARKER"}} {}"#),
            ),
            malformed("not UTF-8", b"{\"stringData\":{\"k\":\"\xff\xfe\"}}"),
            malformed("half a surrogate", br#"{"stringData":{"k":"\ud800"}}"#),
            malformed("a comment", &marked(r#"{"stringData":{"k":"MARKER"} /* MARKER */}"#)),
            malformed("a comma too many", &marked(r#"{"stringData":{"k":"MARKER",}}"#)),
            malformed("a control character", b"{\"stringData\":{\"k\":\"a\nb\"}}"),
            malformed("a byte order mark", b"\xef\xbb\xbf{}"),
            malformed("form data", &marked("name=new&value=MARKER")),
            to(
                "unknown field in a project",
                PROJECTS,
                r#"{"metadata":{"name":"p"},"rules":"MARKER"}"#,
                "rules",
            ),
            to(
                "text for rules",
                PROJECTS,
                r#"{"metadata":{"name":"p"},"spec":{"projectionRules":"MARKER"}}"#,
                "spec.projectionRules",
            ),
            to("unknown field in a token", TOKENS, r#"{"rights":[],"secret":"MARKER"}"#, "secret"),
            to("a token without rights", TOKENS, r#"{"description":"MARKER"}"#, "rights"),
        ],
    );
}

#[test]
fn a_list_does_not_pass_for_an_object() {
    let (fresh, _, _) = with_a_secret();
    let raw = |what, body: &str, field| {
        let body = body.replace("MARKER", MARKER);
        Case::raw(what, "POST", &secrets("ml"), body.as_bytes(), 422, "invalid-field", field)
    };
    check(
        &fresh,
        vec![
            raw("a list for the body", r#"[{"name":"new"},["opaque"],{"k":"MARKER"}]"#, "body"),
            raw(
                "a list for metadata",
                r#"{"metadata":["new"],"stringData":{"k":"MARKER"}}"#,
                "metadata",
            ),
            raw(
                "a list for spec",
                r#"{"metadata":{"name":"new"},"spec":["opaque"],"stringData":{"k":"v"}}"#,
                "spec",
            ),
            raw(
                "a list for a login",
                r#"{"metadata":{"name":"new"},"spec":{"type":"registry"},"registries":[["r","u","MARKER"]]}"#,
                "registries[0]",
            ),
        ],
    );
}

#[test]
fn a_request_that_is_too_large_or_no_json_at_all_is_refused() {
    let (fresh, _, _) = with_a_secret();
    let body = json!({ "metadata": { "name": "new" }, "stringData": { "k": MARKER } }).to_string();
    let too_large = format!("{body}{}", " ".repeat(2 << 20));
    let untyped = |what, headers: &[(&'static str, &str)]| {
        let kind = "unsupported-media-type";
        let body = body.as_bytes();
        Case::raw(what, "POST", &secrets("ml"), body, 415, kind, "Content-Type")
            .only_headers(headers)
    };
    check(
        &fresh,
        vec![
            Case::raw(
                "over 2 MiB",
                "POST",
                &secrets("ml"),
                too_large.as_bytes(),
                413,
                "payload-too-large",
                "body",
            ),
            Case::raw(
                "over 2 MiB to PUT",
                "PUT",
                &secret("ml", "kept"),
                too_large.as_bytes(),
                413,
                "payload-too-large",
                "body",
            ),
            untyped("no media type", &[]),
            untyped("a form", &[("Content-Type", "application/x-www-form-urlencoded")]),
            untyped("text", &[("Content-Type", "text/plain; charset=utf-8")]),
            untyped("almost JSON", &[("Content-Type", "application/jsonx")]),
        ],
    );
}

#[test]
fn a_stale_or_contradictory_version_is_refused() {
    let (fresh, old, new) = with_a_secret();
    let kept = secret("ml", "kept");
    let insisting = |version: &str| json!({ "metadata": { "resourceVersion": version }, "stringData": { "value": MARKER } });
    let at = "metadata.resourceVersion";
    let tag = |version: &str| format!("\"{version}\"");
    let stale = |what, body: &Value| {
        Case::raw(what, "PUT", &kept, body.to_string().as_bytes(), 409, "conflict", at)
    };
    let plain = opaque(MARKER);
    let mut cases = vec![
        stale("stale in the body", &insisting(&old)),
        stale("stale in the header", &plain).header("If-Match", &tag(&old)),
        stale("stale in both", &insisting(&old)).header("If-Match", &tag(&old)),
        stale("from the future", &insisting("999999")),
        Case::new("contradictory", "PUT", &kept, &insisting(&new), at)
            .header("If-Match", &tag(&old)),
        Case::new(
            "a version on what is new",
            "POST",
            &secrets("ml"),
            &json!({ "metadata": { "name": "new", "resourceVersion": "1" }, "stringData": { "k": MARKER } }),
            at,
        ),
        Case::new(
            "a version on a new project",
            "POST",
            PROJECTS,
            &json!({ "metadata": { "name": "new", "resourceVersion": "1" } }),
            at,
        ),
        Case::new("two headers", "PUT", &kept, &plain, "If-Match")
            .header("If-Match", &tag(&new))
            .header("If-Match", &tag(&new)),
        Case::new("a list of tags", "PUT", &kept, &plain, "If-Match")
            .header("If-Match", &format!("{}, {}", tag(&old), tag(&new))),
        Case::new("a weak tag", "PUT", &kept, &plain, "If-Match")
            .header("If-Match", &format!("W/{}", tag(&new))),
        Case::new("an empty tag", "PUT", &kept, &plain, "If-Match").header("If-Match", "\"\""),
        Case::new("someone else's tag", "DELETE", &kept, &Value::Null, "If-Match")
            .header("If-Match", MARKER),
        Case::raw("stale removal", "DELETE", &kept, b"", 409, "conflict", at)
            .header("If-Match", &tag(&old)),
    ];
    for text in ["", "01", "+1", "-1", "1.0", " 1", MARKER, "18446744073709551616"] {
        cases.push(Case::new("no version at all", "PUT", &kept, &insisting(text), at));
    }
    check(&fresh, cases);
}

#[test]
fn a_query_that_is_not_understood_is_refused() {
    let (fresh, _, _) = with_a_secret();
    let list = secrets("ml");
    let data = format!("{}/data", secret("ml", "kept"));
    let mut cases = vec![
        get("unknown parameter", &format!("{list}?{MARKER}=1"), "query"),
        get("a value in the query", &format!("{list}?value={MARKER}"), "query"),
        get("limit twice", &format!("{list}?limit=1&limit=2"), "query"),
        get("limit in capitals", &format!("{list}?Limit=1"), "query"),
        get("unknown parameter of data", &format!("{data}?limit=1"), "query"),
        get("unknown parameter of projects", &format!("{PROJECTS}?limit=1"), "query"),
        get("a path to continue from", &format!("{list}?continue=..%2F{MARKER}"), "continue"),
        get("nothing to continue from", &format!("{list}?continue="), "continue"),
        Case::raw(
            "no such version",
            "GET",
            &format!("{data}?version=99"),
            b"",
            404,
            "not-found",
            "version",
        ),
    ];
    for number in ["0", "-1", "1.5", "", "x", "0x10", "18446744073709551616", MARKER] {
        cases.push(get("limit", &format!("{list}?limit={number}"), "limit"));
        cases.push(get("version", &format!("{data}?version={number}"), "version"));
    }
    check(&fresh, cases);
}

#[test]
fn a_workload_that_cannot_be_rendered_is_refused_at_its_field() {
    let (fresh, _, _) = with_a_secret();
    let path = "/tresor/v1/render";
    let case = |what, body: Value, field: &str| Case::new(what, "POST", path, &body, field);
    let recipe = |name: &str, value: Value| {
        let mut recipe = json!({
            "recipe_mode": "job", "deployment_name": "d", "recipe_image_uri": "busybox",
        });
        recipe[name] = value;
        recipe
    };
    let env = json!([{ "key": "A", "value": "x" }, { "key": "A", "value": MARKER }]);
    let optional =
        json!([{ "envvar_name": "A", "secret_name": MARKER, "secret_key": "k", "optional": true }]);
    let twice = format!("{{\"image\":\"{MARKER}\",\"image\":\"{MARKER}\"}}");
    check(
        &fresh,
        vec![
            case("nothing known", json!({ "value": MARKER }), "body"),
            case("another mode", recipe("recipe_mode", json!(MARKER)), "recipe_mode"),
            case(
                "a variable twice",
                recipe("recipe_container_env", env),
                "recipe_container_env[1].key",
            ),
            case(
                "an optional secret",
                recipe("recipe_environment_secrets", optional),
                "recipe_environment_secrets[0].optional",
            ),
            case("a group", json!({ "deployment_group": MARKER }), "deployment_group"),
            case(
                "a value for a URI",
                json!({ "image": "i", "secret_env": { "A": MARKER } }),
                "secret_env.A",
            ),
            Case::raw(
                "a member twice",
                "POST",
                path,
                twice.as_bytes(),
                422,
                "invalid-field",
                "body",
            ),
            Case::new(
                "another parameter",
                "POST",
                &format!("{path}?namespace={MARKER}"),
                &json!({ "image": "i" }),
                "query",
            ),
            Case::new(
                "no project",
                "POST",
                &format!("{path}?project=a/b/{MARKER}"),
                &json!({ "image": "i" }),
                "project",
            ),
        ],
    );
}

#[test]
fn a_query_on_a_route_without_one_is_refused_before_anything_happens() {
    let (fresh, _, _) = with_a_secret();
    let kept = secret("ml", "kept");
    let body = opaque(MARKER);
    check(
        &fresh,
        vec![
            Case::new(
                "a write that should be a rehearsal",
                "PUT",
                &format!("{kept}?dryRun=All"),
                &body,
                "query",
            ),
            Case::new(
                "a removal that should be a rehearsal",
                "DELETE",
                &format!("{kept}?dryRun=All"),
                &Value::Null,
                "query",
            ),
            Case::new(
                "a removal of one version",
                "DELETE",
                &format!("{kept}?version=1"),
                &Value::Null,
                "query",
            ),
            get("metadata of one version", &format!("{kept}?version=1"), "query"),
        ],
    );
}

#[test]
fn a_rule_or_a_right_that_breaks_a_rule_is_refused_at_its_field() {
    let (fresh, _, _) = with_a_secret();
    let rule = |what, rule: Value, field: &str| {
        let rules = json!([{ "mode": "each", "namespace": "ok" }, rule]);
        let body = json!({ "spec": { "projectionRules": rules } });
        Case::new(what, "PUT", &project("ml"), &body, &format!("spec.projectionRules[1]{field}"))
    };
    let token = |what, body: Value, field: &str| Case::new(what, "POST", TOKENS, &body, field);
    let right = |role: &str, projects: &[&str]| json!([{ "role": role, "projects": projects }]);
    check(
        &fresh,
        vec![
            rule("unknown mode", json!({ "mode": MARKER, "namespace": "ok" }), ".mode"),
            rule(
                "Kubernetes' own namespace",
                json!({ "mode": "each", "namespace": "kube-system" }),
                ".namespace",
            ),
            rule(
                "no namespace's name",
                json!({ "mode": "each", "namespace": "A_B" }),
                ".namespace",
            ),
            rule(
                "a pattern without the name",
                json!({ "mode": "each", "namespace": "ok", "namePattern": "fixed" }),
                ".namePattern",
            ),
            rule(
                "a pattern that walks",
                json!({ "mode": "each", "namespace": "ok", "namePattern": "../{name}" }),
                ".namePattern",
            ),
            rule("no namespace", json!({ "mode": "each" }), ""),
            token("unknown role", json!({ "rights": right(MARKER, &["ml"]) }), "rights[0].role"),
            token(
                "a project's role for all",
                json!({ "rights": right("writer", &[]) }),
                "rights[0].projects",
            ),
            token(
                "a role for all in a project",
                json!({ "rights": right("admin", &["ml"]) }),
                "rights[0].projects",
            ),
            token(
                "a project that is none",
                json!({ "rights": right("writer", &["ml", "a/b/c"]) }),
                "rights[0].projects",
            ),
            token(
                "ends at once",
                json!({ "rights": right("writer", &["ml"]), "expiresInSeconds": 0 }),
                "expiresInSeconds",
            ),
            token(
                "ended before",
                json!({ "rights": right("writer", &["ml"]), "expiresInSeconds": -1 }),
                "expiresInSeconds",
            ),
            token(
                "description too long",
                json!({ "rights": right("writer", &["ml"]), "description": "x".repeat(513) }),
                "description",
            ),
            token(
                "description of two lines",
                json!({ "rights": right("writer", &["ml"]), "description": "a\nb" }),
                "description",
            ),
            Case::new(
                "no token's identity",
                "DELETE",
                &format!("{TOKENS}/{MARKER}"),
                &Value::Null,
                "id",
            ),
            Case::raw(
                "no such token",
                "DELETE",
                &format!("{TOKENS}/{}", "0".repeat(32)),
                b"",
                404,
                "not-found",
                "",
            ),
        ],
    );
}

#[test]
fn a_token_without_a_right_is_refused_at_its_rights() {
    let (fresh, _, _) = with_a_secret();
    check(&fresh, vec![Case::new("none", "POST", TOKENS, &json!({ "rights": [] }), "rights")]);
}

#[test]
fn a_credential_that_is_not_exactly_one_valid_token_is_none() {
    let (fresh, _, _) = with_a_secret();
    let anonymous = fresh.daemon.anonymous();
    let valid = fresh.admin.authorization();
    let token = valid.strip_prefix("Bearer ").unwrap();
    let mut typo = token.to_owned();
    typo.replace_range(20..21, if token.get(20..21) == Some("a") { "b" } else { "a" });
    let refused = |headers: &[(&str, &str)]| {
        let answer = anonymous.send("GET", &secrets("ml"), headers, b"");
        answer.problem(401, "unauthorized");
        assert!(!answer.text().contains(token) && !answer.text().contains(MARKER));
    };
    refused(&[("Authorization", &valid), ("Authorization", &valid)]);
    refused(&[("Authorization", &valid), ("Authorization", "Bearer x")]);
    for wrong in [
        String::new(),
        token.to_owned(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Basic {token}"),
        format!("Bearer {token}, Bearer {token}"),
        format!("Bearer {typo}"),
        format!("Bearer {}", token.to_uppercase()),
        format!("Bearer {}", token.get(..token.len() - 1).unwrap()),
        format!("Bearer {token}0"),
        format!("Bearer {MARKER}"),
        format!("Bearer {}", "x".repeat(10_000)),
    ] {
        refused(&[("Authorization", &wrong)]);
    }
    refused(&[("X-Authorization", &valid), ("Cookie", &format!("token={token}"))]);
    // The scheme's name has no case (RFC 9110 section 11.1).
    let lower = format!("bearer {token}");
    anonymous.send("GET", &secrets("ml"), &[("Authorization", &lower)], b"").expect(200);
}

/// A PATCH with a body of the right media type.
fn patch(what: &'static str, path: &str, body: &Value, field: &str) -> Case {
    let case = Case::new(what, "PATCH", path, body, field);
    case.only_headers(&[("Content-Type", "application/merge-patch+json")])
}

#[test]
fn a_field_that_no_body_has_is_refused_by_name_at_every_level() {
    let (fresh, _, _) = with_a_secret();
    let kept = secret("ml", "kept");
    let x = || json!({ "extra": MARKER });
    let put = |body, field: &str| Case::new("PUT of a secret", "PUT", &kept, &body, field);
    let change = |body, field: &str| patch("PATCH of a secret", &kept, &body, field);
    let rules =
        |body, field: &str| Case::new("PUT of a project", "PUT", &project("ml"), &body, field);
    let rules_change =
        |body, field: &str| patch("PATCH of a project", &project("ml"), &body, field);
    let act = |action: &str, body, field: &str| {
        Case::new("an action", "POST", &format!("{kept}/{action}"), &body, field)
    };
    let token = |body, field: &str| Case::new("a token", "POST", TOKENS, &body, field);
    let rule = json!({ "mode": "each", "namespace": "ok", "extra": MARKER });
    let login = json!({ "server": "r", "username": "u", "password": "p", "extra": MARKER });
    let binding = json!({ "project": "vision", "extra": MARKER });
    check(
        &fresh,
        vec![
            put(x(), "extra"),
            put(json!({ "metadata": x() }), "metadata.extra"),
            put(json!({ "spec": x() }), "spec.extra"),
            put(json!({ "status": { "currentVersion": 1 } }), "status"),
            put(json!({ "spec": { "bindings": [binding] } }), "spec.bindings[0].extra"),
            put(json!({ "registries": [login] }), "registries[0].extra"),
            change(x(), "extra"),
            change(json!({ "metadata": x() }), "metadata.extra"),
            change(json!({ "spec": x() }), "spec.extra"),
            change(json!({ "spec": { "bindings": [binding] } }), "spec.bindings[0].extra"),
            change(json!({ "registries": [login] }), "registries[0].extra"),
            rules(x(), "extra"),
            rules(json!({ "metadata": x() }), "metadata.extra"),
            rules(json!({ "spec": x() }), "spec.extra"),
            rules(
                json!({ "spec": { "projectionRules": [rule] } }),
                "spec.projectionRules[0].extra",
            ),
            rules_change(x(), "extra"),
            rules_change(json!({ "metadata": x() }), "metadata.extra"),
            rules_change(json!({ "spec": x() }), "spec.extra"),
            rules_change(
                json!({ "spec": { "projectionRules": [rule] } }),
                "spec.projectionRules[0].extra",
            ),
            act("actions/rollback", json!({ "version": 1, "extra": MARKER }), "extra"),
            act("actions/delete", json!({ "versions": [1], "extra": MARKER }), "extra"),
            act("actions/undelete", x(), "extra"),
            act("actions/destroy", json!({ "versions": [1], "extra": MARKER }), "extra"),
            act("actions/purge", x(), "extra"),
            act("bindings", binding.clone(), "extra"),
            token(json!({ "rights": [], "extra": MARKER }), "extra"),
            token(json!({ "rights": [{ "role": "admin", "extra": MARKER }] }), "rights[0].extra"),
        ],
    );
}

#[test]
fn fields_that_contradict_each_other_are_refused() {
    let (fresh, _, _) = with_a_secret();
    let kept = secret("ml", "kept");
    let put = |what, body: Value, field: &str| Case::new(what, "PUT", &kept, &body, field);
    let act = |what, action: &str, body: Value, field: &str| {
        Case::new(what, "POST", &format!("{kept}/actions/{action}"), &body, field)
    };
    let both = json!([{ "project": "vision" }, { "project": "default/vision", "kind": "members" }]);
    let value = json!({ "value": MARKER });
    check(
        &fresh,
        vec![
            put(
                "another name than the path's",
                json!({ "metadata": { "name": MARKER }, "stringData": value }),
                "metadata.name",
            ),
            put(
                "another type than the secret's",
                json!({ "spec": { "type": "variable" }, "stringData": value }),
                "spec.type",
            ),
            put("a part of another type", json!({ "document": { "a": MARKER } }), "document"),
            put(
                "a project twice",
                json!({ "spec": { "bindings": both }, "stringData": value }),
                "spec.bindings[1].project",
            ),
            put(
                "its own project",
                json!({ "spec": { "bindings": [{ "project": "ml" }] }, "stringData": value }),
                "spec.bindings",
            ),
            put(
                "no such kind",
                json!({ "spec": { "bindings": [{ "project": "ml", "kind": MARKER }] } }),
                "spec.bindings[0].kind",
            ),
            patch(
                "a key set twice",
                &kept,
                &json!({ "data": { "a": "YQ==" }, "stringData": { "a": null, "b": MARKER } }),
                "stringData",
            ),
            patch("another type", &kept, &json!({ "spec": { "type": "ssh" } }), "spec.type"),
            patch(
                "another name",
                &kept,
                &json!({ "metadata": { "name": MARKER } }),
                "metadata.name",
            ),
            act("both kinds", "undelete", json!({ "versions": [1], "name": MARKER }), "versions"),
            act("one twice", "delete", json!({ "versions": [1, 1] }), "versions"),
            act("no version", "rollback", json!({ "version": MARKER }), "version"),
            act(
                "a resource version of a secret",
                "undelete",
                json!({ "resourceVersion": "1" }),
                "resourceVersion",
            ),
        ],
    );
}

#[test]
fn a_null_where_nothing_can_be_removed_is_refused() {
    let (fresh, _, _) = with_a_secret();
    let kept = secret("ml", "kept");
    let of_secret = |body: Value, field: &str| patch("a secret", &kept, &body, field);
    let of_project = |body: Value, field: &str| patch("a project", &project("ml"), &body, field);
    check(
        &fresh,
        vec![
            of_secret(json!({ "metadata": null }), "metadata"),
            of_secret(json!({ "spec": null }), "spec"),
            of_secret(json!({ "stringData": null }), "stringData"),
            of_secret(json!({ "data": null }), "data"),
            of_secret(json!({ "registries": null }), "registries"),
            of_secret(json!({ "document": null }), "document"),
            of_secret(json!({ "metadata": { "name": null } }), "metadata.name"),
            of_secret(
                json!({ "metadata": { "resourceVersion": null } }),
                "metadata.resourceVersion",
            ),
            of_secret(json!({ "spec": { "type": null } }), "spec.type"),
            of_secret(json!({ "spec": { "bindings": [null] } }), "spec.bindings[0]"),
            of_project(json!({ "metadata": null }), "metadata"),
            of_project(json!({ "spec": null }), "spec"),
            of_project(json!({ "spec": { "projectionRules": [null] } }), "spec.projectionRules[0]"),
        ],
    );
}

#[test]
fn a_patch_of_another_media_type_is_refused() {
    let (fresh, _, _) = with_a_secret();
    let mut cases = Vec::new();
    for path in [secret("ml", "kept"), project("ml")] {
        for media_type in ["application/json", "application/json-patch+json", "text/plain", MARKER]
        {
            let (status, kind) = (415, "unsupported-media-type");
            let case = Case::raw(media_type, "PATCH", &path, b"{}", status, kind, "Content-Type");
            cases.push(case.only_headers(&[("Content-Type", media_type)]));
        }
    }
    check(&fresh, cases);
}

#[test]
fn a_pattern_that_can_make_no_kubernetes_name_is_refused_in_every_mode() {
    let (fresh, _, _) = with_a_secret();
    let mut cases = Vec::new();
    for mode in ["each", "merged"] {
        for pattern in
            ["", "A", "a b", "../x", "a/b", "{nothing}", "{name", "\u{e4}", &"x".repeat(300)]
        {
            let rule = json!({ "mode": mode, "namespace": "ok", "namePattern": pattern });
            let body = json!({ "spec": { "projectionRules": [rule] } });
            let field = "spec.projectionRules[0].namePattern";
            cases.push(Case::new("PUT", "PUT", &project("ml"), &body, field));
            cases.push(patch("PATCH", &project("ml"), &body, field));
        }
    }
    check(&fresh, cases);
}
