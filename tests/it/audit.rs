//! The audit log, as an auditor and an operator meet it: everything is in it, once, before the answer;
//! no value is; nobody changes it unnoticed; and nothing is answered that could not be written down.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::{
    AUDIT, Actor, Answer, Connection, JSON, ORGS, Operator, PASSWORD, PROJECTS, TOKENS, USERS,
    WHOAMI, opaque, project, request, right, secret, secrets, user,
};
use crate::harness::{
    Daemon, Ended, Fresh, Home, fresh, fresh_with, run, skip, tresor, wait_until,
};
use crate::leaks::{Marked, marker};
use crate::matrix::{ROWS, operation, with_a_token_to_lose, world};

const CLUSTER: &str = "secret://default";

/// The log of a daemon, from where it was last looked at.
struct Log {
    file: PathBuf,
    seen: usize,
}

impl Log {
    fn of(home: &Home) -> Self {
        Self { file: home.data.join("audit/audit.jsonl"), seen: 0 }
    }

    /// The entries since the last look.
    #[track_caller]
    fn news(&mut self) -> Vec<Value> {
        let bytes = fs::read(&self.file).unwrap();
        let news = &bytes[self.seen..];
        // The daemon may be in the middle of a line.
        let whole = news.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.seen += whole;
        entries(std::str::from_utf8(&news[..whole]).unwrap())
    }
}

fn entries(text: &str) -> Vec<Value> {
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["kind"] == "entry").collect()
}

