//! History: what becomes of versions and of deleted secrets, and how many are kept.

use serde_json::{Value, json};

use crate::client::{Actor, Answer, JSON, MERGE_PATCH, decoded, opaque, project, secret, secrets};
use crate::harness::{Daemon, Fresh, fresh, fresh_with};

fn act(actor: &Actor, path: &str, action: &str, body: &Value) -> Answer {
    actor.post(&format!("{path}/actions/{action}"), body)
}

/// A secret with the values `v1`, `v2`, ... and its path.
fn with_versions(actor: &Actor, name: &str, count: u64) -> String {
    let path = secret("ml", name);
    for number in 1..=count {
        let answer = actor.put(&path, &opaque(&format!("v{number}")));
        assert!(answer.status < 300, "{}", answer.text());
    }
    path
}

/// The versions as `number state`.
fn states(actor: &Actor, path: &str) -> Vec<String> {
    let list = actor.get(&format!("{path}/versions")).expect(200).json();
    let items = list["items"].as_array().unwrap();
    let short = |v: &Value| format!("{} {}", v["version"], v["state"].as_str().unwrap());
    items.iter().map(short).collect()
}

fn uid(actor: &Actor, path: &str) -> String {
    actor.get(path).expect(200).json()["metadata"]["uid"].as_str().unwrap().to_owned()
}

fn deleted(actor: &Actor) -> Vec<Value> {
    let list = actor.get(&format!("{}/deleted-secrets", project("ml"))).expect(200).json();
    list["items"].as_array().unwrap().clone()
}

#[track_caller]
fn refused_at(answer: &Answer, field: &str) {
    assert_eq!(answer.problem(422, "invalid-field")["field"], field);
}

fn again(home: &crate::harness::Home, daemon: Daemon, admin: &Actor) -> (Daemon, Actor) {
    daemon.stop();
    let daemon = Daemon::start(&mut home.serve());
    let actor = daemon.actor(&admin.authorization().replace("Bearer ", ""));
    (daemon, actor)
}

#[test]
fn an_earlier_version_becomes_the_newest_one_too() {
    let Fresh { daemon: _daemon, home: _home, admin } = fresh();
    let path = with_versions(&admin, "a", 3);
    let old = admin.get(&path).expect(200).resource_version();
    let back = act(&admin, &path, "rollback", &json!({ "version": 1 })).expect(200);
    assert_eq!(back.json()["status"]["currentVersion"], 4);
    assert_eq!(admin.value(&path), "v1");
    assert_eq!(states(&admin, &path), ["1 live", "2 live", "3 live", "4 live"]);
    let stale = json!({ "version": 2, "resourceVersion": old });
    act(&admin, &path, "rollback", &stale).problem(409, "conflict");
    for missing in [0, 9] {
        let refused = act(&admin, &path, "rollback", &json!({ "version": missing }));
        assert!((400..500).contains(&refused.status), "{}", refused.text());
        assert_eq!(refused.json()["field"], "version");
    }
    act(&admin, &secret("ml", "missing"), "rollback", &json!({ "version": 1 }))
        .problem(404, "not-found");
    assert_eq!(states(&admin, &path).len(), 4);
}

#[test]
fn versions_are_deleted_undeleted_and_destroyed_and_stay_so_after_a_restart() {
    let Fresh { daemon, home, admin } = fresh();
    let path = with_versions(&admin, "a", 4);
    act(&admin, &path, "delete", &json!({ "versions": [4, 2] })).expect(200);
    assert_eq!(states(&admin, &path), ["1 live", "2 deleted", "3 live", "4 deleted"]);
    assert_eq!(admin.value(&path), "v3", "the newest live version is the current one");
    let gone = admin.get(&format!("{path}/data?version=2")).problem(404, "not-found");
    assert_eq!(gone["field"], "version");
    act(&admin, &path, "undelete", &json!({ "versions": [4] })).expect(200);
    assert_eq!(admin.value(&path), "v4");
    act(&admin, &path, "destroy", &json!({ "versions": [3, 2] })).expect(200);
    let expected = ["1 live", "2 destroyed", "3 destroyed", "4 live"];
    assert_eq!(states(&admin, &path), expected);

    let (_daemon, admin) = again(&home, daemon, &admin);
    assert_eq!(states(&admin, &path), expected);
    for destroyed in [2, 3] {
        refused_at(
            &act(&admin, &path, "undelete", &json!({ "versions": [destroyed] })),
            "versions",
        );
        refused_at(&act(&admin, &path, "delete", &json!({ "versions": [destroyed] })), "versions");
        let back = act(&admin, &path, "rollback", &json!({ "version": destroyed }));
        assert!((400..500).contains(&back.status), "{}", back.text());
        admin.get(&format!("{path}/data?version={destroyed}")).problem(404, "not-found");
    }
    // Without a live version it is listed, and not readable.
    act(&admin, &path, "delete", &json!({ "versions": [1, 4] })).expect(200);
    let listed = admin.get(&path).expect(200).json();
    assert!(listed["status"].get("currentVersion").is_none_or(Value::is_null), "{listed}");
    admin.get(&format!("{path}/data")).problem(404, "not-found");
    admin.put(&path, &opaque("v5")).expect(200);
    assert_eq!(admin.get(&path).expect(200).json()["status"]["currentVersion"], 5);
}

