//! Knows where everything is: requests go inward to shards, events outward to connection nodes.
