#!/usr/bin/env bash
# A shard comes and goes while people talk: starts the local cluster where it does not run, puts a load on it, adds a
# shard, rebalances, drains and removes it again, and checks what every client saw. Ends with one line; fails on any
# violation. The cluster stays as it was found, save that it runs. With FORM=embedded the same in one process, on a new
# folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# Few enough to leave room for others.
SENDERS=${SENDERS:-16}
CALM=${CALM:-5}
ME=demo
FOLDER=$(realpath -m "${SHARDLINE_CLUSTER:-target/cluster}")/demo
. deploy/local/load.sh
stop_embedded() { :; }
[[ ${FORM:-cluster} != embedded ]] || . deploy/local/embedded.sh
trap 'end_load || true; stop_embedded' EXIT

# What the bus has not yet keeps a shard for a moment.
remove_shard() {
    local began=$SECONDS
    until ctl shard remove "$1"; do
        ((SECONDS - began < 60)) || fail "shard $1 cannot be removed"
        sleep 1
    done
    cluster remove-shard "$1"
}

cluster start
shard=$(cluster next-shard)
begin_load --senders "$SENDERS" --in-flight 1
say "people talk: $(tail -n 1 "$FOLDER/load.progress")"

say "shard $shard joins"
cluster add-shard "$shard"
ctl shard add "$(cluster address "shard-node-$shard")"
ctl plan
rebalance
ctl shard list

say "shard $shard goes"
ctl shard drain "$shard"
ctl plan
rebalance
remove_shard "$shard"
ctl shard list

moved=$(list_moves | sed -n '/^  "total"/,$p')
right=yes
judge || right=no
checked=$(sed -nE 's/^([0-9]+) sends, .*/\1/p' "$FOLDER/verdict")
violations=$(awk '/^ +[0-9]+ times in [0-9]+;/ { sum += $1 } END { print sum + 0 }' "$FOLDER/verdict")
of() { field "$1" <<<"$moved"; }
echo "$(of moves) moves, $(of rows) rows, pause p50 $(of pause_p50_ms) ms, p99 $(of pause_p99_ms) ms," \
    "max $(of pause_max_ms) ms, ${checked:-0} operations checked, $violations violations"
[[ $(of aborted) == 0 ]] || fail "$(of aborted) moves were aborted"
[[ $right == yes ]]
