//! Calls about several entities: one part for each shard concerned, answers joined in the order
//! asked. What fails or comes too late is missing from the answer; only if nothing was answered, the
//! call is refused.

mod question;

use super::reads::moved;
use super::{Asked, Requests, in_motion, nowhere};
use crate::waits::{News, Wait};
use parking_lot::Mutex;
use question::Question;
use shardline_domain::id::{EntityId, ShardId};
use shardline_domain::slot::{Epoch, Slot};
use shardline_wire::call::{Answer, Done, Outcome};
use shardline_wire::internal::{Call, call::Op};
use shardline_wire::refusal::Refusal;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// How long the others' answers wait for the last one.
const JOIN_TIME_MAX: Duration = Duration::from_secs(3);
/// A part is asked again only because its slots moved; more often than this they do not.
const ROUNDS_MAX: u32 = 4;

/// One call in parts.
pub(super) struct Join {
    question: Question,
    until: Instant,
    state: Mutex<State>,
}

struct State {
    /// Parts not yet ended, and the distribution itself while it goes on.
    open: usize,
    answers: Vec<Answer>,
    /// Why one of the parts failed.
    refusal: Option<Refusal>,
    /// Taken when the answer is given.
    asked: Option<Asked>,
}

/// What one shard is asked: which entities of the question, at which epochs.
struct Part {
    chosen: Vec<(usize, Epoch)>,
    round: u32,
}

/// Joins by deadline, which are all equally far away.
pub(super) type Deadlines = VecDeque<(Instant, Weak<Join>)>;

impl Requests {
    pub(super) fn split(self: &Arc<Requests>, call: Call, asked: Asked) {
        let Some(question) = call.op.and_then(Question::of) else {
            return self.answer(asked, Err(Refusal::internal("this op cannot be split")));
        };
        let all: Vec<usize> = (0..question.entities()).collect();
        let until = Instant::now() + JOIN_TIME_MAX;
        let state = State { open: 1, answers: Vec::new(), refusal: None, asked: Some(asked) };
        let join = Arc::new(Join { question, until, state: Mutex::new(state) });
        let was_idle = {
            let mut deadlines = self.deadlines.lock();
            deadlines.push_back((until, Arc::downgrade(&join)));
            deadlines.len() == 1
        };
        if was_idle {
            self.work.notify_one();
        }
        if join.question.is_for_all_shards() {
            self.ask_everywhere(&join);
        } else {
            self.distribute(&join, &all, 0);
        }
        self.part_ended(&join, None, None);
    }

    fn ask_everywhere(self: &Arc<Requests>, join: &Arc<Join>) {
        let shards: Vec<ShardId> = self.shards.load().ids().collect();
        for shard in shards {
            self.ask_part(join, shard, Part { chosen: Vec::new(), round: 0 });
        }
    }

    /// Asks the shards where these entities are now.
    fn distribute(self: &Arc<Requests>, join: &Arc<Join>, entities: &[usize], round: u32) {
        let mut by_shard: BTreeMap<ShardId, Vec<(usize, Epoch)>> = BTreeMap::new();
        let map = self.map.load();
        for index in entities {
            match join.slot(*index).and_then(|slot| map.place(slot)) {
                Some(place) => {
                    by_shard.entry(place.shard).or_default().push((*index, place.epoch));
                }
                None => join.state.lock().refusal = Some(nowhere()),
            }
        }
        for (shard, chosen) in by_shard {
            self.ask_part(join, shard, Part { chosen, round });
        }
    }

    fn ask_part(self: &Arc<Requests>, join: &Arc<Join>, shard: ShardId, part: Part) {
        join.state.lock().open += 1;
        let links = self.shards.load();
        let Some(link) = links.get(shard) else {
            return self.part_ended(join, None, Some(nowhere()));
        };
        let op: Op = join.question.part(&part.chosen);
        let (requests, join) = (self.clone(), join.clone());
        link.submit(
            Call { entity: 0, epoch: 0, op: Some(op) },
            Done::new(move |outcome| requests.part_answered(&join, part, outcome)),
        );
    }

