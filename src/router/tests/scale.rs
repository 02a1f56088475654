//! Many shards: calls from one address and port load all of them alike, and a call costs the same
//! work whether there is one shard or 64.

#![allow(clippy::unwrap_used)] // a test's own helpers may

mod bench;

use base::ShardId;
use bench::{CALLER, Setup, VENDOR, crlf, respond};
use shards::Handler;

/// The most calls on one shard may be so much more than the mean.
const HOTTEST_MAX: f64 = 1.1;

/// Call-IDs as callers write them: a counter first, a counter last, and random ones.
fn call_id(style: usize, number: usize) -> String {
    match style {
        0 => format!("{number}-4242@192.0.2.1"),
        1 => format!("b9f2-77aa-{number:08x}"),
        _ => format!(
            "{:016x}@192.0.2.1",
            (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ),
    }
}

fn hottest(loads: &[u64]) -> f64 {
    let sum: u64 = loads.iter().sum();
    let most = loads.iter().copied().max().unwrap_or(0);
    most as f64 * loads.len() as f64 / sum as f64
}

#[test]
fn a_hundred_thousand_calls_spread_evenly() {
    for shards in [2_u16, 16, 64] {
        let mut setup = Setup::new();
        setup.shards = shards;
        let solo = setup.solo();
        for style in 0..3 {
            let mut loads = vec![0; usize::from(shards)];
            for number in 0..100_000 {
                let call_id = call_id(style, number);
                let text = format!("INVITE sip:1@a SIP/2.0\r\nCall-ID: {call_id}\r\n\r\n");
                let owner = solo.handler().owner(text.as_bytes());
                loads[usize::from(owner.expect("it has a Call-ID").0)] += 1;
            }
            let hottest = hottest(&loads);
            assert!(
                hottest <= HOTTEST_MAX,
                "{shards} shards, style {style}: the hottest has {hottest:.3} of the mean"
            );
        }
    }
}

/// What a call costs, in things done: messages read, messages sent, deadlines, calls and records.
const WORK: [&str; 8] = [
    "requests",
    "responses",
    "responses_matched",
    "requests_taken",
    "attempts",
    "calls_answered",
    "acks_passed",
    "records",
];

/// Plays `calls` calls one after the other; returns the work of each kind and the messages that each
/// shard read.
fn play(shards: u16, is_steered: bool, calls: usize) -> (Vec<u64>, Vec<u64>) {
    let mut setup = Setup::new();
    setup.is_steered = is_steered;
    setup.shards = shards;
    setup.calls_max = calls.max(1_000);
    setup.transactions_max = 4 * calls.max(1_000);
    setup.limits.timers = 16 * calls.max(1_000);
    setup.limits.packets = [8 * calls as u32; 6];
    setup.limits.packets[4] = 16;
    setup.limits.packets[5] = 16;
    setup.limits.records = calls;
    let mut bench = setup.build();
    for _ in 0..calls {
        bench.call();
        bench.take();
    }
    let work = WORK.iter().map(|name| bench.counter(name)).collect();
    let at = |name| {
        let found = router::COUNTERS.iter().position(|def| def.name == name);
        found.expect("a counter")
    };
    let load = |shard| {
        let page = &bench.world.stats(ShardId(shard)).handler;
        page.get(at("requests")) + page.get(at("responses"))
    };
    (work, (0..shards).map(load).collect())
}

#[test]
fn one_source_address_loads_all_shards_and_a_call_costs_the_same() {
    const CALLS: usize = 1_600;
    let (alone, _) = play(1, false, CALLS);
    for (shards, is_steered) in [(16, false), (64, false), (64, true)] {
        let (work, loads) = play(shards, is_steered, CALLS);
        assert_eq!(work, alone, "{WORK:?} with {shards} shards and with one");
        assert!(loads.iter().all(|&load| load > 0), "{loads:?}");
        // Few calls on each: chance alone makes the hottest of 64 with 25 each 1.5 of the mean.
        let bound = 1.0 + 4.0 * (f64::from(shards) / CALLS as f64).sqrt();
        let hottest = hottest(&loads);
        assert!(
            hottest <= bound,
            "{shards} shards: {hottest:.3}, {bound:.3}"
        );
    }
}

/// The handed-over datagram is the same octets: what the owner makes of it does not depend on who
/// received it.
#[test]
fn a_message_handed_over_is_answered_as_one_that_was_not() {
    let answer = |shards: u16, is_steered: bool| {
        let mut setup = Setup::new();
        setup.shards = shards;
        setup.is_steered = is_steered;
        let mut bench = setup.build();
        let dialog = bench::Dialog::new("handed-over");
        bench.receive(CALLER, &crlf(&dialog.invite()));
        bench.run_ms(u64::from(shards));
        let sent = bench.take();
        let invite = sent.last().expect("it is forwarded").text();
        bench.receive(VENDOR, &crlf(&respond(&invite, "486 Busy Here", "callee")));
        bench.run_ms(u64::from(shards));
        let lines: Vec<String> = bench.take().iter().map(|it| it.first_line()).collect();
        (sent.len(), lines)
    };
    let alone = answer(1, false);
    assert_eq!(answer(64, false), alone);
    assert_eq!(answer(64, true), alone, "by a kernel that errs");
}
