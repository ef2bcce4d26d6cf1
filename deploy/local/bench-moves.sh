#!/usr/bin/env bash
# What people notice of moves: a cluster of its own on MariaDB (or DB=mysql) under a steady load grows from two shards to
# three and to four, and shrinks to two again. Ends with the table of docs/benchmarks.md and the verdict on what every
# client saw; fails if a move did not end well or the history is not right.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# Each with a sender, a receiver and a chat of their own: what fills the slots.
PAIRS=${PAIRS:-600}
# Messages a second, all pairs together: well under what two cores bear, or moves and people only share what is not enough.
RATE=${RATE:-300}
# Seconds of as much as it bears, before: that is what there is to copy.
FILL=${FILL:-0}
# How often the cluster grows and shrinks.
TIMES=${TIMES:-1}
CALM=${CALM:-30}
ME=bench-moves

export DB=${DB:-mariadb} SHARDLINE_CLUSTER=${SHARDLINE_CLUSTER:-$PWD/target/bench-moves-cluster}
export SHARDLINE_CLUSTER_PORT_BASE=${SHARDLINE_CLUSTER_PORT_BASE:-8700}
export SHARDLINE_CLUSTER_SERVICES_BASE=${SHARDLINE_CLUSTER_SERVICES_BASE:-13900}
FOLDER=$SHARDLINE_CLUSTER/bench
. deploy/local/load.sh
trap 'end_load || true; cluster stop' EXIT

# A run before may have left it, drained.
add_shard() {
    cluster add-shard "$1"
    if ctl shard list --json | grep -q "\"shard\": $1\b"; then
        say "shard $1 takes part again"
        ctl shard drain "$1" --undo
    else
        say "shard $1 joins"
        ctl shard add "$(cluster address "shard-node-$1")"
    fi
    rebalance
}

drain_shard() {
    say "shard $1 goes"
    ctl shard drain "$1"
    rebalance
}

# What became of every move, as `load moves` reads it.
write_moves() {
    local id
    list_moves | sed -nE 's/^ *"move": ([0-9]+),?$/\1/p' | while read -r id; do
        ctl move show "$id" --json
    done >"$FOLDER/moves"
}

cluster start
if ((FILL > 0)); then
    fill_chats --senders "$PAIRS" --in-flight 16 --seconds "$FILL"
fi
begin_load --senders "$PAIRS" --in-flight 4 --rate "$RATE"
for ((time = 0; time < TIMES; time++)); do
    add_shard 2
    add_shard 3
    drain_shard 3
    drain_shard 2
done
ctl shard list
write_moves

right=yes
judge || right=no
"$BIN/load" moves --history "$FOLDER/history" --moves "$FOLDER/moves" || fail "a move did not end well"
[[ $right == yes ]]
