//! A database that has less than its writer once reported is an earlier copy: a restore, or a replica
//! that was promoted without the last commits. Its chats would give out again the vers that were lost,
//! so it is not served until an operator accepts the loss, and then not before every chat has a new log.
//!
//! What is decided here is pure. How far an accepted restore has come stands in the journal itself, so
//! a start that dies halfway is taken up by the next one.

pub(crate) mod renew;

use crate::store::{JournalEntry, JournalRow, LanePositions};
use shardline_wire::internal::LanePosition;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// What a shard's database lacks. Written and read as `SHARD:LANE=FOUND/REPORTED,…`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loss {
    shard: u32,
    lanes: BTreeMap<u16, Gap>,
}

/// Journal positions of a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Gap {
    found: u64,
    reported: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{0:?} is not SHARD:LANE=FOUND/REPORTED,… as /readyz shows it")]
pub struct LossError(String);

impl Loss {
    /// None: the database has all that was reported.
    fn between(shard: u32, found: &[LanePositions], reported: &[LanePosition]) -> Option<Loss> {
        let mut lanes = BTreeMap::new();
        for LanePosition { lane, committed: reported, .. } in reported {
            let row = found.iter().find(|row| u32::from(row.lane) == *lane);
            let found = row.map_or(0, |row| row.committed);
            if let Ok(lane) = u16::try_from(*lane)
                && found < *reported
            {
                lanes.insert(lane, Gap { found, reported: *reported });
            }
        }
        (!lanes.is_empty()).then_some(Loss { shard, lanes })
    }

    /// Exactly this was accepted. Lanes that no longer lack anything were dealt with before.
    fn is_accepted(&self, accepted: &[Loss]) -> bool {
        accepted.iter().any(|accepted| {
            accepted.shard == self.shard
                && self.lanes.iter().all(|(lane, gap)| accepted.lanes.get(lane) == Some(gap))
        })
    }

    /// For /readyz and the log.
    pub(crate) fn explained(&self) -> String {
        let lacks: Vec<String> = self
            .lanes
            .iter()
            .map(|(lane, Gap { found, reported })| {
                format!("lane {lane} has {found} commits of {reported}")
            })
            .collect();
        format!(
            "quarantined: the database is an earlier copy ({}). Stop, put the complete database back \
             and start again; or, to go on without what is missing, start with accept-loss = {self}",
            lacks.join(", ")
        )
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.shard)?;
        for (number, (lane, Gap { found, reported })) in self.lanes.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{lane}={found}/{reported}")?;
        }
        Ok(())
    }
}

impl FromStr for Loss {
    type Err = LossError;

    fn from_str(text: &str) -> Result<Loss, LossError> {
        let parse = || {
            let (shard, lanes) = text.split_once(':')?;
            let lanes = lanes.split(',').map(|lane| {
                let (lane, gap) = lane.split_once('=')?;
                let (found, reported) = gap.split_once('/')?;
                let gap = Gap { found: found.parse().ok()?, reported: reported.parse().ok()? };
                Some((lane.parse().ok()?, gap))
            });
            Some(Loss { shard: shard.parse().ok()?, lanes: lanes.collect::<Option<_>>()? })
        };
        parse().ok_or_else(|| LossError(text.to_owned()))
    }
}

/// Several, apart by spaces: one process may hold more than one shard.
pub fn parse_losses(text: &str) -> Result<Vec<Loss>, LossError> {
    text.split_whitespace().map(str::parse).collect()
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Complete,
    /// It is not served.
    Quarantined(Loss),
    /// The loss was accepted: all entities from this id on get a new log first.
    Renew {
        first: u64,
        /// Where lanes that lack something have to go on, so that they no longer do.
        jumps: Vec<(u16, u64)>,
    },
}

/// `last`: the latest row of lane 0's journal, where the renewal writes how far it has come.
pub(crate) fn judge(
    shard: u32,
    found: &[LanePositions],
    reported: &[LanePosition],
    accepted: &[Loss],
    last: Option<&JournalRow>,
) -> Verdict {
    let begun = last.and_then(next_to_renew);
    let Some(loss) = Loss::between(shard, found, reported) else {
        return match begun {
            Some(first) => Verdict::Renew { first, jumps: Vec::new() },
            None => Verdict::Complete,
        };
    };
    if !loss.is_accepted(accepted) {
        return Verdict::Quarantined(loss);
    }
    // A mark in a lane that lacks something is of an earlier renewal, and came with the copy.
    let begun = begun.filter(|_| !loss.lanes.contains_key(&RENEWING_LANE));
    let jumps = loss.lanes.iter().map(|(lane, gap)| (*lane, gap.reported + 1));
    Verdict::Renew { first: begun.unwrap_or(1), jumps: jumps.collect() }
}

