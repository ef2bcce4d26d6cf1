//! Which shards have a writer, and what changed since the last look.

use crate::catalog::ShardRow;
use shardline_domain::id::ShardId;
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Watch {
    /// The writer of each shard, if its lease stands.
    known: BTreeMap<ShardId, Option<String>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Change {
    pub(super) shard: ShardId,
    pub(super) alive: bool,
    /// The one that came, or that went.
    pub(super) writer: String,
}

impl Watch {
    /// By shard. A shard that never had a writer is no news.
    pub(super) fn look(&mut self, shards: &[ShardRow]) -> Vec<Change> {
        let now: BTreeMap<_, _> = shards
            .iter()
            .map(|row| (row.shard, row.writer_alive.then(|| row.writer.clone())))
            .collect();
        let before = std::mem::replace(&mut self.known, now);
        let mut changes = Vec::new();
        for (shard, writer) in &self.known {
            let had = before.get(shard).cloned().flatten();
            let (alive, writer) = match (had, writer.clone()) {
                (had, Some(has)) if had.as_ref() != Some(&has) => (true, has),
                (Some(had), None) => (false, had),
                _ => continue,
            };
            changes.push(Change { shard: *shard, alive, writer });
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ShardState;

    fn row(shard: u32, writer: &str, writer_alive: bool) -> ShardRow {
        ShardRow {
            shard: ShardId(shard),
            weight: 100,
            state: ShardState::Active,
            writer_term: 1,
            writer: writer.to_owned(),
            address: String::new(),
            writer_alive,
            reported_ms_ago: None,
            durability: String::new(),
        }
    }

    fn change(shard: u32, alive: bool, writer: &str) -> Change {
        Change { shard: ShardId(shard), alive, writer: writer.to_owned() }
    }

    #[test]
    fn each_change_is_told_once() {
        let mut watch = Watch::default();
        assert_eq!(watch.look(&[row(0, "", false)]), []);
        assert_eq!(watch.look(&[row(0, "a", true)]), [change(0, true, "a")]);
        assert_eq!(watch.look(&[row(0, "a", true)]), []);
        assert_eq!(watch.look(&[row(0, "a", false)]), [change(0, false, "a")]);
        assert_eq!(watch.look(&[row(0, "a", false)]), []);
        assert_eq!(watch.look(&[row(0, "b", true)]), [change(0, true, "b")]);
        assert_eq!(watch.look(&[row(0, "c", true)]), [change(0, true, "c")]);
    }
}
