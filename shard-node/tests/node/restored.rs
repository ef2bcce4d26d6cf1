//! A database that went back in time: it is not served before an operator says so, and then nobody is
//! given a ver, a seq or a position twice.

mod place;

use crate::node::{Node, eventually, refused, user_id};
use place::{Database, File, Place, asked_for, log_and_ver, stop_when_reported};
use shardline_shard_node::store::{SlotState, Store};
use shardline_wire::call::Answer;
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{GetChanges, GetChat, GetList, OpenChat};
use shardline_wire::refusal::Code;
use std::sync::atomic::Ordering;

async fn a_restore_is_accepted(database: &dyn Database) {
    let place = Place::of(database);
    let node = place.start("").await.writes().await;
    let (ann, bob) = (node.user(1).await, node.user(2).await);
    let chat = node.group(&[ann, bob]).await;
    for number in 1..=5 {
        node.send(chat, ann, number, &format!("text {number}")).await;
    }
    node.stop().await;
    database.copy().await;

    let node = place.start("").await.writes().await;
    for number in 6..=10 {
        node.send(chat, ann, number, &format!("text {number}")).await;
    }
    let lost_group = node.group(&[bob, ann]).await;
    eventually("the list shows it", async || list(&node, ann, None).await.0.contains(&lost_group))
        .await;
    let (log, ver) = log_and_ver(&node, chat, ann).await;
    let (_, list_ver, _) = list(&node, ann, None).await;
    stop_when_reported(node).await;

    database.put_back().await;
    let node = place.start("").await;
    let loss = asked_for(&node).await;
    refused(
        node.call(chat, Op::GetChat(GetChat { user: ann, min_ver: 0 })).await,
        Code::Unavailable,
    );
    node.stop().await;
    // Looking changed nothing; what was accepted is exactly that.
    let node = place.start("1:0=1/2").await;
    assert_eq!(asked_for(&node).await, loss);
    node.stop().await;

    let node = place.start(&loss).await.writes().await;
    let (new_log, new_ver) = log_and_ver(&node, chat, ann).await;
    assert_ne!(new_log, log);
    assert!(ver < new_ver, "no ver is given out twice");
    let open = OpenChat { user: bob, since_ver: Some(ver), log: Some(log), limit: 50, min_ver: 0 };
    match node.call(chat, Op::OpenChat(open)).await {
        Ok(Answer::Opened(opened)) => {
            assert!(!opened.resumed);
            assert_eq!(opened.messages.len(), 5);
            assert_eq!(opened.to_ver, new_ver);
        }
        other => panic!("not opened: {other:?}"),
    }
    let get = GetChanges { since_ver: ver, limit: 50, min_ver: 0 };
    match node.call(chat, Op::GetChanges(get)).await {
        Ok(Answer::Changes(page)) => assert!(page.resync),
        other => panic!("not changes: {other:?}"),
    }
    let (chats, _, resumed) = list(&node, ann, Some(list_ver)).await;
    assert!(!resumed && chats == [chat], "the whole list, as it is now: {chats:?}");

    // A message that is there has its first answer; one that was lost comes in anew.
    let listener = node.listen().await;
    let again = node.send_again(chat, ann, 3, "text 3").await;
    assert_eq!((again.seq, again.duplicate), (3, true));
    let lost = node.send_again(chat, ann, 8, "text 8").await;
    assert_eq!((lost.seq, lost.duplicate, lost.ver), (6, false, new_ver + 1));
    let events = listener.until(chat, lost.ver).await;
    assert!(events.iter().all(|event| event.log.to_string() == new_log), "{events:?}");

    // The setting says nothing any more, and positions go on from what was reported.
    stop_when_reported(node).await;
    let node = place.start("").await.writes().await;
    assert_eq!(log_and_ver(&node, chat, ann).await, (new_log, lost.ver));
    node.stop().await;
}

