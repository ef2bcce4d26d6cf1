//! The process: settings, the ways to routers and Redis, and a conn-node on them.

use anyhow::Context;
use shardline_backends::cursors::Cursors;
use shardline_backends::cursors::memory::MemoryCursors;
use shardline_backends::presence::Presence;
use shardline_backends::presence::memory::MemoryPresence;
use shardline_conn_node::ConnNode;
use shardline_conn_node::config::Config;
use shardline_daemon::config::Settings;
use shardline_daemon::process;
use shardline_wire::link::{RouterLinks, Secret};
use std::process::ExitCode;
use std::sync::Arc;

struct ProcessConfig {
    node: Config,
    /// Shown to routers.
    secret: String,
    redis: String,
}

fn read(settings: &mut Settings) -> ProcessConfig {
    let is_local = settings.peek("profile").is_none_or(|profile| profile == "local");
    let config = ProcessConfig {
        node: Config::read(settings, is_local),
        secret: settings.required("secret", "by which our processes know each other"),
        redis: settings.required("redis", "redis://host:port, or memory if this node is alone"),
    };
    if !config.secret.is_empty() && Secret::new(&config.secret).is_none() {
        settings.problem("secret", "it has characters other than visible ASCII");
    }
    config
}

fn main() -> ExitCode {
    process::main("conn-node", read, |config, process| async move {
        let secret = Secret::new(&config.secret).context("the secret was checked")?;
        let connect = Arc::new(RouterLinks::new(secret));
        let (presence, cursors) = outside(&config.redis)?;
        let (lifecycle, health) = (&process.lifecycle, &process.health);
        ConnNode::start(config.node, connect, presence, cursors, lifecycle, health).await?;
        Ok(())
    })
}

type Outside = (Arc<dyn Presence>, Arc<dyn Cursors>);

fn outside(redis: &str) -> anyhow::Result<Outside> {
    if redis == "memory" {
        return Ok((Arc::new(MemoryPresence::new()), Arc::new(MemoryCursors::new())));
    }
    in_redis(redis)
}

#[cfg(feature = "redis")]
fn in_redis(url: &str) -> anyhow::Result<Outside> {
    use shardline_backends::RedisSettings;
    use shardline_backends::cursors::redis::RedisCursors;
    use shardline_backends::presence::redis::RedisPresence;

    let settings = RedisSettings::new(url);
    let presence = RedisPresence::new(settings.clone())?;
    Ok((Arc::new(presence), Arc::new(RedisCursors::new(settings)?)))
}

#[cfg(not(feature = "redis"))]
fn in_redis(_: &str) -> anyhow::Result<Outside> {
    anyhow::bail!("this binary is built without Redis: give `memory`")
}
