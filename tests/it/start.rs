//! How the daemon starts, refuses to start, and starts again after it was killed.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::json;

use crate::client::{Actor, WHOAMI, opaque, secret, secrets};
use crate::harness::{Daemon, Ended, Home, fresh, long, run, tresor};
use crate::tracer::{self, Points, Until};

/// Runs `serve`, which must refuse in one line and leave every byte as it was.
#[track_caller]
fn refused(home: &Home, code: i32, says: &str) {
    refused_except(home, code, says, "no exception");
}

/// As [`refused`], but one file may have changed.
#[track_caller]
fn refused_except(home: &Home, code: i32, says: &str, exception: &str) {
    for verb in ["serve", "admin-token"] {
        let before = home.files();
        let ended =
            if verb == "serve" { run(&mut home.serve()) } else { run(&mut home.command(verb)) };
        let line = ended.one_error_line(code);
        assert!(line.contains(says), "{line}");
        assert_eq!(ended.stdout, "");
        let after = home.files();
        let changed = before
            .keys()
            .chain(after.keys())
            .find(|&path| before.get(path) != after.get(path) && !path.ends_with(exception));
        assert_eq!(changed, None, "{verb} has changed a file");
    }
}

/// A store with a secret in it, after a clean stop or a kill, and the administrator's token.
fn stopped(clean: bool) -> (Home, String) {
    let fresh = fresh();
    for number in 0..5 {
        let name = format!("s{number}");
        fresh.admin.put(&secret("ml", &name), &opaque(&format!("value of {name}"))).expect(201);
        fresh.admin.put(&secret("ml", &name), &opaque(&format!("second of {name}"))).expect(200);
    }
    fresh.admin.delete(&secret("ml", "s4")).expect(204);
    if clean {
        fresh.daemon.stop();
    } else {
        fresh.daemon.kill();
    }
    (fresh.home, fresh.admin.authorization().replace("Bearer ", ""))
}

/// Finds what [`stopped`] left.
#[track_caller]
fn find_everything(admin: &Actor) {
    let list = admin.get(&secrets("ml")).expect(200).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 4);
    for number in 0..4 {
        let path = secret("ml", &format!("s{number}"));
        assert_eq!(admin.value(&path), format!("second of s{number}"));
        admin.get(&format!("{path}/data?version=1")).expect(200);
    }
}

#[test]
fn a_wrong_root_key_is_refused_and_the_store_untouched() {
    for clean in [true, false] {
        let (home, token) = stopped(clean);
        let other = Home::empty();
        other.init();
        let right = fs::read(&home.key).unwrap();
        fs::copy(&other.key, &home.key).unwrap();
        refused(&home, 3, "root key");
        fs::write(&home.key, right).unwrap();
        find_everything(&Daemon::start(&mut home.serve()).actor(&token));
    }
}

#[test]
fn a_second_daemon_on_the_same_directory_is_refused_and_the_first_goes_on() {
    let fresh = fresh();
    fresh.admin.put(&secret("ml", "a"), &opaque("x")).expect(201);
    for verb in ["serve", "admin-token", "init"] {
        let mut command =
            if verb == "serve" { fresh.home.serve() } else { fresh.home.command(verb) };
        let ended = run(&mut command);
        let line = ended.one_error_line(4);
        assert!(line.contains("in use"), "{line}");
    }
    fresh.admin.put(&secret("ml", "a"), &opaque("y")).expect(200);
    assert_eq!(fresh.admin.value(&secret("ml", "a")), "y");
}