/// Chats on a user's list, its ver, and whether it was only what changed since.
async fn list(node: &Node, user: u64, since_list_ver: Option<u64>) -> (Vec<u64>, u64, bool) {
    match node.call(user, Op::GetList(GetList { since_list_ver, ..GetList::default() })).await {
        Ok(Answer::List(page)) => {
            let chats = page.rows.iter().filter(|row| !row.gone).map(|row| row.chat).collect();
            (chats, page.list_ver, page.resumed)
        }
        other => panic!("not a list: {other:?}"),
    }
}

#[tokio::test]
async fn a_restored_file_is_served_after_its_loss_was_accepted() {
    a_restore_is_accepted(&File::new()).await;
}

#[tokio::test]
async fn the_complete_database_put_back_is_served_as_if_nothing_had_been() {
    let file = File::new();
    let place = Place::of(&file);
    let node = place.start("").await.writes().await;
    let chat = node.group(&[1, 2]).await;
    node.send(chat, 1, 1, "one").await;
    node.stop().await;
    file.copied("old.db");
    let node = place.start("").await.writes().await;
    node.send(chat, 1, 2, "two").await;
    let before = log_and_ver(&node, chat, 1).await;
    stop_when_reported(node).await;
    file.copied("complete.db");

    file.put_back("old.db");
    let node = place.start("").await;
    asked_for(&node).await;
    node.stop().await;
    file.put_back("complete.db");
    let node = place.start("").await.writes().await;
    assert_eq!(log_and_ver(&node, chat, 1).await, before);
    assert_eq!(node.texts(chat, 2).await, ["one", "two"]);
    node.stop().await;
}

/// Three batches of entities, and a process that dies after each of the commits this takes.
#[tokio::test]
async fn a_renewal_that_dies_anywhere_is_taken_up_and_every_chat_has_one_new_log() {
    let file = File::new();
    let place = Place::of(&file);
    let node = place.start("").await.writes().await;
    let mut chats = Vec::new();
    for number in 0..600 {
        chats.push(node.group(&[user_id(2 * number + 1), user_id(2 * number + 2)]).await);
    }
    let mut logs = Vec::new();
    for chat in &chats {
        logs.push(node.store.heads(&[*chat]).await.expect("a read")[0].log);
    }
    node.stop().await;
    file.copied("copy.db");
    let node = place.start("").await.writes().await;
    for chat in &chats[..40] {
        let view = node.store.chat(*chat).await.expect("a read").expect("a chat");
        node.send(*chat, view.members[0].user, 1, "lost").await;
    }
    stop_when_reported(node).await;

    // Mark, second lane, three batches, end: with fewer commits than that it does not serve.
    for commits in 0..6 {
        file.put_back("copy.db");
        let node = place.start("").await;
        let loss = asked_for(&node).await;
        assert!(loss.contains("0=") && loss.contains("1="), "both lanes lack something: {loss}");
        node.stop().await;

        let node = place.start_dying_after(commits, &loss).await;
        eventually("it died", async || commits < node.store.count()).await;
        assert!(!node.shard.is_writer());
        node.stop().await;
        // After the mark and the jumps the setting is not needed any more.
        let setting = if 2 <= commits { "" } else { &loss };
        let node = place.start(setting).await.writes().await;
        for (chat, log) in chats.iter().zip(&logs) {
            let head = node.store.heads(&[*chat]).await.expect("a read")[0];
            assert_ne!(head.log, *log, "after {commits} commits");
            assert_eq!(head.ver >> 32, 1, "renewed once, after {commits} commits");
        }
        stop_when_reported(node).await;
    }
}

/// The catalog answers for the lease, and is away when it is asked for the slots.
async fn without_the_catalogs_word(place: &Place<'_>) -> Node {
    place.catalog.silent.store(true, Ordering::SeqCst);
    place.start("").await
}

