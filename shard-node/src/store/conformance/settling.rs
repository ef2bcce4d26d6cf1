//! Commits whose answer did not come.

use super::*;

pub async fn a_commit_is_found_by_its_nonce(database: &dyn Database) {
    let store = writing_store(database).await;
    let mut script = Script::new(0);
    let JournalRow { position, nonce, .. } = script.send(&*store, &[7]).await.journal;
    assert!(store.settle(0, position, nonce).await.expect("it is the writer"));
    assert!(!store.settle(0, position, nonce - 1).await.expect("it is the writer"));
    assert!(!store.settle(0, position + 1, nonce).await.expect("it is the writer"));
    assert!(!store.settle(1, position, nonce).await.expect("it is the writer"));
    script.send(&*store, &[7]).await;
}

pub async fn a_commit_that_went_out_is_found_also_after_its_row_left(database: &dyn Database) {
    let store = writing_store(database).await;
    let mut script = Script::new(0);
    let JournalRow { position, nonce, .. } = script.send(&*store, &[7]).await.journal;
    store.advance(0, 1, 1).await.expect("it is the writer");
    assert_eq!(store.journal(0, 0, 10).await.expect("a read"), []);
    assert!(store.settle(0, position, nonce).await.expect("it is the writer"));
    assert!(!store.settle(0, 2, nonce).await.expect("it is the writer"));
}

/// A commit that is cut off: what `settle` says is so, stays so, and the lane goes on from there.
/// Returns what it says.
async fn settle_after(database: &dyn Database, cut: Cut) -> Option<bool> {
    let (store, wire) = database.open_by_wire().await?;
    store.take_over(writer(1), 2).await.expect("nobody has a higher term");
    let mut script = Script::new(0);
    script.send(&*store, &CHATS).await;
    wire.cut(cut);
    let writes = script.sends(&CHATS);
    let lost = in_time("a commit", store.commit(0, &writes)).await;
    assert!(matches!(lost, Err(CommitError::Unknown(_))), "{lost:?}");
    let JournalRow { position, nonce, .. } = writes.journal;
    // A lane that goes on without an answer is not served.
    let early = store.commit(0, &writes).await;
    assert!(matches!(early, Err(CommitError::NotStored(_))), "{early:?}");
    let stored = in_time("settle", store.settle(0, position, nonce)).await;
    let stored = stored.expect("the server is there");

    if let Cut::CommitLate(late) = cut {
        tokio::time::sleep(late * 2).await;
    }
    let ver = if stored { 2 } else { 1 };
    for chat in CHATS {
        assert_eq!(head(&*store, chat).await.map(|head| head.ver), Some(ver));
        let second = store.message(chat, 2).await.expect("a read");
        assert_eq!(second.is_some(), stored);
    }
    assert_eq!(store.settle(0, position, nonce).await.expect("the server is there"), stored);
    if !stored {
        script.forget(&writes);
    }
    in_time("a commit", script.send(&*store, &CHATS)).await;
    Some(stored)
}

pub async fn a_lost_commit_that_was_not_delivered_is_not_there(database: &dyn Database) {
    let stored = settle_after(database, Cut::CommitLost).await;
    assert_ne!(stored, Some(true));
}

pub async fn a_lost_commit_that_was_delivered_is_there(database: &dyn Database) {
    let stored = settle_after(database, Cut::AnswerLost).await;
    assert_ne!(stored, Some(false));
}

pub async fn a_lost_commit_that_comes_late_changes_nothing_after_the_answer(
    database: &dyn Database,
) {
    let late = Duration::from_millis(300);
    let stored = settle_after(database, Cut::CommitLate(late)).await;
    assert_ne!(stored, Some(true), "settle did not end the session first");
}

pub async fn a_connection_lost_before_commit_stores_nothing(database: &dyn Database) {
    let Some((store, wire)) = database.open_by_wire().await else { return };
    store.take_over(writer(1), 2).await.expect("nobody has a higher term");
    let mut script = Script::new(0);
    script.send(&*store, &CHATS).await;
    for _ in 0..3 {
        wire.cut(Cut::AtStatement);
        let writes = script.sends(&CHATS);
        let lost = in_time("a commit", store.commit(0, &writes)).await;
        assert!(matches!(lost, Err(CommitError::NotStored(_))), "{lost:?}");
        script.forget(&writes);
        // The server still holds the first transaction; it must not hinder the next.
        in_time("a commit", script.send(&*store, &CHATS)).await;
    }
    assert_eq!(head(&*store, CHATS[0]).await.map(|head| head.ver), Some(4));
}

pub async fn a_server_that_ends_our_sessions_costs_no_more_than_a_batch(database: &dyn Database) {
    let Some((store, wire)) = database.open_by_wire().await else { return };
    store.take_over(writer(1), 2).await.expect("nobody has a higher term");
    let mut script = Script::new(0);
    let mut stored = 0;
    for _ in 0..3 {
        script.send(&*store, &CHATS).await;
        stored += 1;
        assert_eq!(head(&*store, CHATS[0]).await.map(|head| head.ver), Some(stored));
        wire.end_sessions().await;
        let writes = script.sends(&CHATS);
        match in_time("a commit", store.commit(0, &writes)).await {
            Ok(()) => stored += 1,
            Err(CommitError::NotStored(_)) => script.forget(&writes),
            Err(error) => panic!("{error:?}"),
        }
        // A read may fail once for each session that was idle, then works.
        let reading = async {
            while store.heads(&CHATS).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        in_time("a read", reading).await;
    }
    script.send(&*store, &CHATS).await;
}
