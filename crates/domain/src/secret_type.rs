//! The closed set of secret types.

use std::fmt;

use crate::Invalid;

/// What kind of thing a secret is: it decides how a payload is validated and which Kubernetes
/// Secret it becomes. The numbers are stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SecretType {
    /// A map of keys to bytes; becomes an `Opaque` Secret with the same keys.
    Opaque = 1,
    /// Logins to container registries, one a server; becomes `kubernetes.io/dockerconfigjson`.
    Registry = 2,
    /// One value; becomes an `Opaque` Secret with one key, or an entry of its project's merged one.
    Variable = 3,
    /// A user name with a password or a key pair; becomes an `Opaque` Secret.
    Ssh = 4,
    /// Access to an S3 object store; becomes an `Opaque` Secret with the names of the AWS SDKs.
    S3 = 5,
    /// A JSON object; becomes an `Opaque` Secret with a key for each top-level member.
    Document = 6,
}

impl SecretType {
    /// All types, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Opaque, Self::Registry, Self::Variable, Self::Ssh, Self::S3, Self::Document];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opaque => "opaque",
            Self::Registry => "registry",
            Self::Variable => "variable",
            Self::Ssh => "ssh",
            Self::S3 => "s3",
            Self::Document => "document",
        }
    }

    /// The `type` of the Kubernetes Secret that it becomes: one of the two that Tresor makes. It never
    /// makes one that has Kubernetes mint a credential, as `kubernetes.io/service-account-token`.
    pub const fn kubernetes_type(self) -> &'static str {
        match self {
            Self::Registry => "kubernetes.io/dockerconfigjson",
            Self::Document | Self::Opaque | Self::S3 | Self::Ssh | Self::Variable => "Opaque",
        }
    }

    /// The fields of a type whose fields are fixed, in the order that they are stored in; none for
    /// the others.
    pub const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Variable => &["value"],
            Self::Ssh => &["username", "password", "privateKey", "publicKey"],
            Self::S3 => {
                &["accessKeyId", "secretAccessKey", "sessionToken", "endpoint", "region", "bucket"]
            }
            Self::Opaque | Self::Registry | Self::Document => &[],
        }
    }

    /// Reads a name from the wire.
    ///
    /// # Errors
    /// Lists the known types.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|known| known.as_str() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|known| known.as_str()).collect();
            Invalid::new("spec.type", format!("must be one of {}", known.join(", ")))
        })
    }

    /// The stored number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The type with a stored number, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }
}

impl fmt::Display for SecretType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back_to_the_type() {
        for kind in SecretType::ALL {
            assert_eq!(SecretType::parse(kind.as_str()).unwrap(), kind);
            assert_eq!(SecretType::from_code(kind.code()), Some(kind));
        }
        assert!(SecretType::parse("Opaque").is_err());
        assert_eq!(SecretType::from_code(0), None);
    }

    #[test]
    fn the_numbers_are_pinned_because_they_are_stored() {
        let codes: Vec<_> = SecretType::ALL.map(|kind| (kind.as_str(), kind.code())).into();
        let pinned = [
            ("opaque", 1),
            ("registry", 2),
            ("variable", 3),
            ("ssh", 4),
            ("s3", 5),
            ("document", 6),
        ];
        assert_eq!(codes, pinned);
    }
}
