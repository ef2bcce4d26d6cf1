//! What every form of the catalog must do. Each check gets an empty catalog, opened twice: what one
//! process did, the other sees.

mod moves;
mod operations;
mod rebuilding;

pub use moves::*;
pub use operations::*;
pub use rebuilding::*;

use super::moves::{HeldSlot, NewMove};
use super::{
    CatalogError, LanePosition, NewShard, Report, Router, ShardState, SlotRow, WholeCatalog,
    WriterBid, WriterGrant,
};
use shardline_domain::{
    id::ShardId,
    placement::transfer::MovingSlot,
    slot::{Epoch, Slot},
};
use std::time::Duration;

type Store = dyn WholeCatalog;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);
/// A run of every router.
const BOOT: u64 = 7;
/// Over before it can be asked about.
const SHORT: Duration = Duration::from_millis(1);

/// Calls `$with` with the name of each check.
#[macro_export]
macro_rules! catalog_checks {
    ($with:ident) => {
        $with! {
            one_leads_until_its_lease_ends
            a_leader_that_was_late_gets_a_new_term
            a_resigned_lease_is_free_at_once
            the_first_placement_happens_once
            an_old_leader_changes_nothing
            a_slot_is_never_held_twice
            two_that_plan_at_once_hold_each_slot_once
            a_move_takes_its_slots_along_and_journals_each_step
            a_repeated_arrow_changes_nothing
            an_older_leader_moves_nothing
            a_flip_rests_on_the_present_writers
            of_a_flip_and_a_new_writer_the_flip_is_first_or_never
            of_a_flip_and_an_abort_one_happens
            an_abort_takes_the_next_epoch_and_may_be_followed_by_another_try
            a_reverse_takes_the_slots_over
            the_latest_wish_counts_while_it_can
            how_a_move_goes_is_kept_for_people
            what_moves_copied_is_told_of_those_that_are_done
            a_shard_joins_and_becomes_active
            weights_and_draining_change
            a_shard_that_holds_anything_is_not_removed
            a_removed_shard_is_gone_but_its_terms_stay_used
            one_rebalance_runs_at_a_time
            the_throttle_is_kept
            a_lost_catalog_is_rebuilt_as_it_was
            only_an_empty_catalog_is_rebuilt
            a_catalog_that_is_in_use_is_not_rebuilt
            what_is_done_elsewhere_is_noted
            what_has_ended_is_kept_by_number_and_age
            a_writer_waits_for_the_lease_of_another
            the_same_node_begins_anew_with_a_new_term
            only_the_newest_term_is_renewed
            a_shard_that_is_not_there_is_refused
            reports_count_only_from_the_newest_writer
            the_router_list_is_numbered
            a_silent_router_is_dropped
            a_routers_id_has_one_run_at_a_time
            two_racing_for_everything_agree
        }
    };
}

pub async fn one_leads_until_its_lease_ends(a: &Store, b: &Store) {
    let first = a.lead("a", LONG).await.expect("an answer");
    assert!(first.mine && 0 < first.term);
    let other = b.lead("b", LONG).await.expect("an answer");
    assert_eq!((other.mine, other.term, other.holder.as_str()), (false, first.term, "a"));
    let again = a.lead("a", SHORT).await.expect("an answer");
    assert_eq!((again.mine, again.term), (true, first.term), "kept without a break");
    let next = leads(b, "b").await;
    assert!(first.term < next, "a new holder has a new term");
}

pub async fn a_leader_that_was_late_gets_a_new_term(a: &Store, _: &Store) {
    let first = a.lead("a", SHORT).await.expect("an answer").term;
    tokio::time::sleep(SHORT * 20).await;
    let second = a.lead("a", LONG).await.expect("an answer");
    assert!(second.mine && first < second.term, "somebody may have led in between");
}

