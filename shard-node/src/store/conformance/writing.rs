//! What a commit stores, and what refuses it.

use super::*;

/// A commit with every kind of row.
pub(super) fn one_of_everything(script: &mut Script) -> WriteSet {
    everything_of(script, 77, 88, 99)
}

pub(super) fn everything_of(script: &mut Script, chat: u64, user: u64, name: u64) -> WriteSet {
    let mut writes = script.sends(&[chat, user, name]);
    writes.messages.truncate(1);
    writes.chats.push(ChatRow {
        chat,
        kind: "group".to_owned(),
        title: "Tea & \u{1f375} <b>".to_owned(),
        history: "all".to_owned(),
        creator: user,
        client_chat_id: [0xff; 16],
        created_at_ms: -5,
        settings_ver: 1,
        trimmed_seq: 2,
        trimmed_ver: 3,
        ended: true,
    });
    writes.members.push(MemberRow { left_ver: Some(4), ..member(chat, 1) });
    writes.members.push(member(chat, user));
    let change = |ver, kind| ChangeRow { entity: user, ver, kind, subject: ver * 7, at_ms: 8 };
    let kinds = (1..=7).map(|number| ChangeKind::from_number(number).expect("1 to 7 are kinds"));
    writes.changes = (10..).zip(kinds).map(|(ver, kind)| change(ver, kind)).collect();
    writes.users.push(UserRow {
        user,
        name: "mia".to_owned(),
        display_name: "Mia \u{200b}".to_owned(),
        about: "about ".to_owned(),
        password_hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".to_owned(),
        created_at_ms: 9,
        trimmed_ver: 10,
    });
    writes.sessions.push(SessionRow {
        user,
        session: 5,
        device: "phone".to_owned(),
        generation: 2,
        nonce: [0; 16],
        previous_nonce: [0xab; 16],
        created_at_ms: 11,
        used_at_ms: 12,
    });
    writes.list.push(ListRow {
        user,
        chat,
        kind: "group".to_owned(),
        pinned: true,
        muted: false,
        hidden_seq: 13,
        gone: true,
        fact_ver: 14,
        list_ver: 15,
    });
    writes.names.push(NameRow { entity: name, name: "mia".to_owned(), user });
    writes.outbox.push(OutboxRow {
        chat,
        ver: 1,
        user: 3,
        joined: true,
        kind: "group".to_owned(),
        created_at_ms: 16,
    });
    writes
}

pub async fn everything_of_a_commit_is_there_afterwards(database: &dyn Database) {
    let store = writing_store(database).await;
    let writes = one_of_everything(&mut Script::new(0));
    store.commit(0, &writes).await.expect("a commit in order is stored");
    let other = database.open().await;
    for store in [store, other] {
        let heads = store.heads(&[77, 88, 99]).await.expect("a read");
        let mut expected: Vec<_> = writes.heads.iter().map(|change| change.head).collect();
        let by_entity = |head: &HeadRow| head.entity;
        expected.sort_by_key(by_entity);
        assert_eq!(expected.len(), 3);
        assert_eq!(heads, expected);
        assert_eq!(store.message(77, 1).await.expect("a read"), Some(writes.messages[0].clone()));
        let chat = ChatState {
            head: heads[0],
            chat: writes.chats[0].clone(),
            members: writes.members[1..].to_vec(),
        };
        assert_eq!(store.chat(77).await.expect("a read"), Some(chat));
        assert_eq!(store.members(77, 0, 10).await.expect("a read"), writes.members);
        assert_eq!(store.member(77, 1).await.expect("a read"), Some(writes.members[0].clone()));
        assert_eq!(store.changes(88, 9, 10).await.expect("a read"), writes.changes);
        let user = UserState {
            head: heads[1],
            user: writes.users[0].clone(),
            sessions: writes.sessions.clone(),
            list: writes.list.clone(),
        };
        assert_eq!(store.user(88).await.expect("a read"), Some(user));
        assert_eq!(store.profiles(&[88]).await.expect("a read"), writes.users);
        assert_eq!(store.name(99).await.expect("a read"), Some(writes.names[0].clone()));
        assert_eq!(store.outbox(10).await.expect("a read"), writes.outbox);
        let journal = store.journal(0, 0, 10).await.expect("a read");
        assert_eq!(journal.as_slice(), std::slice::from_ref(&writes.journal));
    }
}

