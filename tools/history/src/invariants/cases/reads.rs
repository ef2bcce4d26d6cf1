//! I10 and I11: pages of history.

use super::*;

/// Somebody reads, and gets these of the right history's messages.
pub(super) fn read<const COUNT: usize>(
    client: u32,
    call: u32,
    bounds: Bounds,
    head_seq: u64,
    head_ver: u64,
    seqs: [u64; COUNT],
) -> Vec<Record> {
    let messages = seqs.iter().map(|seq| {
        let sender = if *seq == 3 { BOB } else { ANN };
        message(sender, u128::from(*seq), *seq, seq + 2)
    });
    let page = Page {
        log: LOG.to_owned(),
        head_seq,
        head_ver,
        at_start: seqs.first().is_some_and(|seq| *seq == 1),
        at_end: seqs.last().is_some_and(|seq| *seq == head_seq),
        messages: messages.collect(),
    };
    let user = user(client);
    let asked = Record::Reading { client, user, chat: CHAT, call, bounds };
    vec![asked, Record::Page { client, call, page }]
}

const LATEST: Bounds = Bounds { before_seq: None, after_seq: None, limit: None, min_ver: None };

fn after(seq: u64) -> Bounds {
    Bounds { after_seq: Some(seq), ..LATEST }
}

fn before(seq: u64) -> Bounds {
    Bounds { before_seq: Some(seq), ..LATEST }
}

/// The right history with a read of Bob's when all was acknowledged.
fn reading<const COUNT: usize>(bounds: Bounds, seqs: [u64; COUNT]) -> Vec<Record> {
    let mut records = right();
    records.splice(11..11, read(B, 1, bounds, 3, 5, seqs));
    records
}

fn change_page(mut records: Vec<Record>, change: impl Fn(&mut Page)) -> Vec<Record> {
    for record in &mut records {
        if let Record::Page { page, .. } = record {
            change(page);
        }
    }
    records
}

#[test]
fn i10_a_page_is_the_slice_that_was_asked_for() {
    assert!(violated(&reading(LATEST, [1, 2, 3])).is_empty());
    assert!(violated(&reading(LATEST, [3])).is_empty(), "shorter than its limit");
    assert!(violated(&reading(after(1), [2, 3])).is_empty());
    assert!(violated(&reading(after(1), [2])).is_empty());
    assert!(violated(&reading(before(3), [1, 2])).is_empty());
    assert_eq!(violated(&reading(LATEST, [1, 3])), ["I10"], "a hole");
    assert_eq!(violated(&reading(after(1), [3])), ["I10"], "it begins too late");
    assert_eq!(violated(&reading(after(1), [1, 2])), ["I10"], "it begins too early");
    assert_eq!(violated(&reading(before(3), [1])), ["I10"], "it ends too early");
    assert_eq!(violated(&reading(before(3), [1, 2, 3])), ["I10"], "it ends too late");
    assert_eq!(violated(&reading(LATEST, [1, 2])), ["I10"], "not the latest");
    let two = Bounds { limit: Some(2), ..LATEST };
    assert_eq!(violated(&reading(two, [1, 2, 3])), ["I10"], "more than asked for");
    let two_twice =
        change_page(reading(LATEST, [1, 2, 3]), |page| page.messages[1] = page.messages[0].clone());
    assert_eq!(violated(&two_twice), ["I10"], "one twice");
}

#[test]
fn i10_a_page_tells_the_end_of_the_chat() {
    let wrong = |records: Vec<Record>| change_page(records, |page| page.at_end = !page.at_end);
    assert_eq!(violated(&wrong(reading(LATEST, [1, 2, 3]))), ["I10"]);
    assert_eq!(violated(&wrong(reading(before(3), [1, 2]))), ["I10"]);
    assert_eq!(violated(&reading(after(1), [])), ["I10"], "empty, and there are messages");
    assert_eq!(violated(&reading(LATEST, [])), ["I10"], "empty, and there are messages");
    let beyond = change_page(reading(after(1), [2, 3]), |page| {
        (page.head_seq, page.at_end) = (2, false);
    });
    assert_eq!(violated(&beyond), ["I10"], "it shows more than it says there is");
    assert!(violated(&reading(after(3), [])).is_empty());
    let hidden = change_page(reading(after(0), [2, 3]), |page| page.at_start = true);
    assert!(violated(&hidden).is_empty(), "who joined later begins later");
}

