//! What a run of load is to be: who calls whom, how often, and how they behave.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Spread;

/// A run of load. What is left out of a plan file is as in [`Plan::default`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// Where callers send to, in turn; none = straight to the sinks.
    pub targets: Vec<SocketAddr>,
    /// Host of the Request-URIs; none = the target's address.
    pub domain: Option<String>,
    /// How requests travel, on both sides.
    pub transport: Transport,
    /// Where callers send from; none = this run only answers.
    pub sources: Vec<Source>,
    /// Who answers; none = somebody else does.
    pub sinks: Vec<Sink>,
    /// Attempts a second, all sources together.
    pub rate: f64,
    /// How the attempts are spread over time.
    pub arrivals: Arrivals,
    /// How long load runs before anything counts.
    pub warm_up_ms: u64,
    /// How long attempts count.
    pub duration_ms: u64,
    /// Ends the counting time as soon as so many attempts were made, or, if this run only answers,
    /// so many calls were offered.
    pub attempts_max: Option<u64>,
    /// How long calls may take to end after the last attempt. What is up then is abandoned.
    pub drain_ms: u64,
    /// Hangs up all calls after the last attempt, at the rate of the attempts, instead of waiting
    /// until their time is over.
    pub hang_up: bool,
    /// What the attempts are.
    pub mix: Mix,
    /// How long callees ring, unless their sink says otherwise.
    pub ring: Spread,
    /// How long callers hold an answered call.
    pub hold: Spread,
    /// How long a caller lets it ring before it sends CANCEL.
    pub ring_ms_max: u64,
    /// The numbers that are dialled.
    pub numbers: Numbers,
    /// What messages carry beyond what they must.
    pub payload: Payload,
    /// SIP's own timers.
    pub timers: Timers,
    /// Final responses that count as a refusal and not as a failure, beside those that the sinks
    /// give: of an overloaded router, 503.
    pub refusals: Vec<u16>,
    /// The cores to pin to, one thread each; none = one thread, wherever the system puts it. The
    /// sources and sinks are dealt out to the threads in turn.
    pub cores: Vec<usize>,
    /// What a thread does when there is nothing to do.
    pub wait: Wait,
    /// Calls that may be up or being set up on each side of each thread. Further attempts are not
    /// made but counted as held back.
    pub calls_max: usize,
    /// Send and receive buffer of each socket.
    pub buffer_bytes: usize,
    /// Whether datagrams that a peer sent as one are taken as one (`UDP_GRO`). The kernel of this
    /// machine then does not cut them apart at the expense of their sender.
    pub takes_trains: bool,
    /// Where callers write down what became of each call (see [`crate::truth`]); the second and
    /// further threads append `.1`, `.2` and so on.
    pub truth: Option<PathBuf>,
    /// Everything drawn at random comes from this.
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            targets: Vec::new(),
            domain: None,
            transport: Transport::Udp,
            sources: Vec::new(),
            sinks: Vec::new(),
            rate: 100.0,
            arrivals: Arrivals::Constant,
            warm_up_ms: 1_000,
            duration_ms: 10_000,
            attempts_max: None,
            drain_ms: 40_000,
            hang_up: false,
            mix: Mix::default(),
            ring: Spread::fixed_ms(20),
            hold: Spread::fixed_ms(500),
            ring_ms_max: 60_000,
            numbers: Numbers::default(),
            payload: Payload::default(),
            timers: Timers::default(),
            refusals: Vec::new(),
            cores: Vec::new(),
            wait: Wait::Sleep,
            calls_max: 200_000,
            buffer_bytes: 8 << 20,
            takes_trains: false,
            truth: None,
            seed: 1,
        }
    }
}

/// UDP or TCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams, with retransmissions.
    Udp,
    /// One connection from each source to each target; sinks listen.
    Tcp,
}

/// How attempts are spread over time. Their times are drawn ahead, whatever the answers: a slow
/// router cannot slow the clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// At even distances.
    Constant,
    /// With exponential distances, as independent people call.
    Poisson,
}

/// What a thread does when there is nothing to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// It sleeps until a datagram or a deadline comes.
    Sleep,
    /// It looks again: no wake-up is charged to whoever sends to it, and its CPU share says
    /// nothing.
    Spin,
    /// It looks again, goes before all others on its core, and leaves them so many thousandths of it.
    Hold(u16),
}

