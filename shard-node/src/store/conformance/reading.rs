//! What reads answer: which rows, in which order, where they stop.

use super::*;

pub async fn history_is_cut_by_range_limit_and_bytes(database: &dyn Database) {
    let store = writing_store(database).await;
    let mut writes = Script::new(0).sends(&[vec![7; 20], vec![6; 5], vec![8; 5]].concat());
    for row in &mut writes.messages {
        row.text = "x".repeat(100);
    }
    store.commit(0, &writes).await.expect("a commit in order is stored");
    let check = async |range: MessageRange, expected: std::ops::Range<u64>| {
        let rows = store.messages(range).await.expect("a read");
        let seqs: Vec<u64> = rows.iter().map(|row| row.seq).collect();
        assert_eq!(seqs, expected.collect::<Vec<_>>(), "{range:?}");
        assert!(rows.iter().all(|row| row.chat == range.chat));
    };
    let none = 0..0;
    for newest in [true, false] {
        let all = MessageRange { newest, ..whole(7) };
        check(all, 1..21).await;
        check(MessageRange { limit: u64::MAX, ..all }, 1..21).await;
        check(MessageRange { after: 4, before: 8, ..all }, 5..8).await;
        check(MessageRange { after: 20, ..all }, none.clone()).await;
        check(MessageRange { after: u64::MAX, ..all }, none.clone()).await;
        check(MessageRange { before: 1, ..all }, none.clone()).await;
        check(MessageRange { limit: 0, ..all }, none.clone()).await;
        check(MessageRange { chat: 9, ..all }, none.clone()).await;
    }
    let (first, last) = (whole(7), MessageRange { newest: true, ..whole(7) });
    check(MessageRange { limit: 3, ..first }, 1..4).await;
    check(MessageRange { limit: 3, ..last }, 18..21).await;
    check(MessageRange { after: 3, before: 10, limit: 2, ..first }, 4..6).await;
    check(MessageRange { after: 3, before: 10, limit: 2, ..last }, 8..10).await;
    // The message that reaches the bytes is the last one.
    check(MessageRange { bytes: 250, ..first }, 1..4).await;
    check(MessageRange { bytes: 300, ..first }, 1..4).await;
    check(MessageRange { bytes: 301, ..last }, 17..21).await;
    check(MessageRange { bytes: 0, ..first }, 1..2).await;
    check(MessageRange { bytes: 1, ..last }, 20..21).await;
}

pub async fn pages_of_rows_follow_their_key(database: &dyn Database) {
    let store = writing_store(database).await;
    let mut writes = Script::new(0).empty();
    let at = |ver| ChangeRow { entity: 7, ver, kind: ChangeKind::Member, subject: 1, at_ms: 0 };
    // Written in no order, with neighbours.
    for n in [5, 2, 9, 1, 7] {
        writes.changes.push(at(n));
        writes.changes.push(ChangeRow { entity: 6, ..at(n) });
        writes.changes.push(ChangeRow { entity: 8, ..at(n) });
        writes.members.push(member(7, n));
        writes.members.push(member(8, n));
        let (chat, ver, kind) = (10 - n, n, "group".to_owned());
        let row = OutboxRow { chat, ver, user: 1, joined: true, kind, created_at_ms: 0 };
        writes.outbox.push(OutboxRow { ver: n + 1, ..row.clone() });
        writes.outbox.push(row);
    }
    store.commit(0, &writes).await.expect("a commit in order is stored");
    let vers = async |after, limit| {
        let rows = store.changes(7, after, limit).await.expect("a read");
        assert!(rows.iter().all(|row| row.entity == 7));
        rows.iter().map(|row| row.ver).collect::<Vec<_>>()
    };
    assert_eq!(vers(0, 100).await, [1, 2, 5, 7, 9]);
    assert_eq!(vers(2, 2).await, [5, 7]);
    assert_eq!(vers(9, 2).await, [0_u64; 0]);
    assert_eq!(vers(0, 0).await, [0_u64; 0]);
    let users = async |after, limit| {
        let rows = store.members(7, after, limit).await.expect("a read");
        rows.iter().map(|row| row.user).collect::<Vec<_>>()
    };
    assert_eq!(users(0, 100).await, [1, 2, 5, 7, 9]);
    assert_eq!(users(1, 3).await, [2, 5, 7]);
    assert_eq!(users(u64::MAX, 3).await, [0_u64; 0]);
    let outbox = store.outbox(5).await.expect("a read");
    let keys: Vec<_> = outbox.iter().map(|row| (row.chat, row.ver)).collect();
    assert_eq!(keys, [(1, 9), (1, 10), (3, 7), (3, 8), (5, 5)]);
}

