//! Log-in with the token of an outside identity provider, which is played here.

use crate::world::{PASSWORD, Reply, World, person, until, world, world_with};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};
use shardline_conn_node::outside::{KeySource, KeyUrl, OutsideConfig};
use shardline_daemon::clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const ISSUER: &str = "https://id.example";

/// Serves its keys, as long as it is up.
struct Provider {
    url: String,
    served: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicU64>,
    serving: JoinHandle<()>,
}

struct Key {
    id: &'static str,
    signs: EncodingKey,
}

impl Key {
    fn new(id: &'static str) -> Key {
        // PKCS #8 of an Ed25519 key, up to the key itself.
        let prefix = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
        let secret: [u8; 32] = rand::random();
        Key { id, signs: EncodingKey::from_ed_der(&[prefix.as_slice(), &secret].concat()) }
    }

    fn public(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.signs, Algorithm::EdDSA).expect("a public half");
        let mut jwk = serde_json::to_value(jwk).expect("JSON");
        jwk["kid"] = json!(self.id);
        jwk
    }

    fn token(&self, name: &str) -> String {
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(Algorithm::EdDSA) };
        let exp = clock::now_ms() / 1000 + 60;
        let claims = json!({"iss": ISSUER, "aud": "shardline", "exp": exp, "nick": name, "name": "A Person"});
        encode(&header, &claims, &self.signs).expect("signs")
    }
}

impl Provider {
    #[allow(clippy::disallowed_methods, reason = "a server of the test, ended with it")]
    async fn start(keys: &[&Key]) -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/keys?now", listener.local_addr().expect("an address"));
        let (served, asked) = (Arc::new(Mutex::new(None)), Arc::new(AtomicU64::new(0)));
        let (serves, counts) = (served.clone(), asked.clone());
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counts.fetch_add(1, Ordering::Relaxed);
                let mut request = [0; 4096];
                let read = stream.read(&mut request).await.unwrap_or(0);
                assert!(request[..read].starts_with(b"GET /keys?now HTTP/1.1\r\n"));
                let answer: Option<String> = serves.lock().clone();
                let answer = answer.map_or_else(
                    || "HTTP/1.1 503 Away\r\ncontent-length: 0\r\n\r\n".to_owned(),
                    |set| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{set}", set.len()),
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let provider = Provider { url, served, asked, serving };
        provider.serve(keys);
        provider
    }

