//! Many watchers, and fast ones, as one JSON object a run:
//!
//! * `watchers paced WATCHERS WRITES_PER_S SECONDS`: how long after a write its line arrives at each
//!   watcher, and whether each got each change once and in order;
//! * `watchers stalled WATCHERS`: what happens to watchers that read nothing, and to one that does.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use benches::{Daemon, SECRETS, Wire, distribution};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

const CONNECTIONS: usize = 64;
/// How many secrets are written to.
const SECRETS_WRITTEN: u64 = 1000;
/// No line takes this long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Who stalls is cut off in less.
const STALLED_SECONDS: u64 = 90;

fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let (mode, numbers) = args.split_first().expect(USAGE);
    let numbers: Vec<u64> =
        numbers.iter().map(|text| text.parse()).collect::<Result<_, _>>().expect(USAGE);
    let figures = match (mode.as_str(), numbers.as_slice()) {
        ("paced", [watchers, rate, seconds]) => Some(paced(*watchers, *rate, rate * seconds)),
        ("stalled", [watchers]) => Some(stalled(*watchers)),
        _ => None,
    };
    let figures = figures.expect(USAGE);
    writeln!(std::io::stdout(), "{figures}").expect("somebody reads it");
}

const USAGE: &str = "usage: watchers paced WATCHERS WRITES_PER_S SECONDS | stalled WATCHERS";

fn paced(watchers: u64, rate: u64, writes: u64) -> Value {
    let daemon = Daemon::start();
    prepare(&daemon);
    let before = daemon.resident_kib();
    let watching = Watching::start(&daemon, watchers, Some(to_usize(writes)));
    let (pace, began) = (Pace::new(rate, writes), Instant::now());
    let mut written = pace.write(&daemon);
    let took = began.elapsed();
    let after = daemon.resident_kib();
    let seen = watching.wait();

    written.sort_by_key(|write| write.version);
    let versions: Vec<_> = written.iter().map(|write| write.version).collect();
    let right = |watcher: &&Vec<Arrival>| {
        watcher.iter().map(|line| line.version).eq(versions.iter().copied())
    };
    let by_version: HashMap<_, _> = written.iter().map(|write| (write.version, write)).collect();
    let delays = |since: fn(&Written) -> Instant| {
        let lines = seen.iter().flatten();
        let known = lines.filter_map(|line| Some((line, by_version.get(&line.version)?)));
        distribution(
            known.map(|(line, write)| line.at.saturating_duration_since(since(write))).collect(),
        )
    };
    json!({
        "watchers": watchers,
        "writes": writes,
        "writes_per_s_wanted": rate,
        "writes_per_s": (writes as f64 / took.as_secs_f64()).round(),
        "lines_received": seen.iter().map(Vec::len).sum::<usize>(),
        "watchers_with_each_change_once_in_order": seen.iter().filter(right).count(),
        "write_start_to_line": delays(|write| write.started),
        "acknowledgement_to_line": delays(|write| write.acknowledged),
        "write": distribution(written.iter().map(|write| write.acknowledged - write.started).collect()),
        "rss_kib_before": before,
        "rss_kib_after": after,
    })
}

fn stalled(watchers: u64) -> Value {
    let daemon = Daemon::start();
    prepare(&daemon);
    let before = daemon.resident_kib();
    let from = resource_version(&daemon.wire().call("GET", &format!("{SECRETS}?limit=1"), ""));
    let mut sleepers: Vec<_> = (0..watchers).map(|_| daemon.watch(&from.to_string())).collect();
    let reader = Watching::start(&daemon, 1, None);
    let pace = Pace::new(1_000_000, u64::MAX);
    let (began, mut most) = (Instant::now(), before);
    let (written, cut_off_after) = thread::scope(|scope| {
        let writing = scope.spawn(|| pace.write(&daemon));
        let mut wire = daemon.wire();
        let cut_off = format!("tresor_watches_cut_off_total {watchers}");
        let is_cut_off = loop {
            thread::sleep(Duration::from_millis(100));
            most = most.max(daemon.resident_kib());
            let metrics = wire.call("GET", "/metrics", "");
            let is_cut_off = metrics.lines().any(|line| line == cut_off);
            if is_cut_off || began.elapsed().as_secs() > STALLED_SECONDS {
                break is_cut_off;
            }
        };
        let after = is_cut_off.then(|| began.elapsed().as_secs_f64());
        pace.stop.store(true, Ordering::Relaxed);
        (writing.join().expect("writes succeed"), after)
    });
    let seen = reader.stop();
    let told = sleepers.iter_mut().map(last_words).filter(|told| *told).count();
    let mut versions: Vec<_> = written.iter().map(|write| write.version).collect();
    versions.sort_unstable();
    let read: Vec<_> = seen.iter().flatten().map(|line| line.version).collect();
    json!({
        "stalled": watchers,
        "all_cut_off_after_s": cut_off_after,
        "told_where_to_go_on": told,
        "writes_meanwhile": written.len(),
        "reader_had_each_change_once_in_order": versions == read,
        "rss_kib_before": before,
        "rss_kib_most": most,
    })
}

