//! Memory while calls pile up: bytes for a held call, and for a transaction in Accepted.
//!
//! Calls come at an even rate and stay. For the first 32 s every answered call keeps its call and
//! its transactions (RFC 6026: Accepted, 64*T1); later, as many transactions go as come, and what
//! they leave is used again. So resident memory grows along two straight lines:
//!
//! ```text
//!   PSS          ____----   slope 2 = rate * (what a held call takes)
//!        ___----
//!       /                   slope 1 = rate * (that, and its two transactions in Accepted)
//!      /
//!      0      32 s
//! ```

use std::io;
use std::time::Instant;

use super::entrant::{Entrant, Place};
use super::measure;
use super::results::{Held, HeldPoint, Options, Sitting};
use super::server::Server;
use super::sitting::{self, Agenda};
use crate::load::{self, Moment, Spread};

/// How long an answered INVITE's transactions stay, and a while more until the tables are even.
const ACCEPTED_SECONDS: u64 = 32;
const SETTLED_SECONDS: u64 = 36;
/// The first seconds are left out: start-up work, first pages.
const FIRST_SECONDS: u64 = 4;
/// How long calls come.
pub(crate) const SECONDS: u64 = 100;
/// An answered INVITE has a server and a client transaction.
const ACCEPTED_PER_CALL: f64 = 2.0;
const SLACK_CALLS: u64 = 1_000;

/// Measures the memory of every entrant.
pub(crate) fn hold(
    name: &str,
    options: &Options,
    agenda: &Agenda,
    calls: u64,
    tell: &mut dyn FnMut(&str),
) -> Sitting {
    let started = Instant::now();
    let mut sitting = sitting::open(name, options, agenda);
    sitting::idle_bench(&mut sitting, agenda);
    for (entrant, subject) in agenda.entrants.iter().zip(&mut sitting.subjects) {
        sitting::hold_calls(*entrant, subject, options, &agenda.place, calls, tell);
    }
    sitting.seconds = started.elapsed().as_secs();
    sitting
}

pub(crate) fn measure(
    entrant: Entrant,
    place: &Place,
    options: &Options,
    calls: u64,
    tell: &mut dyn FnMut(&str),
) -> io::Result<(Held, u64)> {
    let mut server = Server::start(entrant, &place.patient())?;
    std::thread::sleep(sitting::SETTLE);
    let idle_pss_bytes = server.pss_bytes();
    let rate = calls as f64 / SECONDS as f64;
    let mut plan = measure::plan(entrant, place, options, rate);
    plan.warm_up_ms = 0;
    plan.duration_ms = SECONDS * 1000;
    plan.drain_ms = 500;
    plan.hold = Spread::fixed_ms(SECONDS * 10_000);
    plan.calls_max = (calls + SLACK_CALLS) as usize;
    let mut points = Vec::new();
    let report = load::run(&plan, &mut |progress: load::Progress| {
        if matches!(progress.moment, Moment::Second | Moment::WindowCloses) {
            let gone = accepted_since(&points, progress.elapsed_ms);
            points.push((
                progress.elapsed_ms,
                HeldPoint {
                    calls: progress.total.established,
                    accepted: progress.total.established - gone,
                    pss_bytes: server.pss_bytes(),
                    shared_bytes: server.shared_bytes(),
                },
            ));
        }
    })?;
    server.stop()?;
    if report.calls.failed.total() > 0 {
        let words = format!(
            "{} calls failed while they were to pile up",
            report.calls.failed.total()
        );
        return Err(io::Error::other(words));
    }
    let held = held(&points);
    tell(&format!(
        "{}: {} calls held: {:.0} bytes a call, {:.0} a transaction in Accepted",
        entrant.key(),
        calls,
        held.pss_bytes_per_call.unwrap_or(f64::NAN),
        held.bytes_per_accepted.unwrap_or(f64::NAN),
    ));
    Ok((held, idle_pss_bytes))
}

