//! The outside systems two processes share: bus, presence and cursors, each with an in-memory twin.
