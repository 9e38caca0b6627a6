//! The OpenAPI document against the daemon that serves it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::client::{Actor, opaque, project, right, secret};
use crate::harness::{Daemon, Fresh, fresh, fresh_with, long};

const DOCUMENT: &str = "/tresor/v1/openapi.json";
const METHODS: [&str; 5] = ["GET", "PUT", "POST", "PATCH", "DELETE"];
/// What takes no token: probes. They describe nothing of the store.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];
/// What gives a token, and so wants none.
pub(crate) const LOGIN: &str = "/tresor/v1/login";

/// A path of the document that wants a token, with its parameters filled in.
pub(crate) struct Route {
    pub(crate) path: String,
    pub(crate) methods: Vec<&'static str>,
}

/// All routes of the document that want a token.
#[track_caller]
pub(crate) fn documented(daemon: &Daemon) -> Vec<Route> {
    let document = daemon.anonymous().get(DOCUMENT).expect(200).json();
    let routes: Vec<_> = all(&document).filter(|route| !OPEN.contains(&&*route.path)).collect();
    assert!(routes.len() > 20, "the document holds the routes");
    routes
}

fn all(document: &Value) -> impl Iterator<Item = Route> {
    document["paths"].as_object().unwrap().iter().map(|(path, item)| {
        let has = |method: &&str| item.get(method.to_lowercase()).is_some();
        Route { path: filled(path), methods: METHODS.into_iter().filter(has).collect() }
    })
}

fn filled(path: &str) -> String {
    let id = "00000000000000000000000000000000";
    path.replace("{org}", "default")
        .replace("{project}", "ml")
        .replace("{name}", "hf")
        .replace("{bound_org}", "default")
        .replace("{bound_project}", "vision")
        .replace("{principal}", "alice")
        .replace("{subject}", "user:alice")
        .replace("{uid}", id)
        .replace("{id}", id)
}

fn allowed(answer: &crate::client::Answer) -> Vec<String> {
    let allow = answer.header("allow").unwrap_or_default();
    let mut methods: Vec<_> = allow.split(',').map(|m| m.trim().to_owned()).collect();
    // HEAD comes with GET (RFC 9110, section 9.3.2), and the document need not say so.
    methods.retain(|method| method != "HEAD");
    methods.sort();
    methods
}

#[test]
fn every_documented_operation_wants_a_token_except_the_probes() {
    let fresh = fresh();
    let anonymous = fresh.daemon.anonymous();
    let document = anonymous.get(DOCUMENT).expect(200).json();
    for Route { path, methods } in all(&document) {
        for method in methods {
            let answer = anonymous.send(method, &path, &[], b"");
            match OPEN.contains(&&*path) {
                true => assert_eq!(answer.status, 200, "{method} {path}"),
                false if path == LOGIN => assert_eq!(answer.status, 415, "{method} {path}"),
                false => drop(answer.problem(401, "unauthorized")),
            }
        }
    }
}

#[test]
fn every_documented_path_says_which_methods_it_has() {
    let fresh = fresh();
    let others = ["OPTIONS", "TRACE", "PROPFIND"];
    let check = |actor: &Actor, Route { path, mut methods }: Route| {
        methods.sort_unstable();
        let undocumented = METHODS.into_iter().chain(others).filter(|m| !methods.contains(m));
        for method in undocumented {
            let refused = actor.send(method, &path, &[], b"");
            refused.problem(405, "method-not-allowed");
            assert_eq!(allowed(&refused), methods, "{method} {path}");
        }
    };
    let document = fresh.admin.get(DOCUMENT).expect(200).json();
    all(&document).for_each(|route| check(&fresh.admin, route));
}

#[test]
fn swagger_ui_is_served_from_here_alone() {
    let fresh = fresh();
    let anonymous = fresh.daemon.anonymous();
    let page = anonymous.get("/tresor/v1/swagger-ui/").expect(200);
    let text = page.text();
    let links = text.split(['"', '\'']).filter(|part| {
        [".js", ".css", ".png"].iter().any(|end| part.ends_with(end)) && !part.contains(' ')
    });
    let links: Vec<_> = links.map(str::to_owned).collect();
    assert!(links.len() >= 4, "{text}");
    let base = "/tresor/v1/swagger-ui/";
    for link in &links {
        let local = !link.contains("//") && !link.starts_with('/');
        assert!(local, "{link} is not relative");
        let file = anonymous.get(&format!("{base}{}", link.trim_start_matches("./"))).expect(200);
        is_protected(&file, link);
    }
    is_protected(&page, "the page");
    let starts = anonymous.get(&format!("{base}swagger-initializer.js")).expect(200).text();
    assert!(starts.contains(DOCUMENT), "it shows our document: {starts}");
    assert!(!starts.contains("http"), "and no other: {starts}");
}

#[track_caller]
fn is_protected(answer: &crate::client::Answer, what: &str) {
    let policy = answer.header("content-security-policy").unwrap_or_default();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{what}: {policy}");
    let sources = policy.split([' ', ';']);
    let hosts = sources.filter(|source| source.contains("//") || *source == "*");
    assert_eq!(hosts.count(), 0, "{what}: {policy}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{what}");
}

#[test]
fn no_request_that_the_document_leads_to_breaks_what_it_says() {
    let fresh = fresh_with(|serve| {
        serve.args(["--max-watch-seconds", "1"]);
    });
    let Fresh { daemon, admin, .. } = &fresh;
    let document = admin.get(DOCUMENT).expect(200).json();
    // What succeeds is shown by the table of what every actor is answered.
    let (configuration, in_vain) = (configuration(admin), None);
    let play = Play { document, configuration, examples: 5, in_vain, without: None };
    play.against(daemon).unwrap_or_else(|said| panic!("{said}"));
}

