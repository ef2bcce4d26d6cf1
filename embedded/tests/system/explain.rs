//! The stages of one message, by the operators' port.

use crate::embedded::Running;
use crate::person::{PATIENCE, text};
use serde_json::Value;
use shardline_client::Encoding;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// As soon as the read cursor is at the shard.
async fn explained(running: &Running, chat: u64, seq: u64, readers: u64) -> Value {
    let (chat, seq) = (chat.to_string(), seq.to_string());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let explained = running.operator.done(&["explain", &chat, &seq]).await;
        let stages = explained["stages"].as_array().expect("stages");
        if stages.last().is_some_and(|read| read["count"] == readers) {
            return explained;
        }
        assert!(Instant::now() < deadline, "never read: {explained:#}");
        sleep(Duration::from_millis(100)).await;
    }
}

fn at_ms(explained: &Value, stage: &str) -> i64 {
    let stages = explained["stages"].as_array().expect("stages");
    let found = stages.iter().find(|one| one["stage"] == stage).expect("each stage is there");
    found["at_ms"].as_i64().unwrap_or_else(|| panic!("{stage} has a time: {explained:#}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_was_sent_received_and_read_has_every_stage_in_order() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let running = Running::start(data.path()).await;
    let alice = running.place.person("alice", 0, Encoding::Json).await;
    let mut bob = running.place.person("bob", 0, Encoding::Json).await;
    let chat = alice.direct(&bob).await;
    bob.client.open(chat, None).await.expect("his chat");
    let ack = alice.client.send(chat, "a secret").await.expect("stored");
    assert_eq!(text(&bob.messages(chat, 1).await[0]), "a secret");
    assert_eq!(bob.client.read(chat, 1).await, Ok(1));

    let seen = explained(&running, chat, 1, 2).await;
    let stages = seen["stages"].as_array().expect("stages");
    let names: Vec<_> = stages.iter().filter_map(|stage| stage["stage"].as_str()).collect();
    let expected = ["accepted", "committed", "relayed", "dispatched", "pushed", "read"];
    assert_eq!(names, expected);
    let at = |stage| at_ms(&seen, stage);
    assert!(at("accepted") <= at("committed") && at("committed") <= at("relayed"), "{seen:#}");
    assert!(at("committed") <= at("dispatched") && at("dispatched") <= at("pushed"), "{seen:#}");
    assert_eq!(stages[2]["state"], "on_the_bus");
    assert_eq!(stages[3]["nodes"], serde_json::json!(["conn-1"]));
    assert_eq!(stages[4]["sessions"], 2, "both have it: {seen:#}");
    let message = &seen["message"];
    assert_eq!(message["sender_name"], alice.name.as_str());
    assert_eq!((message["seq"].as_u64(), message["ver"].as_u64()), (ack.seq, ack.ver));
    assert!(!seen.to_string().contains("a secret"));

    let (chat_text, nobody) = (chat.to_string(), (chat ^ 1).to_string());
    running.operator.refused(&["explain", &chat_text, "2"], "has no message 2").await;
    running.operator.refused(&["explain", &nobody, "1"], "there is no chat").await;
    assert_eq!(running.operator.run(&["explain", "nonsense", "1"]).await.code, 64);

    // What only memory knew is gone with it, and that is said.
    let running = running.restart(data.path()).await;
    let seen = explained(&running, chat, 1, 2).await;
    assert_eq!(at_ms(&seen, "accepted"), message["sent_at_ms"].as_i64().expect("a time"));
    let stages = seen["stages"].as_array().expect("stages");
    for stage in &stages[1..5] {
        assert_eq!(stage["at_ms"], Value::Null, "{stage}");
        let what = stage["what"].as_str().expect("words");
        assert!(what.contains("not remembered any more"), "{what}");
    }
    assert_eq!(stages[2]["state"], "on_the_bus");
    running.stop().await;
}
