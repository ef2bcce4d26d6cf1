//! What is only asked: shards, slots, places, nodes; and how the tool ends when nobody answers.

use crate::cluster::{SECRET, ask, cluster, ends, prints, run};

#[tokio::test]
async fn shards_are_a_table() {
    let expected = "\
SHARD  STATE   WEIGHT  SLOTS  WRITER        TERM  ADDRESS         REPORTED   TO RELAY  DURABILITY
    0  active     100      3  shard-node-0     7  127.0.0.1:8121  0.4 s ago         2  fsync
    1  active      50      0  -                0  -               never             0  -
";
    prints(&["shard", "list"], expected).await;
}

#[tokio::test]
async fn slots_are_ranges() {
    let expected = "\
SHARD  SLOTS  EPOCH  RANGES
    0      4      1  0-2, 5
    1      1      1  3
";
    prints(&["slots"], expected).await;
    prints(&["slots", "--shard", "0"], "4 slots, epoch 1\n0-2, 5\n").await;
    prints(&["slots", "--shard", "7"], "the shard has no slots\n").await;
}

#[tokio::test]
async fn a_place_says_everything_on_the_way() {
    let expected = "\
entity      77
slot        4
shard       1
epoch       2
written at  -
partition   0
router      router-2
";
    prints(&["where", "77"], expected).await;
}

#[tokio::test]
async fn everything_is_also_json() {
    for arguments in [&["shard", "list"][..], &["slots"], &["where", "@ann"], &["nodes"]] {
        let ended = ask(&[arguments, &["--json"]].concat()).await;
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{arguments:?}");
        let value: serde_json::Value = serde_json::from_str(&ended.out).expect("it is JSON");
        assert!(value.is_object(), "{value}");
        if arguments[0] == "where" {
            assert_eq!(value["entity"], "9223372036854775807", "ids are strings");
        }
        if arguments[0] == "shard" {
            assert_eq!(value["shards"][1]["reported_ms_ago"], serde_json::Value::Null);
        }
    }
}

#[tokio::test]
async fn what_a_router_refuses_ends_with_1_and_its_words() {
    ends(&["where", "@bob"], 1, &["there is no user @bob"]).await;
    ends(&["slots", "--shard", "9"], 1, &["there is no shard 9"]).await;
    ends(&["where", "@busy"], 1, &["the catalog is unavailable", "try again"]).await;
}

#[tokio::test]
async fn a_wrong_secret_says_which_to_give() {
    let cluster = cluster().await;
    for secret in [&["--secret", "wrong"][..], &["--secret", ""]] {
        let ended = run(&[&["nodes", "--router", &cluster.address], secret].concat()).await;
        assert_eq!(ended.code, 1, "{}", ended.err);
        assert!(ended.err.contains("SHARDLINE_SECRET"), "{}", ended.err);
        assert!(!ended.err.contains("wrong"), "a secret is not repeated: {}", ended.err);
    }
}

#[tokio::test]
async fn nobody_there_ends_with_2_and_the_addresses_tried() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = free.local_addr().expect("its address").to_string();
    drop(free);
    let ended = run(&["nodes", "--router", &address]).await;
    assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{}", ended.err);
    assert!(ended.err.contains(&address) && ended.err.contains("--router"), "{}", ended.err);

    let cluster = cluster().await;
    let both = format!("{address},{}", cluster.address);
    let ended = run(&["nodes", "--router", &both, "--secret", SECRET]).await;
    assert_eq!(ended.code, 0, "the next one answers: {}", ended.err);
}

#[tokio::test]
async fn a_router_that_does_not_answer_is_not_waited_for_long() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("its address").to_string();
    let ended = run(&["nodes", "--router", &address, "--timeout", "1"]).await;
    assert_eq!(ended.code, 2, "{}", ended.err);
}

#[tokio::test]
async fn what_is_not_understood_ends_with_64() {
    for arguments in [
        &["frobnicate"][..],
        &[],
        &["slots", "--shard", "x"],
        &["where", "0"],
        &["where", "ann"],
        &["where", "@"],
        &["nodes", "--router", "http://[", "--timeout", "1"],
        &["nodes", "--timeout", "0"],
    ] {
        let ended = run(arguments).await;
        assert_eq!((ended.code, ended.out.as_str()), (64, ""), "{arguments:?}: {}", ended.err);
        assert!(!ended.err.is_empty(), "it says what was wrong");
    }
    assert!(run(&["where", "ann"]).await.err.contains("@ann"), "a hint");
}

#[tokio::test]
async fn help_and_completions_need_no_router() {
    let help = run(&["--help"]).await;
    assert_eq!(help.code, 0);
    assert!(help.out.contains("Exit codes"), "{}", help.out);
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]).await;
        assert_eq!(script.code, 0);
        assert!(script.out.contains("shardctl"), "{shell}");
    }
}
