//! The figures of `load moves`, and their table.

use super::Moved;
use super::busy::{Busy, Span, When};
use crate::measure::{Percentiles, latencies, micros, percentiles};
use crate::phase::per_second;
use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};
use std::fmt::Write;
use std::time::Duration;

#[derive(Serialize)]
pub(super) struct Report {
    moves: usize,
    done: usize,
    /// All that changed hands, and of these those that held anything.
    slots: u64,
    full_slots: u64,
    rows: u64,
    /// Rows copied, and how long moves copied, one beside the other counted twice.
    rows_per_second: f64,
    /// How long writes to a slot that held anything waited, each slot counted once.
    #[serde(serialize_with = "shown")]
    pause: Histogram<u64>,
    before: Stretch,
    during: Stretch,
    after: Stretch,
    /// Sends that met their slot changing hands.
    #[serde(serialize_with = "shown")]
    met: Histogram<u64>,
}

/// What those noticed whose slot did not change hands.
#[derive(Serialize)]
struct Stretch {
    seconds: f64,
    acked_per_second: f64,
    #[serde(skip)]
    acked: u64,
    #[serde(serialize_with = "shown")]
    ack: Histogram<u64>,
}

impl Stretch {
    fn new() -> Stretch {
        Stretch { seconds: 0.0, acked_per_second: 0.0, acked: 0, ack: latencies() }
    }

    fn took(&mut self, time: Duration) {
        self.seconds = time.as_secs_f64();
        self.acked_per_second = per_second(self.acked, time);
    }
}

fn shown<S: Serializer>(histogram: &Histogram<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    percentiles(histogram).serialize(serializer)
}

impl Report {
    pub(super) fn new(moved: &[Moved]) -> Report {
        let mut pause = latencies();
        let (mut slots, mut full_slots, mut copying) = (0, 0, Duration::ZERO);
        for one in moved {
            copying += copied_for(one);
            let Some(pause_ms) = one.pause_ms else { continue };
            let count = one.slot_numbers.len() as u64;
            slots += count;
            if 0 < one.entities_total {
                full_slots += count;
                pause.saturating_record_n(micros(Duration::from_millis(pause_ms)), count);
            }
        }
        let rows = moved.iter().map(|one| one.rows).sum();
        Report {
            moves: moved.len(),
            done: moved.iter().filter(|one| one.phase == "done").count(),
            slots,
            full_slots,
            rows,
            rows_per_second: per_second(rows, copying),
            pause,
            before: Stretch::new(),
            during: Stretch::new(),
            after: Stretch::new(),
            met: latencies(),
        }
    }

    /// A send that was acknowledged: from when it went out.
    pub(super) fn acked(&mut self, busy: &Busy, span: Span, met: bool) {
        let latency = micros(span.to.saturating_sub(span.from));
        let stretch = match busy.when(span.from) {
            When::Before => &mut self.before,
            When::During => &mut self.during,
            When::After => &mut self.after,
            When::Between => return,
        };
        stretch.acked += 1;
        if met {
            self.met.saturating_record(latency);
        } else {
            stretch.ack.saturating_record(latency);
        }
    }

    /// `sends`: from the first to the last of the recording.
    pub(super) fn ended(&mut self, busy: &Busy, sends: Span) {
        let first = busy.first().unwrap_or(sends.to);
        self.before.took(first.saturating_sub(sends.from));
        self.during.took(busy.time());
        self.after.took(sends.to.saturating_sub(busy.ended()));
    }

    pub(super) fn table(&self) -> String {
        let mut table = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut table);
        table
    }

    fn write(&self, table: &mut String) -> std::fmt::Result {
        let Report { moves, done, slots, full_slots, rows, rows_per_second, .. } = self;
        writeln!(table, "| | |\n|---|---|")?;
        writeln!(table, "| moves, of these done | {moves}, {done} |")?;
        writeln!(
            table,
            "| slots that changed hands, of these with anything in them | {slots}, {full_slots} |"
        )?;
        writeln!(table, "| rows copied, a second of copying | {rows}, {rows_per_second:.0} |")?;
        let Percentiles { p50, p99, max, .. } = percentiles(&self.pause);
        writeln!(
            table,
            "| writes to such a slot waited, p50, p99, max | {p50:.0}, {p99:.0}, {max:.0} ms |"
        )?;
        let Percentiles { p50, p99, max, .. } = percentiles(&self.met);
        let met = self.met.len();
        writeln!(
            table,
            "| {met} sends that met it: acknowledgement p50, p99, max | {p50:.1}, {p99:.1}, {max:.1} ms |"
        )?;
        writeln!(
            table,
            "\n| everybody else | seconds | acknowledged/s | p50 | p99 | max |\n|---|---|---|---|---|---|"
        )?;
        let stretches =
            [("before", &self.before), ("while slots moved", &self.during), ("after", &self.after)];
        for (name, stretch) in stretches {
            let Percentiles { p50, p99, max, .. } = percentiles(&stretch.ack);
            let Stretch { seconds, acked_per_second, .. } = stretch;
            writeln!(
                table,
                "| {name} | {seconds:.0} | {acked_per_second:.0} | {p50:.1} ms | {p99:.1} ms | {max:.1} ms |"
            )?;
        }
        Ok(())
    }
}

/// From the first step of an attempt until all was there.
fn copied_for(one: &Moved) -> Duration {
    let (mut began, mut sum) = (None, Duration::ZERO);
    for step in &one.journal {
        match step.to.as_str() {
            "preparing" => began = Some(step.at_ms),
            "catching_up" | "aborting" => {
                let took = began.take().map_or(0, |began| step.at_ms - began);
                sum += Duration::from_millis(u64::try_from(took).unwrap_or(0));
            }
            _ => {}
        }
    }
    sum
}