#[tokio::test]
async fn a_plain_restart_keeps_its_slots_without_the_catalogs_word() {
    let file = File::new();
    let place = Place::of(&file);
    let node = place.start("").await.writes().await;
    let chat = node.group(&[1, 2]).await;
    node.send(chat, 1, 1, "one").await;
    stop_when_reported(node).await;
    let node = without_the_catalogs_word(&place).await.writes().await;
    node.send(chat, 1, 2, "two").await;
    assert_eq!(node.texts(chat, 2).await, ["one", "two"]);
    node.stop().await;
}

/// It lacks nothing that was reported; but slot rows are in no journal.
#[tokio::test]
async fn another_database_is_not_served_before_the_catalog_granted_its_slots_again() {
    let file = File::new();
    let place = Place::of(&file);
    let node = place.start("").await.writes().await;
    let chat = node.group(&[1, 2]).await;
    node.send(chat, 1, 1, "one").await;
    stop_when_reported(node).await;
    file.copied("copy.db");
    file.put_back("copy.db");
    let node = without_the_catalogs_word(&place).await;
    eventually("it says what it waits for", async || {
        node.health.report().contains("waiting for the catalog to grant the slots again")
    })
    .await;
    assert!(!node.shard.is_writer());
    place.catalog.silent.store(false, Ordering::SeqCst);
    let node = node.writes().await;
    assert_eq!(node.texts(chat, 2).await, ["one"]);
    node.stop().await;
    // From then on it is this shard's database.
    let node = without_the_catalogs_word(&place).await.writes().await;
    node.stop().await;
}

#[tokio::test]
async fn a_slot_that_was_given_away_is_not_served_by_a_copy_from_before() {
    let file = File::new();
    let place = Place::of(&file);
    let node = place.start("").await.writes().await;
    let chat = node.group(&[1, 2]).await;
    stop_when_reported(node).await;
    file.copied("copy.db");
    place.catalog.give_slots(2);
    file.put_back("copy.db");
    let node = place.start("").await.writes().await;
    let rows = node.store.slots().await.expect("a read");
    assert!(!rows.is_empty());
    assert!(rows.iter().all(|row| row.state != SlotState::Owned), "{:?}", rows[0]);
    refused(node.call(chat, Op::GetChat(GetChat { user: 1, min_ver: 0 })).await, Code::WrongEpoch);
    node.stop().await;
}

/// The old primary, which had as many commits, comes back after another one wrote.
#[tokio::test]
async fn a_database_that_did_not_see_the_last_writer_is_a_loss() {
    let file = File::new();
    let place = Place::of(&file);
    let node = place.start("").await.writes().await;
    let chat = node.group(&[1, 2]).await;
    stop_when_reported(node).await;
    file.copied("old.db");
    let node = place.start("").await.writes().await;
    eventually("it has reported", async || {
        place.catalog.reports.lock().iter().any(|report| report.term == 2)
    })
    .await;
    node.stop().await;
    file.put_back("old.db");
    let node = place.start("").await;
    let loss = asked_for(&node).await;
    assert_eq!(loss, "1:term=1/2");
    node.stop().await;
    let node = place.start(&loss).await.writes().await;
    let head = node.store.heads(&[chat]).await.expect("a read")[0];
    assert_eq!(head.ver >> 32, 1, "its chats have new logs");
    stop_when_reported(node).await;
    let node = place.start("").await.writes().await;
    node.stop().await;
}

