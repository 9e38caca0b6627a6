//! A token, without the token.

use authz::{ActionSet, Narrowing, Right};
use domain::{Decoder, Encoder, Malformed, Timestamp, Uid};

use super::right::{put_right, take_right};
use super::{put_project, take_bool, take_project};

/// Format 1 knew no tokens of principals.
const TOKEN_FORMAT: u8 = 2;

/// Whose a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenHolder {
    /// Nobody's: it has rights of its own.
    Itself(Vec<Right>),
    /// A user's or a machine account's: it has what the narrowing leaves of their rights.
    Principal(Uid, Narrowing),
}

/// What is known of a token: only its hash is stored, never the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its identity, which may be shown.
    pub id: Uid,
    /// SHA-256 of domain, store id and token.
    pub hash: [u8; 32],
    /// What it is for.
    pub description: String,
    /// Whose it is.
    pub holder: TokenHolder,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it ends, if it does by itself.
    pub expires: Option<Timestamp>,
    /// Whether it was made by signing in with a password, and ends with that.
    pub session: bool,
}

impl TokenRecord {
    /// The bytes to be sealed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.u8(TOKEN_FORMAT).uid(self.id).raw(&self.hash).text(&self.description);
        out.timestamp(self.created_at).text(&self.created_by);
        out.u64(self.expires.map_or(0, Timestamp::unix_millis)).u8(u8::from(self.session));
        match &self.holder {
            TokenHolder::Itself(rights) => {
                out.u8(0).u32(rights.len() as u32);
                for right in rights {
                    put_right(&mut out, right);
                }
            }
            TokenHolder::Principal(uid, narrowing) => {
                out.u8(1).uid(*uid);
                put_narrowing(&mut out, narrowing);
            }
        }
        out.finish()
    }

    /// Reads back what [`TokenRecord::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not exactly such an encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Decoder::new(bytes);
        if input.u8()? != TOKEN_FORMAT {
            return Err(Malformed);
        }
        let (id, hash) = (input.uid()?, input.array()?);
        let description = input.text()?.to_owned();
        let created_at = input.timestamp()?;
        let created_by = input.text()?.to_owned();
        let expires = Some(input.timestamp()?).filter(|expires| expires.unix_millis() != 0);
        let session = take_bool(&mut input)?;
        let holder = take_holder(&mut input)?;
        input.finish()?;
        Ok(Self { id, hash, description, holder, created_at, created_by, expires, session })
    }
}

fn take_holder(input: &mut Decoder<'_>) -> Result<TokenHolder, Malformed> {
    match input.u8()? {
        0 => {
            let mut rights = Vec::new();
            for _ in 0..input.u32()? {
                rights.push(take_right(input)?);
            }
            Ok(TokenHolder::Itself(rights))
        }
        1 => Ok(TokenHolder::Principal(input.uid()?, take_narrowing(input)?)),
        _ => Err(Malformed),
    }
}

fn put_narrowing(out: &mut Encoder, narrowing: &Narrowing) {
    out.u8(u8::from(narrowing.projects.is_some()) | u8::from(narrowing.actions.is_some()) << 1);
    if let Some(projects) = &narrowing.projects {
        out.u32(projects.len() as u32);
        for project in projects {
            put_project(out, project);
        }
    }
    if let Some(actions) = narrowing.actions {
        out.u16(actions.bits());
    }
}

fn take_narrowing(input: &mut Decoder<'_>) -> Result<Narrowing, Malformed> {
    let parts = input.u8()?;
    if parts > 3 {
        return Err(Malformed);
    }
    let mut narrowing = Narrowing::default();
    if parts & 1 != 0 {
        let mut projects = Vec::new();
        for _ in 0..input.u32()? {
            projects.push(take_project(input)?);
        }
        narrowing.projects = Some(projects);
    }
    if parts & 2 != 0 {
        narrowing.actions = Some(ActionSet::from_bits(input.u16()?).ok_or(Malformed)?);
    }
    Ok(narrowing)
}
