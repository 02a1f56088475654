//! The generator against itself: callers and callees with nothing in between.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::net::SocketAddr;

use perf::load::{
    Arrivals, Mix, Moment, Plan, Report, Sink, Source, Spread, Timers, Transport, run,
};
use perf::ser::{Procedure, establish};
use perf::truth::{Truth, read_truth};

const ANY: &str = "127.0.0.1:0";
const ANY_V6: &str = "[::1]:0";

/// Callers and callees on free ports, straight to one another.
fn direct(address: &str, sources: usize, sinks: usize) -> Plan {
    let address: SocketAddr = address.parse().unwrap();
    Plan {
        sources: vec![Source::new(address); sources],
        sinks: vec![Sink::new(address); sinks],
        rate: 400.0,
        warm_up_ms: 300,
        duration_ms: 1_000,
        ring: Spread::fixed_ms(20),
        hold: Spread::fixed_ms(100),
        ..Plan::default()
    }
}

fn play(plan: &Plan) -> Report {
    run(plan, &mut |_| {}).unwrap()
}

/// Every call has gone well, and nothing had to be said twice.
fn assert_flawless(report: &Report, attempts: u64) {
    let calls = &report.calls;
    assert_eq!(calls.attempts, attempts, "{report:#?}");
    assert_eq!(
        (calls.established, calls.completed),
        (attempts, attempts),
        "{report:#?}"
    );
    assert_eq!(
        (calls.failed.total(), calls.unfinished, calls.held_back),
        (0, 0, 0),
        "{report:#?}"
    );
    assert_eq!(report.retransmissions_sent.total(), 0, "{report:#?}");
    assert_eq!(report.retransmissions_seen.total(), 0, "{report:#?}");
    let generator = &report.generator;
    assert_eq!(
        (generator.strays, generator.unsent, generator.ack_answered),
        (0, 0, 0)
    );
    for latency in [
        &report.latency.setup,
        &report.latency.answer,
        &report.latency.bye,
    ] {
        assert_eq!(latency.count, attempts, "{report:#?}");
        assert_eq!(latency.histogram().unwrap().len(), attempts);
    }
}

/// T1 so long that a machine that is busy elsewhere makes nobody repeat himself.
fn patient() -> Timers {
    Timers {
        t1_ms: 8_000,
        ..Timers::default()
    }
}

#[test]
fn calls_go_straight_through() {
    let plan = Plan {
        rate: 1_000.0,
        duration_ms: 2_000,
        timers: patient(),
        ..direct(ANY, 2, 3)
    };
    let mut moments = Vec::new();
    let report = run(&plan, &mut |progress| moments.push(progress)).unwrap();
    assert_flawless(&report, 2_000);
    // The ringing is in the answer and not in the set-up.
    assert!(report.latency.answer.p50_us >= 20_000);
    assert!(
        report.latency.answer.p50_us >= report.latency.setup.p50_us + 19_000,
        "{report:#?}"
    );
    let by_source: Vec<u64> = report
        .sources
        .iter()
        .map(|source| source.calls.attempts)
        .collect();
    assert_eq!(by_source, [1_000, 1_000]);
    // The warm-up's calls are in the sinks' counts; SIPp's would be, too.
    let offered: u64 = report.sinks.iter().map(|sink| sink.invites).sum();
    assert_eq!(offered, 2_300);
    let taken: u64 = report.sinks.iter().map(|sink| sink.byes).sum();
    assert_eq!(taken, 2_300);
    // In the counting time each call is 180, 200, 200 and INVITE, ACK, BYE: both sides are ours.
    let window = report.window;
    assert!(
        window.received > 0 && window.sent > 0 && window.seconds > 1.0,
        "{window:?}"
    );
    let sizes = report.sizes;
    assert_eq!(sizes.sent, sizes.received);
    assert_eq!(sizes.sent.in_order().count(), 6, "{sizes:?}");
    assert!(
        sizes.sent.invite > sizes.sent.ack && sizes.sent.bye > 200,
        "{sizes:?}"
    );
    let told: Vec<Moment> = moments.iter().map(|progress| progress.moment).collect();
    assert_eq!(told[0], Moment::Ready);
    assert!(told.contains(&Moment::WindowOpens) && told.contains(&Moment::WindowCloses));
    assert_eq!(moments[0].sinks.len(), 3);
    // A report is read back as it was written.
    let text = serde_json::to_string(&report).unwrap();
    let back: Report = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&back.plan, &back.calls, &back.sinks),
        (&report.plan, &report.calls, &report.sinks)
    );
    assert_eq!(back.latency.setup.hdr, report.latency.setup.hdr);
}

