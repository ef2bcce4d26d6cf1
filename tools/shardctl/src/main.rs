//! `shardctl`: see `shardctl --help`.

use std::io::{stderr, stdout};
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let code = shardctl::run(std::env::args_os(), &mut stdout().lock(), &mut stderr().lock()).await;
    ExitCode::from(code)
}
