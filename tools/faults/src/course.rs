//! The course of one cell: people talk, slots move, the fault strikes, the move ends, all is judged.

use crate::cell::{Cell, Fault, Side};
use crate::cluster::Cluster;
use crate::links::Links;
use crate::operator::Operator;
use crate::people::{Habits, People, Played, Recording};
use crate::strike::{Stage, Strike};
use crate::watch::Watch;
use anyhow::{Context, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use shardline_client::Http;
use shardline_domain::placement::transfer::Phase;
use shardline_wire::internal::MoveInfo;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// People: enough that some two of them have their chat in any forty slots.
const PEOPLE: usize = 72;
const CHATS_MOVING: usize = 6;
const CHATS_OTHER: usize = 3;
/// Weights of the second shard, in turn: some forty slots go there and back.
const WEIGHTS: [u32; 2] = [100, 101];
/// After everything was mended, a move ends within this. Seconds where nothing else runs; on a machine
/// with much else to do rounds of copying are slow to come close, and freezes do not fit their time.
const END_MAX: Duration = Duration::from_secs(300);
/// Until the phase comes: moves before it go first, and attempts may fail by themselves.
const PHASE_MAX: Duration = Duration::from_secs(300);
const MOVE_MADE_MAX: Duration = Duration::from_secs(30);
/// Rebalances without a fault, until slots are to move as a cell needs it.
const TURNS_MAX: u32 = 6;
const PAUSE_MS: std::ops::Range<u64> = 2_000..5_000;
const LOOK: Duration = Duration::from_millis(100);

pub struct Field {
    cluster: Cluster,
    links: Arc<Links>,
    operator: Operator,
    people: People,
    watch: Watch,
    recordings: PathBuf,
    random: StdRng,
    acts: u32,
}

/// What became of a cell, over all its tries.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub cell: Cell,
    pub tries: u32,
    /// How often the move was still in the phase after the strike.
    pub hits: u32,
    /// How the move that was hit ended.
    pub ended: String,
    /// From the mending to its end.
    pub ended_after: Duration,
    pub longest_moving: Duration,
    pub longest_other: Duration,
    pub sends: usize,
    pub failed: u64,
    pub violations: u64,
    pub note: String,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { cell, tries, hits, ended, sends, violations, note, .. } = self;
        let longest = self.longest_moving.as_secs_f64();
        write!(f, "{cell}: hit {hits} in {tries}, {ended}, longest wait {longest:.1} s, ")?;
        write!(f, "{sends} sends, {violations} violations; {note}")
    }
}

/// What one try brought.
struct Try {
    hit: bool,
    ended: String,
    ended_after: Duration,
    note: String,
    played: Played,
}

impl Field {
    /// `cluster` runs over `links`. `recordings` is a folder for what clients saw.
    pub async fn enter(
        cluster: Cluster,
        links: Arc<Links>,
        recordings: PathBuf,
        seed: u64,
    ) -> Result<Field> {
        std::fs::create_dir_all(&recordings)?;
        let people =
            People::gather(Http::new(cluster.servers()?)?, PEOPLE, Habits::Everything).await?;
        let operator = Operator::of(&cluster)?;
        let watch = Watch::new(&cluster.database_url()?)?;
        let random = StdRng::seed_from_u64(seed);
        Ok(Field { cluster, links, operator, people, watch, recordings, random, acts: 0 })
    }

    /// Tries until the fault hit: a phase of some milliseconds is missed now and then. An error:
    /// something did not come back, did not end, or is wrong.
    pub async fn play(&mut self, cell: Cell, tries: u32) -> Result<Outcome> {
        let mut outcome = Outcome {
            cell,
            tries: 0,
            hits: 0,
            ended: String::new(),
            ended_after: Duration::ZERO,
            longest_moving: Duration::ZERO,
            longest_other: Duration::ZERO,
            sends: 0,
            failed: 0,
            violations: 0,
            note: String::new(),
        };
        while outcome.hits == 0 && outcome.tries < tries {
            let tried = self.attempt(cell).await.with_context(|| cell.to_string())?;
            outcome.tries += 1;
            let played = &tried.played;
            outcome.sends += played.sends;
            outcome.failed += played.failed;
            outcome.violations +=
                played.verdict.findings.iter().map(|finding| finding.violations).sum::<u64>();
            if tried.hit {
                outcome.hits += 1;
                (outcome.ended, outcome.ended_after) = (tried.ended, tried.ended_after);
                (outcome.longest_moving, outcome.longest_other) =
                    (played.longest_moving, played.longest_other);
                outcome.note = tried.note;
            }
            if !played.verdict.holds() {
                bail!("{cell}: {}\n{}", played.recording, played.verdict);
            }
            played.recording.remove()?;
        }
        Ok(outcome)
    }

    async fn attempt(&mut self, cell: Cell) -> Result<Try> {
        let (stage, slots) = self.stage(cell.fault).await?;
        self.acts += 1;
        let recording = self.recordings.join(format!("act-{}", self.acts));
        self.people.habits = match cell.fault {
            Fault::Redis => Habits::AllButCursors,
            _ => Habits::Everything,
        };
        let act = self
            .people
            .begin(&slots, CHATS_MOVING, CHATS_OTHER, Recording::File(recording))
            .await?;
        let struck = self.strike(cell, &stage, &act.busy_slots()).await;
        // Also after an error: whoever looks for its reason wants the recording whole.
        let played = self.people.end(act).await;
        let (hit, ended, ended_after, note) = struck?;
        let played = played?;
        self.cluster.audit()?;
        ensure!(self.watch.held_slots().await? == 0, "a move that ended still holds slots");
        Ok(Try { hit, ended, ended_after, note, played })
    }

