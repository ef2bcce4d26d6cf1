//! Whole moves: done, aborted, reversed, paused.

use crate::world::World;
use shardline_domain::id::ShardId;
use shardline_domain::placement::transfer::{Kind, Phase, SlotState, Wish};
use shardline_router::catalog::moves::Which;
use shardline_wire::internal::MoveTask;
use std::time::Duration;

const NO_WINDOW: Duration = Duration::ZERO;
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_move_takes_every_write_along_and_leaves_nothing() {
    let mut world = World::new().await;
    let writer = world.writer(&[0, 2, 4]);
    let id = world.planned(&[0, 2, 4], NO_WINDOW).await;
    world.leader("a").await;
    let row = world.until(id, Phase::Done).await;
    writer.stop().await;
    world.check(&writer).await;
    world.check_journal(id).await;
    let pause = row.course.pause.expect("it was measured");
    assert!(pause < Duration::from_millis(1_500), "{pause:?}");
    assert!(0 < row.course.rows, "{row:?}");
    let (source, target) = (world.network.of(ShardId(0)), world.network.of(ShardId(1)));
    assert_eq!(source.row(crate::world::slot(2)).state, SlotState::Empty);
    assert_eq!(target.row(crate::world::slot(2)).state, SlotState::Owned);
}

#[tokio::test]
async fn slots_without_anything_in_them_move_all_at_once() {
    let mut world = World::new().await;
    let slots: Vec<u32> = (0..4_000).map(|number| number * 2).collect();
    let id = world.planned(&slots, NO_WINDOW).await;
    world.leader("a").await;
    let row = world.until(id, Phase::Done).await;
    assert_eq!(row.slots, 4_000);
    let owned = world.catalog.owned_slots(ShardId(1)).await.expect("an answer");
    assert_eq!(owned.len(), 8_192 + 4_000);
}

#[tokio::test]
async fn an_abort_gives_everything_back() {
    let mut world = World::new().await;
    let writer = world.writer(&[0, 2]);
    let id = world.planned(&[0, 2], NO_WINDOW).await;
    world.network.stop_at(MoveTask::Verify);
    world.leader("a").await;
    world.network.stopped.notified().await;
    world.catalog.wish(id, Wish::Abort, "anna").await.expect("it can be aborted");
    world.network.release();
    world.until(id, Phase::Aborted).await;
    writer.stop().await;
    world.check(&writer).await;
    world.check_journal(id).await;
    let held = world.catalog.locate_slot(crate::world::slot(2)).await.expect("an answer");
    let row = held.expect("it is placed").row;
    assert_eq!((row.shard, row.epoch.0), (ShardId(0), 2), "what was late for epoch 1 is refused");
    let target = world.network.of(ShardId(1));
    assert_eq!(target.row(row.slot).state, SlotState::Empty);
}

#[tokio::test]
async fn a_move_in_its_window_goes_back_with_what_was_written_since() {
    let mut world = World::new().await;
    let writer = world.writer(&[0, 2]);
    let id = world.planned(&[0, 2], HOUR).await;
    world.leader("a").await;
    world.until(id, Phase::Following).await;
    let before = writer.acked();
    world.eventually(async || (before + 50 < writer.acked()).then_some(())).await;
    world.catalog.wish(id, Wish::Reverse, "anna").await.expect("it can be reversed");
    world.until(id, Phase::Done).await;
    let back = world.row(id).await.reversed_by.expect("by another move");
    let reverse = world.until(back, Phase::Following).await;
    assert_eq!((reverse.kind, reverse.target), (Kind::Reverse, ShardId(0)));
    world.catalog.wish(back, Wish::Finish, "anna").await.expect("it can be finished");
    world.until(back, Phase::Done).await;
    writer.stop().await;
    world.check(&writer).await;
    world.check_journal(back).await;
    assert_eq!(world.catalog.holds().await.expect("an answer"), []);
}

#[tokio::test]
async fn a_paused_move_waits_and_goes_on() {
    let mut world = World::new().await;
    let writer = world.writer(&[0]);
    let id = world.planned(&[0], NO_WINDOW).await;
    world.catalog.wish(id, Wish::Pause, "anna").await.expect("it can be paused");
    world.leader("a").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.row(id).await.phase, Phase::Planned);
    world.catalog.wish(id, Wish::Proceed, "anna").await.expect("it can go on");
    world.until(id, Phase::Done).await;
    writer.stop().await;
    world.check(&writer).await;
}

#[tokio::test]
async fn moves_of_one_shard_go_one_after_another() {
    let mut world = World::new().await;
    let mut ids = Vec::new();
    for number in 0..4 {
        ids.push(world.planned(&[number * 2], NO_WINDOW).await);
    }
    world.leader("a").await;
    world
        .eventually(async || {
            let live = world.catalog.moves(Which::Live).await.expect("an answer");
            let light = [Phase::Planned, Phase::Following, Phase::Cleaning];
            let at_work = live.iter().filter(|row| !light.contains(&row.phase)).count();
            assert!(at_work <= 1, "{live:?}");
            live.is_empty().then_some(())
        })
        .await;
    for id in ids {
        assert_eq!(world.row(id).await.phase, Phase::Done);
    }
}
