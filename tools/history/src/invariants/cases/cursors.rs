//! I19 and I20: read cursors, and what is unread.

use super::*;

fn marking(call: u32, seq: u64) -> Record {
    Record::Marking { client: B, user: BOB, chat: CHAT, call, seq }
}

fn marked(call: u32, read_seq: u64) -> Record {
    Record::Marked { client: B, call, read_seq }
}

fn asked(client: u32, call: u32) -> Record {
    let (user, bounds) = (user(client), Bounds::default());
    Record::Reading { client, user, chat: CHAT, call, bounds }
}

fn item(client: u32, call: u32, head_seq: u64, read_seq: u64, unread: u64) -> Record {
    let (log, floor_seq) = (LOG.to_owned(), Some(0));
    Record::Item { client, call, item: Item { log, head_seq, read_seq, unread, floor_seq } }
}

/// These, and in the end Bob's item.
fn ending(middle: Vec<Record>, read_seq: u64) -> Vec<Record> {
    let mut records = right();
    records.truncate(8);
    records.extend(middle);
    records.extend([last(2, 4), asked(B, 99), item(B, 99, 2, read_seq, 2 - read_seq)]);
    records.extend([stored(A, 1, 1, 3), stored(A, 2, 2, 4), Record::End]);
    records
}

#[test]
fn i19_a_cursor_stays_where_it_was_acknowledged() {
    assert!(violated(&ending(vec![marking(1, 1), marked(1, 1)], 1)).is_empty());
    assert_eq!(violated(&ending(vec![marking(1, 2), marked(1, 2)], 1)), ["I19"], "lost");
    assert_eq!(violated(&ending(vec![marking(1, 2), marked(1, 1)], 1)), ["I19"], "not taken");
    assert_eq!(violated(&ending(vec![marking(1, 1), marked(1, 1)], 2)), ["I19"], "invented");
    assert!(violated(&ending(vec![marking(1, 2)], 2)).is_empty(), "nobody knows");
    assert!(violated(&ending(vec![marking(1, 2)], 0)).is_empty(), "nobody knows");
    let refused = Record::Failed { client: B, call: 1, maybe_done: false };
    assert_eq!(violated(&ending(vec![marking(1, 2), refused], 2)), ["I19"]);
    // Beyond the head is the head.
    assert!(violated(&ending(vec![marking(1, 9), marked(1, 2)], 2)).is_empty());
    assert_eq!(violated(&ending(vec![marking(1, 9), marked(1, 9)], 2)), ["I19"]);
}

#[test]
fn i19_a_cursor_never_goes_back() {
    let two = |second| vec![marking(1, 2), marked(1, 2), marking(2, 1), marked(2, second)];
    assert!(violated(&ending(two(2), 2)).is_empty(), "a lower one answers the known one");
    assert_eq!(violated(&ending(two(1), 2)), ["I19"]);
    let concurrent = vec![marking(1, 2), marking(2, 1), marked(1, 2), marked(2, 1)];
    assert!(violated(&ending(concurrent, 2)).is_empty());
    let shown = |read_seq| {
        let shown = [asked(B, 3), item(B, 3, 2, read_seq, 2 - read_seq)];
        [marking(1, 2), marked(1, 2)].into_iter().chain(shown).collect()
    };
    assert!(violated(&ending(shown(2), 2)).is_empty());
    let beyond = vec![marking(1, 2), marked(1, 2), asked(B, 3), item(B, 3, 1, 2, 0)];
    assert_eq!(violated(&ending(beyond, 2)), ["I19"], "beyond the head it is shown with");
    let verdict = judged(&ending(shown(1), 2));
    let example = found(&verdict, "I19").smallest.as_ref().expect("an example");
    assert_eq!(example.what, "the cursor of user 200 in chat 7 is 1 after it was 2");
    assert_eq!(example.records.len(), 3, "{example:?}");
}

#[test]
fn i19_two_clocks_are_not_compared_but_the_end_is_the_end() {
    // Marked in one recording; in the other one a device of Bob's looks before and after all is quiet.
    let marks = |end: bool| {
        let mut records = ending(vec![marking(1, 2), marked(1, 2)], 2);
        if !end {
            records
                .retain(|record| !matches!(record, Record::Final { .. } | Record::Stored { .. }));
        }
        records
    };
    let looks = |end: bool| {
        let mut records = vec![Record::Leaves { client: 9, chat: CHAT }; 20];
        if end {
            records.push(last(2, 4));
        }
        records.extend([asked(3, 1), item(3, 1, 2, 1, 1)]);
        if end {
            records.extend([stored(A, 1, 1, 3), stored(A, 2, 2, 4)]);
        }
        records.push(Record::End);
        records
    };
    assert!(violations(&judged_all(&[&marks(true), &looks(false)])).is_empty());
    assert_eq!(violations(&judged_all(&[&marks(false), &looks(true)])), ["I19"]);
}

#[test]
fn i20_unread_is_what_head_cursor_and_own_sends_say() {
    let with_item = |client, head_seq, read_seq, unread| {
        let mut records = right();
        let shown = [asked(client, 1), item(client, 1, head_seq, read_seq, unread)];
        records.splice(15..15, shown);
        records
    };
    // Bob's own message is the last one, Ann's the second.
    assert!(violated(&with_item(B, 3, 3, 0)).is_empty());
    assert!(violated(&with_item(B, 3, 0, 0)).is_empty(), "sending is reading");
    assert_eq!(violated(&with_item(B, 3, 0, 3)), ["I20"]);
    assert!(violated(&with_item(A, 3, 2, 1)).is_empty());
    for unread in [0, 2, 3] {
        assert_eq!(violated(&with_item(A, 3, 2, unread)), ["I20"]);
    }
}

#[test]
fn i20_what_is_not_known_is_not_judged() {
    let shown = |floor_seq, unread| {
        let mut records = right();
        let (log, head_seq, read_seq) = (LOG.to_owned(), 2, 0);
        let item = Item { log, head_seq, read_seq, unread, floor_seq };
        let item = Record::Item { client: B, call: 1, item };
        records.splice(8..8, [asked(B, 1), item]);
        records
    };
    assert!(violated(&shown(Some(0), 2)).is_empty());
    assert!(violated(&shown(Some(1), 1)).is_empty(), "joined after the first");
    assert_eq!(violated(&shown(Some(0), 1)), ["I20"]);
    assert!(violated(&shown(None, 1)).is_empty());
    assert_eq!(violated(&shown(None, 3)), ["I20"], "more than there are");
}