pub async fn a_resigned_lease_is_free_at_once(a: &Store, b: &Store) {
    let first = a.lead("a", LONG).await.expect("an answer").term;
    b.resign(first + 1).await.expect("an answer");
    assert!(!b.lead("b", LONG).await.expect("an answer").mine, "only its own term is resigned");
    a.resign(first).await.expect("an answer");
    let second = b.lead("b", LONG).await.expect("an answer");
    assert!(second.mine && first < second.term);
}

pub async fn the_first_placement_happens_once(a: &Store, b: &Store) {
    assert_eq!(a.shards().await.expect("an answer"), []);
    assert_eq!(a.slots_since(0).await.expect("an answer").slots, []);
    assert_eq!(a.locate_slot(slot(0)).await.expect("an answer"), None);
    let term = founded(a).await;
    assert!(!b.found(term, &[shard(9)], &placed(9)).await.expect("an answer"), "already there");

    let shards = b.shards().await.expect("an answer");
    let ids: Vec<u32> = shards.iter().map(|row| row.shard.0).collect();
    assert_eq!(ids, [0, 1]);
    assert!(shards.iter().all(|row| row.weight == 100 && row.state == ShardState::Active));
    assert!(shards.iter().all(|row| row.writer_term == 0 && row.reported_ms_ago.is_none()));

    let news = b.slots_since(0).await.expect("an answer");
    assert_eq!(news.slots.len(), Slot::all().len());
    assert!(news.slots.iter().all(|row| row.epoch == Epoch(1)));
    let owned = b.owned_slots(ShardId(1)).await.expect("an answer");
    assert_eq!(owned.len(), Slot::all().len() / 2);
    assert!(owned.iter().all(|held| held.row.shard == ShardId(1) && held.row.slot.get() % 2 == 1));
    assert_eq!(b.locate_slot(slot(7)).await.expect("an answer"), Some(free(7, 1, 1)));
}

pub async fn an_old_leader_changes_nothing(a: &Store, b: &Store) {
    let old = a.lead("a", SHORT).await.expect("an answer").term;
    let new = leads(b, "b").await;
    let refused = a.found(old, &[shard(0)], &placed(0)).await;
    assert!(matches!(refused, Err(CatalogError::NotLeader { term }) if term == new), "{refused:?}");
    assert_eq!(a.shards().await.expect("an answer"), []);

    assert!(b.found(new, &[shard(0), shard(1)], &alternating()).await.expect("an answer"));
    let slots = vec![MovingSlot { slot: slot(0), epoch: Epoch(1) }];
    let moves = [NewMove { source: ShardId(0), target: ShardId(1), slots, window: Duration::ZERO }];
    let refused = a.create_moves(new + 1, None, &moves).await;
    assert!(matches!(refused, Err(CatalogError::NotLeader { .. })), "a term nobody was given");
    assert_eq!(a.locate_slot(slot(0)).await.expect("an answer"), Some(free(0, 0, 1)));
}

pub async fn a_writer_waits_for_the_lease_of_another(a: &Store, b: &Store) {
    founded(a).await;
    let first = a.acquire_writer(&bid(0, "node-a", LONG)).await.expect("an answer");
    assert_eq!(first, granted(1, "node-a"));
    let waits = b.acquire_writer(&bid(0, "node-b", LONG)).await.expect("an answer");
    assert_eq!(waits, WriterGrant { granted: false, ..granted(1, "node-a") });
    let other_shard = b.acquire_writer(&bid(1, "node-b", LONG)).await.expect("an answer");
    assert_eq!(other_shard, granted(1, "node-b"));

    a.release_writer(ShardId(0), 9).await.expect("an answer");
    assert!(!b.acquire_writer(&bid(0, "node-b", LONG)).await.expect("an answer").granted);
    a.release_writer(ShardId(0), 1).await.expect("an answer");
    let second = b.acquire_writer(&bid(0, "node-b", SHORT)).await.expect("an answer");
    assert_eq!(second, granted(2, "node-b"));
    let third = acquires(a, &bid(0, "node-a", LONG)).await;
    assert_eq!(third, granted(3, "node-a"));

    let row = &b.shards().await.expect("an answer")[0];
    assert_eq!((row.writer_term, row.writer.as_str()), (3, "node-a"));
    assert_eq!((row.address.as_str(), row.writer_alive), ("node-a:1", true));
}

