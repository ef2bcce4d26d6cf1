#!/usr/bin/env bash
# Every test on the real servers: starts what is not there, runs, stops what it started.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

services=(mysql mysql_replica mariadb mariadb_replica kafka redis)
started=no
if ! deploy/local/services.sh status | grep -q ' runs, '; then
    started=yes
fi
stop() {
    [[ $started == no ]] || deploy/local/services.sh stop
}
trap stop EXIT

# The servers come up while the tests compile.
deploy/local/services.sh start "${services[@]}" &
starting=$!
cargo test --workspace --locked --no-run
# Beside the compiler a server may be too slow to come up, and what a network holds back may come later.
wait "$starting" || deploy/local/services.sh start "${services[@]}"
eval "$(deploy/local/services.sh env "${services[@]}")"
cargo test --workspace --locked
