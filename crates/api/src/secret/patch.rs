//! A change to a secret, RFC 7396.

use domain::{
    BindingKind, Fields, Invalid, Labels, Payload, ProjectPath, ResourceVersion, SecretType,
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::values::{Parts, Place, changes, of_fields, opaque};
use super::{RegistryBody, binding};
use crate::object::{nullable, nullable_objects, object, present, some_objects};
use crate::{BindingWrite, UniqueMap, WireDocument, WireText};

/// The media type of a patch, RFC 7396 section 4.
pub const MERGE_PATCH: &str = "application/merge-patch+json";

/// A change to a secret: a JSON merge patch (RFC 7396) of the body that would write it. What is left
/// out stays, `null` removes, and lists are replaced as a whole.
///
/// It is stricter than the RFC in one way: `null` is refused where nothing could be removed, such as
/// in the place of `metadata` or of all values.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretPatch {
    #[serde(default, deserialize_with = "object")]
    metadata: MetadataPatch,
    #[serde(default, deserialize_with = "object")]
    spec: SpecPatch,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = BTreeMap<String, Option<String>>)]
    string_data: Option<UniqueMap<Option<WireText>>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = BTreeMap<String, Option<String>>)]
    data: Option<UniqueMap<Option<WireText>>>,
    #[serde(default, deserialize_with = "some_objects")]
    registries: Option<Vec<RegistryBody>>,
    #[serde(default, deserialize_with = "present")]
    document: Option<WireDocument>,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MetadataPatch {
    #[serde(default, deserialize_with = "present")]
    name: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    labels: Option<Option<UniqueMap<Option<String>>>>,
    #[serde(default, deserialize_with = "present")]
    resource_version: Option<String>,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SpecPatch {
    #[serde(default, rename = "type", deserialize_with = "present")]
    kind: Option<String>,
    #[serde(default, deserialize_with = "binding::changed_keep_versions")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 100)]
    keep_versions: Option<Option<u32>>,
    #[serde(default, deserialize_with = "nullable_objects")]
    #[schema(value_type = Option<Vec<BindingWrite>>)]
    bindings: Option<Option<Vec<BindingWrite>>>,
}

impl SecretPatch {
    /// The name, which a patch may only repeat.
    pub fn name(&self) -> Option<&str> {
        self.metadata.name.as_deref()
    }

    /// The resource version that the writer insists on.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn expected(&self) -> Result<Option<ResourceVersion>, Invalid> {
        self.metadata.resource_version.as_deref().map(ResourceVersion::parse).transpose()
    }

    /// The labels after the change; none when the patch leaves them as they are.
    ///
    /// # Errors
    /// When what it leads to are no labels.
    pub fn labels(&self, current: &Labels) -> Result<Option<Labels>, Invalid> {
        let Some(patch) = &self.metadata.labels else { return Ok(None) };
        let mut labels = current.as_map().clone();
        match patch {
            None => labels.clear(),
            Some(changes) => {
                for (key, value) in &changes.0 {
                    match value {
                        Some(value) => labels.insert(key.clone(), value.clone()),
                        None => labels.remove(key),
                    };
                }
            }
        }
        Ok(Some(Labels::parse(labels)?).filter(|labels| labels != current))
    }

    /// How many versions are to be kept: none when the patch does not say, and none inside when the
    /// secret's own number goes.
    pub const fn keep_versions(&self) -> Option<Option<u32>> {
        self.spec.keep_versions
    }

    /// The bindings after the change, where the patch says; `null` removes them all.
    ///
    /// # Errors
    /// Names the binding and field at fault.
    pub fn bindings(&self) -> Result<Option<Vec<(ProjectPath, BindingKind)>>, Invalid> {
        let Some(bindings) = &self.spec.bindings else { return Ok(None) };
        binding::check(bindings.as_deref().unwrap_or_default()).map(Some)
    }

    /// Whether it changes values, and so makes a new version.
    pub fn touches_payload(&self) -> bool {
        let any = |map: &Option<UniqueMap<_>>| map.as_ref().is_some_and(|map| !map.0.is_empty());
        any(&self.data)
            || any(&self.string_data)
            || self.registries.is_some()
            || self.document.is_some()
    }

    /// Checks that the patch is one for a secret of that type: it may repeat `spec.type` but not
    /// change it, and holds no part that the type does not have. [`SecretPatch::payload`] does this
    /// too.
    ///
    /// # Errors
    /// Names the field that does not fit.
    pub fn check_type(&self, current: SecretType) -> Result<(), Invalid> {
        let named = self.spec.kind.as_deref().map(SecretType::parse).transpose()?;
        if named.is_some_and(|named| named != current) {
            let fix = format!("must be {current} or be left out: a secret keeps its type");
            return Err(Invalid::new("spec.type", fix));
        }
        let parts = Parts {
            data: self.data.is_some(),
            string_data: self.string_data.is_some(),
            registries: self.registries.is_some(),
            document: self.document.is_some(),
        };
        parts.fit(current)
    }

    /// The payload after the change.
    ///
    /// # Errors
    /// When the patch does not fit the type, or what it leads to breaks a rule of the type: a part
    /// that the type needs cannot be removed.
    pub fn payload(&self, current: &Payload) -> Result<Payload, Invalid> {
        let kind = current.secret_type();
        self.check_type(kind)?;
        self.check_maps()?;
        let changes = changes(Place::Data, self.data.as_ref())
            .chain(changes(Place::StringData, self.string_data.as_ref()));
        match current {
            Payload::Document(document) => match &self.document {
                // EXPOSE: the patch is merged into a document of its own.
                Some(patch) => document.merge(patch.expose().as_bytes()).map(Payload::Document),
                None => Ok(current.duplicate()),
            },
            Payload::Opaque(values) => {
                let kept = values.iter().map(|(key, value)| (key.clone(), value.duplicate()));
                opaque(kept.collect(), changes)
            }
            Payload::Registry(_) => match &self.registries {
                Some(logins) => Payload::registry(logins.iter().map(RegistryBody::login).collect()),
                None => Ok(current.duplicate()),
            },
            Payload::S3(_) | Payload::Ssh(_) | Payload::Variable(_) => {
                of_fields(kind, copied(current)?, changes)
            }
        }
    }

    /// A key in both maps could be set by one and removed by the other.
    fn check_maps(&self) -> Result<(), Invalid> {
        let (Some(base64), Some(text)) = (&self.data, &self.string_data) else { return Ok(()) };
        match text.0.keys().position(|key| base64.0.contains_key(key)) {
            Some(index) => {
                let fix = format!("its key number {} must not be in data too", index + 1);
                Err(Invalid::new("stringData", fix))
            }
            None => Ok(()),
        }
    }
}

fn copied(current: &Payload) -> Result<Fields, Invalid> {
    let mut fields = Fields::of(current.secret_type());
    for (name, value) in current.fields().into_iter().flatten() {
        fields.set(name, Some(value.duplicate()))?;
    }
    Ok(fields)
}
