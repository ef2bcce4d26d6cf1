//! What one call changes or shows: shards, plans, moves, the throttle, capacity.

use crate::cluster::{Ended, Running, cluster, ends, run};
use crate::moving::a_move;
use serde_json::Value;
use shardline_wire::internal::MoveInfo;

fn says(ended: &Ended, code: u8, parts: &[&str]) {
    assert_eq!(ended.code, code, "{}{}", ended.out, ended.err);
    let (said, silent) =
        if code == 0 { (&ended.out, &ended.err) } else { (&ended.err, &ended.out) };
    assert_eq!(silent, "");
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
}

async fn json(cluster: &Running, arguments: &[&str]) -> Value {
    let ended = cluster.ask(&[arguments, &["--json"]].concat()).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{arguments:?}");
    serde_json::from_str(&ended.out).expect("it is JSON")
}

#[tokio::test]
async fn each_change_of_a_shard_is_made_once_and_says_what_comes_next() {
    let cluster = cluster().await;
    for (arguments, parts) in [
        (&["shard", "add", "h:8123"][..], &["shard 2 is joining", "rebalance"][..]),
        (&["shard", "add", "h:8123", "--weight", "7"], &["joining"]),
        (&["shard", "drain", "1"], &["shard 1 is draining", "shard remove"]),
        (&["shard", "drain", "1", "--undo"], &["shard 1 is active"]),
        (&["shard", "remove", "1"], &["shard 1 is removed", "stopped"]),
        (&["shard", "reweight", "1", "50"], &["weight 50"]),
        (&["shard", "reweight", "1", "100"], &["as before"]),
    ] {
        says(&cluster.ask(arguments).await, 0, parts);
    }
    let expected = [
        "anna: weight 100 of 1",
        "anna: weight 50 of 1",
        "anna: remove 1",
        "anna: drain 1 undo true",
        "anna: drain 1 undo false",
        "anna: add h:8123 weight 7",
        "anna: add h:8123 weight 0",
    ];
    assert_eq!(cluster.moving.changes(), expected);
    let shown = cluster.ask(&["changes", "--limit", "1"]).await;
    let table = "\
AT (UTC)                 BY    WHAT
2000-02-29 00:00:00.000  anna  weight 100 of 1
";
    assert_eq!(shown.out, table);
    assert_eq!(json(&cluster, &["changes"]).await["changes"][6]["number"], 1);
    assert_eq!(json(&cluster, &["shard", "drain", "1"]).await["state"], "draining");
}

#[tokio::test]
async fn what_the_cluster_refuses_ends_with_1_and_says_what_to_do() {
    ends(&["shard", "remove", "0"], 1, &["16384 slots", "shard drain 0", "move finish"]).await;
    ends(&["shard", "drain", "0"], 1, &["the last", "shard add"]).await;
    ends(&["shard", "add", "127.0.0.1:1"], 1, &["no shard-node answers", "nothing was changed"])
        .await;
    for arguments in [["shard", "remove", "9"], ["shard", "drain", "9"]] {
        ends(&arguments, 1, &["there is no shard 9", "shard list"]).await;
    }
    ends(&["shard", "reweight", "9", "5"], 1, &["there is no shard 9", "shard list"]).await;
    for verb in ["show", "wait", "pause", "resume", "abort", "reverse", "finish"] {
        ends(&["move", verb, "77"], 1, &["there is no move 77", "move list --all"]).await;
    }
    ends(&["rebalance", "stop"], 1, &["no rebalance is running", "move list"]).await;

    let cluster = cluster().await;
    cluster.moving.moves(vec![a_move(4, "following")]);
    says(&cluster.ask(&["move", "abort", "4"]).await, 1, &["has flipped", "move reverse 4"]);
    assert!(cluster.moving.changes().is_empty());
}

#[tokio::test]
async fn what_makes_no_sense_is_not_asked() {
    for arguments in [
        &["shard", "reweight", "1", "0"][..],
        &["shard", "reweight", "1", "-5"],
        &["shard", "reweight", "1"],
        &["shard", "add", "h:8123", "--weight", "0"],
        &["shard", "add", "nowhere"],
        &["shard", "remove"],
        &["shard", "remove", "x"],
        &["rebalance", "--window", "5"],
        &["rebalance", "--window", "1h", "watch"],
        &["move", "abort", "all"],
        &["move", "frobnicate", "1"],
        &["throttle", "0"],
        &["capacity", "--users", "0"],
        &["capacity", "--active", "120"],
    ] {
        let ended = run(arguments).await;
        assert_eq!((ended.code, ended.out.as_str()), (64, ""), "{arguments:?}: {}", ended.err);
        assert!(!ended.err.is_empty(), "it says what was wrong");
    }
}

#[tokio::test]
async fn without_the_operators_secret_nothing_changes() {
    let cluster = cluster().await;
    for secret in ["--secret", "--admin-secret"] {
        let arguments = ["shard", "remove", "1", "--router", &cluster.address, secret, "wrong"];
        let ended = run(&arguments).await;
        says(&ended, 1, &["SHARDLINE_ADMIN_SECRET"]);
        assert!(!ended.err.contains("wrong"), "a secret is not repeated: {}", ended.err);
    }
    assert!(cluster.moving.changes().is_empty());
}

