//! Names and where things live.
//!
//! Names are compared byte for byte: no case folding, no trimming, no Unicode normalization, since
//! each of those has let one name pass for another in other products.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::Invalid;

/// The longest name, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 512;
const MAX_DATA_KEY_BYTES: usize = 253;
const MAX_NAMESPACE_BYTES: usize = 63;
const MAX_PRINCIPAL_BYTES: usize = 128;
/// Names that people would take for more than a user's.
const RESERVED_PRINCIPALS: [&str; 5] = ["anonymous", "default", "nobody", "root", "system"];

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $field:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Checks a name.
            ///
            /// # Errors
            /// Says which rule the name breaks; never repeats it.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                match $check(text) {
                    Ok(()) => Ok(Self(text.to_owned())),
                    Err(fix) => Err(Invalid::new($field, fix)),
                }
            }

            /// The name's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type!(
    /// An organization's name: one path segment.
    OrgName,
    "organization",
    check_segment
);
name_type!(
    /// A project's name: one path segment.
    ProjectName,
    "project",
    check_segment
);
name_type!(
    /// A secret's name: one or more path segments, separated by `/`.
    SecretName,
    "metadata.name",
    check_name
);
name_type!(
    /// The name of a user, a machine account or a group. Narrow on purpose: names that look alike,
    /// or that mean something in a URI or a pattern, have let one user pass for another elsewhere.
    PrincipalName,
    "metadata.name",
    check_principal
);
name_type!(
    /// A key of a secret's data, as Kubernetes allows it: letters, digits, `-`, `_` and `.`.
    DataKey,
    "data key",
    check_data_key
);
name_type!(
    /// A Kubernetes namespace: an RFC 1123 label.
    Namespace,
    "namespace",
    check_namespace
);

impl OrgName {
    /// The organization that projects belong to when none is named.
    pub fn default_org() -> Self {
        Self("default".to_owned())
    }
}

impl DataKey {
    /// The key under which the value of a secret of that name lies in a Kubernetes Secret: the name
    /// itself where Kubernetes takes it; otherwise a stable one that resembles it and ends in a
    /// hash of the name, so that `a/b` and `a-b` stay apart.
    pub fn for_name(name: &SecretName) -> Self {
        Self::for_text(name.as_str())
    }

    /// As [`DataKey::for_name`], for any text.
    pub fn for_text(text: &str) -> Self {
        if check_data_key(text).is_ok() {
            return Self(text.to_owned());
        }
        let safe = |c: char| if is_data_key_char(c) { c } else { '-' };
        let stem: String =
            text.chars().map(safe).take(MAX_DATA_KEY_BYTES - 1 - HASH_DIGITS).collect();
        let stem = stem.trim_start_matches('.');
        Self(format!("{stem}-{}", short_hash(text)))
    }
}

/// How many hexadecimal digits [`short_hash`] has.
pub const HASH_DIGITS: usize = 8;

/// Eight hexadecimal digits of the text's SHA-256, which tell names apart that would otherwise look
/// the same after what a target does not take was replaced.
pub fn short_hash(text: &str) -> String {
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
}

/// A project and the organization it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectPath {
    /// The organization.
    pub org: OrgName,
    /// The project.
    pub project: ProjectName,
}

impl fmt::Display for ProjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.org, self.project)
    }
}

/// A secret's name and the project that is its home.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretPath {
    /// The home project.
    pub project: ProjectPath,
    /// The name in it.
    pub name: SecretName,
}

impl fmt::Display for SecretPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.name)
    }
}

fn check_name(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > MAX_NAME_BYTES {
        return Err(format!("must be 1 to {MAX_NAME_BYTES} bytes of UTF-8"));
    }
    if text.chars().any(char::is_control) {
        return Err("must not contain NUL or another control character".to_owned());
    }
    if text.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err("must not contain an empty, `.` or `..` path segment".to_owned());
    }
    Ok(())
}

fn check_segment(text: &str) -> Result<(), String> {
    check_name(text)?;
    if text.contains('/') {
        return Err("must be one path segment, without `/`".to_owned());
    }
    Ok(())
}

fn check_principal(text: &str) -> Result<(), String> {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    let well_formed = text.len() <= MAX_PRINCIPAL_BYTES
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(inner);
    if !well_formed {
        return Err(format!(
            "must be 1 to {MAX_PRINCIPAL_BYTES} letters, digits, `-`, `_`, `.` or `@` of ASCII, starting with a letter or digit"
        ));
    }
    if RESERVED_PRINCIPALS.iter().any(|name| text.eq_ignore_ascii_case(name)) {
        return Err(format!("must be none of {}", RESERVED_PRINCIPALS.join(", ")));
    }
    Ok(())
}

