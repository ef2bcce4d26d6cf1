//! Each invariant against small histories: right ones, and ones with one thing wrong.

use crate::history::History;
use crate::invariants::check;
use crate::reader::Reader;
use crate::record::{Bounds, Header, Item, Line, MsgId, Page, Record, SeenMessage, VERSION};
use crate::verdict::{Finding, Verdict};

mod content;
mod cursors;
mod members;
mod reads;

const CHAT: u64 = 7;
const LOG: &str = "9";
const ANN: u64 = 100;
const BOB: u64 = 200;
/// Ann's device, Bob's device.
const A: u32 = 1;
const B: u32 = 2;

fn user(client: u32) -> u64 {
    if client == A { ANN } else { BOB }
}

fn send(client: u32, id: u128) -> Record {
    let body = format!("body {id}");
    Record::Send { client, user: user(client), chat: CHAT, id: MsgId(id), body }
}

fn acked(client: u32, id: u128, seq: u64, ver: u64) -> Record {
    let (user, id) = (user(client), MsgId(id));
    Record::Acked { client, user, chat: CHAT, id, seq, ver, duplicate: false, log: LOG.to_owned() }
}

fn gave_up(client: u32, id: u128) -> Record {
    let (user, id) = (user(client), MsgId(id));
    Record::GaveUp { client, user, chat: CHAT, id, maybe_stored: true }
}

fn message(sender: u64, id: u128, seq: u64, ver: u64) -> SeenMessage {
    let body = Some(format!("body {id}"));
    SeenMessage { seq, ver, changed_ver: ver, sender, id: MsgId(id), body }
}

fn stored(client: u32, id: u128, seq: u64, ver: u64) -> Record {
    Record::Stored { chat: CHAT, message: message(user(client), id, seq, ver) }
}

fn follows(client: u32, ver: u64) -> Record {
    Record::Follows { client, chat: CHAT, log: LOG.to_owned(), ver }
}

fn saw(client: u32, sender: u64, id: u128, seq: u64, ver: u64) -> Record {
    let message = Some(message(sender, id, seq, ver));
    Record::Saw {
        client,
        chat: CHAT,
        log: LOG.to_owned(),
        ver,
        kind: "message".to_owned(),
        message,
    }
}

/// An edit or, without a body, a delete, and that it was acknowledged.
fn changed(client: u32, call: u32, seq: u64, body: Option<&str>, ver: u64) -> Vec<Record> {
    let (user, body) = (user(client), body.map(str::to_owned));
    let asked = Record::Change { client, user, chat: CHAT, call, seq, body };
    vec![asked, Record::ChangeAcked { client, call, log: LOG.to_owned(), ver }]
}

/// The message with seq 1 as a later ver left it.
fn later(body: Option<&str>, changed_ver: u64) -> SeenMessage {
    SeenMessage { changed_ver, body: body.map(str::to_owned), ..message(ANN, 1, 1, 3) }
}

fn last(head_seq: u64, head_ver: u64) -> Record {
    Record::Final { chat: CHAT, log: LOG.to_owned(), head_seq, head_ver }
}

/// The chat was made with ver 1 and 2 (its two members); Ann sends 1 and 2, Bob 3.
fn right() -> Vec<Record> {
    vec![
        Record::Base { chat: CHAT, log: LOG.to_owned(), seq: 0, ver: 2 },
        follows(B, 2),
        send(A, 1),
        send(A, 2),
        acked(A, 1, 1, 3),
        saw(B, ANN, 1, 1, 3),
        acked(A, 2, 2, 4),
        saw(B, ANN, 2, 2, 4),
        send(B, 3),
        saw(B, BOB, 3, 3, 5),
        acked(B, 3, 3, 5),
        last(3, 5),
        stored(A, 1, 1, 3),
        stored(A, 2, 2, 4),
        stored(B, 3, 3, 5),
        Record::End,
    ]
}

/// The history as it is read from a file, judged: the invariants violated.
fn violated(records: &[Record]) -> Vec<&'static str> {
    violations(&judged(records))
}

fn violations(verdict: &Verdict) -> Vec<&'static str> {
    let findings = verdict.findings.iter().filter(|finding| 0 < finding.violations);
    findings
        .map(|finding| {
            assert!(finding.smallest.is_some(), "a violation has an example");
            finding.invariant
        })
        .collect()
}

fn judged(records: &[Record]) -> Verdict {
    judged_all(&[records])
}

/// Several recordings, each with a clock of its own.
fn judged_all(recordings: &[&[Record]]) -> Verdict {
    let mut history = History::default();
    for records in recordings {
        let header =
            Header { shardline_history: VERSION, process: "test".to_owned(), began_at_ms: 0 };
        let mut file = serde_json::to_string(&header).expect("json") + "\n";
        for (t, record) in (0..).zip(*records) {
            let line = Line { t: t * 10, record: record.clone() };
            file += &(serde_json::to_string(&line).expect("json") + "\n");
        }
        let reader = Reader::new(file.as_bytes()).expect("a header");
        history.read("test", reader).expect("lines");
    }
    check(&history)
}

