//! The OpenAPI documents of the platforms' interfaces, against the daemon that serves them.

use serde_json::{Value, json};

use crate::client::{Actor, PASSWORD};
use crate::cluster_e2e::{cluster, kubectl};
use crate::harness::{Daemon, Fresh, fresh, fresh_with};
use crate::openapi::Play;

/// How many requests each operation gets at random, beside those that are derived from its schemas.
const EXAMPLES: usize = 3;

/// The surfaces whose documents are played here.
const PLAYED: [&str; 5] = ["apolo", "blueprints", "chariot", "digitalhub", "safe"];

fn path(surface: &str) -> String {
    format!("/tresor/v1/openapi/{surface}.json")
}

fn document(surface: &str, daemon: &Daemon) -> Value {
    daemon.anonymous().get(&path(surface)).expect(200).json()
}

/// What is played for a surface.
struct Part<'a> {
    surface: &'a str,
    configuration: String,
    in_vain: &'a [&'a str],
    without: Option<&'a str>,
}

impl Part<'_> {
    fn play(self, daemon: &Daemon) {
        let Self { surface, configuration, in_vain, without } = self;
        let (document, in_vain) = (document(surface, daemon), Some(in_vain));
        let play = Play { document, configuration, examples: EXAMPLES, in_vain, without };
        play.against(daemon).unwrap_or_else(|said| panic!("{said}"));
    }
}

/// A user of the name alice who administers the store: nothing is kept from her, so that requests
/// reach as much as there is.
fn alice(admin: &Actor) -> Actor {
    let alice = admin.make_user("alice");
    admin.give("user:alice", "admin", "secret://default");
    alice
}

fn configuration(authorization: &str, rest: &str) -> String {
    format!("headers = {{ Authorization = \"{authorization}\" }}\n{rest}")
}

#[test]
fn no_request_that_the_document_of_apolo_leads_to_breaks_what_it_says() {
    let Fresh { daemon, admin, home: _home } = fresh();
    let alice = alice(&admin);
    admin.make_user("bob");
    for key in ["example", "gone"] {
        let secret = json!({ "key": key, "value": "dGV4dA==" });
        alice.post("/apolo/api/v1/secrets", &secret).expect(201);
    }
    let rest = r#"
[dictionaries.keys]
values = ["example", "gone", "more"]
[dictionaries.values]
values = ["dGV4dA==", "AAECAw=="]
[parameters]
"path.key" = "example"
"path.user" = "alice"
"body.key" = { dictionary = "keys", probability = 0.5 }
"body.value" = { dictionary = "values", probability = 0.5 }
[[operations]]
include-name = "DELETE /apolo/api/v1/secrets/{key}"
parameters = { "path.key" = "gone" }
# She must not take her own rights away.
[[operations]]
include-name = "POST /apolo/api/v1/users/{user}/permissions"
parameters = { "path.user" = "bob" }
[[operations]]
include-name = "DELETE /apolo/api/v1/users/{user}/permissions"
parameters = { "path.user" = "bob" }
"#;
    let configuration = configuration(&alice.authorization(), rest);
    // There are no roles, and without a cluster there are no jobs.
    let in_vain = &["addRole", "removeRole", "runJob"];
    Part { surface: "apolo", configuration, in_vain, without: None }.play(&daemon);
}

/// With a cluster there are jobs: what is answered of one that runs is what the document says.
#[test]
fn no_job_that_the_document_of_apolo_leads_to_breaks_what_it_says() {
    let Some(cluster) = cluster() else { return };
    let Fresh { daemon, admin, home: _home } = fresh_with(|serve| {
        serve.arg("--kubeconfig").arg(cluster.kubeconfig());
        serve.args(["--apolo-namespace", "documented"]);
    });
    kubectl(cluster, &["create", "namespace", "documented"]);
    let alice = alice(&admin);
    let mut document = document("apolo", &daemon);
    document["paths"].as_object_mut().unwrap().retain(|path, _| path.ends_with("/jobs"));
    let rest = r#"
[dictionaries.images]
values = ["ubuntu:latest", "registry.example/team/image:1"]
[dictionaries.projects]
values = ["alice"]
[parameters]
"body.image" = { dictionary = "images", probability = 0.8 }
"body.container.image" = { dictionary = "images", probability = 0.8 }
"body.project_name" = { dictionary = "projects", probability = 0.8 }
"#;
    let configuration = configuration(&alice.authorization(), rest);
    let play =
        Play { document, configuration, examples: EXAMPLES, in_vain: Some(&[]), without: None };
    play.against(&daemon).unwrap_or_else(|said| panic!("{said}"));
}

