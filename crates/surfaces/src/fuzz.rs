//! What `fuzz/` calls. Each function answers whether something accepted its input.

use serde_json::{Map, Value};

use crate::render::{Place, Reference, Workload, yaml};
use crate::{Request, Trouble};

/// Stands for a value that was sent in any place.
const MARKER: &str = "MARKED-hf-value";

/// A workload is read or refused; what is read has a manifest; and when a marker takes the place of
/// each text in it, neither a refusal nor a warning repeats the marker.
pub fn render_recipe(sent: &[u8]) -> bool {
    let Ok(mut object) = serde_json::from_slice::<Map<String, Value>>(sent) else { return false };
    let accepted = render(&object, false);
    // The name of a member is repeated, so that one must not hold the marker.
    if !Value::Object(object.clone()).to_string().contains(MARKER) {
        for (name, value) in &mut object {
            // Which kind of workload it is has to stay.
            if name != "recipe_mode" {
                mark(value);
            }
        }
        render(&object, true);
    }
    accepted
}

/// Bodies that the surfaces' clients send are read or refused, each as each; and when a marker takes
/// the place of each text, no refusal repeats it.
pub fn surface_body(sent: &[u8]) -> bool {
    let read = |body: &[u8]| {
        let request = Request::of_json(body);
        let mut done = crate::blueprints::fuzz(&request);
        done.extend(crate::chariot::fuzz(&request));
        done.extend(crate::digitalhub::fuzz(&request));
        done.extend(crate::apolo::fuzz(&request));
        done.extend(crate::safe::fuzz(&request));
        done
    };
    let accepted = read(sent).iter().any(Result::is_ok);
    if let Ok(mut body) = serde_json::from_slice::<Value>(sent)
        && !body.to_string().contains(MARKER)
    {
        mark(&mut body);
        for refused in read(body.to_string().as_bytes()).into_iter().filter_map(Result::err) {
            let said = match refused {
                Trouble::Invalid(invalid) => invalid.to_string(),
                Trouble::Said(answer) => String::from_utf8_lossy(&answer.body).into_owned(),
                Trouble::Denied(_) | Trouble::NotJson { .. } | Trouble::Vault(_) => String::new(),
            };
            assert!(!said.contains(MARKER), "{said}");
        }
    }
    accepted
}

/// Puts the marker in the place of each text that is not the name of a member.
fn mark(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(mark),
        Value::Object(members) => members.values_mut().for_each(mark),
        Value::String(text) => MARKER.clone_into(text),
        Value::Bool(_) | Value::Null | Value::Number(_) => {}
    }
}

fn render(sent: &Map<String, Value>, marked: bool) -> bool {
    let workload = match Workload::read(sent) {
        Ok(workload) => workload,
        Err(refused) => {
            assert!(!marked || !refused.to_string().contains(MARKER), "a text is repeated");
            return false;
        }
    };
    let warnings = workload.warnings.join("\n");
    assert!(!marked || !warnings.contains(MARKER), "a text is repeated");
    let count = workload.references().count();
    let mut places = 0;
    let placed = workload.try_map(|_: Reference| {
        places += 1;
        Ok::<_, ()>(Place { secret: "placed".to_owned(), key: Some("key".to_owned()) })
    });
    let Ok(placed) = placed else { return false };
    let manifest = placed.manifest(None);
    let text = manifest.to_string();
    assert_eq!(count, places, "a reference got lost");
    assert!(text.matches("\"placed\"").count() >= count, "a reference got lost");
    assert!(yaml(&manifest).lines().count() >= 10);
    true
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay::replay;
    use super::*;

    #[test]
    fn every_seed_of_a_workload_holds() {
        let examples = [
            ("recipe", include_str!("../tests/render/vllm_from_hf.json")),
            ("mounts", include_str!("../tests/render/llamastack_secret_mount.json")),
            ("run", include_str!("../tests/render/run_of_a_function.json")),
            ("job", include_str!("../tests/render/job_of_apolo.json")),
        ];
        let seeds = examples.map(|(name, text)| (name, text.as_bytes().to_vec()));
        replay("render_recipe", render_recipe, &seeds);
        assert!(!render_recipe(b"{}") && !render_recipe(b"["));
    }

    #[test]
    fn every_seed_of_a_surfaces_body_holds() {
        let login = r#"{"server":"r"}"#;
        let seeds = [
            ("login", r#"{"username":"al","password":"p"}"#.to_owned()),
            (
                "batch",
                format!(
                    r#"{{"secrets_payload":[{{"name":"a","action":"create","type":"opaque","data":{{"k":"v"}}}},{{"name":"r","action":"update","type":"container_registry","data":{login}}},{{"name":"a","action":"delete"}}]}}"#
                ),
            ),
            (
                "entity",
                r#"{"kind":"secret","name":"s","project":"ml","metadata":{"labels":["a"]},"spec":{"path":"secret://s","provider":"kubernetes"},"status":{"state":"CREATED"}}"#.to_owned(),
            ),
            ("project", r#"{"kind":"project","name":"ml","spec":{"source":"./"}}"#.to_owned()),
            ("secret", r#"{"key":"a","value":"dmFsdWU=","org_name":"default"}"#.to_owned()),
            ("item", r#"{"name":"hf","_type":"secret/Custom","value":"hf_token"}"#.to_owned()),
            (
                "items",
                r#"{"name":"s3","_type":"secret/S3","value":{"accessKeyId":"AKIA","secretAccessKey":"s"}}"#.to_owned(),
            ),
            (
                "pull",
                r#"{"name":"r","_type":"secret/ContainerRegistry","value":{"registries":[{"server":"r","username":"u","password":"p"}]}}"#.to_owned(),
            ),
            (
                "safe_image",
                r#"{"name":"harbor-secret","type":"image","workspaceIds":["dev"],"labels":{"a":"b"},"params":[{"server":"harbor.example.com","username":"admin","password":"SGFyYm9y"}]}"#.to_owned(),
            ),
            (
                "safe_ssh",
                r#"{"name":"k","type":"ssh","params":[{"username":"root","password":"p","privateKey":"","publicKey":null}]}"#.to_owned(),
            ),
            (
                "safe_workspace",
                r#"{"name":"ai","clusterId":"c","imageSecretIds":["a"],"managers":["m"],"description":"d"}"#.to_owned(),
            ),
            (
                "safe_node",
                r#"{"privateIP":"10.0.0.1","flavorId":"f","sshSecretId":"k","hostname":"n","port":22}"#.to_owned(),
            ),
            (
                "safe_user",
                r#"{"name":"al","password":"p","roles":["default","system-admin"],"workspaces":["w"],"restrictedType":1}"#.to_owned(),
            ),
            ("values", r#"{"a":"1","b":2,"c":true}"#.to_owned()),
        ];
        let seeds = seeds.map(|(name, text)| (name, text.into_bytes()));
        replay("surface_body", surface_body, &seeds);
    }
}
