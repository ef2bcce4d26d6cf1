//! The process: settings, the shard's database, Kafka, and a shard-node on them.

use anyhow::Context;
use shardline_backends::bus::Bus;
use shardline_daemon::backoff::Backoff;
use shardline_daemon::health::Health;
use shardline_daemon::process::{self, Process};
use shardline_shard_node::config::{Database, ProcessConfig};
use shardline_shard_node::store::{Store, StoreError};
use shardline_shard_node::{ShardNode, server};
use shardline_wire::link::{CatalogClient, MoveLinks};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;

fn main() -> ExitCode {
    process::main("shard-node", ProcessConfig::read, start)
}

async fn start(config: ProcessConfig, process: Process) -> anyhow::Result<()> {
    let Process { lifecycle, health } = process;
    let trust = config.trust.clone().context("the settings were checked")?;
    let bus = bus(&config.kafka)?;
    let catalog = CatalogClient::new(&config.routers, trust.clone())
        .context("`routers` has something that is no address")?;
    // Bound first: a taken port is known before anything is waited for.
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let store = open_store(&config.database, config.migrate, &health).await?;

    let (catalog, peers) = (Arc::new(catalog), Arc::new(MoveLinks::new(trust.clone())));
    let node = ShardNode::start(config.node, store, bus, catalog, peers, &lifecycle, &health);
    tracing::info!(address = %listener.local_addr()?, "listens for routers");
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let stopped = node.stopped();
    let failing = lifecycle.clone();
    lifecycle.run("server", async move {
        if let Err(error) =
            server::serve(incoming, node.clone(), node.clone(), node, trust, stopped).await
        {
            failing.fail(format!("the server ended: {error}"));
        }
    });
    Ok(())
}

/// Waits for the database as long as it takes; the process is not ready meanwhile.
async fn open_store(
    database: &Database,
    migrate: bool,
    health: &Health,
) -> anyhow::Result<Arc<dyn Store>> {
    let ready = health.part("database");
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(3));
    let mut has_warned = false;
    loop {
        match open_once(database, migrate).await? {
            Ok(store) => {
                ready.ready();
                return Ok(store);
            }
            Err(error @ StoreError::Unavailable(_)) => {
                if !has_warned {
                    tracing::warn!(%error, "waiting for the database");
                }
                has_warned = true;
                ready.not_ready("waiting for the database");
            }
            Err(error) => return Err(error).context("cannot use the database"),
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

type Opened = Result<Arc<dyn Store>, StoreError>;

/// # Errors
/// If this binary is built without that database.
async fn open_once(database: &Database, migrate: bool) -> anyhow::Result<Opened> {
    match database {
        Database::Mysql { url, replicas } => mysql(url, replicas, migrate).await,
        Database::Sqlite(file) => sqlite(file, migrate).await,
    }
}

#[cfg(feature = "mysql")]
async fn mysql(url: &str, replicas: &[String], migrate: bool) -> anyhow::Result<Opened> {
    use shardline_shard_node::store::mysql::{MySqlStore, Options, apply, create_database};
    // An account that may not make databases was given one that exists; opening it will tell.
    if let Err(error) = create_database(url).await {
        tracing::debug!(%error, "the database was not made");
    }
    let options = Options { replicas: replicas.to_vec(), ..Options::new(url) };
    if migrate && let Err(error) = apply(&options).await {
        return Ok(Err(error));
    }
    let opened = MySqlStore::open(&options).await;
    Ok(opened.map(|store| Arc::new(store) as Arc<dyn Store>))
}

#[cfg(not(feature = "mysql"))]
async fn mysql(_: &str, _: &[String], _: bool) -> anyhow::Result<Opened> {
    anyhow::bail!("this binary is built without MySQL: give a SQLite file as `database`")
}

#[cfg(feature = "sqlite")]
async fn sqlite(file: &str, migrate: bool) -> anyhow::Result<Opened> {
    use shardline_shard_node::store::sqlite::{SqliteStore, apply};
    if migrate && let Err(error) = apply(file.as_ref()) {
        return Ok(Err(error));
    }
    let opened = SqliteStore::open(file.as_ref()).await;
    Ok(opened.map(|store| Arc::new(store) as Arc<dyn Store>))
}

#[cfg(not(feature = "sqlite"))]
async fn sqlite(_: &str, _: bool) -> anyhow::Result<Opened> {
    anyhow::bail!("this binary is built without SQLite: give mysql://… as `database`")
}

#[cfg(feature = "kafka")]
fn bus(brokers: &str) -> anyhow::Result<Arc<dyn Bus>> {
    use shardline_backends::bus::kafka::{KafkaBus, KafkaSettings};
    Ok(Arc::new(KafkaBus::new(KafkaSettings::new(brokers))?))
}

#[cfg(not(feature = "kafka"))]
fn bus(_: &str) -> anyhow::Result<Arc<dyn Bus>> {
    anyhow::bail!("this binary is built without Kafka: use the embedded form")
}
