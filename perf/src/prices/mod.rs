//! Prices by the million: what reading them takes, what they keep, and what a call feels when they
//! are exchanged under load.
//!
//! ```text
//!   Deal ─▶ CSV decks ─▶ router ── ready after …, peak, resident
//!                           │
//!             load ──▶ calm window          set-up times before
//!                  └─▶ window with a swap   one vendor's prices are new: read, built, exchanged
//! ```
//! The generator and the router's shard have a core each. Whoever builds the new table keeps off the
//! shard's, so on a machine with no third core it shares the generator's.

mod deal;
mod node;

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::compare::machine;
use crate::compare::median::Median;
use crate::compare::results::Machine;
use crate::compare::search::Search;
use crate::compare::server::{Folder, free_port};
use crate::load::{self, Moment, Numbers, Plan, Report, Sink, Source, Spread};

pub use deal::{Deal, Written};
use node::Router;

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Options {
    /// The decks.
    pub deal: Deal,
    /// The trunkline program.
    pub trunkline: PathBuf,
    /// Under which load the prices are exchanged.
    pub load: Load,
    /// How often they are exchanged under load.
    pub rounds: usize,
    /// How long there is load before anything is counted.
    pub warm_up: Duration,
    /// The core of the router's one shard.
    pub server_core: usize,
    /// The core of the generator.
    pub generator_core: usize,
    /// What its reader has to know.
    pub notes: Vec<String>,
}

/// How many calls a second there are.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Load {
    /// None: nothing is exchanged.
    None,
    /// So many.
    Rate(f64),
    /// So large a part of the highest rate at which no call fails, which is searched for.
    Share(f64),
}

/// What was measured. A figure that was not taken is `None`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// When it began: `YYYY-MM-DD HH:MM UTC`.
    pub began: String,
    /// Where.
    pub machine: Machine,
    /// What its reader has to know.
    pub notes: Vec<String>,
    /// Vendors, each with a deck.
    pub vendors: usize,
    /// Rows of all decks.
    pub rows: u64,
    /// Different codes in them.
    pub codes: u64,
    /// Octets of the files.
    pub csv_bytes: u64,
    /// From the router's start until it took calls: reading, checking and building.
    pub ready_ms: u64,
    /// The same without decks to speak of.
    pub ready_without_ms: u64,
    /// The most resident memory until then.
    pub peak_bytes: u64,
    /// Resident memory once it was ready.
    pub resident_bytes: u64,
    /// The same without decks to speak of.
    pub resident_without_bytes: u64,
    /// Calls offered a second while prices were exchanged.
    pub rate: f64,
    /// The highest rate at which no call failed and fewer than one message in a thousand was sent
    /// again, if it was searched for.
    #[serde(default)]
    pub highest: Option<f64>,
    /// By round: without and with an exchange of prices.
    pub swaps: Vec<Swap>,
    /// The most resident memory after all of them, with old and new prices side by side.
    pub peak_swapping_bytes: Option<u64>,
}

/// Two stretches of load of the same length.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Swap {
    /// Nothing else happens.
    pub before: Stretch,
    /// One vendor's prices are read, the table is built anew and exchanged.
    pub during: Stretch,
    /// From the signal until all shards worked by the new prices.
    pub swap_ms: u64,
}

/// One stretch of load.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Stretch {
    /// Calls that began in it.
    pub calls: u64,
    /// Those that were refused or failed.
    pub failed: u64,
    /// Set-up time without ringing: half are below.
    pub setup_p50_us: u64,
    /// 99 of 100 are below.
    pub setup_p99_us: u64,
    /// The same from the time when the INVITE was really sent.
    pub setup_from_sent_p99_us: u64,
    /// By how much the generator itself was late at most.
    pub generator_lag_us: u64,
}

impl Results {
    /// Resident memory that a row adds.
    #[must_use]
    pub fn bytes_per_row(&self) -> f64 {
        let added = self
            .resident_bytes
            .saturating_sub(self.resident_without_bytes);
        added as f64 / self.rows.max(1) as f64
    }

