//! A rebalance: planned, begun, stopped, and looked at until it ends.

mod progress;

use crate::ask::{AskError, Operations, Router};
use crate::change::by;
use crate::cli::{Begin, Cli, RebalanceCommand};
use crate::moves::SILENCE_MAX;
use crate::{ABORTED, DONE, Desk, INTERRUPTED, NOT_REACHED, Shown, show};
use progress::{Ending, Progress};
use serde_json::json;
use shardline_wire::internal::{
    ListMovesAnswer, ListMovesRequest, PlanRequest, RebalanceInfo, RebalanceRequest,
    StopRebalanceRequest,
};
use std::io;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tonic::Code;

const LOOK_EVERY: Duration = Duration::from_millis(500);

fn window_ms(window: Option<Duration>) -> Option<u64> {
    window.map(|window| u64::try_from(window.as_millis()).unwrap_or(u64::MAX))
}

pub(crate) async fn plan(cli: &Cli, window: Option<Duration>) -> Result<Shown, AskError> {
    let router = Router::reach(cli).await?;
    let call = async |mut to: Operations, request| to.plan(request).await;
    let request = PlanRequest { window_ms: window_ms(window) };
    Ok(show::plan(&router.operate(request, call).await?))
}

pub(crate) async fn rebalance(
    cli: &Cli,
    begin: &Begin,
    command: Option<&RebalanceCommand>,
    desk: &mut Desk<'_>,
) -> Result<u8, AskError> {
    let router = Router::reach(cli).await?;
    match command {
        Some(RebalanceCommand::Stop) => {
            let call = async |mut to: Operations, request| to.stop_rebalance(request).await;
            let stopped = router.operate(StopRebalanceRequest { by: by(cli) }, call).await;
            let none = || "none runs; `shardctl move list` shows moves under way".to_owned();
            let stopped = stopped.map_err(|error| error.hint(Code::NotFound, none))?;
            let _ = desk.show(cli, &show::rebalance(&stopped));
            Ok(DONE)
        }
        Some(RebalanceCommand::Watch) => {
            let seen = look(&router, None).await?;
            match seen.rebalance.filter(|newest| newest.state == "running") {
                Some(running) => Watch::new(cli, &running, 0).until_it_ends(router, desk).await,
                None => {
                    let nothing = json!({ "rebalance": null });
                    let text = "no rebalance runs\n".to_owned();
                    let _ = desk.show(cli, &Shown { text, json: nothing });
                    Ok(DONE)
                }
            }
        }
        None => {
            let digest = begin.plan.clone().unwrap_or_default();
            let window_ms = window_ms(begin.window);
            let call = async |mut to: Operations, request| to.rebalance(request).await;
            let request = RebalanceRequest { window_ms, digest, by: by(cli) };
            let answer = router.operate(request, call).await.map_err(|error| {
                error.hint(Code::FailedPrecondition, || {
                    "nothing began; `shardctl rebalance watch` shows one that runs and `shardctl \
                     rebalance stop` ends it, `shardctl plan` shows the plan as it is now"
                        .to_owned()
                })
            })?;
            let plan = answer.plan.unwrap_or_default();
            let Some(begun) = answer.rebalance else {
                let _ = desk.show(cli, &show::nothing_to_move(&plan));
                return Ok(DONE);
            };
            if begin.detach {
                let _ = desk.show(cli, &show::rebalance(&begun));
                return Ok(DONE);
            }
            let slots = plan.moves.iter().map(|planned| planned.slots.len()).sum();
            Watch::new(cli, &begun, slots).until_it_ends(router, desk).await
        }
    }
}

async fn look(router: &Router, rebalance: Option<u64>) -> Result<ListMovesAnswer, AskError> {
    let call = async |mut to: Operations, request| to.list_moves(request).await;
    let all = rebalance.is_some();
    router.operate(ListMovesRequest { all, rebalance }, call).await
}

