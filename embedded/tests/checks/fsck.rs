//! What does not fit together is found, and told again by who decides.

use crate::world::{SHARDS, World, shard_file};
use rusqlite::{Connection, params};
use shardline_domain::id::{EntityId, NameId};
use shardline_domain::slot::Slot;
use std::path::Path;
use std::time::Duration;

const HOUR_MS: i64 = 3_600_000;

fn open(folder: &Path, shard: u32) -> Connection {
    let db = Connection::open(shard_file(folder, shard)).expect("the file opens");
    db.busy_timeout(Duration::from_secs(10)).expect("a setting");
    db
}

/// As if everything had happened long ago: nothing is young any more.
fn age(folder: &Path) {
    for shard in 0..SHARDS {
        let db = open(folder, shard);
        db.execute("UPDATE changes SET at_ms = at_ms - ?", [2 * HOUR_MS]).expect("older");
        db.execute("UPDATE users SET created_at_ms = created_at_ms - ?", [2 * HOUR_MS])
            .expect("older");
    }
}

#[tokio::test]
async fn a_busy_cluster_gives_no_false_alarm() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::start(folder.path()).await;
    let mut people = Vec::new();
    for number in 0..6 {
        people.push(world.user(&format!("person{number}")).await);
    }
    let mut chats = Vec::new();
    for first in 0..4 {
        chats.push(world.group(&people[first..=first + 1]).await);
    }
    let talking = async {
        for round in 0.. {
            for (number, chat) in chats.iter().enumerate() {
                let guest = people[(number + 3) % people.len()];
                world.send(*chat, people[number], &format!("{round}")).await;
                world.add(*chat, people[number], guest).await;
                world.send(*chat, guest, "hello").await;
                world.remove(*chat, people[number], guest).await;
            }
            // Only what is on its way, and the order of looking, is left to explain a difference.
            age(folder.path());
        }
    };
    let checking = async {
        let mut compared = 0;
        for _ in 0..6 {
            let walked = world.fsck(true, false).await;
            assert!(walked.findings.is_empty(), "{:#?}", walked.findings);
            assert_eq!(walked.uncompared, 0);
            compared += walked.compared;
            let checked = world.catalog_findings().await;
            assert!(checked.is_empty(), "{checked:?}");
        }
        compared
    };
    let compared = tokio::select! {
        () = talking => unreachable!("they talk until the check is done"),
        compared = checking => compared,
    };
    // Members and lists, users and names: of each walk.
    assert!(6 * (2 * 8 + 2 * 6) <= compared, "{compared}");
    world.stop().await;
}

