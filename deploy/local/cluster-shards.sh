# shellcheck shell=bash
# Sourced by cluster.sh: processes of shards that join, leave, or get a standby.

is_shard_number() { [[ $1 =~ ^(0|[1-9][0-9]?)$ ]] && (($1 <= SHARD_NUMBER_MAX)); }

next_shard() {
    local shard=0
    while [[ " ${NAMES[*]} " == *" shard-node-$shard "* ]]; do
        shard=$((shard + 1))
    done
    echo "$shard"
}

# Recorded first: what may run is known to stop and status.
add_shard() {
    local shard=$1 name=shard-node-$1
    is_shard_number "$shard" || fail "a shard's number is from 0 to $SHARD_NUMBER_MAX"
    if [[ " ${NAMES[*]} " != *" $name "* ]]; then
        echo "$shard" >>"$ADDED"
        eval "${name}_patience() { echo 30; }"
    fi
    settings
    start_processes "$name"
    say "it joins by: deploy/local/cluster.sh ctl shard add 127.0.0.1:$(listen_port "$name")"
}

add_standby() {
    local shard=$1 name=standby-$1
    [[ " ${NAMES[*]} " == *" shard-node-$shard "* ]] || fail "there is no shard '$shard'"
    if ! has_standby "$name"; then
        echo "$shard" >>"$STANDBYS"
        eval "${name}_patience() { echo 30; }"
    fi
    settings
    start_processes "$name"
}

remove_shard() {
    local shard=$1 name=shard-node-$1 states
    is_added "$name" || fail "shard $shard was not added; those that were: $(paste -sd ' ' "$ADDED" 2>/dev/null)"
    # A shard that still has slots must keep its node.
    states=$(ctl shard list --json) || fail "routers do not say whether shard $shard was removed"
    if ! awk -v shard="$shard" '
        /"shard":/ { number = $2 + 0 } /"state":/ { state = $2 }
        /^    }/ { if (number == shard && state !~ /removed/) found = 1 }
        END { exit found }' <<<"$states"; then
        fail "shard $shard is part of the cluster; first: ctl shard drain $shard, ctl rebalance, ctl shard remove $shard"
    fi
    stop_one "$name"
    grep -vx "$shard" "$ADDED" >"$ADDED.new" || true
    mv "$ADDED.new" "$ADDED"
}
