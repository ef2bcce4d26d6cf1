//! PUT /v1/chats/{chat}/read, and what becomes of a cursor.

use crate::world::{Person, World, until, world, world_with, world_without_cache};
use reqwest::Method;
use serde_json::json;
use shardline_backends::cursors::{Cursors, Mark};
use shardline_domain::id::{ChatId, UserId};
use std::time::Duration;

struct Talk {
    world: World,
    anna: Person,
    bob: Person,
    chat: String,
}

/// Bob has ten unread messages of Anna's.
async fn talk(world: World) -> Talk {
    let (anna, bob) = (world.person("anna").await, world.person("bob").await);
    let chat = world.direct(&anna, &bob).await;
    for number in 0..10 {
        world.send(&anna, &chat, &number.to_string()).await.expect(201);
    }
    Talk { world, anna, bob, chat }
}

impl Talk {
    async fn read(&self, seq: u64) -> u64 {
        let path = format!("/v1/chats/{}/read", self.chat);
        self.world.put(&self.bob, &path, json!({"seq": seq})).await.expect(200).number("read_seq")
    }

    /// (read_seq, unread) of bob, as a node shows it.
    async fn shown(&self, node: usize) -> (u64, u64) {
        let path = format!("/v1/chats/{}", self.chat);
        let token = Some(self.bob.token.as_str());
        let item = self.world.at(node, Method::GET, &path, token, None).await.expect(200);
        (item.number("read_seq"), item.number("unread"))
    }

    fn stored(&self) -> Option<u64> {
        let number = |text: &str| text.parse().expect("a number");
        self.world.toy.stored_read_seq(number(&self.chat), number(&self.bob.id))
    }
}

#[tokio::test]
async fn a_cursor_only_grows_and_ends_at_the_head() {
    let talk = talk(world().await).await;
    assert_eq!(talk.shown(0).await, (0, 10));
    assert_eq!(talk.read(4).await, 4);
    assert_eq!(talk.shown(0).await, (4, 6));
    assert_eq!(talk.read(2).await, 4);
    assert_eq!(talk.read(0).await, 4);
    assert_eq!(talk.read(i64::MAX as u64).await, 10);
    assert_eq!(talk.shown(0).await, (10, 0));
    // A message later there is one unread.
    talk.world.send(&talk.anna, &talk.chat, "more").await.expect(201);
    assert_eq!(talk.shown(0).await, (10, 1));
    assert_eq!(talk.read(11).await, 11);
    talk.world.stop().await;
}

#[tokio::test]
async fn a_cursor_shows_on_the_other_node_at_once_and_reaches_its_shard() {
    let slow = |config: &mut shardline_conn_node::config::Config| {
        config.cursor_flush_every = Duration::from_millis(500);
    };
    let talk = talk(world_with(slow).await).await;
    assert_eq!(talk.read(7).await, 7);
    assert_eq!(talk.stored(), Some(0), "not yet");
    assert_eq!(talk.shown(1).await, (7, 3));
    until("the shard has it", async || talk.stored() == Some(7)).await;
    assert_eq!(talk.shown(1).await, (7, 3));
    talk.world.stop().await;
}

#[tokio::test]
async fn a_cursor_survives_the_loss_of_the_cache_while_its_shard_is_away() {
    let talk = talk(world().await).await;
    let chat: u64 = talk.chat.parse().expect("a number");
    assert_eq!(talk.read(6).await, 6);
    talk.world.toy.take_down(chat);
    let path = format!("/v1/chats/{chat}/read");
    talk.world.put(&talk.bob, &path, json!({"seq": 7})).await.expect(503);
    talk.world.cursors.wipe();
    talk.world.toy.bring_back(chat);
    until("the shard has it", async || talk.stored() == Some(6)).await;
    talk.world.stop().await;
}

#[tokio::test]
async fn a_cursor_left_behind_in_the_cache_is_flushed_by_others() {
    let soon = |config: &mut shardline_conn_node::config::Config| {
        config.cursors_left_after = Duration::from_millis(200);
    };
    let talk = talk(world_with(soon).await).await;
    let id = |text: &str| text.parse::<u64>().expect("a number");
    let mark = Mark {
        chat: ChatId::new(id(&talk.chat)).expect("an id"),
        user: UserId::new(id(&talk.bob.id)).expect("an id"),
        seq: 8,
    };
    // As a node would have that died right after.
    talk.world.cursors.merge(&[mark]).await.expect("in memory");
    assert_eq!(talk.shown(0).await, (8, 2));
    until("the shard has it", async || talk.stored() == Some(8)).await;
    talk.world.stop().await;
}

#[tokio::test]
async fn without_the_cache_a_cursor_goes_to_its_shard_before_it_is_answered() {
    let talk = talk(world_without_cache().await).await;
    assert_eq!(talk.read(9).await, 9);
    assert_eq!(talk.stored(), Some(9));
    assert_eq!(talk.shown(1).await, (9, 1));
    assert_eq!(talk.read(4).await, 9);
    let chat: u64 = talk.chat.parse().expect("a number");
    talk.world.toy.take_down(chat);
    let path = format!("/v1/chats/{}/read", talk.chat);
    let reply = talk.world.put(&talk.bob, &path, json!({"seq": 10})).await;
    reply.problem(503, "try_again", "");
    talk.world.stop().await;
}

#[tokio::test]
async fn a_stopping_node_leaves_no_cursor_behind() {
    let never = |config: &mut shardline_conn_node::config::Config| {
        config.cursor_flush_every = Duration::from_secs(3600);
    };
    let talk = talk(world_with(never).await).await;
    assert_eq!(talk.read(5).await, 5);
    let (toy, chat, bob) = (talk.world.toy.clone(), talk.chat.clone(), talk.bob.id.clone());
    talk.world.stop().await;
    let stored =
        toy.stored_read_seq(chat.parse().expect("a number"), bob.parse().expect("a number"));
    assert_eq!(stored, Some(5));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_by_field() {
    let talk = talk(world().await).await;
    let eve = talk.world.person("eve").await;
    let path = format!("/v1/chats/{}/read", talk.chat);
    for body in [
        json!({}),
        json!({"seq": -1}),
        json!({"seq": "1"}),
        json!({"seq": 1.5}),
        json!({"seq": u64::MAX}),
    ] {
        talk.world.put(&talk.bob, &path, body).await.problem(400, "bad_request", "seq");
    }
    talk.world.put(&eve, &path, json!({"seq": 1})).await.problem(403, "not_member", "");
    let nowhere = "/v1/chats/12345/read";
    talk.world.put(&talk.bob, nowhere, json!({"seq": 1})).await.problem(404, "not_found", "");
    talk.world.stop().await;
}
