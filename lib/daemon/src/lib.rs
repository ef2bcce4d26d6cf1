//! How a process of ours is configured, starts, reports and stops.
