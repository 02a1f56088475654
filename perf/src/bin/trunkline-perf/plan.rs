//! A plan from a file and from the command line: what is said on the line wins.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use perf::load::{Arrivals, Mix, Plan, Sink, Source, Spread, Transport, Wait, milliseconds};

/// Who calls whom, and how.
#[derive(Args)]
pub(crate) struct PlanArguments {
    /// A plan as JSON, as `--print-plan` shows it; options given beside it win
    #[arg(long, value_name = "FILE", help_heading = "Plan")]
    plan: Option<PathBuf>,
    /// Where callers send to, in turn: the router. Without one, straight to the sinks
    #[arg(short, long, value_name = "ADDRESS:PORT", help_heading = "Peers")]
    target: Vec<SocketAddr>,
    /// Where callers send from: ADDRESS:PORT, port 0 for any; with a share of the calls as
    /// ADDRESS:PORT*WEIGHT. Several sources are several trunks
    #[arg(short, long, value_name = "ADDRESS:PORT", value_parser = source, help_heading = "Peers")]
    source: Vec<Source>,
    /// Who answers: ADDRESS:PORT, and after commas refuse=N and silent=N (of 1000 calls),
    /// status=N, ring=TIME, trying. Several sinks are several gateways
    #[arg(short = 'k', long, value_name = "ADDRESS:PORT,..", value_parser = sink, help_heading = "Peers")]
    sink: Vec<Sink>,
    /// UDP or TCP, on both sides
    #[arg(long, value_enum, help_heading = "Peers")]
    transport: Option<Carrier>,
    /// Host of the Request-URIs, if it is not the target's address
    #[arg(long, value_name = "HOST", help_heading = "Peers")]
    domain: Option<String>,
    /// Attempts a second, all sources together
    #[arg(short, long, value_name = "N", help_heading = "Load")]
    rate: Option<f64>,
    /// Even distances, or independent callers
    #[arg(long, value_enum, help_heading = "Load")]
    arrivals: Option<Pattern>,
    /// Load before anything counts. Let it be longer than the router keeps transactions (RFC 6026:
    /// 32 s), or its memory and its tables are flattered
    #[arg(long, value_name = "TIME", value_parser = milliseconds, help_heading = "Load")]
    warm_up: Option<u64>,
    /// How long attempts count
    #[arg(short, long, value_name = "TIME", value_parser = milliseconds, help_heading = "Load")]
    duration: Option<u64>,
    /// Ends the counting after so many attempts
    #[arg(short = 'n', long, value_name = "N", help_heading = "Load")]
    attempts: Option<u64>,
    /// How long calls may take to end after the last attempt
    #[arg(long, value_name = "TIME", value_parser = milliseconds, help_heading = "Load")]
    drain: Option<u64>,
    /// Hang up all calls after the last attempt instead of waiting for their end
    #[arg(long, help_heading = "Load")]
    hang_up: bool,
    /// Shares of calls, OPTIONS and REGISTER
    #[arg(long, value_name = "C:O:R", value_parser = mix, help_heading = "Load")]
    mix: Option<Mix>,
    /// How long callees ring: 20ms, 1s..5s, exp:3s or exp:3s..15s
    #[arg(long, value_name = "TIME", help_heading = "Calls")]
    ring: Option<Spread>,
    /// How long callers hold an answered call, written likewise
    #[arg(long, value_name = "TIME", help_heading = "Calls")]
    hold: Option<Spread>,
    /// How long a caller lets it ring before CANCEL
    #[arg(long, value_name = "TIME", value_parser = milliseconds, help_heading = "Calls")]
    patience: Option<u64>,
    /// Dialled numbers: what they begin with
    #[arg(long, value_name = "DIGITS", help_heading = "Calls")]
    prefix: Option<String>,
    /// Dialled numbers: how many digits follow
    #[arg(long, value_name = "N", help_heading = "Calls")]
    digits: Option<u32>,
    /// Dialled numbers: how many different ones, taken at random
    #[arg(long, value_name = "N", help_heading = "Calls")]
    numbers: Option<u64>,
    /// Calling numbers: what they begin with
    #[arg(long, value_name = "DIGITS", help_heading = "Calls")]
    from_prefix: Option<String>,
    /// Leave SDP out
    #[arg(long, help_heading = "Calls")]
    no_sdp: bool,
    /// Octets added to requests outside dialogs
    #[arg(long, value_name = "BYTES", help_heading = "Calls")]
    padding: Option<usize>,
    /// Send nothing again: to count what is lost. Not for figures
    #[arg(long, help_heading = "SIP")]
    no_retransmissions: bool,
    /// T1
    #[arg(long, value_name = "TIME", value_parser = milliseconds, help_heading = "SIP")]
    t1: Option<u64>,
    /// When an attempt without a final response has failed (timers B and F)
    #[arg(long, value_name = "TIME", value_parser = milliseconds, help_heading = "SIP")]
    give_up: Option<u64>,
    /// Final responses that count as refused and not as failed, beside those of the sinks: 503 of
    /// an overloaded router
    #[arg(
        long,
        value_name = "STATUS",
        value_delimiter = ',',
        help_heading = "SIP"
    )]
    refusals: Vec<u16>,
    /// Cores to run on, one thread each. Keep them apart from the router's
    #[arg(
        short,
        long,
        value_name = "CORE",
        value_delimiter = ',',
        help_heading = "Generator"
    )]
    cores: Vec<usize>,
    /// Never sleep: no wake-up of the generator is charged to the router's sends
    #[arg(long, help_heading = "Generator")]
    spin: bool,
    /// Take datagrams that were sent as one (UDP_SEGMENT) as one (UDP_GRO): that they are cut apart
    /// is not charged to the router's sends, as it is not where a network card does it
    #[arg(long, help_heading = "Generator")]
    trains: bool,
    /// Calls that may be up on each side of each thread
    #[arg(long, value_name = "N", help_heading = "Generator")]
    calls_max: Option<usize>,
    /// Write down what became of each call, for `cdr-check`
    #[arg(long, value_name = "FILE", help_heading = "Generator")]
    truth: Option<PathBuf>,
    /// What is drawn at random comes from this
    #[arg(long, value_name = "N", help_heading = "Generator")]
    seed: Option<u64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Carrier {
    Udp,
    Tcp,
}

