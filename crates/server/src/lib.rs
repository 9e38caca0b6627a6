//! The daemon's listener.
//!
//! Limits come before work: a connection limit, a header time-out, a body limit and a body
//! time-out. Authentication comes before validation on every route. Whatever goes wrong is told as
//! a problem document that repeats nothing of what was sent.

mod answer;
mod app;
mod audit;
mod caller;
mod extract;
mod hub;
mod listen;
mod metrics;
mod native;
mod surface;
mod watching;

pub use app::{App, Limits, SyncControl};
pub use listen::{ListenError, Listener, OperatorSocket};
pub use native::{compaction_body, keys_body, rotation_body, verification_body};
pub use surface::Mounted;
