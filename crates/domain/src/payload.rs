//! What one version of a secret holds, and the bytes it is sealed as.

use std::collections::BTreeMap;

use crate::{DataKey, Decoder, Encoder, Invalid, Malformed, Plaintext, SecretType};

/// The largest payload: what a Kubernetes Secret takes.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 20;
const MAX_LOGINS: usize = 64;

/// One login to a container registry.
pub struct RegistryLogin {
    /// The registry's host, and port or path where it has one.
    pub server: String,
    /// The user name; it may be as secret as the password (an access key id, a tenancy).
    pub username: Plaintext,
    /// The password or token.
    pub password: Plaintext,
    /// An e-mail address, where the registry wants one.
    pub email: Option<String>,
}

/// One version's content, by type.
pub enum Payload {
    /// Keys and bytes.
    Opaque(BTreeMap<DataKey, Plaintext>),
    /// Logins, one a server, sorted by server.
    Registry(Vec<RegistryLogin>),
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
    /// larger than [`MAX_PAYLOAD_BYTES`].
    pub fn registry(mut logins: Vec<RegistryLogin>) -> Result<Self, Invalid> {
        if logins.is_empty() || logins.len() > MAX_LOGINS {
            return Err(Invalid::new("registries", format!("must hold 1 to {MAX_LOGINS} logins")));
        }
        for (index, login) in logins.iter().enumerate() {
            check_login(login).map_err(|wrong| wrong.within(&format!("registries[{index}]")))?;
        }
        logins.sort_by(|a, b| a.server.cmp(&b.server));
        if logins.windows(2).any(|pair| matches!(pair, [a, b] if a.server == b.server)) {
            return Err(Invalid::new("registries", "must name each server once"));
        }
        Self::Registry(logins).check_size("registries")
    }

    /// A payload of one value, which may be empty.
    ///
    /// # Errors
    /// When it is larger than [`MAX_PAYLOAD_BYTES`].
    pub fn variable(value: Plaintext) -> Result<Self, Invalid> {
        Self::Variable(value).check_size("data")
    }

    /// The type this payload belongs to.
    pub const fn secret_type(&self) -> SecretType {
        match self {
            Self::Opaque(_) => SecretType::Opaque,
            Self::Registry(_) => SecretType::Registry,
            Self::Variable(_) => SecretType::Variable,
        }
    }

    /// The names of what it holds, which are not secret: data keys, or registry servers.
    pub fn key_names(&self) -> Vec<String> {
        match self {
            Self::Opaque(data) => data.keys().map(|key| key.as_str().to_owned()).collect(),
            Self::Registry(logins) => logins.iter().map(|login| login.server.clone()).collect(),
            Self::Variable(_) => vec!["value".to_owned()],
        }
    }

