//! What holds for all routes: the framework's own answers, the page, cross-origin requests.

use crate::world::{world, world_with};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn the_frameworks_own_answers_are_problems_too() {
    let world = world().await;
    let anna = world.person("anna").await;
    for path in ["/nothing", "/v1", "/v1/chats/1/x", "/v1/chats/", "//", "/healthz", "/metrics"] {
        world.anyone(Method::GET, path, None).await.problem(404, "not_found", "");
    }
    for (method, path) in
        [(Method::DELETE, "/v1/users"), (Method::PUT, "/v1/me"), (Method::POST, "/")]
    {
        let reply = world.anyone(method, path, None).await.problem(405, "bad_request", "");
        assert!(reply.headers.contains_key("allow"), "{path}");
    }
    let plain = "POST /v1/users HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n";
    for kind in
        ["", "content-type: text/plain\r\n", "content-type: application/x-www-form-urlencoded\r\n"]
    {
        let answer = world.raw(format!("{plain}{kind}\r\n{{}}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
        assert!(answer.contains("problem+json") && answer.contains("bad_request"), "{answer}");
    }
    let reply = world.get(&anna, "/v1/ws").await;
    assert!((400..500).contains(&reply.status), "{}", reply.status);
    assert_eq!(reply.body["code"], "bad_request");
    world.stop().await;
}

#[tokio::test]
async fn the_page_says_how_to_talk_to_this_node() {
    let world = world().await;
    let reply = world.anyone(Method::GET, "/", None).await.expect(200);
    assert!(reply.headers["content-type"].to_str().expect("text").starts_with("text/html"));
    assert!(reply.text.contains(&format!("http://{}/v1/users", world.address(0))));
    assert!(reply.text.contains("node-1"));
    assert!(reply.headers.contains_key("content-security-policy"));
    let answer = world
        .raw(b"GET / HTTP/1.1\r\nhost: a\"><script>alert(1)</script>\r\nconnection: close\r\n\r\n")
        .await;
    assert!(!answer.contains("<script>"), "{answer}");
    world.stop().await;
}

#[tokio::test]
async fn other_origins_may_call_only_where_that_is_allowed() {
    let world = world().await;
    let anna = world.person("anna").await;
    let header = "access-control-allow-origin";
    assert!(!world.get(&anna, "/v1/me").await.headers.contains_key(header));
    world.stop().await;

    let world = world_with(|config| config.cors = true).await;
    let anna = world.person("anna").await;
    assert_eq!(world.get(&anna, "/v1/me").await.headers[header], "*");
    // Also what is refused can be read by the page.
    assert_eq!(world.anyone(Method::GET, "/v1/me", None).await.headers[header], "*");
    let answer = world
        .raw(
            b"OPTIONS /v1/me HTTP/1.1\r\nhost: x\r\norigin: http://y\r\nconnection: close\r\n\
              access-control-request-method: PATCH\r\n\r\n",
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert!(answer.contains("PATCH") && answer.contains("authorization"), "{answer}");
    world.stop().await;
}

#[tokio::test]
async fn unknown_fields_and_parameters_are_ignored() {
    let world = world().await;
    let anna = world.person("anna").await;
    world.get(&anna, "/v1/chats?future=1&limit=5").await.expect(200);
    let body = json!({"kind": "group", "title": "t", "future": {"a": [1, 2]}});
    world.post(&anna, "/v1/chats", body).await.expect(201);
    world.stop().await;
}
