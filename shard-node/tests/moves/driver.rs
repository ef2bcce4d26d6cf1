//! A coordinator in a few lines: it asks the rules what is next, and does it.

use crate::world::{World, address, move_id};
use shardline_daemon::clock::Stopwatch;
use shardline_domain::id::ShardId;
use shardline_domain::placement::transfer::{
    Arrow, Attempt, Checks, Decision, Facts, Kind, Mark, Move, MoveId, MovingSlot, Phase, Progress,
    Proof, Report, Standing, Task, Terms, Wish, decide,
};
use shardline_domain::slot::Slot;
use shardline_wire::internal as wire;
use shardline_wire::internal::{MoveOrder, MoveReport, MoveStanding, MoveTask};
use std::sync::Arc;
use std::time::Duration;

/// How far a move is to go, and what happened on its way.
pub(crate) struct Driver {
    pub(crate) world: Arc<World>,
    pub(crate) term: u64,
    in_phase: Stopwatch,
    source: Option<Report>,
    target: Option<Report>,
    /// What the target's work waits for.
    pub(crate) note: String,
    frozen: Option<Duration>,
    /// From the freeze's beginning to the flip, of each flip.
    pub(crate) pauses: Vec<Duration>,
    freezing: Option<Stopwatch>,
    /// As a refused flip said.
    newest: Terms,
    pub(crate) refused_flips: u32,
}

impl Driver {
    pub(crate) fn new(world: &Arc<World>) -> Driver {
        Driver {
            world: Arc::clone(world),
            term: 1,
            in_phase: Stopwatch::start(),
            source: None,
            target: None,
            note: String::new(),
            frozen: None,
            pauses: Vec::new(),
            freezing: None,
            newest: Terms::default(),
            refused_flips: 0,
        }
    }

    /// A new move of these slots, from whoever has the first of them.
    pub(crate) fn plan(&mut self, slots: &[Slot], target: u32, window: Duration) {
        let mut map = self.world.map.lock();
        let id = move_id(&mut map);
        let source = map.entry(slots[0]).owner;
        let mut moving = Vec::new();
        for slot in slots {
            let entry = map.entry(*slot);
            assert_eq!((entry.owner, entry.held_by), (source, None));
            moving.push(MovingSlot { slot: *slot, epoch: entry.epoch });
            map.put(
                *slot,
                shardline_domain::placement::transfer::Entry { held_by: Some(id), ..entry },
            );
        }
        map.present = Some(Move {
            id,
            kind: Kind::Normal,
            source,
            target: ShardId(target),
            phase: Phase::Planned,
            attempt: Attempt::FIRST,
            slots: moving,
            window,
            wish: Wish::Proceed,
            aborted: None,
        });
        self.in_phase = Stopwatch::start();
    }

    pub(crate) fn present(&self) -> Move {
        self.world.map.lock().present.clone().expect("a move")
    }

    pub(crate) fn wish(&self, wish: Wish) {
        let mut map = self.world.map.lock();
        let present = map.present.as_mut().expect("a move");
        present.may_wish(wish).expect("it may be wished");
        present.wish = wish;
    }

    /// Goes on until the move is in this phase.
    pub(crate) async fn until(&mut self, phase: Phase) {
        let stopwatch = Stopwatch::start();
        while self.present().phase != phase {
            assert!(
                stopwatch.elapsed() < Duration::from_secs(180),
                "{:?}: {:?} {:?}",
                self.present(),
                self.source,
                self.target
            );
            assert!(!self.present().phase.is_end(), "it ended as {:?}", self.present());
            self.step().await;
        }
    }

    pub(crate) fn settled(&self) -> bool {
        self.target.is_some_and(|report| report.progress.settled.is_some())
    }

    /// Tells the target to settle, and changes nothing in the catalog.
    pub(crate) async fn order_only(&mut self) {
        let present = self.present();
        self.order(&present, None, Some(Task::Settle)).await;
    }

