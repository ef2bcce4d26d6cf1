#!/usr/bin/env bash
# Speed against the raw limit of the same database, in one run on one machine: a cluster of its own with one shard on
# MariaDB (or DB=mysql), measured by `load bench`. Further arguments go to it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

export DB=${DB:-mariadb} SHARDS=1 SHARDLINE_CLUSTER=$PWD/target/bench-cluster
export SHARDLINE_CLUSTER_PORT_BASE=8300 SHARDLINE_CLUSTER_SERVICES_BASE=13500
stop() { deploy/local/cluster.sh stop; }
trap stop EXIT
deploy/local/cluster.sh start

processes=()
while read -r process; do
    processes+=(--process "$process")
done < <(deploy/local/cluster.sh pids)
database=$(deploy/local/cluster.sh database-url)
"${CARGO_TARGET_DIR:-target}/release/load" bench \
    --servers http://127.0.0.1:8301,http://127.0.0.1:8302 --mysql "$database" "${processes[@]}" "$@"
