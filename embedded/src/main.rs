//! `shardline`: the whole system in one process.

use shardline_daemon::config::Settings;
use shardline_daemon::process;
use shardline_embedded::{Cluster, Options};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut settings = Settings::from_process("embedded");
    settings.prefer("ops-listen", "127.0.0.1:8081");
    process::main_with("embedded", settings, Options::read, |options, process| async move {
        let cluster = Cluster::start(options, &process.lifecycle, &process.health).await?;
        let (address, operators) = (cluster.local_addr(), cluster.admin_addr());
        let health = process.health.clone();
        process.lifecycle.run("announce", async move {
            health.until_ready().await;
            tracing::info!(clients = %format!("http://{address}"), %operators, "Shardline runs");
        });
        Ok(())
    })
}