/// Looks on until the rebalance ended. It changes nothing: leaving leaves the rebalance as it is.
struct Watch<'a> {
    cli: &'a Cli,
    id: u64,
    progress: Progress,
    began: Instant,
    heard: Instant,
    /// Lines that were drawn and are to be drawn over.
    drawn: usize,
}

impl<'a> Watch<'a> {
    /// `slots` were planned; 0 if that is not known.
    fn new(cli: &'a Cli, rebalance: &RebalanceInfo, slots: usize) -> Watch<'a> {
        let now = Instant::now();
        let progress = Progress::new(rebalance, slots);
        Watch { cli, id: rebalance.rebalance, progress, began: now, heard: now, drawn: 0 }
    }

    async fn until_it_ends(mut self, router: Router, desk: &mut Desk<'_>) -> Result<u8, AskError> {
        let mut router = Some(router);
        loop {
            let looked = tokio::select! {
                looked = self.look(&mut router) => looked,
                () = &mut desk.interrupted => return Ok(self.leave(desk)),
            };
            match looked {
                Ok(answer) => {
                    self.heard = Instant::now();
                    let ending = self.progress.take(answer, self.began.elapsed());
                    // Whoever read is gone: looking on is for nobody.
                    if self.tell(desk).is_err() {
                        return Ok(DONE);
                    }
                    if let Some(ending) = ending {
                        return Ok(self.end(ending, desk));
                    }
                }
                Err(error) if error.may_pass() && self.heard.elapsed() < SILENCE_MAX => {
                    // Another router may answer.
                    router = None;
                }
                Err(error) if error.may_pass() => {
                    let id = self.id;
                    let _ =
                        writeln!(desk.err, "shardctl: {error}; rebalance {id} goes on without us");
                    return Ok(NOT_REACHED);
                }
                Err(error) => return Err(error),
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = &mut desk.interrupted => return Ok(self.leave(desk)),
            }
        }
    }

    async fn look(&self, router: &mut Option<Router>) -> Result<ListMovesAnswer, AskError> {
        let reached = match router {
            Some(reached) => reached,
            None => router.insert(Router::reach(self.cli).await?),
        };
        look(reached, Some(self.id)).await
    }

    fn tell(&mut self, desk: &mut Desk<'_>) -> io::Result<()> {
        let news = self.progress.news();
        if self.cli.json {
            for event in news {
                writeln!(desk.out, "{}", event.json)?;
            }
        } else if desk.is_terminal {
            self.rub_out(desk)?;
            let lines = self.progress.picture(self.began.elapsed());
            for line in &lines {
                writeln!(desk.out, "{line}")?;
            }
            self.drawn = lines.len();
        } else {
            for event in news {
                writeln!(desk.out, "{}", event.text)?;
            }
        }
        desk.out.flush()
    }

    /// The cursor back to where the picture began, and everything below gone.
    fn rub_out(&mut self, desk: &mut Desk<'_>) -> io::Result<()> {
        match std::mem::take(&mut self.drawn) {
            0 => Ok(()),
            lines => write!(desk.out, "\x1b[{lines}A\x1b[J"),
        }
    }

    fn end(&mut self, ending: Ending, desk: &mut Desk<'_>) -> u8 {
        let _ = self.rub_out(desk);
        let last = self.progress.last(ending, self.began.elapsed());
        let _ = if self.cli.json {
            writeln!(desk.out, "{}", last.json)
        } else {
            writeln!(desk.out, "{}", last.text)
        };
        match ending {
            Ending::Done => DONE,
            Ending::Stopped | Ending::Failed => ABORTED,
        }
    }

    fn leave(&self, desk: &mut Desk<'_>) -> u8 {
        let _ = writeln!(
            desk.err,
            "rebalance {} goes on; `shardctl rebalance watch` looks on again, `shardctl rebalance stop` \
             ends it",
            self.id
        );
        INTERRUPTED
    }
}
