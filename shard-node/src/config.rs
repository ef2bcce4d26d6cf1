//! What a shard-node has to be told.

use crate::restore::{Loss, parse_losses};
use shardline_daemon::config::{Settings, TrustTexts};
use shardline_domain::slot::{Partitions, SLOTS};
use shardline_wire::link::Trust;
use std::net::SocketAddr;

/// Lanes of a shard on a database server: enough that one waits for its commit while others decide.
pub const LANES_DEFAULT: u16 = 4;
/// Bus partitions; fixed for the topic's life.
pub const PARTITIONS_DEFAULT: u32 = 64;
/// Memory for entities, in MiB.
pub const CACHE_MIB_DEFAULT: usize = 256;

/// Of the shard-node itself, wherever it runs.
#[derive(Clone, Debug)]
pub struct Config {
    pub shard: u32,
    /// This process's name, unique among those that may write this shard.
    pub node: String,
    /// Where routers reach it.
    pub advertise: String,
    /// 1 on SQLite, which has one writer anyway.
    pub lanes: u16,
    pub partitions: Partitions,
    pub cache_bytes: usize,
    /// Losses that an operator accepts; those of other shards say nothing here.
    pub accept_loss: Vec<Loss>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("there are 1 to {SLOTS} lanes")]
    Lanes,
    #[error("partitions are a power of two up to {SLOTS}")]
    Partitions,
}

impl Config {
    /// With the defaults for what is not given.
    pub fn new(shard: u32, node: impl Into<String>, advertise: impl Into<String>) -> Config {
        let partitions = Partitions::new(PARTITIONS_DEFAULT).expect("a power of two");
        Config {
            shard,
            node: node.into(),
            advertise: advertise.into(),
            lanes: LANES_DEFAULT,
            partitions,
            cache_bytes: CACHE_MIB_DEFAULT << 20,
            accept_loss: Vec::new(),
        }
    }

    pub fn with_lanes(self, lanes: u16) -> Result<Config, ConfigError> {
        if lanes == 0 || SLOTS < lanes {
            return Err(ConfigError::Lanes);
        }
        Ok(Config { lanes, ..self })
    }

    pub fn with_partitions(self, partitions: u32) -> Result<Config, ConfigError> {
        let partitions = Partitions::new(partitions).ok_or(ConfigError::Partitions)?;
        Ok(Config { partitions, ..self })
    }
}

/// Of the process around it.
#[derive(Clone, Debug)]
pub struct ProcessConfig {
    pub node: Config,
    pub listen: SocketAddr,
    pub database: Database,
    /// Brings an older schema of it up to date.
    pub migrate: bool,
    /// host:port, comma-separated.
    pub kafka: String,
    pub routers: Vec<String>,
    /// By which our processes know each other; None only while mistakes are collected.
    pub trust: Option<Trust>,
}

/// Where the shard's database is. Not shown: a URL may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// mysql://…, and the same of replicas that copies wait for.
    Mysql { url: String, replicas: Vec<String> },
    /// A file.
    Sqlite(String),
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Database::Mysql { .. } => "Mysql(…)",
            Database::Sqlite(_) => "Sqlite(…)",
        })
    }
}

impl Database {
    fn parse(text: &str) -> Database {
        match text.strip_prefix("sqlite:") {
            Some(file) => Database::Sqlite(file.trim_start_matches("//").to_owned()),
            None if is_on_server(text) => {
                Database::Mysql { url: text.to_owned(), replicas: Vec::new() }
            }
            None => Database::Sqlite(text.to_owned()),
        }
    }

    /// With these replicas, comma-separated.
    fn with_replicas(self, list: &str) -> Result<Database, ReplicasError> {
        let named = list.split(',').map(str::trim).filter(|one| !one.is_empty());
        let named: Vec<String> = named.map(str::to_owned).collect();
        match self {
            Database::Mysql { .. } if !named.iter().all(|one| is_on_server(one)) => {
                Err(ReplicasError::NotOnServer)
            }
            Database::Mysql { url, .. } => Ok(Database::Mysql { url, replicas: named }),
            Database::Sqlite(_) if !named.is_empty() => Err(ReplicasError::OfFile),
            file @ Database::Sqlite(_) => Ok(file),
        }
    }

    fn lanes_default(&self) -> u16 {
        match self {
            Database::Mysql { .. } => LANES_DEFAULT,
            Database::Sqlite(_) => 1,
        }
    }
}

