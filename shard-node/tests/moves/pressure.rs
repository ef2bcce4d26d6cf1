//! A copy beside people whose commits take longer than they usually do.

use crate::driver::Driver;
use crate::people::People;
use crate::world::{SOON, World};
use shardline_daemon::clock::Stopwatch;
use shardline_domain::placement::transfer::Phase;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Until it is known what is usual, and until it shows that it is not so any more.
const USUAL: Duration = Duration::from_secs(4);
const UNUSUAL: Duration = Duration::from_secs(1);
/// Another program has the file for half of the time.
const HELD: Duration = Duration::from_millis(40);

#[expect(clippy::disallowed_methods, reason = "a thread of its own, as another program would be")]
fn hold(file: PathBuf, until: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let db = rusqlite::Connection::open(file).expect("the file opens");
        db.busy_timeout(SOON).expect("it may wait");
        while !until.load(Ordering::Acquire) {
            db.execute_batch("BEGIN IMMEDIATE").expect("it has the file");
            std::thread::sleep(HELD);
            db.execute_batch("ROLLBACK").expect("it lets it go");
            std::thread::sleep(HELD);
        }
    })
}

#[tokio::test]
async fn a_copy_gives_way_to_commits_that_take_longer_than_usual_and_ends() {
    let world = World::start().await;
    let mut people = People::meet(&world, 2, 3).await;
    people.write("on");
    tokio::time::sleep(USUAL).await;
    let stop = Arc::new(AtomicBool::new(false));
    let holding = hold(world.file(0), Arc::clone(&stop));
    tokio::time::sleep(UNUSUAL).await;
    let mut driver = Driver::new(&world);
    driver.plan(&people.slots(), 1, Duration::ZERO);
    let waits = Stopwatch::start();
    // The target has nobody's commits yet: it is the source that says so.
    while !driver.note.contains("longer than usual") {
        assert!(waits.elapsed() < SOON, "{:?} {}", driver.present().phase, driver.note);
        driver.step().await;
    }
    driver.until(Phase::Done).await;
    stop.store(true, Ordering::Release);
    holding.join().expect("it ended");
    people.rest().await;
    people.check().await;
    people.nothing_is_left(0).await;
    world.stop().await;
}
