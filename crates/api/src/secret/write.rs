//! A secret that is written.

use std::collections::BTreeMap;

use domain::{
    BindingKind, Document, Fields, Invalid, Labels, Payload, ProjectPath, ResourceVersion,
    SecretName, SecretType,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::values::{Entry, Parts, Place, entries, of_fields, opaque};
use super::{RegistryBody, binding};
use crate::object::{object, some_objects};
use crate::{BindingWrite, UniqueMap, WireDocument, WireText};

/// The metadata of a secret that is written.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretWriteMetadata {
    /// Its name; needed when it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its labels; on a replacement, those left out go.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub labels: UniqueMap<String>,
    /// The resource version that the writer has seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

/// What a secret that is written is to be.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretWriteSpec {
    /// Its type. When left out it is that of the secret that is replaced, and `opaque` for a new
    /// one.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// How many versions are kept, 1 to 100.
    #[serde(
        default,
        deserialize_with = "binding::keep_versions",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(minimum = 1, maximum = 100)]
    pub keep_versions: Option<u32>,
    /// The further projects in which it may be used.
    #[serde(default, deserialize_with = "some_objects", skip_serializing_if = "Option::is_none")]
    pub bindings: Option<Vec<BindingWrite>>,
}

impl SecretWriteSpec {
    /// The type, where it is named.
    ///
    /// # Errors
    /// When there is no such type.
    pub fn secret_type(&self) -> Result<Option<SecretType>, Invalid> {
        self.kind.as_deref().map(SecretType::parse).transpose()
    }

    /// The bindings, where they are given; each project once.
    ///
    /// # Errors
    /// Names the binding and field at fault.
    pub fn bindings(&self) -> Result<Option<Vec<(ProjectPath, BindingKind)>>, Invalid> {
        self.bindings.as_deref().map(binding::check).transpose()
    }
}

/// A secret that is written. Exactly one kind of payload fits its type.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretWrite {
    /// Its name, labels and version.
    #[serde(default, deserialize_with = "object")]
    pub metadata: SecretWriteMetadata,
    /// Its type, bindings and history.
    #[serde(default, deserialize_with = "object")]
    pub spec: SecretWriteSpec,
    /// Text values, for `opaque` and the types with fields ([`SecretType::fields`]); a key here wins
    /// over the same key in `data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub string_data: Option<UniqueMap<WireText>>,
    /// Base64 values, for the same types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub data: Option<UniqueMap<WireText>>,
    /// Logins, for `registry`.
    #[serde(default, deserialize_with = "some_objects", skip_serializing_if = "Option::is_none")]
    pub registries: Option<Vec<RegistryBody>>,
    /// A JSON object, for `document`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<WireDocument>,
}

impl SecretWrite {
    /// The name of a secret to be made.
    ///
    /// # Errors
    /// When it is missing or not a secret's name.
    pub fn name(&self) -> Result<SecretName, Invalid> {
        SecretName::parse(self.metadata.name.as_deref().unwrap_or_default())
    }

    /// The labels.
    ///
    /// # Errors
    /// When one is not in the syntax of Kubernetes.
    pub fn labels(&self) -> Result<Labels, Invalid> {
        Labels::parse(self.metadata.labels.0.clone())
    }

    /// The resource version that the writer insists on.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn expected(&self) -> Result<Option<ResourceVersion>, Invalid> {
        self.metadata.resource_version.as_deref().map(ResourceVersion::parse).transpose()
    }

    /// The payload. `existing` is the type of the secret that is replaced, if there is one: it is
    /// meant when the body names none.
    ///
    /// # Errors
    /// When it is missing, does not fit the type, or breaks a rule of the type.
    pub fn payload(&self, existing: Option<SecretType>) -> Result<Payload, Invalid> {
        let kind = self.spec.secret_type()?.or(existing).unwrap_or(SecretType::Opaque);
        self.parts().fit(kind)?;
        match kind {
            SecretType::Document => {
                let text = self.document.as_ref();
                let text = text.ok_or_else(|| Invalid::new("document", "must be given"))?;
                // EXPOSE: the document is read into a plaintext of its own.
                Document::parse(text.expose().as_bytes()).map(Payload::Document)
            }
            SecretType::Opaque => opaque(BTreeMap::new(), self.values()),
            SecretType::Registry => {
                let logins = self.registries.iter().flatten().map(RegistryBody::login);
                Payload::registry(logins.collect())
            }
            SecretType::S3 | SecretType::Ssh | SecretType::Variable => {
                of_fields(kind, Fields::of(kind), self.values())
            }
        }
    }

    /// The values of both maps, so that text wins over base64.
    fn values(&self) -> impl Iterator<Item = Entry<'_>> {
        let base64 = entries(Place::Data, self.data.as_ref());
        base64.chain(entries(Place::StringData, self.string_data.as_ref()))
    }

    fn parts(&self) -> Parts {
        Parts {
            data: self.data.is_some(),
            string_data: self.string_data.is_some(),
            registries: self.registries.is_some(),
            document: self.document.is_some(),
        }
    }
}
