//! The wrapped data keys of a secret.

use domain::{Decoder, Encoder, Malformed};

use super::{FORMAT, check_format};

/// The wrapped data key of each version of a secret that has a payload, by number.
///
/// They lie together, so that a change of keys rewrites one record for a secret, however many versions it
/// has; and not in the head, so that it need not be opened for that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WrappedKeys(Vec<(u64, Vec<u8>)>);

impl WrappedKeys {
    /// Whether there are none; such a record is not stored.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each version's number and wrapped data key, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.0.iter().map(|(number, wrapped)| (*number, wrapped.as_slice()))
    }

    /// Sets the wrapped data key of a version.
    pub fn put(&mut self, number: u64, wrapped: Vec<u8>) {
        match self.0.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(at) => {
                if let Some((_, own)) = self.0.get_mut(at) {
                    *own = wrapped;
                }
            }
            Err(at) => self.0.insert(at, (number, wrapped)),
        }
    }

    /// Takes out the wrapped data key of a version, if it has one.
    pub fn remove(&mut self, number: u64) {
        self.0.retain(|(own, _)| *own != number);
    }

    /// The bytes to be stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.u8(FORMAT).u32(self.0.len() as u32);
        for (number, wrapped) in &self.0 {
            out.u64(*number).bytes(wrapped);
        }
        out.finish()
    }

    /// Reads back what [`WrappedKeys::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not exactly such an encoding, or hold none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut keys = Self::default();
        each(bytes, |number, wrapped| keys.0.push((number, wrapped.to_vec())))?;
        Ok(keys)
    }

    /// One version's wrapped data key in what [`WrappedKeys::encode`] wrote.
    ///
    /// # Errors
    /// As [`WrappedKeys::decode`].
    pub fn find(bytes: &[u8], wanted: u64) -> Result<Option<&[u8]>, Malformed> {
        let mut found = None;
        each(bytes, |number, wrapped| {
            if number == wanted {
                found = Some(wrapped);
            }
        })?;
        Ok(found)
    }
}

fn each<'bytes>(
    bytes: &'bytes [u8],
    mut look: impl FnMut(u64, &'bytes [u8]),
) -> Result<(), Malformed> {
    let mut input = Decoder::new(bytes);
    check_format(&mut input)?;
    let mut last = None;
    for _ in 0..input.u32()? {
        let number = input.u64()?;
        if last.is_some_and(|last| last >= number) {
            return Err(Malformed);
        }
        last = Some(number);
        look(number, input.bytes()?);
    }
    input.finish()?;
    last.map(|_| ()).ok_or(Malformed)
}
