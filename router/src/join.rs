//! Whether a shard-node is fit to take part, by what it says of itself. Pure; for shards that join and
//! before each move.

use shardline_domain::slot::Partitions;
use shardline_wire::internal::ShardDescription;

/// Why it is not, for people.
pub(crate) fn unfit(described: &ShardDescription, partitions: Partitions) -> Option<String> {
    let shard = described.shard;
    if described.partitions != partitions.count() {
        return Some(format!(
            "shard {shard} is set to {} partitions, the cluster has {}",
            described.partitions,
            partitions.count()
        ));
    }
    described
        .foreign
        .then(|| format!("the database of shard {shard} holds data of another cluster"))
}

/// Why two shards cannot exchange slots.
pub(crate) fn unlike(one: &ShardDescription, other: &ShardDescription) -> Option<String> {
    (one.schema != other.schema).then(|| {
        format!(
            "shard {} has schema version {}, shard {} has {}; migrate the older one first",
            one.shard, one.schema, other.shard, other.schema
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(shard: u32, schema: u32) -> ShardDescription {
        ShardDescription { shard, schema, partitions: 64, ..ShardDescription::default() }
    }

    #[test]
    fn who_has_other_partitions_or_foreign_data_does_not_fit() {
        let partitions = Partitions::new(64).expect("a power of two");
        assert_eq!(unfit(&described(1, 14), partitions), None);
        let other = ShardDescription { partitions: 16, ..described(1, 14) };
        assert!(unfit(&other, partitions).is_some_and(|why| why.contains("16 partitions")));
        let foreign = ShardDescription { foreign: true, ..described(1, 14) };
        assert!(unfit(&foreign, partitions).is_some_and(|why| why.contains("another cluster")));
    }

    #[test]
    fn both_have_the_same_schema() {
        assert_eq!(unlike(&described(1, 14), &described(2, 14)), None);
        let why = unlike(&described(1, 14), &described(2, 15)).expect("they differ");
        assert!(why.contains("shard 1 has schema version 14"), "{why}");
    }
}