/// A place that callers send from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Source {
    /// Its address; port 0 takes a free one.
    pub address: SocketAddr,
    /// Its share of the attempts, against those of the others.
    #[serde(default = "one")]
    pub weight: u32,
}

fn one() -> u32 {
    1
}

impl Source {
    /// A source with the same share as others.
    #[must_use]
    pub fn new(address: SocketAddr) -> Source {
        Source { address, weight: 1 }
    }
}

/// Somebody who answers.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sink {
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// Of a thousand calls, how many it refuses.
    #[serde(default)]
    pub refuse_per_mille: u32,
    /// With which status.
    #[serde(default = "unavailable")]
    pub refuse_status: u16,
    /// Of a thousand calls, how many it never answers at all.
    #[serde(default)]
    pub silent_per_mille: u32,
    /// Whether it sends 100 at once.
    #[serde(default)]
    pub sends_trying: bool,
    /// How long it rings; none = as the plan says.
    #[serde(default)]
    pub ring: Option<Spread>,
}

fn unavailable() -> u16 {
    503
}

impl Sink {
    /// A sink that answers every call.
    #[must_use]
    pub fn new(address: SocketAddr) -> Sink {
        Sink {
            address,
            refuse_per_mille: 0,
            refuse_status: unavailable(),
            silent_per_mille: 0,
            sends_trying: false,
            ring: None,
        }
    }
}

/// What the attempts are, in shares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mix {
    /// INVITE and all that follows.
    pub calls: u32,
    /// OPTIONS.
    pub options: u32,
    /// REGISTER, each of another AoR out of [`Numbers::count`].
    pub registers: u32,
}

impl Default for Mix {
    fn default() -> Mix {
        Mix {
            calls: 1,
            options: 0,
            registers: 0,
        }
    }
}

/// The numbers that are dialled: a prefix and a fixed count of digits after it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Numbers {
    /// What each dialled number begins with.
    pub prefix: String,
    /// How many digits follow.
    pub digits: u32,
    /// How many different numbers there are; they are taken at random.
    pub count: u64,
    /// What each calling number begins with; as many digits follow.
    pub from_prefix: String,
}

impl Default for Numbers {
    fn default() -> Numbers {
        Numbers {
            prefix: "+4940".to_owned(),
            digits: 7,
            count: 10_000_000,
            from_prefix: "+4930".to_owned(),
        }
    }
}

/// What messages carry beyond what they must.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Payload {
    /// Whether INVITE and its 200 carry SDP.
    pub sdp: bool,
    /// Octets added to requests that start a dialog, as header fields that nobody reads.
    pub padding_bytes: usize,
}

impl Default for Payload {
    fn default() -> Payload {
        Payload {
            sdp: true,
            padding_bytes: 0,
        }
    }
}

/// SIP's own timers (RFC 3261 §17).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timers {
    /// The estimate of the round trip.
    pub t1_ms: u64,
    /// The longest interval between retransmissions of anything but INVITE.
    pub t2_ms: u64,
    /// When an attempt without any final response has failed: timers B and F, and the
    /// Establishment Threshold Time of RFC 7501.
    pub give_up_ms: u64,
    /// Whether requests and 2xx are sent again. It must be true for a run to mean anything to a
    /// planner, and false to count what a network loses.
    pub retransmits: bool,
}

impl Default for Timers {
    fn default() -> Timers {
        Timers {
            t1_ms: 500,
            t2_ms: 4_000,
            give_up_ms: 32_000,
            retransmits: true,
        }
    }
}

impl Plan {
    /// How long load is offered: warm-up and counting time.
    #[must_use]
    pub fn offered_ms(&self) -> u64 {
        self.warm_up_ms + self.duration_ms
    }

    /// Whether a final response is a refusal that this run expects.
    #[must_use]
    pub fn is_refusal(&self, status: u16) -> bool {
        let of_sink = |sink: &Sink| sink.refuse_per_mille > 0 && sink.refuse_status == status;
        self.refusals.contains(&status) || self.sinks.iter().any(of_sink)
    }

