//! Terminates client WebSockets and HTTP; holds nothing durable.
//!
//! A frame comes in through `session`, becomes a call in `routers`, and its answer goes out through
//! the session's queue. What others did comes from routers through `push` to the `hub`, which knows
//! who on this node wants it.

pub mod config;
mod hub;
mod node;
mod presence;
mod push;
mod routers;
mod session;
