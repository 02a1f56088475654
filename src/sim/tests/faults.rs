//! The faults of the catalogue that belong to the simulator, by their ids.

use std::fs;
use std::path::Path;

use base::Time;
use sim::flow;
use sim::plan::{Link, Order, Plan};
use sim::swarm::{Accident, CallerHabits, Draw, Outcome, VendorHabits, run};

fn play(draw: &Draw) -> Outcome {
    match run(draw, false) {
        Ok(outcome) => outcome,
        Err(failure) => panic!("{}", failure.error),
    }
}

/// Runs the flows whose names begin so.
fn flows(prefix: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("flows");
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("the flows are beside the sources") {
        let file = entry.expect("a readable entry").path();
        let name = file
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if !name.starts_with(prefix) {
            continue;
        }
        count += 1;
        let text = fs::read_to_string(&file).expect("a readable file");
        let ran = flow::parse(&name, &text).and_then(|flow| flow::run(&flow));
        assert_eq!(ran, Ok(()));
    }
    assert!(count > 0, "no flow is named {prefix}…");
}

fn canary() -> Plan {
    Plan {
        has_canary: true,
        ..Plan::default()
    }
}

/// The canary's calls were all answered, and none had to wait.
fn canary_is_whole(draw: &Draw, outcome: &Outcome) {
    assert_eq!(outcome.canaries_answered, draw.canaries, "{outcome:?}");
    assert!(outcome.canary_setup_us_max < 250_000, "{outcome:?}");
}

#[test]
fn a4_calls_that_ring_for_ever() {
    // 10,000 INVITEs in ten seconds, and every vendor only rings: the trunk meets its own limit,
    // the canary does not notice, Timer C clears what is left.
    let draw = Draw {
        plan: Plan {
            vendors: 1,
            ring_ms: 0,
            max_calls: Some(1_000),
            ..canary()
        },
        calls: 10_000,
        canaries: 10,
        vendors: vec![VendorHabits::RINGS_FOR_EVER],
        ..Draw::default()
    };
    let outcome = play(&draw);
    assert_eq!(outcome.answered, draw.canaries);
    assert_eq!(outcome.overloaded, 9_000);
    canary_is_whole(&draw, &outcome);
}

#[test]
fn a9_blackhole() {
    // One of three gateways swallows everything from second 10 to second 40, at 20 calls/s. It goes
    // down after a second, so that no more than a second of calls has to wait, and no call is lost.
    let rate = 20;
    let cut = [
        Accident::CutOff {
            at: Time(10_000_000),
            vendor: 0,
        },
        Accident::Join {
            at: Time(40_000_000),
            vendor: 0,
        },
    ];
    let draw = Draw {
        plan: Plan {
            no_response_ms: 900,
            down_after: 2,
            hold_down_ms: 60_000,
            ..canary()
        },
        calls: 60 * rate,
        canaries: 60,
        span_us: 60_000_000,
        accidents: cut.to_vec(),
        ..Draw::default()
    };
    let outcome = play(&draw);
    assert_eq!(outcome.answered, draw.calls + draw.canaries, "{outcome:?}");
    // A second of calls, and chance: 20 are expected, 36 are three and a half deviations more.
    assert!((5..=36).contains(&outcome.failed_over), "{outcome:?}");
    canary_is_whole(&draw, &outcome);
}

#[test]
fn a11_retransmission_storm() {
    // Every request eleven times, three in ten datagrams lost both ways: one downstream INVITE and
    // one record a call all the same. The records are held against the calls by `run`.
    let draw = Draw {
        plan: Plan {
            vendors: 1,
            attempts_max: 1,
            no_response_ms: 20_000,
            ..Plan::default()
        },
        link: Link {
            loss: 300,
            ..Link::CLEAN
        },
        calls: 500,
        span_us: 30_000_000,
        caller: CallerHabits {
            is_stormy: true,
            talk_us_max: 5_000_000,
            ..CallerHabits::default()
        },
        ..Draw::default()
    };
    let outcome = play(&draw);
    assert!(outcome.invites <= outcome.calls, "{outcome:?}");
    assert!(outcome.answered * 100 >= outcome.calls * 95, "{outcome:?}");
    assert_eq!(outcome.records, outcome.calls, "{outcome:?}");
}

