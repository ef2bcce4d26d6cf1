# shellcheck shell=bash
# Redis from Debian. It is a cache for us: nothing is written to disk, and a restart empties it.

redis_setting() { echo SHARDLINE_TEST_REDIS; }
redis_port() { port 79; }
redis_address() { echo "redis://127.0.0.1:$(redis_port)"; }
redis_patience() { echo 20; }

redis_installed() { has_all redis-server redis-cli; }

redis_install() {
    apt_install redis-server
    disable_unit redis-server
}

redis_launch() {
    # Never evict: a presence or cursor key that vanishes silently looks like a fault; a refused write is one.
    launch redis redis-server --bind 127.0.0.1 --port "$(redis_port)" --dir "$(folder_of redis)" \
        --save '' --appendonly no --maxmemory-policy noeviction --daemonize no
}

redis_ready() {
    [[ $(timeout 2 redis-cli -h 127.0.0.1 -p "$(redis_port)" ping) == PONG ]]
}
