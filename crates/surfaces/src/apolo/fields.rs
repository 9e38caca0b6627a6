//! The fields of a request, checked as the platform checks them: all at once, and told together.

use domain::Invalid;
use serde_json::{Map, Value};

use super::key::MAX_CHARS;
use super::say::{MAX_BODY_BYTES, too_large, wrong};
use crate::{Request, Trouble};

/// What is wrong, field by field.
#[derive(Default)]
pub(super) struct Faults(Vec<(String, String)>);

impl Faults {
    /// Notes what is wrong with a field.
    pub(super) fn add(&mut self, field: &str, text: impl Into<String>) {
        self.0.push((field.to_owned(), text.into()));
    }

    /// A text that must be there.
    pub(super) fn required<'a>(
        &mut self,
        object: &'a Map<String, Value>,
        field: &str,
    ) -> Option<&'a str> {
        match object.get(field) {
            Some(Value::String(text)) => return Some(text),
            Some(_) => self.add(field, "value is not a string"),
            None => self.add(field, "is required"),
        }
        None
    }

    /// Refuses the request, if anything is wrong with it.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        if self.0.is_empty() { Ok(()) } else { Err(wrong(&self.text()).into()) }
    }

    /// The platform's server is written in Python, and so are its errors.
    fn text(&self) -> String {
        let one = |(field, text): &(String, String)| {
            format!("{}: DataError({})", python(field), python(text))
        };
        format!("{{{}}}", self.0.iter().map(one).collect::<Vec<_>>().join(", "))
    }

    /// A text that may be left out.
    pub(super) fn text_of<'a>(&mut self, field: &str, value: Option<&'a Value>) -> Option<&'a str> {
        match value {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => self.name(field, Some(text)),
            Some(_) => {
                self.add(field, "value is not a string");
                None
            }
        }
    }

    /// A name that may be left out.
    pub(super) fn name<'a>(&mut self, field: &str, text: Option<&'a str>) -> Option<&'a str> {
        let text = text?;
        if text.is_empty() {
            self.add(field, "blank value is not allowed");
            return None;
        }
        if text.chars().count() > MAX_CHARS {
            self.add(field, format!("String is longer than {MAX_CHARS} characters"));
            return None;
        }
        Some(text)
    }

    /// A field that is none. Its name may be a value in the wrong place, so it is repeated only when
    /// it looks like a name.
    pub(super) fn unknown(&mut self, field: &str) {
        let looks_like_one = |c: char| c.is_ascii_lowercase() || matches!(c, '_' | '-');
        let shown = match field.len() <= 32 && field.chars().all(looks_like_one) {
            true => field,
            false => "one more key",
        };
        self.add(shown, format!("{shown} is not allowed key"));
    }

    /// Takes a check of the core's over.
    pub(super) fn take<T>(&mut self, field: &str, checked: Result<T, Invalid>) -> Option<T> {
        checked.map_err(|invalid| self.add(field, invalid.fix)).ok()
    }
}

/// A body that may be read.
pub(super) fn body(request: &Request) -> Result<Value, Trouble> {
    if request.body.len() > MAX_BODY_BYTES {
        return Err(too_large().into());
    }
    if request.body.iter().all(u8::is_ascii_whitespace) {
        return Err(wrong("Expecting value: line 1 column 1 (char 0)").into());
    }
    request.json()
}

/// A body that is an object.
pub(super) fn object(request: &Request) -> Result<Map<String, Value>, Trouble> {
    match body(request)? {
        Value::Object(object) => Ok(object),
        _ => Err(wrong("value is not a dict").into()),
    }
}

/// The parameters of a query, each known and given once.
pub(super) fn query(request: &Request, known: &[&str], faults: &mut Faults) -> Result<(), Trouble> {
    let Some(pairs) = &request.query else {
        return Err(wrong("the query is not percent-encoded UTF-8").into());
    };
    for (index, (name, _)) in pairs.iter().enumerate() {
        let is_first = !pairs.iter().take(index).any(|(other, _)| other == name);
        match known.contains(&name.as_str()) {
            true if is_first => {}
            true => faults.add(name, "must be given once"),
            false => faults.unknown(name),
        }
    }
    Ok(())
}

/// A text as Python's `repr` writes it.
fn python(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_written_as_python_writes_them() {
        for (text, written) in [
            ("is required", "'is required'"),
            ("Illegal key '---NEURO---'", "\"Illegal key '---NEURO---'\""),
            ("both ' and \"", "'both \\' and \"'"),
            ("\\A(?!\\.\\Z", "'\\\\A(?!\\\\.\\\\Z'"),
            ("a\nb", "'a\\nb'"),
        ] {
            assert_eq!(python(text), written);
        }
    }

    #[test]
    fn what_is_wrong_is_told_together_and_a_value_in_the_wrong_place_is_not_repeated() {
        let mut faults = Faults::default();
        assert!(faults.check().is_ok());
        faults.add("key", "is required");
        faults.unknown("s3cr3t");
        faults.unknown("extra");
        assert_eq!(
            faults.text(),
            "{'key': DataError('is required'), 'one more key': DataError('one more key is not allowed key'), 'extra': DataError('extra is not allowed key')}"
        );
        assert!(faults.check().is_err());
    }

    proptest! {
        #[test]
        fn every_quoted_text_ends_where_it_should(text in any::<String>()) {
            let written = python(&text);
            let quote = written.chars().next().unwrap();
            let mut escaped = false;
            let mut ends = 0;
            for c in written.chars().skip(1) {
                ends += usize::from(c == quote && !escaped);
                escaped = c == '\\' && !escaped;
            }
            prop_assert_eq!(ends, 1);
        }
    }
}
