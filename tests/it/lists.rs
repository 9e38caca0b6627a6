//! Lists: pages, filters and orders, in one project and in several.

use serde_json::{Value, json};

use crate::client::{Actor, MERGE_PATCH, opaque, project, secret, secrets};
use crate::harness::{Fresh, fresh};

const EVERYWHERE: &str = "/tresor/v1/secrets";

#[track_caller]
fn list(actor: &Actor, path: &str) -> Value {
    actor.get(path).expect(200).json()
}

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().unwrap();
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn refused_at(actor: &Actor, path: &str, field: &str) {
    let problem = actor.get(path).problem(422, "invalid-field");
    assert_eq!(problem["field"], field, "{path}: {problem}");
}

/// `a` to `e` in this order of creation: d, b, a, e, c; every other one is a variable.
fn filled() -> Fresh {
    let fresh = fresh();
    for (index, name) in ["d", "b", "a", "e", "c"].into_iter().enumerate() {
        let kind = ["opaque", "variable"][index % 2];
        let labels = json!({ "app": kind, "n": index.to_string() });
        let body = json!({
            "metadata": { "labels": labels },
            "spec": { "type": kind },
            "stringData": { "value": "v" },
        });
        fresh.admin.put(&secret("ml", name), &body).expect(201);
        // Two secrets of the same millisecond are ordered by name.
        std::thread::sleep(std::time::Duration::from_millis(3));
    }
    fresh
}

/// All pages, of so many secrets each, and how many there were.
#[track_caller]
fn pages(actor: &Actor, path: &str, limit: usize) -> (Vec<String>, usize) {
    let (mut found, mut next, mut count) = (Vec::new(), String::new(), 0);
    let mut first_version = None;
    loop {
        let page = list(actor, &format!("{path}&limit={limit}{next}"));
        let version = page["metadata"]["resourceVersion"].clone();
        assert_eq!(*first_version.get_or_insert(version.clone()), version);
        found.extend(names(&page));
        count += 1;
        let Some(token) = page["metadata"]["continue"].as_str() else { return (found, count) };
        next = format!("&continue={token}");
    }
}

#[test]
fn every_order_and_direction_is_paged_without_loss() {
    let Fresh { daemon: _daemon, home: _home, admin } = filled();
    admin.put(&secret("ml", "b"), &json!({ "stringData": { "value": "w" } })).expect(200);
    for (sort, expected) in
        [("name", "abcde"), ("created", "dbaec"), ("updated", "daecb"), ("type", "acdbe")]
    {
        for (order, expected) in
            [("asc", expected.to_owned()), ("desc", expected.chars().rev().collect())]
        {
            let path = format!("{}?sort={sort}&order={order}", secrets("ml"));
            assert_eq!(names(&list(&admin, &path)).concat(), expected, "{path}");
            for (limit, count) in [(1, 5), (2, 3), (5, 1)] {
                let (found, number) = pages(&admin, &path, limit);
                assert_eq!((found.concat(), number), (expected.clone(), count), "{path}");
            }
        }
    }
    admin.make_project("empty");
    for sort in ["name", "created", "updated", "type"] {
        let empty = list(&admin, &format!("{}?sort={sort}&order=desc", secrets("empty")));
        assert_eq!(empty["items"], json!([]));
        assert!(empty["metadata"].get("continue").is_none());
    }
}

#[test]
fn filters_leave_out_what_they_do_not_name() {
    let Fresh { daemon: _daemon, home: _home, admin } = filled();
    admin.put(&secret("ml", "team%2Fhf-token"), &opaque("v")).expect(201);
    for (filter, expected) in [
        ("labelSelector=app%3Dopaque", "a,c,d"),
        ("labelSelector=app%20in%20(variable),n!%3D1", "e"),
        ("labelSelector=!app", "team/hf-token"),
        ("labelSelector=app", "a,b,c,d,e"),
        ("type=variable", "b,e"),
        ("type=registry", ""),
        ("namePrefix=team%2F", "team/hf-token"),
        ("namePrefix=b", "b"),
        ("nameContains=token", "team/hf-token"),
        ("type=opaque&labelSelector=n%20notin%20(0)&nameContains=c", "c"),
    ] {
        let path = format!("{}?{filter}", secrets("ml"));
        assert_eq!(names(&list(&admin, &path)).join(","), expected, "{filter}");
        assert_eq!(pages(&admin, &path, 1).0.join(","), expected, "{filter}, page by page");
    }
}

