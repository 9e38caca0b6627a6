//! People, their tokens and their rights, as they and their administrators meet them.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::{
    Actor, Answer, Connection, GRANTS, GROUPS, JSON, LOGIN, MACHINES, ORGS, PASSWORD, PROJECTS,
    REVIEWS, TOKENS, USERS, WHOAMI, Watch, member, opaque, project, request, right, secret,
    secrets, user,
};
use crate::harness::{Daemon, Fresh, fresh, wait_until};

const CLUSTER: &str = "secret://default";
/// A second is what is promised; a machine with other things to do gets a few.
const SOON: Duration = Duration::from_secs(5);

fn group(name: &str) -> String {
    format!("{GROUPS}/{name}")
}

fn named(name: &str) -> Value {
    json!({ "metadata": { "name": name } })
}

fn disabled(yes: bool) -> Value {
    json!({ "spec": { "disabled": yes } })
}

/// A refusal that names the field, and says this about it.
#[track_caller]
fn refused(answer: &Answer, field: &str, reason: &str) {
    let problem = answer.problem(422, "invalid-field");
    assert_eq!(problem["field"], field, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains(reason), "{reason}: {problem}");
}

/// What two answers have in common that must have everything in common.
fn whole(answer: &Answer) -> (u16, String, Vec<Option<String>>) {
    let names = ["content-type", "content-length", "www-authenticate", "retry-after", "etag"];
    let headers = names.map(|name| answer.header(name).map(str::to_owned));
    (answer.status, answer.text(), headers.to_vec())
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// Asks who one is, with that header.
#[track_caller]
fn whoami_with(fresh: &Fresh, authorization: &str) -> Answer {
    fresh.daemon.anonymous().send("GET", WHOAMI, &[("Authorization", authorization)], b"")
}

fn own_token(actor: &Actor) -> String {
    actor.get(WHOAMI).expect(200).json()["token"].as_str().unwrap().to_owned()
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

fn set_members(root: &Actor, name: &str, members: &[&str]) -> Answer {
    root.patch(&group(name), &json!({ "spec": { "members": members } }))
}

/// The watch is cut off, and says with what status.
#[track_caller]
fn is_cut_off(watch: &mut Watch, status: u16, since: Instant) {
    let end = watch.next_change().expect("it ends with a word");
    assert_eq!((&end["type"], &end["object"]["status"]), (&json!("ERROR"), &json!(status)));
    assert!(watch.next().is_none(), "and nothing comes behind it");
    assert!(since.elapsed() < SOON, "it went on for {:?}", since.elapsed());
}

fn watch_ml(actor: &Actor) -> Watch {
    let mut watch = actor.watch(&format!("{}?watch=true", secrets("ml")));
    watch.until_bookmark();
    watch
}

// Signing in.

#[test]
fn users_sign_in_and_whoever_does_not_gets_the_same_answer() {
    let fresh = fresh();
    let root = &fresh.admin;
    let alice = root.make_user("alice");
    let me = alice.get(WHOAMI).expect(200).json();
    assert_eq!((&me["actor"], &me["grants"][0]["role"]), (&json!("user:alice"), &json!("owner")));
    assert!(me["expires"].is_string(), "a session ends: {me}");
    root.make_user("dora");
    root.post(USERS, &named("tokens-only")).expect(201);
    root.patch(&user("dora"), &disabled(true)).expect(200);
    let attempts = [
        ("alice", "wrong-but-of-some-length"),
        ("nobody-of-this-name", PASSWORD),
        ("dora", PASSWORD),
        ("tokens-only", PASSWORD),
        ("alice", ""),
        ("Alice", PASSWORD),
    ];
    let answers = attempts.map(|(name, password)| root.try_sign_in(name, password));
    answers[0].problem(401, "unauthorized");
    for (answer, attempt) in answers.iter().zip(attempts) {
        assert_eq!(whole(answer), whole(&answers[0]), "{attempt:?}");
    }
    root.sign_in("alice", PASSWORD);
}

#[test]
fn too_many_wrong_passwords_wait_whether_there_is_such_an_account_or_not() {
    let fresh = fresh();
    let root = &fresh.admin;
    root.post(USERS, &json!({ "metadata": { "name": "alice" }, "password": PASSWORD })).expect(201);
    let mut both = Vec::new();
    for name in ["alice", "nobody-of-this-name"] {
        let tries = (0..6).map(|_| root.try_sign_in(name, "wrong-but-of-some-length"));
        let tries: Vec<_> = tries.collect();
        let statuses: Vec<_> = tries.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [401, 401, 401, 401, 401, 429], "{name}");
        let last = &tries[5];
        let problem = last.problem(429, "too-many-requests");
        assert_eq!(last.header("retry-after"), Some(problem["retryAfter"].to_string().as_str()));
        both.push(whole(last));
    }
    assert_eq!(both[0], both[1]);
    assert_eq!(root.try_sign_in("alice", PASSWORD).status, 429, "even with the right one");
    wait_until("the wait is over", || root.try_sign_in("alice", PASSWORD).status == 201);
}

#[test]
fn an_address_that_tries_many_accounts_waits_and_tokens_go_on() {
    let fresh = fresh();
    let root = &fresh.admin;
    let alice = root.make_user("alice");
    for number in 0..20 {
        root.try_sign_in(&format!("guess{number}"), "wrong-but-of-some-length")
            .problem(401, "unauthorized");
    }
    for name in ["alice", "never-tried"] {
        let refused = root.try_sign_in(name, PASSWORD);
        refused.problem(429, "too-many-requests");
        assert!(refused.header("retry-after").is_some());
    }
    alice.get(WHOAMI).expect(200);
}

#[test]
fn weak_passwords_are_refused_with_the_reason_and_never_repeated() {
    let fresh = fresh();
    let root = &fresh.admin;
    root.make_user("marguerite");
    for (password, reason) in [
        ("", "at least 12 characters"),
        ("k7#Qz!v2mL9", "at least 12 characters"),
        ("k7#Qz!margueriteL9x", "user's name"),
        ("1212121212121", "different characters"),
        ("abcdefghijklmnop", "run"),
        ("Password1234!", "harder to guess"),
        ("k7#Qz!v2mL9x\u{7}", "control characters"),
    ] {
        let body = json!({ "password": password });
        let new = json!({ "metadata": { "name": "Marguerite" }, "password": password });
        let set = root.put(&format!("{}/password", user("marguerite")), &body);
        refused(&set, "password", reason);
        let made = root.post(USERS, &new);
        refused(&made, "password", reason);
        for answer in [&set, &made] {
            assert!(password.is_empty() || !answer.text().contains(password), "{password}");
        }
    }
    let long = "k7#Qz!v2mL9x".repeat(100);
    let set = root.put(&format!("{}/password", user("marguerite")), &json!({ "password": long }));
    refused(&set, "password", "1024");
    assert!(!set.text().contains("k7#Qz"));
    root.get(&user("Marguerite")).problem(404, "not-found");
    root.sign_in("marguerite", PASSWORD);
}

#[test]
fn bad_and_taken_names_are_refused_with_the_field() {
    let fresh = fresh();
    let root = &fresh.admin;
    root.post(ORGS, &named("acme")).expect(201);
    let long = "x".repeat(129);
    for name in
        ["", "-a", "a b", "a/b", "..", "\u{fc}nal", "a:b", "a\u{0}", "root", "System", &long]
    {
        for collection in [USERS, MACHINES, GROUPS] {
            refused(&root.post(collection, &named(name)), "metadata.name", "must be");
        }
    }
    // Each user has a project of the same name, which must be theirs alone.
    for taken in ["ml", "acme"] {
        refused(&root.post(USERS, &named(taken)), "metadata.name", "must not be");
        root.post(MACHINES, &named(taken)).expect(201);
        root.post(GROUPS, &named(taken)).expect(201);
    }
    root.post(USERS, &named("alice")).expect(201);
    for collection in [USERS, MACHINES, GROUPS] {
        let name = if collection == USERS { "alice" } else { "ml" };
        root.post(collection, &named(name)).problem(409, "already-exists");
    }
}

#[test]
fn a_user_owns_a_project_of_their_name_and_nobody_else_sees_it() {
    let fresh = fresh();
    let root = &fresh.admin;
    let (alice, bob) = (root.make_user("alice"), root.make_user("bob"));
    alice.put(&secret("alice", "key"), &opaque("mine")).expect(201);
    assert_eq!(alice.value(&secret("alice", "key")), "mine");
    assert_eq!(names(&alice.get(PROJECTS).expect(200).json()), ["alice"]);
    let members = alice.get(&format!("{}/members", project("alice"))).expect(200).json();
    assert_eq!(members["items"][0]["subject"], "user:alice");
    assert_eq!(members["items"][0]["role"], "owner");
    for path in [project("alice"), secrets("alice"), secret("alice", "key")] {
        bob.get(&path).problem(404, "not-found");
    }
}

// Coming and going.

#[test]
fn a_user_who_is_deleted_is_out_at_once_and_leaves_nothing_that_is_empty() {
    let fresh = fresh();
    let root = &fresh.admin;
    let (alice, bob) = (root.make_user("alice"), root.make_user("bob"));
    let own = alice.mint(&json!({ "description": "own" })).0;
    root.make_member("ml", "user:alice", "writer");
    bob.put(&secret("bob", "kept"), &opaque("v")).expect(201);
    own.get(&secrets("ml")).expect(200);
    for name in ["alice", "bob"] {
        root.delete(&user(name)).expect(204);
        root.get(&user(name)).problem(404, "not-found");
    }
    // On the connections that were open before.
    for gone in [&alice, &own, &bob] {
        gone.get(WHOAMI).problem(401, "unauthorized");
    }
    root.try_sign_in("alice", PASSWORD).problem(401, "unauthorized");
    root.get(&project("alice")).problem(404, "not-found");
    assert_eq!(root.value(&secret("bob", "kept")), "v", "what holds something stays");
    assert!(!root.get(TOKENS).expect(200).text().contains("user:"));
    let members = root.get(&format!("{}/members", project("ml"))).expect(200).json();
    assert_eq!(members["items"], json!([]));
    // Whoever comes by the name later has nothing of it.
    let alice = root.make_user("alice");
    alice.get(&secrets("ml")).problem(404, "not-found");
    refused(&root.post(USERS, &named("bob")), "metadata.name", "project");
}

#[test]
fn who_is_shut_out_is_cut_off_and_comes_back_with_everything() {
    let fresh = fresh();
    let root = &fresh.admin;
    let alice = root.make_user("alice");
    root.make_member("ml", "user:alice", "writer");
    let mut watch = watch_ml(&alice);
    root.patch(&user("alice"), &disabled(true)).expect(200);
    let shut_out = Instant::now();
    alice.get(WHOAMI).problem(401, "unauthorized");
    is_cut_off(&mut watch, 401, shut_out);
    root.try_sign_in("alice", PASSWORD).problem(401, "unauthorized");
    assert_eq!(root.get(&user("alice")).expect(200).json()["spec"]["disabled"], true);
    root.patch(&user("alice"), &disabled(false)).expect(200);
    alice.get(&secrets("ml")).expect(200);
    root.sign_in("alice", PASSWORD);
}

#[test]
fn another_password_ends_all_sessions_but_the_one_that_chose_it() {
    let fresh = fresh();
    let root = &fresh.admin;
    let new = "grundstueck 41 im nebel";
    let path = format!("{}/password", user("alice"));
    let here = root.make_user("alice");
    let there = root.sign_in("alice", PASSWORD);
    let of_a_script = there.mint(&json!({ "description": "no session" })).0;
    refused(&here.put(&path, &json!({ "password": new })), "currentPassword", "present password");
    let wrong = json!({ "password": new, "currentPassword": "wrong-but-of-some-length" });
    refused(&here.put(&path, &wrong), "currentPassword", "present password");
    there.get(WHOAMI).expect(200);
    let body = json!({ "password": new, "currentPassword": PASSWORD });
    root.make_user("bob").put(&path, &body).problem(403, "forbidden");
    here.put(&path, &body).expect(204);
    there.get(WHOAMI).problem(401, "unauthorized");
    here.get(WHOAMI).expect(200);
    of_a_script.get(WHOAMI).expect(200);
    root.try_sign_in("alice", PASSWORD).problem(401, "unauthorized");
    let again = root.sign_in("alice", new);
    // An administrator ends them all.
    root.put(&path, &json!({ "password": PASSWORD })).expect(204);
    for ended in [&here, &again] {
        ended.get(WHOAMI).problem(401, "unauthorized");
    }
    root.sign_in("alice", PASSWORD);
}

// Tokens.

#[test]
fn own_tokens_are_listed_described_narrowed_and_show_their_last_use() {
    let fresh = fresh();
    let root = &fresh.admin;
    let (alice, bob) = (root.make_user("alice"), root.make_user("bob"));
    let wanted = json!({
        "description": "CI of ml",
        "expiresInSeconds": 3600,
        "narrowing": { "projects": ["default/alice"], "actions": ["list", "read"] },
    });
    let (token, id) = alice.mint(&wanted);
    let listed = |actor: &Actor| {
        let list = actor.get(TOKENS).expect(200).json();
        let items = list["items"].as_array().unwrap().clone();
        items.into_iter().find(|item| item["id"] == id.as_str())
    };
    let shown = listed(&alice).unwrap();
    assert_eq!(shown["description"], "CI of ml");
    assert_eq!(shown["principal"], "user:alice");
    assert_eq!(shown["narrowing"], wanted["narrowing"]);
    assert!(shown["expires"].is_string());
    assert!(shown.get("lastUsedTimestamp").is_none(), "never used: {shown}");
    assert!(listed(&bob).is_none() && listed(root).is_some());
    let text = alice.get(TOKENS).expect(200).text();
    assert!(!text.contains(token.token()), "a token is shown once");

    alice.put(&secret("alice", "s"), &opaque("v")).expect(201);
    root.make_member("ml", "user:alice", "owner");
    assert_eq!(token.value(&secret("alice", "s")), "v");
    token.put(&secret("alice", "s"), &opaque("w")).problem(403, "forbidden");
    token.get(&secrets("ml")).problem(404, "not-found");
    assert_eq!(token.get(WHOAMI).expect(200).json()["narrowing"], wanted["narrowing"]);
    assert!(listed(&alice).unwrap()["lastUsedTimestamp"].is_string());
}

#[test]
fn tokens_are_ended_by_their_user_by_signing_out_and_by_an_administrator() {
    let fresh = fresh();
    let root = &fresh.admin;
    let (alice, bob) = (root.make_user("alice"), root.make_user("bob"));
    let ends = |ended: &Actor, by: &dyn Fn(&str) -> Answer| {
        let id = own_token(ended);
        let mut watch = ended.watch("/tresor/v1/secrets?watch=true");
        watch.until_bookmark();
        by(&id).expect(204);
        let since = Instant::now();
        ended.get(WHOAMI).problem(401, "unauthorized");
        is_cut_off(&mut watch, 401, since);
        alice.get(WHOAMI).expect(200);
    };
    let mint = || alice.mint(&json!({})).0;
    ends(&mint(), &|id| alice.delete(&format!("{TOKENS}/{id}")));
    ends(&mint(), &|id| root.delete(&format!("{TOKENS}/{id}")));
    let own = mint();
    ends(&own, &|_| own.post("/tresor/v1/logout", &Value::Null));
    let session = root.sign_in("alice", PASSWORD);
    ends(&session, &|_| session.post("/tresor/v1/logout", &Value::Null));
    // Another's token is none at all.
    let (kept, id) = alice.mint(&json!({}));
    let absent = bob.delete(&format!("{TOKENS}/{}", "0".repeat(32)));
    assert_eq!(whole(&bob.delete(&format!("{TOKENS}/{id}"))), whole(&absent));
    absent.problem(404, "not-found");
    kept.get(WHOAMI).expect(200);
}

#[test]
fn a_token_is_never_wider_than_the_one_that_makes_it() {
    let fresh = fresh();
    let root = &fresh.admin;
    let alice = root.make_user("alice");
    root.make_member("ml", "user:alice", "owner");
    root.make_project("hidden");
    let narrowed = |narrowing: Value| json!({ "narrowing": narrowing });

    let (placed, _) = alice.mint(&narrowed(json!({ "projects": ["alice"] })));
    let (fix, field) = ("projects of the token that you use", "narrowing.projects");
    refused(&placed.post(TOKENS, &json!({})), field, fix);
    refused(&placed.post(TOKENS, &narrowed(json!({ "projects": ["ml"] }))), field, fix);
    refused(&placed.post(TOKENS, &narrowed(json!({ "projects": ["alice", "ml"] }))), field, fix);
    refused(&placed.post(TOKENS, &narrowed(json!({ "actions": ["list"] }))), field, fix);
    placed.post(TOKENS, &narrowed(json!({ "projects": ["default/alice"] }))).expect(201);

    let (acting, _) = alice.mint(&narrowed(json!({ "actions": ["list", "read"] })));
    let (fix, field) = ("actions of the token that you use", "narrowing.actions");
    refused(&acting.post(TOKENS, &json!({})), field, fix);
    refused(&acting.post(TOKENS, &narrowed(json!({ "actions": ["list", "update"] }))), field, fix);
    acting.post(TOKENS, &narrowed(json!({ "actions": ["read"] }))).expect(201);

    let short = json!({ "narrowing": { "actions": ["list"] }, "expiresInSeconds": 60 });
    let (short, _) = alice.mint(&short);
    let longer = |seconds: Value| {
        let mut wanted = narrowed(json!({ "actions": ["list"] }));
        if !seconds.is_null() {
            wanted["expiresInSeconds"] = seconds;
        }
        short.post(TOKENS, &wanted)
    };
    refused(&longer(Value::Null), "expiresInSeconds", "no later than");
    refused(&longer(json!(3600)), "expiresInSeconds", "no later than");
    longer(json!(30)).expect(201);

    // A project that is not there, and one that is none of theirs, are refused alike.
    let [absent, hidden] = ["absent", "hidden"]
        .map(|name| alice.post(TOKENS, &narrowed(json!({ "projects": [name] }))));
    refused(&absent, "narrowing.projects", "in which you have rights");
    assert_eq!(whole(&absent), whole(&hidden));
    let unknown = json!({ "rights": [right("viewer", &["absent"])] });
    refused(&root.post(TOKENS, &unknown), "rights", "projects that exist");
    for empty in [json!({ "projects": [] }), json!({ "actions": [] })] {
        alice.post(TOKENS, &narrowed(empty)).problem(422, "invalid-field");
    }
    refused(
        &alice.post(TOKENS, &narrowed(json!({ "actions": ["sudo"] }))),
        "narrowing.actions",
        "must be one of",
    );
    let nobodys = json!({ "rights": [right("viewer", &["alice"])] });
    alice.post(TOKENS, &nobodys).problem(403, "forbidden");
}

#[test]
fn an_administrators_narrowed_token_makes_no_whole_administrator() {
    let fresh = fresh();
    let root = &fresh.admin;
    let carol = root.make_user("carol");
    root.give("user:carol", "admin", CLUSTER);
    let (narrowed, _) = carol.mint(&json!({ "narrowing": { "actions": ["administer", "list"] } }));
    narrowed.get(USERS).expect(200);
    let everything = json!({ "rights": [{ "role": "admin" }] });
    refused(&narrowed.post(TOKENS, &everything), "rights", "may not do");
    refused(&narrowed.post(TOKENS, &json!({})), "narrowing.actions", "actions of the token");
    let grant = json!({ "subject": "user:carol", "uri": CLUSTER, "role": "readonly-admin" });
    refused(&narrowed.post(GRANTS, &grant), "role", "may not do");
    let little = json!({ "rights": [right("viewer", &["ml"])] });
    narrowed.post(TOKENS, &little).expect(201);
    let (elsewhere, _) = carol.mint(&json!({ "narrowing": { "projects": ["ml"] } }));
    elsewhere.post(TOKENS, &everything).problem(403, "forbidden");
}

#[test]
fn a_narrowed_token_gives_up_nothing_of_its_user_but_itself() {
    let fresh = fresh();
    let root = &fresh.admin;
    let alice = root.make_user("alice");
    let id = root.give("user:alice", "viewer", "secret://default/ml");
    let (kept, kept_id) = alice.mint(&json!({}));
    let (narrowed, _) = alice.mint(&json!({ "narrowing": { "actions": ["list"] } }));
    narrowed.delete(&format!("{TOKENS}/{kept_id}")).problem(404, "not-found");
    narrowed.delete(&format!("{GRANTS}/{id}")).problem(404, "not-found");
    kept.get(&secrets("ml")).expect(200);
    narrowed.get(&secrets("ml")).expect(200);
    narrowed.post("/tresor/v1/logout", &Value::Null).expect(204);
    narrowed.get(WHOAMI).problem(401, "unauthorized");
    kept.delete(&format!("{GRANTS}/{id}")).expect(204);
    kept.get(&secrets("ml")).problem(404, "not-found");
}

#[test]
fn a_jwt_opens_what_a_token_does_until_it_is_altered_or_revoked() {
    let fresh = fresh();
    let root = &fresh.admin;
    let alice = root.make_user("alice");
    let (jwt, id) = alice.mint(&json!({ "jwt": true, "description": "looked into" }));
    let text = jwt.token().to_owned();
    let parts: Vec<_> = text.split('.').collect();
    assert_eq!(parts.len(), 3);
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((&claims["sub"], &claims["jti"]), (&json!("alice"), &json!(id)));
    let me = jwt.get(WHOAMI).expect(200).json();
    assert_eq!((&me["actor"], &me["token"]), (&json!("user:alice"), &json!(id)));
    assert!(me["expires"].is_string(), "without being asked, too: {me}");

    let ask = |token: &str| fresh.daemon.actor(token).get(WHOAMI).status;
    for at in 0..text.len() {
        let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
        let mut altered = text.clone();
        altered.replace_range(at..=at, other);
        assert_eq!(ask(&altered), 401, "with another character at {at}");
    }
    let none = STANDARD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    for altered in [
        format!("{none}.{}.", parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{text}."),
        format!("{text}="),
        format!("{}.{text}", parts[0]),
        text.to_uppercase(),
    ] {
        assert_eq!(ask(&altered), 401, "{altered}");
    }
    assert_eq!(ask(&text), 200);
    alice.delete(&format!("{TOKENS}/{id}")).expect(204);
    assert_eq!(ask(&text), 401);

    let body = json!({ "username": "alice", "password": PASSWORD, "jwt": true });
    let session = root.post(LOGIN, &body).expect(201).json();
    let session = fresh.daemon.actor(session["token"].as_str().unwrap());
    session.get(WHOAMI).expect(200);
    root.patch(&user("alice"), &disabled(true)).expect(200);
    session.get(WHOAMI).problem(401, "unauthorized");
}

#[test]
fn basic_authentication_takes_a_password_or_a_token_in_its_place() {
    let fresh = fresh();
    let root = &fresh.admin;
    let alice = root.make_user("alice");
    let (token, _) = alice.mint(&json!({}));
    let (jwt, _) = alice.mint(&json!({ "jwt": true }));
    let machine = root.make_machine("ci");
    let who = |authorization: &str| {
        let me = whoami_with(&fresh, authorization).expect(200).json();
        me["actor"].as_str().unwrap().to_owned()
    };
    for (name, password) in [
        ("alice", PASSWORD),
        ("alice", token.token()),
        ("", token.token()),
        ("anything", jwt.token()),
    ] {
        assert_eq!(who(&basic(name, password)), "user:alice");
    }
    assert_eq!(who(&basic("anything", machine.token())), "machine:ci");
    let wrong = whoami_with(&fresh, &basic("alice", "wrong-but-of-some-length"));
    wrong.problem(401, "unauthorized");
    for authorization in [
        basic("nobody-of-this-name", PASSWORD),
        basic("ci", PASSWORD),
        format!("Basic {}", STANDARD.encode("alice")),
        "Basic !".to_owned(),
        format!("Digest {}", STANDARD.encode(format!("alice:{PASSWORD}"))),
        basic("alice", &format!("{}0", token.token())),
    ] {
        assert_eq!(whole(&whoami_with(&fresh, &authorization)), whole(&wrong), "{authorization}");
    }
    // It is known again without being hashed, and not when it has changed since.
    let path = format!("{}/password", user("alice"));
    root.put(&path, &json!({ "password": "grundstueck 41 im nebel" })).expect(204);
    whoami_with(&fresh, &basic("alice", PASSWORD)).problem(401, "unauthorized");
    assert_eq!(who(&basic("alice", "grundstueck 41 im nebel")), "user:alice");
    root.patch(&user("alice"), &disabled(true)).expect(200);
    whoami_with(&fresh, &basic("alice", "grundstueck 41 im nebel")).problem(401, "unauthorized");
}

#[test]
fn machine_accounts_have_tokens_and_no_password() {
    let fresh = fresh();
    let root = &fresh.admin;
    let machine = root.make_machine("ci");
    let shown = machine.get(&format!("{MACHINES}/ci")).expect(200).json();
    assert_eq!(
        (&shown["spec"]["kind"], &shown["spec"]["hasPassword"]),
        (&json!("machine"), &json!(false))
    );
    let with_password = json!({ "metadata": { "name": "cd" }, "password": PASSWORD });
    let answer = root.post(MACHINES, &with_password);
    assert!(matches!(answer.status, 400 | 422), "{}", answer.text());
    root.get(&format!("{MACHINES}/cd")).problem(404, "not-found");
    root.put(&format!("{}/password", user("ci")), &json!({ "password": PASSWORD }))
        .problem(404, "not-found");
    root.try_sign_in("ci", PASSWORD).problem(401, "unauthorized");

    root.make_member("ml", "machine:ci", "writer");
    machine.put(&secret("ml", "s"), &opaque("v")).expect(201);
    let made = machine.get(&secret("ml", "s")).expect(200).json();
    assert_eq!(made["metadata"]["owner"], "machine:ci");
    let own = machine.mint(&json!({ "narrowing": { "actions": ["list"] } })).0;
    own.get(&secret("ml", "s")).expect(200);
    own.get(&format!("{}/data", secret("ml", "s"))).problem(403, "forbidden");
    machine.get(&project("ci")).problem(404, "not-found");
    // Users make their tokens themselves; and nobody who does not administer makes another's.
    let alice = root.make_user("alice");
    let of_alice = json!({ "machineAccount": "alice" });
    refused(&root.post(TOKENS, &of_alice), "machineAccount", "users make their tokens");
    alice.post(TOKENS, &json!({ "machineAccount": "ci" })).problem(403, "forbidden");
    root.patch(&format!("{MACHINES}/ci"), &disabled(true)).expect(200);
    for out in [&machine, &own] {
        out.get(WHOAMI).problem(401, "unauthorized");
    }
    root.delete(&format!("{MACHINES}/ci")).expect(204);
}

// Groups and organizations.

#[test]
fn groups_give_rights_and_take_them_at_once() {
    let fresh = fresh();
    let root = &fresh.admin;
    let (alice, machine) = (root.make_user("alice"), root.make_machine("ci"));
    let made = json!({ "metadata": { "name": "team" }, "spec": { "members": ["user:alice"] } });
    root.post(GROUPS, &made).expect(201);
    root.make_member("ml", "group:team", "viewer");
    root.put(&secret("ml", "s"), &opaque("v")).expect(201);
    machine.get(&secrets("ml")).problem(404, "not-found");
    let both = set_members(root, "team", &["user:alice", "machine:ci"]).expect(200).json();
    assert_eq!(both["spec"]["members"], json!(["machine:ci", "user:alice"]));
    assert_eq!(
        alice.get(&user("alice")).expect(200).json()["spec"]["groups"],
        json!(["group:team"])
    );
    for member in [&alice, &machine] {
        member.get(&secret("ml", "s")).expect(200);
        member.get(&format!("{}/data", secret("ml", "s"))).problem(403, "forbidden");
    }
    let mut watches = [watch_ml(&alice), watch_ml(&machine)];
    set_members(root, "team", &["machine:ci"]).expect(200);
    let since = Instant::now();
    alice.get(&secret("ml", "s")).problem(404, "not-found");
    is_cut_off(&mut watches[0], 404, since);
    machine.get(&secret("ml", "s")).expect(200);
    root.delete(&group("team")).expect(204);
    let since = Instant::now();
    machine.get(&secret("ml", "s")).problem(404, "not-found");
    is_cut_off(&mut watches[1], 404, since);
    // Whoever makes a group of that name again gets nothing with it.
    root.post(GROUPS, &made).expect(201);
    alice.get(&secrets("ml")).problem(404, "not-found");
}

#[test]
fn a_group_holds_users_and_machines_that_exist_and_nothing_else() {
    let fresh = fresh();
    let root = &fresh.admin;
    root.post(GROUPS, &named("team")).expect(201);
    root.post(GROUPS, &named("other")).expect(201);
    for (members, reason) in [
        (["user:nobody-1"], "that exist"),
        (["group:other"], "holds no groups"),
        (["alice"], "user:NAME"),
        (["robot:alice"], "user:NAME"),
        (["user:"], "user:NAME"),
    ] {
        refused(&set_members(root, "team", &members), "spec.members", reason);
    }
    refused(&root.patch(&group("team"), &disabled(true)), "spec.disabled", "unknown field");
}

#[test]
fn an_organization_and_a_project_never_share_a_name() {
    let fresh = fresh();
    let root = &fresh.admin;
    root.post(ORGS, &named("acme")).expect(201);
    root.post(ORGS, &named("acme")).problem(409, "already-exists");
    root.post(ORGS, &named("default")).problem(409, "already-exists");
    refused(&root.post(ORGS, &named("ml")), "metadata.name", "must not be the name of a project");
    refused(&root.post(PROJECTS, &named("acme")), "metadata.name", "organization's name");
    let inside = format!("{ORGS}/acme/projects");
    // Inside of an organization there is no such clash, and no mixing up.
    for name in ["acme", "ml", "default"] {
        root.post(&inside, &named(name)).expect(201);
    }
    root.put(&format!("{inside}/ml/secrets/s"), &opaque("acme's")).expect(201);
    root.get(&secret("ml", "s")).problem(404, "not-found");
    root.delete(&format!("{ORGS}/acme")).problem(409, "not-now");
    root.post(&format!("{ORGS}/absent/projects"), &named("x")).problem(404, "not-found");
    refused(&root.delete(&format!("{ORGS}/default")), "org", "default");
    root.post(ORGS, &named("empty")).expect(201);
    let owner = root.make_machine("ci");
    root.give("machine:ci", "owner", &format!("{CLUSTER}/empty"));
    owner.post(&format!("{ORGS}/empty/projects"), &named("a")).expect(201);
    owner.delete(&format!("{ORGS}/empty/projects/a")).expect(204);
    root.delete(&format!("{ORGS}/empty")).expect(204);
    // The name is free again, and what was granted on it is gone.
    root.post(ORGS, &named("empty")).expect(201);
    owner.post(&format!("{ORGS}/empty/projects"), &named("a")).problem(404, "not-found");
}

// Grants.

#[test]
fn a_uri_means_the_same_with_and_without_the_default_organization() {
    let fresh = fresh();
    let root = &fresh.admin;
    root.post(ORGS, &named("acme")).expect(201);
    root.post(&format!("{ORGS}/acme/projects"), &named("ml")).expect(201);
    root.make_machine("ci");
    for (uri, shown) in [
        ("secret://default/ml", "secret://default/default/ml"),
        ("secret://default/default/ml", "secret://default/default/ml"),
        ("secret://default/ml/team/a%20b", "secret://default/default/ml/team/a%20b"),
        ("secret://default/default", "secret://default/default"),
        ("secret://default/acme", "secret://default/acme"),
        ("secret://default/acme/ml", "secret://default/acme/ml"),
    ] {
        let wanted = json!({ "subject": "machine:ci", "role": "viewer", "uri": uri });
        let given = root.post(GRANTS, &wanted).expect(201).json();
        assert_eq!(given["uri"], shown, "{uri}");
        let listed = root.get(&format!("{GRANTS}?uri={}", uri.replace('%', "%25"))).expect(200);
        assert!(listed.text().contains(given["id"].as_str().unwrap()), "{uri}");
    }
    let below = root.get(&format!("{GRANTS}?uri=secret://default/default&below=true")).expect(200);
    assert_eq!(below.json()["items"].as_array().unwrap().len(), 3, "{}", below.text());
}

#[test]
fn a_grant_holds_at_its_place_and_below_and_ends_at_a_slash() {
    let fresh = fresh();
    let root = &fresh.admin;
    root.post(ORGS, &named("acme")).expect(201);
    for name in ["ml", "other"] {
        root.post(&format!("{ORGS}/acme/projects"), &named(name)).expect(201);
    }
    let path = |project: &str, name: &str| format!("{ORGS}/acme/projects/{project}/secrets/{name}");
    let all = [
        ("ml", "team"),
        ("ml", "team%2Fhf"),
        ("ml", "team%2Fhf%2Fdeep"),
        ("ml", "team2"),
        ("ml", "Team%2Fhf"),
        ("other", "team"),
    ];
    for (project, name) in all {
        root.put(&path(project, name), &opaque("v")).expect(201);
    }
    for (number, (uri, reached)) in [
        ("acme", [true, true, true, true, true, true]),
        ("acme/ml", [true, true, true, true, true, false]),
        ("acme/ml/team", [true, true, true, false, false, false]),
        ("acme/ml/team/hf", [false, true, true, false, false, false]),
        ("acme/ml/team/hf/deep", [false, false, true, false, false, false]),
        ("acme/other", [false, false, false, false, false, true]),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("m{number}");
        let reader = root.make_machine(&name);
        let id = root.give(&format!("machine:{name}"), "read", &format!("{CLUSTER}/{uri}"));
        let found = all.map(|(project, name)| {
            let data = reader.get(&format!("{}/data", path(project, name)));
            assert!(matches!(data.status, 200 | 404), "{}", data.text());
            data.status == 200
        });
        assert_eq!(found, reached, "{uri}");
        let listed = reader.get("/tresor/v1/secrets").expect(200).json();
        let count = reached.iter().filter(|reached| **reached).count();
        assert_eq!(listed["items"].as_array().unwrap().len(), count, "{uri}");
        root.delete(&format!("{GRANTS}/{id}")).expect(204);
        for (project, name) in all {
            reader.get(&path(project, name)).problem(404, "not-found");
        }
    }
}

#[test]
fn a_grant_that_means_nothing_is_refused_with_the_field_and_the_fix() {
    let fresh = fresh();
    let root = &fresh.admin;
    root.make_machine("ci");
    let ask = |subject: &str, role: &str, uri: &str| {
        root.post(GRANTS, &json!({ "subject": subject, "role": role, "uri": uri }))
    };
    for (uri, reason) in [
        ("", "secret://CLUSTER/ORG/PROJECT/NAME"),
        ("ml/s", "secret://CLUSTER/ORG/PROJECT/NAME"),
        ("storage://default/ml", "secret://CLUSTER/ORG/PROJECT/NAME"),
        ("secret:///ml", "empty"),
        ("secret://default/", "empty"),
        ("secret://default//ml", "empty"),
        ("secret://default/ml/", "empty"),
        ("secret://default/ml/..", "`..`"),
        ("secret://default/ml/%2e%2e/s", "`..`"),
        ("secret://default/ml/a%2Fb", "encoded slash"),
        ("secret://default/ml/a%00", "control character"),
        ("secret://default/ml/a?b", "no query"),
        ("secret://default/ml/%zz", "hexadecimal"),
        ("secret://east/ml", "of the cluster `default`"),
    ] {
        refused(&ask("machine:ci", "read", uri), "uri", reason);
        let listed = root.get(&format!("{GRANTS}?uri={}", percent(uri)));
        refused(&listed, "uri", reason);
    }
    refused(&ask("machine:ci", "sudo", "secret://default/ml"), "role", "must be one of");
    refused(&ask("machine:ci", "auditor", "secret://default/ml"), "uri", "the whole store");
    for subject in ["machine:nobody-1", "user:ci", "group:ci"] {
        refused(&ask(subject, "read", "secret://default/ml"), "subject", "exists");
    }
    for subject in ["ci", "robot:ci", "machine:", "machine:a b", ""] {
        refused(&ask(subject, "read", "secret://default/ml"), "subject", "user:NAME");
    }
    for uri in ["secret://default/absent", "secret://default/absent/s"] {
        ask("machine:ci", "read", uri).problem(404, "not-found");
    }
    assert_eq!(root.get(&format!("{GRANTS}?uri={CLUSTER}&below=true")).json()["items"], json!([]));
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn what_an_owner_shares_is_one_secret_and_ends_with_it() {
    let fresh = fresh();
    let root = &fresh.admin;
    let (alice, bob) = (root.make_user("alice"), root.make_user("bob"));
    root.make_member("ml", "user:alice", "contributor");
    let (path, below) = (secret("ml", "s"), secret("ml", "s%2Fbelow"));
    alice.put(&path, &opaque("alice's")).expect(201);
    root.put(&below, &opaque("another's")).expect(201);
    let wanted = json!({ "subject": "user:bob", "role": "read", "uri": "secret://default/ml/s" });
    let given = alice.post(GRANTS, &wanted).expect(201).json();
    assert_eq!(
        (&given["onlyThisSecret"], &given["createdBy"]),
        (&json!(true), &json!("user:alice"))
    );
    assert_eq!(bob.value(&path), "alice's");
    bob.get(&below).problem(404, "not-found");
    bob.post(GRANTS, &wanted).problem(403, "forbidden");
    // What lies below is not hers to share, nor is the project.
    for uri in ["secret://default/ml/s/below", "secret://default/ml/other"] {
        let more = json!({ "subject": "user:bob", "role": "read", "uri": uri });
        alice.post(GRANTS, &more).problem(404, "not-found");
    }
    let more = json!({ "subject": "user:bob", "role": "viewer", "uri": "secret://default/ml" });
    alice.post(GRANTS, &more).problem(403, "forbidden");

    let data = format!("{path}/data");
    root.delete(&path).expect(204);
    bob.get(&data).problem(404, "not-found");
    root.put(&path, &opaque("of the next one")).expect(201);
    bob.get(&data).problem(404, "not-found");
    root.delete(&path).expect(204);
    let deleted = root.get(&format!("{}/deleted-secrets", project("ml"))).expect(200).json();
    for item in deleted["items"].as_array().unwrap() {
        let uid = json!({ "uid": item["metadata"]["uid"] });
        root.post(&format!("{path}/actions/purge"), &uid).expect(204);
    }
    root.put(&path, &opaque("of the last one")).expect(201);
    for gone in [&path, &data, &below] {
        bob.get(gone).problem(404, "not-found");
    }
    alice.get(&data).problem(404, "not-found");
}

#[test]
fn a_grant_comes_back_with_the_secret_that_is_undeleted_and_can_be_taken_back_by_its_owner() {
    let fresh = fresh();
    let root = &fresh.admin;
    let (alice, bob) = (root.make_user("alice"), root.make_user("bob"));
    root.make_member("ml", "user:alice", "contributor");
    let path = secret("ml", "s");
    alice.put(&path, &opaque("v")).expect(201);
    let id = alice.give("user:bob", "read", "secret://default/ml/s");
    alice.delete(&path).expect(204);
    bob.get(&path).problem(404, "not-found");
    alice.post(&format!("{path}/actions/undelete"), &json!({})).expect(200);
    assert_eq!(bob.value(&path), "v");
    let shown = alice.get(&format!("{GRANTS}?uri=secret://default/ml/s")).expect(200).json();
    assert_eq!(shown["items"][0]["id"], id.as_str());
    alice.delete(&format!("{GRANTS}/{id}")).expect(204);
    bob.get(&path).problem(404, "not-found");
    // And whoever holds one may give it up.
    let id = alice.give("user:bob", "manage", "secret://default/ml/s");
    bob.delete(&format!("{GRANTS}/{id}")).expect(204);
    bob.get(&path).problem(404, "not-found");
}

#[test]
fn nobody_gives_what_they_do_not_have() {
    let fresh = fresh();
    let root = &fresh.admin;
    let manager = root.make_user("manager");
    for name in ["alice", "bob"] {
        root.make_user(name);
    }
    root.make_member("ml", "user:manager", "manager");
    root.make_member("ml", "user:bob", "writer");
    let before = root.get(&format!("{}/members", project("ml"))).expect(200).text();
    for role in ["writer", "owner", "read", "write", "manage"] {
        let body = json!({ "role": role });
        refused(&manager.put(&member("ml", "user:alice"), &body), "role", "may not do yourself");
        let grant = json!({ "subject": "user:alice", "role": role, "uri": "secret://default/ml" });
        refused(&manager.post(GRANTS, &grant), "role", "may not do yourself");
    }
    let admin = json!({ "subject": "user:alice", "role": "admin", "uri": CLUSTER });
    manager.post(GRANTS, &admin).problem(403, "forbidden");
    // Nor do they take what they could not give, or trade it for less.
    refused(&manager.delete(&member("ml", "user:bob")), "role", "may not do yourself");
    assert_eq!(root.get(&format!("{}/members", project("ml"))).expect(200).text(), before);
    for role in ["viewer", "contributor", "manager"] {
        manager.put(&member("ml", "user:alice"), &json!({ "role": role })).expect(200);
    }
    let members = manager.get(&format!("{}/members", project("ml"))).expect(200).json();
    let of_alice = members["items"].as_array().unwrap().iter();
    let roles: Vec<_> = of_alice.filter(|item| item["subject"] == "user:alice").collect();
    assert_eq!((roles.len(), &roles[0]["role"]), (1, &json!("manager")), "one role at a time");
    manager.delete(&member("ml", "user:alice")).expect(204);
    manager.delete(&member("ml", "user:alice")).problem(404, "not-found");
}

#[test]
fn a_member_who_could_not_be_changed_is_not_changed_by_half() {
    let fresh = fresh();
    let root = &fresh.admin;
    let (manager, _) = (root.make_user("manager"), root.make_user("bob"));
    root.make_member("ml", "user:manager", "manager");
    root.make_member("ml", "user:bob", "writer");
    let members = format!("{}/members", project("ml"));
    let before = root.get(&members).expect(200).text();
    let traded = manager.put(&member("ml", "user:bob"), &json!({ "role": "viewer" }));
    refused(&traded, "role", "may not do yourself");
    assert_eq!(root.get(&members).expect(200).text(), before);
}

#[test]
fn what_was_granted_on_a_project_goes_with_it() {
    let fresh = fresh();
    let root = &fresh.admin;
    let alice = root.make_user("alice");
    root.make_project("short");
    root.make_member("short", "user:alice", "owner");
    root.give("user:alice", "read", "secret://default/short/team");
    alice.get(&project("short")).expect(200);
    root.delete(&project("short")).expect(204);
    root.make_project("short");
    root.put(&secret("short", "team"), &opaque("another's")).expect(201);
    for path in [project("short"), secrets("short"), secret("short", "team")] {
        alice.get(&path).problem(404, "not-found");
    }
    assert_eq!(alice.get(GRANTS).expect(200).json()["items"].as_array().unwrap().len(), 1);
}

// Who may do what.

/// What a review of a secret `s` of `ml` answers.
#[track_caller]
fn review(
    actor: &Actor,
    subject: Option<&str>,
    action: &str,
    within: Option<&str>,
) -> (bool, Vec<String>) {
    let mut body = json!({ "uri": "secret://default/ml/s", "action": action });
    if let Some(subject) = subject {
        body["subject"] = json!(subject);
    }
    if let Some(project) = within {
        body["project"] = json!(project);
    }
    let answer = actor.post(REVIEWS, &body).expect(200).json();
    let reasons = answer["reasons"].as_array().unwrap().iter();
    let reasons = reasons.map(|reason| reason.as_str().unwrap().to_owned()).collect();
    (answer["allowed"].as_bool().unwrap(), reasons)
}

#[test]
fn reviews_and_the_list_of_access_say_who_may_and_why() {
    let fresh = fresh();
    let root = &fresh.admin;
    let [alice, bob, guest] = ["alice", "bob", "guest"].map(|name| root.make_user(name));
    let team = json!({ "metadata": { "name": "team" }, "spec": { "members": ["user:bob"] } });
    root.post(GROUPS, &team).expect(201);
    root.make_project("there");
    root.make_member("ml", "user:alice", "contributor");
    root.make_member("ml", "group:team", "viewer");
    root.make_member("there", "user:guest", "contributor");
    alice.put(&secret("ml", "s"), &opaque("v")).expect(201);
    alice.give("user:bob", "read", "secret://default/ml/s");
    let bound = json!({ "project": "there", "kind": "members" });
    root.post(&format!("{}/bindings", secret("ml", "s")), &bound).expect(200);

    let owns = (true, vec!["owns it".to_owned()]);
    assert_eq!(review(&alice, None, "read", None), owns);
    assert_eq!(review(&alice, Some("user:alice"), "read", None), owns);
    assert_eq!(review(&alice, None, "audit", None), (false, Vec::new()));
    let (allowed, mut why) = review(&bob, None, "list", None);
    why.sort();
    assert!(allowed);
    assert_eq!(
        why,
        [
            "read on secret://default/default/ml/s",
            "viewer on secret://default/default/ml, through group:team",
        ]
    );
    assert_eq!(review(&bob, None, "update", None), (false, Vec::new()));
    assert_eq!(review(&guest, None, "use", None), (false, Vec::new()));
    let there = Some("there");
    let by_binding = "bound for members, and contributor on secret://default/default/there";
    assert_eq!(review(&guest, None, "use", there), (true, vec![by_binding.to_owned()]));
    assert_eq!(review(root, Some("user:guest"), "use", there), (true, vec![by_binding.to_owned()]));
    assert!(review(root, None, "delete", None).1[0].starts_with("admin on secret://default"));
    // Who shares the secret may ask about others; who does not may not.
    assert!(review(&alice, Some("user:bob"), "read", None).0);
    let about =
        json!({ "uri": "secret://default/ml/s", "action": "read", "subject": "user:alice" });
    bob.post(REVIEWS, &about).problem(403, "forbidden");
    root.patch(&user("bob"), &disabled(true)).expect(200);
    assert_eq!(review(root, Some("user:bob"), "read", None), (false, Vec::new()));

    let access = alice.get(&format!("{}/access", secret("ml", "s"))).expect(200).json();
    let of = |subject: &str| {
        let items = access["items"].as_array().unwrap();
        items.iter().find(|item| item["subject"] == subject).cloned().unwrap_or_default()
    };
    let why = |subject: &str, action: &str| {
        let actions = of(subject)["actions"].as_array().cloned().unwrap_or_default();
        let found = actions.into_iter().find(|item| item["action"] == action);
        found.map_or_else(|| json!([]), |item| item["reasons"].clone())
    };
    assert_eq!(why("user:alice", "read"), json!(["owns it"]));
    assert_eq!(why("user:bob", "read"), json!(["read on secret://default/default/ml/s"]));
    assert_eq!(of("user:bob")["disabled"], true);
    assert_eq!(why("user:guest", "use"), json!([by_binding]));
    assert_eq!(why("user:guest", "read"), json!([]));
    assert_eq!(of("group:team"), Value::Null, "groups are people");
    let admins = access["items"].as_array().unwrap().iter();
    let admins = admins.filter(|item| item["subject"].as_str().unwrap().starts_with("token:"));
    assert_eq!(admins.count(), 1);
}

#[test]
fn a_review_of_oneself_reveals_nothing_that_may_not_be_seen() {
    let fresh = fresh();
    let root = &fresh.admin;
    let (stranger, member) = (root.make_user("stranger"), root.make_user("member"));
    root.make_project("there");
    root.make_member("there", "user:member", "contributor");
    root.put(&secret("ml", "s"), &opaque("v")).expect(201);
    let bound = json!({ "project": "there", "kind": "owner" });
    root.post(&format!("{}/bindings", secret("ml", "s")), &bound).expect(200);
    for actor in [&stranger, &member] {
        for action in ["list", "read", "use", "share"] {
            let ask = |uri: &str| actor.post(REVIEWS, &json!({ "uri": uri, "action": action }));
            let there = ask("secret://default/ml/s");
            for absent in ["secret://default/ml/absent", "secret://default/absent/s"] {
                assert_eq!(whole(&there), whole(&ask(absent)), "{action}");
            }
        }
        let ask = |uri: &str| {
            actor.post(REVIEWS, &json!({ "uri": uri, "action": "use", "project": "there" }))
        };
        let there = ask("secret://default/ml/s");
        assert_eq!(whole(&there), whole(&ask("secret://default/ml/absent")));
        for subject in ["user:member", "user:stranger", "user:nobody-1"] {
            let about = |uri: &str| {
                actor.post(REVIEWS, &json!({ "uri": uri, "action": "read", "subject": subject }))
            };
            let there = about("secret://default/ml/s");
            assert_eq!(whole(&there), whole(&about("secret://default/ml/absent")), "{subject}");
        }
        let grants = |uri: &str| actor.get(&format!("{GRANTS}?uri={uri}"));
        let there = grants("secret://default/ml/s");
        assert_eq!(whole(&there), whole(&grants("secret://default/ml/absent")));
        assert_eq!(whole(&there), whole(&grants("secret://default/absent/s")));
    }
    refused(
        &root.post(REVIEWS, &json!({ "uri": "secret://default/ml/s", "action": "sudo" })),
        "action",
        "must be one of",
    );
}

// The last administrator.

#[test]
fn the_last_administrator_stays_whichever_way_they_would_go() {
    let fresh = fresh();
    let root = &fresh.admin;
    let root_token = own_token(root);
    let carol = root.make_user("carol");
    root.delete(&format!("{TOKENS}/{root_token}")).problem(409, "not-now");
    let direct = root.give("user:carol", "admin", CLUSTER);
    root.delete(&format!("{TOKENS}/{root_token}")).expect(204);
    root.get(WHOAMI).problem(401, "unauthorized");

    carol.delete(&user("carol")).problem(409, "not-now");
    carol.patch(&user("carol"), &disabled(true)).problem(409, "not-now");
    carol.delete(&format!("{GRANTS}/{direct}")).problem(409, "not-now");
    let admins = json!({ "metadata": { "name": "admins" }, "spec": { "members": ["user:carol"] } });
    carol.post(GROUPS, &admins).expect(201);
    let of_group = carol.give("group:admins", "admin", CLUSTER);
    carol.delete(&format!("{GRANTS}/{direct}")).expect(204);
    set_members(&carol, "admins", &[]).problem(409, "not-now");
    carol.delete(&group("admins")).problem(409, "not-now");
    carol.delete(&format!("{GRANTS}/{of_group}")).problem(409, "not-now");
    carol.delete(&user("carol")).problem(409, "not-now");
    carol.get(USERS).expect(200);

    let dave = carol.make_user("dave");
    carol.give("user:dave", "admin", CLUSTER);
    set_members(&carol, "admins", &[]).expect(200);
    carol.get(USERS).problem(403, "forbidden");
    dave.delete(&user("carol")).expect(204);
    dave.delete(&group("admins")).expect(204);
    dave.delete(&user("dave")).problem(409, "not-now");
}

#[test]
fn an_administrator_who_only_has_a_token_is_one() {
    let fresh = fresh();
    let root = &fresh.admin;
    // Two of them: the first has nothing to sign in with, and does not count.
    for name in ["idle", "working"] {
        root.post(MACHINES, &named(name)).expect(201);
        root.give(&format!("machine:{name}"), "admin", CLUSTER);
    }
    let root_token = format!("{TOKENS}/{}", own_token(root));
    root.delete(&root_token).problem(409, "not-now");
    let (narrowed, _) = root
        .mint(&json!({ "machineAccount": "working", "narrowing": { "actions": ["administer"] } }));
    narrowed.delete(&root_token).problem(409, "not-now");
    let (working, id) = root.mint(&json!({ "machineAccount": "working" }));
    root.delete(&root_token).expect(204);
    working.delete(&format!("{TOKENS}/{id}")).problem(409, "not-now");
    working.delete(&format!("{MACHINES}/idle")).expect(204);
    working.delete(&format!("{MACHINES}/working")).problem(409, "not-now");
}

// At the commit.

#[test]
fn rights_are_looked_at_again_when_a_slow_request_has_come_to_its_end() {
    let fresh = fresh();
    let root = &fresh.admin;
    let alice = root.make_user("alice");
    let by_token = alice.mint(&json!({}));
    let cases: [(&str, &Actor, &dyn Fn(), u16); 4] = [
        (
            "its token is revoked",
            &by_token.0,
            &|| {
                root.delete(&format!("{TOKENS}/{}", by_token.1)).expect(204);
            },
            401,
        ),
        (
            "the membership is ended",
            &alice,
            &|| {
                root.delete(&member("ml", "user:alice")).expect(204);
            },
            404,
        ),
        (
            "the role becomes a smaller one",
            &alice,
            &|| {
                root.make_member("ml", "user:alice", "viewer");
            },
            403,
        ),
        (
            "the user is shut out",
            &alice,
            &|| {
                root.patch(&user("alice"), &disabled(true)).expect(200);
            },
            401,
        ),
    ];
    for (what, actor, take, status) in cases {
        root.make_member("ml", "user:alice", "writer");
        actor.get(&secrets("ml")).expect(200);
        let path = secret("ml", "slow");
        let authorization = actor.authorization();
        let headers = [JSON[0], ("Authorization", authorization.as_str())];
        let whole = request("PUT", &path, &headers, opaque("v").to_string().as_bytes());
        let (first, rest) = whole.split_at(whole.len() - 5);
        let mut connection = Connection::open(fresh.daemon.address).unwrap();
        connection.send(first).unwrap();
        // Sent later and answered: the first one has been taken up.
        root.get(WHOAMI).expect(200);
        take();
        connection.send(rest).unwrap();
        let answer = connection.receive().unwrap();
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        root.get(&path).problem(404, "not-found");
    }
    let deleted = root.get(&format!("{}/deleted-secrets", project("ml"))).expect(200).json();
    assert_eq!(deleted["items"], json!([]));
}

// What nobody uses.

#[test]
fn unused_old_and_due_secrets_are_found_after_a_restart_too() {
    let fresh = fresh();
    let root = &fresh.admin;
    for name in ["read", "left", "renewed"] {
        root.put(&secret("ml", name), &opaque("v")).expect(201);
    }
    // The clock of the daemon, between what came before and what comes after.
    std::thread::sleep(Duration::from_millis(5));
    let mark = root.put(&secret("ml", "mark"), &opaque("v")).expect(201).json();
    let mark = mark["metadata"]["creationTimestamp"].as_str().unwrap().to_owned();
    std::thread::sleep(Duration::from_millis(5));
    root.get(&secret("ml", "read")).expect(200);
    let status = |actor: &Actor, name: &str| {
        actor.get(&secret("ml", name)).expect(200).json()["status"].clone()
    };
    assert!(status(root, "read").get("lastReadTimestamp").is_none(), "its value was not read");
    root.value(&secret("ml", "read"));
    root.put(&secret("ml", "renewed"), &opaque("w")).expect(200);
    let last_read = status(root, "read")["lastReadTimestamp"].as_str().unwrap().to_owned();
    assert!(last_read > mark, "{last_read} {mark}");
    let (token, token_id) = root.mint(&json!({ "rights": [right("viewer", &["ml"])] }));
    token.get(&secrets("ml")).expect(200);

    let listed = |actor: &Actor, query: &str| {
        let list = actor.get(&format!("{}?{query}", secrets("ml"))).expect(200).json();
        names(&list).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let check = |actor: &Actor| {
        assert_eq!(listed(actor, &format!("unusedSince={mark}")), ["left", "renewed"]);
        assert_eq!(listed(actor, &format!("olderThan={mark}")), ["left", "read"]);
        assert_eq!(listed(actor, "unusedSince=90d"), [""; 0]);
        assert_eq!(listed(actor, "olderThan=2000-01-01T00:00:00Z"), [""; 0]);
        assert_eq!(listed(actor, "unusedSince=2100-01-01T00:00:00Z").len(), 4);
        assert_eq!(status(actor, "read")["lastReadTimestamp"], last_read.as_str());
        assert!(status(actor, "left").get("lastReadTimestamp").is_none());
    };
    check(root);
    let used = |actor: &Actor| {
        let list = actor.get(TOKENS).expect(200).json();
        let items = list["items"].as_array().unwrap().clone();
        let it = items.into_iter().find(|item| item["id"] == token_id.as_str()).unwrap();
        it["lastUsedTimestamp"].as_str().unwrap().to_owned()
    };
    let last_used = used(root);
    let Fresh { home, daemon, admin } = fresh;
    daemon.stop();
    let daemon = Daemon::start(&mut home.serve());
    let root = daemon.actor(admin.token());
    check(&root);
    assert_eq!(used(&root), last_used);
}

#[test]
fn a_secret_is_due_when_its_label_says_so() {
    let fresh = fresh();
    let root = &fresh.admin;
    let labelled = |age: &str| {
        let labels = json!({ "tresor.io/rotate-after": age });
        json!({ "metadata": { "labels": labels }, "stringData": { "value": "v" } })
    };
    for (name, age) in [("soon", "1s"), ("later", "90d")] {
        root.put(&secret("ml", name), &labelled(age)).expect(201);
    }
    root.put(&secret("ml", "never"), &opaque("v")).expect(201);
    let listed = |query: &str| {
        let list = root.get(&format!("{}?{query}", secrets("ml"))).expect(200).json();
        names(&list).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    wait_until("it is due", || listed("rotationDue=true") == ["soon"]);
    assert_eq!(listed("rotationDue=false"), ["later", "never"]);
    let later = root.get(&secret("ml", "later")).expect(200).json();
    let made = later["metadata"]["creationTimestamp"].as_str().unwrap();
    let due = later["status"]["rotateTimestamp"].as_str().unwrap();
    assert!(due > made, "{due}");
    assert!(root.get(&secret("ml", "never")).json()["status"].get("rotateTimestamp").is_none());
    // Another value, and it is due anew.
    root.put(&secret("ml", "soon"), &labelled("1w")).expect(200);
    assert_eq!(listed("rotationDue=true"), [""; 0]);
    for age in ["soon", "0d", "-1d", "1y", "90", "1.5d", "99999999999d", ""] {
        let wrong = root.put(&secret("ml", "wrong"), &labelled(age));
        refused(&wrong, "metadata.labels", "");
    }
    for query in ["rotationDue=yes", "unusedSince=yesterday", "unusedSince=0d", "olderThan=1y"] {
        let field = query.split('=').next().unwrap();
        refused(&root.get(&format!("{}?{query}", secrets("ml"))), field, "must be");
    }
}
