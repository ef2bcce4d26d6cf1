//! Sends: acknowledged once stored, in the order sent, whatever happens to routers.

use crate::client::{Bench, Client, send, until};
use serde_json::{Value, json};
use shardline_wire::refusal::{Code, Refusal};
use std::time::Duration;

const CHAT: u64 = 1 << 50;

async fn acks(client: &mut Client, count: usize) -> Vec<Value> {
    let mut acks = Vec::new();
    while acks.len() < count {
        let frame = client.frame().await;
        if frame["id"].is_u64() {
            acks.push(frame);
        }
    }
    acks
}

fn texts(count: u64) -> Vec<String> {
    (1..=count).map(|n| format!("message {n}")).collect()
}

async fn send_many(client: &mut Client, count: u64) {
    let sends: Vec<Value> = (1..=count).map(|n| send(n, CHAT, &format!("message {n}"))).collect();
    for part in sends.chunks(50) {
        client.say(json!(part)).await;
    }
}

#[tokio::test]
async fn a_send_is_acknowledged_with_what_was_stored() {
    let bench = Bench::start().await;
    bench.world.chat(CHAT, &[5, 6]);
    let mut client = bench.client(5).await;
    let frame = send(1, CHAT, "hi");
    let ack = client.ask(frame.clone()).await;
    assert_eq!(ack["type"], "ack", "{ack}");
    assert_eq!(
        (&ack["seq"], &ack["ver"], &ack["duplicate"]),
        (&json!(1), &json!(2), &json!(false))
    );
    assert_eq!(ack["client_msg_id"], frame["client_msg_id"]);
    assert_eq!(ack["log"], "99");
    let again = client.ask(frame).await;
    assert_eq!((&again["seq"], &again["duplicate"]), (&json!(1), &json!(true)));
    assert_eq!(bench.world.texts(CHAT), ["hi"]);
}

#[tokio::test]
async fn many_at_once_are_stored_in_the_order_sent() {
    let bench = Bench::start().await;
    bench.world.chat(CHAT, &[5]);
    let mut client = bench.client(5).await;
    send_many(&mut client, 300).await;
    let acks = acks(&mut client, 300).await;
    assert!(acks.iter().all(|ack| ack["type"] == "ack"));
    assert_eq!(bench.world.texts(CHAT), texts(300));
}

#[tokio::test]
async fn when_a_router_goes_its_sends_go_to_the_next_and_the_client_stays() {
    let bench = Bench::start().await;
    bench.world.chat(CHAT, &[5]);
    let mut client = bench.client(5).await;
    // Stored, and the answers are lost with the router.
    bench.world.keep_answers();
    send_many(&mut client, 40).await;
    until("all on their way", || bench.world.kept() == 40).await;
    bench.world.kill_owner(CHAT);
    let acks = acks(&mut client, 40).await;
    for ack in &acks {
        assert_eq!((&ack["type"], &ack["duplicate"]), (&json!("ack"), &json!(true)), "{ack}");
    }
    assert_eq!(bench.world.texts(CHAT), texts(40));
    assert_eq!(client.ask(send(99, CHAT, "after")).await["duplicate"], false);
}

#[tokio::test]
async fn if_one_must_be_repeated_later_so_must_those_behind_it() {
    let bench = Bench::start().await;
    bench.world.chat(CHAT, &[5]);
    let mut client = bench.client(5).await;
    bench.world.refuse_sends(Some(Refusal::try_again("the database is away", 50)));
    let first = send(1, CHAT, "first");
    let answer = client.ask(first.clone()).await;
    assert_eq!((&answer["code"], &answer["retry"]), (&json!("try_again"), &json!("later")));
    bench.world.refuse_sends(None);
    let second = send(2, CHAT, "second");
    assert_eq!(client.ask(second.clone()).await["retry"], "later");
    for frame in [first, second] {
        assert_eq!(client.ask(frame).await["type"], "ack");
    }
    assert_eq!(bench.world.texts(CHAT), ["first", "second"]);
}

#[tokio::test]
async fn a_refusal_for_good_does_not_hold_up_the_next() {
    let bench = Bench::start().await;
    bench.world.chat(CHAT, &[5]);
    let mut client = bench.client(5).await;
    bench.world.refuse_sends(Some(Refusal::new(Code::Muted, "muted")));
    let answer = client.ask(send(1, CHAT, "first")).await;
    assert_eq!((&answer["code"], &answer["retry"]), (&json!("muted"), &json!("never")));
    bench.world.refuse_sends(None);
    assert_eq!(client.ask(send(2, CHAT, "second")).await["type"], "ack");
}

#[tokio::test]
async fn one_beyond_the_rate_is_told_when_to_come_back() {
    let bench = Bench::start_with(|config| {
        config.rates.sends_a_second = 2.try_into().expect("not zero");
    })
    .await;
    bench.world.chat(CHAT, &[5]);
    let mut client = bench.client(5).await;
    send_many(&mut client, 10).await;
    let answers = acks(&mut client, 10).await;
    let is_limited =
        |answer: &&Value| answer["code"] == "rate_limited" && answer["retry"] == "later";
    assert!(answers.iter().any(|answer| is_limited(&answer)), "{answers:?}");
    let stored = bench.world.texts(CHAT);
    // The first ones, without a hole.
    assert_eq!(stored, texts(stored.len() as u64));
}

#[tokio::test]
async fn a_node_that_stops_answers_what_it_took() {
    let bench = Bench::start().await;
    bench.world.chat(CHAT, &[5]);
    let mut client = bench.client(5).await;
    bench.world.keep_answers();
    send_many(&mut client, 3).await;
    until("all on their way", || bench.world.kept() == 3).await;
    bench.lifecycle.stop();
    tokio::time::sleep(Duration::from_millis(100)).await;
    bench.world.kill_owner(CHAT);
    let acks = acks(&mut client, 3).await;
    assert!(acks.iter().all(|ack| ack["type"] == "ack"), "{acks:?}");
    assert_eq!(client.closed().await.1, 4000);
}
