//! Which Kubernetes Secret a payload becomes.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use zeroize::Zeroizing;

use crate::{DataKey, Fields, Payload, Plaintext, RegistryLogin, SecretName};

/// The `type` and `data` of a Kubernetes Secret.
pub struct KubernetesSecret {
    /// Its `type`; see [`crate::SecretType::kubernetes_type`].
    pub type_: &'static str,
    /// Its `data`, before base64.
    pub data: BTreeMap<String, Plaintext>,
}

impl KubernetesSecret {
    /// What the payload of a secret of that name becomes.
    pub fn from_payload(payload: Payload, name: &SecretName) -> Self {
        let type_ = payload.secret_type().kubernetes_type();
        let key = |key: &DataKey| key.as_str().to_owned();
        let data = match payload {
            Payload::Document(document) => document.project(),
            Payload::Opaque(data) => {
                data.into_iter().map(|(name, value)| (key(&name), value)).collect()
            }
            Payload::Registry(logins) => {
                BTreeMap::from([(".dockerconfigjson".to_owned(), docker_config(&logins))])
            }
            Payload::S3(fields) => renamed(&fields, &S3_KEYS),
            Payload::Ssh(fields) => renamed(&fields, &SSH_KEYS),
            Payload::Variable(value) => BTreeMap::from([(key(&DataKey::for_name(name)), value)]),
        };
        Self { type_, data }
    }
}

/// The keys of an `ssh` secret, by field.
const SSH_KEYS: [(&str, &str); 4] = [
    ("username", "username"),
    ("password", "password"),
    ("privateKey", "authorize"),
    ("publicKey", "authorize.pub"),
];

/// The keys of an `s3` secret, by field: the environment variables that the AWS SDKs read
/// (<https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html>). The region has two,
/// since boto3 reads only the second. No SDK reads a bucket: its key is the one that Open Data Hub's
/// data connections use.
const S3_KEYS: [(&str, &str); 7] = [
    ("accessKeyId", "AWS_ACCESS_KEY_ID"),
    ("secretAccessKey", "AWS_SECRET_ACCESS_KEY"),
    ("sessionToken", "AWS_SESSION_TOKEN"),
    ("endpoint", "AWS_ENDPOINT_URL"),
    ("region", "AWS_REGION"),
    ("region", "AWS_DEFAULT_REGION"),
    ("bucket", "AWS_S3_BUCKET"),
];

fn renamed(fields: &Fields, keys: &[(&str, &str)]) -> BTreeMap<String, Plaintext> {
    let entry =
        |(field, key): &(&str, &str)| Some(((*key).to_owned(), fields.value(field)?.duplicate()));
    keys.iter().filter_map(entry).collect()
}

/// The `config.json` that container runtimes read: per server the user name, the password, both as
/// `auth` for Basic authentication, and the e-mail address if there is one.
pub(crate) fn docker_config(logins: &[RegistryLogin]) -> Plaintext {
    // Room for the longest escape of every byte, so that the buffer never grows and leaves a copy.
    let room: usize = logins
        .iter()
        .map(|l| {
            128 + 6 * l.server.len()
                + 8 * (l.username.len() + l.password.len())
                + 6 * l.email.as_ref().map_or(0, String::len)
        })
        .sum();
    let mut out = Vec::with_capacity(32 + room);
    let written = serde_json::to_writer(&mut out, &DockerConfig { auths: Auths(logins) });
    debug_assert!(written.is_ok(), "a login holds text only, which always serializes");
    Plaintext::new(out)
}

#[derive(Serialize)]
struct DockerConfig<'a> {
    auths: Auths<'a>,
}

struct Auths<'a>(&'a [RegistryLogin]);

impl Serialize for Auths<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for login in self.0 {
            map.serialize_entry(&login.server, &Auth::new(login))?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct Auth<'a> {
    username: &'a str,
    password: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    auth: Zeroizing<String>,
}