pub async fn the_same_node_begins_anew_with_a_new_term(a: &Store, _: &Store) {
    founded(a).await;
    for term in 1..=3 {
        let grant = a.acquire_writer(&bid(0, "node-a", LONG)).await.expect("an answer");
        assert_eq!(grant, granted(term, "node-a"));
    }
    let moved = WriterBid { address: "elsewhere:2".into(), ..bid(0, "node-a", LONG) };
    assert!(a.renew_writer(&moved, 3).await.expect("an answer").granted);
    assert_eq!(a.shards().await.expect("an answer")[0].address, "elsewhere:2");
}

pub async fn only_the_newest_term_is_renewed(a: &Store, b: &Store) {
    founded(a).await;
    a.acquire_writer(&bid(0, "node-a", SHORT)).await.expect("an answer");
    tokio::time::sleep(SHORT * 20).await;
    assert!(!a.shards().await.expect("an answer")[0].writer_alive, "expired");
    let late = a.renew_writer(&bid(0, "node-a", SHORT), 1).await.expect("an answer");
    assert_eq!(late, granted(1, "node-a"), "nobody took it");
    acquires(b, &bid(0, "node-b", LONG)).await;
    let old = a.renew_writer(&bid(0, "node-a", LONG), 1).await.expect("an answer");
    assert_eq!(old, WriterGrant { granted: false, ..granted(2, "node-b") });
    let thief = a.renew_writer(&bid(0, "node-a", LONG), 2).await.expect("an answer");
    assert!(!thief.granted, "another's term");
}

pub async fn a_shard_that_is_not_there_is_refused(a: &Store, _: &Store) {
    founded(a).await;
    let refused = a.acquire_writer(&bid(7, "node-a", LONG)).await;
    assert!(matches!(refused, Err(CatalogError::Refused(_))), "{refused:?}");
    let refused = a.report(&report(7, 1, &[])).await;
    assert!(matches!(refused, Err(CatalogError::Refused(_))), "{refused:?}");
    assert_eq!(a.owned_slots(ShardId(7)).await.expect("an answer"), []);
}

pub async fn reports_count_only_from_the_newest_writer(a: &Store, b: &Store) {
    founded(a).await;
    a.acquire_writer(&bid(0, "node-a", SHORT)).await.expect("an answer");
    assert!(a.report(&report(0, 1, &[(0, 10, 5), (1, 7, 7)])).await.expect("an answer"));
    acquires(b, &bid(0, "node-b", LONG)).await;
    assert!(!a.report(&report(0, 1, &[(0, 99, 99)])).await.expect("an answer"));
    assert!(b.report(&report(0, 2, &[(0, 8, 6), (2, 1, 0)])).await.expect("an answer"));

    let lanes = a.lane_positions(ShardId(0)).await.expect("an answer");
    let expected = [(0, 10, 6), (1, 7, 7), (2, 1, 0)].map(position);
    assert_eq!(lanes, expected, "each the highest that was reported");
    assert_eq!(a.lane_positions(ShardId(1)).await.expect("an answer"), []);
    let row = &a.shards().await.expect("an answer")[0];
    assert_eq!(row.durability, "fsync");
    assert!(row.reported_ms_ago.is_some_and(|ms| ms < 60_000), "{row:?}");
}

