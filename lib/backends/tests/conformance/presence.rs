//! Presence keeps its promises in memory and in Redis.

use crate::each_claim;
use crate::redis_server::Part;
use shardline_backends::RedisSettings;
use shardline_backends::presence::conformance::{LONG_LIFE, SHORT_LIFE, Subject};
use shardline_backends::presence::memory::MemoryPresence;
use shardline_backends::presence::redis::RedisPresence;
use shardline_backends::presence::{Entry, Mark, NodeId, Presence, Standing};
use shardline_domain::id::UserId;
use std::sync::Arc;
use std::time::Duration;

async fn memory(life: Duration) -> Subject {
    let presence = Arc::new(MemoryPresence::with_life(life));
    let held = Arc::clone(&presence);
    Subject {
        reader: presence.clone(),
        presence,
        wipe: Box::new(move || {
            held.wipe();
            Box::pin(async {})
        }),
    }
}

async fn real(life: Duration) -> Option<Subject> {
    let part = Part::new()?;
    let connect = || {
        let presence = RedisPresence::with_life(part.settings.clone(), life);
        Arc::new(presence.expect("the URL is one"))
    };
    Some(Subject {
        presence: connect(),
        reader: connect(),
        wipe: Box::new(move || {
            let part = part.clone();
            Box::pin(async move { part.wipe().await })
        }),
    })
}

macro_rules! claims {
    ($($claims:tt)*) => {
        each_claim!(shardline_backends::presence::conformance, in_redis; $($claims)*);
    };
}

shardline_backends::presence_claims!(claims);

fn entry(user: u64, connection: u64) -> Entry {
    Entry { user: UserId::new(user).expect("in range"), connection }
}

#[tokio::test]
async fn a_redis_that_went_back_in_time_is_noticed() {
    let Some(part) = Part::new() else { return };
    let presence = RedisPresence::new(part.settings.clone()).expect("the URL is one");
    let mark = Mark { node: NodeId::parse("a").expect("a plain name"), boot: 1 };
    presence.begin(&mark).await.expect("Redis answers");
    let standing = presence.enter(&mark, &[entry(7, 1)]).await;
    assert_eq!(standing, Ok(Standing::Whole));

    let snapshot = part.snapshot().await;
    let standing = presence.enter(&mark, &[entry(8, 2)]).await;
    assert_eq!(standing, Ok(Standing::Whole));
    part.go_back_to(&snapshot).await;
    // The mark is there, of this boot, and user 7 is there; only the count tells.
    assert_eq!(presence.refresh(&mark, &[entry(7, 1)]).await, Ok(Standing::Lost));
    part.wipe().await;
}

#[tokio::test]
async fn every_key_ends_by_itself() {
    let Some(part) = Part::new() else { return };
    let life = Duration::from_millis(300);
    let presence = RedisPresence::with_life(part.settings.clone(), life).expect("the URL is one");
    let mark = Mark { node: NodeId::parse("a").expect("a plain name"), boot: 1 };
    presence.begin(&mark).await.expect("Redis answers");
    presence.enter(&mark, &[entry(7, 1), entry(7, 2)]).await.expect("Redis answers");
    // Taking one seat away keeps the key's end.
    presence.leave(&mark, &[entry(7, 1)]).await.expect("Redis answers");
    assert_eq!(part.keys().await.len(), 2);
    for _ in 0..100 {
        if part.keys().await.is_empty() {
            return;
        }
        tokio::time::sleep(life / 10).await;
    }
    panic!("still there: {:?}", part.keys().await);
}

#[tokio::test]
async fn a_redis_that_is_away_is_an_error_at_once() {
    let settings = RedisSettings::new("redis://127.0.0.1:1");
    let presence = RedisPresence::new(settings).expect("the URL is one");
    let started = tokio::time::Instant::now();
    for _ in 0..1_000 {
        let answer = presence.nodes_of(&[UserId::new(7).expect("in range")]).await;
        assert_eq!(answer.map_err(|error| error.system), Err("presence"));
    }
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_redis_that_does_not_answer_costs_one_deadline_and_then_almost_nothing() {
    // It accepts connections and never says a word.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let settings = RedisSettings::new(format!("redis://{address}"));
    let (read_time, calls) = (settings.read_time, 50);
    let presence = RedisPresence::new(settings).expect("the URL is one");
    let started = tokio::time::Instant::now();
    for _ in 0..calls {
        let answer = presence.nodes_of(&[UserId::new(7).expect("in range")]).await;
        assert!(answer.is_err());
    }
    assert!(started.elapsed() < read_time * 4, "{:?}", started.elapsed());
}
