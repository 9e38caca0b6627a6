//! Labels, in the syntax of Kubernetes.

use std::collections::BTreeMap;

use crate::{Age, Invalid, ROTATE_AFTER, is_dns_subdomain};

/// The most labels that one secret may carry.
pub const MAX_LABELS: usize = 64;

/// A secret's labels: keys and values as Kubernetes defines them
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/>).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// Checks a set of labels.
    ///
    /// # Errors
    /// When there are more than [`MAX_LABELS`], or a key or value is not in the Kubernetes syntax.
    pub fn parse(labels: BTreeMap<String, String>) -> Result<Self, Invalid> {
        let at = "metadata.labels";
        if labels.len() > MAX_LABELS {
            return Err(Invalid::new(at, format!("must be at most {MAX_LABELS} labels")));
        }
        if !labels.keys().all(|key| is_label_key(key)) {
            return Err(Invalid::new(
                at,
                "a key must be an optional DNS prefix and `/`, then 1 to 63 letters, digits, `-`, `_` or `.`, starting and ending with a letter or digit",
            ));
        }
        if !labels.values().all(|value| is_label_value(value)) {
            return Err(Invalid::new(
                at,
                "a value must be empty or 1 to 63 letters, digits, `-`, `_` or `.`, starting and ending with a letter or digit",
            ));
        }
        if let Some(age) = labels.get(ROTATE_AFTER) {
            Age::parse(age).map_err(|wrong| {
                Invalid::new(at, format!("{ROTATE_AFTER} {}, such as 90d", wrong.fix))
            })?;
        }
        Ok(Self(labels))
    }

    /// The labels, sorted by key.
    pub fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

/// Whether a text can be the value of a label.
pub fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_label_word(text)
}

pub(crate) fn is_label_word(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

pub(crate) fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        None => is_label_word(text),
        Some((prefix, word)) => is_dns_subdomain(prefix) && is_label_word(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(key: &str, value: &str) -> Result<Labels, Invalid> {
        Labels::parse(BTreeMap::from([(key.to_owned(), value.to_owned())]))
    }

    #[test]
    fn kubernetes_labels_are_taken() {
        for (key, value) in
            [("app", "vllm"), ("a", ""), ("example.org/team_1", "v1.2-rc"), ("A", "B")]
        {
            assert!(parse(key, value).is_ok(), "{key}={value}");
        }
    }

    #[test]
    fn other_labels_are_refused() {
        for (key, value) in
            [("", "x"), ("-a", "x"), ("a/b/c", "x"), ("Ex.org/a", "x"), ("a", "b c")]
        {
            assert!(parse(key, value).is_err(), "{key}={value}");
        }
        let many = (0..=MAX_LABELS).map(|n| (format!("l{n}"), String::new())).collect();
        assert!(Labels::parse(many).is_err());
    }
}
