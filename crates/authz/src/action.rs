//! What can be done.

use std::fmt;

use domain::Invalid;

/// An action as a value: a column of the table of roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ActionKind {
    /// Manage a project or the store: its rules, its members, its tokens.
    Administer = 0,
    /// See the audit log, and who may do what.
    Audit = 1,
    /// Make a new secret.
    Create = 2,
    /// Remove a secret or a version.
    Delete = 3,
    /// See metadata.
    List = 4,
    /// See plaintext.
    Read = 5,
    /// Give others rights on a secret, or bind it elsewhere.
    Share = 6,
    /// Write a new version, or change metadata.
    Update = 7,
    /// Refer to a secret in a workload, without seeing it.
    Use = 8,
}

impl ActionKind {
    /// All actions, by name.
    pub const ALL: [Self; 9] = [
        Self::Administer,
        Self::Audit,
        Self::Create,
        Self::Delete,
        Self::List,
        Self::Read,
        Self::Share,
        Self::Update,
        Self::Use,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Administer => "administer",
            Self::Audit => "audit",
            Self::Create => "create",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Read => "read",
            Self::Share => "share",
            Self::Update => "update",
            Self::Use => "use",
        }
    }

    /// Reads a name from the wire.
    ///
    /// # Errors
    /// Lists the known actions.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|known| known.as_str() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|action| action.as_str()).collect();
            Invalid::new("action", format!("must be one of {}", known.join(", ")))
        })
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of actions. Its bits are stored, and an action's bit is never given to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActionSet(u16);

impl ActionSet {
    /// The set with stored bits, if each of them is an action's.
    pub fn from_bits(bits: u16) -> Option<Self> {
        let set = Self(bits);
        (set == set.iter().collect()).then_some(set)
    }

    /// The stored bits.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether an action is in the set.
    pub const fn contains(self, action: ActionKind) -> bool {
        self.0 & (1 << action as u8) != 0
    }

    /// Whether no action is.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The actions, by name.
    pub fn iter(self) -> impl Iterator<Item = ActionKind> {
        ActionKind::ALL.into_iter().filter(move |action| self.contains(*action))
    }
}

impl FromIterator<ActionKind> for ActionSet {
    fn from_iter<I: IntoIterator<Item = ActionKind>>(actions: I) -> Self {
        Self(actions.into_iter().fold(0, |bits, action| bits | 1 << action as u8))
    }
}

/// An action as a type, so that a permit for one cannot stand in for another.
pub trait Action: sealed::Sealed {
    /// The same action as a value.
    const KIND: ActionKind;
}

mod sealed {
    /// Keeps the set of actions closed.
    pub trait Sealed {}
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        pub struct $name;
        impl sealed::Sealed for $name {}
        impl Action for $name {
            const KIND: ActionKind = ActionKind::$name;
        }
    )+};
}

actions! {
    /// See [`ActionKind::Administer`].
    Administer,
    /// See [`ActionKind::Audit`].
    Audit,
    /// See [`ActionKind::Create`].
    Create,
    /// See [`ActionKind::Delete`].
    Delete,
    /// See [`ActionKind::List`].
    List,
    /// See [`ActionKind::Read`].
    Read,
    /// See [`ActionKind::Share`].
    Share,
    /// See [`ActionKind::Update`].
    Update,
    /// See [`ActionKind::Use`].
    Use,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_the_action_and_bits_to_the_set() {
        for action in ActionKind::ALL {
            assert_eq!(ActionKind::parse(&action.to_string()).unwrap(), action);
            let alone: ActionSet = [action].into_iter().collect();
            assert_eq!(alone.iter().collect::<Vec<_>>(), [action]);
        }
        let refused = ActionKind::parse("sudo").unwrap_err();
        assert_eq!(
            (refused.field.as_str(), refused.fix.ends_with("update, use")),
            ("action", true)
        );
        let all: ActionSet = ActionKind::ALL.into_iter().collect();
        assert_eq!(ActionSet::from_bits(0x1ff), Some(all));
        assert_eq!(ActionSet::from_bits(0x200), None);
        assert!(ActionSet::default().is_empty() && !all.is_empty());
    }

    /// Tokens are stored with these: another order would give each of them other actions.
    #[test]
    fn the_bits_are_stored() {
        let bits = ActionKind::ALL.map(|action| {
            let alone: ActionSet = [action].into_iter().collect();
            (action.as_str(), alone.bits())
        });
        let stored = [
            ("administer", 0x001),
            ("audit", 0x002),
            ("create", 0x004),
            ("delete", 0x008),
            ("list", 0x010),
            ("read", 0x020),
            ("share", 0x040),
            ("update", 0x080),
            ("use", 0x100),
        ];
        assert_eq!(bits, stored);
    }
}