#[test]
fn a_page_goes_on_in_its_own_list_only() {
    let Fresh { daemon: _daemon, home: _home, admin } = filled();
    admin.make_project("other");
    let base = secrets("ml");
    let page = list(&admin, &format!("{base}?limit=2"));
    let token = page["metadata"]["continue"].as_str().unwrap();
    for other in [
        format!("{base}?continue={token}&sort=created"),
        format!("{base}?continue={token}&order=desc"),
        format!("{base}?continue={token}&type=opaque"),
        format!("{base}?continue={token}&labelSelector=app"),
        format!("{base}?continue={token}&namePrefix=c"),
        format!("{base}?continue={token}&nameContains=c"),
        format!("{base}?continue={token}AA"),
        format!("{base}?continue=A{token}"),
        format!("{}?continue={token}", secrets("other")),
        format!("{EVERYWHERE}?continue={token}&project=other"),
        format!("{}/deleted-secrets?continue={token}", project("ml")),
    ] {
        refused_at(&admin, &other, "continue");
    }
    // A page may be of another size than that before it, and what changes between is no matter.
    admin.delete(&secret("ml", "b")).expect(204);
    admin.put(&secret("ml", "bb"), &opaque("v")).expect(201);
    let rest = list(&admin, &format!("{base}?limit=100&continue={token}"));
    assert_eq!(names(&rest).concat(), "bbcde");
    assert_eq!(rest["metadata"]["resourceVersion"], page["metadata"]["resourceVersion"]);
    // Who watches from there learns what changed between the pages.
    let at = page["metadata"]["resourceVersion"].as_str().unwrap();
    let mut watch = admin.watch(&format!("{base}?watch=true&resourceVersion={at}"));
    let lines = [watch.next_change().unwrap(), watch.next_change().unwrap()];
    assert_eq!(lines.map(|l| l["type"].clone()), [json!("DELETED"), json!("ADDED")]);
}

#[test]
fn a_parameter_that_is_not_understood_is_refused_by_name() {
    let Fresh { daemon: _daemon, home: _home, admin } = filled();
    for base in [secrets("ml"), EVERYWHERE.to_owned()] {
        for (query, field) in [
            ("labelSelector=a%20b", "labelSelector"),
            ("labelSelector=app%20in%20(", "labelSelector"),
            ("labelSelector=,", "labelSelector"),
            ("type=password", "type"),
            ("sort=size", "sort"),
            ("sort=", "sort"),
            ("order=up", "order"),
            ("limit=0", "limit"),
            ("limit=-1", "limit"),
            ("limit=99999999999999999999", "limit"),
            ("continue=x", "continue"),
            ("watch=maybe", "watch"),
            ("resourceVersion=1", "resourceVersion"),
            ("timeoutSeconds=1", "timeoutSeconds"),
            ("watch=false&timeoutSeconds=1", "timeoutSeconds"),
            ("watch=true&limit=1", "limit"),
            ("watch=true&continue=x", "continue"),
            ("watch=true&sort=name", "sort"),
            ("watch=true&order=asc", "order"),
            ("watch=true&timeoutSeconds=0", "timeoutSeconds"),
            ("watch=true&resourceVersion=01", "resourceVersion"),
        ] {
            refused_at(&admin, &format!("{base}?{query}"), field);
        }
        list(&admin, &format!("{base}?limit=1000000"));
    }
    refused_at(&admin, &format!("{EVERYWHERE}?project=a%2F%2Fb"), "project");
    refused_at(&admin, &format!("{}?project=ml", secrets("ml")), "query");
    let deleted = format!("{}/deleted-secrets", project("ml"));
    refused_at(&admin, &format!("{deleted}?watch=true"), "query");
}

#[test]
fn a_list_of_several_projects_holds_what_the_caller_may_list() {
    let Fresh { daemon: _daemon, home: _home, admin } = fresh();
    for name in ["p1", "p2"] {
        admin.make_project(name);
        admin.put(&secret(name, "x"), &opaque("v")).expect(201);
        admin.put(&secret(name, name), &opaque("v")).expect(201);
    }
    let both = format!("{EVERYWHERE}?project=p2&project=default/p1&project=p1");
    assert_eq!(pages(&admin, &both, 1).0, ["p1", "x", "p2", "x"]);
    assert_eq!(names(&list(&admin, EVERYWHERE)), ["p1", "x", "p2", "x"]);
    let viewer = admin.make_actor("viewer", &["p2"]);
    assert_eq!(names(&list(&viewer, EVERYWHERE)), ["p2", "x"]);
    let hidden = viewer.get(&format!("{EVERYWHERE}?project=p2&project=p1"));
    let missing = viewer.get(&format!("{EVERYWHERE}?project=p2&project=p9"));
    hidden.problem(404, "not-found");
    assert_eq!(hidden.body, missing.body);
    let body = json!({ "metadata": { "labels": { "a": "b" } } }).to_string();
    admin.send("PATCH", &secret("p1", "x"), MERGE_PATCH, body.as_bytes()).expect(200);
    let selected = format!("{EVERYWHERE}?labelSelector=a%3Db&sort=updated");
    assert_eq!(names(&list(&admin, &selected)), ["x"]);
}

#[test]
fn deleted_secrets_are_listed_apart() {
    let Fresh { daemon: _daemon, home: _home, admin } = filled();
    for name in ["a", "c", "e"] {
        admin.delete(&secret("ml", name)).expect(204);
    }
    let deleted = format!("{}/deleted-secrets", project("ml"));
    assert_eq!(names(&list(&admin, &deleted)), ["a", "c", "e"]);
    assert_eq!(names(&list(&admin, &secrets("ml"))), ["b", "d"]);
    assert_eq!(names(&list(&admin, &format!("{deleted}?type=variable"))), ["e"]);
    assert_eq!(names(&list(&admin, &format!("{deleted}?namePrefix=c"))), ["c"]);
    let paged = pages(&admin, &format!("{deleted}?sort=created&order=desc"), 1);
    assert_eq!(paged, (vec!["c".to_owned(), "e".to_owned(), "a".to_owned()], 3));
}