#[derive(Clone, Copy, ValueEnum)]
enum Pattern {
    Constant,
    Poisson,
}

impl PlanArguments {
    /// The plan that all this makes.
    pub(crate) fn plan(&self) -> io::Result<Plan> {
        let mut plan = match &self.plan {
            Some(path) => read(path)?,
            None => Plan::default(),
        };
        set_all(&mut plan.targets, &self.target);
        set_all(&mut plan.sources, &self.source);
        set_all(&mut plan.sinks, &self.sink);
        set_all(&mut plan.refusals, &self.refusals);
        set_all(&mut plan.cores, &self.cores);
        set(&mut plan.rate, self.rate);
        set(&mut plan.warm_up_ms, self.warm_up);
        set(&mut plan.duration_ms, self.duration);
        set(&mut plan.drain_ms, self.drain);
        set(&mut plan.mix, self.mix);
        set(&mut plan.ring, self.ring);
        set(&mut plan.hold, self.hold);
        set(&mut plan.ring_ms_max, self.patience);
        set(&mut plan.numbers.prefix, self.prefix.clone());
        set(&mut plan.numbers.digits, self.digits);
        set(&mut plan.numbers.count, self.numbers);
        set(&mut plan.numbers.from_prefix, self.from_prefix.clone());
        set(&mut plan.payload.padding_bytes, self.padding);
        set(&mut plan.timers.t1_ms, self.t1);
        set(&mut plan.timers.give_up_ms, self.give_up);
        set(&mut plan.calls_max, self.calls_max);
        set(&mut plan.seed, self.seed);
        set(&mut plan.transport, self.transport.map(Transport::from));
        set(&mut plan.arrivals, self.arrivals.map(Arrivals::from));
        plan.domain = self.domain.clone().or(plan.domain);
        plan.attempts_max = self.attempts.or(plan.attempts_max);
        plan.truth = self.truth.clone().or(plan.truth);
        plan.hang_up |= self.hang_up;
        plan.payload.sdp &= !self.no_sdp;
        plan.timers.retransmits &= !self.no_retransmissions;
        plan.takes_trains |= self.trains;
        if self.spin {
            plan.wait = Wait::Spin;
        }
        plan.check()?;
        Ok(plan)
    }
}

impl From<Carrier> for Transport {
    fn from(carrier: Carrier) -> Transport {
        match carrier {
            Carrier::Udp => Transport::Udp,
            Carrier::Tcp => Transport::Tcp,
        }
    }
}

impl From<Pattern> for Arrivals {
    fn from(pattern: Pattern) -> Arrivals {
        match pattern {
            Pattern::Constant => Arrivals::Constant,
            Pattern::Poisson => Arrivals::Poisson,
        }
    }
}

fn read(path: &PathBuf) -> io::Result<Plan> {
    let told = |error: &dyn std::fmt::Display| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{}: {error}", path.display()),
        )
    };
    let text = std::fs::read_to_string(path).map_err(|error| told(&error))?;
    serde_json::from_str(&text).map_err(|error| told(&error))
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn set_all<T: Clone>(place: &mut Vec<T>, values: &[T]) {
    if !values.is_empty() {
        *place = values.to_vec();
    }
}

fn source(text: &str) -> Result<Source, String> {
    let (address, weight) = match text.split_once('*') {
        Some((address, weight)) => (address, weight.parse().map_err(|_| "no weight")?),
        None => (text, 1),
    };
    let address = address.parse().map_err(|_| "no ADDRESS:PORT")?;
    Ok(Source { address, weight })
}

fn sink(text: &str) -> Result<Sink, String> {
    let mut words = text.split(',');
    let address = words.next().unwrap_or_default();
    let mut sink = Sink::new(address.parse().map_err(|_| "no ADDRESS:PORT")?);
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let number = || {
            value
                .parse()
                .map_err(|_| format!("{word:?} wants a number"))
        };
        match name {
            "refuse" => sink.refuse_per_mille = number()?,
            "silent" => sink.silent_per_mille = number()?,
            "status" => sink.refuse_status = number()? as u16,
            "ring" => sink.ring = Some(value.parse().map_err(|error| format!("{error}"))?),
            "trying" => sink.sends_trying = true,
            _ => {
                return Err(format!(
                    "{name:?} is none of refuse, status, silent, ring, trying"
                ));
            }
        }
    }
    Ok(sink)
}

fn mix(text: &str) -> Result<Mix, String> {
    let shares: Result<Vec<u32>, _> = text.split(':').map(str::parse).collect();
    match shares.as_deref() {
        Ok(&[calls, options, registers]) => Ok(Mix {
            calls,
            options,
            registers,
        }),
        _ => Err("write calls:options:registers, as 8:1:1".to_owned()),
    }
}
