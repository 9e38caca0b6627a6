//! `tresor rotate-keys` and `tresor keys`: by a daemon and without one, killed at any point, and
//! refused where it must be.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::Duration;

use memchr::memmem;
use serde_json::{Value, json};

use crate::client::{Actor, Operator, decoded, opaque, secret, secrets};
use crate::harness::{Daemon, Home, clean, fresh, fresh_with, long, run, tresor, wait_until};
use crate::memory::pieces;

const KEYS: &str = "/tresor/v1/keys";
const ROTATION: &str = "/tresor/v1/keys/rotation";
const ROTATE: &str = "/tresor/v1/keys/actions/rotate";
const PAUSE: &str = "/tresor/v1/keys/actions/pause-rotation";
const RESUME: &str = "/tresor/v1/keys/actions/resume-rotation";

/// 20,000 versions.
const SECRETS: u64 = 200;
const VERSIONS: u64 = 100;

/// A store with many versions, made once; each test works on a copy.
struct Many {
    home: Home,
    token: String,
}

static MANY: LazyLock<Many> = LazyLock::new(|| {
    let home = Home::empty();
    let token = home.init();
    let mut serve = home.serve();
    serve.args(["--keep-versions", "100"]);
    let daemon = Daemon::start(&mut serve);
    let admin = daemon.actor(&token);
    admin.make_project("ml");
    thread::scope(|scope| {
        for writer in 0..32 {
            let actor = admin.again();
            scope.spawn(move || {
                for n in (writer..SECRETS).step_by(32) {
                    for version in 1..=VERSIONS {
                        let path = secret("ml", &name(n));
                        let answer = actor.put(&path, &opaque(&content(&name(n), version)));
                        assert!(answer.status < 300, "{}", answer.text());
                    }
                }
            });
        }
    });
    daemon.stop();
    Many { home, token }
});

fn name(n: u64) -> String {
    format!("s{n}")
}

fn content(name: &str, version: u64) -> String {
    format!("{name} at {version}")
}

/// A command that is told apart from the daemon by its words.
fn rotate_keys(home: &Home, words: &[&str]) -> Command {
    let mut command = home.command("rotate-keys");
    command.args(words);
    command
}

/// A daemon that keeps all versions.
fn serve(home: &Home) -> Daemon {
    let mut serve = home.serve();
    serve.args(["--keep-versions", "100"]);
    Daemon::start(&mut serve)
}

fn wait_for_the_end(admin: &Actor) {
    wait_until("the rotation ends", || admin.get(ROTATION).expect(200).json()["state"] == "done");
}

/// The KEKs of a store, by a reader that has nothing of Tresor.
fn keks(home: &Home) -> BTreeMap<String, Vec<u8>> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    let python = Command::new(tests.join("setup/cryptography.sh")).output().unwrap();
    assert!(python.status.success(), "{python:?}");
    let mut read = Command::new(String::from_utf8(python.stdout).unwrap().trim());
    read.arg(tests.join("crypto/keks.py")).arg(home.data.join("keyring")).arg(&home.key);
    let read = read.output().unwrap();
    assert!(read.status.success(), "{read:?}");
    let keks: BTreeMap<String, String> = serde_json::from_slice(&read.stdout).unwrap();
    let bytes = |hex: String| {
        let digits = hex.as_bytes().chunks(2);
        digits
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    };
    keks.into_iter().map(|(id, hex)| (id, bytes(hex))).collect()
}

/// The wraps of KEKs in a keyring file, as they stand in it.
fn wraps(home: &Home) -> Vec<Vec<u8>> {
    let file = fs::read(home.data.join("keyring")).unwrap();
    let count = usize::from(file[38]);
    (0..count).map(|n| file[39 + 73 * n + 13..39 + 73 * (n + 1)].to_vec()).collect()
}

