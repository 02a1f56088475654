//! One trunk that floods, and what another one feels of it.
//!
//! ```text
//!   alone     the quiet trunk, a fraction of what the router carries
//!   flooded   the same, while another trunk sends twenty times its own half of that
//! ```
//! By turns against one router, so that what drifts hits both alike. The quiet trunk's generator has
//! a core of its own, with the gateway's; the flood is made on the router's, which has only a part of
//! it: the flood holds the rest, and while there is none, somebody else does.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::entrant::{Entrant, Place};
use super::median::Median;
use super::overload::REFUSED;
use super::rest::Rest;
use super::results::{Machine, Options, Subject};
use super::server::Server;
use super::{machine, measure, sitting};
use crate::load::{self, Moment, Plan, Report, Source, Wait};

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Run {
    /// The trunkline program.
    pub trunkline: PathBuf,
    /// Cores, and how long each stretch is.
    pub options: Options,
    /// The highest rate of the router with its share of the core, in calls a second. `None`: it is
    /// searched for.
    pub peak: Option<f64>,
    /// What the quiet trunk sends, of it.
    pub quiet: f64,
    /// What the flood is, in halves of it: the fair share of each of two trunks.
    pub times: f64,
    /// What its reader has to know.
    pub notes: Vec<String>,
}

/// What was measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// When it began: `YYYY-MM-DD HH:MM UTC`.
    pub began: String,
    /// Where.
    pub machine: Machine,
    /// What its reader has to know.
    pub notes: Vec<String>,
    /// The share of its core that the router had.
    pub server_share: Option<f64>,
    /// Its highest rate, as it was given or found.
    pub peak: f64,
    /// Calls a second of the quiet trunk.
    pub quiet_rate: f64,
    /// Calls a second of the flood.
    pub flood_rate: f64,
    /// By round.
    pub rounds: Vec<Round>,
}

/// A stretch without a flood and one beside it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Round {
    /// The quiet trunk alone.
    pub alone: Stretch,
    /// The quiet trunk beside the flood.
    pub flooded: Stretch,
    /// Calls of the flood that were tried.
    pub flood_calls: u64,
    /// Those of them that were answered.
    pub flood_answered: u64,
}

/// What the quiet trunk saw.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Stretch {
    /// Calls tried.
    pub calls: u64,
    /// Those that were answered and ended in order.
    pub completed: u64,
    /// Those that were refused with 503.
    pub refused: u64,
    /// Set-up time without ringing: half are below.
    pub setup_p50_us: u64,
    /// 99 of 100 are below.
    pub setup_p99_us: u64,
}

impl Stretch {
    fn of(report: &Report) -> Stretch {
        let setup = &report.latency.setup;
        Stretch {
            calls: report.calls.attempts,
            completed: report.calls.completed,
            refused: report.calls.refused_total(),
            setup_p50_us: setup.p50_us,
            setup_p99_us: setup.p99_us,
        }
    }

    /// The share of calls that went well.
    #[must_use]
    pub fn success(&self) -> f64 {
        self.completed as f64 / self.calls.max(1) as f64
    }
}

impl Results {
    /// The 99th percentile beside the flood against the one without: the spread of the rounds.
    #[must_use]
    pub fn p99_ratio(&self) -> Option<Median> {
        let ratio = |round: &Round| {
            round.flooded.setup_p99_us as f64 / round.alone.setup_p99_us.max(1) as f64
        };
        Median::of(self.rounds.iter().map(ratio))
    }

    /// The share of calls that went well beside the flood against the one without.
    #[must_use]
    pub fn success_ratio(&self) -> Option<Median> {
        let ratio = |round: &Round| round.flooded.success() / round.alone.success().max(1e-9);
        Median::of(self.rounds.iter().map(ratio))
    }

    /// The figures, for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:.0} calls/s of one trunk; {:.0} calls/s of another, {:.1} times the router's highest rate\n",
            self.quiet_rate,
            self.flood_rate,
            self.flood_rate / self.peak
        );
        for round in &self.rounds {
            for (name, stretch) in [("alone", round.alone), ("flooded", round.flooded)] {
                text += &format!(
                    "{name:>8}: {:.3} % of {} went well, {} refused, p50 {:.2} ms, p99 {:.2} ms\n",
                    stretch.success() * 100.0,
                    stretch.calls,
                    stretch.refused,
                    stretch.setup_p50_us as f64 / 1e3,
                    stretch.setup_p99_us as f64 / 1e3,
                );
            }
            text += &format!(
                "   flood: {} of {} answered\n",
                round.flood_answered, round.flood_calls
            );
        }
        if let (Some(success), Some(p99)) = (self.success_ratio(), self.p99_ratio()) {
            text += &format!(
                "flooded against alone: success {:.4} ({:.4} to {:.4}), p99 {p99}\n",
                success.median, success.least, success.greatest
            );
        }
        text
    }
}

/// Where the flood comes from: a trunk of its own in `perf/trunkline/compare.toml`.
const FLOOD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 12, 1, 1));
/// How much longer than the quiet trunk's load the flood lasts.
const MARGIN_MS: u64 = 1_000;
/// How long the router is left alone after a flood.
const RECOVERY: Duration = Duration::from_secs(5);
/// How long the gateway would answer if nobody ended it.
const FOR_EVER: &str = "12h";
/// Calls of the flood that may wait for an answer: for 32 s, some of them.
const CALLS_MAX: usize = 4_000_000;

