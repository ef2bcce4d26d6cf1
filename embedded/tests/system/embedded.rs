//! The embedded form, started as a library, through real sockets.

use crate::operator::Operator;
use crate::person::{PATIENCE, Person, Place, text};
use crate::{bad_input, scenes};
use shardline_client::Encoding;
use shardline_client::frames::History;
use shardline_daemon::health::Health;
use shardline_daemon::lifecycle::Lifecycle;
use shardline_embedded::{Cluster, Options};
use shardline_shard_node::parse_losses;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// Of everything a scene waits for together.
const SCENE_TIME_MAX: Duration = Duration::from_secs(120);

pub(crate) struct Running {
    lifecycle: Lifecycle,
    health: Health,
    pub(crate) place: Place,
    pub(crate) operator: Operator,
    listen: SocketAddr,
}

impl Running {
    pub(crate) async fn start(data: &Path) -> Running {
        Running::start_accepting(data, "").await
    }

    async fn start_accepting(data: &Path, losses: &str) -> Running {
        let running = Running::start_without_waiting(data, losses).await;
        running.until_ready().await;
        running
    }

    async fn until_ready(&self) {
        let ready = tokio::time::timeout(PATIENCE, self.health.until_ready()).await;
        assert!(ready.is_ok(), "not ready: {}", self.health.report());
    }

    async fn start_without_waiting(data: &Path, losses: &str) -> Running {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Running::start_at(data, losses, [any, any]).await
    }

    /// Clients connect at the first address, operators at the second.
    async fn start_at(data: &Path, losses: &str, addresses: [SocketAddr; 2]) -> Running {
        let (lifecycle, health) = (Lifecycle::new(), Health::new());
        let [listen, admin_listen] = addresses;
        let options = Options {
            listen,
            admin_listen,
            admin_secret: None,
            data: data.to_owned(),
            shards: 2,
            is_local: true,
            accept_loss: parse_losses(losses).expect("losses"),
        };
        let cluster = Cluster::start(options, &lifecycle, &health).await.expect("starts");
        let listen = cluster.local_addr();
        let place = Place { addresses: vec![format!("http://{listen}")] };
        let secret = std::fs::read_to_string(data.join("secret")).expect("the folder's secret");
        let operator = Operator { address: cluster.admin_addr(), secret };
        Running { lifecycle, health, place, operator, listen }
    }

    /// Stops, and starts again where it was.
    pub(crate) async fn restart(self, data: &Path) -> Running {
        let addresses = [self.listen, self.operator.address];
        self.stop().await;
        let running = Running::start_at(data, "", addresses).await;
        running.until_ready().await;
        running
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.health.is_ready()
    }

