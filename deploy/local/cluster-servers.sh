# shellcheck shell=bash
# Sourced by cluster.sh: the servers that a cluster stands on, each group in a folder of its own.

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
        SHARDLINE_KAFKA_DETOUR=${LINKS_DETOUR:-0} "$LOCAL/services.sh" "$@"
}

# Of the shards that have a database server of their own; its folder and ports are beside the first ones.
second_services() {
    SHARDLINE_KAFKA_DETOUR=${LINKS_DETOUR:-0} SHARDLINE_RUN=$CLUSTER/second-services SHARDLINE_PORT_BASE=$((${SHARDLINE_CLUSTER_SERVICES_BASE:-13100} + 100)) \
        "$LOCAL/services.sh" "$@"
}

# A cluster keeps the servers it was first started with.
has_second_database() { [[ -f $CLUSTER/second-database ]]; }

start_servers() {
    services start "$(database)" kafka redis
    ! has_second_database || second_services start "$(database)"
}

database_setting() { if [[ $(database) == mysql ]]; then echo SHARDLINE_TEST_MYSQL_URL; else echo SHARDLINE_TEST_MARIADB_URL; fi; }

# Where shard N keeps its data.
shard_database_url() {
    if has_second_database && (($1 % 2 == 1)); then
        # In a process of its own: these variables are the first server's elsewhere.
        (
            unset "$(database_setting)"
            eval "$(second_services env "$(database)")"
            setting=$(database_setting)
            echo "${!setting}"
        )
    else
        echo "$SHARDLINE_DATABASE_URL"
    fi
}
