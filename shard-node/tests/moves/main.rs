//! Whole moves of slots between two shard-nodes: a small coordinator that follows the rules, a router
//! that follows the map, and people who write all the while.

mod copies;
mod crashes;
mod driver;
mod people;
mod place;
mod pressure;
mod replicas;
mod scenes;
mod servers;
mod world;
