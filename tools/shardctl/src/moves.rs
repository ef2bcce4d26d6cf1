//! The moves: which there are, how each is, and what is wished of it.

use crate::ask::{AskError, Operations, Router};
use crate::change::by;
use crate::cli::{Cli, MoveCommand};
use crate::{ABORTED, DONE, Desk, INTERRUPTED, NOT_REACHED, show};
use shardline_wire::internal::{ListMovesRequest, MoveInfo, ShowMoveRequest, WishMoveRequest};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tonic::Code;

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Without an answer for longer, whoever waits is told.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(60);

pub(crate) async fn moves(
    cli: &Cli,
    command: &MoveCommand,
    desk: &mut Desk<'_>,
) -> Result<u8, AskError> {
    let wish = |id: &u64, wish: &'static str| (*id, wish);
    let (id, wish) = match command {
        MoveCommand::List { all, rebalances } => {
            let shown = list(cli, *all, rebalances).await?;
            let _ = desk.show(cli, &shown);
            return Ok(DONE);
        }
        MoveCommand::Show { id } => {
            let router = Router::reach(cli).await?;
            let call = async |mut to: Operations, request| to.show_move(request).await;
            let answer = router.operate(ShowMoveRequest { r#move: *id }, call).await;
            let _ = desk.show(cli, &show::one_move(&answer.map_err(unknown)?));
            return Ok(DONE);
        }
        MoveCommand::Wait { id } => return wait(cli, *id, desk).await,
        MoveCommand::Pause { id } => wish(id, "pause"),
        MoveCommand::Resume { id } => wish(id, "proceed"),
        MoveCommand::Abort { id } => wish(id, "abort"),
        MoveCommand::Reverse { id } => wish(id, "reverse"),
        MoveCommand::Finish { id } => wish(id, "finish"),
    };
    let router = Router::reach(cli).await?;
    let request = WishMoveRequest { r#move: id, wish: wish.to_owned(), by: by(cli) };
    let call = async |mut to: Operations, request| to.wish_move(request).await;
    let info = router.operate(request, call).await.map_err(|error| {
        unknown(error).hint(Code::FailedPrecondition, || match wish {
            "abort" => format!(
                "what has flipped only goes forward; `shardctl move reverse {id}` gives the slots back"
            ),
            _ => format!("`shardctl move show {id}` says how far it is"),
        })
    })?;
    let _ = desk.show(cli, &show::wished(&info));
    Ok(DONE)
}

fn unknown(error: AskError) -> AskError {
    error.hint(Code::NotFound, || "`shardctl move list --all` shows which there are".to_owned())
}

async fn list(cli: &Cli, all: bool, rebalances: &[u64]) -> Result<crate::Shown, AskError> {
    let router = Router::reach(cli).await?;
    let wanted: Vec<Option<u64>> = match rebalances {
        [] => vec![None],
        some => some.iter().copied().map(Some).collect(),
    };
    let mut listed = Vec::new();
    for rebalance in wanted {
        let call = async |mut to: Operations, request| to.list_moves(request).await;
        let answer = router.operate(ListMovesRequest { all, rebalance }, call).await?;
        listed.extend(answer.moves);
    }
    listed.sort_by_key(|info: &MoveInfo| info.r#move);
    listed.dedup_by_key(|info| info.r#move);
    Ok(show::moves(&listed, all))
}

async fn wait(cli: &Cli, id: u64, desk: &mut Desk<'_>) -> Result<u8, AskError> {
    let mut heard = Instant::now();
    loop {
        let look = async {
            let router = Router::reach(cli).await?;
            let call = async |mut to: Operations, request| to.show_move(request).await;
            router.operate(ShowMoveRequest { r#move: id }, call).await.map_err(unknown)
        };
        let answer = tokio::select! {
            answer = look => answer,
            () = &mut desk.interrupted => return Ok(interrupted(desk, id)),
        };
        match answer {
            Ok(answer) => {
                heard = Instant::now();
                if let Some(info) = answer.info.as_ref().filter(|info| info.has_ended) {
                    let code = if info.phase == "aborted" { ABORTED } else { DONE };
                    let _ = desk.show(cli, &show::one_move(&answer));
                    return Ok(code);
                }
            }
            Err(error) if error.may_pass() && heard.elapsed() < SILENCE_MAX => {}
            Err(error) if error.may_pass() => {
                let _ = writeln!(desk.err, "shardctl: {error}; the move goes on without us");
                return Ok(NOT_REACHED);
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            () = &mut desk.interrupted => return Ok(interrupted(desk, id)),
        }
    }
}

fn interrupted(desk: &mut Desk<'_>, id: u64) -> u8 {
    let _ = writeln!(desk.err, "move {id} goes on; `shardctl move show {id}` says how far it is");
    INTERRUPTED
}
