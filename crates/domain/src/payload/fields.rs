//! The fields of types whose fields are fixed.

use std::collections::BTreeMap;

use crate::{Decoder, Encoder, Invalid, Malformed, Plaintext, SecretType};

/// How much of a field's unknown name a message shows.
const SHOWN_NAME: usize = 64;

/// Values by name, out of the names that a type has ([`SecretType::fields`]).
pub struct Fields {
    known: &'static [&'static str],
    values: BTreeMap<&'static str, Plaintext>,
}

impl Fields {
    /// No values yet, for a payload of that type.
    pub const fn of(kind: SecretType) -> Self {
        Self { known: kind.fields(), values: BTreeMap::new() }
    }

    /// Sets a field, or removes it.
    ///
    /// # Errors
    /// When the type has no such field. The message shows a name that looks like one, as it does
    /// for any unknown member of a body.
    pub fn set(&mut self, name: &str, value: Option<Plaintext>) -> Result<(), Invalid> {
        let Some(name) = self.known.iter().find(|known| **known == name) else {
            let known = self.known.join(", ");
            let looks_like_one = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            let shown = if looks_like_one { name } else { "" };
            let shown: String = shown.chars().take(SHOWN_NAME).collect();
            let fix = format!("has the unknown key `{shown}`; expected only {known}");
            return Err(Invalid::new("", fix));
        };
        match value {
            Some(value) => self.values.insert(name, value),
            None => self.values.remove(name),
        };
        Ok(())
    }

    /// A field's value.
    pub fn value(&self, name: &str) -> Option<&Plaintext> {
        self.values.get(name)
    }

    /// The fields that have a value, in the type's order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Plaintext)> {
        self.known.iter().filter_map(|name| Some((*name, self.values.get(name)?)))
    }

    /// Takes a value out.
    pub(crate) fn take(&mut self, name: &str) -> Option<Plaintext> {
        self.values.remove(name)
    }

    /// A second copy, by name rather than by `Clone`, so that it is found when reading.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let values = self.values.iter().map(|(name, value)| (*name, value.duplicate()));
        Self { known: self.known, values: values.collect() }
    }

    /// The value of a field that must be there.
    pub(super) fn required(&self, name: &'static str) -> Result<&Plaintext, Invalid> {
        self.value(name).ok_or_else(|| Invalid::new(name, "must be given"))
    }

    pub(super) fn encoded_len(&self) -> usize {
        self.known.len() + self.values.values().map(|value| 4 + value.len()).sum::<usize>()
    }

    /// For each field of the type a byte that says whether there is a value, and then the value.
    pub(super) fn encode(&self, out: &mut Encoder) {
        for name in self.known {
            let value = self.values.get(name);
            out.u8(u8::from(value.is_some()));
            if let Some(value) = value {
                // EXPOSE: the encoding is plaintext too, and on its way to the seal.
                out.bytes(value.expose());
            }
        }
    }

    pub(super) fn decode(kind: SecretType, input: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let mut fields = Self::of(kind);
        for name in fields.known {
            match input.u8()? {
                0 => {}
                1 => {
                    fields.values.insert(name, Plaintext::new(input.bytes()?.to_vec()));
                }
                _ => return Err(Malformed),
            }
        }
        Ok(fields)
    }
}

/// A value that must be text without control characters, and not empty.
pub(super) fn text<'a>(
    name: &'static str,
    value: &'a Plaintext,
    most: usize,
) -> Result<&'a str, Invalid> {
    // EXPOSE: the check looks at the form of the text only.
    let text = std::str::from_utf8(value.expose()).ok();
    let well_formed =
        |text: &&str| !text.is_empty() && text.len() <= most && !text.chars().any(char::is_control);
    text.filter(well_formed).ok_or_else(|| {
        let fix = format!("must be 1 to {most} bytes of UTF-8 without control characters");
        Invalid::new(name, fix)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    static_assertions::assert_not_impl_any!(
        Fields: std::fmt::Debug, std::fmt::Display, Clone, PartialEq, serde::Serialize
    );

    #[test]
    fn an_unknown_field_is_refused_by_its_name_unless_that_looks_like_a_value() {
        let refused = |name: &str| {
            Fields::of(SecretType::Variable).set(name, None).err().map(|refused| refused.fix)
        };
        assert_eq!(refused("value"), None);
        assert_eq!(refused("val").unwrap(), "has the unknown key `val`; expected only value");
        assert_eq!(refused("p@ss").unwrap(), "has the unknown key ``; expected only value");
        assert!(refused(&"x".repeat(5000)).unwrap().len() < 120);
    }
}
