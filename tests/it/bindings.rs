//! Bindings: who may make, see and end them, and what they keep from being removed.

use serde_json::{Value, json};

use crate::client::{Actor, Answer, JSON, MERGE_PATCH, opaque, project, right, secret};
use crate::harness::{Daemon, Fresh, fresh};

fn bind(actor: &Actor, path: &str, to: &str, kind: &str) -> Answer {
    actor.post(&format!("{path}/bindings"), &json!({ "project": to, "kind": kind }))
}

/// The bindings as `project kind`.
#[track_caller]
fn bindings(actor: &Actor, path: &str) -> Vec<String> {
    let list = actor.get(&format!("{path}/bindings")).expect(200).json();
    assert_eq!(list["items"], actor.get(path).expect(200).json()["spec"]["bindings"]);
    list["items"].as_array().unwrap().iter().map(short).collect()
}

fn short(binding: &Value) -> String {
    format!("{} {}", binding["project"].as_str().unwrap(), binding["kind"].as_str().unwrap())
}

/// What is bound to a project, as `home/name`.
fn bound(actor: &Actor, to: &str) -> Vec<String> {
    let list = actor.get(&format!("{}/bindings", project(to))).expect(200).json();
    let items = list["items"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    items.iter().map(|b| format!("{}/{}", text(&b["project"]), text(&b["name"]))).collect()
}

/// A daemon with the projects `ml`, `team` and `vision`, and a secret in `ml`.
fn with_projects() -> (Fresh, String) {
    let fresh = fresh();
    for name in ["team", "vision"] {
        fresh.admin.make_project(name);
    }
    let path = secret("ml", "a");
    fresh.admin.put(&path, &opaque("v")).expect(201);
    (fresh, path)
}

/// Someone with several roles.
fn with_roles(admin: &Actor, roles: &[(&str, &str)]) -> Actor {
    let rights: Vec<_> = roles.iter().map(|(role, project)| right(role, &[project])).collect();
    admin.mint(&json!({ "rights": rights })).0
}

#[test]
fn a_secret_is_bound_shown_on_both_sides_and_unbound_from_both() {
    let (Fresh { daemon, home, admin }, path) = with_projects();
    let at = admin.get(&path).expect(200).resource_version();
    let answer = bind(&admin, &path, "vision", "owner").expect(200);
    assert_ne!(answer.resource_version(), at);
    bind(&admin, &path, "default/team", "members").expect(200);
    assert_eq!(bindings(&admin, &path), ["default/team members", "default/vision owner"]);
    assert_eq!(bound(&admin, "vision"), ["default/ml/a"]);
    let whoami = admin.get("/tresor/v1/whoami").expect(200).json();
    let first = &admin.get(&path).expect(200).json()["spec"]["bindings"][0];
    assert_eq!(first["createdBy"], whoami["actor"]);

    // The same once more changes nothing; another kind does.
    let before = admin.get(&path).expect(200).resource_version();
    assert_eq!(bind(&admin, &path, "vision", "owner").expect(200).resource_version(), before);
    bind(&admin, &path, "vision", "members").expect(200);
    assert_eq!(bindings(&admin, &path), ["default/team members", "default/vision members"]);

    daemon.stop();
    let daemon = Daemon::start(&mut home.serve());
    let admin = daemon.actor(&admin.authorization().replace("Bearer ", ""));
    assert_eq!(bindings(&admin, &path), ["default/team members", "default/vision members"]);
    admin.delete(&format!("{path}/bindings/default/vision")).expect(204);
    admin.delete(&format!("{path}/bindings/default/vision")).problem(404, "not-found");
    let uid = admin.get(&path).expect(200).json()["metadata"]["uid"].clone();
    let from_team = format!("{}/bindings/{}", project("team"), uid.as_str().unwrap());
    admin.delete(&from_team).expect(204);
    admin.delete(&from_team).problem(404, "not-found");
    assert!(bindings(&admin, &path).is_empty());
    assert!(bound(&admin, "team").is_empty() && bound(&admin, "vision").is_empty());
    assert_eq!(admin.value(&path), "v", "a binding makes no version");
    assert_eq!(admin.get(&path).expect(200).json()["status"]["currentVersion"], 1);
}

#[test]
fn who_binds_needs_rights_in_both_projects() {
    let (Fresh { daemon: _daemon, home: _home, admin }, path) = with_projects();
    let unbind = || {
        let answer = admin.delete(&format!("{path}/bindings/default/vision"));
        assert!([204, 404].contains(&answer.status), "{}", answer.text());
    };
    // Home role, role in the other project, and what becomes of each kind.
    for (home, other, owner, members) in [
        ("owner", "viewer", 422, 422),
        ("owner", "contributor", 200, 422),
        ("owner", "writer", 200, 422),
        ("owner", "manager", 200, 200),
        ("owner", "owner", 200, 200),
        ("manager", "owner", 403, 403),
        ("writer", "owner", 403, 403),
        ("viewer", "owner", 403, 403),
        ("contributor", "owner", 404, 404),
    ] {
        let actor = with_roles(&admin, &[(home, "ml"), (other, "vision")]);
        for (kind, status) in [("owner", owner), ("members", members)] {
            let answer = bind(&actor, &path, "vision", kind);
            assert_eq!(answer.status, status, "{home} {other} {kind}: {}", answer.text());
            if status == 422 {
                assert_eq!(answer.json()["field"], "project");
            }
            unbind();
        }
    }
    let stranger = with_roles(&admin, &[("owner", "vision")]);
    let there = bind(&stranger, &path, "vision", "owner");
    let missing = bind(&stranger, &secret("ml", "missing"), "vision", "owner");
    there.problem(404, "not-found");
    assert_eq!(there.body, missing.body);
}

#[test]
fn a_project_that_one_may_not_use_looks_like_one_that_is_not_there() {
    let (Fresh { daemon: _daemon, home: _home, admin }, path) = with_projects();
    let actor = admin.make_actor("owner", &["ml"]);
    let patch = |to: &str, kind: &str| {
        let body = json!({ "spec": { "bindings": [{ "project": to, "kind": kind }] } });
        actor.send("PATCH", &path, MERGE_PATCH, body.to_string().as_bytes())
    };
    for kind in ["owner", "members"] {
        let there = bind(&actor, &path, "vision", kind);
        let missing = bind(&actor, &path, "nowhere", kind);
        assert_eq!(there.problem(422, "invalid-field")["field"], "project");
        assert_eq!(there.body, missing.body);
        let (there, missing) = (patch("vision", kind), patch("nowhere", kind));
        there.problem(422, "invalid-field");
        assert_eq!(there.body, missing.body);
    }
    // An administrator learns the same of a project that is not there.
    assert_eq!(
        bind(&admin, &path, "nowhere", "owner").problem(422, "invalid-field")["field"],
        "project"
    );
    assert_eq!(
        bind(&admin, &path, "ml", "owner").problem(422, "invalid-field")["field"],
        "project"
    );
    assert!(bindings(&admin, &path).is_empty());
}

#[test]
fn the_bindings_of_a_body_are_what_is_wanted() {
    let (Fresh { daemon: _daemon, home: _home, admin }, _) = with_projects();
    let wanted = |bindings: Value| json!({ "spec": { "bindings": bindings }, "stringData": { "value": "v" } });
    let both = json!([{ "project": "vision" }, { "project": "default/team", "kind": "members" }]);
    let mut body = wanted(both.clone());
    body["metadata"] = json!({ "name": "b" });
    admin.post(&crate::client::secrets("ml"), &body).expect(201);
    let path = secret("ml", "b");
    assert_eq!(bindings(&admin, &path), ["default/team members", "default/vision owner"]);
    // A PUT that is silent about bindings leaves them; one that names some replaces them.
    admin.put(&path, &opaque("w")).expect(200);
    assert_eq!(bindings(&admin, &path).len(), 2);
    admin.put(&path, &wanted(json!([{ "project": "team" }]))).expect(200);
    assert_eq!(bindings(&admin, &path), ["default/team owner"]);
    admin.put(&path, &wanted(json!([]))).expect(200);
    assert!(bindings(&admin, &path).is_empty());
    admin.put(&secret("ml", "c"), &wanted(both.clone())).expect(201);
    assert_eq!(bound(&admin, "vision"), ["default/ml/c"]);

    let patch = |spec: Value| {
        let body = json!({ "spec": spec }).to_string();
        admin.send("PATCH", &path, MERGE_PATCH, body.as_bytes())
    };
    patch(json!({ "bindings": both })).expect(200);
    assert_eq!(bindings(&admin, &path).len(), 2);
    patch(json!({})).expect(200);
    assert_eq!(bindings(&admin, &path).len(), 2);
    patch(json!({ "bindings": null })).expect(200);
    assert!(bindings(&admin, &path).is_empty());
    // One step that is refused refuses all.
    let actor = with_roles(&admin, &[("owner", "ml"), ("writer", "vision")]);
    let body = wanted(both).to_string();
    actor.send("PUT", &path, JSON, body.as_bytes()).problem(422, "invalid-field");
    assert!(bindings(&admin, &path).is_empty());
    assert_eq!(admin.get(&path).expect(200).json()["status"]["currentVersion"], 4);
}

#[test]
fn who_administers_a_project_ends_a_binding_without_seeing_its_home() {
    let (Fresh { daemon: _daemon, home: _home, admin }, path) = with_projects();
    let uid = admin.get(&path).expect(200).json()["metadata"]["uid"].clone();
    let at = format!("{}/bindings/{}", project("vision"), uid.as_str().unwrap());
    bind(&admin, &path, "vision", "owner").expect(200);
    let manager = admin.make_actor("manager", &["vision"]);
    let writer = admin.make_actor("writer", &["vision"]);
    assert_eq!(bound(&writer, "vision"), ["default/ml/a"]);
    manager.get(&path).problem(404, "not-found");
    manager.get(&format!("{path}/data")).problem(404, "not-found");
    writer.delete(&at).problem(403, "forbidden");
    writer.delete(&format!("{path}/bindings/default/vision")).problem(404, "not-found");
    let elsewhere = admin.make_actor("manager", &["team"]);
    elsewhere.delete(&at).problem(404, "not-found");
    manager.delete(&at).expect(204);
    assert!(bindings(&admin, &path).is_empty());
}

#[test]
fn a_project_with_bindings_cannot_be_removed_and_a_deletion_ends_them() {
    let (Fresh { daemon: _daemon, home: _home, admin }, path) = with_projects();
    bind(&admin, &path, "vision", "owner").expect(200);
    let refused = admin.delete(&project("vision")).problem(409, "not-now");
    assert!(refused["detail"].as_str().unwrap().contains("bindings"), "{refused}");
    admin.delete(&path).expect(204);
    assert!(bound(&admin, "vision").is_empty());
    admin.delete(&project("vision")).expect(204);
    admin.post(&format!("{path}/actions/undelete"), &json!({})).expect(200);
    assert!(bindings(&admin, &path).is_empty(), "bindings do not come back");
}
