//! What is wrong with an input, without repeating it.

/// An input that was refused.
///
/// `field` says where (a JSON path such as `spec.type`), `fix` says what would be accepted. Neither
/// repeats what was sent, because what was sent may be a secret in the wrong place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {fix}")]
pub struct Invalid {
    /// The JSON path or parameter at fault.
    pub field: String,
    /// What to send instead.
    pub fix: String,
}

impl Invalid {
    /// An input refused at `field`, which `fix` would mend.
    pub fn new(field: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { field: field.into(), fix: fix.into() }
    }

    /// The same complaint, seen from the object that contains the field.
    #[must_use]
    pub fn within(self, parent: &str) -> Self {
        let field = match self.field.as_str() {
            "" => parent.to_owned(),
            inner if inner.starts_with('[') => format!("{parent}{inner}"),
            inner => format!("{parent}.{inner}"),
        };
        Self { field, fix: self.fix }
    }
}
