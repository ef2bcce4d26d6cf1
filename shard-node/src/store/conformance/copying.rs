//! A slot's rows on their way to another shard: all of them arrive, whatever happens between pages.

use super::copier::*;
use super::*;
use crate::store::{EntityPart, Exported, Import, PageSize, Place, Wanted, export};
use std::sync::atomic::{AtomicBool, Ordering};

pub async fn a_copy_made_while_people_write_ends_equal(database: &dyn Database) {
    let other = database.another().await;
    let (source, mut script) = source_with_everything(database).await;
    let target = writing_store(&*other).await;
    open_slot(&*target, FENCE).await;
    let stop = AtomicBool::new(false);
    let writing = async {
        let mut round = 0;
        while !stop.load(Ordering::Relaxed) || round < 20 {
            round += 1;
            let chat = id(100 + round % 3);
            let writes = all_kinds(&mut script, chat, round);
            source.commit(LANE, &writes).await.expect("a commit in order is stored");
            let user = id(1);
            let head = script.heads.get_mut(&user).expect("it was met");
            let expected_ver = head.ver;
            head.ver += 2;
            let head = *head;
            let mut writes = script.empty();
            writes.heads.push(HeadChange { expected_ver, head });
            let session = SessionRow {
                user,
                session: round,
                device: "phone".to_owned(),
                generation: round,
                nonce: [1; 16],
                previous_nonce: [2; 16],
                created_at_ms: 3,
                used_at_ms: 4,
            };
            writes.sessions.push(session);
            writes.ended_sessions.push((user, round - 1));
            writes.changes.push(change(user, head.ver - 1, ChangeKind::Session, round));
            writes.changes.push(change(user, head.ver, ChangeKind::List, round));
            writes.list.push(ListRow {
                user,
                chat: 5 + round % 4,
                kind: "group".to_owned(),
                pinned: false,
                muted: true,
                hidden_seq: 0,
                gone: round % 2 == 0,
                fact_ver: round,
                list_ver: head.ver,
            });
            source.commit(LANE, &writes).await.expect("a commit in order is stored");
            tokio::task::yield_now().await;
        }
    };
    let copying = async {
        let mut copier = Copier::new(&*source, &*target);
        copier.size = PageSize { rows: 7, bytes: 1_500 };
        let mut pages = 0;
        for _ in 0..4 {
            pages += copier.round().await;
        }
        stop.store(true, Ordering::Relaxed);
        (copier.step, pages)
    };
    let ((), (step, pages)) =
        in_time("a copy beside writes", async { tokio::join!(writing, Box::pin(copying)) }).await;
    assert!(4 < pages);
    // Nobody writes any more: the last difference.
    let mut copier = Copier { step, ..Copier::new(&*source, &*target) };
    copier.round().await;
    assert_eq!(copier.round().await, 0);
    assert_equal(&*source, &*target).await;
    let beside = [ids().start() - 9, ids().end() + 1];
    assert_eq!(target.heads(&beside).await.expect("a read"), []);
    assert_eq!(target.journal(LANE, 0, 10).await.expect("a read"), []);
}

pub async fn a_big_chat_takes_many_pages_and_goes_on_after_a_crash(database: &dyn Database) {
    let other = database.another().await;
    let source = writing_store(database).await;
    let (chat, mut script) = (id(5), Script::new(LANE));
    for _ in 0..6 {
        let mut writes = script.sends(&[chat; 250]);
        for row in &mut writes.messages {
            row.text = "x".repeat(1_000);
        }
        writes.members = (1..=250).map(|n| member(chat, 250 * script.position + n)).collect();
        writes.chats.push(chat_row(chat, 1, 0));
        source.commit(LANE, &writes).await.expect("a commit in order is stored");
    }
    let mut target = writing_store(&*other).await;
    open_slot(&*target, FENCE).await;
    let (wanted, size) =
        (Wanted { entity: chat, since: 0 }, PageSize { rows: 400, bytes: 200_000 });
    let mut pages = 0;
    for term in 2.. {
        // A process that knows nothing but the progress row.
        let progress = target.progress(FENCE.slot).await.expect("a read");
        let (step, place) = progress.map_or((0, None), |row| (row.step, Some(row.continuation)));
        let place = place.map(|bytes| Place::decode(&bytes).expect("a place"));
        assert_eq!((step, head(&*target, chat).await), (pages, None));
        let exported = export(&*source, &[wanted], place, size).await.expect("a read");
        let bytes: usize = exported.parts.iter().map(EntityPart::bytes).sum();
        assert!(bytes < 300_000, "a page of {bytes} bytes");
        pages += 1;
        let continuation = exported.place.map_or_else(Vec::new, |place| place.encode());
        let import = import_of(FENCE, pages, exported.parts, Vec::new());
        let import = Import { continuation, ..import };
        target.import(&[LANE], &[import]).await.expect("the slot is being filled");
        if exported.place.is_none() {
            break;
        }
        target = other.open().await;
        target.take_over(writer(term), 2).await.expect("a higher term");
    }
    assert!(8 < pages, "{pages} pages");
    let progress = target.progress(FENCE.slot).await.expect("a read").expect("it is there");
    assert_eq!((progress.fence, progress.step, progress.entity), (FENCE, pages, pages));
    assert!(3_000 < progress.rows && 1_500_000 < progress.bytes);
    assert_equal(&*source, &*target).await;
}

