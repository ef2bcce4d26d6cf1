//! A real Prometheus scrapes every process of the cluster, and finds nothing wrong with what it gets.

use crate::cluster::{PORT_BASE, Processes, SERVICES_PORT_BASE};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Operations ports of conn-nodes, routers and shard-nodes, after the cluster's base port.
const OPERATIONS: [u16; 6] = [101, 102, 111, 112, 121, 122];
const SCRAPED_WITHIN: Duration = Duration::from_secs(30);

impl Processes {
    pub(crate) fn prometheus_config(&self) -> PathBuf {
        self.folder.join("prometheus.json")
    }

    /// Every process is up, and counted what the scenes before this one did.
    pub(crate) async fn are_scraped(&self) {
        let targets: Vec<String> = OPERATIONS.iter().map(|port| address(*port)).collect();
        let config = serde_json::json!({
            "global": { "scrape_interval": "1s" },
            "scrape_configs": [{ "job_name": "cluster", "static_configs": [{ "targets": targets }] }],
        });
        // JSON is YAML, too.
        std::fs::write(self.prometheus_config(), config.to_string()).expect("a file");
        self.script("services.sh", &["start", "prometheus"]);
        for query in [
            "count(up == 1) == 6",
            "sum(shardline_conn_node_sends_acknowledged_total) > 500",
            "sum(shardline_shard_node_messages_total) > 500",
            "sum(shardline_router_events_total) > 500",
        ] {
            let found = tokio::time::timeout(SCRAPED_WITHIN, holds(query)).await;
            assert!(found.is_ok(), "Prometheus: not so: {query}");
        }
        for port in OPERATIONS {
            is_well_formed(port).await;
        }
    }
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{}", PORT_BASE + port)
}

/// Until the query's answer is not empty.
async fn holds(query: &str) {
    let url = format!("http://127.0.0.1:{}/api/v1/query", SERVICES_PORT_BASE + 90);
    let client = reqwest::Client::new();
    loop {
        let asked = client.get(&url).query(&[("query", query)]).send().await;
        if let Ok(answer) = asked
            && let Ok(answer) = answer.json::<Value>().await
            && answer["data"]["result"].as_array().is_some_and(|found| !found.is_empty())
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Prometheus' own linter: names, units, help texts.
async fn is_well_formed(port: u16) {
    let url = format!("http://{}/metrics", address(port));
    let metrics = reqwest::get(&url).await.expect("metrics").text().await.expect("text");
    let mut linter = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there, since Prometheus is");
    let mut input = linter.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut input, metrics.as_bytes()).expect("the linter reads");
    drop(input);
    let found = linter.wait_with_output().expect("the linter ends");
    let complaints = String::from_utf8_lossy(&found.stderr);
    assert!(found.status.success() && complaints.is_empty(), "port {port}: {complaints}");
}
