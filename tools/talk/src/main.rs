//! `talk`: log in, see one's chats, talk, scroll back; one line at a time, in a terminal or piped.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod command;
mod conversation;
mod desk;
mod enter;
mod show;
mod terminal;

use crate::conversation::Conversation;
use crate::terminal::Terminal;
use anyhow::Result;
use clap::Parser;
use shardline_client::{Client, Encoding, Http, Options};
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Talk on Shardline, in a terminal", version)]
struct Arguments {
    /// Addresses of the servers, tried in turn.
    #[arg(long, value_delimiter = ',', default_value = "http://127.0.0.1:8080")]
    server: Vec<String>,
    /// Your name; asked for if not given. A name nobody has is registered.
    #[arg(long)]
    name: Option<String>,
    /// Asked for if not given. Others on this machine can see what stands on a command line.
    #[arg(long)]
    password: Option<String>,
    /// Protobuf frames instead of JSON.
    #[arg(long)]
    proto: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match talk(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("talk: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn talk(arguments: Arguments) -> Result<()> {
    let http = Http::new(arguments.server)?;
    let mut terminal = Terminal::start()?;
    let entered = enter::enter(&http, &mut terminal, arguments.name, arguments.password).await;
    let Some(entered) = entered? else { return Ok(()) };
    let options = Options {
        encoding: if arguments.proto { Encoding::Proto } else { Encoding::Json },
        device: "talk".to_owned(),
        password: Some((entered.name.clone(), entered.password.clone())),
        ..Options::default()
    };
    let (client, seen) = Client::connect(&http, entered.session, options);
    let mut conversation = Conversation::new(http, client.clone(), seen, terminal, entered.name);
    let result = conversation.hold().await;
    client.stop().await;
    result
}