    /// Says what is wrong with the plan, if anything is.
    ///
    /// # Errors
    /// `InvalidInput` with the reason in words.
    pub fn check(&self) -> io::Result<()> {
        let say = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        let calls = !self.sources.is_empty();
        if !calls && self.sinks.is_empty() {
            return say("neither a source nor a sink: nothing to do");
        }
        if calls && self.targets.is_empty() && self.sinks.is_empty() {
            return say("callers need a target or a sink to send to");
        }
        if calls && !(self.rate.is_finite() && self.rate > 0.0 && self.rate <= RATE_MAX) {
            return say("the rate must be above 0 and at most 10,000,000 a second");
        }
        if self.mix.calls + self.mix.options + self.mix.registers == 0 {
            return say("the mix has no share of anything");
        }
        if calls && self.sources.iter().all(|source| source.weight == 0) {
            return say("no source has a weight above 0");
        }
        let family = |address: &SocketAddr| address.is_ipv4();
        let mut families = self.targets.iter().map(family);
        let wanted = families.next();
        let same = |is_ipv4: bool| wanted.is_none_or(|wanted| wanted == is_ipv4);
        if !families.all(same) || !self.sources.iter().all(|s| same(s.address.is_ipv4())) {
            return say("sources and targets must be of one address family");
        }
        let shares = |sink: &Sink| sink.refuse_per_mille + sink.silent_per_mille <= 1000;
        if !self.sinks.iter().all(shares) {
            return say("a sink refuses and ignores more than 1000 of 1000 calls");
        }
        let is_refusal = |sink: &Sink| (300..700).contains(&sink.refuse_status);
        if !self.sinks.iter().all(is_refusal) {
            return say("a sink refuses with a status from 300 to 699");
        }
        if self.numbers.digits > 18 || self.numbers.count == 0 {
            return say("numbers have at most 18 digits, and there is at least one");
        }
        if self.calls_max == 0 || self.calls_max > CALLS_MAX {
            return say("calls_max must be from 1 to 10,000,000");
        }
        if self.payload.padding_bytes > PADDING_BYTES_MAX {
            return say("at most 8,000 octets of padding");
        }
        if self.timers.t1_ms == 0 || self.timers.give_up_ms == 0 {
            return say("timers must be above 0");
        }
        Ok(())
    }
}

const RATE_MAX: f64 = 10_000_000.0;
const CALLS_MAX: usize = 10_000_000;
const PADDING_BYTES_MAX: usize = 8_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Plan {
        Plan {
            targets: vec!["192.0.2.1:5060".parse().unwrap()],
            sources: vec![Source::new("192.0.2.2:0".parse().unwrap())],
            sinks: vec![Sink::new("192.0.2.3:5060".parse().unwrap())],
            ..Plan::default()
        }
    }

    #[test]
    fn a_plan_that_cannot_work_is_refused_with_a_reason() {
        assert!(sound().check().is_ok());
        type Break = (&'static str, fn(&mut Plan));
        let breaks: [Break; 9] = [
            ("nothing", |p| (p.sources.clear(), p.sinks.clear()).0),
            ("target", |p| (p.targets.clear(), p.sinks.clear()).0),
            ("rate", |p| p.rate = 0.0),
            ("mix", |p| p.mix.calls = 0),
            ("weight", |p| p.sources[0].weight = 0),
            ("family", |p| {
                p.targets[0] = "[2001:db8::1]:5060".parse().unwrap()
            }),
            ("1000", |p| p.sinks[0].refuse_per_mille = 1001),
            ("300", |p| p.sinks[0].refuse_status = 200),
            ("calls_max", |p| p.calls_max = 0),
        ];
        for (word, spoil) in breaks {
            let mut plan = sound();
            spoil(&mut plan);
            let error = plan.check().unwrap_err().to_string();
            assert!(error.contains(word), "{word}: {error}");
        }
    }

    #[test]
    fn a_plan_file_says_only_what_differs() {
        let text = r#"{"rate": 4100.0, "ring": "20ms..40ms", "mix": {"options": 1},
            "sources": [{"address": "192.0.2.2:0"}]}"#;
        let plan: Plan = serde_json::from_str(text).unwrap();
        assert_eq!(plan.ring, Spread::Even(20_000, 40_000));
        assert_eq!((plan.mix.calls, plan.mix.options), (1, 1));
        assert_eq!(plan.sources[0].weight, 1);
        let back: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
        assert_eq!(back, plan);
        assert!(serde_json::from_str::<Plan>(r#"{"rat": 1.0}"#).is_err());
    }

    #[test]
    fn what_a_sink_gives_is_a_refusal() {
        let mut plan = sound();
        assert!(!plan.is_refusal(503));
        plan.sinks[0].refuse_per_mille = 25;
        assert!(plan.is_refusal(503) && !plan.is_refusal(486));
        plan.refusals.push(486);
        assert!(plan.is_refusal(486));
    }
}
