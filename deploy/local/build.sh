#!/usr/bin/env bash
# The cluster's programs and tools, in release, by one command: cargo builds shared parts once more for every other
# choice of packages.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

exec cargo build --release --locked \
    -p shardline-router -p shardline-shard-node -p shardline-conn-node \
    -p shardctl -p shardline-talk -p shardline-load -p shardline-history -p shardline-faults -p shardline-interpose
