//! Annotations, in the manner of Kubernetes: what clients keep beside a secret or a project, and
//! Tresor neither reads nor selects by.

use std::collections::BTreeMap;

use crate::Invalid;
use crate::labels::is_label_key;

/// The most bytes of all keys and values of one object's annotations: they lie in its record, which
/// every list reads.
pub const MAX_ANNOTATION_BYTES: usize = 32 << 10;

/// An object's annotations: keys in the syntax of label keys, any text as values
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/>).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations(BTreeMap<String, String>);

impl Annotations {
    /// Checks a set of annotations.
    ///
    /// # Errors
    /// When a key is not in the Kubernetes syntax, or all of them are larger than
    /// [`MAX_ANNOTATION_BYTES`].
    pub fn parse(annotations: BTreeMap<String, String>) -> Result<Self, Invalid> {
        let at = "metadata.annotations";
        if !annotations.keys().all(|key| is_label_key(key)) {
            let fix = "a key must be an optional DNS prefix and `/`, then 1 to 63 letters, digits, `-`, `_` or `.`";
            return Err(Invalid::new(at, fix));
        }
        let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
        if size > MAX_ANNOTATION_BYTES {
            let fix = format!("must be at most {MAX_ANNOTATION_BYTES} bytes in all");
            return Err(Invalid::new(at, fix));
        }
        Ok(Self(annotations))
    }

    /// The annotations, sorted by key.
    pub const fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// One of them.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// The same, with one of them set.
    ///
    /// # Errors
    /// As [`Annotations::parse`].
    pub fn with(&self, key: &str, value: String) -> Result<Self, Invalid> {
        let mut annotations = self.0.clone();
        annotations.insert(key.to_owned(), value);
        Self::parse(annotations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_bounded_and_their_keys_are_label_keys() {
        let none = Annotations::default();
        let one = none.with("example.org/note", "any text:\n{}".to_owned()).unwrap();
        assert_eq!(one.text("example.org/note"), Some("any text:\n{}"));
        assert!(none.with("a b", String::new()).is_err());
        let most = MAX_ANNOTATION_BYTES - "k".len();
        assert!(none.with("k", "x".repeat(most)).is_ok());
        assert!(none.with("k", "x".repeat(most + 1)).is_err());
    }
}
