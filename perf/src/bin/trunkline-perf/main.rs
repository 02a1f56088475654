//! `trunkline-perf`: load for SIP routers, and the judge of it.

mod floor;
mod plan;
mod prices;
mod run;
mod ser;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Load for SIP routers, and the judge of it.
///
/// Callers and callees on cores of their own, open loop: when each call is due is drawn ahead, so
/// that a slow router cannot slow the clock, and latencies count from the time when a request was
/// due. Begin with `trunkline-perf run --help`.
#[derive(Parser)]
#[command(name = "trunkline-perf", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Run),
    Ser(ser::Ser),
    Floor(floor::Measure),
    Prices(prices::Prices),
    #[command(flatten)]
    Others(perf::compare::cli::Command),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(run) => run.play(),
        Command::Ser(ser) => ser.search(),
        Command::Floor(floor) => floor.measure(),
        Command::Prices(prices) => prices.measure(),
        Command::Others(command) => command.run().map(|()| ExitCode::SUCCESS),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("trunkline-perf: {error}");
            ExitCode::from(2)
        }
    }
}
