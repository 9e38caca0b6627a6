//! Knowing data again without keeping it.

use sha2::{Digest as _, Sha256};

/// A key that exists only in this process, so that a digest is of no use to anyone who finds one.
pub(crate) struct DigestKey([u8; 32]);

/// What a Secret's type and data come to under the process's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest([u8; 32]);

impl DigestKey {
    /// A new random key.
    pub(crate) fn make() -> Self {
        let mut key = [0; 32];
        getrandom::fill(&mut key).expect("the operating system has random bytes");
        Self(key)
    }

    /// The digest of a type and of data in the order of its keys. Everything is preceded by its
    /// length, so that no two different Secrets feed it the same bytes.
    pub(crate) fn digest<'a>(
        &self,
        type_: &str,
        data: impl ExactSizeIterator<Item = (&'a str, &'a [u8])>,
    ) -> Digest {
        let mut hash = Sha256::new_with_prefix(self.0);
        let mut frame = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        frame(type_.as_bytes());
        for (key, value) in data {
            frame(key.as_bytes());
            frame(value);
        }
        Digest(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(key: &DigestKey, type_: &str, data: &[(&str, &[u8])]) -> Digest {
        key.digest(type_, data.iter().copied())
    }

    #[test]
    fn the_same_type_and_data_give_the_same_digest() {
        let key = DigestKey::make();
        assert_eq!(digest(&key, "Opaque", &[("a", b"1")]), digest(&key, "Opaque", &[("a", b"1")]));
    }

    #[test]
    fn anything_else_gives_another() {
        let key = DigestKey::make();
        let base = digest(&key, "Opaque", &[("a", b"1"), ("b", b"2")]);
        let differs = |type_: &str, data: &[(&str, &[u8])]| {
            assert_ne!(base, digest(&key, type_, data), "{type_} {data:?}");
        };
        differs("other", &[("a", b"1"), ("b", b"2")]);
        differs("Opaque", &[("a", b"1")]);
        differs("Opaque", &[("a", b"1"), ("b", b"3")]);
        differs("Opaque", &[("a", b"1"), ("c", b"2")]);
        differs("Opaque", &[("a", b"1b"), ("", b"2")]);
        differs("Opaque", &[("a", b"1"), ("b", b"2"), ("", b"")]);
    }

    #[test]
    fn another_process_gets_another_digest() {
        let data: &[(&str, &[u8])] = &[("a", b"1")];
        assert_ne!(digest(&DigestKey::make(), "t", data), digest(&DigestKey::make(), "t", data));
    }
}
