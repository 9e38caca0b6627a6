//! What the measurements share: threads that do one thing often, and a daemon to talk to.

mod daemon;
mod wire;

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

pub use daemon::{Connection, Daemon, SECRETS, Stop};
use serde_json::{Value, json};
pub use wire::{Lines, Wire};

/// How long it takes until `times` acts are done by the workers, one thread each, that begin at once.
pub fn in_parallel<W: Send>(
    workers: &mut [W],
    times: u64,
    act: impl Fn(&mut W) + Sync,
) -> Duration {
    let (count, start) = (workers.len() as u64, Barrier::new(workers.len() + 1));
    let (start, act) = (&start, &act);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(workers)
            .map(|(index, worker)| {
                let share = times / count + u64::from(index < times % count);
                scope.spawn(move || {
                    start.wait();
                    (0..share).for_each(|_| act(worker));
                })
            })
            .collect();
        start.wait();
        let began = Instant::now();
        threads.into_iter().for_each(|thread| thread.join().expect("a worker failed"));
        began.elapsed()
    })
}

/// The middle of some times, what all but the slowest hundredth keep to, and the slowest.
pub fn distribution(mut times: Vec<Duration>) -> Value {
    times.sort_unstable();
    let millis = |time: &Duration| (time.as_secs_f64() * 1e5).round() / 100.0;
    let at = |percent: usize| times.get(times.len() * percent / 100).map(millis);
    json!({ "p50_ms": at(50), "p99_ms": at(99), "max_ms": times.last().map(millis) })
}
