//! Somebody deletes the topic under a cluster that works: those who write make it again, and what was in
//! it and not read yet is found by the heads.

use crate::cluster::Cluster;
use anyhow::{Result, anyhow, ensure};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use std::time::Duration;

/// As a cluster without a prefix calls it.
const TOPIC: &str = "chat-events";
const DELETED_MAX: Duration = Duration::from_secs(10);

pub(super) async fn delete(cluster: &Cluster) -> Result<String> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.kafka_address()?);
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let options = AdminOptions::new().operation_timeout(Some(DELETED_MAX));
    let deleted = admin.delete_topics(&[TOPIC], &options).await?;
    ensure!(deleted.len() == 1, "one topic is to be deleted");
    for topic in deleted {
        topic.map_err(|(name, code)| anyhow!("{name} was not deleted: {code}"))?;
    }
    Ok(String::new())
}
