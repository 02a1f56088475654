//! Fault B31: a day of calls of every kind through one router, in a few seconds of virtual time.
//! After the warm-up nothing is allocated and nothing becomes resident; at the end nothing is held.
//!
//! A test binary of its own, with one test, because it counts every allocation of the process. The
//! long run is `make soak-memory`: `TRUNKLINE_SOAK_ROUNDS` says how many rounds there are.
#![allow(clippy::unwrap_used)] // a test's own helpers may

mod bench;
#[path = "../../../shards/tests/bench/counting.rs"]
mod counting;

use bench::script::{Script, Step};

/// Calls side by side in a round.
const CALLS: usize = 16;
/// Rounds of a day: one begins every 1 to 79 s.
const ROUNDS_OF_A_DAY: u64 = 24 * 3_600 / 40;
/// What resident memory may do besides: pages of the test's own stack, of the C library.
const RESIDENT_SLACK_BYTES: u64 = 512 * 1_024;

/// What becomes of the calls of a round, and whether they are answered.
const KINDS: [(&[Step], bool); 7] = [
    (Step::CALL, true),
    (Step::CALL, true),
    (Step::FAILOVER, true),
    (Step::REDIRECTED, true),
    (Step::CANCELLED, false),
    (Step::REFUSED, false),
    // Nobody hangs up: the longest duration ends it.
    (
        &[
            Step::Invite,
            Step::Trying,
            Step::Ringing,
            Step::Answer,
            Step::Ack,
        ],
        true,
    ),
];

#[test]
fn b31_a_day_of_calls_leaves_nothing_behind() {
    let rounds = std::env::var("TRUNKLINE_SOAK_ROUNDS");
    let rounds = rounds.map_or(ROUNDS_OF_A_DAY, |text| text.parse().expect("a number"));
    let warm_up = (rounds / 4).min(ROUNDS_OF_A_DAY);
    let mut script = Script::new(CALLS);
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |sides: usize| {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as usize % sides
    };
    let (mut answered, mut resident) = (0, 0);
    for round in 0..rounds {
        if round == warm_up {
            resident = resident_bytes();
            counting::begin();
        }
        let (steps, is_answered) = KINDS[draw(KINDS.len())];
        script.begin();
        for &step in steps {
            script.compose(step);
            script.deliver(step);
        }
        answered += u64::from(is_answered) * CALLS as u64;
        for _ in 0..=draw(79) {
            script.pause();
        }
    }
    counting::stop();
    assert_eq!(counting::count(), 0, "allocations after the warm-up");
    let grown = resident_bytes().saturating_sub(resident);
    assert!(
        grown < RESIDENT_SLACK_BYTES,
        "{grown} bytes became resident after the warm-up"
    );
    script.finish(rounds * CALLS as u64, answered);
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").expect("Linux tells");
    let line = text.lines().find(|line| line.starts_with("Rss:"));
    let word = line.and_then(|line| line.split_whitespace().nth(1));
    let kibibytes: u64 = word.and_then(|word| word.parse().ok()).expect("a number");
    kibibytes * 1_024
}