/// What was found of one claim.
fn found<'a>(verdict: &'a Verdict, invariant: &str) -> &'a Finding {
    let mut findings = verdict.findings.iter();
    findings.find(|finding| finding.invariant == invariant).expect("it is judged")
}

fn without(index: usize) -> Vec<Record> {
    let mut records = right();
    records.remove(index);
    records
}

fn with(index: usize, record: Record) -> Vec<Record> {
    let mut records = right();
    records[index] = record;
    records
}

fn inserted(index: usize, record: Record) -> Vec<Record> {
    let mut records = right();
    records.insert(index, record);
    records
}

#[test]
fn a_right_history_is_found_right_and_everything_was_tried() {
    assert!(violated(&right()).is_empty());
    let mut repeated = right();
    repeated.insert(8, acked(A, 1, 1, 3));
    repeated.insert(8, send(A, 1));
    assert!(violated(&repeated).is_empty(), "an honest repeat");
}

#[test]
fn i1_a_lost_message_is_found() {
    let mut records = right();
    records.truncate(11);
    records.extend([last(2, 4), stored(A, 1, 1, 3), stored(A, 2, 2, 4), Record::End]);
    // Its ver was seen and is beyond the head, too.
    assert_eq!(violated(&records), ["I1", "I3"]);
}

#[test]
fn i1_a_doubled_message_is_found() {
    let mut records = with(11, last(4, 6));
    records.insert(15, stored(A, 1, 4, 6));
    let found = violated(&records);
    assert!(found.contains(&"I1"), "{found:?}");
}

#[test]
fn i1_another_seq_or_body_than_acknowledged_is_found() {
    assert!(violated(&with(4, acked(A, 1, 9, 3))).contains(&"I1"));
    let mut other = message(ANN, 1, 1, 3);
    other.body = Some("other".to_owned());
    let records = with(12, Record::Stored { chat: CHAT, message: other.clone() });
    assert_eq!(violated(&records), ["I1", "I2", "I6"]);
    // Edited since: of course it is another. The edit is a change with a ver of its own.
    other.changed_ver = 6;
    let mut edited = with(12, Record::Stored { chat: CHAT, message: other });
    edited[11] = last(3, 6);
    let kind = "edit".to_owned();
    edited.splice(11..11, changed(A, 1, 1, Some("other"), 6));
    edited.insert(
        13,
        Record::Saw { client: B, chat: CHAT, log: LOG.to_owned(), ver: 6, kind, message: None },
    );
    assert!(violated(&edited).is_empty());
}

#[test]
fn i2_what_nobody_sent_is_found_stored_or_seen() {
    assert!(violated(&without(2)).contains(&"I2"));
    assert_eq!(violated(&with(5, saw(B, ANN, 99, 1, 3))), ["I2", "I6"]);
    // It was sent, but later.
    let mut early = right();
    early.swap(8, 9);
    assert_eq!(violated(&early), ["I2"]);
}

#[test]
fn i3_a_gap_or_a_number_twice_is_found() {
    // Bob's message was never acknowledged nor seen, and its place in the chat is empty.
    let mut gap = right();
    for index in [14, 10, 9] {
        gap.remove(index);
    }
    let found = violated(&gap);
    assert!(found.contains(&"I3"), "{found:?}");
    assert!(violated(&with(13, stored(A, 2, 1, 4))).contains(&"I3"), "a seq twice");
    assert!(violated(&with(13, stored(A, 2, 2, 3))).contains(&"I3"), "a ver twice");
    // A ver that nothing explains.
    let found = violated(&with(11, last(3, 6)));
    assert!(found.contains(&"I3"), "{found:?}");
}

#[test]
fn i4_what_was_acknowledged_before_the_other_was_sent_stands_first() {
    let mut records = right();
    records[9] = saw(B, BOB, 3, 1, 3);
    records[10] = acked(B, 3, 1, 3);
    records[12] = stored(B, 3, 1, 3);
    records[4] = acked(A, 1, 3, 5);
    records[5] = saw(B, ANN, 1, 3, 5);
    records[14] = stored(A, 1, 3, 5);
    let found = violated(&records);
    assert!(found.contains(&"I4"), "{found:?}");
}

#[test]
fn i4_concurrent_sends_may_stand_either_way() {
    let records = vec![
        send(A, 1),
        send(B, 2),
        acked(A, 1, 2, 2),
        acked(B, 2, 1, 1),
        last(2, 2),
        stored(B, 2, 1, 1),
        stored(A, 1, 2, 2),
        Record::End,
    ];
    assert!(violated(&records).is_empty());
}

#[test]
fn i5_a_device_s_messages_keep_their_order() {
    let records = |given_up: bool| {
        vec![
            send(A, 1),
            send(A, 2),
            acked(A, 2, 1, 1),
            if given_up { gave_up(A, 1) } else { acked(A, 1, 2, 2) },
            last(2, 2),
            stored(A, 2, 1, 1),
            stored(A, 1, 2, 2),
            Record::End,
        ]
    };
    assert_eq!(violated(&records(false)), ["I5"]);
    assert!(violated(&records(true)).is_empty(), "who gave up was promised nothing");
}

