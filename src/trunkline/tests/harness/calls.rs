//! Calls by our own peers, so many as are asked for.

use std::net::SocketAddr;
use std::time::Duration;

use perf::Figures;
use perf::peers::{Caller, CallerSpec, Habit, Vendor, VendorSpec};

use super::{PATIENCE, wait_for};

const ANSWERS: Habit = Habit::Answers {
    ring: Duration::ZERO,
    answer: Duration::from_millis(10),
};

/// A vendor that answers.
pub fn vendor(at: SocketAddr) -> Vendor {
    Vendor::start(VendorSpec::new(at, ANSWERS)).expect("the vendor starts")
}

/// Places so many calls, so many a second, and waits for the last to end.
pub fn place(
    (from, to): (SocketAddr, SocketAddr),
    number: &str,
    (calls, rate): (u64, u32),
    hold: Duration,
) -> Figures {
    let mut spec = CallerSpec::new(from, to, rate);
    spec.calls_max = calls;
    spec.hold = hold;
    spec.numbers = vec![number.to_owned()];
    let caller = Caller::start(spec).expect("the caller starts");
    wait_for("all calls end", 4 * PATIENCE, || {
        caller.is_finished().then_some(())
    });
    let figures = caller.stop(PATIENCE).expect("the caller stops");
    assert_eq!(figures.placed, calls, "{figures:?}");
    figures
}
