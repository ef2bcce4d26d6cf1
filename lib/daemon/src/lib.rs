//! A well-behaved process: how it is configured, starts, reports and stops. It knows nothing of chats.
//!
//! [`process::main`] ties the parts together; a `main.rs` of ours is a call of it.

pub mod backoff;
pub mod clock;
pub mod config;
pub mod health;
pub mod lifecycle;
pub mod metrics;
pub mod process;
pub mod sabotage;
pub mod telemetry;
