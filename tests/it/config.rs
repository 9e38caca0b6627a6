//! The settings: where they may stand, which place wins, what is refused and what a hangup does.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::{Signal, kill};

use crate::client::WHOAMI;
use crate::harness::{Daemon, Home, run, tresor, wait_until};

/// A configuration file, in a directory of its own.
struct Config {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Config {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Self { path: dir.path().join("tresor.toml"), _dir: dir };
        config.write(text);
        config
    }

    /// Whole at once, so that no reader sees half of it.
    fn write(&self, text: &str) {
        let beside = self.path.with_extension("new");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, &self.path).unwrap();
    }

    fn pass_to(&self, mut command: Command) -> Command {
        command.arg("--config").arg(&self.path);
        command
    }

    fn check(&self) -> Command {
        self.pass_to(tresor(&["serve", "--check-config"]))
    }
}

#[test]
fn each_fault_in_the_file_is_refused_with_its_line_its_key_and_its_fix() {
    for (text, line, says) in [
        ("listen = \"x\"", 1, "listen: this does not fit; it takes an IP address with a port"),
        ("# one\n\nkeep-versions = 101", 3, "keep-versions: this does not fit; it takes a number"),
        ("max-requests = \"many\"", 1, "max-requests: this is of type string; it takes a number"),
        ("lissten = \"127.0.0.1:1\"", 1, "lissten: there is no such setting"),
        ("log = \"verbose\"", 1, "log: this does not fit; it takes log levels"),
        ("surfaces = \"apolo,vault\"", 1, "surfaces: this does not fit; it takes platforms"),
        ("public-url = \"tresor\"", 1, "public-url: this does not fit; it takes a URL"),
        ("create-projects = \"all\"", 1, "create-projects: this does not fit; it takes admin"),
        ("blueprints-project = \"a/b/c\"", 1, "blueprints-project: this does not fit"),
        ("blueprints-namespace = \"kube-system\"", 1, "blueprints-namespace: this does not fit"),
        ("chariot-organization-project = \"a/b\"", 1, "chariot-organization-project: this does"),
        ("digitalhub-namespace = \"{name}\"", 1, "digitalhub-namespace: this does not fit"),
        ("apolo-namespace = \"A\"", 1, "apolo-namespace: this does not fit"),
        ("\nlisten = 127.0.0.1:1", 2, "this is no TOML"),
        ("root-key = \"AAAA\"", 1, "root-key: a secret does not belong in this file"),
        ("passphrase = \"AAAA\"", 1, "passphrase: a secret does not belong in this file"),
        ("in-cluster = true\nkubeconfig = \"k\"", 1, "in-cluster: this contradicts "),
        ("root-key-file = \"a\"\npassphrase-file = \"b\"", 1, "root-key-file and "),
    ] {
        let config = Config::new(text);
        for mut command in [config.check(), config.pass_to(tresor(&["admin-token"]))] {
            let ended = run(&mut command);
            let expected = format!("tresor: {}:{line}: {says}", config.path.display());
            assert!(ended.one_error_line(2).starts_with(&expected), "{ended:?}");
            assert!(!ended.stderr.contains("AAAA"), "{ended:?}");
        }
    }
}

#[test]
fn a_fault_on_the_command_line_or_in_the_environment_names_its_place() {
    let flag = run(&mut tresor(&["serve", "--check-config", "--keep-versions", "0"]));
    assert!(flag.one_error_line(2).contains("--keep-versions: this does not fit"), "{flag:?}");
    let variable = run(tresor(&["serve", "--check-config"]).env("TRESOR_LOG", "verbose"));
    assert!(variable.one_error_line(2).contains("TRESOR_LOG: this does not fit"), "{variable:?}");
    let missing = run(&mut tresor(&["serve", "--config", "/nonexistent/tresor.toml"]));
    assert!(missing.one_error_line(2).contains("/nonexistent/tresor.toml"), "{missing:?}");
    let nothing = run(&mut tresor(&["serve"]));
    assert!(nothing.one_error_line(1).contains("--root-key-file"), "{nothing:?}");
}

#[test]
fn a_right_file_is_checked_without_touching_anything() {
    let home = Home::empty();
    let config = Config::new(&format!(
        "data-dir = \"{}\"\nroot-key-file = \"{}\"\nlog-format = \"json\"\n",
        home.data.display(),
        home.key.display()
    ));
    let ended = run(&mut config.check());
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    assert!(!home.data.exists() && !home.key.exists());
}

