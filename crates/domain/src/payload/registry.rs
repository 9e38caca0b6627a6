//! Logins to container registries.

use std::collections::BTreeSet;

use crate::{Decoder, Encoder, Invalid, Malformed, Plaintext};

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

impl RegistryLogin {
    /// A second copy, by name rather than by `Clone`, so that it is found when reading.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            server: self.server.clone(),
            username: self.username.duplicate(),
            password: self.password.duplicate(),
            email: self.email.clone(),
        }
    }
}

/// Checks logins, which keep their order.
pub(super) fn check(logins: Vec<RegistryLogin>) -> Result<Vec<RegistryLogin>, Invalid> {
    if logins.is_empty() || logins.len() > MAX_LOGINS {
        return Err(Invalid::new("registries", format!("must hold 1 to {MAX_LOGINS} logins")));
    }
    for (index, login) in logins.iter().enumerate() {
        check_login(login).map_err(|wrong| wrong.within(&format!("registries[{index}]")))?;
    }
    if !names_each_once(&logins) {
        return Err(Invalid::new("registries", "must name each server once"));
    }
    Ok(logins)
}

fn names_each_once(logins: &[RegistryLogin]) -> bool {
    let mut seen = BTreeSet::new();
    logins.iter().all(|login| seen.insert(login.server.as_str()))
}

pub(super) fn encoded_len(logins: &[RegistryLogin]) -> usize {
    let login = |login: &RegistryLogin| {
        let email = login.email.as_deref().unwrap_or_default();
        17 + login.server.len() + login.username.len() + login.password.len() + email.len()
    };
    4 + logins.iter().map(login).sum::<usize>()
}

pub(super) fn encode(logins: &[RegistryLogin], out: &mut Encoder) {
    out.u32(logins.len() as u32);
    for login in logins {
        // EXPOSE: the encoding is plaintext too, and on its way to the seal.
        out.text(&login.server).bytes(login.username.expose());
        // EXPOSE: as above.
        out.bytes(login.password.expose()).u8(u8::from(login.email.is_some()));
        out.text(login.email.as_deref().unwrap_or_default());
    }
}

pub(super) fn decode(input: &mut Decoder<'_>) -> Result<Vec<RegistryLogin>, Malformed> {
    let mut logins: Vec<RegistryLogin> = Vec::new();
    for _ in 0..input.u32()? {
        logins.push(decode_login(input)?);
    }
    if names_each_once(&logins) { Ok(logins) } else { Err(Malformed) }
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
    use super::*;
    use crate::Payload;

    fn login(server: &str, username: &str, password: &str) -> RegistryLogin {
        let text = |text: &str| Plaintext::new(text.as_bytes().to_vec());
        RegistryLogin {
            server: server.to_owned(),
            username: text(username),
            password: text(password),
            email: None,
        }
    }

    #[test]
    fn a_registry_payload_names_each_server_once() {
        let twice = vec![login("r", "u", "p"), login("r", "v", "q")];
        assert_eq!(Payload::registry(twice).err().unwrap().field, "registries");
        assert_eq!(Payload::registry(vec![]).err().unwrap().field, "registries");
    }

    #[test]
    fn logins_keep_their_order() {
        let payload = Payload::registry(vec![login("z", "u", "p"), login("a", "u", "p")]).unwrap();
        let encoded = payload.encode();
        let Ok(Payload::Registry(logins)) = Payload::decode(payload.secret_type(), &encoded) else {
            panic!("it is of its own type");
        };
        assert_eq!(logins.iter().map(|l| l.server.as_str()).collect::<Vec<_>>(), ["z", "a"]);
        let mut twice = Encoder::default();
        encode(&[login("r", "u", "p"), login("r", "v", "q")], &mut twice);
        let bytes = twice.finish();
        assert!(decode(&mut Decoder::new(&bytes)).is_err());
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

    /// Quotes are escaped, and the login is repeated in base64: a payload that fits may become a
    /// Kubernetes Secret that does not.
    #[test]
    fn logins_are_refused_when_their_kubernetes_form_is_too_large() {
        let large = |length| Payload::registry(vec![login("r", "u", &"p".repeat(length))]);
        assert!(large(400_000).is_ok());
        let refused = large(600_000).err().unwrap();
        assert_eq!(refused.field, "registries");
        assert!(refused.fix.contains("Kubernetes"), "{refused}");
    }
}
