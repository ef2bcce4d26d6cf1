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
# Shards that were added since, one number a line.
ADDED=$CLUSTER/added-shards
while read -r shard; do
    NAMES+=("shard-node-$shard")
done < <(cat "$ADDED" 2>/dev/null || true)
# Shards with a second process that waits to write them, one number a line.
STANDBYS=$CLUSTER/standbys
while read -r shard; do
    NAMES+=("standby-$shard")
done < <(cat "$STANDBYS" 2>/dev/null || true)
NAMES+=(conn-node-1 conn-node-2)
# Beyond it the ports of shard-nodes would reach those of operations.
SHARD_NUMBER_MAX=70

# shellcheck source=deploy/local/process.sh
source "$LOCAL/process.sh"
# shellcheck source=deploy/local/cluster-servers.sh
source "$LOCAL/cluster-servers.sh"
# shellcheck source=deploy/local/cluster-shards.sh
source "$LOCAL/cluster-shards.sh"

usage() {
    cat >&2 <<EOF
usage: [DB=mysql|mariadb] [SHARDS=2] [SECOND_DATABASE=yes] [LINKS_DETOUR=N] [INTERPOSE=FILE] cluster.sh VERB
  start            build, install and start what is missing, wait until every process is ready
  stop             end our processes, then the servers they stand on; data stays
  restart NAME...  stop and start processes (${NAMES[*]})
  kill NAME...     kill -9 processes, as a fault
  up NAME...       start processes that were killed
  status           what runs where
  up-servers       start the servers below our processes that were killed
  pids             NAME=PID of what runs, servers included; the second database server as second-NAME
  database-url     where its database server is
  kafka-address    where its Kafka is
  add-shard N      makes a database for shard N and starts its shard-node; it joins by: ctl shard add
  remove-shard N   stops the shard-node of a shard that was removed; its database stays
  add-standby N    starts a second process for shard N, which writes it when the first is gone
  next-shard       the lowest number that no shard-node has
  address NAME     where a process listens
  links            NAME=PORT of what can be reached over a detour, for clients too
  ctl ARGUMENTS... shardctl, asking this cluster
With INITIAL_SHARDS=none routers place no slots in an empty catalog: it is to be rebuilt.
With SECOND_DATABASE=yes shards of odd numbers have a database server of their own.
With INTERPOSE=FILE every process and server loads that library before libc; see tools/interpose.
With LINKS_DETOUR=N processes reach routers, shard-nodes and servers N ports above theirs, where
whoever started the cluster so listens and passes things on, or does not.
EOF
    exit 2
}

say() { echo "cluster: $*" >&2; }

