//! The process: settings, the ways to routers and Redis, and a conn-node on them.

use anyhow::Context;
use shardline_backends::cursors::Cursors;
use shardline_backends::cursors::memory::MemoryCursors;
use shardline_backends::presence::Presence;
use shardline_backends::presence::memory::MemoryPresence;
use shardline_conn_node::ConnNode;
use shardline_conn_node::config::Config;
use shardline_daemon::config::{Settings, TrustTexts};
use shardline_daemon::process;
use shardline_wire::link::{RouterLinks, Trust};
use std::process::ExitCode;
use std::sync::Arc;

struct ProcessConfig {
    node: Config,
    /// Shown to routers; None only while mistakes are collected.
    trust: Option<Trust>,
    redis: String,
}

fn read(settings: &mut Settings) -> ProcessConfig {
    let is_local = settings.peek("profile").is_none_or(|profile| profile == "local");
    let trust = TrustTexts::read(settings).and_then(|texts| {
        let tls = texts.tls.as_ref();
        let tls = tls.map(|tls| [&*tls.authority, &*tls.certificate, &*tls.key]);
        let trust = Trust::parse(&texts.secret, tls);
        trust.map_err(|error| settings.problem(error.setting(), error)).ok()
    });
    ProcessConfig {
        node: Config::read(settings, is_local),
        trust,
        redis: settings.required("redis", "redis://host:port, or memory if this node is alone"),
    }
}

fn main() -> ExitCode {
    process::main("conn-node", read, |config, process| async move {
        let trust = config.trust.context("the settings were checked")?;
        let connect = Arc::new(RouterLinks::new(trust));
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
