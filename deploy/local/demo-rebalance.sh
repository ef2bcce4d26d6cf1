#!/usr/bin/env bash
# A shard comes and goes while people talk: starts the local cluster where it does not run, puts a load on it, adds a
# shard, rebalances, drains and removes it again, and checks what every client saw. Ends with one line; fails on any
# violation. The cluster stays as it was found, save that it runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# Few enough to leave room for others.
SENDERS=${SENDERS:-16}
# How long the load runs before, between and after.
CALM=${CALM:-5}
# A load that nobody ends ends by itself.
LOAD_SECONDS_MAX=7200

BIN=$(realpath -m "${SHARDLINE_BIN:-${CARGO_TARGET_DIR:-target}/release}")
FOLDER=$(realpath -m "${SHARDLINE_CLUSTER:-target/cluster}")/demo
cluster() { deploy/local/cluster.sh "$@"; }
ctl() { cluster ctl "$@"; }
say() { echo "demo: $*" >&2; }
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
trap 'end_load || true' EXIT

begin_load() {
    local began=$SECONDS servers
    servers=$(cluster address conn-node-1 conn-node-2 | sed 's,^,http://,' | paste -sd ,)
    rm -f "$FOLDER/history"
    : >"$FOLDER/load.progress"
    "$BIN/load" run --servers "$servers" --senders "$SENDERS" --in-flight 1 --seconds "$LOAD_SECONDS_MAX" \
        --users-file "$FOLDER/users" --history "$FOLDER/history" >"$FOLDER/load" 2>"$FOLDER/load.progress" &
    load_pid=$!
    until grep -qE 'acked +[1-9]' "$FOLDER/load.progress"; do
        kill -0 "$load_pid" 2>/dev/null || { cat "$FOLDER/load.progress" >&2 && fail "the load ended"; }
        ((SECONDS - began < 60)) || fail "the load does not begin: $(tail -n 1 "$FOLDER/load.progress")"
        sleep 0.2
    done
    sleep "$CALM"
}

# A number of a JSON object that has one field a line.
field() { sed -nE "s/^ *\"$1\": ([0-9]+),?\$/\1/p" | head -n 1; }

rebalances=()
rebalance() {
    local id
    ctl plan
    id=$(ctl rebalance --window 0 --detach --json | field rebalance)
    [[ -n $id ]] || fail "nothing was to be moved"
    rebalances+=("$id")
    ctl rebalance watch
    sleep "$CALM"
}

totals() {
    ctl move list --all --rebalance "$(IFS=, && echo "${rebalances[*]}")" --json | sed -n '/^  "total"/,$p'
}

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
mkdir -p "$FOLDER"
shard=$(cluster next-shard)
begin_load
say "people talk: $(tail -n 1 "$FOLDER/load.progress")"

say "shard $shard joins"
cluster add-shard "$shard"
ctl shard add "$(cluster address "shard-node-$shard")"
rebalance
ctl shard list

say "shard $shard goes"
ctl shard drain "$shard"
rebalance
remove_shard "$shard"
ctl shard list

moved=$(totals)
load_code=0
end_load || load_code=$?
cat "$FOLDER/load" >&2
check_code=0
"$BIN/history" check "$FOLDER/history" >"$FOLDER/verdict" || check_code=$?
cat "$FOLDER/verdict" >&2
checked=$(sed -nE 's/^([0-9]+) sends, .*/\1/p' "$FOLDER/verdict")
violations=$(awk '/^ +[0-9]+ times in [0-9]+;/ { sum += $1 } END { print sum + 0 }' "$FOLDER/verdict")
of() { field "$1" <<<"$moved"; }
echo "$(of moves) moves, $(of rows) rows, pause p50 $(of pause_p50_ms) ms, p99 $(of pause_p99_ms) ms," \
    "max $(of pause_max_ms) ms, ${checked:-0} operations checked, $violations violations"
[[ $(of aborted) == 0 ]] || fail "$(of aborted) moves were aborted"
((load_code == 0)) || fail "the load's counts do not agree, or sends failed"
((check_code == 0)) || fail "the history is not right; it is in $FOLDER/history"
