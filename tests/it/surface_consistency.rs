//! A secret is the same one everywhere: whatever is done over one interface, all the others show what
//! came of it.

use std::cell::Cell;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::client::{Actor, secret, secrets};
use crate::harness::{Fresh, fresh_with, long};

const HUB: &str = "/api/v1/-/ml/secrets";
const APOLO: &str = "/apolo/api/v1/secrets";
const CHARIOT: &str = "/api/identity/v2/settings/project/ml";
const BLUEPRINTS: &str = "/secrets/";
const SAFE: &str = "/api/v1/secrets";
const IN_ML: &str = "org_name=default&project_name=ml";

/// The interfaces through which things are done.
#[derive(Clone, Copy, Debug)]
enum Through {
    Apolo,
    Blueprints,
    Chariot,
    Hub,
    Native,
    Safe,
}

/// One thing that a client does; whether it can be done is for the daemon to say.
#[derive(Clone, Debug)]
enum Act {
    /// Makes a secret without a value, as Digital Hub does.
    Announce(u8),
    /// Makes a secret or gives it a new value.
    Write(Through, u8, String),
    /// Makes one that is no single value.
    WriteKeys(Through, u8, String),
    Delete(Through, u8),
    /// Makes its newest version unreadable.
    Hide(u8),
}

fn through() -> impl Strategy<Value = Through> {
    use Through::{Apolo, Blueprints, Chariot, Hub, Native, Safe};
    prop::sample::select(vec![Apolo, Blueprints, Chariot, Hub, Native, Safe])
}

fn act() -> impl Strategy<Value = Act> {
    let (name, value) = (0..4_u8, "[a-z\u{e4}]{1,6}");
    prop_oneof![
        1 => name.clone().prop_map(Act::Announce),
        6 => (through(), name.clone(), value).prop_map(|(t, n, v)| Act::Write(t, n, v)),
        2 => (through(), name.clone(), value).prop_map(|(t, n, v)| Act::WriteKeys(t, n, v)),
        3 => (through(), name.clone()).prop_map(|(t, n)| Act::Delete(t, n)),
        1 => name.prop_map(Act::Hide),
    ]
}

/// What the native API says of a secret.
#[derive(Debug, PartialEq)]
struct Told {
    kind: String,
    /// Its value, or its keys, when it has a readable version.
    content: Option<Value>,
}

struct World {
    fresh: Fresh,
    admin: Actor,
}

fn b64(text: &str) -> String {
    STANDARD.encode(text)
}