/// Calls that were answered so long ago that their transactions have left Accepted.
fn accepted_since(points: &[(u64, HeldPoint)], now_ms: u64) -> u64 {
    let before = now_ms.saturating_sub(ACCEPTED_SECONDS * 1000);
    let old = points.iter().rev().find(|(at_ms, _)| *at_ms <= before);
    old.map_or(0, |(_, point)| point.calls)
}

/// The two slopes, from points with their times in milliseconds.
fn held(points: &[(u64, HeldPoint)]) -> Held {
    let between = |from: u64, to: u64| {
        let within = |(at_ms, _): &&(u64, HeldPoint)| (from * 1000..to * 1000).contains(at_ms);
        points
            .iter()
            .filter(within)
            .map(|(_, point)| *point)
            .collect::<Vec<HeldPoint>>()
    };
    let pss = |point: &HeldPoint| Some(point.pss_bytes as f64);
    let shared = |point: &HeldPoint| point.shared_bytes.map(|bytes| bytes as f64);
    let (early, late) = (
        between(FIRST_SECONDS, ACCEPTED_SECONDS),
        between(SETTLED_SECONDS, u64::MAX / 1000),
    );
    let per_call = slope(&late, pss);
    let per_new_call = slope(&early, pss);
    let keeps = points.len().div_ceil(KEPT_MAX).max(1);
    Held {
        points: points
            .iter()
            .step_by(keeps)
            .map(|(_, point)| *point)
            .collect(),
        pss_bytes_per_call: per_call,
        shared_bytes_per_call: slope(&late, shared),
        bytes_per_accepted: per_new_call
            .zip(per_call)
            .map(|(new, settled)| (new - settled) / ACCEPTED_PER_CALL),
    }
}

/// Points that the results keep, for the plot.
const KEPT_MAX: usize = 50;

/// Bytes for each call more, by least squares; none from fewer than three readings.
fn slope(points: &[HeldPoint], bytes: impl Fn(&HeldPoint) -> Option<f64>) -> Option<f64> {
    let pairs: Vec<(f64, f64)> = points
        .iter()
        .filter_map(|point| Some((point.calls as f64, bytes(point)?)))
        .collect();
    if pairs.len() < 3 {
        return None;
    }
    let count = pairs.len() as f64;
    let mean = |pick: fn(&(f64, f64)) -> f64| pairs.iter().map(pick).sum::<f64>() / count;
    let (x_mean, y_mean) = (mean(|pair| pair.0), mean(|pair| pair.1));
    let both: f64 = pairs.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
    let square: f64 = pairs.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
    (square > 0.0).then(|| both / square)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1,000 calls/s; a call takes 400 bytes, its two transactions 200 together for 32 s.
    fn model(seconds: u64) -> Vec<(u64, HeldPoint)> {
        let at = |second: u64| {
            let calls = second * 1_000;
            let accepted = second.min(ACCEPTED_SECONDS) * 1_000;
            (
                second * 1_000,
                HeldPoint {
                    calls,
                    accepted,
                    pss_bytes: 5_000_000 + calls * 400 + accepted * 200,
                    shared_bytes: Some(calls * 300),
                },
            )
        };
        (1..=seconds).map(at).collect()
    }

    #[test]
    fn two_slopes_tell_calls_and_transactions_apart() {
        let held = held(&model(100));
        let near = |got: Option<f64>, want: f64| (got.expect("a slope") - want).abs() < 1.0;
        assert!(near(held.pss_bytes_per_call, 400.0), "{held:?}");
        assert!(near(held.shared_bytes_per_call, 300.0));
        assert!(near(held.bytes_per_accepted, 100.0));
        assert!(held.points.len() <= KEPT_MAX);
    }

    #[test]
    fn a_short_run_claims_nothing() {
        let held = held(&model(20));
        assert_eq!(
            (held.pss_bytes_per_call, held.bytes_per_accepted),
            (None, None)
        );
    }

    #[test]
    fn accepted_are_those_of_the_last_32_seconds() {
        let points = model(60);
        assert_eq!(accepted_since(&points, 20_000), 0);
        assert_eq!(accepted_since(&points, 40_500), 8_000);
    }
}
