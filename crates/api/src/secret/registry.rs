//! Registry logins on the wire.

use domain::{Plaintext, RegistryLogin};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::WireText;

/// One login to a registry.
#[derive(Serialize, Deserialize, ToSchema)]
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

impl RegistryBody {
    /// A login in its wire form.
    pub(super) fn new(login: &RegistryLogin) -> Self {
        // EXPOSE: the reader was permitted to read the login, which was checked to be text.
        let text = |bytes: &Plaintext| String::from_utf8_lossy(bytes.expose()).into_owned();
        Self {
            server: login.server.clone(),
            username: WireText::new(text(&login.username)),
            password: WireText::new(text(&login.password)),
            email: login.email.clone(),
        }
    }

    pub(super) fn login(&self) -> RegistryLogin {
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
