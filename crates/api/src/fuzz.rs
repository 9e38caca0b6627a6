//! What `fuzz/` calls. Each function answers whether something accepted its input.

use domain::{Invalid, Labels, Payload, Plaintext};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    BindingWrite, ProjectPatch, ProjectWrite, PurgeAction, RollbackAction, SecretPatch,
    SecretWrite, TokenWrite, UndeleteAction, VersionsAction, parse,
};

/// Stands for a secret that was sent in the wrong place.
const MARKER: &str = "MARKED, expected `x`: \"v\"";

/// A request's body, of any type, is read or refused; and when a marker takes the place of each text
/// in it, no refusal repeats the marker.
pub fn body(sent: &[u8]) -> bool {
    // The name of an unknown field is repeated, so that one must not hold the marker.
    if repeats(&String::from_utf8_lossy(sent)) {
        return false;
    }
    let accepted = read(sent);
    if let Ok(mut value) = serde_json::from_slice::<Value>(sent)
        && !repeats(&value.to_string())
    {
        mark(&mut value);
        read(value.to_string().as_bytes());
    }
    accepted
}

/// Puts the marker in the place of each text that is not the name of a field.
fn mark(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(mark),
        Value::Object(fields) => fields.values_mut().for_each(mark),
        Value::String(text) => MARKER.clone_into(text),
        Value::Bool(_) | Value::Null | Value::Number(_) => {}
    }
}

fn read(body: &[u8]) -> bool {
    let read = [
        check::<BindingWrite>(body, |_| vec![]),
        check::<ProjectPatch>(body, |body| vec![body.rules().err(), body.expected().err()]),
        check::<ProjectWrite>(body, |body| {
            vec![body.name().err(), body.spec.rules().err(), body.expected().err()]
        }),
        check::<PurgeAction>(body, |body| vec![body.uid().err()]),
        check::<RollbackAction>(body, |body| vec![body.expected().err()]),
        check::<SecretPatch>(body, |body| {
            let labels = body.labels(&Labels::default()).err();
            let payload = Payload::variable(Plaintext::new(Vec::new()));
            let payload = payload.and_then(|current| body.payload(&current)).err();
            vec![labels, body.bindings().err(), body.expected().err(), payload]
        }),
        check::<SecretWrite>(body, |body| {
            let payload = body.payload(None).err();
            let others = [body.labels().err(), body.spec.bindings().err(), body.expected().err()];
            [vec![body.name().err(), payload], others.into()].concat()
        }),
        check::<TokenWrite>(body, |_| vec![]),
        check::<UndeleteAction>(body, |body| {
            let (numbers, uid) = (body.numbers().err(), body.uid().err());
            vec![numbers, uid, body.name().err(), body.expected().err()]
        }),
        check::<VersionsAction>(body, |body| vec![body.numbers().err(), body.expected().err()]),
    ];
    read.contains(&true)
}

fn check<T: DeserializeOwned>(body: &[u8], refusals: fn(&T) -> Vec<Option<Invalid>>) -> bool {
    match parse::<T>(body) {
        Ok(read) => {
            refusals(&read).into_iter().flatten().for_each(|refusal| refused(&refusal.to_string()));
            true
        }
        Err(problem) => {
            assert!((400..500).contains(&problem.status));
            refused(&serde_json::to_string(&problem).expect("a problem is JSON"));
            false
        }
    }
}

fn refused(message: &str) {
    assert!(!repeats(message), "a value is repeated: {message}");
}

fn repeats(text: &str) -> bool {
    text.contains("MARKED")
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay::replay;
    use super::*;

    #[test]
    fn every_seed_of_a_body_holds() {
        let seeds = [
            ("binding", r#"{"project":"default/ml"}"#),
            (
                "project",
                r#"{"metadata":{"name":"ml","resourceVersion":"7"},"spec":{"projectionRules":[{"mode":"each","namespace":"a","namePattern":"{name}"}]}}"#,
            ),
            ("purge", r#"{"uid":"0123456789abcdef0123456789abcdef"}"#),
            (
                "registry",
                r#"{"spec":{"type":"registry"},"registries":[{"server":"r","username":"u","password":"p","email":"a@b"}]}"#,
            ),
            ("rollback", r#"{"version":1,"resourceVersion":"7"}"#),
            (
                "secret",
                r#"{"metadata":{"name":"hf","labels":{"a":"b"}},"data":{"k":"eA=="},"stringData":{"l":"x"}}"#,
            ),
            (
                "token",
                r#"{"description":"ci","rights":[{"role":"writer","projects":["ml"]}],"expiresInSeconds":9}"#,
            ),
            ("versions", r#"{"versions":[1,2],"resourceVersion":"7"}"#),
        ];
        let made = seeds.map(|(name, text)| (name, text.as_bytes().to_vec()));
        replay("body", body, &made);
        assert!(!body(br#"{"data":{"k":["eA=="]}}"#) && !body(b"[]") && !body(b"\xff"));
    }
}
