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

/// What a shard's database lacks. Written and read as `SHARD:LANE=FOUND/REPORTED,…`, where in place of a
/// lane there may be `term` and `moves`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loss {
    shard: u32,
    lacks: BTreeMap<Part, Gap>,
}

/// Of what a database can have too little.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Part {
    /// Commits, by journal position.
    Lane(u16),
    /// The last writer's term: it wrote another database.
    Term,
    /// Transactions of moves that a flip rested on.
    Moves,
}

/// Journal positions of a lane, terms, tallies.
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
    fn between(
        shard: u32,
        found: &[LanePositions],
        reported: &[LanePosition],
        more: &[(Part, Gap)],
    ) -> Option<Loss> {
        let mut lacks: BTreeMap<Part, Gap> = more.iter().copied().collect();
        for LanePosition { lane, committed: reported, .. } in reported {
            let row = found.iter().find(|row| u32::from(row.lane) == *lane);
            let found = row.map_or(0, |row| row.committed);
            if let Ok(lane) = u16::try_from(*lane)
                && found < *reported
            {
                lacks.insert(Part::Lane(lane), Gap { found, reported: *reported });
            }
        }
        (!lacks.is_empty()).then_some(Loss { shard, lacks })
    }

    /// Exactly this was accepted. Lanes that no longer lack anything were dealt with before.
    fn is_accepted(&self, accepted: &[Loss]) -> bool {
        accepted.iter().any(|accepted| {
            accepted.shard == self.shard
                && self.lacks.iter().all(|(part, gap)| accepted.lacks.get(part) == Some(gap))
        })
    }

    /// For /readyz and the log.
    pub(crate) fn explained(&self) -> String {
        let lacks: Vec<String> = self
            .lacks
            .iter()
            .map(|(part, Gap { found, reported })| match part {
                Part::Lane(lane) => format!("lane {lane} has {found} commits of {reported}"),
                Part::Term => {
                    format!("its last writer has term {found}, the shard's had term {reported}")
                }
                Part::Moves => format!(
                    "slots that moved here may be incomplete: it has {found} transactions of moves \
                     of {reported}"
                ),
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
        for (number, (part, Gap { found, reported })) in self.lacks.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            match part {
                Part::Lane(lane) => write!(f, "{comma}{lane}")?,
                Part::Term => write!(f, "{comma}term")?,
                Part::Moves => write!(f, "{comma}moves")?,
            }
            write!(f, "={found}/{reported}")?;
        }
        Ok(())
    }
}

impl FromStr for Loss {
    type Err = LossError;

    fn from_str(text: &str) -> Result<Loss, LossError> {
        let parse = || {
            let (shard, lanes) = text.split_once(':')?;
            let lacks = lanes.split(',').map(|part| {
                let (part, gap) = part.split_once('=')?;
                let (found, reported) = gap.split_once('/')?;
                let gap = Gap { found: found.parse().ok()?, reported: reported.parse().ok()? };
                let part = match part {
                    "term" => Part::Term,
                    "moves" => Part::Moves,
                    lane => Part::Lane(lane.parse().ok()?),
                };
                Some((part, gap))
            });
            Some(Loss { shard: shard.parse().ok()?, lacks: lacks.collect::<Option<_>>()? })
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
        /// What the tally of moves has to be raised to, so that it no longer lacks anything.
        tally: Option<u64>,
    },
}

/// What is known of the shard's database, beside what it says itself.
pub(crate) struct Known<'a> {
    pub(crate) reported: &'a [LanePosition],
    /// The term of the last writer that this database saw, and of the last one that reported.
    pub(crate) terms: (u64, u64),
    /// Its tally, and the highest that a flip rested on; only if a slot may lack something by that.
    pub(crate) tallies: Option<(u64, u64)>,
}

impl Known<'_> {
    /// `accepted`: that it did not see the writer of this term is accepted.
    fn gaps(&self, accepted: u64) -> Vec<(Part, Gap)> {
        let gap = |part, (found, reported)| (part, Gap { found, reported });
        let unseen = (accepted < self.terms.1).then_some(gap(Part::Term, self.terms));
        let all = [unseen, self.tallies.map(|two| gap(Part::Moves, two))];
        all.into_iter().flatten().filter(|(_, gap)| gap.found < gap.reported).collect()
    }
}

