//! Moves together: how much they moved, and for how long writes to their slots waited.

use super::units::{bytes, count};
use serde_json::{Value, json};
use shardline_wire::internal::MoveInfo;

/// Moves together.
pub(crate) struct Totals {
    moves: u64,
    aborted: u64,
    /// Of moves that have flipped.
    pub(crate) slots_there: u64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// Of slots: how long writes waited. By length, with how many slots.
    pauses: Vec<(u64, u64)>,
}

impl Totals {
    pub(crate) fn of<'a>(moves: impl IntoIterator<Item = &'a MoveInfo>) -> Totals {
        let mut totals =
            Totals { moves: 0, aborted: 0, slots_there: 0, rows: 0, bytes: 0, pauses: Vec::new() };
        for info in moves {
            totals.moves += 1;
            totals.aborted += u64::from(info.phase == "aborted");
            totals.rows += info.rows;
            totals.bytes += info.bytes;
            if matches!(info.phase.as_str(), "flipped" | "following" | "cleaning" | "done") {
                totals.slots_there += u64::from(info.slots);
            }
            totals.pauses.extend(info.pause_ms.map(|ms| (ms, u64::from(info.slots))));
        }
        totals.pauses.sort_unstable();
        totals
    }

    /// The pause that this part of the slots, in percent, did not exceed.
    fn pause(&self, percent: u64) -> Option<u64> {
        let slots: u64 = self.pauses.iter().map(|(_, slots)| slots).sum();
        let mut rank = (slots * percent).div_ceil(100).max(1);
        self.pauses.iter().find_map(|(ms, slots)| {
            let found = rank <= *slots;
            rank = rank.saturating_sub(*slots);
            found.then_some(*ms)
        })
    }

    pub(crate) fn text(&self) -> String {
        let aborted = match self.aborted {
            0 => String::new(),
            aborted => format!(" ({aborted} aborted)"),
        };
        let pause = match (self.pause(50), self.pause(99), self.pause(100)) {
            (Some(p50), Some(p99), Some(max)) => {
                format!("; pause of a slot p50 {p50} ms, p99 {p99} ms, max {max} ms")
            }
            _ => String::new(),
        };
        format!(
            "{} moves{aborted}, {} slots, {} rows, {}{pause}",
            count(self.moves),
            count(self.slots_there),
            count(self.rows),
            bytes(self.bytes)
        )
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "moves": self.moves,
            "aborted": self.aborted,
            "slots": self.slots_there,
            "rows": self.rows,
            "bytes": self.bytes,
            "pause_p50_ms": self.pause(50),
            "pause_p99_ms": self.pause(99),
            "pause_max_ms": self.pause(100),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(slots: u32, pause_ms: Option<u64>) -> MoveInfo {
        MoveInfo { slots, pause_ms, phase: "done".to_owned(), ..MoveInfo::default() }
    }

    fn check(moves: &[MoveInfo], expected: [Option<u64>; 3]) {
        let totals = Totals::of(moves);
        assert_eq!([50, 99, 100].map(|percent| totals.pause(percent)), expected);
    }

    #[test]
    fn pauses_are_of_slots_not_of_moves() {
        check(&[], [None; 3]);
        check(&[info(1, None)], [None; 3]);
        check(&[info(1, Some(30))], [Some(30); 3]);
        check(&[info(990, Some(20)), info(10, Some(70))], [Some(20), Some(20), Some(70)]);
        check(&[info(1, Some(70)), info(98, Some(40))], [Some(40), Some(70), Some(70)]);
    }
}
