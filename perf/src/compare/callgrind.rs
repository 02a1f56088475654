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
use super::server::{Folder, Server, output_of};
use crate::load;

/// Calls a second of the two runs, for each shard, and how long a run lasts.
const RATES: [f64; 2] = [10.0, 60.0];
const SECONDS: f64 = 15.0;
/// Pairs of runs: they differ by a per cent, so that more would show nothing new.
const PAIRS_MAX: usize = 3;
/// How often a run is tried again in which messages were repeated, since those are counted, too.
const TRIES_MAX: usize = 4;

/// Counts `options.rounds` pairs of runs.
pub(crate) fn measure(
    entrant: Entrant,
    place: &Place,
    options: &Options,
    tell: &mut dyn FnMut(&str),
) -> io::Result<Instructions> {
    let mut instructions = Instructions::default();
    if output_of("valgrind", &["--version"]).is_none() {
        let words = "valgrind is not installed: it counts the instructions (Debian: valgrind)";
        return Err(io::Error::new(io::ErrorKind::NotFound, words));
    }
    // Each shard has as much to do as it would have alone, and so as many messages in a turn.
    let [few, many] = RATES.map(|rate| rate * f64::from(entrant.shards_count()));
    for _ in 0..options.rounds.clamp(1, PAIRS_MAX) {
        let few = run_undisturbed(entrant, place, options, few, tell)?;
        let many = run_undisturbed(entrant, place, options, many, tell)?;
        instructions.add(&few, &many);
        tell(&format!(
            "{}: {:.0} user instructions a call",
            entrant.key(),
            instructions.user_per_call.last().unwrap_or(&f64::NAN)
        ));
    }
    Ok(instructions)
}

/// What one run came to.
#[derive(Default)]
struct Counted {
    /// Calls that were completed.
    calls: u64,
    /// All instructions of the server.
    instructions: u64,
    /// Turns of its shards, if it is ours.
    turns: Option<u64>,
    /// Messages that crossed between its shards, if it is ours.
    handed_over: Option<u64>,
    /// Messages that somebody sent twice.
    repeated: u64,
}

impl Instructions {
    /// What grew from one run to the other, for each call more.
    fn add(&mut self, few: &Counted, many: &Counted) {
        let calls = many.calls as f64 - few.calls as f64;
        let slope = |few: u64, many: u64| (many as f64 - few as f64) / calls;
        self.user_per_call
            .push(slope(few.instructions, many.instructions));
        for run in [few, many] {
            self.runs.push((run.calls, run.instructions));
        }
        let grown = |few: Option<u64>, many: Option<u64>| Some(slope(few?, many?));
        self.turns_per_call.extend(grown(few.turns, many.turns));
        self.handed_over_per_call
            .extend(grown(few.handed_over, many.handed_over));
    }
}

/// A run in which no message came too late, which a busy machine may cause.
fn run_undisturbed(
    entrant: Entrant,
    place: &Place,
    options: &Options,
    rate: f64,
    tell: &mut dyn FnMut(&str),
) -> io::Result<Counted> {
    for _ in 0..TRIES_MAX {
        let counted = run(entrant, place, options, rate)?;
        if counted.repeated == 0 {
            return Ok(counted);
        }
        tell(&format!(
            "{}: {} messages were repeated: once more",
            entrant.key(),
            counted.repeated
        ));
    }
    let words = format!("messages were repeated in each of {TRIES_MAX} runs at {rate}/s");
    Err(io::Error::other(words))
}

fn run(entrant: Entrant, place: &Place, options: &Options, rate: f64) -> io::Result<Counted> {
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
    let counter = |name| match entrant {
        Entrant::Kamailio(..) => None,
        _ => server.counter(&place.trunkline, name),
    };
    let (turns, handed_over) = (counter("turns"), counter("handed_over"));
    server.stop()?;
    if report.calls.completed < report.calls.attempts {
        let words = format!(
            "{} of {} calls completed",
            report.calls.completed, report.calls.attempts
        );
        return Err(io::Error::other(words));
    }
    let (sent, seen) = (report.retransmissions_sent, report.retransmissions_seen);
    Ok(Counted {
        calls: report.calls.completed,
        instructions: sum_of_totals(&folder.0)?,
        turns,
        handed_over,
        repeated: sent.total() + seen.total(),
    })
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
    fn what_is_there_without_calls_is_left_out() {
        let run = |calls, instructions, turns, handed_over| Counted {
            calls,
            instructions,
            turns: Some(turns),
            handed_over,
            repeated: 0,
        };
        let mut counted = Instructions::default();
        counted.add(
            &run(100, 7_000, 1_100, None),
            &run(300, 17_000, 2_100, None),
        );
        counted.add(
            &run(100, 7_000, 100, Some(2)),
            &run(200, 12_000, 300, Some(302)),
        );
        assert_eq!(counted.user_per_call, [50.0, 50.0]);
        assert_eq!(counted.turns_per_call, [5.0, 2.0]);
        assert_eq!(counted.handed_over_per_call, [3.0]);
        let runs = [(100, 7_000), (300, 17_000), (100, 7_000), (200, 12_000)];
        assert_eq!(counted.runs, runs);
    }

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
