//! What was acknowledged is on the disk: before the answer, after a kill, and on a full disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Actor, decoded, opaque, secret, secrets};
use crate::harness::{Daemon, Fresh, Home, fresh, long, run, skip, wait_until};

#[test]
fn an_answer_is_sent_after_the_sync_of_what_it_acknowledges() {
    if Command::new("strace").arg("-V").output().is_err() {
        return skip("strace is not installed");
    }
    let home = Home::empty();
    let token = home.init();
    let trace = home.data.with_extension("trace");
    let mut strace = Command::new("strace");
    // -D: the tracer is the grandchild, so that the child is the daemon, for signals and exit code.
    strace.args(["-D", "-f", "-y", "-s", "40", "-o"]).arg(&trace);
    strace.args(["-e", "trace=read,recvfrom,readv,write,writev,sendto,sendmsg,pwrite64,pwritev,fsync,fdatasync,msync"]);
    let serve = home.serve();
    strace.arg(serve.get_program()).args(serve.get_args());
    let daemon = match Daemon::try_start(&mut strace) {
        Ok(daemon) => daemon,
        Err(ended) => return skip(&format!("strace cannot trace here: {}", ended.stderr)),
    };
    let admin = daemon.actor(&token);
    admin.make_project("ml");
    admin.put(&secret("ml", "hf"), &opaque("x")).expect(201);
    daemon.stop();
    wait_until("strace has written all", || {
        fs::read_to_string(&trace).unwrap().contains("+++ exited with 0")
    });

    let calls = Call::parse_all(&fs::read_to_string(&trace).unwrap());
    let request = calls.iter().find(|call| call.text.contains("\"PUT /tresor/v1/orgs"));
    let asked = request.expect("the request is read in one piece").ended;
    let answers = |call: &&Call| call.began > asked && call.text.contains("\"HTTP/1.1 ");
    let answer = calls.iter().filter(answers).min_by_key(|call| call.began).unwrap();
    assert!(answer.text.contains("201"), "{}", answer.text);
    let between = |call: &&Call| call.began > asked && call.began < answer.began;
    let db: Vec<_> =
        calls.iter().filter(between).filter(|call| call.text.contains("/store-1/db>")).collect();
    let syncs: Vec<_> =
        db.iter().filter(|call| call.name == "fdatasync" || call.name == "fsync").collect();
    let last_write =
        db.iter().filter(|call| call.name.contains("write")).map(|call| call.ended).max();
    let last_write = last_write.expect("the record is written before the answer");
    let durable = syncs.iter().any(|sync| {
        sync.began > last_write && sync.ended < answer.began && sync.text.ends_with("= 0")
    });
    let shown: Vec<_> = db.iter().map(|call| &call.text).collect();
    assert!(durable, "nothing was synced between the last write and the answer: {shown:#?}");
    eprintln!("a lone write costs {} fdatasync", syncs.len());
    assert!(syncs.len() <= 2, "{shown:#?}");
}

/// One system call in a trace, with the lines on which it began and ended.
struct Call {
    name: String,
    text: String,
    began: usize,
    ended: usize,
}

impl Call {
    fn parse_all(trace: &str) -> Vec<Self> {
        let mut calls: Vec<Self> = Vec::new();
        let mut unfinished: BTreeMap<&str, usize> = BTreeMap::new();
        for (line_number, line) in trace.lines().enumerate() {
            let Some((thread, text)) = line.split_once(' ') else { continue };
            let text = text.trim_start();
            if text.starts_with("<... ") {
                if let Some(begun) = unfinished.remove(thread) {
                    calls[begun].ended = line_number;
                    calls[begun].text.push_str(text);
                }
                continue;
            }
            let Some((name, _)) = text.split_once('(') else { continue };
            if text.ends_with("<unfinished ...>") {
                unfinished.insert(thread, calls.len());
            }
            let (name, text) = (name.to_owned(), text.to_owned());
            calls.push(Self { name, text, began: line_number, ended: line_number });
        }
        // What never returned before the trace ended did not end.
        for begun in unfinished.into_values() {
            calls[begun].ended = usize::MAX;
        }
        calls
    }
}

