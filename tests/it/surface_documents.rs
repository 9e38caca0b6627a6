//! The OpenAPI documents of the platforms' interfaces, against the daemon that serves them.

use serde_json::{Value, json};

use crate::client::{Actor, PASSWORD};
use crate::harness::{Daemon, Fresh, fresh, fresh_with};
use crate::openapi::Play;

/// How many requests each operation gets at random, beside those that are derived from its schemas.
const EXAMPLES: usize = 3;

fn document(surface: &str) -> String {
    format!("/tresor/v1/openapi/{surface}.json")
}

fn play(surface: &str, daemon: &Daemon, configuration: String) {
    Play { document: &document(surface), configuration, examples: EXAMPLES }.against(daemon);
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
"#;
    play("apolo", &daemon, configuration(&alice.authorization(), rest));
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
values = ["hf", "example", "more"]
[parameters]
"path.name" = "hf"
"body.username" = { dictionary = "usernames", probability = 1.0 }
"body.password" = { dictionary = "passwords", probability = 1.0 }
"body.secrets_payload[*].name" = { dictionary = "names", probability = 0.5 }
"#;
    let authorization = format!("Token {}", admin.token());
    play("blueprints", &daemon, configuration(&authorization, &rest.replace("PASSWORD", PASSWORD)));
}

#[test]
fn no_request_that_the_document_of_digitalhub_leads_to_breaks_what_it_says() {
    let Fresh { daemon, admin, home: _home } = fresh();
    let alice = alice(&admin);
    // A project that a token names cannot be removed in the middle of the play.
    admin.make_actor("viewer", &["ml"]);
    admin.make_project("spare");
    let ids = ["example", "gone"].map(|name| {
        let spec = json!({ "path": format!("secret://{name}"), "provider": "kubernetes" });
        let secret = json!({ "kind": "secret", "name": name, "spec": spec });
        let made = alice.post("/api/v1/-/ml/secrets", &secret).expect(200).json();
        made["id"].as_str().unwrap().to_owned()
    });
    let [example, gone] = ids;
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
parameters = { "query.name" = "more" }
"#;
    let rest = rest.replace("EXAMPLE", &example).replace("GONE", &gone);
    play("digitalhub", &daemon, configuration(&alice.authorization(), &rest));
}

#[test]
fn each_surface_that_is_switched_on_has_its_document_and_a_place_in_the_page() {
    let known = surfaces::surfaces().iter().map(|surface| surface.name);
    let known: Vec<_> = known.collect();
    for on in [&known[..], &known[..1], &[]] {
        let list = if on.is_empty() { "none".to_owned() } else { on.join(",") };
        let fresh = fresh_with(|serve| {
            serve.args(["--surfaces", &list]);
        });
        let anonymous = fresh.daemon.anonymous();
        let starts = anonymous.get("/tresor/v1/swagger-ui/swagger-initializer.js").expect(200);
        for surface in &known {
            let path = document(surface);
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
