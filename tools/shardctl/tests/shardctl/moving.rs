//! Operations on a made-up cluster of shards 0 and 1 with a move each in some phase: it keeps what is
//! changed, and refuses what a router refuses.

use async_trait::async_trait;
use shardline_wire::admin::Operations;
use shardline_wire::internal::{
    AddShardRequest, DrainShardRequest, GetThrottleRequest, ListChangesAnswer, ListChangesRequest,
    ListMovesAnswer, ListMovesRequest, MoveInfo, MoveStep, OperatorChange, PlanAnswer, PlanPace,
    PlanRequest, PlannedMove, PlannedShard, RebalanceAnswer, RebalanceInfo, RebalanceRequest,
    RemoveShardRequest, ReweightShardRequest, SetThrottleRequest, ShardChanged, ShowMoveAnswer,
    ShowMoveRequest, StopRebalanceRequest, Throttle, WishMoveRequest,
};
use shardline_wire::refusal::{Code, Refusal};
use std::sync::Mutex;

#[derive(Default)]
pub(crate) struct Moving(Mutex<State>);

#[derive(Default)]
struct State {
    changes: Vec<OperatorChange>,
    bytes_per_second: u64,
    rebalance: Option<RebalanceInfo>,
    moves: Vec<MoveInfo>,
    /// What the next looks find, one after the other; the last stays.
    course: Vec<(&'static str, Vec<MoveInfo>)>,
    /// So many looks fail first.
    failures: u32,
    /// Every shard has what its weight says.
    is_balanced: bool,
}

pub(crate) fn a_move(id: u64, phase: &str) -> MoveInfo {
    MoveInfo {
        r#move: id,
        kind: "normal".to_owned(),
        source: 0,
        target: 1,
        phase: phase.to_owned(),
        attempt: 1,
        slots: 3,
        window_ms: 3_600_000,
        wish: "proceed".to_owned(),
        in_phase_ms: 1500,
        age_ms: 65_000,
        rebalance: Some(1),
        has_ended: matches!(phase, "done" | "aborted"),
        blocked: "nothing".to_owned(),
        entities: 500,
        entities_total: 1000,
        rows: 12_345,
        bytes: 1_500_000,
        ..MoveInfo::default()
    }
}

impl Moving {
    pub(crate) fn moves(&self, moves: Vec<MoveInfo>) {
        self.state().moves = moves;
    }

    pub(crate) fn course(&self, course: Vec<(&'static str, Vec<MoveInfo>)>) {
        self.state().course = course;
    }

    pub(crate) fn fails(&self, times: u32) {
        self.state().failures = times;
    }

    pub(crate) fn is_balanced(&self) {
        self.state().is_balanced = true;
    }

    pub(crate) fn running(&self) -> bool {
        self.state().rebalance.as_ref().is_some_and(|rebalance| rebalance.state == "running")
    }

    pub(crate) fn changes(&self) -> Vec<String> {
        let state = self.state();
        state.changes.iter().map(|change| format!("{}: {}", change.by, change.what)).collect()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no test panicked in it")
    }

    fn note(&self, by: &str, what: String) {
        let mut state = self.state();
        let number = u64::try_from(state.changes.len()).expect("few") + 1;
        let change = OperatorChange { number, at_ms: 951_782_400_000, by: by.to_owned(), what };
        state.changes.insert(0, change);
    }

    fn known(shard: u32) -> Result<(), Refusal> {
        match shard {
            0 | 1 => Ok(()),
            _ => Err(Refusal::new(Code::NotFound, format!("there is no shard {shard}"))),
        }
    }

    fn changed(shard: u32, weight: u32, state: &str) -> ShardChanged {
        ShardChanged { shard, weight, state: state.to_owned(), unchanged: false }
    }
}

fn conflict(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::Conflict, message)
}

fn a_plan() -> PlanAnswer {
    let planned = PlannedMove {
        source: 0,
        target: 1,
        slots: vec![1, 2, 3],
        entities: 1000,
        rows: 25_000,
        bytes: 3_000_000,
        seconds: 70,
        pause_ms: 45,
        after_move: None,
    };
    let shard = |shard, state: &str, slots_now, slots_then| PlannedShard {
        shard,
        state: state.to_owned(),
        weight: 100,
        slots_now,
        slots_then,
    };
    PlanAnswer {
        moves: vec![planned],
        shards: vec![shard(0, "active", 16384, 16381), shard(1, "joining", 0, 3)],
        seconds: 70,
        digest: "ab12".to_owned(),
        pace: Some(PlanPace { rows_per_second: 400, bytes_per_second: 50_000, moves: 9 }),
    }
}

#[async_trait]
impl Operations for Moving {
    async fn add_shard(&self, request: AddShardRequest) -> Result<ShardChanged, Refusal> {
        if request.address == "127.0.0.1:1" {
            return Err(conflict("no shard-node answers at 127.0.0.1:1: refused"));
        }
        self.note(&request.by, format!("add {} weight {}", request.address, request.weight));
        Ok(Moving::changed(2, request.weight.max(100), "joining"))
    }

    async fn drain_shard(&self, request: DrainShardRequest) -> Result<ShardChanged, Refusal> {
        Moving::known(request.shard)?;
        if request.shard == 0 {
            return Err(conflict("shard 0 is the last that takes slots"));
        }
        self.note(&request.by, format!("drain {} undo {}", request.shard, request.undo));
        let state = if request.undo { "active" } else { "draining" };
        Ok(Moving::changed(request.shard, 100, state))
    }