#[tokio::test]
async fn what_moved_in_and_is_missing_is_a_loss_only_where_it_matters() {
    let file = File::new();
    let place = Place::of(&file);
    let node = place.start("").await.writes().await;
    let chat = node.group(&[1, 2]).await;
    stop_when_reported(node).await;
    // A flip rested on more than there is, but these slots never were elsewhere.
    place.catalog.tally.store(1_000, Ordering::SeqCst);
    let node = place.start("").await.writes().await;
    node.send(chat, 1, 1, "one").await;
    stop_when_reported(node).await;
    // Gone and come back, says the catalog; this database does not know.
    place.catalog.give_slots(2);
    place.catalog.give_slots(1);
    let node = place.start("").await;
    let loss = asked_for(&node).await;
    assert!(loss.starts_with("1:moves=") && loss.ends_with("/1000"), "{loss}");
    node.stop().await;
    let node = place.start(&loss).await.writes().await;
    assert_eq!(node.texts(chat, 2).await, ["one"]);
    stop_when_reported(node).await;
    let node = place.start("").await.writes().await;
    node.stop().await;
}

#[cfg(feature = "mysql")]
mod server {
    #![allow(
        clippy::disallowed_methods,
        clippy::print_stderr,
        reason = "tests read where servers are, and say what they skip"
    )]

    use super::{Database, a_restore_is_accepted};
    use async_trait::async_trait;
    use mysql_async::prelude::Queryable;
    use mysql_async::{Conn, Opts, OptsBuilder};
    use shardline_shard_node::store::Store;
    use shardline_shard_node::store::mysql::{MySqlStore, Options, create_database};
    use std::sync::Arc;

    struct OnServer {
        server: String,
        name: String,
    }

    impl OnServer {
        fn url(&self) -> String {
            format!("{}/{}", self.server, self.name)
        }

        async fn root(&self) -> Conn {
            let options = Opts::from_url(&self.server).expect("the setting is an address");
            let options = OptsBuilder::from_opts(options).prefer_socket(false);
            Conn::new(options).await.expect("the server answers")
        }

        async fn copied(&self, from: &str, to: &str) {
            let mut root = self.root().await;
            root.query_drop(format!("DROP DATABASE IF EXISTS {to}")).await.expect("dropped");
            root.query_drop(format!("CREATE DATABASE {to}")).await.expect("made");
            let tables: Vec<String> =
                root.query(format!("SHOW TABLES FROM {from}")).await.expect("a read");
            assert!(!tables.is_empty());
            for table in tables {
                for sql in [
                    format!("CREATE TABLE {to}.{table} LIKE {from}.{table}"),
                    format!("INSERT INTO {to}.{table} SELECT * FROM {from}.{table}"),
                ] {
                    root.query_drop(sql).await.expect("copied");
                }
            }
        }
    }

    #[async_trait]
    impl Database for OnServer {
        async fn open(&self) -> Arc<dyn Store> {
            let store = MySqlStore::open(&Options::new(self.url())).await;
            Arc::new(store.expect("the database opens"))
        }
        async fn copy(&self) {
            self.copied(&self.name, &format!("{}_copy", self.name)).await;
        }
        async fn put_back(&self) {
            self.copied(&format!("{}_copy", self.name), &self.name).await;
        }
    }

    async fn on(setting: &str) {
        let server = match std::env::var(setting) {
            Ok(url) => url.trim_end_matches('/').to_owned(),
            Err(_)
                if std::env::var("SHARDLINE_TEST_SKIP_SERVICES").is_ok_and(|skip| skip == "1") =>
            {
                eprintln!("skipped: {setting} is not set");
                return;
            }
            Err(_) => panic!("{setting} is not set: start it with make services"),
        };
        let database = OnServer { server, name: format!("test_{:016x}", rand::random::<u64>()) };
        create_database(&database.url()).await.expect("the test's user may make databases");
        a_restore_is_accepted(&database).await;
        let mut root = database.root().await;
        for end in ["", "_copy"] {
            root.query_drop(format!("DROP DATABASE {}{end}", database.name))
                .await
                .expect("dropped");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_restored_mysql_database_is_served_after_its_loss_was_accepted() {
        on("SHARDLINE_TEST_MYSQL_URL").await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_restored_mariadb_database_is_served_after_its_loss_was_accepted() {
        on("SHARDLINE_TEST_MARIADB_URL").await;
    }
}
