//! The whole system in one process: SQLite shards, in-process bus, in-memory presence.