/// Every line of the log, oldest first.
fn lines(home: &Home) -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir(home.data.join("audit"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    // The current one has no number, and is the newest.
    files.sort_by_key(|path| (path.ends_with("audit.jsonl"), path.clone()));
    let texts = files.iter().map(|path| fs::read_to_string(path).unwrap());
    texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn audit_command(home: &Home, verb: &str, more: &[&str]) -> Ended {
    let mut command = tresor(&["audit", verb, "--data-dir"]);
    run(command.arg(&home.data).args(more))
}

#[track_caller]
fn is_sound(home: &Home) -> String {
    let ended = audit_command(home, "verify", &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.stdout
}

// What is written down.

#[test]
fn every_operation_leaves_one_record_that_says_who_did_what_to_which() {
    let (world, actors) = world();
    let mut log = Log::of(&world.fresh.home);
    let actor = |column: &str| actors.iter().find(|who| who.column == column).unwrap();
    for (name, row) in ROWS {
        let action = operation(name);
        let operation = &world.operations[action];
        for column in ["anon", "strng", "oper", "admin"] {
            world.spoil();
            let who = actor(column);
            let asked = row(&world, who);
            let request = operation.request(&asked);
            let to_lose = (action == "logout").then(|| with_a_token_to_lose(who)).flatten();
            log.news();
            let answer = match &to_lose {
                Some(actor) => actor.send("POST", &request.path, &[], b""),
                None => who.send(&request),
            };
            // No waiting: a record is there before the answer is.
            let mut records = log.news();
            // A rotation that was asked for ends by itself, and the daemon writes that down when it does.
            records.retain(|record| record["actor"] != "system:daemon");
            let what = format!("{name} as {column}: {records:?}");
            if ["isAlive", "isReady"].contains(&action) {
                assert!(records.is_empty(), "probes tell nothing of the store: {what}");
                continue;
            }
            assert_eq!(records.len(), 1, "{what}");
            let record = &records[0];
            assert_eq!(
                (&record["action"], &record["status"]),
                (&json!(action), &json!(answer.status)),
                "{what}"
            );
            assert_eq!(record["outcome"], outcome(action, &answer), "{what}");
            let expected = match (action, column) {
                // It takes no credential, and says itself who it is.
                ("login", "anon" | "oper") => "user:stranger",
                (_, "anon") => "anonymous",
                ("login", _) => "user:stranger",
                (_, "strng") => "user:stranger",
                (_, "oper") => "system:operator",
                _ => "user:admin",
            };
            assert_eq!(record["actor"], expected, "{what}");
            let by_token = !["anon", "oper"].contains(&column) && action != "login";
            assert_eq!(record["token"].is_string(), by_token, "{what}");
            assert_eq!(record["address"].is_string(), column != "oper", "{what}");
            if column == "admin" && answer.status < 300 {
                is_about(record, operation.template.as_str(), &request.path, &what);
            }
        }
    }
    is_sound(&world.fresh.home);
}

fn outcome(action: &str, answer: &Answer) -> &'static str {
    match answer.status {
        200..300 => "ok",
        // Every row is valid: a secret that is there was said not to be, at its field.
        422 if action == "renderManifest" => "denied",
        // Of what may not be seen, the answer says that it is not there; the log says more.
        401 | 403 | 404 | 429 => "denied",
        _ => "refused",
    }
}

/// The resource is that of the path; and a secret has an identity.
#[track_caller]
fn is_about(record: &Value, template: &str, path: &str, what: &str) {
    let resource = record["resource"].as_str().unwrap_or_default();
    let segments: Vec<_> = path.split(['/', '?']).collect();
    let behind = |word: &str| {
        let at = segments.iter().position(|segment| *segment == word).unwrap();
        segments[at + 1]
    };
    if template.contains("{name}") {
        let home = format!("{CLUSTER}/default/{}/{}", behind("projects"), behind("secrets"));
        assert_eq!(resource, home, "{what}");
    } else if template.contains("{project}") {
        let home = format!("{CLUSTER}/default/{}", behind("projects"));
        assert!(resource.starts_with(&home), "{what}");
    } else if template.contains("{org}") {
        assert!(resource.starts_with(&format!("{CLUSTER}/")), "{what}");
    } else if template.ends_with("/grants/{id}") {
        assert_eq!(resource, format!("{CLUSTER}/default/ml"), "{what}");
        assert!(record["detail"].as_str().unwrap().starts_with("viewer to machine:"), "{what}");
    } else if template.ends_with("/render") && path.contains('?') {
        let home = format!("{CLUSTER}/default/{}", path.rsplit('=').next().unwrap());
        assert_eq!(resource, home, "{what}");
        let detail = record["detail"].as_str().unwrap();
        assert!(detail.starts_with(&format!("refers to {CLUSTER}/default/ml/s")), "{what}");
    } else if template.contains("{principal}") || template.contains("{id}") {
        let last = segments.iter().rfind(|segment| **segment != "password").unwrap();
        assert!(resource.ends_with(last), "{what}");
    }
    let shows_a_secret = ["{name}", "{name}/data"].iter().any(|end| template.ends_with(end))
        || template.contains("{name}/actions/");
    let gone = template.ends_with("/purge");
    if shows_a_secret && !gone {
        assert_eq!(record["uid"].as_str().map(str::len), Some(32), "{what}");
    }
    if template.ends_with("/data") {
        assert_eq!(record["version"], 1, "{what}");
        assert!(record["resourceVersion"].is_string(), "{what}");
    }
}

#[test]
fn a_read_is_in_the_file_before_its_answer_arrives() {
    let fresh = fresh();
    let path = secret("ml", "s");
    fresh.admin.put(&path, &opaque("v")).expect(201);
    let mut log = Log::of(&fresh.home);
    log.news();
    for _ in 0..300 {
        fresh.admin.get(&format!("{path}/data")).expect(200);
        let news = log.news();
        assert_eq!(news.len(), 1, "{news:?}");
        assert_eq!(news[0]["action"], "readSecretData");
    }
}

#[test]
fn what_is_refused_or_fails_is_written_down_as_such() {
    let fresh = fresh();
    let root = &fresh.admin;
    let alice = root.make_user("alice");
    root.make_member("ml", "user:alice", "viewer");
    let path = secret("ml", "s");
    root.put(&path, &opaque("v")).expect(201);
    let mut log = Log::of(&fresh.home);
    let mut is_recorded = |answer: &Answer, who: &str, action: &str, outcome: &str, about: &str| {
        let news = log.news();
        let last = news.last().unwrap();
        let members = ["actor", "action", "outcome", "resource"];
        let found = members.map(|member| last[member].as_str().unwrap_or_default());
        assert_eq!(found, [who, action, outcome, about], "{last}");
        assert_eq!(last["status"], answer.status, "{last}");
    };
    let (s, ml) = ("secret://default/default/ml/s", "secret://default/default/ml");
    let (data, me, org) = (format!("{path}/data"), "user:alice", "secret://default/default");
    is_recorded(&alice.get(&data), me, "readSecretData", "denied", s);
    is_recorded(&alice.put(&path, &opaque("w")), me, "putSecret", "denied", s);
    let anonymous = fresh.daemon.anonymous();
    is_recorded(&anonymous.get(&data), "anonymous", "readSecretData", "denied", s);
    // It is not there, which is told to who may see that; and it may not be seen, which is told to
    // nobody but the log.
    is_recorded(&alice.get(&secret("ml", "absent")), me, "readSecret", "refused", ml);
    is_recorded(&alice.get(&secret("absent", "s")), me, "readSecret", "denied", org);
    let broken = alice.send("PUT", &path, JSON, b"{");
    is_recorded(&broken, me, "putSecret", "refused", s);
    let stale = json!({ "metadata": { "resourceVersion": "1" }, "stringData": { "value": "w" } });
    let mine = secret("alice", "mine");
    alice.put(&mine, &opaque("v")).expect(201);
    let conflict = alice.put(&mine, &stale);
    conflict.problem(409, "conflict");
    is_recorded(&conflict, me, "putSecret", "refused", "secret://default/default/alice/mine");
    let wrong = root.try_sign_in("alice", "wrong-but-of-some-length");
    is_recorded(&wrong, me, "login", "denied", "");
    let nobody = root.try_sign_in("nobody-of-this-name", PASSWORD);
    is_recorded(&nobody, "anonymous", "login", "denied", "");
    for _ in 0..5 {
        root.try_sign_in("nobody-of-this-name", PASSWORD);
    }
    let throttled = root.try_sign_in("nobody-of-this-name", PASSWORD);
    throttled.problem(429, "too-many-requests");
    is_recorded(&throttled, "anonymous", "login", "denied", "");
    is_sound(&fresh.home);
}

#[test]
fn a_write_whose_client_hangs_up_is_written_down_all_the_same() {
    let fresh = fresh();
    let authorization = fresh.admin.authorization();
    let headers = [JSON[0], ("Authorization", authorization.as_str())];
    for number in 0..100 {
        let path = secret("ml", &format!("s{number}"));
        let mut connection = Connection::open(fresh.daemon.address).unwrap();
        let body = opaque("v").to_string();
        connection.send(&request("PUT", &path, &headers, body.as_bytes())).unwrap();
        // Some are not read yet when the client is gone, some are at work, some are done.
        thread::sleep(Duration::from_micros(100 * (number % 20)));
    }
    let stored = || {
        let list = fresh.admin.get(&format!("{}?limit=1000", secrets("ml"))).expect(200).json();
        list["items"].as_array().unwrap().len()
    };
    let mut before = usize::MAX;
    wait_until("nothing more is stored", || {
        let now = stored();
        thread::sleep(Duration::from_millis(100));
        std::mem::replace(&mut before, now) == now
    });
    assert!(before > 0, "some of them were stored");
    let puts = |line: &&String| line.contains("\"putSecret\"") && line.contains("\"ok\"");
    let recorded = || lines(&fresh.home).iter().filter(puts).count();
    assert!(recorded() >= before, "{before} were stored, {} were written down", recorded());
}

#[test]
fn what_leads_nowhere_and_what_is_a_value_is_not_written_down() {
    let fresh = fresh_with(|serve| {
        serve.arg("--audit-stdout");
    });
    let Fresh { home, daemon, admin: root } = &fresh;
    let alice = root.make_user("alice");
    let (lost, value, password) = (marker("lost"), marker("value"), marker("password"));
    // A key that looks like an identity of ours.
    let key = "5ec2e70f5ec2e70f5ec2e70f5ec2e70f";
    let path = secret("ml", "s");
    // Values where they belong.
    root.put(&path, &opaque(&value)).expect(201);
    root.put(&path, &json!({ "data": { "b64": STANDARD.encode(&value) } })).expect(200);
    assert!(root.get(&format!("{path}/data")).text().contains(&STANDARD.encode(&value)));
    let changed = json!({ "password": password, "currentPassword": PASSWORD });
    alice.put(&format!("{}/password", user("alice")), &changed).expect(204);
    let token = root.sign_in("alice", &password);
    root.patch(&path, &opaque(&value)).expect(200);
    root.post(&format!("{path}/actions/rollback"), &json!({ "version": 1 })).expect(200);
    // And where they do not.
    for target in [
        secret("ml", &lost),
        format!("{}/data", secret("ml", &lost)),
        secret(&lost, "s"),
        format!("{ORGS}/{lost}/projects/ml/secrets/s"),
        format!("{ORGS}/{lost}/projects"),
        user(&lost),
        format!("{TOKENS}/{lost}"),
        format!("{}/members/user:{lost}", project("ml")),
        format!("{}/deleted-secrets/{lost}", project("ml")),
        format!("{path}/bindings/default/{lost}"),
        format!("{path}?value={lost}"),
        format!("{path}/data?version={lost}"),
        format!("{}?labelSelector={lost}&continue={lost}", secrets("ml")),
        format!("/tresor/v1/grants?uri=secret://default/ml/{lost}"),
        format!("/tresor/v1/{lost}"),
        format!("{AUDIT}?after={lost}"),
        format!("{TOKENS}/{key}"),
        format!("/tresor/v1/grants/{key}"),
        format!("{}/deleted-secrets/{key}", project("ml")),
        format!("{}/bindings/{key}", project("ml")),
    ] {
        for (actor, method) in
            [(root, "GET"), (&alice, "GET"), (root, "DELETE"), (&daemon.anonymous(), "GET")]
        {
            let answer = actor.send(method, &target, &[], b"");
            assert!(answer.status < 500, "{method} {target}: {}", answer.text());
        }
    }
    root.try_sign_in(&lost, &lost).problem(401, "unauthorized");
    root.try_sign_in("alice", &lost).problem(401, "unauthorized");
    for header in [
        format!("Bearer {lost}"),
        format!("Basic {}", STANDARD.encode(format!("{lost}:{lost}"))),
        format!("Basic {}", STANDARD.encode(format!("alice:{lost}"))),
    ] {
        let headers = [("Authorization", header.as_str()), ("X-Forwarded-For", &lost)];
        daemon.anonymous().send("GET", WHOAMI, &headers, b"").problem(401, "unauthorized");
    }
    root.post(USERS, &json!({ "metadata": { "name": format!("-{lost}") } })).expect(422);
    root.post(PROJECTS, &json!({ "metadata": { "name": format!("{lost}/x") } })).expect(422);
    root.post(TOKENS, &json!({ "rights": [right("viewer", &[&lost])] })).expect(422);
    root.put(&path, &opaque(&format!("{value}{}", "x".repeat(2 << 20)))).expect(413);

    let said = daemon.said();
    let text = lines(home).join("\n");
    assert!(said.contains("\"readSecretData\""), "the standard output has it too");
    assert!(text.lines().count() > 60);
    for (what, marked) in [
        ("a name that leads nowhere", lost.as_str()),
        ("a key in the place of an identity", key),
        ("a value", &value),
        ("a password", &password),
        ("another password", PASSWORD),
        ("a token", token.token()),
        ("the administrator's token", root.token()),
    ] {
        let marked = Marked::new(what, marked);
        marked.is_not_in("the audit files", text.as_bytes());
        marked.is_not_in("the standard output", said.as_bytes());
    }
    // What is there is named.
    assert!(text.contains("secret://default/default/ml/s") && text.contains("\"user:alice\""));
}

// Who reads it.

#[test]
fn an_auditor_and_an_administrator_read_the_log_and_nobody_else() {
    let fresh = fresh();
    let root = &fresh.admin;
    let (auditor, owner) = (root.make_user("auditor"), root.make_user("owner"));
    root.give("user:auditor", "auditor", CLUSTER);
    root.make_member("ml", "user:owner", "owner");
    let readonly = root.make_actor("readonly-admin", &[]);
    for may_not in [&owner, &readonly] {
        may_not.get(AUDIT).problem(403, "forbidden");
    }
    fresh.daemon.anonymous().get(AUDIT).problem(401, "unauthorized");
    let operator = Operator::of(&fresh.home.data);
    operator.post(TOKENS, &json!({ "rights": [right("viewer", &["ml"])] })).expect(201);
    operator.send("GET", AUDIT, &[], b"").expect(200);
    root.get(AUDIT).expect(200);
    let before = lines(&fresh.home);
    let shown = auditor.get(AUDIT).expect(200);
    assert_eq!(shown.header("content-type"), Some("application/jsonl"));
    assert_eq!(shown.header("cache-control"), Some("no-store"));
    assert_eq!(shown.text().lines().collect::<Vec<_>>(), before, "as they were written");
    assert!(shown.text().contains("\"system:operator\""));

    let seq = |line: &str| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap();
    let seqs = |query: &str| {
        let text = auditor.get(&format!("{AUDIT}?{query}")).expect(200).text();
        text.lines().map(seq).collect::<Vec<_>>()
    };
    let newest = seqs("limit=3");
    assert_eq!(newest.len(), 3);
    let last = newest[2];
    assert_eq!(newest, [last - 2, last - 1, last]);
    // That look is a record, too.
    assert_eq!(seqs(&format!("after={last}")), [last + 1]);
    for wrong in ["after=x", "limit=0", "limit=-1", "other=1"] {
        auditor.get(&format!("{AUDIT}?{wrong}")).problem(422, "invalid-field");
    }
}

#[test]
fn the_log_is_printed_filtered_and_exported_beside_a_running_daemon() {
    let fresh = fresh();
    let root = &fresh.admin;
    let alice = root.make_user("alice");
    root.make_member("ml", "user:alice", "writer");
    for name in ["a", "b", "=c,\"d"] {
        let body = json!({ "metadata": { "name": name }, "stringData": { "value": "v" } });
        alice.post(&secrets("ml"), &body).expect(201);
    }
    alice.value(&secret("ml", "a"));
    root.value(&secret("ml", "b"));
    let home = &fresh.home;
    let all = lines(home);
    let tail = audit_command(home, "tail", &["-n", "3"]);
    assert_eq!(tail.code, Some(0), "{tail:?}");
    assert_eq!(tail.stdout.lines().collect::<Vec<_>>(), &all[all.len() - 3..]);

    let exported = |more: &[&str]| {
        let ended = audit_command(home, "export", more);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.stdout
    };
    let actions = |more: &[&str]| {
        let found = entries(&exported(more)).into_iter();
        found.map(|entry| entry["action"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let whole = exported(&[]);
    assert_eq!(whole.lines().count(), entries(&all.join("\n")).len());
    let of_alice = ["login", "createSecret", "createSecret", "createSecret", "readSecretData"];
    assert_eq!(actions(&["--actor", "user:alice"]), of_alice);
    assert_eq!(actions(&["--action", "readSecretData"]).len(), 2);
    let both = ["--actor", "user:alice", "--action", "readSecretData"];
    assert_eq!(actions(&both), ["readSecretData"]);
    assert_eq!(actions(&["--resource", "secret://default/default/ml/b"]).len(), 2);
    assert_eq!(actions(&["--actor", "user:nobody-1"]), [""; 0]);
    let time = |line: &str| {
        serde_json::from_str::<Value>(line).unwrap()["time"].as_str().unwrap().to_owned()
    };
    let read = whole.lines().find(|line| line.contains("\"readSecretData\"")).unwrap();
    let (at, count) = (time(read), whole.lines().count());
    let (since, until) = (actions(&["--since", &at]).len(), actions(&["--until", &at]).len());
    assert_eq!(since + until, count, "a moment parts the log in two");
    assert!((2..count).contains(&since), "{since} of {count}");
    assert_eq!(actions(&["--until", "2001-01-01"]), [""; 0]);

    let csv = exported(&["--format", "csv", "--actor", "user:alice"]);
    let rows: Vec<_> = csv.split("\r\n").collect();
    assert!(rows[0].starts_with("seq,time,actor,token,address,action,resource,"), "{csv}");
    assert_eq!((rows.len(), rows[6]), (7, ""));
    assert!(rows[2].contains(",user:alice,") && rows[2].ends_with(",ok,201,"), "{csv}");
    // Percent-encoded in a URI: neither a formula nor another cell.
    assert!(rows[4].contains("/ml/=c,%22d") && rows[4].matches('"').count() == 2, "{csv}");
    let usage = audit_command(home, "export", &["--since", "yesterday"]);
    assert_eq!(usage.code, Some(2), "{usage:?}");
}

// Nobody changes it unnoticed.

#[test]
fn a_log_is_sound_on_a_live_a_stopped_and_a_killed_daemon_after_many_starts() {
    let Fresh { home, mut daemon, admin } = fresh();
    let token = admin.token().to_owned();
    for round in 0..6 {
        let root = daemon.actor(&token);
        for number in 0..10 {
            root.put(&secret("ml", &format!("s{number}")), &opaque("v"));
            root.value(&secret("ml", &format!("s{number}")));
        }
        is_sound(&home);
        match round % 2 {
            0 => drop(daemon.kill()),
            _ => drop(daemon.stop()),
        }
        let said = is_sound(&home);
        assert!(said.contains("the store vouches for the lines up to"), "{said}");
        daemon = Daemon::start(&mut home.serve());
    }
    let ended = daemon.stop();
    let key = ended.stderr.lines().find_map(|line| line.split("audit.key=").nth(1)).unwrap();
    let digits = key.trim_start_matches('"').chars().take_while(char::is_ascii_hexdigit);
    let key: String = digits.collect();
    let trusted = audit_command(&home, "verify", &["--public-key", &key]);
    assert_eq!(trusted.code, Some(0), "{trusted:?}");
    assert!(!trusted.stdout.contains("the key that the log names itself"), "{}", trusted.stdout);
    let other = audit_command(&home, "verify", &["--public-key", &"ab".repeat(32)]);
    assert_eq!(other.code, Some(1), "{other:?}");
    assert!(other.stdout.contains("Signature"), "{}", other.stdout);
    // Every acknowledged read and write of all those lives is in it.
    let all = entries(&lines(&home).join("\n"));
    let count = |action: &str| all.iter().filter(|entry| entry["action"] == action).count();
    assert_eq!((count("putSecret"), count("readSecretData")), (60, 60));
}

#[test]
fn whoever_changes_the_log_is_found_out_and_where() {
    let Fresh { home, daemon, admin } = fresh();
    for number in 0..20 {
        admin.put(&secret("ml", &format!("s{number}")), &opaque("v")).expect(201);
    }
    daemon.stop();
    is_sound(&home);
    let original = lines(&home);
    let count = original.len();
    let at = 10;
    type Change<'a> = &'a dyn Fn(&mut Vec<String>);
    // What is done, what it is called, and the line of the file that is named.
    let cases: [(&str, Change<'_>, &str, usize); 8] = [
        (
            "edited",
            &|lines| lines[at] = lines[at].replace("putSecret", "getSecret"),
            "Edited",
            at + 1,
        ),
        ("made unreadable", &|lines| lines[at].insert(0, ' '), "Malformed", at + 1),
        ("removed", &|lines| drop(lines.remove(at)), "Removed", at + 1),
        ("swapped", &|lines| lines.swap(at, at + 1), "Moved", at + 2),
        ("repeated", &|lines| lines.insert(at, lines[at].clone()), "Inserted", at + 2),
        ("cut off", &|lines| lines.truncate(count - 5), "Cut", count - 5),
        ("cut to nothing", &|lines| lines.truncate(1), "Cut", 1),
        ("the beginning gone", &|lines| drop(lines.drain(..3)), "Begin", 1),
    ];
    for (what, change, kind, line) in cases {
        let copy = home.copy();
        let mut changed = original.clone();
        change(&mut changed);
        assert_ne!(changed, original, "{what}");
        fs::write(copy.data.join("audit/audit.jsonl"), changed.join("\n") + "\n").unwrap();
        let ended = audit_command(&copy, "verify", &[]);
        assert_eq!(ended.code, Some(1), "{what}: {ended:?}");
        let named = ended
            .stdout
            .lines()
            .any(|fault| fault.contains(&format!("audit.jsonl:{line}: {kind}: ")));
        assert!(named, "{what}, {kind} at {line}: {}", ended.stdout);
        assert!(ended.stderr.contains("faults"), "{ended:?}");
        // The daemon starts all the same, says so, and confesses in the log itself.
        if ["cut off", "edited"].contains(&what) {
            let daemon = Daemon::start(&mut copy.serve());
            daemon.actor(admin.token()).get(WHOAMI).expect(200);
            daemon.stop();
            assert_eq!(audit_command(&copy, "verify", &[]).code, Some(1), "{what}: for good");
        }
    }
    fs::remove_file(home.data.join("audit/audit.jsonl")).unwrap();
    let gone = audit_command(&home, "verify", &[]);
    assert_eq!(gone.code, Some(1), "{gone:?}");
}

#[test]
fn files_follow_each_other_under_load_and_the_log_stays_sound() {
    let fresh = fresh_with(|serve| {
        serve.args(["--audit-max-file-mib", "1", "--audit-keep-files", "2"]);
    });
    let long = long_name();
    let path = secret("ml", &long);
    fresh.admin.put(&path, &opaque("v")).expect(201);
    let dir = fresh.home.data.join("audit");
    let rotated = || {
        let names = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("audit-")).count()
    };
    let (done, first) = (AtomicBool::new(false), fs::read(dir.join("audit.jsonl")).unwrap());
    thread::scope(|scope| {
        for _ in 0..4 {
            let actor = fresh.admin.again();
            let (path, done) = (&path, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    actor.get(&format!("{path}/data")).expect(200);
                }
            });
        }
        let _stop = Stop(&done);
        // The oldest file goes when a third one is put aside.
        let mut checked = 0;
        wait_until("old files are deleted", || {
            is_sound(&fresh.home);
            checked += 1;
            let begins = |path: &Path| fs::read(path).is_ok_and(|now| now.starts_with(&first));
            let files = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
            rotated() == 2 && !files.into_iter().any(|path| begins(&path))
        });
        assert!(checked > 1, "it was looked at while files came and went");
    });
    let said = is_sound(&fresh.home);
    assert!(said.contains("in 3 files"), "{said}");
    for entry in fs::read_dir(&dir).unwrap() {
        let entry = entry.unwrap();
        assert!(entry.metadata().unwrap().len() <= 1 << 20, "{entry:?}");
    }
    let Fresh { home, daemon, .. } = fresh;
    daemon.kill();
    is_sound(&home);
}

/// Ends the threads of a scope, also when what they were started for has failed.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A name whose records are large.
fn long_name() -> String {
    "%E2%82%AC".repeat(170)
}

// Without a log there is no answer.

#[test]
fn while_the_file_is_in_nobodys_reach_nothing_is_answered_and_nothing_changes() {
    let fresh = fresh();
    let root = &fresh.admin;
    let path = secret("ml", "s");
    root.put(&path, &opaque("before")).expect(201);
    let (dir, aside) = (fresh.home.data.join("audit"), fresh.home.data.join("aside"));
    fs::rename(&dir, &aside).unwrap();
    fs::write(&dir, "no directory").unwrap();
    nothing_is_answered(root, &path);
    fs::remove_file(&dir).unwrap();
    fs::rename(&aside, &dir).unwrap();
    everything_is_answered(root, &path);
    let said = audit_command(&fresh.home, "verify", &[]);
    assert!(said.code == Some(0) || only_gaps(&said.stdout), "{said:?}");
}

/// The daemon says itself that lines are missing, and that is all that is wrong.
fn only_gaps(said: &str) -> bool {
    let faults = said.lines().filter(|line| line.contains(": line "));
    let mut faults = faults.peekable();
    faults.peek().is_some() && faults.all(|line| line.contains(": Gap: "))
}

/// Waits until it is so, and looks that nothing was changed then.
#[track_caller]
fn nothing_is_answered(root: &Actor, path: &str) {
    let data = format!("{path}/data");
    wait_until("reads are refused", || root.get(&data).status == 503);
    let refused = root.get(&data);
    refused.problem(503, "busy");
    assert!(refused.header("retry-after").is_some());
    for _ in 0..5 {
        root.put(path, &opaque("meanwhile")).problem(503, "busy");
        root.delete(path).problem(503, "busy");
        root.post(PROJECTS, &json!({ "metadata": { "name": "meanwhile" } })).problem(503, "busy");
        root.get(&data).problem(503, "busy");
    }
    // Each platform's clients are told so in their own words.
    for (path, member) in [
        ("/secrets/", "detail"),
        ("/apolo/api/v1/secrets", "error"),
        ("/api/identity/v2/settings/project/ml", "error"),
        ("/api/auth", "message"),
    ] {
        for refused in [root.get(path), root.post(path, &json!({}))] {
            let refused = refused.expect(503);
            assert_eq!(refused.header("retry-after"), Some("1"), "{path}");
            assert_eq!(refused.header("content-type"), Some("application/json"), "{path}");
            assert!(refused.json()[member].is_string(), "{path}: {}", refused.text());
        }
    }
    Actor::anonymous(root.address).get("/healthz").expect(200);
}

#[track_caller]
fn everything_is_answered(root: &Actor, path: &str) {
    wait_until("reads are answered again", || root.get(&format!("{path}/data")).status == 200);
    assert_eq!(root.value(path), "before", "nothing was changed meanwhile");
    root.get(&project("meanwhile")).problem(404, "not-found");
    let again = || root.put(path, &opaque("after")).status;
    wait_until("writes are answered again", || again() == 200);
    assert_eq!(root.value(path), "after");
}

#[test]
fn on_a_full_disk_writes_are_refused_first_then_reads_and_both_come_back() {
    let Some(disk) = Disk::mount("16m") else {
        return skip("a small file system cannot be mounted here");
    };
    let home = Home::empty();
    let token = home.init();
    let dir = disk.path().join("audit");
    fs::create_dir(&dir).unwrap();
    // The chain goes on where `init` left it.
    fs::copy(home.data.join("audit/audit.jsonl"), dir.join("audit.jsonl")).unwrap();
    let file = dir.join("audit.jsonl").to_str().unwrap().to_owned();
    let daemon = Daemon::start(home.serve().args(["--audit-file", &file]));
    let root = daemon.actor(&token);
    root.make_project("ml");
    let path = secret("ml", &long_name());
    root.put(&path, &opaque("before")).expect(201);
    let filler = disk.path().join("filler");
    fill_up(&filler);
    // What the daemon has kept for itself is used up by reads; writes stop while there is room for
    // their records.
    let (full, data) = (AtomicBool::new(false), format!("{path}/data"));
    let mut refused_first = false;
    thread::scope(|scope| {
        for _ in 0..4 {
            let (actor, full, data) = (root.again(), &full, &data);
            scope.spawn(move || {
                while !full.load(Ordering::Relaxed) {
                    let status = actor.get(data).status;
                    assert!(matches!(status, 200 | 503), "{status}");
                }
            });
        }
        let _stop = Stop(&full);
        wait_until("reads are refused", || {
            let write = root.put(&secret("ml", "small"), &opaque("x")).status;
            let read = root.get(&data).status;
            refused_first |= (write, read) == (503, 200);
            read == 503
        });
    });
    assert!(refused_first, "reads went on longer than writes");
    nothing_is_answered(&root, &path);
    fs::remove_file(&filler).unwrap();
    everything_is_answered(&root, &path);
    let verified = audit_command(&home, "verify", &["--audit-file", &file]);
    assert!(verified.code == Some(0) || only_gaps(&verified.stdout), "{verified:?}");
}

fn fill_up(path: &Path) {
    use std::io::Write;
    let mut file = fs::File::create(path).unwrap();
    for size in [64 << 10, 4096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

/// A small file system of its own.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tresor-test"]);
        (run(mount.arg(dir.path())).code == Some(0)).then_some(Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a daemon that is being killed may still hold it.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_standard_output_that_nobody_reads_stops_nothing_while_the_file_works() {
    let home = Home::empty();
    let token = home.init();
    let mut serve = home.serve();
    serve.arg("--audit-stdout").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = Killed(serve.spawn().unwrap());
    // Read up to where it serves, and then left alone: the pipe takes 64 KiB and no more.
    let mut stdout = BufReader::new(child.0.stdout.take().unwrap());
    let address = loop {
        let mut line = String::new();
        assert!(stdout.read_line(&mut line).unwrap() > 0, "it ended before it served");
        if let Some(address) = line.strip_prefix("serving http://") {
            break address.trim().parse().unwrap();
        }
    };
    let root = Actor::new(address, &token);
    root.make_project("ml");
    let path = secret("ml", &long_name());
    root.put(&path, &opaque("v")).expect(201);
    for number in 0..200 {
        root.get(&format!("{path}/data")).expect(200);
        let written = root.put(&secret("ml", "s"), &opaque(&format!("{number}")));
        assert!(written.status < 300, "{}", written.text());
    }
    let reads = lines(&home).iter().filter(|line| line.contains("\"readSecretData\"")).count();
    assert_eq!(reads, 200);
    is_sound(&home);
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(child.0.id()).unwrap()),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    wait_until("it stops all the same", || child.0.try_wait().unwrap().is_some());
    is_sound(&home);
    drop(stdout);
}

/// A process that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn strangers_who_only_ping_do_not_fill_the_log() {
    let world = fresh();
    let mut log = Log::of(&world.home);
    let nobody = world.daemon.anonymous();
    for _ in 0..1_500 {
        nobody.get("/apolo/ping").expect(200);
    }
    let pings = log.news().into_iter().filter(|entry| entry["action"] == "apolo.ping").count();
    // A thousand, and ten a second from then on.
    assert!((500..1_400).contains(&pings), "{pings} of 1,500 are written down");
}