pub async fn the_router_list_is_numbered(a: &Store, b: &Store) {
    let one = a.heartbeat(&router("one", "h:1"), BOOT, LONG).await.expect("an answer");
    assert_eq!(one.routers, [router("one", "h:1")]);
    let same = a.heartbeat(&router("one", "h:1"), BOOT, LONG).await.expect("an answer");
    assert_eq!(same, one, "nothing changed");
    let two = b.heartbeat(&router("two", "h:2"), BOOT, LONG).await.expect("an answer");
    assert_eq!(two.routers, [router("one", "h:1"), router("two", "h:2")]);
    assert!(one.number < two.number);
    assert_eq!(a.routers().await.expect("an answer"), two);
    let moved = a.heartbeat(&router("one", "h:3"), BOOT, LONG).await.expect("an answer");
    assert_eq!(moved.routers, [router("one", "h:3"), router("two", "h:2")]);
    assert!(two.number < moved.number);
    a.leave("one", BOOT).await.expect("an answer");
    a.leave("nobody", BOOT).await.expect("an answer");
    let left = b.routers().await.expect("an answer");
    assert_eq!(left.routers, [router("two", "h:2")]);
    assert!(moved.number < left.number);
}

pub async fn a_silent_router_is_dropped(a: &Store, b: &Store) {
    let one = a.heartbeat(&router("one", "h:1"), BOOT, SHORT).await.expect("an answer");
    tokio::time::sleep(SHORT * 20).await;
    let two = b.heartbeat(&router("two", "h:2"), BOOT, LONG).await.expect("an answer");
    assert_eq!(two.routers, [router("two", "h:2")]);
    assert!(one.number < two.number);
    let back = a.heartbeat(&router("one", "h:1"), BOOT, LONG).await.expect("an answer");
    assert_eq!(back.routers.len(), 2);
    assert!(two.number < back.number);
}

pub async fn a_routers_id_has_one_run_at_a_time(a: &Store, b: &Store) {
    let first = a.heartbeat(&router("one", "h:1"), 1, LONG).await.expect("an answer");
    let taken = b.heartbeat(&router("one", "h:2"), 2, LONG).await;
    assert!(
        matches!(&taken, Err(CatalogError::IdTaken { address }) if address == "h:1"),
        "{taken:?}"
    );
    assert_eq!(b.routers().await.expect("an answer"), first, "nothing changed");
    b.leave("one", 2).await.expect("an answer");
    assert_eq!(b.routers().await.expect("an answer"), first, "it was not its own to leave");

    // Once the first says that it stops, a restart need not wait.
    a.leave("one", 1).await.expect("an answer");
    let second = b.heartbeat(&router("one", "h:2"), 2, SHORT).await.expect("an answer");
    assert_eq!(second.routers, [router("one", "h:2")]);
    // Nor once it was not heard from in its time.
    tokio::time::sleep(SHORT * 20).await;
    let third = a.heartbeat(&router("one", "h:3"), 3, LONG).await.expect("an answer");
    assert_eq!(third.routers, [router("one", "h:3")]);
    let late = b.heartbeat(&router("one", "h:2"), 2, LONG).await;
    assert!(matches!(late, Err(CatalogError::IdTaken { .. })), "it was replaced: {late:?}");
}

