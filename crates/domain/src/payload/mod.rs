//! What one version of a secret holds, and the bytes it is sealed as.

mod document;
mod fields;
mod json;
mod key_pair;
mod opaque;
mod registry;
mod s3;
mod ssh;

use std::collections::BTreeMap;

pub use document::Document;
pub use fields::Fields;
pub use registry::RegistryLogin;

use crate::projected::docker_config;
use crate::{DataKey, Decoder, Encoder, Invalid, Malformed, Plaintext, SecretType};

/// The largest payload: what a Kubernetes Secret takes.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 20;

/// One version's content, by type. The functions that make one check it; what they refuse they
/// refuse by field.
pub enum Payload {
    /// A JSON object.
    Document(Document),
    /// Keys and bytes.
    Opaque(BTreeMap<DataKey, Plaintext>),
    /// Logins, one a server, in the order in which they were given.
    Registry(Vec<RegistryLogin>),
    /// Access to an S3 object store.
    S3(Fields),
    /// A user name, and a password or a key pair.
    Ssh(Fields),
    /// One value.
    Variable(Plaintext),
}

impl Payload {
    /// A payload of keys and bytes.
    ///
    /// # Errors
    /// When it is empty or larger than [`MAX_PAYLOAD_BYTES`].
    pub fn opaque(data: BTreeMap<DataKey, Plaintext>) -> Result<Self, Invalid> {
        if data.is_empty() {
            return Err(Invalid::new("data", "must hold at least one key"));
        }
        Self::Opaque(data).check_size("data")
    }

    /// A payload of registry logins.
    ///
    /// # Errors
    /// When there is none, a server appears twice or is no host, a field is empty, or all of it is
    /// larger than [`MAX_PAYLOAD_BYTES`] here or as a Kubernetes Secret.
    pub fn registry(logins: Vec<RegistryLogin>) -> Result<Self, Invalid> {
        let logins = registry::check(logins)?;
        if docker_config(&logins).len() > MAX_PAYLOAD_BYTES {
            let fix = format!("must be at most {MAX_PAYLOAD_BYTES} bytes as a Kubernetes Secret");
            return Err(Invalid::new("registries", fix));
        }
        Self::Registry(logins).check_size("registries")
    }

    /// A payload of one value, which may be empty.
    ///
    /// # Errors
    /// When it is larger than [`MAX_PAYLOAD_BYTES`].
    pub fn variable(value: Plaintext) -> Result<Self, Invalid> {
        Self::Variable(value).check_size("value")
    }

    /// A payload of `username` and either `password` or `privateKey` and `publicKey`.
    ///
    /// Private keys are taken as OpenSSH, PKCS#1, PKCS#8 or SEC1 files, public keys as OpenSSH
    /// writes them, of RSA, ECDSA on P-256, P-384 and P-521, and Ed25519. The bytes are kept as they
    /// are.
    ///
    /// # Errors
    /// When a field is missing or too many, a key is not understood or encrypted, or the two halves
    /// do not match. The error's field is the one at fault.
    pub fn ssh(fields: Fields) -> Result<Self, Invalid> {
        ssh::check(&fields)?;
        Self::Ssh(fields).check_size("username")
    }

    /// A payload of `accessKeyId`, `secretAccessKey` and, where they are given, `sessionToken`,
    /// `endpoint`, `region` and `bucket`.
    ///
    /// # Errors
    /// When a field is missing or of the wrong form. The error's field is the one at fault.
    pub fn s3(fields: Fields) -> Result<Self, Invalid> {
        s3::check(&fields)?;
        Self::S3(fields).check_size("accessKeyId")
    }

    /// A payload of a type whose fields are fixed ([`SecretType::fields`]).
    ///
    /// # Errors
    /// As [`Payload::variable`], [`Payload::ssh`] and [`Payload::s3`]; and `spec.type` for a type
    /// without fixed fields.
    pub fn of_fields(kind: SecretType, mut fields: Fields) -> Result<Self, Invalid> {
        match kind {
            SecretType::S3 => Self::s3(fields),
            SecretType::Ssh => Self::ssh(fields),
            SecretType::Variable => {
                let value = fields.take("value");
                Self::variable(value.ok_or_else(|| Invalid::new("value", "must be given"))?)
            }
            SecretType::Document | SecretType::Opaque | SecretType::Registry => {
                Err(Invalid::new("spec.type", "must be variable, ssh or s3"))
            }
        }
    }

