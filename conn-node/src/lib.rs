//! Terminates client WebSockets and HTTP; holds nothing durable.
//!
//! A frame comes in through `session`, becomes a call in `routers`, and its answer goes out through
//! the session's queue. What others did comes from routers through `push` to the `hub`, which knows
//! who on this node wants it.

pub mod accounts;
mod announce;
pub mod auth;
mod beacon;
mod calls;
pub mod chats;
pub mod config;
pub mod cursor_flush;
pub mod cursors;
pub mod http;
mod hub;
pub mod metrics;
mod node;
mod page;
mod presence;
pub mod problem;
pub mod profiles;
mod push;
pub mod rate_limit;
mod repair;
mod routers;
mod server;
mod session;

pub use server::ConnNode;
