//! One version in the clear.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{Payload, Plaintext};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::RegistryBody;
use crate::{WireDocument, WireText};

/// One version in the clear, in the shape that it is written in; values are always base64.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretData {
    /// Which version it is.
    pub version: u64,
    /// The secret's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Base64 values, for all types but the two below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<BTreeMap<String, WireText>>,
    /// Logins, for `registry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registries: Option<Vec<RegistryBody>>,
    /// A JSON object, for `document`: its numbers digit for digit as they were sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<WireDocument>,
}

impl SecretData {
    /// A version in its wire form.
    pub fn new(version: u64, payload: &Payload) -> Self {
        let kind = payload.secret_type().as_str().to_owned();
        let mut shown = Self { version, kind, data: None, registries: None, document: None };
        match payload {
            Payload::Document(document) => {
                // EXPOSE: the reader was permitted to read the document, which is UTF-8.
                let text = String::from_utf8_lossy(document.text().expose()).into_owned();
                shown.document = Some(WireDocument::new(text));
            }
            Payload::Opaque(values) => {
                let entry =
                    |(key, value): (&domain::DataKey, _)| (key.as_str().to_owned(), encode(value));
                shown.data = Some(values.iter().map(entry).collect());
            }
            Payload::Registry(logins) => {
                shown.registries = Some(logins.iter().map(RegistryBody::new).collect());
            }
            Payload::S3(_) | Payload::Ssh(_) | Payload::Variable(_) => {
                let fields = payload.fields().into_iter().flatten();
                shown.data =
                    Some(fields.map(|(name, value)| (name.to_owned(), encode(value))).collect());
            }
        }
        shown
    }

    /// About how many bytes it has as JSON where it is keys and values, which most secrets are: an answer has
    /// room for them from the beginning then.
    pub fn about_bytes(&self) -> usize {
        let entry = |(key, value): (&String, &WireText)| key.len() + value.len() + 6;
        128 + self.data.iter().flatten().map(entry).sum::<usize>()
    }
}

fn encode(value: &Plaintext) -> WireText {
    // EXPOSE: the reader was permitted to read the value.
    WireText::new(STANDARD.encode(value.expose()))
}
