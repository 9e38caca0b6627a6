//! The platforms' contracts, case by case: each case is a file below `tests/surfaces/`, and each row
//! of a contract has one, or names the test that shows it.
//!
//! A case runs on a fresh copy of a store: the users alice, bob and carol with their own projects,
//! and the project `shared`, in which alice is a writer and bob a viewer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{Actor, Answer, LOGIN, TOKENS, USERS};
use crate::harness::{Daemon, Home};

const PASSWORD: &str = "tremendous oval penguin 55";
const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];
/// Where each surface's contract is, and how its rows are called.
const CONTRACTS: [(&str, &str); 5] = [
    ("apolo", "AP-"),
    ("blueprints", "BP-"),
    ("chariot", "CH-"),
    ("digitalhub", "DH-"),
    ("safe", "SF-"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// The rows that it shows.
    rules: Vec<String>,
    /// What it shows, in a sentence.
    comment: String,
    /// Further arguments of the daemon.
    #[serde(default)]
    daemon: Vec<String>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    #[serde(rename = "as")]
    who: String,
    /// Method, path and query.
    request: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Value>,
    text: Option<String>,
    status: u16,
    /// All of the answer.
    json: Option<Value>,
    /// What the answer holds among others.
    includes: Option<Value>,
    #[serde(default)]
    says: Texts,
    text_is: Option<String>,
    #[serde(default)]
    header: BTreeMap<String, String>,
    #[serde(default)]
    save: BTreeMap<String, String>,
}

/// One text, or several.
#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Texts {
    #[default]
    None,
    One(String),
    Many(Vec<String>),
}

impl Texts {
    fn all(&self) -> Vec<&String> {
        match self {
            Self::None => Vec::new(),
            Self::One(text) => vec![text],
            Self::Many(texts) => texts.iter().collect(),
        }
    }
}

/// A store that every case begins with, and the credentials of its people.
struct Template {
    home: Home,
    credentials: BTreeMap<String, String>,
}

static TEMPLATE: LazyLock<Template> = LazyLock::new(|| {
    let home = Home::empty();
    let token = home.init();
    let daemon = Daemon::start(&mut home.serve());
    let admin = daemon.actor(&token);
    let mut credentials = BTreeMap::new();
    let mut know = |who: String, header: String| drop(credentials.insert(who, header));
    know("admin".to_owned(), format!("Bearer {token}"));
    know("garbage".to_owned(), format!("Bearer tresor_{}", "0".repeat(72)));
    for name in PEOPLE {
        let user = json!({ "metadata": { "name": name }, "password": PASSWORD });
        admin.post(USERS, &user).expect(201);
        let login = json!({ "username": name, "password": PASSWORD });
        let token = text(&daemon.anonymous().post(LOGIN, &login).expect(201).json()["token"]);
        let own = json!({ "description": "a JWT", "jwt": true });
        let jwt = text(&daemon.actor(&token).post(TOKENS, &own).expect(201).json()["token"]);
        let basic = |password: &str| STANDARD.encode(format!("{name}:{password}"));
        know(name.to_owned(), format!("Bearer {token}"));
        know(format!("{name}:token"), format!("Token {token}"));
        know(format!("{name}:jwt"), format!("Bearer {jwt}"));
        know(format!("{name}:basic"), format!("Basic {}", basic(PASSWORD)));
        know(format!("{name}:wrong"), format!("Basic {}", basic("not it")));
    }
    admin.make_project("shared");
    admin.make_member("shared", "user:alice", "writer");
    admin.make_member("shared", "user:bob", "viewer");
    daemon.stop();
    Template { home, credentials }
});

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// The cases of a surface, by file name.
fn cases(surface: &str) -> BTreeMap<String, Case> {
    let dir = root().join("tests/surfaces").join(surface);
    let files = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
    let cases = files.map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let case = serde_json::from_str::<Case>(&fs::read_to_string(&path).unwrap());
        (name, case.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    });
    cases.collect()
}

