//! A walk over all shards, page by page: what does not fit together, and with `--repair` what became of
//! it. The place is kept here, so any router may answer the next page, and the pace is set here.

use crate::ask::{AskError, Checks, Router};
use crate::change::by;
use crate::cli::{Cli, Fsck};
use crate::moves::SILENCE_MAX;
use crate::show::units::{count, time};
use crate::{DONE, Desk, FOUND, INTERRUPTED, show};
use serde_json::json;
use shardline_wire::internal::{
    FsckAnswer, FsckFinding, FsckPlace, FsckRequest, ListShardsRequest,
};
use std::io;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Before a page is asked for again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Findings shown in the table; all are counted, and with `--json` all are printed.
const SHOWN_MAX: usize = 200;

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) entities: u64,
    pub(crate) rows: u64,
    pub(crate) compared: u64,
    pub(crate) uncompared: u64,
    pub(crate) why: String,
    pub(crate) findings: u64,
    pub(crate) repaired: u64,
}

impl Counts {
    pub(crate) fn left(&self) -> u64 {
        self.findings - self.repaired
    }
}

pub(crate) async fn fsck(cli: &Cli, asked: &Fsck, desk: &mut Desk<'_>) -> Result<u8, AskError> {
    let router = Router::reach(cli).await?;
    let call = async |mut to: crate::ask::Questions, request| to.list_shards(request).await;
    let known = router.ask(ListShardsRequest {}, call).await?.shards;
    let shards: Vec<u32> = match asked.shard {
        Some(shard) => vec![shard],
        None => known.iter().map(|shard| shard.shard).collect(),
    };
    let all = shards.len();
    let mut walk = Walk {
        cli,
        asked,
        router: Some(router),
        counts: Counts::default(),
        shown: Vec::new(),
        drawn: false,
    };
    let began = Instant::now();
    for (done, shard) in shards.into_iter().enumerate() {
        match walk.shard(shard, (done, all), desk).await? {
            Went::On => {}
            Went::Interrupted => {
                let _ = walk.rub_out(desk);
                let _ = walk.end(began.elapsed(), desk);
                return Ok(INTERRUPTED);
            }
            Went::Unread => return Ok(DONE),
        }
    }
    let _ = walk.rub_out(desk);
    // Nobody reads: there is nobody to tell.
    let _ = walk.end(began.elapsed(), desk);
    let clean = walk.counts.left() == 0 && walk.counts.uncompared == 0;
    Ok(if clean { DONE } else { FOUND })
}

enum Went {
    On,
    Interrupted,
    /// Whoever read is gone.
    Unread,
}

struct Walk<'a> {
    cli: &'a Cli,
    asked: &'a Fsck,
    router: Option<Router>,
    counts: Counts,
    shown: Vec<FsckFinding>,
    /// A line of progress stands on the terminal.
    drawn: bool,
}

