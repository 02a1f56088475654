//! Gateways that fail, flap and come back, by the clock.

use base::Time;
use proptest::prelude::*;

use super::{at, built, gateway, spec};
use crate::{
    Change, Gateway, GatewayState, Health, HealthEvent, HealthRules, Probe, SkipReason, Snapshot,
    Verdict,
};

use GatewayState::{Down, Returning, Up};
use HealthEvent::{AttemptOk, AttemptTimedOut, ProbeFailed, ProbeOk, TransportError};

/// Gateway g1 with three silent attempts to go down, 10 s of hold-down and 20 s of slow return.
fn world(probe: Option<Probe>) -> Snapshot {
    let mut spec = spec();
    spec.gateways[0].health = HealthRules {
        down_after: 3,
        hold_down_ms: 10_000,
        slow_return_ms: 20_000,
    };
    spec.gateways[0].probe = probe;
    built(&spec)
}

fn probe() -> Option<Probe> {
    Some(Probe {
        down_after: 2,
        up_after: 2,
        ..Probe::default()
    })
}

fn ms(ms: u64) -> Time {
    Time::from_millis(ms)
}

fn down(until_ms: u64) -> GatewayState {
    Down {
        until: ms(until_ms),
    }
}

fn returning(admit_per_mille: u16) -> GatewayState {
    Returning { admit_per_mille }
}

/// Plays events at their milliseconds and compares the state after each.
fn check(probe: Option<Probe>, rows: &[(u64, Option<HealthEvent>, GatewayState)]) {
    let world = world(probe);
    let g1 = gateway(&world, "g1");
    let mut health = Health::new(8);
    let mut told = Up;
    for &(at, event, want) in rows {
        let change = match event {
            Some(event) => health.apply(g1, event, ms(at)),
            None => health.tick(g1, ms(at)),
        };
        let state = health.state(g1.id, ms(at));
        assert_eq!(state, want, "at {at} ms after {event:?}");
        // Every change is told once, from what was told before, and nothing else is.
        match change {
            Some(Change { gateway, from, to }) => {
                assert_eq!((gateway, from.text(), to), (g1.id, told.text(), state));
                assert_ne!((told.text(), told), (to.text(), to), "at {at} ms");
                told = to;
            }
            None => assert_eq!(told.text(), state.text(), "at {at} ms"),
        }
    }
}

#[test]
fn silence_in_a_row_takes_it_down_and_an_answer_breaks_the_row() {
    check(
        None,
        &[
            (0, Some(AttemptTimedOut), Up),
            (1, Some(AttemptTimedOut), Up),
            (2, Some(AttemptOk), Up),
            (2_002, Some(AttemptTimedOut), Up),
            (2_003, Some(TransportError), Up),
            (2_004, Some(AttemptTimedOut), down(12_004)),
        ],
    );
}

/// Attempts wait side by side: an answer to one says that the gateway lived while the others waited,
/// whatever became of theirs.
#[test]
fn an_answer_meanwhile_excuses_silent_calls() {
    let mut events = vec![(500, Some(AttemptOk), Up)];
    events.extend((0..20).map(|at| (2_400 + at, Some(AttemptTimedOut), Up)));
    events.push((2_500, Some(AttemptTimedOut), Up));
    events.push((2_501, Some(AttemptTimedOut), Up));
    events.push((2_502, Some(AttemptTimedOut), down(12_502)));
    check(None, &events);
}

#[test]
fn an_answered_probe_does_not_excuse_silent_calls() {
    check(
        probe(),
        &[
            (0, Some(AttemptTimedOut), Up),
            (1, Some(ProbeOk), Up),
            (2, Some(AttemptTimedOut), Up),
            (3, Some(ProbeOk), Up),
            (4, Some(AttemptTimedOut), down(10_004)),
        ],
    );
}