#[test]
fn every_acknowledged_write_survives_a_kill() {
    let rounds = if long() { 50 } else { 3 };
    let Fresh { mut home, mut daemon, admin } = fresh();
    let mut token = admin.authorization().replace("Bearer ", "");
    let mut acknowledged = BTreeMap::new();
    for round in 0..rounds {
        // A few kills in a row on the same store, and then another one: everything is read each
        // time, so that a store that only grows would take ever longer.
        if round > 0 && round % 5 == 0 {
            let next = fresh();
            (home, daemon) = (next.home, next.daemon);
            token = next.admin.authorization().replace("Bearer ", "");
            acknowledged.clear();
        }
        // From early to late in the run, another place each round.
        let kill_after = 100 + 800 * round / rounds;
        let written = write_until_killed(daemon, &token, round, kill_after);
        acknowledged.extend(written);
        daemon = Daemon::start(&mut home.serve());
        check_everything(&daemon.actor(&token), &acknowledged);
    }
}

/// What a version of a secret holds: derived from both, so that any mixture is noticed; long
/// enough to lie in several chunks of the store.
fn content(name: &str, version: u64) -> String {
    format!("{name} at {version};").repeat(200 + usize::try_from(version).unwrap())
}

/// Makes 32 writers do a thousand writes between them, and kills the daemon when so many were
/// acknowledged. Returns the last acknowledged version of each secret.
fn write_until_killed(
    daemon: Daemon,
    token: &str,
    round: usize,
    kill_after: usize,
) -> BTreeMap<String, u64> {
    let acknowledged = Mutex::new(BTreeMap::new());
    let (done, pid) = (AtomicUsize::new(0), daemon.pid());
    let address = daemon.address;
    thread::scope(|scope| {
        for writer in 0..32 {
            let (acknowledged, done) = (&acknowledged, &done);
            scope.spawn(move || {
                let actor = Actor::new(address, token);
                // Eight secrets each, written four times: a thousand in all.
                for number in 0..32 {
                    let name = format!("r{round}-w{writer}-{}", number % 8);
                    let version = 1 + number / 8;
                    let path = secret("ml", &name);
                    let Ok(answer) = actor.try_put_value(&path, &content(&name, version)) else {
                        return;
                    };
                    let answer = answer.expect(if version == 1 { 201 } else { 200 }).json();
                    assert_eq!(answer["status"]["currentVersion"], version);
                    acknowledged.lock().unwrap().insert(name, version);
                    if done.fetch_add(1, Ordering::Relaxed) == kill_after {
                        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
                    }
                }
            });
        }
    });
    daemon.kill();
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(done.into_inner() < 1024, "it was killed while they wrote");
    acknowledged
}

