//! What can go wrong, in words that repeat no input.

/// Why a keyring file was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// The bytes are not those that were written.
    #[error("the keyring file is damaged: restore it from a backup")]
    Damaged,
    /// A later version of Tresor wrote the file.
    #[error("the keyring file has format {found}, which is newer than this Tresor reads")]
    NewerFormat {
        /// The format that the file names.
        found: u16,
    },
    /// The file is whole, and another root key made it.
    #[error("the root key is not the one that this keyring was made with")]
    WrongRootKey,
}

/// The operating system gave no random bytes. Nothing can be sealed safely without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct NoRandomness;

/// A record that does not open. It carries no reason: an attacker who offers records must not
/// learn from the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed record does not open")]
pub struct OpenError;

/// Why a text is no root key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootKeyError {
    /// There is nothing but white space.
    #[error("the root key is empty: it must be 64 hex digits or base64 of 32 bytes")]
    Empty,
    /// It has the length of a root key in one of the two forms, and a character that does not fit.
    #[error("the root key has a character that is neither hexadecimal nor base64")]
    Spelling,
    /// It is too short or too long for either form.
    #[error("the root key is neither 64 hexadecimal digits nor 44 characters of base64")]
    WrongLength,
}

/// Why nothing was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key was used as often as is safe; a rotation makes a new one.
    #[error("the encryption key is used up: rotate the keys")]
    Exhausted,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    NoRandomness,
    /// All uses that were reserved durably are taken; the caller reserves more and tries again.
    #[error("no use of the encryption key is reserved")]
    ReservationExhausted,
    /// The plaintext is longer than [`crate::MAX_PLAINTEXT_BYTES`].
    #[error("the plaintext is too long to be sealed")]
    TooLong,
}
