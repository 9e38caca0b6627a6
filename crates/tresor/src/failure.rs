//! Why a command failed, as one line and an exit code.

use crypto::{KeyringError, MakeError, NoRandomness, SlotError};
use store::OpenError;

/// A command's failure.
#[derive(Debug)]
pub struct Failure {
    /// One line that says what to do.
    pub message: String,
    /// The process's exit code.
    pub exit_code: u8,
}

/// Anything that has no code of its own.
pub(crate) const GENERAL: u8 = 1;
/// The command line, the environment or the configuration file is wrong.
const USAGE: u8 = 2;
const WRONG_ROOT_KEY: u8 = 3;
const LOCKED: u8 = 4;
const DAMAGED: u8 = 5;
/// A change of keys is under way or paused.
const UNFINISHED: u8 = 6;
/// Records could not be rewritten, and keys are kept for them.
const STUCK: u8 = 7;

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: GENERAL }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: USAGE }
    }

    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: DAMAGED }
    }

    pub(crate) fn unfinished(message: &str) -> Self {
        Self { message: message.to_owned(), exit_code: UNFINISHED }
    }

    pub(crate) fn stuck(left: u64) -> Self {
        vault::VaultError::RotationStuck { left }.into()
    }

    /// The same failure, with more about it.
    pub(crate) fn and(self, more: &str) -> Self {
        Self { message: format!("{}; {more}", self.message), ..self }
    }

    /// Whether another process has the data directory.
    pub(crate) const fn is_locked(&self) -> bool {
        self.exit_code == LOCKED
    }

    /// Whether the command line, the environment or the configuration file is wrong.
    pub(crate) const fn is_usage(&self) -> bool {
        self.exit_code == USAGE
    }
}

/// An error and everything under it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        message = format!("{message}: {inner}");
        source = inner.source();
    }
    message.replace('\n', " ")
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(chain(error.as_ref()))
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let exit_code = match &error {
            OpenError::Locked { .. } => LOCKED,
            OpenError::Damaged { .. }
            | OpenError::NewerFormat { .. }
            | OpenError::OlderFormat { .. } => DAMAGED,
            OpenError::Io { .. } | OpenError::ReadOnly { .. } => GENERAL,
        };
        Self { message: chain(&error), exit_code }
    }
}

impl From<KeyringError> for Failure {
    fn from(error: KeyringError) -> Self {
        let exit_code = match error {
            KeyringError::WrongRootKey => WRONG_ROOT_KEY,
            KeyringError::Damaged
            | KeyringError::NewerFormat { .. }
            | KeyringError::OlderFormat { .. } => DAMAGED,
            KeyringError::NoMemory => GENERAL,
        };
        Self { message: chain(&error), exit_code }
    }
}

impl From<MakeError> for Failure {
    fn from(error: MakeError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<NoRandomness> for Failure {
    fn from(error: NoRandomness) -> Self {
        Self::new(error.to_string())
    }
}

impl From<SlotError> for Failure {
    fn from(error: SlotError) -> Self {
        match error {
            SlotError::Keyring(error) => error.into(),
            other => Self::new(other.to_string()),
        }
    }
}

impl From<vault::VaultError> for Failure {
    fn from(error: vault::VaultError) -> Self {
        let exit_code = match &error {
            vault::VaultError::Damaged | vault::VaultError::KeyringGeneration => DAMAGED,
            vault::VaultError::RotationStuck { .. } => STUCK,
            vault::VaultError::RotationUnderWay { .. } => UNFINISHED,
            _ => GENERAL,
        };
        Self { message: chain(&error), exit_code }
    }
}
