//! One stretch of load against a server, and what it cost the server's core.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::entrant::{Entrant, Place};
use super::machine::CoreTicks;
use super::process::Times;
use super::rest::Rest;
use super::results::{Latency, Options, Point, Role, ServerTime};
use super::server::{Server, free_port};
use crate::floor::CallSizes;
use crate::load::{self, Moment, Numbers, Plan, Report, Sink, Source, Spread, Wait};

/// Of a thousand calls with the large deck, how many every other gateway refuses: the gateway
/// that is second to one of them never does, so no call ends so.
const REFUSED_PER_MILLE: u32 = 50;
/// Gateways of the large deck.
const GATEWAYS: u8 = 4;
/// Where the callers, the server and the gateways are: hosts of their own on the loopback.
const CALLER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 11, 1, 1));
const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 11, 2, 1));

/// A point with the generator's own words beside it.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) point: Point,
    /// Datagrams that the server received and sent for one call.
    pub(crate) datagrams_per_call: f64,
    /// The lengths of a call's datagrams.
    pub(crate) sizes: CallSizes,
    /// Why the generator may have been the limit.
    pub(crate) limits: Vec<String>,
    /// What went wrong with calls, in words; empty if nothing did.
    pub(crate) failures: String,
}

/// Addresses that are free now, for the server and its gateways.
///
/// # Errors
/// The loopback has no free port, or not all of 127.0.0.0/8; the share of a core cannot be had.
pub fn place(options: &Options, trunkline: std::path::PathBuf) -> io::Result<Place> {
    // Tried now: at the first point it would be told minutes later.
    if let Some(share) = options.server_share {
        drop(Rest::new(share, options.server_core)?);
    }
    let hosts: Vec<IpAddr> = (1..=GATEWAYS)
        .map(|number| Ipv4Addr::new(127, 11, 3, number).into())
        .collect();
    let port = free_port(&hosts)?;
    Ok(Place {
        router: SocketAddr::new(ROUTER, free_port(&[ROUTER])?),
        gateways: hosts
            .iter()
            .map(|host| SocketAddr::new(*host, port))
            .collect(),
        core: options.server_core,
        trunkline,
        share: options.server_share,
        delay_target_ms: options.delay_target_ms,
    })
}

/// The load that `entrant` gets: all entrants the same, but that a large deck has more gateways
/// and now and then a refusal.
pub(crate) fn plan(entrant: Entrant, place: &Place, options: &Options, rate: f64) -> Plan {
    let gateways = if entrant.has_prefixes() {
        place.gateways.len()
    } else {
        1
    };
    let numbered = place.gateways[..gateways].iter().enumerate();
    let sinks = numbered.map(|(number, address)| Sink {
        refuse_per_mille: match gateways > 1 && number % 2 == 0 {
            true => REFUSED_PER_MILLE,
            false => 0,
        },
        ..Sink::new(*address)
    });
    Plan {
        targets: vec![place.router],
        sources: vec![Source::new(SocketAddr::new(CALLER, 0))],
        sinks: sinks.collect(),
        rate,
        warm_up_ms: (options.warm_up_seconds * 1e3) as u64,
        duration_ms: (options.point_seconds * 1e3) as u64,
        drain_ms: options.hold_ms + DRAIN_MS,
        ring: Spread::fixed_ms(options.ring_ms),
        hold: Spread::fixed_ms(options.hold_ms),
        // Numbers of the large deck: every one of its prefixes, 7 digits behind.
        numbers: Numbers {
            prefix: "+1".to_owned(),
            digits: 12,
            count: 1_000_000_000_000,
            from_prefix: "+4930".to_owned(),
        },
        cores: options.generator_cores.clone(),
        wait: match options.generator_spins {
            true => Wait::Spin,
            false => Wait::Sleep,
        },
        takes_trains: options.generator_takes_trains,
        ..Plan::default()
    }
}

/// How long after its hold time a call may take to be over.
const DRAIN_MS: u64 = 3_000;

/// What is read at both ends of the measured stretch.
#[derive(Clone, Copy)]
struct Reading {
    times: Times,
    core: CoreTicks,
    /// How long the core was held so that the server has only a part of it.
    held: Duration,
}

