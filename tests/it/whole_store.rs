//! Compaction, backup, restore and verification, from where an operator stands.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::client::{Actor, opaque, secret, secrets};
use crate::durability::{SmallDisk, fill_up, in_own_namespace};
use crate::harness::{Daemon, Ended, Fresh, Home, fresh, run, skip, wait_until};
use crate::start::{counted, each_point};
use crate::tracer::{self, Until};

const STORE: &str = "/tresor/v1/store";
const BACKUP: &str = "/tresor/v1/store/backup";
const COMPACT: &str = "/tresor/v1/store/actions/compact";
const VERIFY: &str = "/tresor/v1/store/actions/verify";

/// What is searched for on the disk: data keys are random, so it is a payload's ciphertext that shows
/// whether the bytes of a version are there.
fn sealed_bytes(home: &Home, token: &str) -> Vec<u8> {
    let daemon = Daemon::start(&mut home.serve());
    let backup = daemon.actor(token).get(BACKUP).expect(200).body;
    daemon.stop();
    backup
}

/// Whether a file below a directory holds these bytes.
fn holds(dir: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, bytes);
        }
        fs::read(path).is_ok_and(|file| file.windows(bytes.len()).any(|window| window == bytes))
    })
}

fn fill(admin: &Actor) {
    for number in 0..20 {
        let path = secret("ml", &format!("s{number}"));
        for version in 1..=3 {
            let status = if version == 1 { 201 } else { 200 };
            admin.put(&path, &opaque(&content(number, version))).expect(status);
        }
    }
    admin.delete(&secret("ml", "s19")).expect(204);
    admin
        .post(&format!("{}/actions/destroy", secret("ml", "s0")), &json!({ "versions": [1] }))
        .expect(200);
}

fn content(number: usize, version: usize) -> String {
    format!("secret {number} at {version};").repeat(if number.is_multiple_of(5) { 600 } else { 3 })
}

/// That the store is the one that `fill` left.
#[track_caller]
fn is_filled(admin: &Actor) {
    let list = admin.get(&format!("{}?limit=1000", secrets("ml"))).expect(200).json();
    assert!(list["items"].as_array().unwrap().len() >= 19);
    for number in 0..19 {
        for version in 1..=3 {
            let path = format!("{}/data?version={version}", secret("ml", &format!("s{number}")));
            if (number, version) == (0, 1) {
                admin.get(&path).problem(404, "not-found");
                continue;
            }
            let data = admin.get(&path).expect(200).json();
            assert_eq!(crate::client::decoded(&data["data"]["value"]), content(number, version));
        }
    }
}

fn filled() -> Fresh {
    let fresh = fresh();
    fill(&fresh.admin);
    fresh
}

/// A command on the home's data directory, which a daemon may have.
fn on(home: &Home, verb: &str, more: &[&str]) -> Ended {
    run(home.command(verb).args(more).args(["-o", "json"]))
}