#[test]
fn no_request_that_the_document_of_blueprints_leads_to_breaks_what_it_says() {
    let Fresh { daemon, admin, home: _home } = fresh();
    admin.make_user("alice");
    let item = json!({ "name": "hf", "action": "create", "type": "opaque", "data": { "k": "v" } });
    admin.post("/secrets/", &json!({ "secrets_payload": [item] })).expect(200);
    // Who signs in is somebody else than who asks, and knows their password: an address that is wrong
    // too often has to wait.
    let rest = r#"
[dictionaries.usernames]
values = ["alice"]
[dictionaries.passwords]
values = ["PASSWORD"]
[dictionaries.names]
values = ["example", "more"]
[dictionaries.namespaces]
values = ["default"]
[parameters]
"path.name" = "hf"
"query.namespace" = { dictionary = "namespaces", probability = 0.5 }
"body.username" = { dictionary = "usernames", probability = 1.0 }
"body.password" = { dictionary = "passwords", probability = 1.0 }
"body.secrets_payload[*].name" = { dictionary = "names", probability = 0.5 }
"#;
    let authorization = format!("Token {}", admin.token());
    let configuration = configuration(&authorization, &rest.replace("PASSWORD", PASSWORD));
    Part { surface: "blueprints", configuration, in_vain: &[], without: None }.play(&daemon);
}

#[test]
fn no_request_that_the_document_of_chariot_leads_to_breaks_what_it_says() {
    let Fresh { daemon, admin, home: _home } = fresh();
    let alice = alice(&admin);
    let settings = "/api/identity/v2/settings/{owner_type}/{owner_id}";
    // Each form of a key removes another one.
    let ids = ["example", "gone0", "gone1", "gone2", "gone3"].map(|name| {
        let item = json!({ "name": name, "_type": "secret/Custom", "value": "text" });
        let made = alice.post("/api/identity/v2/settings/project/ml/", &item).expect(201).json();
        made["_id"].as_str().unwrap().to_owned()
    });
    let forms = ["/{key}", "/{key}/", "/secret/{type}/{id}", "/secret/{type}/{id}/"];
    let gone = forms.iter().zip(&ids[1..]).map(|(form, id)| {
        format!(
            "[[operations]]\ninclude-name = \"DELETE {settings}{form}\"\nparameters = {{ \"path.key\" = \"secret/Custom/{id}\", \"path.id\" = \"{id}\" }}\n"
        )
    });
    let rest = r#"
[dictionaries.names]
values = ["alice"]
[dictionaries.passwords]
values = ["PASSWORD"]
[dictionaries.new]
values = ["made", "with", "slash"]
[parameters]
"path.owner_type" = "project"
"path.owner_id" = "ml"
"path.key" = "secret/Custom/EXAMPLE"
"path.type" = "Custom"
"path.id" = "EXAMPLE"
"body.client_id" = { dictionary = "names", probability = 1.0 }
"body.client_secret" = { dictionary = "passwords", probability = 1.0 }
"#;
    let rest = rest.replace("EXAMPLE", &ids[0]).replace("PASSWORD", PASSWORD);
    // What is made by the one form cannot be made by the other.
    let made = format!(
        "[[operations]]\ninclude-name = \"POST {settings}/\"\nparameters = {{ \"body.name\" = {{ dictionary = \"new\", probability = 1.0 }} }}\n"
    );
    let rest = format!("{rest}{made}{}", gone.collect::<String>());
    let configuration = configuration(&alice.authorization(), &rest);
    Part { surface: "chariot", configuration, in_vain: &[], without: None }.play(&daemon);
}

