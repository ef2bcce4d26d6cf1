# shellcheck shell=bash
# A second MySQL that can become a replica of the first: what it follows, whoever uses it tells it.

mysql_replica_setting() { echo SHARDLINE_TEST_MYSQL_REPLICA_URL; }
mysql_replica_port() { port 8; }
mysql_replica_address() { echo "mysql://root@127.0.0.1:$(mysql_replica_port)"; }
mysql_replica_patience() { mysql_patience; }

mysql_replica_installed() { mysql_installed; }
mysql_replica_install() { mysql_install; }

mysql_replica_launch() { mysql_serve mysql_replica --server-id=2 --innodb-buffer-pool-size=64M; }

mysql_replica_ready() { mysql_greets "$(mysql_replica_port)"; }
