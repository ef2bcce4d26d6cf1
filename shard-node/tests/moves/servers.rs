//! The main scenes on real servers, each shard in a database of its own.

use crate::driver::Driver;
use crate::people::People;
use crate::place::{Place, Server};
use crate::world::World;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use shardline_domain::placement::transfer::Phase;
use std::io::Write as _;
use std::time::Duration;

/// A server's address, without a database; None if it was asked to do without servers.
#[allow(clippy::disallowed_methods, clippy::print_stderr)]
pub(crate) fn server(setting: &str) -> Option<String> {
    match std::env::var(setting) {
        Ok(url) => Some(url.trim_end_matches('/').to_owned()),
        Err(_) if std::env::var("SHARDLINE_TEST_SKIP_SERVICES").is_ok_and(|skip| skip == "1") => {
            eprintln!("skipped: {setting} is not set");
            None
        }
        Err(_) => panic!("{setting} is not set: start it with make services"),
    }
}

pub(crate) async fn root(server: &str) -> Conn {
    let options = Opts::from_url(server).expect("the setting is an address");
    let options = OptsBuilder::from_opts(options).prefer_socket(false);
    Conn::new(options).await.expect("the server answers")
}

/// There and back while people write; the target goes away once while the source is frozen.
async fn check(setting: &str) {
    let Some(server) = server(setting) else { return };
    let name = format!("test_move_{:016x}", rand::random::<u64>());
    let place = Server { url: server.clone(), name: name.clone(), replica: None };
    let world = World::start_in(Place::Server(place)).await;
    // Two busy chats: each costs a transaction per round, and the last round has to be short also here.
    let mut people = People::meet(&world, 3, 2).await;
    people.write("first");
    let slots = people.slots();
    let mut driver = Driver::new(&world);
    for (target, source) in [(1, 0), (0, 1), (1, 0)] {
        driver.plan(&slots, target, Duration::ZERO);
        driver.until(Phase::Done).await;
        people.nothing_is_left(source).await;
    }
    driver.plan(&slots, 0, Duration::ZERO);
    driver.until(Phase::Frozen).await;
    world.crash(0).await;
    world.start_shard(0).await;
    driver.until(Phase::Done).await;
    people.rest().await;
    people.check().await;
    people.nothing_is_left(1).await;
    let acked = people.acked();
    let report = format!("{setting}: {acked} acknowledged; writes waited {:?}\n", driver.pauses);
    std::io::stdout().write_all(report.as_bytes()).expect("said");
    world.stop().await;
    let mut root = root(&server).await;
    for shard in 0..2 {
        root.query_drop(format!("DROP DATABASE {name}_{shard}")).await.expect("it can be dropped");
    }
}

#[tokio::test]
async fn slots_move_between_databases_of_mysql() {
    check("SHARDLINE_TEST_MYSQL_URL").await;
}

#[tokio::test]
async fn slots_move_between_databases_of_mariadb() {
    check("SHARDLINE_TEST_MARIADB_URL").await;
}
