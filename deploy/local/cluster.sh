#!/usr/bin/env bash
# The real cluster as local processes: two shards and the catalog on MySQL or MariaDB, Kafka, Redis, two shard-nodes,
# two routers, two conn-nodes. Everything on loopback, from private folders, stopped by pid file.
set -euo pipefail

LOCAL=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(cd "$LOCAL/../.." && pwd)
CLUSTER=$(realpath -m "${SHARDLINE_CLUSTER:-$REPO/target/cluster}")
BIN=$(realpath -m "${SHARDLINE_BIN:-${CARGO_TARGET_DIR:-$REPO/target}/release}")
# Of our processes; the servers they stand on have a folder of their own, so that both know only what they started.
# shellcheck disable=SC2034 # process.sh reads it
RUN=$CLUSTER/processes
# shellcheck disable=SC2034
PORT_BASE=${SHARDLINE_CLUSTER_PORT_BASE:-8100}
# A cluster keeps the shards it was first started with.
SHARDS=${SHARDS:-2}
# Routers first: the others ask them for the catalog.
NAMES=(router-1 router-2)
for ((shard = 0; shard < SHARDS; shard++)); do
    NAMES+=("shard-node-$shard")
done
NAMES+=(conn-node-1 conn-node-2)

# shellcheck source=deploy/local/process.sh
source "$LOCAL/process.sh"

usage() {
    cat >&2 <<EOF
usage: [DB=mysql|mariadb] [SHARDS=2] cluster.sh VERB
  start            build, install and start what is missing, wait until every process is ready
  stop             end our processes, then the servers they stand on; data stays
  restart NAME...  stop and start processes (${NAMES[*]})
  kill NAME...     kill -9 processes, as a fault
  up NAME...       start processes that were killed
  status           what runs where
  pids             NAME=PID of what runs, servers included
  database-url     where its database server is
EOF
    exit 2
}

say() { echo "cluster: $*" >&2; }

fail() {
    say "$*"
    exit 1
}

# A cluster keeps the database it was first started with.
database() {
    local known
    known=$(cat "$CLUSTER/database" 2>/dev/null || true)
    if [[ -n $known && -n ${DB:-} && $known != "$DB" ]]; then
        fail "this cluster's data is in $known; stop it and remove $CLUSTER to begin anew with $DB"
    fi
    echo "${known:-${DB:-mysql}}"
}

services() {
    SHARDLINE_RUN=$CLUSTER/services SHARDLINE_PORT_BASE=${SHARDLINE_CLUSTER_SERVICES_BASE:-13100} \
        "$LOCAL/services.sh" "$@"
}

# The secret by which our processes know each other, and the key of clients' tokens; made once.
secret() {
    if [[ ! -s $CLUSTER/secret ]]; then
        (umask 077 && head -c 32 /dev/urandom | base64 | tr -d '=+/\n' >"$CLUSTER/secret")
    fi
    cat "$CLUSTER/secret"
}

