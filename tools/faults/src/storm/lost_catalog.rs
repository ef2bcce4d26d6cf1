//! The catalog is dropped while no router runs, and made anew from what the shards have, as
//! docs/operations.md says.

use crate::cluster::{Cluster, signal};
use crate::strike::ROUTERS;
use anyhow::{Context, Result};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use nix::sys::signal::Signal;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SHARD_NODES: [&str; 2] = ["shard-node-0", "shard-node-1"];
/// A router that just started answers within this.
const REBUILT_MAX: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(200);

pub(super) async fn lose_and_rebuild(cluster: &Cluster) -> Result<String> {
    let began = Instant::now();
    let pids = cluster.pids()?;
    for router in ROUTERS {
        signal(*pids.get(router).context("a router runs")?, Signal::SIGKILL)?;
    }
    let url = cluster.database_url()?;
    let mut conn = Conn::from_url(&url).await?;
    conn.query_drop("DROP DATABASE shardline_catalog").await?;
    conn.disconnect().await?;
    let [first, second] = ROUTERS;
    let empty = cluster.clone().without_initial_shards();
    empty.run_aside(&["up", first]).await?;
    let shards = cluster.addresses(&SHARD_NODES)?.join(",");
    let rebuild = ["ctl", "catalog", "rebuild", "--shards", &shards];
    while let Err(error) = cluster.run_aside(&rebuild).await {
        if REBUILT_MAX <= began.elapsed() {
            return Err(error);
        }
        sleep(LOOK).await;
    }
    let rebuilt = began.elapsed();
    cluster.run_aside(&["up", second]).await?;
    Ok(format!("rebuilt after {:.1} s", rebuilt.as_secs_f64()))
}
