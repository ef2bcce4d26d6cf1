//! A catalog that was thrown away is made anew from the shards' rows: everything acknowledged is there, and
//! people go on.

use crate::world::{SHARDS, Walked, World, address, eventually, shard_file};
use rusqlite::{Connection, params};
use shardline_domain::id::EntityId;
use shardline_domain::slot::Slot;
use shardline_router::catalog::CatalogStore;
use shardline_wire::checks::Checks;
use shardline_wire::internal::{RebuildCatalogAnswer, RebuildCatalogRequest};
use shardline_wire::refusal::{Code, Refusal};
use std::path::Path;

async fn rebuild(
    world: &World,
    shards: u32,
    dry_run: bool,
) -> Result<RebuildCatalogAnswer, Refusal> {
    let addresses = (0..shards).map(address).collect();
    let request = RebuildCatalogRequest { addresses, dry_run, by: "anna".to_owned() };
    world.checks.rebuild_catalog(request).await
}

fn lose_catalog(folder: &Path) {
    for name in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
        let file = folder.join(name);
        if file.exists() {
            std::fs::remove_file(file).expect("it can go");
        }
    }
}

fn open(folder: &Path, shard: u32) -> Connection {
    Connection::open(shard_file(folder, shard)).expect("the file opens")
}

struct Talk {
    chat: u64,
    user: u64,
    said: Vec<String>,
}

impl Talk {
    async fn begin(world: &World, number: usize) -> Talk {
        let user = world.user(&format!("person{number}")).await;
        let chat = world.group(&[user]).await;
        let mut talk = Talk { chat, user, said: Vec::new() };
        talk.go_on(world, 3).await;
        talk
    }

    /// Each message has the next seq.
    async fn go_on(&mut self, world: &World, messages: usize) {
        for _ in 0..messages {
            let text = format!("message {}", self.said.len());
            let seq = world.send(self.chat, self.user, &text).await;
            self.said.push(text);
            assert_eq!(seq, self.said.len() as u64, "each once, in order");
        }
    }

    async fn is_all_there(&self, world: &World) {
        assert_eq!(world.texts(self.chat, self.user).await, self.said);
    }
}

fn nothing(walked: &Walked) {
    assert!(walked.findings.is_empty(), "{:#?}", walked.findings);
    assert_eq!(walked.uncompared, 0);
}

#[tokio::test]
async fn a_lost_catalog_is_rebuilt_and_everybody_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::start(folder.path()).await;
    let mut talks = Vec::new();
    for number in 0..4 {
        talks.push(Talk::begin(&world, number).await);
    }
    world.stop().await;

    lose_catalog(folder.path());
    let world = World::start_with(folder.path(), 0).await;
    let one = rebuild(&world, 1, false).await.expect_err("half of the slots are missing");
    assert_eq!(one.code(), Code::Conflict);
    assert!(one.message.contains("no shard knows of it"), "{one}");
    let dry = rebuild(&world, SHARDS, true).await.expect("it is certain");
    assert_eq!((dry.written, dry.renewed_slots, dry.moves.len()), (false, 0, 0));
    assert!(world.catalog.shards().await.expect("an answer").is_empty(), "a dry run");
    let rebuilt = rebuild(&world, SHARDS, false).await.expect("it is certain");
    assert!(rebuilt.written);
    assert!(rebuilt.shards.iter().all(|shard| shard.slots == 8_192 && shard.lanes == 2));
    let again = rebuild(&world, SHARDS, false).await.expect_err("it is not empty any more");
    assert!(again.message.contains("not empty"), "{again}");

    world.serves().await;
    for talk in &mut talks {
        talk.is_all_there(&world).await;
        talk.go_on(&world, 3).await;
        talk.is_all_there(&world).await;
    }
    let mut new = Talk::begin(&world, 9).await;
    new.go_on(&world, 1).await;
    nothing(&world.fsck(true, false).await);
    assert_eq!(world.catalog_findings().await, [""; 0]);
    let changes = world.changes().await;
    let (by, what) = changes.last().expect("the rebuild");
    assert!(by == "anna" && what.contains("rebuilt from the rows of 2 shards"), "{changes:?}");
    world.stop().await;
}

