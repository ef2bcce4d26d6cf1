//! A rebalance looked at until it ends, or until nobody wants to look any more.

use crate::cluster::cluster;
use crate::moving::a_move;
use serde_json::Value;
use shardline_wire::internal::MoveInfo;
use std::time::Duration;

fn done() -> MoveInfo {
    MoveInfo { pause_ms: Some(38), ..a_move(1, "done") }
}

#[tokio::test]
async fn a_line_for_each_change_and_one_for_the_end() {
    let cluster = cluster().await;
    cluster.moving.course(vec![
        ("running", vec![]),
        ("running", vec![a_move(1, "copying")]),
        ("running", vec![MoveInfo { rows: 20_000, ..a_move(1, "copying") }]),
        ("done", vec![done()]),
    ]);
    let ended = cluster.ask(&["rebalance", "--window", "0", "--plan", "ab12"]).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    let lines: Vec<&str> = ended.out.lines().collect();
    assert_eq!(lines[0], "rebalance 1: 3 slots are to move");
    assert_eq!(lines[1], "move 1: 0 to 1, 3 slots, copying 50 %, 12,345 rows");
    assert_eq!(lines[2], "move 1: 0 to 1, 3 slots, done, paused 38 ms");
    assert!(lines[3].starts_with("rebalance 1: done in "), "{}", lines[3]);
    assert!(lines[3].ends_with("p50 38 ms, p99 38 ms, max 38 ms"), "{}", lines[3]);
    assert_eq!(lines.len(), 4, "{}", ended.out);
}

#[tokio::test]
async fn as_json_each_line_is_an_object() {
    let cluster = cluster().await;
    cluster.moving.course(vec![("running", vec![a_move(1, "copying")]), ("done", vec![done()])]);
    let ended = cluster.ask(&["rebalance", "--json"]).await;
    let lines = ended.out.lines().map(|line| serde_json::from_str(line).expect("it is JSON"));
    let lines: Vec<Value> = lines.collect();
    let events: Vec<&Value> = lines.iter().map(|line| &line["event"]).collect();
    assert_eq!(events, ["rebalance", "move", "move", "end"]);
    assert_eq!(lines[3]["state"], "done");
    assert_eq!(lines[3]["pause_p99_ms"], 38);
}

#[tokio::test]
async fn on_a_terminal_the_picture_is_drawn_over_itself() {
    let cluster = cluster().await;
    cluster.moving.course(vec![("running", vec![a_move(1, "copying")]), ("done", vec![done()])]);
    let ended = cluster.on_a_terminal(&["rebalance"]).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out.contains("] ") && ended.out.contains("0 of 3 slots"), "{}", ended.out);
    assert!(ended.out.contains("\x1b[4A\x1b[J"), "{:?}", ended.out);
    let last = ended.out.lines().last().expect("a last line");
    assert!(last.contains("rebalance 1: done"), "{last}");
}

#[tokio::test]
async fn moves_that_were_aborted_end_it_with_3() {
    for state in ["failed", "stopped"] {
        let cluster = cluster().await;
        cluster.moving.course(vec![(state, vec![a_move(1, "aborted")])]);
        let ended = cluster.ask(&["rebalance"]).await;
        assert_eq!(ended.code, 3, "{}{}", ended.out, ended.err);
        assert!(ended.out.contains(&format!("it is {state}")), "the reason: {}", ended.out);
        assert!(ended.out.contains("1 aborted"), "{}", ended.out);
    }
}

#[tokio::test]
async fn ctrl_c_leaves_it_running_and_says_so() {
    let cluster = cluster().await;
    cluster.moving.course(vec![("running", vec![a_move(1, "copying")])]);
    let ended = cluster.ask_until(&["rebalance"], Some(Duration::from_millis(700))).await;
    assert_eq!(ended.code, 130, "{}", ended.err);
    for part in ["goes on", "rebalance watch", "rebalance stop"] {
        assert!(ended.err.contains(part), "{}", ended.err);
    }
    assert!(cluster.moving.running());

    let second = cluster.ask(&["rebalance"]).await;
    assert_eq!(second.code, 1, "two at once");
    assert!(second.err.contains("begun by bob") && second.err.contains("rebalance watch"));
    cluster.moving.course(vec![("running", vec![]), ("done", vec![done()])]);
    let watched = cluster.ask(&["rebalance", "watch"]).await;
    assert_eq!(watched.code, 0, "{}", watched.err);
    assert!(watched.out.contains("rebalance 1: done"), "{}", watched.out);
    assert!(cluster.ask(&["rebalance", "watch"]).await.out.contains("no rebalance runs"));
}

#[tokio::test]
async fn a_catalog_that_is_away_for_a_moment_ends_nothing() {
    let cluster = cluster().await;
    cluster.moving.course(vec![("running", vec![a_move(1, "copying")]), ("done", vec![done()])]);
    cluster.moving.fails(2);
    let ended = cluster.ask(&["rebalance"]).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
}

#[tokio::test]
async fn it_may_be_begun_only_and_stopped_later() {
    let cluster = cluster().await;
    let begun = cluster.ask(&["rebalance", "--detach"]).await;
    assert_eq!(begun.code, 0, "{}", begun.err);
    assert!(begun.out.contains("rebalance 1 of anna is running"), "{}", begun.out);
    let stopped = cluster.ask(&["rebalance", "stop"]).await;
    assert!(stopped.out.contains("stopped by anna"), "{}", stopped.out);
    assert!(!cluster.moving.running());
}

#[tokio::test]
async fn another_plan_than_the_one_shown_is_not_begun() {
    let cluster = cluster().await;
    let ended = cluster.ask(&["rebalance", "--plan", "other"]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("another one now") && ended.err.contains("shardctl plan"));
    assert!(!cluster.moving.running());
}
