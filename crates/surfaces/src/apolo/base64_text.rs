//! Values in base64, as the platform's clients send them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::Plaintext;
use zeroize::Zeroizing;

/// What is wrong with a value; nothing of it is repeated.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// A letter that is none of the alphabet, or bits behind the end.
    Letters,
    /// Its length, in the platform's words.
    Length(String),
}

/// Reads a value: the standard alphabet, padded, with line ends anywhere.
pub(super) fn read(text: &str) -> Result<Plaintext, Wrong> {
    let mut letters = Zeroizing::new(Vec::with_capacity(text.len()));
    letters.extend(text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')));
    if letters.is_empty() {
        return Err(Wrong::Length("blank value is not allowed".to_owned()));
    }
    check_length(&letters)?;
    STANDARD.decode(&*letters).map(Plaintext::new).map_err(|_| Wrong::Letters)
}

/// The canonical text of a value.
pub(super) fn write(value: &Plaintext) -> Zeroizing<String> {
    // EXPOSE: the answer to who asked for the value and may read it.
    Zeroizing::new(STANDARD.encode(value.expose()))
}

fn check_length(letters: &[u8]) -> Result<(), Wrong> {
    let padding = letters.iter().rev().take_while(|byte| **byte == b'=').count();
    let data = letters.len() - padding;
    match data % 4 {
        0 if padding == 0 => Ok(()),
        1 => Err(Wrong::Length(format!(
            "Invalid base64-encoded string: number of data characters ({data}) cannot be 1 more than a multiple of 4"
        ))),
        2 | 3 if (data + padding) % 4 != 0 => Err(Wrong::Length("Incorrect padding".to_owned())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(text: &str) -> String {
        match read(text) {
            Err(Wrong::Length(said)) => said,
            Err(Wrong::Letters) => "letters".to_owned(),
            Ok(_) => "taken".to_owned(),
        }
    }

    #[test]
    fn a_value_is_refused_in_the_platforms_words() {
        for text in ["", "\r\n"] {
            assert_eq!(said(text), "blank value is not allowed", "{text:?}");
        }
        assert!(
            said("vvvvv")
                .starts_with("Invalid base64-encoded string: number of data characters (5)")
        );
        for text in ["vv", "vvv", "vv=", "vv===="] {
            assert_eq!(said(text), "Incorrect padding", "{text}");
        }
        for text in ["####", "_-_-", "====", "kk k", "YWJjZB==", "kk=k", "\u{e4}\u{e4}"] {
            assert_eq!(said(text), "letters", "{text}");
        }
        for text in ["vvvv", "kk==", "vv\r\nvv\n", "k\nk=\n="] {
            assert_ne!(said(text), "Incorrect padding", "{text}");
        }
    }

    #[test]
    fn what_is_written_is_canonical() {
        let value = read("aGVs\nbG8=\r\n").ok().unwrap();
        assert_eq!(write(&value).as_str(), "aGVsbG8=");
    }

    proptest! {
        #[test]
        fn every_value_comes_back(bytes in proptest::collection::vec(any::<u8>(), 1..99)) {
            let text = write(&Plaintext::new(bytes.clone()));
            let read = read(&text).ok().unwrap();
            // EXPOSE: a test compares the bytes.
            prop_assert_eq!(read.expose(), bytes.as_slice());
        }

        #[test]
        fn what_is_taken_has_one_canonical_form(text in "[AQgw+/=_ \r\n\u{e4}]{0,12}") {
            if let Ok(value) = read(&text) {
                let lines_gone: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
                prop_assert_eq!(write(&value).as_str(), lines_gone.as_str());
            }
        }

        #[test]
        fn no_text_is_too_strange(text in any::<String>()) {
            let _ = read(&text);
        }
    }
}
