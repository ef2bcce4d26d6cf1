//! Every field of every row counts, and the order and number of rows do.

use super::*;

type Change<R> = Box<dyn Fn(&mut R)>;

fn head() -> HeadRow {
    HeadRow { entity: 1, seq: 2, ver: 3, log: 4, activity_ms: 5 }
}

fn name() -> EntityRow {
    EntityRow::Name(NameRow { entity: 1, name: "mia".to_owned(), user: 2 })
}

fn of(rows: impl Fn(&mut Hashing)) -> EntityDigest {
    let mut hashing = Hashing::begin(head(), &name(), 0);
    rows(&mut hashing);
    hashing.end()
}

/// Each change alone gives another digest than the row and than each other change.
fn check<R: Clone>(row: &R, digest: impl Fn(&R) -> EntityDigest, changes: Vec<Change<R>>) {
    let mut seen = vec![digest(row)];
    assert_eq!(seen[0], digest(&row.clone()));
    for (number, change) in changes.into_iter().enumerate() {
        let mut changed = row.clone();
        change(&mut changed);
        let digest = digest(&changed);
        assert!(!seen.contains(&digest), "change {number} is not seen");
        seen.push(digest);
    }
}

macro_rules! changes {
    ($row:ty: $($field:ident = $value:expr),* $(,)?) => {
        {
            let all: Vec<Change<$row>> =
                vec![$(Box::new(move |row: &mut $row| row.$field = $value)),*];
            all
        }
    };
}

#[test]
fn every_field_of_a_head_counts() {
    let digest = |head: &HeadRow| Hashing::begin(*head, &name(), 0).end();
    let all = changes!(HeadRow: entity = 9, seq = 9, ver = 9, log = 9, activity_ms = 9);
    check(&head(), digest, all);
    let since = |since: &u64| Hashing::begin(head(), &name(), *since).end();
    check(&0, since, vec![Box::new(|since| *since = 1)]);
}

#[test]
fn every_field_of_a_message_counts() {
    let row = MessageRow {
        chat: 1,
        seq: 2,
        ver: 3,
        changed_ver: 4,
        sender: 5,
        sender_name: "ab".to_owned(),
        client_msg_id: [6; 16],
        body_hash: [7; 16],
        text: "c".to_owned(),
        reply_to: None,
        sent_at_ms: 8,
        edited_at_ms: None,
        deleted: false,
    };
    let all = changes!(MessageRow:
        chat = 9,
        seq = 9,
        ver = 9,
        changed_ver = 9,
        sender = 9,
        sender_name = "abc".to_owned(),
        client_msg_id = [9; 16],
        body_hash = [9; 16],
        text = "d".to_owned(),
        text = String::new(),
        reply_to = Some(0),
        reply_to = Some(1),
        sent_at_ms = 9,
        sent_at_ms = -8,
        edited_at_ms = Some(0),
        deleted = true,
    );
    check(&row, |row| of(|hashing| hashing.message(row)), all);
    // What stands next to each other does not flow together.
    let moved = MessageRow { sender_name: "a".to_owned(), text: "bc".to_owned(), ..row.clone() };
    assert_ne!(of(|hashing| hashing.message(&row)), of(|hashing| hashing.message(&moved)));
    let counted =
        of(|hashing| (4..=6).for_each(|seq| hashing.message(&MessageRow { seq, ..row.clone() })));
    assert_eq!((counted.messages, counted.first_seq, counted.last_seq), (3, 4, 6));
}

#[test]
fn every_field_of_a_change_counts() {
    let row = ChangeRow { entity: 1, ver: 2, kind: ChangeKind::Edit, subject: 3, at_ms: 4 };
    let all =
        changes!(ChangeRow: entity = 9, ver = 9, kind = ChangeKind::Delete, subject = 9, at_ms = 9);
    check(&row, |row| of(|hashing| hashing.change(row)), all);
}

