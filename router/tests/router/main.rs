//! A whole router between shards and conn-nodes that are played by the tests: no sockets, no services.

mod calls;
mod events;
mod fixture;
mod moves;
mod names;
mod parts;
mod recall;
mod streams;
mod teeth;
