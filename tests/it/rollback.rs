//! An older data directory in the place of the current one: who holds something of the later state
//! notices, everybody else does not, and nobody raises an alarm over a restart or a kill.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::{Actor, JSON, opaque, secret, secrets};
use crate::cluster_e2e::{Attached, cluster, kubectl, wait_for_state};
use crate::harness::{Daemon, Ended, Fresh, Home, fresh, fresh_with, run, tresor, wait_until};

const STORE: &str = "/tresor/v1/store";

/// Which witnesses the metrics name.
fn suspected(actor: &Actor) -> Vec<String> {
    let text = actor.get("/metrics").expect(200).text();
    let name = "tresor_store_rollback_suspected{witness=\"";
    let samples: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(name)).collect();
    assert_eq!(samples.len(), 3, "{text}");
    let raised = samples.iter().filter_map(|sample| sample.strip_suffix("\"} 1"));
    raised.map(str::to_owned).collect()
}

/// Who has seen which resource version, as the API shows it.
fn witnesses(admin: &Actor) -> Vec<(String, String)> {
    let store = admin.get(STORE).expect(200).json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let found = store["rollback"].as_array().unwrap().iter();
    found.map(|one| (text(&one["witness"]), text(&one["resourceVersion"]))).collect()
}

/// What a machine elsewhere kept of a daemon's standard output.
fn keep_elsewhere(ended: &Ended, kept: &Path) {
    let before = fs::read_to_string(kept).unwrap_or_default();
    fs::write(kept, before + &ended.stdout).unwrap();
}

fn verify(home: &Home, more: &[&str]) -> Ended {
    run(tresor(&["audit", "verify", "--data-dir"]).arg(&home.data).args(more))
}

#[track_caller]
fn is_older(ended: &Ended) {
    let error = ended.one_error_line(1);
    assert_eq!(error, "tresor: the data directory is older than the audit log", "{ended:?}");
}

/// A store whose audit log lies elsewhere, and its administrator's token.
fn with_log_outside(log: &Path) -> (Home, String) {
    let home = Home::empty();
    let ended = run(home.command("init").env("TRESOR_AUDIT_FILE", log));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    (home, ended.stdout.trim().to_owned())
}

fn insist(admin: &Actor, name: &str, version: &str) -> u16 {
    let tag = format!("\"{version}\"");
    let headers = [JSON[0], ("If-Match", tag.as_str())];
    admin.send("PUT", &secret("ml", name), &headers, opaque("x").to_string().as_bytes()).status
}

/// Writes for a while, and returns the last resource version.
fn write(admin: &Actor) -> String {
    let put = |n| admin.put(&secret("ml", "hf"), &opaque(&format!("{n}")));
    (0..20).fold(String::new(), |_, n| put(n).resource_version())
}

fn number(resource_version: &str) -> u64 {
    resource_version.parse().unwrap()
}

/// Writes until the store has come further than that resource version.
fn write_past(admin: &Actor, seen: &str) {
    let put = || admin.put(&secret("ml", "other"), &opaque("w")).resource_version();
    while number(&put()) <= number(seen) {}
}

