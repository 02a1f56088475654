//! Counts of a thread: those that are watched while it runs, and those that it brings home.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use hdrhistogram::Histogram;

use super::ports::Traffic;
use super::report::{Again, Asked, Calls};
use super::{SinkReport, Window};
use crate::figures::Count;
use crate::latency::{Latency, histogram};

/// What a thread has done so far: it alone writes, the main thread reads.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) attempts: Count,
    pub(crate) established: Count,
    pub(crate) completed: Count,
    pub(crate) refused: Count,
    pub(crate) failed: Count,
    pub(crate) asked: Count,
    pub(crate) received: Count,
    pub(crate) sent: Count,
    pub(crate) again: Count,
    /// Calls up or being set up, of its callers; of its callees if it has no callers.
    pub(crate) active: Count,
    /// The thread's CPU time, some milliseconds old.
    pub(crate) cpu_us: Count,
    pub(crate) setup: crate::Histogram,
    /// No further attempts: they are made, or the time is over.
    pub(crate) is_over: AtomicBool,
}

impl Tally {
    /// Adds these counts to a sum.
    pub(crate) fn add_to(&self, window: &mut Window) {
        window.attempts += self.attempts.get();
        window.established += self.established.get();
        window.completed += self.completed.get();
        window.refused += self.refused.get();
        window.asked += self.asked.get();
        window.received += self.received.get();
        window.sent += self.sent.get();
        window.active += self.active.get();
    }

    pub(crate) fn end_attempts(&self) {
        self.is_over.store(true, Relaxed);
    }

    pub(crate) fn has_ended_attempts(&self) -> bool {
        self.is_over.load(Relaxed)
    }
}

/// Histograms of a thread.
#[derive(Clone, Debug)]
pub(crate) struct Clocks {
    pub(crate) setup: Histogram<u64>,
    pub(crate) setup_from_sent: Histogram<u64>,
    pub(crate) trying: Histogram<u64>,
    pub(crate) pdd: Histogram<u64>,
    pub(crate) answer: Histogram<u64>,
    pub(crate) bye: Histogram<u64>,
    pub(crate) refusal: Histogram<u64>,
    pub(crate) options: Histogram<u64>,
    pub(crate) registers: Histogram<u64>,
    pub(crate) lag: Histogram<u64>,
}

impl Clocks {
    pub(crate) fn new() -> Clocks {
        Clocks {
            setup: histogram(),
            setup_from_sent: histogram(),
            trying: histogram(),
            pdd: histogram(),
            answer: histogram(),
            bye: histogram(),
            refusal: histogram(),
            options: histogram(),
            registers: histogram(),
            lag: histogram(),
        }
    }

    fn each(&mut self) -> [&mut Histogram<u64>; 10] {
        [
            &mut self.setup,
            &mut self.setup_from_sent,
            &mut self.trying,
            &mut self.pdd,
            &mut self.answer,
            &mut self.bye,
            &mut self.refusal,
            &mut self.options,
            &mut self.registers,
            &mut self.lag,
        ]
    }

    /// Adds those of another thread.
    pub(crate) fn add(&mut self, other: &mut Clocks) {
        for (ours, theirs) in self.each().into_iter().zip(other.each()) {
            ours.add(&*theirs)
                .expect("all histograms have the same bounds");
        }
    }
}

/// What one source has counted.
#[derive(Clone, Debug)]
pub(crate) struct SourceCounts {
    /// Its place in the plan.
    pub(crate) place: usize,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) calls: Calls,
    pub(crate) setup: Histogram<u64>,
}

/// What a thread brings home.
pub(crate) struct Outcome {
    pub(crate) sources: Vec<SourceCounts>,
    /// With their places in the plan.
    pub(crate) sinks: Vec<(usize, SinkReport)>,
    pub(crate) options: Asked,
    pub(crate) registers: Asked,
    pub(crate) sent_again: Again,
    pub(crate) seen_again: Again,
    pub(crate) clocks: Clocks,
    pub(crate) strays: u64,
    pub(crate) ack_answered: u64,
    pub(crate) traffic: Traffic,
    pub(crate) dropped: u64,
    pub(crate) core: super::CoreReport,
    /// Why the truth log is not whole, if it is not.
    pub(crate) truth: io::Result<()>,
}

/// Adds calls to calls.
pub(crate) fn add_calls(sum: &mut Calls, calls: &Calls) {
    sum.attempts += calls.attempts;
    sum.established += calls.established;
    sum.completed += calls.completed;
    sum.held_back += calls.held_back;
    sum.unfinished += calls.unfinished;
    add_statuses(&mut sum.refused, &calls.refused);
    let (failed, more) = (&mut sum.failed, &calls.failed);
    failed.no_response += more.no_response;
    failed.no_final += more.no_final;
    failed.no_answer += more.no_answer;
    failed.bye_no_response += more.bye_no_response;
    failed.bad_answer += more.bad_answer;
    failed.broken += more.broken;
    add_statuses(&mut failed.status, &more.status);
    add_statuses(&mut failed.bye_status, &more.bye_status);
}

/// Adds requests to requests; latencies are made of the histograms.
pub(crate) fn add_asked(sum: &mut Asked, asked: &Asked) {
    sum.attempts += asked.attempts;
    sum.answered += asked.answered;
    sum.no_response += asked.no_response;
    add_statuses(&mut sum.refused, &asked.refused);
    add_statuses(&mut sum.failed, &asked.failed);
    sum.latency = Latency::default();
}

/// Adds repetitions to repetitions.
pub(crate) fn add_again(sum: &mut Again, again: &Again) {
    sum.invite += again.invite;
    sum.ack += again.ack;
    sum.bye += again.bye;
    sum.cancel += again.cancel;
    sum.options += again.options;
    sum.register += again.register;
    sum.invite_final += again.invite_final;
    sum.response += again.response;
}

type Statuses = std::collections::BTreeMap<u16, u64>;

fn add_statuses(sum: &mut Statuses, statuses: &Statuses) {
    for (status, count) in statuses {
        *sum.entry(*status).or_default() += count;
    }
}