    /// The figures, for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!(
            "{} rows of {} vendors, {} codes, {} MB of CSV\n\
             ready after {:.1} s ({:.1} s without them)\n\
             peak {} MB, resident {} MB ({} MB without): {:.1} octets a row\n",
            self.rows,
            self.vendors,
            self.codes,
            self.csv_bytes / 1_000_000,
            self.ready_ms as f64 / 1e3,
            self.ready_without_ms as f64 / 1e3,
            self.peak_bytes / 1_000_000,
            self.resident_bytes / 1_000_000,
            self.resident_without_bytes / 1_000_000,
            self.bytes_per_row(),
        );
        if let Some(highest) = self.highest {
            text += &format!("highest rate without failure: {highest:.0} calls/s\n");
        }
        for swap in &self.swaps {
            let line = |stretch: &Stretch| {
                format!(
                    "p50 {} us, p99 {} us ({} us from sending), {} of {} failed, lag {} us",
                    stretch.setup_p50_us,
                    stretch.setup_p99_us,
                    stretch.setup_from_sent_p99_us,
                    stretch.failed,
                    stretch.calls,
                    stretch.generator_lag_us
                )
            };
            text += &format!(
                "at {:.0} calls/s: {}\n  new prices in {:.1} s: {}\n",
                self.rate,
                line(&swap.before),
                swap.swap_ms as f64 / 1e3,
                line(&swap.during)
            );
        }
        if let Some(ratio) = self.p99_ratio() {
            text += &format!("p99 with an exchange against without: {ratio:.2}\n");
        }
        if let Some(peak) = self.peak_swapping_bytes {
            text += &format!("peak with old and new prices: {} MB\n", peak / 1_000_000);
        }
        text
    }

    /// The 99th percentile with an exchange against the one without: the median of the rounds.
    #[must_use]
    pub fn p99_ratio(&self) -> Option<f64> {
        let ratio =
            |swap: &Swap| swap.during.setup_p99_us as f64 / swap.before.setup_p99_us.max(1) as f64;
        Some(Median::of(self.swaps.iter().map(ratio))?.median)
    }
}

/// Measures all of it, and tells what it is at.
///
/// # Errors
/// The decks cannot be written, or the router not be started.
pub fn measure(options: &Options, tell: &mut dyn FnMut(&str)) -> io::Result<Results> {
    let folder = Folder::new()?;
    let mut results = Results {
        began: machine::now(),
        machine: machine::facts(Vec::new()),
        notes: options.notes.clone(),
        vendors: options.deal.vendors,
        ..Results::default()
    };
    let place = Place::new(options.deal.vendors)?;
    let few = Deal {
        rows: options.deal.vendors * 10,
        ..options.deal
    };
    few.write(&folder.0, &mut |_| {})?;
    place.write(options, &folder.0)?;
    let router = Router::start(&options.trunkline, &folder.0)?;
    results.ready_without_ms = router.started_in.as_millis() as u64;
    results.resident_without_bytes = router.pss_bytes();
    drop(router);
    tell("writing the decks");
    let written = options.deal.write(&folder.0, &mut |_| {})?;
    results.rows = written.rows;
    results.codes = written.codes;
    results.csv_bytes = written.bytes;
    tell(&format!(
        "{} rows written; starting the router",
        written.rows
    ));
    let mut router = Router::start(&options.trunkline, &folder.0)?;
    results.ready_ms = router.started_in.as_millis() as u64;
    results.peak_bytes = router.peak_bytes();
    thread::sleep(SETTLE);
    results.resident_bytes = router.pss_bytes();
    tell(&format!(
        "ready after {:.1} s",
        results.ready_ms as f64 / 1e3
    ));
    results.rate = match options.load {
        Load::None => return Ok(results),
        Load::Rate(rate) => rate,
        Load::Share(share) => {
            results.highest = highest(options, &place, tell)?;
            let highest = results.highest.ok_or_else(|| {
                io::Error::other("calls failed at every rate; is the machine busy with others?")
            })?;
            // What was overloaded is not the same afterwards.
            drop(router);
            router = Router::start(&options.trunkline, &folder.0)?;
            (highest * share).round()
        }
    };
    swaps(
        options,
        (&mut router, &folder.0),
        &place,
        &mut results,
        tell,
    )?;
    Ok(results)
}

/// The search's first rate, the highest that it tries, how it grows, and how near it has to come.
const SEARCH: (f64, f64, f64, f64) = (8_000.0, 100_000.0, 1.4, 0.05);
/// How long each rate of the search is tried.
const SEARCH_WINDOW: Duration = Duration::from_secs(6);

/// The highest rate that the router carries; `None` if it carries none.
fn highest(
    options: &Options,
    place: &Place,
    tell: &mut dyn FnMut(&str),
) -> io::Result<Option<f64>> {
    let (start, most, growth, close) = SEARCH;
    let mut search = Search::new(start, most, growth, close);
    while let Some(rate) = search.next() {
        let plan = place.plan(options, rate, SEARCH_WINDOW);
        let report = load::run(&plan, &mut |_| {})?;
        let failed = of_report(&report).failed;
        let again = report.retransmissions_sent.total();
        let is_carried = failed == 0 && again * 1_000 <= report.window.sent;
        tell(&format!(
            "{rate:.0} calls/s: {failed} failed, {again} messages sent again"
        ));
        search.tell(rate, is_carried);
        // What was lost is sent again for half a minute.
        if !is_carried {
            thread::sleep(RECOVERY);
        }
    }
    Ok(search.highest())
}

/// How long a router that got too much is left alone: its transactions end after 32 s.
const RECOVERY: Duration = Duration::from_secs(33);

/// How long a router that is ready may take to give back what it read with.
const SETTLE: Duration = Duration::from_secs(2);

