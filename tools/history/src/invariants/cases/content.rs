//! I6, I8 and I12: what a message is, and what becomes of it.

use super::*;

/// The right history in which Ann makes of her first message something else, with ver 6; it ends so.
fn edited(body: Option<&str>) -> Vec<Record> {
    let mut records = with(11, last(3, 6));
    records[12] = Record::Stored { chat: CHAT, message: later(body, 6) };
    records.splice(11..11, changed(A, 1, 1, body, 6));
    records.insert(13, saw_change(body, 6));
    records
}

fn saw_change(body: Option<&str>, ver: u64) -> Record {
    let kind = if body.is_some() { "edit" } else { "delete" }.to_owned();
    let message = Some(later(body, ver));
    Record::Saw { client: B, chat: CHAT, log: LOG.to_owned(), ver, kind, message }
}

fn failed(client: u32, call: u32, maybe_done: bool) -> Record {
    Record::Failed { client, call, maybe_done }
}

#[test]
fn i6_another_message_at_a_seq_is_found_wherever_it_was_seen() {
    // Bob saw his own message where Ann's was acknowledged.
    let found = violated(&with(5, saw(B, BOB, 3, 1, 3)));
    assert!(found.contains(&"I6"), "{found:?}");
    let found = violated(&with(12, stored(B, 3, 1, 3)));
    assert!(found.contains(&"I6"), "{found:?}");
    // The same message, born with another ver.
    let found = violated(&with(5, saw(B, ANN, 1, 1, 4)));
    assert!(found.contains(&"I6"), "{found:?}");
}

#[test]
fn i6_a_ver_is_one_thing() {
    let member = |ver| {
        let (kind, log) = ("member".to_owned(), LOG.to_owned());
        Record::Saw { client: A, chat: CHAT, log, ver, kind, message: None }
    };
    assert_eq!(violated(&inserted(11, member(5))), ["I6"], "a member and a message");
    assert!(violated(&inserted(11, member(2))).is_empty());
    // An edit that was acknowledged with one ver, and pushed with that of another message.
    let mut records = edited(Some("new"));
    records[13] = saw_change(Some("new"), 5);
    assert!(violated(&records).contains(&"I6"));
    // The same of an edit that was overtaken, and carries what came later.
    if let Record::Saw { message: Some(message), .. } = &mut records[13] {
        message.changed_ver = 6;
    }
    assert!(violated(&records).contains(&"I6"));
}

#[test]
fn i6_a_body_changes_only_with_a_higher_ver() {
    assert!(violated(&edited(Some("new"))).is_empty());
    let mut other = edited(Some("new"));
    other[13] = saw_change(Some("not that"), 6);
    let verdict = judged(&other);
    assert_eq!(violated(&other), ["I6"]);
    let example = found(&verdict, "I6").smallest.as_ref().expect("an example");
    assert_eq!(example.what, "seq 1 of chat 7 is another body at ver 6");
    assert_eq!(example.records.len(), 2, "{example:?}");
    assert!(example.records[0].contains("changed: test:14 at"), "{example:?}");
    assert!(example.records[1].contains("seen: test:15 at"), "{example:?}");
}

#[test]
fn i6_another_log_begins_anew() {
    // Until the end of log 9 Bob saw messages that log 10 does not have; its seq 2 is another one.
    let anew = |log: &str| {
        let log = log.to_owned();
        vec![
            Record::Base { chat: CHAT, log: LOG.to_owned(), seq: 0, ver: 2 },
            follows(B, 2),
            send(A, 1),
            acked(A, 1, 1, 3),
            saw(B, ANN, 1, 1, 3),
            send(A, 2),
            saw(B, ANN, 2, 2, 4),
            gave_up(A, 2),
            Record::Resynced { client: B, chat: CHAT, log: log.clone(), to_ver: 3 },
            send(B, 3),
            Record::Saw {
                client: B,
                chat: CHAT,
                log: log.clone(),
                ver: 4,
                kind: "message".to_owned(),
                message: Some(message(BOB, 3, 2, 4)),
            },
            gave_up(B, 3),
            Record::Final { chat: CHAT, log, head_seq: 2, head_ver: 4 },
            stored(A, 1, 1, 3),
            stored(B, 3, 2, 4),
            Record::End,
        ]
    };
    assert!(violated(&anew("10")).is_empty());
    assert_eq!(violated(&anew(LOG)), ["I6", "I8"], "in the same log that is a loss");
}

