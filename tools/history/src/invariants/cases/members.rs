//! I13: who sees a chat.

use super::*;

const CAT: u64 = 300;
/// Cat's device.
const C: u32 = 5;

fn membership(call: u32, joins: bool) -> Record {
    Record::Membership { client: A, user: CAT, chat: CHAT, call, joins }
}

fn done(call: u32, ver: u64) -> Record {
    Record::MembershipAcked { client: A, call, ver }
}

fn read(call: u32) -> Vec<Record> {
    let bounds = Bounds::default();
    let asked = Record::Reading { client: C, user: CAT, chat: CHAT, call, bounds };
    let log = LOG.to_owned();
    let (at_start, at_end, messages) = (true, true, Vec::new());
    let page = Page { log, head_seq: 0, head_ver: 4, at_start, at_end, messages };
    vec![asked, Record::Page { client: C, call, page }]
}

fn saw_member(ver: u64) -> Record {
    let (kind, log) = ("member".to_owned(), LOG.to_owned());
    Record::Saw { client: C, chat: CHAT, log, ver, kind, message: None }
}

/// Cat is removed with ver 3; then this happens; the chat ends with ver 5.
fn removed(then: impl IntoIterator<Item = Record>) -> Vec<Record> {
    let mut records = vec![
        Record::Base { chat: CHAT, log: LOG.to_owned(), seq: 0, ver: 2 },
        membership(1, false),
        done(1, 3),
    ];
    records.extend(then);
    records.push(last(0, 5));
    records.extend([3, 4, 5].map(|ver| {
        let kind = "member".to_owned();
        Record::Changed { chat: CHAT, ver, kind }
    }));
    records.push(Record::End);
    records
}

#[test]
fn i13_no_read_after_the_removal() {
    assert!(violated(&removed([])).is_empty());
    assert_eq!(violated(&removed(read(1))), ["I13"]);
    // Begun before it was acknowledged.
    let mut concurrent = removed(read(1));
    concurrent.swap(2, 3);
    assert!(violated(&concurrent).is_empty());
    // A removal that nobody knows of promises nothing.
    let mut unknown = removed(read(1));
    unknown[2] = Record::Failed { client: A, call: 1, maybe_done: true };
    assert!(violated(&unknown).is_empty());
}

#[test]
fn i13_who_may_have_come_back_may_read() {
    let back = |outcome: Option<Record>| {
        removed([membership(2, true)].into_iter().chain(outcome).chain(read(1)))
    };
    assert!(violated(&back(Some(done(2, 4)))).is_empty());
    assert!(violated(&back(None)).is_empty(), "nobody knows");
    let refused = Record::Failed { client: A, call: 2, maybe_done: false };
    assert_eq!(violated(&back(Some(refused))), ["I13"]);
    // Removed once more.
    let again = [membership(2, true), done(2, 4), membership(3, false), done(3, 5)];
    assert_eq!(violated(&removed(again.into_iter().chain(read(1)))), ["I13"]);
    // Read before anybody made them a member.
    let early = read(1).into_iter().chain([membership(2, true), done(2, 4)]);
    assert_eq!(violated(&removed(early)), ["I13"]);
}

#[test]
fn i13_no_event_after_the_removal() {
    let known = |records: Vec<Record>| {
        // A read from before tells whose device it is.
        let mut records = records;
        records.splice(1..1, read(9));
        records
    };
    assert!(violated(&known(removed([saw_member(3)]))).is_empty(), "the removal is told");
    assert_eq!(violated(&known(removed([saw_member(4)]))), ["I13"]);
    let back = [membership(2, true), done(2, 4), saw_member(4), saw_member(5)];
    assert!(violated(&known(removed(back))).is_empty());
    let unknown = [membership(2, true), saw_member(4)];
    assert!(violated(&known(removed(unknown))).is_empty(), "nobody knows since when");
    let back = [membership(2, true), done(2, 5), saw_member(4)];
    assert!(violated(&known(removed(back))).is_empty(), "what happened meanwhile may be shown");
    let early = [saw_member(4), membership(2, true), done(2, 5)];
    assert_eq!(violated(&known(removed(early))), ["I13"]);
}