#[test]
fn without_probes_it_returns_when_the_hold_down_is_over() {
    check(
        None,
        &[
            (0, Some(TransportError), Up),
            (0, Some(TransportError), Up),
            (0, Some(TransportError), down(10_000)),
            (9_999, None, down(10_000)),
            (10_000, None, returning(100)),
            (20_000, None, returning(550)),
            (25_000, Some(AttemptOk), returning(775)),
            (29_999, None, returning(999)),
            (30_000, None, Up),
        ],
    );
}

#[test]
fn with_probes_it_takes_good_ones_and_the_end_of_the_hold_down() {
    check(
        probe(),
        &[
            (0, Some(ProbeFailed), Up),
            (1_000, Some(ProbeFailed), down(11_000)),
            (2_000, Some(ProbeOk), down(11_000)),
            (3_000, Some(ProbeOk), down(11_000)),
            (4_000, Some(ProbeOk), down(11_000)),
            (12_000, None, down(11_000)),
            (13_000, Some(ProbeOk), returning(100)),
            (33_000, None, Up),
        ],
    );
    check(
        probe(),
        &[
            (0, Some(ProbeFailed), Up),
            (0, Some(ProbeFailed), down(10_000)),
            (11_000, Some(ProbeOk), down(10_000)),
            (12_000, Some(ProbeFailed), down(10_000)),
            (13_000, Some(ProbeOk), down(10_000)),
            (14_000, Some(ProbeOk), returning(100)),
        ],
    );
}

#[test]
fn one_lost_probe_is_no_failure() {
    check(
        probe(),
        &[
            (0, Some(ProbeFailed), Up),
            (1, Some(ProbeOk), Up),
            (2, Some(ProbeFailed), Up),
            (3, Some(ProbeFailed), down(10_003)),
        ],
    );
}

#[test]
fn b17_a_flapping_gateway_is_held_down_longer_each_time() {
    let world = world(None);
    let g1 = gateway(&world, "g1");
    let mut health = Health::new(8);
    let mut now = 0;
    for _ in 0..3 {
        health.apply(g1, TransportError, ms(now));
    }
    let mut held = Vec::new();
    for _ in 0..6 {
        let Down { until } = health.state(g1.id, ms(now)) else {
            panic!("it fell");
        };
        held.push(until.millis() - now);
        now = until.millis() + 1_000;
        assert!(matches!(health.state(g1.id, ms(now)), Returning { .. }));
        // While it returns, one silent attempt is enough.
        health.apply(g1, AttemptTimedOut, ms(now));
    }
    assert_eq!(held, [10_000, 20_000, 40_000, 80_000, 160_000, 160_000]);
    // A return that was completed makes it a gateway like others again.
    let Down { until } = health.state(g1.id, ms(now)) else {
        panic!("it fell");
    };
    let up = until.millis() + 20_000;
    assert_eq!(
        health.apply(g1, AttemptTimedOut, ms(up)).map(|c| c.to),
        Some(Up)
    );
    health.apply(g1, AttemptTimedOut, ms(up));
    health.apply(g1, AttemptTimedOut, ms(up));
    assert_eq!(health.state(g1.id, ms(up)), down(up + 10_000));
}

#[test]
fn what_was_under_way_when_it_fell_changes_nothing() {
    check(
        None,
        &[
            (0, Some(AttemptTimedOut), Up),
            (0, Some(AttemptTimedOut), Up),
            (0, Some(AttemptTimedOut), down(10_000)),
            (500, Some(AttemptTimedOut), down(10_000)),
            (600, Some(AttemptOk), down(10_000)),
            (700, Some(TransportError), down(10_000)),
        ],
    );
}

#[test]
fn passive_checks_can_be_off_and_a_return_immediate() {
    let mut spec = spec();
    spec.gateways[0].health = HealthRules {
        down_after: 0,
        hold_down_ms: 1_000,
        slow_return_ms: 0,
    };
    spec.gateways[0].probe = probe();
    let world = built(&spec);
    let g1 = gateway(&world, "g1");
    let mut health = Health::new(8);
    for _ in 0..1_000 {
        assert_eq!(health.apply(g1, AttemptTimedOut, ms(0)), None);
    }
    health.apply(g1, ProbeFailed, ms(0));
    assert!(health.apply(g1, ProbeFailed, ms(0)).is_some());
    health.apply(g1, ProbeOk, ms(2_000));
    assert_eq!(health.apply(g1, ProbeOk, ms(3_000)).map(|c| c.to), Some(Up));
}

