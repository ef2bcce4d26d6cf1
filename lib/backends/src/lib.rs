//! The outside systems two processes share: bus, presence and cursors. Each has a contract (the
//! trait), a real form, a form in memory, and a conformance suite that both pass.
//!
//! All of them may be late, wrong, empty or away, and nothing is lost: the databases hold the truth.

pub mod bus;
pub mod cursors;
mod metrics;
pub mod presence;
#[cfg(feature = "redis")]
mod redis;

#[cfg(feature = "redis")]
pub use redis::{RedisSettings, RedisSettingsError};

use thiserror::Error;

/// The outside system did not answer in time, or not with success. What was asked may or may not
/// have happened; every call of this crate may be repeated.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{system} is unavailable: {reason}")]
pub struct Unavailable {
    pub system: &'static str,
    pub reason: String,
}