#[test]
fn no_request_that_the_document_of_digitalhub_leads_to_breaks_what_it_says() {
    let Fresh { daemon, admin, home: _home } = fresh();
    let alice = alice(&admin);
    // A project that a token names cannot be removed in the middle of the play.
    admin.make_actor("viewer", &["ml"]);
    admin.make_project("spare");
    let ids = ["example", "gone", "named"].map(|name| {
        let spec = json!({ "path": format!("secret://{name}"), "provider": "kubernetes" });
        let secret = json!({ "kind": "secret", "name": name, "spec": spec });
        let made = alice.post("/api/v1/-/ml/secrets", &secret).expect(200).json();
        made["id"].as_str().unwrap().to_owned()
    });
    let [example, gone, _] = ids;
    alice.put("/api/v1/-/ml/secrets/data", &json!({ "example": "text" })).expect(200);
    let rest = r#"
[dictionaries.names]
values = ["example", "more"]
[parameters]
"path.project" = "ml"
"path.id" = "EXAMPLE"
"query.name" = { dictionary = "names", probability = 0.5 }
"body.name" = { dictionary = "names", probability = 0.5 }
[[operations]]
include-name = "DELETE /api/v1/projects/{project}"
parameters = { "path.project" = "spare" }
[[operations]]
include-name = "DELETE /api/v1/-/{project}/secrets/{id}"
parameters = { "path.id" = "GONE" }
[[operations]]
include-name = "DELETE /api/v1/-/{project}/secrets"
parameters = { "query.name" = "named" }
"#;
    let rest = rest.replace("EXAMPLE", &example).replace("GONE", &gone);
    let configuration = configuration(&alice.authorization(), &rest);
    // Who shows no credential is answered 403, and the check wants 401.
    let without = Some("missing_required_header");
    Part { surface: "digitalhub", configuration, in_vain: &[], without }.play(&daemon);
}

/// What requests to Primus-SaFE's interface reach: a cluster, a node, a workspace and users, and
/// secrets of the three types, some to be removed.
fn safe(alice: &Actor) {
    for name in ["bob", "carol", "dora"] {
        alice.make_user(name);
    }
    let made = |collection: &str, body: Value| {
        alice.post(&format!("/api/v1/{collection}"), &body).expect(200);
    };
    let params = |kind: &str| match kind {
        "image" => json!([{ "server": "r.example", "username": "u", "password": "cA==" }]),
        "ssh" => json!([{ "username": "root", "password": "p" }]),
        _ => json!([{ "a": "1" }, { "b": "2" }]),
    };
    for (name, kind) in
        [("example", "general"), ("gone", "general"), ("registry", "image"), ("host", "ssh")]
    {
        made("secrets", json!({ "name": name, "type": kind, "params": params(kind) }));
    }
    for name in ["example", "gone"] {
        made("clusters", json!({ "name": name, "imageSecretId": "registry" }));
        made("nodes", json!({ "hostname": name, "privateIP": "10.0.0.1", "sshSecretId": "host" }));
    }
    for name in ["vision", "gone"] {
        made("workspaces", json!({ "name": name, "clusterId": "example", "managers": ["bob"] }));
    }
}

#[test]
fn no_request_that_the_document_of_safe_leads_to_breaks_what_it_says() {
    let Fresh { daemon, admin, home: _home } = fresh();
    let alice = alice(&admin);
    safe(&alice);
    let dora = admin.sign_in("dora", PASSWORD);
    let rest = r#"
[dictionaries.secrets]
values = ["example", "registry", "host"]
[dictionaries.workspaces]
values = ["example-vision"]
[dictionaries.names]
values = ["example", "more"]
[parameters]
"query.workspaceId" = { dictionary = "workspaces", probability = 0.5 }
"body.name" = { dictionary = "names", probability = 0.5 }
"#;
    let at = |operation: &str, id: &str| {
        let parameters = format!("parameters = {{ \"path.id\" = {id} }}");
        format!("[[operations]]\ninclude-name = \"{operation}/{{id}}\"\n{parameters}\n")
    };
    let one_of = "{ dictionary = \"secrets\", probability = 0.9 }";
    let mut ids = vec![at("GET /api/v1/secrets", one_of), at("PATCH /api/v1/secrets", one_of)];
    for (collection, there, gone) in [
        ("clusters", "example", "gone"),
        ("nodes", "example", "gone"),
        ("users", "bob", "carol"),
        ("workspaces", "example-vision", "example-gone"),
    ] {
        for (method, id) in [("GET", there), ("PATCH", there), ("DELETE", gone)] {
            let id = format!("\"{id}\"");
            ids.push(at(&format!("{method} /api/v1/{collection}"), &id));
        }
    }
    ids.retain(|lines| !lines.contains("PATCH /api/v1/nodes"));
    ids.push(at("DELETE /api/v1/secrets", "\"gone\""));
    // Who signs in and out is somebody else than who asks, and knows their password: an address that
    // is wrong too often has to wait.
    let session = r#"
[[operations]]
include-name = "POST /api/v1/login"
parameters = { "body.name" = "dora", "body.password" = "PASSWORD" }
[[operations]]
include-name = "POST /api/v1/logout"
headers = { Authorization = "AUTHORIZATION" }
"#;
    let session = session.replace("PASSWORD", PASSWORD);
    let session = session.replace("AUTHORIZATION", &dora.authorization());
    let rest = format!("{rest}{}{session}", ids.concat());
    let configuration = configuration(&alice.authorization(), &rest);
    // A method that a path does not have is 404 to the platform, and the check wants 405.
    let without = Some("unsupported_method");
    Part { surface: "safe", configuration, in_vain: &[], without }.play(&daemon);
}

