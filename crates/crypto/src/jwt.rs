//! Tokens in the shape of a JWT (RFC 7519; FORMAT.md section 9). Only this module writes them, so
//! that it reads what it would have written, and nothing else of what the standard allows.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{Timestamp, Uid};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::signing::SIGNATURE_BYTES;
use crate::{Keyring, StoreId};

/// The longest text that is looked at. One for a name of [`domain::MAX_NAME_BYTES`] is shorter.
const MAX_BYTES: usize = 4096;
const ISSUER: &str = "tresor";

/// What a token says.
#[derive(Clone, Copy, Debug)]
pub struct JwtClaims<'a> {
    /// The token's record, which decides what it may do, and whether it was revoked.
    pub jti: Uid,
    /// The principal's name, for whoever looks into a token; nothing is decided by it.
    pub name: &'a str,
    /// When it was made.
    pub issued_at: Timestamp,
    /// From when on it is refused; rounded down to whole seconds.
    pub expires_at: Timestamp,
}

/// A token that was signed here, for this store, and has not expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JwtToken {
    /// The token's record.
    pub jti: Uid,
    /// From when on it is refused.
    pub expires_at: Timestamp,
}

/// The claims as they are written: these, once each, in this order.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    identity: String,
    jti: String,
    iat: u64,
    exp: u64,
}

impl Claims {
    fn new(store: StoreId, claims: &JwtClaims<'_>) -> Self {
        Self {
            iss: ISSUER.to_owned(),
            aud: store.to_string(),
            sub: claims.name.to_owned(),
            identity: claims.name.to_owned(),
            jti: claims.jti.to_string(),
            iat: claims.issued_at.unix_millis() / 1000,
            exp: claims.expires_at.unix_millis() / 1000,
        }
    }

    fn encode(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers are always written")
    }

    /// Reads what [`Claims::encode`] writes, to the byte.
    fn decode(payload: &[u8]) -> Option<Self> {
        let claims: Self = serde_json::from_slice(payload).ok()?;
        let canonical = claims.encode().as_bytes() == payload && claims.sub == claims.identity;
        canonical.then_some(claims)
    }
}

impl Keyring {
    /// A token with these claims, signed with the newest token key.
    pub fn make_jwt(&self, claims: &JwtClaims<'_>) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES));
        text.push_str(&header(self.token_key().id));
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(Claims::new(self.store_id(), claims).encode(), &mut text);
        let signature = self.sign_token(text.as_bytes());
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        text
    }

    /// Reads a token that [`Keyring::make_jwt`] made for this store and that has not expired. All
    /// others look alike: who offers one learns nothing but that it is not taken.
    pub fn read_jwt(&self, text: &str, now: Timestamp) -> Option<JwtToken> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (head, payload) = signed.split_once('.')?;
        // Compared and not parsed, so that there is no algorithm to choose.
        let key = self.token_keys().find(|key| header(key.id) == head)?;
        let signature: [u8; SIGNATURE_BYTES] = decode(signature)?.try_into().ok()?;
        if !self.verify_token(key.id, signed.as_bytes(), &signature) {
            return None;
        }
        let claims = Claims::decode(&decode(payload)?)?;
        let ours = claims.iss == ISSUER && claims.aud == self.store_id().to_string();
        let alive = now.unix_millis() / 1000 < claims.exp;
        let jti = Uid::parse(&claims.jti).ok()?;
        let expires_at = Timestamp::from_unix_millis(claims.exp.saturating_mul(1000));
        (ours && alive).then_some(JwtToken { jti, expires_at })
    }
}

/// The first segment of a token that the key of this number signs.
fn header(key: u32) -> String {
    URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{key}"}}"#))
}

/// Unpadded, and with no bits left over in the last character.
fn decode(segment: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(segment).ok()
}