/// `last`: the latest row of lane 0's journal, where the renewal writes how far it has come.
pub(crate) fn judge(
    shard: u32,
    found: &[LanePositions],
    known: &Known<'_>,
    accepted: &[Loss],
    last: Option<&JournalRow>,
) -> Verdict {
    let begun = last.and_then(next_to_renew);
    let gaps = known.gaps(last.map_or(0, accepted_term));
    let Some(loss) = Loss::between(shard, found, known.reported, &gaps) else {
        return match begun {
            Some(first) => Verdict::Renew { first, jumps: Vec::new(), tally: None },
            None => Verdict::Complete,
        };
    };
    if !loss.is_accepted(accepted) {
        return Verdict::Quarantined(loss);
    }
    // A mark in a lane that lacks something is of an earlier renewal, and came with the copy.
    let begun = begun.filter(|_| !loss.lacks.contains_key(&Part::Lane(RENEWING_LANE)));
    let jumps = loss.lacks.iter().filter_map(|(part, gap)| match part {
        Part::Lane(lane) => Some((*lane, gap.reported + 1)),
        Part::Term | Part::Moves => None,
    });
    let tally = loss.lacks.get(&Part::Moves).map(|gap| gap.reported);
    Verdict::Renew { first: begun.unwrap_or(1), jumps: jumps.collect(), tally }
}

/// Its journal says how far the renewal has come.
const RENEWING_LANE: u16 = 0;

/// A journal row's entries of no entity: everything before `next` has its new log, and it is accepted that
/// the database did not see the writer of this term.
fn renewed_before(next: u64, term: u64) -> Vec<JournalEntry> {
    [next, term]
        .map(|number| JournalEntry { entity: 0, first_ver: number, last_ver: number })
        .into()
}

/// The term that is named beside how far a renewal has come; 0 if there is none.
fn accepted_term(row: &JournalRow) -> u64 {
    row.entries.iter().filter(|entry| entry.entity == 0).nth(1).map_or(0, |entry| entry.first_ver)
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
        let known = Known { reported: &reported(had), terms: (3, 3), tallies: None };
        check_known(has, &known, accepted, last, expected);
    }

    fn check_known(
        has: &[u64],
        known: &Known<'_>,
        accepted: &str,
        last: Option<JournalRow>,
        expected: &Verdict,
    ) {
        let accepted = parse_losses(accepted).expect("losses");
        let verdict = judge(7, &found(has), known, &accepted, last.as_ref());
        assert_eq!(&verdict, expected, "{has:?}");
    }

    fn loss(text: &str) -> Verdict {
        Verdict::Quarantined(text.parse().expect("a loss"))
    }

    fn renew(first: u64, jumps: &[(u16, u64)]) -> Verdict {
        Verdict::Renew { first, jumps: jumps.to_vec(), tally: None }
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
    fn another_database_or_one_that_lacks_what_moved_in_is_a_loss_too() {
        let of = |terms, tallies| Known { reported: &[], terms, tallies };
        check_known(&[5], &of((6, 5), Some((9, 9))), "", None, &Verdict::Complete);
        check_known(&[5], &of((5, 6), None), "", None, &loss("7:term=5/6"));
        check_known(&[5], &of((5, 6), None), "7:term=5/6", None, &renew(1, &[]));
        // The renewal had begun; or one of an earlier loss had, and its mark came with the copy.
        let mark = |term| Some(row(renewed_before(33, term)));
        check_known(&[5], &of((5, 6), None), "", mark(6), &renew(33, &[]));
        check_known(&[5], &of((5, 6), None), "", mark(5), &loss("7:term=5/6"));
        let short = of((5, 6), Some((7, 9)));
        check_known(&[5], &short, "7:term=5/6", None, &loss("7:term=5/6,moves=7/9"));
        let raised = Verdict::Renew { first: 1, jumps: Vec::new(), tally: Some(9) };
        check_known(&[5], &short, "7:term=5/6,moves=7/9", None, &raised);
    }

    #[test]
    fn a_renewal_goes_on_where_it_was_also_without_the_setting() {
        let mark = || Some(row(renewed_before(33, 6)));
        check(&[5, 8], &[5, 8], "", mark(), &renew(33, &[]));
        // Lane 1 had not jumped yet.
        check(&[6, 6], &[5, 8], "7:0=4/5,1=6/8", mark(), &renew(33, &[(1, 9)]));
        check(&[6, 6], &[5, 8], "", mark(), &loss("7:1=6/8"));
        // The copy was made while another loss was dealt with.
        check(&[4, 8], &[5, 8], "7:0=4/5", mark(), &renew(1, &[(0, 6)]));
    }

    #[test]
    fn a_loss_is_read_back_as_it_is_shown() {
        for text in ["7:0=4/5", "7:0=4/5,1=6/8", "7:0=4/5,term=1/2,moves=3/9"] {
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