listen_port() {
    case $1 in
        conn-node-*) port "${1##*-}" ;;
        router-*) port $((10 + ${1##*-})) ;;
        shard-node-*) port $((21 + ${1##*-})) ;;
    esac
}

operations_port() { echo $(($(listen_port "$1") + 100)); }

settings() {
    local url
    eval "$(services env "$(database)" kafka redis)"
    if [[ $(database) == mysql ]]; then url=$SHARDLINE_TEST_MYSQL_URL; else url=$SHARDLINE_TEST_MARIADB_URL; fi
    SHARDLINE_SECRET=$(secret)
    SHARDLINE_TOKEN_SECRET=$SHARDLINE_SECRET
    SHARDLINE_KAFKA=$SHARDLINE_TEST_KAFKA
    SHARDLINE_REDIS=$SHARDLINE_TEST_REDIS
    SHARDLINE_ROUTERS=127.0.0.1:$(listen_port router-1),127.0.0.1:$(listen_port router-2)
    SHARDLINE_PROFILE=${SHARDLINE_PROFILE:-local}
    SHARDLINE_DATABASE_URL=$url
    export SHARDLINE_SECRET SHARDLINE_TOKEN_SECRET SHARDLINE_KAFKA SHARDLINE_REDIS SHARDLINE_ROUTERS SHARDLINE_PROFILE
}

launch_process() {
    local name=$1 kind=${1%-*} number=${1##*-} listen=127.0.0.1:$(listen_port "$1") flags=()
    case $kind in
        router)
            flags=(--name "$name" --advertise "$listen" --catalog "$SHARDLINE_DATABASE_URL/shardline_catalog" --initial-shards "$(seq -s , 0 $((SHARDS - 1)))")
            ;;
        shard-node)
            flags=(--name "$name" --advertise "$listen" --shard "$number" --database "$SHARDLINE_DATABASE_URL/shardline_shard_$number")
            ;;
        conn-node) flags=(--name "$name") ;;
    esac
    launch "$name" "$BIN/shardline-$kind" --listen "$listen" \
        --ops-listen "127.0.0.1:$(operations_port "$name")" "${flags[@]}"
}

ready_answer() { curl -fsS -m 2 "http://127.0.0.1:$(operations_port "$1")/readyz"; }

start_processes() {
    local name
    for name; do
        if runs "$name"; then
            say "$name: runs already"
            continue
        fi
        stop_one "$name"
        port_is_free "$(listen_port "$name")" || fail "$name: port $(listen_port "$name") is taken"
        launch_process "$name"
    done
    for name; do
        await_process "$name"
    done
}

await_process() {
    local name=$1 began=$SECONDS
    until ready_answer "$name" >/dev/null 2>&1; do
        if [[ -f $(folder_of "$name")/pid || $((SECONDS - began)) -gt 5 ]] && ! runs "$name"; then
            show_log "$name"
            fail "$name: ended instead of starting"
        fi
        if ((SECONDS - began > 60)); then
            show_log "$name"
            fail "$name: not ready: $(curl -sS -m 2 "http://127.0.0.1:$(operations_port "$name")/readyz" 2>&1)"
        fi
        sleep 0.1
    done
    say "$name: ready at 127.0.0.1:$(listen_port "$name"), operations at 127.0.0.1:$(operations_port "$name")"
}

stop_processes() {
    local name
    for name; do
        stop_one "$name"
    done
}

# What stop_one grants a process between SIGTERM and SIGKILL.
for name in "${NAMES[@]}"; do
    eval "${name}_patience() { echo 30; }"
done

start() {
    if [[ ${SHARDLINE_BUILD:-yes} == yes ]]; then
        (cd "$REPO" && cargo build --release --locked \
            -p shardline-router -p shardline-shard-node -p shardline-conn-node -p shardctl -p shardline-talk -p shardline-load)
    fi
    database >"$CLUSTER/database.new"
    mv "$CLUSTER/database.new" "$CLUSTER/database"
    services start "$(database)" kafka redis
    settings
    start_processes "${NAMES[@]}"
    cat >&2 <<EOF
cluster: ready. Two people on different conn-nodes:
  $BIN/talk --server http://127.0.0.1:$(listen_port conn-node-1) --name alice
  $BIN/talk --server http://127.0.0.1:$(listen_port conn-node-2) --name bob
and the operator's view:
  $BIN/shardctl --router 127.0.0.1:$(listen_port router-1) --secret "\$(cat $CLUSTER/secret)" shard list
EOF
}

status() {
    local name state
    for name in "${NAMES[@]}"; do
        state=stopped
        if runs "$name"; then
            state="pid $(recorded_pid "$name"), $(curl -sS -m 2 -o /dev/null -w '%{http_code}' "http://127.0.0.1:$(operations_port "$name")/readyz" 2>/dev/null || true)"
            state=${state/%, 200/, ready}
        fi
        printf '%-13s %-22s 127.0.0.1:%s  operations 127.0.0.1:%s\n' "$name" "$state" "$(listen_port "$name")" "$(operations_port "$name")"
    done
    services status | grep -v prometheus
}

pids() {
    local name
    for name in "${NAMES[@]}"; do
        ! runs "$name" || echo "$name=$(recorded_pid "$name")"
    done
    services status | sed -nE 's/^([a-z]+) +runs, pid ([0-9]+).*/\1=\2/p'
}

main() {
    local verb=${1:-} name index
    [[ -n $verb ]] || usage
    shift
    mkdir -p "$CLUSTER" "$RUN"
    for name; do
        [[ " ${NAMES[*]} " == *" $name "* ]] || fail "there is no process '$name', only: ${NAMES[*]}"
    done
    case $verb in
        start) start ;;
        stop)
            # Against the order of the start, so that what is in flight finds whom it needs.
            for ((index = ${#NAMES[@]} - 1; index >= 0; index--)); do
                stop_one "${NAMES[index]}"
            done
            services stop
            ;;
        restart)
            settings
            stop_processes "$@"
            start_processes "$@"
            ;;
        kill)
            for name; do
                ! runs "$name" || kill -KILL "$(recorded_pid "$name")"
                await_gone "$name" 10
            done
            ;;
        up)
            settings
            start_processes "$@"
            ;;
        status) status ;;
        pids) pids ;;
        database-url)
            settings
            echo "$SHARDLINE_DATABASE_URL"
            ;;
        *) usage ;;
    esac
}

main "$@"