#[tokio::test]
async fn what_does_not_fit_is_found_and_told_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::start(folder.path()).await;
    let (anna, bert) = (world.user("anna").await, world.user("bert").await);
    let carl = world.user("carl").await;
    let nobody = world.nameless("nobody").await;
    let young = world.nameless("young").await;
    let chat = world.group(&[anna, bert]).await;
    let other = world.group(&[anna, carl]).await;
    let left = world.group(&[anna, bert]).await;
    world.remove(left, anna, bert).await;
    for number in 0..5 {
        world.send(chat, anna, &format!("{number}")).await;
        world.send(other, anna, &format!("{number}")).await;
        world.send(left, anna, &format!("{number}")).await;
    }
    let clean = world.fsck(true, false).await;
    assert!(clean.findings.is_empty(), "{:#?}", clean.findings);

    let (of_chat, of_other) = (world.owner(chat).await, world.owner(other).await);
    let (of_bert, of_carl) = (world.owner(bert).await, world.owner(carl).await);
    let of_young = world.owner(young).await;
    let gone_name = NameId::of_name("gone", 0).get();
    let of_gone = world.owner(gone_name).await;
    world.stop().await;

    age(folder.path());
    // One who is too young to be nobody.
    let db = open(folder.path(), of_young);
    db.execute(
        "UPDATE users SET created_at_ms = created_at_ms + ? WHERE user = ?",
        params![2 * HOUR_MS, young],
    )
    .expect("younger");
    // The list lost the chat; another says the opposite; a third knows a chat that never had its user.
    let db = open(folder.path(), of_bert);
    let lost = db.execute("DELETE FROM lists WHERE user = ? AND chat = ?", params![bert, chat]);
    assert_eq!(lost, Ok(1));
    let revived = "UPDATE lists SET gone = 0 WHERE user = ? AND chat = ?";
    assert_eq!(db.execute(revived, params![bert, left]), Ok(1));
    let invented = "INSERT INTO lists VALUES (?, ?, 'group', 0, 0, 0, 0, 2, 1)";
    assert_eq!(db.execute(invented, params![bert, other]), Ok(1));
    let db = open(folder.path(), of_carl);
    let older = "UPDATE lists SET fact_ver = fact_ver - 1 WHERE user = ? AND chat = ?";
    assert_eq!(db.execute(older, params![carl, other]), Ok(1));
    // A message is missing, and a member of nothing is there.
    let db = open(folder.path(), of_other);
    let cut = "DELETE FROM messages WHERE chat = ? AND seq = 3";
    assert_eq!(db.execute(cut, [other]), Ok(1));
    let alone = other + 1;
    let stray = "INSERT INTO members VALUES (?, ?, 'member', 1, 0, NULL, 0)";
    assert_eq!(db.execute(stray, params![alone, anna]), Ok(1));
    // A name of nobody, and rows on a shard that has nothing to do with their slot.
    let db = open(folder.path(), of_gone);
    db.execute("INSERT INTO heads VALUES (?, 0, 1, 7, 0)", [gone_name]).expect("a head");
    db.execute("INSERT INTO names VALUES (?, 'gone', ?)", params![gone_name, 4_711])
        .expect("a name");
    let db = open(folder.path(), 1 - of_chat);
    db.execute(stray, params![chat, anna]).expect("a row");

    let world = World::start(folder.path()).await;
    let found = world.fsck(true, false).await;
    let check = |entity: u64, expected: &[&str]| {
        let mut kinds: Vec<&str> = found.of(entity).iter().map(|(kind, _)| *kind).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, expected, "{:#?}", found.findings);
    };
    check(chat, &["foreign_rows", "list_missing"]);
    check(left, &["list_contradicts"]);
    check(bert, &["list_unknown"]);
    check(other, &["history", "list_behind"]);
    check(alone, &["misfit"]);
    check(nobody, &["user_without_name"]);
    check(young, &[]);
    check(gone_name, &["name_without_user"]);
    assert_eq!(found.findings.len(), 9, "{:#?}", found.findings);
    assert!(world.changes().await.is_empty(), "looking changes nothing");

    let repaired = world.fsck(true, true).await;
    let states = |entity: u64| {
        let mut states: Vec<&str> = repaired.of(entity).iter().map(|(_, state)| *state).collect();
        states.sort_unstable();
        states
    };
    assert_eq!(states(chat), ["left", "repaired"], "{:#?}", repaired.findings);
    assert_eq!(states(left), ["repaired"]);
    assert_eq!(states(bert), ["repaired"], "{:#?}", repaired.findings);
    assert_eq!(states(other), ["left", "repaired"], "{:#?}", repaired.findings);
    assert_eq!(states(nobody), ["repaired"], "{:#?}", repaired.findings);
    assert_eq!((states(alone), states(gone_name)), (vec!["left"], vec!["left"]));
    let changes = world.changes().await;
    assert_eq!(changes.len(), 5, "{changes:?}");
    assert!(changes.iter().all(|(by, what)| by == "anna" && what.starts_with("fsck: ")));
    assert_eq!(world.list(bert).await, [chat]);

    // What is left is found again, and nothing else.
    let again = world.fsck(true, false).await;
    let mut kinds: Vec<&str> = again.findings.iter().map(|one| one.kind.as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["foreign_rows", "history", "misfit", "name_without_user"]);
    // Later facts are taken as ever.
    world.remove(chat, anna, bert).await;
    world.add(chat, anna, bert).await;
    crate::world::eventually("the list follows", async || world.list(bert).await == [chat]).await;
    world.stop().await;
}

#[tokio::test]
async fn a_fact_that_was_left_behind_is_delivered() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::start(folder.path()).await;
    let (anna, bert) = (world.user("anna").await, world.user("bert").await);
    let chat = world.group(&[anna, bert]).await;
    let of_chat = world.owner(chat).await;
    // While it runs, so that nobody looks for it.
    let db = open(folder.path(), of_chat);
    let row = "INSERT INTO outbox VALUES (?, 2, ?, 1, 'group', 0)";
    assert_eq!(db.execute(row, params![chat, bert]), Ok(1));
    let found = world.fsck(false, false).await;
    assert_eq!(found.of(chat), [("undelivered", "found")], "{:#?}", found.findings);
    let repaired = world.fsck(false, true).await;
    assert_eq!(repaired.of(chat), [("undelivered", "repaired")], "{:#?}", repaired.findings);
    let again = world.fsck(false, false).await;
    assert!(again.findings.is_empty(), "{:#?}", again.findings);
    world.stop().await;
}

#[tokio::test]
async fn a_walk_over_one_slot_sees_that_slot_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::start(folder.path()).await;
    let anna = world.user("anna").await;
    let chat = world.group(&[anna]).await;
    let slot = Slot::of(EntityId::new(chat).expect("an id")).get().into();
    let shard = world.owner(chat).await;
    let walked = world.fsck_slot(shard, slot).await;
    assert_eq!(walked, 1);
    assert_eq!(world.fsck_slot(1 - shard, slot).await, 0);
    world.stop().await;
}