    pub(crate) async fn step(&mut self) {
        let present = self.present();
        let facts = Facts {
            in_phase: self.in_phase.elapsed(),
            // What the source said last may be of a while ago.
            writes_wait: self
                .frozen
                .unwrap_or_default()
                .max(self.freezing.map_or(Duration::ZERO, |since| since.elapsed())),
            checks: Checks::Passed,
            turn: true,
            newest: self.newest,
        };
        match decide(&present, self.source.as_ref(), self.target.as_ref(), &facts) {
            Decision::Wait(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            Decision::Advance(arrow) => self.advance(&present, &arrow),
            Decision::Reverse => self.reverse(&present),
            Decision::Order { source, target, .. } => self.order(&present, source, target).await,
        }
    }

    async fn order(&mut self, present: &Move, source: Option<Task>, target: Option<Task>) {
        let send = |task: Option<Task>, to: ShardId, peer: ShardId| {
            let moves = self.world.moves(to.0);
            let order = task.map(|task| self.message(present, task, peer));
            async move {
                match order {
                    None => None,
                    Some(order) => moves.order(order).await.ok(),
                }
            }
        };
        let asked = futures::join!(
            send(source, present.source, present.target),
            send(target, present.target, present.source)
        );
        if let Some(report) = asked.0 {
            self.frozen = report.frozen_ms.map(Duration::from_millis);
            self.source = Some(to_report(&report));
        }
        if let Some(report) = asked.1 {
            self.target = Some(to_report(&report));
            self.note = report.note;
        }
        if source.is_none() && target.is_none() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) fn message(&self, present: &Move, task: Task, peer: ShardId) -> MoveOrder {
        let moving = |moving: &MovingSlot| wire::MovingSlot {
            slot: moving.slot.get().into(),
            epoch: moving.epoch.0,
        };
        let mut order = MoveOrder {
            term: self.term,
            r#move: present.id.0,
            attempt: present.attempt.0,
            slots: present.slots.iter().map(moving).collect(),
            peer_shard: peer.0,
            peer_address: address(peer.0),
            wait_ms: 20,
            ..MoveOrder::default()
        };
        order.set_task(to_task(task));
        order
    }

    /// The catalog's compare-and-set, by the rules.
    pub(crate) fn advance(&mut self, present: &Move, arrow: &Arrow) {
        let mut map = self.world.map.lock();
        assert_eq!(map.present.as_ref(), Some(present));
        let next = arrow.step(present).expect("a legal arrow");
        let newest =
            Terms { source: map.term(present.source.0), target: map.term(present.target.0) };
        if arrow.check_proof(newest).is_err() {
            self.newest = newest;
            self.refused_flips += 1;
            return;
        }
        if let Some(proof) = arrow.proof {
            map.keep(present.source.0, proof.source);
            map.keep(present.target.0, proof.target);
        }
        for moving in &present.slots {
            let entry = arrow.slot(present, moving, &map.entry(moving.slot)).expect("as expected");
            map.put(moving.slot, entry);
        }
        match next.phase {
            Phase::Freezing => self.freezing = Some(Stopwatch::start()),
            Phase::Flipped => {
                self.pauses.extend(self.freezing.take().map(|since| since.elapsed()));
            }
            Phase::Aborting => self.freezing = None,
            _ => {}
        }
        map.present = Some(next);
        self.in_phase = Stopwatch::start();
    }

    fn reverse(&mut self, present: &Move) {
        let mut map = self.world.map.lock();
        let id = move_id(&mut map);
        let next = present.reversed(id);
        for moving in &next.slots {
            let entry = map.entry(moving.slot);
            map.put(
                moving.slot,
                shardline_domain::placement::transfer::Entry { held_by: Some(id), ..entry },
            );
        }
        map.present = Some(next);
        self.in_phase = Stopwatch::start();
        (self.source, self.target) = (None, None);
    }
}

fn proof(report: &MoveReport) -> Option<Proof> {
    let mark = |mark: wire::DatabaseMark| Mark { term: mark.term, tally: mark.tally };
    let (source, target) = report.source_mark.zip(report.target_mark)?;
    Some(Proof { source: mark(source), target: mark(target) })
}

fn to_task(task: Task) -> MoveTask {
    match task {
        Task::Track => MoveTask::Track,
        Task::Slow => MoveTask::Slow,
        Task::Copy => MoveTask::Copy,
        Task::Verify => MoveTask::Verify,
        Task::Hold => MoveTask::Hold,
        Task::Freeze => MoveTask::Freeze,
        Task::Settle => MoveTask::Settle,
        Task::Ask => MoveTask::Ask,
        Task::Follow => MoveTask::Follow,
        Task::Purge => MoveTask::Purge,
        Task::Discard => MoveTask::Discard,
    }
}

fn to_report(report: &MoveReport) -> Report {
    Report {
        move_id: MoveId(report.r#move),
        attempt: Attempt(report.attempt),
        standing: match report.standing() {
            MoveStanding::Other => Standing::Other,
            MoveStanding::Tracking => Standing::Tracking,
            MoveStanding::FrozenHere => Standing::Frozen,
            MoveStanding::OwnedAnew => Standing::OwnedAnew,
            MoveStanding::Importing => Standing::Importing,
            MoveStanding::Following => Standing::Following,
            MoveStanding::Moved => Standing::Moved,
            MoveStanding::Empty => Standing::Empty,
            MoveStanding::Quarantined => Standing::Quarantined,
        },
        relayed: report.relayed,
        progress: Progress {
            copied: report.copied,
            close_rounds: report.close_rounds,
            stalled_rounds: report.stalled_rounds,
            verified: report.verified,
            mismatched: report.mismatched,
            settled: report.settled.then(|| proof(report)).flatten(),
        },
    }
}
