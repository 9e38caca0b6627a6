//! The parts of the binary: its command line, its settings, its daemon, its demonstration, and the throw-away
//! cluster that the demonstration and the tests run against.

mod audit;
mod audit_verify;
mod clock;
pub mod cluster;
pub mod command;
mod daemon;
mod demo;
mod dial;
mod failure;
mod init;
mod keys;
mod logging;
pub mod memory;
mod process_metrics;
mod progress;
mod reload;
mod render;
mod root_key;
mod rotate;
mod rotating;
mod serve;
pub mod settings;
mod slots;
mod source;
mod sync_control;
mod whole_store;

pub use failure::Failure;