pub async fn a_difference_brings_what_changed(database: &dyn Database) {
    let other = database.another().await;
    let (source, mut script) = source_with_everything(database).await;
    let target = writing_store(&*other).await;
    open_slot(&*target, FENCE).await;
    let mut copier = Copier::new(&*source, &*target);
    let chat = id(100);
    for round in 1..=60 {
        let writes = all_kinds(&mut script, chat, round);
        source.commit(LANE, &writes).await.expect("a commit in order is stored");
    }
    copier.round().await;
    let since = head(&*target, chat).await.expect("it was copied").ver;
    let writes = all_kinds(&mut script, chat, 61);
    source.commit(LANE, &writes).await.expect("a commit in order is stored");
    let exported = one_page(&*source, chat, since).await;
    let part = &exported.parts[0];
    // Only what is new: a message, one that was edited, two members, a fact.
    assert_eq!((part.messages.len(), part.changes.len(), part.members.len()), (2, 4, 2));
    assert_eq!(part.outbox, writes.outbox);
    let closing = part.closing.as_ref().expect("it is the last");
    assert_eq!(closing.head, writes.heads[0].head);
    copier.import(exported.parts, Vec::new()).await;
    assert_equal(&*source, &*target).await;

    // Cursors move without a ver: the frozen round brings them.
    let cursors =
        vec![CursorRow { chat, user: 1_061, seq: 7 }, CursorRow { chat, user: 1_061, seq: 5 }];
    let mut writes = script.empty();
    writes.cursors.clone_from(&cursors);
    source.commit(LANE, &writes).await.expect("a commit in order is stored");
    let digest = async |store: &dyn Store| digest_of(store, chat, 0).await;
    let (there, here) = (digest(&*source).await, digest(&*target).await);
    assert_eq!(there.rows, here.rows);
    assert_ne!(there.cursors, here.cursors);
    copier.import(Vec::new(), cursors).await;
    assert_equal(&*source, &*target).await;
    assert_eq!(
        export(&*source, &[], None, PageSize::FULL).await.expect("a read"),
        Exported::default()
    );
    let unknown = Wanted { entity: id(77_777), since: 0 };
    let none = export(&*source, &[unknown], None, PageSize::FULL).await.expect("a read");
    assert_eq!((none.finished, none.parts.len(), none.place), (1, 0, None));
}

pub async fn an_entity_whose_changes_were_trimmed_is_sent_whole(database: &dyn Database) {
    let other = database.another().await;
    let source = writing_store(database).await;
    let target = writing_store(&*other).await;
    open_slot(&*target, FENCE).await;
    let (chat, mut script) = (id(5), Script::new(LANE));
    let mut copier = Copier::new(&*source, &*target);
    for round in 1..=10 {
        let writes = all_kinds(&mut script, chat, round);
        source.commit(LANE, &writes).await.expect("a commit in order is stored");
        if round == 5 {
            copier.round().await;
        }
    }
    let since = head(&*target, chat).await.expect("it was copied").ver;
    let mut writes = all_kinds(&mut script, chat, 11);
    let floor = since + 3;
    writes.trimmed_changes.push((chat, floor));
    writes.chats = vec![chat_row(chat, 1, floor)];
    source.commit(LANE, &writes).await.expect("a commit in order is stored");
    let exported = one_page(&*source, chat, since).await;
    assert_eq!(exported.parts[0].messages.len(), 11);
    assert!(exported.parts[0].changes.iter().all(|row| floor < row.ver));
    copier.round().await;
    assert_equal(&*source, &*target).await;
    let rows = target.changes(chat, 0, 100).await.expect("a read");
    assert_eq!(rows.first().map(|row| floor < row.ver), Some(true));
}

