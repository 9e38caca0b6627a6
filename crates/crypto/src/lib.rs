//! Keys, sealing and signing.
//!
//! A [`RootKey`] or a [`Passphrase`] opens a [`Keyring`]; the keyring seals and opens, signs and
//! verifies. A [`PasswordHash`] needs no key. Ciphers, signatures and Argon2id are each named in one
//! private module, and no public function takes a nonce or hands out a key that must not be known.
//! The specification follows.
//!
#![doc = include_str!("../FORMAT.md")]

mod argon2id;
mod associated;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod hazmat;
mod jwt;
mod keyring;
mod keyring_file;
mod keys;
mod passphrase;
mod password;
mod random;
mod record;
mod root_key;
mod rotate;
mod signing;
mod slot;
mod slots;
mod store_id;
mod uses;

#[cfg(test)]
mod vectors;

pub use argon2id::Argon2Cost;
pub use associated::PayloadContext;
pub use error::{
    KeyringError, MakeError, NoMemory, NoRandomness, OpenError, PassphraseError, PasswordError,
    RewrapError, RootKeyError, RotateError, SealError, SlotError,
};
pub use jwt::{JwtClaims, JwtToken};
pub use keyring::{Keyring, SealedVersion};
pub use keys::KekId;
pub use passphrase::Passphrase;
pub use password::PasswordHash;
pub use record::{MAX_PLAINTEXT_BYTES, metadata_key_of, wrapping_kek};
pub use root_key::RootKey;
pub use rotate::KekInfo;
pub use signing::{PublicKey, verify_signature};
pub use slot::{RootSource, SlotInfo, Unlock};
pub use store_id::StoreId;
pub use uses::MAX_USES;
