//! Who asks: by a token, by a name and a password, or on the operator's socket.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use api::Problem;
use authz::Actor;
use axum::extract::FromRequestParts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{Plaintext, Uid};
use http::request::Parts;
use http::{HeaderMap, header};
use vault::{Attempt, SignedIn, Vault, VaultError};
use zeroize::Zeroizing;

use crate::answer::{Failure, problem};
use crate::app::{App, Refused, unauthorized};

/// The longest token, which is a JWT, and the longest name and password together, in base64.
const MAX_CREDENTIAL_BYTES: usize = 4096;

/// The other side of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    /// On the network. Headers that claim another address are not looked at.
    Network(IpAddr),
    /// On the operator's socket, as the daemon's own user or root.
    Operator,
}

impl Peer {
    pub(crate) const fn address(self) -> Option<IpAddr> {
        match self {
            Self::Network(address) => Some(address),
            Self::Operator => None,
        }
    }
}

/// Who is asking, with what shows it, so that rights can be decided anew.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) actor: Actor,
    pub(crate) credential: Credential,
    pub(crate) peer: Peer,
}

/// What shows who someone is.
#[derive(Clone)]
pub(crate) enum Credential {
    Operator,
    Password(SignedIn),
    Token(Zeroizing<String>),
}

impl Credential {
    /// The actor that it stands for now.
    pub(crate) fn actor(&self, vault: &Vault) -> Option<Actor> {
        match self {
            Self::Operator => Some(Actor::operator()),
            Self::Password(signed_in) => vault.signed_in_actor(signed_in),
            Self::Token(token) => vault.authenticate(token),
        }
    }
}

impl Caller {
    /// What its watches are counted by: its token, or its account.
    pub(crate) fn watcher(&self) -> Uid {
        let token = self.actor.token().map(|token| token.id);
        let subject = self.actor.subject().map(|subject| subject.uid());
        token.or(subject).unwrap_or(Uid::from_bytes([0; 16]))
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let peer = parts.extensions.get::<Peer>().copied();
        let peer = peer.unwrap_or(Peer::Network(std::net::Ipv4Addr::UNSPECIFIED.into()));
        let credential = match (shown(&parts.headers)?, peer) {
            (None, Peer::Operator) => Credential::Operator,
            (None, Peer::Network(_)) => return Err(unauthorized().into()),
            (Some(Shown::Token(token)), _) => Credential::Token(token),
            (Some(Shown::Password(pair)), _) => password(app, &pair, peer).await?,
        };
        let actor = credential.actor(app.vault()).ok_or_else(unauthorized)?;
        let caller = Self { actor, credential, peer };
        // For whoever writes down what was asked.
        if let Some(asked) = parts.extensions.get::<AskedBy>() {
            asked.set(&caller.actor);
        }
        Ok(caller)
    }
}

/// A place in a request's extensions for who asks, which is known only inside and written down
/// outside.
#[derive(Clone, Default)]
pub(crate) struct AskedBy(Arc<OnceLock<Actor>>);

impl AskedBy {
    fn set(&self, actor: &Actor) {
        // Asked twice for the same request, the answer is the same.
        let _ = self.0.set(actor.clone());
    }

    pub(crate) fn get(&self) -> Option<&Actor> {
        self.0.get()
    }
}

/// What an `Authorization` header holds.
enum Shown {
    Password(Pair),
    Token(Zeroizing<String>),
}

/// A name and a password.
struct Pair {
    name: String,
    password: Plaintext,
}

/// What exactly one `Authorization` header of the scheme Bearer (RFC 6750) or Basic (RFC 7617) holds.
/// A token may also stand in the place of a password: then the name is not looked at.
fn shown(headers: &HeaderMap) -> Result<Option<Shown>, Problem> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let only = match (all.next(), all.next()) {
        (None, _) => return Ok(None),
        (Some(only), None) => only.to_str().map_err(|_| unauthorized())?,
        (Some(_), Some(_)) => return Err(unauthorized()),
    };
    let (scheme, text) = only.split_once(' ').ok_or_else(unauthorized)?;
    let text = text.trim();
    if text.len() > MAX_CREDENTIAL_BYTES {
        return Err(unauthorized());
    }
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Some(Shown::Token(Zeroizing::new(text.to_owned()))));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(unauthorized());
    }
    let decoded = Zeroizing::new(STANDARD.decode(text).map_err(|_| unauthorized())?);
    let decoded = std::str::from_utf8(&decoded).map_err(|_| unauthorized())?;
    let (name, password) = decoded.split_once(':').ok_or_else(unauthorized)?;
    if is_token(password) {
        return Ok(Some(Shown::Token(Zeroizing::new(password.to_owned()))));
    }
    let password = Plaintext::new(password.as_bytes().to_vec());
    Ok(Some(Shown::Password(Pair { name: name.to_owned(), password })))
}

/// Whether a text looks like a token of ours; whether it is one is said by the vault.
fn is_token(text: &str) -> bool {
    let is_jwt = text.starts_with("eyJ") && text.split('.').count() == 3;
    text.starts_with("tresor_") || is_jwt
}

/// Signs someone in who sends the password with each request.
async fn password(app: &App, pair: &Pair, peer: Peer) -> Result<Credential, Problem> {
    let address = peer.address();
    let attempt = Attempt { name: &pair.name, password: &pair.password, address };
    if let Some(signed_in) = app.vault().known_again(&attempt) {
        return Ok(Credential::Password(signed_in));
    }
    let (name, password) = (pair.name.clone(), pair.password.duplicate());
    let signed_in = app
        .hash(move |vault| {
            vault.sign_in_again(&Attempt { name: &name, password: &password, address })
        })
        .await;
    match signed_in {
        Ok(signed_in) => Ok(Credential::Password(signed_in)),
        Err(VaultError::WrongPassword) => Err(unauthorized()),
        Err(error) => Err(problem(Refused::Vault(error))),
    }
}
