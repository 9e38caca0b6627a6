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
use surfaces::Unauthenticated;
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
        let caller = Self::identify(app, &parts.headers, peer, None).await;
        let caller = caller.map_err(|unknown| match unknown {
            Unknown::Because(_) => unauthorized(),
            Unknown::Problem(problem) => problem,
        })?;
        caller.note(&parts.extensions);
        Ok(caller)
    }
}

/// Why nobody is known.
pub(crate) enum Unknown {
    /// What is shown shows nobody.
    Because(Unauthenticated),
    /// It could not be looked at.
    Problem(Problem),
}

impl Caller {
    /// Who shows a credential; `scheme` is taken beside Bearer and Basic.
    pub(crate) async fn identify(
        app: &App,
        headers: &HeaderMap,
        peer: Peer,
        scheme: Option<&str>,
    ) -> Result<Self, Unknown> {
        let because = Unknown::Because;
        let (credential, bad) = match (shown(headers, scheme).map_err(because)?, peer) {
            (None, Peer::Operator) => (Credential::Operator, Unauthenticated::NoHeader),
            (None, Peer::Network(_)) => return Err(because(Unauthenticated::NoHeader)),
            (Some(Shown::Token(token)), _) => (Credential::Token(token), Unauthenticated::BadToken),
            (Some(Shown::Password(pair)), _) => {
                (password(app, &pair, peer).await?, Unauthenticated::BadPassword)
            }
        };
        let actor = credential.actor(app.vault()).ok_or(because(bad))?;
        Ok(Self { actor, credential, peer })
    }

    /// Says who asks, for whoever writes down what was asked.
    pub(crate) fn note(&self, extensions: &http::Extensions) {
        if let Some(asked) = extensions.get::<AskedBy>() {
            asked.set(&self.actor);
        }
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

/// What exactly one `Authorization` header of the scheme Bearer (RFC 6750), Basic (RFC 7617) or one
/// more that also holds a token has. A token may stand in the place of a password: then the name is
/// not looked at.
fn shown(headers: &HeaderMap, more: Option<&str>) -> Result<Option<Shown>, Unauthenticated> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let only = match (all.next(), all.next()) {
        (None, _) => return Ok(None),
        (Some(only), None) => only.to_str().map_err(|_| Unauthenticated::BadToken)?,
        (Some(_), Some(_)) => return Err(Unauthenticated::BadToken),
    };
    let (scheme, text) = only.split_once(' ').unwrap_or((only, ""));
    let text = text.trim();
    if text.is_empty() {
        return Err(Unauthenticated::NoCredential);
    }
    if text.len() > MAX_CREDENTIAL_BYTES {
        return Err(Unauthenticated::BadToken);
    }
    let is_more = more.is_some_and(|more| scheme.eq_ignore_ascii_case(more));
    if is_more || scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Some(Shown::Token(Zeroizing::new(text.to_owned()))));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Unauthenticated::UnknownScheme);
    }
    let bad = |_| Unauthenticated::BadPassword;
    let decoded = Zeroizing::new(STANDARD.decode(text).map_err(bad)?);
    let decoded = std::str::from_utf8(&decoded).map_err(|_| Unauthenticated::BadPassword)?;
    let (name, password) = decoded.split_once(':').ok_or(Unauthenticated::BadPassword)?;
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
async fn password(app: &App, pair: &Pair, peer: Peer) -> Result<Credential, Unknown> {
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
        Err(VaultError::WrongPassword) => Err(Unknown::Because(Unauthenticated::BadPassword)),
        Err(error) => Err(Unknown::Problem(problem(Refused::Vault(error)))),
    }
}
