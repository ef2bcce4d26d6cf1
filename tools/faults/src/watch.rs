//! Looks at a move's row in the catalog, often enough to strike while it is in a phase.

use anyhow::{Context, Result, bail};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use shardline_domain::placement::transfer::Phase;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// A server that was killed comes back within this.
const PATIENCE: Duration = Duration::from_secs(60);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(3);
const RECONNECT_AFTER: Duration = Duration::from_millis(5);
/// Between two looks where the phases last long, and where they last milliseconds.
const CALM: Duration = Duration::from_millis(1);
const CLOSE: Duration = Duration::from_micros(200);

/// Where a move stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stand {
    pub(crate) phase: Phase,
    pub(crate) attempt: u32,
}

pub(crate) struct Watch {
    options: Opts,
    conn: Option<Conn>,
}

impl Watch {
    /// `url` is the catalog's database server.
    pub(crate) fn new(url: &str) -> Result<Watch> {
        let options = Opts::from_url(&format!("{url}/shardline_catalog"))?;
        Ok(Watch { options, conn: None })
    }

    pub(crate) async fn stand(&mut self, id: u64) -> Result<Stand> {
        let sql = "SELECT phase, attempt FROM moves WHERE move = ?";
        let row: Option<(u8, u32)> = self.first(sql, id).await?;
        let (phase, attempt) = row.with_context(|| format!("there is no move {id}"))?;
        let phase = Phase::from_number(phase).with_context(|| format!("phase {phase}"))?;
        Ok(Stand { phase, attempt })
    }

    /// Waits until the move is in the phase; None if it ended, or went past it, before.
    pub(crate) async fn until(
        &mut self,
        id: u64,
        phase: Phase,
        patience: Duration,
    ) -> Result<Option<Stand>> {
        let until = Instant::now() + patience;
        loop {
            let stand = self.stand(id).await?;
            if stand.phase == phase {
                return Ok(Some(stand));
            }
            let aborts = stand.phase == Phase::Aborting;
            if stand.phase.is_end() || (phase < stand.phase && !aborts) {
                return Ok(None);
            }
            if until <= Instant::now() {
                bail!("move {id} is {} and not yet {}", stand.phase.name(), phase.name());
            }
            let calm = stand.phase < Phase::Ready && phase != Phase::Preparing;
            sleep(if calm { CALM } else { CLOSE }).await;
        }
    }

    /// The move of a rebalance that has the most of these slots, once it is made.
    pub(crate) async fn move_of(&mut self, rebalance: u64, slots: &[u16]) -> Result<Option<u64>> {
        let slots: Vec<String> = slots.iter().map(u16::to_string).collect();
        let sql = format!(
            "SELECT m.move FROM moves m JOIN move_slots s ON s.move = m.move \
             WHERE m.rebalance = ? AND s.slot IN ({}) \
             GROUP BY m.move ORDER BY COUNT(*) DESC LIMIT 1",
            slots.join(", ")
        );
        let row: Option<(u64,)> = self.first(&sql, rebalance).await?;
        Ok(row.map(|(id,)| id))
    }

    /// Slots that a move still holds.
    pub(crate) async fn held_slots(&mut self) -> Result<u64> {
        let row: Option<(u64,)> = self.first("SELECT COUNT(*) FROM holds WHERE 0 < ?", 1).await?;
        Ok(row.map_or(0, |(count,)| count))
    }

    /// Asks again, on a new connection, while the server is away.
    async fn first<T>(&mut self, sql: &str, value: u64) -> Result<Option<T>>
    where
        T: mysql_async::prelude::FromRow + Send + 'static,
    {
        let until = Instant::now() + PATIENCE;
        loop {
            let asked = timeout(ANSWER_TIME_MAX, self.ask(sql, value)).await;
            let error = match asked {
                Ok(Ok(row)) => return Ok(row),
                Ok(Err(error)) => error.into(),
                Err(_) => anyhow::anyhow!("no answer in time"),
            };
            self.conn = None;
            if until <= Instant::now() {
                return Err(error).context("the catalog's database");
            }
            sleep(RECONNECT_AFTER).await;
        }
    }

    async fn ask<T>(&mut self, sql: &str, value: u64) -> mysql_async::Result<Option<T>>
    where
        T: mysql_async::prelude::FromRow + Send + 'static,
    {
        let conn = match &mut self.conn {
            Some(conn) => conn,
            empty => empty.insert(Conn::new(self.options.clone()).await?),
        };
        conn.exec_first(sql, (value,)).await
    }
}
