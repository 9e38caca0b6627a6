//! System tests: the real binary, driven from outside over sockets, signals and files.
//!
//! What needs a tool that may be missing (strace, a mount) says so and is skipped, unless
//! `TRESOR_TESTS_COMPLETE=1`: then it fails. `TRESOR_TESTS_LONG=1` runs every crash point.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test that meets the unexpected stops, and says where"
)]

mod audit;
mod bad_input;
mod bindings;
mod client;
mod clients;
mod cluster_e2e;
mod config;
mod durability;
mod harness;
mod history;
mod leaks;
mod limits;
mod lists;
mod matrix;
mod memory;
mod native_api;
mod observability;
mod openapi;
mod people;
mod projections;
mod render;
mod rollback;
mod root_key;
mod rotation;
mod start;
mod surface_apolo;
mod surface_blueprints;
mod surface_chariot;
mod surface_consistency;
mod surface_digitalhub;
mod surface_documents;
mod surface_safe;
mod surfaces;
mod tidy;
mod tracer;
mod types;
mod watch;
mod whole_store;
