//! A side of a move that goes away in the middle of it, and orders from before.

use crate::driver::Driver;
use crate::people::People;
use crate::world::World;
use shardline_domain::placement::transfer::{Attempt, Phase, Task};
use shardline_wire::refusal::Code;
use std::time::Duration;

const PHASES: [Phase; 8] = [
    Phase::Copying,
    Phase::CatchingUp,
    Phase::Verifying,
    Phase::Ready,
    Phase::Freezing,
    Phase::Frozen,
    Phase::Flipped,
    Phase::Cleaning,
];

async fn check(shard: u32, phase: Phase) {
    let world = World::start().await;
    let mut people = People::meet(&world, 2, 3).await;
    people.write("on");
    let slots = people.slots();
    let mut driver = Driver::new(&world);
    driver.plan(&slots, 1, Duration::ZERO);
    driver.until(phase).await;
    world.crash(shard).await;
    driver.step().await;
    world.start_shard(shard).await;
    driver.until(Phase::Done).await;
    people.rest().await;
    people.check().await;
    people.nothing_is_left(0).await;
    world.stop().await;
}

#[tokio::test]
async fn a_source_that_restarts_at_any_phase_loses_nothing() {
    for phase in PHASES {
        check(0, phase).await;
    }
}

#[tokio::test]
async fn a_target_that_restarts_at_any_phase_loses_nothing() {
    for phase in PHASES {
        check(1, phase).await;
    }
}

#[tokio::test]
async fn orders_of_before_change_nothing() {
    let world = World::start().await;
    let mut people = People::meet(&world, 2, 2).await;
    people.write("on");
    let slots = people.slots();
    let mut driver = Driver::new(&world);
    driver.term = 5;
    driver.plan(&slots, 1, Duration::ZERO);
    driver.until(Phase::Ready).await;
    let present = driver.present();
    // A coordinator that leads no more.
    driver.term = 4;
    let old = driver.message(&present, Task::Freeze, present.target);
    let refused = world.moves(0).order(old).await.map_err(|refusal| refusal.code());
    assert_eq!(refused.map(|report| report.standing), Err(Code::Conflict));
    driver.term = 5;
    driver.until(Phase::Done).await;
    // Everything the move ever ordered comes once more, to both.
    for task in [Task::Track, Task::Copy, Task::Freeze, Task::Settle, Task::Follow, Task::Discard] {
        for shard in [0, 1] {
            let order = driver.message(&present, task, present.target);
            drop(world.moves(shard).order(order).await);
            let mut earlier = driver.message(&present, task, present.target);
            earlier.attempt = Attempt::FIRST.0;
            drop(world.moves(shard).order(earlier).await);
        }
    }
    people.rest().await;
    people.check().await;
    people.nothing_is_left(0).await;
    world.stop().await;
}