fn patch(path: &Path, at: u64, bytes: &[u8]) {
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

#[test]
fn a_directory_of_a_newer_format_is_refused_and_untouched() {
    for clean in [true, false] {
        let (home, token) = stopped(clean);
        for file in ["HEAD", "keyring"] {
            let path = home.data.join(file);
            let good = fs::read(&path).unwrap();
            // The format's number stands behind eight bytes of magic, in both slots of HEAD.
            patch(&path, 8, &[0, 9]);
            if file == "HEAD" {
                patch(&path, 4096 + 8, &[0, 9]);
            }
            refused(&home, 5, "format 9");
            fs::write(&path, good).unwrap();
        }
        find_everything(&Daemon::start(&mut home.serve()).actor(&token));
    }
}

#[test]
fn a_damaged_directory_is_refused_and_untouched() {
    for clean in [true, false] {
        let (home, token) = stopped(clean);
        for (file, at, bytes) in [("keyring", 40, b"\xff".as_slice()), ("HEAD", 30, &[0xff; 5000])]
        {
            let path = home.data.join(file);
            let good = fs::read(&path).unwrap();
            patch(&path, at, bytes);
            refused(&home, 5, "");
            fs::write(&path, good).unwrap();
        }
        let db = home.data.join("store-1/db");
        let good = fs::read(&db).unwrap();
        patch(&db, 0, &[0xff; 64]);
        // The ballast holds nothing but room, and finding damage may need it.
        refused_except(&home, 5, "damaged", "ballast");
        fs::write(&db, good).unwrap();
        find_everything(&Daemon::start(&mut home.serve()).actor(&token));
    }
}

#[test]
fn what_is_missing_is_named() {
    let none = Home::empty();
    for verb in ["serve", "admin-token"] {
        let ended = run(&mut none.command(verb));
        assert!(ended.one_error_line(1).contains("tresor init"), "{ended:?}");
    }
    assert!(!none.data.exists(), "and nothing is made");
    let (home, _) = stopped(true);
    for part in ["keyring", "HEAD", "store-1"] {
        let (path, aside) = (home.data.join(part), home.data.with_extension("aside"));
        fs::rename(&path, &aside).unwrap();
        let ended = run(&mut home.serve());
        assert!(matches!(ended.code, Some(1 | 5)), "{part}: {ended:?}");
        ended.one_error_line(ended.code.unwrap());
        fs::rename(&aside, &path).unwrap();
    }
    fs::remove_file(&home.key).unwrap();
    let ended = run(&mut home.serve());
    assert!(ended.one_error_line(1).contains("root"), "{ended:?}");
}

#[test]
fn init_does_not_bury_what_is_left_of_a_store() {
    for parts in [&["store-1"][..], &["keyring"], &["HEAD"], &["store-1", "HEAD"]] {
        for clean in [true, false] {
            let (home, _) = stopped(clean);
            for part in parts {
                fs::rename(home.data.join(part), home.data.with_extension(part)).unwrap();
            }
            let before = home.files();
            let again = run(&mut home.command("init"));
            again.one_error_line(again.code.filter(|&code| code != 0).unwrap());
            assert!(home.files() == before, "without {parts:?}");
        }
    }
}

#[test]
fn a_root_key_that_others_can_read_is_refused() {
    let (home, token) = stopped(true);
    for mode in [0o644, 0o640, 0o604, 0o660] {
        fs::set_permissions(&home.key, Permissions::from_mode(mode)).unwrap();
        refused(&home, 1, "chmod 600");
    }
    fs::set_permissions(&home.key, Permissions::from_mode(0o400)).unwrap();
    find_everything(&Daemon::start(&mut home.serve()).actor(&token));
}

#[test]
fn the_root_key_may_come_from_the_environment_and_is_checked_there_too() {
    let (home, token) = stopped(true);
    let data = home.data.to_str().unwrap();
    let without_file = || tresor(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data]);
    let text = fs::read_to_string(&home.key).unwrap();
    let daemon = Daemon::start(without_file().env("TRESOR_ROOT_KEY", text.trim()));
    find_everything(&daemon.actor(&token));
    daemon.stop();
    assert!(run(&mut without_file()).one_error_line(1).contains("TRESOR_ROOT_KEY"));
    let not_a_key = "M4rk3r".repeat(8);
    let ended = run(without_file().env("TRESOR_ROOT_KEY", &not_a_key));
    assert!(!ended.one_error_line(1).contains("M4rk3r"), "{ended:?}");
    fs::write(&home.key, &not_a_key).unwrap();
    assert!(!run(&mut home.serve()).one_error_line(1).contains("M4rk3r"));
}

#[test]
fn init_makes_private_files_once_and_refuses_a_finished_store() {
    let home = Home::empty();
    let token = home.init();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home.data), 0o700);
    assert_eq!(mode(&home.key), 0o600);
    for path in home.files().keys() {
        assert_eq!(mode(path) & 0o077, 0, "{}", path.display());
    }
    let before = home.files();
    let again = run(&mut home.command("init"));
    assert!(again.one_error_line(1).contains("already"), "{again:?}");
    assert!(again.stdout.is_empty() && home.files() == before);
    Daemon::start(&mut home.serve()).actor(&token).get(WHOAMI).expect(200);
}

#[test]
fn an_operator_who_lost_all_tokens_makes_another() {
    let (home, token) = stopped(true);
    let made = run(&mut home.command("admin-token"));
    assert_eq!(made.code, Some(0), "{made:?}");
    let daemon = Daemon::start(&mut home.serve());
    for token in [made.stdout.trim(), &token] {
        let me = daemon.actor(token).get(WHOAMI).expect(200).json();
        assert_eq!(me["rights"], json!([{ "role": "admin" }]));
        find_everything(&daemon.actor(token));
    }
}

