//! Load and comparison for planners.

use std::process::ExitCode;

use clap::Parser;
use perf::compare::cli::Command;

/// Measures SIP routers.
#[derive(Parser)]
#[command(name = "trunkline-perf", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    match Arguments::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trunkline-perf: {error}");
            ExitCode::FAILURE
        }
    }
}