    /// The fields of a payload whose type has fixed ones, in the type's order.
    pub fn fields(&self) -> Option<Vec<(&'static str, &Plaintext)>> {
        match self {
            Self::S3(fields) | Self::Ssh(fields) => Some(fields.iter().collect()),
            Self::Variable(value) => Some(vec![("value", value)]),
            Self::Document(_) | Self::Opaque(_) | Self::Registry(_) => None,
        }
    }

    /// The type this payload belongs to.
    pub const fn secret_type(&self) -> SecretType {
        match self {
            Self::Document(_) => SecretType::Document,
            Self::Opaque(_) => SecretType::Opaque,
            Self::Registry(_) => SecretType::Registry,
            Self::S3(_) => SecretType::S3,
            Self::Ssh(_) => SecretType::Ssh,
            Self::Variable(_) => SecretType::Variable,
        }
    }

    /// The names of what it holds, which are not secret: data keys, fields, registry servers, or
    /// top-level members.
    pub fn key_names(&self) -> Vec<String> {
        match self {
            Self::Document(document) => document.names(),
            Self::Opaque(data) => data.keys().map(|key| key.as_str().to_owned()).collect(),
            Self::Registry(logins) => logins.iter().map(|login| login.server.clone()).collect(),
            Self::S3(fields) | Self::Ssh(fields) => {
                fields.iter().map(|(name, _)| name.to_owned()).collect()
            }
            Self::Variable(_) => vec!["value".to_owned()],
        }
    }

    /// A second copy, by name rather than by `Clone`, so that it is found when reading.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        match self {
            Self::Document(document) => Self::Document(document.duplicate()),
            Self::Opaque(data) => {
                let entries = data.iter().map(|(key, value)| (key.clone(), value.duplicate()));
                Self::Opaque(entries.collect())
            }
            Self::Registry(logins) => {
                Self::Registry(logins.iter().map(RegistryLogin::duplicate).collect())
            }
            Self::S3(fields) => Self::S3(fields.duplicate()),
            Self::Ssh(fields) => Self::Ssh(fields.duplicate()),
            Self::Variable(value) => Self::Variable(value.duplicate()),
        }
    }

    /// The bytes that are sealed. The secret's type is bound by the seal and not repeated here.
    ///
    /// `opaque` and `registry`: a count, then each entry's fields, length-prefixed. `ssh` and `s3`:
    /// for each field of the type a byte, 1 when there is a value, which follows length-prefixed, or
    /// 0. `variable` and `document`: the value or the JSON, length-prefixed.
    pub fn encode(&self) -> Plaintext {
        let mut out = Encoder::with_capacity(self.encoded_len());
        match self {
            Self::Document(document) => {
                // EXPOSE: the encoding is plaintext too, and on its way to the seal.
                out.bytes(document.text().expose());
            }
            Self::Opaque(data) => opaque::encode(data, &mut out),
            Self::Registry(logins) => registry::encode(logins, &mut out),
            Self::S3(fields) | Self::Ssh(fields) => fields.encode(&mut out),
            Self::Variable(value) => {
                // EXPOSE: as above.
                out.bytes(value.expose());
            }
        }
        Plaintext::new(out.finish())
    }

    /// Reads back what [`Payload::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not exactly an encoding of that type.
    pub fn decode(kind: SecretType, encoded: &Plaintext) -> Result<Self, Malformed> {
        // EXPOSE: the decoder copies each field into a plaintext of its own.
        let mut input = Decoder::new(encoded.expose());
        let payload = match kind {
            SecretType::Document => Self::Document(decode_document(&mut input)?),
            SecretType::Opaque => Self::Opaque(opaque::decode(&mut input)?),
            SecretType::Registry => Self::Registry(registry::decode(&mut input)?),
            SecretType::S3 => Self::S3(Fields::decode(kind, &mut input)?),
            SecretType::Ssh => Self::Ssh(Fields::decode(kind, &mut input)?),
            SecretType::Variable => Self::Variable(Plaintext::new(input.bytes()?.to_vec())),
        };
        input.finish()?;
        Ok(payload)
    }

    fn encoded_len(&self) -> usize {
        match self {
            Self::Document(document) => 4 + document.text().len(),
            Self::Opaque(data) => opaque::encoded_len(data),
            Self::Registry(logins) => registry::encoded_len(logins),
            Self::S3(fields) | Self::Ssh(fields) => fields.encoded_len(),
            Self::Variable(value) => 4 + value.len(),
        }
    }

    fn check_size(self, field: &str) -> Result<Self, Invalid> {
        if self.encoded_len() > MAX_PAYLOAD_BYTES {
            let fix = format!("must be at most {MAX_PAYLOAD_BYTES} bytes in all, keys included");
            return Err(Invalid::new(field, fix));
        }
        Ok(self)
    }
}

