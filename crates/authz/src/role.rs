//! Roles: named rows of actions.

use std::fmt;

use domain::Invalid;

use crate::ActionKind;

/// A role. The numbers are stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Role {
    /// Everything, everywhere. Global.
    Admin = 1,
    /// Metadata everywhere, and the audit log. Global.
    Auditor = 2,
    /// Creates and uses, without seeing what others stored.
    Contributor = 3,
    /// A grant: everything about a secret that exists, and sharing it.
    Manage = 9,
    /// Manages a project without reading its values.
    Manager = 4,
    /// Everything in a project.
    Owner = 5,
    /// A grant: reads and uses what exists.
    Read = 10,
    /// Reads everything, changes nothing. Global.
    ReadonlyAdmin = 6,
    /// Sees metadata.
    Viewer = 7,
    /// A grant: reads, uses and updates what exists.
    Write = 11,
    /// Reads and writes values.
    Writer = 8,
}

impl Role {
    /// All roles, by name.
    pub const ALL: [Self; 11] = [
        Self::Admin,
        Self::Auditor,
        Self::Contributor,
        Self::Manage,
        Self::Manager,
        Self::Owner,
        Self::Read,
        Self::ReadonlyAdmin,
        Self::Viewer,
        Self::Write,
        Self::Writer,
    ];

    /// Whether the role allows an action: the table of the design, row by row.
    pub const fn allows(self, action: ActionKind) -> bool {
        use ActionKind::{Administer, Audit, Create, Delete, List, Read, Share, Update, Use};
        match self {
            Self::Admin => true,
            Self::Auditor => matches!(action, List | Audit),
            Self::Contributor => matches!(action, Create | Use),
            Self::Manage => matches!(action, List | Read | Use | Update | Delete | Share),
            Self::Manager => matches!(action, List | Create | Use | Administer),
            Self::Owner => !matches!(action, Audit),
            Self::Read => matches!(action, List | Read | Use),
            Self::ReadonlyAdmin => matches!(action, List | Read),
            Self::Viewer => matches!(action, List),
            Self::Write => matches!(action, List | Read | Use | Update),
            Self::Writer => !matches!(action, Share | Administer | Audit),
        }
    }

    /// What the role allows.
    pub fn actions(self) -> impl Iterator<Item = ActionKind> {
        ActionKind::ALL.into_iter().filter(move |action| self.allows(*action))
    }

    /// Whether the role holds for the whole store only.
    pub const fn is_global(self) -> bool {
        matches!(self, Self::Admin | Self::Auditor | Self::ReadonlyAdmin)
    }

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Auditor => "auditor",
            Self::Contributor => "contributor",
            Self::Manage => "manage",
            Self::Manager => "manager",
            Self::Owner => "owner",
            Self::Read => "read",
            Self::ReadonlyAdmin => "readonly-admin",
            Self::Viewer => "viewer",
            Self::Write => "write",
            Self::Writer => "writer",
        }
    }

    /// Reads a name from the wire.
    ///
    /// # Errors
    /// Lists the known roles.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|known| known.as_str() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|role| role.as_str()).collect();
            Invalid::new("role", format!("must be one of {}", known.join(", ")))
        })
    }

    /// The stored number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The role with a stored number, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ActionKind::{Administer, Audit, Create, Delete, List, Read, Share, Update, Use};

    /// The table of the design, written out a second time as it stands there.
    #[test]
    fn the_table_of_roles() {
        let columns = [List, Read, Create, Update, Delete, Use, Share, Administer, Audit];
        let table = [
            (Role::Viewer, "x........"),
            (Role::Contributor, "..x..x..."),
            (Role::Writer, "xxxxxx..."),
            (Role::Manager, "x.x..x.x."),
            (Role::Owner, "xxxxxxxx."),
            (Role::Read, "xx...x..."),
            (Role::Write, "xx.x.x..."),
            (Role::Manage, "xx.xxxx.."),
            (Role::ReadonlyAdmin, "xx......."),
            (Role::Auditor, "x.......x"),
            (Role::Admin, "xxxxxxxxx"),
        ];
        assert_eq!(table.len(), Role::ALL.len());
        for (role, row) in table {
            let drawn: String =
                columns.iter().map(|&action| if role.allows(action) { 'x' } else { '.' }).collect();
            assert_eq!(drawn, row, "{role}");
        }
    }

    #[test]
    fn names_and_numbers_lead_back_to_the_role() {
        for role in Role::ALL {
            assert_eq!(Role::parse(&role.to_string()).unwrap(), role);
            assert_eq!(Role::from_code(role.code()), Some(role));
        }
        let refused = Role::parse("root").unwrap_err();
        assert_eq!(
            (refused.field.as_str(), refused.fix.ends_with("write, writer")),
            ("role", true)
        );
        assert_eq!([0, 12].map(Role::from_code), [None, None]);
    }

    /// Grants are stored with these: another number would give each of them another role.
    #[test]
    fn the_numbers_are_stored() {
        let numbers = Role::ALL.map(|role| (role.as_str(), role.code()));
        let stored = [
            ("admin", 1),
            ("auditor", 2),
            ("contributor", 3),
            ("manage", 9),
            ("manager", 4),
            ("owner", 5),
            ("read", 10),
            ("readonly-admin", 6),
            ("viewer", 7),
            ("write", 11),
            ("writer", 8),
        ];
        assert_eq!(numbers, stored);
    }
}
