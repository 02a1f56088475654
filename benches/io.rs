//! The loop of a shard without SIP: what a datagram costs between the kernel and the handler.
//!
//! Shards run on their own threads, their peers on this one, over loopback. What is printed is the
//! processor time of the shards' threads alone, by the scheduler's own account, and the median of
//! some rounds that take turns with those they are compared with.
//!
//! ```text
//! cargo bench -p benches --bench io                  the tables of docs/operations.md
//! cargo bench -p benches --bench io -- echo 20000    one run, for callgrind
//! cargo bench -p benches --bench io -- batch | hand-over | send | receive    one table
//! ```

#![allow(
    clippy::disallowed_methods,
    reason = "a bench of threads and sockets has a clock and waits"
)]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use base::{Flow, ListenerId, ShardId, Transport};
use shards::{
    Fellow, Frame, Handler, Inbound, Limits, ListenerSpec, Metric, Outbox, PAD_BYTES_MAX, Place,
    Running, RuntimeConfig, Undelivered, start,
};

/// A usual request between two proxies.
const MESSAGE_BYTES: usize = 700;
/// How many datagrams are on their way at a time.
const WINDOW: usize = 128;
/// How many datagrams a burst has.
const BURST: usize = 64;
/// After so long without an answer the window counts as lost.
const PATIENCE: Duration = Duration::from_millis(200);

/// What a handler does with what it gets.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    /// Answers with the same octets; the first one says which shard owns it.
    Echo,
    /// Nothing.
    Sink,
    /// Sends a burst: so many datagrams to each of as many peers as that takes, at this port.
    Burst {
        each: usize,
        to: SocketAddr,
        form: Form,
    },
}

/// How the datagrams of a burst travel.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// Each is a message of its own.
    Plain,
    /// Together, all of one length by nature.
    Equal,
    /// Together, lengthened in the middle.
    Inside,
    /// Together, lengthened at the end.
    Behind,
}

struct Node {
    role: Role,
    is_over: bool,
}

fn spaces(len: usize) -> &'static [u8] {
    &[b' '; PAD_BYTES_MAX][..len]
}

impl Node {
    /// The lengths of messages differ by up to a fifth, unless they are to be equal.
    fn burst(&self, each: usize, to: SocketAddr, form: Form, flow: &Flow, out: &mut Outbox<Node>) {
        for at in 0..BURST {
            let less = if form == Form::Equal {
                0
            } else {
                at * 37 % (MESSAGE_BYTES / 6)
            };
            let len = MESSAGE_BYTES - less;
            let peer = match to.ip() {
                // The sink has all of 127.0.0.0/8.
                IpAddr::V4(_) if each < BURST => {
                    SocketAddr::from(([127, 0, 1, (at / each) as u8 + 1], to.port()))
                }
                _ => to,
            };
            let Some(packet) = out.packet(len) else {
                return;
            };
            out.buffer(packet)[..len].fill(at as u8);
            out.set_len(packet, len);
            out.send(&Flow { peer, ..*flow }, packet, 0);
            out.release(packet);
        }
    }
}

impl Handler for Node {
    type Letter = ();
    type Notice = ();
    type Snapshot = ();

    fn owner(&self, bytes: &[u8]) -> Option<ShardId> {
        match bytes.first() {
            Some(&digit @ b'0'..=b'9') if self.role == Role::Echo => {
                Some(ShardId(u16::from(digit - b'0')))
            }
            _ => None,
        }
    }

    fn frame(&self, _: &[u8]) -> Frame {
        Frame::More
    }

    fn coalesces(&self) -> bool {
        matches!(self.role, Role::Burst { form, .. } if form != Form::Plain)
    }

    fn fellow(&self, _: ListenerId, _: SocketAddr, bytes: &[u8], _: u32) -> Option<Fellow> {
        let Role::Burst { form, .. } = self.role else {
            return None;
        };
        let at = if form == Form::Inside {
            100
        } else {
            bytes.len()
        };
        Some(Fellow {
            lane: u32::from(bytes[0]),
            place: Some(Place {
                at: at as u16,
                filling: spaces,
            }),
        })
    }

    fn message(&mut self, inbound: &Inbound<'_>, out: &mut Outbox<Node>) {
        match self.role {
            Role::Sink => {}
            Role::Burst { each, to, form } => self.burst(each, to, form, &inbound.flow, out),
            Role::Echo => {
                let len = inbound.bytes.len();
                let Some(packet) = out.packet(len) else {
                    return;
                };
                out.buffer(packet)[..len].copy_from_slice(inbound.bytes);
                out.set_len(packet, len);
                out.send(&inbound.flow, packet, 0);
                out.release(packet);
            }
        }
    }

