//! A whole shard-node on its SQLite store: what it promises to whoever calls it, and what survives.

mod bus;
mod catalog;
mod chats;
mod explain;
mod faults;
mod members;
mod node;
mod outbox;
mod reads;
mod restart;
mod restored;
mod resume;
mod sends;
mod slots;
mod teeth;
mod users;
