//! The three record layouts (FORMAT.md section 3).

use domain::{Decoder, Encoder, Plaintext, Sealed};
use zeroize::Zeroizing;

use crate::hazmat::{self, NONCE_BYTES, Refused, TAG_BYTES};
use crate::keys::{DataKey, MetadataKey, Wrapped};
use crate::random::FreshNonce;
use crate::{KekId, OpenError, SealError};

/// The longest plaintext that is sealed: twice the largest payload, which leaves room for how it is
/// encoded.
pub const MAX_PLAINTEXT_BYTES: usize = 1 << 21;

const FORMAT: u8 = 1;
const PAYLOAD_HEADER_BYTES: usize = 1 + NONCE_BYTES;
const METADATA_HEADER_BYTES: usize = 1 + 4 + NONCE_BYTES;
const WRAP_RECORD_BYTES: usize = 1 + 4 + Wrapped::BYTES;

pub(crate) fn check_length(plaintext: &[u8]) -> Result<(), SealError> {
    if plaintext.len() > MAX_PLAINTEXT_BYTES { Err(SealError::TooLong) } else { Ok(()) }
}

pub(crate) fn seal_payload(
    key: DataKey,
    nonce: FreshNonce,
    associated: &[u8],
    plaintext: &[u8],
) -> Result<Sealed, SealError> {
    let nonce = nonce.into_bytes();
    let mut record = Encoder::with_capacity(PAYLOAD_HEADER_BYTES + plaintext.len() + TAG_BYTES);
    record.u8(FORMAT).raw(&nonce).raw(plaintext);
    in_place(record.finish(), PAYLOAD_HEADER_BYTES, |content| {
        hazmat::seal_once(key, nonce, associated, content)
    })
}

pub(crate) fn open_payload(
    key: DataKey,
    associated: &[u8],
    record: &[u8],
) -> Result<Plaintext, OpenError> {
    let mut record = reader(record)?;
    let nonce = record.array().map_err(|_| OpenError)?;
    let length = record.remaining().checked_sub(TAG_BYTES).ok_or(OpenError)?;
    let sealed = record.raw(record.remaining()).map_err(|_| OpenError)?;
    let mut content = Zeroizing::new(sealed.to_vec());
    hazmat::open_once(key, nonce, associated, &mut content).map_err(|Refused| OpenError)?;
    content.truncate(length);
    Ok(Plaintext::new(std::mem::take(&mut *content)))
}

pub(crate) fn encode_wrap(kek: KekId, wrapped: &Wrapped) -> Sealed {
    let mut record = Encoder::with_capacity(WRAP_RECORD_BYTES);
    record.u8(FORMAT).u32(kek.get());
    wrapped.encode(&mut record);
    Sealed::from_stored(record.finish())
}

pub(crate) fn decode_wrap(record: &[u8]) -> Result<(KekId, Wrapped), OpenError> {
    let mut record = reader(record)?;
    let kek = record.u32().map(KekId::new).map_err(|_| OpenError)?;
    let wrapped = Wrapped::decode(&mut record).map_err(|_| OpenError)?;
    record.finish().map_err(|_| OpenError)?;
    Ok((kek, wrapped))
}

pub(crate) fn seal_metadata(
    key: &MetadataKey,
    nonce: FreshNonce,
    associated: &[u8],
    plaintext: &[u8],
) -> Result<Sealed, SealError> {
    let nonce = nonce.into_bytes();
    let mut record = Encoder::with_capacity(METADATA_HEADER_BYTES + plaintext.len() + TAG_BYTES);
    record.u8(FORMAT).u32(key.id).raw(&nonce).raw(plaintext);
    in_place(record.finish(), METADATA_HEADER_BYTES, |content| {
        Ok(key.cipher.seal(nonce, associated, content))
    })
}

/// The KEK that a wrap record names, which its seal binds. Nothing is opened, so nothing vouches for
/// the answer.
///
/// # Errors
/// When the bytes are no wrap record.
pub fn wrapping_kek(record: &[u8]) -> Result<KekId, OpenError> {
    decode_wrap(record).map(|(kek, _)| kek)
}

/// The number of the metadata key that a metadata record names, which its seal binds. Nothing is
/// opened, so nothing vouches for the answer.
///
/// # Errors
/// When the bytes are no metadata record.
pub fn metadata_key_of(record: &[u8]) -> Result<u32, OpenError> {
    reader(record)?.u32().map_err(|_| OpenError)
}

pub(crate) fn open_metadata(
    key: &MetadataKey,
    associated: &[u8],
    record: &[u8],
) -> Result<Plaintext, OpenError> {
    let mut record = reader(record)?;
    record.u32().map_err(|_| OpenError)?;
    let nonce = record.array().map_err(|_| OpenError)?;
    let length = record.remaining().checked_sub(TAG_BYTES).ok_or(OpenError)?;
    let mut content = Zeroizing::new(record.raw(length).map_err(|_| OpenError)?.to_vec());
    let tag = record.array().map_err(|_| OpenError)?;
    key.cipher.open(nonce, associated, &mut content, tag).map_err(|Refused| OpenError)?;
    Ok(Plaintext::new(std::mem::take(&mut *content)))
}

/// Reads past the format byte that every record begins with.
fn reader(record: &[u8]) -> Result<Decoder<'_>, OpenError> {
    let mut record = Decoder::new(record);
    match record.u8() {
        Ok(FORMAT) => Ok(record),
        _ => Err(OpenError),
    }
}

/// Seals what follows the header where it lies, and appends the tag. The record has room for it, so
/// that no growth leaves a copy of the plaintext behind.
fn in_place(
    record: Vec<u8>,
    header: usize,
    seal: impl FnOnce(&mut [u8]) -> Result<[u8; TAG_BYTES], Refused>,
) -> Result<Sealed, SealError> {
    // Until it is sealed the record holds plaintext, which an early return must not leave behind.
    let mut record = Zeroizing::new(record);
    let (_, content) = record.split_at_mut_checked(header).ok_or(SealError::TooLong)?;
    let tag = seal(content).map_err(|Refused| SealError::TooLong)?;
    record.extend_from_slice(&tag);
    Ok(Sealed::from_stored(std::mem::take(&mut *record)))
}