    /// The bytes that are sealed: a count, then each entry's fields, length-prefixed. The secret's
    /// type is bound by the seal and not repeated here.
    pub fn encode(&self) -> Plaintext {
        let mut out = Encoder::with_capacity(self.encoded_len());
        match self {
            Self::Opaque(data) => {
                out.u32(data.len() as u32);
                for (key, value) in data {
                    // EXPOSE: the encoding is plaintext too, and on its way to the seal.
                    out.text(key.as_str()).bytes(value.expose());
                }
            }
            Self::Registry(logins) => {
                out.u32(logins.len() as u32);
                for login in logins {
                    // EXPOSE: the encoding is plaintext too, and on its way to the seal.
                    out.text(&login.server).bytes(login.username.expose());
                    // EXPOSE: as above.
                    out.bytes(login.password.expose()).u8(u8::from(login.email.is_some()));
                    out.text(login.email.as_deref().unwrap_or_default());
                }
            }
            Self::Variable(value) => {
                // EXPOSE: the encoding is plaintext too, and on its way to the seal.
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
            SecretType::Opaque => {
                let mut data = BTreeMap::new();
                for _ in 0..input.u32()? {
                    let key = DataKey::parse(input.text()?).map_err(|_| Malformed)?;
                    let in_order = data.last_key_value().is_none_or(|(last, _)| *last < key);
                    if !in_order {
                        return Err(Malformed);
                    }
                    data.insert(key, Plaintext::new(input.bytes()?.to_vec()));
                }
                Self::Opaque(data)
            }
            SecretType::Registry => {
                let mut logins = Vec::new();
                for _ in 0..input.u32()? {
                    logins.push(decode_login(&mut input)?);
                }
                Self::Registry(logins)
            }
            SecretType::Variable => Self::Variable(Plaintext::new(input.bytes()?.to_vec())),
        };
        input.finish()?;
        Ok(payload)
    }

    fn encoded_len(&self) -> usize {
        let entries: usize = match self {
            Self::Opaque(data) => {
                data.iter().map(|(key, value)| 8 + key.as_str().len() + value.len()).sum()
            }
            Self::Registry(logins) => logins.iter().map(login_len).sum(),
            Self::Variable(value) => value.len(),
        };
        4 + entries
    }

    fn check_size(self, field: &str) -> Result<Self, Invalid> {
        if self.encoded_len() > MAX_PAYLOAD_BYTES {
            let fix = format!("must be at most {MAX_PAYLOAD_BYTES} bytes in all, keys included");
            return Err(Invalid::new(field, fix));
        }
        Ok(self)
    }
}

fn login_len(login: &RegistryLogin) -> usize {
    let email = login.email.as_deref().unwrap_or_default();
    17 + login.server.len() + login.username.len() + login.password.len() + email.len()
}

fn decode_login(input: &mut Decoder<'_>) -> Result<RegistryLogin, Malformed> {
    let server = input.text()?.to_owned();
    let username = Plaintext::new(input.bytes()?.to_vec());
    let password = Plaintext::new(input.bytes()?.to_vec());
    let has_email = input.u8()?;
    let email = input.text()?.to_owned();
    let email = match (has_email, email.is_empty()) {
        (0, true) => None,
        (1, _) => Some(email),
        _ => return Err(Malformed),
    };
    Ok(RegistryLogin { server, username, password, email })
}

fn check_login(login: &RegistryLogin) -> Result<(), Invalid> {
    let printable = |text: &str| !text.chars().any(|c| c.is_control() || c.is_whitespace());
    if login.server.is_empty() || login.server.len() > 512 || !printable(&login.server) {
        return Err(Invalid::new(
            "server",
            "must be a registry host, 1 to 512 bytes, no white space",
        ));
    }
    // EXPOSE: only whether the user name is usable in Basic authentication is looked at.
    let username = login.username.expose();
    if username.is_empty() || username.contains(&b':') || std::str::from_utf8(username).is_err() {
        let fix = "must be text, not empty and without `:` (RFC 7617)";
        return Err(Invalid::new("username", fix));
    }
    // EXPOSE: only whether the password is text is looked at.
    if login.password.is_empty() || std::str::from_utf8(login.password.expose()).is_err() {
        return Err(Invalid::new("password", "must be text and not empty"));
    }
    if login.email.as_deref().is_some_and(|email| email.len() > 320 || !printable(email)) {
        return Err(Invalid::new("email", "must be an e-mail address of at most 320 bytes"));
    }
    Ok(())
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

    #[test]
    fn a_registry_payload_names_each_server_once() {
        let twice = vec![login("r", "u", "p"), login("r", "v", "q")];
        assert_eq!(Payload::registry(twice).err().unwrap().field, "registries");
        assert_eq!(Payload::registry(vec![]).err().unwrap().field, "registries");
    }

    #[test]
    fn a_login_that_no_registry_could_take_is_refused_by_field() {
        let field = |login| Payload::registry(vec![login]).err().unwrap().field;
        assert_eq!(field(login("", "u", "p")), "registries[0].server");
        assert_eq!(field(login("a b", "u", "p")), "registries[0].server");
        assert_eq!(field(login("r", "", "p")), "registries[0].username");
        assert_eq!(field(login("r", "a:b", "p")), "registries[0].username");
        assert_eq!(field(login("r", "u", "")), "registries[0].password");
    }

    proptest! {
        #[test]
        fn what_is_decoded_was_encoded_exactly_so(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            for kind in SecretType::ALL {
                if let Ok(payload) = Payload::decode(kind, &Plaintext::new(bytes.clone())) {
                    prop_assert_eq!(encoded(&payload), bytes.clone());
                }
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
