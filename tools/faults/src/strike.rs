//! A fault as it is done: one signal to one process, and how what it hit comes back.

use crate::cell::{Fault, Side, Who};
use crate::cluster::{Cluster, signal};
use crate::operator::Operator;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A leader that is silent is replaced within this.
const ELECTION_MAX: Duration = Duration::from_secs(20);
/// How long both leaders know nothing of each other.
const OVERLAP: Duration = Duration::from_millis(500);
/// A server that was killed is away at least for this long.
const AWAY: Duration = Duration::from_millis(500);

pub(crate) const ROUTERS: [&str; 2] = ["router-1", "router-2"];

/// Whom a move concerns.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) coordinator: String,
    /// The process that writes each shard.
    pub(crate) writers: BTreeMap<u32, String>,
    pub(crate) source: u32,
    pub(crate) target: u32,
}

impl Stage {
    fn shard(&self, side: Side) -> u32 {
        match side {
            Side::Source => self.source,
            Side::Target => self.target,
        }
    }

    fn name(&self, who: Who) -> Result<String> {
        Ok(match who {
            Who::Coordinator => self.coordinator.clone(),
            Who::OtherRouter => {
                let other = ROUTERS.iter().find(|name| **name != self.coordinator);
                other.context("there is one router")?.to_string()
            }
            Who::Node(side) => {
                let writer = self.writers.get(&self.shard(side)).filter(|name| !name.is_empty());
                writer.with_context(|| format!("the {side} has no writer"))?.clone()
            }
        })
    }
}

/// Ready to be done at once.
pub(crate) struct Strike {
    fault: Fault,
    name: String,
    pid: Pid,
    signal: Option<Signal>,
    source: u32,
}

impl Strike {
    pub(crate) fn prepare(cluster: &Cluster, fault: Fault, stage: &Stage) -> Result<Strike> {
        let (name, signal) = match fault {
            Fault::Kill(who) => (stage.name(who)?, Some(Signal::SIGKILL)),
            Fault::Pause(who) => (stage.name(who)?, Some(Signal::SIGSTOP)),
            Fault::TwoLeaders => (stage.coordinator.clone(), Some(Signal::SIGSTOP)),
            Fault::Database(side) => {
                (cluster.database_of(stage.shard(side))?, Some(Signal::SIGKILL))
            }
            Fault::Catalog => (cluster.database_of(0)?, Some(Signal::SIGKILL)),
            Fault::Kafka => ("kafka".to_owned(), Some(Signal::SIGKILL)),
            Fault::Redis => ("redis".to_owned(), Some(Signal::SIGKILL)),
            Fault::RemoveShard => (stage.coordinator.clone(), None),
        };
        let pids = cluster.pids()?;
        let pid = *pids.get(&name).with_context(|| format!("{name} does not run"))?;
        Ok(Strike { fault, name, pid, signal, source: stage.source })
    }

    pub(crate) fn strike(&self) -> Result<()> {
        self.signal.map_or(Ok(()), |what| signal(self.pid, what))
    }

    /// What was hit comes back. Returns what there is to say of it.
    pub(crate) async fn mend(
        &self,
        cluster: &Cluster,
        operator: &Operator,
        pause: Duration,
    ) -> Result<String> {
        match self.fault {
            Fault::Kill(_) => cluster.run_aside(&["up", &self.name]).await.map(|()| String::new()),
            Fault::Pause(_) => {
                sleep(pause).await;
                signal(self.pid, Signal::SIGCONT)?;
                Ok(format!("{:.1} s", pause.as_secs_f64()))
            }
            Fault::TwoLeaders => {
                let led = self.until_another_leads(operator).await;
                sleep(OVERLAP).await;
                signal(self.pid, Signal::SIGCONT)?;
                led.map(|time| format!("another led after {:.1} s", time.as_secs_f64()))
            }
            Fault::Database(_) | Fault::Catalog | Fault::Kafka | Fault::Redis => {
                sleep(AWAY).await;
                cluster.run_aside(&["up-servers"]).await.map(|()| String::new())
            }
            Fault::RemoveShard => operator.refusal_to_remove(self.source).await,
        }
    }

    async fn until_another_leads(&self, operator: &Operator) -> Result<Duration> {
        let began = Instant::now();
        loop {
            let leads = operator.moves(None).await?.coordinator;
            if !leads.is_empty() && leads != self.name {
                return Ok(began.elapsed());
            }
            ensure!(began.elapsed() < ELECTION_MAX, "nobody leads in place of {}", self.name);
            sleep(Duration::from_millis(50)).await;
        }
    }
}
