//! A root key from a passphrase: Argon2id (RFC 9106; FORMAT.md section 4).

use std::fmt;
use std::ops::RangeInclusive;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroizing;

use crate::keys::KeyBytes;
use crate::{PassphraseError, RootKey};

pub(crate) const SALT_BYTES: usize = 16;

const MAX_BYTES: usize = 1024;

const MEMORY_KIB: RangeInclusive<u32> = 65_536..=2_097_152;
const ITERATIONS: RangeInclusive<u32> = 3..=32;
const LANES: RangeInclusive<u32> = 1..=16;

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

    /// Derives the root key, at the cost that was asked for.
    pub(crate) fn derive_root_key(
        &self,
        cost: Argon2Cost,
        salt: &[u8; SALT_BYTES],
    ) -> Result<RootKey, NoMemory> {
        let mut key = KeyBytes::zeroed();
        let params = Params::new(cost.memory_kib, cost.iterations, cost.lanes, None)
            .expect("a cost is within its bounds, which are narrower than Argon2's own");
        let mut memory = Zeroizing::new(Vec::new());
        memory.try_reserve_exact(params.block_count()).map_err(|_| NoMemory)?;
        memory.resize(params.block_count(), Block::new());
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(
                self.0.as_bytes(),
                salt,
                key.as_mut_bytes(),
                memory.as_mut_slice(),
            )
            .expect("passphrase, salt and key have lengths that Argon2 takes");
        Ok(RootKey::from_bytes(key))
    }
}

/// The memory for a derivation is not there.
pub(crate) struct NoMemory;

/// What deriving a root key from a passphrase costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Cost {
    memory_kib: u32,
    iterations: u32,
    lanes: u32,
}

impl Argon2Cost {
    /// The second recommended option of RFC 9106 section 4: 64 MiB, 3 passes, 4 lanes. It is also
    /// the least that is read or written.
    pub const RECOMMENDED: Self = Self { memory_kib: 1 << 16, iterations: 3, lanes: 4 };

    /// A cost that a file names, when it is neither too weak nor beyond reason.
    pub(crate) fn checked(memory_kib: u32, iterations: u32, lanes: u32) -> Option<Self> {
        let within = MEMORY_KIB.contains(&memory_kib)
            && ITERATIONS.contains(&iterations)
            && LANES.contains(&lanes);
        within.then_some(Self { memory_kib, iterations, lanes })
    }

    /// The memory, in KiB.
    pub const fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    /// How often the memory is gone through.
    pub const fn iterations(self) -> u32 {
        self.iterations
    }

    /// How many lanes the memory has.
    pub const fn lanes(self) -> u32 {
        self.lanes
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

    #[test]
    fn a_cost_that_is_too_weak_or_beyond_reason_is_no_cost() {
        let Argon2Cost { memory_kib, iterations, lanes } = Argon2Cost::RECOMMENDED;
        assert!(Argon2Cost::checked(memory_kib, iterations, lanes).is_some());
        assert!(Argon2Cost::checked(1 << 21, 32, 16).is_some());
        for (memory_kib, iterations, lanes) in [
            (memory_kib - 1, iterations, lanes),
            (memory_kib, iterations - 1, lanes),
            (memory_kib, iterations, 0),
            ((1 << 21) + 1, iterations, lanes),
            (u32::MAX, u32::MAX, u32::MAX),
            (memory_kib, 33, lanes),
            (memory_kib, iterations, 17),
        ] {
            let cost = Argon2Cost::checked(memory_kib, iterations, lanes);
            assert_eq!(cost, None, "{memory_kib} {iterations} {lanes}");
        }
    }
}