fn is_on_server(text: &str) -> bool {
    text.starts_with("mysql://")
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
enum ReplicasError {
    #[error("each is mysql://…/database, as the database is given")]
    NotOnServer,
    #[error("a SQLite file has none")]
    OfFile,
}

impl ProcessConfig {
    /// Reads the settings; problems are noted in `settings`.
    pub fn read(settings: &mut Settings) -> ProcessConfig {
        let listen: SocketAddr = settings.required("listen", "where routers connect");
        let advertise = settings.optional("advertise", "where they reach it, if not at `listen`");
        let name: String = settings.required("name", "of this process, unique in its shard");
        let shard = settings.required("shard", "the number of the shard it writes");
        let database: String = settings.required("database", "mysql://… or a SQLite file");
        let mut database = Database::parse(&database);
        let replicas =
            settings.or("replicas", String::new(), "mysql://… of some: copies wait for them");
        match database.clone().with_replicas(&replicas) {
            Ok(with_replicas) => database = with_replicas,
            Err(error) => settings.problem("replicas", error),
        }
        let migrate = settings.or(
            "migrate",
            false,
            "bring an older schema of the database up to date (an empty one always is)",
        );
        let lanes = settings.or("lanes", database.lanes_default(), "serial committers");
        let partitions =
            settings.or("partitions", PARTITIONS_DEFAULT, "of the bus; the same everywhere");
        let cache_mib = settings.or("cache-mib", CACHE_MIB_DEFAULT, "memory for chats and users");
        let accept_loss = read_accept_loss(settings);
        let kafka = settings.required("kafka", "host:port of brokers, comma-separated");
        let routers: String = settings.required("routers", "host:port of some, comma-separated");
        let trust = TrustTexts::read(settings).and_then(|texts| {
            let tls = texts.tls.as_ref();
            let tls = tls.map(|tls| [&*tls.authority, &*tls.certificate, &*tls.key]);
            let trust = Trust::parse(&texts.secret, tls);
            trust.map_err(|error| settings.problem(error.setting(), error)).ok()
        });

        let advertise = advertise.unwrap_or_else(|| listen.to_string());
        let mut node = Config::new(shard, name, advertise);
        node.cache_bytes = cache_mib << 20;
        node.accept_loss = accept_loss;
        match node.clone().with_lanes(lanes) {
            Ok(good) => node = good,
            Err(error) => settings.problem("lanes", error),
        }
        match node.clone().with_partitions(partitions) {
            Ok(good) => node = good,
            Err(error) => settings.problem("partitions", error),
        }
        let routers = routers.split(',').map(|one| one.trim().to_owned()).collect();
        ProcessConfig { node, listen, database, migrate, kafka, routers, trust }
    }
}

/// The setting `accept-loss`, of any process that holds shards.
pub fn read_accept_loss(settings: &mut Settings) -> Vec<Loss> {
    let text = settings.or(
        "accept-loss",
        String::new(),
        "go on with a restored database: what /readyz says it lacks",
    );
    parse_losses(&text).unwrap_or_else(|error| {
        settings.problem("accept-loss", error);
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_a_server_or_a_file() {
        let mysql = "mysql://root@127.0.0.1:3306/shardline_shard_0";
        let on_server = |replicas: &[&str]| Database::Mysql {
            url: mysql.to_owned(),
            replicas: replicas.iter().map(|&one| one.to_owned()).collect(),
        };
        assert_eq!(Database::parse(mysql), on_server(&[]));
        let replicas = |list| Database::parse(mysql).with_replicas(list);
        assert_eq!(replicas(""), Ok(on_server(&[])));
        assert_eq!(
            replicas("mysql://a/db, mysql://b/db"),
            Ok(on_server(&["mysql://a/db", "mysql://b/db"]))
        );
        assert_eq!(replicas("b:3306"), Err(ReplicasError::NotOnServer));
        let of_file = Database::parse("data/shard.db").with_replicas("mysql://a/db");
        assert_eq!(of_file, Err(ReplicasError::OfFile));
        for text in ["data/shard.db", "sqlite:data/shard.db", "sqlite://data/shard.db"] {
            assert_eq!(Database::parse(text), Database::Sqlite("data/shard.db".to_owned()));
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let database = Database::parse("mysql://root:password@host/db");
        let trust = Trust::parse("password", None).expect("plain text");
        let shown = format!("{database:?} {trust:?}");
        assert!(!shown.contains("password"));
    }

    #[test]
    fn impossible_numbers_are_refused() {
        let config = Config::new(1, "a", "b");
        assert_eq!(config.clone().with_lanes(0).err(), Some(ConfigError::Lanes));
        assert_eq!(config.with_partitions(48).err(), Some(ConfigError::Partitions));
    }
}
