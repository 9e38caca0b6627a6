//! The OpenAPI document against the daemon that serves it.

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
    let play = Play { document: DOCUMENT, configuration: configuration(admin), examples: 5 };
    play.against(daemon);
}

/// A document that is played against the daemon that serves it, with schemathesis: valid, broken and
/// odd requests to every operation, each answer compared with what the document says.
pub(crate) struct Play<'a> {
    /// The path of the document.
    pub(crate) document: &'a str,
    /// Names and bodies that reach something.
    pub(crate) configuration: String,
    /// How many requests each operation gets at random, in the short form.
    pub(crate) examples: usize,
}

impl Play<'_> {
    /// Plays it; what schemathesis said in the end.
    #[track_caller]
    pub(crate) fn against(&self, daemon: &Daemon) -> String {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("schemathesis.toml"), &self.configuration).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let path = Command::new(root.join("tests/setup/schemathesis.sh")).output().unwrap();
        assert!(path.status.success(), "{path:?}");
        let mut run = Command::new(String::from_utf8(path.stdout).unwrap().trim());
        run.current_dir(dir.path()).args(["--config-file", "schemathesis.toml", "run"]);
        run.arg(format!("http://{}{}", daemon.address, self.document));
        run.args(["--phases", "coverage,fuzzing", "--no-color", "--continue-on-failure"]);
        // A schema cannot say what base64, a label or a selector is, which fields belong to which
        // type, nor that two texts must be the same, so some requests that are valid by it are
        // refused. All other checks hold.
        run.args(["--exclude-checks", "positive_data_acceptance"]);
        match long() {
            true => run.args(["--max-examples", "200"]),
            // The same requests each time: a red run of others' work must be theirs.
            false => run.args(["--max-examples", &self.examples.to_string(), "--seed", "1"]),
        };
        let ended = run.output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(ended.status.success(), "{said}{}", String::from_utf8_lossy(&ended.stderr));
        let document = daemon.anonymous().get(self.document).expect(200).json();
        let wanted = all(&document).map(|route| route.methods.len()).sum::<usize>();
        assert!(wanted > 0 && said.contains(&format!("Tested: {wanted}")), "{said}");
        said
    }
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
