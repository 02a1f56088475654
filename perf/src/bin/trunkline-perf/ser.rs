//! `trunkline-perf ser`: the session establishment rate.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use perf::ser::{Procedure, establish};

use crate::plan::PlanArguments;
use crate::run::{Line, write_json};

/// Find the session establishment rate of RFC 7502: the largest rate without a single failure.
///
/// Each run attempts N sessions at one rate; the next rate is 10 % higher if all were established,
/// and lower if not, until ten runs have succeeded at or below the best. Measure the generator
/// against itself first (without --target): what is found for a router above 80 % of that is the
/// generator's own limit. A real device is noisy: run it three times and tell all three.
///
///   trunkline-perf ser -t 127.0.0.1:5060 -s 127.0.0.2:5060 -k 127.0.0.3:5060 --hold 0 --cores 1
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Ser {
    #[command(flatten)]
    plan: PlanArguments,
    /// Sessions attempted in each run (N)
    #[arg(
        long,
        value_name = "N",
        default_value_t = 50_000,
        help_heading = "Procedure"
    )]
    sessions: u64,
    /// The first rate (r)
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100.0,
        help_heading = "Procedure"
    )]
    first_rate: f64,
    /// By which part the rate grows (w): above 0, at most 1
    #[arg(
        long,
        value_name = "W",
        default_value_t = 0.10,
        help_heading = "Procedure"
    )]
    weight: f64,
    /// Seconds that a run takes at least: at high rates N grows
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 60.0,
        help_heading = "Procedure"
    )]
    run_min: f64,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    json: Option<PathBuf>,
    /// No line each second
    #[arg(short, long, help_heading = "Output")]
    quiet: bool,
}

impl Ser {
    pub(crate) fn search(&self) -> io::Result<ExitCode> {
        let procedure = Procedure {
            attempts: self.sessions,
            rate: self.first_rate,
            weight: self.weight,
            run_s_min: self.run_min,
            ..Procedure::default()
        };
        let plan = self.plan.plan()?;
        let mut line = Line::new(self.quiet);
        let told = &mut |step: &perf::ser::Step| {
            let verdict = if step.is_success() { "all" } else { "NOT all" };
            println!(
                "{:>8} sps  {:>8} attempted  {:>8} established: {verdict}  {:>6} again  p99 {:>7} us{}",
                step.rate,
                step.attempts,
                step.established,
                step.retransmissions,
                step.setup_p99_us,
                if step.is_generator_limited {
                    "  (generator limited)"
                } else {
                    ""
                },
            );
        };
        let found = establish(&procedure, &plan, told, &mut |progress| {
            line.show(&progress)
        })?;
        print!("\n{found}");
        if let Some(path) = &self.json {
            write_json(path, &found)?;
        }
        Ok(match found.rate {
            Some(_) => ExitCode::SUCCESS,
            None => ExitCode::FAILURE,
        })
    }
}
