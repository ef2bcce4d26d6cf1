//! Slots move between shards while people talk.

use crate::embedded::Running;
use crate::operator::Operator;
use crate::person::{Person, text};
use futures::future::join_all;
use shardline_client::frames::History;
use shardline_client::{Client, Encoding, Seen};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(240);

/// Shard 1 gets the weight, and slots move until everything is where it says. How many moved.
async fn rebalanced(operator: &Operator, weight: &str) -> u64 {
    operator.done(&["shard", "reweight", "1", weight]).await;
    let ended = operator.rebalanced(&["--window", "0"]).await;
    assert_eq!(ended["state"], "done", "{ended}");
    let list = ["move", "list", "--all", "--rebalance", &ended["rebalance"].to_string()];
    let moves = operator.done(&list).await["moves"].as_array().expect("moves").clone();
    let pauses: Vec<_> = moves.iter().map(|shown| shown["pause_ms"].as_u64()).collect();
    assert!(pauses.iter().all(|ms| ms.is_some_and(|ms| ms < 1_500)), "{pauses:?}");
    moves.iter().filter_map(|shown| shown["slots"].as_u64()).sum()
}

/// Whoever does not read what comes is sent nothing more, and sends nothing.
pub(crate) async fn reads(mut seen: mpsc::Receiver<Seen>) {
    while seen.recv().await.is_some() {}
}

/// Sends until told to stop, one after another; the texts that were acknowledged.
pub(crate) async fn talks(of: &Client, chat: u64, stop: &Notify) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let stopped = stop.notified();
    tokio::pin!(stopped);
    for number in 0.. {
        let text = format!("{chat}: {number}");
        of.send(chat, text.clone()).await.expect("stored while slots move");
        acknowledged.push(text);
        tokio::select! {
            () = &mut stopped => break,
            () = sleep(Duration::from_millis(5)) => {}
        }
    }
    acknowledged
}

pub(crate) async fn history(of: &Client, chat: u64) -> Vec<String> {
    let mut texts = Vec::new();
    let mut after = 0;
    loop {
        let ask = History { chat, after_seq: Some(after), limit: Some(200), ..History::default() };
        let page = of.history(ask).await.expect("a page");
        for message in &page.messages {
            assert_eq!(message.seq, after + 1, "dense");
            after = message.seq;
            texts.push(text(message).to_owned());
        }
        if page.at_end {
            return texts;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_move_there_and_back_while_people_talk() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let running = Running::start(data.path()).await;
    let alice = running.place.person("alice", 0, Encoding::Json).await;
    let (mut clients, mut chats, mut readers) = (Vec::new(), Vec::new(), JoinSet::new());
    for number in 0..8 {
        let person = running.place.person(&format!("person{number}"), 0, Encoding::Proto).await;
        chats.push(alice.direct(&person).await);
        clients.push(person.client);
        readers.spawn(reads(person.seen));
    }
    let Person { client: alice, seen, .. } = alice;
    readers.spawn(reads(seen));
    let stop = Notify::new();
    let talking = join_all(chats.iter().map(|chat| talks(&alice, *chat, &stop)));
    let moving = async {
        sleep(Duration::from_millis(300)).await;
        let operator = &running.operator;
        operator.done(&["shard", "reweight", "0", "10"]).await;
        let there = rebalanced(operator, "13").await;
        let back = rebalanced(operator, "10").await;
        stop.notify_waiters();
        (there, back)
    };
    let both = async { tokio::join!(talking, moving) };
    let (said, (there, back)) = timeout(PATIENCE, both).await.expect("it ends");
    assert_eq!((there, back), (1_068, 1_068));
    for ((chat, client), said) in chats.iter().zip(&clients).zip(said) {
        assert!(10 < said.len(), "{}", said.len());
        assert_eq!(history(client, *chat).await, said, "each once, in order");
        let next = alice.send(*chat, "and on").await.expect("stored");
        assert_eq!(next.seq, Some(said.len() as u64 + 1));
    }
    running.stop().await;
}
