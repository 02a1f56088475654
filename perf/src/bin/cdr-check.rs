//! `cdr-check`: joins truth logs with CDRs, prints a verdict as JSON, ends with 1 if it is bad.

use std::path::PathBuf;
use std::process::ExitCode;

use perf::truth::{Strictness, Truth, check, read_cdrs, read_truth};

const USAGE: &str = "usage: cdr-check [--tolerance-ms N] [--cut] --truth FILE... --cdr FILE|DIR...
Joins truth logs (of the built-in caller or of SIPp's <log> actions) with CDRs by Call-ID.
  --tolerance-ms N  how far durations may be apart (default 100)
  --cut             the router was stopped while calls were up";

/// Faults that are told in words; the rest is in the counts.
const EXPLAINED_MAX: usize = 20;

struct Wanted {
    strictness: Strictness,
    truth: Vec<PathBuf>,
    cdrs: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let Some(wanted) = arguments(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let mut truth = Truth::new();
    for path in &wanted.truth {
        if let Err(error) = read_truth(path, &mut truth) {
            eprintln!("cdr-check: {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    let cdrs = match read_cdrs(&wanted.cdrs) {
        Ok(cdrs) => cdrs,
        Err(error) => {
            eprintln!("cdr-check: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut told = 0;
    let verdict = check(&truth, &cdrs, wanted.strictness, &mut |fault| {
        told += 1;
        if told <= EXPLAINED_MAX {
            eprintln!("{fault}");
        }
    });
    println!("{}", verdict.to_json());
    if verdict.is_right() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn arguments(mut words: impl Iterator<Item = String>) -> Option<Wanted> {
    let mut wanted = Wanted {
        strictness: Strictness {
            tolerance_us: 100_000,
            is_cut: false,
        },
        truth: Vec::new(),
        cdrs: Vec::new(),
    };
    let mut is_cdr = None;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--tolerance-ms" => {
                let tolerance_ms: u64 = words.next()?.parse().ok()?;
                wanted.strictness.tolerance_us = tolerance_ms * 1000;
            }
            "--cut" => wanted.strictness.is_cut = true,
            "--truth" => is_cdr = Some(false),
            "--cdr" => is_cdr = Some(true),
            path if is_cdr? => wanted.cdrs.push(path.into()),
            path => wanted.truth.push(path.into()),
        }
    }
    (!wanted.truth.is_empty() && !wanted.cdrs.is_empty()).then_some(wanted)
}
