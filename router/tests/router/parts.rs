//! Calls about several entities: split by shard, joined, without what failed.

use crate::fixture::{World, chat_in};
use shardline_wire::call::NodeOp;
use shardline_wire::internal::{
    Call, EntityRef, GetHeads, HeadView, HeadsPage, NameView, NamesPage, SearchNames, call::Op,
    reply::Answer,
};
use shardline_wire::refusal::{Code, Refusal};

/// Answers heads of all it is asked for, with the epoch as ver.
fn heads(call: &Call) -> Result<Answer, Refusal> {
    let Some(Op::GetHeads(asked)) = &call.op else {
        return Err(Refusal::internal("another op"));
    };
    let head = |entity: &EntityRef| HeadView {
        entity: entity.entity,
        ver: entity.epoch,
        ..HeadView::default()
    };
    Ok(Answer::Heads(HeadsPage { heads: asked.entities.iter().map(head).collect() }))
}

fn asked(chats: &[u64]) -> NodeOp {
    let entity = |chat: &u64| EntityRef { entity: *chat, epoch: 0 };
    let op = Op::GetHeads(GetHeads { entities: chats.iter().map(entity).collect() });
    NodeOp::Call(Call { op: Some(op), ..Call::default() })
}

fn answered(outcome: Result<Answer, Refusal>) -> Vec<(u64, u64)> {
    match outcome {
        Ok(Answer::Heads(page)) => page.heads.iter().map(|head| (head.entity, head.ver)).collect(),
        other => panic!("no heads: {other:?}"),
    }
}

/// One chat on the first shard, one on the second, one on the first.
fn chats() -> [u64; 3] {
    [chat_in(0, 1), chat_in(8_000, 1), chat_in(16_383, 1)]
}

#[tokio::test(start_paused = true)]
async fn parts_are_joined_in_the_order_asked() {
    let world = World::new();
    let router = world.start("a").await;
    let node = world.node(&router, "n").await;
    ["one", "two"].iter().for_each(|shard| world.shards.at(shard).answer_with(heads));
    let [first, second, third] = chats();
    let heads = answered(node.ask(asked(&[third, second, first])).await);
    assert_eq!(heads, [(third, 1), (second, 1), (first, 1)]);
    assert_eq!(answered(node.ask(asked(&[])).await), []);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_missing_and_only_if_all_fails_the_call_does() {
    let world = World::new();
    let router = world.start("a").await;
    let node = world.node(&router, "n").await;
    let fails = |_: &Call| Err(Refusal::try_again("its database is away", 100));
    world.shards.at("one").answer_with(heads);
    world.shards.at("two").answer_with(fails);
    let [first, second, third] = chats();
    // An id that is none, and a slot without a shard, are missing like what failed.
    let nowhere = chat_in(5, 1);
    let heads = answered(node.ask(asked(&[0, first, nowhere, second, third])).await);
    assert_eq!(heads, [(first, 1), (third, 1)]);

    world.shards.at("one").answer_with(fails);
    let refusal = node.ask(asked(&chats())).await.expect_err("all parts failed");
    assert_eq!(refusal.code(), Code::TryAgain);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_shards_part_is_left_out_in_time() {
    let world = World::new();
    let router = world.start("a").await;
    let node = world.node(&router, "n").await;
    world.shards.at("one").answer_with(heads);
    world.shards.at("two").hold();
    let [first, second, third] = chats();
    let heads = answered(node.ask(asked(&[second, first, third])).await);
    assert_eq!(heads, [(first, 1), (third, 1)]);
    let refusal = node.ask(asked(&[second])).await.expect_err("nobody answered");
    assert_eq!(refusal.code(), Code::TryAgain);
    world.shards.at("two").answer_all();
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_part_that_moved_is_asked_again_where_it_is() {
    let world = World::new();
    let router = world.start("a").await;
    let node = world.node(&router, "n").await;
    world
        .shards
        .at("one")
        .answer_with(|_| Err(Refusal { epoch: 1, ..Refusal::new(Code::WrongEpoch, "given away") }));
    world.shards.at("two").answer_with(heads);
    let [first, second, _] = chats();
    let waiting = node.submit(asked(&[first, second]));
    world.catalog.put_slot(0, 2, 2);
    let outcome = waiting.await.expect("an answer");
    assert_eq!(answered(outcome), [(first, 2), (second, 1)]);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn names_are_searched_everywhere() {
    let world = World::new();
    let router = world.start("a").await;
    let node = world.node(&router, "n").await;
    for (shard, names) in [("one", ["anna", "axel"]), ("two", ["abel", "anton"])] {
        world.shards.at(shard).answer_with(move |_| {
            let view = |name: &str| NameView { name: name.to_owned(), user: 1 };
            Ok(Answer::Names(NamesPage { names: names.map(view).to_vec() }))
        });
    }
    let op = Op::SearchNames(SearchNames { prefix: "a".to_owned(), limit: 3 });
    let answer = node.ask(NodeOp::Call(Call { op: Some(op), ..Call::default() })).await;
    let Ok(Answer::Names(page)) = answer else { panic!("no names: {answer:?}") };
    let names: Vec<&str> = page.names.iter().map(|name| name.name.as_str()).collect();
    assert_eq!(names, ["abel", "anna", "anton"]);
    world.stop().await;
}
