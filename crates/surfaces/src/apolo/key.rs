//! What a secret may be called.

use domain::DataKey;

/// The longest key, and the longest name of anything else.
pub(super) const MAX_CHARS: usize = 253;
/// The pattern, as the platform writes it.
const PATTERN: &str = r"does not match pattern \A(?!\.\Z|\.\.)[a-zA-Z0-9_\-.]+\Z";
/// The key that the platform keeps for itself, in any case.
const RESERVED: &str = "---neuro---";

/// Checks a key; what is wrong with it, in the platform's words.
pub(super) fn check(key: &str) -> Result<(), String> {
    if key.is_empty() {
        return Err("blank value is not allowed".to_owned());
    }
    if key.chars().count() > MAX_CHARS {
        return Err(format!("String is longer than {MAX_CHARS} characters"));
    }
    // Kubernetes' own rule, to the letter.
    if DataKey::parse(key).is_err() {
        return Err(PATTERN.to_owned());
    }
    if key.eq_ignore_ascii_case(RESERVED) {
        return Err(format!("Illegal key '{key}'"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use domain::SecretName;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_what_the_platform_takes() {
        for key in ["a", ".-", "-", "_", "0", "A", ".a", "a..b", "...a".get(2..).unwrap()] {
            assert_eq!(check(key), Ok(()), "{key}");
        }
        assert_eq!(check(&"x".repeat(MAX_CHARS)), Ok(()));
        for key in ["?", "\n", "\t", " ", ".", "..", "...", "..-", "/", "\\", "a\n", "\u{e4}"] {
            assert_eq!(check(key), Err(PATTERN.to_owned()), "{key}");
        }
        assert_eq!(check("---neuro---"), Err("Illegal key '---neuro---'".to_owned()));
        assert_eq!(check("---Neuro---"), Err("Illegal key '---Neuro---'".to_owned()));
        assert!(check("").unwrap_err().starts_with("blank"));
        assert!(check(&"x".repeat(254)).unwrap_err().starts_with("String is longer"));
    }

    proptest! {
        #[test]
        fn a_key_that_is_taken_is_the_name_of_a_secret(key in "[a-zA-Z0-9_.\\-/ \u{e4}]{0,8}") {
            if check(&key).is_ok() {
                prop_assert_eq!(SecretName::parse(&key).unwrap().as_str(), key.as_str());
                prop_assert_eq!(DataKey::for_text(&key).as_str(), key.as_str());
            }
        }
    }
}
