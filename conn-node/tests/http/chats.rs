//! /v1/chats and /v1/chats/{chat}.

use crate::world::{Person, Reply, World, new_id, until, world};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use shardline_domain::id::{ChatId, UserId};

fn user(person: &Person) -> UserId {
    person.id.parse().expect("an id")
}

#[tokio::test]
async fn a_direct_chat_is_one_whoever_asks_first() {
    let world = world().await;
    let (anna, bob) = (world.person("anna").await, world.person("bob").await);
    let body = json!({"kind": "direct", "user": bob.id});
    let first = world.post(&anna, "/v1/chats", body.clone()).await.expect(201);
    assert_eq!(first.body["kind"], "direct");
    assert_eq!(first.body["peer"]["name"], "bob");
    assert_eq!(first.body["members_count"], 2);
    assert_eq!(first.body["last_message"], Value::Null);
    for field in ["head_seq", "read_seq", "unread"] {
        assert_eq!(first.number(field), 0, "{field}");
    }
    let again = world.post(&anna, "/v1/chats", body).await.expect(200);
    assert_eq!(again.body, first.body);
    let back = json!({"kind": "direct", "user": anna.id});
    let back = world.post(&bob, "/v1/chats", back).await.expect(200);
    assert_eq!(
        (&back.body["chat"], &back.body["peer"]["name"]),
        (&first.body["chat"], &json!("anna"))
    );
    world.stop().await;
}

#[tokio::test]
async fn a_chats_id_taken_by_another_chat_is_stepped_over() {
    let world = world().await;
    let (anna, bob) = (world.person("anna").await, world.person("bob").await);
    let first = ChatId::of_direct(user(&anna), user(&bob), 0);
    world.toy.occupy_chat_id(first.get());
    let chat = world.direct(&anna, &bob).await;
    assert_eq!(chat, ChatId::of_direct(user(&anna), user(&bob), 1).to_string());
    assert_eq!(world.direct(&bob, &anna).await, chat);
    world.stop().await;
}

#[tokio::test]
async fn a_group_is_created_once_by_its_client_chat_id() {
    let world = world().await;
    let (anna, bob) = (world.person("anna").await, world.person("bob").await);
    let title = " <b>'; DROP TABLE chats; --</b> ";
    let id = new_id().to_uppercase();
    let body = json!({"kind": "group", "title": title, "members": [bob.id], "client_chat_id": id});
    let first = world.post(&anna, "/v1/chats", body.clone()).await.expect(201);
    assert_eq!((&first.body["title"], &first.body["members_count"]), (&json!(title), &json!(2)));
    assert_eq!((&first.body["role"], &first.body["history"]), (&json!("owner"), &json!("all")));
    assert!(first.body.get("peer").is_none());
    let again = world.post(&anna, "/v1/chats", body.clone()).await.expect(200);
    assert_eq!(again.body["chat"], first.body["chat"]);
    // Another's request by that id is another chat, and so is one without.
    let of_bob = json!({"kind": "group", "title": "t", "client_chat_id": id});
    let of_bob = world.post(&bob, "/v1/chats", of_bob).await.expect(201);
    assert_ne!(of_bob.body["chat"], first.body["chat"]);
    let without = json!({"kind": "channel", "title": "t"});
    let one = world.post(&anna, "/v1/chats", without.clone()).await.expect(201);
    let other = world.post(&anna, "/v1/chats", without).await.expect(201);
    assert_ne!(one.body["chat"], other.body["chat"]);
    world.stop().await;
}

#[tokio::test]
async fn what_cannot_be_a_chat_is_refused_by_field() {
    let world = world().await;
    let (anna, bob) = (world.person("anna").await, world.person("bob").await);
    let many: Vec<String> = (1..=201).map(|number| number.to_string()).collect();
    for (body, status, code, field) in [
        (json!({"kind": "party", "title": "t"}), 400, "bad_request", "kind"),
        (json!({"title": "t"}), 400, "bad_request", "kind"),
        (json!({"kind": "direct"}), 400, "bad_request", "user"),
        (json!({"kind": "direct", "user": anna.id}), 400, "bad_request", "user"),
        (json!({"kind": "direct", "user": "-5"}), 400, "bad_request", "user"),
        (json!({"kind": "direct", "user": 5}), 400, "bad_request", "user"),
        (json!({"kind": "direct", "user": "12345"}), 404, "not_found", "user"),
        (json!({"kind": "group"}), 400, "bad_request", "title"),
        (json!({"kind": "group", "title": ""}), 400, "bad_request", "title"),
        (json!({"kind": "group", "title": "x".repeat(129)}), 400, "bad_request", "title"),
        (json!({"kind": "group", "title": "t", "members": ["12345"]}), 404, "not_found", "members"),
        (json!({"kind": "group", "title": "t", "members": many}), 400, "bad_request", "members"),
        (json!({"kind": "group", "title": "t", "history": "none"}), 400, "bad_request", "history"),
        (
            json!({"kind": "group", "title": "t", "client_chat_id": "7"}),
            400,
            "bad_request",
            "client_chat_id",
        ),
    ] {
        world.post(&anna, "/v1/chats", body).await.problem(status, code, field);
    }
    let bobs_id: u64 = bob.id.parse().expect("a number");
    world.toy.take_down(bobs_id);
    let body = json!({"kind": "direct", "user": bob.id});
    world.post(&anna, "/v1/chats", body).await.problem(503, "try_again", "user");
    world.stop().await;
}

