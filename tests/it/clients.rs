//! The real clients of the platforms, as their makers published them, against the daemon. What they
//! do and what they must see is told by the drivers in `tests/clients`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::client::{Actor, PASSWORD};
use crate::harness::{Fresh, clean, fresh_with, long, skip};

/// What `tests/setup/clients.sh` installs when it is not asked for more, each with its own test.
const ALWAYS: [&str; 4] =
    ["apolo-cli-26.9.0", "digitalhub-0.15.11", "digitalhub-0.5.0", "neuromation-20.12.7"];

#[test]
fn digital_hubs_own_sdk_runs_the_documents_lines() {
    drive("digitalhub-0.5.0");
}

#[test]
fn digital_hubs_newest_sdk_does_all_that_it_can_do_with_secrets() {
    drive("digitalhub-0.15.11");
}

#[test]
fn neuros_command_line_of_its_documents_time_keeps_and_shares_secrets() {
    drive("neuromation-20.12.7");
}

#[test]
fn apolos_newest_command_line_keeps_and_shares_secrets() {
    drive("apolo-cli-26.9.0");
}

#[test]
fn every_version_of_the_clients_between_is_served_alike() {
    if !long() {
        return;
    }
    let lists = fs::read_dir(root().join("tests/setup/clients")).unwrap();
    let lists = lists.map(|list| list.unwrap().path().file_stem().unwrap().to_owned());
    let mut clients: Vec<_> = lists.map(|name| name.into_string().unwrap()).collect();
    clients.retain(|client| !ALWAYS.contains(&client.as_str()));
    assert!(clients.len() > 10, "the walk finds too little to mean anything");
    clients.sort();
    for client in &clients {
        drive(client);
    }
}

/// Has a client driven against a daemon of its own, for two users who have nothing yet.
#[track_caller]
fn drive(client: &str) {
    let environment = environments().join(client);
    if !environment.join("complete.txt").exists() {
        return skip(&format!("{client} is not installed; tests/setup/clients.sh does it"));
    }
    let Fresh { home: _home, daemon, admin } = fresh_with(|serve| {
        serve.args(["--create-projects", "users"]);
    });
    let [alice, bob] = ["alice", "bob"].map(|name| with_names(&admin.make_user(name)));
    let mut run = Command::new(environment.join("bin/python"));
    clean(&mut run);
    run.arg(root().join("tests/clients").join(driver(client)));
    run.env("TRESOR_ADDR", format!("http://{}", daemon.address));
    run.env("TRESOR_USER", "alice").env("TRESOR_TOKEN", alice.token());
    run.env("TRESOR_PASSWORD", PASSWORD);
    run.env("TRESOR_OTHER_USER", "bob").env("TRESOR_OTHER_TOKEN", bob.token());
    let ended = run.output().unwrap();
    let [out, err] = [&ended.stdout, &ended.stderr].map(|stream| String::from_utf8_lossy(stream));
    for secret in [alice.token(), bob.token(), PASSWORD] {
        assert!(!out.contains(secret) && !err.contains(secret), "{client}: a token is printed");
        assert!(!daemon.said().contains(secret), "{client}: a token is logged");
    }
    assert!(ended.status.success(), "{client}: {err}\nafter\n{out}");
    let statements = out.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(statements > 0, "{client}: nothing was checked");
    assert_eq!(out.lines().last(), Some("done"), "{client}: {out}");
    eprintln!("{client}: {statements} statements");
}

/// Someone with a token that holds their name, which Apolo's clients read in it.
#[track_caller]
fn with_names(actor: &Actor) -> Actor {
    actor.mint(&json!({ "jwt": true })).0
}

fn driver(client: &str) -> &'static str {
    match client {
        "digitalhub-0.5.0" => "digitalhub_050.py",
        _ if client.starts_with("digitalhub-") => "digitalhub_current.py",
        _ => "apolo.py",
    }
}

fn environments() -> PathBuf {
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache");
    let cache = env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
    cache.join("tresor-tests/clients")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