/// Each place names a loopback address of its own, so that the one that won can be seen.
#[test]
fn the_flag_wins_over_the_environment_and_that_over_the_file() {
    let home = Home::empty();
    home.init();
    let config = Config::new("listen = \"127.0.0.2:0\"\n");
    let listens = |command: &mut Command| {
        let daemon = Daemon::start(command);
        let address = daemon.address.ip().to_string();
        daemon.stop();
        address
    };
    let serve = || config.pass_to(home.command("serve"));
    assert_eq!(listens(&mut serve()), "127.0.0.2");
    assert_eq!(listens(serve().env("TRESOR_LISTEN", "127.0.0.3:0")), "127.0.0.3");
    let mut all = serve();
    all.env("TRESOR_LISTEN", "127.0.0.3:0").args(["--listen", "127.0.0.4:0"]);
    assert_eq!(listens(&mut all), "127.0.0.4");
    let mut by_variable = home.command("serve");
    assert_eq!(listens(by_variable.env("TRESOR_CONFIG", &config.path)), "127.0.0.2");
}

#[test]
fn a_file_alone_is_enough_to_make_and_serve_a_store() {
    let home = Home::empty();
    let config = Config::new(&format!(
        "data-dir = \"{}\"\nroot-key-file = \"{}\"\nlisten = \"127.0.0.1:0\"\n",
        home.data.display(),
        home.key.display()
    ));
    let made = run(&mut config.pass_to(tresor(&["init"])));
    assert_eq!(made.code, Some(0), "{made:?}");
    let daemon = Daemon::start(&mut config.pass_to(tresor(&["serve"])));
    daemon.actor(made.stdout.trim()).get(WHOAMI).expect(200);
    daemon.stop();
}

#[test]
fn a_hangup_applies_the_log_levels_and_survives_a_broken_file() {
    let home = Home::empty();
    let token = home.init();
    let config = Config::new("log = \"warn\"\n");
    let daemon = Daemon::start(&mut config.pass_to(home.serve()));
    let served = || daemon.said().matches("request served").count();
    let ask = || daemon.actor(&token).get(WHOAMI).expect(200);
    let hang_up = || kill(daemon.pid(), Signal::SIGHUP).unwrap();
    ask();
    assert_eq!(served(), 0, "{}", daemon.said());

    config.write("log = \"info\"\n");
    hang_up();
    wait_until("the file is read again", || daemon.said().contains("was read again"));
    ask();
    wait_until("the request is in the log", || served() == 1);

    config.write("log = \"info\"\n\nlog = \"M4rk3r\n");
    hang_up();
    wait_until("the fault is told", || daemon.said().contains("tresor.toml:3"));
    assert!(!daemon.said().contains("M4rk3r"));
    ask();
    wait_until("the levels are those of before", || served() == 2);

    config.write("log = \"warn\"\nkeep-versions = 20\nlisten = \"127.0.0.1:1\"\n");
    hang_up();
    wait_until("what waits for a restart is named", || {
        daemon.said().contains("needs_restart=\"keep-versions\"")
    });
    ask();
    let before = served();
    let ended = daemon.stop();
    assert_eq!((before, ended.stderr.matches("request served").count()), (2, 2), "{ended:?}");
}

#[test]
fn a_hangup_without_a_file_ends_nothing() {
    let home = Home::empty();
    let token = home.init();
    let daemon = Daemon::start(&mut home.serve());
    kill(daemon.pid(), Signal::SIGHUP).unwrap();
    wait_until("the hangup is told", || daemon.said().contains("was read again"));
    daemon.actor(&token).get(WHOAMI).expect(200);
    daemon.stop();
}

#[test]
fn the_log_is_json_lines_when_asked_for() {
    let home = Home::empty();
    let token = home.init();
    let mut serve = home.serve();
    let daemon = Daemon::start(serve.args(["--log-format", "json"]));
    daemon.actor(&token).get(WHOAMI).expect(200);
    let ended = daemon.stop();
    let lines: Vec<serde_json::Value> =
        ended.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let is_served = |line: &serde_json::Value| line["fields"]["message"] == "request served";
    assert!(lines.iter().any(is_served), "{lines:?}");
}
