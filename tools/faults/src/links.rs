//! The links between the processes of a cluster, each over a proxy of ours.

use crate::cluster::Cluster;
use crate::proxy::{Link, Proxy};
use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// Proxies live as long as this.
pub struct Links {
    proxy: Proxy,
    /// By process or server, as the cluster names them.
    ports: BTreeMap<String, u16>,
}

impl Links {
    /// To be opened before the cluster is started.
    ///
    /// # Errors
    /// If a port is taken, or the cluster has no detour; see [`Cluster::with_detour`].
    pub async fn open(cluster: &Cluster) -> Result<Links> {
        let detour =
            cluster.detour().context("the cluster's processes reach each other directly")?;
        let ports = cluster.links()?;
        let all: Vec<u16> = ports.values().copied().collect();
        Ok(Links { proxy: Proxy::open(&all, detour).await?, ports })
    }

    /// The link by which others reach it.
    pub(crate) fn to(&self, name: &str) -> Result<&Link> {
        let port = self.ports.get(name).with_context(|| format!("no link to {name}"))?;
        self.proxy.link(*port)
    }

    /// Everything passes again.
    pub fn heal(&self) {
        self.proxy.heal();
    }
}