/// Runs all cases of a surface, and names all that fail.
#[track_caller]
fn run(surface: &str) {
    let cases = cases(surface);
    assert!(cases.len() > 5, "{surface} has too few cases to mean anything");
    let only = std::env::var("TRESOR_CASE").ok();
    let mut failed = Vec::new();
    for (name, case) in &cases {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        if let Err(why) = Running::start(case).run(case) {
            failed.push(format!("{surface}/{name} ({}): {why}", case.comment));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

struct Running {
    _home: Home,
    daemon: Daemon,
    saved: BTreeMap<String, String>,
}

impl Running {
    fn start(case: &Case) -> Self {
        let home = TEMPLATE.home.copy();
        let mut serve = home.serve();
        serve.args(&case.daemon);
        let daemon = Daemon::start(&mut serve);
        let saved = BTreeMap::from([("address".to_owned(), daemon.address.to_string())]);
        Self { _home: home, daemon, saved }
    }

    fn run(&mut self, case: &Case) -> Result<(), String> {
        for (number, step) in case.steps.iter().enumerate() {
            self.take(step).map_err(|why| format!("step {}: {why}", number + 1))?;
        }
        Ok(())
    }

    fn take(&mut self, step: &Step) -> Result<(), String> {
        let answer = self.ask(step);
        let shown = format!("{} -> {} {}", step.request, answer.status, answer.text());
        if answer.status != step.status {
            return Err(format!("status {} was expected: {shown}", step.status));
        }
        if let Some(wanted) = &step.json
            && !same(&self.filled(wanted), &parsed(&answer)?, true)
        {
            return Err(format!("{} was expected: {shown}", self.filled(wanted)));
        }
        if let Some(wanted) = &step.includes
            && !same(&self.filled(wanted), &parsed(&answer)?, false)
        {
            return Err(format!("{} was expected in: {shown}", self.filled(wanted)));
        }
        for said in step.says.all() {
            if !answer.text().contains(&self.fill(said)) {
                return Err(format!("{said:?} was expected in: {shown}"));
            }
        }
        if let Some(wanted) = &step.text_is
            && answer.text() != self.fill(wanted)
        {
            return Err(format!("exactly {wanted:?} was expected: {shown}"));
        }
        for (name, wanted) in &step.header {
            if wanted != "{*}" && answer.header(name) != Some(&self.fill(wanted))
                || answer.header(name).is_none()
            {
                let got = answer.header(name);
                return Err(format!("{name}: {wanted} was expected, not {got:?}: {shown}"));
            }
        }
        for (name, pointer) in &step.save {
            let body = parsed(&answer)?;
            let found = body.pointer(pointer).and_then(Value::as_str);
            let found = found.ok_or_else(|| format!("{pointer} is no text: {shown}"))?;
            self.saved.insert(name.clone(), found.to_owned());
        }
        Ok(())
    }

    fn ask(&self, step: &Step) -> Answer {
        let (method, path) = step.request.split_once(' ').unwrap();
        let credential = match step.who.strip_prefix("header:") {
            Some(raw) => Some(self.fill(raw)),
            None if step.who == "nobody" => None,
            None => Some(TEMPLATE.credentials[step.who.as_str()].clone()),
        };
        let body = match (&step.body, &step.text) {
            (Some(body), _) => self.filled(body).to_string().into_bytes(),
            (None, text) => self.fill(text.as_deref().unwrap_or_default()).into_bytes(),
        };
        let mut headers: Vec<(String, String)> = Vec::new();
        headers.extend(credential.map(|header| ("Authorization".to_owned(), header)));
        if step.body.is_some() && !step.headers.contains_key("Content-Type") {
            headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        }
        headers.extend(step.headers.iter().map(|(name, text)| (name.clone(), self.fill(text))));
        let headers: Vec<_> = headers.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
        let nobody: Actor = self.daemon.anonymous();
        nobody.send(method, &self.fill(path), &headers, &body)
    }

    /// A text with what was saved in its places; `{x*N}` is as many letters.
    fn fill(&self, text: &str) -> String {
        if let Some((before, rest)) = text.split_once("{x*")
            && let Some((count, after)) = rest.split_once('}')
        {
            return format!("{before}{}{after}", "x".repeat(count.parse().unwrap()));
        }
        let fill = |text: String, (name, saved): (&String, &String)| {
            text.replace(&format!("{{{name}}}"), saved)
        };
        self.saved.iter().fold(text.to_owned(), fill)
    }

    fn filled(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.fill(text)),
            Value::Array(items) => items.iter().map(|item| self.filled(item)).collect(),
            Value::Object(members) => {
                let filled = members.iter().map(|(key, item)| (self.fill(key), self.filled(item)));
                Value::Object(filled.collect())
            }
            other => other.clone(),
        }
    }
}

fn parsed(answer: &Answer) -> Result<Value, String> {
    serde_json::from_slice(&answer.body).map_err(|_| format!("not JSON: {}", answer.text()))
}

/// Whether an answer is what is wanted: exactly, or with more members in its objects.
fn same(wanted: &Value, got: &Value, exactly: bool) -> bool {
    match (wanted, got) {
        (Value::String(any), _) if any == "{*}" => true,
        (Value::Array(wanted), Value::Array(got)) => {
            wanted.len() == got.len()
                && wanted.iter().zip(got).all(|(wanted, got)| same(wanted, got, exactly))
        }
        (Value::Object(wanted), Value::Object(got)) => {
            (!exactly || wanted.len() == got.len())
                && wanted
                    .iter()
                    .all(|(key, wanted)| got.get(key).is_some_and(|got| same(wanted, got, exactly)))
        }
        _ => wanted == got,
    }
}

#[test]
fn apolo_answers_as_its_contract_says() {
    run("apolo");
}

#[test]
fn blueprints_answers_as_its_contract_says() {
    run("blueprints");
}

#[test]
fn chariot_answers_as_its_contract_says() {
    run("chariot");
}

#[test]
fn digitalhub_answers_as_its_contract_says() {
    run("digitalhub");
}

#[test]
fn safe_answers_as_its_contract_says() {
    run("safe");
}

/// The rows of a contract: their ids, and whether they name a test.
fn rows(surface: &str, prefix: &str) -> BTreeMap<String, bool> {
    let path = root().join("crates/surfaces").join(format!("{}.md", surface.to_uppercase()));
    let document = fs::read_to_string(path).unwrap();
    let row = |line: &str| {
        let id = line.strip_prefix("| ")?.split(' ').next()?;
        let is_id = id.strip_prefix(prefix)?.bytes().all(|b| b.is_ascii_digit());
        is_id.then(|| (id.to_owned(), line.contains("`test:")))
    };
    let rows: Vec<_> = document.lines().filter_map(row).collect();
    let count = rows.len();
    let rows: BTreeMap<_, _> = rows.into_iter().collect();
    assert_eq!(rows.len(), count, "{surface}: an id stands in two rows");
    rows
}

#[test]
fn every_row_of_a_contract_has_a_case_or_names_its_test() {
    let mut lacking = Vec::new();
    for (surface, prefix) in CONTRACTS {
        let rows = rows(surface, prefix);
        assert!(rows.len() > 10, "{surface} has too few rows to mean anything");
        let cases = cases(surface);
        let shown: BTreeSet<&String> = cases.values().flat_map(|case| &case.rules).collect();
        lacking.extend(
            rows.iter()
                .filter(|(id, tested)| !*tested && !shown.contains(id))
                .map(|(id, _)| format!("{surface}: {id} has no case")),
        );
        lacking.extend(
            shown
                .iter()
                .filter(|id| !rows.contains_key(**id))
                .map(|id| format!("{surface}: a case shows {id}, which is no row of the contract")),
        );
        lacking.extend(
            cases
                .iter()
                .filter(|(_, case)| case.rules.is_empty())
                .map(|(name, _)| format!("{surface}: the case {name} shows no row")),
        );
    }
    assert!(lacking.is_empty(), "{}", lacking.join("\n"));
}

#[test]
fn a_surface_that_is_switched_off_answers_404() {
    let off = Case {
        rules: Vec::new(),
        comment: String::new(),
        daemon: vec!["--surfaces".to_owned(), "none".to_owned()],
        steps: Vec::new(),
    };
    let running = Running::start(&off);
    let asked = |method: &str, path: &str| {
        let header = TEMPLATE.credentials["admin"].clone();
        let headers = [("Authorization", header.as_str()), ("Content-Type", "application/json")];
        running.daemon.anonymous().send(method, path, &headers, b"{}")
    };
    let mut count = 0;
    for surface in surfaces::surfaces() {
        for route in surface.routes {
            let path = route.path.replace(['{', '}'], "");
            asked(route.method.as_str(), &path).problem(404, "not-found");
            count += 1;
        }
    }
    assert!(count > 20);
    let one = Case { daemon: vec!["--surfaces".to_owned(), "apolo".to_owned()], ..off };
    let running = Running::start(&one);
    let status = |path: &str| running.daemon.anonymous().send("GET", path, &[], b"").status;
    assert_eq!((status("/apolo/ping"), status("/secrets/")), (200, 404));
}

/// Each method and path belongs to one route of one surface, and to none of the native API; `axum`
/// refuses the rest of what would clash when the daemon starts with all of them on.
#[test]
fn no_two_routes_answer_the_same_request() {
    let mut seen = BTreeSet::new();
    let mut operations = BTreeSet::new();
    for surface in surfaces::surfaces() {
        for route in surface.routes {
            let shape: Vec<_> = route
                .path
                .split('/')
                .map(|segment| if segment.starts_with('{') { "{}" } else { segment })
                .collect();
            let shape = shape.join("/");
            assert!(!shape.starts_with("/tresor/") && !shape.starts_with("/ui"), "{shape}");
            assert!(seen.insert((route.method.clone(), shape)), "{} {}", route.method, route.path);
            let owned = surface.prefixes.iter().any(|prefix| route.path.starts_with(prefix));
            let alone = ["/login", "/api/auth", "/.well-known/configuration"];
            assert!(
                owned || alone.iter().any(|path| route.path.starts_with(path)),
                "{}",
                route.path
            );
            operations.insert(format!("{}.{}", surface.name, route.operation));
        }
    }
    assert!(seen.len() > 20 && operations.len() > 15);
}