#[test]
fn an_older_data_directory_is_noticed_by_a_client_and_by_a_log_that_was_kept_elsewhere() {
    let shipping = |serve: &mut Command| {
        serve.arg("--audit-stdout");
    };
    let Fresh { home, daemon, admin } = fresh_with(shipping);
    let kept = home.key.with_extension("kept");
    let kept_path = kept.to_str().unwrap();
    write(&admin);
    keep_elsewhere(&daemon.stop(), &kept);
    let back = home.copy();
    let mut serve = home.serve();
    shipping(&mut serve);
    let daemon = Daemon::start(&mut serve);
    let admin = daemon.actor(admin.token());
    let seen = write(&admin);
    keep_elsewhere(&daemon.stop(), &kept);
    let sound = verify(&home, &["--copy", kept_path]);
    assert_eq!(sound.code, Some(0), "{sound:?}");
    assert!(sound.stdout.contains("the log has all of its"), "{sound:?}");

    // The copy takes the directory's place.
    let ended = verify(&back, &["--copy", kept_path]);
    is_older(&ended);
    assert!(
        ended.stdout.contains(", signed, are not in the log: the log ends before"),
        "{ended:?}"
    );
    assert!(ended.stdout.contains(&format!("speak of resourceVersion {seen}, and")), "{ended:?}");
    let alone = verify(&back, &[]);
    assert_eq!(alone.code, Some(0), "nothing in it says so: {alone:?}");
    let daemon = Daemon::start(&mut back.serve());
    let admin = daemon.actor(admin.token());
    assert_eq!((suspected(&admin), witnesses(&admin)), (vec![], vec![]));
    assert_eq!(insist(&admin, "hf", &seen), 409);
    assert_eq!(suspected(&admin), ["client"]);
    assert_eq!(witnesses(&admin), [("client".to_owned(), seen.clone())]);
    let watch = format!("{}?watch=true&resourceVersion={seen}", secrets("ml"));
    admin.get(&watch).problem(410, "gone");
    let said = daemon.said();
    assert_eq!(said.matches("a later state of this store was seen outside").count(), 1, "{said}");
    assert!(said.contains(&format!("rollback.resource_version={seen}")), "{said}");
    // Nor does it help that the store comes as far again.
    write_past(&admin, &seen);
    assert_eq!(witnesses(&admin), [("client".to_owned(), seen)]);
    let ended = verify(&back, &["--copy", kept_path]);
    is_older(&ended);
    assert!(ended.stdout.contains("are not in the log: the log has others there"), "{ended:?}");
}

#[test]
fn who_is_not_signed_in_raises_no_alarm() {
    let Fresh { daemon, admin, .. } = fresh();
    let nobody = daemon.anonymous();
    assert_eq!(insist(&nobody, "hf", "9000000"), 401);
    nobody.get(&format!("{}?watch=true&resourceVersion=9000000", secrets("ml"))).expect(401);
    assert_eq!(suspected(&admin), Vec::<String>::new());
}

#[test]
fn restarts_and_kills_are_no_rollback() {
    let dir = tempfile::tempdir().unwrap();
    let log: PathBuf = dir.path().join("elsewhere.jsonl");
    let (home, token) = with_log_outside(&log);
    let serve = || {
        let mut serve = home.serve();
        Daemon::start(serve.arg("--audit-stdout").arg("--audit-file").arg(&log))
    };
    let mut daemon = serve();
    daemon.actor(&token).make_project("ml");
    let kept = dir.path().join("kept");
    let more = ["--audit-file", log.to_str().unwrap(), "--copy", kept.to_str().unwrap()];
    for round in 0..6 {
        let admin = daemon.actor(&token);
        let seen = write(&admin);
        // Beside the running daemon, whose standard output may be ahead of its file.
        fs::write(&kept, daemon.said()).unwrap();
        let ended = verify(&home, &more);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let ended = if round % 2 == 0 { daemon.kill() } else { daemon.stop() };
        fs::write(&kept, ended.stdout).unwrap();
        let ended = verify(&home, &more);
        assert_eq!(ended.code, Some(0), "round {round}: {ended:?}");
        daemon = serve();
        let admin = daemon.actor(&token);
        assert!([409, 200].contains(&insist(&admin, "hf", &seen)));
        let watch = admin.watch(&format!("{}?watch=true&resourceVersion={seen}", secrets("ml")));
        drop(watch);
        assert_eq!((suspected(&admin), witnesses(&admin)), (vec![], vec![]));
    }
    let stopped = daemon.stop();
    assert!(!stopped.stderr.contains("a later state"), "{stopped:?}");
}

#[test]
fn an_audit_log_that_lies_elsewhere_notices_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("elsewhere.jsonl");
    let (home, token) = with_log_outside(&log);
    let serve = |home: &Home| Daemon::start(home.serve().arg("--audit-file").arg(&log));
    let daemon = serve(&home);
    daemon.actor(&token).make_project("ml");
    write(&daemon.actor(&token));
    daemon.stop();
    let back = home.copy();
    let daemon = serve(&home);
    let seen = write(&daemon.actor(&token));
    daemon.stop();

    let ended = verify(&back, &["--audit-file", log.to_str().unwrap()]);
    is_older(&ended);
    assert!(ended.stdout.contains(&format!("speaks of resourceVersion {seen}, and")), "{ended:?}");
    let daemon = serve(&back);
    let admin = daemon.actor(&token);
    assert_eq!(suspected(&admin), ["audit_log"]);
    assert_eq!(witnesses(&admin), [("audit_log".to_owned(), seen)]);
    wait_until("the log says so itself", || {
        let lines = fs::read_to_string(&log).unwrap();
        let mut lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.any(|line| line["action"] == "openStore" && line["outcome"] == "failed")
    });
    daemon.stop();
}

