//! Secrets on the wire.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{
    DataKey, Invalid, Labels, Payload, Plaintext, RegistryLogin, ResourceVersion, SecretName,
    SecretType,
};
use serde::{Deserialize, Serialize};

use crate::object::{object, some_objects};
use crate::{BindingBody, UniqueMap, WireText};

/// One login to a registry.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryBody {
    /// The registry's host.
    pub server: String,
    /// The user name.
    pub username: WireText,
    /// The password or token.
    pub password: WireText,
    /// An e-mail address, where the registry wants one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// The metadata of a secret that is written.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretWriteMetadata {
    /// Its name; needed when it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its labels; on a replacement, those left out go.
    #[serde(default)]
    pub labels: UniqueMap<String>,
    /// The resource version that the writer has seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

/// What a secret that is written is to be.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretWriteSpec {
    /// Its type; `opaque` when left out.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// A secret that is written. Exactly one kind of payload fits its type.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretWrite {
    /// Its name, labels and version.
    #[serde(default, deserialize_with = "object")]
    pub metadata: SecretWriteMetadata,
    /// Its type.
    #[serde(default, deserialize_with = "object")]
    pub spec: SecretWriteSpec,
    /// Text values, for `opaque`; a key here wins over the same key in `data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub string_data: Option<UniqueMap<WireText>>,
    /// Base64 values, for `opaque`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<UniqueMap<WireText>>,
    /// Logins, for `registry`.
    #[serde(default, deserialize_with = "some_objects", skip_serializing_if = "Option::is_none")]
    pub registries: Option<Vec<RegistryBody>>,
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

    /// The payload.
    ///
    /// # Errors
    /// When it is missing, does not fit the type, or breaks a rule of the type.
    pub fn payload(&self) -> Result<Payload, Invalid> {
        let kind = self.spec.kind.as_deref().map_or(Ok(SecretType::Opaque), SecretType::parse)?;
        match kind {
            SecretType::Opaque => {
                self.refuse(kind, "registries", self.registries.is_some())?;
                self.opaque()
            }
            SecretType::Variable => {
                self.refuse(kind, "registries", self.registries.is_some())?;
                Err(Invalid::new("stringData", "not read yet"))
            }
            SecretType::Registry => {
                self.refuse(kind, "data", self.data.is_some())?;
                self.refuse(kind, "stringData", self.string_data.is_some())?;
                let logins = self.registries.iter().flatten().map(RegistryBody::login);
                Payload::registry(logins.collect())
            }
        }
    }

    fn refuse(&self, kind: SecretType, field: &str, present: bool) -> Result<(), Invalid> {
        if present {
            return Err(Invalid::new(field, format!("must be left out: the type is {kind}")));
        }
        Ok(())
    }

    fn opaque(&self) -> Result<Payload, Invalid> {
        let mut values = BTreeMap::new();
        for (number, (key, text)) in self.data.iter().flat_map(|data| &data.0).enumerate() {
            let key = data_key("data", number, key)?;
            // EXPOSE: the value is decoded into a plaintext of its own.
            let bytes = STANDARD.decode(text.expose()).map_err(|_| {
                let fix = "must be standard base64 with padding; text goes into stringData";
                Invalid::new(format!("data[\"{key}\"]"), fix)
            })?;
            values.insert(key, Plaintext::new(bytes));
        }
        for (number, (key, text)) in self.string_data.iter().flat_map(|data| &data.0).enumerate() {
            let key = data_key("stringData", number, key)?;
            // EXPOSE: the value is copied into a plaintext of its own.
            values.insert(key, Plaintext::new(text.expose().as_bytes().to_vec()));
        }
        Payload::opaque(values)
    }
}

/// A data key, refused by its place in the order of keys: what is no key may be a value that was
/// put in the wrong place.
fn data_key(field: &str, number: usize, key: &str) -> Result<DataKey, Invalid> {
    DataKey::parse(key).map_err(|wrong| {
        Invalid::new(field, format!("its key number {} {}", number + 1, wrong.fix))
    })
}

impl RegistryBody {
    fn login(&self) -> RegistryLogin {
        // EXPOSE: both are copied into plaintexts of their own.
        let plaintext = |text: &WireText| Plaintext::new(text.expose().as_bytes().to_vec());
        RegistryLogin {
            server: self.server.clone(),
            username: plaintext(&self.username),
            password: plaintext(&self.password),
            email: self.email.clone(),
        }
    }
}

/// One version in the clear.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretData {
    /// Which version it is.
    pub version: u64,
    /// The secret's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Base64 values, for `opaque`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<BTreeMap<String, WireText>>,
    /// Logins, for `registry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registries: Option<Vec<RegistryBody>>,
}

impl SecretData {
    /// A version in its wire form.
    pub fn new(version: u64, payload: &Payload) -> Self {
        let kind = payload.secret_type().as_str().to_owned();
        let (data, registries) = match payload {
            Payload::Opaque(values) => {
                // EXPOSE: the reader was permitted to read the value.
                let encode = |value: &Plaintext| WireText::new(STANDARD.encode(value.expose()));
                let entry = |(key, value): (&DataKey, _)| (key.as_str().to_owned(), encode(value));
                (Some(values.iter().map(entry).collect()), None)
            }
            Payload::Registry(logins) => (None, Some(logins.iter().map(registry).collect())),
            Payload::Variable(_) => (None, None),
        };
        Self { version, kind, data, registries }
    }
}

