#![doc = include_str!("../AUDIT.md")]

mod backward;
mod chain;
mod copy;
mod entry;
mod export;
mod file_sink;
mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod inspect;
mod line;
mod log;
mod receipt;
mod record;
mod signature;
mod station;
mod stream_sink;
mod syncer;
mod tail;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

pub use copy::{Compared, Lost, compare};
pub use entry::{Entry, Outcome};
pub use export::{Exported, Filter, Format, export};
pub use files::LogFiles;
pub use log::{AuditLog, OpenError, Options};
pub use receipt::{Receipt, Unavailable};
pub use record::{parse_public_key, parse_time};
pub use signature::{Signer, Verify};
pub use stream_sink::standard_output;
pub use tail::{Follow, tail};
pub use verify::{Fault, FaultKind, Notice, Report, Trust, verify};