fn check_data_key(text: &str) -> Result<(), String> {
    let well_formed = !text.is_empty()
        && text.len() <= MAX_DATA_KEY_BYTES
        && text.chars().all(is_data_key_char)
        && text != "."
        && !text.starts_with("..");
    if well_formed {
        return Ok(());
    }
    Err(format!(
        "must be 1 to {MAX_DATA_KEY_BYTES} letters, digits, `-`, `_` or `.`, not `.` and not starting with `..`"
    ))
}

fn is_data_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

fn check_namespace(text: &str) -> Result<(), String> {
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let well_formed = text.len() <= MAX_NAMESPACE_BYTES
        && text.starts_with(lower)
        && text.ends_with(lower)
        && text.chars().all(|c| lower(c) || c == '-');
    if !well_formed {
        return Err(format!(
            "must be an RFC 1123 label: 1 to {MAX_NAMESPACE_BYTES} lower-case letters, digits or `-`, starting and ending with a letter or digit"
        ));
    }
    if text.starts_with("kube-") {
        return Err("must not be a `kube-` namespace: those belong to Kubernetes".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_name_may_have_slashes_colons_and_unicode() {
        for name in ["a", "hf-token", "team/hf", "a:b", "Schlüssel", "...", ".a", "a b"] {
            assert_eq!(SecretName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_secret_name_has_no_traversal_no_empty_segment_and_no_control_character() {
        let too_long = "x".repeat(MAX_NAME_BYTES + 1);
        for name in [
            "", ".", "..", "a/..", "../a", "a//b", "/a", "a/", "a\0b", "a\nb", "a\u{85}b",
            &too_long,
        ] {
            let refused = SecretName::parse(name).unwrap_err();
            assert_eq!(refused.field, "metadata.name");
            assert!(name.len() < 3 || !refused.fix.contains(name), "the message repeats {name:?}");
        }
    }

    #[test]
    fn names_are_compared_byte_for_byte() {
        assert_ne!(SecretName::parse("Key").unwrap(), SecretName::parse("key").unwrap());
        assert_ne!(SecretName::parse("key ").unwrap(), SecretName::parse("key").unwrap());
    }

    #[test]
    fn a_project_is_one_segment() {
        assert!(ProjectName::parse("team/a").is_err());
        assert!(ProjectName::parse("team-a").is_ok());
    }

    #[test]
    fn a_principals_name_is_narrow() {
        for name in ["alice", "alice@example.com", "ci-bot_2", "0x", &"x".repeat(128)] {
            assert_eq!(PrincipalName::parse(name).unwrap().as_str(), name);
        }
        assert_ne!(PrincipalName::parse("Alice").unwrap(), PrincipalName::parse("alice").unwrap());
        for name in [
            "",
            "a b",
            "a/b",
            "a:b",
            "*",
            "a+b",
            ".a",
            "-a",
            "@a",
            "\u{e4}",
            "a\n",
            "root",
            "Root",
            "system",
            "default",
            &"x".repeat(129),
        ] {
            assert_eq!(PrincipalName::parse(name).unwrap_err().field, "metadata.name", "{name}");
        }
    }

    #[test]
    fn a_data_key_is_what_kubernetes_takes() {
        for key in ["tls.crt", "HF_TOKEN", ".dockerconfigjson", "a-b"] {
            assert!(DataKey::parse(key).is_ok(), "{key}");
        }
        for key in ["", ".", "..", "..a", "a b", "a/b", "ä", &"x".repeat(254)] {
            assert!(DataKey::parse(key).is_err(), "{key}");
        }
    }

    #[test]
    fn every_secret_name_has_a_data_key_of_its_own() {
        let key = |name: &str| DataKey::for_name(&SecretName::parse(name).unwrap());
        assert_eq!(key("HF_TOKEN").as_str(), "HF_TOKEN");
        assert_eq!(key("a/b").as_str(), "a-b-c14cddc0");
        assert_ne!(key("a/b"), key("a:b"));
        let longest = format!("..a{}", "/ä".repeat(160));
        for name in ["a/b", "...", "ä", &longest] {
            assert!(DataKey::parse(key(name).as_str()).is_ok(), "{name}: {:?}", key(name));
        }
    }

    #[test]
    fn a_namespace_is_a_label_and_never_one_of_kubernetes_own() {
        assert!(Namespace::parse("ml-team-1").is_ok());
        for name in ["", "-a", "a-", "A", "a.b", "kube-system", "kube-public", &"x".repeat(64)] {
            assert!(Namespace::parse(name).is_err(), "{name}");
        }
    }
}
