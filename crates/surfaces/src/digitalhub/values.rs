//! The values of a request: one JSON object of names and texts.

use std::collections::BTreeMap;

use domain::{Invalid, Plaintext};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::names;
use crate::{Request, Trouble};

/// Values as they are to be written, by name.
pub(super) type Values = BTreeMap<String, Plaintext>;

/// Reads the values of a body. Numbers and booleans become the text that stands for them in JSON;
/// what has no such text is refused. The values are read where they lie, without copies in between.
///
/// # Errors
/// Says which name is at fault; never repeats a value, nor what is no name.
pub(super) fn read(request: &Request) -> Result<Values, Trouble> {
    let all: BTreeMap<String, &RawValue> =
        serde_json::from_slice(&request.body).map_err(|error| not_an_object(request, &error))?;
    let mut values = Values::new();
    for (name, raw) in all {
        if !names::is_name(&name) {
            let fix = "a name must be 1 to 256 letters, digits, `.`, `_`, `+` or `-` of ASCII";
            return Err(Invalid::new("body", fix).into());
        }
        let value = text(raw).ok_or_else(|| {
            let fix = "must be text, a number or a boolean; null, lists and objects are no values";
            Invalid::new(&name, fix)
        })?;
        values.insert(name, value);
    }
    Ok(values)
}

fn text(raw: &RawValue) -> Option<Plaintext> {
    let json = raw.get();
    match json.bytes().next()? {
        b'"' => {
            let text: Zeroizing<String> = serde_json::from_str(json).ok()?;
            Some(Plaintext::new(text.as_bytes().to_vec()))
        }
        b'n' | b'[' | b'{' => None,
        _ => Some(Plaintext::new(json.as_bytes().to_vec())),
    }
}

/// What is JSON and no object is another mistake than what is no JSON.
fn not_an_object(request: &Request, error: &serde_json::Error) -> Trouble {
    if error.is_data() && request.json().is_ok() {
        return Invalid::new("body", "must be a JSON object of names and values").into();
    }
    Trouble::not_json(error)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read_from(body: impl Into<Bytes>) -> Result<Vec<(String, Vec<u8>)>, String> {
        let request = Request::of_json(&body.into());
        let values = read(&request).map_err(|trouble| match trouble {
            Trouble::Invalid(invalid) => invalid.to_string(),
            Trouble::NotJson { .. } => "not JSON".to_owned(),
            _ => "something else".to_owned(),
        })?;
        // EXPOSE: the test compares what was read with what was written.
        Ok(values.into_iter().map(|(name, value)| (name, value.expose().to_vec())).collect())
    }

    fn one(value: &str) -> Option<String> {
        let values = read_from(format!("{{\"k\": {value} }}")).ok()?;
        values.into_iter().next().map(|(_, value)| String::from_utf8(value).unwrap())
    }

    #[test]
    fn what_has_a_text_is_that_text() {
        for (value, text) in [
            ("\"v\"", "v"),
            ("\"\"", ""),
            ("\"\\u20ac\\ud83d\\ude00\"", "\u{20ac}\u{1f600}"),
            ("42", "42"),
            ("1.50", "1.50"),
            ("-1e400", "-1e400"),
            ("true", "true"),
            ("false", "false"),
        ] {
            assert_eq!(one(value).as_deref(), Some(text), "{value}");
        }
    }

    #[test]
    fn what_has_none_is_refused_by_its_name_and_not_repeated() {
        for value in ["null", "[\"MARK\"]", "{\"a\":\"MARK\"}", "\"\\ud83dMARK\""] {
            let refused = read_from(format!("{{\"good\":\"MARK\",\"bad\":{value}}}")).unwrap_err();
            assert!(refused.starts_with("bad: ") && !refused.contains("MARK"), "{refused}");
        }
        let refused = read_from("{\"MARK in the wrong place\":\"k\"}").unwrap_err();
        assert!(refused.starts_with("body: ") && !refused.contains("MARK"), "{refused}");
        for (body, starts) in
            [("[]", "body: "), ("\"MARK\"", "body: "), ("{", "not JSON"), ("", "not JSON")]
        {
            let refused = read_from(body).unwrap_err();
            assert!(refused.starts_with(starts) && !refused.contains("MARK"), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn a_text_is_what_it_was(name in "[a-zA-Z0-9._+-]{1,20}", text in any::<String>()) {
            let read = read_from(json!({ &name: text }).to_string());
            prop_assert_eq!(read, Ok(vec![(name, text.into_bytes())]));
        }

        #[test]
        fn no_body_is_too_strange_to_be_read(body in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(values) = read_from(body.clone()) {
                let json: Value = serde_json::from_slice(&body).unwrap();
                prop_assert_eq!(values.len(), json.as_object().unwrap().len());
            }
        }
    }
}
