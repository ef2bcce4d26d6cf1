//! A line-based terminal client.
