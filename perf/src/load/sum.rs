//! The report of a run, added up from what its threads have brought home.

use std::io;

use super::cores::CoreTimes;
use super::ports::{Size, Traffic};
use super::report::{Calls, Generator, MessageBytes, Report, SinkReport, Sizes, SourceReport};
use super::tally::{Outcome, SourceCounts, add_again, add_asked, add_calls};
use super::thread::truth_path;
use super::wire::Kind;
use super::{Again, Asked, Latencies, Plan, Wait, Window};
use crate::latency::Latency;

/// Above this share of its time a thread may not keep up with its schedule.
const OWN_SHARE_MAX: f64 = 0.9;
/// If one request of a hundred is later than this, latencies speak of the generator.
const LAG_P99_US_MAX: u64 = 5_000;
/// If the hypervisor takes more, nothing that is timed can be trusted.
const STEAL_SHARE_MAX: f64 = 0.05;

/// Adds up. The cores' times are those of the counting time.
pub(crate) fn report(
    plan: &Plan,
    outcomes: Vec<Outcome>,
    window: Window,
    busy: &[Option<CoreTimes>],
) -> io::Result<Report> {
    let mut report = Report {
        plan: plan.clone(),
        started_unix_ms: 0,
        calls: Calls::default(),
        sources: vec![SourceReport::default(); plan.sources.len()],
        sinks: vec![SinkReport::default(); plan.sinks.len()],
        options: Asked::default(),
        registers: Asked::default(),
        retransmissions_sent: Again::default(),
        retransmissions_seen: Again::default(),
        latency: Latencies::default(),
        window,
        sizes: Sizes::default(),
        generator: Generator::default(),
        truth: Vec::new(),
    };
    let mut sizes = SizeSums::default();
    let mut clocks = super::tally::Clocks::new();
    for (number, mut outcome) in outcomes.into_iter().enumerate() {
        outcome.truth?;
        if let (Some(path), false) = (&plan.truth, outcome.sources.is_empty()) {
            report.truth.push(truth_path(path, number));
        }
        let (sources, sinks) = (outcome.sources, outcome.sinks);
        add_seats(&mut report, sources, sinks);
        add_asked(&mut report.options, &outcome.options);
        add_asked(&mut report.registers, &outcome.registers);
        add_again(&mut report.retransmissions_sent, &outcome.sent_again);
        add_again(&mut report.retransmissions_seen, &outcome.seen_again);
        clocks.add(&mut outcome.clocks);
        let generator = &mut report.generator;
        generator.strays += outcome.strays;
        generator.ack_answered += outcome.ack_answered;
        generator.unsent += outcome.traffic.unsent;
        add_sizes(&mut sizes, &outcome.traffic);
        generator.dropped += outcome.dropped;
        let mut core = outcome.core;
        if let Some(times) = busy.get(number).copied().flatten() {
            core.busy_share = Some(times.busy_share());
            core.steal_share = Some(times.steal_share());
        }
        generator.cores.push(core);
    }
    report.sizes = Sizes {
        sent: mean_bytes(&sizes.0),
        received: mean_bytes(&sizes.1),
    };
    report.options.latency = Latency::of(&clocks.options);
    report.registers.latency = Latency::of(&clocks.registers);
    report.latency = Latencies {
        setup: Latency::of(&clocks.setup),
        setup_from_sent: Latency::of(&clocks.setup_from_sent),
        trying: Latency::of(&clocks.trying),
        pdd: Latency::of(&clocks.pdd),
        answer: Latency::of(&clocks.answer),
        bye: Latency::of(&clocks.bye),
        refusal: Latency::of(&clocks.refusal),
    };
    report.generator.lag = Latency::of(&clocks.lag);
    report.generator.limits = limits(&report);
    Ok(report)
}

/// What the sources and sinks of a thread have counted.
fn add_seats(report: &mut Report, sources: Vec<SourceCounts>, sinks: Vec<(usize, SinkReport)>) {
    for source in sources {
        add_calls(&mut report.calls, &source.calls);
        report.sources[source.place] = SourceReport {
            address: Some(source.address),
            calls: source.calls,
            setup: Latency::of(&source.setup),
        };
    }
    for (place, sink) in sinks {
        report.sinks[place] = sink;
    }
}

/// Lengths of what was sent and of what was received, by kind.
type SizeSums = ([Size; Kind::COUNT], [Size; Kind::COUNT]);

fn add_sizes(sums: &mut SizeSums, traffic: &Traffic) {
    let sent = sums.0.iter_mut().zip(&traffic.sizes_sent);
    let received = sums.1.iter_mut().zip(&traffic.sizes_received);
    for (sum, size) in sent.chain(received) {
        sum.count += size.count;
        sum.bytes += size.bytes;
    }
}

fn mean_bytes(sizes: &[Size; Kind::COUNT]) -> MessageBytes {
    let mean = |kind: Kind| {
        let size = sizes[kind as usize];
        (size.bytes + size.count / 2)
            .checked_div(size.count)
            .unwrap_or(0) as usize
    };
    MessageBytes {
        invite: mean(Kind::Invite),
        trying: mean(Kind::Trying),
        ringing: mean(Kind::Ringing),
        answer: mean(Kind::Answer),
        ack: mean(Kind::Ack),
        bye: mean(Kind::Bye),
        bye_ok: mean(Kind::ByeOk),
    }
}

/// Why the figures may be those of the generator.
fn limits(report: &Report) -> Vec<String> {
    let generator = &report.generator;
    let mut limits = Vec::new();
    for core in &generator.cores {
        let name = core
            .core
            .map_or("a thread".to_owned(), |core| format!("core {core}"));
        if report.plan.wait == Wait::Sleep && core.own_share > OWN_SHARE_MAX {
            let share = core.own_share * 100.0;
            limits.push(format!("{name} spent {share:.0} % of its time generating"));
        }
        if let Some(steal) = core.steal_share
            && steal > STEAL_SHARE_MAX
        {
            limits.push(format!(
                "the hypervisor took {:.0} % of {name}",
                steal * 100.0
            ));
        }
    }
    let lag = &generator.lag;
    if lag.p99_us > LAG_P99_US_MAX {
        limits.push(format!(
            "1 % of requests were sent {} us late or later",
            lag.p99_us
        ));
    }
    let counts = [
        (
            report.calls.held_back,
            "attempts were not made: calls_max were up",
        ),
        (
            generator.dropped,
            "datagrams were dropped at the generator's own sockets",
        ),
        (generator.unsent, "messages could not be sent"),
    ];
    for (count, what) in counts {
        if count > 0 {
            limits.push(format!("{count} {what}"));
        }
    }
    limits
}