/// A document that is played against the daemon that serves it, with schemathesis: valid, broken and
/// odd requests to every operation, each answer compared with what the document says.
pub(crate) struct Play<'a> {
    pub(crate) document: Value,
    /// Names and bodies that reach something.
    pub(crate) configuration: String,
    /// How many requests each operation gets at random, in the short form.
    pub(crate) examples: usize,
    /// Operations that never succeed here; the others must. Without them that is not looked at.
    pub(crate) in_vain: Option<&'a [&'a str]>,
    /// A check that does not hold here, whatever the document says.
    pub(crate) without: Option<&'a str>,
}

impl Play<'_> {
    /// Plays it; what breaks what the document says.
    pub(crate) fn against(&self, daemon: &Daemon) -> Result<(), String> {
        let mut document = self.document.clone();
        // Whoever is wrong too often has to wait, and with them all others of their address.
        if let Some(ways) = document["security"].as_array_mut() {
            ways.retain(|way| way.get("basic").is_none());
        }
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        fs::write(file("schemathesis.toml"), &self.configuration).unwrap();
        fs::write(file("document.json"), document.to_string()).unwrap();
        let ended = self.command(daemon).current_dir(dir.path()).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout);
        let wanted = operations(&document);
        let all = !wanted.is_empty() && said.contains(&format!("Tested: {}", wanted.len()));
        if !ended.status.success() || !all {
            return Err(format!("{said}{}", String::from_utf8_lossy(&ended.stderr)));
        }
        // Requests that are all refused would show little.
        let Some(in_vain) = self.in_vain else { return Ok(()) };
        let succeeded = succeeded(&fs::read_to_string(file("events.ndjson")).unwrap());
        let lacking = wanted.iter().filter(|(operation, id)| {
            !succeeded.contains(*operation) && !in_vain.contains(&id.as_str())
        });
        match lacking.collect::<Vec<_>>() {
            none if none.is_empty() => Ok(()),
            lacking => Err(format!("they never succeeded: {lacking:?}")),
        }
    }

    fn command(&self, daemon: &Daemon) -> Command {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let path = Command::new(root.join("tests/setup/schemathesis.sh")).output().unwrap();
        assert!(path.status.success(), "{path:?}");
        let mut run = Command::new(String::from_utf8(path.stdout).unwrap().trim());
        run.args(["--config-file", "schemathesis.toml", "run", "document.json"]);
        run.args(["--url", &format!("http://{}", daemon.address)]);
        run.args(["--phases", "coverage,fuzzing", "--no-color", "--continue-on-failure"]);
        run.args(["--report", "ndjson", "--report-ndjson-path", "events.ndjson"]);
        // A schema cannot say what base64, a label or a selector is, which fields belong to which
        // type, nor that two texts must be the same, so some requests that are valid by it are
        // refused. All other checks hold.
        let without = ["positive_data_acceptance"].into_iter().chain(self.without);
        run.args(["--exclude-checks", &without.collect::<Vec<_>>().join(",")]);
        match long() {
            true => run.args(["--max-examples", "200"]),
            // The same requests each time: a red run of others' work must be theirs.
            false => run.args(["--max-examples", &self.examples.to_string(), "--seed", "1"]),
        };
        run
    }
}

/// The operations of a document, by method and path, and what they are called.
fn operations(document: &Value) -> BTreeMap<String, String> {
    let mut operations = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS {
            let id = item[method.to_lowercase()]["operationId"].as_str();
            operations.extend(id.map(|id| (format!("{method} {path}"), id.to_owned())));
        }
    }
    operations
}

/// The operations that succeeded, in what schemathesis wrote down.
fn succeeded(events: &str) -> BTreeSet<String> {
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut succeeded = BTreeSet::new();
    for event in events {
        let recorder = &event["ScenarioFinished"]["recorder"];
        for (id, interaction) in recorder["interactions"].as_object().into_iter().flatten() {
            let status = interaction["response"]["status_code"].as_u64().unwrap_or(0);
            let case = &recorder["cases"][id]["value"];
            if let (Some(method), Some(path)) = (case["method"].as_str(), case["path"].as_str())
                && (200..300).contains(&status)
            {
                succeeded.insert(format!("{method} {path}"));
            }
        }
    }
    succeeded
}

/// Real names behind the parameters of all paths, so that requests reach something.
fn configuration(admin: &Actor) -> String {
    admin.make_project("vision");
    // A project that a token names cannot be removed in the middle of the play.
    admin.make_actor("viewer", &["ml"]);
    let (_, id) = admin.mint(&json!({ "rights": [right("viewer", &["vision"])] }));
    for name in ["hf", "gone"] {
        admin.put(&secret("ml", name), &opaque("v")).expect(201);
    }
    admin
        .post(&format!("{}/bindings", secret("ml", "hf")), &json!({ "project": "vision" }))
        .expect(200);
    admin.delete(&secret("ml", "gone")).expect(204);
    let deleted = admin.get(&format!("{}/deleted-secrets", project("ml"))).expect(200).json();
    let uid = deleted["items"][0]["metadata"]["uid"].as_str().unwrap();
    let parameters = [
        ("org", "default"),
        ("project", "ml"),
        ("name", "hf"),
        ("bound_org", "default"),
        ("bound_project", "vision"),
        ("uid", uid),
        ("id", &id),
        ("principal", "alice"),
        ("subject", "user:alice"),
    ];
    let lines = parameters.map(|(name, value)| format!("\"path.{name}\" = \"{value}\"\n"));
    let authorization = admin.authorization();
    let headers = format!("headers = {{ Authorization = \"{authorization}\" }}\n");
    format!("{headers}[parameters]\n{}", lines.concat())
}