    fn part_answered(self: &Arc<Requests>, join: &Arc<Join>, part: Part, outcome: Outcome) {
        let may_repeat = part.round < ROUNDS_MAX;
        match outcome {
            Ok(answer) => {
                // An entity that went elsewhere meanwhile is asked for there.
                let map = self.map.load();
                let has_moved = |(index, sent): &(usize, Epoch)| {
                    let place = join.slot(*index).and_then(|slot| map.place(slot));
                    place.is_some_and(|place| *sent < place.epoch)
                };
                let mut missing = part.chosen;
                missing.retain(has_moved);
                if may_repeat && !missing.is_empty() {
                    missing.retain(|(index, _)| !join.question.is_in(*index, &answer));
                    let again: Vec<usize> = missing.into_iter().map(|(index, _)| index).collect();
                    self.distribute(join, &again, part.round + 1);
                }
                self.part_ended(join, Some(answer), None);
            }
            Err(refusal) if may_repeat && moved(&refusal, Epoch(0)).is_some() => {
                self.wait_for_part(join, part, refusal);
            }
            Err(refusal) => self.part_ended(join, None, Some(in_motion(refusal))),
        }
    }

    /// Some of the part's entities have moved: asks for all of it again once the map shows it.
    fn wait_for_part(self: &Arc<Requests>, join: &Arc<Join>, part: Part, refusal: Refusal) {
        let ask = self.map.ask();
        let is_behind = refusal.code() == shardline_wire::refusal::Code::Behind;
        let needs = part.chosen.iter().filter_map(|(index, sent)| {
            Some((join.slot(*index)?, Epoch(sent.0.saturating_add(1))))
        });
        let needs = needs.collect();
        let (requests, waiting) = (self.clone(), join.clone());
        let then = Box::new(move |news| match news {
            News::Newer => {
                let all: Vec<usize> = part.chosen.iter().map(|(index, _)| *index).collect();
                requests.distribute(&waiting, &all, part.round + 1);
                requests.part_ended(&waiting, None, None);
            }
            News::Late => requests.part_ended(&waiting, None, Some(in_motion(refusal))),
        });
        let wait = Wait { needs, until: join.until, ask: is_behind.then_some(ask), then };
        if let Err(wait) = self.wait_for_map(wait) {
            (wait.then)(News::Late);
        }
    }

    fn part_ended(&self, join: &Join, answer: Option<Answer>, refusal: Option<Refusal>) {
        let mut state = join.state.lock();
        state.answers.extend(answer);
        if refusal.is_some() {
            state.refusal = refusal;
        }
        state.open -= 1;
        if state.open == 0 {
            let given = state.asked.take().map(|asked| (asked, state.outcome(&join.question)));
            drop(state);
            self.give(given);
        }
    }

    /// Answers joins whose time is over with what they have.
    pub(super) fn expire_joins(&self, now: Instant) {
        loop {
            let late = {
                let mut deadlines = self.deadlines.lock();
                let is_over = |(until, join): &(Instant, Weak<Join>)| {
                    *until <= now || join.strong_count() == 0
                };
                match deadlines.front() {
                    Some(first) if is_over(first) => deadlines.pop_front(),
                    _ => return,
                }
            };
            let Some(join) = late.and_then(|(_, join)| join.upgrade()) else { continue };
            let mut state = join.state.lock();
            let given = state.asked.take().map(|asked| (asked, state.outcome(&join.question)));
            drop(state);
            self.give(given);
        }
    }

    pub(super) fn has_joins(&self) -> bool {
        !self.deadlines.lock().is_empty()
    }

    fn give(&self, given: Option<(Asked, Outcome)>) {
        if let Some((asked, outcome)) = given {
            self.answer(asked, outcome);
        }
    }
}

impl Join {
    /// None if the entity's id is none.
    fn slot(&self, index: usize) -> Option<Slot> {
        Some(Slot::of(EntityId::new(self.question.entity(index)).ok()?))
    }
}

impl State {
    fn outcome(&mut self, question: &Question) -> Outcome {
        let answers = std::mem::take(&mut self.answers);
        match self.refusal.take() {
            Some(refusal) if answers.is_empty() => Err(refusal),
            None if answers.is_empty() && 0 < self.open => {
                Err(Refusal::try_again("no shard answered in time", super::NOWHERE_RETRY_MS))
            }
            _ => Ok(question.join(answers)),
        }
    }
}
