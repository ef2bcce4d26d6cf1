# shellcheck shell=bash
# A second MariaDB that can become a replica of the first: what it follows, whoever uses it tells it.

mariadb_replica_setting() { echo SHARDLINE_TEST_MARIADB_REPLICA_URL; }
mariadb_replica_port() { port 9; }
mariadb_replica_address() { echo "mysql://root@127.0.0.1:$(mariadb_replica_port)"; }
mariadb_replica_patience() { mariadb_patience; }

mariadb_replica_installed() { mariadb_installed; }
mariadb_replica_install() { mariadb_install; }

mariadb_replica_launch() { mariadb_serve mariadb_replica --server-id=2 --innodb-buffer-pool-size=64M; }

mariadb_replica_ready() { mariadb_answers "$(mariadb_replica_port)"; }
