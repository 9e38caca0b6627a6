//! What can go wrong in a use case, before it is told to anyone.

use domain::{Invalid, ResourceVersion};
use store::{CommitError, StoreError};

/// Why a use case failed. Nothing was changed. None of the variants carries a value.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// There is one of that name already.
    #[error("it exists already")]
    AlreadyExists,
    /// Others kept changing the same record.
    #[error("the record was changed by others again and again; try once more")]
    Busy,
    /// A record does not open: it was damaged, or moved from where it was sealed.
    #[error("a sealed record does not open")]
    Damaged,
    /// The changes after a resource version are no longer known, or have never been.
    #[error("changes are known from resourceVersion {oldest} on")]
    Gone {
        /// The oldest resource version that is good.
        oldest: ResourceVersion,
        /// Whether it lies in the future: this store was put back to an earlier state.
        ahead: bool,
    },
    /// Clusters or nodes are reached with the secret.
    #[error("it is the ssh secret of {users}")]
    InUse {
        /// Which, as people know them.
        users: String,
    },
    /// The input breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The keys could not be changed.
    #[error("the keys were not changed: {0}")]
    Keyring(#[from] crypto::RotateError),
    /// The keyring file was not replaced.
    #[error(transparent)]
    KeyringFile(StoreError),
    /// The encryption keys cannot be used any more.
    #[error("the encryption key is used up: rotate the keys")]
    KeysExhausted,
    /// The store was written with another generation of the keyring file.
    #[error(
        "the keyring file is not the one that the store was last written with; restore the newer keyring file"
    )]
    KeyringGeneration,
    /// Nobody would be left who administers the store.
    #[error("nobody would be left who administers the store")]
    LastAdministrator,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    NoRandomness,
    /// No change of keys is under way.
    #[error("no rotation of the keys is under way")]
    NoRotation,
    /// There is none of that name.
    #[error("it does not exist")]
    NotFound,
    /// Another secret has the identity that was chosen.
    #[error("another secret has that identity")]
    IdTaken,
    /// The organization still has projects.
    #[error("the organization still has projects")]
    OrgNotEmpty,
    /// More is asked of the daemon at once than it can hold.
    #[error("too much is asked at once")]
    Overloaded,
    /// A step of the act is not the actor's to take.
    #[error(transparent)]
    NotPermitted(authz::Denied),
    /// Secrets of other projects are bound to the project.
    #[error("secrets of other projects are bound to the project")]
    ProjectHasBindings,
    /// Deleted secrets of the project are still kept.
    #[error("deleted secrets of the project are still kept")]
    ProjectHasDeletedSecrets,
    /// A token still names the project.
    #[error("a token still names the project")]
    ProjectHasTokens,
    /// The project still has secrets.
    #[error("the project still has secrets")]
    ProjectNotEmpty,
    /// The actor's rights changed between decision and commit: decide again.
    #[error("the rights that this was decided on have changed")]
    RightsChanged,
    /// A change of keys is under way.
    #[error("a rotation of the keys is under way; {}", if *paused { "it is paused: resume it" } else { "wait for its end" })]
    RotationUnderWay {
        /// Whether it waits for being resumed.
        paused: bool,
    },
    /// Records stay under keys that ought to go.
    #[error(
        "{left} records stay under older keys, which are kept for them: they do not open (the log names them), or belong to no secret; restore or purge them, then run: tresor rotate-keys --resume"
    )]
    RotationStuck {
        /// How many.
        left: u64,
    },
    /// The root key was not changed.
    #[error("the root key was not changed: {0}")]
    RootKey(#[from] crypto::SlotError),
    /// Several deleted secrets had that name.
    #[error("several deleted secrets had that name")]
    SeveralDeleted,
    /// A secret of that name lives.
    #[error("a secret of that name lives")]
    StillLives,
    /// The record changed since the resource version that the caller had seen.
    #[error("the record has changed; it is now at resourceVersion {current}")]
    Stale {
        /// Its resource version now.
        current: ResourceVersion,
    },
    /// The disk has no room.
    #[error("the disk is full")]
    StorageFull,
    /// The payload does not fit.
    #[error("the request is larger than the store takes in one act")]
    TooLarge,
    /// Someone was wrong too often, and has to wait.
    #[error("too many attempts failed; wait {seconds} s")]
    TooManyAttempts {
        /// How long.
        seconds: u64,
    },
    /// The account has as many tokens as one may have.
    #[error("the account has too many tokens")]
    TooManyTokens,
    /// The store cannot be read or written.
    #[error(transparent)]
    Unavailable(#[from] StoreError),
    /// That version is not kept, or was deleted.
    #[error("there is no such version to read")]
    VersionNotFound,
    /// There is no user of that name and password.
    #[error("there is no user of that name and password")]
    WrongPassword,
}

impl From<CommitError> for VaultError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict { .. } => Self::Busy,
            CommitError::StorageFull => Self::StorageFull,
            CommitError::Store(error) => Self::Unavailable(error),
            CommitError::TooLarge => Self::TooLarge,
        }
    }
}
