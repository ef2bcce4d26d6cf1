//! Events: in order, once, to those who may see them, and what was lost on the way is found.

use crate::client::{Bench, send, until};
use serde_json::json;
use std::time::Duration;

const CHAT: u64 = 1 << 50;
const OTHER_CHAT: u64 = 3 << 50;

#[tokio::test]
async fn every_device_of_every_member_gets_an_event_once_and_in_order() {
    let bench = Bench::start().await;
    bench.world.chat(CHAT, &[5, 6]);
    let mut clients = [bench.client(5).await, bench.client(5).await, bench.client(6).await];
    let mut stranger = bench.client(7).await;
    let vers: Vec<u64> = (0..20).map(|n| bench.world.say(CHAT, 6, &format!("{n}"))).collect();
    bench.world.publish_again(CHAT, vers[3]);
    for client in &mut clients {
        assert_eq!(client.vers(20).await, vers);
        client.hears_nothing().await;
    }
    stranger.hears_nothing().await;
}

#[tokio::test]
async fn the_sending_connection_gets_its_event_too() {
    let bench = Bench::start().await;
    bench.world.chat(CHAT, &[5]);
    let mut client = bench.client(5).await;
    let frame = send(1, CHAT, "hi");
    client.say(frame.clone()).await;
    let event = client.next("event").await;
    assert_eq!(event["message"]["client_msg_id"], frame["client_msg_id"]);
    assert_eq!(event["kind"], "message");
}

#[tokio::test]
async fn a_gap_is_repaired_by_one_read_for_all_sessions() {
    let bench = Bench::start().await;
    bench.world.chat(CHAT, &[5, 6]);
    let mut clients = Vec::new();
    for user in [5, 5, 6] {
        clients.push(bench.client(user).await);
    }
    for ver in [3, 4] {
        bench.world.lose(CHAT, ver);
    }
    for n in 0..5 {
        bench.world.say(CHAT, 6, &format!("{n}"));
    }
    for client in &mut clients {
        assert_eq!(client.vers(5).await, [2, 3, 4, 5, 6]);
    }
    assert_eq!(bench.world.asked("changes"), 1);
}

#[tokio::test]
async fn a_router_is_told_when_an_event_went_to_sessions() {
    let bench = Bench::start().await;
    bench.world.chat(CHAT, &[5, 6]);
    let mut clients = [bench.client(5).await, bench.client(5).await, bench.client(6).await];
    // One comes from a router, one by a repair.
    bench.world.lose(CHAT, 2);
    let vers = [bench.world.say(CHAT, 6, "one"), bench.world.say(CHAT, 6, "two")];
    for client in &mut clients {
        assert_eq!(client.vers(2).await, vers);
    }
    for ver in vers {
        let said = bench.world.ask(CHAT, ver);
        assert!(!said.is_empty(), "each router is answered");
        for recalled in said {
            let said = recalled.said.expect("an answer");
            let applied = said.applied.expect("remembered");
            assert_eq!((recalled.number, said.answered, applied.sessions), (ver, true, 3));
            assert!(said.since_ms <= applied.queued_ms);
        }
    }
    let unknown = bench.world.ask(CHAT, 99);
    assert!(unknown.iter().all(|one| one.said.as_ref().is_some_and(|one| one.applied.is_none())));
}

#[tokio::test]
async fn events_out_of_order_come_out_in_order_without_a_read() {
    let bench = Bench::start().await;
    bench.world.chat(CHAT, &[5]);
    let mut client = bench.client(5).await;
    bench.world.lose(CHAT, 2);
    bench.world.say(CHAT, 5, "first");
    bench.world.say(CHAT, 5, "second");
    bench.world.publish_late(CHAT, 2);
    assert_eq!(client.vers(2).await, [2, 3]);
}

#[tokio::test]
async fn the_last_event_that_was_lost_is_found_after_behind() {
    let bench = Bench::start().await;
    bench.world.chat(CHAT, &[5]);
    let mut client = bench.client(5).await;
    bench.world.lose(CHAT, 2);
    bench.world.say(CHAT, 5, "lost");
    client.hears_nothing().await;
    bench.world.behind();
    assert_eq!(client.vers(1).await, [2]);
}

