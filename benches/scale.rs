//! What a store costs as it grows: `scale BYTES SIZE..` fills one with secrets of so many bytes, and says
//! at each size, a line of JSON each, how fast it is written, what it takes of memory and disk, how long
//! pages of 100 take, and how long a start; and at the last size, how fast it is written with a larger cache.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use benches::{Daemon, SECRETS, Stop, Wire, in_parallel};
use serde_json::{Value, json};

const CONNECTIONS: usize = 64;
/// How often what varies is measured; the median counts.
const ROUNDS: usize = 3;
/// How often writes are timed, which vary the most.
const WRITE_ROUNDS: usize = 5;
/// A cache in which a million secrets have room, in MiB; and how many writes bring most of them there.
const LARGE_CACHE: u32 = 2048;
const WARMING: u64 = 60_000;
/// How many writes are timed at once, where there are so many secrets.
const SAMPLE: u64 = 5000;
/// How often a page is turned.
const TURNS: usize = 200;
/// One in so many secrets has the label that is selected.
const RARE: u64 = 1000;
/// The largest page that is given.
const LARGEST: u64 = 1000;

fn main() {
    let numbers = std::env::args().skip(1).map(|text| text.parse());
    let numbers: Vec<u64> = numbers.collect::<Result<_, _>>().expect("usage: scale BYTES SIZE..");
    let (bytes, sizes) = numbers.split_first().expect("usage: scale BYTES SIZE..");
    let mut store =
        Store { daemon: Daemon::start(), value: "x".repeat(to_usize(*bytes)), count: 0 };
    for size in sizes {
        let figures = json!({
            "secrets": size,
            "value_bytes": bytes,
            "creates": store.grow(*size),
            "after_creates": store.takes(),
            "page_of_100": store.pages(),
            "selected_1_in_1000": store.selected(),
            "updates": store.updates(),
            "after_updates": store.takes(),
            "clean_stop": store.restarts(Stop::Clean),
            "kill": store.restarts(Stop::Kill),
            "after_start": store.takes(),
            "large_cache": (Some(size) == sizes.last()).then(|| store.cached_updates()),
        });
        writeln!(std::io::stdout(), "{figures}").expect("somebody reads it");
    }
}

struct Store {
    daemon: Daemon,
    value: String,
    count: u64,
}

impl Store {
    /// Makes secrets until there are so many. The last of them are timed.
    fn grow(&mut self, size: u64) -> Value {
        let (first, rounds) = (self.count, WRITE_ROUNDS as u64);
        let sample = SAMPLE.min((size - first) / rounds);
        let filled = self.create(size - first - rounds * sample);
        let took: Vec<_> = (0..rounds).map(|_| self.create(sample)).collect();
        let all = filled + took.iter().sum::<Duration>();
        json!({
            "per_s": took.iter().map(|took| per_second(sample, *took)).collect::<Vec<_>>(),
            "median_per_s": per_second(sample, median(took)),
            "since_last_size": self.count - first,
            "since_last_size_per_s": per_second(self.count - first, all),
        })
    }

    fn create(&mut self, times: u64) -> Duration {
        let next = AtomicU64::new(self.count);
        self.count += times;
        self.write(times, || next.fetch_add(1, Ordering::Relaxed))
    }

    /// Writes the next version of secrets here and there.
    fn updates(&self) -> Value {
        let next = AtomicU64::new(0);
        let took = (0..WRITE_ROUNDS).map(|_| {
            let anywhere = || self.anywhere(next.fetch_add(1, Ordering::Relaxed));
            self.write(SAMPLE, anywhere)
        });
        let took: Vec<_> = took.collect();
        json!({
            "per_s": took.iter().map(|took| per_second(SAMPLE, *took)).collect::<Vec<_>>(),
            "median_per_s": per_second(SAMPLE, median(took)),
        })
    }

    /// Writes the next versions when the store has a larger cache.
    fn cached_updates(&mut self) -> Value {
        self.daemon.stop(Stop::Clean);
        self.daemon.set_cache_mib(LARGE_CACHE);
        self.daemon.start_again();
        let next = AtomicU64::new(0);
        self.write(WARMING, || self.anywhere(next.fetch_add(1, Ordering::Relaxed)));
        let updates = self.updates();
        let rss = self.daemon.resident_kib();
        json!({ "cache_mib": LARGE_CACHE, "rss_kib": rss, "updates": updates })
    }

    /// The same secrets in each run, and no two neighbours one after the other.
    fn anywhere(&self, nth: u64) -> u64 {
        nth.wrapping_mul(2_654_435_761) % self.count
    }

    fn write(&self, times: u64, which: impl Fn() -> u64 + Sync) -> Duration {
        let mut wires: Vec<_> = (0..CONNECTIONS).map(|_| self.daemon.wire()).collect();
        in_parallel(&mut wires, times, |wire| self.put(wire, which()))
    }

