//! What a run of load has shown.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Plan;
use crate::latency::Latency;

/// What a run has shown. "Counted" means: begun within the plan's counting time, whenever it ended.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// What was asked for.
    pub plan: Plan,
    /// When the run began, in milliseconds of the Unix epoch.
    pub started_unix_ms: u64,
    /// What became of the counted calls.
    pub calls: Calls,
    /// The same for each source, in the plan's order.
    pub sources: Vec<SourceReport>,
    /// What each sink was asked and did, in the plan's order; SIPp's calls count as well.
    pub sinks: Vec<SinkReport>,
    /// OPTIONS.
    pub options: Asked,
    /// REGISTER.
    pub registers: Asked,
    /// Counted messages that were sent again, by callers and sinks.
    pub retransmissions_sent: Again,
    /// Counted messages that came again, at callers and sinks.
    pub retransmissions_seen: Again,
    /// How long things took.
    pub latency: Latencies,
    /// What passed between the moment when counting began and the moment when it ended, of
    /// whatever call: what a CPU time of the same moments is to be divided by.
    pub window: Window,
    /// How long the messages of calls were.
    pub sizes: Sizes,
    /// The generator itself.
    pub generator: Generator,
    /// The truth logs that were written.
    pub truth: Vec<PathBuf>,
}

/// What became of calls.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Calls {
    /// INVITEs sent, each once.
    pub attempts: u64,
    /// Those that a 2xx answered.
    pub established: u64,
    /// Those whose BYE was answered, too.
    pub completed: u64,
    /// Refused as the plan expects, by status.
    pub refused: BTreeMap<u16, u64>,
    /// Failed before or after the answer.
    pub failed: Failures,
    /// Attempts that were due and not made, because `calls_max` were up.
    pub held_back: u64,
    /// Neither failed nor over when the run ended.
    pub unfinished: u64,
}

impl Calls {
    /// All refusals together.
    #[must_use]
    pub fn refused_total(&self) -> u64 {
        self.refused.values().sum()
    }
}

/// Failures by cause. A call is counted under one of them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Failures {
    /// Nothing came back at all.
    pub no_response: u64,
    /// Provisional responses came, a final one did not.
    pub no_final: u64,
    /// A final response that the plan does not expect, by status.
    pub status: BTreeMap<u16, u64>,
    /// It rang until the caller sent CANCEL.
    pub no_answer: u64,
    /// Answered, but nobody answered the BYE.
    pub bye_no_response: u64,
    /// Answered, but the BYE was refused, by status.
    pub bye_status: BTreeMap<u16, u64>,
    /// A 2xx from which no dialog could be made: no tag, no Contact, or too large a route set.
    pub bad_answer: u64,
    /// The connection broke (TCP).
    pub broken: u64,
}

impl Failures {
    /// All causes together.
    #[must_use]
    pub fn total(&self) -> u64 {
        let by_status = self.status.values().chain(self.bye_status.values());
        let others = [
            self.no_response,
            self.no_final,
            self.no_answer,
            self.bye_no_response,
            self.bad_answer,
            self.broken,
        ];
        by_status.chain(&others).sum()
    }

    /// In-dialog requests refused with 503: what an overloaded router must never do.
    #[must_use]
    pub fn bye_503(&self) -> u64 {
        self.bye_status.get(&503).copied().unwrap_or(0)
    }
}

/// What one source has seen.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct SourceReport {
    /// Where it sent from.
    pub address: Option<SocketAddr>,
    /// What became of its calls.
    pub calls: Calls,
    /// INVITE to 2xx, less the ringing, from the time when the INVITE was due.
    pub setup: Latency,
}

/// What one sink was asked and did, in the counted time and outside it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SinkReport {
    /// Where it listened.
    pub address: Option<SocketAddr>,
    /// Calls offered, each once.
    pub invites: u64,
    /// Answered with 200.
    pub answered: u64,
    /// 200s whose ACK came.
    pub acknowledged: u64,
    /// Refused.
    pub refused: u64,
    /// Left without any response.
    pub silent: u64,
    /// Ended by CANCEL.
    pub cancelled: u64,
    /// Ended by BYE.
    pub byes: u64,
    /// OPTIONS answered.
    pub options: u64,
    /// REGISTERs answered.
    pub registers: u64,
    /// 200s whose ACK never came.
    pub unacknowledged: u64,
    /// Calls that there was no room for: nothing was answered.
    pub held_back: u64,
    /// Requests for dialogs that are not there: answered with 481.
    pub strays: u64,
}

