//! What an operator changes: shards come and go while slots move, and bad input changes nothing.

use crate::shard::{TestShard, address};
use crate::world::{Leader, World};
use shardline_domain::id::ShardId;
use shardline_domain::placement::transfer::Phase;
use shardline_router::catalog::operations::Keep;
use shardline_router::operations::Operations;
use shardline_wire::admin::Operations as _;
use shardline_wire::internal::{
    AddShardRequest, DrainShardRequest, ListChangesRequest, ListMovesRequest, MoveTask,
    PlanRequest, RebalanceRequest, RemoveShardRequest, ReweightShardRequest, SetThrottleRequest,
    ShardDescription, ShowMoveRequest, StopRebalanceRequest, WishMoveRequest,
};
use shardline_wire::refusal::{Code, Refusal};
use std::time::Duration;

const BY: &str = "anna@laptop";

struct Place {
    world: World,
    leader: Leader,
    operations: Operations,
}

impl Place {
    async fn new() -> Place {
        let mut world = World::new().await;
        let leader = world.leader("a").await;
        let operations = world.operations(&leader);
        Place { world, leader, operations }
    }

    async fn leads(&self) {
        self.world.eventually(async || self.leader.term()).await;
    }

    async fn add(&self, at: &str) -> Result<String, Refusal> {
        let (address, by) = (at.to_owned(), BY.to_owned());
        let changed = self.operations.add_shard(AddShardRequest { address, weight: 0, by });
        changed.await.map(|changed| changed.state)
    }

    /// Shard 2 joins, and is active.
    async fn with_third(&self) {
        self.world.shard(2);
        assert_eq!(self.add(&address(2)).await.expect("it may join"), "joining");
        self.world.has_writer(2).await;
        self.world
            .eventually(async || {
                let rows = self.world.catalog.shards().await.expect("an answer");
                (rows[2].state.name() == "active").then_some(())
            })
            .await;
    }

    async fn drain(&self, shard: u32) -> Result<String, Refusal> {
        let request = DrainShardRequest { shard, undo: false, by: BY.to_owned() };
        self.operations.drain_shard(request).await.map(|changed| changed.state)
    }

    async fn remove(&self, shard: u32) -> Result<String, Refusal> {
        let request = RemoveShardRequest { shard, by: BY.to_owned() };
        self.operations.remove_shard(request).await.map(|changed| changed.state)
    }

    async fn rebalance(&self) -> Result<Option<u64>, Refusal> {
        let request = RebalanceRequest { window_ms: Some(0), digest: String::new(), by: BY.into() };
        let answer = self.operations.rebalance(request).await?;
        Ok(answer.rebalance.map(|begun| begun.rebalance))
    }

    async fn rebalanced(&self) {
        let id = self.rebalance().await.expect("nothing runs").expect("there is much to do");
        let state = self.world.eventually(async || {
            let newest = self.world.catalog.rebalance().await.expect("an answer").expect("begun");
            assert_eq!(newest.id, id);
            (newest.state.name() != "running").then_some(newest)
        });
        let ended = state.await;
        assert_eq!(ended.state.name(), "done", "{ended:?}");
    }

    async fn counts(&self) -> Vec<usize> {
        let mut counts = Vec::new();
        for row in self.world.catalog.shards().await.expect("an answer") {
            counts.push(self.world.catalog.owned_slots(row.shard).await.expect("an answer").len());
        }
        counts
    }

