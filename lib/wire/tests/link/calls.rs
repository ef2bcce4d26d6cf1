//! Calls to a shard: their order, their end when the stream breaks or the shard is silent.

use crate::fixture::{Echo, LIMIT, any_port, call, connected, serve, serve_shard, trust};
use shardline_wire::call::{Done, ShardConnect, wait};
use shardline_wire::internal::{Call, GetHistory, Send, call::Op, reply::Answer};
use shardline_wire::link::ShardLinks;
use shardline_wire::refusal::{Code, Refusal};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_carried_out_in_the_order_submitted() {
    let (address, _stop) = serve_shard(any_port()).await;
    let shard = ShardLinks::new(trust("s")).open(&address.to_string());
    connected(shard.as_ref()).await;
    let outcomes: Vec<_> = (100..2_100)
        .map(|entity| {
            let (done, outcome) = Done::channel();
            shard.submit(Call { entity, ..Call::default() }, done);
            outcome
        })
        .collect();
    let mut turns = Vec::new();
    for (entity, outcome) in (100..).zip(outcomes) {
        match wait(outcome, LIMIT).await {
            Ok(Answer::Changed(changed)) if changed.seq == entity => turns.push(changed.ver),
            other => panic!("{other:?}"),
        }
    }
    assert!(turns.is_sorted_by(|a, b| a < b));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_flight_when_the_stream_broke_is_unknown_and_the_stream_comes_back() {
    let (address, stop) = serve_shard(any_port()).await;
    let shard = ShardLinks::new(trust("s")).open(&address.to_string());
    connected(shard.as_ref()).await;
    let (done, outcome) = Done::channel();
    shard.submit(Call { entity: 13, ..Call::default() }, done);
    stop.cancel();
    let broken = wait(outcome, LIMIT).await.map_err(|refusal| refusal.code());
    assert_eq!(broken, Err(Code::Unknown));
    let (_, _stop) = serve_shard(address).await;
    connected(shard.as_ref()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_secret_gets_no_stream() {
    let (address, _stop) = serve_shard(any_port()).await;
    let stranger = ShardLinks::new(trust("another")).open(&address.to_string());
    let friend = ShardLinks::new(trust("s")).open(&address.to_string());
    connected(friend.as_ref()).await;
    let refused = call(stranger.as_ref(), 1).await.map_err(|refusal| refusal.code());
    assert_eq!(refused, Err(Code::TryAgain));
}

#[tokio::test]
async fn a_done_that_is_dropped_reports_unknown() {
    let (done, outcome) = Done::channel();
    drop(done);
    let unknown: Result<(), Refusal> = wait(outcome, LIMIT).await.map(|_| ());
    assert_eq!(unknown.map_err(|refusal| refusal.code()), Err(Code::Unknown));
}

/// Of entity 13, which the shard keeps for ever.
fn silent(op: Op) -> Call {
    Call { entity: 13, op: Some(op), ..Call::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_shard_costs_its_callers_a_bounded_time() {
    let echo = Arc::new(Echo::default());
    let (address, _stop) = serve(any_port(), echo.clone(), trust("s")).await;
    let links = ShardLinks::new(trust("s")).answering_within(Duration::from_millis(400));
    let shard = links.open(&address.to_string());
    connected(shard.as_ref()).await;
    let submit = |call| {
        let (done, outcome) = Done::channel();
        shard.submit(call, done);
        async { wait(outcome, LIMIT).await.map_err(|refusal| (refusal.code(), refusal.message)) }
    };
    let late = || "no answer in time".to_owned();
    let write = submit(silent(Op::Send(Send::default())));
    let read = submit(silent(Op::GetHistory(GetHistory::default())));
    assert_eq!(write.await, Err((Code::Unknown, late())));
    assert_eq!(read.await, Err((Code::TryAgain, late())));

    // The late answers come, and are nobody's.
    let kept = std::mem::take(&mut *echo.kept.lock().expect("no panic holds it"));
    assert_eq!(kept.len(), 2);
    kept.into_iter().for_each(|done| done.finish(Err(Refusal::internal("late"))));
    for entity in 20..30 {
        let answer = call(shard.as_ref(), entity).await;
        assert!(matches!(answer, Ok(Answer::Changed(changed)) if changed.seq == entity));
    }
}
