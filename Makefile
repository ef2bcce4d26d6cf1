# The front door. Recipes are one or two lines; logic lives in tools and scripts.
.PHONY: help run sim cluster cluster-status cluster-stop demo-rebalance faults faults-short faults-moves faults-failover overload services services-stop test verify fix bench bench-moves

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

run: ## the whole system in one process on 127.0.0.1:8080, data in ./data
	cargo build --profile quick --locked -p shardline-embedded -p shardline-talk -p shardctl
	target/quick/shardline

cluster: ## the real cluster as local processes; DB=mysql (default) or mariadb
	deploy/local/cluster.sh start

cluster-status: ## what runs where
	deploy/local/cluster.sh status

cluster-stop: ## end it; data stays
	deploy/local/cluster.sh stop

demo-rebalance: ## a shard comes and goes while people talk, with a proof that nothing was lost; FORM=embedded in one process
	FORM=$(FORM) deploy/local/demo-rebalance.sh

faults: ## faults on every kind of process and on the servers below, one after another; the table goes into docs/reliability.md
	deploy/local/faults.sh storm --write docs/reliability.md

faults-short: ## the few of them that matter most
	deploy/local/faults.sh storm --short

faults-moves: ## faults at each phase of moves; the table goes into docs/reliability.md
	deploy/local/faults.sh moves --write docs/reliability.md

faults-failover: ## a shard's writer dies, again and again: how long until its standby writes
	deploy/local/faults.sh failover

overload: ## twice the messages the cluster bears, then thousands of clients at once
	deploy/local/overload.sh

sim: ## the whole cluster in one thread, in virtual time: SEED=7 for one run, RUNS=1000 for many
	cargo run --locked -p shardline-sim -- $(if $(SEED),--seed $(SEED)) $(if $(RUNS),--runs $(RUNS))

services: ## the real servers that tests need
	deploy/local/services.sh start mysql mysql_replica mariadb mariadb_replica kafka redis

services-stop:
	deploy/local/services.sh stop

test: ## every test, on the real servers
	deploy/local/test.sh

verify: ## formatting, lints, documents; writes nothing
	deploy/local/verify.sh

fix: ## repair what can be repaired
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged && cargo fmt --all

bench: ## speed against the raw limit of the same database, in one run
	deploy/local/bench.sh

bench-moves: ## what people notice while slots move: 2, 3, 4 and 2 shards under load
	deploy/local/bench-moves.sh

export DB
