//! The two byte types of the house.

use zeroize::optimization_barrier;

/// Bytes that must not leave: wiped when dropped, and impossible to print, compare, copy or
/// serialize by accident.
///
/// Every use of [`Plaintext::expose`] carries an `// EXPOSE:` comment that says why, and a test
/// counts them.
pub struct Plaintext(Vec<u8>);

impl Plaintext {
    /// Takes bytes over. The vector's own memory is wiped on drop; what the caller copied it from
    /// is the caller's to wipe.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes there are; a length is not a secret.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A second copy, by name rather than by `Clone`, so that it is found when reading.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Drop for Plaintext {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Overwrites a vector with zeros, what it has behind its end too. `Zeroize` does the same byte by byte, which takes
/// longer than to decrypt them.
fn wipe(bytes: &mut Vec<u8>) {
    bytes.clear();
    bytes.resize(bytes.capacity(), 0);
    optimization_barrier(bytes.as_slice());
}

/// Bytes that are encrypted and authenticated, and therefore safe to hand to a disk.
///
/// Only `crypto` makes them from plaintext; the store reads them back with [`Sealed::from_stored`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// Bytes that came from a cipher or from a record that a cipher had sealed.
    pub fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The sealed bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The sealed bytes, to be stored.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static_assertions::assert_not_impl_any!(
        Plaintext: std::fmt::Debug, std::fmt::Display, Clone, PartialEq, serde::Serialize
    );

    #[test]
    fn it_gives_back_what_it_was_given() {
        // EXPOSE: a test compares the bytes.
        assert_eq!(Plaintext::new(b"value".to_vec()).expose(), b"value");
    }

    #[test]
    fn all_of_a_vector_is_wiped_and_it_stays_where_it_is() {
        let mut bytes = Vec::with_capacity(100);
        bytes.extend_from_slice(&[7; 100]);
        bytes.truncate(30);
        let at = bytes.as_ptr();
        wipe(&mut bytes);
        assert_eq!((bytes.as_ptr(), bytes.as_slice()), (at, [0; 100].as_slice()));
    }
}