/// Measures by turns, and tells what it is at.
///
/// # Errors
/// The router could not be started, or the generator not be run.
pub fn hold(run: &Run, tell: &mut dyn FnMut(&str)) -> io::Result<Results> {
    let options = &run.options;
    let place = measure::place(options, run.trunkline.clone())?;
    let share = place.share.unwrap_or(1.0);
    let peak = match run.peak {
        Some(peak) => peak,
        None => highest(&place, options, tell)?,
    };
    let mut results = Results {
        began: machine::now(),
        machine: machine::facts(Vec::new()),
        notes: run.notes.clone(),
        server_share: place.share,
        peak,
        quiet_rate: (peak * run.quiet).round(),
        flood_rate: (peak / 2.0 * run.times).round(),
        rounds: Vec::new(),
    };
    let quiet = measure::plan(Entrant::Trunkline, &place, options, results.quiet_rate);
    let quiet = Plan {
        refusals: vec![REFUSED],
        sinks: Vec::new(),
        ..quiet
    };
    let flood = flood(&quiet, options, share, results.flood_rate);
    let mut server = Server::start(Entrant::Trunkline, &place)?;
    let _until_the_end = Gateway::start(&place, options)?;
    for number in 1..=options.rounds {
        let alone = Stretch::of(&load::run(&quiet, &mut |_| {})?);
        tell(&format!(
            "round {number}, alone: p99 {} us",
            alone.setup_p99_us
        ));
        // The flood holds the rest of the router's core in the place of the one who does without it.
        let beside = || {
            server.rest().into_iter().for_each(Rest::pause);
            let report = load::run(&flood, &mut |_| {});
            server.rest().into_iter().for_each(Rest::resume);
            report
        };
        let (calm, wild) = load::run_beside(&quiet, Moment::Ready, beside)?;
        let flooded = Stretch::of(&calm);
        tell(&format!(
            "round {number}, flooded: p99 {} us",
            flooded.setup_p99_us
        ));
        results.rounds.push(Round {
            alone,
            flooded,
            flood_calls: wild.calls.attempts,
            flood_answered: wild.calls.established,
        });
        thread::sleep(RECOVERY);
    }
    // It may take its time to end, or have to be killed: that is no fault of the measurement.
    let _slow_to_end = server.stop();
    Ok(results)
}

/// The highest rate of the router, with the part of its core that it has.
fn highest(place: &Place, options: &Options, tell: &mut dyn FnMut(&str)) -> io::Result<f64> {
    let mut subject = Subject::default();
    sitting::search(Entrant::Trunkline, &mut subject, options, place, tell);
    let none = || io::Error::other(format!("no highest rate: {}", subject.troubles.join(", ")));
    Ok(subject.highest.as_ref().ok_or_else(none)?.rate)
}

/// The flood beside `quiet`: it begins with it and ends after it.
fn flood(quiet: &Plan, options: &Options, share: f64, rate: f64) -> Plan {
    Plan {
        sources: vec![Source::new(SocketAddr::new(FLOOD, 0))],
        rate,
        warm_up_ms: 0,
        duration_ms: quiet.warm_up_ms + quiet.duration_ms + MARGIN_MS,
        drain_ms: 0,
        cores: vec![options.server_core],
        calls_max: CALLS_MAX,
        wait: Wait::Hold((share * 1e3) as u16),
        // Calls of its own.
        seed: quiet.seed + 1,
        ..quiet.clone()
    }
}

/// Who answers: a program of its own, for it outlives the load. Calls of the flood are under way when
/// the quiet trunk's have ended, and a gateway that went then would be down for a while.
struct Gateway(Child);

impl Gateway {
    fn start(place: &Place, options: &Options) -> io::Result<Gateway> {
        let cores = options.generator_cores.iter().map(usize::to_string);
        Command::new(std::env::current_exe()?)
            .args(["run", "--sink", &place.gateways[0].to_string()])
            .args(["--ring", &format!("{}ms", options.ring_ms)])
            .args(["--cores", &cores.collect::<Vec<_>>().join(",")])
            .args(["--duration", FOR_EVER])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Gateway)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_tells_success_and_p99_beside_the_flood_against_alone() {
        let round = |alone: u64, flooded: u64, completed: u64| Round {
            alone: Stretch {
                calls: 1_000,
                completed: 1_000,
                setup_p99_us: alone,
                ..Stretch::default()
            },
            flooded: Stretch {
                calls: 1_000,
                completed,
                setup_p99_us: flooded,
                ..Stretch::default()
            },
            ..Round::default()
        };
        let results = Results {
            peak: 1_000.0,
            quiet_rate: 350.0,
            flood_rate: 10_000.0,
            rounds: vec![
                round(100, 110, 990),
                round(100, 130, 970),
                round(100, 120, 980),
            ],
            ..Results::default()
        };
        let table = results.table();
        assert!(
            table.contains("10.0 times the router's highest rate"),
            "{table}"
        );
        assert_eq!(results.p99_ratio().unwrap().median, 1.2);
        assert_eq!(results.success_ratio().unwrap().median, 0.98);
        assert_eq!(table.matches("flooded:").count(), 3, "{table}");
        assert!(Results::default().p99_ratio().is_none());
    }
}