#[test]
fn i9_a_repeat_that_gets_another_answer_is_found() {
    assert_eq!(violated(&inserted(7, acked(A, 1, 1, 2))), ["I6", "I9"]);
    assert!(violated(&inserted(7, acked(A, 1, 2, 4))).contains(&"I9"));
}

#[test]
fn i14_a_missed_doubled_or_reordered_event_is_found() {
    assert_eq!(violated(&without(7)), ["I14"], "missed in the middle");
    assert_eq!(violated(&inserted(8, saw(B, ANN, 2, 2, 4))), ["I14"], "doubled");
    let mut reordered = right();
    reordered.swap(7, 9);
    assert!(violated(&reordered).contains(&"I14"), "reordered");
}

#[test]
fn i15_whoever_follows_stands_at_the_end_when_all_is_quiet() {
    assert_eq!(violated(&without(9)), ["I15"], "the last one was never seen");
    // Nothing was ever seen: the claim about what lies between does not even begin.
    let mut nothing = right();
    nothing.retain(|record| !matches!(record, Record::Saw { .. }));
    assert_eq!(violated(&nothing), ["I15"]);
    let resumed = Record::Resumed { client: B, chat: CHAT, to_ver: 5 };
    let mut resumed = inserted(9, resumed);
    resumed.remove(10);
    assert_eq!(violated(&resumed), ["I15"], "a message is never overtaken");
    // The chat ends in another log than the one that is followed.
    let other = Record::Follows { client: A, chat: CHAT, log: "8".to_owned(), ver: 5 };
    assert_eq!(violated(&inserted(11, other)), ["I15"]);
}

#[test]
fn i14_a_resume_may_skip_an_overtaken_change_and_never_a_message() {
    let resumed = Record::Resumed { client: B, chat: CHAT, to_ver: 6 };
    // Ver 5 was an edit that the edit with ver 6 overtook; Bob's message got ver 7.
    let mut message_1 = message(ANN, 1, 1, 3);
    message_1.changed_ver = 6;
    let edit = Record::Saw {
        client: B,
        chat: CHAT,
        log: LOG.to_owned(),
        ver: 6,
        kind: "edit".to_owned(),
        message: Some(message_1.clone()),
    };
    let history = |saw_2: bool| {
        let mut records = right();
        records[9] = saw(B, BOB, 3, 3, 7);
        records[10] = acked(B, 3, 3, 7);
        records[11] = last(3, 7);
        records[12] = Record::Stored { chat: CHAT, message: message_1.clone() };
        records[14] = stored(B, 3, 3, 7);
        records.insert(8, edit.clone());
        if !saw_2 {
            records.remove(7);
        }
        records.insert(6, resumed.clone());
        let draft = changed(A, 1, 1, Some("draft"), 5);
        records.splice(6..6, draft.into_iter().chain(changed(A, 2, 1, Some("body 1"), 6)));
        records
    };
    assert!(violated(&history(true)).is_empty());
    assert_eq!(violated(&history(false)), ["I14"]);
    let mut never_resumed = history(true);
    never_resumed.remove(10);
    assert_eq!(violated(&never_resumed), ["I14"]);
}

#[test]
fn i14_a_resync_begins_anew_and_who_leaves_is_owed_nothing() {
    let resync = Record::Resynced { client: B, chat: CHAT, log: LOG.to_owned(), to_ver: 4 };
    assert!(violated(&with(7, resync)).is_empty());
    let mut left = without(9);
    left.insert(9, Record::Leaves { client: B, chat: CHAT });
    assert!(violated(&left).is_empty());
}

#[test]
fn what_was_there_before_the_recording_is_not_judged() {
    let mut records = right();
    records[0] = Record::Base { chat: CHAT, log: LOG.to_owned(), seq: 2, ver: 4 };
    // The first two messages were sent before: neither their sends nor their acks are known.
    records.drain(1..8);
    records.insert(1, follows(B, 4));
    assert!(violated(&records).is_empty());
}

#[test]
fn a_recording_that_does_not_tell_everything_proves_nothing() {
    let holes = |records: &[Record]| {
        let header =
            Header { shardline_history: VERSION, process: "test".to_owned(), began_at_ms: 0 };
        let mut file = serde_json::to_string(&header).expect("json") + "\n";
        for record in records {
            let line = Line { t: 0, record: record.clone() };
            file += &(serde_json::to_string(&line).expect("json") + "\n");
        }
        let mut history = History::default();
        let reader = Reader::new(file.as_bytes()).expect("a header");
        history.read("test", reader).expect("lines");
        let verdict = check(&history);
        assert!(!verdict.violated());
        verdict.holes.len()
    };
    assert_eq!(holes(&right()), 0);
    assert_eq!(holes(&right()[..15]), 1, "not finished");
    assert_eq!(holes(&[send(A, 1), Record::End]), 1, "no final state");
}
