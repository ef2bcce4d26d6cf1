//! The process: settings, the catalog's database, Kafka and Redis, and a router on them.

use anyhow::Context;
use shardline_backends::bus::Bus;
use shardline_backends::presence::Presence;
use shardline_daemon::backoff::Backoff;
use shardline_daemon::health::Health;
use shardline_daemon::process::{self, Process};
use shardline_domain::slot::Partitions;
use shardline_router::catalog::{CatalogError, WholeCatalog, migrate::Migrate};
use shardline_router::config::{CatalogPlace, Config};
use shardline_router::parts::Parts;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tracing::{info, warn};

fn main() -> ExitCode {
    process::main("router", Config::read, start)
}

async fn start(config: Config, process: Process) -> anyhow::Result<()> {
    let Process { lifecycle, health } = process;
    let trust = config.trust.clone().context("the settings were checked")?;
    let partitions = Partitions::new(config.partitions).context("the partitions were checked")?;
    let (bus, presence) = (bus(&config.kafka)?, presence(&config.redis)?);
    // Bound first: a taken port is known before anything is waited for.
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let catalog = open_catalog(&config, &health).await?;

    let admin_secret = config.admin_secret.unwrap_or_else(|| {
        warn!("no admin-secret: operators are known by the cluster's secret");
        trust.secret().clone()
    });
    info!(address = %listener.local_addr()?, "listens for conn-nodes, shard-nodes and shardctl");
    let parts = Parts {
        identity: config.identity,
        partitions,
        initial_shards: config.initial_shards.0,
        catalog,
        bus,
        presence,
        trust,
        admin_secret,
    };
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    parts.start(incoming, &lifecycle, &health);
    Ok(())
}

/// Waits for the catalog as long as it takes; the process is not ready meanwhile.
async fn open_catalog(config: &Config, health: &Health) -> anyhow::Result<Arc<dyn WholeCatalog>> {
    let migrate = if config.migrate { Migrate::Always } else { Migrate::IfEmpty };
    let ready = health.part("catalog");
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(3));
    let mut has_warned = false;
    loop {
        match open_once(&config.catalog, migrate).await? {
            Ok(catalog) => {
                ready.ready();
                return Ok(catalog);
            }
            Err(error @ CatalogError::Unavailable(_)) => {
                if !has_warned {
                    warn!(%error, "waiting for the catalog");
                }
                has_warned = true;
                ready.not_ready("waiting for the catalog");
            }
            Err(error) => return Err(error).context("cannot use the catalog"),
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

type Opened = Result<Arc<dyn WholeCatalog>, CatalogError>;

/// # Errors
/// If this binary is built without that database.
async fn open_once(place: &CatalogPlace, migrate: Migrate) -> anyhow::Result<Opened> {
    match place {
        CatalogPlace::Mysql(url) => mysql(url, migrate).await,
        CatalogPlace::Sqlite(file) => sqlite(file, migrate).await,
    }
}

#[cfg(feature = "mysql")]
async fn mysql(url: &str, migrate: Migrate) -> anyhow::Result<Opened> {
    use shardline_router::catalog::mysql::MysqlCatalog;
    let opened = MysqlCatalog::open(url, migrate).await;
    Ok(opened.map(|catalog| Arc::new(catalog) as Arc<dyn WholeCatalog>))
}

#[cfg(not(feature = "mysql"))]
async fn mysql(_: &str, _: Migrate) -> anyhow::Result<Opened> {
    anyhow::bail!("this binary is built without MySQL: give a SQLite file as `catalog`")
}

#[cfg(feature = "sqlite")]
async fn sqlite(file: &str, migrate: Migrate) -> anyhow::Result<Opened> {
    use shardline_router::catalog::sqlite::SqliteCatalog;
    let opened = SqliteCatalog::open(file.as_ref(), migrate).await;
    Ok(opened.map(|catalog| Arc::new(catalog) as Arc<dyn WholeCatalog>))
}

#[cfg(not(feature = "sqlite"))]
async fn sqlite(_: &str, _: Migrate) -> anyhow::Result<Opened> {
    anyhow::bail!("this binary is built without SQLite: give mysql://… as `catalog`")
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

#[cfg(feature = "redis")]
fn presence(url: &str) -> anyhow::Result<Arc<dyn Presence>> {
    use shardline_backends::RedisSettings;
    use shardline_backends::presence::redis::RedisPresence;
    Ok(Arc::new(RedisPresence::new(RedisSettings::new(url))?))
}

#[cfg(not(feature = "redis"))]
fn presence(_: &str) -> anyhow::Result<Arc<dyn Presence>> {
    anyhow::bail!("this binary is built without Redis: use the embedded form")
}