#[tokio::test]
async fn a_plan_shows_what_it_costs_and_changes_nothing() {
    let cluster = cluster().await;
    let expected = "\
SHARD  STATE    WEIGHT  SLOTS   THEN  CHANGE
    0  active      100  16384  16381      -3
    1  joining     100      0      3      +3

MOVE    SLOTS  ENTITIES    ROWS   BYTES    TIME  PAUSE
0 to 1      3     1,000  25,000  3.0 MB  1m 10s  45 ms

3 slots, 3.0 MB, about 1m 10s in all; writes to a slot wait about as long as PAUSE says, once
TIME is measured: 400 rows and 50 kB a second, by the last 9 moves that copied much
to begin exactly this: shardctl rebalance --plan ab12
";
    assert_eq!(cluster.ask(&["plan"]).await.out, expected);
    assert!(!cluster.moving.running());
    let shown = json(&cluster, &["plan"]).await;
    assert_eq!(shown["moves"][0]["slots"][2], 3);
    assert_eq!((&shown["pace"]["measured"], &shown["pace"]["moves"]), (&true.into(), &9.into()));
    cluster.moving.is_balanced();
    says(&cluster.ask(&["plan"]).await, 0, &["nothing is to be moved"]);
    says(&cluster.ask(&["rebalance"]).await, 0, &["nothing is to be moved"]);
}

#[tokio::test]
async fn moves_are_a_table_with_what_they_wait_for_and_a_total() {
    let cluster = cluster().await;
    says(&cluster.ask(&["move", "list"]).await, 0, &["no moves are under way", "--all"]);
    let waits = MoveInfo {
        blocked: "target".to_owned(),
        lag_entities: 12,
        eta_ms: Some(90_000),
        ..a_move(1, "copying")
    };
    let done = MoveInfo { pause_ms: Some(41), ..a_move(2, "done") };
    cluster.moving.moves(vec![waits, done]);
    let expected = "\
MOVE  SHARDS  SLOTS  PHASE    ATTEMPT  SINCE    ROWS   BYTES  LAG     ETA  PAUSE  WAITS FOR
   1  0 to 1      3  copying        1    1 s  12,345  1.5 MB   12  1m 30s      -  target
   2  0 to 1      3  done           1    1 s  12,345  1.5 MB    0       -  41 ms  -

2 moves, 3 slots, 24,690 rows, 3.0 MB; pause of a slot p50 41 ms, p99 41 ms, max 41 ms
";
    assert_eq!(cluster.ask(&["move", "list", "--all"]).await.out, expected);
    assert_eq!(cluster.ask(&["move", "list", "--all", "--rebalance", "1,2"]).await.out, expected);
    let listed = json(&cluster, &["move", "list", "--all"]).await;
    assert_eq!(listed["moves"][0]["blocked"], "target");
    assert_eq!(listed["total"]["pause_max_ms"], 41);
}

#[tokio::test]
async fn a_move_is_shown_with_its_slots_and_its_journal() {
    let cluster = cluster().await;
    cluster.moving.moves(vec![a_move(1, "copying")]);
    let expected = "\
move 1: 0 to 1, 3 slots, copying 50 %, 12,345 rows; wish: proceed
begun 1m 05s ago, in this phase for 1 s; copied 500 of 1,000 entities, 12,345 rows, 1.5 MB; window 1h 00m
slots 1-3, 9

AT (UTC)                 STEP             ATTEMPT  TERM  DETAIL
2000-02-29 00:00:00.000  planned                1     4  rebalance 1
2000-02-29 00:00:00.000  wish in planned        1     -  pause, by anna
";
    assert_eq!(cluster.ask(&["move", "show", "1"]).await.out, expected);
    assert_eq!(json(&cluster, &["move", "show", "1"]).await["journal"][1]["term"], 0);
}

#[tokio::test]
async fn wishes_reach_the_cluster_by_their_names() {
    let cluster = cluster().await;
    cluster.moving.moves(vec![a_move(1, "copying")]);
    for (verb, wish) in [
        ("pause", "pause"),
        ("resume", "proceed"),
        ("abort", "abort"),
        ("reverse", "reverse"),
        ("finish", "finish"),
    ] {
        let wished = json(&cluster, &["move", verb, "1"]).await;
        assert_eq!(wished["wish"], wish);
        assert_eq!(cluster.moving.changes()[0], format!("anna: move 1: {wish}"));
    }
}

#[tokio::test]
async fn waiting_for_a_move_ends_as_it_did() {
    let cluster = cluster().await;
    for (phase, code) in [("done", 0), ("aborted", 3)] {
        cluster.moving.moves(vec![a_move(1, phase)]);
        let ended = cluster.ask(&["move", "wait", "1"]).await;
        assert_eq!(ended.code, code, "{}", ended.err);
        assert!(ended.out.contains(phase), "{}", ended.out);
    }
}

#[tokio::test]
async fn the_throttle_is_set_and_shown() {
    let cluster = cluster().await;
    says(&cluster.ask(&["throttle"]).await, 0, &["as fast as the shards let them"]);
    says(&cluster.ask(&["throttle", "2MB"]).await, 0, &["at most 2.0 MB/s"]);
    assert_eq!(json(&cluster, &["throttle"]).await["bytes_per_second"], 2_000_000);
    says(&cluster.ask(&["throttle", "off"]).await, 0, &["as fast"]);
}

#[tokio::test]
async fn capacity_needs_no_router_and_says_what_it_assumes() {
    let ended = run(&["capacity"]).await;
    says(&ended, 0, &["10M", "1B", "Arithmetic, not a measurement", "60 % of users"]);
    let line = |name: &str| {
        let line =
            ended.out.lines().find(|line| line.starts_with(name)).expect("a line").to_owned();
        line.split_whitespace().rev().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(line("shards  "), ["1752", "18"]);
    assert_eq!(line("conn-nodes"), ["2500", "25"]);
    let ended = run(&["capacity", "--users", "50k", "--days", "90", "--json"]).await;
    let json: Value = serde_json::from_str(&ended.out).expect("it is JSON");
    assert_eq!(json["needs"][0]["shards"], 1.0);
    assert_eq!(json["assumptions"]["days"], 90.0);
}
