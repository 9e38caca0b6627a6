//! Chariot beyond single cases: several clients at once, the audit log, how long a login takes, and
//! the way of an item to `kubectl`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::client::{Actor, Answer, decoded, secret};
use crate::cluster_e2e::Attached;
use crate::harness::{Fresh, fresh, fresh_with, wait_until};
use crate::leaks::{Marked, marker};

const SETTINGS: &str = "/api/identity/v2/settings/project/ml";
const LOGIN: &str = "/auth/client/v2/chariot/login";

fn custom(name: &str, value: &str) -> Value {
    json!({ "name": name, "_type": "secret/Custom", "value": value })
}

/// Makes an item; its path.
#[track_caller]
fn make(actor: &Actor, item: &Value) -> String {
    let made = actor.post(SETTINGS, item).expect(201).json();
    format!("{SETTINGS}/{}", made["_key"].as_str().unwrap())
}

/// Does what two clients ask at the same moment.
fn both(world: &Fresh, ask: impl Fn(&Actor, &str) -> Answer + Sync) -> [Answer; 2] {
    thread::scope(|scope| {
        let ask = &ask;
        let asked = ["one", "other"].map(|which| {
            let client = world.daemon.actor(world.admin.token());
            scope.spawn(move || ask(&client, which))
        });
        asked.map(|thread| thread.join().unwrap())
    })
}

