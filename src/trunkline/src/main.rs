//! The program: its command line, and the order in which a node is put together.
//!
//! There is no logic here: the commands read what they were asked, call the crates that know, and
//! print. `main.rs` is the command line, `cmd_*.rs` the commands, `boot.rs` the way from a
//! configuration to a running node, which `run` and `demo` share.

#![forbid(unsafe_code)]
// A program lives in real time, off the shards' threads.
#![allow(clippy::disallowed_methods)]

mod boot;
mod cmd_check;
mod cmd_deck;
mod cmd_demo;
mod cmd_import;
mod cmd_replay;
mod cmd_route;
mod cmd_run;
mod cmd_stats;
mod cmd_store;
mod failure;
mod processor;
mod progress;
mod secret;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The version, as `version`, the log and the metrics tell it; `+profiled` is what
/// `scripts/release.sh` built.
pub(crate) const VERSION: &str = match option_env!("TRUNKLINE_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

const EXAMPLES: &str = "\
Examples:
  trunkline demo --seconds 20
      watch a router with a caller and three vendors, all on this machine
  trunkline check --config trunkline.toml
      find everything that is wrong with a configuration, and what it would do
  trunkline route explain --config trunkline.toml --from customer-1 +442079460001
      see which gateways would be tried for a call, in which order, and why
  trunkline route replay --config new.toml --cdrs /var/lib/trunkline/cdr
      see what recorded calls would have cost by another configuration
  trunkline deck guess beta.xlsx
      see what the columns of a carrier's rate deck mean, and keep it as a dialect
  trunkline run --config trunkline.toml
      carry calls; kill -HUP reloads the file, kill -TERM lets calls finish and ends,
      a second kill -TERM ends at once, kill -USR1 begins a new file of call records
  trunkline store commit --config trunkline.toml --author anna --comment \"Beta's new prices\"
      put what was staged into force, and hear that every shard works by it
  trunkline stats
      what the running one counts

Exit status: 0 = done, 1 = failed and said why, 2 = the command line is wrong.";

/// A SIP tandem for wholesale carriers: routes calls from trunks to gateways, tries the next gateway
/// when one fails, and writes a record of every call.
#[derive(Debug, Parser)]
#[command(name = "trunkline", version = VERSION, after_help = EXAMPLES, max_term_width = 100)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Carry calls until told to stop.
    #[command(after_help = cmd_run::EXAMPLES)]
    Run {
        /// The configuration, in TOML.
        #[arg(long, short, value_name = "FILE")]
        config: PathBuf,
    },
    /// Find everything that is wrong with a configuration; start nothing.
    #[command(after_help = cmd_check::EXAMPLES)]
    Check {
        /// The configuration, in TOML.
        #[arg(long, short, value_name = "FILE")]
        config: PathBuf,
        /// Tell what would change from this one.
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
    },
    /// Look at the rate decks that carriers mail.
    #[command(subcommand)]
    Deck(cmd_deck::Command),
    /// Make a configuration of the routing data of Kamailio or OpenSIPS.
    #[command(after_help = cmd_import::EXAMPLES)]
    Import(cmd_import::Arguments),
    /// Ask about routes.
    #[command(subcommand)]
    Route(RouteCommand),
    /// Change the routing world of a store: stage, check, diff, commit, roll back.
    #[command(subcommand, after_help = cmd_store::EXAMPLES)]
    Store(cmd_store::Command),
    /// Show what a running node counts.
    #[command(after_help = cmd_stats::EXAMPLES)]
    Stats(cmd_stats::Arguments),
    /// Watch a router with a built-in caller and vendors, all on this machine.
    #[command(after_help = cmd_demo::EXAMPLES)]
    Demo(cmd_demo::Arguments),
    /// Print the version.
    Version,
}

impl Command {
    /// Whether it may read decks by the million, beside a router that carries calls.
    fn reads_much(&self) -> bool {
        match self {
            Command::Check { .. }
            | Command::Deck(_)
            | Command::Import(_)
            | Command::Route(_)
            | Command::Store(_) => true,
            Command::Run { .. } | Command::Stats(_) | Command::Demo(_) | Command::Version => false,
        }
    }
}

#[derive(Debug, Subcommand)]
enum RouteCommand {
    /// Show which gateways would be tried for a call, in which order, and why.
    #[command(after_help = cmd_route::EXAMPLES)]
    Explain(cmd_route::Arguments),
    /// Lead recorded calls through a configuration: what they would have cost, and who had had them.
    #[command(after_help = cmd_replay::EXAMPLES)]
    Replay(cmd_replay::Arguments),
}

fn main() -> ExitCode {
    if let Err(why) = processor::check() {
        eprintln!("{why}");
        return ExitCode::FAILURE;
    }
    // Before anything large is made; the configuration may want it otherwise.
    boot::use_pages(boot::Pages::Small);
    let command = CommandLine::parse().command;
    if command.reads_much() {
        control::let_all_go_first();
    }
    let done = match command {
        Command::Run { config } => cmd_run::run(&config),
        Command::Check { config, against } => cmd_check::run(&config, against.as_deref()),
        Command::Deck(command) => cmd_deck::run(&command),
        Command::Import(arguments) => cmd_import::run(&arguments),
        Command::Route(RouteCommand::Explain(arguments)) => cmd_route::run(&arguments),
        Command::Route(RouteCommand::Replay(arguments)) => cmd_replay::run(&arguments),
        Command::Store(command) => cmd_store::run(&command),
        Command::Stats(arguments) => cmd_stats::run(&arguments),
        Command::Demo(arguments) => cmd_demo::run(&arguments),
        Command::Version => {
            println!("trunkline {VERSION}");
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    /// What of this process is in memory, in octets.
    fn resident_bytes() -> usize {
        let text = std::fs::read_to_string("/proc/self/status").expect("Linux tells it");
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse::<usize>().ok())
            .expect("a size")
            * 1_024
    }

    /// As `.cargo/config.toml` has the allocator built. Else a table that is made after many prices were
    /// read is resident as a whole, calls or not.
    #[test]
    fn what_is_large_comes_from_the_system_and_goes_back_to_it() {
        const BYTES: usize = 64 << 20;
        let before = resident_bytes();
        let used = std::hint::black_box(vec![1_u8; BYTES]);
        assert!(
            resident_bytes() > before + BYTES / 2,
            "what is written is there"
        );
        drop(used);
        assert!(
            resident_bytes() < before + BYTES / 2,
            "what is freed is gone"
        );
        let table = std::hint::black_box(vec![0_u8; BYTES]);
        assert!(
            resident_bytes() < before + BYTES / 2,
            "what is zero is not written"
        );
        drop(table);
    }
}