#[track_caller]
fn told(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn compacted(admin: &Actor) -> Value {
    admin.post(COMPACT, &json!(null)).expect(202);
    let mut status = Value::Null;
    wait_until("the compaction ends", || {
        status = admin.get(STORE).expect(200).json()["compaction"].clone();
        status["state"] != "running"
    });
    status
}

#[test]
fn a_backup_restores_on_another_machine_with_the_root_key_and_nothing_else() {
    let Fresh { home, daemon, admin } = filled();
    let files = tempfile::tempdir().unwrap();
    let [whole_file, more_file, offline_file] =
        ["whole", "more", "offline"].map(|name| files.path().join(name));
    let token = admin.authorization().replace("Bearer ", "");
    let before =
        admin.get(STORE).expect(200).json()["resourceVersion"].as_str().unwrap().to_owned();

    // Beside the daemon, over its socket; what is written afterwards goes on top.
    let whole = told(&on(&home, "backup", &["--to", text(&whole_file)]));
    assert_eq!(whole["resourceVersion"], *before);
    admin.put(&secret("ml", "later"), &opaque("x")).expect(201);
    let on_top = ["--to", text(&more_file), "--on-top-of", text(&whole_file)];
    let more = told(&on(&home, "backup", &on_top));
    assert_eq!(
        (more["since"].as_str(), more["records"].as_u64() < whole["records"].as_u64()),
        (Some(before.as_str()), true)
    );
    let taken = on(&home, "backup", &["--to", text(&whole_file)]);
    assert!(taken.one_error_line(1).contains("exists"));
    assert_eq!(fs::read_dir(files.path()).unwrap().count(), 2, "nothing is left of what failed");
    told(&on(&home, "verify", &["--backup", text(&whole_file), text(&more_file)]));
    let watch_from =
        admin.get(STORE).expect(200).json()["resourceVersion"].as_str().unwrap().to_owned();
    daemon.stop();

    // No value, label or name of a key is in it in the clear.
    for file in [&whole_file, &more_file] {
        let bytes = fs::read(file).unwrap();
        for marked in ["secret 1 at 3", "value"] {
            assert!(!bytes.windows(marked.len()).any(|w| w == marked.as_bytes()), "{marked}");
        }
    }
    // The same without a daemon.
    let offline = told(&on(&home, "backup", &["--to", text(&offline_file)]));
    // When tokens were last shown is written silently, while it stops.
    let number = |text: &str| text.parse::<u64>().unwrap();
    assert!(number(offline["resourceVersion"].as_str().unwrap()) >= number(&watch_from));

    let other = Home::at(files.path().join("other"), home.key.clone());
    let from = ["--from", text(&whole_file), text(&more_file)];
    let restored = told(&on(&other, "restore", &from));
    assert_eq!((&restored["wrong"], restored["secrets"].as_u64()), (&json!(0), Some(21)));
    let again = on(&other, "restore", &from);
    assert!(again.one_error_line(1).contains("restore into another directory"), "{again:?}");
    let daemon = Daemon::start(&mut other.serve());
    let admin = daemon.actor(&token);
    is_filled(&admin);
    assert_eq!(admin.value(&secret("ml", "later")), "x");
    // Whoever comes back with a resource version of before is told that it is of another life.
    let now = admin.get(STORE).expect(200).json();
    assert_ne!(now["resourceVersion"], *watch_from);
    assert_eq!(now["rollback"], json!([]));
    let gone = admin.get(&format!("{}?watch=true&resourceVersion={watch_from}", secrets("ml")));
    gone.problem(410, "gone");
    admin.put(&secret("ml", "s1"), &opaque("after")).expect(200);
    assert_eq!(admin.value(&secret("ml", "s1")), "after");
    assert_eq!(admin.post(VERIFY, &json!(null)).expect(200).json()["findings"], json!([]));
    // The restore is in the new audit log, which is sound.
    daemon.stop();
    let log = fs::read_to_string(other.data.join("audit/audit.jsonl")).unwrap();
    assert!(log.contains("\"action\":\"restoreStore\""), "{log}");
    let verified =
        run(crate::harness::tresor(&["audit", "verify"]).arg("--data-dir").arg(&other.data));
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[test]
fn a_restore_that_cannot_be_made_changes_nothing_and_says_why() {
    let Fresh { home, daemon, admin } = filled();
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("backup");
    let backup = admin.get(BACKUP).expect(200).body;
    fs::write(&file, &backup).unwrap();
    let since = admin.get(STORE).expect(200).json()["resourceVersion"].as_str().unwrap().to_owned();
    let on_top = files.path().join("on-top");
    fs::write(&on_top, admin.get(&format!("{BACKUP}?since={since}")).expect(200).body).unwrap();
    let ahead = format!("{BACKUP}?since={}", since.parse::<u64>().unwrap() + 1);
    assert_eq!(admin.get(&ahead).problem(422, "invalid-field")["field"], "since");
    daemon.stop();

    let other = Home::at(files.path().join("other"), home.key.clone());
    let refused = |home: &Home, from: &[&str], code: i32| {
        let ended = run(home.command("restore").arg("--from").args(from));
        assert_eq!(ended.stdout, "");
        assert!(!home.data.exists() || fs::read_dir(&home.data).unwrap().count() == 0, "{ended:?}");
        ended.one_error_line(code).to_owned()
    };
    let stranger = Home::empty();
    stranger.init();
    let wrong_key = Home::at(files.path().join("other"), stranger.key.clone());
    refused(&wrong_key, &[text(&file)], 3);
    assert!(refused(&other, &[text(&on_top)], 1).contains("name that one before it"));
    assert!(refused(&other, &[text(&home.key)], 5).contains("no backup"));
    assert!(refused(&other, &[text(&files.path().join("none"))], 1).contains("none"));
    for (at, says) in [(backup.len() / 2, "damaged"), (backup.len() - 1, "damaged"), (9, "format")]
    {
        let mut bytes = backup.clone();
        bytes[at] ^= 3;
        fs::write(files.path().join("flipped"), &bytes).unwrap();
        assert!(refused(&other, &[text(&files.path().join("flipped"))], 5).contains(says));
    }
    fs::write(files.path().join("short"), &backup[..backup.len() - 30]).unwrap();
    assert!(refused(&other, &[text(&files.path().join("short"))], 5).contains("cut off"));
    // A store that is there stays as it is.
    let before = home.files();
    let ended = run(home.command("restore").arg("--from").arg(&file));
    assert!(ended.one_error_line(1).contains("restore into another directory"));
    assert!(home.files() == before);
}

#[test]
fn a_restore_killed_at_any_point_is_made_again() {
    if !cfg!(target_arch = "x86_64") {
        return skip("the tracer knows x86-64's system calls only");
    }
    let Fresh { home, daemon, admin } = filled();
    let token = admin.authorization().replace("Bearer ", "");
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("backup");
    fs::write(&file, admin.get(BACKUP).expect(200).body).unwrap();
    daemon.stop();
    let target = |name: &str| Home::at(files.path().join(name), home.key.clone());
    let restore = |home: &Home| {
        let mut command = home.command("restore");
        command.arg("--from").arg(&file);
        command
    };
    let whole = tracer::run(&mut restore(&target("whole")), counted(), usize::MAX, Until::Exit);
    assert!(whole.count > 30, "{whole:?}");
    each_point(whole.count, 20, |point| {
        let home = target(&format!("at-{point}"));
        tracer::run(&mut restore(&home), counted(), point, Until::Exit);
        if home.data.join("RESTORING").exists() {
            let refused = run(&mut home.serve());
            assert!(
                refused.one_error_line(1).contains("tresor restore was cut off"),
                "{refused:?}"
            );
        }
        let again = run(&mut restore(&home));
        if again.code != Some(0) {
            // The store was there already: then it is whole.
            assert!(
                again.one_error_line(1).contains("restore into another directory"),
                "{again:?}"
            );
        }
        let daemon = Daemon::start(&mut home.serve());
        is_filled(&daemon.actor(&token));
        daemon.stop();
        fs::remove_dir_all(&home.data).unwrap();
    });
}

#[test]
fn destroyed_bytes_are_gone_from_the_files_after_a_compaction() {
    let Fresh { home, daemon, admin } = filled();
    let token = admin.authorization().replace("Bearer ", "");
    // Kept versions are searched for by what a backup shows to be their sealed bytes.
    let large = secret("ml", "s5");
    daemon.stop();
    let with = sealed_bytes(&home, &token);
    let daemon = Daemon::start(&mut home.serve());
    let admin = daemon.actor(&token);
    admin.post(&format!("{large}/actions/destroy"), &json!({ "versions": [1, 2, 3] })).expect(200);
    daemon.stop();
    let without = sealed_bytes(&home, &token);
    // A stretch that only the first backup has lies in a payload that was destroyed.
    let windows: std::collections::HashSet<&[u8]> = without.windows(24).collect();
    let gone = |bytes: &&[u8]| bytes.len() == 24 && !windows.contains(bytes);
    let destroyed: Vec<&[u8]> = with.chunks(24).filter(gone).collect();
    assert!(destroyed.len() > 100, "{}", destroyed.len());
    let in_files = |bytes: &&[u8]| holds(&home.data.join("store-1"), bytes);
    let destroyed: Vec<&[u8]> =
        destroyed.iter().step_by(destroyed.len() / 20).copied().filter(in_files).collect();
    assert!(destroyed.len() > 4, "they are in the files before");
    let daemon = Daemon::start(&mut home.serve());
    let admin = daemon.actor(&token);
    let status = compacted(&admin);
    assert_eq!(status["state"], "done", "{status}");
    for bytes in destroyed {
        assert!(!holds(&home.data, bytes));
    }
    assert_eq!(admin.post(VERIFY, &json!(null)).expect(200).json()["findings"], json!([]));
    // From the command line too, beside the daemon and without one.
    told(&on(&home, "compact", &[]));
    told(&on(&home, "verify", &[]));
    daemon.stop();
    told(&on(&home, "compact", &[]));
    told(&on(&home, "verify", &[]));
    let daemon = Daemon::start(&mut home.serve());
    assert_eq!(daemon.actor(&token).value(&secret("ml", "s6")), content(6, 3));
}

#[test]
fn a_compaction_and_a_backup_killed_at_any_point_leave_the_store_as_it_was() {
    if !cfg!(target_arch = "x86_64") {
        return skip("the tracer knows x86-64's system calls only");
    }
    let Fresh { home, daemon, admin } = filled();
    let token = admin.authorization().replace("Bearer ", "");
    daemon.stop();
    let files = tempfile::tempdir().unwrap();
    let backup = |home: &Home, to: &Path| {
        let mut command = home.command("backup");
        command.arg("--to").arg(to);
        command
    };
    for (verb, count) in [("compact", 20), ("backup", 8)] {
        let command = |home: &Home, point: usize| match verb {
            "compact" => home.command(verb),
            _ => backup(home, &files.path().join(point.to_string())),
        };
        let whole = tracer::run(&mut command(&home.copy(), 0), counted(), usize::MAX, Until::Exit);
        assert!(whole.count > 30 && !whole.killed, "{whole:?}");
        each_point(whole.count, count, |point| {
            let home = home.copy();
            tracer::run(&mut command(&home, point), counted(), point, Until::Exit);
            let daemon = Daemon::start(&mut home.serve());
            is_filled(&daemon.actor(&token));
            daemon.stop();
            let stores = fs::read_dir(&home.data).unwrap().filter(|entry| {
                entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("store-")
            });
            assert_eq!(stores.count(), 1, "{verb} killed at {point}");
            let file = files.path().join(point.to_string());
            if verb == "backup" && file.exists() {
                told(&on(&home, "verify", &["--backup", text(&file)]));
            }
        });
    }
}

/// An operator's backup runs while everybody else works.
#[test]
fn a_backup_of_a_busy_daemon_is_one_moment_of_it() {
    let Fresh { home, daemon, admin } = filled();
    let token = admin.authorization().replace("Bearer ", "");
    let address = daemon.address;
    let files = tempfile::tempdir().unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let backups: Vec<PathBuf> = std::thread::scope(|scope| {
        for writer in 0..4 {
            let (stop, token) = (&stop, &token);
            scope.spawn(move || {
                let admin = Actor::new(address, token);
                let mut step = 0;
                // Two secrets that never differ by more than one step.
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    step += 1;
                    for name in ["a", "z"] {
                        let path = secret("ml", &format!("{name}-{writer}"));
                        admin.put(&path, &opaque(&step.to_string()));
                    }
                }
            });
        }
        let take = |number: usize| {
            let file = files.path().join(number.to_string());
            told(&on(&home, "backup", &["--to", text(&file)]));
            file
        };
        let backups = (0..3).map(take).collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        backups
    });
    daemon.stop();
    for backup in backups {
        let other = Home::at(backup.with_extension("restored"), home.key.clone());
        told(&on(&other, "restore", &["--from", text(&backup)]));
        let daemon = Daemon::start(&mut other.serve());
        let admin = daemon.actor(&token);
        is_filled(&admin);
        for writer in 0..4 {
            let step = |name: &str| -> i64 {
                let answer =
                    admin.get(&format!("{}/data", secret("ml", &format!("{name}-{writer}"))));
                if answer.status == 404 {
                    return 0;
                }
                crate::client::decoded(&answer.json()["data"]["value"]).parse().unwrap()
            };
            let (first, second) = (step("a"), step("z"));
            assert!(first == second || first == second + 1, "{first} {second}");
        }
    }
}

/// What a command that was killed has left makes way for the next one; what another command is writing does not.
#[test]
fn a_backup_that_another_command_is_writing_is_left_alone() {
    let Fresh { home, daemon: _daemon, admin: _admin } = fresh();
    let files = tempfile::tempdir().unwrap();
    let (target, partial) = (files.path().join("backup"), files.path().join("backup.partial"));
    fs::write(&partial, "half of it").unwrap();
    let writing = fs::File::open(&partial).unwrap();
    writing.lock().unwrap();
    let refused = on(&home, "backup", &["--to", text(&target)]);
    assert!(refused.one_error_line(1).contains("another backup"), "{refused:?}");
    assert_eq!(fs::read_to_string(&partial).unwrap(), "half of it");
    assert!(!target.exists());
    drop(writing);
    told(&on(&home, "backup", &["--to", text(&target)]));
    told(&on(&home, "verify", &["--backup", text(&target)]));
    assert!(!partial.exists());
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
}

/// Either reads the whole store; and a client that takes a backup slowly keeps nobody else waiting.
#[test]
fn one_backup_or_verification_at_a_time() {
    let Fresh { home: _home, daemon, admin } = fresh();
    // More than the 36 MiB that the system takes on behalf of a client that does not read.
    for number in 0..48 {
        admin.put(&secret("ml", &format!("s{number}")), &opaque(&"x".repeat(900_000))).expect(201);
    }
    // A client that does not read behind the first line holds the place.
    let mut idle = crate::client::Connection::open(daemon.address).unwrap();
    let request = format!(
        "GET {BACKUP} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\r\n",
        admin.authorization()
    );
    idle.send(request.as_bytes()).unwrap();
    let mut status = [0; 12];
    idle.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    admin.post(VERIFY, &json!(null)).problem(503, "busy");
    admin.get(BACKUP).problem(503, "busy");
    drop(idle);
    wait_until("the place is free again", || admin.post(VERIFY, &json!(null)).status == 200);
}

/// Neither a compaction nor a backup may take the room that the store needs, and both say why they end.
#[test]
fn without_room_a_compaction_and_a_backup_are_given_up_and_the_store_goes_on() {
    let Some(disk) = SmallDisk::mount() else {
        return in_own_namespace(
            "whole_store::without_room_a_compaction_and_a_backup_are_given_up_and_the_store_goes_on",
        );
    };
    let home = disk.home();
    let token = home.init();
    let daemon = Daemon::start(&mut home.serve());
    let admin = daemon.actor(&token);
    admin.make_project("ml");
    fill(&admin);
    let filler = disk.path().join("filler");
    fill_up(&filler);
    let status = compacted(&admin);
    assert_eq!(status["state"], "failed", "{status}");
    let reason = status["reason"].as_str().unwrap();
    assert!(reason.contains("room") || reason.contains("space"), "{reason}");
    let refused = on(&home, "compact", &[]);
    assert!(refused.one_error_line(1).contains("the store is as it was"), "{refused:?}");
    let target = disk.path().join("backup");
    let refused = on(&home, "backup", &["--to", text(&target)]);
    assert!(refused.one_error_line(1).contains("cannot be written"), "{refused:?}");
    assert!(!target.exists() && !disk.path().join("backup.partial").exists());
    is_filled(&admin);
    fs::remove_file(&filler).unwrap();
    // The audit log looks for room once a second.
    wait_until("with room there are writes", || {
        matches!(admin.put(&secret("ml", "more"), &opaque("x")).status, 200 | 201)
    });
    daemon.stop();
    let daemon = Daemon::start(&mut home.serve());
    is_filled(&daemon.actor(&token));
}