/// Whether what a watcher finds that wakes up late ends with an error that names the last line's version.
fn last_words(lines: &mut benches::Lines) -> bool {
    let (mut at, mut told) = (0, None);
    for line in lines {
        match is_change(line.as_bytes()) {
            true => at = resource_version(&line),
            false => told = Some(line),
        }
    }
    told.is_some_and(|told| told.contains(r#""type":"ERROR""#) && resource_version(&told) == at)
}

/// Makes the secrets that are written to, so that all writes cost the same.
fn prepare(daemon: &Daemon) {
    Pace::new(1_000_000, SECRETS_WRITTEN).write(daemon);
}

struct Written {
    version: u64,
    started: Instant,
    acknowledged: Instant,
}

/// Writes at a rate, as long as the daemon keeps up with it.
struct Pace {
    between: Duration,
    writes: u64,
    next: AtomicU64,
    stop: AtomicBool,
}

impl Pace {
    fn new(rate: u64, writes: u64) -> Self {
        let (between, next) =
            (Duration::from_secs(1) / u32::try_from(rate).expect(USAGE), AtomicU64::new(0));
        Self { between, writes, next, stop: AtomicBool::new(false) }
    }

    fn write(&self, daemon: &Daemon) -> Vec<Written> {
        let began = Instant::now();
        thread::scope(|scope| {
            let writers: Vec<_> = (0..CONNECTIONS)
                .map(|_| scope.spawn(|| self.take_turns(&mut daemon.wire(), began)))
                .collect();
            writers.into_iter().flat_map(|writer| writer.join().expect("writes succeed")).collect()
        })
    }

    fn take_turns(&self, wire: &mut Wire, began: Instant) -> Vec<Written> {
        let value = "x".repeat(200);
        let body = format!(r#"{{"stringData":{{"v":"{value}"}}}}"#);
        let mut written = Vec::new();
        loop {
            let turn = self.next.fetch_add(1, Ordering::Relaxed);
            if turn >= self.writes || self.stop.load(Ordering::Relaxed) {
                return written;
            }
            let due = began + self.between.saturating_mul(u32::try_from(turn).unwrap_or(u32::MAX));
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let started = Instant::now();
            let path = format!("{SECRETS}/s-{:07}", turn % SECRETS_WRITTEN);
            let version = resource_version(&wire.call("PUT", &path, &body));
            written.push(Written { version, started, acknowledged: Instant::now() });
        }
    }
}

struct Arrival {
    version: u64,
    at: Instant,
}

/// Watchers that are all served by one thread, so that they leave the machine to the daemon.
struct Watching {
    runtime: Runtime,
    watchers: JoinSet<Vec<Arrival>>,
    stop: Arc<AtomicBool>,
}

impl Watching {
    /// Begins to watch. A watcher ends when it has as many lines as it wants.
    fn start(daemon: &Daemon, count: u64, wanted: Option<usize>) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a thread is made");
        let from = resource_version(&daemon.wire().call("GET", &format!("{SECRETS}?limit=1"), ""));
        let (mut watchers, stop) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
        let mut begun = Vec::new();
        for _ in 0..count {
            // Without a chunk's head and tail, which a watcher would have to take out first.
            let stream = daemon.watch(&from.to_string()).into_stream();
            stream.set_nonblocking(true).expect("a socket can do that");
            let (tell, told) = oneshot::channel();
            let stop = stop.clone();
            begun.push(told);
            let watch = async move {
                let stream = TcpStream::from_std(stream).expect("it is a socket");
                // Whoever started it has gone when that failed.
                let _ = tell.send(());
                watch(stream, wanted.unwrap_or(usize::MAX), &stop).await
            };
            watchers.spawn_on(watch, runtime.handle());
        }
        for told in begun {
            runtime.block_on(told).expect("a watch begins");
        }
        Self { runtime, watchers, stop }
    }

    /// What each watcher has got when it has all that it wants, or has waited too long.
    fn wait(mut self) -> Vec<Vec<Arrival>> {
        let all = async {
            let mut all = Vec::new();
            while let Some(seen) = self.watchers.join_next().await {
                all.push(seen.expect("a watcher does not fail"));
            }
            all
        };
        self.runtime.block_on(all)
    }

    /// The same, once nothing has come for a while.
    fn stop(self) -> Vec<Vec<Arrival>> {
        self.stop.store(true, Ordering::Relaxed);
        self.wait()
    }
}

async fn watch(stream: TcpStream, wanted: usize, stop: &AtomicBool) -> Vec<Arrival> {
    let (mut arrivals, mut rest, mut buffer) = (Vec::new(), Vec::new(), vec![0; 64 << 10]);
    let mut waiting = Instant::now();
    while arrivals.len() < wanted {
        match tokio::time::timeout(Duration::from_secs(2), stream.readable()).await {
            Ok(Ok(())) => waiting = Instant::now(),
            Ok(Err(_)) => break,
            Err(_) if stop.load(Ordering::Relaxed) || waiting.elapsed() > PATIENCE => break,
            Err(_) => continue,
        }
        let count = match stream.try_read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => break,
        };
        let at = Instant::now();
        rest.extend_from_slice(buffer.get(..count).expect("that much was read"));
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines = rest.drain(..whole).collect::<Vec<_>>();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| is_change(line)) {
            let line = std::str::from_utf8(line).expect("the daemon sends text");
            arrivals.push(Arrival { version: resource_version(line), at });
        }
    }
    arrivals
}

fn is_change(line: &[u8]) -> bool {
    line.starts_with(br#"{"type":"ADDED""#) || line.starts_with(br#"{"type":"MODIFIED""#)
}

/// The first resource version in an answer or a line; nothing else is looked at.
fn resource_version(json: &str) -> u64 {
    let rest = json.split_once(r#""resourceVersion":""#).map(|(_, rest)| rest);
    let text = rest.and_then(|rest| rest.split('"').next());
    text.and_then(|text| text.parse().ok()).expect("it has a resourceVersion")
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).expect("it fits into memory")
}
