//! A recording and a journal made by hand: who met a slot that changed hands.

use super::*;
use shardline_history::Line;

fn step(at_ms: i64, to: &str) -> Step {
    Step { at_ms, from: None, to: to.to_owned() }
}

fn moved(slots: &[u64], steps: &[(i64, &str)]) -> Moved {
    Moved {
        phase: steps.last().map_or(String::new(), |(_, to)| (*to).to_owned()),
        entities_total: 3,
        rows: 500,
        pause_ms: Some(40),
        slot_numbers: slots.to_vec(),
        journal: steps.iter().map(|(at_ms, to)| step(*at_ms, to)).collect(),
    }
}

fn sent(t_ms: u64, slot: u64, id: u128) -> Line {
    let record = Record::Send {
        client: 0,
        user: 1,
        chat: slot << SLOT_SHIFT | 9,
        id: MsgId(id),
        body: String::new(),
    };
    Line { t: 1000 * t_ms, record }
}

fn acked(t_ms: u64, id: u128) -> Line {
    let (id, seq, ver, log) = (MsgId(id), 1, 1, String::new());
    let record = Record::Acked { client: 0, user: 1, chat: 9, id, seq, ver, duplicate: false, log };
    Line { t: 1000 * t_ms, record }
}

#[test]
fn who_met_a_slot_changing_hands_is_told_apart() {
    let moves = [moved(
        &[5, 6],
        &[
            (11_000, "planned"),
            (11_000, "preparing"),
            (12_000, "catching_up"),
            (12_500, "freezing"),
            (12_600, "following"),
            (13_000, "cleaning"),
            (14_000, "done"),
        ],
    )];
    // The recording began at 10 s of that clock.
    let busy = Busy::of(&moves, 10_000);
    let lines = [
        sent(0, 5, 1),
        acked(2, 1),
        // Slot 7 is elsewhere, slot 5 not yet, then met, then over, then after all.
        sent(2_550, 7, 2),
        acked(2_554, 2),
        sent(2_000, 5, 3),
        acked(2_004, 3),
        sent(2_450, 5, 4),
        acked(2_610, 4),
        acked(2_700, 4),
        sent(3_500, 5, 5),
        acked(3_510, 5),
        sent(5_000, 5, 6),
        acked(5_008, 6),
    ];
    let report = judge(lines.into_iter().map(|line| Ok((1, line))), &moves, &busy);
    let report = serde_json::to_value(report.expect("lines that can be read")).expect("plain");
    assert_eq!((&report["slots"], &report["full_slots"]), (&2.into(), &2.into()));
    assert_eq!(report["rows_per_second"], 500.0);
    let near = |value: &serde_json::Value, expected: f64| {
        let value = value.as_f64().expect("a number");
        assert!((value - expected).abs() < expected / 100.0, "{value} for {expected}");
    };
    near(&report["pause"]["max"], 40.0);
    near(&report["met"]["max"], 160.0);
    near(&report["before"]["ack"]["max"], 2.0);
    near(&report["during"]["ack"]["max"], 4.0);
    near(&report["after"]["ack"]["p50"], 8.0);
    near(&report["before"]["seconds"], 1.0);
    near(&report["during"]["seconds"], 1.65);
    near(&report["after"]["seconds"], 1.0);
}
