//! Real replicas: a copy waits for one that is behind, says so, and goes on when it is not any more.

use crate::driver::Driver;
use crate::people::People;
use crate::servers::{root, server};
use crate::world::{Place, Server, World};
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
    /// The statements that make a server follow from there on, for the databases of this test alone.
    follow: fn(port: u16, position: &str) -> Vec<String>,
}

const MYSQL: Flavour = Flavour {
    primary: "SHARDLINE_TEST_MYSQL_URL",
    replica: "SHARDLINE_TEST_MYSQL_REPLICA_URL",
    position: "SELECT @@global.gtid_executed",
    follow: |port, position| {
        vec![
            "STOP SLAVE".to_owned(),
            "RESET SLAVE ALL".to_owned(),
            "RESET MASTER".to_owned(),
            format!("SET GLOBAL gtid_purged = '{position}'"),
            "CHANGE REPLICATION FILTER REPLICATE_WILD_DO_TABLE = ('test\\_replica\\_%.%')"
                .to_owned(),
            format!(
                "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, \
                 MASTER_USER = 'root', MASTER_AUTO_POSITION = 1"
            ),
            "START SLAVE".to_owned(),
        ]
    },
};

const MARIADB: Flavour = Flavour {
    primary: "SHARDLINE_TEST_MARIADB_URL",
    replica: "SHARDLINE_TEST_MARIADB_REPLICA_URL",
    position: "SELECT @@global.gtid_binlog_pos",
    follow: |port, position| {
        vec![
            "STOP SLAVE".to_owned(),
            "RESET SLAVE ALL".to_owned(),
            "RESET MASTER".to_owned(),
            format!("SET GLOBAL gtid_slave_pos = '{position}'"),
            "SET GLOBAL replicate_wild_do_table = 'test\\_replica\\_%.%'".to_owned(),
            format!(
                "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, \
                 MASTER_USER = 'root', MASTER_USE_GTID = slave_pos"
            ),
            "START SLAVE".to_owned(),
        ]
    },
};

async fn run(conn: &mut Conn, statements: &[String]) {
    for sql in statements {
        conn.query_drop(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

/// The replica's root, once it follows the primary.
async fn follow(flavour: &Flavour, primary: &str, replica: &str) -> Conn {
    let position: Option<String> =
        root(primary).await.query_first(flavour.position).await.expect("a position");
    let port = Opts::from_url(primary).expect("the setting is an address").tcp_port();
    let mut conn = root(replica).await;
    let position = position.unwrap_or_default().replace('\n', "");
    run(&mut conn, &(flavour.follow)(port, &position)).await;
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
    run(&mut follower, &["STOP SLAVE SQL_THREAD".to_owned()]).await;
    let goal = seen[0].goal().await.expect("an answer").expect("it is no primary");
    people.rest().await;
    people.write("and on");
    let owed = seen[0].goal().await.expect("an answer").expect("it is no primary");
    assert_ne!(goal, owed);
    assert!(!seen[0].has(&owed, Duration::from_secs(1)).await.expect("an answer"));

    // Until it is seen to be behind.
    tokio::time::sleep(BEHIND).await;
    let mut driver = Driver::new(&world);
    driver.plan(&slots, 1, Duration::ZERO);
    let mut waits = Stopwatch::start();
    while !driver.note.contains("is behind") {
        assert!(waits.elapsed() < SOON, "{:?} {}", driver.present().phase, driver.note);
        driver.step().await;
    }
    // It stays so, while people go on.
    waits = Stopwatch::start();
    while waits.elapsed() < BEHIND {
        driver.step().await;
    }
    assert_eq!(driver.present().phase, Phase::Copying);
    run(&mut follower, &["START SLAVE".to_owned()]).await;
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
    run(&mut follower, &["STOP SLAVE".to_owned()]).await;
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
