//! How a rebalance goes, from what routers say: what is new, a picture of it, and its end. No clock,
//! no terminal.

use crate::show::units::{bytes, count, time};
use crate::show::{Totals, event_of, move_line};
use serde_json::{Value, json};
use shardline_wire::internal::{ListMovesAnswer, MoveInfo, RebalanceInfo};
use std::collections::BTreeMap;
use std::time::Duration;

/// Of the picture: more would scroll away on a small terminal.
const MOVES_DRAWN: usize = 12;
const BAR_CELLS: usize = 30;
/// Before this part is done, the pace says nothing.
const PACE_KNOWN: f64 = 0.02;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    Done,
    /// By an operator.
    Stopped,
    /// A move was given up.
    Failed,
}

/// Something new, for people and for programs.
pub(super) struct News {
    pub(super) text: String,
    pub(super) json: Value,
}

pub(super) struct Progress {
    rebalance: RebalanceInfo,
    coordinator: Option<String>,
    /// Planned at first; moves may become more when shards change meanwhile.
    slots: usize,
    moves: BTreeMap<u64, MoveInfo>,
    news: Vec<News>,
    /// What was done when looking on began, and when that was.
    first: Option<(f64, Duration)>,
}

impl Progress {
    pub(super) fn new(rebalance: &RebalanceInfo, slots: usize) -> Progress {
        let id = rebalance.rebalance;
        let text = match slots {
            0 => format!("rebalance {id} of {}: {}", rebalance.by, rebalance.state),
            _ => format!("rebalance {id}: {} slots are to move", count(slots as u64)),
        };
        let json = json!({ "event": "rebalance", "rebalance": id, "slots": slots });
        Progress {
            rebalance: rebalance.clone(),
            coordinator: None,
            slots,
            moves: BTreeMap::new(),
            news: vec![News { text, json }],
            first: None,
        }
    }

