//! The native API, as a user with curl and a token meets it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::{Actor, PROJECTS, TOKENS, WHOAMI, decoded, opaque, project, right};
use crate::client::{JSON, secret, secrets};
use crate::harness::{fresh, wait_until};
use crate::openapi::{LOGIN, Route, documented};

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

fn version_numbers(actor: &Actor, path: &str) -> Vec<u64> {
    let list = actor.get(&format!("{path}/versions")).expect(200).json();
    list["items"].as_array().unwrap().iter().map(|v| v["version"].as_u64().unwrap()).collect()
}

#[test]
fn a_project_is_made_shown_listed_changed_and_removed() {
    let fresh = fresh();
    let admin = &fresh.admin;
    let rules = json!([{ "mode": "each", "namespace": "ml-team", "namePattern": "{name}-x" }]);
    let body = json!({ "metadata": { "name": "vision" }, "spec": { "projectionRules": rules } });
    let made = admin.post(PROJECTS, &body).expect(201);
    let first = made.resource_version();
    let made = made.json();
    assert_eq!(made["metadata"]["organization"], "default");
    assert_eq!(made["spec"]["projectionRules"], rules);
    assert_eq!(admin.get(&project("vision")).expect(200).json(), made);
    assert_eq!(names(&admin.get(PROJECTS).expect(200).json()), ["ml", "vision"]);
    assert_eq!(
        admin.post(PROJECTS, &body).problem(409, "already-exists")["field"],
        "metadata.name"
    );

    let changed = admin.put(&project("vision"), &json!({ "spec": {} })).expect(200);
    assert_ne!(changed.resource_version(), first);
    assert_eq!(changed.json()["spec"]["projectionRules"], json!([]));
    assert_eq!(changed.json()["metadata"]["uid"], made["metadata"]["uid"]);

    let path = secret("vision", "a");
    admin.put(&path, &opaque("v")).expect(201);
    admin.delete(&project("vision")).problem(409, "not-now");
    admin.delete(&path).expect(204);
    admin.delete(&project("vision")).problem(409, "not-now");
    admin.post(&format!("{path}/actions/purge"), &json!({})).expect(204);
    admin.delete(&project("vision")).expect(204);
    admin.get(&project("vision")).problem(404, "not-found");
    admin.get(&secrets("vision")).problem(404, "not-found");
    admin.put(&path, &opaque("v")).problem(404, "not-found");
    assert_eq!(names(&admin.get(PROJECTS).expect(200).json()), ["ml"]);
}

#[test]
fn an_opaque_secret_is_made_updated_and_read_back_in_every_version() {
    let fresh = fresh();
    let admin = &fresh.admin;
    let bytes: Vec<u8> = (0..=255).collect();
    let body = json!({
        "metadata": { "name": "hf", "labels": { "app": "vllm" } },
        "spec": { "type": "opaque" },
        "stringData": { "HF_TOKEN": "hf_abc" },
        "data": { "blob": STANDARD.encode(&bytes) },
    });
    let made = admin.post(&secrets("ml"), &body).expect(201);
    let first = made.resource_version();
    let made = made.json();
    assert_eq!(made["metadata"]["name"], "hf");
    assert_eq!(made["metadata"]["project"], "ml");
    assert_eq!(made["metadata"]["labels"], json!({ "app": "vllm" }));
    assert_eq!(made["spec"], json!({ "type": "opaque", "bindings": [] }));
    assert_eq!(made["status"], json!({ "currentVersion": 1 }));
    assert!(made.get("data").is_none() && made.get("stringData").is_none());
    let path = secret("ml", "hf");
    assert_eq!(admin.get(&path).expect(200).json(), made);
    let data = format!("{path}/data");
    let read = admin.get(&data).expect(200);
    assert_eq!(read.header("cache-control"), Some("no-store"));
    assert_eq!(read.header("etag"), Some(format!("\"{first}\"").as_str()));
    let read = read.json();
    assert_eq!((&read["version"], &read["type"]), (&json!(1), &json!("opaque")));
    assert_eq!(read["data"]["blob"], STANDARD.encode(&bytes));
    assert_eq!(decoded(&read["data"]["HF_TOKEN"]), "hf_abc");

    let updated = admin.put(&path, &opaque("second")).expect(200);
    assert_ne!(updated.resource_version(), first);
    assert_eq!(updated.json()["status"]["currentVersion"], 2);
    assert_eq!(updated.json()["metadata"]["uid"], made["metadata"]["uid"]);
    assert_eq!(updated.json()["metadata"]["labels"], json!({}), "labels left out go");
    let second = admin.get(&data).expect(200).json();
    assert_eq!(second["data"], json!({ "value": STANDARD.encode("second") }));
    assert_eq!(admin.get(&format!("{data}?version=1")).expect(200).json(), read);
    assert_eq!(admin.get(&format!("{data}?version=2")).expect(200).json(), second);
    let missing = admin.get(&format!("{data}?version=3")).problem(404, "not-found");
    assert_eq!(missing["field"], "version");
    assert_eq!(version_numbers(admin, &path), [1, 2]);
}