pub async fn nothing_of_a_refused_commit_is_there(database: &dyn Database) {
    let store = writing_store(database).await;
    let mut script = Script::new(0);
    let mut stale = one_of_everything(&mut script);
    stale.heads[2].expected_ver = 4;
    let refused = store.commit(0, &stale).await;
    assert!(matches!(refused, Err(CommitError::Stale)), "{refused:?}");
    let mut gone = one_of_everything(&mut Script::new(0));
    gone.changed_messages.push(message(77, 40));
    let refused = store.commit(0, &gone).await;
    assert!(matches!(refused, Err(CommitError::Stale)), "{refused:?}");

    let heads: Vec<u64> = vec![77, 88, 99];
    assert_eq!(store.heads(&heads).await.expect("a read"), []);
    assert_eq!(store.messages(whole(77)).await.expect("a read"), []);
    assert_eq!(store.chat(77).await.expect("a read"), None);
    assert_eq!(store.members(77, 0, 10).await.expect("a read"), []);
    assert_eq!(store.changes(88, 0, 10).await.expect("a read"), []);
    assert_eq!(store.user(88).await.expect("a read"), None);
    assert_eq!(store.profiles(&heads).await.expect("a read"), []);
    assert_eq!(store.name(99).await.expect("a read"), None);
    assert_eq!(store.outbox(10).await.expect("a read"), []);
    assert_eq!(store.journal(0, 0, 10).await.expect("a read"), []);
    store
        .commit(0, &one_of_everything(&mut Script::new(0)))
        .await
        .expect("the lane goes on after a refusal");
}

