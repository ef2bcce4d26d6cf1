//! What a shard-node has to be told.

use shardline_domain::slot::{Partitions, SLOTS};
use std::time::Duration;

/// Lanes of a shard on a database server: enough that one waits for its commit while others decide.
pub const LANES_DEFAULT: u16 = 4;
/// Bus partitions; fixed for the topic's life.
pub const PARTITIONS_DEFAULT: u32 = 64;
/// Memory for entities.
pub const CACHE_BYTES_DEFAULT: usize = 256 * 1024 * 1024;

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
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("lanes: 1 to {SLOTS}")]
    Lanes,
    #[error("partitions: a power of two up to {SLOTS}")]
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
            cache_bytes: CACHE_BYTES_DEFAULT,
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

/// How long a process may take to stop before what is left is dropped.
pub const STOP_TIME_MAX: Duration = Duration::from_secs(10);
