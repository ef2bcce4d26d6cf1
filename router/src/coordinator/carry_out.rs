//! One move, from where the catalog has it to its end: looks, lets the rules decide, does what they say.
//!
//! Nothing is decided here and nothing is remembered that matters: whoever leads next goes on from the
//! catalog's row and from what both sides report. Dropping this at any point is safe: orders and arrows
//! may be repeated. While writes wait (FREEZING to FLIPPED) nothing sleeps: each answer leads to the next
//! step at once.

mod checks;
mod side;

use super::field::Field;
use super::orders::blocked_name;
use crate::catalog::CatalogError;
use crate::catalog::moves::Course;
use crate::metrics::{MOVED_ROWS, WRITE_PAUSE_SECONDS};
use checks::Checker;
use shardline_daemon::clock::Stopwatch;
use shardline_domain::placement::transfer::{
    Arrow, Blocked, Checks, Decision, Facts, Move, MoveId, NotAsExpected, Phase, Terms, decide,
};
use side::Side;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use tracing::{info, warn};

/// Between two looks while nothing answers; wishes are noticed after this at the latest.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The same while writes wait: the clock that aborts is looked at.
const LOOK_FROZEN_EVERY: Duration = Duration::from_millis(20);
/// After a catalog that did not answer.
const RETRY_AFTER: Duration = Duration::from_millis(100);
const RETRY_FROZEN_AFTER: Duration = Duration::from_millis(5);
/// How often people's view of a move is brought up to date.
const NOTE_EVERY: Duration = Duration::from_millis(500);

/// Carries the move out until it ended, or this coordinator no longer leads.
pub(super) async fn carry_out(field: Arc<Field>, id: MoveId) {
    let mut carrier = match Carrier::begin(field, id).await {
        Ok(Some(carrier)) => carrier,
        Ok(None) => return,
        Err(error) => {
            // The next round begins it again.
            warn!(%error, move_id = %id, "a move could not be read");
            return;
        }
    };
    while !carrier.present.phase.is_end() {
        if carrier.step().await.is_err() {
            return;
        }
    }
    carrier.note(true).await;
}

/// Another one leads.
struct Superseded;

struct Carrier {
    field: Arc<Field>,
    present: Move,
    /// The round that had begun when the row was last read: older words about its wish do not count.
    round: u64,
    source: Side,
    target: Side,
    checker: Checker,
    /// Since the move came into its phase: what was before this look, and since.
    in_phase: (Duration, Stopwatch),
    /// For how long the source's gate had been closed, and since then.
    gate: Option<(Duration, Stopwatch)>,
    /// Since FREEZING began; until the gate's time is known.
    freezing: Option<(Duration, Stopwatch)>,
    /// Of both shards' writers, as a refused flip said.
    newest: Terms,
    blocked: Blocked,
    /// Why the attempt was given up, in words.
    given_up: String,
    course: Course,
    noted: (Course, Stopwatch),
}

impl Carrier {
    async fn begin(field: Arc<Field>, id: MoveId) -> Result<Option<Carrier>, CatalogError> {
        let round = field.latest_round();
        let Some((row, slots)) = field.catalog.find_move(id).await? else { return Ok(None) };
        let in_phase = (row.in_phase, Stopwatch::start());
        let given_up = match row.phase {
            Phase::Aborting => row.course.note.clone(),
            _ => String::new(),
        };
        let mut carrier = Carrier {
            source: Side::new(row.source, row.target),
            target: Side::new(row.target, row.source),
            present: row.present(slots),
            round,
            checker: Checker::default(),
            in_phase,
            gate: None,
            freezing: None,
            newest: Terms::default(),
            blocked: Blocked::Nothing,
            given_up,
            course: row.course.clone(),
            noted: (row.course, Stopwatch::start()),
            field,
        };
        carrier.adopt();
        Ok(Some(carrier))
    }

    /// After the row was read: what this phase means for others.
    fn adopt(&mut self) {
        let shards = [self.present.source, self.present.target];
        let mut freezes = self.field.freezes.lock();
        if self.writes_wait() {
            freezes.has(self.present.id, shards);
            self.freezing.get_or_insert(self.in_phase);
        } else {
            freezes.give_back(self.present.id);
            (self.freezing, self.gate) = (None, None);
        }
    }