/// Runs `plan` against `server`.
pub(crate) fn measure(
    server: &Server,
    place: &Place,
    plan: &Plan,
    role: Role,
) -> io::Result<Measured> {
    let read = || Reading {
        times: server.times(),
        core: CoreTicks::now(place.core),
        held: server.rest().map_or(Duration::ZERO, Rest::held),
    };
    let mut opened = None;
    let mut closed = None;
    let report = load::run(
        plan,
        &mut |progress: load::Progress| match progress.moment {
            Moment::WindowOpens => opened = Some(read()),
            Moment::WindowCloses => closed = Some(read()),
            Moment::Ready | Moment::Second => {}
        },
    )?;
    let (Some(opened), Some(closed)) = (opened, closed) else {
        return Err(io::Error::other("the load ended before it was measured"));
    };
    Ok(judge(&report, opened, closed, role))
}

fn judge(report: &Report, opened: Reading, closed: Reading, role: Role) -> Measured {
    let (window, calls) = (&report.window, &report.calls);
    let spent = closed.times.since(opened.times);
    let (busy, steal_share) = closed.core.shares_since(opened.core);
    let seconds = window.seconds.max(1e-9);
    let share = spent.run_us / 1e6 / seconds;
    let held_share = closed.held.saturating_sub(opened.held).as_secs_f64() / seconds;
    // Of calls that straddle the edges of the window, as much comes in as goes out.
    let per_call = |value: f64| value / (window.completed.max(1) as f64);
    let failed = calls.failed.total() + calls.unfinished;
    let setup = &report.latency.setup;
    let cores = &report.generator.cores;
    let point = Point {
        role,
        rate: report.plan.rate,
        peak: None,
        seconds,
        offered: calls.attempts,
        established: calls.established,
        completed: calls.completed,
        goodput: window.completed as f64 / seconds,
        refused: calls.refused_total(),
        failed,
        in_dialog_failed: calls.failed.bye_no_response
            + calls.failed.bye_status.values().sum::<u64>(),
        retransmitted: report.retransmissions_sent.total(),
        sent: window.sent,
        records: None,
        setup: Latency {
            p50_us: setup.p50_us,
            p99_us: setup.p99_us,
            p999_us: setup.p999_us,
        },
        server: ServerTime {
            cpu_us_per_call: per_call(spent.run_us),
            user_us_per_call: per_call(spent.user_us),
            system_us_per_call: per_call(spent.system_us),
            wake_ups_per_call: per_call(spent.wake_ups as f64),
            share,
        },
        foreign_share: (busy - share - held_share).max(0.0),
        steal_share,
        generator_lag_us: report.generator.lag.max_us,
        generator_share: cores.iter().map(|core| core.own_share).fold(0.0, f64::max),
    };
    Measured {
        datagrams_per_call: per_call((window.received + window.sent) as f64),
        sizes: CallSizes::of(&report.sizes),
        limits: report.generator.limits.clone(),
        failures: failures(report),
        point,
    }
}

/// What went wrong, in words.
fn failures(report: &Report) -> String {
    let failed = &report.calls.failed;
    let mut words = Vec::new();
    let mut say = |count: u64, what: String| {
        if count > 0 {
            words.push(format!("{count} {what}"));
        }
    };
    say(failed.no_response, "without any response".to_owned());
    say(failed.no_final, "without a final response".to_owned());
    say(failed.no_answer, "that rang for ever".to_owned());
    say(
        failed.bye_no_response,
        "whose BYE got no response".to_owned(),
    );
    say(failed.bad_answer, "with an unusable 2xx".to_owned());
    for (status, count) in &failed.status {
        say(*count, format!("failed with {status}"));
    }
    for (status, count) in &failed.bye_status {
        say(*count, format!("whose BYE got {status}"));
    }
    say(report.calls.unfinished, "not over in time".to_owned());
    say(report.calls.held_back, "not attempted".to_owned());
    words.join(", ")
}

/// Retransmissions that a run may have and still pass: this share of its calls.
const RETRANSMITTED_SHARE_MAX: f64 = 0.001;

impl Measured {
    /// Why the run has not passed; none if it has. It passes with no failed call and less than
    /// 0.1 % retransmissions.
    pub(crate) fn fault(&self) -> Option<String> {
        if !self.failures.is_empty() {
            return Some(self.failures.clone());
        }
        let share = self.point.retransmitted as f64 / self.point.offered.max(1) as f64;
        if share >= RETRANSMITTED_SHARE_MAX {
            return Some(format!("{:.2} % retransmitted", share * 100.0));
        }
        if self.point.offered == 0 {
            return Some("no call was attempted".to_owned());
        }
        None
    }
}