/// 3,400 calls over a bad network, in worlds of their own.
fn a12(loss: u32, answered_percent: usize) {
    let mut sum = (0, 0);
    for seed in 0..34 {
        let draw = Draw {
            plan: Plan {
                seed,
                shards: 1 + (seed % 4) as u16,
                ..Plan::default()
            },
            link: Link {
                loss,
                duplication: 50,
                delay_us_min: 1_000,
                delay_us_max: 11_000,
            },
            ..Draw::default()
        };
        let outcome = play(&draw);
        sum = (sum.0 + outcome.calls, sum.1 + outcome.answered);
    }
    assert_eq!(sum.0, 3_400);
    assert!(sum.1 * 100 >= sum.0 * answered_percent, "{sum:?}");
}

#[test]
fn a12_loss_dup_reorder_1_percent() {
    a12(10, 100);
}

#[test]
fn a12_loss_dup_reorder_5_percent() {
    a12(50, 100);
}

#[test]
fn a12_loss_dup_reorder_30_percent() {
    a12(300, 99);
}

#[test]
fn a13_forged_dialogs() {
    flows("a13_");
}

#[test]
fn a14_stray_and_forged_responses() {
    flows("a14_");
}

#[test]
fn a15_spoofed_cancel() {
    flows("a15_");
}

#[test]
fn a16_open_relay() {
    flows("a16_");
}

#[test]
fn a16_and_a17_forger_on_the_wire() {
    // A forger replays what it overhears, whole and with octets changed, from an address that is
    // nobody's. Traps, stray octets and harm to the calls are seen by `run`.
    for seed in 1..=6 {
        let draw = Draw {
            plan: Plan {
                seed,
                refuses_strangers: seed % 2 == 0,
                ..canary()
            },
            canaries: 10,
            forgeries: 900,
            ..Draw::default()
        };
        let outcome = play(&draw);
        assert_eq!(outcome.answered, draw.calls + draw.canaries, "{outcome:?}");
        canary_is_whole(&draw, &outcome);
    }
}

#[test]
fn a19_loops_and_amplification() {
    flows("a19_");
    // Two routers that point at each other, and calls that enter the loop: a handful of datagrams a
    // call, whatever Max-Forwards allows.
    for order in [Order::List, Order::Parallel] {
        let draw = Draw {
            plan: Plan {
                routers: 2,
                is_loop: true,
                vendors: 1,
                order,
                ..Plan::default()
            },
            calls: 50,
            ..Draw::default()
        };
        let outcome = play(&draw);
        assert_eq!(outcome.answered, 0);
        let most = draw.calls as u64 * 20;
        assert!(
            outcome.datagrams < most,
            "{} datagrams for 50 calls",
            outcome.datagrams
        );
    }
}

#[test]
fn a24_shard_starvation() {
    // All calls belong to one shard of four, a thousand of them within a millisecond, and its inbox
    // takes eight. What is too much is refused with 503 or dropped, the canary's calls go on.
    let mut overloaded = 0;
    for shard in 0..4 {
        let draw = Draw {
            plan: Plan {
                shards: 4,
                inbox: 8,
                ..canary()
            },
            calls: 1_000,
            canaries: 40,
            span_us: 1_000,
            caller: CallerHabits {
                aims_at: Some(shard),
                talk_us_max: 1_000,
                ..CallerHabits::default()
            },
            ..Draw::default()
        };
        let outcome = play(&draw);
        assert!(outcome.answered > draw.canaries, "{outcome:?}");
        assert_eq!(
            outcome.answered + outcome.overloaded,
            outcome.calls,
            "{outcome:?}"
        );
        overloaded += outcome.overloaded;
    }
    assert!(overloaded > 300, "the inbox was never full: {overloaded}");
}
