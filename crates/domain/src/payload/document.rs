//! A JSON object.

use std::collections::BTreeMap;

use super::MAX_PAYLOAD_BYTES;
use super::json::{Json, MAX_DEPTH, Refusal};
use crate::{DataKey, Invalid, Plaintext};

/// A JSON object in the one form that is stored: without white space, with the shortest escapes,
/// numbers digit for digit and members in the order that they were sent in.
pub struct Document(Plaintext);

impl Document {
    /// Reads a JSON object. The field of an error is `document`.
    ///
    /// # Errors
    /// When the text is not a JSON object (RFC 8259), holds a member twice, lies deeper than 64
    /// levels, has two top-level members that would become the same key of a Kubernetes Secret, or
    /// is larger than [`MAX_PAYLOAD_BYTES`].
    pub fn parse(text: &[u8]) -> Result<Self, Invalid> {
        Self::new(&object(text)?, text.len())
    }

    /// The document after a merge patch (RFC 7396), which is a JSON object too.
    ///
    /// # Errors
    /// When the patch or what it leads to breaks a rule of [`Document::parse`].
    pub fn merge(&self, patch: &[u8]) -> Result<Self, Invalid> {
        // EXPOSE: the members that the patch leaves alone are copied into the merged document.
        let current = self.0.expose();
        Self::new(&object(current)?.merge(object(patch)?), current.len() + patch.len())
    }

    /// The document's text.
    pub const fn text(&self) -> &Plaintext {
        &self.0
    }

    /// The names of its top-level members.
    pub fn names(&self) -> Vec<String> {
        self.members().into_iter().map(|(name, _)| name).collect()
    }

    /// A second copy, by name rather than by `Clone`, so that it is found when reading.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.duplicate())
    }

    /// The data of its Kubernetes Secret: a key for each top-level member, which is its name where
    /// Kubernetes takes it, else [`DataKey::for_text`]; a string's own text, and of all else the
    /// JSON.
    pub(crate) fn project(&self) -> BTreeMap<String, Plaintext> {
        by_key(self.members())
    }

    /// Top-level names and what their values become.
    fn members(&self) -> Vec<(String, Plaintext)> {
        // EXPOSE: each member goes into a plaintext of its own.
        let Ok(Json::Object(members)) = object(self.0.expose()) else {
            debug_assert!(false, "a document is read when it is made");
            return Vec::new();
        };
        members.iter().map(|(name, value)| (name.to_string(), projected(value))).collect()
    }

    fn new(json: &Json<'_>, at_most: usize) -> Result<Self, Invalid> {
        // Never grown, so that no copy is left behind.
        let mut text = Vec::with_capacity(at_most);
        json.write(&mut text);
        let document = Self(Plaintext::new(text));
        let members = document.members();
        let count = members.len();
        let projected = by_key(members);
        if projected.len() != count {
            let fix = "must not have two members that become the same key of a Kubernetes Secret";
            return Err(refuse(fix));
        }
        let size: usize = projected.iter().map(|(key, value)| key.len() + value.len()).sum();
        if size.max(4 + document.0.len()) > MAX_PAYLOAD_BYTES {
            return Err(refuse(&format!(
                "must be at most {MAX_PAYLOAD_BYTES} bytes, as JSON and as a Kubernetes Secret"
            )));
        }
        Ok(document)
    }
}

fn by_key(members: Vec<(String, Plaintext)>) -> BTreeMap<String, Plaintext> {
    let key = |name: &str| DataKey::for_text(name).as_str().to_owned();
    members.into_iter().map(|(name, value)| (key(&name), value)).collect()
}

fn projected(value: &Json<'_>) -> Plaintext {
    if let Json::Text(text) = value {
        return Plaintext::new(text.as_bytes().to_vec());
    }
    let mut out = Vec::new();
    value.write(&mut out);
    Plaintext::new(out)
}

fn object(text: &[u8]) -> Result<Json<'_>, Invalid> {
    let text = std::str::from_utf8(text).map_err(|_| refuse("must be JSON in UTF-8"))?;
    match Json::parse(text) {
        Ok(json @ Json::Object(_)) => Ok(json),
        Ok(_) => Err(refuse("must be a JSON object")),
        Err(Refusal::Depth) => Err(refuse(&format!("must be at most {MAX_DEPTH} levels deep"))),
        Err(Refusal::Duplicate) => Err(refuse("must hold each member once, at every depth")),
        Err(Refusal::Syntax) => Err(refuse("must be JSON (RFC 8259)")),
    }
}

fn refuse(fix: &str) -> Invalid {
    Invalid::new("document", fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    static_assertions::assert_not_impl_any!(
        Document: std::fmt::Debug, std::fmt::Display, Clone, PartialEq, serde::Serialize
    );

    fn refused(text: &str) -> Invalid {
        Document::parse(text.as_bytes()).err().unwrap()
    }

    fn projected(text: &str) -> Vec<(String, String)> {
        let projected = Document::parse(text.as_bytes()).unwrap().project();
        // EXPOSE: a test compares the bytes.
        let text = |value: &Plaintext| String::from_utf8(value.expose().to_vec()).unwrap();
        projected.iter().map(|(key, value)| (key.clone(), text(value))).collect()
    }

    #[test]
    fn each_top_level_member_becomes_a_key() {
        let found = projected(
            r#"{"s":"a\"b","n":1.50,"t":true,"z":null,"o":{"x": [1, "y"]},"a/b":"","":"e"}"#,
        );
        let pairs: Vec<_> = found.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect();
        let expected = [
            ("-e3b0c442", "e"),
            ("a-b-c14cddc0", ""),
            ("n", "1.50"),
            ("o", r#"{"x":[1,"y"]}"#),
            ("s", "a\"b"),
            ("t", "true"),
            ("z", "null"),
        ];
        assert_eq!(pairs, expected);
        assert!(projected("{}").is_empty());
    }

    #[test]
    fn two_members_never_end_at_the_same_key() {
        assert!(Document::parse(br#"{"a/b":1,"a:b":2}"#).is_ok());
        let refused = refused(r#"{"a/b":1,"a-b-c14cddc0":2}"#);
        assert!(refused.fix.contains("same key"), "{refused}");
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for (text, fix) in
            [("[]", "object"), ("null", "object"), ("{", "JSON (RFC"), (r#"{"a":1,"a":1}"#, "once")]
        {
            assert_eq!(refused(text).field, "document");
            assert!(refused(text).fix.contains(fix), "{text}: {}", refused(text).fix);
        }
        assert_eq!(Document::parse(b"{\"a\":\"\xff\"}").err().unwrap().field, "document");
    }

    /// A short name that is no data key grows by a hash, so the Kubernetes Secret can outgrow the
    /// JSON.
    #[test]
    fn a_document_is_at_most_a_mebibyte_in_both_forms() {
        let of = |length| format!("{{\"k\":\"{}\"}}", "x".repeat(length));
        let overhead = 4 + of(0).len();
        assert!(Document::parse(of(MAX_PAYLOAD_BYTES - overhead).as_bytes()).is_ok());
        assert_eq!(refused(&of(MAX_PAYLOAD_BYTES - overhead + 1)).field, "document");
        let members: Vec<_> = (0..90_000).map(|number| format!("\"{number:05}/\":1")).collect();
        let growing = format!("{{{}}}", members.join(","));
        assert!(growing.len() + 4 < MAX_PAYLOAD_BYTES);
        assert!(refused(&growing).fix.contains("Kubernetes"));
    }
}
