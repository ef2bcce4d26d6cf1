//! A conn-node through its WebSocket, with the rest of the system played by `world`.

#![allow(clippy::disallowed_methods, unreachable_pub)]

mod client;
mod delivery;
mod hello;
mod requests;
mod sends;
mod teeth;
mod world;