    fn unframed(&mut self, _: &Inbound<'_>, _: u8, _: &mut Outbox<Node>) {}
    fn letter(&mut self, _: ShardId, (): (), _: &mut Outbox<Node>) {}
    fn deadline(&mut self, _: u64, _: &mut Outbox<Node>) {}
    fn undelivered(&mut self, _: u64, _: Undelivered, _: &mut Outbox<Node>) {}
    fn snapshot(&mut self, _: Arc<()>, _: &mut Outbox<Node>) -> Option<Arc<()>> {
        None
    }
    fn housekeeping(&mut self, _: &mut Outbox<Node>) {}
    fn drain(&mut self, _: &mut Outbox<Node>) {
        self.is_over = true;
    }
    fn is_idle(&self) -> bool {
        self.is_over
    }
    fn stop(&mut self, _: &mut Outbox<Node>) {
        self.is_over = true;
    }
}

/// Shards that run, and a client of theirs.
struct Bench {
    running: Running<Node>,
    client: UdpSocket,
    /// The ids of their threads.
    threads: Vec<u32>,
}

/// The threads of this process that are shards.
fn shard_threads() -> Vec<u32> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("a process has tasks");
    let shards = tasks.flatten().filter(|task| {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        name.starts_with("shard-")
    });
    let ids = shards.filter_map(|task| task.file_name().to_str()?.parse().ok());
    ids.collect()
}

/// What a thread has run so far, by the scheduler's account.
fn run_ns(thread: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat"));
    let ran = stat
        .ok()
        .and_then(|stat| stat.split(' ').next()?.parse().ok());
    ran.expect("a shard's thread runs as long as its bench")
}

impl Bench {
    fn start(shards: usize, limits: Limits, role: Role) -> Bench {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = RuntimeConfig {
            listeners: vec![ListenerSpec {
                transport: Transport::Udp,
                address: any,
            }],
            cpus: vec![None; shards],
            limits,
            ..RuntimeConfig::default()
        };
        let others = shard_threads();
        let node = |_| Node {
            role,
            is_over: false,
        };
        let running = start(config, node).expect("the shards start");
        let client = UdpSocket::bind((IpAddr::from([0; 4]), 0)).expect("a socket");
        client.set_read_timeout(Some(PATIENCE)).expect("a time");
        let mut bench = Bench {
            running,
            client,
            threads: Vec::new(),
        };
        while bench.threads.len() < shards {
            // A thread gives itself its name as it begins.
            bench.threads = shard_threads();
            bench.threads.retain(|id| !others.contains(id));
        }
        bench
    }

    fn address(&self) -> SocketAddr {
        self.running.local_addresses()[0]
    }

    /// What its threads have run so far, by the scheduler's account.
    fn cpu_ns(&self) -> u64 {
        self.cpu_ns_each().iter().sum()
    }

    fn total(&self, metric: Metric) -> u64 {
        let pages = self.running.stats();
        pages
            .iter()
            .map(|page| page.runtime.get(metric as usize))
            .sum()
    }

    /// What each of its threads has run so far.
    fn cpu_ns_each(&self) -> Vec<u64> {
        self.threads.iter().map(|id| run_ns(*id)).collect()
    }

    /// Sends bursts of `each` datagrams, the next when all answers are there. Returns the processor
    /// time of each thread for a datagram.
    fn bursts_of(&self, each: usize, count: usize, first: u8) -> Vec<f64> {
        let message = [first; MESSAGE_BYTES];
        let mut buffer = [0; 2_048];
        let to = self.address();
        let (before, handled) = (self.cpu_ns_each(), self.total(Metric::DatagramsOut));
        for _ in 0..count / each {
            for _ in 0..each {
                let _ = self.client.send_to(&message, to);
            }
            for _ in 0..each {
                if self.client.recv(&mut buffer).is_err() {
                    break;
                }
            }
        }
        let handled = (self.total(Metric::DatagramsOut) - handled).max(1) as f64;
        let after = self.cpu_ns_each();
        let spent = after.iter().zip(before);
        spent
            .map(|(after, before)| (after - before) as f64 / handled)
            .collect()
    }

