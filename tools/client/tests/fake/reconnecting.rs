//! What the end of a connection, or the refusal of a hello, means for the next one.

use super::{CHAT, connect, options};
use crate::server::{Fake, Side, ack, error, session, welcome};
use shardline_client::frames::client_frame::Call;
use shardline_client::frames::server_frame::Frame;
use shardline_client::frames::{Closing, Hello};
use shardline_client::{CallError, Client, Encoding, Http, SendError, State, Stop};
use std::time::Duration;

#[tokio::test]
async fn a_draining_server_is_left_for_the_next_address_after_its_delay() {
    let (one, two) = (Fake::start(Encoding::Json).await, Fake::start(Encoding::Json).await);
    let (client, _seen) = connect(&[&one, &two], options(Encoding::Json));
    let mut side = one.welcomed().await;
    client.connected().await.expect("connected");
    let closing = Closing {
        code: 4000,
        reason: "draining".to_owned(),
        retry: "now".to_owned(),
        retry_after_ms: 150,
    };
    let closed_at = tokio::time::Instant::now();
    side.push(Frame::Closing(closing)).await;
    side.close(4000, "draining").await;
    let mut side = two.welcomed().await;
    assert!(Duration::from_millis(150) <= closed_at.elapsed(), "{:?}", closed_at.elapsed());
    let sending = client.submit(CHAT, "a").await;
    let (id, send) = side.send().await;
    side.reply(id, ack(&send, 1)).await;
    assert!(sending.await.is_ok());
    assert!(
        matches!(&*client.state().borrow(), State::Connected { address, .. } if *address == two.address())
    );
}

/// A hello is answered with an error, and then the connection is closed, as servers do.
async fn turn_away(
    side: &mut Side,
    id: u64,
    (code, reason): (u16, &'static str),
    retry: &str,
    retry_after_ms: u64,
) {
    side.reply(id, error("a_code", retry, retry_after_ms)).await;
    let (said, retry) = (reason.to_owned(), retry.to_owned());
    let closing = Closing { code: u32::from(code), reason: said, retry, retry_after_ms };
    side.push(Frame::Closing(closing)).await;
    side.close(code, reason).await;
}

#[tokio::test]
async fn whoever_is_turned_away_comes_back_when_told() {
    let fake = Fake::start(Encoding::Json).await;
    let (client, _seen) = connect(&[&fake], options(Encoding::Json));
    let mut side = fake.accept().await;
    let (id, _) = side.call().await;
    let told_at = tokio::time::Instant::now();
    turn_away(&mut side, id, (4003, "overloaded"), "later", 400).await;
    let _side = fake.welcomed().await;
    assert!(Duration::from_millis(400) <= told_at.elapsed(), "{:?}", told_at.elapsed());
    client.connected().await.expect("connected");
}

#[tokio::test]
async fn a_hello_whose_token_expired_renews_it_and_one_that_is_revoked_ends() {
    let fake = Fake::start(Encoding::Json).await;
    let (client, _seen) = connect(&[&fake], options(Encoding::Json));
    fake.grant(session("token-2"));
    let mut side = fake.accept().await;
    let (id, _) = side.call().await;
    turn_away(&mut side, id, (4501, "token_expired"), "never", 0).await;
    let mut side = fake.accept().await;
    let (id, hello) = side.call().await;
    assert!(matches!(hello, Call::Hello(Hello { token, .. }) if token == "token-2"));
    turn_away(&mut side, id, (4502, "session_revoked"), "never", 0).await;
    let stop = Stop::Closed { code: 4502, reason: "session_revoked".to_owned() };
    assert_eq!(client.connected().await, Err(stop));
}

#[tokio::test]
async fn an_expired_token_is_renewed_and_the_client_goes_on() {
    let fake = Fake::start(Encoding::Json).await;
    let (client, _seen) = connect(&[&fake], options(Encoding::Json));
    let mut side = fake.accept().await;
    let (_, hello) = side.call().await;
    assert!(matches!(hello, Call::Hello(Hello { token, .. }) if token == "token-1"));
    fake.grant(session("token-2"));
    side.close(4501, "token_expired").await;
    let mut side = fake.accept().await;
    let (id, hello) = side.call().await;
    assert!(matches!(hello, Call::Hello(Hello { token, .. }) if token == "token-2"));
    side.reply(id, welcome(60_000)).await;
    client.connected().await.expect("connected");
    assert_eq!(client.token(), "token-2");
}

#[tokio::test]
async fn a_token_is_renewed_on_the_open_connection_before_it_expires() {
    let fake = Fake::start(Encoding::Json).await;
    let mut short = session("token-1");
    short.expires_at_ms = crate::server::SERVER_TIME_MS + 1_300;
    fake.grant(session("token-2"));
    let http = Http::new(vec![fake.address()]).expect("an address");
    let (client, _seen) = Client::connect(&http, short, options(Encoding::Json));
    let mut side = fake.welcomed().await;
    let (_, call) = side.call().await;
    assert!(matches!(call, Call::Auth(auth) if auth.token == "token-2"));
    assert_eq!(client.token(), "token-2");
}

#[tokio::test]
async fn a_session_that_ended_stops_the_client_and_all_who_wait() {
    let fake = Fake::start(Encoding::Json).await;
    let (client, _seen) = connect(&[&fake], options(Encoding::Json));
    let mut side = fake.welcomed().await;
    let sending = client.submit(CHAT, "a").await;
    side.send().await;
    side.close(4502, "session_revoked").await;
    assert!(matches!(sending.await, Err(SendError::Unknown(_))));
    let stop = Stop::Closed { code: 4502, reason: "session_revoked".to_owned() };
    assert_eq!(client.connected().await, Err(stop.clone()));
    assert!(matches!(client.send(CHAT, "b").await, Err(SendError::NotStored(_))));
    assert_eq!(client.open(CHAT, None).await, Err(CallError::Stopped(stop)));
}

#[tokio::test]
async fn a_refresh_token_that_is_no_longer_good_stops_the_client() {
    let fake = Fake::start(Encoding::Json).await;
    let (client, _seen) = connect(&[&fake], options(Encoding::Json));
    let mut side = fake.accept().await;
    side.call().await;
    side.close(4501, "token_expired").await;
    assert!(matches!(client.connected().await, Err(Stop::SessionEnded(_))));
}
