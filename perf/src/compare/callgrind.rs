//! User instructions for a call, by callgrind: the same to within a per cent on any machine and
//! however busy it is, which no clock can say.
//!
//! The server runs under valgrind, all its threads and children, and gets two numbers of calls in
//! the same time. The difference of instructions over the difference of calls leaves out what it
//! takes to start, to end and to keep timers. The rates are low, because valgrind is slow: every
//! datagram comes alone, so a server that works in batches shows its dearest side.

use std::fs;
use std::io;
use std::path::Path;

use super::entrant::{Entrant, Place};
use super::measure;
use super::results::{Instructions, Options};
use super::server::{Folder, Server};
use crate::load;

/// Calls a second of the two runs, and how long each lasts.
const RATES: [f64; 2] = [10.0, 40.0];
const SECONDS: f64 = 15.0;

pub(crate) fn measure(
    entrant: Entrant,
    place: &Place,
    options: &Options,
    tell: &mut dyn FnMut(&str),
) -> io::Result<Instructions> {
    let mut instructions = Instructions::default();
    for _ in 0..options.rounds.clamp(1, PAIRS_MAX) {
        let mut pair = Vec::new();
        for rate in RATES {
            pair.push(run(entrant, place, options, rate)?);
        }
        let [(few, less), (many, more)] = pair[..] else {
            unreachable!("one run for each of the two rates")
        };
        let per_call = (more as f64 - less as f64) / (many as f64 - few as f64);
        tell(&format!(
            "{}: {per_call:.0} user instructions a call",
            entrant.key()
        ));
        instructions.runs.extend(pair);
        instructions.user_per_call.push(per_call);
    }
    Ok(instructions)
}

/// Pairs of runs: they differ by a per cent, so that more would show nothing new.
const PAIRS_MAX: usize = 3;

/// One run: calls that were completed, and all instructions of the server.
fn run(entrant: Entrant, place: &Place, options: &Options, rate: f64) -> io::Result<(u64, u64)> {
    let folder = Folder::new()?;
    let counts = folder.0.join("count.%p");
    let wrapper = [
        "valgrind".to_owned(),
        "--tool=callgrind".to_owned(),
        format!("--callgrind-out-file={}", counts.display()),
    ];
    let mut server = Server::start_under(entrant, &place.patient(), &wrapper)?;
    let mut plan = measure::plan(entrant, place, options, rate);
    plan.warm_up_ms = 0;
    plan.duration_ms = (SECONDS * 1e3) as u64;
    let report = load::run(&plan, &mut |_: load::Progress| ())?;
    server.stop()?;
    if report.calls.completed < report.calls.attempts {
        let words = format!(
            "{} of {} calls completed",
            report.calls.completed, report.calls.attempts
        );
        return Err(io::Error::other(words));
    }
    Ok((report.calls.completed, sum_of_totals(&folder.0)?))
}

fn sum_of_totals(folder: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        sum += totals(&fs::read_to_string(entry?.path())?).unwrap_or(0);
    }
    match sum {
        0 => Err(io::Error::other("callgrind has counted nothing")),
        _ => Ok(sum),
    }
}

/// What a file says at its end; a process that was ended hard says it at its beginning only.
fn totals(file: &str) -> Option<u64> {
    let line = file.lines().rev().find_map(|line| {
        line.strip_prefix("totals:")
            .or_else(|| line.strip_prefix("summary:"))
    })?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_totals_of_a_file() {
        let check = |file: &str, want| assert_eq!(totals(file), want);
        check(
            "version: 1\nsummary: 17\n\nfn=(1)\n3 4\n\ntotals: 18\n",
            Some(18),
        );
        check("version: 1\nsummary: 17\n", Some(17));
        check("version: 1\n", None);
    }
}
