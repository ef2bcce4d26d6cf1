//! The setting that says which shards an empty catalog begins with.

use shardline_daemon::config::Setting;
use shardline_domain::{id::ShardId, placement::Share};
use std::collections::BTreeSet;

/// So that a later shard can be given a little more or less.
const WEIGHT_DEFAULT: u32 = 100;

/// Written `0,1` or, with weights, `0:100,1:50`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InitialShards(pub Vec<Share>);

impl Setting for InitialShards {
    fn parse(text: &str) -> Result<InitialShards, String> {
        let shares =
            text.split(',').map(|part| share(part.trim())).collect::<Result<Vec<_>, _>>()?;
        let mut seen = BTreeSet::new();
        if let Some(twice) = shares.iter().find(|share| !seen.insert(share.shard)) {
            return Err(format!("shard {} is there twice", twice.shard));
        }
        Ok(InitialShards(shares))
    }

    fn show(&self) -> String {
        let part = |share: &Share| format!("{}:{}", share.shard, share.weight);
        self.0.iter().map(part).collect::<Vec<_>>().join(",")
    }

    fn placeholder() -> InitialShards {
        InitialShards(Vec::new())
    }
}

fn share(part: &str) -> Result<Share, String> {
    let wrong = || format!("`{part}` is not a shard like 0, or 0:100 with its weight");
    let (shard, weight) = match part.split_once(':') {
        Some((shard, weight)) => (shard, weight.parse().map_err(|_| wrong())?),
        None => (part, WEIGHT_DEFAULT),
    };
    if weight == 0 {
        return Err(format!("shard {shard} has weight 0; leave it out"));
    }
    Ok(Share { shard: ShardId(shard.parse().map_err(|_| wrong())?), weight })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(u32, u32)]) {
        let shares =
            expected.iter().map(|&(shard, weight)| Share { shard: ShardId(shard), weight });
        assert_eq!(InitialShards::parse(text), Ok(InitialShards(shares.collect())));
    }

    #[test]
    fn shards_have_a_weight_or_the_usual_one() {
        check("0,1", &[(0, 100), (1, 100)]);
        check("0:100, 7:50", &[(0, 100), (7, 50)]);
        let both = InitialShards::parse("3,4:5").expect("shards");
        assert_eq!(InitialShards::parse(&both.show()), Ok(both));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in ["", ",", "a", "0:", "0:x", "-1", "0,0", "0:0", "0;1"] {
            assert!(InitialShards::parse(text).is_err(), "{text:?}");
        }
    }
}
