//! Real replicas: a copy waits for one that is behind, says so, and goes on when it is not any more.

use crate::driver::Driver;
use crate::people::People;
use crate::place::{Place, Server};
use crate::servers::{root, server};
use crate::world::World;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use shardline_daemon::clock::Stopwatch;
use shardline_domain::placement::transfer::Phase;
use shardline_shard_node::store::mysql::{MySqlStore, Options};
use shardline_shard_node::store::{Replica, Store};
use std::sync::Arc;
use std::time::Duration;

/// Longer than any replica may be behind without being waited for.
const BEHIND: Duration = Duration::from_secs(3);
const SOON: Duration = Duration::from_secs(60);

struct Flavour {
    primary: &'static str,
    replica: &'static str,
    /// Of the primary: everything there is by now.
    position: &'static str,
    /// Of the replica: what it has, so that it begins there.
    begins_at: &'static str,
    /// Of it all, it follows the databases of this test alone.
    filter: &'static str,
    /// How it says to its primary where it is.
    by: &'static str,
}

const MYSQL: Flavour = Flavour {
    primary: "SHARDLINE_TEST_MYSQL_URL",
    replica: "SHARDLINE_TEST_MYSQL_REPLICA_URL",
    position: "SELECT @@global.gtid_executed",
    begins_at: "gtid_purged",
    filter: "CHANGE REPLICATION FILTER REPLICATE_WILD_DO_TABLE = ('test\\_replica\\_%.%')",
    by: "MASTER_AUTO_POSITION = 1",
};

const MARIADB: Flavour = Flavour {
    primary: "SHARDLINE_TEST_MARIADB_URL",
    replica: "SHARDLINE_TEST_MARIADB_REPLICA_URL",
    position: "SELECT @@global.gtid_binlog_pos",
    begins_at: "gtid_slave_pos",
    filter: "SET GLOBAL replicate_wild_do_table = 'test\\_replica\\_%.%'",
    by: "MASTER_USE_GTID = slave_pos",
};

async fn run(conn: &mut Conn, sql: &str) {
    conn.query_drop(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// The replica's root, once it follows the primary from where that is now.
async fn follow(flavour: &Flavour, primary: &str, replica: &str) -> Conn {
    let Flavour { position, begins_at, filter, by, .. } = flavour;
    let position: Option<String> =
        root(primary).await.query_first(*position).await.expect("a position");
    let position = position.unwrap_or_default().replace('\n', "");
    let port = Opts::from_url(primary).expect("the setting is an address").tcp_port();
    let mut conn = root(replica).await;
    for sql in ["STOP SLAVE", "RESET SLAVE ALL", "RESET MASTER", *filter] {
        run(&mut conn, sql).await;
    }
    run(&mut conn, &format!("SET GLOBAL {begins_at} = '{position}'")).await;
    let place = format!("MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = 'root'");
    run(&mut conn, &format!("CHANGE MASTER TO {place}, {by}")).await;
    run(&mut conn, "START SLAVE").await;
    conn
}

async fn has_soon(replica: &dyn Replica) {
    let stopwatch = Stopwatch::start();
    loop {
        // Its database is made by what it still has to follow.
        if let Ok(Some(goal)) = replica.goal().await
            && replica.has(&goal, Duration::from_secs(1)).await.is_ok_and(|has| has)
        {
            return;
        }
        assert!(stopwatch.elapsed() < SOON, "the replica does not follow");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The move is in this phase, and does not leave it for a while.
async fn stays(driver: &mut Driver, phase: Phase) {
    let stopwatch = Stopwatch::start();
    while stopwatch.elapsed() < BEHIND {
        driver.step().await;
    }
    assert_eq!(driver.present().phase, phase);
}

async fn check(flavour: Flavour) {
    let (Some(primary), Some(replica)) = (server(flavour.primary), server(flavour.replica)) else {
        return;
    };
    let mut follower = follow(&flavour, &primary, &replica).await;
    let name = format!("test_replica_{:016x}", rand::random::<u64>());
    let place = Server { url: primary.clone(), name: name.clone(), replica: Some(replica.clone()) };
    let world = World::start_in(Place::Server(place)).await;
    let seen: Vec<Arc<dyn Replica>> = world.store(1).replicas().to_vec();
    assert_eq!(seen.len(), 1);
    has_soon(&*seen[0]).await;

    let mut people = People::meet(&world, 2, 2).await;
    people.write("on");
    let slots = people.slots();
    run(&mut follower, "STOP SLAVE SQL_THREAD").await;
    // Until it is seen to be behind.
    tokio::time::sleep(BEHIND).await;
    let owed = seen[0].goal().await.expect("an answer").expect("it is no primary");
    assert!(!seen[0].has(&owed, Duration::from_secs(1)).await.expect("an answer"));
    let mut driver = Driver::new(&world);
    driver.plan(&slots, 1, Duration::ZERO);
    let waits = Stopwatch::start();
    while !driver.note.contains("is behind") {
        assert!(waits.elapsed() < SOON, "{:?} {}", driver.present().phase, driver.note);
        driver.step().await;
    }
    // It stays so, and people go on.
    let acked = people.acked();
    stays(&mut driver, Phase::Copying).await;
    assert!(acked < people.acked());
    run(&mut follower, "START SLAVE").await;

    // No write waits while both sides are compared, either: it can wait, too.
    driver.until(Phase::Verifying).await;
    run(&mut follower, "STOP SLAVE SQL_THREAD").await;
    tokio::time::sleep(BEHIND).await;
    stays(&mut driver, Phase::Verifying).await;
    run(&mut follower, "START SLAVE").await;
    driver.until(Phase::Done).await;
    people.rest().await;
    people.check().await;
    people.nothing_is_left(0).await;

    // A primary is behind nobody, and what is not there cannot say.
    for (url, is_there) in [(primary.as_str(), true), ("mysql://root@127.0.0.1:1", false)] {
        let options = Options {
            replicas: vec![format!("{url}/{name}_0")],
            ..Options::new(format!("{primary}/{name}_0"))
        };
        let store = MySqlStore::open(&options).await.expect("the database opens");
        let goal = store.replicas()[0].goal().await;
        assert_eq!(goal.as_ref().is_ok_and(Option::is_none), is_there, "{goal:?}");
    }
    world.stop().await;
    let mut root = root(&primary).await;
    for shard in 0..2 {
        root.query_drop(format!("DROP DATABASE {name}_{shard}")).await.expect("it can be dropped");
    }
    has_soon_dropped(&mut follower, &name).await;
    run(&mut follower, "STOP SLAVE").await;
}

async fn has_soon_dropped(follower: &mut Conn, name: &str) {
    let stopwatch = Stopwatch::start();
    let sql = format!("SHOW DATABASES LIKE '{name}%'");
    while follower.query_first::<String, _>(&sql).await.expect("a read").is_some() {
        assert!(stopwatch.elapsed() < SOON, "the replica does not follow");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_copy_waits_for_a_replica_of_mysql() {
    check(MYSQL).await;
}

#[tokio::test]
async fn a_copy_waits_for_a_replica_of_mariadb() {
    check(MARIADB).await;
}
