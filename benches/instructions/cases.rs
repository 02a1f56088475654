//! The cases: what is set up before, and what of it is counted.

use std::hint::black_box;

use route::Prefixes;
use shards::{Handler, Random, Wheel};
use sip::Index;

use crate::peers::Setup;
use crate::peers::script::{Script, Step};
use crate::{Meter, turn};

/// One thing that is counted.
pub(crate) struct Case {
    /// `group/name`.
    pub(crate) name: &'static str,
    /// How many operations one round holds.
    pub(crate) operations: u64,
    /// Sets up, then hands its rounds to the meter.
    pub(crate) run: fn(&mut Meter),
}

/// Calls side by side in one round.
const CALLS: usize = 64;
/// Turns with a datagram each in one round.
const TURNS: usize = 16;

macro_rules! case {
    ($name:literal, $operations:expr, $run:expr) => {
        Case {
            name: $name,
            operations: $operations as u64,
            run: $run,
        }
    };
}

pub(crate) const CASES: &[Case] = &[
    case!("call/all", CALLS, |meter| call(meter, Step::CALL, None)),
    case!("call/all_with_timers", CALLS, call_with_timers),
    case!("call/wholesale", CALLS, |meter| call_in(
        meter,
        Setup::new().wholesale()
    )),
    case!("call/bordered", CALLS, |meter| call_in(
        meter,
        Setup::new().bordered()
    )),
    case!("call/capped", CALLS, |meter| call_in(
        meter,
        Setup::new().capped()
    )),
    case!("call/1_invite", CALLS, |meter| call(
        meter,
        Step::CALL,
        Some(Step::Invite)
    )),
    case!("call/2_trying", CALLS, |meter| call(
        meter,
        Step::CALL,
        Some(Step::Trying)
    )),
    case!("call/3_ringing", CALLS, |meter| call(
        meter,
        Step::CALL,
        Some(Step::Ringing)
    )),
    case!("call/4_answer", CALLS, |meter| call(
        meter,
        Step::CALL,
        Some(Step::Answer)
    )),
    case!("call/5_ack", CALLS, |meter| call(
        meter,
        Step::CALL,
        Some(Step::Ack)
    )),
    case!("call/6_bye", CALLS, |meter| call(
        meter,
        Step::CALL,
        Some(Step::Bye)
    )),
    case!("call/7_bye_ok", CALLS, |meter| call(
        meter,
        Step::CALL,
        Some(Step::ByeOk)
    )),
    case!("call/failover", CALLS, |meter| call(
        meter,
        Step::FAILOVER,
        None
    )),
    case!("call/cancelled", CALLS, |meter| call(
        meter,
        Step::CANCELLED,
        None
    )),
    case!("call/refused", CALLS, |meter| call(
        meter,
        Step::REFUSED,
        None
    )),
    case!("parse/invite", 100, |meter| parse(meter, Step::Invite)),
    case!("parse/ringing", 100, |meter| parse(meter, Step::Ringing)),
    case!("parse/answer", 100, |meter| parse(meter, Step::Answer)),
    case!("parse/bye", 100, |meter| parse(meter, Step::Bye)),
    case!("owner/invite", 100, |meter| owner(meter, Step::Invite)),
    case!("owner/answer", 100, |meter| owner(meter, Step::Answer)),
    case!("owner/bye", 100, |meter| owner(meter, Step::Bye)),
    case!("cdr/frame", 100, |meter| cdr_frame(meter)),
    case!("cdr/line", 100, |meter| cdr_line(meter, 1)),
    case!("cdr/line_of_three", 100, |meter| cdr_line(meter, 3)),
    case!("wheel/insert_and_cancel", 1_000, wheel),
    case!("prefix/longest_of_100k", 1_000, prefix),
    case!("turn/one_datagram", TURNS, |meter| {
        turn::alone(meter, TURNS, 1);
    }),
    case!("turn/batch_of_64", 64, |meter| turn::alone(meter, 1, 64)),
    case!("turn/one_handed_over", TURNS, |meter| {
        turn::handed_over(meter, TURNS, 1);
    }),
    case!("turn/batch_of_64_handed_over", 64, |meter| {
        turn::handed_over(meter, 1, 64);
    }),
];

