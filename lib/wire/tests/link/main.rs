//! Both streams over real sockets: order, batches, broken connections, the secret, and what a peer costs
//! that reads nothing or answers nothing.

#![expect(clippy::disallowed_methods, reason = "a test's servers end with its runtime")]

mod calls;
mod catalog;
mod fixture;
mod inspect;
mod pushes;
mod tls;