fn decode_document(input: &mut Decoder<'_>) -> Result<Document, Malformed> {
    let text = input.bytes()?;
    let document = Document::parse(text).map_err(|_| Malformed)?;
    // EXPOSE: the text is compared with its one stored form.
    if document.text().expose() == text { Ok(document) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn opaque(entries: &[(&str, &[u8])]) -> Result<Payload, Invalid> {
        let entry = |(key, value): &(&str, &[u8])| {
            (DataKey::parse(key).unwrap(), Plaintext::new(value.to_vec()))
        };
        Payload::opaque(entries.iter().map(entry).collect())
    }

    fn login(server: &str, username: &str, password: &str) -> RegistryLogin {
        let text = |text: &str| Plaintext::new(text.as_bytes().to_vec());
        RegistryLogin {
            server: server.to_owned(),
            username: text(username),
            password: text(password),
            email: None,
        }
    }

    fn encoded(payload: &Payload) -> Vec<u8> {
        // EXPOSE: a test compares encodings.
        payload.encode().expose().to_vec()
    }

    #[test]
    fn an_opaque_payload_is_not_empty_and_at_most_a_mebibyte() {
        assert_eq!(opaque(&[]).err().unwrap().field, "data");
        let largest = vec![0; MAX_PAYLOAD_BYTES - 4 - 8 - 1];
        assert!(opaque(&[("k", &largest)]).is_ok());
        let larger = vec![0; MAX_PAYLOAD_BYTES - 4 - 8];
        assert_eq!(opaque(&[("k", &larger)]).err().unwrap().field, "data");
    }

    fn fields(kind: SecretType, values: &[Option<Vec<u8>>]) -> Fields {
        let mut fields = Fields::of(kind);
        for (name, value) in kind.fields().iter().zip(values) {
            fields.set(name, value.clone().map(Plaintext::new)).unwrap();
        }
        fields
    }

    fn document(text: &str) -> Result<Payload, Invalid> {
        Document::parse(text.as_bytes()).map(Payload::Document)
    }

    #[test]
    fn a_variable_is_one_value_of_at_most_a_mebibyte() {
        let of = |length| Payload::variable(Plaintext::new(vec![0; length]));
        assert!(of(0).is_ok() && of(MAX_PAYLOAD_BYTES - 4).is_ok());
        assert_eq!(of(MAX_PAYLOAD_BYTES - 3).err().unwrap().field, "value");
        let none = Payload::of_fields(SecretType::Variable, Fields::of(SecretType::Variable));
        assert_eq!(none.err().unwrap().field, "value");
    }

    #[test]
    fn the_encodings_of_the_types_are_pinned_because_they_are_stored() {
        let value = |text: &str| Some(text.as_bytes().to_vec());
        let ssh = fields(SecretType::Ssh, &[value("u"), value("pw"), None, None]);
        let s3 = fields(SecretType::S3, &[value("i"), value("s"), None, value("http://h")]);
        let of = |payload: Result<Payload, Invalid>| encoded(&payload.unwrap());
        assert_eq!(of(Payload::ssh(ssh)), b"\x01\0\0\0\x01u\x01\0\0\0\x02pw\0\0");
        assert_eq!(
            of(Payload::s3(s3)),
            b"\x01\0\0\0\x01i\x01\0\0\0\x01s\0\x01\0\0\0\x08http://h\0\0"
        );
        assert_eq!(of(document(" {\"a\" : 1.0}")), b"\0\0\0\x09{\"a\":1.0}");
        assert_eq!(of(Payload::variable(Plaintext::new(b"v".to_vec()))), b"\0\0\0\x01v");
        assert_eq!(of(opaque(&[("k", b"v")])), b"\0\0\0\x01\0\0\0\x01k\0\0\0\x01v");
    }

    #[test]
    fn names_are_shown_and_values_are_not() {
        let value = |text: &str| Some(text.as_bytes().to_vec());
        let ssh = Payload::Ssh(fields(SecretType::Ssh, &[value("MARK"), value("MARK")]));
        let s3 = Payload::S3(fields(SecretType::S3, &[value("MARK"), value("MARK")]));
        for (payload, names) in [
            (ssh, vec!["username", "password"]),
            (s3, vec!["accessKeyId", "secretAccessKey"]),
            (document(r#"{"b":"MARK","a":{"c":"MARK"}}"#).unwrap(), vec!["b", "a"]),
            (Payload::Variable(Plaintext::new(b"MARK".to_vec())), vec!["value"]),
            (opaque(&[("k", b"MARK")]).unwrap(), vec!["k"]),
            (Payload::registry(vec![login("r", "MARK", "MARK")]).unwrap(), vec!["r"]),
        ] {
            assert_eq!(payload.key_names(), names);
        }
    }

    proptest! {
        #[test]
        fn what_is_decoded_was_encoded_exactly_so(bytes in proptest::collection::vec(0u8..5, 0..64)) {
            for kind in SecretType::ALL {
                if let Ok(payload) = Payload::decode(kind, &Plaintext::new(bytes.clone())) {
                    prop_assert_eq!(encoded(&payload), bytes.clone());
                    prop_assert_eq!(encoded(&payload.duplicate()), bytes.clone());
                }
            }
        }

        #[test]
        fn an_accepted_encoding_of_a_document_is_the_only_one(text in "\\{( ?\"(a|\\\\u0062|\\\\/)\": ?(1|1\\.0|\"x\"|\\[ ?\\])){0,1}\\}") {
            let mut stored = Encoder::default();
            stored.text(&text);
            let stored = stored.finish();
            if let Ok(payload) = Payload::decode(SecretType::Document, &Plaintext::new(stored.clone())) {
                prop_assert_eq!(encoded(&payload), stored);
            }
            let canonical = document(&text).unwrap().encode();
            prop_assert!(Payload::decode(SecretType::Document, &canonical).is_ok());
        }

        #[test]
        fn fields_survive(values in proptest::collection::vec(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)), 6)) {
            for (kind, payload) in [
                (SecretType::Ssh, Payload::Ssh(fields(SecretType::Ssh, &values))),
                (SecretType::S3, Payload::S3(fields(SecretType::S3, &values))),
            ] {
                let bytes = payload.encode();
                prop_assert_eq!(bytes.len(), payload.encoded_len());
                let back = Payload::decode(kind, &bytes).unwrap();
                prop_assert_eq!(encoded(&back), encoded(&payload));
                prop_assert_eq!(back.key_names(), payload.key_names());
            }
        }

        #[test]
        fn an_opaque_payload_survives(data in proptest::collection::btree_map("[a-z]{1,8}", proptest::collection::vec(any::<u8>(), 0..40), 1..5)) {
            let entries: Vec<_> = data.iter().map(|(key, value)| (key.as_str(), value.as_slice())).collect();
            let payload = opaque(&entries).unwrap();
            let bytes = payload.encode();
            let back = Payload::decode(SecretType::Opaque, &bytes).unwrap();
            prop_assert_eq!(encoded(&back), encoded(&payload));
            prop_assert_eq!(bytes.len(), payload.encoded_len());
        }

        #[test]
        fn a_registry_payload_survives(server in "[a-z.]{1,20}", user in "[a-z$]{1,9}", password in "\\PC{1,20}", email in proptest::option::of("[a-z@.]{0,9}")) {
            let mut one = login(&server, &user, &password);
            one.email = email;
            let payload = Payload::registry(vec![one]).unwrap();
            let bytes = payload.encode();
            let back = Payload::decode(SecretType::Registry, &bytes).unwrap();
            prop_assert_eq!(encoded(&back), encoded(&payload));
            prop_assert_eq!(bytes.len(), payload.encoded_len());
        }
    }
}