pub async fn a_head_changes_only_from_its_expected_ver(database: &dyn Database) {
    let store = writing_store(database).await;
    let head_at = |ver| HeadRow { entity: 7, seq: ver, ver, log: u64::MAX, activity_ms: -1 };
    let mut script = Script::new(0);
    for (expected_ver, ver, stored) in [
        (1, 2, false), // there is none
        (0, 1, true),
        (0, 1, false), // there is one
        (2, 3, false), // it is lower
        (1, 200, true),
        (1, 201, false), // it is higher
        (200, 201, true),
    ] {
        let mut writes = script.empty();
        writes.heads.push(HeadChange { expected_ver, head: head_at(ver) });
        match store.commit(0, &writes).await {
            Ok(()) => assert!(stored, "{expected_ver} -> {ver}"),
            Err(CommitError::Stale) => {
                assert!(!stored, "{expected_ver} -> {ver}");
                script.position -= 1;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(head(&*store, 7).await, Some(head_at(201)));
}

pub async fn one_wrong_head_among_many_refuses_them_all(database: &dyn Database) {
    let store = writing_store(database).await;
    let mut script = Script::new(0);
    let chats: Vec<u64> = (1..=200).collect();
    script.send(&*store, &chats).await;
    for (wrong, expected_ver) in [(0, 2), (63, 3), (199, 9), (128, u64::MAX)] {
        let mut writes = script.sends(&chats);
        script.forget(&writes);
        writes.heads[wrong].expected_ver = expected_ver;
        let refused = store.commit(0, &writes).await;
        assert!(matches!(refused, Err(CommitError::Stale)), "{wrong}: {refused:?}");
    }
    // New ones and known ones in one commit; one of the new ones is known.
    let mut writes = script.sends(&[1, 2, 500]);
    script.forget(&writes);
    writes.heads.push(HeadChange {
        expected_ver: 0,
        head: HeadRow { entity: 150, seq: 9, ver: 9, log: 9, activity_ms: 9 },
    });
    let refused = store.commit(0, &writes).await;
    assert!(matches!(refused, Err(CommitError::Stale)), "{refused:?}");
    let heads = store.heads(&chats).await.expect("a read");
    assert_eq!(heads.len(), 200);
    assert!(heads.iter().all(|head| head.ver == 1));
    script.heads.remove(&500);
    script.send(&*store, &chats).await;
}

pub async fn a_client_id_is_used_once(database: &dyn Database) {
    let store = writing_store(database).await;
    let mut script = Script::new(0);
    let first = script.send(&*store, &[7, 8]).await.messages[0].clone();

    let twice = |change: &dyn Fn(&mut MessageRow)| {
        let mut row = MessageRow { seq: 2, ver: 2, changed_ver: 2, ..first.clone() };
        change(&mut row);
        row
    };
    let mut check = async |rows: Vec<MessageRow>, expected: &str| {
        let mut writes = script.empty();
        writes.messages = rows;
        let outcome = match store.commit(0, &writes).await {
            Ok(()) => "stored",
            Err(CommitError::Duplicate) => "duplicate",
            Err(CommitError::Stale) => "stale",
            Err(error) => panic!("{error:?}"),
        };
        if outcome != "stored" {
            script.position -= 1;
        }
        assert_eq!(outcome, expected);
    };
    check(vec![twice(&|_| ())], "duplicate").await;
    check(vec![twice(&|row| row.text = "another".to_owned())], "duplicate").await;
    // Within one batch, and behind one that is in order.
    let fresh = twice(&|row| row.client_msg_id = [3; 16]);
    let again = MessageRow { seq: 3, ..fresh.clone() };
    check(vec![fresh.clone(), again], "duplicate").await;
    assert_eq!(store.messages(whole(7)).await.expect("a read").len(), 1);
    // The same position is another thing: memory is wrong.
    check(vec![twice(&|row| (row.seq, row.client_msg_id) = (1, [4; 16]))], "stale").await;
    // Ids that differ in their last bit, in the sender or in the chat are others.
    check(vec![twice(&|row| row.client_msg_id[15] ^= 1)], "stored").await;
    check(vec![twice(&|row| (row.seq, row.sender) = (3, 555))], "stored").await;
    check(vec![twice(&|row| (row.chat, row.sender) = (8, 777))], "stored").await;
    // An id stays used when its message is gone.
    let mut writes = script.empty();
    let deleted = MessageRow {
        changed_ver: 9,
        text: String::new(),
        deleted: true,
        client_msg_id: [9; 16],
        ..first.clone()
    };
    writes.changed_messages.push(deleted);
    store.commit(0, &writes).await.expect("a commit in order is stored");
    let mut writes = script.empty();
    writes.messages = vec![twice(&|row| row.seq = 50)];
    let refused = store.commit(0, &writes).await;
    assert!(matches!(refused, Err(CommitError::Duplicate)), "{refused:?}");
}

pub async fn text_is_kept_as_it_came(database: &dyn Database) {
    let store = writing_store(database).await;
    let long = "\u{1f469}\u{200d}\u{1f680}".repeat(16 * 1024 / 11) + "12345";
    assert_eq!(long.len(), 16 * 1024);
    let texts = [
        "plain",
        "trailing ",
        " \t\r\n\u{b}",
        "'; DROP TABLE messages; --",
        "\\' \\\" \\0 %s ? :name @x ${y} [[z]] /* */ # \\",
        "<script>alert(1)</script>&amp;",
        "\u{0}\u{1}\u{7f}\u{80}\u{fffd}\u{feff}",
        "\u{200b}\u{200d}\u{202e}\u{2066}",
        "e\u{301} \u{e9}", // not to be made the same
        "\u{1f469}\u{200d}\u{1f680} \u{1f3f4}\u{e0067}",
        "\u{10ffff}",
        "\u{5d0}\u{5d1} \u{645}\u{631}",
        "",
        &long,
    ];
    let mut script = Script::new(0);
    let mut writes = script.sends(&vec![7; texts.len()]);
    for (row, text) in writes.messages.iter_mut().zip(texts) {
        row.text = text.to_owned();
        row.sender_name = text.chars().take(64).collect();
    }
    writes.chats.push(ChatRow {
        chat: 7,
        kind: "group".to_owned(),
        title: texts[9].to_owned(),
        history: String::new(),
        creator: 1,
        client_chat_id: [0; 16],
        created_at_ms: 0,
        settings_ver: 0,
        trimmed_seq: 0,
        trimmed_ver: 0,
        ended: false,
    });
    store.commit(0, &writes).await.expect("a commit in order is stored");
    let stored = store.messages(whole(7)).await.expect("a read");
    assert_eq!(stored, writes.messages);
    let chat = store.chat(7).await.expect("a read").expect("it was stored");
    assert_eq!(chat.chat.title, texts[9]);

    let mut edits = script.empty();
    edits.changed_messages = stored;
    for (row, text) in edits.changed_messages.iter_mut().zip(texts.iter().rev()) {
        row.text = (*text).to_owned();
        row.changed_ver += 100;
    }
    store.commit(0, &edits).await.expect("a commit in order is stored");
    assert_eq!(store.messages(whole(7)).await.expect("a read"), edits.changed_messages);
}

pub async fn batches_of_every_size_are_stored(database: &dyn Database) {
    let store = writing_store(database).await;
    let mut script = Script::new(0);
    let mut count = 0;
    for size in [1, 2, 3, 7, 8, 9, 31, 100, 255, 256, 300] {
        // All to one chat, and each to its own.
        let mut writes = script.sends(&vec![1; size]);
        for row in &mut writes.messages {
            row.text = "x".repeat(1024);
        }
        store.commit(0, &writes).await.expect("a commit in order is stored");
        count += size;
        let chats: Vec<u64> = (0..size).map(|n| 1_000 + u64::try_from(n).unwrap_or(0)).collect();
        script.send(&*store, &chats).await;
    }
    let head = head(&*store, 1).await.expect("it was stored");
    assert_eq!(usize::try_from(head.seq), Ok(count));
    let range = MessageRange { limit: u64::MAX, ..whole(1) };
    let stored = store.messages(range).await.expect("a read");
    assert_eq!(stored.len(), count);
    assert!(stored.iter().all(|row| row.text.len() == 1024));
    assert!(stored.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq));
    let journal = store.journal(0, 0, 1_000).await.expect("a read");
    assert_eq!(journal.last().map(|row| row.entries.len()), Some(300));
}

pub async fn a_changed_message_keeps_its_identity(database: &dyn Database) {
    let store = writing_store(database).await;
    let mut script = Script::new(0);
    let stored = script.send(&*store, &[7, 7]).await.messages;
    let mut writes = script.empty();
    let changed = MessageRow {
        changed_ver: 3,
        text: "new".to_owned(),
        edited_at_ms: Some(9_000),
        deleted: true,
        reply_to: None,
        ..stored[1].clone()
    };
    writes.changed_messages.push(MessageRow {
        ver: 77,
        sender: 78,
        client_msg_id: [7; 16],
        body_hash: [7; 16],
        sent_at_ms: 79,
        ..changed.clone()
    });
    store.commit(0, &writes).await.expect("a commit in order is stored");
    let now = store.messages(whole(7)).await.expect("a read");
    assert_eq!(now, [stored[0].clone(), changed]);
}

pub async fn a_members_cursor_is_kept_while_they_stay(database: &dyn Database) {
    let store = writing_store(database).await;
    let mut script = Script::new(0);
    for (joined_ver, written, expected) in [
        (1, 5, 5),
        (1, 3, 5), // stays
        (1, 8, 8),
        (9, 2, 2), // joined again
        (9, 0, 2),
    ] {
        let mut writes = script.empty();
        let row = MemberRow {
            joined_ver,
            read_seq: written,
            role: format!("role {written}"),
            left_ver: (written == 0).then_some(20),
            joined_seq: written,
            ..member(7, 1)
        };
        writes.members.push(row.clone());
        store.commit(0, &writes).await.expect("a commit in order is stored");
        let stored = store.member(7, 1).await.expect("a read");
        assert_eq!(stored, Some(MemberRow { read_seq: expected, ..row }));
    }
}

pub async fn cursors_only_grow(database: &dyn Database) {
    let store = writing_store(database).await;
    let mut script = Script::new(0);
    let mut writes = script.empty();
    writes.members = (1..=300).map(|user| member(7, user)).collect();
    store.commit(0, &writes).await.expect("a commit in order is stored");
    for (seq, expected) in [(4, 4), (2, 4), (6, 6)] {
        let mut writes = script.empty();
        // One of somebody who was never there makes no member.
        writes.cursors = (1..=301).map(|user| CursorRow { chat: 7, user, seq }).collect();
        store.commit(0, &writes).await.expect("a commit in order is stored");
        let members = store.members(7, 0, 1_000).await.expect("a read");
        assert_eq!(members.len(), 300);
        assert!(members.iter().all(|row| row.read_seq == expected));
    }
    // Of one member several times, in any order: the highest.
    let mut writes = script.empty();
    writes.cursors = [9, 11, 10].map(|seq| CursorRow { chat: 7, user: 5, seq }).to_vec();
    store.commit(0, &writes).await.expect("a commit in order is stored");
    let stored = store.member(7, 5).await.expect("a read");
    assert_eq!(stored.map(|row| row.read_seq), Some(11));
}

pub async fn rows_are_replaced_and_removed_by_key(database: &dyn Database) {
    let store = writing_store(database).await;
    let mut script = Script::new(0);
    let mut writes = one_of_everything(&mut script);
    store.commit(0, &writes).await.expect("a commit in order is stored");
    let (heads, first) = (std::mem::take(&mut writes.heads), writes.messages.remove(0));
    writes.journal = script.empty().journal;
    writes.chats[0].title = "another".to_owned();
    writes.users[0].about = String::new();
    writes.sessions[0].generation = 3;
    writes.list[0].gone = false;
    writes.names[0].user = 4;
    writes.outbox[0].joined = false;
    writes.changes[0].subject = 1;
    store.commit(0, &writes).await.expect("a commit in order is stored");
    let chat = store.chat(77).await.expect("a read").expect("it is there");
    assert_eq!(chat.chat, writes.chats[0]);
    let user = store.user(88).await.expect("a read").expect("it is there");
    assert_eq!((&user.user, &user.sessions), (&writes.users[0], &writes.sessions));
    assert_eq!(user.list, writes.list);
    assert_eq!(store.name(99).await.expect("a read"), Some(writes.names[0].clone()));
    assert_eq!(store.outbox(10).await.expect("a read"), writes.outbox);
    assert_eq!(store.changes(88, 0, 100).await.expect("a read"), writes.changes);

    let mut removals = script.empty();
    removals.trimmed_changes.push((88, 12));
    removals.ended_sessions.push((88, 5));
    removals.ended_sessions.push((88, 6));
    removals.delivered.push((77, 1, 3));
    store.commit(0, &removals).await.expect("a commit in order is stored");
    assert_eq!(store.changes(88, 0, 100).await.expect("a read"), writes.changes[3..]);
    let user = store.user(88).await.expect("a read").expect("it is there");
    assert_eq!(user.sessions, []);
    assert_eq!(store.outbox(10).await.expect("a read"), []);
    assert_eq!(store.messages(whole(77)).await.expect("a read"), [first]);
    assert_eq!(heads.len(), 3);
}
