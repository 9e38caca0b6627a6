#![doc = include_str!("../STORE.md")]

mod backup;
mod engine;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod key;
mod record;
mod sled_engine;

pub use backup::{BackupError, BackupHeader, BackupSummary, read_backup};
pub use engine::{
    Commit, CommitError, Engine, Event, EventPage, EventsGone, MAX_COMMIT_BYTES,
    MAX_COMMIT_PRECONDITIONS, MAX_COMMIT_WRITES, Page, Precondition, StoreError, Stored,
};
pub use key::{Key, KeyRange};
pub use record::{
    Binding, Change, ChangeKind, ChangeView, ChangedObject, ConsumerKind, ConsumerRecord, Grant,
    Head, Holding, OrgRecord, PrincipalKind, PrincipalRecord, ProjectRecord, Removal,
    RotationReason, RotationRecord, RotationState, SecretRef, TokenHolder, TokenRecord,
    VersionInfo, VersionState, WrappedKeys, decode_last_use, decode_secret_path,
    decode_stored_event, decode_tombstone, encode_last_use, encode_secret_path,
    encode_stored_event, encode_tombstone,
};
pub use sled_engine::{
    CompactionState, CompactionView, DataDir, HeadView, OpenError, RestoreError, RestorePlan,
    SledEngine, SledOptions, read_head,
};
