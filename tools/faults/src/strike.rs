//! A fault of a move as it is done, and how what it hit comes back.

use crate::blow::{Blow, Deed, Mended};
use crate::cell::{Cell, Fault, Side, Who};
use crate::cluster::Cluster;
use crate::links::Links;
use crate::operator::Operator;
use crate::proxy::Mode;
use anyhow::{Context, Result, ensure};
use shardline_domain::placement::transfer::Phase;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A leader that is silent is replaced within this.
const ELECTION_MAX: Duration = Duration::from_secs(20);
/// How long both leaders know nothing of each other.
const OVERLAP: Duration = Duration::from_millis(500);
/// A server that was killed is away at least for this long.
const AWAY: Duration = Duration::from_millis(500);
const DELAY: Duration = Duration::from_millis(50);

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
    blow: Blow,
    source: u32,
}

impl Strike {
    pub(crate) fn prepare(cluster: &Cluster, cell: Cell, stage: &Stage) -> Result<Strike> {
        let Cell { fault, phase } = cell;
        let database = |side| cluster.database_of(stage.shard(side));
        let name = match fault {
            Fault::Kill(who) | Fault::Pause(who) => stage.name(who)?,
            Fault::Cut(side) | Fault::Silent(side) | Fault::OneWay(side) | Fault::Slow(side) => {
                stage.name(Who::Node(side))?
            }
            Fault::TwoLeaders | Fault::RemoveShard => stage.coordinator.clone(),
            Fault::Database(side) | Fault::LostWrite(side) => database(side)?,
            Fault::Catalog | Fault::LostAnswer => cluster.database_of(0)?,
            Fault::Kafka => "kafka".to_owned(),
            Fault::Redis => "redis".to_owned(),
        };
        let deed = match fault {
            Fault::Kill(_) => Deed::Kill { away: Duration::ZERO },
            Fault::Database(_) | Fault::Catalog | Fault::Kafka | Fault::Redis => {
                Deed::Kill { away: AWAY }
            }
            Fault::Pause(_) | Fault::TwoLeaders => Deed::Pause,
            Fault::RemoveShard => Deed::Nothing,
            Fault::Cut(_) => Deed::Break(Mode::Cut),
            Fault::Silent(_) => Deed::Break(Mode::Silent),
            Fault::OneWay(_) => Deed::Break(Mode::SilentServer),
            Fault::Slow(_) => Deed::Break(Mode::Slow(DELAY)),
            Fault::LostAnswer if phase == Phase::Frozen => Deed::LoseAnswer("SET s.shard = ?"),
            Fault::LostAnswer => Deed::LoseAnswer("UPDATE moves SET phase"),
            Fault::LostWrite(_) => Deed::LoseAnswer(match phase {
                Phase::Copying => "INSERT INTO imports",
                Phase::Cleaning => "DELETE FROM imports",
                _ => "INSERT INTO slots",
            }),
        };
        let blow = Blow::prepare(cluster, name, deed)?;
        Ok(Strike { fault, blow, source: stage.source })
    }

    pub(crate) fn strike(&self, cluster: &Cluster, links: &Links) -> Result<()> {
        self.blow.strike(cluster, links)
    }

    /// What was hit comes back.
    pub(crate) async fn mend(
        &self,
        cluster: &Cluster,
        links: &Links,
        operator: &Operator,
        pause: Duration,
    ) -> Result<Mended> {
        match self.fault {
            Fault::TwoLeaders => {
                let led = self.until_another_leads(operator).await;
                sleep(OVERLAP).await;
                self.blow.wake()?;
                let led = led?.as_secs_f64();
                Ok(Mended::with(format!("another led after {led:.1} s")))
            }
            Fault::RemoveShard => operator.refusal_to_remove(self.source).await.map(Mended::with),
            _ => self.blow.mend(cluster, links, pause).await,
        }
    }

    async fn until_another_leads(&self, operator: &Operator) -> Result<Duration> {
        let began = Instant::now();
        loop {
            let leads = operator.moves(None).await?.coordinator;
            if !leads.is_empty() && leads != self.blow.name {
                return Ok(began.elapsed());
            }
            ensure!(began.elapsed() < ELECTION_MAX, "nobody leads in place of {}", self.blow.name);
            sleep(Duration::from_millis(50)).await;
        }
    }
}