#[test]
fn other_shards_believe_what_one_found_out() {
    let world = world(probe());
    let g1 = gateway(&world, "g1");
    let (mut here, mut there) = (Health::new(8), Health::new(8));
    here.apply(g1, ProbeFailed, ms(0));
    let change = here.apply(g1, ProbeFailed, ms(0)).expect("down");
    there.adopt(g1, change.to, ms(1));
    assert_eq!(there.state(g1.id, ms(1)), down(10_000));
    assert_eq!(
        there.tick(g1, ms(2)),
        None,
        "the finder has told the operator"
    );
    here.apply(g1, ProbeOk, ms(11_000));
    let change = here.apply(g1, ProbeOk, ms(12_000)).expect("returning");
    there.adopt(g1, change.to, ms(12_000));
    there.adopt(g1, change.to, ms(15_000));
    assert_eq!(
        there.state(g1.id, ms(22_000)),
        returning(550),
        "the first word counts"
    );
    // A fall while it returns is counted on both sides: the next hold-down doubles here, too.
    let change = here
        .apply(g1, AttemptTimedOut, ms(23_000))
        .expect("down again");
    assert_eq!(change.to, down(43_000));
    there.adopt(g1, change.to, ms(23_000));
    there.apply(g1, ProbeOk, ms(44_000));
    there.apply(g1, ProbeOk, ms(45_000));
    there.apply(g1, AttemptTimedOut, ms(46_000));
    assert_eq!(there.state(g1.id, ms(46_000)), down(86_000));
    there.adopt(g1, Up, ms(47_000));
    assert_eq!(there.state(g1.id, ms(47_000)), Up);
    there.adopt(g1, GatewayState::Maintenance, ms(47_000));
    assert_eq!(
        there.state(g1.id, ms(47_000)),
        Up,
        "maintenance comes by snapshot"
    );
}

#[test]
fn slow_return_admits_its_share() {
    let world = world(None);
    let g1 = gateway(&world, "g1");
    let mut health = Health::new(8);
    for _ in 0..3 {
        health.apply(g1, TransportError, ms(0));
    }
    for (at, share) in [(9_999, 0), (10_000, 100), (20_000, 550), (30_000, 1_000)] {
        let throws = 100_000_u64;
        let step = u64::MAX / throws;
        let admitted = (0..throws)
            .filter(|k| health.may_try(g1, ms(at), k * step))
            .count() as u64;
        let want = throws * share / 1_000;
        assert!(
            admitted.abs_diff(want) <= throws / 200,
            "{admitted} at {at} ms, not {want}"
        );
    }
    let first: Vec<Verdict> = (0..100)
        .map(|dice| health.verdict(g1, ms(10_000), dice))
        .collect();
    assert!(first.contains(&Verdict::Skip(SkipReason::SlowReturn)));
    assert_eq!(
        health.verdict(g1, ms(1), 0),
        Verdict::Skip(SkipReason::Down)
    );
}

#[test]
fn maintenance_stands_above_all() {
    let mut spec = spec();
    spec.gateways[0].maintenance = true;
    let world = built(&spec);
    let g1 = gateway(&world, "g1");
    let health = Health::new(8);
    assert_eq!(health.state_of(g1, ms(0)), GatewayState::Maintenance);
    assert_eq!(
        health.verdict(g1, ms(0), 0),
        Verdict::Skip(SkipReason::Maintenance)
    );
    assert_eq!(health.state(g1.id, ms(0)), Up);
}

