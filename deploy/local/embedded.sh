# shellcheck shell=bash
# Sourced after load.sh: what scripts ask of the local cluster, answered by the whole system in one process, on a new
# folder and on ports of its own.

BIN=$(realpath -m "${CARGO_TARGET_DIR:-target}/quick")
DATA=$(realpath -m target/demo-embedded)
FOLDER=$DATA/demo
EMBEDDED_PORT=${EMBEDDED_PORT:-8090}

embedded_pid=
start_embedded() {
    cargo build --profile quick --locked -p shardline-embedded -p shardctl -p shardline-load -p shardline-history
    rm -rf "$DATA"
    mkdir -p "$DATA"
    "$BIN/shardline" --data "$DATA/data" --listen "127.0.0.1:$EMBEDDED_PORT" \
        --ops-listen "127.0.0.1:$((EMBEDDED_PORT + 1))" --admin-listen "127.0.0.1:$((EMBEDDED_PORT + 2))" \
        >"$DATA/log" 2>&1 &
    embedded_pid=$!
    until curl -fsS -m 2 "http://127.0.0.1:$((EMBEDDED_PORT + 1))/readyz" >/dev/null 2>&1; do
        kill -0 "$embedded_pid" 2>/dev/null || { cat "$DATA/log" >&2 && fail "it ended instead of starting"; }
        sleep 0.1
    done
}

stop_embedded() {
    [[ -n $embedded_pid ]] || return 0
    kill -TERM "$embedded_pid" 2>/dev/null || true
    wait "$embedded_pid" || true
    embedded_pid=
}

cluster() {
    local verb=$1
    shift
    case $verb in
        start) start_embedded ;;
        next-shard) echo 2 ;;
        # A shard's file and its shard-node come and go with it.
        add-shard | remove-shard) ;;
        address)
            if [[ $1 == shard-node-* ]]; then echo "shard-${1##*-}"; else echo "127.0.0.1:$EMBEDDED_PORT"; fi
            ;;
        ctl)
            "$BIN/shardctl" --router "127.0.0.1:$((EMBEDDED_PORT + 2))" --secret "$(cat "$DATA/data/secret")" "$@"
            ;;
        *) fail "the embedded form has no '$verb'" ;;
    esac
}
