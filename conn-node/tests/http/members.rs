//! /v1/chats/{chat}/members.

use crate::world::{Person, Reply, World, world};
use reqwest::Method;
use serde_json::json;

async fn roles(world: &World, person: &Person, path: &str) -> Vec<(String, String)> {
    let reply = world.get(person, path).await.expect(200);
    items(&reply)
}

fn items(reply: &Reply) -> Vec<(String, String)> {
    let items = reply.body["items"].as_array().expect("items");
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    items.iter().map(|member| (text(&member["user"]), text(&member["role"]))).collect()
}

#[tokio::test]
async fn members_come_change_and_go() {
    let world = world().await;
    let (anna, bob) = (world.person("anna").await, world.person("bob").await);
    let eve = world.person("eve").await;
    let chat = world.group(&anna, &[]).await;
    let path = format!("/v1/chats/{chat}/members");

    let added = json!({"users": [bob.id, eve.id, bob.id], "role": "moderator"});
    let added = world.post(&anna, &path, added).await.expect(200);
    assert!(added.number("ver") > 0 && added.body["log"].is_string());
    assert_eq!(roles(&world, &bob, &path).await.len(), 3);
    assert_eq!(added.body["items"][0]["role"], "moderator");

    let of_bob = format!("{path}/{}", bob.id);
    let muted = world.patch(&anna, &of_bob, json!({"role": "muted"})).await.expect(200);
    assert_eq!(items(&muted), [(bob.id.clone(), "muted".to_owned())]);
    world.send(&bob, &chat, "may I?").await.problem(403, "muted", "");
    world.patch(&bob, &of_bob, json!({"role": "admin"})).await.problem(403, "forbidden", "");
    world.patch(&anna, &of_bob, json!({"role": "king"})).await.problem(400, "bad_request", "role");
    world.patch(&anna, &of_bob, json!({})).await.problem(400, "bad_request", "role");

    world.delete(&bob, &format!("{path}/{}", eve.id)).await.problem(403, "forbidden", "");
    let gone = world.delete(&anna, &of_bob).await.expect(200);
    assert_eq!(gone.body["items"][0]["left_ver"], gone.body["ver"]);
    world.get(&bob, &path).await.problem(403, "not_member", "");
    world.delete(&anna, &of_bob).await.problem(404, "not_found", "user");
    // Leaving is removing oneself.
    world.delete(&eve, &format!("{path}/{}", eve.id)).await.expect(200);
    assert_eq!(roles(&world, &anna, &path).await, [(anna.id.clone(), "owner".to_owned())]);
    world.stop().await;
}

#[tokio::test]
async fn members_have_names_as_far_as_their_shards_answer() {
    let world = world().await;
    let (anna, bob) = (world.person("anna").await, world.person("bob").await);
    let chat = world.group(&anna, &[&bob]).await;
    let path = format!("/v1/chats/{chat}/members");
    world.patch(&bob, "/v1/me", json!({"display_name": "Bob B."})).await.expect(200);
    let of_bob = |reply: &Reply| {
        let members = reply.body["items"].as_array().expect("items");
        let bob = members.iter().find(|member| member["user"] == bob.id).expect("a member");
        (bob["name"].clone(), bob["display_name"].clone())
    };
    let named = (json!("bob"), json!("Bob B."));
    assert_eq!(of_bob(&world.get(&anna, &path).await.expect(200)), named);
    let muted = json!({"role": "muted"});
    let changed = world.patch(&anna, &format!("{path}/{}", bob.id), muted).await.expect(200);
    assert_eq!(of_bob(&changed), named);
    // A node that never saw him says who the others are.
    world.toy.take_down(bob.id.parse().expect("a number"));
    let elsewhere = world.at(1, Method::GET, &path, Some(&anna.token), None).await.expect(200);
    assert_eq!(of_bob(&elsewhere), (json!(null), json!(null)));
    assert_eq!(elsewhere.body["items"].as_array().map(Vec::len), Some(2));
    world.stop().await;
}

#[tokio::test]
async fn a_long_list_of_members_is_paged() {
    let world = world().await;
    let anna = world.person("anna").await;
    let mut people = Vec::new();
    for number in 0..6 {
        people.push(world.person(&format!("bob{number}")).await);
    }
    let chat = world.group(&anna, &people.iter().collect::<Vec<_>>()).await;
    let (mut seen, mut query) = (Vec::new(), "?limit=3".to_owned());
    loop {
        let reply = world.get(&anna, &format!("/v1/chats/{chat}/members{query}")).await.expect(200);
        let page = items(&reply);
        assert!(page.len() <= 3);
        seen.extend(page.into_iter().map(|(user, _)| user.parse::<u64>().expect("an id")));
        match reply.body["next_cursor"].as_str() {
            None => break,
            Some(cursor) => query = format!("?limit=3&cursor={cursor}"),
        }
    }
    assert_eq!(seen.len(), 7);
    assert!(seen.is_sorted());
    let bad = format!("/v1/chats/{chat}/members?cursor=AAAA");
    world.get(&anna, &bad).await.problem(400, "bad_request", "cursor");
    world.stop().await;
}

#[tokio::test]
async fn what_cannot_be_members_is_refused_by_field() {
    let world = world().await;
    let anna = world.person("anna").await;
    let chat = world.group(&anna, &[]).await;
    let path = format!("/v1/chats/{chat}/members");
    let many: Vec<String> = (1..=201).map(|number| number.to_string()).collect();
    for (body, status, code, field) in [
        (json!({"users": []}), 400, "bad_request", "users"),
        (json!({}), 400, "bad_request", "users"),
        (json!({"users": many}), 400, "bad_request", "users"),
        (json!({"users": ["12345"]}), 404, "not_found", "users"),
        (json!({"users": ["12345"], "role": "king"}), 400, "bad_request", "role"),
    ] {
        world.post(&anna, &path, body).await.problem(status, code, field);
    }
    for method in [Method::PATCH, Method::DELETE] {
        let token = Some(anna.token.as_str());
        let body = Some(json!({"role": "member"}));
        let reply = world.at(0, method, &format!("{path}/-7"), token, body).await;
        reply.problem(400, "bad_request", "user");
    }
    world.stop().await;
}