pub async fn names_are_found_by_prefix(database: &dyn Database) {
    let store = writing_store(database).await;
    let mut writes = Script::new(0).empty();
    let names = ["mia", "mi", "mib", "miaz", "m_a", "m%a", "nia", "lia", "mi-a", "mi.a"];
    for (entity, name) in (1..).zip(names) {
        writes.names.push(NameRow { entity, name: name.to_owned(), user: entity + 100 });
    }
    store.commit(0, &writes).await.expect("a commit in order is stored");
    let check = async |prefix: &str, limit, expected: &[&str]| {
        let rows = store.names_with_prefix(prefix, limit).await.expect("a read");
        let found: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(found, expected, "{prefix:?}");
    };
    check("mi", 100, &["mi", "mi-a", "mi.a", "mia", "miaz", "mib"]).await;
    check("mi", 2, &["mi", "mi-a"]).await;
    check("mia", 100, &["mia", "miaz"]).await;
    check("m_", 100, &["m_a"]).await;
    check("m%", 100, &["m%a"]).await;
    check("MI", 100, &[]).await;
    check("", 3, &["lia", "m%a", "m_a"]).await;
    check("' OR 1=1", 3, &[]).await;
    let found = store.name(3).await.expect("a read");
    assert_eq!(found, Some(NameRow { entity: 3, name: "mib".to_owned(), user: 103 }));
}

pub async fn heads_are_walked_in_the_order_of_ids(database: &dyn Database) {
    let store = writing_store(database).await;
    Script::new(0).send(&*store, &[7, 3, 900, 5]).await;
    let check = async |ids: &[std::ops::RangeInclusive<u64>], limit, expected: &[u64]| {
        let heads = store.heads_in(ids, limit).await.expect("a read");
        assert_eq!(heads.iter().map(|head| head.entity).collect::<Vec<_>>(), expected);
    };
    check(&[1..=u64::MAX >> 1], 10, &[3, 5, 7, 900]).await;
    check(&[1..=u64::MAX >> 1], 2, &[3, 5]).await;
    check(&[6..=900], 10, &[7, 900]).await;
    check(&[6..=899], 10, &[7]).await;
    check(&[901..=1_000], 10, &[]).await;
    check(&[], 10, &[]).await;
    check(&[3..=4, 6..=6, 7..=900], 10, &[3, 7, 900]).await;
    check(&[3..=4, 6..=6, 7..=900], 2, &[3, 7]).await;
    // More than one statement looks into.
    let each: Vec<_> = (1..=1_000).map(|id| id..=id).collect();
    check(&each, 10, &[3, 5, 7, 900]).await;
    check(&each, 3, &[3, 5, 7]).await;
}

