//! What a call costs the allocator once the generator is warm: nothing.
//!
//! A test binary of its own, with one test, because it counts the allocations of all threads but
//! its own.
#![allow(clippy::unwrap_used)] // a test that cannot go on says where

#[path = "../../shards/tests/bench/counting.rs"]
mod counting;

use perf::load::{Moment, Plan, Progress, Sink, Source, Spread, Timers, run};

#[test]
fn calls_allocate_nothing() {
    counting::watch();
    let address = "127.0.0.1:0".parse().unwrap();
    let mut plan = Plan {
        sources: vec![Source::new(address); 2],
        sinks: vec![Sink::new(address); 2],
        rate: 500.0,
        warm_up_ms: 500,
        duration_ms: 1_500,
        ring: Spread::fixed_ms(10),
        hold: Spread::fixed_ms(50),
        timers: Timers {
            t1_ms: 8_000,
            ..Timers::default()
        },
        ..Plan::default()
    };
    let watch = |progress: Progress| {
        match progress.moment {
            Moment::WindowOpens => counting::begin(),
            Moment::WindowCloses => counting::stop(),
            Moment::Ready | Moment::Second => {}
        };
    };
    let report = run(&plan, &mut { watch }).unwrap();
    assert_eq!(report.calls.completed, 750, "{:?}", report.calls);
    assert_eq!(counting::count(), 0, "for 750 calls");

    // Refusals and silence likewise, but for one entry of a map for each status and source.
    plan.sinks[0].refuse_per_mille = 300;
    plan.sinks[1].silent_per_mille = 100;
    plan.drain_ms = 500;
    let report = run(&plan, &mut { watch }).unwrap();
    assert!(report.calls.refused_total() > 50, "{:?}", report.calls);
    let allocations = counting::count();
    assert!(
        allocations <= 2,
        "{allocations} for {} calls",
        report.calls.attempts
    );
}