    pub(crate) async fn until_reported(&self, wanted: impl Fn(&str) -> bool) {
        let seen = async {
            while !wanted(&self.health.report()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let seen = tokio::time::timeout(PATIENCE, seen).await;
        assert!(seen.is_ok(), "{}", self.health.report());
    }

    pub(crate) async fn stop(self) {
        let stopped = self.lifecycle.finish(Duration::from_secs(20)).await;
        assert!(stopped, "stops in time");
        assert_eq!(self.lifecycle.failure(), None);
    }
}

macro_rules! scenes {
    ($($name:ident: $scene:path;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let data = tempfile::tempdir().expect("a temporary folder");
            let running = Running::start(data.path()).await;
            let played = tokio::time::timeout(SCENE_TIME_MAX, $scene(&running.place)).await;
            assert!(played.is_ok(), "the scene hangs");
            running.stop().await;
        }
    )*};
}

scenes! {
    two_people_talk: scenes::two_people_talk;
    a_retry_gets_the_first_answer: scenes::a_retry_gets_the_first_answer;
    who_was_away_catches_up_exactly: scenes::who_was_away_catches_up_exactly;
    history_cursors_and_the_list_agree: scenes::history_cursors_and_the_list_agree;
    members_come_and_go: scenes::members_come_and_go;
    an_ended_session_is_closed: scenes::an_ended_session_is_closed;
    bad_input_gets_an_error_and_costs_nothing: bad_input::gets_an_error_and_costs_nothing;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_everything() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let running = Running::start(data.path()).await;
    let alice = running.place.person("alice", 0, Encoding::Json).await;
    let bob = running.place.person("bob", 0, Encoding::Json).await;
    let chat = alice.direct(&bob).await;
    for number in 1..=20 {
        alice.client.send(chat, format!("{number}")).await.expect("stored");
    }
    assert_eq!(bob.client.read(chat, 12).await, Ok(12));
    alice.client.stop().await;
    bob.client.stop().await;
    running.stop().await;

    let running = Running::start(data.path()).await;
    let again =
        running.place.device(bob.name.clone(), bob.session.clone(), 0, Encoding::Json).await;
    let ask = History { chat, limit: Some(200), ..History::default() };
    let page = again.client.history(ask).await.expect("the history");
    let texts: Vec<&str> = page.messages.iter().map(text).collect();
    assert_eq!(texts, (1..=20).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(again.unread(chat).await, 8);
    let next = again.client.send(chat, "after the restart").await.expect("stored");
    assert_eq!(next.seq, Some(21));
    running.stop().await;
}

/// Consistent states, whoever else has the files open.
fn copied(from: &Path, to: &Path, names: &[&str]) {
    for name in names {
        let db = rusqlite::Connection::open(from.join(name)).expect("the file opens");
        let to = to.join(name);
        db.execute("VACUUM INTO ?", [to.to_str().expect("a plain path")]).expect("a copy");
    }
}

/// Shards put back to an earlier state wait for the operator; then whoever had the lost messages
/// begins anew, and talk goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restored_shards_resync_everybody_once_their_loss_is_accepted() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let restored = tempfile::tempdir().expect("a temporary folder");
    let running = Running::start(data.path()).await;
    let alice = running.place.person("alice", 0, Encoding::Json).await;
    let bob = running.place.person("bob", 0, Encoding::Json).await;
    let chat = alice.direct(&bob).await;
    for number in 1..=3 {
        alice.client.send(chat, format!("{number}")).await.expect("stored");
    }
    alice.client.stop().await;
    bob.client.stop().await;
    running.stop().await;
    copied(data.path(), restored.path(), &["shard-0.sqlite", "shard-1.sqlite"]);

    let running = Running::start(data.path()).await;
    let device = |of: &Person| (of.name.clone(), of.session.clone());
    let (name, session) = device(&bob);
    let mut bob = running.place.device(name, session, 0, Encoding::Json).await;
    let opened = bob.client.open(chat, None).await.expect("the chat");
    let log = opened.chat.expect("the chat").log;
    for number in 4..=6 {
        bob.client.send(chat, format!("{number}")).await.expect("stored");
    }
    let last = bob.messages(chat, 3).await.pop().expect("three");
    // Until the next report.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    bob.client.stop().await;
    running.stop().await;

    // The catalog remembers how far the shards were.
    copied(data.path(), restored.path(), &["catalog.sqlite"]);
    let secret = "secret";
    std::fs::copy(data.path().join(secret), restored.path().join(secret)).expect("a copy");
    let running = Running::start_without_waiting(restored.path(), "").await;
    let decided = async {
        loop {
            let report = running.health.report();
            let mut writers = report.lines().filter(|line| line.starts_with("writer of shard"));
            if writers.all(|line| line.ends_with("ready") || line.contains("quarantined")) {
                return report;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let report = tokio::time::timeout(PATIENCE, decided).await.expect("each shard looks");
    let lacks = report.lines().filter_map(|line| line.split_once("accept-loss = "));
    let losses: Vec<&str> = lacks.map(|(_, loss)| loss).collect();
    assert!(!losses.is_empty(), "at least the chat's shard lacks something: {report}");
    running.stop().await;

    let running = Running::start_accepting(restored.path(), &losses.join(" ")).await;
    let (name, session) = device(&bob);
    let mut bob = running.place.device(name, session, 0, Encoding::Json).await;
    bob.client.resume(chat, &log, last.ver).await.expect("answered");
    let opened = bob.resynced(chat).await;
    assert_eq!(opened.messages.iter().map(text).collect::<Vec<_>>(), ["1", "2", "3"]);
    assert_ne!(opened.chat.expect("the chat").log, log);
    let (name, session) = device(&alice);
    let alice = running.place.device(name, session, 0, Encoding::Json).await;
    assert_eq!(alice.client.send(chat, "again").await.expect("stored").seq, Some(4));
    assert_eq!(text(&bob.messages(chat, 1).await[0]), "again");
    running.stop().await;
}
