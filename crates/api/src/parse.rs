//! Reading a request's body, and saying what is wrong with it without repeating any of it.

use domain::Invalid;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::object::Object;
use crate::{Problem, ProblemKind};

/// Parses a JSON body. Unknown fields are refused by name, and nothing that was sent as a value is
/// repeated: serde's own messages do that, so only what they *expected* is kept of them.
///
/// # Errors
/// A problem document that names the field and the fix.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let Object(parsed) = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        explain(if path == "." { "body" } else { &path }, error.inner())
    })?;
    json.end().map_err(|error| explain("body", &error))?;
    Ok(parsed)
}

fn explain(path: &str, error: &serde_json::Error) -> Problem {
    let place = format!("line {}, column {}", error.line(), error.column());
    match error.classify() {
        Category::Data => Problem::invalid(&Invalid::new(path, fix(&error.to_string()))),
        Category::Eof => {
            malformed(format!("The body ends before the JSON does, at {place}. Send all of it."))
        }
        Category::Io | Category::Syntax => {
            malformed(format!("The body is not JSON at {place}. Send one JSON object."))
        }
    }
}

fn malformed(detail: String) -> Problem {
    Problem::new(ProblemKind::MalformedBody, detail).at("body")
}

/// What serde's message says was expected. Its forms are fixed (`serde::de::Error`): those that
/// name a *field* name one of ours or one that was sent as a field; those that repeat a *value* put
/// it before the last `, expected`.
fn fix(message: &str) -> String {
    let message = message.rsplit_once(" at line ").map_or(message, |(before, _)| before);
    if let Some(rest) = message.strip_prefix("missing field ") {
        return format!("must have the field {rest}");
    }
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let field = rest.split('`').nth(1).unwrap_or_default();
        let shown: String = field.chars().filter(|c| !c.is_control()).take(64).collect();
        let known = rest.rsplit_once(", expected ").map_or("no field", |(_, known)| known);
        return format!("has the unknown field `{shown}`; expected {known}");
    }
    if let Some(rest) = message.strip_prefix("duplicate field ") {
        return format!("must have the field {rest} once");
    }
    if message == "each key must appear once" {
        return "must hold each key once".to_owned();
    }
    match message.rsplit_once(", expected ") {
        Some((_, "u16" | "u32" | "u64")) => "must be a whole number, not below 0".to_owned(),
        Some((_, expected)) => format!("must be {expected}"),
        None => "has the wrong form".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::SecretWrite;

    fn refused(body: &str) -> Problem {
        parse::<SecretWrite>(body.as_bytes()).err().unwrap()
    }

    #[test]
    fn each_refusal_names_the_field_and_the_fix_and_no_value() {
        let wrong_type = refused(r#"{"spec":{"type":"opaque"},"stringData":{"k":{"MARKER":1}}}"#);
        assert_eq!(wrong_type.field.as_deref(), Some("stringData.k"));
        assert_eq!(wrong_type.detail, "stringData.k: must be a string");
        let list = refused(r#"{"spec":{"type":"opaque"},"stringData":"MARKER, expected x"}"#);
        assert_eq!(list.detail, "stringData: must be a JSON object");
        let unknown = refused(r#"{"spec":{"type":"opaque"},"value":"MARKER"}"#);
        assert_eq!(
            unknown.detail,
            "value: has the unknown field `value`; expected one of `metadata`, `spec`, `stringData`, `data`, `registries`, `document`"
        );
        let twice = refused(r#"{"stringData":{"k":"MARKER","k":"MARKER"}}"#);
        assert_eq!(twice.detail, "stringData: must hold each key once");
        let syntax = refused("{\"stringData\":MARKER}");
        assert_eq!((syntax.status, syntax.field.as_deref()), (400, Some("body")));
        for problem in [wrong_type, list, unknown, twice, syntax] {
            assert!(!serde_json::to_string(&problem).unwrap().contains("MARKER"));
        }
    }

    #[test]
    fn a_number_is_asked_for_in_words() {
        let refused = parse::<crate::RollbackAction>(br#"{"version":"MARKER"}"#).unwrap_err();
        assert_eq!(refused.detail, "version: must be a whole number, not below 0");
    }

    #[test]
    fn json_behind_the_object_is_refused() {
        assert_eq!(refused(r#"{"spec":{"type":"opaque"}} {}"#).status, 400);
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = format!("{{\"stringData\":{}", "[".repeat(100_000));
        assert!(refused(&deep).status < 500);
    }

    proptest! {
        #[test]
        fn a_value_in_the_wrong_place_is_never_repeated(place in 0usize..6, marker in "MARK[a-zA-Z, `:.\\-]{0,20}ER") {
            let quoted = serde_json::to_string(&marker).unwrap();
            let body = match place {
                0 => format!(r#"{{"spec":{quoted}}}"#),
                1 => format!(r#"{{"spec":{{"type":"opaque"}},"stringData":{quoted}}}"#),
                2 => format!(r#"{{"spec":{{"type":"opaque"}},"stringData":[{quoted}]}}"#),
                3 => format!(r#"{{"spec":{{"type":"opaque"}},"registries":[{{"server":{{"a":{quoted}}}}}]}}"#),
                4 => format!(r#"{{"metadata":{{"labels":{{"a":[{quoted}]}}}}}}"#),
                _ => quoted.clone(),
            };
            let problem = serde_json::to_string(&refused(&body)).unwrap();
            prop_assert!(!problem.contains(&marker), "{problem}");
        }
    }
}
