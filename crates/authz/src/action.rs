//! What can be done.

/// An action as a value: a column of the table of roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActionKind {
    /// Manage a project: its rules, its members, its tokens.
    Administer,
    /// Make a new secret.
    Create,
    /// Remove a secret or a version.
    Delete,
    /// See metadata.
    List,
    /// See plaintext.
    Read,
    /// Give others rights on a secret, or bind it elsewhere.
    Share,
    /// Write a new version, or change metadata.
    Update,
    /// Refer to a secret in a workload, without seeing it.
    Use,
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
