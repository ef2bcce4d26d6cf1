//! When moves were under way, and when which slots changed hands. Times are since a recording began.

use super::Moved;
use std::collections::HashMap;
use std::time::Duration;

/// Routers hear of a flip a moment after the journal has it.
const NEWS_TIME: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Span {
    pub(super) from: Duration,
    pub(super) to: Duration,
}

impl Span {
    fn meets(&self, other: &Span) -> bool {
        self.from <= other.to && other.from <= self.to
    }
}

/// Where a moment lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum When {
    /// Before any move began.
    Before,
    /// While slots were copied or changed hands.
    During,
    /// Between moves, or while only old copies were deleted.
    Between,
    /// After the last one ended.
    After,
}

#[derive(Default, Debug)]
pub(super) struct Busy {
    /// In order, apart from each other.
    spans: Vec<Span>,
    /// Slot to when it changed hands.
    hands: HashMap<u64, Vec<Span>>,
    ended: Duration,
}

impl Busy {
    pub(super) fn of(moved: &[Moved], began_at_ms: i64) -> Busy {
        let since = |at_ms: i64| {
            Duration::from_millis(u64::try_from(at_ms.saturating_sub(began_at_ms)).unwrap_or(0))
        };
        let mut busy = Busy::default();
        let mut spans = Vec::new();
        for one in moved {
            let (mut works, mut frozen) = (None, None);
            for step in one.journal.iter().filter(|step| step.from.as_deref() != Some(&step.to)) {
                let at = since(step.at_ms);
                busy.ended = busy.ended.max(at);
                match step.to.as_str() {
                    "preparing" => works = Some(at),
                    "freezing" => frozen = Some(at),
                    "following" | "aborting" => {
                        let span = |from: Option<Duration>| {
                            from.map(|from| Span { from, to: at + NEWS_TIME })
                        };
                        spans.extend(span(works.take()));
                        if let Some(span) = span(frozen.take()) {
                            for slot in &one.slot_numbers {
                                busy.hands.entry(*slot).or_default().push(span);
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
        spans.sort_unstable();
        for span in spans {
            match busy.spans.last_mut() {
                Some(last) if span.from <= last.to => last.to = last.to.max(span.to),
                _ => busy.spans.push(span),
            }
        }
        busy
    }

    pub(super) fn when(&self, at: Duration) -> When {
        let behind = self.spans.partition_point(|span| span.from <= at);
        match behind.checked_sub(1).and_then(|index| self.spans.get(index)) {
            None => When::Before,
            Some(span) if at <= span.to => When::During,
            Some(_) if self.ended < at => When::After,
            Some(_) => When::Between,
        }
    }

    pub(super) fn changes_hands(&self, slot: u64, span: Span) -> bool {
        self.hands.get(&slot).is_some_and(|spans| spans.iter().any(|hands| hands.meets(&span)))
    }

    /// How long moves were under way, in all.
    pub(super) fn time(&self) -> Duration {
        self.spans.iter().map(|span| span.to - span.from).sum()
    }

    pub(super) fn first(&self) -> Option<Duration> {
        self.spans.first().map(|span| span.from)
    }

    pub(super) fn ended(&self) -> Duration {
        self.ended
    }
}