#[test]
fn two_who_make_one_name_make_one_item() {
    let world = fresh();
    for round in 0..10 {
        let name = format!("s{round}");
        let answers = both(&world, |client, value| client.post(SETTINGS, &custom(&name, value)));
        let mut statuses = answers.each_ref().map(|answer| answer.status);
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409]);
        let path = format!("{}/versions", secret("ml", &name));
        let versions = world.admin.get(&path).expect(200).json();
        assert_eq!(versions["items"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn two_who_change_an_item_at_once_both_leave_a_version() {
    let world = fresh();
    let item = make(&world.admin, &custom("s", "0"));
    for round in 0..4 {
        let answers = both(&world, |client, value| {
            client.put(&item, &json!({ "value": format!("{value}{round}") }))
        });
        assert_eq!(answers.map(|answer| answer.status), [200, 200]);
    }
    let value = |version: u64| {
        let path = format!("{}/data?version={version}", secret("ml", "s"));
        decoded(&world.admin.get(&path).expect(200).json()["data"]["value"])
    };
    let kept: BTreeSet<_> = (1..=9).map(value).collect();
    let written = (0..4).flat_map(|round| [format!("one{round}"), format!("other{round}")]);
    assert_eq!(kept, written.chain(["0".to_owned()]).collect());
}

/// What one changes and the other removes at once is changed and then gone, or gone.
#[test]
fn an_item_that_is_removed_meanwhile_is_not_changed() {
    let world = fresh();
    for round in 0..6 {
        let item = make(&world.admin, &custom(&format!("s{round}"), "0"));
        let answers = both(&world, |client, which| match which {
            "one" => client.put(&item, &json!({ "value": "1" })),
            _ => client.delete(&item),
        });
        let [changed, removed] = answers.map(|answer| answer.status);
        assert!(matches!(changed, 200 | 404) && removed == 204, "{changed} {removed}");
        world.admin.get(&item).expect(404);
    }
}

#[test]
fn each_reveal_is_in_the_audit_log() {
    let world = fresh();
    let item = make(&world.admin, &custom("hf", "v"));
    let viewer = world.admin.make_user("viewer");
    world.admin.make_member("ml", "user:viewer", "viewer");
    let stranger = world.admin.make_user("stranger");
    world.admin.get(&item).expect(200);
    world.admin.get(&format!("{item}?decrypt=true")).expect(200);
    viewer.get(&format!("{item}?decrypt=true")).expect(403);
    stranger.get(&format!("{item}?decrypt=true")).expect(404);
    let file = world.home.data.join("audit/audit.jsonl");
    let told = || -> Vec<(String, String, u64, String)> {
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let ours = lines.filter(|line| line["action"] == "chariot.readSetting");
        let text = |line: &Value, member: &str| line[member].as_str().unwrap_or("").to_owned();
        let record = |line: Value| {
            let version = line["version"].as_u64().unwrap_or(0);
            (text(&line, "actor"), text(&line, "resource"), version, text(&line, "outcome"))
        };
        ours.map(record).collect()
    };
    wait_until("all four are written", || told().len() == 4);
    let told = told();
    let uri = "secret://default/default/ml/hf";
    let administrator = told[0].0.clone();
    let record = |actor: &str, uri: &str, version, outcome: &str| {
        (actor.to_owned(), uri.to_owned(), version, outcome.to_owned())
    };
    assert_eq!(
        told,
        [
            record(&administrator, uri, 1, "ok"),
            record(&administrator, uri, 1, "ok"),
            record("user:viewer", uri, 0, "denied"),
            record("user:stranger", "secret://default/default/ml", 0, "denied"),
        ]
    );
}

/// Names are not found out by how long an answer takes: a wrong name hashes a password as well. It is
/// compared with a token's lookup, which hashes none.
#[test]
fn a_name_that_nobody_has_takes_as_long_as_a_wrong_password() {
    let world = fresh();
    world.admin.make_user("alice");
    let nobody = world.daemon.anonymous();
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let time = |id: &str, secret: &str| -> Duration {
        let body = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
        let started = Instant::now();
        nobody.send("POST", LOGIN, &form, body.as_bytes()).expect(401);
        started.elapsed()
    };
    // The least of a few is what the work takes, whatever else the machine does. Few, since who
    // guesses often has to wait.
    let least = |id: &str, secret: &str| (0..3).map(|_| time(id, secret)).min().unwrap();
    let (known, unknown) = (least("alice", "wrong"), least("nobody-1", "wrong"));
    let token = least("alice", "tresor_wrong");
    assert!(unknown * 2 > known && known * 2 > unknown, "{known:?} {unknown:?}");
    assert!(token * 2 < known, "nothing was hashed: {known:?} {token:?}");
}

#[test]
fn no_value_of_an_item_is_repeated() {
    let world = fresh_with(|serve| {
        serve.env("TRESOR_LOG", "trace");
    });
    let Fresh { admin, daemon, .. } = &world;
    let value = marker("item");
    let item = make(admin, &custom("hf", &value));
    let mut answers = vec![admin.get(SETTINGS), admin.get(&item)];
    assert!(admin.get(&format!("{item}?decrypt=true")).text().contains(&value));
    admin.put(&item, &json!({ "value": value })).expect(200);
    for body in [
        json!(value),
        json!({ value.as_str(): value }),
        json!({ "name": value, "_type": value, "value": value }),
        json!({ "name": format!("{value}/.."), "_type": "secret/Custom", "value": value }),
        json!({ "name": "x", "_type": "secret/Custom", "value": [value] }),
        json!({ "name": "x", "_type": "secret/S3", "value": value }),
        json!({ "name": "x", "_type": "secret/S3", "value": { value.as_str(): value } }),
        json!({ "name": "x", "_type": "secret/S3", "value": { "endpoint": value } }),
        json!({ "name": "x", "_type": "secret/ContainerRegistry", "value": { value.as_str(): "" } }),
        json!({ "name": "x", "_type": "secret/ContainerRegistry",
                "value": { "server": " ", "username": value, "password": value } }),
    ] {
        answers.push(admin.post(SETTINGS, &body));
        answers.push(admin.put(&item, &body));
    }
    answers.push(admin.put(&item, &json!({ "value": value, "name": value })));
    answers.push(admin.get(&format!("{SETTINGS}/?sort={value}&{value}=1")));
    answers.push(admin.get(&format!("{item}?decrypt={value}")));
    answers.push(admin.get(&format!("{SETTINGS}/{value}")));
    answers.push(admin.get(&format!("/api/identity/{value}")));
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    for body in [
        format!("grant_type={value}&client_id=a&client_secret=b"),
        format!("grant_type=client_credentials&client_id={value}&client_secret={value}"),
        format!("grant_type=client_credentials&client_id=a&client_secret=tresor_{value}"),
        format!("{value}={value}&{value}"),
    ] {
        answers.push(daemon.anonymous().send("POST", LOGIN, &form, body.as_bytes()));
    }
    let ended = world.daemon.stop();
    let marked = Marked::new("the value", &value);
    for answer in &answers[2..] {
        assert!((400..500).contains(&answer.status), "{answer:?}");
    }
    for answer in &answers {
        marked.is_not_in("an answer", &answer.body);
    }
    marked.is_not_in("the logs", format!("{}{}", ended.stdout, ended.stderr).as_bytes());
    for (path, bytes) in world.home.files() {
        marked.is_not_in(&path.display().to_string(), &bytes);
    }
}

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const EPOCH: u64 = 1_400_000_000;

/// The seconds and the identity in a KSUID, read by hand.
fn opened(id: &str) -> (u64, String) {
    let mut bytes = [0_u32; 20];
    for digit in id.bytes() {
        let mut carry = DIGITS.iter().position(|known| *known == digit).unwrap() as u32;
        for byte in bytes.iter_mut().rev() {
            carry += *byte * 62;
            (*byte, carry) = (carry & 0xff, carry >> 8);
        }
        assert_eq!(carry, 0, "{id} is too large");
    }
    let seconds = bytes[..4].iter().fold(0, |seconds, byte| seconds << 8 | u64::from(*byte));
    (seconds, bytes[4..].iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The KSUID of seconds and an identity.
fn written(seconds: u64, uid: &str) -> String {
    let hex = format!("{seconds:08x}{uid}");
    let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    let mut bytes: Vec<u32> = pairs.map(|pair| u32::from_str_radix(pair, 16).unwrap()).collect();
    let mut digits = Vec::new();
    for _ in 0..27 {
        let mut rest = 0;
        for byte in &mut bytes {
            let with = rest << 8 | *byte;
            (*byte, rest) = (with / 62, with % 62);
        }
        digits.push(DIGITS[rest as usize]);
    }
    String::from_utf8(digits.into_iter().rev().collect()).unwrap()
}

#[test]
fn an_id_says_when_the_item_was_made_and_another_second_is_another_item() {
    let world = fresh();
    let item = make(&world.admin, &custom("hf", "v"));
    let shown = world.admin.get(&item).expect(200).json();
    let id = shown["_id"].as_str().unwrap();
    let (seconds, uid) = opened(id);
    assert_eq!(written(seconds, &uid), id);
    let native = world.admin.get(&secret("ml", "hf")).expect(200).json();
    assert_eq!(native["metadata"]["uid"], uid.as_str());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!((now - 60..=now).contains(&(seconds + EPOCH)), "{seconds}");
    let made = shown["_updated_at"].as_u64().unwrap();
    assert_eq!(made, seconds + EPOCH);
    for other in [seconds - 1, seconds + 1, 0] {
        let key = item.replace(id, &written(other, &uid));
        world.admin.get(&key).expect(404);
        world.admin.put(&key, &json!({ "value": "w" })).expect(404);
        world.admin.delete(&key).expect(404);
    }
    thread::sleep(Duration::from_millis(1100));
    let changed = world.admin.put(&item, &json!({ "value": "w" })).expect(200).json();
    assert_eq!(changed["_id"], id);
    assert!(changed["_updated_at"].as_u64().unwrap() > made, "{changed}");
}

/// What an item becomes in Kubernetes: its name, type and data.
type Projected = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

#[test]
fn items_lead_from_the_request_to_kubectl() {
    let Some(world) = Attached::start("chariot") else { return };
    let admin = world.admin();
    let s3 = json!({ "accessKeyId": "AKIA", "secretAccessKey": "sk", "region": "eu-central-1" });
    let login = json!({ "server": "nvcr.io", "username": "$oauthtoken", "password": "pw" });
    let custom = make(admin, &custom("hf", "hf_token"));
    make(admin, &json!({ "name": "s3", "_type": "secret/S3", "value": s3 }));
    let pull = json!({ "name": "pull", "_type": "secret/ContainerRegistry", "value": login });
    make(admin, &pull);
    const CONFIG: &str = r#"{"auths":{"nvcr.io":{"username":"$oauthtoken","password":"pw","auth":"JG9hdXRodG9rZW46cHc="}}}"#;
    let expected: [Projected; 3] = [
        ("hf", "Opaque", &[("hf", "hf_token")]),
        (
            "s3",
            "Opaque",
            &[
                ("AWS_ACCESS_KEY_ID", "AKIA"),
                ("AWS_SECRET_ACCESS_KEY", "sk"),
                ("AWS_REGION", "eu-central-1"),
                ("AWS_DEFAULT_REGION", "eu-central-1"),
            ],
        ),
        ("pull", "kubernetes.io/dockerconfigjson", &[(".dockerconfigjson", CONFIG)]),
    ];
    for (name, kind, data) in expected {
        let data = data.iter().map(|(key, text)| ((*key).to_owned(), text.as_bytes().to_vec()));
        let data: BTreeMap<String, Vec<u8>> = data.collect();
        wait_until(&format!("{name} is in the cluster"), || {
            world.data(name).as_ref() == Some(&data)
        });
        assert_eq!(world.kubernetes(name).unwrap()["type"], kind);
    }
    admin.put(&custom, &json!({ "value": "another" })).expect(200);
    let another = BTreeMap::from([("hf".to_owned(), b"another".to_vec())]);
    wait_until("the change is there", || world.data("hf").as_ref() == Some(&another));
    admin.delete(&custom).expect(204);
    wait_until("it is gone", || world.kubernetes("hf").is_none());
    assert!(world.kubernetes("s3").is_some());
}
