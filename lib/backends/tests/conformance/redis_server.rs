//! A private part of the test Redis: the keys below a random prefix.

use crate::services;
use deadpool_redis::redis::{self, AsyncCommands, Client, aio::MultiplexedConnection};
use shardline_backends::RedisSettings;

#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) settings: RedisSettings,
}

/// Keys and what they hold, as the server itself dumps them.
pub(crate) struct Snapshot(Vec<(String, i64, Vec<u8>)>);

impl Part {
    pub(crate) fn new() -> Option<Part> {
        let url = services::address("SHARDLINE_TEST_REDIS")?;
        let prefix = format!("{}:", services::random_name());
        Some(Part { settings: RedisSettings { prefix, ..RedisSettings::new(url) } })
    }

    async fn connection(&self) -> MultiplexedConnection {
        let client = Client::open(self.settings.url.as_str()).expect("the URL is one");
        client.get_multiplexed_async_connection().await.expect("Redis answers")
    }

    pub(crate) async fn keys(&self) -> Vec<String> {
        let pattern = format!("{}*", self.settings.prefix);
        self.connection().await.keys(pattern).await.expect("Redis answers")
    }

    /// What FLUSHALL would do, but only to this part.
    pub(crate) async fn wipe(&self) {
        let keys = self.keys().await;
        if !keys.is_empty() {
            let _: u64 = self.connection().await.del(keys).await.expect("Redis answers");
        }
    }

    pub(crate) async fn snapshot(&self) -> Snapshot {
        let mut connection = self.connection().await;
        let mut held = Vec::new();
        for key in self.keys().await {
            let life_ms: i64 = connection.pttl(&key).await.expect("Redis answers");
            let dump =
                redis::cmd("DUMP").arg(&key).query_async(&mut connection).await.expect("it does");
            held.push((key, life_ms.max(0), dump));
        }
        Snapshot(held)
    }

    /// As a server that restarts from an older snapshot, or fails over to a replica that is behind.
    pub(crate) async fn go_back_to(&self, snapshot: &Snapshot) {
        self.wipe().await;
        let mut connection = self.connection().await;
        for (key, life_ms, dump) in &snapshot.0 {
            let mut restore = redis::cmd("RESTORE");
            restore.arg(key).arg(life_ms).arg(dump.as_slice());
            restore.exec_async(&mut connection).await.expect("Redis answers");
        }
    }
}
