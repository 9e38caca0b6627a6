//! The interfaces of other platforms, each a thin translation to the vault's use cases.
//!
//! Nothing here listens, stores, decides or encrypts: a surface turns a request into an act of the
//! vault, by an actor whom the server has authenticated, and the result into the platform's answer.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod render;
