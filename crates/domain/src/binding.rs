//! What a binding lets whom do.

use crate::Invalid;

/// Who made a binding, and so who may use the secret there. The numbers are stored and never
/// reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum BindingKind {
    /// Made by the secret's owner: only the owner, grantees and administrators may use it there.
    Owner = 1,
    /// Made by an administrator of the project: all its members may use it there.
    Members = 2,
}

impl BindingKind {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Members => "members",
        }
    }

    /// Reads a name from the wire.
    ///
    /// # Errors
    /// Lists the known kinds.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "owner" => Ok(Self::Owner),
            "members" => Ok(Self::Members),
            _ => Err(Invalid::new("kind", "must be owner or members")),
        }
    }

    /// The stored number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The kind with a stored number, if there is one.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Owner),
            2 => Some(Self::Members),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back_to_the_kind() {
        for (kind, name, code) in
            [(BindingKind::Owner, "owner", 1), (BindingKind::Members, "members", 2)]
        {
            assert_eq!((kind.as_str(), kind.code()), (name, code));
            assert_eq!(BindingKind::parse(name).unwrap(), kind);
            assert_eq!(BindingKind::from_code(code), Some(kind));
        }
        assert_eq!(BindingKind::parse("all").unwrap_err().field, "kind");
        assert_eq!(BindingKind::from_code(0), None);
    }
}