#[tokio::test]
async fn a_chat_is_seen_and_changed_by_its_members_only() {
    let world = world().await;
    let (anna, bob) = (world.person("anna").await, world.person("bob").await);
    let eve = world.person("eve").await;
    let chat = world.group(&anna, &[&bob]).await;
    let path = format!("/v1/chats/{chat}");
    assert_eq!(world.get(&bob, &path).await.expect(200).body["role"], "member");
    world.get(&eve, &path).await.problem(403, "not_member", "");
    world.get(&anna, "/v1/chats/12345").await.problem(404, "not_found", "");
    for bad in ["0", "-1", "1.5", "9223372036854775808", "%00", "x"] {
        world.get(&anna, &format!("/v1/chats/{bad}")).await.problem(400, "bad_request", "chat");
    }

    let seen = world.get(&anna, &path).await.number("head_ver");
    let patch = json!({"title": "new", "history": "joined", "if_ver": seen});
    let changed = world.patch(&anna, &path, patch.clone()).await.expect(200);
    assert_eq!(
        (&changed.body["title"], &changed.body["history"]),
        (&json!("new"), &json!("joined"))
    );
    world.patch(&anna, &path, patch).await.problem(409, "conflict", "if_ver");
    world.patch(&bob, &path, json!({"title": "mine"})).await.problem(403, "forbidden", "");
    world.patch(&eve, &path, json!({"title": "mine"})).await.problem(403, "not_member", "");
    let unchanged = world.patch(&anna, &path, json!({})).await.expect(200);
    assert_eq!(unchanged.body["title"], "new");
    for (patch, field) in [
        (json!({"title": ""}), "title"),
        (json!({"title": "t", "if_ver": -1}), "if_ver"),
        (json!({"title": "t", "if_ver": u64::MAX}), "if_ver"),
        (json!({"history": "some"}), "history"),
    ] {
        world.patch(&anna, &path, patch).await.problem(400, "bad_request", field);
    }

    world.delete(&bob, &path).await.problem(403, "forbidden", "");
    let ended = world.delete(&anna, &path).await.expect(200);
    assert_eq!((&ended.body["ended"], &ended.body["chat"]), (&json!(true), &json!(chat)));
    world.get(&anna, &path).await.problem(404, "not_found", "");
    world.stop().await;
}

async fn page(world: &World, person: &Person, query: &str) -> (Vec<String>, Option<String>, Reply) {
    let reply = world.get(person, &format!("/v1/chats{query}")).await.expect(200);
    let items = reply.body["items"].as_array().expect("items");
    let chats = items.iter().map(|item| item["chat"].as_str().expect("an id").to_owned()).collect();
    let next = reply.body.get("next_cursor").expect("is always there");
    let next = next.as_str().map(str::to_owned);
    (chats, next, reply)
}

#[tokio::test]
async fn the_list_is_by_activity_and_one_paging_is_one_snapshot() {
    let world = world().await;
    let anna = world.person("anna").await;
    let mut chats = Vec::new();
    for number in 0..7 {
        let bob = world.person(&format!("bob{number}")).await;
        let chat = world.direct(&anna, &bob).await;
        world.send(&bob, &chat, "hello").await.expect(201);
        chats.insert(0, chat);
    }
    let (all, none, reply) = page(&world, &anna, "").await;
    assert_eq!((&all, &none), (&chats, &None));
    assert_eq!(reply.body["items"][0]["last_message"]["body"]["text"], "hello");
    assert_eq!(reply.body["items"][0]["unread"], 1);
    assert!(reply.number("list_ver") >= 7);

    let (mut seen, mut next, _) = page(&world, &anna, "?limit=3").await;
    // The last chat becomes the newest while pages are turned.
    world.send(&anna, &chats[6], "news").await.expect(201);
    while let Some(cursor) = next {
        let (more, after, _) = page(&world, &anna, &format!("?limit=3&cursor={cursor}")).await;
        seen.extend(more);
        next = after;
    }
    assert_eq!(seen, chats);
    let (now, _, _) = page(&world, &anna, "?limit=1").await;
    assert_eq!(now, [chats[6].clone()]);

    for (query, field) in [
        ("?limit=0", "limit"),
        ("?limit=-1", "limit"),
        ("?limit=1e9", "limit"),
        ("?limit=99999999999999999999", "limit"),
        ("?limit=1&limit=2", "limit"),
        ("?cursor=x", "cursor"),
        ("?cursor=", "cursor"),
    ] {
        let reply = world.get(&anna, &format!("/v1/chats{query}")).await;
        reply.problem(400, "bad_request", field);
    }
    assert_eq!(page(&world, &anna, "?limit=1000000").await.0.len(), 7);
    world.stop().await;
}

