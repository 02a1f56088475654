//! Runs the seeds that once failed, and some fresh ones.

use sim::swarm::{kept_seeds, run_seed};

fn check(seeds: impl Iterator<Item = u64>) {
    let mut failures = Vec::new();
    let mut calls = 0;
    for seed in seeds {
        match run_seed(seed, false) {
            Ok(outcome) => calls += outcome.calls,
            Err(failure) => failures.push(format!(
                "seed {seed}: {}\n  replay: cargo run --release -p sim -- --seed {seed}",
                failure.error
            )),
        }
    }
    assert!(calls > 0, "no call was placed");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn seeds_that_found_something_once() {
    check(kept_seeds().into_iter());
}

#[test]
fn fresh_seeds() {
    check(100_001..=100_250);
}

#[test]
fn a_seed_repeats_its_world() {
    for seed in [7, 8, 9] {
        let once = run_seed(seed, true);
        let again = run_seed(seed, true);
        assert_eq!(format!("{once:?}"), format!("{again:?}"));
    }
}