    async fn wish(&self, id: u64, wish: &str) -> Result<String, Refusal> {
        let (wish, by) = (wish.to_owned(), BY.to_owned());
        let wished = self.operations.wish_move(WishMoveRequest { r#move: id, wish, by });
        wished.await.map(|info| info.wish)
    }
}

fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>, code: Code, words: &str) {
    let refusal = result.expect_err("refused");
    assert_eq!(refusal.code(), code, "{refusal}");
    assert!(refusal.message.contains(words), "{refusal}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_joins_takes_its_share_gives_it_back_and_goes() {
    let mut place = Place::new().await;
    let slots: Vec<u32> = (0..300).collect();
    let writer = place.world.writer(&slots);
    place.leads().await;
    place.with_third().await;
    let plan = place.operations.plan(PlanRequest::default()).await.expect("a plan");
    assert!(plan.moves.iter().all(|planned| planned.target == 2), "only to the new one");
    assert_eq!(plan.moves.iter().map(|planned| planned.slots.len()).sum::<usize>(), 5_461);
    assert!(plan.moves.iter().all(|planned| 0 < planned.seconds && 0 < planned.pause_ms));
    assert_eq!(plan.shards[2].slots_then, 5_461);
    place.rebalanced().await;
    assert_eq!(place.counts().await.iter().sum::<usize>(), 16_384);
    assert!(place.counts().await.iter().all(|count| (5_461..=5_462).contains(count)));
    assert_eq!(place.rebalance().await.expect("an answer"), None, "nothing is left to do");
    refused(place.remove(2).await, Code::Conflict, "still has 5461 slots");

    assert_eq!(place.drain(2).await.expect("an answer"), "draining");
    place.rebalanced().await;
    assert_eq!(place.counts().await, [8_192, 8_192, 0]);
    assert_eq!(place.remove(2).await.expect("it is empty"), "removed");
    writer.stop().await;
    place.world.check(&writer).await;

    let list = ListMovesRequest { all: true, rebalance: None };
    let moves = place.operations.list_moves(list).await.expect("an answer");
    assert!(moves.moves.iter().all(|info| info.phase == "done" && info.has_ended));
    for info in &moves.moves {
        assert!(info.pause_ms.is_some_and(|ms| ms < 1_500), "{info:?}");
    }
    assert_eq!(
        (moves.coordinator.as_str(), moves.rebalance.map(|last| last.state)),
        ("a", Some("done".into()))
    );
    let shown = ShowMoveRequest { r#move: moves.moves[0].r#move };
    let shown = place.operations.show_move(shown).await.expect("an answer");
    assert_eq!(shown.journal.len(), 12);
    assert!(!shown.slots.is_empty());
    let changes = place.operations.list_changes(ListChangesRequest::default()).await;
    let changes = changes.expect("an answer").changes;
    assert_eq!((changes[0].by.as_str(), changes[0].what.as_str()), (BY, "shard 2 is removed"));
}

#[tokio::test]
async fn a_shard_that_does_not_fit_may_not_join() {
    let place = Place::new().await;
    refused(place.add("").await, Code::BadRequest, "host:8121");
    refused(place.add("nobody:1").await, Code::Conflict, "no shard-node answers at nobody:1");
    refused(place.add(&address(1)).await, Code::Conflict, "already in the cluster");
    let new = place.world.shard(2);
    let good = new.description.lock().clone();
    let wrong = |shard: &TestShard, change: &dyn Fn(&mut ShardDescription)| {
        let mut described = good.clone();
        change(&mut described);
        *shard.description.lock() = described;
    };
    for (change, words) in [
        (&(|of: &mut ShardDescription| of.schema = 13) as &dyn Fn(&mut _), "schema version 13"),
        (&|of: &mut ShardDescription| of.foreign = true, "another cluster"),
        (&|of: &mut ShardDescription| of.partitions = 16, "16 partitions"),
        (&|of: &mut ShardDescription| of.writes = true, "serves another cluster"),
        (&|of: &mut ShardDescription| of.shard = 1, "already in the cluster"),
    ] {
        wrong(&new, change);
        refused(place.add(&address(2)).await, Code::Conflict, words);
    }
    assert_eq!(place.world.catalog.shards().await.expect("an answer").len(), 2);
    assert_eq!(place.world.catalog.changes(9).await.expect("an answer"), []);
    wrong(&new, &|_| ());
    assert_eq!(place.add(&address(2)).await.expect("now it fits"), "joining");
    assert_eq!(place.add(&address(2)).await.expect("the answer was lost"), "joining");
    assert_eq!(place.world.catalog.shards().await.expect("an answer")[2].weight, 100);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let place = Place::new().await;
    place.leads().await;
    let weight = |shard, weight| {
        let by = BY.to_owned();
        place.operations.reweight_shard(ReweightShardRequest { shard, weight, by })
    };
    refused(weight(0, 0).await, Code::BadRequest, "above 0");
    refused(weight(7, 5).await, Code::NotFound, "no shard 7");
    refused(place.drain(7).await, Code::NotFound, "no shard 7");
    refused(place.wish(9, "pause").await, Code::NotFound, "no move 9");
    let id = place.world.planned(&[0], Duration::from_secs(60)).await;
    assert_eq!(place.drain(1).await.expect("an answer"), "draining");
    refused(place.drain(0).await, Code::Conflict, "the last one");
    refused(place.remove(0).await, Code::Conflict, "the last one");
    refused(place.wish(id.0, "hurry").await, Code::BadRequest, "one of proceed");
    let by = "x".repeat(300);
    let throttle = SetThrottleRequest { bytes_per_second: 1, by };
    refused(place.operations.set_throttle(throttle).await, Code::BadRequest, "300 bytes");
    let throttle = SetThrottleRequest { bytes_per_second: u64::MAX, by: BY.to_owned() };
    refused(place.operations.set_throttle(throttle).await, Code::BadRequest, "0 is no limit");
    let window = PlanRequest { window_ms: Some(u64::MAX) };
    refused(place.operations.plan(window).await, Code::BadRequest, "at most 7 days");
    let stop = StopRebalanceRequest { by: BY.to_owned() };
    refused(place.operations.stop_rebalance(stop).await, Code::NotFound, "no rebalance");
    let changes = place.world.catalog.changes(9).await.expect("an answer");
    assert_eq!(changes.len(), 1, "only the shard that drains: {changes:?}");
}

#[tokio::test]
async fn after_the_flip_a_move_is_reversed_not_aborted() {
    let place = Place::new().await;
    let id = place.world.planned(&[0], Duration::from_secs(3600)).await;
    place.world.until(id, Phase::Following).await;
    refused(place.wish(id.0, "abort").await, Code::Conflict, "reverse it");
    assert_eq!(place.wish(id.0, "reverse").await.expect("it can"), "reverse");
    place.world.until(id, Phase::Done).await;
    refused(place.wish(id.0, "finish").await, Code::Conflict, "ended");
}

#[tokio::test]
async fn one_rebalance_runs_and_can_be_stopped() {
    let mut place = Place::new().await;
    place.leads().await;
    place.with_third().await;
    let writer = place.world.writer(&[0, 1, 2, 3]);
    place.world.network.stop_at(MoveTask::Copy);
    let digest = "0000000000000000".to_owned();
    let other = RebalanceRequest { window_ms: None, digest, by: BY.to_owned() };
    refused(place.operations.rebalance(other).await, Code::Conflict, "another now");
    assert!(place.rebalance().await.expect("nothing runs").is_some());
    place.world.network.stopped.notified().await;
    refused(place.rebalance().await, Code::Conflict, "is running");
    let stop = StopRebalanceRequest { by: BY.to_owned() };
    let stopped = place.operations.stop_rebalance(stop).await.expect("it runs");
    assert_eq!(stopped.state, "stopped");
    place.world.network.release();
    place
        .world
        .eventually(async || {
            let held = place.world.catalog.holds().await.expect("an answer");
            held.is_empty().then_some(())
        })
        .await;
    assert_eq!(place.counts().await, [8_192, 8_192, 0]);
    writer.stop().await;
    place.world.check(&writer).await;
}

#[tokio::test]
async fn a_move_to_a_shard_that_changed_since_is_given_up_and_so_is_the_rebalance() {
    let place = Place::new().await;
    place.leads().await;
    place.with_third().await;
    place.world.network.of(ShardId(2)).description.lock().schema = 15;
    assert!(place.rebalance().await.expect("nothing runs").is_some());
    let ended = place
        .world
        .eventually(async || {
            let newest = place.world.catalog.rebalance().await.expect("an answer").expect("begun");
            (newest.state.name() != "running").then_some(newest)
        })
        .await;
    assert_eq!(ended.state.name(), "failed");
    assert!(ended.note.contains("unfit") && ended.note.contains("shard 2 has 15"), "{ended:?}");
}

#[tokio::test]
async fn a_move_that_is_kept_no_more_is_told_from_one_that_never_was() {
    let place = Place::new().await;
    place.leads().await;
    for slots in [0, 2] {
        let id = place.world.planned(&[slots], Duration::ZERO).await;
        place.world.until(id, Phase::Done).await;
    }
    let keep = Keep { moves: 1, ..Keep::LIMITS };
    let term = place.leader.term().expect("it leads");
    assert_eq!(place.world.catalog.trim(term, &keep, 10).await.expect("an answer"), 1);
    let shown = async |id| place.operations.show_move(ShowMoveRequest { r#move: id }).await;
    let gone = shown(1).await.expect_err("it was deleted");
    assert_eq!(gone.code(), Code::NotFound);
    assert!(gone.message.contains("move 1 ended and is kept no more"), "{gone}");
    let never = shown(9).await.expect_err("there was none");
    assert_eq!(never.message, "there is no move 9");
    assert!(place.wish(1, "finish").await.is_err_and(|refusal| refusal.code() == Code::NotFound));
    shown(2).await.expect("it is kept");
    let plan = place.operations.plan(PlanRequest::default()).await.expect("an answer");
    assert_eq!(plan.pace.expect("it says").moves, 0, "nothing was measured yet");
}