#[tokio::test]
async fn chats_of_a_shard_that_is_away_are_missing_until_it_is_back() {
    let world = world().await;
    let (anna, bob) = (world.person("anna").await, world.person("bob").await);
    let (one, other) = (world.direct(&anna, &bob).await, world.group(&anna, &[]).await);
    let id: u64 = one.parse().expect("a number");
    world.toy.take_down(id);
    assert_eq!(page(&world, &anna, "").await.0, [other]);
    world.get(&anna, &format!("/v1/chats/{one}")).await.problem(503, "try_again", "");
    world.toy.bring_back(id);
    assert_eq!(page(&world, &anna, "").await.0.len(), 2);
    world.stop().await;
}

#[tokio::test]
async fn a_chat_is_read_also_while_its_readers_own_shard_is_away() {
    let world = world().await;
    let (anna, bob) = (world.person("anna").await, world.person("bob").await);
    let chat = world.direct(&anna, &bob).await;
    world.send(&anna, &chat, "first").await.expect(201);
    world.toy.take_down(anna.id.parse().expect("a number"));
    let path = format!("/v1/chats/{chat}");
    world.get(&anna, &path).await.expect(200);
    // Her name is known from before, so she writes on, too.
    until("a name that is only known from before", async || {
        world.send(&anna, &chat, "second").await.expect(201).number("seq") > 2
    })
    .await;
    world.stop().await;
}

/// One `chats` frame over a socket, answered.
async fn chats_frame(world: &World, person: &Person, frame: Value) -> Value {
    let url = format!("ws://{}/v1/ws", world.address(0));
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("a socket");
    let hello = json!({"type": "hello", "token": person.token, "device": "test"});
    for frame in [hello, frame] {
        socket.send(frame.to_string().into()).await.expect("is sent");
    }
    while let Some(Ok(message)) = socket.next().await {
        let Ok(text) = message.into_text() else { continue };
        let frames: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let frames = frames.as_array().cloned().unwrap_or_else(|| vec![frames]);
        if let Some(answer) = frames.into_iter().find(|frame| frame["id"] == 9) {
            return answer;
        }
    }
    panic!("the socket ended without an answer");
}

#[tokio::test]
async fn what_changed_in_the_list_comes_alone_if_it_fits_a_page() {
    let world = world().await;
    let (anna, bob) = (world.person("anna").await, world.person("bob").await);
    let old = world.direct(&anna, &bob).await;
    let left = world.group(&bob, &[&anna]).await;
    let (_, _, reply) = page(&world, &anna, "").await;
    let since = reply.number("list_ver");
    let members = format!("/v1/chats/{left}/members/{}", anna.id);
    world.delete(&anna, &members).await.expect(200);
    let new = [world.group(&anna, &[]).await, world.group(&anna, &[]).await];

    let ask = |since: u64, limit: u64| json!({"type": "chats", "id": 9, "since_list_ver": since, "limit": limit});
    let ids = |answer: &Value| -> Vec<String> {
        let items = answer["items"].as_array().expect("items").iter();
        items.map(|item| item["chat"].as_str().expect("an id").to_owned()).collect()
    };
    let changed = chats_frame(&world, &anna, ask(since, 50)).await;
    assert_eq!((&changed["type"], &changed["state"]), (&json!("chats"), &json!("resumed")));
    assert_eq!(changed["gone"], json!([left]));
    let mut came = ids(&changed);
    came.sort_unstable();
    let mut expected = new.to_vec();
    expected.sort_unstable();
    assert_eq!(came, expected);
    assert_eq!(changed["list_ver"], since + 3);

    let nothing = chats_frame(&world, &anna, ask(since + 3, 50)).await;
    assert_eq!((&nothing["state"], ids(&nothing).len()), (&json!("resumed"), 0));
    // More than a page: the list from its beginning.
    let page = chats_frame(&world, &anna, ask(since, 1)).await;
    assert_eq!((&page["state"], ids(&page).len()), (&json!("resynced"), 1));
    assert!(page["next_cursor"].is_string());
    let all = chats_frame(&world, &anna, json!({"type": "chats", "id": 9})).await;
    assert!(ids(&all).contains(&old) && all.get("state").is_none());
    world.stop().await;
}