#[test]
fn i10_what_a_page_shows_is_there_in_the_end() {
    // Bob's message was never acknowledged nor pushed, and a page had it.
    let mut records = reading(LATEST, [1, 2, 3]);
    for index in [16, 10, 9] {
        records.remove(index);
    }
    records[11] = last(2, 4);
    // His send is one nobody knows of: that it was seen and is gone is I8's.
    assert_eq!(violated(&records), ["I8", "I10"]);
    let mut gone = reading(LATEST, [1, 2, 3]);
    gone.remove(15);
    let found = violated(&gone);
    assert!(found.contains(&"I10"), "{found:?}");
    let beyond = change_page(reading(after(3), []), |page| page.head_ver = 6);
    assert_eq!(violated(&beyond), ["I10"]);
}

/// Ann reads with what she knows; `head` is what her page says.
fn known(min_ver: u64, head_seq: u64, head_ver: u64) -> Vec<Record> {
    let bounds = Bounds { min_ver: Some(min_ver), ..LATEST };
    let mut records = right();
    let read = if head_seq == 1 {
        read(A, 1, bounds, head_seq, head_ver, [1])
    } else {
        read(A, 1, bounds, head_seq, head_ver, [1, 2])
    };
    records.splice(8..8, read);
    records
}

#[test]
fn i11_a_read_shows_what_its_client_sent() {
    assert!(violated(&known(4, 2, 4)).is_empty());
    assert_eq!(violated(&known(4, 1, 3)), ["I11"], "its head is older than min_ver");
    assert_eq!(violated(&known(4, 2, 3)), ["I11"], "it says that it is older");
    assert_eq!(violated(&known(4, 1, 4)), ["I11"], "the message is not there");
    assert!(violated(&known(3, 1, 3)).is_empty(), "nothing was promised about ver 4");
    // Concurrent with the acknowledgement.
    let mut concurrent = known(3, 1, 3);
    let reading = concurrent.remove(8);
    concurrent.insert(6, reading);
    assert!(violated(&concurrent).is_empty());
}

#[test]
fn i11_no_read_is_older_than_one_before_or_an_event() {
    let again = |client, call, head_seq| {
        let bounds = Bounds { min_ver: Some(4), ..LATEST };
        if head_seq == 2 {
            read(client, call, bounds, 2, 4, [1, 2])
        } else {
            read(client, call, bounds, 1, 4, [1])
        }
    };
    // Bob had the second message from an event; what he sent himself comes later.
    let mut pushed = right();
    pushed.splice(8..8, again(B, 1, 1));
    assert_eq!(violated(&pushed), ["I11"]);
    let mut twice = right();
    twice.splice(8..8, again(3, 1, 2).into_iter().chain(again(3, 2, 1)));
    assert_eq!(violated(&twice), ["I11"], "older than the read before");
    let mut other = right();
    other.splice(8..8, again(3, 1, 2).into_iter().chain(again(4, 1, 2)));
    assert!(violated(&other).is_empty());
}

#[test]
fn i11_a_read_shows_what_its_client_changed() {
    let edited = |min_ver: u64, shown: SeenMessage| {
        let mut records = right();
        records[11] = last(3, 6);
        records[12] = Record::Stored { chat: CHAT, message: later(Some("new"), 6) };
        let bounds = Bounds { min_ver: Some(min_ver), ..LATEST };
        let mut page = read(A, 2, bounds, 3, 6, [1, 2, 3]);
        if let Record::Page { page, .. } = &mut page[1] {
            page.messages[0] = shown;
        }
        let kind = "edit".to_owned();
        let message = Some(later(Some("new"), 6));
        let saw = Record::Saw { client: B, chat: CHAT, log: LOG.to_owned(), ver: 6, kind, message };
        let edit = changed(A, 1, 1, Some("new"), 6);
        records.splice(11..11, edit.into_iter().chain(page).chain([saw]));
        records
    };
    assert!(violated(&edited(6, later(Some("new"), 6))).is_empty());
    assert_eq!(violated(&edited(6, message(ANN, 1, 1, 3))), ["I11"]);
    assert!(violated(&edited(5, message(ANN, 1, 1, 3))).is_empty(), "nothing was promised");
}
