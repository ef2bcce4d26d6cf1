//! `shardctl`: see `shardctl --help`.

use shardctl::Desk;
use std::io::{IsTerminal, stderr, stdout};
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let is_terminal = stdout().is_terminal();
    let interrupted = Box::pin(async {
        // Without signals it just goes on to its end.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    });
    let (mut out, mut err) = (stdout().lock(), stderr().lock());
    let mut desk = Desk { out: &mut out, err: &mut err, is_terminal, interrupted };
    ExitCode::from(shardctl::run(std::env::args_os(), &mut desk).await)
}
