//! The passwords of users, as they are kept (FORMAT.md section 10).

use std::fmt;

use domain::{Decoder, Encoder, Malformed, Plaintext};
use subtle::ConstantTimeEq;

use crate::argon2id::{self, SALT_BYTES};
use crate::hazmat::KEY_BYTES;
use crate::keys::KeyBytes;
use crate::random::fill;
use crate::{Argon2Cost, NoMemory, PasswordError};

const FORMAT: u8 = 1;
const MAX_BYTES: usize = 1024;
const RECORD_BYTES: usize = 1 + 3 * size_of::<u32>() + SALT_BYTES + KEY_BYTES;

/// What a password is verified against: never the password, and nothing that opens anything.
pub struct PasswordHash {
    cost: Argon2Cost,
    salt: [u8; SALT_BYTES],
    hash: KeyBytes,
}

static_assertions::assert_not_impl_any!(PasswordHash: fmt::Debug, fmt::Display, Clone, PartialEq);

impl PasswordHash {
    /// Hashes a new password, at today's cost and under a salt of its own. Whether the password is
    /// strong enough is for [`domain::check_password`] to say.
    ///
    /// # Errors
    /// When the password is empty or longer than 1,024 bytes, or memory or random bytes are not
    /// there.
    pub fn make(password: &Plaintext) -> Result<Self, PasswordError> {
        if !has_a_length_that_is_taken(password) {
            return Err(PasswordError::Length);
        }
        let (cost, mut salt) = (Argon2Cost::PASSWORD, [0; SALT_BYTES]);
        fill(&mut salt)?;
        Ok(Self { cost, salt, hash: derive(password, &salt, cost)? })
    }

    /// What is verified when there is no such user, so that the answer takes as long as for one who
    /// is there and has a hash of today's cost. No password is known that it takes: to find one is
    /// to invert Argon2id at zero.
    pub fn decoy() -> Self {
        Self { cost: Argon2Cost::PASSWORD, salt: *b"nobody's salt...", hash: KeyBytes::zeroed() }
    }

    /// Whether this is the password. The time that it takes depends on the cost alone.
    ///
    /// # Errors
    /// When the memory that it takes is not there; then nothing is known.
    pub fn verify(&self, password: &Plaintext) -> Result<bool, NoMemory> {
        if !has_a_length_that_is_taken(password) {
            return Ok(false);
        }
        let offered = derive(password, &self.salt, self.cost)?;
        Ok(offered.as_bytes().ct_eq(self.hash.as_bytes()).into())
    }

    /// Whether it has today's cost. One that has not is made anew at the next login, the only time
    /// when the password is at hand.
    pub fn is_current(&self) -> bool {
        self.cost == Argon2Cost::PASSWORD
    }

    /// The record, which the caller seals as metadata.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::with_capacity(RECORD_BYTES);
        out.u8(FORMAT);
        out.u32(self.cost.memory_kib()).u32(self.cost.iterations()).u32(self.cost.lanes());
        out.raw(&self.salt).raw(self.hash.as_bytes()).finish()
    }

    /// Reads a record back.
    ///
    /// # Errors
    /// When the bytes are not those that a writer writes, or the cost is beyond its bounds.
    pub fn decode(record: &[u8]) -> Result<Self, Malformed> {
        let mut from = Decoder::new(record);
        if from.u8()? != FORMAT {
            return Err(Malformed);
        }
        let (memory_kib, iterations, lanes) = (from.u32()?, from.u32()?, from.u32()?);
        let cost = Argon2Cost::checked_for_password(memory_kib, iterations, lanes);
        let (salt, hash) = (from.array()?, KeyBytes::copied_from(&from.array()?));
        from.finish()?;
        Ok(Self { cost: cost.ok_or(Malformed)?, salt, hash })
    }
}

fn has_a_length_that_is_taken(password: &Plaintext) -> bool {
    (1..=MAX_BYTES).contains(&password.len())
}

