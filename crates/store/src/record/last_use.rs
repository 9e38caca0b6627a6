//! When something was last used.

use domain::{Decoder, Encoder, Malformed, Timestamp};

use super::{FORMAT, check_format};

/// The bytes to be sealed.
pub fn encode_last_use(at: Timestamp) -> Vec<u8> {
    Encoder::default().u8(FORMAT).timestamp(at).finish()
}

/// Reads back what [`encode_last_use`] wrote.
///
/// # Errors
/// When the bytes are not exactly such an encoding.
pub fn decode_last_use(bytes: &[u8]) -> Result<Timestamp, Malformed> {
    let mut input = Decoder::new(bytes);
    check_format(&mut input)?;
    let at = input.timestamp()?;
    input.finish()?;
    Ok(at)
}
