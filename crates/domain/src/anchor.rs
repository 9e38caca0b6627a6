//! A place in the audit log that somebody else keeps, so that what lies before it cannot be cut off.

/// A line of the audit log: its number and its hash, which stands for every line before it too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The line's number; the first one has 1.
    pub seq: u64,
    /// The line's SHA-256, as the audit log's format makes it.
    pub hash: [u8; 32],
}

impl Anchor {
    /// The one of the two that lies further on; the second where they are of one line.
    pub fn later(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) => Some(if one.seq > other.seq { one } else { other }),
            (one, other) => one.or(other),
        }
    }
}

impl std::fmt::Debug for Anchor {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "line {} of hash ", self.seq)?;
        self.hash.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_of_two_anchors_is_the_one_with_the_larger_number() {
        let at = |seq| Some(Anchor { seq, hash: [0; 32] });
        assert_eq!(Anchor::later(at(1), at(2)), at(2));
        assert_eq!(Anchor::later(at(2), at(1)), at(2));
        assert_eq!(Anchor::later(None, at(1)), at(1));
        assert_eq!(Anchor::later(at(1), None), at(1));
    }
}