pub async fn keys_that_do_not_exist_are_left_out(database: &dyn Database) {
    let store = writing_store(database).await;
    let chats: Vec<u64> = (1..=300).collect();
    let mut script = Script::new(0);
    script.send(&*store, &chats).await;
    let (odd, none): (Vec<u64>, Vec<u64>) = ((1..=999).step_by(2).collect(), Vec::new());
    let mut found: Vec<u64> =
        store.heads(&odd).await.expect("a read").iter().map(|head| head.entity).collect();
    found.sort_unstable();
    assert_eq!(found, (1..=299).step_by(2).collect::<Vec<_>>());
    assert_eq!(store.heads(&none).await.expect("a read"), []);
    assert_eq!(store.profiles(&none).await.expect("a read"), []);
    assert_eq!(store.profiles(&odd).await.expect("a read"), []);
    assert_eq!(store.find_messages(&[]).await.expect("a read"), []);

    let key = |chat| {
        let MessageRow { chat, sender, client_msg_id, .. } = message(chat, 1);
        MessageKey { chat, sender, client_msg_id }
    };
    let mut keys: Vec<MessageKey> = odd.iter().copied().map(key).collect();
    keys.push(MessageKey { sender: 999, ..key(2) });
    keys.push(MessageKey { client_msg_id: [0; 16], ..key(4) });
    let mut found = store.find_messages(&keys).await.expect("a read");
    found.sort_by_key(|row| row.chat);
    let expected: Vec<_> = (1..=299).step_by(2).map(|chat| message(chat, 1)).collect();
    assert_eq!(found, expected);
    assert_eq!(store.message(1, 2).await.expect("a read"), None);
    assert_eq!(store.message(1, u64::MAX).await.expect("a read"), None);
    assert_eq!(store.chat(1).await.expect("a read"), None);
    assert_eq!(store.user(1).await.expect("a read"), None);
    assert_eq!(store.member(1, 1).await.expect("a read"), None);
}

pub async fn activity_is_the_last_message_at_that_time(database: &dyn Database) {
    let store = writing_store(database).await;
    let mut script = Script::new(0);
    let mut writes = script.sends(&[7; 50]);
    writes.chats.push(ChatRow {
        chat: 7,
        kind: "group".to_owned(),
        title: String::new(),
        history: "all".to_owned(),
        creator: 1,
        client_chat_id: [0; 16],
        created_at_ms: 123,
        settings_ver: 1,
        trimmed_seq: 0,
        trimmed_ver: 0,
        ended: false,
    });
    store.commit(0, &writes).await.expect("a commit in order is stored");
    for (as_of_ms, expected) in [
        (i64::MAX, 50_000),
        (50_000, 50_000),
        (49_999, 49_000),
        (25_500, 25_000),
        (1_000, 1_000),
        (999, 123),
        (-1, 123),
    ] {
        let found = store.activity_as_of(7, as_of_ms).await.expect("a read");
        assert_eq!(found, expected, "as of {as_of_ms}");
    }
}

pub async fn a_chat_shows_its_present_members(database: &dyn Database) {
    let store = writing_store(database).await;
    let mut script = Script::new(0);
    let mut writes = script.sends(&[7]);
    writes.chats.push(ChatRow {
        chat: 7,
        kind: "direct".to_owned(),
        title: String::new(),
        history: "joined".to_owned(),
        creator: 1,
        client_chat_id: [0; 16],
        created_at_ms: 1,
        settings_ver: 1,
        trimmed_seq: 0,
        trimmed_ver: 0,
        ended: false,
    });
    writes.members = (1..=1_000).rev().map(|user| member(7, user)).collect();
    for row in writes.members.iter_mut().filter(|row| row.user % 2 == 0) {
        row.left_ver = Some(3);
    }
    store.commit(0, &writes).await.expect("a commit in order is stored");
    let chat = store.chat(7).await.expect("a read").expect("it was stored");
    let users: Vec<u64> = chat.members.iter().map(|row| row.user).collect();
    assert_eq!(users, (1..=999).step_by(2).collect::<Vec<_>>());
    assert_eq!(store.members(7, 0, 5_000).await.expect("a read").len(), 1_000);
}

pub async fn a_read_sees_the_commit_before_it(database: &dyn Database) {
    let (store, other) = (writing_store(database).await, database.open().await);
    let mut script = Script::new(0);
    for ver in 1..=50 {
        script.send(&*store, &[7]).await;
        for reader in [&store, &other] {
            assert_eq!(head(&**reader, 7).await.map(|head| head.ver), Some(ver));
            assert_eq!(reader.message(7, ver).await.expect("a read"), Some(message(7, ver)));
        }
    }
}
