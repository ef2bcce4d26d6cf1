//! Terminates client WebSockets and HTTP; holds nothing durable.
//!
//! A frame comes in through `session`, becomes a call in `routers`, and its answer goes out through
//! the session's queue. What others did comes from routers through `push` to the `hub`, which knows
//! who on this node wants it.

mod accounts;
mod admission;
mod announce;
pub mod auth;
mod beacon;
mod calls;
mod chats;
pub mod config;
mod cursor_flush;
mod cursors;
pub mod http;
mod hub;
mod metrics;
mod node;
pub mod outside;
mod page;
mod presence;
mod problem;
mod profiles;
mod push;
pub mod rate_limit;
mod repair;
mod routers;
mod server;
mod session;

pub use server::ConnNode;
