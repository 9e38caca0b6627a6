//! What an operator sees from outside: probes, metrics and logs.

use serde_json::{Value, json};

use crate::client::{Actor, opaque, project, secret, secrets};
use crate::harness::{Fresh, fresh, fresh_with, wait_until};

/// One sample of an OpenMetrics text: its name, its labels and its number.
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Sample {
    fn label(&self, name: &str) -> &str {
        let found = self.labels.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }
}

/// Reads a text in the OpenMetrics format, version 1.0.0: each family is declared once and before
/// its samples, which stand together; the text ends with `# EOF`.
#[track_caller]
fn open_metrics(text: &str) -> Vec<Sample> {
    let body = text.strip_suffix("# EOF\n").expect("the text ends with # EOF");
    let (mut families, mut samples) = (Vec::<String>::new(), Vec::new());
    for line in body.lines() {
        if let Some(declared) = line.strip_prefix("# ") {
            let [what, family, said] = declared.splitn(3, ' ').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            assert!(["HELP", "TYPE", "UNIT"].contains(&what) && !said.is_empty(), "{line}");
            if families.last().is_none_or(|last| last != family) {
                assert!(!families.iter().any(|known| known == family), "twice: {line}");
                families.push(family.to_owned());
            }
            continue;
        }
        let sample = sample(line);
        let family = families.last().expect("a sample has a family");
        let rest = sample.name.strip_prefix(family.as_str());
        let suffixes = ["", "_total", "_sum", "_count", "_bucket", "_info", "_created"];
        assert!(rest.is_some_and(|rest| suffixes.contains(&rest)), "{line} in {family}");
        samples.push(sample);
    }
    samples
}

#[track_caller]
fn sample(line: &str) -> Sample {
    let (head, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
    let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
    let (name, labels) = match head.split_once('{') {
        None => (head, ""),
        Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
    };
    assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{line}");
    // None of our labels holds a comma or a quotation mark.
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap();
        let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap();
        (key.to_owned(), value.to_owned())
    };
    let labels = labels.split(',').filter(|pair| !pair.is_empty()).map(pair).collect();
    Sample { name: name.to_owned(), labels, value }
}

#[track_caller]
fn metrics(actor: &Actor) -> Vec<Sample> {
    let answer = actor.get("/metrics").expect(200);
    let kind = answer.header("content-type").unwrap();
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    open_metrics(&answer.text())
}

#[test]
fn requests_are_counted_by_the_pattern_of_their_route() {
    let Fresh { daemon, home: _home, admin } = fresh();
    let anonymous = daemon.anonymous();
    let count = |method: &str, route: &str, status: &str| {
        let samples = metrics(&anonymous);
        let is_wanted = |s: &&Sample| {
            s.name == "tresor_http_requests_total"
                && (s.label("method"), s.label("route"), s.label("status"))
                    == (method, route, status)
        };
        samples.iter().filter(is_wanted).map(|s| s.value as u64).sum::<u64>()
    };
    const SECRET: &str = "/tresor/v1/orgs/{org}/projects/{project}/secrets/{name}";
    for name in ["a", "b", "c"] {
        admin.put(&secret("ml", name), &opaque("v")).expect(201);
    }
    admin.put(&secret("ml", "a"), &opaque("v")).expect(200);
    admin.get(&secret("ml", "missing")).problem(404, "not-found");
    admin.get("/nowhere").problem(404, "not-found");
    admin.send("FROBNICATE", &secret("ml", "a"), &[], b"").problem(405, "method-not-allowed");
    assert_eq!(count("PUT", SECRET, "201"), 3);
    assert_eq!(count("PUT", SECRET, "200"), 1);
    assert_eq!(count("GET", SECRET, "404"), 1);
    assert_eq!(count("GET", "none", "404"), 1);
    assert_eq!(count("other", SECRET, "405"), 1);
    let samples = metrics(&anonymous);
    let value = |name: &str| samples.iter().find(|s| s.name == name).unwrap().value;
    assert_eq!(value("tresor_store_writable"), 1.0);
    let listed = admin.get(&secrets("ml")).expect(200).json();
    let revision: f64 = listed["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    assert_eq!(value("tresor_store_revision"), revision);
}

#[test]
fn open_watches_and_their_lines_are_counted() {
    let Fresh { daemon: _daemon, home: _home, admin } = fresh();
    let value = |name: &str| metrics(&admin).iter().find(|s| s.name == name).unwrap().value;
    let mut watch = admin.watch(&format!("{}?watch=true", secrets("ml")));
    watch.until_bookmark();
    assert_eq!(value("tresor_watches_open"), 1.0);
    let before = value("tresor_watch_lines_total");
    admin.put(&secret("ml", "a"), &opaque("v")).expect(201);
    watch.next_change().unwrap();
    assert_eq!(value("tresor_watch_lines_total"), before + 1.0);
    drop(watch);
    wait_until("the place of the watch is free", || value("tresor_watches_open") == 0.0);
}

#[test]
fn metrics_move_to_an_address_of_their_own() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let Fresh { daemon: _daemon, home: _home, admin } = fresh_with(|serve| {
        serve.args(["--metrics-listen", &address.to_string()]);
    });
    admin.get("/metrics").problem(404, "not-found");
    let scraper = Actor::anonymous(address);
    assert!(metrics(&scraper).iter().any(|sample| sample.name == "tresor_http_requests_total"));
    for path in ["/healthz", "/tresor/v1/whoami", &project("ml")] {
        scraper.get(path).problem(404, "not-found");
    }
}

#[test]
fn each_line_of_a_json_log_is_an_object() {
    let Fresh { daemon, home: _home, admin } = fresh_with(|serve| {
        serve.args(["--log-format", "json", "--log", "debug"]);
    });
    admin.put(&secret("ml", "a"), &opaque("v")).expect(201);
    let ended = daemon.stop();
    let lines: Vec<Value> =
        ended.stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let served = lines.iter().map(|line| &line["fields"]);
    let mut served = served.filter(|fields| fields["message"] == "request served");
    assert!(served.any(|fields| fields["http.method"] == "PUT" && fields["http.status"] == 201));
    for line in &lines {
        assert!(line.is_object() && line["timestamp"].is_string() && line["level"].is_string());
    }
}

#[test]
fn a_probe_says_so_when_the_daemon_stops() {
    let Fresh { daemon, home: _home, admin } = fresh();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(admin.get(path).expect(200).json(), json!({ "status": "ok" }));
    }
    // A connection that is in use while the daemon stops is served to the end of its request.
    let mut probe = crate::client::Connection::open(daemon.address).unwrap();
    let request = crate::client::request("GET", "/readyz", &[], b"");
    probe.send(&request[..request.len() - 2]).unwrap();
    wait_until("the request is being read", || probe.stream().peer_addr().is_ok());
    std::thread::sleep(std::time::Duration::from_millis(300));
    daemon.terminate();
    wait_until("the listener is closed", || std::net::TcpStream::connect(daemon.address).is_err());
    probe.send(&request[request.len() - 2..]).unwrap();
    let answer = probe.receive().unwrap();
    answer.problem(503, "busy");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(daemon.wait().code, Some(0));
}