    fn writes_wait(&self) -> bool {
        matches!(self.present.phase, Phase::Freezing | Phase::Frozen | Phase::Flipped)
    }

    async fn step(&mut self) -> Result<(), Superseded> {
        if let Some(wish) = self.field.wish_after(self.round, self.present.id) {
            self.present.wish = wish;
        }
        if !self.writes_wait() {
            self.note(false).await;
        }
        match self.decide().await {
            Decision::Wait(blocked) => {
                self.blocked = blocked;
                sleep(LOOK_EVERY).await;
            }
            Decision::Order { source, target, blocked } => {
                self.blocked = blocked;
                self.source.order(&self.field, &self.present, source, blocked);
                self.target.order(&self.field, &self.present, target, blocked);
                self.hear().await;
            }
            Decision::Advance(arrow) => self.advance(&arrow).await?,
            Decision::Reverse => self.reverse().await?,
        }
        Ok(())
    }

    async fn decide(&mut self) -> Decision {
        let checks = match self.present.phase {
            Phase::Planned => self.checker.look(&self.field, &self.present).await,
            _ => Checks::Passed,
        };
        let facts = |turn| Facts {
            in_phase: elapsed(self.in_phase),
            writes_wait: self.waited(),
            checks,
            turn,
            newest: self.newest(),
        };
        let (source, target) = (self.source.report(), self.target.report());
        let with_turn = decide(&self.present, source, target, &facts(true));
        let freezes = matches!(with_turn, Decision::Advance(arrow) if arrow.to == Phase::Freezing);
        let shards = [self.present.source, self.present.target];
        // A turn is taken only by who would use it now.
        if !freezes || self.field.freezes.lock().take(self.present.id, shards) {
            return with_turn;
        }
        decide(&self.present, source, target, &facts(false))
    }

    /// The shards' writers, as far as is known here.
    fn newest(&self) -> Terms {
        let of =
            |shard, known: u64| known.max(self.field.shard(shard).map_or(0, |row| row.writer_term));
        Terms {
            source: of(self.present.source, self.newest.source),
            target: of(self.present.target, self.newest.target),
        }
    }

    /// For how long writes have waited, as far as it is known.
    fn waited(&self) -> Duration {
        self.gate.or(self.freezing).map(elapsed).unwrap_or_default()
    }

    /// Waits for the next answer of either side, or until it is time to look again.
    async fn hear(&mut self) {
        let frozen = self.writes_wait();
        let look = if frozen { LOOK_FROZEN_EVERY } else { LOOK_EVERY };
        tokio::select! {
            () = self.source.answer(frozen) => {}
            () = self.target.answer(frozen) => {}
            () = sleep(look) => {}
        }
        if self.writes_wait()
            && let Some(closed) = self.source.take_closed()
        {
            self.gate = Some(closed);
        }
        self.look_at_progress();
    }

    fn look_at_progress(&mut self) {
        if let Some(answer) = self.target.heard().or(self.source.heard()) {
            let before = self.course.rows;
            self.course.entities = answer.entities;
            self.course.entities_total = answer.entities_total;
            self.course.lag_entities = answer.lag_entities;
            // Counted anew after a restart of the target.
            self.course.rows = before.max(answer.rows);
            self.course.bytes = self.course.bytes.max(answer.bytes);
            metrics::counter!(MOVED_ROWS).increment(self.course.rows - before);
        }
    }

    async fn advance(&mut self, arrow: &Arrow) -> Result<(), Superseded> {
        let waited = self.waited();
        let detail = self.detail(arrow, waited);
        if arrow.to == Phase::Aborting {
            self.given_up = self.why();
        }
        let round = self.field.latest_round();
        match self.field.catalog.advance(self.field.term, arrow, &detail).await {
            Ok(next) => {
                if arrow.to == Phase::Flipped {
                    self.field.reach.map.ask();
                }
                if (arrow.from, arrow.to) == (Phase::Flipped, Phase::Following) {
                    self.note_pause(waited);
                }
                let to = next.phase.name();
                info!(move_id = %next.id, from = arrow.from.name(), to, detail, "a move went on");
                (self.present, self.round) = (next, round);
                self.in_phase = (Duration::ZERO, Stopwatch::start());
                self.adopt();
                if !self.writes_wait() {
                    self.field.wake.notify_one();
                }
                if arrow.from == Phase::Flipped {
                    // What was measured is known to nobody else.
                    self.note(true).await;
                }
                Ok(())
            }
            Err(error) => self.look_again(&error).await,
        }
    }