    fn put(&self, wire: &mut Wire, number: u64) {
        let labels = if number.is_multiple_of(RARE) { r#"{"rare":"yes"}"# } else { "{}" };
        let value = &self.value;
        let body =
            format!(r#"{{"metadata":{{"labels":{labels}}},"stringData":{{"v":"{value}"}}}}"#);
        wire.call("PUT", &format!("{SECRETS}/{}", name(number)), &body);
    }

    /// What the store takes at the moment.
    fn takes(&self) -> Value {
        let (store, audit) = self.daemon.disk_bytes();
        let rss = self.daemon.resident_kib();
        json!({ "rss_kib": rss, "store_bytes": store, "audit_bytes": audit })
    }

    /// How long a page takes at the beginning, in the middle and at the end, on one connection.
    fn pages(&self) -> Value {
        let mut wire = self.daemon.wire();
        // To know where the middle is, one has to go there.
        let began = Instant::now();
        let (mut starts, mut next) = (Vec::new(), None);
        loop {
            let page = page(&mut wire, LARGEST, "", next.as_deref());
            starts.push(next);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        let whole = began.elapsed();
        let middle = starts.get(starts.len() / 2).cloned().flatten();
        let last = starts.pop().flatten();
        let nearly = page(&mut wire, LARGEST - 100, "", last.as_deref()).next;
        json!({
            "first": self.turn(&mut wire, "", None),
            "middle": self.turn(&mut wire, "", middle.as_deref()),
            "last": self.turn(&mut wire, "", nearly.as_deref()),
            "all_in_pages_of_1000_ms": millis(whole),
        })
    }

    /// How long a page takes of those that have a rare label, and all of them together. One request
    /// looks at so many secrets and no more, so that pages are short.
    fn selected(&self) -> Value {
        let mut wire = self.daemon.wire();
        let query = "&labelSelector=rare%3Dyes";
        let (began, mut found, mut requests) = (Instant::now(), 0, 0);
        let mut next = None;
        loop {
            let page = page(&mut wire, 100, query, next.as_deref());
            (found, requests, next) = (found + page.items, requests + 1, page.next);
            if next.is_none() {
                break;
            }
        }
        let all = began.elapsed();
        assert_eq!(found, self.count.div_ceil(RARE), "each of them is found");
        json!({
            "page": self.turn(&mut wire, query, None),
            "found": found,
            "requests_for_all": requests,
            "all_ms": millis(all),
        })
    }

    fn turn(&self, wire: &mut Wire, query: &str, from: Option<&str>) -> Value {
        let path = page_path(100, query, from);
        let took = (0..TURNS).map(|_| {
            let began = Instant::now();
            wire.call("GET", &path, "");
            began.elapsed()
        });
        let mut took: Vec<_> = took.collect();
        took.sort();
        let at = |percent: usize| took.get(took.len() * percent / 100).copied().map(millis);
        json!({ "p50_ms": at(50), "p99_ms": at(99) })
    }

    /// How long it takes to stop, and from the start until the value of a secret is read, after some
    /// have been written.
    fn restarts(&mut self, how: Stop) -> Value {
        let rounds = (0..ROUNDS).map(|_| {
            let next = AtomicU64::new(0);
            self.write(100, || self.anywhere(next.fetch_add(1, Ordering::Relaxed)));
            let stopping = Instant::now();
            self.daemon.stop(how);
            let (stop, starting) = (stopping.elapsed(), Instant::now());
            self.daemon.start_again();
            let path = format!("{SECRETS}/{}/data", name(self.count / 2));
            self.daemon.wire().call("GET", &path, "");
            (stop, starting.elapsed())
        });
        let (stops, starts): (Vec<_>, Vec<_>) = rounds.unzip();
        json!({
            "stop_ms": stops.iter().copied().map(millis).collect::<Vec<_>>(),
            "start_to_first_read_ms": starts.iter().copied().map(millis).collect::<Vec<_>>(),
            "median_start_to_first_read_ms": millis(median(starts)),
        })
    }
}

struct Page {
    items: u64,
    next: Option<String>,
}

fn page(wire: &mut Wire, limit: u64, query: &str, from: Option<&str>) -> Page {
    let text = wire.call("GET", &page_path(limit, query, from), "");
    let (_, next) = text.split_once(r#""continue":""#).unzip();
    let next = next.and_then(|rest| rest.split('"').next()).map(str::to_owned);
    Page { items: text.matches(r#""name":"s-"#).count() as u64, next }
}

fn page_path(limit: u64, query: &str, from: Option<&str>) -> String {
    let from = from.map(|from| format!("&continue={from}")).unwrap_or_default();
    format!("{SECRETS}?limit={limit}{query}{from}")
}

fn name(number: u64) -> String {
    format!("s-{number:07}")
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().expect("there is one")
}

fn per_second(times: u64, took: Duration) -> u64 {
    (times as f64 / took.as_secs_f64()).round() as u64
}

/// Of a thousandth of a millisecond, nothing is left.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).expect("it fits into memory")
}
