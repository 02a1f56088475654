//! Overload: what a server still carries when it is offered many times what it can.
//!
//! The callers go on whatever the answers are and repeat what gets none, as real ones do. What
//! counts is goodput: calls that were set up and hung up properly, a second, against the highest
//! rate. Every point has a fresh server, because some stay slow after they were overloaded.

use std::io;
use std::time::Instant;

use super::entrant::Entrant;
use super::left;
use super::measure::{self, Measured};
use super::results::{Highest, Options, Point, Role, Sitting, Subject};
use super::server::Server;
use super::sitting::{self, Agenda};

/// What is offered, in highest rates: below, at, and beyond.
pub const FACTORS: [f64; 5] = [0.5, 1.0, 2.0, 5.0, 10.0];
/// How long calls may take to end: callers give up after 32 s.
const DRAIN_MS: u64 = 40_000;
/// Status of a refusal by an overloaded server.
pub(super) const REFUSED: u16 = 503;

/// What each entrant is offered.
#[derive(Clone, Copy, Debug)]
pub struct Run<'r> {
    /// Its highest rate; none: it is searched for, and again before each stretch at or beyond it.
    pub peak: Option<f64>,
    /// How long, each.
    pub seconds: f64,
    /// How many times its highest rate.
    pub factors: &'r [f64],
}

impl Run<'_> {
    /// Whether the highest rate is looked for anew before so many times of it are offered. Below it the server
    /// carries what it is offered, whatever it is.
    fn looks_again(&self, factor: f64) -> bool {
        self.peak.is_none() && factor >= 1.0
    }
}

/// Offers each entrant what `run` says, by turns, as many rounds as `options` say.
///
/// What a server carries changes with its machine within minutes, so its highest rate is looked for
/// anew before each stretch at or beyond it: what is offered and what comes of it are multiples of that.
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
    let lasts = (run.seconds, DRAIN_MS as f64 / 1e3);
    let stretches = run.factors.len();
    let again = run
        .factors
        .iter()
        .filter(|factor| run.looks_again(**factor));
    let searches = run.peak.is_none().then(|| again.count());
    let minutes = left::overload_minutes(options, agenda, stretches, lasts, searches);
    tell(&format!(
        "{}, {} of {} each: {}",
        left::plural(agenda.entrants.len(), "entrant"),
        left::plural(options.rounds, "round"),
        left::plural(stretches, "load"),
        left::in_words(minutes)
    ));
    for (entrant, subject) in agenda.entrants.iter().zip(&mut sitting.subjects) {
        match run.peak {
            Some(rate) => {
                subject.highest = Some(Highest {
                    rate,
                    ..Highest::default()
                });
            }
            None => sitting::search(*entrant, subject, options, &agenda.place, tell),
        }
    }
    keep(&sitting);
    for _ in 0..options.rounds {
        for factor in run.factors {
            for (entrant, subject) in agenda.entrants.iter().zip(&mut sitting.subjects) {
                stretch(*entrant, subject, options, agenda, (run, *factor), tell);
            }
            sitting.seconds = started.elapsed().as_secs();
            keep(&sitting);
        }
    }
    Ok(sitting)
}

/// One stretch: the highest rate as it is now, and so many times that.
fn stretch(
    entrant: Entrant,
    subject: &mut Subject,
    options: &Options,
    agenda: &Agenda,
    (run, factor): (Run<'_>, f64),
    tell: &mut dyn FnMut(&str),
) {
    let Some(highest) = subject.highest.as_ref().map(|highest| highest.rate) else {
        return;
    };
    let before = subject.points.iter().rev().find_map(|point| point.peak);
    let last = before.unwrap_or(highest);
    let peak = match run.looks_again(factor) {
        true => sitting::search_again(last, entrant, subject, options, &agenda.place, tell)
            .map(|found| found.rate),
        false => Some(last),
    };
    // Why it was not found is among the subject's troubles already, if it is not that none passed.
    let Some(peak) = peak else {
        return tell(&format!(
            "{}: no rate near its last highest passes",
            subject.key
        ));
    };
    let rate = (peak * factor).round();
    match offer(entrant, options, agenda, (rate, run.seconds)) {
        Ok(measured) => add(subject, &measured, peak, tell),
        Err(error) => {
            tell(&format!("{} at {rate}/s: {error}", subject.key));
            subject.troubles.push(format!("at {rate} calls/s: {error}"));
        }
    }
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

fn add(subject: &mut Subject, measured: &Measured, peak: f64, tell: &mut dyn FnMut(&str)) {
    let point = &measured.point;
    let goodput = point.goodput;
    tell(&format!(
        "{} offered {:.0}/s ({:.1} of its highest): goodput {goodput:.0}/s ({:.0} %), p99 {} ms, \
         {} refused, {} requests in dialogs failed, generator {:.0} %",
        subject.key,
        point.offered as f64 / point.seconds,
        point.offered as f64 / point.seconds / peak,
        goodput / peak * 100.0,
        point.setup.p99_us / 1000,
        point.refused,
        point.in_dialog_failed,
        point.generator_share * 100.0,
    ));
    subject.points.push(Point {
        peak: Some(peak),
        ..point.clone()
    });
}
