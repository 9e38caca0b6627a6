//! A token, without the token.

use authz::{Right, Role, Scope};
use domain::{Decoder, Encoder, Malformed, Timestamp, Uid};

use super::{FORMAT, check_format, put_project, take_project};

/// What is known of a token: only its hash is stored, never the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its identity, which may be shown.
    pub id: Uid,
    /// SHA-256 of domain, store id and token.
    pub hash: [u8; 32],
    /// What it is for.
    pub description: String,
    /// What it may do.
    pub rights: Vec<Right>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it ends, if it does by itself.
    pub expires: Option<Timestamp>,
}

impl TokenRecord {
    /// The bytes to be sealed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.u8(FORMAT).uid(self.id).raw(&self.hash).text(&self.description);
        out.timestamp(self.created_at).text(&self.created_by);
        out.u64(self.expires.map_or(0, Timestamp::unix_millis));
        out.u32(self.rights.len() as u32);
        for right in &self.rights {
            out.u8(right.role().code());
            if let Scope::Project(project) = right.scope() {
                put_project(&mut out, project);
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
        check_format(&mut input)?;
        let (id, hash) = (input.uid()?, input.array()?);
        let description = input.text()?.to_owned();
        let created_at = input.timestamp()?;
        let created_by = input.text()?.to_owned();
        let expires = Some(input.timestamp()?).filter(|expires| expires.unix_millis() != 0);
        let mut rights = Vec::new();
        for _ in 0..input.u32()? {
            rights.push(take_right(&mut input)?);
        }
        input.finish()?;
        Ok(Self { id, hash, description, rights, created_at, created_by, expires })
    }
}

fn take_right(input: &mut Decoder<'_>) -> Result<Right, Malformed> {
    let role = Role::from_code(input.u8()?).ok_or(Malformed)?;
    let scope =
        if role.is_global() { Scope::WholeStore } else { Scope::Project(take_project(input)?) };
    Right::new(role, scope).map_err(|_| Malformed)
}
