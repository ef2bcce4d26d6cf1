//! Shards come and go on the running embedded form, by its operators' port.

use crate::embedded::Running;
use crate::person::Person;
use crate::rebalance::{history, reads, talks};
use futures::future::join_all;
use shardline_client::Encoding;
use std::path::Path;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;

const LIFE_TIME_MAX: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_comes_and_goes_while_people_talk_also_through_a_restart() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let running = Running::start(data.path()).await;
    let alice = running.place.person("alice", 0, Encoding::Json).await;
    let (mut clients, mut chats, mut readers) = (Vec::new(), Vec::new(), JoinSet::new());
    for number in 0..6 {
        let person = running.place.person(&format!("person{number}"), 0, Encoding::Proto).await;
        chats.push(alice.direct(&person).await);
        clients.push(person.client);
        readers.spawn(reads(person.seen));
    }
    let Person { client: alice, seen, .. } = alice;
    readers.spawn(reads(seen));
    let stop = Notify::new();
    let talking = join_all(chats.iter().map(|chat| talks(&alice, *chat, &stop)));
    let operating = async {
        sleep(Duration::from_millis(300)).await;
        let operator = running.operator.clone();
        // A small part for the new one: what counts is that some move.
        for shard in ["0", "1"] {
            operator.done(&["shard", "reweight", shard, "10"]).await;
        }
        let joined = operator.done(&["shard", "add", "shard-2", "--weight", "1"]).await;
        assert_eq!((&joined["shard"], &joined["state"]), (&2.into(), &"joining".into()));
        operator.until_active(2).await;
        assert!(data.path().join("shard-2.sqlite").exists());

        operator.done(&["rebalance", "--window", "0", "--detach"]).await;
        sleep(Duration::from_millis(300)).await;
        let running = running.restart(data.path()).await;
        assert!(operator.shard(2).await.is_some(), "it is there again");
        // Unless it ended in the moment between.
        operator.run(&["rebalance", "watch"]).await;
        let slots = operator.shard(2).await.expect("it is there")["slots"].as_u64();
        assert!(slots.is_some_and(|slots| 780 <= slots), "{slots:?}");

        operator.done(&["shard", "drain", "2"]).await;
        operator.refused(&["shard", "remove", "2"], "slots").await;
        assert_eq!(operator.rebalanced(&["--window", "0"]).await["state"], "done");
        assert_eq!(operator.done(&["shard", "remove", "2"]).await["state"], "removed");
        assert!(operator.shard(2).await.is_none());
        running.until_reported(|report| !report.contains("shard 2")).await;
        assert!(running.is_ready(), "who is gone is not waited for");
        assert!(data.path().join("shard-2.sqlite").exists(), "the file stays");

        // It may come back to its file.
        operator.done(&["shard", "add", "shard-2"]).await;
        operator.until_active(2).await;
        stop.notify_waiters();
        running
    };
    let both = async { tokio::join!(talking, operating) };
    let (said, running) = tokio::time::timeout(LIFE_TIME_MAX, both).await.expect("it ends");
    for ((chat, client), said) in chats.iter().zip(&clients).zip(said) {
        assert!(10 < said.len(), "{}", said.len());
        assert_eq!(history(client, *chat).await, said, "each once, in order");
        let next = alice.send(*chat, "and on").await.expect("stored");
        assert_eq!(next.seq, Some(said.len() as u64 + 1));
    }
    running.stop().await;
}

/// The whole database: part of it may stand in the log beside its file, also once its process has stopped.
fn copy(from: &Path, to: &Path) {
    let db = rusqlite::Connection::open(from).expect("the file opens");
    db.execute("VACUUM INTO ?", [to.to_str().expect("a plain path")]).expect("a copy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_a_shard_is_refused_and_leaves_nothing() {
    let folder = || tempfile::tempdir().expect("a temporary folder");
    let (data, unused, used) = (folder(), folder(), folder());
    Running::start(unused.path()).await.stop().await;
    let running = Running::start(used.path()).await;
    running.place.person("somebody", 0, Encoding::Json).await.client.stop().await;
    running.stop().await;

    let running = Running::start(data.path()).await;
    let operator = &running.operator;
    let add = async |address: &str, says: &str| {
        operator.refused(&["shard", "add", address], says).await;
    };
    add("127.0.0.1:8121", "shards of this process are shard-0 to shard-63").await;
    add("shard-64", "shards of this process are shard-0 to shard-63").await;
    add("shard-02", "shards of this process are").await;
    add("shard-1", "shard 1 is already in the cluster, active at shard-1").await;
    assert_eq!(operator.run(&["shard", "add", "shard-x"]).await.code, 64);

    let path = |number: u32| data.path().join(format!("shard-{number}.sqlite"));
    copy(&unused.path().join("shard-0.sqlite"), &path(5));
    add("shard-5", "of another cluster").await;
    for (from, to) in [("shard-0.sqlite", 6), ("shard-1.sqlite", 7)] {
        copy(&used.path().join(from), &path(to));
        add(&format!("shard-{to}"), &format!("the database of shard {to} is")).await;
    }
    std::fs::write(path(8), [b'x'; 8_192]).expect("a file");
    add("shard-8", "shard-8.sqlite").await;

    let changes = operator.done(&["changes"]).await;
    assert_eq!(changes["changes"], serde_json::json!([]));
    let list = operator.done(&["shard", "list"]).await;
    assert_eq!(list["shards"].as_array().map(Vec::len), Some(2));
    assert!(!path(63).exists() && !path(2).exists());
    assert!(running.is_ready());

    operator.done(&["shard", "add", "shard-2"]).await;
    operator.until_active(2).await;
    add("shard-2", "shard 2 is already in the cluster, active at shard-2").await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_is_known_by_the_folders_secret_alone() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let running = Running::start(data.path()).await;
    let operator = &running.operator;
    for arguments in [&["shard", "list"][..], &["slots"], &["nodes"], &["plan"], &["throttle"]] {
        operator.done(arguments).await;
    }
    operator.done(&["where", "77"]).await;
    operator.done(&["throttle", "8MiB"]).await;
    assert_eq!(operator.done(&["throttle"]).await["bytes_per_second"], 8 << 20);
    operator.refused(&["move", "show", "1"], "there is no move 1").await;
    let stranger = crate::operator::Operator { secret: "x".to_owned(), ..operator.clone() };
    stranger.refused(&["shard", "list"], "secret").await;
    stranger.refused(&["shard", "add", "shard-2"], "secret").await;
    running.stop().await;
}