pub async fn an_import_never_lowers(database: &dyn Database) {
    let other = database.another().await;
    let (source, mut script) = source_with_everything(database).await;
    let target = writing_store(&*other).await;
    open_slot(&*target, FENCE).await;
    let mut copier = Copier::new(&*source, &*target);
    let chat = id(100);
    let mut pages = Vec::new();
    for round in 1..=8 {
        let writes = all_kinds(&mut script, chat, round);
        source.commit(LANE, &writes).await.expect("a commit in order is stored");
        pages.push(one_page(&*source, chat, 0).await.parts);
        pages.push(one_page(&*source, id(1), 0).await.parts);
    }
    copier.round().await;
    let cursors = vec![CursorRow { chat, user: 1_008, seq: 6 }];
    copier.import(Vec::new(), cursors.clone()).await;
    let mut writes = script.empty();
    writes.cursors = cursors;
    source.commit(LANE, &writes).await.expect("a commit in order is stored");
    for parts in pages.into_iter().rev() {
        copier.import(parts, vec![CursorRow { chat, user: 1_008, seq: 2 }]).await;
        assert_equal(&*source, &*target).await;
    }
}

pub async fn a_retry_finds_its_first_message_on_the_target(database: &dyn Database) {
    let other = database.another().await;
    let source = writing_store(database).await;
    let target = writing_store(&*other).await;
    let (chat, mut script) = (id(5), Script::new(LANE));
    let mut writes = script.sends(&[chat; 3]);
    writes.chats.push(chat_row(chat, 1, 0));
    source.commit(LANE, &writes).await.expect("a commit in order is stored");
    let mut deleting = script.empty();
    let gone = MessageRow {
        changed_ver: 4,
        text: String::new(),
        deleted: true,
        ..writes.messages[1].clone()
    };
    deleting.changed_messages.push(gone.clone());
    deleting.changes.push(change(chat, 4, ChangeKind::Delete, 2));
    let from = script.heads[&chat];
    let to = HeadRow { ver: 4, ..from };
    deleting.heads.push(HeadChange { expected_ver: 3, head: to });
    source.commit(LANE, &deleting).await.expect("a commit in order is stored");
    open_slot(&*target, FENCE).await;
    Copier::new(&*source, &*target).round().await;

    let key = |row: &MessageRow| MessageKey {
        chat,
        sender: row.sender,
        client_msg_id: row.client_msg_id,
    };
    let keys: Vec<_> = writes.messages.iter().map(key).collect();
    let mut found = target.find_messages(&keys).await.expect("a read");
    found.sort_by_key(|row| row.seq);
    assert_eq!(found, [writes.messages[0].clone(), gone, writes.messages[2].clone()]);
    // The new owner goes on where the old one was, and does not store the same again.
    let mut here = Script::new(LANE);
    here.heads.insert(chat, to);
    let mut again = here.sends(&[chat]);
    again.messages[0] = MessageRow { seq: 4, ver: 5, changed_ver: 5, ..writes.messages[1].clone() };
    let refused = target.commit(LANE, &again).await;
    assert!(matches!(refused, Err(CommitError::Duplicate)), "{refused:?}");
    here.forget(&again);
    here.send(&*target, &[chat]).await;
}

pub async fn imports_and_commits_do_not_hinder_each_other(database: &dyn Database) {
    let other = database.another().await;
    let source = writing_store(database).await;
    let target = writing_store(&*other).await;
    open_slot(&*target, FENCE).await;
    let mut script = Script::new(LANE);
    // Up to the edges of the slot; lanes write to its neighbours on either side.
    let moving: Vec<u64> =
        (0..5).chain((0..5).map(|n| ids().end() - ids().start() - n)).map(id).collect();
    let beside: Vec<u64> = (1..=20).flat_map(|n| [ids().start() - n, ids().end() + n]).collect();
    let stop = AtomicBool::new(false);
    let lane = |lane: u16| {
        let (target, beside, stop) = (&target, &beside, &stop);
        async move {
            let mut script = Script::new(lane);
            let chats: Vec<u64> = beside.iter().skip(lane.into()).step_by(2).copied().collect();
            while !stop.load(Ordering::Relaxed) {
                let mut writes = script.sends(&chats);
                writes.members.extend(chats.iter().map(|chat| member(*chat, 7)));
                target.commit(lane, &writes).await.expect("nothing stands in the way of a commit");
                tokio::task::yield_now().await;
            }
            script.position
        }
    };
    let copying = async {
        let mut step = 0;
        for round in 1..=12 {
            for chat in &moving {
                let writes = all_kinds(&mut script, *chat, round);
                source.commit(LANE, &writes).await.expect("a commit in order is stored");
            }
            let mut copier = Copier { step, ..Copier::new(&*source, &*target) };
            copier.size = PageSize { rows: 60, bytes: 50_000 };
            copier.round().await;
            step = copier.step;
        }
        stop.store(true, Ordering::Relaxed);
    };
    let (one, two, ()) =
        in_time("lanes and imports", async { tokio::join!(lane(0), lane(1), copying) }).await;
    assert!(0 < one && 0 < two);
    assert_equal(&*source, &*target).await;
}
