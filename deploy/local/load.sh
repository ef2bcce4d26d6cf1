# shellcheck shell=bash
# Sourced by scripts that do something to the local cluster while people talk. They set ME, the name before their
# messages, FOLDER, where the run is recorded, and CALM, the seconds of load before, between and after.

# A load that nobody ends ends by itself.
LOAD_SECONDS_MAX=7200
# Accounts and connections are made first.
LOAD_BEGINS_MAX=600

BIN=$(realpath -m "${SHARDLINE_BIN:-${CARGO_TARGET_DIR:-target}/release}")
cluster() { deploy/local/cluster.sh "$@"; }
ctl() { cluster ctl "$@"; }
say() { echo "$ME: $*" >&2; }
fail() {
    say "$*"
    exit 1
}

servers() { cluster address conn-node-1 conn-node-2 | sed 's,^,http://,' | paste -sd ,; }

# fill_chats <further arguments of `load run`>: what people said before anybody looks.
fill_chats() {
    mkdir -p "$FOLDER"
    "$BIN/load" run --servers "$(servers)" --users-file "$FOLDER/users" "$@" >"$FOLDER/fill"
}

# begin_load <further arguments of `load run`>
load_pid=
begin_load() {
    local began=$SECONDS
    mkdir -p "$FOLDER"
    rm -f "$FOLDER/history"
    : >"$FOLDER/load.progress"
    "$BIN/load" run --servers "$(servers)" --seconds "$LOAD_SECONDS_MAX" --users-file "$FOLDER/users" \
        --history "$FOLDER/history" "$@" >"$FOLDER/load" 2>"$FOLDER/load.progress" &
    load_pid=$!
    until grep -qE 'acked +[1-9]' "$FOLDER/load.progress"; do
        kill -0 "$load_pid" 2>/dev/null || { cat "$FOLDER/load.progress" >&2 && fail "the load ended"; }
        ((SECONDS - began < LOAD_BEGINS_MAX)) ||
            fail "the load does not begin: $(tail -n 1 "$FOLDER/load.progress")"
        sleep 0.2
    done
    sleep "$CALM"
}

# Its exit code: whether the load's own counts agree.
end_load() {
    [[ -n $load_pid ]] || return 0
    local pid=$load_pid
    load_pid=
    kill -INT "$pid" 2>/dev/null || true
    wait "$pid"
}

# A number of a JSON object that has one field a line.
field() { sed -nE "s/^ *\"$1\": ([0-9]+),?\$/\1/p" | head -n 1; }

# Moves what is to be moved, to its end; `rebalances` has the number of each.
rebalances=()
rebalance() {
    local id
    id=$(ctl rebalance --window 0 --detach --json | field rebalance)
    [[ -n $id ]] || fail "nothing was to be moved"
    rebalances+=("$id")
    ctl rebalance watch
    sleep "$CALM"
}

# Of all moves so far, as JSON.
list_moves() { ctl move list --all --rebalance "$(IFS=, && echo "${rebalances[*]}")" --json; }

# The verdict on what every client saw goes into $FOLDER/verdict, and the load's own counts before it to stderr. Fails
# if either is not right.
judge() {
    local load_code=0 check_code=0
    end_load || load_code=$?
    cat "$FOLDER/load" >&2
    "$BIN/history" check "$FOLDER/history" >"$FOLDER/verdict" || check_code=$?
    cat "$FOLDER/verdict" >&2
    ((load_code == 0)) || say "the load's counts do not agree, or sends failed"
    ((check_code == 0)) || say "the history is not right; it is in $FOLDER/history"
    ((load_code == 0 && check_code == 0))
}
