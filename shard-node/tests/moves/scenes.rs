//! Whole moves in good order.

use crate::driver::Driver;
use crate::people::People;
use crate::world::World;
use shardline_domain::placement::transfer::{Phase, Wish};
use shardline_domain::slot::Slot;
use std::io::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

const NO_WINDOW: Duration = Duration::ZERO;
const LONG_WINDOW: Duration = Duration::from_secs(600);

#[tokio::test]
async fn slots_move_there_and_back_while_people_write() {
    let world = World::start().await;
    let mut people = People::meet(&world, 4, 6).await;
    people.write("first");
    let slots = people.slots();
    let mut driver = Driver::new(&world);
    for (target, source) in [(1, 0), (0, 1), (1, 0)] {
        driver.plan(&slots, target, NO_WINDOW);
        driver.until(Phase::Done).await;
        people.nothing_is_left(source).await;
    }
    people.rest().await;
    people.check().await;
    let mut pauses = driver.pauses.clone();
    pauses.sort_unstable();
    let report = format!("{} acknowledged; writes waited {pauses:?}\n", people.acked());
    std::io::stdout().write_all(report.as_bytes()).expect("said");
    assert_eq!(pauses.len(), 3);
    world.stop().await;
}

/// Most slots of a young cluster are empty; heads are asked for many of them at once.
#[tokio::test]
async fn two_thousand_slots_that_hold_little_move_together() {
    let world = World::start().await;
    let mut people = People::meet(&world, 2, 3).await;
    let mut slots = people.slots();
    slots.extend(Slot::all().filter(|slot| slot.get() % 8 == 3));
    slots.sort_unstable();
    slots.dedup();
    people.write("before");
    let mut driver = Driver::new(&world);
    driver.plan(&slots, 1, NO_WINDOW);
    driver.until(Phase::Done).await;
    people.rest().await;
    people.check().await;
    people.nothing_is_left(0).await;
    world.stop().await;
}

#[tokio::test]
async fn a_move_is_reversed_without_loss() {
    let world = World::start().await;
    let mut people = People::meet(&world, 3, 4).await;
    people.write("there");
    let slots = people.slots();
    let mut driver = Driver::new(&world);
    driver.plan(&slots, 1, LONG_WINDOW);
    driver.until(Phase::Following).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    driver.wish(Wish::Reverse);
    driver.until(Phase::CatchingUp).await;
    driver.until(Phase::Following).await;
    people.rest().await;
    people.check().await;
    driver.wish(Wish::Finish);
    driver.until(Phase::Done).await;
    people.nothing_is_left(1).await;
    people.check().await;
    world.stop().await;
}

#[tokio::test]
async fn both_sides_are_equal_when_it_flips_and_while_one_follows() {
    let world = World::start().await;
    let mut people = People::meet(&world, 3, 4).await;
    people.write("there");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let slots = people.slots();
    let mut driver = Driver::new(&world);
    driver.plan(&slots, 1, LONG_WINDOW);
    driver.until(Phase::Frozen).await;
    // Nothing is written now; the target settles.
    while !driver.settled() {
        driver.order_only().await;
    }
    people.both_sides_are_equal().await;
    driver.until(Phase::Following).await;
    people.rest().await;
    people.check().await;
    let waiting = async {
        loop {
            driver.step().await;
            if people.follower_is_equal().await {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("the follower follows");
    world.stop().await;
}

#[tokio::test]
async fn an_abort_at_any_phase_leaves_the_source_as_the_owner() {
    for phase in [
        Phase::Preparing,
        Phase::Copying,
        Phase::CatchingUp,
        Phase::Verifying,
        Phase::Ready,
        Phase::Freezing,
        Phase::Frozen,
    ] {
        let world = World::start().await;
        let mut people = People::meet(&world, 2, 3).await;
        people.write("stay");
        let slots = people.slots();
        let mut driver = Driver::new(&world);
        driver.plan(&slots, 1, NO_WINDOW);
        driver.until(phase).await;
        driver.step().await;
        if driver.present().may_wish(Wish::Abort).is_ok() {
            driver.wish(Wish::Abort);
            driver.until(Phase::Aborted).await;
            people.rest().await;
            people.check().await;
            people.nothing_is_left(1).await;
        }
        people.rest().await;
        world.stop().await;
    }
}

#[tokio::test]
async fn lost_answers_only_take_time() {
    let world = World::start().await;
    let mut people = People::meet(&world, 3, 4).await;
    people.write("lossy");
    let slots = people.slots();
    world.loses.store(3, Ordering::SeqCst);
    let mut driver = Driver::new(&world);
    driver.plan(&slots, 1, NO_WINDOW);
    driver.until(Phase::Done).await;
    people.rest().await;
    people.check().await;
    people.nothing_is_left(0).await;
    world.stop().await;
}