#[test]
fn the_store_is_shown_with_its_identity_and_its_last_resource_version() {
    let Fresh { home, daemon, admin } = fresh();
    let seen = write(&admin);
    let store = admin.get(STORE).expect(200).json();
    assert_eq!(store["rollback"], json!([]));
    assert!(number(store["resourceVersion"].as_str().unwrap()) >= number(&seen));
    let first = fs::read_to_string(home.data.join("audit/audit.jsonl")).unwrap();
    let begin: Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    assert_eq!(store["storeId"], begin["store"]);
    drop(daemon);
}

#[test]
fn what_a_cluster_shows_of_a_later_state_stays_and_is_told_until_somebody_goes_on() {
    const NAMESPACE: &str = "e2e-rollback";
    let Some(world) = Attached::start(NAMESPACE) else { return };
    let cluster = cluster().unwrap();
    world.put("hf", "earlier");
    world.wait_for_value("hf", "earlier");
    let Fresh { home, daemon, admin } = world.fresh;
    let serve = |home: &Home| {
        let mut serve = home.serve();
        Daemon::start(serve.arg("--kubeconfig").arg(cluster.kubeconfig()))
    };
    let value = || {
        let get = ["get", "secret", "hf", "-n", NAMESPACE, "-o", "jsonpath={.data.value}"];
        String::from_utf8(STANDARD.decode(kubectl(cluster, &get)).unwrap()).unwrap()
    };
    daemon.kill();
    let back = home.copy();
    let daemon = serve(&home);
    let admin = daemon.actor(admin.token());
    admin.try_put_value(&secret("ml", "hf"), "later").unwrap();
    wait_until("the later value is there", || value() == "later");
    wait_for_state(&admin, "hf", "Synced");
    (0..20).for_each(|_| drop(admin.put(&secret("ml", "other"), &opaque("v"))));
    // Of this one the earlier state knows nothing: only that it has not come so far.
    let seen = admin.put(&secret("ml", "unknown"), &opaque("v")).expect(201).resource_version();
    wait_for_state(&admin, "unknown", "Synced");
    assert_eq!(suspected(&admin), Vec::<String>::new());
    daemon.stop();

    // One that goes on unseen until it has come as far again still has an older secret.
    let late = back.copy();
    let daemon = Daemon::start(&mut late.serve());
    let unseen = daemon.actor(admin.token());
    write_past(&unseen, &seen);
    daemon.stop();
    let daemon = serve(&late);
    let admin = daemon.actor(admin.token());
    wait_for_state(&admin, "hf", "RolledBack");
    assert_eq!((value(), suspected(&admin)), ("later".to_owned(), vec!["kubernetes".to_owned()]));
    daemon.kill();

    let daemon = serve(&back);
    let admin = daemon.actor(admin.token());
    let status = wait_for_state(&admin, "hf", "RolledBack");
    assert!(status["message"].as_str().unwrap().contains("release the brake"), "{status}");
    assert_eq!(value(), "later");
    assert_eq!(suspected(&admin), ["kubernetes"]);
    let shown = witnesses(&admin).into_iter().map(|(_, at)| number(&at));
    assert!(shown.max() >= Some(number(&seen)), "what the other life has left is there as well");
    admin.send("POST", "/tresor/v1/sync/actions/release-brake", &[], b"").expect(204);
    wait_until("the earlier value is there", || value() == "earlier");
    wait_for_state(&admin, "hf", "Synced");
    assert_eq!(suspected(&admin), ["kubernetes"], "until the daemon ends");
    kubectl(cluster, &["get", "secret", "unknown", "-n", NAMESPACE]);
}