#[test]
fn i8_what_was_refused_is_nowhere() {
    let (client, user, chat, id) = (B, BOB, CHAT, MsgId(3));
    let refused = |code: &str| Record::Refused { client, user, chat, id, code: code.to_owned() };
    let not_stored = Record::GaveUp { client, user, chat, id, maybe_stored: false };
    for outcome in [refused("muted"), not_stored.clone()] {
        assert_eq!(violated(&with(10, outcome)), ["I8"]);
    }
    for outcome in [refused("internal"), gave_up(B, 3)] {
        assert!(violated(&with(10, outcome)).is_empty(), "it may be there");
    }
    // Sent twice, refused once: nobody knows of the other time.
    let mut twice = with(10, refused("muted"));
    twice.insert(9, send(B, 3));
    assert!(violated(&twice).is_empty());
    twice.insert(10, not_stored);
    assert_eq!(violated(&twice), ["I8"]);
}

#[test]
fn i8_what_nobody_knows_of_may_be_gone_unless_somebody_saw_it() {
    let ends = |records: &mut Vec<Record>| {
        records.truncate(11);
        records.extend([last(2, 4), stored(A, 1, 1, 3), stored(A, 2, 2, 4), Record::End]);
    };
    let mut unseen = with(10, gave_up(B, 3));
    ends(&mut unseen);
    unseen.remove(9);
    assert!(violated(&unseen).is_empty());
    let mut seen = with(10, gave_up(B, 3));
    ends(&mut seen);
    let found = violated(&seen);
    // Its ver is beyond the head, too.
    assert_eq!(found, ["I3", "I8"]);
}

#[test]
fn i12_the_newest_acknowledged_change_is_what_stays() {
    let mut lost = edited(Some("new"));
    lost[15] = stored(A, 1, 1, 3);
    assert_eq!(violated(&lost), ["I12"]);
    let mut other = edited(Some("new"));
    other[15] = Record::Stored { chat: CHAT, message: later(Some("not that"), 6) };
    assert_eq!(violated(&other), ["I6", "I12"]);
    // A second edit is there, and is the one that was acknowledged first.
    let mut older = edited(Some("new"));
    older[14] = last(3, 7);
    older.splice(14..14, changed(A, 2, 1, Some("newer"), 7));
    older.insert(16, saw_change(Some("newer"), 7));
    let found = violated(&older);
    assert_eq!(found, ["I12"]);
    older[18] = Record::Stored { chat: CHAT, message: later(Some("newer"), 7) };
    assert!(violated(&older).is_empty());
}

#[test]
fn i12_what_nobody_changed_is_as_it_was_sent() {
    let changed_alone = |outcome: Option<Record>| {
        let mut records = edited(Some("new"));
        records.remove(12);
        match outcome {
            Some(outcome) => records.insert(12, outcome),
            None => drop(records.remove(11)),
        }
        records
    };
    assert_eq!(violated(&changed_alone(None)), ["I12"], "nobody asked for it");
    assert_eq!(violated(&changed_alone(Some(failed(A, 1, false)))), ["I12"], "it was refused");
    assert!(violated(&changed_alone(Some(failed(A, 1, true)))).is_empty(), "it may have happened");
}

#[test]
fn i12_asked_later_is_newer() {
    let mut records = edited(Some("new"));
    records[14] = last(3, 7);
    records.insert(14, saw_change(Some("newer"), 7));
    records[16] = Record::Stored { chat: CHAT, message: later(Some("newer"), 7) };
    let mut swapped = records.clone();
    // Ver 7 was acknowledged before the one of ver 6 was asked for.
    swapped.splice(11..11, changed(A, 2, 1, Some("newer"), 7));
    assert_eq!(violated(&swapped), ["I12"]);
    records.splice(13..13, changed(A, 2, 1, Some("newer"), 7));
    assert!(violated(&records).is_empty());
    // An edit that changed nothing gets the ver of what was there.
    records.splice(15..15, changed(A, 3, 1, Some("newer"), 7));
    assert!(violated(&records).is_empty());
}

#[test]
fn i12_deleted_is_deleted() {
    assert!(violated(&edited(None)).is_empty());
    let mut back = edited(None);
    back[14] = last(3, 7);
    back.insert(14, saw_change(Some("back"), 7));
    back[16] = Record::Stored { chat: CHAT, message: later(Some("back"), 7) };
    back.splice(13..13, changed(A, 2, 1, Some("back"), 7));
    assert_eq!(violated(&back), ["I12"]);
    // A read that began before may still show it; one that began after may not.
    let page = |records: &mut Vec<Record>, asked: usize| {
        let read = reads::read(B, 9, Bounds::default(), 3, 5, [1, 2, 3]);
        let [reading, page] = <[Record; 2]>::try_from(read).expect("two");
        records.insert(asked, reading);
        records.insert(14, page);
    };
    let mut concurrent = edited(None);
    page(&mut concurrent, 12);
    assert!(violated(&concurrent).is_empty());
    let mut after = edited(None);
    page(&mut after, 13);
    assert_eq!(violated(&after), ["I12"]);
}
