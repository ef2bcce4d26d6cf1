//! The whole cluster in one thread, in virtual time.
//!
//! Routers, shard-nodes, conn-nodes and clients are the real ones; the network between them is turmoil's,
//! their clocks and their dice belong to the simulation, and what lies outside ([`store`], [`catalog`],
//! [`bus`], [`redis`]) is the form in memory with the faults of a server around it ([`climate`]). One seed
//! is one run.

pub mod bus;
#[macro_use]
pub mod climate;
pub mod catalog;
mod cluster;
mod nemesis;
mod network;
pub mod redis;
mod run;
pub mod store;

pub use run::{Outcome, run};