/// Its journal says how far the renewal has come.
const RENEWING_LANE: u16 = 0;

/// A journal row's entry of no entity: everything before `next` has its new log.
fn renewed_before(next: u64) -> Vec<JournalEntry> {
    vec![JournalEntry { entity: 0, first_ver: next, last_ver: next }]
}

fn next_to_renew(row: &JournalRow) -> Option<u64> {
    row.entries.iter().find(|entry| entry.entity == 0).map(|entry| entry.first_ver)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(committed: &[u64]) -> Vec<LanePositions> {
        let lanes = committed.iter().zip(0..);
        lanes
            .map(|(committed, lane)| LanePositions {
                lane,
                committed: *committed,
                relayed: 0,
                covered: 0,
            })
            .collect()
    }

    fn reported(committed: &[u64]) -> Vec<LanePosition> {
        let lanes = committed.iter().zip(0..);
        lanes
            .map(|(committed, lane)| LanePosition { lane, committed: *committed, relayed: 0 })
            .collect()
    }

    fn row(entries: Vec<JournalEntry>) -> JournalRow {
        JournalRow { position: 9, nonce: 1, entries }
    }

    fn check(
        has: &[u64],
        had: &[u64],
        accepted: &str,
        last: Option<JournalRow>,
        expected: &Verdict,
    ) {
        let accepted = parse_losses(accepted).expect("losses");
        let verdict = judge(7, &found(has), &reported(had), &accepted, last.as_ref());
        assert_eq!(&verdict, expected, "{has:?} of {had:?}");
    }

    fn loss(text: &str) -> Verdict {
        Verdict::Quarantined(text.parse().expect("a loss"))
    }

    fn renew(first: u64, jumps: &[(u16, u64)]) -> Verdict {
        Verdict::Renew { first, jumps: jumps.to_vec() }
    }

    #[test]
    fn who_has_all_that_was_reported_is_complete() {
        check(&[5, 6], &[5, 6], "", None, &Verdict::Complete);
        check(&[5, 6], &[4], "", None, &Verdict::Complete);
        check(&[], &[], "", None, &Verdict::Complete);
        check(&[5], &[5, 0], "", Some(row(Vec::new())), &Verdict::Complete);
    }

    #[test]
    fn who_has_less_is_quarantined_until_exactly_that_loss_is_accepted() {
        check(&[5, 6], &[5, 8], "", None, &loss("7:1=6/8"));
        check(&[5], &[5, 8], "", None, &loss("7:1=0/8"));
        check(&[4, 6], &[5, 8], "7:1=6/8", None, &loss("7:0=4/5,1=6/8"));
        check(&[4, 6], &[5, 8], "8:0=4/5,1=6/8", None, &loss("7:0=4/5,1=6/8"));
        check(&[4, 6], &[5, 9], "7:0=4/5,1=6/8", None, &loss("7:0=4/5,1=6/9"));
        let both = "6:0=1/2 7:0=4/5,1=6/8";
        check(&[4, 6], &[5, 8], both, None, &renew(1, &[(0, 6), (1, 9)]));
    }

    #[test]
    fn a_renewal_goes_on_where_it_was_also_without_the_setting() {
        let mark = || Some(row(renewed_before(33)));
        check(&[5, 8], &[5, 8], "", mark(), &renew(33, &[]));
        // Lane 1 had not jumped yet.
        check(&[6, 6], &[5, 8], "7:0=4/5,1=6/8", mark(), &renew(33, &[(1, 9)]));
        check(&[6, 6], &[5, 8], "", mark(), &loss("7:1=6/8"));
        // The copy was made while another loss was dealt with.
        check(&[4, 8], &[5, 8], "7:0=4/5", mark(), &renew(1, &[(0, 6)]));
    }

    #[test]
    fn a_loss_is_read_back_as_it_is_shown() {
        for text in ["7:0=4/5", "7:0=4/5,1=6/8"] {
            let loss: Loss = text.parse().expect("a loss");
            assert_eq!(loss.to_string(), text);
            assert!(loss.explained().contains(&format!("accept-loss = {text}")));
        }
        for text in ["", "7", "7:", "7:0", "7:0=4", "x:0=4/5", "7:0=4/5,", "7:0=-4/5", "all"] {
            assert!(text.parse::<Loss>().is_err(), "{text}");
        }
        assert_eq!(parse_losses("  ").expect("none"), []);
    }
}
