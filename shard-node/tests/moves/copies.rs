//! A database that comes back as an earlier copy of itself in the middle of a move: what was imported and
//! which slots were frozen is in no journal.

use crate::driver::Driver;
use crate::people::People;
use crate::world::World;
use shardline_domain::placement::transfer::Phase;
use shardline_shard_node::store::SlotState;
use std::sync::Arc;
use std::time::Duration;

async fn begun() -> (Arc<World>, People, Driver) {
    let world = World::start().await;
    let mut people = People::meet(&world, 2, 3).await;
    people.write("on");
    let slots = people.slots();
    let mut driver = Driver::new(&world);
    driver.plan(&slots, 1, Duration::ZERO);
    (world, people, driver)
}

async fn owned(world: &World, shard: u32) -> usize {
    let rows = world.store(shard).slots().await.expect("a read");
    rows.iter().filter(|row| row.state == SlotState::Owned).count()
}

async fn ends(world: Arc<World>, mut people: People, mut driver: Driver) {
    driver.until(Phase::Done).await;
    people.rest().await;
    people.check().await;
    people.nothing_is_left(0).await;
    world.stop().await;
}

#[tokio::test]
async fn what_a_target_lost_after_it_settled_is_copied_again_before_the_flip() {
    let (world, people, mut driver) = begun().await;
    driver.until(Phase::Copying).await;
    world.copy(1, "begun");
    driver.until(Phase::Frozen).await;
    while !driver.settled() {
        driver.order_only().await;
    }
    world.crash(1).await;
    world.put_back(1, "begun");
    world.start_shard(1).await;
    // The old report says that nothing is missing.
    driver.step().await;
    assert_eq!((driver.present().phase, driver.refused_flips), (Phase::Frozen, 1));
    assert_eq!(owned(&world, 1).await, 0);
    ends(world, people, driver).await;
}

#[tokio::test]
async fn a_source_that_lost_its_freeze_gives_the_slots_up() {
    let (world, mut people, mut driver) = begun().await;
    driver.until(Phase::Ready).await;
    people.rest().await;
    world.copy(0, "ready");
    driver.until(Phase::Flipped).await;
    world.crash(0).await;
    world.put_back(0, "ready");
    let moving = driver.present().slots.len();
    let before = owned(&world, 1).await;
    world.start_shard(0).await;
    let rows = world.store(0).slots().await.expect("a read");
    for moving in driver.present().slots {
        let row = rows.iter().find(|row| row.slot == moving.slot.get()).expect("a row");
        assert_ne!(row.state, SlotState::Owned, "{row:?}");
    }
    assert!(before <= moving);
    ends(world, people, driver).await;
}

#[tokio::test]
async fn a_source_that_lost_its_freeze_before_the_flip_is_frozen_again() {
    let (world, mut people, mut driver) = begun().await;
    driver.until(Phase::Ready).await;
    people.rest().await;
    world.copy(0, "ready");
    driver.until(Phase::Frozen).await;
    while !driver.settled() {
        driver.order_only().await;
    }
    world.crash(0).await;
    world.put_back(0, "ready");
    world.start_shard(0).await;
    let frozen = world.store(0).slots().await.expect("a read");
    let frozen = frozen.iter().filter(|row| row.state == SlotState::Frozen).count();
    assert_eq!(frozen, driver.present().slots.len());
    driver.step().await;
    assert_eq!((driver.present().phase, driver.refused_flips), (Phase::Frozen, 1));
    ends(world, people, driver).await;
}

#[tokio::test]
async fn a_target_that_lost_what_a_flip_rested_on_waits_for_the_complete_database() {
    let (world, people, mut driver) = begun().await;
    driver.until(Phase::Copying).await;
    world.copy(1, "begun");
    driver.until(Phase::Flipped).await;
    world.crash(1).await;
    world.copy(1, "complete");
    world.put_back(1, "begun");
    world.begin_shard(1).await;
    let node = world.node(1).expect("it runs");
    // Several starts are tried meanwhile.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!node.is_writer());
    assert_eq!(owned(&world, 1).await, 0);
    world.crash(1).await;
    world.put_back(1, "complete");
    world.start_shard(1).await;
    ends(world, people, driver).await;
}
