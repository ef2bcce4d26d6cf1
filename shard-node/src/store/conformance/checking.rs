//! What a check reads, and what it has removed.

use super::*;
use shardline_domain::check::history::Span;
use shardline_domain::check::tables::Table;

pub async fn ids_are_walked_table_by_table(database: &dyn Database) {
    let store = writing_store(database).await;
    assert_eq!(store.next_ids(0).await.expect("a read"), [None; Table::ALL.len()]);
    let mut script = Script::new(0);
    script.send(&*store, &[5, 77, i64::MAX as u64]).await;
    let mut writes = script.empty();
    writes.members = vec![member(6, 1), member(5, 2)];
    store.commit(0, &writes).await.expect("a commit in order is stored");
    let check = async |after: u64, heads: Option<u64>, members: Option<u64>| {
        let next = store.next_ids(after).await.expect("a read");
        let mut expected = [None; Table::ALL.len()];
        expected[Table::Heads as usize] = heads;
        expected[Table::Messages as usize] = heads;
        expected[Table::Members as usize] = members;
        assert_eq!(next, expected, "after {after}");
    };
    check(0, Some(5), Some(5)).await;
    check(4, Some(5), Some(5)).await;
    check(5, Some(77), Some(6)).await;
    check(6, Some(77), None).await;
    check(77, Some(i64::MAX as u64), None).await;
    check(i64::MAX as u64, None, None).await;
}

pub async fn messages_are_counted_by_range(database: &dyn Database) {
    let store = writing_store(database).await;
    Script::new(0).send(&*store, &[vec![7; 9], vec![8; 2]].concat()).await;
    let check = async |after, to, expected: (u64, u64, u64)| {
        let span = store.span(7, after, to).await.expect("a read");
        let (count, first_seq, last_seq) = expected;
        assert_eq!(span, Span { count, first_seq, last_seq, last_ver: last_seq });
    };
    check(0, 9, (9, 1, 9)).await;
    check(0, u64::MAX >> 1, (9, 1, 9)).await;
    check(3, 5, (2, 4, 5)).await;
    check(9, 20, (0, 0, 0)).await;
}

pub async fn a_removed_user_leaves_nothing_behind(database: &dyn Database) {
    let store = writing_store(database).await;
    let mut script = Script::new(0);
    let user = |user: u64| UserRow {
        user,
        name: format!("name{user}"),
        display_name: String::new(),
        about: String::new(),
        password_hash: String::new(),
        created_at_ms: 1,
        trimmed_ver: 0,
    };
    let mut writes = script.empty();
    for id in [5, 6] {
        let head = HeadRow { entity: id, ver: 1, ..HeadRow::default() };
        writes.heads.push(HeadChange { expected_ver: 0, head });
        writes.users.push(user(id));
        let kind = ChangeKind::Profile;
        writes.changes.push(ChangeRow { entity: id, ver: 1, kind, subject: 0, at_ms: 1 });
    }
    store.commit(0, &writes).await.expect("a commit in order is stored");

    // Somebody changed it since.
    let mut writes = script.empty();
    writes.removed_users = vec![(5, 1), (6, 2)];
    let refused = store.commit(0, &writes).await;
    assert!(matches!(refused, Err(CommitError::Stale)), "{refused:?}");
    assert!(store.user(5).await.expect("a read").is_some(), "nothing of it was done");

    writes.removed_users = vec![(5, 1)];
    store.commit(0, &writes).await.expect("it stands as expected");
    assert_eq!(store.user(5).await.expect("a read"), None);
    let next = store.next_ids(0).await.expect("a read");
    assert_eq!(next.iter().flatten().min(), Some(&6), "{next:?}");
    assert!(store.user(6).await.expect("a read").is_some());
}
