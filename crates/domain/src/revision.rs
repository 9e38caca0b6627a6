//! How the store counts.

use std::fmt;

use crate::Invalid;

/// The store's own count of commits: the first commit has revision 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(u64);

impl Revision {
    /// Before the first commit.
    pub const ZERO: Self = Self(0);
    /// Larger than any revision that a store reaches.
    pub const MAX: Self = Self((1 << REVISION_BITS) - 1);

    /// A revision from its stored number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The stored number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The revision of the next commit.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How often this store was restored from a backup: a restore starts a new incarnation, so that
/// resource versions of the lost future are recognized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Incarnation(u32);

impl Incarnation {
    /// The incarnation with this number; at most 2^19 - 1, so that a resource version fits a signed
    /// 64-bit integer, which is what several Kubernetes clients parse it into.
    pub const fn new(number: u32) -> Self {
        Self(number & ((1 << 19) - 1))
    }

    /// The stored number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

const REVISION_BITS: u32 = 44;

/// A revision as clients see it: incarnation × 2^44 + revision, written in decimal and opaque to
/// them, as in Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceVersion(u64);

impl ResourceVersion {
    /// The wire form of a revision.
    pub const fn new(incarnation: Incarnation, revision: Revision) -> Self {
        Self(((incarnation.0 as u64) << REVISION_BITS) | revision.0)
    }

    /// Reads a resource version from the wire.
    ///
    /// # Errors
    /// When the text is not a canonical decimal number.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let wrong = || {
            Invalid::new(
                "metadata.resourceVersion",
                "must be a resourceVersion exactly as Tresor returned it: a decimal number",
            )
        };
        let number: u64 = text.parse().map_err(|_| wrong())?;
        if number.to_string() != text || number >> 63 != 0 {
            return Err(wrong());
        }
        Ok(Self(number))
    }

    /// The incarnation it belongs to.
    pub const fn incarnation(self) -> Incarnation {
        Incarnation((self.0 >> REVISION_BITS) as u32)
    }

    /// The revision in that incarnation.
    pub const fn revision(self) -> Revision {
        Revision(self.0 & Revision::MAX.0)
    }
}

impl fmt::Display for ResourceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_version_carries_incarnation_and_revision() {
        let rv = ResourceVersion::new(Incarnation::new(3), Revision::new(41));
        assert_eq!(rv.to_string(), (3u64 * (1 << 44) + 41).to_string());
        let read = ResourceVersion::parse(&rv.to_string()).unwrap();
        assert_eq!((read.incarnation().get(), read.revision().get()), (3, 41));
    }

    #[test]
    fn only_its_own_spelling_is_read() {
        for text in ["", "-1", "+1", "01", "1.0", " 1", "18446744073709551615", "x"] {
            assert!(ResourceVersion::parse(text).is_err(), "{text:?}");
        }
    }
}
