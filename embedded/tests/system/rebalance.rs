//! Slots move between shards while people talk.

use crate::embedded::Running;
use crate::person::{Person, text};
use futures::future::join_all;
use shardline_client::frames::History;
use shardline_client::{Client, Encoding, Seen};
use shardline_wire::internal::{
    ListMovesRequest, RebalanceRequest, ReweightShardRequest, ShowMoveRequest,
};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(240);

async fn weighs(running: &Running, shard: u32, weight: u32) {
    let request = ReweightShardRequest { shard, weight, by: "test".to_owned() };
    running.operations.reweight_shard(request).await.expect("a weight");
}

/// Shard 1 gets the weight, and slots move until everything is where it says. How many moved.
async fn rebalanced(running: &Running, weight: u32) -> u32 {
    let by = "test".to_owned();
    weighs(running, 1, weight).await;
    let request = RebalanceRequest { window_ms: Some(0), digest: String::new(), by };
    let begun = running.operations.rebalance(request).await.expect("nothing runs");
    let id = begun.rebalance.expect("there is much to do").rebalance;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let request = ListMovesRequest { all: true, rebalance: Some(id) };
        let seen = running.operations.list_moves(request).await.expect("an answer");
        let state = seen.rebalance.map(|newest| newest.state).expect("it began");
        if state != "running" {
            let mut journals = Vec::new();
            for info in seen.moves.iter().filter(|info| info.phase != "done") {
                let request = ShowMoveRequest { r#move: info.r#move };
                journals.push(running.operations.show_move(request).await);
            }
            assert_eq!(state, "done", "{journals:?}");
            let pauses: Vec<_> = seen.moves.iter().map(|info| info.pause_ms).collect();
            assert!(pauses.iter().all(|ms| ms.is_some_and(|ms| ms < 1_500)), "{pauses:?}");
            return seen.moves.iter().map(|info| info.slots).sum();
        }
        assert!(Instant::now() < deadline, "never done: {:?}", seen.moves);
        sleep(Duration::from_millis(100)).await;
    }
}

/// Whoever does not read what comes is sent nothing more, and sends nothing.
async fn reads(mut seen: mpsc::Receiver<Seen>) {
    while seen.recv().await.is_some() {}
}

/// Sends until told to stop, one after another; the texts that were acknowledged.
async fn talks(of: &Client, chat: u64, stop: &Notify) -> Vec<String> {
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

async fn history(of: &Client, chat: u64) -> Vec<String> {
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
        weighs(&running, 0, 10).await;
        let there = rebalanced(&running, 13).await;
        let back = rebalanced(&running, 10).await;
        stop.notify_waiters();
        (there, back)
    };
    let (said, (there, back)) = tokio::join!(talking, moving);
    assert_eq!((there, back), (1_068, 1_068));
    for ((chat, client), said) in chats.iter().zip(&clients).zip(said) {
        assert!(10 < said.len(), "{}", said.len());
        assert_eq!(history(client, *chat).await, said, "each once, in order");
        let next = alice.send(*chat, "and on").await.expect("stored");
        assert_eq!(next.seq, Some(said.len() as u64 + 1));
    }
    running.stop().await;
}
