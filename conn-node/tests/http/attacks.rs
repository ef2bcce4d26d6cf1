//! Tokens that are not what they say, and requests that are not requests.

use crate::world::{Person, SECRET, World, world};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::Method;
use serde_json::{Value, json};
use shardline_conn_node::http::routes;
use shardline_daemon::clock;

async fn me(world: &World, token: &str) -> u16 {
    world.at(0, Method::GET, "/v1/me", Some(token), None).await.status
}

#[tokio::test]
async fn every_route_but_a_few_wants_a_token() {
    let world = world().await;
    let open = [
        ("GET", "/"),
        ("GET", "/v1/ws"),
        ("POST", "/v1/users"),
        ("POST", "/v1/sessions"),
        ("POST", "/v1/sessions/refresh"),
    ];
    for route in routes() {
        if open.contains(&(route.method, route.path)) {
            continue;
        }
        let method = Method::from_bytes(route.method.as_bytes()).expect("a method");
        let path = ["{chat}", "{user}", "{seq}", "{session}"]
            .iter()
            .fold(route.path.to_owned(), |path, part| path.replace(part, "7"));
        for token in [None, Some("x"), Some("a.b.c"), Some("")] {
            let body = Some(json!({"seq": "wrong"}));
            let reply = world.at(0, method.clone(), &path, token, body).await;
            let reply = reply.problem(401, "unauthenticated", "");
            assert_eq!(reply.headers["www-authenticate"], "Bearer", "{path}");
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn a_token_is_ours_and_not_over() {
    let world = world().await;
    let anna = world.person("anna").await;
    assert_eq!(me(&world, &anna.token).await, 200);

    let parts: Vec<&str> = anna.token.split('.').collect();
    let claims: Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(parts[1]).expect("base64"))
            .expect("JSON");
    let part = |json: &Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let none = part(&json!({"alg": "none", "typ": "JWT"}));
    let now_s = clock::now_ms() / 1000;
    let mut for_ever = claims.clone();
    for_ever["exp"] = json!(now_s + 1_000_000);
    let signed = |claims: &Value, key: &str, algorithm| {
        encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(key.as_bytes()))
            .expect("signs")
    };
    for forged in [
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}.{}", parts[0], part(&for_ever), parts[2]),
        signed(&claims, SECRET, Algorithm::HS256),
        signed(&claims, "another secret altogether", Algorithm::HS256),
        signed(&claims, SECRET, Algorithm::HS512),
        anna.refresh_token.clone(),
        anna.token.repeat(20),
    ] {
        assert_eq!(me(&world, &forged).await, 401, "{forged}");
    }
    world.stop().await;
}

#[tokio::test]
async fn an_expired_token_says_so() {
    let world = world().await;
    let anna = world.person("anna").await;
    let keys = shardline_conn_node::auth::Keys::derive(SECRET);
    let principal = shardline_conn_node::auth::Principal {
        user: anna.id.parse().expect("an id"),
        session: anna.session.parse().expect("an id"),
    };
    let fresh = keys.issue(principal, clock::now_ms() - 14 * 60 * 1000);
    assert_eq!(me(&world, &fresh.token).await, 200);
    let expired = keys.issue(principal, clock::now_ms() - 16 * 60 * 1000);
    let reply = world.at(0, Method::GET, "/v1/me", Some(&expired.token), None).await;
    let reply = reply.problem(401, "unauthenticated", "");
    assert!(reply.text_of("detail").contains("expired"), "{}", reply.text);
    world.stop().await;
}

#[tokio::test]
async fn a_refresh_token_is_not_made_up() {
    let world = world().await;
    let anna = world.person("anna").await;
    let middle = anna.refresh_token.len() / 2;
    let changed: String = anna
        .refresh_token
        .char_indices()
        .map(|(at, c)| if at == middle { if c == 'A' { 'B' } else { 'A' } } else { c })
        .collect();
    for bad in [changed.as_str(), "", "x", &anna.token, &anna.refresh_token[1..]] {
        let body = json!({"refresh_token": bad});
        let reply = world.anyone(Method::POST, "/v1/sessions/refresh", Some(body)).await;
        reply.problem(401, "unauthenticated", "");
    }
    // None of it hurt the session.
    let body = json!({"refresh_token": anna.refresh_token});
    world.anyone(Method::POST, "/v1/sessions/refresh", Some(body)).await.expect(200);
    world.stop().await;
}

async fn raw_body(world: &World, person: &Person, body: &[u8]) -> String {
    let mut request = format!(
        "PATCH /v1/me HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        person.token,
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    world.raw(&request).await
}

#[tokio::test]
async fn bodies_that_are_not_json_hurt_nobody() {
    let world = world().await;
    let anna = world.person("anna").await;
    let deep = format!("{{\"about\":{}", "[".repeat(60_000));
    let nested = format!("{}{}", "[".repeat(60_000), "]".repeat(60_000));
    for body in [
        b"".as_slice(),
        b"{",
        b"null",
        b"[]",
        b"\"x\"",
        b"{\"about\":\"\xff\xfe\"}",
        b"{\"about\":\"\\ud800\"}",
        b"{\"about\":1e999999}",
        b"{\"about\":\"a\",\"about\":\"b\"}",
        b"{\"about\":\"a\"}{\"about\":\"b\"}",
        b"\0\0\0\0",
        deep.as_bytes(),
        nested.as_bytes(),
    ] {
        let answer = raw_body(&world, &anna, body).await;
        let start = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 400"), "{start}: {answer}");
        assert!(answer.contains("application/problem+json"), "{start}: {answer}");
        assert!(answer.contains("\"code\":\"bad_request\""), "{start}: {answer}");
    }
    assert_eq!(world.get(&anna, "/v1/me").await.expect(200).body["about"], "");
    world.stop().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_read() {
    let world = world().await;
    let anna = world.person("anna").await;
    let large = json!({"about": "x".repeat(200_000)});
    world.patch(&anna, "/v1/me", large).await.problem(413, "too_large", "");
    let head = format!(
        "PATCH /v1/me HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 99999999999\r\nconnection: close\r\n\r\n{{",
        anna.token
    );
    let answer = world.raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    world.get(&anna, "/v1/me").await.expect(200);
    world.stop().await;
}

#[tokio::test]
async fn what_is_not_http_ends_its_connection_only() {
    let world = world().await;
    let anna = world.person("anna").await;
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/users HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/users HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
    ] {
        world.raw(bytes).await;
        world.get(&anna, "/v1/me").await.expect(200);
    }
    world.stop().await;
}
