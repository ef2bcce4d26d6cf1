//! Owns slots of chats and users, and is the only writer of its one database.
pub mod store;