    /// Sends and receives `count` datagrams; returns how many did not come back.
    fn rounds(&self, count: usize, first: u8) -> u64 {
        let message = [first; MESSAGE_BYTES];
        let mut buffer = [0; 2_048];
        let to = self.address();
        let (mut sent, mut seen, mut lost) = (0, 0, 0);
        while seen + lost < count {
            while sent < count && sent - seen - lost < WINDOW {
                let _ = self.client.send_to(&message, to);
                sent += 1;
            }
            match self.client.recv(&mut buffer) {
                Ok(_) => seen += 1,
                Err(_) => lost += sent - seen - lost,
            }
        }
        lost as u64
    }

    /// Processor time for each datagram that came and went, and how many a turn had.
    fn echo(&self, count: usize, first: u8) -> (u64, u64) {
        self.rounds(count / 10, first);
        let (cpu, turns) = (self.cpu_ns(), self.total(Metric::Turns));
        let handled = self.total(Metric::DatagramsOut);
        self.rounds(count, first);
        let handled = (self.total(Metric::DatagramsOut) - handled).max(1);
        let turns = (self.total(Metric::Turns) - turns).max(1);
        ((self.cpu_ns() - cpu) / handled, handled / turns)
    }

    /// Processor time for each datagram of bursts that this node sends when it is asked.
    fn bursts(&self, count: usize) -> u64 {
        let mut buffer = [0; 2_048];
        let cpu = self.cpu_ns();
        for _ in 0..count {
            let _ = self.client.send_to(b"go", self.address());
            for _ in 0..BURST {
                if self.client.recv(&mut buffer).is_err() {
                    break;
                }
            }
        }
        (self.cpu_ns() - cpu) / (count * BURST) as u64
    }