#[test]
fn an_act_on_versions_names_what_is_wrong_and_changes_nothing() {
    let Fresh { daemon: _daemon, home: _home, admin } = fresh();
    let path = with_versions(&admin, "a", 2);
    let before = admin.get(&path).expect(200).resource_version();
    for action in ["delete", "undelete", "destroy"] {
        for versions in [json!([]), json!([9]), json!([0]), json!([1, 1]), json!([1, 9])] {
            refused_at(&act(&admin, &path, action, &json!({ "versions": versions })), "versions");
        }
        let many: Vec<u64> = (1..=41).collect();
        refused_at(&act(&admin, &path, action, &json!({ "versions": many })), "versions");
        let no_version = json!({ "versions": [1], "resourceVersion": "x" });
        refused_at(&act(&admin, &path, action, &no_version), "resourceVersion");
        let older = json!({ "versions": [1], "resourceVersion": "1" });
        act(&admin, &path, action, &older).problem(409, "conflict");
        act(&admin, &secret("ml", "missing"), action, &json!({ "versions": [1] }))
            .problem(404, "not-found");
    }
    for body in
        [json!({ "versions": [1], "uid": "0".repeat(32) }), json!({ "versions": [1], "name": "b" })]
    {
        refused_at(&act(&admin, &path, "undelete", &body), "versions");
    }
    refused_at(&act(&admin, &path, "undelete", &json!({ "uid": "x" })), "uid");
    refused_at(&act(&admin, &path, "undelete", &json!({ "name": "a//b" })), "name");
    refused_at(
        &act(&admin, &path, "undelete", &json!({ "resourceVersion": "1" })),
        "resourceVersion",
    );
    refused_at(&act(&admin, &path, "purge", &json!({ "uid": "x" })), "uid");
    let living = act(&admin, &path, "purge", &json!({}));
    assert_eq!(living.problem(409, "not-now")["field"], "uid");
    assert_eq!(admin.get(&path).expect(200).resource_version(), before);
}

#[test]
fn a_deleted_secret_comes_back_under_its_own_name_or_another_until_it_is_purged() {
    let Fresh { daemon, home, admin } = fresh();
    let path = with_versions(&admin, "a", 2);
    let first = uid(&admin, &path);
    admin.delete(&path).expect(204);
    admin.get(&path).problem(404, "not-found");
    admin.get(&format!("{path}/data")).problem(404, "not-found");
    let grave = &deleted(&admin)[0];
    assert_eq!(grave["metadata"]["uid"], first.as_str());
    for member in ["deletionTimestamp", "purgeTimestamp"] {
        assert!(grave["metadata"][member].is_string(), "{grave}");
    }
    let by_uid = format!("{}/deleted-secrets/{first}", project("ml"));
    assert_eq!(&admin.get(&by_uid).expect(200).json(), grave);

    // The name is free at once, and what takes it is another secret.
    admin.put(&path, &opaque("new")).expect(201);
    let second = uid(&admin, &path);
    assert_ne!(first, second);
    assert_eq!(states(&admin, &path), ["1 live"]);
    let taken = act(&admin, &path, "undelete", &json!({ "uid": first }));
    assert_eq!(taken.problem(409, "already-exists")["field"], "metadata.name");

    let (_daemon, admin) = again(&home, daemon, &admin);
    let back = act(&admin, &path, "undelete", &json!({ "uid": first, "name": "b" })).expect(200);
    assert_eq!(back.json()["metadata"]["name"], "b");
    assert_eq!(uid(&admin, &secret("ml", "b")), first);
    assert_eq!(admin.value(&secret("ml", "b")), "v2");
    assert_eq!(states(&admin, &secret("ml", "b")), ["1 live", "2 live"]);
    assert_eq!(admin.value(&path), "new");
    assert!(deleted(&admin).is_empty());
}

#[test]
fn what_is_purged_is_gone_for_good() {
    let Fresh { daemon, home, admin } = fresh();
    let path = with_versions(&admin, "a", 2);
    let first = uid(&admin, &path);
    admin.delete(&path).expect(204);
    with_versions(&admin, "a", 1);
    let second = uid(&admin, &path);
    admin.delete(&path).expect(204);
    let several = act(&admin, &path, "purge", &json!({}));
    assert_eq!(several.problem(409, "not-now")["field"], "uid");
    act(&admin, &path, "purge", &json!({ "uid": first })).expect(204);
    act(&admin, &path, "purge", &json!({ "uid": first })).problem(404, "not-found");
    act(&admin, &path, "purge", &json!({})).expect(204);
    let (_daemon, admin) = again(&home, daemon, &admin);
    assert!(deleted(&admin).is_empty());
    for uid in [&first, &second] {
        act(&admin, &path, "undelete", &json!({ "uid": uid })).problem(404, "not-found");
        admin.get(&format!("{}/deleted-secrets/{uid}", project("ml"))).problem(404, "not-found");
    }
    act(&admin, &path, "undelete", &json!({})).problem(404, "not-found");
    admin.put(&path, &opaque("new")).expect(201);
    assert_eq!(states(&admin, &path), ["1 live"]);
}

