//! Knows where everything is: requests go inward to shards, events outward to connection nodes.

pub mod admin;
mod audience;
pub mod catalog;
pub mod catalog_service;
pub mod checks;
pub mod config;
mod connections;
pub mod coordinator;
mod deliveries;
mod interest;
mod join;
mod metrics;
mod node_stream;
mod op;
pub mod operations;
pub mod park;
mod planning;
pub mod requests;
pub mod router;
pub mod routers;
pub mod server;
pub mod shards;
mod signals;
pub mod slot_map;
mod waits;
mod whereabouts;
