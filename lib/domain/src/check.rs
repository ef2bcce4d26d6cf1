//! Whether what stands on the shards fits together, as rules: rows of one entity, a chat's members
//! against their users' lists, names against users, a history against its head.
//!
//! A difference is a finding only when it was seen twice and nothing was on its way meanwhile: a busy
//! cluster is never quite equal.

pub mod facts;
pub mod history;
pub mod names;
pub mod tables;