#[tokio::test]
async fn the_last_event_that_was_lost_is_found_by_the_beacon() {
    let bench = Bench::start_with(|config| config.heads_every = Duration::from_millis(200)).await;
    bench.world.chat(CHAT, &[5]);
    bench.world.chat(OTHER_CHAT, &[5]);
    let mut client = bench.client(5).await;
    client.open(CHAT).await;
    for chat in [CHAT, OTHER_CHAT] {
        bench.world.lose(chat, 2);
        bench.world.say(chat, 5, "lost");
    }
    let mut found = Vec::new();
    while found.len() < 2 {
        let event = client.next("event").await;
        found.push((event["chat"].as_str().expect("a chat").to_owned(), event["ver"].as_u64()));
    }
    found.sort();
    let expected = [CHAT, OTHER_CHAT].map(|chat| (chat.to_string(), Some(2)));
    assert_eq!(found, expected);
}

#[tokio::test]
async fn heads_are_told_often_of_open_chats_and_in_time_of_all() {
    let bench = Bench::start_with(|config| config.heads_every = Duration::from_millis(200)).await;
    bench.world.wide_chat(CHAT, &[5]);
    bench.world.wide_chat(OTHER_CHAT, &[5]);
    let mut client = bench.client(5).await;
    client.open(CHAT).await;
    let ver = bench.world.say(OTHER_CHAT, 5, "not open");
    let of = |chat: u64| json!(chat.to_string());
    let mut of_open = 0;
    loop {
        let heads = client.next("heads").await;
        assert_eq!(heads["list_ver"], 2);
        let chats = heads["chats"].as_array().expect("heads");
        of_open += chats.iter().filter(|head| head[0] == of(CHAT)).count();
        let other = chats.iter().find(|head| head[0] == of(OTHER_CHAT));
        if let Some(other) = other.filter(|head| head[2] == ver) {
            assert_eq!(*other, json!([OTHER_CHAT.to_string(), 1, ver, 0, "99"]));
            break;
        }
    }
    let more = client.next("heads").await;
    of_open += more["chats"].as_array().map_or(0, Vec::len);
    assert!(0 < of_open);
}

#[tokio::test]
async fn a_large_chat_goes_to_those_who_have_it_open() {
    let bench = Bench::start().await;
    bench.world.wide_chat(CHAT, &[5, 6]);
    let mut open = bench.client(5).await;
    let mut closed = bench.client(6).await;
    assert_eq!(open.open(CHAT).await["to_ver"], 1);
    bench.world.say(CHAT, 6, "hi");
    assert_eq!(open.vers(1).await, [2]);
    closed.hears_nothing().await;
    let close = json!({"type": "close_chat", "id": 1, "chat": CHAT.to_string()});
    open.ask(close).await;
    bench.world.say(CHAT, 6, "again");
    open.hears_nothing().await;
}

#[tokio::test]
async fn who_leaves_a_large_chat_gets_that_as_the_last_event() {
    let bench = Bench::start().await;
    bench.world.wide_chat(CHAT, &[5, 6]);
    let mut leaves = bench.client(5).await;
    let mut stays = bench.client(6).await;
    leaves.open(CHAT).await;
    stays.open(CHAT).await;
    bench.world.leave(CHAT, 5);
    bench.world.say(CHAT, 6, "without you");
    assert_eq!(stays.vers(2).await, [2, 3]);
    let last = leaves.next("event").await;
    assert_eq!((&last["kind"], &last["member"]["left_ver"]), (&json!("member"), &json!(2)));
    leaves.hears_nothing().await;
}