#[test]
fn a_registry_secret_comes_back_as_it_went_in() {
    let fresh = fresh();
    let admin = &fresh.admin;
    let logins = |password: &str| {
        json!([
            { "server": "ghcr.io", "username": "ci", "password": password },
            { "server": "nvcr.io", "username": "$oauthtoken", "password": "p:w \u{fc}", "email": "a@b.c" },
        ])
    };
    let path = secret("ml", "pull");
    let body = |password| json!({ "spec": { "type": "registry" }, "registries": logins(password) });
    assert_eq!(admin.put(&path, &body("one")).expect(201).json()["spec"]["type"], "registry");
    admin.put(&path, &body("two")).expect(200);
    let data = format!("{path}/data");
    let shown = |version: u64, password| json!({ "version": version, "type": "registry", "registries": logins(password) });
    assert_eq!(admin.get(&data).expect(200).json(), shown(2, "two"));
    assert_eq!(admin.get(&format!("{data}?version=1")).expect(200).json(), shown(1, "one"));
    let misplaced = admin.put(&path, &opaque("x")).problem(422, "invalid-field");
    assert_eq!(misplaced["field"], "stringData", "a body without a type means the secret's");
    let other = json!({ "spec": { "type": "opaque" }, "stringData": { "value": "x" } });
    let changed_type = admin.put(&path, &other).problem(422, "invalid-field");
    assert_eq!(changed_type["field"], "spec.type");
}

#[test]
fn a_writer_who_missed_a_change_is_told_so_and_changes_nothing() {
    let fresh = fresh();
    let admin = &fresh.admin;
    let path = secret("ml", "hf");
    let old = admin.put(&path, &opaque("one")).expect(201).resource_version();
    let new = admin.put(&path, &opaque("two")).expect(200).resource_version();
    let insisting = |version: &str| json!({ "metadata": { "resourceVersion": version }, "stringData": { "value": "three" } });
    let if_match = |method: &str, version: &str, body: &Value| {
        let tag = format!("\"{version}\"");
        let headers = [JSON[0], ("If-Match", tag.as_str())];
        admin.send(method, &path, &headers, body.to_string().as_bytes())
    };
    for stale in [
        admin.put(&path, &insisting(&old)),
        if_match("PUT", &old, &opaque("three")),
        if_match("DELETE", &old, &Value::Null),
    ] {
        let problem = stale.problem(409, "conflict");
        assert_eq!(problem["field"], "metadata.resourceVersion");
        assert!(problem["detail"].as_str().unwrap().contains(&new), "{problem}");
    }
    assert_eq!(admin.get(&path).expect(200).resource_version(), new);
    assert_eq!(admin.value(&path), "two");

    let newer = if_match("PUT", &new, &opaque("three")).expect(200).resource_version();
    let both = insisting(&newer);
    let newest = if_match("PUT", &newer, &both).expect(200).resource_version();
    if_match("PUT", &old, &insisting(&newest)).problem(422, "invalid-field");
    if_match("DELETE", &newest, &Value::Null).expect(204);
    // Insisting on a version of what is gone must not make it again.
    admin.put(&path, &insisting(&newest)).problem(404, "not-found");
    admin.get(&path).problem(404, "not-found");
}

