//! Identities that never repeat and sort by time.

use std::fmt;

use crate::{Invalid, Timestamp};

/// 128 bits, ordered by time as UUIDv7 (RFC 9562 section 5.7), written as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid([u8; 16]);

impl Uid {
    /// A new identity from the time and ten random bytes.
    pub fn from_parts(now: Timestamp, random: [u8; 10]) -> Self {
        let [_, _, t0, t1, t2, t3, t4, t5] = now.unix_millis().to_be_bytes();
        let [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9] = random;
        let (version, variant) = (0x70 | (r0 & 0x0f), 0x80 | (r2 & 0x3f));
        Self([t0, t1, t2, t3, t4, t5, version, r1, variant, r3, r4, r5, r6, r7, r8, r9])
    }

    /// An identity from its stored bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The stored bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads 32 hexadecimal digits.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let wrong = || Invalid::new("uid", "must be 32 lower-case hexadecimal digits");
        let canonical = text.len() == 32
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !canonical {
            return Err(wrong());
        }
        u128::from_str_radix(text, 16).map(|n| Self(n.to_be_bytes())).map_err(|_| wrong())
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_uuid_of_version_7_and_sorts_by_time() {
        let earlier = Uid::from_parts(Timestamp::from_unix_millis(1), [0xff; 10]);
        let later = Uid::from_parts(Timestamp::from_unix_millis(2), [0; 10]);
        assert!(earlier < later);
        let text = later.to_string();
        assert_eq!((text.as_bytes()[12], text.as_bytes()[16]), (b'7', b'8'));
        assert_eq!(Uid::parse(&text).unwrap(), later);
    }

    #[test]
    fn only_its_own_spelling_is_read() {
        for text in ["", "0", &"g".repeat(32), &"A".repeat(32), &"+1".repeat(16)] {
            assert!(Uid::parse(text).is_err());
        }
    }
}