/// What is changed in a part of a document, how, and what is then said.
type Fault = (&'static str, fn(&mut Value), &'static str);

const ACCOUNT: &str = "/api/auth";
const FAULTS: [Fault; 5] = [
    ("nothing", |_| {}, ""),
    (
        "a status",
        |document| rename(document, &format!("{ANSWERS}/200"), "201"),
        "Undocumented status code",
    ),
    (
        "a member",
        |document| {
            rename(document, "/components/schemas/Account/properties/username", "user");
            document["components"]["schemas"]["Account"]["required"] = json!(["permissions"]);
        },
        "Response violates schema",
    ),
    (
        "a media type",
        |document| {
            let content = format!("{ANSWERS}/200/content/application~1json");
            rename(document, &content, "text/plain");
        },
        "Undocumented Content-Type",
    ),
    (
        "a method",
        |document| rename(document, "/paths/~1api~1auth/post", "x-post"),
        "Wrong response to undeclared method",
    ),
];
const ANSWERS: &str = "/paths/~1api~1auth/get/responses";

#[test]
fn a_document_that_says_something_else_than_the_daemon_is_found_out() {
    let Fresh { daemon, admin, home: _home } = fresh();
    let mut whole = document("digitalhub", &daemon);
    whole["paths"] = json!({ ACCOUNT: whole["paths"][ACCOUNT] });
    for (what, break_it, said) in FAULTS {
        let mut document = whole.clone();
        break_it(&mut document);
        let configuration = configuration(&admin.authorization(), "");
        let without = Some("missing_required_header");
        let play = Play { document, configuration, examples: 1, in_vain: Some(&[]), without };
        match play.against(&daemon) {
            Ok(()) => assert_eq!(said, "", "{what} was changed, and nobody noticed"),
            Err(found) => assert!(!said.is_empty() && found.contains(said), "{what}: {found}"),
        }
    }
}

/// Gives a member another name.
fn rename(document: &mut Value, pointer: &str, to: &str) {
    let (parent, from) = pointer.rsplit_once('/').unwrap();
    let object = document.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    let member = object.remove(&from.replace("~1", "/")).unwrap();
    object.insert(to.to_owned(), member);
}

#[test]
fn each_surface_that_is_switched_on_has_its_document_and_a_place_in_the_page() {
    let known = surfaces::surfaces().iter().map(|surface| surface.name);
    let known: Vec<_> = known.collect();
    assert_eq!(known, PLAYED, "a surface whose document is not played");
    for on in [&known[..], &known[..1], &[]] {
        let list = if on.is_empty() { "none".to_owned() } else { on.join(",") };
        let fresh = fresh_with(|serve| {
            serve.args(["--surfaces", &list]);
        });
        let anonymous = fresh.daemon.anonymous();
        let starts = anonymous.get("/tresor/v1/swagger-ui/swagger-initializer.js").expect(200);
        for surface in &known {
            let path = path(surface);
            let answer = anonymous.get(&path);
            assert_eq!(starts.text().contains(&path), on.contains(surface), "{}", starts.text());
            if on.contains(surface) {
                let served: Value = answer.json();
                assert_eq!(answer.header("content-type"), Some("application/json"));
                assert_eq!(served["openapi"], "3.1.0");
            } else {
                answer.problem(404, "not-found");
            }
        }
        assert!(starts.text().contains("/tresor/v1/openapi.json"), "{}", starts.text());
    }
}
