//! Runs seeds: so many, from one on, one alone with its tale, or as long as one likes.

#![forbid(unsafe_code)]
// The soak is the one thing here that is measured in real time.
#![allow(clippy::disallowed_methods)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use sim::swarm::{Failure, Outcome, kept_seeds, run_seed};

const USAGE: &str = "usage: sim [--seeds N] [--from SEED] [--seconds N] | --seed SEED";

/// After so many failing seeds the run stops: they have one cause.
const FAILURES_MAX: usize = 20;

#[derive(Debug)]
enum Task {
    /// This many seeds from one on.
    Seeds { from: u64, count: u64 },
    /// Seeds from one on, until the time is up.
    Soak { from: u64, seconds: u64 },
    /// One seed, with its tale.
    Replay { seed: u64 },
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match task(&arguments) {
        Ok(Task::Replay { seed }) => replay(seed),
        Ok(Task::Seeds { from, count }) => run(from, |done, _| done < count),
        Ok(Task::Soak { from, seconds }) => {
            run(from, |_, passed| passed < Duration::from_secs(seconds))
        }
        Err(word) => {
            eprintln!("sim: {word}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn task(arguments: &[String]) -> Result<Task, String> {
    let (mut from, mut count, mut seconds) = (1, 2_000, None);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or(format!("{word} wants a number"))?;
        let value: u64 = value
            .parse()
            .map_err(|_| format!("`{value}` is no number"))?;
        match word.as_str() {
            "--seeds" => count = value,
            "--from" => from = value,
            "--seconds" => seconds = Some(value),
            "--seed" => return Ok(Task::Replay { seed: value }),
            _ => return Err(format!("`{word}` is unknown")),
        }
    }
    Ok(match seconds {
        Some(seconds) => Task::Soak { from, seconds },
        None => Task::Seeds { from, count },
    })
}

fn replay(seed: u64) -> ExitCode {
    println!("{:#?}", sim::swarm::draw(seed));
    match run_seed(seed, true) {
        Ok(outcome) => {
            println!("seed {seed} holds: {outcome:?}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            for line in &failure.tale {
                println!("{line}");
            }
            println!("seed {seed} fails: {}", failure.error);
            ExitCode::FAILURE
        }
    }
}

fn run(from: u64, goes_on: impl Fn(u64, Duration) -> bool) -> ExitCode {
    let start = Instant::now();
    let mut sum = Outcome::default();
    let mut failures: Vec<(u64, Box<Failure>)> = Vec::new();
    let (mut done, mut fresh) = (0, from);
    let mut kept = kept_seeds().into_iter();
    while goes_on(done, start.elapsed()) && failures.len() < FAILURES_MAX {
        // What failed once comes first.
        let seed = kept.next().unwrap_or_else(|| {
            fresh += 1;
            fresh - 1
        });
        match run_seed(seed, false) {
            Ok(outcome) => {
                sum.calls += outcome.calls;
                sum.answered += outcome.answered;
                sum.records += outcome.records;
                sum.datagrams += outcome.datagrams;
                sum.hand_overs += outcome.hand_overs;
                sum.finals += outcome.finals;
                sum.invites += outcome.invites;
                sum.failed_over += outcome.failed_over;
                sum.overloaded += outcome.overloaded;
            }
            Err(failure) => failures.push((seed, failure)),
        }
        done += 1;
    }
    for (seed, failure) in &failures {
        println!(
            "seed {seed} fails: {}\n  replay: cargo run --release -p sim -- --seed {seed}\n",
            failure.error
        );
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{done} seeds in {seconds:.1} s, {} failed: {sum:?}",
        failures.len()
    );
    if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