#[test]
fn insisting_on_any_version_at_all_is_refused_rather_than_ignored() {
    let fresh = fresh();
    let path = secret("ml", "hf");
    let body = opaque("x").to_string();
    let headers = [JSON[0], ("If-Match", "*")];
    fresh.admin.send("PUT", &path, &headers, body.as_bytes()).problem(422, "invalid-field");
    fresh.admin.get(&path).problem(404, "not-found");
}

#[test]
fn a_project_that_changed_is_not_overwritten_by_who_missed_it() {
    let fresh = fresh();
    let admin = &fresh.admin;
    let old = admin.get(&project("ml")).expect(200).resource_version();
    admin.put(&project("ml"), &json!({ "spec": {} })).expect(200);
    let stale = json!({ "metadata": { "resourceVersion": old }, "spec": {} });
    admin.put(&project("ml"), &stale).problem(409, "conflict");
    let tag = format!("\"{old}\"");
    admin.send("DELETE", &project("ml"), &[("If-Match", &tag)], b"").problem(409, "conflict");
    admin.get(&project("ml")).expect(200);
}

#[test]
fn a_name_that_was_deleted_starts_anew() {
    let fresh = fresh();
    let admin = &fresh.admin;
    let path = secret("ml", "hf");
    let first = admin.put(&path, &opaque("old")).expect(201).json();
    admin.put(&path, &opaque("older")).expect(200);
    admin.delete(&path).expect(204);
    for gone in [path.clone(), format!("{path}/data"), format!("{path}/versions")] {
        admin.get(&gone).problem(404, "not-found");
    }
    admin.delete(&path).problem(404, "not-found");
    assert_eq!(names(&admin.get(&secrets("ml")).json()), [""; 0]);
    let second = admin.put(&path, &opaque("new")).expect(201).json();
    assert_ne!(second["metadata"]["uid"], first["metadata"]["uid"]);
    assert_eq!(second["status"]["currentVersion"], 1);
    assert_eq!(admin.value(&path), "new");
    assert_eq!(version_numbers(admin, &path), [1]);
}

#[test]
fn the_last_ten_versions_are_kept() {
    let fresh = fresh();
    let admin = &fresh.admin;
    let path = secret("ml", "hf");
    for number in 1..=13 {
        let status = if number == 1 { 201 } else { 200 };
        admin.put(&path, &opaque(&format!("value {number}"))).expect(status);
    }
    assert_eq!(version_numbers(admin, &path), (4..=13).collect::<Vec<_>>());
    for number in 1..=3 {
        admin.get(&format!("{path}/data?version={number}")).problem(404, "not-found");
    }
    for number in 4..=13 {
        let read = admin.get(&format!("{path}/data?version={number}")).expect(200).json();
        assert_eq!(decoded(&read["data"]["value"]), format!("value {number}"));
    }
    assert_eq!(admin.value(&path), "value 13");
}

