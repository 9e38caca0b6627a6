//! Why a request comes to nothing.

use authz::Denied;
use domain::Invalid;
use vault::VaultError;

use crate::Answer;

/// Why a request comes to nothing. What has no answer of its own gets the general one of its
/// surface.
pub enum Trouble {
    /// A decision.
    Denied(Denied),
    /// An input that is not taken.
    Invalid(Invalid),
    /// A body that is no JSON. What it holds is not repeated.
    NotJson {
        /// Where it stops being JSON.
        line: usize,
        /// Where in that line.
        column: usize,
    },
    /// An answer of the platform's own.
    Said(Box<Answer>),
    /// What the vault met.
    Vault(VaultError),
}

impl Trouble {
    /// Where a body stops being JSON.
    pub fn not_json(error: &serde_json::Error) -> Self {
        Self::NotJson { line: error.line(), column: error.column() }
    }

    /// Whether it is the vault's word that the thing is not there, or not to be seen.
    pub const fn is_absent(&self) -> bool {
        matches!(
            self,
            Self::Vault(VaultError::NotFound | VaultError::NotPermitted(Denied::NotVisible))
                | Self::Denied(Denied::NotVisible)
        )
    }

    /// Whether rights are why, be it that they do not let one see.
    pub const fn is_denied(&self) -> bool {
        matches!(
            self,
            Self::Denied(Denied::Forbidden | Denied::NotVisible)
                | Self::Vault(VaultError::NotPermitted(Denied::Forbidden | Denied::NotVisible))
        )
    }
}

impl From<Denied> for Trouble {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<Invalid> for Trouble {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<VaultError> for Trouble {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Invalid(invalid) => Self::Invalid(invalid),
            VaultError::NotPermitted(denied) => Self::Denied(denied),
            other => Self::Vault(other),
        }
    }
}

impl From<Answer> for Trouble {
    fn from(answer: Answer) -> Self {
        Self::Said(Box::new(answer))
    }
}