#[test]
fn poisson_arrivals_on_two_threads_make_exactly_what_was_asked() {
    let plan = Plan {
        arrivals: Arrivals::Poisson,
        attempts_max: Some(301),
        duration_ms: 20_000,
        cores: vec![0, 0],
        timers: patient(),
        ..direct(ANY, 3, 2)
    };
    let report = play(&plan);
    assert_flawless(&report, 301);
    assert_eq!(report.generator.cores.len(), 2);
    assert!(
        report.window.seconds < 15.0,
        "it ends with the last attempt"
    );
}

#[test]
fn sinks_refuse_and_ignore_their_shares() {
    let mut plan = Plan {
        timers: Timers {
            t1_ms: 100,
            t2_ms: 400,
            give_up_ms: 2_500,
            retransmits: true,
        },
        ..direct(ANY, 1, 1)
    };
    plan.sinks[0].refuse_per_mille = 250;
    plan.sinks[0].refuse_status = 486;
    plan.sinks[0].silent_per_mille = 100;
    let report = play(&plan);
    let calls = &report.calls;
    assert_eq!(calls.attempts, 400);
    assert_eq!(calls.refused.keys().copied().collect::<Vec<_>>(), [486]);
    assert_eq!(calls.failed.no_response, calls.failed.total(), "{calls:?}");
    assert_eq!(
        calls.established + calls.refused_total() + calls.failed.no_response,
        400
    );
    assert!((40..180).contains(&calls.refused_total()), "{calls:?}");
    assert!((10..80).contains(&calls.failed.no_response), "{calls:?}");
    // Each of the silent ones was asked again, and the sink saw it.
    assert!(report.retransmissions_sent.invite >= 3 * calls.failed.no_response);
    assert!(report.retransmissions_seen.invite >= 3 * calls.failed.no_response);
    assert_eq!(report.latency.refusal.count, calls.refused_total());
}

#[test]
fn a_refusal_that_nobody_expects_is_a_failure() {
    // Callers alone, against a generator that refuses and whose plan they do not know.
    let mut callee = Plan {
        sources: Vec::new(),
        duration_ms: 60_000,
        drain_ms: 0,
        ..direct(ANY, 0, 1)
    };
    callee.sinks[0].refuse_per_mille = 1000;
    let (tell, ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let told = &mut |progress: perf::load::Progress| {
            if progress.moment == Moment::Ready {
                tell.send(progress.sinks[0]).unwrap();
            }
        };
        run(&callee, told)
    });
    let caller = |target, refusals| Plan {
        targets: vec![target],
        refusals,
        attempts_max: Some(40),
        ..direct(ANY, 1, 0)
    };
    let target = ready.recv().unwrap();
    let failed = play(&caller(target, vec![486])).calls;
    assert_eq!(failed.failed.status, BTreeMap::from([(503, 40)]));
    assert_eq!((failed.refused_total(), failed.failed.total()), (0, 40));
    let refused = play(&caller(target, vec![486, 503])).calls;
    assert_eq!(refused.refused, BTreeMap::from([(503, 40)]));
    assert_eq!((refused.refused_total(), refused.failed.total()), (40, 0));
}

#[test]
fn a_caller_who_waits_too_long_hangs_up() {
    let plan = Plan {
        ring: Spread::fixed_ms(5_000),
        ring_ms_max: 200,
        attempts_max: Some(20),
        timers: patient(),
        ..direct(ANY, 1, 1)
    };
    let report = play(&plan);
    assert_eq!(report.calls.failed.no_answer, 20, "{report:#?}");
    assert_eq!(report.calls.failed.total(), 20);
    let cancelled = report.sinks[0].cancelled;
    assert_eq!(cancelled, report.sinks[0].invites);
    assert_eq!(report.latency.pdd.count, 20, "it did ring");
}

#[test]
fn held_calls_are_hung_up_at_the_end() {
    let plan = Plan {
        hold: "1h".parse().unwrap(),
        hang_up: true,
        timers: patient(),
        ..direct(ANY, 1, 1)
    };
    let report = play(&plan);
    assert_flawless(&report, 400);
    assert!(
        report.window.active > 200,
        "they were all held: {:?}",
        report.window
    );
}

