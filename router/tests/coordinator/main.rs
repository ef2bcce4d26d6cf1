//! The coordinator at work: moves from plan to end around a real catalog in a file, with shards in
//! memory that follow the rules, and writers that never stop.

mod faults;
mod moves;
mod operations;
mod shard;
mod world;
