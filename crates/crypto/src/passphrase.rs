//! A root key from a passphrase (FORMAT.md section 4).

use std::fmt;

use zeroize::Zeroizing;

use crate::argon2id::{self, SALT_BYTES};
use crate::{Argon2Cost, NoMemory, PassphraseError, RootKey};

const MAX_BYTES: usize = 1024;

/// One line that a person keeps, taken byte for byte.
pub struct Passphrase(Zeroizing<String>);

static_assertions::assert_not_impl_any!(Passphrase: fmt::Debug, fmt::Display, Clone, PartialEq);

impl Passphrase {
    /// The fewest characters of a passphrase that a new slot is made with.
    pub const MIN_CHARS: usize = 12;

    /// Reads a passphrase as a file or a variable holds it; one line end behind it is no part of
    /// it, and nothing else is taken off.
    ///
    /// # Errors
    /// When it is empty, longer than 1,024 bytes, or more than one line; the error repeats nothing
    /// of it.
    pub fn from_text(text: &str) -> Result<Self, PassphraseError> {
        let text = text.strip_suffix('\n').map_or(text, |line| line.trim_end_matches('\r'));
        if text.is_empty() {
            return Err(PassphraseError::Empty);
        }
        if text.len() > MAX_BYTES {
            return Err(PassphraseError::TooLong);
        }
        if text.contains(char::is_control) {
            return Err(PassphraseError::ControlCharacter);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// Whether a new slot may be made with it. An old one opens whatever this says.
    ///
    /// # Errors
    /// [`PassphraseError::TooShort`] below [`Passphrase::MIN_CHARS`].
    pub fn check_for_new_slot(&self) -> Result<(), PassphraseError> {
        if self.0.chars().count() < Self::MIN_CHARS {
            return Err(PassphraseError::TooShort);
        }
        Ok(())
    }

    /// Its text, for whoever hands it on to where it is used.
    pub fn to_text(&self) -> Zeroizing<String> {
        self.0.clone()
    }

    /// Derives the root key, at the cost that was asked for.
    pub(crate) fn derive_root_key(
        &self,
        cost: Argon2Cost,
        salt: &[u8; SALT_BYTES],
    ) -> Result<RootKey, NoMemory> {
        argon2id::derive(self.0.as_bytes(), salt, cost).map(RootKey::from_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Option<PassphraseError> {
        Passphrase::from_text(text).err()
    }

    #[test]
    fn a_passphrase_is_one_line_and_its_line_end_is_no_part_of_it() {
        for text in ["correct horse", "correct horse\n", "correct horse\r\n"] {
            assert_eq!(*Passphrase::from_text(text).ok().unwrap().0, "correct horse");
        }
        assert_eq!(*Passphrase::from_text("  spaces  \n").ok().unwrap().0, "  spaces  ");
        for (text, why) in [
            ("", PassphraseError::Empty),
            ("\n", PassphraseError::Empty),
            ("two\nlines\n", PassphraseError::ControlCharacter),
            ("line\n\n", PassphraseError::ControlCharacter),
            (&"x".repeat(1025), PassphraseError::TooLong),
        ] {
            assert_eq!(refused(text), Some(why));
        }
    }

    #[test]
    fn length_is_counted_in_characters() {
        let check = |text| Passphrase::from_text(text).ok().unwrap().check_for_new_slot();
        assert_eq!(check("elf zeichen"), Err(PassphraseError::TooShort));
        assert_eq!(check("zw\u{f6}lf zeich\u{e9}"), Ok(()));
    }
}