#[track_caller]
fn is_nowhere(home: &Home, needle: &[u8], what: &str) {
    for (path, bytes) in home.files() {
        assert!(memmem::find(&bytes, needle).is_none(), "{what} is in {}", path.display());
    }
}

/// What clients see of each secret, value left out.
fn listed(admin: &Actor) -> BTreeMap<String, String> {
    let mut listed = BTreeMap::new();
    let mut next = String::new();
    loop {
        let page = admin.get(&format!("{}?limit=100{next}", secrets("ml"))).expect(200).json();
        for item in page["items"].as_array().unwrap() {
            let metadata = &item["metadata"];
            let text = |key: &str| metadata[key].as_str().unwrap().to_owned();
            listed.insert(text("name"), text("resourceVersion"));
        }
        let Some(token) = page["metadata"]["continue"].as_str() else { return listed };
        next = format!("&continue={token}");
    }
}

/// Reads secrets while a rotation runs and daemons come and go: each answer must be right. Counts
/// them.
fn read_until(stop: &AtomicBool, address: &Mutex<std::net::SocketAddr>, token: &str) -> u64 {
    let (mut read, mut n) = (0, 7);
    while !stop.load(Ordering::Relaxed) {
        let actor = Actor::new(*address.lock().unwrap(), token);
        // Until this daemon is gone.
        loop {
            n = (n * 31 + 11) % (SECRETS * VERSIONS);
            let (secret_name, version) = (name(n / VERSIONS), 1 + n % VERSIONS);
            let path = format!("{}/data?version={version}", secret("ml", &secret_name));
            let Ok(answer) = actor.try_send("GET", &path, &[], b"") else { break };
            let answer = answer.expect(200).json();
            assert_eq!(decoded(&answer["data"]["value"]), content(&secret_name, version));
            read += 1;
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        thread::sleep(Duration::from_millis(5));
    }
    read
}

/// Writes new secrets meanwhile; those that were acknowledged.
fn write_until(
    stop: &AtomicBool,
    address: &Mutex<std::net::SocketAddr>,
    token: &str,
) -> Vec<String> {
    let mut written = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let actor = Actor::new(*address.lock().unwrap(), token);
        loop {
            let new = format!("new{}", written.len());
            let Ok(answer) = actor.try_put_value(&secret("ml", &new), &content(&new, 1)) else {
                break;
            };
            // One that was not acknowledged before the kill may be there.
            assert!(answer.status < 300, "{}", answer.text());
            written.push(new);
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        thread::sleep(Duration::from_millis(5));
    }
    written
}

/// Everything that must hold once a rotation is done, whatever happened on the way.
fn check(home: &Home, admin: &Actor, before: &BTreeMap<String, String>, written: &[String]) {
    let keys = admin.get(KEYS).expect(200).json();
    let all = keys["keks"].as_array().unwrap();
    assert_eq!(all.len(), 1, "{keys}");
    let count = SECRETS * VERSIONS + u64::try_from(written.len()).unwrap();
    let counted = all[0]["records"].as_u64().unwrap();
    // A version of the last, unacknowledged write may be there too, once for each kill.
    assert!(counted >= count && counted < count + 10, "{counted} of {count}: {keys}");
    let after = listed(admin);
    for (name, version) in before {
        assert_eq!(after.get(name), Some(version), "{name}");
    }
    for n in 0..SECRETS {
        for version in [1, 1 + n % VERSIONS, VERSIONS] {
            let path = format!("{}/data?version={version}", secret("ml", &name(n)));
            let read = admin.get(&path).expect(200).json();
            assert_eq!(decoded(&read["data"]["value"]), content(&name(n), version));
        }
    }
    for new in written {
        assert_eq!(admin.value(&secret("ml", new)), content(new, 1));
    }
    assert_eq!(wraps(home).len(), 1);
}

/// A rotation over 20,000 versions, beside readers and a writer. `kill` is called as long as it runs,
/// with the round; it kills the daemon or the command, and starts the daemon again.
fn beside_users(reseal: bool, mut kill: impl FnMut(&Home, Daemon, u64) -> Daemon, kills: u64) {
    let home = MANY.home.copy();
    let token = &MANY.token;
    let mut daemon = serve(&home);
    let before = listed(&daemon.actor(token));
    let since = list_version(&daemon.actor(token));
    let (old_wraps, old) = (wraps(&home), keks(&home).remove("1").unwrap());
    let address = Mutex::new(daemon.address);
    let stop = AtomicBool::new(false);
    let (written, daemon) = thread::scope(|scope| {
        let reader = scope.spawn(|| read_until(&stop, &address, token));
        let writer = scope.spawn(|| write_until(&stop, &address, token));
        daemon.actor(token).post(ROTATE, &json!({ "reseal": reseal })).expect(202);
        for round in 0..kills {
            daemon = kill(&home, daemon, round);
            *address.lock().unwrap() = daemon.address;
        }
        wait_for_the_end(&daemon.actor(token));
        stop.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
        (writer.join().unwrap(), daemon)
    });
    let admin = daemon.actor(token);
    check(&home, &admin, &before, &written);
    // Whoever watches is told of what was written, and of nothing else.
    let mut watch = admin.watch(&format!("{}?watch=true&resourceVersion={since}", secrets("ml")));
    let (changes, _) = watch.until_bookmark();
    assert!(changes.len() >= written.len());
    for change in changes {
        let name = change["object"]["metadata"]["name"].as_str().unwrap().to_owned();
        assert!(name.starts_with("new"), "{change}");
    }
    daemon.stop();
    is_nowhere(&home, &old_wraps[0], "the old KEK's wrap");
    is_nowhere(&home, &old, "the old KEK");
    // Each start checks every record.
    serve(&home).stop();
}

fn list_version(admin: &Actor) -> String {
    let list = admin.get(&format!("{}?limit=1", secrets("ml"))).expect(200).json();
    list["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

/// A point in time that differs in each round, from early to late.
fn moment(round: u64, rounds: u64) -> Duration {
    Duration::from_millis(20 + (1500 * round / rounds.max(1)) + round * 37 % 90)
}

#[test]
fn a_rotation_survives_kills_of_the_daemon() {
    // Each rotation over 20,000 versions is killed several times; each time another point is met.
    let (rotations, kills) = if long() { (10, 5) } else { (1, 5) };
    for rotation in 0..rotations {
        beside_users(
            rotation % 2 == 1,
            |home, daemon, round| {
                thread::sleep(moment(round + kills * rotation, kills * rotations));
                daemon.kill();
                serve(home)
            },
            kills,
        );
    }
}

#[test]
fn a_rotation_goes_on_in_the_daemon_when_its_command_is_killed() {
    let kills = if long() { 50 } else { 5 };
    let home = MANY.home.copy();
    let daemon = serve(&home);
    let admin = daemon.actor(&MANY.token);
    let before = listed(&admin);
    for round in 0..kills {
        // Where one is under way, the next command looks at that one.
        let there = admin.get(ROTATION);
        let runs = there.status == 200 && there.json()["state"] == "running";
        let words: &[&str] = if runs { &["--resume"] } else { &[] };
        let mut command = rotate_keys(&home, words);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(moment(round, kills));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    wait_for_the_end(&admin);
    check(&home, &admin, &before, &[]);
    daemon.stop();
}

#[test]
fn a_rotation_without_a_daemon_is_gone_on_with_after_kills() {
    let kills = if long() { 50 } else { 5 };
    let home = MANY.home.copy();
    let begin = |words: &[&str], round: u64| {
        let mut child =
            rotate_keys(&home, words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(moment(round, kills));
        child.kill().unwrap();
        child.wait().unwrap();
    };
    begin(&[], 0);
    for round in 1..kills {
        let words: &[&str] = if status(&home) == "running" { &["--resume"] } else { &["--reseal"] };
        begin(words, round);
    }
    // A daemon goes on with it by itself.
    let daemon = serve(&home);
    let admin = daemon.actor(&MANY.token);
    if admin.get(ROTATION).status == 200 {
        wait_for_the_end(&admin);
    }
    check(&home, &admin, &listed(&admin), &[]);
    daemon.stop();
}

/// How the last rotation stands, by the command.
fn status(home: &Home) -> String {
    let ended = run(&mut rotate_keys(home, &["--status"]));
    let last = ended.stdout.lines().last().unwrap_or_else(|| panic!("{ended:?}"));
    let line: Value = serde_json::from_str(last).unwrap();
    let state = line["state"].as_str().unwrap().to_owned();
    assert_eq!(
        ended.code,
        Some(if matches!(&*state, "done" | "none") { 0 } else { 6 }),
        "{ended:?}"
    );
    state
}

#[test]
fn the_command_shows_how_far_it_has_come_and_ends_with_a_code_that_says_so() {
    let home = MANY.home.copy();
    assert_eq!(status(&home), "none");
    let daemon = serve(&home);
    let admin = daemon.actor(&MANY.token);
    // Paused, so that it stays under way as long as the test wants.
    admin.post(ROTATE, &json!({})).expect(202);
    admin.post(PAUSE, &json!({})).expect(200);
    assert_eq!(status(&home), "paused");
    for words in [&[][..], &["--reseal"], &["--new-root", "--new-root-key-file", "/tmp/none/k"]] {
        let ended = run(&mut rotate_keys(&home, words));
        assert!(ended.one_error_line(6).contains("under way"), "{ended:?}");
    }
    admin.post(ROTATE, &json!({})).problem(409, "not-now");
    let both = admin.get(KEYS).expect(200).json();
    assert_eq!(both["keks"].as_array().unwrap().len(), 2, "{both}");
    assert!(both["rotation"]["done"].as_u64() < both["rotation"]["total"].as_u64());
    let ended = run(&mut rotate_keys(&home, &["--resume"]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let lines: Vec<Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines[0]["recordsPerSecond"].is_number() && lines[0]["total"] == SECRETS * VERSIONS);
    assert_eq!(lines.last().unwrap()["state"], "done");
    for word in ["--resume", "--pause"] {
        let ended = run(&mut rotate_keys(&home, &[word]));
        assert!(ended.one_error_line(1).contains("No change of the keys is under way"));
    }
    // The same without a daemon.
    daemon.stop();
    for word in ["--resume", "--pause"] {
        let ended = run(&mut rotate_keys(&home, &[word]));
        assert!(ended.one_error_line(1).contains("no rotation of the keys is under way"));
    }
    let ended = run(&mut rotate_keys(&home, &[]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(status(&home), "done");
    // As a person sees it.
    let text = run(&mut rotate_keys(&home, &["--status", "--output", "text"])).stdout;
    assert!(text.starts_with("KEK 3 replaced all older keys, by an operator"), "{text}");
}

#[test]
fn a_daemon_is_asked_by_token_too_and_its_socket_needs_none() {
    let fresh = fresh();
    fresh.admin.put(&secret("ml", "hf"), &opaque("x")).expect(201);
    let address = format!("http://{}", fresh.daemon.address);
    let by_token = |token: &str, words: &[&str]| {
        let mut command = tresor(words);
        run(command.env("TRESOR_ADDR", &address).env("TRESOR_TOKEN", token))
    };
    let done = by_token(fresh.admin.token(), &["rotate-keys", "--reseal"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let shown = by_token(fresh.admin.token(), &["keys"]);
    assert!(shown.stdout.contains("2     current"), "{shown:?}");
    let viewer = fresh.admin.make_actor("viewer", &["ml"]);
    let refused = by_token(viewer.token(), &["rotate-keys"]);
    assert!(refused.one_error_line(1).contains("role does not allow"), "{refused:?}");
    let new_root = ["rotate-keys", "--new-root", "--new-root-key-file", "/nonexistent/k"];
    let refused = by_token(fresh.admin.token(), &new_root);
    assert!(refused.one_error_line(2).contains("does not travel"), "{refused:?}");
    let body = json!({ "newRoot": { "key": "00".repeat(32) } });
    let answer = fresh.admin.post(ROTATE, &body).problem(422, "invalid-field");
    assert!(answer["detail"].as_str().unwrap().contains("socket"), "{answer}");
    // Nobody names a daemon or a directory.
    let lost = run(&mut tresor(&["rotate-keys"]));
    assert!(lost.one_error_line(2).contains("--data-dir"), "{lost:?}");
    // What the audit log says of it.
    let log = fresh.admin.get("/tresor/v1/audit").expect(200).text();
    assert!(log.contains("\"action\":\"rotateKeys\"") && log.contains("\"destroyKeys\""), "{log}");
}

#[test]
fn the_root_key_changes_and_the_one_before_opens_until_it_is_dropped() {
    let fresh = fresh();
    let (home, daemon) = (&fresh.home, fresh.daemon);
    fresh.admin.put(&secret("ml", "hf"), &opaque("x")).expect(201);
    let new = home.data.with_file_name("new.key");
    let words = ["--new-root", "--new-root-key-file", new.to_str().unwrap(), "--output", "text"];
    let ended = run(&mut rotate_keys(home, &words));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("tresor root-key drop"), "{ended:?}");
    assert_eq!(fs::metadata(&new).unwrap().permissions().mode() & 0o777, 0o600);
    let third = home.data.with_file_name("third.key");
    let words = ["--new-root", "--new-root-key-file", third.to_str().unwrap()];
    let ended = run(&mut rotate_keys(home, &words));
    assert!(ended.one_error_line(1).contains("both slots are taken"), "{ended:?}");
    assert!(!third.exists(), "no key file is left behind");
    daemon.stop();
    let with = |key: &Path| Home::at(home.data.clone(), key.to_owned());
    for key in [&home.key, &new] {
        Daemon::start(&mut with(key).serve()).stop();
    }
    let mut drop = tresor(&["root-key", "drop", "--slot", "1", "--data-dir"]);
    drop.arg(&home.data).arg("--root-key-file").arg(&new);
    assert_eq!(run(&mut drop).code, Some(0));
    run(&mut home.serve()).one_error_line(3);
    Daemon::start(&mut with(&new).serve()).stop();
    // And with a passphrase, without a daemon.
    let phrase = home.data.with_file_name("phrase");
    fs::write(&phrase, "correct horse battery staple\n").unwrap();
    fs::set_permissions(&phrase, Permissions::from_mode(0o600)).unwrap();
    let words = ["--new-root", "--new-passphrase-file", phrase.to_str().unwrap()];
    assert_eq!(run(&mut rotate_keys(&with(&new), &words)).code, Some(0));
    let mut serve = tresor(&["serve", "--listen", "127.0.0.1:0", "--data-dir"]);
    Daemon::start(serve.arg(&home.data).arg("--passphrase-file").arg(&phrase)).stop();
}

#[test]
fn what_is_wrong_is_refused_in_one_line_and_changes_nothing() {
    let home = Home::empty();
    home.init();
    let beside = |name: &str, text: &str, mode: u32| {
        let path = home.data.with_file_name(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    };
    let refused = |mut command: Command, code: i32, says: &str| {
        let before = home.files();
        let ended = run(&mut command);
        let line = ended.one_error_line(code);
        assert!(line.contains(says), "{line}");
        assert!(home.files() == before, "{command:?} has changed a file");
    };
    let with_key = |path: &Path| rotate_keys(&Home::at(home.data.clone(), path.to_owned()), &[]);
    let key = fs::read_to_string(&home.key).unwrap();
    refused(with_key(&beside("wrong", &"07".repeat(32), 0o600)), 3, "root key");
    refused(with_key(&beside("loose", &key, 0o644)), 1, "chmod 600");
    refused(
        with_key(&beside("short", &"07".repeat(10), 0o600)),
        1,
        "neither 64 hexadecimal digits",
    );
    refused(with_key(&beside("empty", "", 0o600)), 1, "empty");
    refused(with_key(Path::new("/nonexistent/key")), 1, "cannot be read");
    let phrase = beside("phrase", "correct horse battery staple\n", 0o600);
    let mut with_phrase = tresor(&["rotate-keys", "--data-dir"]);
    with_phrase.arg(&home.data).arg("--passphrase-file").arg(&phrase);
    refused(with_phrase, 3, "root key or passphrase");
    let new = |path: &str| rotate_keys(&home, &["--new-root", "--new-root-key-file", path]);
    refused(new("/nonexistent/key"), 1, "cannot be made");
    refused(new(home.key.to_str().unwrap()), 1, "opens slot 1 already");
    let short = beside("short-phrase", "short\n", 0o600);
    let words = ["--new-root", "--new-passphrase-file", short.to_str().unwrap()];
    refused(rotate_keys(&home, &words), 1, "at least 12 characters");
    refused(rotate_keys(&home, &["--new-root"]), 2, "--new-root-key-file");
    refused(rotate_keys(&home, &["--new-root-key-file", "/tmp/k"]), 2, "--new-root");
    let mut elsewhere = tresor(&["rotate-keys", "--data-dir", "/nonexistent", "--root-key-file"]);
    refused(
        {
            elsewhere.arg(&home.key);
            elsewhere
        },
        1,
        "tresor init",
    );

    // Both slots' wraps are not what they were: no root key opens, and which one it is cannot be told.
    let file = fs::read(home.data.join("keyring")).unwrap();
    let mut damaged = file.clone();
    let at = damaged.len() - 32 - 28 - 30;
    damaged[at] ^= 1;
    fs::write(home.data.join("keyring"), &damaged).unwrap();
    refused(rotate_keys(&home, &[]), 5, "damaged");
    fs::write(home.data.join("keyring"), &file[..file.len() - 1]).unwrap();
    refused(rotate_keys(&home, &[]), 5, "damaged");
    fs::write(home.data.join("keyring"), &file).unwrap();

    // Where the keyring is written first, there is something in the way.
    fs::create_dir(home.data.join("keyring.new")).unwrap();
    let ended = run(&mut rotate_keys(&home, &[]));
    assert!(ended.one_error_line(1).contains("the keys in use are those of before"), "{ended:?}");
    assert_eq!(fs::read(home.data.join("keyring")).unwrap(), file);
    fs::remove_dir(home.data.join("keyring.new")).unwrap();

    // A daemon has the directory, and its socket is switched off.
    let mut serve = home.serve();
    serve.args(["--operator-socket", "none"]);
    let daemon = Daemon::start(&mut serve);
    let ended = run(&mut rotate_keys(&home, &["--operator-socket", "none"]));
    assert!(ended.one_error_line(4).contains("no operator's socket"), "{ended:?}");
    let ended = run(&mut rotate_keys(&home, &[]));
    assert!(ended.one_error_line(4).contains("cannot be reached"), "{ended:?}");
    daemon.stop();
    assert_eq!(run(&mut rotate_keys(&home, &[])).code, Some(0));
}

#[test]
fn keys_that_were_used_often_are_changed_by_themselves_and_that_is_said() {
    let fresh = fresh_with(|serve| {
        serve.args(["--rotate-keys-after-uses", "2000"]);
    });
    let written = AtomicU64::new(0);
    wait_until("the keys are changed", || {
        for _ in 0..20 {
            let n = written.fetch_add(1, Ordering::Relaxed) % 10;
            let answer = fresh.admin.put(&secret("ml", &name(n)), &opaque("x"));
            assert!(answer.status < 300, "{}", answer.text());
        }
        let answer = fresh.admin.get(ROTATION);
        answer.status == 200 && answer.json()["state"] == "done"
    });
    let keys = fresh.admin.get(KEYS).expect(200).json();
    assert_eq!((&keys["rotation"]["reason"], &keys["keks"][0]["id"]), (&json!("uses"), &json!(2)));
    assert!(keys["uses"].as_u64().unwrap() < 2000, "{keys}");
    wait_until("it says so", || fresh.daemon.said().contains("changed without being asked"));
    let metrics = fresh.daemon.anonymous().get("/metrics").expect(200).text();
    assert!(
        metrics.contains("tresor_key_uses ")
            && metrics.contains("tresor_key_rotation_records_left 0")
    );
}

/// Root may look into the daemon's memory, and nobody else.
#[test]
fn the_old_kek_is_nowhere_in_memory_once_it_is_destroyed() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("SKIPPED: only root can look into the daemon's memory");
        return;
    }
    let fresh = fresh();
    for n in 0..50 {
        fresh.admin.put(&secret("ml", &name(n)), &opaque("x")).expect(201);
    }
    let old = keks(&fresh.home).remove("1").unwrap();
    let found = |key: &[u8]| {
        // A key schedule of AES-256 begins with the key (FIPS 197), but its halves may lie apart.
        let (first, second) = key.split_at(16);
        let all = pieces(&fresh.daemon);
        let in_piece = |bytes: &[u8]| {
            memmem::find(bytes, first).is_some() || memmem::find(bytes, second).is_some()
        };
        all.iter()
            .filter(|(_, bytes)| in_piece(bytes))
            .map(|(place, _)| place.clone())
            .collect::<Vec<_>>()
    };
    assert!(!found(&old).is_empty(), "the search finds a key that is there");
    for reseal in [false, true] {
        let before = keks(&fresh.home).into_values().next().unwrap();
        let begun = fresh.admin.post(ROTATE, &json!({ "reseal": reseal })).expect(202).json();
        wait_for_the_end(&fresh.admin);
        let now = keks(&fresh.home);
        assert_eq!(now.keys().map(String::as_str).collect::<Vec<_>>(), [begun["kek"].to_string()]);
        // A request that began before may hold the keys of then for a moment.
        thread::sleep(Duration::from_millis(200));
        assert_eq!(found(&before), Vec::<String>::new());
        assert!(!found(now.values().next().unwrap()).is_empty());
    }
}

#[test]
fn keys_show_nothing_that_is_secret() {
    let fresh = fresh();
    fresh.admin.put(&secret("ml", "hf"), &opaque("x")).expect(201);
    let shown = run(&mut fresh.home.command("keys"));
    let json = run(fresh.home.command("keys").args(["--output", "json"]));
    assert_eq!((shown.code, json.code), (Some(0), Some(0)), "{shown:?} {json:?}");
    let source = format!("the root key file {}", fresh.home.key.display());
    assert!(shown.stdout.contains(&source), "{shown:?}");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let root = fs::read_to_string(&fresh.home.key).unwrap();
    for (_, key) in keks(&fresh.home) {
        for text in [&shown.stdout, &json.stdout] {
            assert!(!text.contains(&hex(&key)) && !text.contains(root.trim()));
        }
    }
    let operator = Operator::of(&fresh.home.data).send("GET", KEYS, &[], b"").expect(200).json();
    let printed: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(printed["keks"], operator["keks"]);
    assert_eq!(operator["keks"][0]["records"], 1);
    let mut unknown = fresh.home.command("keys");
    clean(&mut unknown);
    fresh.admin.post(RESUME, &json!({})).problem(409, "not-now");
}