/// A call by its steps; `only` counts one of them, none counts all.
fn call(meter: &mut Meter, steps: &[Step], only: Option<Step>) {
    let mut script = Script::new(CALLS);
    meter.rounds(|measure| {
        script.begin();
        for &step in steps {
            script.compose(step);
            if only.is_none_or(|only| only == step) {
                measure(&mut || script.deliver(step));
            } else {
                script.deliver(step);
            }
        }
        script.pause();
    });
}

/// The whole call in another world: where twenty vendors are asked for their prices, a list is looked
/// into and limits are kept; or where every message crosses borders and every number meets rules.
fn call_in(meter: &mut Meter, setup: Setup) {
    let mut script = Script::of(setup, CALLS);
    meter.rounds(|measure| {
        script.begin();
        for &step in Step::CALL {
            script.compose(step);
            measure(&mut || script.deliver(step));
        }
        script.pause();
    });
}

/// The whole call, with the deadlines, the housekeeping and the records of the second after it.
fn call_with_timers(meter: &mut Meter) {
    let mut script = Script::new(CALLS);
    meter.rounds(|measure| {
        script.begin();
        for &step in Step::CALL {
            script.compose(step);
            measure(&mut || script.deliver(step));
        }
        measure(&mut || script.pause());
    });
}

/// The message of a step, as the router gets it in a call.
fn message(wanted: Step) -> Vec<u8> {
    let mut script = Script::new(1);
    script.begin();
    for &step in Step::CALL {
        script.compose(step);
        if step == wanted {
            return script.message().to_vec();
        }
        script.deliver(step);
    }
    panic!("{wanted:?} is no step of a call");
}

fn parse(meter: &mut Meter, step: Step) {
    let bytes = message(step);
    let mut index = Index::new();
    meter.rounds(|measure| {
        measure(&mut || {
            for _ in 0..100 {
                let parsed = sip::parse(black_box(&bytes), &mut index);
                black_box(parsed.expect("a good message").cseq());
            }
        });
    });
}

/// Whose a message is, where the shards hand over.
fn owner(meter: &mut Meter, step: Step) {
    let bytes = message(step);
    let mut setup = Setup::new();
    setup.shards = 2;
    let router = setup.router();
    meter.rounds(|measure| {
        measure(&mut || {
            for _ in 0..100 {
                black_box(router.owner(black_box(&bytes)));
            }
        });
    });
}

/// The run of an ordinary call's names.
fn identity() -> Vec<u8> {
    let mut run = Vec::new();
    let identity = cdr::Identity {
        call_id: b"3848276298220188511@192.0.2.1",
        from_uri: b"sip:+12025550100@192.0.2.1",
        to_uri: b"sip:+442079460001@192.0.2.100:5060",
        request_uri: b"sip:+442079460001@192.0.2.100:5060",
        called: b"442079460001",
        calling: b"+12025550100",
        prefix: b"4420",
        cap: b"",
    };
    identity.write(&mut run);
    run
}