impl World {
    /// Does it; that it may be refused is part of the game, that it fails is not.
    fn perform(&self, name: &dyn Fn(u8) -> String, act: &Act) {
        let admin = &self.admin;
        let answer = match act {
            Act::Announce(n) => {
                let name = name(*n);
                admin.post(HUB, &entity(&name))
            }
            Act::Write(Through::Hub, n, value) => {
                let name = name(*n);
                // Made first, if it is not there.
                let _ = admin.post(HUB, &entity(&name));
                admin.put(&format!("{HUB}/data"), &json!({ name: value }))
            }
            Act::Write(Through::Apolo, n, value) => {
                let key = name(*n);
                let body = json!({
                    "key": key, "value": b64(value), "org_name": "default", "project_name": "ml",
                });
                admin.post(APOLO, &body)
            }
            Act::Write(Through::Chariot, n, value) => {
                let name = name(*n);
                match self.setting(&name) {
                    Some(key) => admin.put(&key, &json!({ "value": value })),
                    None => admin.post(
                        CHARIOT,
                        &json!({ "name": name, "_type": "secret/Custom", "value": value }),
                    ),
                }
            }
            Act::Write(_, n, value) => {
                let body =
                    json!({ "spec": { "type": "variable" }, "stringData": { "value": value } });
                admin.put(&secret("ml", &name(*n)), &body)
            }
            Act::WriteKeys(Through::Blueprints, n, value) => {
                let item = |action: &str| {
                    json!({ "name": name(*n), "action": action, "type": "opaque",
                            "data": { "k": value, "l": value } })
                };
                let both = json!({ "secrets_payload": [item("create"), item("update")] });
                admin.post(BLUEPRINTS, &both)
            }
            Act::WriteKeys(Through::Chariot, n, value) => {
                let fields = json!({ "accessKeyId": value.replace('\u{e4}', "a"),
                                     "secretAccessKey": value });
                let name = name(*n);
                match self.setting(&name) {
                    Some(key) => admin.put(&key, &json!({ "value": fields })),
                    None => admin.post(
                        CHARIOT,
                        &json!({ "name": name, "_type": "secret/S3", "value": fields }),
                    ),
                }
            }
            Act::WriteKeys(Through::Safe, n, value) => {
                let (name, params) = (name(*n), json!([{ "k": value }, { "l": value }]));
                let new = json!({ "name": name, "type": "general", "params": params });
                match admin.post(SAFE, &new) {
                    made if made.status == 409 => {
                        admin.patch(&format!("{SAFE}/{name}"), &json!({ "params": params }))
                    }
                    made => made,
                }
            }
            Act::WriteKeys(_, n, value) => {
                let body = json!({ "stringData": { "k": value } });
                admin.put(&secret("ml", &name(*n)), &body)
            }
            Act::Delete(Through::Hub, n) => admin.delete(&format!("{HUB}?name={}", name(*n))),
            Act::Delete(Through::Apolo, n) => {
                admin.delete(&format!("{APOLO}/{}?{IN_ML}", name(*n)))
            }
            Act::Delete(Through::Blueprints, n) => {
                let item = json!({ "name": name(*n), "action": "delete" });
                admin.post(BLUEPRINTS, &json!({ "secrets_payload": [item] }))
            }
            Act::Delete(Through::Chariot, n) => match self.setting(&name(*n)) {
                Some(key) => admin.delete(&key),
                None => return,
            },
            Act::Delete(Through::Safe, n) => admin.delete(&format!("{SAFE}/{}", name(*n))),
            Act::Delete(Through::Native, n) => admin.delete(&secret("ml", &name(*n))),
            Act::Hide(n) => {
                let path = secret("ml", &name(*n));
                let versions = admin.get(&format!("{path}/versions"));
                let Some(last) = (versions.status == 200)
                    .then(|| versions.json()["items"].as_array().unwrap().last().cloned())
                    .flatten()
                else {
                    return;
                };
                let body = json!({ "versions": [last["version"]] });
                admin.post(&format!("{path}/actions/delete"), &body)
            }
        };
        assert!(answer.status < 500, "{act:?}: {} {}", answer.status, answer.text());
    }

    /// What the native API shows of the secrets of a case.
    fn native(&self, prefix: &str) -> BTreeMap<String, Told> {
        let list = format!("{}?namePrefix={prefix}&limit=100", secrets("ml"));
        let list = self.admin.get(&list).expect(200).json();
        let told = |item: &Value| {
            let name = item["metadata"]["name"].as_str().unwrap().to_owned();
            let data = self.admin.get(&format!("{}/data", secret("ml", &name)));
            let content = (data.status == 200).then(|| data.json()["data"].clone());
            let kind = item["spec"]["type"].as_str().unwrap().to_owned();
            (name, Told { kind, content })
        };
        list["items"].as_array().unwrap().iter().map(told).collect()
    }

    /// The path of the item of a name, if Chariot shows one.
    fn setting(&self, name: &str) -> Option<String> {
        let list = self.admin.get(CHARIOT).expect(200).json();
        let found = list["data"].as_array().unwrap().iter().find(|item| item["name"] == name);
        found.map(|item| format!("{CHARIOT}/{}", item["_key"].as_str().unwrap()))
    }

