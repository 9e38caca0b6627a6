//! What stays in the memory of the whole daemon, no value of a secret once nobody uses it; and that none of it
//! reaches swap.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use nix::unistd::Uid;
use serde_json::{Value, json};

use crate::client::{Actor, opaque, secret};
use crate::harness::{Daemon, clean, fresh, fresh_with, wait_until};
use crate::leaks::{Marked, marker};

/// The readable memory of a process, a piece for each mapping that has one.
pub(crate) fn pieces(daemon: &Daemon) -> Vec<(String, Vec<u8>)> {
    let pid = daemon.pid().as_raw();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let file = File::open(format!("/proc/{pid}/mem")).unwrap();
    let piece = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
        // What the kernel keeps there for itself cannot be read.
        let readable = rest.starts_with('r') && file.read_exact_at(&mut bytes, start).is_ok();
        readable.then(|| (line.to_owned(), bytes))
    };
    maps.lines().filter_map(piece).collect()
}

/// Writes the value through each interface, and reads it where that shows values.
fn through_all_surfaces(client: &Actor, n: usize, value: &str) {
    let name = format!("n{n}");
    let done = |answer: crate::client::Answer| {
        assert!(answer.status < 300, "{} {}", answer.status, answer.text());
        answer
    };
    let item =
        json!({ "name": name, "action": "create", "type": "opaque", "data": { "k": value } });
    done(client.post("/secrets/", &json!({ "secrets_payload": [item] })));
    let params = json!([{ "username": "u", "password": value }]);
    done(client.post("/api/v1/secrets", &json!({ "name": name, "type": "ssh", "params": params })));
    done(client.get(&format!("/api/v1/secrets/{name}")));
    let apolo = json!({ "key": name, "value": STANDARD.encode(value), "org_name": "default",
                        "project_name": "ml" });
    done(client.post("/apolo/api/v1/secrets", &apolo));
    done(client.get(&format!("/apolo/api/v1/secrets/{name}?org_name=default&project_name=ml")));
    let hub = "/api/v1/-/ml/secrets/data";
    done(client.put(hub, &json!({ &name: value })));
    done(client.get(&format!("{hub}?keys={name}")));
    let chariot = "/api/identity/v2/settings/project/ml";
    let setting = json!({ "name": format!("c{n}"), "_type": "secret/Custom", "value": value });
    let made: Value = done(client.post(chariot, &setting)).json();
    let key = made["_key"].as_str().unwrap();
    done(client.get(&format!("{chariot}/{key}?decrypt=true")));
}

/// How much of the process is locked, and how much there is in memory at all (proc_pid_status(5)).
fn locked_and_resident(daemon: &Daemon) -> [u64; 2] {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    ["VmLck:", "VmRSS:"].map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    })
}

#[test]
fn the_daemon_keeps_its_memory_out_of_swap_where_it_may() {
    if !Uid::effective().is_root() {
        eprintln!("SKIPPED: only root may lock as much memory as it likes");
        return;
    }
    let allowed = fresh();
    let [locked, resident] = locked_and_resident(&allowed.daemon);
    // The mappings count as a whole, as much as is there of them or not.
    assert!(locked >= resident, "{locked} kB are locked of {resident} kB");
    wait_until("it says so", || {
        allowed.daemon.said().contains("no page of this process is swapped")
    });

    // As a container runs it, with the limit that Linux had for decades.
    let limited = fresh_with(|serve| {
        let mut without = Command::new("setpriv");
        without.args(["--bounding-set", "-ipc_lock", "prlimit", "--memlock=65536:65536"]);
        without.arg(serve.get_program()).args(serve.get_args());
        clean(&mut without);
        *serve = without;
    });
    assert_eq!(locked_and_resident(&limited.daemon)[0], 0);
    wait_until("it warns", || limited.daemon.said().contains("CAP_IPC_LOCK or an unlimited"));
    limited.admin.get("/tresor/v1/orgs/default/projects/ml").expect(200);
}

#[test]
fn no_value_stays_in_the_daemons_memory_when_nobody_uses_it() {
    if !Uid::effective().is_root() {
        // The daemon shuts all others out, which is what makes this hard to look at.
        eprintln!("SKIPPED: only root can look into the daemon's memory");
        return;
    }
    let fresh = fresh();
    let text = marker("memory");
    let marked = Marked::new("the value", &text);
    {
        let client = fresh.admin.again();
        for n in 0..1000 {
            let path = secret("ml", &format!("s{}", n % 50));
            let written = client.put(&path, &opaque(&text));
            assert!(written.status < 300, "{}", written.text());
            client.get(&format!("{path}/data")).expect(200);
        }
        for n in 0..20 {
            through_all_surfaces(&client, n, &text);
        }
    }
    // Until the daemon has seen that the connection is closed, and has let its buffers go.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let all = pieces(&fresh.daemon);
    for (place, bytes) in &all {
        for spelling in marked.spellings() {
            let found = memmem::find(bytes, spelling);
            assert_eq!(found, None, "{place}: {}", String::from_utf8_lossy(spelling));
        }
    }
    // The search finds what is there.
    let there = fresh.home.data.to_str().unwrap().as_bytes();
    assert!(all.iter().any(|(_, bytes)| memmem::find(bytes, there).is_some()));
}
