//! Faults on a local cluster of real processes, and the proof that nothing was lost by them.
//!
//! A [`cell::Cell`] is one fault at one phase of a move. [`course::Field`] plays cells: people talk and
//! every client's view is recorded, slots move, the fault strikes when the catalog says that the move is
//! in that phase, what was hit comes back, the move ends by itself, and the recording is judged.
//! [`failover`] does the same with the process that writes a shard and its standby.
//!
//! Nothing in the product knows of this: phases are read from the catalog's row, and a strike is a signal
//! to a process that `deploy/local/cluster.sh` started, or befalls a link that leads over a proxy of ours
//! ([`links`]).

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod blow;
pub mod cell;
pub mod cluster;
pub mod course;
pub mod failover;
mod lie;
pub mod links;
pub mod operator;
pub mod people;
mod proxy;
pub mod storm;
mod strike;
pub mod table;
mod watch;