    /// What a router said, `at` this time since looking on began. Some if the rebalance ended.
    pub(super) fn take(&mut self, answer: ListMovesAnswer, at: Duration) -> Option<Ending> {
        if self.coordinator.as_ref().is_some_and(|known| *known != answer.coordinator) {
            let text = match answer.coordinator.as_str() {
                "" => "nobody coordinates; moves go on when a router leads again".to_owned(),
                name => format!("{name} coordinates now"),
            };
            let json = json!({ "event": "coordinator", "coordinator": answer.coordinator });
            self.news.push(News { text, json });
        }
        self.coordinator = Some(answer.coordinator);
        for info in answer.moves {
            let before = self.moves.get(&info.r#move);
            if before.is_none_or(|before| is_news(before, &info)) {
                let json = event_of(&info);
                self.news.push(News { text: move_line(&info), json });
            }
            self.moves.insert(info.r#move, info);
        }
        if self.first.is_none() {
            self.first = Some((self.part_done(), at));
        }
        match answer.rebalance {
            Some(newest) if newest.rebalance == self.rebalance.rebalance => {
                self.rebalance = newest;
                match self.rebalance.state.as_str() {
                    "running" => None,
                    "done" => Some(Ending::Done),
                    // What it has not flipped is still on its way back.
                    "stopped" if self.moves.values().any(is_coming_back) => None,
                    "stopped" => Some(Ending::Stopped),
                    _ => Some(Ending::Failed),
                }
            }
            // A newer one began, so ours is over; how it ended is in its moves.
            Some(_) if self.moves.values().any(|info| info.phase == "aborted") => {
                Some(Ending::Failed)
            }
            Some(_) => Some(Ending::Done),
            None => None,
        }
    }

    /// What is new since the last call.
    pub(super) fn news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    fn slots(&self) -> usize {
        self.slots.max(self.moves.values().map(|info| info.slots as usize).sum())
    }

    fn part_done(&self) -> f64 {
        let done: f64 =
            self.moves.values().map(|info| part_done(info) * f64::from(info.slots)).sum();
        // Slots are at most 16,384.
        #[allow(clippy::cast_precision_loss)]
        let slots = self.slots() as f64;
        if slots == 0.0 { 0.0 } else { done / slots }
    }

    /// As far as the pace since looking on began tells.
    fn eta(&self, at: Duration) -> Option<Duration> {
        let (part_then, then) = self.first?;
        let (part, gained) = (self.part_done(), self.part_done() - part_then);
        if gained < PACE_KNOWN {
            return None;
        }
        Duration::try_from_secs_f64((1.0 - part) / gained * at.saturating_sub(then).as_secs_f64())
            .ok()
    }

    pub(super) fn picture(&self, at: Duration) -> Vec<String> {
        let totals = Totals::of(self.moves.values());
        let part = self.part_done();
        // A part of a hundred or of the bar's cells.
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let (percent, cells) = ((part * 100.0) as u32, (part * BAR_CELLS as f64) as usize);
        let cells = cells.min(BAR_CELLS);
        let eta =
            self.eta(at).map(|eta| format!(", about {} to go", time(eta))).unwrap_or_default();
        let id = self.rebalance.rebalance;
        let mut lines = vec![
            format!("rebalance {id}, {}, {}{eta}", self.rebalance.state, time(at)),
            format!(
                "[{}{}] {percent:>3} %  {} of {} slots, {} rows, {}",
                "#".repeat(cells),
                ".".repeat(BAR_CELLS - cells),
                count(totals.slots_there),
                count(self.slots() as u64),
                count(totals.rows),
                bytes(totals.bytes),
            ),
        ];
        if self.coordinator.as_deref() == Some("") {
            lines.push("nobody coordinates; moves go on when a router leads again".to_owned());
        }
        if !self.rebalance.note.is_empty() {
            lines.push(self.rebalance.note.clone());
        }
        let live = || self.moves.values().filter(|info| !info.has_ended);
        lines.extend(live().take(MOVES_DRAWN).map(move_line));
        let more = live().count().saturating_sub(MOVES_DRAWN);
        if 0 < more {
            lines.push(format!("and {more} more moves"));
        }
        // A line that wraps would be two when it is drawn over.
        lines.iter().map(|line| line.chars().take(79).collect()).collect()
    }

    pub(super) fn last(&self, ending: Ending, at: Duration) -> News {
        let totals = Totals::of(self.moves.values());
        let (id, state) = (
            self.rebalance.rebalance,
            match ending {
                Ending::Done => "done",
                Ending::Stopped => "stopped",
                Ending::Failed => "failed",
            },
        );
        let why = match (ending, self.rebalance.note.as_str()) {
            (Ending::Done, _) | (_, "") => String::new(),
            (_, note) => format!("; {note}; `shardctl move list --all` shows how each ended"),
        };
        let text = format!("rebalance {id}: {state} in {}; {}{why}", time(at), totals.text());
        let mut json = totals.json();
        json["event"] = "end".into();
        json["rebalance"] = id.into();
        json["state"] = state.into();
        json["note"] = self.rebalance.note.clone().into();
        News { text, json }
    }
}

/// A plain line is worth it: another phase or attempt, or something stands in the way.
fn is_news(before: &MoveInfo, now: &MoveInfo) -> bool {
    let waits = matches!(
        now.blocked.as_str(),
        "checks" | "paused" | "source" | "target" | "difference" | "relay" | "retry"
    );
    before.phase != now.phase
        || before.attempt != now.attempt
        || before.pause_ms != now.pause_ms
        || waits && before.blocked != now.blocked
}

fn is_coming_back(info: &MoveInfo) -> bool {
    let has_flipped = matches!(info.phase.as_str(), "flipped" | "following" | "cleaning");
    !info.has_ended && !has_flipped
}

/// Of the work of a move, about: most of it is copying.
fn part_done(info: &MoveInfo) -> f64 {
    // For a bar of thirty cells.
    #[allow(clippy::cast_precision_loss)]
    let copied = match info.entities_total {
        0 => 1.0,
        total => (info.entities as f64 / total as f64).min(1.0),
    };
    match info.phase.as_str() {
        "copying" => 0.05 + 0.7 * copied,
        "catching_up" => 0.8,
        "verifying" => 0.85,
        "ready" | "freezing" | "frozen" => 0.9,
        "flipped" => 0.95,
        "following" if info.window_ms == 0 => 0.95,
        "cleaning" => 0.97,
        "following" | "done" => 1.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(id: u64, phase: &str) -> MoveInfo {
        let has_ended = matches!(phase, "done" | "aborted");
        MoveInfo {
            r#move: id,
            kind: "normal".to_owned(),
            source: 0,
            target: 2,
            phase: phase.to_owned(),
            attempt: 1,
            slots: 100,
            wish: "proceed".to_owned(),
            blocked: "nothing".to_owned(),
            entities_total: 10,
            window_ms: 1000,
            has_ended,
            ..MoveInfo::default()
        }
    }

    fn answer(state: &str, moves: Vec<MoveInfo>) -> ListMovesAnswer {
        let rebalance =
            RebalanceInfo { rebalance: 3, state: state.to_owned(), ..RebalanceInfo::default() };
        ListMovesAnswer {
            moves,
            rebalance: Some(rebalance),
            coordinator: "router-1".to_owned(),
            throttle: None,
        }
    }

    fn running() -> Progress {
        let rebalance =
            RebalanceInfo { rebalance: 3, state: "running".to_owned(), ..RebalanceInfo::default() };
        Progress::new(&rebalance, 200)
    }

    const AT: Duration = Duration::from_secs(10);

    #[test]
    fn only_what_changed_is_news() {
        let mut progress = running();
        assert_eq!(progress.take(answer("running", vec![info(1, "copying")]), AT), None);
        assert_eq!(progress.news().len(), 2, "the beginning, and a move");
        let copied = MoveInfo { entities: 5, rows: 7, ..info(1, "copying") };
        progress.take(answer("running", vec![copied.clone()]), AT);
        assert!(progress.news().is_empty(), "a number is no news");
        let waits = MoveInfo { blocked: "target".to_owned(), ..copied };
        progress.take(answer("running", vec![waits]), AT);
        let news = progress.news();
        assert!(news[0].text.contains("waits for target"), "{}", news[0].text);
        progress
            .take(ListMovesAnswer { coordinator: String::new(), ..answer("running", vec![]) }, AT);
        assert!(progress.news()[0].text.contains("nobody coordinates"));
    }

    #[test]
    fn copying_is_most_of_the_way_and_the_pace_tells_the_rest() {
        let mut progress = running();
        progress.take(answer("running", vec![info(1, "planned")]), Duration::ZERO);
        assert_eq!(progress.eta(AT), None, "no pace yet");
        let half = MoveInfo { entities: 5, ..info(2, "copying") };
        progress.take(answer("running", vec![info(1, "done"), half]), AT);
        let eta = progress.eta(AT).expect("a pace").as_secs_f64();
        assert!((4.0..5.0).contains(&eta), "0.7 in 10 s: {eta}");
        let picture = progress.picture(AT);
        assert!(picture[1].contains(" 70 %  100 of 200 slots"), "{picture:?}");
        assert!(picture.iter().all(|line| line.chars().count() < 80));
    }

    #[test]
    fn many_moves_do_not_scroll_away() {
        let mut progress = running();
        let moves = (1..=40).map(|id| info(id, "copying")).collect();
        progress.take(answer("running", moves), AT);
        let picture = progress.picture(AT);
        assert_eq!(picture.len(), 2 + MOVES_DRAWN + 1);
        assert_eq!(picture.last().map(String::as_str), Some("and 28 more moves"));
    }

    #[test]
    fn it_ends_as_its_state_says_or_as_its_moves_ended_when_a_newer_one_runs() {
        let end = |state, moves| running().take(answer(state, moves), AT);
        assert_eq!(end("done", vec![]), Some(Ending::Done));
        assert_eq!(end("failed", vec![info(1, "aborted")]), Some(Ending::Failed));
        assert_eq!(end("stopped", vec![info(1, "aborting")]), None, "it still comes back");
        assert_eq!(end("stopped", vec![info(1, "following")]), Some(Ending::Stopped));
        let newer = |moves| {
            let mut answer = answer("running", moves);
            answer.rebalance = Some(RebalanceInfo { rebalance: 4, ..RebalanceInfo::default() });
            running().take(answer, AT)
        };
        assert_eq!(newer(vec![info(1, "done")]), Some(Ending::Done));
        assert_eq!(newer(vec![info(1, "aborted")]), Some(Ending::Failed));
    }
}
