//! The embedded form, started as a library, through real sockets.

use crate::person::{PATIENCE, Place, text};
use crate::{bad_input, scenes};
use shardline_client::Encoding;
use shardline_client::frames::History;
use shardline_daemon::health::Health;
use shardline_daemon::lifecycle::Lifecycle;
use shardline_embedded::{Cluster, Options};
use std::path::Path;
use std::time::Duration;

/// Of everything a scene waits for together.
const SCENE_TIME_MAX: Duration = Duration::from_secs(120);

struct Running {
    lifecycle: Lifecycle,
    place: Place,
}

impl Running {
    async fn start(data: &Path) -> Running {
        let (lifecycle, health) = (Lifecycle::new(), Health::new());
        let options = Options {
            listen: ([127, 0, 0, 1], 0).into(),
            data: data.to_owned(),
            shards: 2,
            is_local: true,
        };
        let cluster = Cluster::start(options, &lifecycle, &health).await.expect("starts");
        let ready = tokio::time::timeout(PATIENCE, health.until_ready()).await;
        assert!(ready.is_ok(), "not ready: {}", health.report());
        let addresses = vec![format!("http://{}", cluster.local_addr())];
        Running { lifecycle, place: Place { addresses } }
    }

    async fn stop(self) {
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
