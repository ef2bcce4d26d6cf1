//! Rates and latencies, per second for the progress and over a phase for the report.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Microseconds: beyond two minutes all is the same.
const LATENCY_MAX_US: u64 = 120_000_000;
const DIGITS: u8 = 3;

/// What all senders and receivers of a phase measure. One lock: it is held for tens of nanoseconds.
pub struct Meter {
    state: Mutex<State>,
}

struct State {
    phase: Window,
    second: Window,
    measuring: bool,
}

struct Window {
    counts: Counts,
    ack: Histogram<u64>,
    end_to_end: Histogram<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Counts {
    pub acked: u64,
    pub delivered: u64,
    /// Refused for good.
    pub refused: u64,
    /// Given up, certainly not stored.
    pub not_stored: u64,
    /// Given up, perhaps stored.
    pub unknown: u64,
}

/// In milliseconds.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// What was measured in one stretch of time.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize)]
pub struct Measured {
    pub counts: Counts,
    pub ack_ms: Percentiles,
    pub end_to_end_ms: Percentiles,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Acked(Duration),
    Refused,
    NotStored,
    Unknown,
}

impl Default for Meter {
    fn default() -> Meter {
        let state = State { phase: Window::new(), second: Window::new(), measuring: false };
        Meter { state: Mutex::new(state) }
    }
}

impl Meter {
    /// The phase's figures begin now (after the warm-up).
    pub fn begin(&self) {
        let mut state = self.lock();
        state.phase.clear();
        state.measuring = true;
    }

    /// What comes later does not count for the phase.
    pub fn end(&self) -> Measured {
        let mut state = self.lock();
        state.measuring = false;
        state.phase.measured()
    }

    pub fn sent(&self, outcome: Outcome) {
        self.note(|window| match outcome {
            Outcome::Acked(latency) => {
                window.counts.acked += 1;
                window.ack.saturating_record(micros(latency));
            }
            Outcome::Refused => window.counts.refused += 1,
            Outcome::NotStored => window.counts.not_stored += 1,
            Outcome::Unknown => window.counts.unknown += 1,
        });
    }

    pub fn delivered(&self, latency: Duration) {
        self.note(|window| {
            window.counts.delivered += 1;
            window.end_to_end.saturating_record(micros(latency));
        });
    }

    /// What was measured since the last call.
    pub fn take_second(&self) -> Measured {
        let mut state = self.lock();
        let measured = state.second.measured();
        state.second.clear();
        measured
    }

    fn note(&self, note: impl Fn(&mut Window)) {
        let mut state = self.lock();
        note(&mut state.second);
        if state.measuring {
            note(&mut state.phase);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    fn new() -> Window {
        let histogram = || {
            Histogram::new_with_bounds(1, LATENCY_MAX_US, DIGITS).expect("the bounds are in order")
        };
        Window { counts: Counts::default(), ack: histogram(), end_to_end: histogram() }
    }

    fn clear(&mut self) {
        self.counts = Counts::default();
        self.ack.reset();
        self.end_to_end.reset();
    }

    fn measured(&self) -> Measured {
        Measured {
            counts: self.counts,
            ack_ms: percentiles(&self.ack),
            end_to_end_ms: percentiles(&self.end_to_end),
        }
    }
}

pub fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    let at = |quantile| milliseconds(histogram.value_at_quantile(quantile));
    if histogram.is_empty() {
        return Percentiles::default();
    }
    Percentiles {
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: milliseconds(histogram.max()),
    }
}

/// A histogram of microseconds, as all here are.
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, DIGITS).expect("the bounds are in order")
}

pub fn micros(latency: Duration) -> u64 {
    u64::try_from(latency.as_micros()).unwrap_or(u64::MAX)
}

fn milliseconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_counts_what_happened_between_begin_and_end() {
        let meter = Meter::default();
        meter.sent(Outcome::Acked(Duration::from_secs(1)));
        meter.begin();
        for ms in 1..=100 {
            meter.sent(Outcome::Acked(Duration::from_millis(ms)));
            meter.delivered(Duration::from_millis(2 * ms));
        }
        meter.sent(Outcome::Unknown);
        let measured = meter.end();
        meter.sent(Outcome::Refused);
        let counts = Counts { acked: 100, delivered: 100, unknown: 1, ..Counts::default() };
        assert_eq!(measured.counts, counts);
        assert!((measured.ack_ms.p50 - 50.0).abs() < 0.1, "{measured:?}");
        assert!((measured.end_to_end_ms.p99 - 198.0).abs() < 0.4, "{measured:?}");
        let second = meter.take_second();
        assert_eq!((second.counts.acked, second.counts.refused), (101, 1));
        assert_eq!(meter.take_second(), Measured::default());
    }
}
