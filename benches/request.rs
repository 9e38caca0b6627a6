//! Reading and writing a value of 1 KiB over HTTP, signed in, on connections that are kept. The clients
//! share the machine with the daemon.

use benches::{Connection, Daemon, in_parallel};
use criterion::{BenchmarkId, Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let daemon = Daemon::start();
    for connections in [1, 32] {
        let mut clients: Vec<_> = (0..connections)
            .map(|index| (daemon.connect(), format!("s{connections}-{index}")))
            .collect();
        // Each connection is open, and each secret has its full history, before anything is timed.
        in_parallel(&mut clients, 12 * connections, put);
        for (verb, act) in [("get", get as fn(&mut Client)), ("put", put)] {
            let mut group = criterion.benchmark_group(verb);
            group.throughput(Throughput::Elements(1));
            group.bench_function(BenchmarkId::new("connections", connections), |b| {
                b.iter_custom(|times| in_parallel(&mut clients, times, act));
            });
        }
    }
    criterion.final_summary();
}

type Client = (Connection, String);

fn get((connection, name): &mut Client) {
    assert!(connection.value(name).len() > 1024, "it is the value");
}

fn put((connection, name): &mut Client) {
    connection.put(name);
}