fn check_everything(admin: &Actor, acknowledged: &BTreeMap<String, u64>) {
    let mut found = BTreeMap::new();
    let mut next = String::new();
    loop {
        let page = admin.get(&format!("{}?limit=100{next}", secrets("ml"))).expect(200).json();
        for item in page["items"].as_array().unwrap() {
            let name = item["metadata"]["name"].as_str().unwrap().to_owned();
            found.insert(name, item["status"]["currentVersion"].as_u64().unwrap());
        }
        let Some(token) = page["metadata"]["continue"].as_str() else { break };
        next = format!("&continue={token}");
    }
    for (name, version) in acknowledged {
        let kept = found.get(name).copied().unwrap_or(0);
        // One more may have been written and not have come to be acknowledged.
        assert!(
            kept == *version || kept == version + 1,
            "{name}: {kept} kept, {version} acknowledged"
        );
    }
    for (name, current) in &found {
        let path = secret("ml", name);
        let versions = admin.get(&format!("{path}/versions")).expect(200).json();
        let numbers: Vec<_> = versions["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v["version"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, (1..=*current).collect::<Vec<_>>(), "{name}");
        for number in numbers {
            let read = admin.get(&format!("{path}/data?version={number}")).expect(200).json();
            assert!(decoded(&read["data"]["value"]) == content(name, number), "{name} at {number}");
        }
    }
}

#[test]
fn a_full_disk_refuses_writes_and_serves_reads() {
    let test = "durability::a_full_disk_refuses_writes_and_serves_reads";
    on_a_full_disk(test, 1);
}

#[test]
fn a_disk_that_stays_full_lets_the_daemon_start_again_and_again() {
    on_a_full_disk("durability::a_disk_that_stays_full_lets_the_daemon_start_again_and_again", 3);
}

fn on_a_full_disk(test: &str, rounds: usize) {
    let Some(disk) = SmallDisk::mount() else { return in_own_namespace(test) };
    let home = disk.home();
    let token = home.init();
    let filler = disk.path().join("filler");
    fs::write(&filler, vec![0; 8 << 20]).unwrap();
    let mut daemon = Daemon::start(&mut home.serve());
    daemon.actor(&token).make_project("ml");
    let mut acknowledged = Vec::new();
    // After a start there may be room again, which the daemon before it had kept for itself.
    for round in 0..rounds {
        let admin = daemon.actor(&token);
        write_until_full(&admin, &mut acknowledged);
        // To the last byte, as another program may do it.
        fill_up(&disk.path().join(format!("rest{round}")));
        // A small write may still fit into what was reserved for the large one that did not.
        let small = || admin.put(&secret("ml", "more"), &opaque("x"));
        let refused = (0..1000).map(|_| small()).find(|answer| answer.status > 201);
        is_for_want_of_room(&refused.expect("the disk never fills"));
        for _ in 0..3 {
            is_for_want_of_room(&small());
        }
        all_there(&admin, &acknowledged);
        daemon.kill();
        daemon = Daemon::start(&mut home.serve());
        all_there(&daemon.actor(&token), &acknowledged);
    }
    // It may not be able to leave the files clean; it must be able to come back.
    daemon.terminate();
    daemon.wait();
    let daemon = Daemon::start(&mut home.serve());
    all_there(&daemon.actor(&token), &acknowledged);

    fs::remove_file(&filler).unwrap();
    let admin = daemon.actor(&token);
    // The audit log looks for room once a second.
    wait_until("with room there are writes", || {
        matches!(admin.put(&secret("ml", "more"), &opaque("x")).status, 200 | 201)
    });
    assert_eq!(admin.value(&secret("ml", "more")), "x");
    daemon.stop();
    all_there(&Daemon::start(&mut home.serve()).actor(&token), &acknowledged);
}

/// Writes new secrets until one is refused for want of room; it must have been stored nowhere.
fn write_until_full(admin: &Actor, acknowledged: &mut Vec<String>) {
    while acknowledged.len() < 2000 {
        let name = format!("s{}", acknowledged.len());
        let answer = admin.put(&secret("ml", &name), &opaque(&filling(&name)));
        if answer.status != 201 {
            is_for_want_of_room(&answer);
            admin.get(&secret("ml", &name)).problem(404, "not-found");
            return;
        }
        acknowledged.push(name);
    }
    panic!("the disk never fills");
}

/// The store has no room, or the audit log has none, without which nothing is changed.
#[track_caller]
fn is_for_want_of_room(answer: &crate::client::Answer) {
    match answer.status {
        503 => {
            let problem = answer.problem(503, "busy");
            assert!(problem["detail"].as_str().unwrap().starts_with("The audit log"), "{problem}");
        }
        _ => drop(answer.problem(507, "storage-full")),
    }
}

fn filling(name: &str) -> String {
    format!("{name} fills the disk;").repeat(2000)
}

#[track_caller]
fn all_there(admin: &Actor, acknowledged: &[String]) {
    let list: Value = admin.get(&format!("{}?limit=1000", secrets("ml"))).expect(200).json();
    let listed = list["items"].as_array().unwrap().len();
    assert!(listed >= acknowledged.len(), "{listed} of {}", acknowledged.len());
    for name in acknowledged {
        assert!(admin.value(&secret("ml", name)) == filling(name), "{name}");
    }
}

pub(crate) fn fill_up(path: &Path) {
    use std::io::Write;
    let mut file = fs::File::create(path).unwrap();
    for size in [1 << 20, 4096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

/// A file system of 32 MiB of its own.
pub(crate) struct SmallDisk(TempDir);

impl SmallDisk {
    pub(crate) fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", "size=32m", "tresor-test"]).arg(dir.path());
        (run(mount).code == Some(0)).then_some(Self(dir))
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    pub(crate) fn home(&self) -> Home {
        Home::at(self.path().join("data"), self.path().join("root.key"))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a daemon that is being killed may still hold it.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Runs one test again where mounting is allowed: in name spaces of its own.
pub(crate) fn in_own_namespace(test: &str) {
    const INSIDE: &str = "TRESOR_TESTS_INSIDE";
    let mut unshare = Command::new("unshare");
    unshare
        .arg("-rm")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(INSIDE, "1");
    if std::env::var_os(INSIDE).is_some() {
        std::process::exit(77);
    }
    match unshare.output().map(|output| (output.status.code(), output)) {
        Ok((Some(0), _)) => {}
        Ok((Some(101), output)) => panic!("{}", String::from_utf8_lossy(&output.stdout)),
        _ => skip("a small file system cannot be mounted here"),
    }
}