/// Gives the record of a call of a minute with so many attempts, the last of which was answered.
fn with_record(identity: &[u8], attempts: usize, give: &mut dyn FnMut(&cdr::Call<'_>)) {
    let began = base::Wall(1_793_246_430_123_456);
    let at = |us| began.plus_micros(us);
    let answered = cdr::Attempt {
        gateway: b"vendor-1-lon",
        carrier: b"vendor-1",
        address: ([198, 51, 100, 17], 5060).into(),
        progress: Some(at(1_200_000)),
        answered: Some(at(7_654_321)),
        ended: at(68_000_000),
        status: 200,
        q850: 16,
        cause: cdr::Cause::Answered,
        ..cdr::Attempt::EMPTY
    };
    let tries: Vec<cdr::Attempt<'_>> = (1..=attempts)
        .map(|number| cdr::Attempt {
            number: number as u8,
            started: at(500 + 2_000_000 * (number as u64 - 1)),
            ..answered
        })
        .collect();
    give(&cdr::Call {
        id: b"lon-1-0000c80000000001-00065eb1c2d3e4f5",
        node: b"lon-1",
        generation: 12,
        identity,
        ingress_trunk: b"customer-1",
        ingress_carrier: b"customer-1",
        source: ([192, 0, 2, 1], 5060).into(),
        started: began,
        ringing: Some(at(1_200_000)),
        answered: Some(at(7_654_321)),
        ended: at(68_000_000),
        duration_us: 60_345_679,
        pdd_us: Some(1_200_000),
        status: 200,
        q850: 16,
        hung_up: cdr::Party::Caller,
        cause: cdr::Cause::CallerHungUp,
        egress_gateway: b"vendor-1-lon",
        egress_carrier: b"vendor-1",
        attempts: &tries,
        ..cdr::Call::EMPTY
    });
}

/// What a shard does for a record, once it has the fields.
fn cdr_frame(meter: &mut Meter) {
    let mut out = vec![0; cdr::FRAME_BYTES_MAX];
    with_record(&identity(), 1, &mut |call| {
        meter.rounds(|measure| {
            measure(&mut || {
                for _ in 0..100 {
                    let len = cdr::encode(black_box(call), &mut out);
                    black_box(len.expect("it fits"));
                }
            });
        });
    });
}

/// What the writer does for a record, but for the file.
fn cdr_line(meter: &mut Meter, attempts: usize) {
    let mut frame = vec![0; cdr::FRAME_BYTES_MAX];
    with_record(&identity(), attempts, &mut |call| {
        let len = cdr::encode(call, &mut frame).expect("it fits");
        frame.truncate(len);
    });
    let mut lines = cdr::Lines::new();
    meter.rounds(|measure| {
        measure(&mut || {
            for _ in 0..100 {
                let line = lines.of_frame(black_box(&frame));
                black_box(line.expect("our own frame"));
            }
        });
    });
}

fn wheel(meter: &mut Meter) {
    let mut random = Random::new(1, 0);
    let mut wheel = Wheel::new(20_000);
    let now = base::Time::from_millis(123_456_789);
    assert_eq!(wheel.pop(now, &mut 1_000), None);
    let mut arm = |wheel: &mut Wheel| {
        let deadline = now.plus_millis(500 + random.below(180_000));
        wheel.insert(deadline, 1).expect("room")
    };
    let mut armed: std::collections::VecDeque<_> = (0..10_000).map(|_| arm(&mut wheel)).collect();
    meter.rounds(|measure| {
        measure(&mut || {
            for _ in 0..1_000 {
                armed.push_back(arm(&mut wheel));
                let oldest = armed.pop_front().expect("there are many");
                assert!(wheel.cancel(black_box(oldest)));
            }
        });
    });
}

fn prefix(meter: &mut Meter) {
    let mut random = Random::new(2, 0);
    let mut deck = std::collections::BTreeSet::new();
    while deck.len() < 100_000 {
        let country = ["1", "44", "49", "86", "91", "7", "55", "234"][random.below(8) as usize];
        let width = 3 + random.below(5) as usize;
        let rest = random.below(10_u64.pow(width as u32));
        deck.insert(format!("{country}{rest:0width$}"));
    }
    let sorted: Vec<(&[u8], u32)> = deck.iter().map(String::as_bytes).zip(0..).collect();
    let table = Prefixes::build(&sorted);
    let numbers: Vec<String> = deck
        .iter()
        .step_by(100)
        .map(|prefix| format!("{prefix}{:06}", random.below(1_000_000)))
        .collect();
    meter.rounds(|measure| {
        measure(&mut || {
            for number in &numbers {
                black_box(table.longest(black_box(number.as_bytes())));
            }
        });
    });
}