fn swaps(
    options: &Options,
    (router, folder): (&mut Router, &Path),
    place: &Place,
    results: &mut Results,
    tell: &mut dyn FnMut(&str),
) -> io::Result<()> {
    // How long the windows are to be: under load an exchange takes four times as long as without, or
    // more, and a window should have most of it. A short one has one hiccup of the host or none.
    options.deal.rewrite(folder, 0, 1)?;
    let idle = router.reload()?;
    tell(&format!(
        "prices exchanged without load in {:.1} s",
        idle.as_secs_f64()
    ));
    let window = (idle * 4).max(Duration::from_secs(2));
    for round in 0..options.rounds as u64 {
        let plan = place.plan(options, results.rate, window);
        let before = stretch(&plan, &mut || Ok(()))?;
        options.deal.rewrite(folder, 0, round + 2)?;
        let mut swap = Duration::ZERO;
        let during = stretch(&plan, &mut || {
            swap = router.reload()?;
            Ok(())
        })?;
        let swap_ms = swap.as_millis() as u64;
        tell(&format!("round {}: exchanged in {swap_ms} ms", round + 1));
        results.swaps.push(Swap {
            before,
            during,
            swap_ms,
        });
    }
    results.peak_swapping_bytes = Some(router.peak_bytes());
    Ok(())
}

/// Load as planned; `event` happens when counting begins.
fn stretch(plan: &Plan, event: &mut dyn FnMut() -> io::Result<()>) -> io::Result<Stretch> {
    let (report, ()) = load::run_beside(plan, Moment::WindowOpens, event)?;
    Ok(of_report(&report))
}

fn of_report(report: &Report) -> Stretch {
    Stretch {
        calls: report.calls.attempts,
        failed: report.calls.failed.total() + report.calls.refused_total() + report.calls.held_back,
        setup_p50_us: report.latency.setup.p50_us,
        setup_p99_us: report.latency.setup.p99_us,
        setup_from_sent_p99_us: report.latency.setup_from_sent.p99_us,
        generator_lag_us: report.generator.lag.max_us,
    }
}

/// Where everybody is: hosts of their own on the loopback.
struct Place {
    router: SocketAddr,
    gateways: Vec<SocketAddr>,
}

const CALLER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 11, 1, 1));
const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 11, 2, 1));

impl Place {
    fn new(vendors: usize) -> io::Result<Place> {
        let host = |at: usize| IpAddr::V4(Ipv4Addr::new(127, 11, 3, at as u8 + 1));
        let hosts: Vec<IpAddr> = (0..vendors).map(host).collect();
        let port = free_port(&hosts)?;
        let gateways = hosts.iter().map(|host| SocketAddr::new(*host, port));
        Ok(Place {
            router: SocketAddr::new(ROUTER, free_port(&[ROUTER])?),
            gateways: gateways.collect(),
        })
    }

    fn write(&self, options: &Options, folder: &Path) -> io::Result<()> {
        let head = include_str!("../../trunkline/prices.toml")
            .replace("@FOLDER@", &folder.display().to_string())
            .replace("@CORE@", &options.server_core.to_string())
            .replace("@ROUTER@", &self.router.to_string());
        let tables = options.deal.tables(&self.gateways);
        fs::write(folder.join("router.toml"), head + &tables)
    }

    fn plan(&self, options: &Options, rate: f64, window: Duration) -> Plan {
        Plan {
            targets: vec![self.router],
            sources: vec![Source::new(SocketAddr::new(CALLER, 0))],
            sinks: self.gateways.iter().copied().map(Sink::new).collect(),
            rate,
            warm_up_ms: options.warm_up.as_millis() as u64,
            duration_ms: window.as_millis() as u64,
            drain_ms: 4_000,
            ring: Spread::fixed_ms(20),
            hold: Spread::fixed_ms(500),
            numbers: Numbers {
                prefix: "+1".to_owned(),
                digits: 10,
                count: 10_000_000_000,
                from_prefix: "+4930".to_owned(),
            },
            cores: vec![options.generator_core],
            ..Plan::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_tells_what_a_row_takes_and_the_median_of_the_rounds() {
        let swap = |before: u64, during: u64| Swap {
            before: Stretch {
                setup_p99_us: before,
                ..Stretch::default()
            },
            during: Stretch {
                setup_p99_us: during,
                ..Stretch::default()
            },
            swap_ms: 1_500,
        };
        let results = Results {
            rows: 1_000_000,
            resident_bytes: 60_000_000,
            resident_without_bytes: 20_000_000,
            swaps: vec![swap(100, 300), swap(100, 110), swap(100, 120)],
            ..Results::default()
        };
        let table = results.table();
        assert!(table.contains(": 40.0 octets a row"), "{table}");
        assert!(table.contains("against without: 1.20"), "{table}");
        assert_eq!(Results::default().p99_ratio(), None);
    }
}