#[tokio::test]
async fn nothing_is_missing_between_opened_and_the_events_behind_it() {
    let bench = Bench::start().await;
    bench.world.wide_chat(CHAT, &[5, 6]);
    let mut client = bench.client(5).await;
    for _ in 0..20 {
        let world = bench.world.clone();
        let talking = std::thread::spawn(move || {
            for n in 0..30 {
                world.say(CHAT, 6, &format!("{n}"));
            }
        });
        let opened = client.open(CHAT).await;
        let to_ver = opened["to_ver"].as_u64().expect("a ver");
        talking.join().expect("talks");
        let last = bench.world.say(CHAT, 6, "last");
        let vers = client.vers(last - to_ver).await;
        assert_eq!(vers, (to_ver + 1..=last).collect::<Vec<_>>());
        client.ask(json!({"type": "close_chat", "id": 1, "chat": CHAT.to_string()})).await;
    }
}

#[tokio::test]
async fn open_resumes_from_where_the_client_is() {
    let bench = Bench::start().await;
    bench.world.chat(CHAT, &[5]);
    for n in 0..5 {
        bench.world.say(CHAT, 5, &format!("{n}"));
    }
    let mut client = bench.client(5).await;
    let open =
        json!({"type": "open", "id": 1, "chat": CHAT.to_string(), "since_ver": 4, "log": "99"});
    let opened = client.ask(open).await;
    assert_eq!((&opened["state"], &opened["to_ver"]), (&json!("resumed"), &json!(6)));
    assert_eq!(opened["messages"].as_array().map(Vec::len), Some(2));
    let open =
        json!({"type": "open", "id": 2, "chat": CHAT.to_string(), "since_ver": 4, "log": "1"});
    assert_eq!(client.ask(open).await["state"], "resynced");
}

#[tokio::test]
async fn a_chat_that_appears_is_told_and_followed() {
    let bench = Bench::start().await;
    bench.world.chat(CHAT, &[6]);
    let mut client = bench.client(5).await;
    bench.world.join(CHAT, 5);
    let mut kinds = [client.frame().await, client.frame().await];
    kinds.sort_by_key(|frame| frame["type"].as_str().map(str::to_owned));
    assert_eq!((&kinds[0]["type"], &kinds[0]["member"]["user"]), (&json!("event"), &json!("5")));
    assert_eq!(
        (&kinds[1]["type"], &kinds[1]["change"]["kind"]),
        (&json!("list"), &json!("chat_added"))
    );
    bench.world.say(CHAT, 6, "hello");
    assert_eq!(client.vers(1).await, [3]);
}

#[tokio::test]
async fn open_chats_are_registered_at_the_next_router_and_what_was_missed_is_read() {
    let bench = Bench::start().await;
    bench.world.wide_chat(CHAT, &[5]);
    let mut client = bench.client(5).await;
    client.open(CHAT).await;
    bench.world.lose(CHAT, 2);
    bench.world.say(CHAT, 5, "lost with its router");
    bench.world.kill_owner(CHAT);
    assert_eq!(client.vers(1).await, [2]);
    until("interest at the other router", || bench.world.has_interest(CHAT)).await;
    bench.world.say(CHAT, 5, "through the other router");
    assert_eq!(client.vers(1).await, [3]);
}

#[tokio::test]
async fn a_slow_reader_is_closed_and_the_others_do_not_wait() {
    let bench = Bench::start().await;
    bench.world.chat(CHAT, &[5, 6]);
    let mut slow = bench.client(5).await;
    let mut quick = bench.client(6).await;
    let text = "x".repeat(16 * 1024);
    // More than its queue and all buffers between hold.
    let mut vers = Vec::new();
    let mut last = 0;
    for _ in 0..40 {
        for _ in 0..32 {
            last = bench.world.say(CHAT, 6, &text);
        }
        vers.extend(quick.vers(32).await);
    }
    assert_eq!(vers, (2..=last).collect::<Vec<_>>());
    // As soon as it reads again, it is told why.
    let (closing, code) = slow.closed().await;
    assert_eq!((code, &closing["reason"]), (4001, &json!("slow_reader")));
    until("the slow one is gone", || bench.node.connections() == 1).await;
}