    fn serve(&self, keys: &[&Key]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.public()).collect();
        *self.served.lock() = Some(json!({"keys": keys}).to_string());
    }

    fn go_away(&self) {
        *self.served.lock() = None;
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    async fn world(&self, refresh_every: Duration) -> World {
        world_with(|config| {
            config.outside = Some(OutsideConfig {
                source: KeySource::Url(KeyUrl::parse(&self.url).expect("an address")),
                issuer: ISSUER.to_owned(),
                audience: "shardline".to_owned(),
                name_claim: "nick".to_owned(),
                refresh_every,
            });
        })
        .await
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

const LONG: Duration = Duration::from_secs(3600);

async fn log_in(world: &World, token: &str) -> Reply {
    let body = json!({"token": token, "device": "test"});
    world.anyone(Method::POST, "/v1/sessions", Some(body)).await
}

async fn refresh(world: &World, refresh_token: &str, token: Option<&str>) -> Reply {
    let body = json!({"refresh_token": refresh_token, "token": token});
    world.anyone(Method::POST, "/v1/sessions/refresh", Some(body)).await
}

#[tokio::test]
async fn whom_the_provider_names_has_an_account_and_a_session() {
    let key = Key::new("1");
    let provider = Provider::start(&[&key]).await;
    let world = provider.world(LONG).await;
    let anna = person(&log_in(&world, &key.token("anna")).await.expect(201));
    let me = world.get(&anna, "/v1/me").await.expect(200);
    assert_eq!(
        (me.text_of("name"), me.text_of("display_name")),
        ("anna".into(), "A Person".into())
    );
    let again = person(&log_in(&world, &key.token("anna")).await.expect(201));
    assert_eq!(again.id, anna.id);
    assert_ne!(again.session, anna.session);
    // The provider's own token is for logging in only.
    let direct = world.at(0, Method::GET, "/v1/me", Some(&key.token("anna")), None).await;
    direct.problem(401, "unauthenticated", "");

    let renewed = refresh(&world, &anna.refresh_token, Some(&key.token("anna"))).await.expect(200);
    let next = renewed.text_of("refresh_token");
    refresh(&world, &next, None).await.problem(400, "bad_request", "token");
    log_in(&world, &key.token("bob")).await.expect(201);
    refresh(&world, &next, Some(&key.token("bob"))).await.problem(401, "unauthenticated", "token");
    refresh(&world, &next, Some(&key.token("anna"))).await.expect(200);

    let forged = Key::new("1").token("anna");
    log_in(&world, &forged).await.problem(401, "unauthenticated", "token");
    log_in(&world, "no token").await.problem(401, "unauthenticated", "token");
    for name in ["Anna", "anna@example.org", ""] {
        log_in(&world, &key.token(name)).await.problem(403, "forbidden", "token");
    }
    world.stop().await;
}

#[tokio::test]
async fn passwords_and_outside_tokens_exclude_each_other() {
    let key = Key::new("1");
    let provider = Provider::start(&[&key]).await;
    let there = provider.world(LONG).await;
    there.register("anna").await.problem(403, "forbidden", "");
    let with_password = json!({"name": "anna", "password": PASSWORD});
    let reply = there.anyone(Method::POST, "/v1/sessions", Some(with_password)).await;
    reply.problem(400, "bad_request", "token");
    there.stop().await;

    let here = world().await;
    log_in(&here, &key.token("anna")).await.problem(400, "bad_request", "token");
    for (body, field) in [(json!({"name": "anna"}), "password"), (json!({"password": "x"}), "name")]
    {
        let reply = here.anyone(Method::POST, "/v1/sessions", Some(body)).await;
        reply.problem(400, "bad_request", field);
    }
    here.stop().await;
}

#[tokio::test]
async fn an_unknown_key_is_looked_for_once_and_known_ones_outlast_the_provider() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let provider = Provider::start(&[&old]).await;
    let world = provider.world(LONG).await;
    log_in(&world, &old.token("anna")).await.expect(201);
    until("both nodes have looked", async || provider.asked() == 2).await;
    // Just looked at: however many tokens name it, nobody looks again so soon.
    provider.serve(&[&old, &new]);
    for _ in 0..5 {
        log_in(&world, &new.token("anna")).await.problem(401, "unauthenticated", "token");
    }
    assert_eq!(provider.asked(), 2);
    provider.go_away();
    log_in(&world, &old.token("anna")).await.expect(201);
    world.stop().await;
}

#[tokio::test]
async fn keys_are_read_anew_in_the_background_and_kept_while_there_are_none() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let provider = Provider::start(&[&old]).await;
    provider.go_away();
    let world = provider.world(Duration::from_millis(50)).await;
    until("the first look", async || 2 <= provider.asked()).await;
    log_in(&world, &old.token("anna")).await.problem(503, "unavailable", "");
    provider.serve(&[&old]);
    until("keys", async || log_in(&world, &old.token("anna")).await.status == 201).await;
    provider.serve(&[&new]);
    until("the new key", async || log_in(&world, &new.token("anna")).await.status == 201).await;
    log_in(&world, &old.token("anna")).await.problem(401, "unauthenticated", "token");
    provider.go_away();
    let asked = provider.asked();
    until("looks in vain", async || asked + 4 <= provider.asked()).await;
    log_in(&world, &new.token("anna")).await.expect(201);
    world.stop().await;
}
