//! An organization.

use domain::{Decoder, Encoder, Malformed, Timestamp, Uid};

use super::{FORMAT, check_format, take_bool};

/// An organization: its place in the key is its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrgRecord {
    /// Its identity.
    pub uid: Uid,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Whether its removal has begun: it takes no new projects.
    pub deleting: bool,
}

impl OrgRecord {
    /// The bytes to be sealed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.u8(FORMAT).uid(self.uid).timestamp(self.created_at).text(&self.created_by);
        out.u8(u8::from(self.deleting)).finish()
    }

    /// Reads back what [`OrgRecord::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not exactly such an encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Decoder::new(bytes);
        check_format(&mut input)?;
        let (uid, created_at) = (input.uid()?, input.timestamp()?);
        let created_by = input.text()?.to_owned();
        let deleting = take_bool(&mut input)?;
        input.finish()?;
        Ok(Self { uid, created_at, created_by, deleting })
    }
}
