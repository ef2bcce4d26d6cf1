//! The Rust client of Shardline.
