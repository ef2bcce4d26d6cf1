# shellcheck shell=bash
# MariaDB from Debian: the second flavour of SQL server that the conformance suite must pass on.

mariadb_setting() { echo SHARDLINE_TEST_MARIADB_URL; }
mariadb_port() { port 7; }
mariadb_address() { echo "mysql://root@127.0.0.1:$(mariadb_port)"; }
mariadb_patience() { echo 120; }

mariadb_installed() { has_all /usr/sbin/mariadbd mariadb-install-db mariadb; }

# The core packages hold the programs alone: no service, no user, no database of their own.
mariadb_install() { apt_install mariadb-server-core mariadb-client-core; }

mariadb_launch() { mariadb_serve mariadb --server-id=1 --innodb-buffer-pool-size=512M; }

# mariadb_serve NAME FLAGS...: starts the server of component NAME.
mariadb_serve() {
    local name=$1 folder data flags
    shift
    folder=$(folder_of "$name")
    data=$folder/data
    flags=(--no-defaults --innodb-log-file-size=256M --character-set-server=utf8mb4)
    [[ $(id -u) -ne 0 ]] || flags+=(--user=root)
    if [[ ! -d $data ]]; then
        # Under another name until complete: a killed initialisation is not taken for a database.
        rm -rf "$data.new"
        mkdir -p "$folder"
        # "normal" makes a root without password who may come by TCP, for the number as well as for the name.
        mariadb-install-db "${flags[@]}" --datadir="$data.new" --skip-test-db --skip-name-resolve \
            --auth-root-authentication-method=normal >"$folder/log" 2>&1 ||
            { show_log "$name" && fail "$name: cannot make a data folder"; }
        mv "$data.new" "$data"
    fi
    rm -f "$data"/mysql.sock
    # The socket's path is relative to the data folder: a socket path longer than 107 bytes is refused.
    flags+=(
        --datadir="$data" --socket=mysql.sock
        --bind-address=127.0.0.1 --port="$("${name}_port")" --skip-name-resolve
        --max-connections=500
        # Durable, as in production: what is acknowledged is on disk, in the redo log and in the binlog.
        --innodb-flush-log-at-trx-commit=1 --log-bin=binlog --sync-binlog=1
        --max-binlog-size=128M --binlog-expire-logs-seconds=3600 "$@"
    )
    launch "$name" /usr/sbin/mariadbd "${flags[@]}"
}

mariadb_ready() { mariadb_answers "$(mariadb_port)"; }

mariadb_answers() {
    timeout 5 mariadb --no-defaults --protocol=tcp --host=127.0.0.1 --port="$1" --user=root -e 'SELECT 1'
}
