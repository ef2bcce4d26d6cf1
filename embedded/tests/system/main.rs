//! Whole systems through real sockets: the embedded form, and the cluster of real processes on real
//! MySQL, Kafka and Redis. Both play the same scenes.

mod bad_input;
mod cluster;
mod embedded;
mod explain;
mod faults;
mod operator;
mod person;
mod prometheus;
mod rebalance;
mod scenes;
mod shards;
