//! A JSON object on the wire that may hold values.

use serde::de::{Deserialize, Deserializer, Error, Unexpected};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema};
use utoipa::{PartialSchema, ToSchema};
use zeroize::Zeroizing;

/// A JSON object as it was sent, unread: wiped on drop, never printed. Its numbers keep their digits,
/// which serde's own data model would round.
pub struct WireDocument(Zeroizing<String>);

impl WireDocument {
    /// Takes the text of a JSON object over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialSchema for WireDocument {
    fn schema() -> RefOr<Schema> {
        let about = "Any JSON object; may hold values: never logged, never repeated";
        let any = AdditionalProperties::FreeForm(true);
        let object = ObjectBuilder::new().additional_properties(Some(any));
        object.description(Some(about)).build().into()
    }
}

impl ToSchema for WireDocument {}

impl<'de> Deserialize<'de> for WireDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw: Box<str> = Box::<RawValue>::deserialize(deserializer)?.into();
        let document = Self::new(raw.into());
        if document.0.starts_with('{') {
            return Ok(document);
        }
        Err(D::Error::invalid_type(Unexpected::Other("something else"), &"a JSON object"))
    }
}

impl Serialize for WireDocument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // EXPOSE: this is the field on the wire that the document was asked for in.
        let raw = serde_json::from_str::<&RawValue>(self.expose());
        raw.map_err(|_| serde::ser::Error::custom("not JSON"))?.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static_assertions::assert_not_impl_any!(
        WireDocument: std::fmt::Debug, std::fmt::Display, Clone, PartialEq
    );

    #[test]
    fn an_object_passes_through_byte_for_byte() {
        let text = r#"{"a": [1.0, 1e400], "b":"\u0062"}"#;
        let document: WireDocument = serde_json::from_str(&format!(" {text} ")).unwrap();
        assert_eq!(serde_json::to_string(&document).unwrap(), text);
        for other in ["[]", "1", "null", r#""{}""#] {
            assert!(serde_json::from_str::<WireDocument>(other).is_err(), "{other}");
        }
    }
}