impl Walk<'_> {
    async fn shard(
        &mut self,
        shard: u32,
        of: (usize, usize),
        desk: &mut Desk<'_>,
    ) -> Result<Went, AskError> {
        let mut place = None;
        let mut heard = Instant::now();
        loop {
            let began = Instant::now();
            let paged = tokio::select! {
                paged = self.page(shard, place) => paged,
                () = &mut desk.interrupted => return Ok(Went::Interrupted),
            };
            let (next, pause) = match paged {
                Ok(answer) => {
                    heard = Instant::now();
                    let next = answer.next;
                    let pause = self.pause(&answer, began.elapsed());
                    if self.take(answer, shard, of, desk).is_err() {
                        return Ok(Went::Unread);
                    }
                    match next {
                        None => return Ok(Went::On),
                        next => (next, pause),
                    }
                }
                Err(error) if error.may_pass() && heard.elapsed() < SILENCE_MAX => {
                    // Another router may answer, or another process write the shard.
                    self.router = None;
                    (place, ASK_AGAIN_AFTER)
                }
                Err(error) => return Err(error),
            };
            place = next;
            tokio::select! {
                () = sleep(pause) => {}
                () = &mut desk.interrupted => return Ok(Went::Interrupted),
            }
        }
    }

    async fn page(&mut self, shard: u32, place: Option<FsckPlace>) -> Result<FsckAnswer, AskError> {
        let router = match &self.router {
            Some(router) => router,
            None => self.router.insert(Router::reach(self.cli).await?),
        };
        let request = FsckRequest {
            shard,
            place,
            slot: self.asked.slot,
            deep: self.asked.deep,
            repair: self.asked.repair,
            by: by(self.cli),
        };
        let call = async |mut to: Checks, request| to.fsck(request).await;
        router.check(request, call).await
    }

    /// The cluster has as long for itself as the page took, and no more rows are read in a second than
    /// was asked.
    fn pause(&self, answer: &FsckAnswer, took: Duration) -> Duration {
        let rows = answer.rows + answer.entities + answer.compared;
        let due = Duration::from_millis(rows * 1_000 / u64::from(self.asked.rate));
        due.saturating_sub(took).max(took.min(Duration::from_millis(100)))
    }

    fn take(
        &mut self,
        answer: FsckAnswer,
        shard: u32,
        of: (usize, usize),
        desk: &mut Desk<'_>,
    ) -> io::Result<()> {
        let counts = &mut self.counts;
        counts.entities += answer.entities;
        counts.rows += answer.rows;
        counts.compared += answer.compared;
        counts.uncompared += answer.uncompared;
        if !answer.why.is_empty() {
            counts.why = answer.why;
        }
        for finding in answer.findings {
            counts.findings += 1;
            counts.repaired += u64::from(finding.state == "repaired");
            if self.cli.json {
                writeln!(desk.out, "{}", show::finding(&finding))?;
            } else if self.shown.len() < SHOWN_MAX {
                self.shown.push(finding);
            }
        }
        if desk.is_terminal && !self.cli.json {
            self.rub_out(desk)?;
            let (done, all) = of;
            let all = all.max(1) as u64 * 1_000_000;
            let done = (done as u64 * 1_000_000 + u64::from(answer.millionths)) * 1_000 / all;
            let counts = &self.counts;
            writeln!(
                desk.out,
                "{:>3}.{} %  shard {shard}, {} entities, {} rows, {} compared, {} findings",
                done / 10,
                done % 10,
                count(counts.entities),
                count(counts.rows),
                count(counts.compared),
                count(counts.findings),
            )?;
            self.drawn = true;
        }
        desk.out.flush()
    }

    fn rub_out(&mut self, desk: &mut Desk<'_>) -> io::Result<()> {
        match std::mem::take(&mut self.drawn) {
            true => write!(desk.out, "\x1b[1A\x1b[J"),
            false => Ok(()),
        }
    }

    fn end(&mut self, took: Duration, desk: &mut Desk<'_>) -> io::Result<()> {
        let counts = &self.counts;
        if self.cli.json {
            let summary = json!({
                "event": "summary",
                "entities": counts.entities,
                "rows": counts.rows,
                "compared": counts.compared,
                "uncompared": counts.uncompared,
                "why": show::some(&counts.why),
                "findings": counts.findings,
                "repaired": counts.repaired,
                "left": counts.left(),
                "seconds": took.as_secs(),
            });
            return writeln!(desk.out, "{summary}");
        }
        write!(desk.out, "{}", show::findings(&self.shown))?;
        let more = counts.findings - self.shown.len() as u64;
        if 0 < more {
            writeln!(desk.out, "and {} more; --json prints all", count(more))?;
        }
        if 0 < counts.uncompared {
            let uncompared = count(counts.uncompared);
            writeln!(desk.out, "{uncompared} could not be compared: {}", counts.why)?;
        }
        writeln!(
            desk.out,
            "{} entities, {} rows, {} compared in {}: {} found, {} repaired, {} left",
            count(counts.entities),
            count(counts.rows),
            count(counts.compared),
            time(took),
            count(counts.findings),
            count(counts.repaired),
            count(counts.left()),
        )
    }
}
