//! The operator's command line: asks any router, shows the answer as tables or as JSON.
//!
//! Exit codes: 0 done, 1 refused, 2 no router reached, 64 not understood.

mod ask;
mod cli;
mod show;

use ask::{AskError, Router};
use clap::{CommandFactory, Parser, error::ErrorKind};
use cli::{Cli, Command, ShardCommand};
use serde_json::Value;
use shardline_wire::internal::{
    ListNodesRequest, ListShardsRequest, ListSlotsRequest, WhereRequest,
};
use std::ffi::OsString;
use std::io::Write;

const DONE: u8 = 0;
const REFUSED: u8 = 1;
const NOT_REACHED: u8 = 2;
const USAGE: u8 = 64;

/// One answer in both its forms.
struct Shown {
    text: String,
    json: Value,
}

/// Does what the arguments say (the first is the program's name) and returns the exit code.
pub async fn run(
    arguments: impl IntoIterator<Item = OsString>,
    out: &mut impl Write,
    err: &mut impl Write,
) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // Nobody reads: there is nobody to tell.
            let code = if asked {
                let _ = write!(out, "{error}");
                DONE
            } else {
                let _ = write!(err, "{error}");
                USAGE
            };
            return code;
        }
    };
    if let Command::Completions { shell } = cli.command {
        // The generator panics when it cannot write, so it writes to memory.
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "shardctl", &mut script);
        let _ = out.write_all(&script);
        return DONE;
    }
    match answer(&cli).await {
        Ok(shown) if cli.json => {
            let _ = writeln!(out, "{:#}", shown.json);
            DONE
        }
        Ok(shown) => {
            let _ = write!(out, "{}", shown.text);
            DONE
        }
        Err(error) => {
            let _ = writeln!(err, "shardctl: {error}");
            match error {
                AskError::Refused { .. } => REFUSED,
                AskError::NotReached { .. } => NOT_REACHED,
                AskError::Usage(_) => USAGE,
            }
        }
    }
}

async fn answer(cli: &Cli) -> Result<Shown, AskError> {
    let router = Router::reach(cli).await?;
    Ok(match &cli.command {
        Command::Shard { command: ShardCommand::List } => {
            let answer = router.ask(ListShardsRequest {}, ask::list_shards).await?;
            show::shards(&answer.shards)
        }
        Command::Slots { shard } => {
            let answer = router.ask(ListSlotsRequest { shard: *shard }, ask::list_slots).await?;
            show::slots(&answer.slots, shard.is_some())
        }
        Command::Where { target } => {
            let request = WhereRequest { entity: target.entity(), name: target.name() };
            let answer = router.ask(request, ask::where_is).await?;
            show::place(&answer)
        }
        Command::Nodes => {
            let answer = router.ask(ListNodesRequest {}, ask::list_nodes).await?;
            show::nodes(&answer.nodes)
        }
        Command::Completions { .. } => return Err(AskError::Usage("nothing to ask".to_owned())),
    })
}