    /// Sets the weights so that slots are to move, and says which, from where, to where.
    async fn stage(&mut self, fault: Fault) -> Result<(Stage, BTreeSet<u16>)> {
        // Of the two shards, the second has a database server without the catalog.
        let wanted = match fault {
            Fault::Database(Side::Source) => Some(true),
            Fault::Database(Side::Target) => Some(false),
            _ => None,
        };
        for _ in 0..TURNS_MAX {
            let back = self.weigh().await?;
            let (source, target) = if back { (1, 0) } else { (0, 1) };
            let plan = self.operator.plan().await?;
            let slots = plan.moves.iter().flat_map(|planned| &planned.slots);
            let slots: BTreeSet<u16> = slots.filter_map(|slot| u16::try_from(*slot).ok()).collect();
            // After a move that was given up, only some of the slots have to go back.
            let fits = wanted.is_none_or(|wanted| wanted == back) && self.people.talk_in(&slots);
            if fits {
                let writers = self.writers().await?;
                let coordinator = self.operator.coordinator().await?;
                return Ok((Stage { coordinator, writers, source, target }, slots));
            }
            let rebalance = self.operator.rebalance().await?;
            self.over(rebalance).await?;
        }
        bail!("no slots come up in which somebody talks")
    }

    /// Of two shards, the one with more slots is to give some; whether that is the second.
    async fn weigh(&self) -> Result<bool> {
        let shards = self.operator.shards().await?;
        let slots = |shard| shards.iter().find(|one| one.shard == shard).map_or(0, |one| one.slots);
        let back = slots(0) < slots(1);
        self.operator.reweight(1, WEIGHTS[usize::from(!back)]).await?;
        Ok(back)
    }

    /// Once every shard has one: one that was just started takes a moment.
    async fn writers(&self) -> Result<BTreeMap<u32, String>> {
        let until = Instant::now() + END_MAX;
        loop {
            let shards = self.operator.shards().await?;
            if shards.iter().all(|info| !info.writer.is_empty()) {
                return Ok(shards.into_iter().map(|info| (info.shard, info.writer)).collect());
            }
            ensure!(Instant::now() < until, "a shard has no writer");
            sleep(LOOK).await;
        }
    }

    /// Moves, strikes, mends, and waits for the end.
    async fn strike(
        &mut self,
        cell: Cell,
        stage: &Stage,
        slots: &[u16],
    ) -> Result<(bool, String, Duration, String)> {
        let strike = Strike::prepare(&self.cluster, cell, stage)?;
        let rebalance = self.operator.rebalance().await?;
        let id = self.made(rebalance, slots).await?;
        if cell.phase == Phase::Aborting {
            self.watch.until(id, Phase::Copying, PHASE_MAX).await?;
            self.operator.abort(id).await?;
        }
        let before = self.watch.until(id, cell.phase, PHASE_MAX).await?;
        let mut hit = false;
        let mut note = String::new();
        if let Some(before) = before {
            strike.strike(&self.cluster, &self.links)?;
            let after = match cell.fault {
                // It is asked when it is back.
                Fault::Catalog => None,
                _ => Some(self.watch.stand(id).await?),
            };
            let pause = Duration::from_millis(self.random.random_range(PAUSE_MS));
            let mending = strike.mend(&self.cluster, &self.links, &self.operator, pause);
            let (mended, later) = tokio::join!(mending, self.watch.stand(id));
            let mended = mended.context("what was hit does not come back")?;
            note = mended.note;
            hit = mended.hit.unwrap_or(after.map_or(later?, |after| after) == before);
        }
        let mended = Instant::now();
        let ended = self.end(id, rebalance).await?;
        Ok((hit, ended, mended.elapsed(), note))
    }

    async fn made(&mut self, rebalance: u64, slots: &[u16]) -> Result<u64> {
        let until = Instant::now() + MOVE_MADE_MAX;
        loop {
            if let Some(id) = self.watch.move_of(rebalance, slots).await? {
                return Ok(id);
            }
            ensure!(Instant::now() < until, "rebalance {rebalance} makes no move");
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// How the move did, once all of its rebalance is over.
    async fn end(&mut self, id: u64, rebalance: u64) -> Result<String> {
        let moves = match self.over(rebalance).await {
            Ok(moves) => moves,
            Err(error) => {
                let shown = self.operator.show(id).await?;
                return Err(error.context(format!("{shown:#?}")));
            }
        };
        let info = moves.into_iter().find(|info| info.r#move == id).context("it is listed")?;
        Ok(match (info.phase.as_str(), info.attempt) {
            ("aborted", _) => format!("aborted: {}", info.aborted),
            (phase, 1) => phase.to_owned(),
            (phase, attempt) => format!("{phase}, attempt {attempt}"),
        })
    }

    /// Waits until the rebalance and all its moves ended.
    async fn over(&self, rebalance: u64) -> Result<Vec<MoveInfo>> {
        let until = Instant::now() + END_MAX;
        loop {
            let list = self.operator.moves(Some(rebalance)).await?;
            let runs = list.rebalance.as_ref().is_some_and(|newest| newest.state == "running");
            if !runs && list.moves.iter().all(|info| info.has_ended) {
                return Ok(list.moves);
            }
            ensure!(Instant::now() < until, "not over after {END_MAX:?}: {:?}", list.rebalance);
            sleep(LOOK).await;
        }
    }
}