#[test]
fn what_there_is_no_room_for_is_told() {
    let plan = Plan {
        calls_max: 10,
        hold: Spread::fixed_ms(200),
        timers: patient(),
        ..direct(ANY, 1, 1)
    };
    let report = play(&plan);
    assert!(report.calls.held_back > 0, "{report:#?}");
    assert_eq!(report.calls.attempts, report.calls.completed);
    assert!(report.generator.is_limit());
}

#[test]
fn version_six_and_streams_carry_calls_too() {
    for (address, transport) in [
        (ANY_V6, Transport::Udp),
        (ANY, Transport::Tcp),
        (ANY_V6, Transport::Tcp),
    ] {
        let plan = Plan {
            transport,
            timers: patient(),
            ..direct(address, 2, 2)
        };
        assert_flawless(&play(&plan), 400);
    }
}

#[test]
fn options_and_registers_are_asked_by_their_shares() {
    let plan = Plan {
        mix: Mix {
            calls: 1,
            options: 2,
            registers: 1,
        },
        timers: patient(),
        ..direct(ANY, 2, 1)
    };
    let report = play(&plan);
    let (options, registers) = (&report.options, &report.registers);
    let total = report.calls.attempts + options.attempts + registers.attempts;
    assert_eq!(total, 400);
    assert!(options.attempts > registers.attempts && registers.attempts > 50);
    assert_eq!(
        (options.answered, registers.answered),
        (options.attempts, registers.attempts)
    );
    assert_eq!(options.latency.count, options.attempts);
    assert_eq!(report.calls.completed, report.calls.attempts);
    assert_eq!(report.sinks[0].strays, 0);
}

#[test]
fn the_truth_is_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = Plan {
        warm_up_ms: 0,
        truth: Some(folder.path().join("truth.log")),
        cores: vec![0, 0],
        timers: patient(),
        ..direct(ANY, 2, 1)
    };
    plan.sinks[0].refuse_per_mille = 300;
    let report = play(&plan);
    assert_eq!(report.truth.len(), 2);
    let mut truth = Truth::new();
    for path in &report.truth {
        read_truth(path, &mut truth).unwrap();
    }
    assert_eq!(truth.len() as u64, report.calls.attempts);
    let answered = truth.values().filter(|seen| seen.answered_us.is_some());
    assert_eq!(answered.count() as u64, report.calls.established);
    let refused = truth.values().filter(|seen| seen.failed == Some(503));
    assert_eq!(refused.count() as u64, report.calls.refused_total());
    for seen in truth.values() {
        if let (Some(answered), Some(ended)) = (seen.answered_us, seen.ended_us) {
            assert!(ended >= answered + 100_000, "they were held for 100 ms");
        }
    }
}

#[test]
fn weights_share_out_the_attempts() {
    let mut plan = Plan {
        timers: patient(),
        ..direct(ANY, 3, 1)
    };
    plan.sources[1].weight = 6;
    let report = play(&plan);
    let by_source: Vec<u64> = report
        .sources
        .iter()
        .map(|source| source.calls.attempts)
        .collect();
    assert_eq!(by_source, [50, 300, 50]);
}

#[test]
fn the_rate_of_rfc_7502_is_searched_with_real_calls() {
    let procedure = Procedure {
        attempts: 20,
        run_s_min: 0.0,
        runs_max: 3,
        ..Procedure::default()
    };
    let plan = Plan {
        warm_up_ms: 0,
        hold: Spread::fixed_ms(0),
        timers: patient(),
        ..direct(ANY, 1, 1)
    };
    let mut told = Vec::new();
    let found = establish(&procedure, &plan, &mut |step| told.push(*step), &mut |_| {}).unwrap();
    assert_eq!(told, found.trace);
    let rates: Vec<f64> = told.iter().map(|step| step.rate).collect();
    assert_eq!(rates, [100.0, 110.0, 121.0]);
    assert!(
        told.iter()
            .all(|step| step.is_success() && step.attempts == 20),
        "{told:?}"
    );
    assert_eq!(
        (found.rate, found.best),
        (None, 121.0),
        "three runs do not settle"
    );
    let text = found.to_string();
    assert!(text.contains("not found; 121 was sustained"), "{text}");
}

#[test]
fn a_plan_that_cannot_be_played_says_why() {
    let taken = std::net::UdpSocket::bind(ANY).unwrap();
    let mut plan = direct(ANY, 1, 1);
    plan.sinks[0].address = taken.local_addr().unwrap();
    let error = run(&plan, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("cannot bind"), "{error}");
    let mut plan = direct(ANY, 1, 1);
    plan.cores = vec![999];
    let error = run(&plan, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("core 999"), "{error}");
}