#[test]
fn probes_are_spread_and_jittered() {
    let world = world(Some(Probe {
        interval_ms: 10_000,
        jitter_percent: 20,
        ..Probe::default()
    }));
    let g1 = gateway(&world, "g1");
    let health = Health::new(8);
    let after = |from: u64| health.next_probe(g1, ms(from)).expect("probed").0 - ms(from).0;
    let distances: Vec<u64> = (0..1_000).map(|n| after(n * 10_000)).collect();
    let (least, most) = (distances.iter().min(), distances.iter().max());
    assert!(
        (8_000_000..8_100_000).contains(least.expect("some")),
        "{least:?}"
    );
    assert!(
        (11_900_000..=12_000_000).contains(most.expect("some")),
        "{most:?}"
    );
    let first = |n: u64| health.first_probe(g1, ms(n)).expect("probed").0 - ms(n).0;
    assert!((0..1_000).all(|n| first(n) < 10_000_000));
    assert!((0..1_000).any(|n| first(n) < 500_000) && (0..1_000).any(|n| first(n) > 9_500_000));
    let unprobed = gateway(&world, "g2");
    assert_eq!(health.next_probe(unprobed, ms(0)), None);
    assert_eq!(health.first_probe(unprobed, ms(0)), None);
}

#[test]
fn a_gateway_that_moved_starts_afresh() {
    let old = world(None);
    let mut spec = spec();
    spec.gateways.remove(2);
    spec.routes.clear();
    spec.gateways[0].address = at("192.0.2.77:5060");
    let new = crate::build(&spec, 2, Some(&old)).expect("good");
    let mut health = Health::new(8);
    let fall = |health: &mut Health, name: &str| {
        for _ in 0..10 {
            health.apply(gateway(&old, name), TransportError, ms(0));
        }
    };
    for name in ["g1", "g2", "g3"] {
        fall(&mut health, name);
    }
    health.follow(&old, &new);
    let state = |name: &str| health.state(gateway(&old, name).id, ms(1));
    assert_eq!(state("g1"), Up, "at another address");
    assert!(matches!(state("g2"), Down { .. }), "where it was");
    assert_eq!(state("g3"), Up, "gone");
}

#[test]
fn beyond_the_capacity_all_is_up() {
    let world = world(None);
    let g4: &Gateway = gateway(&world, "g4");
    let mut health = Health::new(3);
    for _ in 0..100 {
        assert_eq!(health.apply(g4, TransportError, ms(0)), None);
    }
    health.adopt(g4, down(5), ms(0));
    assert_eq!((health.state(g4.id, ms(0)), health.capacity()), (Up, 3));
}

/// The worlds with the gateway and, after it moved, without; and what happens to it there.
fn play(health: &mut Health, worlds: &[Snapshot; 2], what: usize, now: Time) {
    let g1 = gateway(&worlds[0], "g1");
    let adopted = [
        Up,
        returning(100),
        Down {
            until: now.plus_millis(10_000),
        },
    ];
    let events = [
        ProbeOk,
        ProbeFailed,
        AttemptOk,
        AttemptTimedOut,
        TransportError,
    ];
    match what {
        0..5 => drop(health.apply(g1, events[what], now)),
        5..8 => health.adopt(g1, adopted[what - 5], now),
        8 => health.follow(&worlds[0], &worlds[1]),
        _ => drop(health.tick(g1, now)),
    }
}

proptest! {
    /// The flag that calls look at first is never ahead of what was found out, and no later than it.
    #[test]
    fn who_is_up_is_known_by_a_flag(
        is_probed: bool,
        steps in proptest::collection::vec((0_u64..9_000, 0_usize..10), 1..60),
    ) {
        let mut moved = spec();
        moved.gateways[0].address = at("192.0.2.99:5060");
        let worlds = [world(probe().filter(|_| is_probed)), built(&moved)];
        let g1 = gateway(&worlds[0], "g1");
        let (mut health, mut now_ms) = (Health::new(8), 0);
        for (passed_ms, what) in steps {
            now_ms += passed_ms;
            play(&mut health, &worlds, what, ms(now_ms));
            prop_assert_eq!(health.is_up(g1.id), health.state(g1.id, ms(now_ms)) == Up);
            if health.is_up(g1.id) {
                prop_assert_eq!(health.verdict(g1, ms(now_ms + passed_ms), 0), Verdict::Try);
            }
        }
    }
}
