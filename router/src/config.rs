//! Settings of a router's process.

use crate::coordinator::initial::InitialShards;
use crate::router::Identity;
use shardline_daemon::config::{Settings, TrustTexts};
use shardline_domain::slot::Partitions;
use shardline_wire::link::{Secret, Trust};
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
    /// By which our processes know each other; None only while mistakes are collected.
    pub trust: Option<Trust>,
    /// By which operators are known; None: by the cluster's secret.
    pub admin_secret: Option<Secret>,
}

/// Where the catalog's database is. Not shown: a URL may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub enum CatalogPlace {
    /// mysql://…
    Mysql(String),
    /// A file.
    Sqlite(String),
}

impl std::fmt::Debug for CatalogPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            CatalogPlace::Mysql(_) => "Mysql(…)",
            CatalogPlace::Sqlite(_) => "Sqlite(…)",
        })
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
            // Fits a signed column, too.
            boot: rand::random::<u64>() >> 1,
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
        let trust = TrustTexts::read(settings).and_then(|texts| {
            let tls = texts.tls.as_ref();
            let tls = tls.map(|tls| [&*tls.authority, &*tls.certificate, &*tls.key]);
            let trust = Trust::parse(&texts.secret, tls);
            trust.map_err(|error| settings.problem(error.setting(), error)).ok()
        });
        let admin_secret = read_admin_secret(settings);
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
            trust,
            admin_secret,
        }
    }
}

/// On one's own machine the cluster's secret will do; elsewhere, who may change the cluster is not who
/// may take part in it.
fn read_admin_secret(settings: &mut Settings) -> Option<Secret> {
    let text: Option<String> =
        settings.optional("admin-secret", "by which operators (shardctl) are known");
    let is_local = settings.peek("profile").is_none_or(|profile| profile == "local");
    match text.filter(|text| !text.is_empty()) {
        Some(text) => {
            let secret = Secret::new(&text);
            if secret.is_none() {
                settings.problem("admin-secret", "it has characters other than visible ASCII");
            }
            secret
        }
        None if is_local => None,
        None => {
            settings.problem("admin-secret", "missing; only the profile local does without");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardline_daemon::config::Sources;

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
        let trust = Trust::parse("password", None).expect("plain text");
        let shown = format!("{catalog:?} {trust:?}");
        assert!(!shown.contains("password"));
    }

    #[test]
    fn operators_have_a_secret_of_their_own_but_on_ones_own_machine() {
        let read = |args: &[&str]| {
            let sources = Sources {
                args: args.iter().map(|arg| (*arg).to_owned()).collect(),
                env: Vec::new(),
                read_file: |_| Ok(String::new()),
            };
            let mut settings = Settings::new("router", sources);
            let config = Config::read(&mut settings);
            let problems = settings.finish().expect_err("much is missing").to_string();
            (config.admin_secret.is_some(), problems.contains("admin-secret"))
        };
        assert_eq!(read(&[]), (false, false));
        assert_eq!(read(&["--profile", "prod"]), (false, true));
        assert_eq!(read(&["--profile", "prod", "--admin-secret", "a"]), (true, false));
        assert_eq!(read(&["--admin-secret", "a\nb"]), (false, true));
    }

    #[test]
    fn certificates_that_are_none_are_mistakes_of_the_settings() {
        let args = ["--secret", "s", "--tls-ca", "a", "--tls-cert", "b", "--tls-key", "c"];
        let sources = Sources {
            args: args.map(str::to_owned).to_vec(),
            env: Vec::new(),
            read_file: |_| Ok("not a certificate".to_owned()),
        };
        let mut settings = Settings::new("router", sources);
        assert!(Config::read(&mut settings).trust.is_none());
        let problems = settings.finish().expect_err("it does not start").to_string();
        let expected = "tls-ca: the authority's file has no PEM certificate";
        assert!(problems.lines().any(|line| line == expected), "{problems}");
    }
}