#[test]
fn every_field_of_a_member_counts_and_the_cursor_apart() {
    let row = MemberRow {
        chat: 1,
        user: 2,
        role: "member".to_owned(),
        joined_ver: 3,
        joined_seq: 4,
        left_ver: None,
        read_seq: 5,
    };
    let all = changes!(MemberRow:
        chat = 9,
        user = 9,
        role = "admin".to_owned(),
        joined_ver = 9,
        joined_seq = 9,
        left_ver = Some(0),
        left_ver = Some(9),
        read_seq = 9,
    );
    let digest = |row: &MemberRow| of(|hashing| hashing.member(row));
    check(&row, digest, all);
    let read = digest(&MemberRow { read_seq: 9, ..row.clone() });
    assert_eq!(read.rows, digest(&row).rows);
    assert_ne!(read.cursors, digest(&row).cursors);
}

#[test]
fn every_field_of_a_users_rows_counts() {
    let user = UserRow {
        user: 1,
        name: "a".to_owned(),
        display_name: "b".to_owned(),
        about: "c".to_owned(),
        password_hash: "d".to_owned(),
        created_at_ms: 2,
        trimmed_ver: 3,
    };
    let new = || "new".to_owned();
    let all = changes!(UserRow:
        user = 9,
        name = new(),
        display_name = new(),
        about = new(),
        password_hash = new(),
        created_at_ms = 9,
        trimmed_ver = 9,
    );
    let digest = |row: &UserRow| Hashing::begin(head(), &EntityRow::User(row.clone()), 0).end();
    check(&user, digest, all);

    let session = SessionRow {
        user: 1,
        session: 2,
        device: "a".to_owned(),
        generation: 3,
        nonce: [4; 16],
        previous_nonce: [5; 16],
        created_at_ms: 6,
        used_at_ms: 7,
    };
    let all = changes!(SessionRow:
        user = 9,
        session = 9,
        device = new(),
        generation = 9,
        nonce = [9; 16],
        previous_nonce = [9; 16],
        created_at_ms = 9,
        used_at_ms = 9,
    );
    check(&session, |row| of(|hashing| hashing.session(row)), all);

    let list = ListRow {
        user: 1,
        chat: 2,
        kind: "group".to_owned(),
        pinned: false,
        muted: false,
        hidden_seq: 3,
        gone: false,
        fact_ver: 4,
        list_ver: 5,
    };
    let all = changes!(ListRow:
        user = 9,
        chat = 9,
        kind = new(),
        pinned = true,
        muted = true,
        hidden_seq = 9,
        gone = true,
        fact_ver = 9,
        list_ver = 9,
    );
    check(&list, |row| of(|hashing| hashing.list_row(row)), all);
}

#[test]
fn every_field_of_a_chat_and_of_a_name_counts() {
    let chat = ChatRow {
        chat: 1,
        kind: "a".to_owned(),
        title: "b".to_owned(),
        history: "c".to_owned(),
        creator: 2,
        client_chat_id: [3; 16],
        created_at_ms: 4,
        settings_ver: 5,
        trimmed_seq: 6,
        trimmed_ver: 7,
        ended: false,
    };
    let new = || "new".to_owned();
    let all = changes!(ChatRow:
        chat = 9,
        kind = new(),
        title = new(),
        history = new(),
        creator = 9,
        client_chat_id = [9; 16],
        created_at_ms = 9,
        settings_ver = 9,
        trimmed_seq = 9,
        trimmed_ver = 9,
        ended = true,
    );
    let digest = |row: &ChatRow| Hashing::begin(head(), &EntityRow::Chat(row.clone()), 0).end();
    check(&chat, digest, all);
    let name = NameRow { entity: 1, name: "a".to_owned(), user: 2 };
    let all = changes!(NameRow: entity = 9, name = new(), user = 9);
    let digest = |row: &NameRow| Hashing::begin(head(), &EntityRow::Name(row.clone()), 0).end();
    check(&name, digest, all);
}

#[test]
fn the_order_and_the_number_of_rows_count() {
    let row = |ver| ChangeRow { entity: 1, ver, kind: ChangeKind::Chat, subject: 0, at_ms: 0 };
    let digest =
        |vers: &[u64]| of(|hashing| vers.iter().for_each(|ver| hashing.change(&row(*ver))));
    check(
        &vec![1, 2],
        |vers: &Vec<u64>| digest(vers),
        vec![
            Box::new(|vers| *vers = vec![2, 1]),
            Box::new(|vers| *vers = vec![1]),
            Box::new(|vers| *vers = vec![1, 2, 2]),
            Box::new(|vers| vers.clear()),
        ],
    );
}
