#!/usr/bin/env bash
# Too much at once, on a cluster of its own on MariaDB (or DB=mysql): twice the messages it bears for two minutes, then
# five thousand clients who lose their conn-node in the same moment. Fails if anything acknowledged is lost, doubled or
# reordered, if anybody does not come back, or if it is not as before in the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

PAIRS=${PAIRS:-300}
SECONDS_OVER=${SECONDS_OVER:-120}
CLIENTS=${CLIENTS:-5000}
export DB=${DB:-mariadb} SHARDLINE_CLUSTER=${SHARDLINE_CLUSTER:-$PWD/target/overload-cluster}
export SHARDLINE_CLUSTER_PORT_BASE=${SHARDLINE_CLUSTER_PORT_BASE:-8500}
export SHARDLINE_CLUSTER_SERVICES_BASE=${SHARDLINE_CLUSTER_SERVICES_BASE:-13700}
# Thousands of accounts are made here; what their passwords cost to guess does not matter.
export SHARDLINE_CONN_NODE_ARGON2_MEMORY_KIB=64 SHARDLINE_CONN_NODE_ARGON2_PASSES=1
FOLDER=$SHARDLINE_CLUSTER/overload
BIN=$(realpath -m "${SHARDLINE_BIN:-${CARGO_TARGET_DIR:-target}/release}")

cluster() { deploy/local/cluster.sh "$@"; }
say() { echo "overload: $*" >&2; }
trap 'cluster stop' EXIT

watched() {
    local process
    while read -r process; do
        processes+=(--process "$process")
    done < <(cluster pids)
}

cluster start
mkdir -p "$FOLDER"
servers=$(cluster address conn-node-1 conn-node-2 | sed 's,^,http://,' | paste -sd ,)
# A client is a socket here and one in the conn-node.
ulimit -n "$(ulimit -Hn)"
right=yes

say "too many messages"
processes=()
watched
rm -f "$FOLDER/history"
"$BIN/load" overload --servers "$servers" --senders "$PAIRS" --seconds "$SECONDS_OVER" --users-file "$FOLDER/users" \
    --history "$FOLDER/history" "${processes[@]}" || right=no
"$BIN/history" check "$FOLDER/history" || right=no

say "too many clients"
"$BIN/load" reconnect --servers "$servers" --clients "$CLIENTS" --users-file "$FOLDER/listeners" \
    --strike "deploy/local/cluster.sh kill conn-node-1" "${processes[@]}" || right=no
cluster up conn-node-1
[[ $right == yes ]]
