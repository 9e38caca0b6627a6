//! Which passwords are too weak for a user to log in with.

use zeroize::Zeroizing;
use zxcvbn::{Score, zxcvbn};

use crate::{Invalid, Plaintext};

const MIN_CHARS: usize = 12;
const MAX_BYTES: usize = 1024;
const MIN_DISTINCT_CHARS: usize = 5;
/// A shorter name is part of too many words.
const MIN_NAME_CHARS: usize = 4;

/// Rows of the keyboards that are common here: QWERTY, QWERTZ and AZERTY.
const KEYBOARD_ROWS: [&str; 9] = [
    "1234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "yxcvbnm",
    "azertyuiop",
    "qsdfghjklm",
    "wxcvbn",
];

/// Whether a user may take this password.
///
/// The estimator copies parts of the password; it is for the allocator to wipe what it frees, as the
/// binary's does.
///
/// # Errors
/// Says what a better one has; never repeats any of it.
pub fn check_password(password: &Plaintext, user: &str) -> Result<(), Invalid> {
    // EXPOSE: its characters are counted and compared.
    let weakness = weakness(password.expose(), user);
    weakness.map_or(Ok(()), |fix| Err(Invalid::new("password", fix)))
}

fn weakness(password: &[u8], user: &str) -> Option<&'static str> {
    if password.len() > MAX_BYTES {
        return Some("must have at most 1024 bytes");
    }
    let text = std::str::from_utf8(password).ok().filter(|text| !text.contains(char::is_control));
    let Some(text) = text else {
        return Some("must be UTF-8 without control characters");
    };
    let chars: Zeroizing<Vec<char>> = Zeroizing::new(text.chars().collect());
    if chars.len() < MIN_CHARS {
        return Some("must have at least 12 characters");
    }
    if contains_name(text, user) {
        return Some("must not contain the user's name");
    }
    if has_few_distinct(&chars) {
        return Some("must have at least 5 different characters");
    }
    if is_mostly_a_run(&chars) {
        return Some("must not be mostly a run of equal or neighbouring characters");
    }
    if zxcvbn(text, &[user]).score() < Score::Three {
        return Some("must be harder to guess: take several unrelated words, or random characters");
    }
    None
}

fn contains_name(text: &str, user: &str) -> bool {
    let folded = Zeroizing::new(text.to_lowercase());
    user.chars().count() >= MIN_NAME_CHARS && folded.contains(&user.to_lowercase())
}

fn has_few_distinct(chars: &[char]) -> bool {
    let mut sorted = Zeroizing::new(chars.to_vec());
    sorted.sort_unstable();
    sorted.dedup();
    sorted.len() < MIN_DISTINCT_CHARS
}

/// Whether more than half of the characters follow from the one before.
fn is_mostly_a_run(chars: &[char]) -> bool {
    let pairs = chars.iter().zip(chars.iter().skip(1));
    let steps = pairs.filter(|(one, next)| follows(**one, **next)).count();
    2 * steps > chars.len()
}

/// Equal, beside each other in their alphabet, or on a keyboard.
fn follows(one: char, next: char) -> bool {
    let (one, next) = (one.to_ascii_lowercase(), next.to_ascii_lowercase());
    u32::from(one).abs_diff(u32::from(next)) <= 1
        || KEYBOARD_ROWS.iter().any(|row| {
            let place = |char| row.find(char);
            place(one).zip(place(next)).is_some_and(|(one, next)| one.abs_diff(next) == 1)
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(password: &[u8], user: &str) -> Option<String> {
        let refused = check_password(&Plaintext::new(password.to_vec()), user).err()?;
        assert_eq!(refused.field, "password");
        Some(refused.fix)
    }

    #[track_caller]
    fn is_refused(password: &str, because: &str) {
        let fix = check(password.as_bytes(), "marguerite").unwrap_or_default();
        assert!(fix.contains(because), "{password}: {fix:?}");
    }

    #[test]
    fn a_password_that_is_hard_to_guess_is_taken() {
        for password in [
            "correct-staple-lagoon-visa",
            "k7#Qz!v2mL9x",
            "Grundst\u{fc}ck 41 im Nebel",
            "\u{65e5}\u{672c}\u{8a9e}\u{306e}\u{9577}\u{3044}\u{5408}\u{8a00}\u{8449}\u{3067}\u{3059}\u{3088}",
        ] {
            assert_eq!(check(password.as_bytes(), "marguerite"), None, "{password}");
        }
    }

    #[test]
    fn length_is_counted_in_characters_and_bounded_in_bytes() {
        is_refused("k7#Qz!v2mL9", "at least 12");
        is_refused("", "at least 12");
        is_refused("\u{e4}\u{f6}\u{fc}\u{df}k7#Qz!v", "at least 12");
        // Varied enough that nothing but its length decides.
        let long: String = (0..MAX_BYTES).map(|n| char::from(b'!' + (n * n % 89) as u8)).collect();
        assert_eq!(check(long.as_bytes(), "marguerite"), None);
        is_refused(&format!("{long}x"), "at most 1024");
    }

    #[test]
    fn what_a_keyboard_does_not_give_is_refused() {
        is_refused("k7#Qz!v2mL9x\n", "control characters");
        is_refused("k7#Qz!v2\u{85}mL9x", "control characters");
        assert!(check(b"k7#Qz!v2mL9x\xff", "marguerite").unwrap().contains("UTF-8"));
    }

    #[test]
    fn the_users_name_is_no_part_of_it() {
        is_refused("k7#Qz!margueriteL9x", "name");
        is_refused("k7#Qz!MargueRiteL9x", "name");
        assert!(check(b"k7#Qz!v2mL9xbob", "bob").is_none());
        assert!(check(b"k7#Qz!v2mL9xrosa", "Rosa").unwrap().contains("name"));
        assert!(check(b"k7#Qz!v2mL9x", "").is_none());
    }

    #[test]
    fn few_characters_are_refused() {
        is_refused("acegacegacegaceg", "different");
        is_refused("1212121212121", "different");
    }

    #[test]
    fn runs_are_refused() {
        for run in [
            "abcdefghijklmnop",
            "ponmlkjihgfedcba",
            "0123456789012",
            "aaabbbcccdddeeefff",
            "qwertyuiopasdf",
            "qwertzuiopasdf",
            "poiuytrewqlkj",
            "azertyuiopqsdf",
            "QWERTYUIOP12345",
            "abcdefghijk#Qz!v2",
        ] {
            is_refused(run, "run");
        }
        // Just half of it is none.
        assert!(check(b"abcdefgk7#Qz!v2mL9x", "marguerite").is_none());
    }

    #[test]
    fn what_lists_hold_is_refused() {
        for password in ["Password1234!", "passwordpassword", "iloveyou2024!", "letmein12345"] {
            is_refused(password, "harder to guess");
        }
        // The name in another spelling, which only the estimator sees.
        is_refused("m4rguer1te2024", "harder to guess");
    }

    proptest! {
        #[test]
        fn no_password_makes_it_panic_or_is_repeated(
            password in "\\PC{12,40}", user in "\\PC{0,20}",
        ) {
            if let Some(fix) = check(password.as_bytes(), &user) {
                prop_assert!(!fix.contains(&password));
            }
        }

        #[test]
        fn digits_and_dates_do_not_make_it_panic(password in "[0-9a-z/. -]{12,60}") {
            check(password.as_bytes(), "marguerite");
        }
    }
}