    async fn remove_shard(&self, request: RemoveShardRequest) -> Result<ShardChanged, Refusal> {
        Moving::known(request.shard)?;
        if request.shard == 0 {
            return Err(conflict("shard 0 has 16384 slots"));
        }
        self.note(&request.by, format!("remove {}", request.shard));
        Ok(Moving::changed(request.shard, 100, "removed"))
    }

    async fn reweight_shard(&self, request: ReweightShardRequest) -> Result<ShardChanged, Refusal> {
        Moving::known(request.shard)?;
        self.note(&request.by, format!("weight {} of {}", request.weight, request.shard));
        let unchanged = request.weight == 100;
        Ok(ShardChanged { unchanged, ..Moving::changed(request.shard, request.weight, "active") })
    }

    async fn plan(&self, _: PlanRequest) -> Result<PlanAnswer, Refusal> {
        if self.state().is_balanced {
            return Ok(PlanAnswer { moves: Vec::new(), ..a_plan() });
        }
        Ok(a_plan())
    }

    async fn rebalance(&self, request: RebalanceRequest) -> Result<RebalanceAnswer, Refusal> {
        if self.state().is_balanced {
            return Ok(RebalanceAnswer { rebalance: None, plan: Some(a_plan()) });
        }
        if self.running() {
            return Err(conflict("rebalance 1, begun by bob, is running"));
        }
        if !request.digest.is_empty() && request.digest != "ab12" {
            return Err(conflict("the plan is another one now"));
        }
        let info = RebalanceInfo {
            rebalance: 1,
            state: "running".to_owned(),
            window_ms: request.window_ms.unwrap_or(3_600_000),
            by: request.by,
            age_ms: 0,
            note: String::new(),
        };
        self.state().rebalance = Some(info.clone());
        Ok(RebalanceAnswer { rebalance: Some(info), plan: Some(a_plan()) })
    }

    async fn stop_rebalance(
        &self,
        request: StopRebalanceRequest,
    ) -> Result<RebalanceInfo, Refusal> {
        let mut state = self.state();
        let running = state.rebalance.as_mut().filter(|rebalance| rebalance.state == "running");
        let Some(running) = running else {
            return Err(Refusal::new(Code::NotFound, "no rebalance is running"));
        };
        running.state = "stopped".to_owned();
        running.note = format!("stopped by {}", request.by);
        Ok(running.clone())
    }

    async fn list_moves(&self, request: ListMovesRequest) -> Result<ListMovesAnswer, Refusal> {
        let mut state = self.state();
        if 0 < state.failures {
            state.failures -= 1;
            return Err(Refusal::try_again("the catalog is unavailable", 500));
        }
        if let Some((name, moves)) = state.course.first().cloned() {
            if 1 < state.course.len() {
                state.course.remove(0);
            }
            state.moves = moves;
            if let Some(rebalance) = state.rebalance.as_mut() {
                rebalance.state = name.to_owned();
                rebalance.note = format!("it is {name}");
            }
        }
        let mut moves = state.moves.clone();
        moves.retain(|info| request.all || !info.has_ended);
        moves.retain(|info| request.rebalance.is_none() || info.rebalance == request.rebalance);
        Ok(ListMovesAnswer {
            moves,
            rebalance: state.rebalance.clone(),
            coordinator: "router-1".to_owned(),
            throttle: None,
        })
    }

    async fn show_move(&self, request: ShowMoveRequest) -> Result<ShowMoveAnswer, Refusal> {
        let moves = self.state().moves.clone();
        let info = moves.into_iter().find(|info| info.r#move == request.r#move);
        let no_move =
            || Refusal::new(Code::NotFound, format!("there is no move {}", request.r#move));
        let info = info.ok_or_else(no_move)?;
        let step = |number, from: &str, to: &str, term, detail: &str| MoveStep {
            number,
            at_ms: 951_782_400_000,
            from: from.to_owned(),
            to: to.to_owned(),
            attempt: 1,
            term,
            detail: detail.to_owned(),
        };
        let journal = vec![
            step(1, "", "planned", 4, "rebalance 1"),
            step(2, "planned", "planned", 0, "pause, by anna"),
        ];
        Ok(ShowMoveAnswer { info: Some(info), slots: vec![1, 2, 3, 9], journal })
    }

    async fn wish_move(&self, request: WishMoveRequest) -> Result<MoveInfo, Refusal> {
        let shown = self.show_move(ShowMoveRequest { r#move: request.r#move }).await?;
        let info = shown.info.expect("it was found");
        if request.wish == "abort" && info.phase == "following" {
            return Err(conflict(format!("move {} has flipped", request.r#move)));
        }
        self.note(&request.by, format!("move {}: {}", request.r#move, request.wish));
        Ok(MoveInfo { wish: request.wish, ..info })
    }

    async fn get_throttle(&self, _: GetThrottleRequest) -> Result<Throttle, Refusal> {
        Ok(Throttle { bytes_per_second: self.state().bytes_per_second })
    }

    async fn set_throttle(&self, request: SetThrottleRequest) -> Result<Throttle, Refusal> {
        self.state().bytes_per_second = request.bytes_per_second;
        Ok(Throttle { bytes_per_second: request.bytes_per_second })
    }

    async fn list_changes(
        &self,
        request: ListChangesRequest,
    ) -> Result<ListChangesAnswer, Refusal> {
        let changes = self.state().changes.clone();
        let limit = usize::try_from(request.limit).expect("few");
        Ok(ListChangesAnswer { changes: changes.into_iter().take(limit).collect() })
    }
}
