//! What can go wrong, in words that repeat no input.

/// Why a keyring file was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// The bytes are not those that were written.
    #[error("the keyring file is damaged: restore it from a backup")]
    Damaged,
    /// The memory that deriving a root key takes is not there.
    #[error("there is not enough memory to derive the root key from the passphrase")]
    NoMemory,
    /// A later version of Tresor wrote the file.
    #[error("the keyring file has format {found}, which is newer than this Tresor reads")]
    NewerFormat {
        /// The format that the file names.
        found: u16,
    },
    /// A build from before the first release wrote the file.
    #[error("the keyring file has format {found}, from before the first release: make a new store")]
    OlderFormat {
        /// The format that the file names.
        found: u16,
    },
    /// The file is whole, and has no slot for this root key.
    #[error("the root key or passphrase is not one that this keyring was made with")]
    WrongRootKey,
}

/// Why a slot for a root key was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MakeError {
    /// A key that was just wrapped does not come out of its wrap.
    #[error("a key that was just made does not open: the memory of this machine is damaged")]
    Damaged,
    /// The memory that deriving a root key takes is not there.
    #[error("there is not enough memory to derive the root key from the passphrase")]
    NoMemory,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    NoRandomness,
    /// The slot is for a passphrase and a key was given, or the other way round.
    #[error("the slot's root key comes from another source")]
    OtherSource,
    /// The passphrase has fewer characters than [`crate::Passphrase::MIN_CHARS`].
    #[error("the passphrase is too short: take at least 12 characters")]
    PassphraseTooShort,
}

impl From<NoRandomness> for MakeError {
    fn from(_: NoRandomness) -> Self {
        Self::NoRandomness
    }
}

impl From<RotateError> for MakeError {
    fn from(error: RotateError) -> Self {
        match error {
            RotateError::Damaged | RotateError::Full => Self::Damaged,
            RotateError::NoRandomness => Self::NoRandomness,
        }
    }
}

impl From<NoMemory> for MakeError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// The memory for a derivation with Argon2id is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is not enough memory to derive a key from a passphrase or password")]
pub struct NoMemory;

/// The operating system gave no random bytes. Nothing can be sealed safely without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct NoRandomness;

/// A record that does not open. It carries no reason: an attacker who offers records must not
/// learn from the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed record does not open")]
pub struct OpenError;

/// Why a text is no passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassphraseError {
    /// It has a line break, a tab or another control character within.
    #[error("the passphrase has a control character: it must be one line")]
    ControlCharacter,
    /// There is nothing but a line end.
    #[error("the passphrase is empty")]
    Empty,
    /// It is longer than 1,024 bytes.
    #[error("the passphrase is too long: take at most 1024 bytes")]
    TooLong,
    /// It has fewer characters than [`crate::Passphrase::MIN_CHARS`].
    #[error("the passphrase is too short: take at least 12 characters")]
    TooShort,
}

/// Why a password was not hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// It is empty, or longer than 1,024 bytes.
    #[error("the password must have 1 to 1024 bytes")]
    Length,
    /// The memory that hashing takes is not there.
    #[error("there is not enough memory to hash the password")]
    NoMemory,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    NoRandomness,
}

impl From<NoMemory> for PasswordError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

impl From<NoRandomness> for PasswordError {
    fn from(_: NoRandomness) -> Self {
        Self::NoRandomness
    }
}

/// Why a data key was not wrapped anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewrapError {
    /// The record does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Nothing may be sealed now.
    #[error(transparent)]
    Seal(#[from] SealError),
}

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

/// Why the keys were not changed. The keyring is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RotateError {
    /// A key does not come out of its wrap, although the whole file was authentic: memory is damaged.
    #[error("a key of the keyring does not open any more: restart the daemon")]
    Damaged,
    /// The keyring has as many keys as fit into its file.
    #[error("the keyring is full: finish the rotation that runs first")]
    Full,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    NoRandomness,
}

impl From<NoRandomness> for RotateError {
    fn from(_: NoRandomness) -> Self {
        Self::NoRandomness
    }
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

/// Why the slots of a keyring file stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// Both slots are taken.
    #[error("both slots are taken: drop one first")]
    Full,
    /// The slot is that of the root key that was given: only what stays proves that it opens.
    #[error("slot {0} is the one that was just opened: give the root key of the slot that stays")]
    InUse(u8),
    /// The keyring file was refused.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The new slot was not made.
    #[error(transparent)]
    Make(#[from] MakeError),
    /// The new root key opens the keyring already.
    #[error("the new root key opens slot {0} already")]
    SameKey(u8),
    /// There is no slot of that number.
    #[error("there is no slot {0}")]
    Unknown(u8),
}
