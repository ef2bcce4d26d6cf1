//! The promises of `Store`, as cases that every form must pass; `store_conformance!` lists them all.
//! Each case gets a database that nobody else uses, and plays all the processes that open it.

pub mod checking;
pub mod cleaning;
mod copier;
pub mod copying;
pub mod fencing;
pub mod journal;
pub mod reading;
pub mod settling;
pub mod slots;
pub mod steps;
pub mod writing;

use crate::store::*;
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Calls `$run!` with the names of all cases.
#[macro_export]
macro_rules! store_conformance {
    ($run:ident) => {
        $run! {
            fencing::nobody_writes_before_the_first_takeover,
            fencing::two_processes_may_open_an_empty_database_at_once,
            fencing::a_takeover_ends_what_an_older_writer_may_do,
            fencing::a_takeover_lets_nothing_through_that_it_did_not_wait_for,
            fencing::a_takeover_ends_a_transaction_that_is_stuck,
            fencing::a_later_term_owes_no_answer_of_an_earlier_one,
            fencing::a_writer_may_take_over_again_with_more_lanes,
            fencing::a_slot_change_waits_for_running_commits,
            fencing::a_slot_change_gets_in_under_steady_commits,
            fencing::lanes_do_not_hinder_each_other,
            writing::everything_of_a_commit_is_there_afterwards,
            writing::nothing_of_a_refused_commit_is_there,
            writing::a_head_changes_only_from_its_expected_ver,
            writing::one_wrong_head_among_many_refuses_them_all,
            writing::a_client_id_is_used_once,
            writing::text_is_kept_as_it_came,
            writing::batches_of_every_size_are_stored,
            writing::a_changed_message_keeps_its_identity,
            writing::a_members_cursor_is_kept_while_they_stay,
            writing::cursors_only_grow,
            writing::rows_are_replaced_and_removed_by_key,
            reading::history_is_cut_by_range_limit_and_bytes,
            reading::pages_of_rows_follow_their_key,
            reading::names_are_found_by_prefix,
            reading::keys_that_do_not_exist_are_left_out,
            reading::heads_are_walked_in_the_order_of_ids,
            reading::activity_is_the_last_message_at_that_time,
            reading::a_chat_shows_its_present_members,
            reading::a_read_sees_the_commit_before_it,
            journal::a_journal_is_read_in_order,
            journal::positions_only_grow_and_delete_what_both_passed,
            journal::a_position_is_used_once,
            settling::a_commit_is_found_by_its_nonce,
            settling::a_commit_that_went_out_is_found_also_after_its_row_left,
            settling::a_lost_commit_that_was_not_delivered_is_not_there,
            settling::a_lost_commit_that_was_delivered_is_there,
            settling::a_lost_commit_that_comes_late_changes_nothing_after_the_answer,
            settling::a_connection_lost_before_commit_stores_nothing,
            settling::a_server_that_ends_our_sessions_costs_no_more_than_a_batch,
            slots::rows_change_all_or_none,
            slots::a_change_may_be_asked_for_again,
            slots::all_slots_change_at_once,
            slots::a_change_that_was_lost_on_its_way_is_repeated,
            slots::slot_changes_and_imports_are_counted,
            slots::a_database_knows_where_its_slots_were_right,
            copying::a_copy_made_while_people_write_ends_equal,
            copying::a_big_chat_takes_many_pages_and_goes_on_after_a_crash,
            copying::a_difference_brings_what_changed,
            copying::an_entity_whose_changes_were_trimmed_is_sent_whole,
            copying::an_import_never_lowers,
            copying::a_retry_finds_its_first_message_on_the_target,
            steps::another_attempt_changes_nothing,
            steps::steps_are_done_once_and_in_order,
            steps::an_import_that_was_lost_on_its_way_is_repeated,
            steps::steps_of_several_slots_are_one,
            copying::imports_and_commits_do_not_hinder_each_other,
            cleaning::a_purge_takes_its_slot_only_and_ends,
            cleaning::a_purge_is_refused_while_the_slot_is_needed,
            cleaning::what_a_purge_left_is_filled_again,
            cleaning::slots_are_purged_together_or_not_at_all,
            checking::ids_are_walked_table_by_table,
            checking::messages_are_counted_by_range,
            checking::a_removed_user_leaves_nothing_behind,
        }
    };
}

#[async_trait]
pub trait Database: Send + Sync {
    /// Opens it as one more process.
    async fn open(&self) -> Arc<dyn Store>;

    /// The same through a wire that can be cut; None where there is no wire.
    async fn open_by_wire(&self) -> Option<(Arc<dyn Store>, Arc<dyn Wire>)>;

    /// One more database of this kind, of another shard.
    async fn another(&self) -> Box<dyn Database>;
}

/// What lies between a store and its server.
#[async_trait]
pub trait Wire: Send + Sync {
    /// Arms one cut. The store loses its connection; the server keeps its end of it.
    fn cut(&self, at: Cut);

    /// Waits until the armed cut has come about.
    async fn was_cut(&self);