/// Requests that are not calls.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Asked {
    /// Sent, each once.
    pub attempts: u64,
    /// Answered with a 2xx.
    pub answered: u64,
    /// Refused as the plan expects, by status.
    pub refused: BTreeMap<u16, u64>,
    /// Another final response, by status.
    pub failed: BTreeMap<u16, u64>,
    /// No final response.
    pub no_response: u64,
    /// Request to final response, from the time when the request was due.
    pub latency: Latency,
}

/// Messages that went out or came in again, by kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Again {
    /// INVITE.
    pub invite: u64,
    /// ACK (sent again because a final response came again).
    pub ack: u64,
    /// BYE.
    pub bye: u64,
    /// CANCEL.
    pub cancel: u64,
    /// OPTIONS.
    pub options: u64,
    /// REGISTER.
    pub register: u64,
    /// Final responses to INVITE.
    pub invite_final: u64,
    /// Other responses.
    pub response: u64,
}

impl Again {
    /// All kinds together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.invite
            + self.ack
            + self.bye
            + self.cancel
            + self.options
            + self.register
            + self.invite_final
            + self.response
    }
}

/// How long things took, in the counted calls.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Latencies {
    /// INVITE to 2xx less the ringing (as a sink of ours tells it in the 2xx), from the time when
    /// the INVITE was **due**: no omission is coordinated with the router.
    pub setup: Latency,
    /// The same from the time when the INVITE was really sent: without the generator's own lag.
    pub setup_from_sent: Latency,
    /// INVITE due to the first response, of any kind.
    pub trying: Latency,
    /// INVITE due to the first of 180 to 189, or the 2xx if none came: post-dial delay.
    pub pdd: Latency,
    /// INVITE due to 2xx, with the ringing.
    pub answer: Latency,
    /// BYE due to its final response.
    pub bye: Latency,
    /// INVITE due to a refusal.
    pub refusal: Latency,
}

/// What passed in the counting time, of whatever call.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Window {
    /// How long it was.
    pub seconds: f64,
    /// Calls attempted.
    pub attempts: u64,
    /// Calls answered.
    pub established: u64,
    /// Calls whose BYE was answered.
    pub completed: u64,
    /// Calls refused, as the plan expects or not.
    pub refused: u64,
    /// OPTIONS and REGISTERs answered.
    pub asked: u64,
    /// Messages received, by callers and sinks.
    pub received: u64,
    /// Messages sent, by callers and sinks.
    pub sent: u64,
    /// Calls up or being set up when it ended.
    pub active: u64,
}

/// How long the messages of calls were on average, as callers and sinks sent them and as they
/// received them: what went into a router in between, and what came out of it.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Sizes {
    /// As they were sent.
    pub sent: MessageBytes,
    /// As they were received.
    pub received: MessageBytes,
}

/// The mean length of each message of a call; 0 = there was none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct MessageBytes {
    /// INVITE.
    pub invite: usize,
    /// 100 for INVITE.
    pub trying: usize,
    /// 180 and its like.
    pub ringing: usize,
    /// 200 for INVITE.
    pub answer: usize,
    /// ACK.
    pub ack: usize,
    /// BYE.
    pub bye: usize,
    /// 200 for BYE.
    pub bye_ok: usize,
}

impl MessageBytes {
    /// The lengths of those that there were, in the order of a call.
    pub fn in_order(&self) -> impl Iterator<Item = usize> {
        [
            self.invite,
            self.trying,
            self.ringing,
            self.answer,
            self.ack,
            self.bye,
            self.bye_ok,
        ]
        .into_iter()
        .filter(|&bytes| bytes > 0)
    }
}

/// The generator itself.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Generator {
    /// Each of its threads.
    pub cores: Vec<CoreReport>,
    /// How late requests were sent against their schedule.
    pub lag: Latency,
    /// Datagrams that the kernel dropped because the generator did not take them in time.
    pub dropped: u64,
    /// Messages that could not be sent: the kernel said no, or the connection was broken.
    pub unsent: u64,
    /// What was received and is no SIP, or belongs to no call of ours.
    pub strays: u64,
    /// Responses to ACK: there must be none.
    pub ack_answered: u64,
    /// Why the generator, and not what it was aimed at, may have been the limit. None = it was not.
    pub limits: Vec<String>,
}

impl Generator {
    /// Whether the figures may be those of the generator.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        !self.limits.is_empty()
    }
}

/// One thread of the generator in the counting time.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct CoreReport {
    /// The core it was pinned to.
    pub core: Option<usize>,
    /// The thread's CPU time per second.
    pub own_share: f64,
    /// The whole core's busy time per second, whoever used it.
    pub busy_share: Option<f64>,
    /// Of that, taken by the hypervisor.
    pub steal_share: Option<f64>,
}