    fn stop(self) {
        self.running.stop();
        assert_eq!(self.running.join(), 0, "no shard failed");
    }
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

/// How many datagrams one system call moves at most.
fn batches(count: usize, rounds: usize) {
    println!("\nbatch: received and answered, ns of processor time a datagram (datagrams a turn)");
    let sizes = [1, 8, 16, 32, 64, 128, 256];
    let benches = sizes.map(|batch| {
        let limits = Limits {
            batch,
            ..Limits::default()
        };
        Bench::start(1, limits, Role::Echo)
    });
    let mut figures = sizes.map(|_| (Vec::new(), Vec::new()));
    for _ in 0..rounds {
        for (bench, figures) in benches.iter().zip(&mut figures) {
            let (cpu, a_turn) = bench.echo(count, b'x');
            figures.0.push(cpu);
            figures.1.push(a_turn);
        }
    }
    for ((size, bench), (cpu, a_turn)) in sizes.into_iter().zip(benches).zip(figures) {
        println!("{size:>4}: {:>5} ({})", median(cpu), median(a_turn));
        bench.stop();
    }
}

/// What a datagram costs the shard that owns it, and what it costs both if another one received it.
fn hand_over(count: usize, rounds: usize) {
    println!("\nhand-over: received and answered, ns of both shards' processor time a datagram");
    println!(
        "{:>7} {:>8} {:>10} {:>8} {:>8} {:>12}",
        "a burst", "straight", "handed over", "receiver", "owner", "difference"
    );
    for each in [1, 16, 64] {
        let bench = Bench::start(2, Limits::default(), Role::Echo);
        let mut samples = Vec::new();
        // The kernel gives all that this client sends to one of the shards.
        let before = bench.total(Metric::HandedOver);
        bench.bursts_of(each, count / 10, b'0');
        let (own, other) = match bench.total(Metric::HandedOver) > before {
            true => (b'1', b'0'),
            false => (b'0', b'1'),
        };
        bench.bursts_of(each, count / 10, other);
        for _ in 0..rounds {
            let straight: f64 = bench.bursts_of(each, count, own).iter().sum();
            let mut sides = bench.bursts_of(each, count, other);
            // In the order of the threads' ids, which is that of the shards.
            if other == b'0' {
                sides.reverse();
            }
            samples.push([straight, sides[0] + sides[1], sides[0], sides[1]]);
        }
        let column = |value: fn(&[f64; 4]) -> f64| -> Vec<u64> {
            let mut values: Vec<u64> = samples.iter().map(|it| value(it).max(0.0) as u64).collect();
            values.sort_unstable();
            values
        };
        let more = column(|it| it[1] - it[0]);
        println!(
            "{each:>7} {:>8} {:>11} {:>8} {:>8} {:>6}  [{}..{}]",
            median(column(|it| it[0])),
            median(column(|it| it[1])),
            median(column(|it| it[2])),
            median(column(|it| it[3])),
            more[more.len() / 2],
            more[more.len() / 4],
            more[more.len() * 3 / 4],
        );
        bench.stop();
    }
}

/// How many datagrams there are for each peer in a turn, and how they leave.
fn sends(count: usize, rounds: usize) {
    println!("\nsend: ns of processor time a datagram of a burst of {BURST}, by datagrams a peer");
    println!(
        "{:>5} {:>7} {:>7} {:>7} {:>7}",
        "each", "plain", "equal", "inside", "behind"
    );
    for each in [1, 2, 4, 8, 16, 32] {
        let benches = [Form::Plain, Form::Equal, Form::Inside, Form::Behind].map(|form| {
            let sink = UdpSocket::bind((IpAddr::from([0; 4]), 0)).expect("a socket");
            sink.set_read_timeout(Some(PATIENCE)).expect("a time");
            let to = SocketAddr::from(([127, 0, 0, 1], sink.local_addr().expect("bound").port()));
            let mut bench = Bench::start(1, Limits::default(), Role::Burst { each, to, form });
            bench.client = sink;
            bench
        });
        let mut figures = [(); 4].map(|()| Vec::new());
        for _ in 0..rounds {
            for (bench, figures) in benches.iter().zip(&mut figures) {
                figures.push(bench.bursts(count / BURST));
            }
        }
        print!("{each:>5}");
        for figures in figures {
            print!(" {:>7}", median(figures));
        }
        let padded = &benches[3];
        let share = padded.total(Metric::PadBytes) as f64 * 100.0
            / padded.total(Metric::DatagramBytesOut).max(1) as f64;
        println!("   padding {share:.1} %");
        benches.into_iter().for_each(Bench::stop);
    }
}

/// What it costs to take datagrams off a socket, with and without `UDP_GRO`, if they come one by
/// one and if they come together.
fn receives(count: usize, rounds: usize) {
    println!("\nreceive: ns of processor time a datagram");
    for form in [Form::Plain, Form::Equal] {
        let sinks = [false, true].map(|receive_trains| {
            let limits = Limits {
                receive_trains,
                ..Limits::default()
            };
            let sink = Bench::start(1, limits, Role::Sink);
            let role = Role::Burst {
                each: BURST,
                to: sink.address(),
                form,
            };
            (Bench::start(1, Limits::default(), role), sink)
        });
        let mut figures = [(); 2].map(|()| Vec::new());
        for _ in 0..rounds {
            for ((source, sink), figures) in sinks.iter().zip(&mut figures) {
                let (cpu, before) = (sink.cpu_ns(), sink.total(Metric::DatagramsIn));
                for burst in 1..=(count / BURST) as u64 {
                    let _ = source.client.send_to(b"go", source.address());
                    let asked = std::time::Instant::now();
                    while sink.total(Metric::DatagramsIn) - before < burst * BURST as u64
                        && asked.elapsed() < PATIENCE
                    {
                        std::thread::yield_now();
                    }
                }
                let got = (sink.total(Metric::DatagramsIn) - before).max(1);
                figures.push((sink.cpu_ns() - cpu) / got);
            }
        }
        let [off, on] = figures.map(median);
        let how = if form == Form::Plain {
            "one by one"
        } else {
            "together"
        };
        println!("{how:>11}: {off} without UDP_GRO, {on} with it");
        for (source, sink) in sinks {
            source.stop();
            sink.stop();
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let table = words.iter().find(|word| !word.starts_with('-'));
    // `cargo bench` says so; anything else only looks whether it works.
    let is_bench = words.contains(&"--bench") || table.is_some();
    let (count, rounds) = if is_bench { (64_000, 7) } else { (640, 1) };
    match table {
        Some(&"echo") => {
            let bench = Bench::start(1, Limits::default(), Role::Echo);
            let count = words
                .iter()
                .find_map(|word| word.parse().ok())
                .unwrap_or(2_000);
            let lost = bench.rounds(count, b'x');
            let turns = bench.total(Metric::Turns);
            println!("{count} datagrams, {lost} lost, {turns} turns");
            bench.stop();
        }
        Some(&"batch") => batches(count, rounds),
        Some(&"hand-over") => hand_over(count, rounds),
        Some(&"send") => sends(count, rounds),
        Some(&"receive") => receives(count, rounds),
        _ => {
            batches(count, rounds);
            hand_over(count, rounds);
            sends(count, rounds);
            receives(count, rounds);
        }
    }
}
