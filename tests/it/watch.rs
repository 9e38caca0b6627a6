//! Watches, as a client meets them: what there is, then each change once and in order, and an end
//! that says from where to go on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Actor, JSON, MERGE_PATCH, TOKENS, Watch, line_version, opaque, right};
use crate::client::{secret, secrets};
use crate::harness::{Daemon, Fresh, fresh, fresh_with, wait_until};

const EVERYWHERE: &str = "/tresor/v1/secrets";

fn watching(project: &str) -> String {
    format!("{}?watch=true", secrets(project))
}

fn from(project: &str, version: &str) -> String {
    format!("{}&resourceVersion={version}", watching(project))
}

/// What a line says, in short.
#[track_caller]
fn short(line: &Value) -> String {
    let metadata = &line["object"]["metadata"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    format!("{} {}", text(&line["type"]), text(&metadata["name"]))
}

#[track_caller]
fn expect(watch: &mut Watch, lines: &[&str]) -> Vec<Value> {
    let found: Vec<_> =
        lines.iter().map(|_| watch.next_change().expect("the watch ended too early")).collect();
    assert_eq!(found.iter().map(short).collect::<Vec<_>>(), lines);
    found
}

fn put(actor: &Actor, project: &str, name: &str) {
    let answer = actor.put(&secret(project, name), &opaque("v"));
    assert!(answer.status < 300, "{}", answer.text());
}

fn label(actor: &Actor, project: &str, name: &str, labels: &Value) {
    let body = json!({ "metadata": { "labels": labels } });
    let path = secret(project, name);
    actor.send("PATCH", &path, MERGE_PATCH, body.to_string().as_bytes()).expect(200);
}

/// The line that ends a watch, and nothing behind it.
#[track_caller]
fn expect_error(watch: &mut Watch, status: u16) -> Value {
    let line = watch.next_change().expect("the watch ended without a word");
    assert_eq!((&line["type"], &line["object"]["status"]), (&json!("ERROR"), &json!(status)));
    assert!(watch.next().is_none(), "an error is the last line");
    line
}

#[test]
fn a_watch_begins_with_what_there_is_and_goes_on_with_what_changes() {
    let Fresh { daemon: _daemon, home: _home, admin } = fresh();
    put(&admin, "ml", "b");
    put(&admin, "ml", "a");
    let mut watch = admin.watch(&watching("ml"));
    let lines = [watch.next().unwrap(), watch.next().unwrap()];
    assert_eq!(lines.each_ref().map(short), ["ADDED a", "ADDED b"]);
    let list = admin.get(&secrets("ml")).expect(200).json();
    assert_eq!(
        lines.map(|line| line["object"].clone()).to_vec(),
        *list["items"].as_array().unwrap()
    );
    let bookmark = watch.next().unwrap();
    let metadata = &bookmark["object"]["metadata"];
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(metadata["initialEventsEnd"], true);
    assert_eq!(metadata["resourceVersion"], list["metadata"]["resourceVersion"]);

    put(&admin, "ml", "c");
    put(&admin, "ml", "a");
    label(&admin, "ml", "b", &json!({ "app": "x" }));
    admin.delete(&secret("ml", "c")).expect(204);
    admin.post(&format!("{}/actions/undelete", secret("ml", "c")), &json!({})).expect(200);
    let lines =
        expect(&mut watch, &["ADDED c", "MODIFIED a", "MODIFIED b", "DELETED c", "ADDED c"]);
    let versions: Vec<u64> = lines.iter().map(|l| line_version(l).parse().unwrap()).collect();
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
    let shown = admin.get(&secret("ml", "b")).expect(200).json();
    assert_eq!(lines[2]["object"], shown, "a line shows what a GET shows");
}

#[test]
fn a_watch_goes_on_from_a_list_a_line_and_a_bookmark_after_a_restart_too() {
    let Fresh { daemon, home, admin } = fresh();
    put(&admin, "ml", "a");
    let list = admin.get(&secrets("ml")).expect(200).json();
    let listed = list["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    for name in ["b", "c", "d"] {
        put(&admin, "ml", name);
    }
    let mut watch = admin.watch(&from("ml", &listed));
    let lines = expect(&mut watch, &["ADDED b", "ADDED c", "ADDED d"]);
    let at_line = line_version(&lines[0]);
    let (_, bookmarked) = admin.watch(&watching("ml")).until_bookmark();
    drop(watch);

    daemon.stop();
    let daemon = Daemon::start(&mut home.serve());
    let admin = daemon.actor(&admin.authorization().replace("Bearer ", ""));
    put(&admin, "ml", "e");
    let mut watches = [&listed, &at_line, &bookmarked].map(|at| admin.watch(&from("ml", at)));
    let [from_list, from_line, from_bookmark] = &mut watches;
    expect(from_list, &["ADDED b", "ADDED c", "ADDED d", "ADDED e"]);
    expect(from_line, &["ADDED c", "ADDED d", "ADDED e"]);
    expect(from_bookmark, &["ADDED e"]);
    put(&admin, "ml", "last");
    for watch in &mut watches {
        expect(watch, &["ADDED last"]);
    }
}

#[test]
fn a_resource_version_of_another_incarnation_or_of_the_future_is_gone() {
    let Fresh { daemon: _daemon, home: _home, admin } = fresh();
    let list = admin.get(&secrets("ml")).expect(200).json();
    let now: u64 = list["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    for version in [now + 1000, now + (1 << 44)] {
        let refused = admin.try_watch(&from("ml", &version.to_string())).err().unwrap();
        let problem = refused.problem(410, "gone");
        assert_eq!(problem["field"], "resourceVersion");
        let oldest = problem["oldestResourceVersion"].as_str().unwrap();
        admin.watch(&from("ml", oldest));
    }
    let refused = admin.try_watch(&from("ml", "no-number")).err().unwrap();
    assert_eq!(refused.problem(422, "invalid-field")["field"], "resourceVersion");
}

#[test]
fn one_stream_tells_of_several_projects_or_of_all_that_may_be_listed() {
    let Fresh { daemon: _daemon, home: _home, admin } = fresh();
    for name in ["p1", "p2", "p3"] {
        admin.make_project(name);
    }
    let two = format!("{EVERYWHERE}?watch=true&project=p1&project=default/p2");
    let all = format!("{EVERYWHERE}?watch=true");
    let partly = admin.make_actor("viewer", &["p2", "p3"]);
    let mut watches = [admin.watch(&two), admin.watch(&all), partly.watch(&all)];
    for watch in &mut watches {
        assert!(watch.until_bookmark().0.is_empty());
    }
    for name in ["p1", "p2", "p3"] {
        put(&admin, name, &format!("in-{name}"));
    }
    put(&admin, "p2", "end");
    let [two, all, partly_all] = &mut watches;
    expect(two, &["ADDED in-p1", "ADDED in-p2", "ADDED end"]);
    expect(all, &["ADDED in-p1", "ADDED in-p2", "ADDED in-p3", "ADDED end"]);
    expect(partly_all, &["ADDED in-p2", "ADDED in-p3", "ADDED end"]);
    let mut beginning = partly.watch(&format!("{EVERYWHERE}?watch=true"));
    let (lines, _) = beginning.until_bookmark();
    assert_eq!(
        lines.iter().map(short).collect::<Vec<_>>(),
        ["ADDED end", "ADDED in-p2", "ADDED in-p3"]
    );
    // A project that may not be listed looks like one that is not there.
    for name in ["p1", "missing"] {
        let named = format!("{EVERYWHERE}?watch=true&project=p2&project={name}");
        partly.try_watch(&named).err().unwrap().problem(404, "not-found");
        partly.try_watch(&watching(name)).err().unwrap().problem(404, "not-found");
    }
}

#[test]
fn what_is_selected_no_longer_comes_as_deleted() {
    let Fresh { daemon: _daemon, home: _home, admin } = fresh();
    put(&admin, "ml", "a");
    label(&admin, "ml", "a", &json!({ "app": "x" }));
    put(&admin, "ml", "other");
    let filtered = |filter: &str| admin.watch(&format!("{}&{filter}", watching("ml")));
    let mut labelled = filtered("labelSelector=app%3Dx");
    let mut typed = filtered("type=variable");
    let mut prefixed = filtered("namePrefix=team");
    assert_eq!(labelled.until_bookmark().0.iter().map(short).collect::<Vec<_>>(), ["ADDED a"]);
    assert!(typed.until_bookmark().0.is_empty() && prefixed.until_bookmark().0.is_empty());

    label(&admin, "ml", "a", &json!({ "app": "y" }));
    label(&admin, "ml", "a", &json!({ "app": "x" }));
    let variable = json!({ "spec": { "type": "variable" }, "stringData": { "value": "v" } });
    admin.put(&secret("ml", "team-v"), &variable).expect(201);
    let gone = labelled.next_change().unwrap();
    assert_eq!(short(&gone), "DELETED a");
    let back = labelled.next_change().unwrap();
    assert!(["ADDED", "MODIFIED"].contains(&back["type"].as_str().unwrap()), "{back}");
    assert_eq!(back["object"]["metadata"]["labels"], json!({ "app": "x" }));
    let skip = |watch: &mut Watch| loop {
        // Secrets that were never selected may come as deleted; never as anything else.
        let line = watch.next_change().unwrap();
        if line["type"] != "DELETED" {
            return short(&line);
        }
    };
    assert_eq!(skip(&mut typed), "ADDED team-v");
    assert_eq!(skip(&mut prefixed), "ADDED team-v");
}

#[test]
fn a_watch_ends_when_its_time_is_over() {
    let Fresh { daemon: _daemon, home: _home, admin } = fresh();
    put(&admin, "ml", "a");
    let mut watch = admin.watch(&format!("{}&timeoutSeconds=1", watching("ml")));
    let mut lines: Vec<Value> = std::iter::from_fn(|| watch.next()).collect();
    lines.retain(|line| line["type"] != "BOOKMARK");
    assert_eq!(
        lines.iter().map(short).collect::<Vec<_>>(),
        ["ADDED a"],
        "an end in order, no error"
    );
    let longest = fresh_with(|serve| {
        serve.args(["--max-watch-seconds", "1"]);
    });
    let mut watch = longest.admin.watch(&format!("{}&timeoutSeconds=3600", watching("ml")));
    while watch.next().is_some() {}
}

#[test]
fn bookmarks_come_while_nothing_happens_and_name_where_to_go_on() {
    let Fresh { daemon: _daemon, home: _home, admin } = fresh_with(|serve| {
        serve.args(["--bookmark-seconds", "1"]);
    });
    admin.make_project("elsewhere");
    let mut watch = admin.watch(&watching("ml"));
    let (_, first) = watch.until_bookmark();
    put(&admin, "elsewhere", "a");
    let mut reached = first.clone();
    wait_until("a bookmark is ahead of the first", || {
        let line = watch.next().unwrap();
        assert_eq!(line["type"], "BOOKMARK");
        assert!(line["object"]["metadata"].get("initialEventsEnd").is_none());
        reached = line_version(&line);
        reached != first
    });
    put(&admin, "ml", "b");
    expect(&mut admin.watch(&from("ml", &reached)), &["ADDED b"]);
}

#[test]
fn a_token_that_is_revoked_or_expires_is_cut_off_with_its_last_version() {
    let Fresh { daemon: _daemon, home: _home, admin } = fresh();
    let wanted = |seconds: Option<u64>| {
        let mut wanted = json!({ "rights": [right("viewer", &["ml"])] });
        if let Some(seconds) = seconds {
            wanted["expiresInSeconds"] = json!(seconds);
        }
        wanted
    };
    let (revoked, id) = admin.mint(&wanted(None));
    let (expiring, _) = admin.mint(&wanted(Some(2)));
    let mut watches = [revoked.watch(&watching("ml")), expiring.watch(&watching("ml"))];
    for watch in &mut watches {
        watch.until_bookmark();
    }
    put(&admin, "ml", "a");
    let mut seen = Vec::new();
    for watch in &mut watches {
        seen.extend(expect(watch, &["ADDED a"]));
    }
    admin.delete(&format!("{TOKENS}/{id}")).expect(204);
    put(&admin, "ml", "b");
    let error = expect_error(&mut watches[0], 401);
    let at = error["object"]["resourceVersion"].as_str().unwrap();
    // Nothing of what was written after the end of the token was shown, and nothing is lost.
    expect(&mut admin.watch(&from("ml", at)), &["ADDED b"]);
    // The other one may have seen `b` before its time came.
    let deadline = Instant::now() + Duration::from_secs(30);
    let end = loop {
        let line = watches[1].next().expect("the watch ended without a word");
        assert!(Instant::now() < deadline, "an expired token still watches");
        if line["type"] == "ERROR" {
            break line;
        }
    };
    assert_eq!(end["object"]["status"], 401);
    assert!(watches[1].next().is_none());
}

#[test]
fn a_client_that_does_not_read_is_cut_off_and_delays_nobody() {
    let Fresh { daemon: _daemon, home: _home, admin } = fresh();
    let list = admin.get(&secrets("ml")).expect(200).json();
    let start = list["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let mut sleeper = admin.watch(&from("ml", &start));
    let mut reader = admin.watch(&from("ml", &start));
    let labels: serde_json::Map<_, _> =
        (0..64).map(|n| (format!("{}/l{n}", "p".repeat(200)), json!("v".repeat(63)))).collect();
    let body = json!({ "metadata": { "labels": labels }, "stringData": { "value": "v" } });
    let body = body.to_string();
    // More than what the sockets' buffers on both sides take; how long that is depends on the machine.
    let mut written = 0;
    let is_cut_off = || {
        let metrics = admin.get("/metrics").expect(200).text();
        metrics.lines().any(|line| line == "tresor_watches_cut_off_total 1")
    };
    while written % 20 != 0 || !is_cut_off() {
        assert!(written < 20_000, "the one who does not read is not cut off");
        let path = secret("ml", &format!("s{}", written % 50));
        let answer = admin.send("PUT", &path, JSON, body.as_bytes());
        assert!(answer.status < 300, "{}", answer.text());
        let line = reader.next_change().expect("the one who reads goes on");
        assert_eq!(line["object"]["metadata"]["name"], format!("s{}", written % 50));
        written += 1;
    }
    put(&admin, "ml", "last");
    let (mut count, mut at) = (0, start);
    while let Some(line) = sleeper.next() {
        match line["type"].as_str().unwrap() {
            "ERROR" => {
                assert_eq!(line["object"]["status"], 408);
                assert_eq!(line["object"]["resourceVersion"], at.as_str());
                break;
            }
            "BOOKMARK" => {}
            _ => {
                count += 1;
                at = line_version(&line);
            }
        }
    }
    assert!(count < written, "it was not sent all of it");
    let mut resumed = admin.watch(&from("ml", &at));
    while count < written {
        let line = resumed.next_change().unwrap();
        assert_eq!(line["object"]["metadata"]["name"], format!("s{}", count % 50));
        count += 1;
    }
    expect(&mut resumed, &["ADDED last"]);
}

#[test]
fn a_daemon_that_stops_ends_its_watches_and_does_not_wait_for_them() {
    let Fresh { daemon, home: _home, admin } = fresh();
    put(&admin, "ml", "a");
    let mut watches: Vec<_> = (0..5).map(|_| admin.watch(&watching("ml"))).collect();
    for watch in &mut watches {
        watch.until_bookmark();
    }
    let asked = Instant::now();
    daemon.terminate();
    for mut watch in watches {
        while let Some(line) = watch.next() {
            assert_ne!(line["type"], "ERROR", "a stop is an end in order: {line}");
        }
    }
    let ended = daemon.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stderr.contains("still in flight"), "{}", ended.stderr);
    assert!(asked.elapsed() < Duration::from_secs(15), "the drain waited for a watch");
}

#[test]
fn a_line_holds_no_value_key_or_description() {
    let Fresh { daemon: _daemon, home: _home, admin } = fresh();
    let (marker, key) = ("hf_M4rk3rThatIsNoLine", "M4RK3R_KEY");
    let mut watch = admin.watch(&watching("ml"));
    watch.until_bookmark();
    let path = secret("ml", "a");
    let body = json!({ "stringData": { key: marker } });
    admin.put(&path, &body).expect(201);
    admin.put(&path, &body).expect(200);
    admin.mint(&json!({ "description": marker, "rights": [right("viewer", &["ml"])] }));
    admin.post(&format!("{path}/actions/rollback"), &json!({ "version": 1 })).expect(200);
    admin.delete(&path).expect(204);
    let mut again = admin.watch(&watching("ml"));
    put(&admin, "ml", "end");
    for watch in [&mut watch, &mut again] {
        loop {
            let line = watch.next_text().unwrap();
            assert!(!line.contains("M4rk3r") && !line.contains("M4RK3R"), "{line}");
            if line.contains("\"end\"") {
                break;
            }
        }
    }
}
