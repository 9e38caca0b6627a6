//! Kubernetes names for secrets whose names are none.

use crate::{HASH_DIGITS, short_hash};

/// The longest name of a Secret: an RFC 1123 subdomain, as Kubernetes checks it.
const MAX_NAME_BYTES: usize = 253;
/// A hyphen and eight hexadecimal digits.
const SUFFIX_BYTES: usize = 1 + HASH_DIGITS;

/// The name itself if Kubernetes takes it; otherwise a stable one that resembles it.
///
/// The suffix is taken from the original bytes, so that `a/b` and `a-b`, or `Key` and `key`, stay
/// apart. Thirty-two bits do not exclude a collision; it then is `NameTaken`, as any other.
pub fn kubernetes_name(wanted: &str) -> String {
    if is_dns_subdomain(wanted) {
        return wanted.to_owned();
    }
    let mut name: String = label_safe(wanted).chars().take(MAX_NAME_BYTES - SUFFIX_BYTES).collect();
    name.truncate(name.trim_end_matches(['-', '.']).len());
    let stem = name.trim_start_matches(['-', '.']);
    let stem = if stem.is_empty() { "secret" } else { stem };
    format!("{stem}-{}", short_hash(wanted))
}

/// ASCII letters in lower case, and a hyphen for what is no letter, digit, hyphen, or dot between
/// a letter or digit and another.
fn label_safe(wanted: &str) -> String {
    let lower = wanted.to_ascii_lowercase();
    let mut out = String::with_capacity(lower.len());
    let mut chars = lower.chars().peekable();
    let mut after_alphanumeric = false;
    while let Some(c) = chars.next() {
        let joins =
            c == '.' && after_alphanumeric && chars.peek().copied().is_some_and(is_alphanumeric);
        out.push(if is_alphanumeric(c) || joins { c } else { '-' });
        after_alphanumeric = is_alphanumeric(c);
    }
    out
}

/// Whether Kubernetes takes it as the name of most objects: an RFC 1123 subdomain.
pub fn is_dns_subdomain(name: &str) -> bool {
    let is_label = |label: &str| {
        label.starts_with(is_alphanumeric)
            && label.ends_with(is_alphanumeric)
            && label.chars().all(|c| is_alphanumeric(c) || c == '-')
    };
    name.len() <= MAX_NAME_BYTES && name.split('.').all(is_label)
}

fn is_alphanumeric(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubernetes_name_stays() {
        for name in ["hf-token", "a", "0", "a.b-c.d", &"x".repeat(253)] {
            assert_eq!(kubernetes_name(name), name);
        }
    }

    #[test]
    fn any_other_name_becomes_a_stable_one() {
        // If you are here because these changed: every projection under such a name would move.
        assert_eq!(kubernetes_name("HF_TOKEN"), "hf-token-ef4fc798");
        assert_eq!(kubernetes_name("team/hf"), "team-hf-62596fe8");
        assert_eq!(kubernetes_name("/"), "secret-8a5edab2");
    }

    #[test]
    fn it_is_always_one_that_kubernetes_takes() {
        let long = "ab.".repeat(200);
        for name in [
            "",
            ".",
            "a..b",
            "a.-b",
            "-a",
            "a.",
            "Schl\u{fc}ssel",
            "a b",
            "...",
            "-",
            "\u{1f511}",
            &long,
        ] {
            let made = kubernetes_name(name);
            assert!(is_dns_subdomain(&made), "{name:?} became {made:?}");
        }
    }

    #[test]
    fn names_that_look_alike_stay_apart() {
        let names = ["a/b", "a-b", "a_b", "A-b", "a b"].map(kubernetes_name);
        for (i, one) in names.iter().enumerate() {
            assert!(!names[i + 1..].contains(one), "{one} twice");
        }
    }
}