    fn check(&self, prefix: &str) {
        let native = self.native(prefix);
        let variables = native.iter().filter(|(_, told)| told.kind == "variable");
        let variables: BTreeMap<&String, Option<&Value>> = variables
            .map(|(name, told)| (name, told.content.as_ref().map(|c| &c["value"])))
            .collect();
        self.check_hub(prefix, &variables);
        self.check_apolo(prefix, &variables);
        self.check_blueprints(prefix, &native);
        self.check_chariot(prefix, &native);
        self.check_safe(prefix, &native);
    }

    fn check_hub(&self, prefix: &str, variables: &BTreeMap<&String, Option<&Value>>) {
        let page = self.admin.get(&format!("{HUB}?page=0&size=1000")).expect(200).json();
        let entities = page["content"].as_array().unwrap().iter();
        let ours: Vec<_> =
            entities.filter(|e| e["name"].as_str().unwrap().starts_with(prefix)).collect();
        let names: Vec<_> = ours.iter().map(|e| e["name"].as_str().unwrap()).collect();
        let wanted: Vec<_> = variables.keys().map(|name| name.as_str()).collect();
        assert_eq!(names, wanted, "Digital Hub");
        for entity in ours {
            let (name, id) = (entity["name"].as_str().unwrap(), entity["id"].as_str().unwrap());
            let one = self.admin.get(&format!("{HUB}/{id}")).expect(200).json();
            assert_eq!(&one, entity, "Digital Hub, by its id");
            let data = self.admin.get(&format!("{HUB}/data?keys={name}"));
            match variables[&name.to_owned()] {
                None => assert_eq!(data.status, 404, "{name}: {}", data.text()),
                Some(value) => {
                    let text = data.expect(200).json()[name].as_str().unwrap().to_owned();
                    assert_eq!(json!(b64(&text)), *value, "Digital Hub, {name}");
                }
            }
        }
    }

    fn check_apolo(&self, prefix: &str, variables: &BTreeMap<&String, Option<&Value>>) {
        let list = self.admin.get(&format!("{APOLO}?{IN_ML}")).expect(200).json();
        let items = list.as_array().unwrap().iter().map(|item| item["key"].as_str().unwrap());
        let keys: Vec<_> = items.filter(|key| key.starts_with(prefix)).collect();
        // There, a key without a value is none.
        let wanted = variables.iter().filter(|(_, value)| value.is_some());
        let wanted: Vec<_> = wanted.map(|(name, _)| name.as_str()).collect();
        assert_eq!(keys, wanted, "Apolo");
        for (name, value) in variables {
            let one = self.admin.get(&format!("{APOLO}/{name}?{IN_ML}"));
            match value {
                None => assert_eq!(one.status, 404, "{name}: {}", one.text()),
                Some(value) => {
                    assert_eq!(one.expect(200).json()["value"], **value, "Apolo, {name}");
                }
            }
        }
    }

    fn check_blueprints(&self, prefix: &str, native: &BTreeMap<String, Told>) {
        let list = self.admin.get(BLUEPRINTS).expect(200).json();
        let items = list.as_array().unwrap().iter();
        let shown: BTreeMap<String, Value> = items
            .map(|item| (item["name"].as_str().unwrap().to_owned(), item["data_keys"].clone()))
            .filter(|(name, _)| name.starts_with(prefix))
            .collect();
        let wanted = native.iter().map(|(name, told)| {
            let keys = match (&told.content, told.kind.as_str()) {
                (None, _) => Vec::new(),
                (Some(_), "variable") => vec![name.clone()],
                (Some(_), "s3") => {
                    ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(str::to_owned).to_vec()
                }
                (Some(data), _) => data.as_object().unwrap().keys().cloned().collect(),
            };
            (name.clone(), json!(keys))
        });
        assert_eq!(shown, wanted.collect(), "AI Blueprints");
    }

