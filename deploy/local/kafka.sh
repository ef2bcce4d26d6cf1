# shellcheck shell=bash
# Apache Kafka: one node that is broker and controller (KRaft), put together from its jars on Maven Central.

KAFKA_VERSION=4.2.0
# Changes with our own class too: a new one must not meet an old cache.
KAFKA_BASE=$CACHE/kafka-$KAFKA_VERSION-$(cat "$LOCAL"/kafka/* | cksum | cut -d' ' -f1)
KAFKA_JAVA=(-Dlog4j2.configurationFile="$KAFKA_BASE/log4j2.properties" -cp "$KAFKA_BASE/classes:$KAFKA_BASE/libs/*")

kafka_setting() { echo SHARDLINE_TEST_KAFKA; }
kafka_port() { port 92; }
kafka_controller_port() { port 93; }
kafka_address() { echo "127.0.0.1:$(kafka_port)"; }
kafka_patience() { echo 90; }

kafka_installed() { has_all java && [[ -d $KAFKA_BASE ]]; }

kafka_install() {
    local fresh=$KAFKA_BASE.unpacking
    java_install
    [[ ! -d $KAFKA_BASE ]] || return 0
    rm -rf "$fresh"
    mkdir -p "$fresh/libs"
    cp "$LOCAL/kafka/pom.xml" "$LOCAL/kafka/log4j2.properties" "$fresh"
    maven -f "$fresh/pom.xml" -Dkafka.version="$KAFKA_VERSION" dependency:copy-dependencies -DoutputDirectory="$fresh/libs"
    javac -cp "$fresh/libs/*" -d "$fresh/classes" "$LOCAL/kafka/KafkaReady.java"
    mv "$fresh" "$KAFKA_BASE"
}

kafka_launch() {
    local folder config
    folder=$(folder_of kafka)
    config=$folder/server.properties
    mkdir -p "$folder"
    kafka_properties >"$config"
    if [[ ! -f $folder/data/meta.properties ]]; then
        # A killed format leaves no meta.properties, or a complete one.
        rm -rf "$folder/data"
        java "${KAFKA_JAVA[@]}" kafka.tools.StorageTool format --standalone --cluster-id "$(kafka_cluster_id)" \
            --config "$config" >"$folder/log" 2>&1 ||
            { show_log kafka && fail "kafka: cannot format its folder"; }
    fi
    # The client's answer is remembered per start, see kafka_ready.
    rm -f "$folder/answered"
    launch kafka java -Xmx512m "${KAFKA_JAVA[@]}" kafka.Kafka "$config"
}

# 16 random bytes in URL-safe base64, as Kafka's own tool makes them: one that begins with a dash would be taken for an
# option.
kafka_cluster_id() {
    local id=-
    while [[ $id == -* ]]; do
        id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=')
    done
    echo "$id"
}

kafka_properties() {
    cat <<EOF
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$(kafka_port),CONTROLLER://127.0.0.1:$(kafka_controller_port)
advertised.listeners=PLAINTEXT://127.0.0.1:$(($(kafka_port) + ${SHARDLINE_KAFKA_DETOUR:-0}))
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:$(kafka_controller_port)
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$(folder_of kafka)/data

# A topic with a wrong name or partition count must be an error, not a new topic.
auto.create.topics.enable=false

# After a kill the node must wait until its own former registration has expired; the default is 9 s.
broker.session.timeout.ms=5000
broker.heartbeat.interval.ms=1000

# One node: internal topics have one copy. One partition of offsets is made, and loaded, in no time.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
EOF
}

# Starting a client's JVM costs a second, so the port is tried first. Then KafkaReady asks for metadata and for the
# committed offsets of a group, which creates and loads the offsets topic: the first real consumer would otherwise
# wait for that, up to a minute.
kafka_ready() {
    local answered
    answered=$(folder_of kafka)/answered
    ! port_is_free "$(kafka_port)" || return 1
    [[ ! -f $answered ]] || return 0
    timeout 60 java -Xmx128m "${KAFKA_JAVA[@]}" KafkaReady "$(kafka_address)" 30 >"$(folder_of kafka)/log.ready" 2>&1 &&
        touch "$answered"
}