impl<'a> Auth<'a> {
    fn new(login: &'a RegistryLogin) -> Self {
        // EXPOSE: the runtime needs the login itself; both were checked to be text when stored.
        let username = std::str::from_utf8(login.username.expose()).unwrap_or_default();
        // EXPOSE: as above.
        let password = std::str::from_utf8(login.password.expose()).unwrap_or_default();
        let mut pair = Zeroizing::new(String::with_capacity(username.len() + password.len() + 1));
        pair.push_str(username);
        pair.push(':');
        pair.push_str(password);
        let auth = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
        Self { username, password, email: login.email.as_deref(), auth }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretType;

    fn login(server: &str, password: &str, email: Option<&str>) -> RegistryLogin {
        RegistryLogin {
            server: server.to_owned(),
            username: Plaintext::new(b"$oauthtoken".to_vec()),
            password: Plaintext::new(password.as_bytes().to_vec()),
            email: email.map(str::to_owned),
        }
    }

    fn projected(kind: SecretType, given: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut fields = Fields::of(kind);
        for (name, value) in given {
            fields.set(name, Some(Plaintext::new(value.as_bytes().to_vec()))).unwrap();
        }
        let payload = Payload::of_fields(kind, fields).unwrap();
        let secret = KubernetesSecret::from_payload(payload, &SecretName::parse("a/b").unwrap());
        assert_eq!(secret.type_, "Opaque");
        // EXPOSE: a test compares the bytes.
        let text = |value: &Plaintext| String::from_utf8(value.expose().to_vec()).unwrap();
        secret.data.iter().map(|(key, value)| (key.clone(), text(value))).collect()
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_types_with_fields_become_the_keys_that_workloads_read() {
        assert_eq!(
            projected(SecretType::Variable, &[("value", "v")]),
            owned(&[("a-b-c14cddc0", "v")])
        );
        let login = [("username", "u"), ("password", "p")];
        assert_eq!(
            projected(SecretType::Ssh, &login),
            owned(&[("password", "p"), ("username", "u")])
        );
        let private = include_str!("../tests/keys/ed25519.openssh");
        let public = include_str!("../tests/keys/ed25519.pub");
        let pair = [("username", "u"), ("privateKey", private), ("publicKey", public)];
        let keys = owned(&[("authorize", private), ("authorize.pub", public), ("username", "u")]);
        assert_eq!(projected(SecretType::Ssh, &pair), keys);
        let least = [("accessKeyId", "i"), ("secretAccessKey", "s")];
        let expected = owned(&[("AWS_ACCESS_KEY_ID", "i"), ("AWS_SECRET_ACCESS_KEY", "s")]);
        assert_eq!(projected(SecretType::S3, &least), expected);
        let rest =
            [("sessionToken", "t"), ("endpoint", "http://h"), ("region", "r"), ("bucket", "b")];
        let expected = owned(&[
            ("AWS_ACCESS_KEY_ID", "i"),
            ("AWS_DEFAULT_REGION", "r"),
            ("AWS_ENDPOINT_URL", "http://h"),
            ("AWS_REGION", "r"),
            ("AWS_S3_BUCKET", "b"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("AWS_SESSION_TOKEN", "t"),
        ]);
        assert_eq!(projected(SecretType::S3, &[&least[..], &rest[..]].concat()), expected);
    }

    #[test]
    fn logins_become_the_file_that_container_runtimes_read() {
        let payload = Payload::registry(vec![
            login("nvcr.io", "pa\"ss", None),
            login("ghcr.io", "p", Some("a@b.c")),
        ]);
        let secret =
            KubernetesSecret::from_payload(payload.unwrap(), &SecretName::parse("hf").unwrap());
        assert_eq!(secret.type_, "kubernetes.io/dockerconfigjson");
        // EXPOSE: a test compares the bytes.
        let text = std::str::from_utf8(secret.data[".dockerconfigjson"].expose()).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"auths":{"nvcr.io":{"username":"$oauthtoken","password":"pa\"ss","auth":"JG9hdXRodG9rZW46cGEic3M="},"#,
                r#""ghcr.io":{"username":"$oauthtoken","password":"p","email":"a@b.c","auth":"JG9hdXRodG9rZW46cA=="}}}"#
            )
        );
    }
}
