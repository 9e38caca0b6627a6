//! The root key: given from outside, or made once; it opens the keyring and nothing else.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::hazmat::{Cipher, KEY_BYTES};
use crate::keys::KeyBytes;
use crate::{NoRandomness, RootKeyError};

const HEX_CHARS: usize = 2 * KEY_BYTES;
const BASE64_CHARS: usize = 44;

/// The key above all others. It is never stored by Tresor.
pub struct RootKey(KeyBytes);

static_assertions::assert_not_impl_any!(RootKey: fmt::Debug, fmt::Display, Clone, PartialEq);

impl RootKey {
    /// A new random root key.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn make() -> Result<Self, NoRandomness> {
        KeyBytes::make().map(Self)
    }

    /// Reads a root key as a key file or an environment variable holds it: 64 hexadecimal digits or
    /// standard base64 of 32 bytes, with any white space around it.
    ///
    /// # Errors
    /// When the text is neither; the error repeats nothing of it.
    pub fn from_text(text: &str) -> Result<Self, RootKeyError> {
        let text = text.trim_ascii();
        match text.len() {
            0 => Err(RootKeyError::Empty),
            HEX_CHARS => from_hex(text.as_bytes()),
            BASE64_CHARS => from_base64(text),
            _ => Err(RootKeyError::WrongLength),
        }
    }

    /// The text of a fresh key file.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new([0; BASE64_CHARS]);
        // 32 bytes are 44 characters, so the buffer always fits.
        let written = STANDARD.encode_slice(self.0.as_bytes(), text.as_mut_slice());
        debug_assert_eq!(written, Ok(BASE64_CHARS));
        let mut string = Zeroizing::new(String::with_capacity(BASE64_CHARS));
        string.extend(text.iter().map(|&byte| char::from(byte)));
        string
    }

    pub(crate) fn from_bytes(bytes: KeyBytes) -> Self {
        Self(bytes)
    }

    /// The key as a cipher, for the moment that opening or making a keyring takes.
    pub(crate) fn cipher(&self) -> Cipher {
        Cipher::new(&self.0)
    }
}

fn from_hex(digits: &[u8]) -> Result<RootKey, RootKeyError> {
    let mut key = KeyBytes::zeroed();
    let (pairs, _) = digits.as_chunks::<2>();
    for (byte, [high, low]) in key.as_mut_bytes().iter_mut().zip(pairs) {
        *byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
    }
    Ok(RootKey(key))
}

fn hex_digit(digit: u8) -> Result<u8, RootKeyError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(RootKeyError::Spelling),
    }
}

fn from_base64(text: &str) -> Result<RootKey, RootKeyError> {
    // One byte more than a key, for a text without its padding character.
    let mut decoded = Zeroizing::new([0; KEY_BYTES + 1]);
    let length =
        STANDARD.decode_slice(text, decoded.as_mut_slice()).map_err(|_| RootKeyError::Spelling)?;
    match decoded.first_chunk() {
        Some(key) if length == KEY_BYTES => Ok(RootKey(KeyBytes::copied_from(key))),
        _ => Err(RootKeyError::WrongLength),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
    const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn check(text: &str, expected: Result<&str, RootKeyError>) {
        let read = RootKey::from_text(text).map(|key| key.to_text());
        assert_eq!(read.as_ref().map(|text| text.as_str()).map_err(|error| *error), expected);
    }

    #[test]
    fn both_forms_are_read_with_white_space_around_them() {
        for text in [HEX, BASE64, &HEX.to_lowercase()] {
            check(text, Ok(BASE64));
            check(&format!(" \t{text}\r\n"), Ok(BASE64));
        }
    }

    #[test]
    fn other_texts_are_refused_with_their_reason() {
        check("", Err(RootKeyError::Empty));
        check(" \n", Err(RootKeyError::Empty));
        for wrong in ["x", &format!("{HEX}0"), &format!("{BASE64}="), &format!("{HEX}{HEX}")] {
            check(wrong, Err(RootKeyError::WrongLength));
        }
        // 33 bytes, and 31.
        check(&"A".repeat(44), Err(RootKeyError::WrongLength));
        check(&format!("{}==", "A".repeat(42)), Err(RootKeyError::WrongLength));
        check(&HEX.replace('0', "g"), Err(RootKeyError::Spelling));
        check(&BASE64.replace('A', "-"), Err(RootKeyError::Spelling));
        // The last character has bits beyond the 32nd byte, so it is a second spelling.
        check(&BASE64.replace("h8=", "h9="), Err(RootKeyError::Spelling));
        // 64 bytes of UTF-8 with a character of two bytes.
        check(&format!("{}\u{e9}", "0".repeat(62)), Err(RootKeyError::Spelling));
    }

    #[test]
    fn a_fresh_key_is_read_back_and_is_not_the_last_one() {
        let one = RootKey::make().unwrap().to_text();
        check(&one, Ok(&one));
        assert_ne!(*one, *RootKey::make().unwrap().to_text());
    }

    #[test]
    fn an_error_repeats_nothing_of_the_input() {
        let error = RootKey::from_text("hunter2").err().unwrap();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