fail() {
    say "$*"
    exit 1
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
        # Beyond everybody's ports of operations.
        standby-*) port $((221 + ${1##*-})) ;;
    esac
}

operations_port() { echo $(($(listen_port "$1") + 100)); }

# Where our processes reach what listens at 127.0.0.1:PORT.
reached_at() { echo "127.0.0.1:$(($1 + ${LINKS_DETOUR:-0}))"; }

# The same of a server's URL.
url_reached_at() { if [[ -n ${LINKS_DETOUR:-} ]]; then echo "${1%127.0.0.1:*}$(reached_at "${1##*:}")"; else echo "$1"; fi; }

links() {
    local name
    for name in "${NAMES[@]}"; do
        echo "$name=$(listen_port "$name")"
        [[ $name != shard-node-* ]] || has_standby "$name" || echo "standby-${name##*-}=$(listen_port "standby-${name##*-}")"
    done
    (
        eval "$(services env "$(database)" kafka redis)"
        name=$(database_setting)
        echo "$(database)=${!name##*:}"
        echo "kafka=${SHARDLINE_TEST_KAFKA##*:}"
        echo "redis=${SHARDLINE_TEST_REDIS##*:}"
    )
    if has_second_database || [[ ${SECOND_DATABASE:-no} == yes ]]; then
        (
            eval "$(second_services env "$(database)")"
            name=$(database_setting)
            echo "second-$(database)=${!name##*:}"
        )
    fi
}

settings() {
    local url setting
    eval "$(services env "$(database)" kafka redis)"
    setting=$(database_setting)
    url=${!setting}
    SHARDLINE_SECRET=$(secret)
    SHARDLINE_TOKEN_SECRET=$SHARDLINE_SECRET
    SHARDLINE_KAFKA=$(reached_at "${SHARDLINE_TEST_KAFKA##*:}")
    SHARDLINE_REDIS=$(url_reached_at "$SHARDLINE_TEST_REDIS")
    SHARDLINE_ROUTERS=$(reached_at "$(listen_port router-1)"),$(reached_at "$(listen_port router-2)")
    SHARDLINE_PROFILE=${SHARDLINE_PROFILE:-local}
    SHARDLINE_DATABASE_URL=$url
    export SHARDLINE_SECRET SHARDLINE_TOKEN_SECRET SHARDLINE_KAFKA SHARDLINE_REDIS SHARDLINE_ROUTERS SHARDLINE_PROFILE
}

launch_process() {
    local name=$1 kind=${1%-*} number=${1##*-} listen=127.0.0.1:$(listen_port "$1") advertise flags=()
    advertise=$(reached_at "$(listen_port "$1")")
    [[ $kind != standby ]] || kind=shard-node
    case $kind in
        router)
            flags=(--name "$name" --advertise "$advertise" --catalog "$(url_reached_at "$SHARDLINE_DATABASE_URL")/shardline_catalog")
            [[ ${INITIAL_SHARDS:-} == none ]] || flags+=(--initial-shards "$(seq -s , 0 $((SHARDS - 1)))")
            ;;
        shard-node)
            flags=(--name "$name" --advertise "$advertise" --shard "$number"
                --database "$(url_reached_at "$(shard_database_url "$number")")/shardline_shard_$number")
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
        if may_wait "$name"; then await_listening "$name"; else await_process "$name"; fi
    done
}

is_added() { [[ $1 == shard-node-* ]] && grep -qx "${1##*-}" "$ADDED" 2>/dev/null; }

has_standby() { grep -qx "${1##*-}" "$STANDBYS" 2>/dev/null; }

# A shard-node whose shard has not joined answers those who ask who it is, and is not ready; so is one of two while the
# other writes, and a router whose catalog is to be rebuilt.
may_wait() {
    case $1 in
        shard-node-* | standby-*) is_added "$1" || has_standby "$1" ;;
        router-*) [[ ${INITIAL_SHARDS:-} == none ]] ;;
        *) return 1 ;;
    esac
}

await_listening() {
    local name=$1 began=$SECONDS
    while port_is_free "$(listen_port "$name")"; do
        if [[ -f $(folder_of "$name")/pid || $((SECONDS - began)) -gt 5 ]] && ! runs "$name"; then
            show_log "$name"
            fail "$name: ended instead of starting"
        fi
        if ((SECONDS - began > 60)); then
            show_log "$name"
            fail "$name: does not listen"
        fi
        sleep 0.1
    done
    say "$name: listens at 127.0.0.1:$(listen_port "$name"), operations at 127.0.0.1:$(operations_port "$name")"
}

ctl() {
    SHARDCTL_ROUTER=127.0.0.1:$(listen_port router-1),127.0.0.1:$(listen_port router-2) \
        SHARDLINE_SECRET=$(secret) "$BIN/shardctl" "$@"
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
        "$REPO/deploy/local/build.sh"
    fi
    database >"$CLUSTER/database.new"
    mv "$CLUSTER/database.new" "$CLUSTER/database"
    [[ ${SECOND_DATABASE:-no} != yes || -d $CLUSTER/services ]] || touch "$CLUSTER/second-database"
    has_second_database || [[ ${SECOND_DATABASE:-no} != yes ]] ||
        fail "this cluster's data is in one database server; stop it and remove $CLUSTER to begin anew with two"
    start_servers
    settings
    start_processes "${NAMES[@]}"
    cat >&2 <<EOF
cluster: ready. Two people on different conn-nodes:
  $BIN/talk --server http://127.0.0.1:$(listen_port conn-node-1) --name alice
  $BIN/talk --server http://127.0.0.1:$(listen_port conn-node-2) --name bob
and the operator's view:
  deploy/local/cluster.sh ctl shard list
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
    ! has_second_database || second_services status | grep "^$(database) "
}

pids() {
    local name
    for name in "${NAMES[@]}"; do
        ! runs "$name" || echo "$name=$(recorded_pid "$name")"
    done
    services status | grep -v prometheus | sed -nE 's/^([a-z]+) +runs, pid ([0-9]+).*/\1=\2/p'
    ! has_second_database || second_services status | sed -nE 's/^([a-z]+) +runs, pid ([0-9]+).*/second-\1=\2/p'
}

main() {
    local verb=${1:-} name index
    [[ -n $verb ]] || usage
    shift
    mkdir -p "$CLUSTER" "$RUN"
    case $verb in
        add-shard | remove-shard | add-standby)
            [[ $# == 1 ]] || usage
            "${verb/-/_}" "$1"
            return
            ;;
        next-shard)
            next_shard
            return
            ;;
        links)
            links
            return
            ;;
        kafka-address)
            eval "$(services env kafka)"
            echo "$SHARDLINE_TEST_KAFKA"
            return
            ;;
        ctl)
            ctl "$@"
            return
            ;;
    esac
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
            ! has_second_database || second_services stop
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
        up-servers) start_servers ;;
        status) status ;;
        pids) pids ;;
        address)
            for name; do
                echo "127.0.0.1:$(listen_port "$name")"
            done
            ;;
        database-url)
            settings
            echo "$SHARDLINE_DATABASE_URL"
            ;;
        *) usage ;;
    esac
}

main "$@"
