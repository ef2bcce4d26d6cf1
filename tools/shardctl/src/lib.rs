//! The operator's command line: asks any router, shows the answer as tables or as JSON.
//!
//! Exit codes: 0 done, 1 refused, 2 no router reached, 3 it ended with moves aborted or was stopped, or a
//! check found something that is left, 64 not understood, 130 interrupted while looking on.

mod ask;
mod capacity;
mod catalog;
mod change;
mod cli;
mod fsck;
mod moves;
mod rebalance;
mod show;

use ask::{AskError, Router};
use clap::{CommandFactory, Parser, error::ErrorKind};
use cli::{Cli, Command, ShardCommand};
use serde_json::Value;
use shardline_wire::internal::{
    ExplainRequest, ListNodesRequest, ListShardsRequest, ListSlotsRequest, WhereRequest,
};
use std::ffi::OsString;
use std::io::{self, Write};
use std::pin::Pin;

const DONE: u8 = 0;
const REFUSED: u8 = 1;
const NOT_REACHED: u8 = 2;
const ABORTED: u8 = 3;
/// A check left something.
const FOUND: u8 = 3;
const USAGE: u8 = 64;
/// As shells report a process that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// What the tool works on.
pub struct Desk<'a> {
    pub out: &'a mut dyn Write,
    pub err: &'a mut dyn Write,
    /// `out` is a terminal: what is under way is drawn again in its place.
    pub is_terminal: bool,
    /// Ready when the person at the desk no longer wants to look on. Only asked while looking on.
    pub interrupted: Pin<Box<dyn Future<Output = ()> + 'a>>,
}

/// One answer in both its forms.
struct Shown {
    text: String,
    json: Value,
}

impl Desk<'_> {
    fn show(&mut self, cli: &Cli, shown: &Shown) -> io::Result<()> {
        if cli.json {
            writeln!(self.out, "{:#}", shown.json)
        } else {
            write!(self.out, "{}", shown.text)
        }
    }
}

/// Does what the arguments say (the first is the program's name) and returns the exit code.
pub async fn run(arguments: impl IntoIterator<Item = OsString>, desk: &mut Desk<'_>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // Nobody reads: there is nobody to tell.
            let code = if asked {
                let _ = write!(desk.out, "{error}");
                DONE
            } else {
                let _ = write!(desk.err, "{error}");
                USAGE
            };
            return code;
        }
    };
    match answer(&cli, desk).await {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(desk.err, "shardctl: {error}");
            match error {
                AskError::Refused { .. } => REFUSED,
                AskError::NotReached { .. } => NOT_REACHED,
                AskError::Usage(_) => USAGE,
            }
        }
    }
}

async fn answer(cli: &Cli, desk: &mut Desk<'_>) -> Result<u8, AskError> {
    let shown = match &cli.command {
        Command::Completions { shell } => {
            // The generator panics when it cannot write, so it writes to memory.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "shardctl", &mut script);
            let _ = desk.out.write_all(&script);
            return Ok(DONE);
        }
        Command::Capacity(asked) => show::capacity(asked),
        Command::Shard { command: ShardCommand::List } => {
            let router = Router::reach(cli).await?;
            let call = async |mut to: ask::Questions, request| to.list_shards(request).await;
            show::shards(&router.ask(ListShardsRequest {}, call).await?.shards)
        }
        Command::Slots { shard } => {
            let router = Router::reach(cli).await?;
            let call = async |mut to: ask::Questions, request| to.list_slots(request).await;
            let answer = router.ask(ListSlotsRequest { shard: *shard }, call).await?;
            show::slots(&answer.slots, shard.is_some())
        }
        Command::Where { target } => {
            let router = Router::reach(cli).await?;
            let request = WhereRequest { entity: target.entity(), name: target.name() };
            let call = async |mut to: ask::Questions, request| to.r#where(request).await;
            show::place(&router.ask(request, call).await?)
        }
        Command::Explain { chat, seq } => {
            let router = Router::reach(cli).await?;
            let request = ExplainRequest { chat: chat.get(), seq: *seq };
            let call = async |mut to: ask::Questions, request| to.explain(request).await;
            show::explained(&router.ask(request, call).await?)
        }
        Command::Nodes => {
            let router = Router::reach(cli).await?;
            let call = async |mut to: ask::Questions, request| to.list_nodes(request).await;
            show::nodes(&router.ask(ListNodesRequest {}, call).await?.nodes)
        }
        Command::Shard { command } => change::shard(cli, command).await?,
        Command::Throttle { rate } => change::throttle(cli, *rate).await?,
        Command::Changes { limit } => change::changes(cli, *limit).await?,
        Command::Plan { window } => rebalance::plan(cli, *window).await?,
        Command::Rebalance { begin, command } => {
            return rebalance::rebalance(cli, begin, command.as_ref(), desk).await;
        }
        Command::Move { command } => return moves::moves(cli, command, desk).await,
        Command::Fsck(asked) => return fsck::fsck(cli, asked, desk).await,
        Command::Catalog { command } => return catalog::catalog(cli, command, desk).await,
    };
    // Nobody reads: there is nobody to tell.
    let _ = desk.show(cli, &shown);
    Ok(DONE)
}
