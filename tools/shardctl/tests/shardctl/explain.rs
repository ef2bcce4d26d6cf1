//! The stages of one message, as a table and as JSON.

use crate::cluster::{ask, ends, prints, run};

#[tokio::test]
async fn every_stage_has_its_time_and_who_says_so() {
    let expected = "\
message     3 of chat 77, ver 5
sender      @ann
changed     neither edited nor deleted; the chat is at seq 4, ver 6
kept in     slot 12, shard 1 at epoch 2, lane 0 of shard-node-1
durable     fsync

STAGE       AT (UTC)                 AFTER  WHAT
accepted    2000-02-29 00:00:00.000  +0 ms  its batch had waited for its lane for 1 ms
committed   2000-02-29 00:00:00.004  +4 ms  commit 20 of lane 0, which changed 2 entities
relayed     2000-02-29 00:00:00.005  +5 ms  it is on the bus, as the lane's commits up to 20 of 21
dispatched  2000-02-29 00:00:00.006  +6 ms  by router-2, which owns partition 3, in a batch of 4; 1 ms later on the streams of conn-1; full, so they ask for it: conn-2
pushed      2000-02-29 00:00:00.008  +8 ms  conn-1 put it into the queues of 2 sessions
pushed      -                               conn-2 did not answer in time
read        -                               by 2 of 3 members, as far as the shard knows: @ann, 9
";
    prints(&["explain", "77", "3"], expected).await;
}

#[tokio::test]
async fn what_is_forgotten_and_who_is_silent_is_said() {
    let ended = ask(&["explain", "77", "4"]).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    for part in [
        "deleted with ver 6",
        "sender      8",
        "committed   -",
        "when is not remembered any more",
        "dispatched  -",
        "not known: router-2 did not answer: it did not answer in time",
    ] {
        assert!(ended.out.contains(part), "{part:?} is not in {}", ended.out);
    }
}

#[tokio::test]
async fn it_is_also_json_without_a_body() {
    let ended = ask(&["explain", "77", "3", "--json"]).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    let value: serde_json::Value = serde_json::from_str(&ended.out).expect("it is JSON");
    assert_eq!(value["message"]["chat"], "77", "ids are strings");
    assert_eq!(value["message"]["sender_name"], "ann");
    let stages = value["stages"].as_array().expect("stages");
    let names: Vec<_> = stages.iter().filter_map(|stage| stage["stage"].as_str()).collect();
    let expected = ["accepted", "committed", "relayed", "dispatched", "pushed", "pushed", "read"];
    assert_eq!(names, expected);
    assert_eq!(stages[5]["at_ms"], serde_json::Value::Null);
    assert!(!ended.out.contains("body"));
}

#[tokio::test]
async fn what_is_not_there_and_what_is_no_chat_end_differently() {
    ends(&["explain", "77", "9"], 1, &["chat 77 has no message 9, its newest is 4"]).await;
    for arguments in [
        &["explain", "x", "1"][..],
        &["explain", "0", "1"],
        &["explain", "9223372036854775808", "1"],
        &["explain", "77", "0"],
        &["explain", "77", "-1"],
        &["explain", "77"],
    ] {
        let ended = run(arguments).await;
        assert_eq!((ended.code, ended.out.as_str()), (64, ""), "{arguments:?}: {}", ended.err);
    }
}
