//! How long after a write its line arrives at the last of some watchers, from the write's start and from
//! its acknowledgement (zero when the line was there first); and how fast one watcher gets what it has
//! missed.

use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use benches::{Connection, Daemon};
use criterion::{BenchmarkId, Criterion, Throughput};
use serde_json::Value;

const MISSED: usize = 1000;
/// No line takes this long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let daemon = Daemon::start();
    let mut connection = daemon.connect();
    let began = resource_version(&connection.list());

    let mut group = criterion.benchmark_group("missed_events");
    (0..MISSED).for_each(|_| _ = connection.put("missed"));
    group.throughput(Throughput::Elements(MISSED as u64));
    group.bench_function("watchers/1", |b| {
        b.iter(|| {
            let lines = daemon.connect().watch(&began);
            assert_eq!(lines.filter(|line| is_change(line)).take(MISSED).count(), MISSED);
        });
    });
    group.finish();

    for count in [1, 100] {
        let watchers = Watchers::start(&daemon, count);
        let mut delay = |name: &str, since: fn(&Write) -> Instant| {
            let mut group = criterion.benchmark_group(name);
            group.bench_function(BenchmarkId::new("watchers", count), |b| {
                b.iter_custom(|times| {
                    let delays = (0..times).map(|_| watchers.delay(&mut connection, since));
                    // A sample may not be empty.
                    delays.sum::<Duration>().max(Duration::from_nanos(1))
                });
            });
        };
        delay("start_to_line", |write| write.started);
        delay("acknowledgement_to_line", |write| write.acknowledged);
    }
    criterion.final_summary();
}

struct Write {
    started: Instant,
    acknowledged: Instant,
}

/// Threads that wait for lines.
struct Watchers {
    count: usize,
    arrivals: Receiver<(Instant, String)>,
}

impl Watchers {
    fn start(daemon: &Daemon, count: usize) -> Self {
        let (arrived, arrivals) = channel();
        let from = resource_version(&daemon.connect().list());
        for _ in 0..count {
            // The watch stands when its answer has begun.
            let (lines, arrived) = (daemon.connect().watch(&from), arrived.clone());
            thread::spawn(move || {
                for line in lines {
                    let arrival = Instant::now();
                    if is_change(&line) && arrived.send((arrival, resource_version(&line))).is_err()
                    {
                        return;
                    }
                }
            });
        }
        Self { count, arrivals }
    }

    /// Writes once, and waits until every watcher has the line.
    fn delay(&self, connection: &mut Connection, since: fn(&Write) -> Instant) -> Duration {
        let started = Instant::now();
        let answer = connection.put("watched");
        let write = Write { started, acknowledged: Instant::now() };
        let expected = resource_version(&answer);
        let arrivals = (0..self.count).map(|_| {
            let arrived = self.arrivals.recv_timeout(PATIENCE);
            let (arrival, version) = arrived.expect("a line comes to every watcher");
            assert_eq!(version, expected, "a line came twice or not at all");
            arrival
        });
        let last = arrivals.max().expect("there is a watcher");
        last.saturating_duration_since(since(&write))
    }
}

fn is_change(line: &str) -> bool {
    line.contains(r#""type":"ADDED""#) || line.contains(r#""type":"MODIFIED""#)
}

/// The resource version in an answer, or in a watch line's object.
fn resource_version(json: &str) -> String {
    let json: Value = serde_json::from_str(json).expect("the daemon answers JSON");
    let object = json.get("object").unwrap_or(&json);
    let version = object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
    version.expect("it has a resourceVersion").to_owned()
}
