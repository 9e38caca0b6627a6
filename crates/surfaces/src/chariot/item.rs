//! Items: secrets as the platform shows them, masked or in clear.

use domain::{Invalid, Payload, Plaintext, RegistryLogin};
use serde::{Serialize, Serializer};
use vault::SecretView;

use super::key::Key;

/// What stands in the place of a value.
pub(super) const MASK: &str = "********";

/// An item, in the platform's order of members.
#[derive(Serialize)]
pub(super) struct Item<'a> {
    #[serde(rename = "_id")]
    pub(super) id: String,
    #[serde(rename = "_key")]
    pub(super) key: String,
    #[serde(rename = "_type")]
    pub(super) kind: &'static str,
    #[serde(rename = "_updated_at")]
    pub(super) updated_at: u64,
    pub(super) name: &'a str,
    pub(super) value: Value<'a>,
}

/// The value of an item.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Value<'a> {
    /// Values by name.
    Fields(Fields<'a>),
    /// One login.
    Login(Login<'a>),
    /// Logins to several registries, which only other interfaces give a secret.
    Logins { registries: Vec<Login<'a>> },
    /// One text, or what stands in the place of a value.
    Text(&'a str),
}

/// Values by name, in their order.
pub(super) struct Fields<'a>(Vec<(&'static str, &'a str)>);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

/// A login to a registry.
#[derive(Serialize)]
pub(super) struct Login<'a> {
    server: &'a str,
    username: &'a str,
    password: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
}

impl<'a> Item<'a> {
    /// A secret with its value masked; none for what is no item: a secret of another type, or one
    /// without a value.
    pub(super) fn masked(view: &'a SecretView) -> Option<Self> {
        let key = Key::of(view)?;
        view.head.current()?;
        let (id, kind) = (key.id(), key.type_name());
        Some(Self {
            key: format!("{kind}/{id}"),
            id,
            kind,
            updated_at: view.head.updated_at.unix_millis() / 1000,
            name: view.head.path.name.as_str(),
            value: Value::Text(MASK),
        })
    }

    /// The same with its value.
    pub(super) fn with(self, value: Value<'a>) -> Self {
        Self { value, ..self }
    }
}

impl<'a> Value<'a> {
    /// A payload in clear.
    ///
    /// # Errors
    /// When it holds bytes that are no text, which other interfaces may have stored.
    pub(super) fn clear(payload: &'a Payload) -> Result<Self, Invalid> {
        if let Payload::Registry(logins) = payload {
            let shown: Result<Vec<_>, _> = logins.iter().map(login).collect();
            let mut shown = shown?;
            return Ok(match (shown.pop(), shown.is_empty()) {
                (Some(only), true) => Self::Login(only),
                (last, _) => {
                    shown.extend(last);
                    Self::Logins { registries: shown }
                }
            });
        }
        if let Payload::Variable(value) = payload {
            return text(value).map(Self::Text);
        }
        let fields = payload.fields().unwrap_or_default().into_iter();
        let fields: Result<Vec<_>, Invalid> =
            fields.map(|(name, value)| Ok((name, text(value)?))).collect();
        Ok(Self::Fields(Fields(fields?)))
    }
}

fn login(login: &RegistryLogin) -> Result<Login<'_>, Invalid> {
    Ok(Login {
        server: &login.server,
        username: text(&login.username)?,
        password: text(&login.password)?,
        email: login.email.as_deref(),
    })
}

fn text(value: &Plaintext) -> Result<&str, Invalid> {
    // EXPOSE: the value is what was asked for; it goes into the answer and nowhere else.
    std::str::from_utf8(value.expose()).map_err(|_| {
        let fix = "holds bytes that are no text; read it with Tresor's own API, GET .../data";
        Invalid::new("value", fix)
    })
}