    async fn reverse(&mut self) -> Result<(), Superseded> {
        match self.field.catalog.reverse(self.field.term, &self.present).await {
            Ok(next) => {
                info!(move_id = %self.present.id, reverse = %next.id, "a move is reversed");
                self.present.phase = Phase::Done;
                self.field.wake.notify_one();
                Ok(())
            }
            Err(error) => self.look_again(&error).await,
        }
    }

    /// A step failed, or its answer was lost: what counts is what the catalog has.
    async fn look_again(&mut self, error: &CatalogError) -> Result<(), Superseded> {
        if let CatalogError::NotLeader { term } = error {
            info!(term, move_id = %self.present.id, "another coordinator goes on with a move");
            return Err(Superseded);
        }
        if let CatalogError::NotAsExpected(NotAsExpected::NotProven { newest, .. }) = error {
            self.newest = *newest;
        }
        warn!(%error, move_id = %self.present.id, "a step of a move is looked up");
        let pause = if self.writes_wait() { RETRY_FROZEN_AFTER } else { RETRY_AFTER };
        sleep(pause).await;
        let round = self.field.latest_round();
        match self.field.catalog.find_move(self.present.id).await {
            Ok(Some((row, slots))) => {
                let before = self.present.phase;
                self.in_phase = (row.in_phase, Stopwatch::start());
                (self.present, self.round) = (row.present(slots), round);
                self.adopt();
                if before != Phase::Flipped && self.present.phase == Phase::Flipped {
                    self.field.reach.map.ask();
                }
            }
            Ok(None) => return Err(Superseded),
            // The same is decided again, and the catalog says what it makes of it.
            Err(error) => warn!(%error, move_id = %self.present.id, "no answer about a move"),
        }
        Ok(())
    }

    /// What the journal says beside the phases.
    fn detail(&self, arrow: &Arrow, waited: Duration) -> String {
        match (arrow.to, arrow.reason) {
            (Phase::Aborting, Some(reason)) => match self.why() {
                why if why.is_empty() => reason.name().to_owned(),
                why => format!("{}: {why}", reason.name()),
            },
            (Phase::Ready, _) => {
                format!("{} entities, {} rows are equal", self.course.entities, self.course.rows)
            }
            (Phase::Following, _) => format!("writes waited {} ms", waited.as_millis()),
            _ => String::new(),
        }
    }

    /// What stands in the way, in words.
    fn why(&self) -> String {
        if self.present.phase == Phase::Planned {
            return self.checker.note().to_owned();
        }
        if matches!(self.present.phase, Phase::Aborting | Phase::Aborted)
            && !self.given_up.is_empty()
        {
            return self.given_up.clone();
        }
        let of_side = |side: &Side| (!side.note().is_empty()).then(|| side.note().to_owned());
        of_side(&self.target).or_else(|| of_side(&self.source)).unwrap_or_default()
    }

    fn note_pause(&mut self, waited: Duration) {
        self.course.pause = Some(waited);
        let slots = self.present.slots.len();
        metrics::histogram!(WRITE_PAUSE_SECONDS).record_many(waited.as_secs_f64(), slots);
    }

    /// Of no consequence: a failure is told by the next step that matters.
    async fn note(&mut self, at_once: bool) {
        self.course.blocked = blocked_name(self.blocked).to_owned();
        self.course.note = self.why();
        let is_due = at_once || NOTE_EVERY <= self.noted.1.elapsed();
        if self.course == self.noted.0 || !is_due {
            return;
        }
        if self.present.phase.is_end() {
            self.course.blocked = blocked_name(Blocked::Nothing).to_owned();
        }
        drop(self.field.catalog.note_progress(self.present.id, &self.course).await);
        self.noted = (self.course.clone(), Stopwatch::start());
    }
}

fn elapsed((before, since): (Duration, Stopwatch)) -> Duration {
    before + since.elapsed()
}
