//! The loop of a shard without SIP: what a datagram costs between the kernel and the handler.
//!
//! A shard runs on its own thread and answers each datagram with the same octets; a client on this
//! thread keeps a window of them on their way over loopback. What is printed is the processor time
//! of the shards' threads alone, by the scheduler's own account.
//!
//! ```text
//! cargo bench -p benches --bench io                  the tables of docs/performance.md
//! cargo bench -p benches --bench io -- echo 20000    one run, for callgrind
//! ```

#![allow(
    clippy::disallowed_methods,
    reason = "a bench of threads and sockets has a clock and waits"
)]

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{ShardId, Transport};
use shards::{
    Frame, Handler, Inbound, Limits, ListenerSpec, Metric, Outbox, Running, RuntimeConfig,
    Undelivered, start,
};

/// A usual request between two proxies.
const MESSAGE_BYTES: usize = 700;
/// How many datagrams are on their way at a time.
const WINDOW: usize = 128;
/// After so long without an answer the window counts as lost.
const PATIENCE: Duration = Duration::from_millis(200);

/// Answers with what it got; the first octet says which shard owns it.
struct Echo {
    is_over: bool,
}

impl Handler for Echo {
    type Letter = ();
    type Notice = ();
    type Snapshot = ();

    fn owner(&self, bytes: &[u8]) -> Option<ShardId> {
        match bytes.first() {
            Some(&digit @ b'0'..=b'9') => Some(ShardId(u16::from(digit - b'0'))),
            _ => None,
        }
    }

    fn frame(&self, _: &[u8]) -> Frame {
        Frame::More
    }

    fn message(&mut self, inbound: &Inbound<'_>, out: &mut Outbox<Echo>) {
        let len = inbound.bytes.len();
        let Some(packet) = out.packet(len) else {
            return;
        };
        out.buffer(packet)[..len].copy_from_slice(inbound.bytes);
        out.set_len(packet, len);
        out.send(&inbound.flow, packet, 0);
        out.release(packet);
    }

    fn unframed(&mut self, _: &Inbound<'_>, _: u8, _: &mut Outbox<Echo>) {}
    fn letter(&mut self, _: ShardId, (): (), _: &mut Outbox<Echo>) {}
    fn deadline(&mut self, _: u64, _: &mut Outbox<Echo>) {}
    fn undelivered(&mut self, _: u64, _: Undelivered, _: &mut Outbox<Echo>) {}
    fn snapshot(&mut self, _: Arc<()>, _: &mut Outbox<Echo>) -> Option<Arc<()>> {
        None
    }
    fn housekeeping(&mut self, _: &mut Outbox<Echo>) {}
    fn drain(&mut self, _: &mut Outbox<Echo>) {
        self.is_over = true;
    }
    fn is_idle(&self) -> bool {
        self.is_over
    }
    fn stop(&mut self, _: &mut Outbox<Echo>) {
        self.is_over = true;
    }
}

/// Shards that run, and a client of theirs.
struct Bench {
    running: Running<Echo>,
    client: UdpSocket,
}

/// What one run came to, for each datagram that came and went.
struct Figures {
    cpu_ns: u64,
    a_turn: u64,
    lost: u64,
}

impl Bench {
    fn start(shards: usize, limits: Limits) -> Bench {
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
        let running = start(config, |_| Echo { is_over: false }).expect("the shards start");
        let client = UdpSocket::bind(any).expect("a socket");
        client
            .connect(running.local_addresses()[0])
            .expect("an address");
        client.set_read_timeout(Some(PATIENCE)).expect("a time");
        Bench { running, client }
    }

    fn total(&self, metric: Metric) -> u64 {
        let pages = self.running.stats();
        pages
            .iter()
            .map(|page| page.runtime.get(metric as usize))
            .sum()
    }

    /// Sends and receives `count` datagrams; returns how many did not come back.
    fn rounds(&self, count: usize, first: u8) -> u64 {
        let message = [first; MESSAGE_BYTES];
        let mut buffer = [0; 2_048];
        let (mut sent, mut seen, mut lost) = (0, 0, 0);
        while seen + lost < count {
            while sent < count && sent - seen - lost < WINDOW {
                let _ = self.client.send(&message);
                sent += 1;
            }
            match self.client.recv(&mut buffer) {
                Ok(_) => seen += 1,
                Err(_) => lost += sent - seen - lost,
            }
        }
        lost as u64
    }

    fn measure(&self, count: usize, first: u8) -> Figures {
        self.rounds(count / 10, first);
        let (cpu, turns) = (cpu_ns(), self.total(Metric::Turns));
        let handled = self.total(Metric::DatagramsOut);
        let lost = self.rounds(count, first);
        let handled = (self.total(Metric::DatagramsOut) - handled).max(1);
        Figures {
            cpu_ns: (cpu_ns() - cpu) / handled,
            a_turn: handled / (self.total(Metric::Turns) - turns).max(1),
            lost,
        }
    }

    fn stop(self) {
        self.running.stop();
        assert_eq!(self.running.join(), 0, "no shard failed");
    }
}

/// What the threads of all shards have run so far, by the scheduler's account.
fn cpu_ns() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("a process has tasks");
    tasks
        .flatten()
        .filter(|task| {
            let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            name.starts_with("shard-")
        })
        .filter_map(|task| {
            let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            stat.split(' ').next()?.parse::<u64>().ok()
        })
        .sum()
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

/// What a datagram costs the shard that owns it, and what it costs more if another one received it.
fn hand_over(count: usize, rounds: usize) {
    let bench = Bench::start(2, Limits::default());
    let (mut own, mut handed) = ([Vec::new(), Vec::new()], Vec::new());
    for _ in 0..rounds {
        for owner in 0..2 {
            let before = bench.total(Metric::HandedOver);
            let figures = bench.measure(count, b'0' + owner);
            let all_handed = bench.total(Metric::HandedOver) - before > count as u64 / 2;
            match all_handed {
                true => handed.push(figures.cpu_ns),
                false => own[usize::from(owner)].push(figures.cpu_ns),
            }
        }
    }
    let kept = own.into_iter().flatten().collect::<Vec<_>>();
    let (kept, handed) = (median(kept), median(handed));
    println!("received and answered by its owner: {kept} ns; handed over: {handed} ns");
    bench.stop();
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["echo", count, ..] => {
            let bench = Bench::start(1, Limits::default());
            let count = count.parse().expect("a number of datagrams");
            let lost = bench.rounds(count, b'x');
            println!(
                "{count} datagrams, {lost} lost, {} turns",
                bench.total(Metric::Turns)
            );
            bench.stop();
        }
        ["hand-over", count, ..] => hand_over(count.parse().expect("a number of datagrams"), 5),
        _ => {
            // `cargo bench` says so; anything else only looks whether it works.
            let is_bench = words.contains(&"--bench");
            let (count, rounds) = if is_bench { (200_000, 5) } else { (500, 1) };
            let begun = Instant::now();
            let bench = Bench::start(1, Limits::default());
            for _ in 0..rounds {
                let figures = bench.measure(count, b'x');
                println!(
                    "{} ns a datagram, {} a turn, {} lost",
                    figures.cpu_ns, figures.a_turn, figures.lost
                );
            }
            bench.stop();
            hand_over(count, rounds);
            println!("took {:?}", begun.elapsed());
        }
    }
}