fn derive(
    password: &Plaintext,
    salt: &[u8; SALT_BYTES],
    cost: Argon2Cost,
) -> Result<KeyBytes, NoMemory> {
    // EXPOSE: Argon2id takes the password byte for byte.
    argon2id::derive(password.expose(), salt, cost)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::scripted;

    fn plaintext(bytes: &[u8]) -> Plaintext {
        Plaintext::new(bytes.to_vec())
    }

    fn record(memory_kib: u32, iterations: u32, lanes: u32) -> Vec<u8> {
        let mut out = Encoder::default();
        out.u8(FORMAT).u32(memory_kib).u32(iterations).u32(lanes).raw(&[7; 48]).finish()
    }

    #[test]
    fn a_hash_takes_its_password_and_no_other() {
        let hash = PasswordHash::make(&plaintext(b"correct horse")).unwrap();
        assert_eq!(hash.verify(&plaintext(b"correct horse")), Ok(true));
        for other in [&b"correct hors"[..], b"correct horse ", b"Correct horse", b"", b"\0"] {
            assert_eq!(hash.verify(&plaintext(other)), Ok(false));
        }
        let again = PasswordHash::decode(&hash.encode()).unwrap();
        assert_eq!(again.verify(&plaintext(b"correct horse")), Ok(true));
        assert!(hash.is_current());
    }

    #[test]
    fn every_bit_of_a_hash_counts() {
        let password = plaintext(b"correct horse");
        let good = PasswordHash::make(&password).unwrap().encode();
        // Of salt and hash one bit in each byte; a change of the cost is another test.
        for at in 13..RECORD_BYTES {
            let mut changed = good.clone();
            changed[at] ^= 1 << (at % 8);
            assert_eq!(PasswordHash::decode(&changed).unwrap().verify(&password), Ok(false));
        }
    }

    #[test]
    fn a_password_is_taken_byte_for_byte_up_to_its_limit() {
        let longest = [0xff; MAX_BYTES];
        let hash = PasswordHash::make(&plaintext(&longest)).unwrap();
        assert_eq!(hash.verify(&plaintext(&longest)), Ok(true));
        assert_eq!(hash.verify(&plaintext(&longest[1..])), Ok(false));
        assert_eq!(hash.verify(&plaintext(&[0xff; MAX_BYTES + 1])), Ok(false));
        for wrong in [&b""[..], &[b'x'; MAX_BYTES + 1]] {
            let made = PasswordHash::make(&plaintext(wrong));
            assert_eq!(made.err(), Some(PasswordError::Length));
        }
    }

    #[test]
    fn the_same_password_is_hashed_differently_each_time() {
        let make = || PasswordHash::make(&plaintext(b"correct horse")).unwrap().encode();
        assert_ne!(make()[13..29], make()[13..29]);
    }

    #[test]
    fn nobodys_hash_costs_as_much_and_takes_nothing() {
        let decoy = PasswordHash::decoy();
        assert!(decoy.is_current());
        assert_eq!(decoy.hash.as_bytes(), &[0; KEY_BYTES]);
        for password in [&b"x"[..], b"correct horse", &[0; 32]] {
            assert_eq!(decoy.verify(&plaintext(password)), Ok(false));
        }
    }

    #[test]
    fn a_hash_of_another_cost_still_verifies_and_is_not_current() {
        let (password, salt) = (plaintext(b"correct horse"), [7; SALT_BYTES]);
        let cost = Argon2Cost::checked_for_password(38_912, 1, 2).unwrap();
        let hash = derive(&password, &salt, cost).ok().unwrap();
        let older = PasswordHash::decode(&PasswordHash { cost, salt, hash }.encode()).unwrap();
        assert!(!older.is_current());
        assert_eq!(older.verify(&password), Ok(true));
    }

    /// OpenSSL's Argon2id gives the same hash.
    #[test]
    fn the_bytes_of_a_record_stay() {
        let make = || PasswordHash::make(&plaintext(b"correct horse")).unwrap().encode();
        let golden = scripted::with_seed(40, make);
        assert_eq!((golden.len(), golden.capacity()), (61, RECORD_BYTES));
        let hex: String = golden.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            concat!(
                "01",
                "00004c00",
                "00000002",
                "00000001",
                "efa819cea4706aebd2138789131102b4",
                "338c1035b9ae3995de9bb70c29d015cbefc06512786c49208ce6e17d828f7737",
            )
        );
    }

    #[test]
    fn a_record_that_asks_for_too_much_or_too_little_is_refused() {
        let reads = |record: &[u8]| PasswordHash::decode(record).is_ok();
        assert!(reads(&record(19_456, 2, 1)) && reads(&record(1 << 20, 10, 4)));
        for (memory_kib, iterations, lanes) in
            [(1 << 31, 2, 1), (19_455, 3, 1), (19_456, 1, 1), (19_456, 11, 1), (19_456, 2, 5)]
        {
            assert!(!reads(&record(memory_kib, iterations, lanes)));
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_written_back_as_it_was(
            format in 0..3_u8, memory_kib in prop::sample::select(vec![0, 19_456, 38_912, 1 << 20]),
            iterations in 0..12_u32, lanes in 0..6_u32, rest in prop::collection::vec(0..=255_u8, 46..50),
        ) {
            let mut bytes = Encoder::default();
            bytes.u8(format).u32(memory_kib).u32(iterations).u32(lanes).raw(&rest);
            let bytes = bytes.finish();
            let decoded = PasswordHash::decode(&bytes);
            let cost = Argon2Cost::checked_for_password(memory_kib, iterations, lanes);
            prop_assert_eq!(decoded.is_ok(), format == FORMAT && cost.is_some() && rest.len() == 48);
            if let Ok(hash) = decoded {
                prop_assert_eq!(hash.encode(), bytes);
            }
        }
    }
}
