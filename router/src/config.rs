//! Settings of a router's process.

use crate::coordinator::initial::InitialShards;
use crate::router::Identity;
use shardline_daemon::config::Settings;
use shardline_domain::slot::Partitions;
use shardline_wire::link::Secret;
use std::net::SocketAddr;

/// Bus partitions; fixed for the topic's life.
const PARTITIONS_DEFAULT: u32 = 64;

#[derive(Clone, Debug)]
pub struct Config {
    pub identity: Identity,
    /// Where conn-nodes, shard-nodes and shardctl connect.
    pub listen: SocketAddr,
    pub catalog: CatalogPlace,
    /// An older schema of the catalog is brought up to date.
    pub migrate: bool,
    /// host:port, comma-separated.
    pub kafka: String,
    pub redis: String,
    pub partitions: u32,
    /// What an empty catalog begins with.
    pub initial_shards: InitialShards,
    /// By which our processes know each other. Not shown.
    pub secret: Hidden,
}

/// Where the catalog's database is. Not shown: a URL may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub enum CatalogPlace {
    /// mysql://…
    Mysql(String),
    /// A file.
    Sqlite(String),
}

/// A text that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(pub String);

impl std::fmt::Debug for CatalogPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            CatalogPlace::Mysql(_) => "Mysql(…)",
            CatalogPlace::Sqlite(_) => "Sqlite(…)",
        })
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden")
    }
}

impl CatalogPlace {
    fn parse(text: &str) -> CatalogPlace {
        match text.strip_prefix("sqlite:") {
            Some(file) => CatalogPlace::Sqlite(file.trim_start_matches("//").to_owned()),
            None if text.starts_with("mysql://") => CatalogPlace::Mysql(text.to_owned()),
            None => CatalogPlace::Sqlite(text.to_owned()),
        }
    }
}

impl Config {
    /// Reads the settings; problems are noted in `settings`.
    pub fn read(settings: &mut Settings) -> Config {
        let listen: SocketAddr =
            settings.required("listen", "where conn-nodes and shard-nodes connect");
        let advertise = settings.optional("advertise", "where they reach it, if not at `listen`");
        let identity = Identity {
            id: settings.required("name", "of this router, unique among routers"),
            address: advertise.unwrap_or_else(|| listen.to_string()),
        };
        let catalog: String = settings.required("catalog", "mysql://… or a SQLite file");
        let partitions =
            settings.or("partitions", PARTITIONS_DEFAULT, "of the bus; the same everywhere");
        if Partitions::new(partitions).is_none() {
            settings.problem("partitions", "it must be a power of two up to 16384");
        }
        let initial_shards = settings
            .optional("initial-shards", "what an empty catalog begins with: 0,1 or 0:100,1:50")
            .unwrap_or_else(|| InitialShards(Vec::new()));
        let secret: String = settings.required("secret", "by which our processes know each other");
        if !secret.is_empty() && Secret::new(&secret).is_none() {
            settings.problem("secret", "it has characters other than visible ASCII");
        }
        Config {
            identity,
            listen,
            catalog: CatalogPlace::parse(&catalog),
            migrate: settings.or(
                "migrate",
                false,
                "bring an older schema of the catalog up to date (an empty one always is)",
            ),
            kafka: settings.required("kafka", "host:port of brokers, comma-separated"),
            redis: settings.required("redis", "redis://host:port"),
            partitions,
            initial_shards,
            secret: Hidden(secret),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalog_is_a_server_or_a_file() {
        let mysql = "mysql://root@127.0.0.1:3306/shardline_catalog";
        assert_eq!(CatalogPlace::parse(mysql), CatalogPlace::Mysql(mysql.to_owned()));
        for text in ["data/catalog.db", "sqlite:data/catalog.db", "sqlite://data/catalog.db"] {
            let file = CatalogPlace::Sqlite("data/catalog.db".to_owned());
            assert_eq!(CatalogPlace::parse(text), file);
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let catalog = CatalogPlace::parse("mysql://root:password@host/db");
        let shown = format!("{catalog:?} {:?}", Hidden("password".to_owned()));
        assert!(!shown.contains("password"));
    }
}
