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
# Seconds of load before the first move, between and after.
CALM=${CALM:-30}
# A load that nobody ends ends by itself.
LOAD_SECONDS_MAX=7200

export DB=${DB:-mariadb} SHARDLINE_CLUSTER=${SHARDLINE_CLUSTER:-$PWD/target/bench-moves-cluster}
export SHARDLINE_CLUSTER_PORT_BASE=${SHARDLINE_CLUSTER_PORT_BASE:-8700}
export SHARDLINE_CLUSTER_SERVICES_BASE=${SHARDLINE_CLUSTER_SERVICES_BASE:-13900}
BIN=$(realpath -m "${SHARDLINE_BIN:-${CARGO_TARGET_DIR:-target}/release}")
FOLDER=$SHARDLINE_CLUSTER/bench
cluster() { deploy/local/cluster.sh "$@"; }
ctl() { cluster ctl "$@"; }
say() { echo "bench-moves: $*" >&2; }
fail() {
    say "$*"
    exit 1
}

load_pid=
end_load() {
    [[ -n $load_pid ]] || return 0
    local pid=$load_pid
    load_pid=
    kill -INT "$pid" 2>/dev/null || true
    wait "$pid"
}
trap 'end_load || true; cluster stop' EXIT

servers() { cluster address conn-node-1 conn-node-2 | sed 's,^,http://,' | paste -sd ,; }

begin_load() {
    local began=$SECONDS
    rm -f "$FOLDER/history"
    : >"$FOLDER/load.progress"
    "$BIN/load" run --servers "$(servers)" --senders "$PAIRS" --in-flight 4 --rate "$RATE" --seconds "$LOAD_SECONDS_MAX" \
        --users-file "$FOLDER/users" --history "$FOLDER/history" >"$FOLDER/load" 2>"$FOLDER/load.progress" &
    load_pid=$!
    until grep -qE 'acked +[1-9]' "$FOLDER/load.progress"; do
        kill -0 "$load_pid" 2>/dev/null || { cat "$FOLDER/load.progress" >&2 && fail "the load ended"; }
        ((SECONDS - began < 600)) || fail "the load does not begin: $(tail -n 1 "$FOLDER/load.progress")"
        sleep 0.2
    done
    sleep "$CALM"
}

# A number of a JSON object that has one field a line.
field() { sed -nE "s/^ *\"$1\": ([0-9]+),?\$/\1/p" | head -n 1; }

rebalances=()
rebalance() {
    local id
    id=$(ctl rebalance --window 0 --detach --json | field rebalance)
    [[ -n $id ]] || fail "nothing was to be moved"
    rebalances+=("$id")
    ctl rebalance watch
    sleep "$CALM"
}

add_shard() {
    say "shard $1 joins"
    cluster add-shard "$1"
    ctl shard add "$(cluster address "shard-node-$1")"
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
    ctl move list --all --rebalance "$(IFS=, && echo "${rebalances[*]}")" --json | sed -nE 's/^ *"move": ([0-9]+),?$/\1/p' |
        while read -r id; do
            ctl move show "$id" --json
        done >"$FOLDER/moves"
}

cluster start
mkdir -p "$FOLDER"
begin_load
add_shard 2
add_shard 3
drain_shard 3
drain_shard 2
ctl shard list
write_moves

load_code=0
end_load || load_code=$?
cat "$FOLDER/load" >&2
check_code=0
"$BIN/history" check "$FOLDER/history" || check_code=$?
moves_code=0
"$BIN/load" moves --history "$FOLDER/history" --moves "$FOLDER/moves" || moves_code=$?
((moves_code == 0)) || fail "a move did not end well"
((load_code == 0)) || fail "the load's counts do not agree, or sends failed"
((check_code == 0)) || fail "the history is not right; it is in $FOLDER/history"