#[test]
fn a_list_is_read_page_by_page_in_the_order_of_names() {
    let fresh = fresh();
    let admin = &fresh.admin;
    admin.make_project("ml2");
    admin.put(&secret("ml2", "elsewhere"), &opaque("x")).expect(201);
    let mut expected = vec!["a", "a:b", "b", "team/hf", "team/hf/2", "z", "\u{fc}"];
    for name in expected.iter().rev() {
        let body = json!({ "metadata": { "name": name }, "stringData": { "value": name } });
        admin.post(&secrets("ml"), &body).expect(201);
    }
    expected.sort_unstable();
    let (mut found, mut next, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = admin.get(&format!("{}?limit=3{next}", secrets("ml"))).expect(200).json();
        for item in page["items"].as_array().unwrap() {
            let members: Vec<_> = item.as_object().unwrap().keys().collect();
            assert_eq!(members, ["metadata", "spec", "status"], "a list holds no values");
        }
        assert!(page["metadata"]["resourceVersion"].is_string());
        found.extend(names(&page).into_iter().map(str::to_owned));
        pages += 1;
        let Some(token) = page["metadata"]["continue"].as_str() else { break };
        next = format!("&continue={}", percent_encoded(token));
    }
    assert_eq!((found, pages), (expected.iter().map(|&n| n.to_owned()).collect(), 3));
    let whole = admin.get(&secrets("ml")).expect(200).json();
    assert_eq!(names(&whole), expected);
    assert!(whole["metadata"].get("continue").is_none());
    admin.get(&format!("{}?limit=100000", secrets("ml"))).expect(200);
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn whoami_says_who_and_what_they_may() {
    let fresh = fresh();
    let rights = json!([right("writer", &["default/ml"])]);
    let wanted = json!({ "description": "CI of ml", "rights": rights, "expiresInSeconds": 3600 });
    let (writer, id) = fresh.admin.mint(&wanted);
    let me = writer.get(WHOAMI).expect(200).json();
    assert_eq!((&me["token"], &me["description"]), (&json!(id), &json!("CI of ml")));
    assert_eq!(me["rights"], rights);
    assert!(me["actor"].is_string() && me["expires"].is_string(), "{me}");
    let admin = fresh.admin.get(WHOAMI).expect(200).json();
    assert_eq!(admin["rights"][0]["role"], "admin");
    assert!(admin.get("expires").is_none());
}

#[test]
fn a_token_is_shown_once_listed_without_itself_and_ends_when_revoked() {
    let fresh = fresh();
    let admin = &fresh.admin;
    let wanted = json!({ "description": "short", "rights": [right("writer", &["ml"])] });
    let (writer, id) = admin.mint(&wanted);
    writer.put(&secret("ml", "a"), &opaque("x")).expect(201);
    let list = admin.get(TOKENS).expect(200);
    let bearer = writer.authorization();
    assert!(!list.text().contains(bearer.strip_prefix("Bearer ").unwrap()));
    let list = list.json();
    let shown = list["items"].as_array().unwrap().iter().find(|token| token["id"] == id.as_str());
    assert_eq!(shown.unwrap()["description"], "short");
    admin.delete(&format!("{TOKENS}/{id}")).expect(204);
    // The same connection, which was open before: at once means the next request.
    let refused = writer.get(&secret("ml", "a"));
    refused.problem(401, "unauthorized");
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    writer.again().get(WHOAMI).problem(401, "unauthorized");
    admin.delete(&format!("{TOKENS}/{id}")).problem(404, "not-found");
}

#[test]
fn a_token_ends_when_its_time_has_come() {
    let fresh = fresh();
    let wanted = json!({ "rights": [right("viewer", &["ml"])], "expiresInSeconds": 1 });
    let (viewer, _) = fresh.admin.mint(&wanted);
    wait_until("the token ends", || viewer.get(WHOAMI).status == 401);
    viewer.get(&secrets("ml")).problem(401, "unauthorized");
}

#[test]
fn the_last_administrator_cannot_be_revoked() {
    let fresh = fresh();
    let admin = &fresh.admin;
    let own = admin.get(WHOAMI).expect(200).json()["token"].as_str().unwrap().to_owned();
    admin.delete(&format!("{TOKENS}/{own}")).problem(409, "not-now");
    admin.get(WHOAMI).expect(200);
    let (second, _) = admin.mint(&json!({ "rights": [{ "role": "admin" }] }));
    admin.delete(&format!("{TOKENS}/{own}")).expect(204);
    admin.get(WHOAMI).problem(401, "unauthorized");
    second.get(TOKENS).expect(200);
}

#[test]
fn each_role_does_what_the_table_of_roles_says() {
    let fresh = fresh();
    let admin = &fresh.admin;
    admin.make_project("other");
    admin.put(&secret("other", "s"), &opaque("x")).expect(201);
    let update = opaque("y");
    // The columns: list, show, read, create, update, delete, set the project's rules, make tokens.
    // Rules name namespaces, so only an administrator of the whole store sets them.
    let table: [(&str, &[&str], [u16; 8]); 8] = [
        ("viewer", &["ml"], [200, 200, 403, 403, 403, 403, 403, 403]),
        // Who may list nothing lists what is their own.
        ("contributor", &["ml"], [200, 404, 404, 201, 404, 404, 403, 403]),
        ("writer", &["ml"], [200, 200, 200, 201, 200, 204, 403, 403]),
        ("manager", &["ml"], [200, 200, 403, 201, 403, 403, 403, 403]),
        ("owner", &["ml"], [200, 200, 200, 201, 200, 204, 403, 403]),
        ("readonly-admin", &[], [200, 200, 200, 403, 403, 403, 403, 403]),
        ("auditor", &[], [200, 200, 403, 403, 403, 403, 403, 403]),
        ("admin", &[], [200, 200, 200, 201, 200, 204, 200, 201]),
    ];
    for (role, projects, expected) in table {
        let path = secret("ml", "s");
        admin.put(&path, &opaque("x"));
        let actor = admin.make_actor(role, projects);
        let new = secret("ml", &format!("by-{role}"));
        let token = json!({ "rights": [right("viewer", &["ml"])] });
        let found = [
            actor.get(&secrets("ml")).status,
            actor.get(&path).status,
            actor.get(&format!("{path}/data")).status,
            actor.put(&new, &opaque("x")).status,
            actor.put(&path, &update).status,
            actor.delete(&path).status,
            actor.put(&project("ml"), &json!({ "spec": {} })).status,
            actor.post(TOKENS, &token).status,
        ];
        assert_eq!(found, expected, "{role}");
        if !projects.is_empty() {
            actor.get(&secret("other", "s")).problem(404, "not-found");
            assert!(!names(&actor.get(PROJECTS).expect(200).json()).contains(&"other"), "{role}");
        }
    }
}

#[test]
fn what_a_stranger_may_not_see_looks_like_what_is_not_there() {
    let fresh = fresh();
    let admin = &fresh.admin;
    admin.make_project("hidden");
    admin.put(&secret("hidden", "s"), &opaque("x")).expect(201);
    let stranger = admin.make_actor("owner", &["ml"]);
    let both = |method: &str, hidden: &str, missing: &str, body: &Value| {
        let ask = |path: &str| stranger.send(method, path, JSON, body.to_string().as_bytes());
        let (hidden, missing) = (ask(hidden), ask(missing));
        hidden.problem(404, "not-found");
        assert_eq!(hidden.body, missing.body);
    };
    let named = json!({ "metadata": { "name": "s" }, "stringData": { "value": "y" } });
    for tail in ["", "/data", "/versions", "/data?version=7"] {
        let hidden = format!("{}{tail}", secret("hidden", "s"));
        let mine = format!("{}{}", secret("ml", "missing"), tail.split('?').next().unwrap());
        both("GET", &hidden, &format!("{}{tail}", secret("no-such", "s")), &Value::Null);
        both("GET", &hidden, &mine, &Value::Null);
    }
    for (method, body) in [("GET", &Value::Null), ("DELETE", &Value::Null), ("PUT", &json!({}))] {
        both(method, &project("hidden"), &project("no-such"), body);
    }
    both("GET", &secrets("hidden"), &secrets("no-such"), &Value::Null);
    both(
        "GET",
        &format!("{}/projections", project("hidden")),
        &format!("{}/projections", project("no-such")),
        &Value::Null,
    );
    both("POST", &secrets("hidden"), &secrets("no-such"), &named);
    both("PUT", &secret("hidden", "s"), &secret("no-such", "s"), &named);
    both("DELETE", &secret("hidden", "s"), &secret("no-such", "s"), &Value::Null);
    // Nor does a wrong body, a wrong name or a stale version tell one from the other.
    both(
        "PUT",
        &secret("hidden", "s"),
        &secret("no-such", "s"),
        &json!({ "spec": { "type": "x" } }),
    );
    let stale = json!({ "metadata": { "resourceVersion": "1" }, "stringData": { "value": "y" } });
    both("PUT", &secret("hidden", "s"), &secret("no-such", "s"), &stale);
    assert_eq!(admin.value(&secret("hidden", "s")), "x");
}

#[test]
fn names_travel_percent_encoded() {
    let fresh = fresh();
    let admin = &fresh.admin;
    for (encoded, name) in [
        ("team%2Fhf", "team/hf"),
        ("a%3Ab", "a:b"),
        ("a:c", "a:c"),
        ("a%20b", "a b"),
        ("Schl%C3%BCssel", "Schl\u{fc}ssel"),
        // Decoded once, and only once.
        ("a%252Fb", "a%2Fb"),
        ("a%25", "a%"),
        ("+", "+"),
        ("data", "data"),
        ("...", "..."),
    ] {
        let path = secret("ml", encoded);
        let made = admin.put(&path, &opaque(name)).expect(201).json();
        assert_eq!(made["metadata"]["name"], name);
        assert_eq!(admin.value(&path), name);
    }
    admin.get(&secret("ml", "a/b")).problem(404, "not-found");
    assert_eq!(names(&admin.get(&secrets("ml")).expect(200).json()).len(), 10);
}

#[test]
fn paths_that_walk_or_hide_something_lead_nowhere() {
    let fresh = fresh();
    let admin = &fresh.admin;
    admin.put(&secret("ml", "hf"), &opaque("x")).expect(201);
    let before = admin.get(&secrets("ml")).text();
    for name in [
        "%2e%2e", "..", "%2E", ".", "%2F..", "a%2F..", "..%2Fhf", "a%2F%2Fb", "%2Fhf", "hf%2F",
        "%00", "hf%00", "%0A", "hf%0d%0a", "%7F", "%C2%85", "%FF", "hf%C3",
    ] {
        for tail in ["", "/data", "/versions"] {
            let refused = admin.get(&format!("{}{tail}", secret("ml", name)));
            refused.problem(422, "invalid-field");
        }
        admin.put(&secret("ml", name), &opaque("y")).problem(422, "invalid-field");
        admin.delete(&secret("ml", name)).problem(422, "invalid-field");
    }
    for project in ["%2e%2e", "a%2Fb", "%00", "..", "%0A", "%FF"] {
        let refused = admin.get(&secrets(project)).problem(422, "invalid-field");
        assert!(refused["field"].is_string());
        admin.put(&secret(project, "x"), &opaque("y")).problem(422, "invalid-field");
    }
    for path in [
        format!("{PROJECTS}//ml"),
        format!("{}/", secrets("ml")),
        format!("{}/", secret("ml", "hf")),
        format!("{}/data/", secret("ml", "hf")),
        "/tresor/v1/orgs/default/projects/ml/../ml/secrets/hf".to_owned(),
        "//tresor/v1/whoami".to_owned(),
        "/tresor%2Fv1/whoami".to_owned(),
    ] {
        admin.get(&path).problem(404, "not-found");
    }
    // An empty name is a name, and none of ours.
    admin.get(&format!("{}//data", secrets("ml"))).problem(422, "invalid-field");
    assert_eq!(admin.get(&secrets("ml")).text(), before);
}

#[test]
fn signing_in_comes_before_everything_else() {
    let fresh = fresh();
    let anonymous = fresh.daemon.anonymous();
    let expected = anonymous.get(WHOAMI).body;
    for Route { path, methods } in documented(&fresh.daemon) {
        for method in &methods {
            if path == LOGIN {
                continue;
            }
            // Everything else that could be wrong is wrong as well.
            for target in [
                path.clone(),
                format!("{path}?limit=0&nonsense=1"),
                path.replace("/hf", "/%2e%2e").replace("/ml", "/%00"),
            ] {
                let headers = [("Content-Type", "text/plain"), ("If-Match", "nonsense")];
                let refused = anonymous.send(method, &target, &headers, b"{\"broken\"");
                refused.problem(401, "unauthorized");
                assert_eq!(refused.body, expected, "{method} {target}");
                assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
            }
        }
    }
}

#[test]
fn who_has_no_token_learns_nothing_else() {
    let fresh = fresh();
    fresh.admin.put(&secret("ml", "hf"), &opaque("x")).expect(201);
    let anonymous = fresh.daemon.anonymous();
    for (there, missing) in [
        (project("ml"), project("no-such")),
        (secrets("ml"), secrets("no-such")),
        (secret("ml", "hf"), secret("ml", "no-such")),
        (format!("{}/data", secret("ml", "hf")), format!("{}/data", secret("ml", "no-such"))),
    ] {
        let (there, missing) = (anonymous.get(&there), anonymous.get(&missing));
        there.problem(401, "unauthorized");
        assert_eq!(there.body, missing.body);
    }
}

#[test]
fn an_unknown_path_is_404() {
    let fresh = fresh();
    for path in
        ["/", "/tresor/v1", "/tresor/v2/whoami", "/v1/secret/data/x", "/tresor/v1/tokens/a/b"]
    {
        fresh.admin.get(path).problem(404, "not-found");
    }
}

#[test]
fn the_probes_answer_without_a_token() {
    let fresh = fresh();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(
            fresh.daemon.anonymous().get(path).expect(200).json(),
            json!({ "status": "ok" })
        );
    }
}
