//! Load and the benchmarks.
//!
//! A [`cast::Cast`] is the users of one run: pairs of a sender and a receiver with a direct chat, all
//! connected. In a phase each sender keeps a number of messages in flight; what was acknowledged and
//! what was delivered is counted message by message and must agree in the end.

#![allow(clippy::print_stdout, clippy::print_stderr)]

pub mod accounts;
pub mod bench;
pub mod body;
pub mod cast;
pub mod ledger;
pub mod measure;
pub mod moves;
pub mod overload;
pub mod phase;
pub mod processes;
pub mod reconnect;
pub mod recording;
pub mod run;