/// Two processes at once, many times: terms are granted once, placements happen once, list numbers
/// mean one list each.
pub async fn two_racing_for_everything_agree(a: &Store, b: &Store) {
    let course = async |store: &Store, name: &str| {
        let mut terms = Vec::new();
        let mut lists = Vec::new();
        let mut founded = 0;
        for round in 0..12 {
            let lead = store.lead(name, SHORT).await.expect("an answer");
            if lead.mine {
                terms.push(lead.term);
                let placed = store.found(lead.term, &[shard(0)], &placed(0)).await;
                match placed {
                    Ok(new) => founded += u32::from(new),
                    Err(CatalogError::NotLeader { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            let address = format!("h:{round}");
            lists.push(
                store.heartbeat(&router(name, &address), BOOT, LONG).await.expect("an answer"),
            );
        }
        (terms, lists, founded)
    };
    let (one, two) = tokio::join!(course(a, "one"), course(b, "two"));
    assert!(one.0.iter().all(|term| !two.0.contains(term)), "{:?} and {:?}", one.0, two.0);
    assert!(one.2 + two.2 <= 1, "founded once");
    for list in &one.1 {
        let same = two.1.iter().find(|other| other.number == list.number);
        assert!(same.is_none_or(|other| other == list), "{list:?} is not {same:?}");
    }

    if a.shards().await.expect("an answer").is_empty() {
        founded(a).await;
    }
    let acquire = async |store: &Store, name: &str| {
        let mut terms = Vec::new();
        for _ in 0..12 {
            let grant = store.acquire_writer(&bid(0, name, SHORT)).await.expect("an answer");
            terms.extend(grant.granted.then_some(grant.term));
        }
        terms
    };
    let (one, two) = tokio::join!(acquire(a, "one"), acquire(b, "two"));
    let mut all: Vec<u64> = one.into_iter().chain(two).collect();
    all.sort_unstable();
    let expected: Vec<u64> = (1..=all.len() as u64).collect();
    assert_eq!(all, expected, "each term once, none left out");
}

/// Tries until the other's short lease is over.
async fn leads(store: &Store, holder: &str) -> u64 {
    for _ in 0..500 {
        let lead = store.lead(holder, LONG).await.expect("an answer");
        if lead.mine {
            return lead.term;
        }
        tokio::time::sleep(SHORT * 10).await;
    }
    panic!("{holder} never leads");
}

async fn acquires(store: &Store, bid: &WriterBid) -> WriterGrant {
    for _ in 0..500 {
        let grant = store.acquire_writer(bid).await.expect("an answer");
        if grant.granted {
            return grant;
        }
        tokio::time::sleep(SHORT * 10).await;
    }
    panic!("{bid:?} is never granted");
}

/// Two shards; even slots on 0, odd ones on 1. The leader's term.
async fn founded(store: &Store) -> u64 {
    let term = leads(store, "founder").await;
    let done = store.found(term, &[shard(0), shard(1)], &alternating()).await;
    assert!(done.expect("an answer"), "it was empty");
    term
}

fn alternating() -> Vec<(Slot, ShardId)> {
    Slot::all().map(|slot| (slot, ShardId(u32::from(slot.get() % 2)))).collect()
}

fn placed(shard: u32) -> Vec<(Slot, ShardId)> {
    Slot::all().map(|slot| (slot, ShardId(shard))).collect()
}

fn slot(number: u32) -> Slot {
    Slot::new(number).expect("a slot")
}

fn row(number: u32, shard: u32, epoch: u64) -> SlotRow {
    SlotRow { slot: slot(number), shard: ShardId(shard), epoch: Epoch(epoch) }
}

fn free(number: u32, shard: u32, epoch: u64) -> HeldSlot {
    HeldSlot { row: row(number, shard, epoch), held: None }
}

fn shard(number: u32) -> NewShard {
    NewShard { shard: ShardId(number), weight: 100 }
}

fn bid(shard: u32, node: &str, lasts: Duration) -> WriterBid {
    let address = format!("{node}:1");
    WriterBid { shard: ShardId(shard), node: node.to_owned(), address, lasts }
}

fn granted(term: u64, holder: &str) -> WriterGrant {
    WriterGrant { granted: true, term, holder: holder.to_owned() }
}

fn report(shard: u32, term: u64, lanes: &[(u16, u64, u64)]) -> Report {
    let lanes = lanes.iter().copied().map(position).collect();
    Report { shard: ShardId(shard), term, lanes, durability: "fsync".to_owned() }
}

fn position((lane, committed, relayed): (u16, u64, u64)) -> LanePosition {
    LanePosition { lane, committed, relayed }
}

fn router(id: &str, address: &str) -> Router {
    Router { id: id.to_owned(), address: address.to_owned() }
}
