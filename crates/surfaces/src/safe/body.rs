//! Bodies as the platform reads them: members in any case, null for what was left out, and members
//! that it does not know left alone.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::reply::bad;
use crate::{Request, Trouble};

/// A JSON object.
pub(super) struct Body(Map<String, Value>);

impl Body {
    /// Reads a body. One without anything in it is an empty object where that is allowed.
    pub(super) fn read(request: &Request, may_be_empty: bool) -> Result<Self, Trouble> {
        if may_be_empty && request.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(Map::new()));
        }
        match serde_json::from_slice(&request.body) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) => Err(bad("the body must be a JSON object")),
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                Err(bad(&format!("the body is not JSON at line {line}, column {column}")))
            }
        }
    }

    /// Takes a member out; none when it is null. An exact name goes before one in another case.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        let exact = self.0.remove(name);
        let found = exact.or_else(|| {
            let key = self.0.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned();
            key.and_then(|key| self.0.remove(&key))
        });
        found.filter(|value| !value.is_null())
    }

    /// A text.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Trouble> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(bad(&format!("{name} must be a text"))),
        }
    }

    /// A text that has something in it.
    pub(super) fn required(&mut self, name: &str) -> Result<String, Trouble> {
        let text = self.text(name)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| bad(&format!("the {name} of request is empty")))
    }

    /// A truth value.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Trouble> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(bad(&format!("{name} must be true or false"))),
        }
    }

    /// A whole number.
    pub(super) fn number(&mut self, name: &str) -> Result<Option<i64>, Trouble> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => {
                let number = value.as_i64();
                number.map(Some).ok_or_else(|| bad(&format!("{name} must be a whole number")))
            }
        }
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, Trouble> {
        let wrong = || bad(&format!("{name} must be a list of texts"));
        let Some(found) = self.take(name) else { return Ok(None) };
        let Value::Array(items) = found else { return Err(wrong()) };
        let text = |item| match item {
            Value::String(text) => Ok(text),
            _ => Err(wrong()),
        };
        items.into_iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    /// An object of texts.
    pub(super) fn map(&mut self, name: &str) -> Result<Option<BTreeMap<String, String>>, Trouble> {
        let wrong = || bad(&format!("{name} must be an object of texts"));
        let Some(found) = self.take(name) else { return Ok(None) };
        let Value::Object(members) = found else { return Err(wrong()) };
        let text = |(key, value)| match value {
            Value::String(text) => Ok((key, text)),
            _ => Err(wrong()),
        };
        members.into_iter().map(text).collect::<Result<_, _>>().map(Some)
    }
}
