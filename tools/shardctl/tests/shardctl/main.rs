//! The tool against a router's real server: what it prints, and how it ends.

mod checks;
mod cluster;
mod explain;
mod moving;
mod operations;
mod questions;
mod rebalance;
