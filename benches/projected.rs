//! How long after a write was acknowledged its value is in a real kube-apiserver, with many secrets there:
//! `projected SECRETS WRITES_PER_S SECONDS`, one JSON object. A write has arrived when a watch of `kubectl`,
//! a process of its own beside the daemon, shows its value.

#[path = "../crates/tresor/src/cluster.rs"]
#[expect(dead_code, unreachable_pub, reason = "others do more with a cluster, and from elsewhere")]
mod cluster;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use benches::{Daemon, SECRETS, Wire, distribution, in_parallel};
use cluster::{Assets, Cluster};
use serde_json::{Value, json};

const USAGE: &str = "usage: projected SECRETS WRITES_PER_S SECONDS";
const NAMESPACE: &str = "bench";
const CONNECTIONS: usize = 16;
/// No value takes this long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a watch may take to show something, once it stands.
const SHOWN_WITHIN: Duration = Duration::from_millis(500);
/// All of them are there within this.
const FILLED_WITHIN: Duration = Duration::from_secs(600);

fn main() {
    let numbers = std::env::args().skip(1).map(|text| text.parse());
    let numbers: Vec<u32> = numbers.collect::<Result<_, _>>().expect(USAGE);
    let [secrets, rate, seconds] = numbers.try_into().expect(USAGE);
    let assets = Assets::find().expect("tests/setup/kubernetes.sh gets kube-apiserver and etcd");
    let dir = tempfile::tempdir().expect("a directory is made");
    let cluster = Cluster::start(&assets, dir.path()).expect("kube-apiserver starts");
    let made = cluster.kubectl(&["create", "namespace", NAMESPACE]).expect("kubectl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let rules = json!({ "projectionRules": [{ "mode": "each", "namespace": NAMESPACE }] });
    let daemon = Daemon::start_projecting(&cluster.kubeconfig(), &rules.to_string());
    let (began, next) = (Instant::now(), AtomicU32::new(0));
    let mut wires: Vec<_> = (0..CONNECTIONS).map(|_| daemon.wire()).collect();
    in_parallel(&mut wires, secrets.into(), |wire| {
        put(wire, next.fetch_add(1, Ordering::Relaxed), "before");
    });
    let mut wire = daemon.wire();
    while synced(&mut wire) < secrets.into() {
        assert!(began.elapsed() < FILLED_WITHIN, "{} of them are there", synced(&mut wire));
        thread::sleep(Duration::from_millis(200));
    }
    let filled = began.elapsed();

    let watch = Watch::start(&cluster, &mut wire);
    let writes = rate * seconds;
    let (between, began) = (Duration::from_secs(1) / rate, Instant::now());
    let written = (0..writes).map(|turn| {
        thread::sleep((began + between * turn).saturating_duration_since(Instant::now()));
        let started = Instant::now();
        // No two neighbours one after the other.
        put(&mut wire, turn.wrapping_mul(7919) % secrets, &value(turn));
        (started, Instant::now())
    });
    let written: Vec<_> = written.collect();
    let took = began.elapsed();
    let arrived = watch.of(writes);
    let delays = |since: fn(&(Instant, Instant)) -> Instant| {
        let pairs = written.iter().zip(&arrived);
        distribution(pairs.map(|(write, at)| at.saturating_duration_since(since(write))).collect())
    };
    let figures = json!({
        "secrets": secrets,
        "all_projected_first_ms": filled.as_millis(),
        "writes": writes,
        "writes_per_s": (f64::from(writes) / took.as_secs_f64() * 10.0).round() / 10.0,
        "acknowledgement_to_kubernetes": delays(|write| write.1),
        "write_start_to_kubernetes": delays(|write| write.0),
        "write": distribution(written.iter().map(|(started, done)| *done - *started).collect()),
        "rss_kib": daemon.resident_kib(),
    });
    writeln!(std::io::stdout(), "{figures}").expect("somebody reads it");
}

fn put(wire: &mut Wire, number: u32, value: &str) {
    let body = json!({ "stringData": { "v": value } }).to_string();
    wire.call("PUT", &format!("{SECRETS}/s-{number:05}"), &body);
}

fn value(turn: u32) -> String {
    format!("write-{turn}")
}

/// How many Kubernetes Secrets are as they should be.
fn synced(wire: &mut Wire) -> u64 {
    let status = wire.call("GET", "/tresor/v1/sync", "");
    let status: Value = serde_json::from_str(&status).expect("the daemon answers JSON");
    status.pointer("/projections/Synced").and_then(Value::as_u64).unwrap_or(0)
}

/// `kubectl get --watch`, and what it prints.
struct Watch {
    kubectl: Child,
    lines: Receiver<(Instant, String)>,
}

impl Watch {
    /// Begins to watch; it stands when this returns.
    fn start(cluster: &Cluster, wire: &mut Wire) -> Self {
        let mut command =
            cluster.kubectl_command(&["get", "secrets", "-n", NAMESPACE, "--watch-only"]);
        command.args(["-o", r#"go-template={{.data.v | base64decode}}{{"\n"}}"#]);
        let mut kubectl = command.stdout(Stdio::piped()).spawn().expect("kubectl runs");
        let stdout = BufReader::new(kubectl.stdout.take().expect("it is piped"));
        let (arrived, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if arrived.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        // It says nothing by itself, so something is written until it shows that.
        let began = Instant::now();
        while lines.recv_timeout(SHOWN_WITHIN).is_err() {
            assert!(began.elapsed() < PATIENCE, "kubectl shows nothing");
            put(wire, 0, &format!("shown-{}", began.elapsed().as_millis()));
        }
        Self { kubectl, lines }
    }

    /// When each of so many writes was seen first.
    fn of(mut self, writes: u32) -> Vec<Instant> {
        let mut seen = HashMap::new();
        let arrived = (0..writes).map(|turn| {
            let wanted = value(turn);
            while !seen.contains_key(&wanted) {
                let (at, line) = self.lines.recv_timeout(PATIENCE).expect("each write arrives");
                seen.entry(line).or_insert(at);
            }
            seen.remove(&wanted).expect("it was just seen")
        });
        let arrived = arrived.collect();
        // It ends with this process in any case.
        let _ = self.kubectl.kill().and_then(|()| self.kubectl.wait());
        arrived
    }
}
