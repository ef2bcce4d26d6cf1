//! One run: people talk while slots move and things go wrong; then nothing goes wrong any more, and all of
//! it must come to rest with everything where it belongs.

use crate::cluster::{CONN_NODES, Ground, NEW_SHARD, NEW_SHARD_NODE, ROUTERS, SHARDS, trust};
use crate::nemesis::{self, Nemesis};
use crate::network::{Network, address};
use anyhow::{Context, Result, anyhow, bail, ensure};
use rand::RngExt;
use sha2::{Digest, Sha256};
use shardline_client::Http;
use shardline_faults::operator::Operator;
use shardline_faults::people::{Habits, People, Played, Recording};
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use turmoil::{Builder, Sim};

const PEOPLE: usize = 8;
/// Chats of the first half of all slots, and of the other.
const CHATS: usize = 3;
/// After peace, people go on for so long.
const AFTERWARDS: Duration = Duration::from_secs(10);
/// Between what the operator does.
const OPERATOR_PAUSE_MS: std::ops::Range<u64> = 500..4_000;
/// All of it is over by then, or it does not converge.
const RUN_MAX: Duration = Duration::from_secs(15 * 60);
/// Whatever was under way when peace came.
const REST_MAX: Duration = Duration::from_secs(120);

/// What a run came to.
pub struct Outcome {
    pub played: Played,
    pub faults: usize,
    pub moves: usize,
    pub lasted: Duration,
    /// Of everything that clients saw and of every fault, in order: the same for the same seed.
    pub digest: String,
    pub deeds: String,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stage {
    Rising,
    Talking,
    Peace,
    /// Nobody does anything any more.
    Ended,
}

/// # Errors
/// If it does not come to rest, or something of it could not be done at all.
pub fn run(seed: u64, storm: Duration) -> Result<Outcome> {
    let ground = Ground::new()?;
    let mut sim = Builder::new()
        .rng_seed(seed)
        .enable_random_order()
        .tick_duration(Duration::from_millis(1))
        .simulation_duration(RUN_MAX)
        .min_message_latency(Duration::ZERO)
        .max_message_latency(Duration::from_millis(4))
        .tcp_capacity(64 * 1024)
        .build();
    ground.put_up(&mut sim);
    let stage = Arc::new(watch::Sender::new(Stage::Rising));
    let played = Arc::<Mutex<Option<Played>>>::default();
    let moves = Arc::<Mutex<usize>>::default();
    sim.client("people", carefully(talk(seed, stage.clone(), played.clone())));
    sim.client("operator", carefully(operate(stage.clone(), moves.clone())));

    let mut nemesis = None::<Nemesis>;
    let mut peace_at = Duration::MAX;
    loop {
        let is_over = step(&mut sim)?;
        let now = sim.elapsed();
        let is = *stage.borrow();
        if nemesis.is_none() && is == Stage::Talking {
            nemesis = Some(Nemesis::plan(seed, now, storm));
            peace_at = now + storm;
        }
        if let Some(nemesis) = &mut nemesis {
            nemesis.act(&mut sim, &ground);
            if is == Stage::Talking && peace_at <= now {
                nemesis.make_peace(&mut sim, &ground);
                stage.send_replace(Stage::Peace);
            }
        }
        if is_over {
            break;
        }
    }
    let played = played.lock().map_err(|_| anyhow!("people panicked"))?.take();
    let played = played.context("nobody talked")?;
    let moves = *moves.lock().map_err(|_| anyhow!("the operator panicked"))?;
    let mut deeds = String::new();
    let done = nemesis.map_or(Vec::new(), |nemesis| nemesis.done);
    for (at, deed) in &done {
        writeln!(deeds, "{:.3} {deed:?}", at.as_secs_f64())?;
    }
    let mut hash = Sha256::new();
    hash.update(&deeds);
    if let Recording::Memory(text) = &played.recording {
        hash.update(text);
    }
    let digest = hash.finalize().iter().fold(String::new(), |mut digest, byte| {
        // A string takes everything.
        let _ = write!(digest, "{byte:02x}");
        digest
    });
    Ok(Outcome { played, faults: done.len(), moves, lasted: sim.elapsed(), digest, deeds })
}

fn step(sim: &mut Sim<'_>) -> Result<bool> {
    let now = sim.elapsed();
    sim.step().map_err(|error| anyhow!("at {:.3} s: {error}", now.as_secs_f64()))
}

async fn carefully(client: impl Future<Output = Result<()>>) -> turmoil::Result {
    client.await.map_err(|error| format!("{error:#}").into())
}

async fn talk(
    seed: u64,
    stage: Arc<watch::Sender<Stage>>,
    played: Arc<Mutex<Option<Played>>>,
) -> Result<()> {
    let servers = CONN_NODES.map(|host| format!("http://{}", address(host))).to_vec();
    let http = Http::over(Arc::new(Network), servers)?;
    let habits = if nemesis::hits_redis(seed) { Habits::AllButCursors } else { Habits::Everything };
    let people = People::gather(http, PEOPLE, habits).await?;
    let half = (0..8_192).collect();
    let act = people.begin(&half, CHATS, CHATS, Recording::Memory(Vec::new())).await?;
    stage.send_replace(Stage::Talking);
    stage.subscribe().wait_for(|stage| *stage == Stage::Peace).await?;
    sleep(AFTERWARDS).await;
    let outcome = people.end(act).await?;
    ensure!(outcome.settled.is_some(), "somebody never saw what was said");
    *played.lock().map_err(|_| anyhow!("nobody else panics"))? = Some(outcome);
    stage.send_replace(Stage::Ended);
    Ok(())
}

/// Adds a shard, drains and removes it, changes weights and rebalances, for as long as things go wrong. In
/// peace all moves end, and in the end what the shards and the catalog say fits together.
async fn operate(stage: Arc<watch::Sender<Stage>>, moves: Arc<Mutex<usize>>) -> Result<()> {
    let operator = Operator::new(&ROUTERS.map(address), trust()?)?;
    let mut is = stage.subscribe();
    is.wait_for(|stage| *stage != Stage::Rising).await?;
    while *is.borrow() == Stage::Talking {
        let pause = rand::rng().random_range(OPERATOR_PAUSE_MS);
        sleep(Duration::from_millis(pause)).await;
        let changed = change(&operator).await;
        let began = operator.rebalance().await;
        tracing::info!(?changed, ?began, "the operator");
    }
    come_to_rest(&operator, &moves).await?;
    // People end first: what they did last is on its way to other shards.
    is.wait_for(|stage| *stage == Stage::Ended).await?;
    let until = Instant::now() + REST_MAX;
    loop {
        let found = operator.findings().await?;
        if found.is_empty() {
            return Ok(());
        }
        if until < Instant::now() {
            bail!("the shards disagree: {found:#?}");
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// What is not possible now is refused; what came of it is judged in the end.
async fn change(operator: &Operator) -> Result<()> {
    let (which, shard, weight) = {
        let mut random = rand::rng();
        (random.random_range(0..9), random.random_range(0..SHARDS), random.random_range(6..9))
    };
    match which {
        0 | 1 => operator.add_shard(&address(NEW_SHARD_NODE)).await,
        2 => operator.drain_shard(NEW_SHARD, false).await,
        3 => operator.drain_shard(NEW_SHARD, true).await,
        // Once it is empty. Its process stays, and may be asked to join again.
        4 => Ok(operator.remove_shard(NEW_SHARD).await?),
        _ => operator.reweight(shard, weight).await,
    }
}

async fn come_to_rest(operator: &Operator, moves: &Mutex<usize>) -> Result<()> {
    let until = Instant::now() + REST_MAX;
    loop {
        let list = operator.moves(None).await?;
        let runs = list.rebalance.as_ref().is_some_and(|newest| newest.state == "running");
        if !runs && list.moves.iter().all(|info| info.has_ended) {
            *moves.lock().map_err(|_| anyhow!("nobody else panics"))? = list.moves.len();
            return Ok(());
        }
        if until < Instant::now() {
            bail!("moves do not end: {:?}", list.rebalance);
        }
        sleep(Duration::from_millis(500)).await;
    }
}