#[test]
fn the_secret_that_was_deleted_last_comes_back_where_none_is_named() {
    let Fresh { daemon: _daemon, home: _home, admin } = fresh();
    let path = secret("ml", "a");
    for value in ["one", "two"] {
        admin.put(&path, &opaque(value)).expect(201);
        admin.delete(&path).expect(204);
    }
    act(&admin, &path, "undelete", &json!({})).expect(200);
    assert_eq!(admin.value(&path), "two");
    assert_eq!(deleted(&admin).len(), 1);
}

#[test]
fn nothing_is_kept_where_deleted_secrets_are_purged_at_once() {
    let Fresh { daemon: _daemon, home: _home, admin } = fresh_with(|serve| {
        serve.args(["--purge-after-days", "0"]);
    });
    let path = with_versions(&admin, "a", 2);
    let uid = uid(&admin, &path);
    admin.delete(&path).expect(204);
    assert!(deleted(&admin).is_empty());
    act(&admin, &path, "undelete", &json!({ "uid": uid })).problem(404, "not-found");
    admin.delete(&project("ml")).expect(204);
}

#[test]
fn how_many_versions_are_kept_is_said_by_secret_then_project_then_daemon() {
    let Fresh { daemon: _daemon, home: _home, admin } = fresh_with(|serve| {
        serve.args(["--keep-versions", "4"]);
    });
    let path = with_versions(&admin, "a", 6);
    assert_eq!(states(&admin, &path), ["3 live", "4 live", "5 live", "6 live"]);
    admin.put(&project("ml"), &json!({ "spec": { "keepVersions": 3 } })).expect(200);
    admin.put(&path, &opaque("v7")).expect(200);
    assert_eq!(states(&admin, &path), ["5 live", "6 live", "7 live"]);
    let own = json!({ "spec": { "keepVersions": 2 }, "stringData": { "value": "v8" } });
    let answer = admin.put(&path, &own).expect(200).json();
    assert_eq!(answer["spec"]["keepVersions"], 2);
    assert_eq!(states(&admin, &path), ["7 live", "8 live"]);
    let removed = json!({ "spec": { "keepVersions": null } }).to_string();
    let answer = admin.send("PATCH", &path, MERGE_PATCH, removed.as_bytes()).expect(200).json();
    assert!(answer["spec"].get("keepVersions").is_none(), "{answer}");
    for number in 9..=11 {
        admin.put(&path, &opaque(&format!("v{number}"))).expect(200);
    }
    assert_eq!(states(&admin, &path), ["9 live", "10 live", "11 live"]);
    for number in [0, 101] {
        let body = json!({ "spec": { "keepVersions": number }, "stringData": { "value": "x" } });
        refused_at(&admin.put(&path, &body), "spec.keepVersions");
        let body = json!({ "spec": { "keepVersions": number } });
        refused_at(&admin.put(&project("ml"), &body), "spec.keepVersions");
    }
}

#[test]
fn only_who_may_delete_or_update_touches_history() {
    let Fresh { daemon: _daemon, home: _home, admin } = fresh();
    let path = with_versions(&admin, "a", 2);
    let viewer = admin.make_actor("viewer", &["ml"]);
    admin.make_project("elsewhere");
    let stranger = admin.make_actor("owner", &["elsewhere"]);
    for (action, body) in [
        ("rollback", json!({ "version": 1 })),
        ("delete", json!({ "versions": [1] })),
        ("undelete", json!({ "versions": [1] })),
        ("destroy", json!({ "versions": [1] })),
        ("purge", json!({})),
    ] {
        act(&viewer, &path, action, &body).problem(403, "forbidden");
        let there = act(&stranger, &path, action, &body);
        let missing = act(&stranger, &secret("nowhere", "a"), action, &body);
        there.problem(404, "not-found");
        assert_eq!(there.body, missing.body);
    }
    assert_eq!(states(&admin, &path), ["1 live", "2 live"]);
    let read = admin.get(&format!("{path}/data?version=1")).expect(200).json();
    assert_eq!(decoded(&read["data"]["value"]), "v1");
    let list = viewer.get(&secrets("ml")).expect(200);
    assert!(list.header("etag").is_none());
    viewer.send("DELETE", &path, JSON, b"").problem(403, "forbidden");
}