    /// Ends all of this store's sessions, as an operator or a restart does.
    async fn end_sessions(&self);
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// At the first statement that writes.
    AtStatement,
    /// The next COMMIT is lost on its way.
    CommitLost,
    /// The next COMMIT is carried out, its answer is lost.
    AnswerLost,
    /// The next COMMIT arrives this long after the connection was lost.
    CommitLate(Duration),
    /// The next COMMIT and its answer take this long; nothing is lost.
    CommitSlow(Duration),
}

/// Long past anything that is in order; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(answer) => answer,
        Err(_) => panic!("no end of: {what}"),
    }
}

const fn writer(term: u64) -> Writer {
    // An incarnation uses all its bits.
    Writer { term, incarnation: u64::MAX - term }
}

/// A lane's part of a shard-node: it knows the heads of its chats and makes the commits of a case.
struct Script {
    lane: u16,
    position: u64,
    heads: HashMap<u64, HeadRow>,
}

impl Script {
    fn new(lane: u16) -> Script {
        Script { lane, position: 0, heads: HashMap::new() }
    }

    /// The next commit: one message to each of these chats (a chat may come several times). Chats that
    /// were not met before are new.
    fn sends(&mut self, chats: &[u64]) -> WriteSet {
        let mut writes = self.empty();
        let mut expected = HashMap::new();
        for &chat in chats {
            let fresh = HeadRow { entity: chat, log: u64::MAX - chat, ..HeadRow::default() };
            let head = self.heads.entry(chat).or_insert(fresh);
            expected.entry(chat).or_insert(head.ver);
            (head.seq, head.ver) = (head.seq + 1, head.ver + 1);
            head.activity_ms = 1_000 * i64::try_from(head.seq).expect("cases are short");
            writes.messages.push(message(chat, head.seq));
        }
        let mut expected: Vec<_> = expected.into_iter().collect();
        expected.sort_unstable();
        for (chat, expected_ver) in expected {
            let head = self.heads[&chat];
            writes.heads.push(HeadChange { expected_ver, head });
            let entry =
                JournalEntry { entity: chat, first_ver: expected_ver + 1, last_ver: head.ver };
            writes.journal.entries.push(entry);
        }
        writes
    }

    /// The next commit without anything but its journal row.
    fn empty(&mut self) -> WriteSet {
        self.position += 1;
        let nonce = u64::MAX - 1_000 * u64::from(self.lane) - self.position;
        let journal = JournalRow { position: self.position, nonce, entries: Vec::new() };
        WriteSet { journal, ..WriteSet::default() }
    }

    async fn send(&mut self, store: &dyn Store, chats: &[u64]) -> WriteSet {
        let writes = self.sends(chats);
        store.commit(self.lane, &writes).await.expect("a commit in order is stored");
        writes
    }

    /// After a commit that was not stored: the same position is used again.
    fn forget(&mut self, writes: &WriteSet) {
        self.position -= 1;
        for HeadChange { expected_ver, head } in &writes.heads {
            let stored = self.heads.get_mut(&head.entity).expect("it was met");
            stored.seq -= stored.ver - expected_ver;
            stored.ver = *expected_ver;
        }
    }
}

/// The message that a script stores as `seq` of a chat.
fn message(chat: u64, seq: u64) -> MessageRow {
    let sender = 100 + seq % 2;
    let mut client_msg_id = [0xfe; 16];
    client_msg_id[8..].copy_from_slice(&seq.to_be_bytes());
    MessageRow {
        chat,
        seq,
        ver: seq,
        changed_ver: seq,
        sender,
        sender_name: format!("sender {sender}"),
        client_msg_id,
        body_hash: [0x80; 16],
        text: format!("text {seq}"),
        reply_to: (1 < seq).then(|| seq - 1),
        sent_at_ms: 1_000 * i64::try_from(seq).expect("cases are short"),
        edited_at_ms: None,
        deleted: false,
    }
}

fn member(chat: u64, user: u64) -> MemberRow {
    MemberRow {
        chat,
        user,
        role: "member".to_owned(),
        joined_ver: 1,
        joined_seq: 0,
        left_ver: None,
        read_seq: 0,
    }
}

fn whole(chat: u64) -> MessageRange {
    MessageRange {
        chat,
        after: 0,
        before: u64::MAX,
        newest: false,
        limit: 1_000,
        bytes: usize::MAX,
    }
}

async fn slot_row(store: &dyn Store, slot: u16) -> SlotRow {
    let rows = store.slots().await.expect("slots are read");
    rows.into_iter().find(|row| row.slot == slot).unwrap_or(SlotRow::none(slot))
}

/// A change of slots that nothing stands in the way of.
async fn put(store: &dyn Store, lanes: &[u16], changes: &[SlotChange]) {
    let put = store.put_slots(lanes, changes).await.expect("it is the writer");
    assert_eq!(put, SlotsPut::Done);
}

async fn head(store: &dyn Store, entity: u64) -> Option<HeadRow> {
    store.heads(&[entity]).await.expect("heads are read").first().copied()
}

/// A store that took over with term 1 and two lanes.
async fn writing_store(database: &dyn Database) -> Arc<dyn Store> {
    let store = database.open().await;
    store.take_over(writer(1), 2).await.expect("nobody has a higher term");
    store
}

/// Chats of both ends of the id space, and in between.
const CHATS: [u64; 4] = [1, 77, 1 << 40, i64::MAX as u64];
