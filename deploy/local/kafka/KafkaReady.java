import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AdminClientConfig;

/** Succeeds when the broker at ADDRESS answers a client within SECONDS, and committed offsets can be read. */
final class KafkaReady {
    public static void main(String[] args) throws Exception {
        String address = args[0];
        long seconds = Long.parseLong(args[1]);
        Map<String, Object> settings = Map.of(
                AdminClientConfig.BOOTSTRAP_SERVERS_CONFIG, address,
                AdminClientConfig.CLIENT_ID_CONFIG, "shardline-ready",
                AdminClientConfig.DEFAULT_API_TIMEOUT_MS_CONFIG, (int) TimeUnit.SECONDS.toMillis(seconds));
        try (Admin admin = Admin.create(settings)) {
            admin.describeCluster().nodes().get(seconds, TimeUnit.SECONDS);
            // Finding this group's coordinator creates the offsets topic; the answer comes once it is loaded.
            admin.listConsumerGroupOffsets("shardline-ready")
                    .partitionsToOffsetAndMetadata()
                    .get(seconds, TimeUnit.SECONDS);
        }
    }
}