/// The catalog is lost while slots are frozen and copied: the source goes on with them, at an epoch that no
/// late order knows, and the copies are cleaned up as after an abort. Of another move it is seen that it
/// flipped: it goes forward.
#[tokio::test]
async fn moves_that_the_catalog_forgot_are_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::start(folder.path()).await;
    let mut talks = Vec::new();
    for number in 0..4 {
        talks.push(Talk::begin(&world, number).await);
    }
    let mut owners = Vec::new();
    for talk in &talks {
        owners.push(world.owner(talk.chat).await);
    }
    world.stop().await;
    lose_catalog(folder.path());

    let slot_of = |talk: &Talk| Slot::of(EntityId::new(talk.chat).expect("an id"));
    let put = |shard: u32, slot: Slot, state: u8, epoch: u64, id: u64| {
        let sql = "INSERT INTO slots (slot, state, epoch, move_id, attempt, leader_term) \
            VALUES (?, ?, ?, ?, 1, 30) ON CONFLICT (slot) DO UPDATE SET state = excluded.state, \
            epoch = excluded.epoch, move_id = excluded.move_id, attempt = 1, leader_term = 30";
        let put = open(folder.path(), shard).execute(sql, params![slot.get(), state, epoch, id]);
        assert_eq!(put, Ok(1));
    };
    // Frozen here, half copied there. A member's row came over, the head did not.
    let (frozen, copied) = (slot_of(&talks[0]), 1 - owners[0]);
    put(owners[0], frozen, 2, 1, 21);
    put(copied, frozen, 5, 1, 21);
    let row = "INSERT INTO members VALUES (?, ?, 'owner', 2, 0, NULL, 0)";
    let member = params![talks[0].chat, talks[0].user];
    assert_eq!(open(folder.path(), copied).execute(row, member), Ok(1));
    // Being deleted by the old source of a move that is done but for that.
    let (flipped, old) = (slot_of(&talks[1]), 1 - owners[1]);
    assert_ne!(frozen, flipped);
    put(owners[1], flipped, 1, 2, 22);
    put(old, flipped, 3, 2, 22);
    let member = params![talks[1].chat, talks[1].user];
    assert_eq!(open(folder.path(), old).execute(row, member), Ok(1));

    let world = World::start_with(folder.path(), 0).await;
    let rebuilt = rebuild(&world, SHARDS, false).await.expect("it is certain");
    assert_eq!((rebuilt.renewed_slots, rebuilt.next_move), (2, 23));
    assert!(30 < rebuilt.leader_term);
    let phases: Vec<&str> = rebuilt.moves.iter().map(|left| left.phase.as_str()).collect();
    assert_eq!(phases, ["aborting", "cleaning"], "{:?}", rebuilt.moves);
    world.serves().await;
    for talk in &mut talks {
        talk.is_all_there(&world).await;
        talk.go_on(&world, 2).await;
        talk.is_all_there(&world).await;
    }
    assert_eq!(world.owner(talks[0].chat).await, owners[0]);
    eventually("the moves end", async || world.live_moves().await == 0).await;
    for (shard, slot) in [(copied, frozen), (old, flipped)] {
        let db = open(folder.path(), shard);
        let state: u8 = db
            .query_row("SELECT state FROM slots WHERE slot = ?", [slot.get()], |row| row.get(0))
            .expect("a row");
        assert_eq!(state, 7, "the copy is gone");
    }
    nothing(&world.fsck(true, false).await);
    eventually("the shards have heard", async || world.catalog_findings().await.is_empty()).await;
    world.stop().await;
}
