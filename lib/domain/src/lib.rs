//! The rules of Shardline: ids, slots, chats, placement. No IO, no clock, no async.