fn registry(login: &RegistryLogin) -> RegistryBody {
    // EXPOSE: the reader was permitted to read the login, which was checked to be text.
    let text = |bytes: &Plaintext| String::from_utf8_lossy(bytes.expose()).into_owned();
    RegistryBody {
        server: login.server.clone(),
        username: WireText::new(text(&login.username)),
        password: WireText::new(text(&login.password)),
        email: login.email.clone(),
    }
}

/// Labels as they are shown.
pub type Labelled = BTreeMap<String, String>;

/// A secret's metadata.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretMetadata {
    /// Its name.
    pub name: String,
    /// Its project.
    pub project: String,
    /// Its organization.
    pub organization: String,
    /// Its identity.
    pub uid: String,
    /// Its labels.
    pub labels: Labelled,
    /// Its last change.
    pub resource_version: String,
    /// When it was made, RFC 3339.
    pub creation_timestamp: String,
    /// When it last changed, RFC 3339.
    pub update_timestamp: String,
    /// Who made it.
    pub owner: String,
    /// When it was deleted, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<String>,
    /// When it will be purged if it is not undeleted, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purge_timestamp: Option<String>,
}

/// What a secret is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretSpec {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The further projects that it is bound to.
    pub bindings: Vec<BindingBody>,
    /// How many versions are kept, where it says so itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_versions: Option<u32>,
}

/// How a secret stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretStatus {
    /// The version that is read when none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_version: Option<u64>,
}

/// A secret, without its value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SecretBody {
    /// Its metadata.
    pub metadata: SecretMetadata,
    /// What it is.
    pub spec: SecretSpec,
    /// How it stands.
    pub status: SecretStatus,
}

/// A list's metadata.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListMetadata {
    /// The store's resource version when the list's first page was read: a watch from there misses
    /// nothing.
    pub resource_version: String,
    /// What to send as `continue` for the next page; left out on the last one.
    #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
    pub continue_: Option<String>,
}

/// Secrets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SecretList {
    /// The list's metadata.
    pub metadata: ListMetadata,
    /// The secrets, by name.
    pub items: Vec<SecretBody>,
}

/// One version in a secret's history.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionBody {
    /// 1, 2, 3 and so on.
    pub version: u64,
    /// `live`, `deleted` or `destroyed`.
    pub state: String,
    /// When it was written, RFC 3339.
    pub creation_timestamp: String,
    /// Who wrote it.
    pub created_by: String,
}

/// A secret's history.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VersionList {
    /// The versions that are kept, oldest first.
    pub items: Vec<VersionBody>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(json: &str) -> SecretWrite {
        serde_json::from_str(json).unwrap()
    }

    fn refused(json: &str) -> Invalid {
        write(json).payload().err().unwrap()
    }

    #[test]
    fn each_wrong_payload_is_refused_by_field() {
        assert_eq!(refused(r#"{"spec":{"type":"x"}}"#).field, "spec.type");
        assert_eq!(refused(r#"{"data":{"k":"no base64!"}}"#).field, r#"data["k"]"#);
        assert_eq!(refused(r#"{"data":{"a b":"eA=="}}"#).field, "data");
        assert_eq!(refused(r#"{"stringData":{"":"x"}}"#).field, "stringData");
        assert_eq!(refused("{}").field, "data");
        assert_eq!(refused(r#"{"spec":{"type":"registry"}}"#).field, "registries");
        assert_eq!(refused(r#"{"spec":{"type":"registry"},"data":{}}"#).field, "data");
        assert_eq!(refused(r#"{"spec":{"type":"opaque"},"registries":[]}"#).field, "registries");
        assert!(!refused(r#"{"data":{"k":"no base64!"}}"#).to_string().contains("no base64!"));
    }

    #[test]
    fn text_wins_over_base64_of_the_same_key_as_in_kubernetes() {
        let payload = write(r#"{"data":{"k":"b25l","l":"eA=="},"stringData":{"k":"two"}}"#);
        let shown = SecretData::new(3, &payload.payload().unwrap());
        let shown = serde_json::to_string(&shown).unwrap();
        assert_eq!(shown, r#"{"version":3,"type":"opaque","data":{"k":"dHdv","l":"eA=="}}"#);
    }

    #[test]
    fn a_login_goes_in_and_comes_out() {
        let json =
            r#"[{"server":"nvcr.io","username":"$oauthtoken","password":"p","email":"a@b.c"}]"#;
        let secret = write(&format!(r#"{{"spec":{{"type":"registry"}},"registries":{json}}}"#));
        let shown = SecretData::new(1, &secret.payload().unwrap());
        let shown = serde_json::to_string(&shown).unwrap();
        assert_eq!(shown, format!(r#"{{"version":1,"type":"registry","registries":{json}}}"#));
    }
}
