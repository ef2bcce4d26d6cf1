//! Coordinators die, lead twice, and are not heard: the move ends all the same, and nothing is lost.

use crate::shard::Fate;
use crate::world::{World, slot};
use futures::future::join_all;
use shardline_domain::id::ShardId;
use shardline_domain::placement::transfer::{AbortReason, Phase};
use shardline_wire::internal::MoveTask;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// One of each phase of a move.
const TASKS: [MoveTask; 8] = [
    MoveTask::Track,
    MoveTask::Copy,
    MoveTask::Verify,
    MoveTask::Freeze,
    MoveTask::Settle,
    MoveTask::Ask,
    MoveTask::Follow,
    MoveTask::Purge,
];

async fn killed_at(task: MoveTask) {
    let mut world = World::new().await;
    let writer = world.writer(&[0, 2]);
    let id = world.planned(&[0, 2], Duration::ZERO).await;
    world.network.stop_at(task);
    let first = world.leader("a").await;
    world.network.stopped.notified().await;
    let term = first.term().expect("it leads");
    first.kill();
    // As when its lease ran out.
    world.catalog.resign(term).await.expect("an answer");
    let second = world.leader("b").await;
    world.network.release();
    world.until(id, Phase::Done).await;
    writer.stop().await;
    world.check(&writer).await;
    world.check_journal(id).await;
    assert!(second.term().is_some_and(|next| term < next), "{task:?}");
    let steps = world.catalog.journal(id).await.expect("an answer");
    // Nothing waits for a source that follows when there is no window: the first may have gone on.
    let goes_on = task == MoveTask::Follow || steps.last().is_some_and(|step| term < step.term);
    assert!(goes_on, "{task:?}: {steps:?}");
}

/// All at once: each has a world of its own, and waits most of the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_coordinator_goes_on_wherever_one_died() {
    join_all(TASKS.map(killed_at)).await;
}

/// One does not know yet that another leads: of whatever both try, one thing happens.
#[tokio::test]
async fn two_that_lead_at_once_do_no_harm() {
    let mut world = World::new().await;
    let writer = world.writer(&[0, 2, 4, 6]);
    let mut ids = Vec::new();
    for number in 0..4 {
        ids.push(world.planned(&[number * 2], Duration::ZERO).await);
    }
    let one = world.leader("a").await;
    let two = world.leader("b").await;
    let mut leads = 0;
    for _ in 0..4 {
        let leader = world
            .eventually(async || [&one, &two].into_iter().find(|leader| leader.term().is_some()))
            .await;
        leads += 1;
        world.depose(leader).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    assert_eq!(leads, 4);
    for id in &ids {
        world.until(*id, Phase::Done).await;
        world.check_journal(*id).await;
    }
    writer.stop().await;
    world.check(&writer).await;
}

/// A small generator, so that a seed repeats a run.
fn chance(seed: &mut u64, of: u64) -> bool {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33).is_multiple_of(of)
}

#[expect(clippy::print_stdout, reason = "shown when it fails: the seed repeats the run")]
async fn with_faults(seed: u64) {
    println!("seed {seed}");
    let mut world = World::new().await;
    let writer = world.writer(&[0, 2]);
    let id = world.planned(&[0, 2], Duration::ZERO).await;
    let mut state = seed;
    world.network.with_fate(move |_| {
        if chance(&mut state, 6) {
            Fate::Lost
        } else if chance(&mut state, 6) {
            Fate::AnswerLost
        } else if chance(&mut state, 6) {
            Fate::Late(Duration::from_millis(120))
        } else {
            Fate::Heard
        }
    });
    world.leader("a").await;
    for number in 0..10 {
        tokio::time::sleep(Duration::from_millis(60)).await;
        world.network.of(ShardId(number % 2)).restart();
    }
    world.until(id, Phase::Done).await;
    writer.stop().await;
    world.check(&writer).await;
    world.check_journal(id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_are_lost_and_late_and_shards_restart() {
    join_all((0..6).map(with_faults)).await;
}

#[tokio::test]
async fn writes_that_waited_too_long_go_on_at_the_source_and_the_move_is_tried_again() {
    let mut world = World::new().await;
    let writer = world.writer(&[0]);
    let id = world.planned(&[0], Duration::ZERO).await;
    world.network.stop_at(MoveTask::Settle);
    world.leader("a").await;
    world.network.stopped.notified().await;
    let before = writer.acked();
    world.eventually(async || (before + 5 < writer.acked()).then_some(())).await;
    let row = world.row(id).await;
    assert_eq!((row.phase, row.attempt.0), (Phase::Aborting, 1));
    world.network.release();
    let row = world.until(id, Phase::Done).await;
    assert_eq!(row.attempt.0, 2);
    writer.stop().await;
    world.check(&writer).await;
    world.check_journal(id).await;
}

/// What it says was found under a writer that is not the shard's any more.
#[tokio::test]
async fn a_copy_that_was_compared_under_an_earlier_writer_never_becomes_the_owners() {
    let mut world = World::new().await;
    let writer = world.writer(&[0, 2]);
    let id = world.planned(&[0, 2], Duration::ZERO).await;
    let target = world.network.of(ShardId(1));
    let term = target.term.swap(0, Ordering::SeqCst);
    world.leader("a").await;
    let row = world.until(id, Phase::Aborting).await;
    assert_eq!(row.aborted, Some(AbortReason::FrozenTooLong));
    let held = world.catalog.locate_slot(slot(2)).await.expect("an answer").expect("it is placed");
    assert_eq!(held.row.shard, ShardId(0));
    target.term.store(term, Ordering::SeqCst);
    world.until(id, Phase::Done).await;
    writer.stop().await;
    world.check(&writer).await;
    world.check_journal(id).await;
}
