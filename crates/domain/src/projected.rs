//! Which Kubernetes Secret a payload becomes.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use zeroize::Zeroizing;

use crate::{DataKey, Payload, Plaintext, RegistryLogin, SecretName};

/// The `type` and `data` of a Kubernetes Secret.
pub struct KubernetesSecret {
    /// Its `type`; one of the two that Tresor may make. It never makes a type that has Kubernetes
    /// mint a credential, such as `kubernetes.io/service-account-token`.
    pub type_: &'static str,
    /// Its `data`, before base64.
    pub data: BTreeMap<String, Plaintext>,
}

impl KubernetesSecret {
    /// What the payload of a secret of that name becomes.
    pub fn from_payload(payload: Payload, name: &SecretName) -> Self {
        match payload {
            Payload::Opaque(data) => Self {
                type_: "Opaque",
                data: data
                    .into_iter()
                    .map(|(key, value)| (key.as_str().to_owned(), value))
                    .collect(),
            },
            Payload::Registry(logins) => Self {
                type_: "kubernetes.io/dockerconfigjson",
                data: BTreeMap::from([(".dockerconfigjson".to_owned(), docker_config(&logins))]),
            },
            Payload::Variable(value) => Self {
                type_: "Opaque",
                data: BTreeMap::from([(DataKey::for_name(name).as_str().to_owned(), value)]),
            },
        }
    }
}

/// The `config.json` that container runtimes read: per server the user name, the password, both as
/// `auth` for Basic authentication, and the e-mail address if there is one.
fn docker_config(logins: &[RegistryLogin]) -> Plaintext {
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

    fn login(server: &str, password: &str, email: Option<&str>) -> RegistryLogin {
        RegistryLogin {
            server: server.to_owned(),
            username: Plaintext::new(b"$oauthtoken".to_vec()),
            password: Plaintext::new(password.as_bytes().to_vec()),
            email: email.map(str::to_owned),
        }
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
                r#"{"auths":{"ghcr.io":{"username":"$oauthtoken","password":"p","email":"a@b.c","auth":"JG9hdXRodG9rZW46cA=="},"#,
                r#""nvcr.io":{"username":"$oauthtoken","password":"pa\"ss","auth":"JG9hdXRodG9rZW46cGEic3M="}}}"#
            )
        );
    }
}
