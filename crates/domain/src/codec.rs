//! The byte codec under every stored structure: big-endian integers and length-prefixed bytes, read
//! back strictly, so that each value has exactly one encoding.

use crate::{Timestamp, Uid};

/// Stored bytes that are not what their format says. It carries no detail, since the bytes may be
/// plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored bytes are malformed")]
pub struct Malformed;

/// Writes a structure into one buffer.
#[derive(Default)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    /// An empty buffer with room for `capacity` bytes. Plaintext is encoded into a buffer that is
    /// large enough from the start, because growing one leaves an unwiped copy behind.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    /// Appends a big-endian 16-bit integer.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Appends a big-endian 32-bit integer.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Appends a big-endian 64-bit integer.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Appends a point in time.
    pub fn timestamp(&mut self, value: Timestamp) -> &mut Self {
        self.u64(value.unix_millis())
    }

    /// Appends an identity.
    pub fn uid(&mut self, value: Uid) -> &mut Self {
        self.raw(value.as_bytes())
    }

    /// Appends bytes behind their 32-bit length. Tresor's payloads end at 1 MiB, far below it.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.u32(u32::try_from(value.len()).unwrap_or(u32::MAX)).raw(value)
    }

    /// Appends text as [`Encoder::bytes`].
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.bytes(value.as_bytes())
    }

    /// Appends bytes whose length the reader knows.
    pub fn raw(&mut self, value: &[u8]) -> &mut Self {
        self.0.extend_from_slice(value);
        self
    }

    /// The finished bytes.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

/// Reads a structure back.
pub struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    /// Starts at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn raw(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.raw(N)?.try_into().map_err(|_| Malformed)
    }

    /// One byte.
    ///
    /// # Errors
    /// When none is left.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    /// A big-endian 16-bit integer.
    ///
    /// # Errors
    /// When too few bytes are left.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    /// A big-endian 32-bit integer.
    ///
    /// # Errors
    /// When too few bytes are left.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// A big-endian 64-bit integer.
    ///
    /// # Errors
    /// When too few bytes are left.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    /// A point in time.
    ///
    /// # Errors
    /// When too few bytes are left.
    pub fn timestamp(&mut self) -> Result<Timestamp, Malformed> {
        self.u64().map(Timestamp::from_unix_millis)
    }

    /// An identity.
    ///
    /// # Errors
    /// When too few bytes are left.
    pub fn uid(&mut self) -> Result<Uid, Malformed> {
        self.array().map(Uid::from_bytes)
    }

    /// Length-prefixed bytes.
    ///
    /// # Errors
    /// When the length runs past the end.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u32()?;
        self.raw(usize::try_from(length).map_err(|_| Malformed)?)
    }

    /// Length-prefixed UTF-8.
    ///
    /// # Errors
    /// When the length runs past the end or the bytes are not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    /// How many bytes are left.
    pub const fn remaining(&self) -> usize {
        self.0.len()
    }

    /// Succeeds when every byte was read.
    ///
    /// # Errors
    /// When bytes are left over.
    pub fn finish(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}
