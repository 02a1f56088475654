//! What a router counts: one table, in which each counter has its name and its help.

use shards::{CounterDef, CounterKind, HistogramDef};

macro_rules! counters {
    ($($(#[$kind:ident])? $id:ident $name:literal $help:literal,)*) => {
        /// The counters by name.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum Count { $($id,)* }

        /// The table of a router's counters, in the order of their cells.
        pub const COUNTERS: &[CounterDef] = &[
            $(CounterDef { name: $name, help: $help, kind: counters!(@kind $($kind)?) },)*
        ];
    };
    (@kind) => { CounterKind::Counter };
    (@kind gauge) => { CounterKind::Gauge };
}

counters! {
    // What came: each message is one of these four.
    Requests "requests" "requests that came, but for malformed ones",
    Responses "responses" "responses that were parsed",
    Malformed "malformed" "requests and responses that could not be parsed",
    NotSip "not_sip" "what is no SIP at all: keep-alives, STUN, noise",
    // What became of a request: each is one of these nine.
    RequestsTaken "requests_taken" "requests that got a transaction and were routed, or refused by it",
    Retransmissions "request_retransmissions" "requests that were absorbed as retransmissions",
    Refused "requests_refused" "requests refused without a transaction",
    Unanswered "requests_unanswered" "requests that got no answer: of unknown sources, or dropped under load",
    AnsweredHere "requests_answered_here" "OPTIONS and REGISTER to this node itself",
    Cancels "cancels" "CANCELs that match an INVITE",
    AcksPassed "acks_passed" "ACKs that were passed on",
    AcksAbsorbed "acks_absorbed" "ACKs that ended a transaction here",
    AcksDropped "acks_dropped" "ACKs that belong to nothing here",
    // What became of a response: each is one of these three.
    ResponsesMatched "responses_matched" "responses that belong to a transaction of ours",
    StrayResponses "stray_responses" "responses that belong to no transaction of ours",
    ForeignResponses "foreign_responses" "responses from another address than the request went to",
    // Why, and what else.
    Invites "invites" "new INVITEs of trunks",
    CallsAnswered "calls_answered" "calls that got a 2xx",
    CallsFailed "calls_failed" "calls that ended without a 2xx",
    Attempts "attempts" "INVITEs sent to gateways",
    Advances "advances" "times that a call went on to its next gateway",
    Redirects "redirects" "3xx whose contacts were tried",
    Redirected "redirected" "calls of trunks that are told whom to ask",
    RedirectsRefused "redirects_refused" "3xx contacts that lead to no gateway of ours",
    Records "records" "call records handed over",
    RecordsWaiting "records_waiting" "times that a call record found the ring full and waits",
    #[gauge] CallsHeld "calls_held" "call slots in use",
    #[gauge] CallsUp "calls_up" "calls that are answered and not ended",
    #[gauge] ForksHeld "forks_held" "response contexts in use",
    #[gauge] ServersHeld "server_transactions_held" "server transactions in use",
    #[gauge] ClientsHeld "client_transactions_held" "client transactions in use",
    MalformedAnswered "malformed_answered" "of these, requests that were answered with an error",
    UnknownSource "unknown_source" "requests from addresses that belong to no trunk or gateway",
    StrangersUnread "strangers_unread" "of these, requests that were dropped without being read",
    Overload "overload_refused" "INVITEs refused with 503 because this shard has too much to do",
    OverloadOther "overload_refused_other" "OPTIONS, REGISTER and others refused with 503 for the same reason",
    OverloadPriority "overload_refused_priority" "emergency and priority calls refused with 503 for the same reason",
    OverloadDropped "overload_dropped" "new requests dropped because even refusing was too much",
    KernelDropped "overload_kernel_dropped" "new requests that the kernel dropped because there would have been too many refusals, copies included",
    OverloadAcks "overload_acks" "ACKs for such refusals, which are known by their tag",
    FeedbackSent "overload_feedback_sent" "responses that told a neighbour our load (RFC 7339)",
    FeedbackHeard "overload_feedback_heard" "responses in which a gateway told its load anew",
    Throttled "overload_throttled" "calls that were not sent to a gateway because it had asked for fewer",
    #[gauge] AdmittedShare "admitted_share_permille" "of 1,000 new requests, how many were admitted in the last period",
    #[gauge] QueueDelay "queue_delay_us" "the least time that a message waited in the last period",
    #[gauge] CallLimit "call_limit" "calls a second that this shard admits; 0: no limit is in force",
    TransactionsFull "transactions_full" "requests refused with 503 because a transaction table was full",
    CallsFull "calls_full" "INVITEs refused with 503 because the table of calls was full",
    PacketsFull "packets_full" "messages dropped or refused because the packet pool was full",
    TimersFull "timers_full" "deadlines that found the wheel full",
    Draining "draining_refused" "INVITEs refused with 503 while draining",
    BillingFull "billing_refused" "INVITEs refused with 503 because call records could not be handed over",
    TrunkFull "trunk_full" "INVITEs refused because their trunk has all its calls up",
    TrunkFast "trunk_fast" "INVITEs refused because their trunk began all its calls of a second",
    GatewayFull "gateway_full" "attempts not made because the gateway has all its calls up",
    CapFull "cap_full" "calls refused because a cap on them has all its calls up",
    CapFast "cap_fast" "calls refused because a cap on them began all its calls of a second",
    CapUsedUp "cap_used_up" "calls refused because a cap on them has used up its window",
    CapTold "cap_told" "calls and attempts beyond a cap that only tells",
    GatewayCapped "gateway_capped" "attempts not made because a cap on their gateway has no room",
    QualityFull "quality_full" "attempts whose quality was not counted because the table was full",
    GatewayFast "gateway_fast" "attempts not made because the gateway got all its calls of a second",
    BlockedCalled "blocked_called" "calls refused because a list has the called number",
    BlockedCalling "blocked_calling" "calls refused because a list has the calling number",
    PrivacyRefused "privacy_refused" "attempts not made because the caller insists on more privacy than a proxy can give",
    NoRoute "no_route" "requests that no route leads on",
    NotSold "not_sold" "calls of trunks whose deck has no price for the number",
    BadNumber "bad_number" "requests whose called number cannot be normalised",
    NoGateway "no_gateway" "requests whose route has no gateway that may be tried",
    Looped "looped" "requests refused with 482",
    HopsSpent "hops_spent" "requests refused with 483",
    ForgedRoute "forged_route" "requests refused because their Route carries a token that is not ours",
    ForeignTarget "foreign_target" "requests refused because they lead to where neither routing nor dialog leads",
    ForeignSource "foreign_source" "requests of a dialog that came from neither side of it",
    NoDialog "no_dialog" "requests refused with 481",
    DialogLost "dialog_lost" "requests of calls that an earlier process had, passed on by their Route",
    LateResponses "late_responses" "2xx that came when their call had been given up",
    CancelsStray "cancels_stray" "CANCELs that match no INVITE, or come from another source",
    TimedOut "branches_timed_out" "branches without a final response in time",
    SendFailed "sends_failed" "requests and responses that did not leave",
    AckMissing "acks_missing" "refusals that nobody acknowledged (Timer H)",
    CallsTooLong "calls_too_long" "calls ended by their maximum duration",
    ProbesSent "probes_sent" "OPTIONS sent to gateways",
    ProbesFailed "probes_failed" "OPTIONS to gateways without a good answer",
}

/// The histograms' indexes.
pub(crate) const SETUP_TIME: usize = 0;
pub(crate) const DIAL_DELAY: usize = 1;

/// The table of a router's histograms.
pub const HISTOGRAMS: &[HistogramDef] = &[
    HistogramDef {
        name: "setup_time_us",
        help: "from INVITE to 2xx",
    },
    HistogramDef {
        name: "post_dial_delay_us",
        help: "from INVITE to the first 18x",
    },
];

/// What is counted for each gateway: name, help, whether it is a gauge.
pub const GATEWAY_CELLS: &[(&str, &str, bool)] = &[
    ("attempts", "INVITEs sent to the gateway", false),
    ("answered", "of these, answered with a 2xx", false),
    ("refused", "of these, refused with a final response", false),
    ("timed_out", "of these, without any response in time", false),
    ("state", "0 down, 1 returning, 2 up, 3 in maintenance", true),
    (
        "throttled",
        "calls not sent because the gateway had asked for fewer",
        false,
    ),
    (
        "overload_cut_percent",
        "how many of 100 requests the gateway asks not to be sent",
        true,
    ),
    (
        "overload_rate",
        "how many requests a second the gateway asks for at most; 0: it does not say",
        true,
    ),
    (
        "full",
        "attempts not made because the gateway had all the calls that it may have",
        false,
    ),
];
/// What is counted for each trunk.
pub const TRUNK_CELLS: &[(&str, &str, bool)] = &[
    ("calls", "INVITEs that came in by the trunk", false),
    ("answered", "of these, answered with a 2xx", false),
    (
        "overload_refused",
        "new requests of the trunk refused because this shard has too much to do",
        false,
    ),
    (
        "kernel_dropped",
        "new requests of the trunk that the kernel dropped, copies included",
        false,
    ),
];

/// How many dynamic cells a page needs: first those of all gateways, then those of all trunks.
#[must_use]
pub const fn dynamic_cells(gateways_max: usize, trunks_max: usize) -> usize {
    gateways_max * GATEWAY_CELLS.len() + trunks_max * TRUNK_CELLS.len()
}

/// A gateway's cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GatewayCell {
    Attempts,
    Answered,
    Refused,
    TimedOut,
    State,
    Throttled,
    Cut,
    Rate,
    Full,
}

/// A trunk's cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TrunkCell {
    Calls,
    Answered,
    Refused,
    KernelDropped,
}