    /// General secrets, with what is in each.
    fn check_safe(&self, prefix: &str, native: &BTreeMap<String, Told>) {
        let list = self.admin.get(&format!("{SAFE}?type=general")).expect(200).json();
        let names = list["items"].as_array().unwrap().iter();
        let names = names.map(|item| item["secretId"].as_str().unwrap());
        let names: Vec<_> = names.filter(|name| name.starts_with(prefix)).collect();
        let wanted = native.iter().filter(|(_, told)| told.kind == "opaque");
        let wanted: BTreeMap<_, _> = wanted.collect();
        assert_eq!(names, wanted.keys().map(|name| name.as_str()).collect::<Vec<_>>(), "SaFE");
        for (name, told) in native {
            let one = self.admin.get(&format!("{SAFE}/{name}"));
            if told.kind != "opaque" {
                assert_eq!(one.status, 404, "{name}: {}", one.text());
                continue;
            }
            let params = one.expect(200).json()["params"].clone();
            let entries = params.as_array().unwrap().iter().flat_map(|e| e.as_object().unwrap());
            let shown = entries.map(|(k, v)| (k.clone(), json!(b64(v.as_str().unwrap()))));
            let shown: serde_json::Map<_, _> = shown.collect();
            let told = told.content.clone().unwrap_or_else(|| json!({}));
            assert_eq!(Value::Object(shown), told, "SaFE, {name}");
        }
    }

    fn check_chariot(&self, prefix: &str, native: &BTreeMap<String, Told>) {
        let list = self.admin.get(&format!("{CHARIOT}/?sort=name")).expect(200).json();
        let all = list["data"].as_array().unwrap().iter();
        let ours: Vec<_> =
            all.filter(|item| item["name"].as_str().unwrap().starts_with(prefix)).collect();
        let names: Vec<_> = ours.iter().map(|item| item["name"].as_str().unwrap()).collect();
        let wanted = native.iter().filter(|(_, told)| {
            told.content.is_some() && ["variable", "s3"].contains(&told.kind.as_str())
        });
        let wanted: Vec<_> = wanted.map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, wanted, "Chariot");
        for item in ours {
            let key = format!("{CHARIOT}/{}", item["_key"].as_str().unwrap());
            assert_eq!(&self.admin.get(&key).expect(200).json(), item, "Chariot, by its key");
            let mut clear = self.admin.get(&format!("{key}?decrypt=true")).expect(200).json();
            let value = clear["value"].take();
            let told = native[item["name"].as_str().unwrap()].content.as_ref().unwrap();
            let encoded = match value.as_object() {
                None => json!({ "value": b64(value.as_str().unwrap()) }),
                Some(fields) => {
                    let fields = fields.iter();
                    let encode = |(name, text): (&String, &Value)| {
                        (name.clone(), json!(b64(text.as_str().unwrap())))
                    };
                    Value::Object(fields.map(encode).collect())
                }
            };
            assert_eq!(&encoded, told, "Chariot, {}", item["name"]);
        }
    }
}

fn entity(name: &str) -> Value {
    json!({
        "kind": "secret", "name": name, "project": "ml",
        "spec": { "path": format!("secret://{name}"), "provider": "kubernetes" },
    })
}

#[test]
fn what_is_done_through_one_interface_is_seen_through_all() {
    let fresh = fresh_with(|serve| {
        serve.args(["--blueprints-project", "default/ml", "--safe-project", "default/ml"]);
    });
    let world = World { admin: fresh.daemon.actor(fresh.admin.token()), fresh };
    let cases = if long() { 200 } else { 16 };
    let config = ProptestConfig {
        cases,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    // So that no case meets the secrets of another.
    let case = Cell::new(0);
    let ran = TestRunner::new(config).run(&prop::collection::vec(act(), 1..16), |acts| {
        case.set(case.get() + 1);
        let prefix = format!("c{}-", case.get());
        let name = |n: u8| format!("{prefix}{n}");
        for act in &acts {
            world.perform(&name, act);
            world.check(&prefix);
        }
        Ok(())
    });
    ran.unwrap();
    assert!(world.fresh.daemon.said().contains("serving"));
}
