//! Overload: what a server still carries when it is offered many times what it can.
//!
//! The callers go on whatever the answers are and repeat what gets none, as real ones do. What
//! counts is goodput: calls that were set up and hung up properly, a second, against the highest
//! rate. Every point has a fresh server, because some stay slow after they were overloaded.

use std::io;
use std::time::Instant;

use super::entrant::Entrant;
use super::measure::{self, Measured};
use super::results::{Options, Role, Sitting, Subject};
use super::server::Server;
use super::sitting::{self, Agenda};

/// What is offered, in highest rates: below, at, and beyond.
pub const FACTORS: [f64; 7] = [0.5, 0.8, 1.0, 1.5, 2.0, 5.0, 10.0];
/// How long calls may take to end: callers give up after 32 s.
const DRAIN_MS: u64 = 40_000;
/// Status of a refusal by an overloaded server.
pub(super) const REFUSED: u16 = 503;

/// What each entrant is offered.
#[derive(Clone, Copy, Debug)]
pub struct Run<'r> {
    /// Its highest rate; none: it is searched for.
    pub peak: Option<f64>,
    /// How long, each.
    pub seconds: f64,
    /// How many times its highest rate.
    pub factors: &'r [f64],
}

/// Offers each entrant what `run` says.
///
/// # Errors
/// Nothing of it could be run at all.
pub fn hold(
    options: &Options,
    agenda: &Agenda,
    run: Run<'_>,
    tell: &mut dyn FnMut(&str),
    keep: &mut dyn FnMut(&Sitting),
) -> io::Result<Sitting> {
    let started = Instant::now();
    let mut sitting = sitting::open("overload", options, agenda);
    for (place, entrant) in agenda.entrants.iter().enumerate() {
        let subject = &mut sitting.subjects[place];
        match run.peak {
            Some(rate) => {
                subject.highest = Some(super::results::Highest {
                    rate,
                    ..Default::default()
                });
            }
            None => sitting::search(*entrant, subject, options, &agenda.place, tell),
        }
        let Some(highest) = subject.highest.as_ref().map(|highest| highest.rate) else {
            continue;
        };
        for factor in run.factors {
            let rate = (highest * factor).round();
            match offer(*entrant, options, agenda, (rate, run.seconds)) {
                Ok(measured) => add(subject, &measured, highest, tell),
                Err(error) => {
                    tell(&format!("{} at {rate}/s: {error}", subject.key));
                    subject.troubles.push(format!("at {rate} calls/s: {error}"));
                }
            }
        }
        sitting.seconds = started.elapsed().as_secs();
        keep(&sitting);
    }
    Ok(sitting)
}

fn offer(
    entrant: Entrant,
    options: &Options,
    agenda: &Agenda,
    (rate, seconds): (f64, f64),
) -> io::Result<Measured> {
    let mut plan = measure::plan(entrant, &agenda.place, options, rate);
    plan.duration_ms = (seconds * 1e3) as u64;
    plan.drain_ms = DRAIN_MS;
    plan.refusals = vec![REFUSED];
    // Nothing is held back: all that wait for an answer are up for as long as a caller waits.
    plan.calls_max =
        ((rate * (seconds + options.warm_up_seconds)) as usize).clamp(CALLS_MIN, CALLS_MAX);
    let mut server = Server::start(entrant, &agenda.place)?;
    let measured = measure::measure(&server, &agenda.place, &plan, Role::Overload)?;
    // It may take its time to end, or have to be killed: that is no fault of the measurement.
    let _slow_to_end = server.stop();
    Ok(measured)
}

const CALLS_MIN: usize = 200_000;
const CALLS_MAX: usize = 4_000_000;

fn add(subject: &mut Subject, measured: &Measured, highest: f64, tell: &mut dyn FnMut(&str)) {
    let point = &measured.point;
    let goodput = point.goodput;
    tell(&format!(
        "{} offered {:.0}/s ({:.1} of its highest): goodput {goodput:.0}/s ({:.0} %), p99 {} ms, \
         {} refused, {} requests in dialogs failed, generator {:.0} %",
        subject.key,
        point.offered as f64 / point.seconds,
        point.offered as f64 / point.seconds / highest,
        goodput / highest * 100.0,
        point.setup.p99_us / 1000,
        point.refused,
        point.in_dialog_failed,
        point.generator_share * 100.0,
    ));
    subject.points.push(point.clone());
}