#[test]
fn what_was_written_is_there_after_a_stop_and_after_a_kill() {
    for clean in [true, false] {
        let (home, token) = stopped(clean);
        assert_eq!(home.data.join("CLEAN").exists(), clean);
        let daemon = Daemon::start(&mut home.serve());
        find_everything(&daemon.actor(&token));
        let items = |daemon: &Daemon| {
            daemon.actor(&token).get(&secrets("ml")).expect(200).json()["items"].take()
        };
        let before = items(&daemon);
        daemon.stop();
        let daemon = Daemon::start(&mut home.serve());
        let after = items(&daemon);
        assert_eq!(after, before, "versions and resource versions are those of before");
    }
}

#[test]
fn a_throw_away_daemon_needs_nothing_and_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = tresor(&["serve", "--dev", "--listen", "127.0.0.1:0"]);
    let daemon = Daemon::start(command.env("TMPDIR", temporary.path()));
    let mut token = None;
    crate::harness::wait_until("the token is printed", || {
        let said = daemon.said();
        let line = said.lines().find_map(|line| line.strip_prefix("export TRESOR_TOKEN="));
        token = line.map(str::to_owned);
        token.is_some()
    });
    let admin = daemon.actor(&token.unwrap());
    admin.make_project("demo");
    admin.put(&secret("demo", "hf"), &opaque("x")).expect(201);
    daemon.stop();
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn an_unknown_command_or_flag_is_a_usage_error() {
    for arguments in [&["frobnicate"][..], &["serve", "--frobnicate"], &[]] {
        assert_eq!(run(&mut tresor(arguments)).code, Some(2), "{arguments:?}");
    }
}

/// How the points of a run are gone through: all of them in the long form, else so many.
pub(crate) fn each_point(total: usize, wanted: usize, check: impl Fn(usize) + Sync) {
    let step = if long() { 1 } else { total.div_ceil(wanted).max(1) };
    let points: Vec<_> = (1..=total).step_by(step).collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(&point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    check(point);
                }
            });
        }
    });
    eprintln!("{} of {total} crash points", points.len());
}

pub(crate) fn counted() -> Points {
    if long() { Points::All } else { Points::Changes }
}

#[test]
fn an_init_killed_at_any_point_is_made_again() {
    if !cfg!(target_arch = "x86_64") {
        return crate::harness::skip("the tracer knows x86-64's system calls only");
    }
    let points = counted();
    let whole = tracer::run(&mut Home::empty().command("init"), points, usize::MAX, Until::Exit);
    assert!(whole.count > 20 && whole.stdout.starts_with("tresor_"), "{whole:?}");
    each_point(whole.count, 30, |point| {
        let home = Home::empty();
        let traced = tracer::run(&mut home.command("init"), points, point, Until::Exit);
        let again = run(&mut home.command("init"));
        let token = match again.code {
            Some(0) => again.stdout.trim().to_owned(),
            // It may have been killed after all was done; then the token was handed over.
            Some(1) if traced.stdout.ends_with('\n') => traced.stdout.trim().to_owned(),
            _ => panic!("killed at {point} of {}: {again:?}", whole.count),
        };
        let daemon = started(&home, point);
        daemon.actor(&token).make_project("ml");
    });
}

#[test]
fn a_start_killed_at_any_point_is_made_again() {
    if !cfg!(target_arch = "x86_64") {
        return crate::harness::skip("the tracer knows x86-64's system calls only");
    }
    let points = counted();
    for clean in [false, true] {
        let (template, token) = stopped(clean);
        let whole = tracer::run(&mut template.copy().serve(), points, usize::MAX, Until::Ready);
        assert!(whole.count > 10 && !whole.killed, "{whole:?}");
        each_point(whole.count, if clean { 15 } else { 40 }, |point| {
            let home = template.copy();
            tracer::run(&mut home.serve(), points, point, Until::Ready);
            let daemon = started(&home, point);
            find_everything(&daemon.actor(&token));
            daemon.actor(&token).put(&secret("ml", "new"), &opaque("x")).expect(201);
        });
    }
}

#[track_caller]
fn started(home: &Home, point: usize) -> Daemon {
    let failed = |ended: Ended| panic!("killed at {point}, it does not start again: {ended:?}");
    Daemon::try_start(&mut home.serve()).unwrap_or_else(failed)
}
