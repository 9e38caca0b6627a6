//! Where the root key comes from, and how a store gets a second one and loses the first.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::client::{Actor, WHOAMI};
use crate::harness::{Daemon, Ended, Home, run, skip, tresor};
use crate::tracer::{self, Points, Until};

const RIGHT: &str = "correct horse battery staple";
const WRONG: &str = "correct horse battery stable";

/// A file beside the data directory that only its owner can read.
fn private(home: &Home, name: &str, text: &str) -> PathBuf {
    let path = home.data.with_file_name(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

/// A command on the home's data directory, with no root key.
fn command(home: &Home, words: &[&str]) -> Command {
    let mut command = tresor(words);
    command.arg("--data-dir").arg(&home.data);
    command
}

fn with_file(mut command: Command, flag: &str, path: &Path) -> Command {
    command.arg(flag).arg(path);
    command
}

fn serve(home: &Home) -> Command {
    command(home, &["serve", "--listen", "127.0.0.1:0"])
}

/// A store that a passphrase opens, and its administrator's token.
#[track_caller]
fn made_with_passphrase() -> (Home, PathBuf, String) {
    let home = Home::empty();
    let file = private(&home, "passphrase", &format!("{RIGHT}\n"));
    let made = run(&mut with_file(command(&home, &["init"]), "--passphrase-file", &file));
    assert_eq!(made.code, Some(0), "{made:?}");
    (home, file, made.stdout.trim().to_owned())
}

#[track_caller]
fn serves(command: &mut Command, token: &str) {
    let daemon = Daemon::start(command);
    Actor::new(daemon.address, token).get(WHOAMI).expect(200);
    daemon.stop();
}

/// Runs commands that must be refused in one line with `code`, and change nothing.
#[track_caller]
fn all_refused(home: &Home, commands: Vec<Command>, code: i32, says: &str) {
    let before = home.files();
    for mut command in commands {
        let ended = run(&mut command);
        let line = ended.one_error_line(code);
        assert!(line.contains(says), "{line}");
        assert!(ended.stdout.is_empty() && !line.contains("horse"), "{ended:?}");
        assert!(home.files() == before, "{command:?} has changed a file");
    }
}

#[test]
fn a_passphrase_opens_the_store_from_each_of_its_places() {
    let (home, file, token) = made_with_passphrase();
    serves(&mut with_file(serve(&home), "--passphrase-file", &file), &token);
    serves(serve(&home).env("TRESOR_PASSPHRASE", RIGHT), &token);
    serves(serve(&home).env("TRESOR_PASSPHRASE_FILE", &file), &token);
    let credentials = home.data.with_file_name("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("tresor-passphrase"), RIGHT).unwrap();
    serves(serve(&home).env("CREDENTIALS_DIRECTORY", &credentials), &token);
    let config =
        private(&home, "tresor.toml", &format!("passphrase-file = \"{}\"\n", file.display()));
    serves(&mut with_file(serve(&home), "--config", &config), &token);
}

#[test]
fn a_root_key_may_come_from_a_credential() {
    let home = Home::empty();
    let token = home.init();
    let credentials = home.data.with_file_name("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::copy(&home.key, credentials.join("tresor-root-key")).unwrap();
    serves(serve(&home).env("CREDENTIALS_DIRECTORY", &credentials), &token);
}

#[test]
fn a_wrong_passphrase_is_refused_and_the_store_untouched() {
    let (home, file, token) = made_with_passphrase();
    let wrong = private(&home, "wrong", WRONG);
    let key = private(&home, "key", &"07".repeat(32));
    let verbs: [&[&str]; 4] = [
        &["serve"],
        &["admin-token"],
        &["root-key", "add", "--new-root-key-file", "/nonexistent/key"],
        &["root-key", "drop", "--slot", "1"],
    ];
    let by = |flag, path| verbs.map(|verb| with_file(command(&home, verb), flag, path)).into();
    all_refused(&home, by("--passphrase-file", &wrong), 3, "passphrase");
    all_refused(&home, by("--root-key-file", &key), 3, "root key");
    serves(&mut with_file(serve(&home), "--passphrase-file", &file), &token);
}

#[test]
fn a_passphrase_that_is_too_short_or_none_makes_no_store() {
    let home = Home::empty();
    fs::create_dir(&home.data).unwrap();
    let init = |text: &str| {
        let file = private(&home, "passphrase", text);
        vec![with_file(command(&home, &["init"]), "--passphrase-file", &file)]
    };
    all_refused(&home, init("horse short\n"), 1, "at least 12 characters");
    all_refused(&home, init("\n"), 1, "empty");
    all_refused(&home, init("correct horse\nbattery\n"), 1, "one line");
    assert!(home.files().is_empty());
}

#[test]
fn a_passphrase_file_that_others_can_read_is_refused() {
    let (home, file, _) = made_with_passphrase();
    for mode in [0o644, 0o640, 0o604] {
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let serve = with_file(serve(&home), "--passphrase-file", &file);
        all_refused(&home, vec![serve], 1, "chmod 600");
    }
}

#[test]
fn two_root_keys_in_the_same_place_are_refused_and_a_nearer_place_wins() {
    let (home, file, token) = made_with_passphrase();
    let wrong = private(&home, "wrong", WRONG);
    let key = private(&home, "key", &"07".repeat(32));
    let two_flags =
        with_file(with_file(serve(&home), "--passphrase-file", &file), "--root-key-file", &key);
    all_refused(&home, vec![two_flags], 2, "--root-key-file and --passphrase-file");
    let mut prompt_too = with_file(serve(&home), "--passphrase-file", &file);
    prompt_too.arg("--passphrase");
    all_refused(&home, vec![prompt_too], 2, "--passphrase-file and --passphrase each");
    let mut two_variables = serve(&home);
    two_variables.env("TRESOR_PASSPHRASE", RIGHT).env("TRESOR_ROOT_KEY", "07".repeat(32));
    all_refused(&home, vec![two_variables], 2, "TRESOR_ROOT_KEY and TRESOR_PASSPHRASE");
    let text = format!(
        "passphrase-file = \"{}\"\nroot-key-file = \"{}\"\n",
        file.display(),
        key.display()
    );
    let both = private(&home, "both.toml", &text);
    let two_lines = with_file(serve(&home), "--config", &both);
    all_refused(&home, vec![two_lines], 2, "both.toml:2: root-key-file and ");

    let text = format!("passphrase-file = \"{}\"\n", wrong.display());
    let config = private(&home, "tresor.toml", &text);
    let with_config = || with_file(serve(&home), "--config", &config);
    serves(with_config().env("TRESOR_PASSPHRASE", RIGHT), &token);
    let mut flag = with_file(with_config(), "--passphrase-file", &file);
    serves(flag.env("TRESOR_PASSPHRASE", WRONG), &token);
}

/// Adds a second root key to a store with one; its file.
#[track_caller]
fn add_key(home: &Home, token: &str) -> PathBuf {
    let new = home.data.with_file_name("second.key");
    let mut add = with_file(
        with_file(command(home, &["root-key", "add"]), "--root-key-file", &home.key),
        "--new-root-key-file",
        &new,
    );
    let added = run(&mut add);
    assert_eq!(added.code, Some(0), "{added:?}");
    assert!(added.stdout.contains("slot 2"), "{added:?}");
    assert_eq!(fs::metadata(&new).unwrap().permissions().mode() & 0o777, 0o600);
    serves(&mut with_file(serve(home), "--root-key-file", &new), token);
    new
}

fn drop_slot(home: &Home, staying: &Path, slot: &str) -> Command {
    let drop = command(home, &["root-key", "drop", "--slot", slot]);
    with_file(drop, "--root-key-file", staying)
}

#[test]
fn two_root_keys_open_the_store_until_one_is_dropped() {
    let home = Home::empty();
    let token = home.init();
    let old_keyring = fs::read(home.data.join("keyring")).unwrap();
    let second = add_key(&home, &token);
    serves(&mut home.serve(), &token);

    let dropped = run(&mut drop_slot(&home, &second, "1"));
    assert_eq!(dropped.code, Some(0), "{dropped:?}");
    serves(&mut with_file(serve(&home), "--root-key-file", &second), &token);
    all_refused(&home, vec![home.serve()], 3, "root key");

    // The stated limit: an older keyring file of the same keys is taken with the root key of then.
    fs::write(home.data.join("keyring"), old_keyring).unwrap();
    serves(&mut home.serve(), &token);
}

#[test]
fn a_key_may_be_replaced_by_a_passphrase() {
    let home = Home::empty();
    let token = home.init();
    let passphrase = private(&home, "passphrase", RIGHT);
    let add = with_file(command(&home, &["root-key", "add"]), "--root-key-file", &home.key);
    let added = run(&mut with_file(add, "--new-passphrase-file", &passphrase));
    assert_eq!(added.code, Some(0), "{added:?}");
    let drop = command(&home, &["root-key", "drop", "--slot", "1"]);
    let dropped = run(&mut with_file(drop, "--passphrase-file", &passphrase));
    assert_eq!(dropped.code, Some(0), "{dropped:?}");
    serves(&mut with_file(serve(&home), "--passphrase-file", &passphrase), &token);
    all_refused(&home, vec![home.serve()], 3, "root key");
}

#[test]
fn a_change_of_root_keys_that_could_lock_out_is_refused() {
    let home = Home::empty();
    let token = home.init();
    let add = |new: &Path| {
        let add = with_file(command(&home, &["root-key", "add"]), "--root-key-file", &home.key);
        with_file(add, "--new-root-key-file", new)
    };
    all_refused(&home, vec![add(&home.key)], 1, "opens slot 1 already");
    all_refused(&home, vec![drop_slot(&home, &home.key, "1")], 1, "the slot that stays");
    all_refused(&home, vec![drop_slot(&home, &home.key, "2")], 1, "no slot 2");
    let second = add_key(&home, &token);
    let third = home.data.with_file_name("third.key");
    all_refused(&home, vec![add(&third)], 1, "both slots are taken");
    all_refused(&home, vec![drop_slot(&home, &second, "2")], 1, "the slot that stays");
    let short = private(&home, "short", "horse short");
    assert_eq!(run(&mut drop_slot(&home, &home.key, "2")).code, Some(0));
    let add_short = with_file(command(&home, &["root-key", "add"]), "--root-key-file", &home.key);
    let add_short = with_file(add_short, "--new-passphrase-file", &short);
    all_refused(&home, vec![add_short], 1, "at least 12 characters");

    let daemon = Daemon::start(&mut home.serve());
    for mut command in [add(&third), drop_slot(&home, &second, "1")] {
        assert!(run(&mut command).one_error_line(4).contains("in use"));
    }
    daemon.stop();
}

#[test]
fn the_status_tells_the_slots_without_a_root_key_and_nothing_secret() {
    let home = Home::empty();
    home.init();
    let passphrase = private(&home, "passphrase", RIGHT);
    let add = with_file(command(&home, &["root-key", "add"]), "--root-key-file", &home.key);
    run(&mut with_file(add, "--new-passphrase-file", &passphrase));
    let before = home.files();
    let Ended { code, stdout, stderr } = run(&mut command(&home, &["root-key", "status"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let lines: Vec<_> = stdout.lines().collect();
    let [key, words] = lines[..] else { panic!("{stdout}") };
    assert!(key.starts_with("slot 1: key, created 20"), "{key}");
    let expected =
        "slot 2: passphrase (Argon2id: memory 65536 KiB, iterations 3, lanes 4), created 20";
    assert!(words.starts_with(expected), "{words}");
    assert!(home.files() == before);
}

#[test]
fn a_change_of_root_keys_killed_at_any_point_locks_nobody_out() {
    if !cfg!(target_arch = "x86_64") {
        return skip("the tracer knows x86-64's system calls only");
    }
    let home = Home::empty();
    home.init();
    let second = private(&home, "second", &"07".repeat(32));
    let with_one = fs::read(home.data.join("keyring")).unwrap();
    let add = || {
        let add = with_file(command(&home, &["root-key", "add"]), "--root-key-file", &home.key);
        with_file(add, "--new-root-key-file", &second)
    };
    let run_to =
        |mut command: Command, at| tracer::run(&mut command, Points::Changes, at, Until::Exit);
    let opens = |key: &Path| {
        let token = command(&home, &["admin-token"]);
        run(&mut with_file(token, "--root-key-file", key)).code == Some(0)
    };
    let whole = run_to(add(), usize::MAX);
    let with_two = fs::read(home.data.join("keyring")).unwrap();
    assert!(whole.count > 4 && with_two.len() > with_one.len(), "{whole:?}");
    for at in 1..=whole.count {
        fs::write(home.data.join("keyring"), &with_one).unwrap();
        run_to(add(), at);
        assert!(opens(&home.key), "killed at {at} of {}", whole.count);
    }
    let drop_first = || drop_slot(&home, &second, "1");
    fs::write(home.data.join("keyring"), &with_two).unwrap();
    let whole = run_to(drop_first(), usize::MAX);
    assert!(whole.count > 4 && !opens(&home.key), "{whole:?}");
    for at in 1..=whole.count {
        fs::write(home.data.join("keyring"), &with_two).unwrap();
        run_to(drop_first(), at);
        assert!(opens(&second), "killed at {at} of {}", whole.count);
    }
}

/// A command on a terminal of its own, which `script` makes; each answer waits for its prompt.
fn typed(command: &Command, answers: &[(&str, &str)]) -> Ended {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let mut script = Command::new("script");
    crate::harness::clean(script.args(["-qefc", &words.join(" "), "/dev/null"]));
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut shown = Vec::new();
    for (prompt, answer) in answers {
        let asked = |shown: &[u8]| String::from_utf8_lossy(shown).contains(prompt);
        let mut byte = [0];
        while !asked(&shown) && screen.read(&mut byte).unwrap() > 0 {
            shown.push(byte[0]);
        }
        // The prompt comes a moment before the echo is off.
        std::thread::sleep(Duration::from_millis(500));
        keys.write_all(format!("{answer}\n").as_bytes()).unwrap();
    }
    screen.read_to_end(&mut shown).unwrap();
    let stdout = String::from_utf8(shown).unwrap();
    Ended { code: child.wait().unwrap().code(), stdout, stderr: String::new() }
}

#[test]
fn a_passphrase_is_asked_for_on_the_terminal_and_twice_for_a_new_store() {
    if Command::new("script").arg("--version").output().is_err() {
        return skip("there is no `script` to make a terminal with");
    }
    let home = Home::empty();
    let mut init = command(&home, &["init"]);
    init.arg("--passphrase");
    let (first, second) = ("Passphrase: ", "The same again: ");
    let differ = typed(&init, &[(first, RIGHT), (second, WRONG)]);
    assert_eq!(differ.code, Some(1), "{differ:?}");
    assert!(differ.stdout.contains("the two passphrases differ"), "{differ:?}");
    let made = typed(&init, &[(first, RIGHT), (second, RIGHT)]);
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(!made.stdout.contains("horse"), "nothing is echoed: {made:?}");
    let token = made.stdout.lines().find(|line| line.starts_with("tresor_")).unwrap();
    serves(serve(&home).env("TRESOR_PASSPHRASE", RIGHT), token.trim());
    let mut again = command(&home, &["admin-token"]);
    again.arg("--passphrase");
    assert_eq!(typed(&again, &[(first, RIGHT)]).code, Some(0));
    assert_eq!(typed(&again, &[(first, WRONG)]).code, Some(3));
}
