#!/usr/bin/env bash
# The tool `faults` on a cluster of its own, beside the one of `make cluster`: builds, runs, stops what it started.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

deploy/local/build.sh
export SHARDLINE_CLUSTER=${SHARDLINE_CLUSTER:-target/faults-cluster}
export SHARDLINE_CLUSTER_PORT_BASE=${SHARDLINE_CLUSTER_PORT_BASE:-9100}
export SHARDLINE_CLUSTER_SERVICES_BASE=${SHARDLINE_CLUSTER_SERVICES_BASE:-14500}
exec "${CARGO_TARGET_DIR:-target}/release/faults" "$@"
