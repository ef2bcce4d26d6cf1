//! The journal: what the bus has still to get.

use super::*;

pub async fn a_journal_is_read_in_order(database: &dyn Database) {
    let store = writing_store(database).await;
    let (mut one, mut other) = (Script::new(0), Script::new(1));
    let mut written = Vec::new();
    for _ in 0..12 {
        written.push(one.send(&*store, &[7, 9, 7]).await.journal);
        other.send(&*store, &[8]).await;
    }
    assert_eq!(store.journal(0, 0, 100).await.expect("a read"), written);
    assert_eq!(store.journal(0, 4, 3).await.expect("a read"), written[4..7]);
    assert_eq!(store.journal(0, 12, 3).await.expect("a read"), []);
    assert_eq!(store.journal(1, 0, 100).await.expect("a read").len(), 12);
    assert_eq!(store.journal(9, 0, 100).await.expect("a read"), []);
}

pub async fn positions_only_grow_and_delete_what_both_passed(database: &dyn Database) {
    let store = writing_store(database).await;
    let mut script = Script::new(1);
    for _ in 0..20 {
        store.commit(1, &script.empty()).await.expect("a commit in order is stored");
    }
    let check = async |relayed, covered, expected: (u64, u64), left: u64| {
        store.advance(1, relayed, covered).await.expect("it is the writer");
        let positions = store.lane_positions().await.expect("a read");
        let (relayed, covered) = expected;
        assert_eq!(positions[1], LanePositions { lane: 1, committed: 20, relayed, covered });
        assert_eq!(positions[0], LanePositions { lane: 0, committed: 0, relayed: 0, covered: 0 });
        let rows = store.journal(1, 0, 100).await.expect("a read");
        assert_eq!(rows.first().map_or(21, |row| row.position), left);
    };
    check(0, 0, (0, 0), 1).await;
    check(9, 0, (9, 0), 1).await;
    check(9, 4, (9, 4), 5).await;
    check(3, 6, (9, 6), 7).await;
    check(12, 2, (12, 6), 7).await;
    check(20, 20, (20, 20), 21).await;
    check(1, 1, (20, 20), 21).await;
    let refused = store.advance(1, 21, 3).await;
    assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
    check(0, 0, (20, 20), 21).await;
    // More rows than are deleted at once.
    let mut script = Script::new(0);
    for _ in 0..1_100 {
        store.commit(0, &script.empty()).await.expect("a commit in order is stored");
    }
    store.advance(0, 1_099, 1_100).await.expect("it is the writer");
    let rows = store.journal(0, 0, 2_000).await.expect("a read");
    assert_eq!(rows.iter().map(|row| row.position).collect::<Vec<_>>(), [1_100]);
    assert_eq!(store.lane_positions().await.expect("a read")[0].committed, 1_100);
}

pub async fn a_position_is_used_once(database: &dyn Database) {
    let store = writing_store(database).await;
    let mut script = Script::new(0);
    script.send(&*store, &[7]).await;
    script.position -= 1;
    let refused = store.commit(0, &script.sends(&[7])).await;
    assert!(matches!(refused, Err(CommitError::Stale)), "{refused:?}");
    assert_eq!(head(&*store, 7).await.map(|head| head.ver), Some(1));
}
