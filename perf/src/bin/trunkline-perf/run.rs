//! `trunkline-perf run`: one run of load.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use perf::load::{Moment, Plan, Progress, run};

use crate::plan::PlanArguments;
use crate::table;

/// Play callers and callees, and show what they saw.
///
/// Times are written 20ms, 3s, 5m. Examples:
///
///   The generator against itself (what it can do on this machine):
///     trunkline-perf run -s 127.0.0.2:0 -k 127.0.0.3:5060 -r 1000 -d 10s
///
///   Through a router at 127.0.0.1:5060 that routes to the gateway 127.0.0.3:5060:
///     trunkline-perf run -t 127.0.0.1:5060 -s 127.0.0.2:5060 -k 127.0.0.3:5060 \
///       -r 4100 --warm-up 35s -d 30s --hold exp:3s --cores 1 --json result.json
///
///   Overload with retransmitting callers, a 503 being no failure:
///     trunkline-perf run -t 127.0.0.1:5060 -s 127.0.0.2:5060*20 -s 127.0.0.4:5060 \
///       -k 127.0.0.3:5060 -r 50000 -d 60s --refusals 503 --calls-max 2000000
///
///   Failover: one gateway refuses 25 calls of 1000, one says nothing to 5:
///     trunkline-perf run -t 127.0.0.1:5060 -s 127.0.0.2:5060 \
///       -k 127.0.0.3:5060,refuse=25 -k 127.0.0.5:5060,silent=5 -r 1000
///
///   Only answer, for SIPp or another generator to call:
///     trunkline-perf run -k 0.0.0.0:5060 -d 10m
///
/// What to look at: `failed` must be 0 and retransmissions under 0.1 % for a rate to count as
/// carried; `set-up` is INVITE due to 200, less the ringing; if `generator` names a limit, the
/// figures are the generator's and not the router's.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Run {
    #[command(flatten)]
    plan: PlanArguments,
    /// Write the whole report, plan and histograms, as JSON
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    json: Option<PathBuf>,
    /// Show the plan as JSON and end
    #[arg(long, help_heading = "Output")]
    print_plan: bool,
    /// No line each second
    #[arg(short, long, help_heading = "Output")]
    quiet: bool,
    /// End with 1 if any call failed
    #[arg(long, help_heading = "Output")]
    strict: bool,
}

impl Run {
    pub(crate) fn play(&self) -> io::Result<ExitCode> {
        let plan: Plan = self.plan.plan()?;
        if self.print_plan {
            println!("{}", serde_json::to_string_pretty(&plan)?);
            return Ok(ExitCode::SUCCESS);
        }
        let mut line = Line::new(self.quiet);
        let report = run(&plan, &mut |progress| line.show(&progress))?;
        line.end();
        print!("{}", table::of(&report));
        if let Some(path) = &self.json {
            write_json(path, &report)?;
        }
        let is_bad = report.calls.failed.total() + report.calls.unfinished > 0;
        Ok(match self.strict && is_bad {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        })
    }
}

/// Writes a report where it is wanted; `-` is the standard output.
pub(crate) fn write_json(path: &PathBuf, report: &impl serde::Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    if path.as_os_str() == "-" {
        println!("{text}");
        return Ok(());
    }
    let told = |error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("cannot write {}: {error}", path.display()),
        )
    };
    std::fs::write(path, text + "\n").map_err(told)
}

/// The line that tells how far a run is: over itself on a terminal, one after another elsewhere.
pub(crate) struct Line {
    is_quiet: bool,
    is_terminal: bool,
    before: u64,
    before_ms: u64,
}

impl Line {
    pub(crate) fn new(is_quiet: bool) -> Line {
        Line {
            is_quiet,
            is_terminal: io::stderr().is_terminal(),
            before: 0,
            before_ms: 0,
        }
    }

    pub(crate) fn show(&mut self, progress: &Progress) {
        if self.is_quiet || progress.moment != Moment::Second {
            return;
        }
        let total = progress.total;
        let all = total.established + total.asked;
        let ms = (progress.elapsed_ms - self.before_ms).max(1);
        let per_second = (all.saturating_sub(self.before)) as f64 * 1000.0 / ms as f64;
        (self.before, self.before_ms) = (all, progress.elapsed_ms);
        let text = format!(
            "{:>5.0} s  {:>8} attempts  {per_second:>7.0}/s answered  {:>7} up  {:>6} refused  \
             {:>5} failed  {:>5} again  set-up p50 {:>6} p99 {:>7} us  own CPU {:>3.0} %",
            progress.elapsed_ms as f64 / 1000.0,
            total.attempts,
            total.active,
            total.refused,
            progress.failed,
            progress.retransmissions,
            progress.setup_p50_us,
            progress.setup_p99_us,
            progress.own_share_max * 100.0,
        );
        let mut out = io::stderr();
        // Nobody is there to read it: the run goes on.
        let _unseen = match self.is_terminal {
            true => write!(out, "\r\x1b[K{text}"),
            false => writeln!(out, "{text}"),
        };
    }

    pub(crate) fn end(&self) {
        if self.is_terminal && !self.is_quiet {
            eprintln!();
        }
    }
}

/// Used by the table's tests.
#[cfg(test)]
pub(crate) fn direct() -> perf::load::Report {
    let address = "127.0.0.1:0".parse().expect("an address");
    let plan = Plan {
        sources: vec![perf::load::Source::new(address)],
        sinks: vec![perf::load::Sink::new(address)],
        warm_up_ms: 0,
        duration_ms: 200,
        hold: perf::load::Spread::fixed_ms(10),
        ..Plan::default()
    };
    run(&plan, &mut |_| {}).expect("loopback carries twenty calls")
}
