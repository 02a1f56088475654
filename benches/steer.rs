//! Steering: what it costs the kernel to find the shard of a datagram, and what it costs us.
//!
//! `owner` is the software path, hash included. The table at the end is of the kernel's program, for
//! each kind of message: instructions, as the model counts them, and nanoseconds, as the kernel
//! does (it adds its own two readings of the clock); it needs the permission to load programs.
//! The last table is what steering saves: processor time of the shards for a datagram, when all come
//! from one address, with the kernel steering and with the shards handing over, by turns.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on says where")]
#![allow(
    clippy::disallowed_methods,
    reason = "a bench of threads waits for them"
)]

use std::hint::black_box;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use base::{ShardId, SlotId, Transport};
use criterion::{Criterion, criterion_group, criterion_main};
use shards::steer::{Cookie, Machine, Recipe, Spread, SteerConfig, SteerMode, Steering};
use shards::{
    Frame, Handler, Inbound, Limits, ListenerSpec, Metric, Outbox, Running, RuntimeConfig,
    Undelivered,
};
use socket2::{Domain, Socket, Type};

const SHARDS: u16 = 2;
/// Datagrams of each kind in one round, and rounds.
const COUNT: u64 = 20_000;
const ROUNDS: usize = 5;
const BPF_STATS: &str = "/proc/sys/kernel/bpf_stats_enabled";

fn recipe() -> Recipe {
    let via = "Via: SIP/2.0/UDP 127.0.0.1:5060;branch=";
    Recipe {
        spread: Spread::new(
            |at| 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(at as u64 + 1),
            SHARDS,
        ),
        names: &["call-id", "i"],
        reply: *b"SIP/2.0 ",
        cookies: vec![Some(Cookie {
            at: via.len(),
            mark: call::token::BRANCH_PREFIX,
        })],
    }
}

/// Each kind of message that a call brings, of usual size.
fn messages() -> Vec<(&'static str, Vec<u8>)> {
    let keys = call::Keys::new([1; 32], [2; 32]);
    let branch = keys.branch(SlotId::new(ShardId(1), 7, 3), 5);
    let branch = std::str::from_utf8(&branch).unwrap();
    let rest = "From: \"Alice\" <sip:+12025550100@198.51.100.7>;tag=9fxced76sl\n\
        To: <sip:+12125551234@192.0.2.1>;tag=314159\n\
        Call-ID: 3848276298220188511@198.51.100.7\nCSeq: 1 INVITE\n\
        Contact: <sip:+12025550100@198.51.100.7:5060>\nMax-Forwards: 70\n";
    let callers = "Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK-524287-1---4b43c2ff8;rport\n";
    let ours = format!("Via: SIP/2.0/UDP 127.0.0.1:5060;branch={branch};rport=5060\n");
    let route = "Route: <sip:192.0.2.1:5060;tl=00000g00000010123456789;lr>\n";
    let far = "Via: SIP/2.0/UDP 203.0.113.9:5060;branch=z9hG4bK-776asdhds-0123456789abcdef;received=203.0.113.9\n".repeat(8);
    let body = "v=0\no=- 20518 0 IN IP4 198.51.100.7\n".repeat(8);
    let wire = |text: String| text.replace('\n', "\r\n").into_bytes();
    let uri = "sip:+12125551234@192.0.2.1:5060 SIP/2.0";
    vec![
        (
            "180, our cookie",
            wire(format!("SIP/2.0 180 Ringing\n{ours}{callers}{rest}\n")),
        ),
        (
            "200, our cookie",
            wire(format!("SIP/2.0 200 OK\n{ours}{callers}{rest}\n{body}")),
        ),
        (
            "INVITE",
            wire(format!("INVITE {uri}\n{callers}{rest}\n{body}")),
        ),
        ("BYE", wire(format!("BYE {uri}\n{callers}{route}{rest}\n"))),
        (
            "INVITE, eight Via more",
            wire(format!("INVITE {uri}\n{callers}{far}{rest}\n{body}")),
        ),
        (
            "no Call-ID",
            wire(format!("INVITE {uri}\n{callers}\n{body}")),
        ),
    ]
}

fn bench(criterion: &mut Criterion) {
    let recipe = recipe();
    let mut group = criterion.benchmark_group("owner");
    for (name, message) in messages() {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let sniffed = sip::sniff(black_box(&message))?;
                Some(recipe.spread.shard(sniffed.call_id))
            });
        });
    }
    group.finish();
    kernel(&recipe);
    saved(&recipe);
}

/// Prints the table of the kernel's program.
fn kernel(recipe: &Recipe) {
    let mut machine = Machine::new(recipe, recipe.cookies[0]);
    let steps: Vec<u32> = messages()
        .iter()
        .map(|(_, message)| machine.run(message).steps)
        .collect();
    let nanos = measured(recipe);
    println!("\nkernel program of {} words", machine.words());
    println!(
        "{:<24} {:>12} {:>24}",
        "message", "instructions", "ns, median [least..most]"
    );
    for (at, (name, _)) in messages().iter().enumerate() {
        let nanos = nanos.as_ref().map_or("not permitted".to_owned(), |nanos| {
            let mut nanos = nanos[at].clone();
            nanos.sort_unstable();
            format!(
                "{} [{}..{}]",
                nanos[ROUNDS / 2],
                nanos[0],
                nanos[ROUNDS - 1]
            )
        });
        println!("{name:<24} {:>12} {nanos:>24}", steps[at]);
    }
}

/// Nanoseconds that the kernel took for a datagram of each kind, in each round.
fn measured(recipe: &Recipe) -> Option<Vec<Vec<u64>>> {
    let before = std::fs::read_to_string(BPF_STATS).ok()?;
    std::fs::write(BPF_STATS, "1").ok()?;
    let sockets: Vec<UdpSocket> = group();
    let config = SteerConfig {
        mode: SteerMode::Kernel,
        recipe: Some(recipe.clone()),
        shed: None,
    };
    let fds = sockets.iter().map(AsRawFd::as_raw_fd).collect();
    let steering = Steering::start(&config, &[(0, fds)]).ok()?;
    let to = sockets[0].local_addr().unwrap();
    let from = UdpSocket::bind("127.0.0.1:0").unwrap();
    let messages = messages();
    let mut nanos = vec![Vec::new(); messages.len()];
    for _ in 0..ROUNDS {
        for (at, (_, message)) in messages.iter().enumerate() {
            let (runs, spent) = steering.spent();
            (0..COUNT).for_each(|_| {
                from.send_to(message, to).unwrap();
            });
            let (runs_after, spent_after) = steering.spent();
            nanos[at].push((spent_after - spent) / (runs_after - runs).max(1));
        }
    }
    let _restored = std::fs::write(BPF_STATS, before);
    Some(nanos)
}

/// Sockets that share an address. What they receive is not read: the kernel drops the rest, after
/// it has chosen the socket.
fn group() -> Vec<UdpSocket> {
    let mut at: SocketAddr = "127.0.0.1:0".parse().unwrap();
    (0..SHARDS)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
            socket.set_reuse_port(true).unwrap();
            socket.bind(&at.into()).unwrap();
            at = socket.local_addr().unwrap().as_socket().unwrap();
            socket.into()
        })
        .collect()
}

/// Takes every message, reads it so often, and answers none.
struct Sink {
    spread: Spread,
    readings: u32,
    is_draining: bool,
}

impl Handler for Sink {
    type Letter = ();
    type Notice = ();
    type Snapshot = ();

    fn owner(&self, bytes: &[u8]) -> Option<ShardId> {
        sip::sniff(bytes).map(|sniffed| self.spread.shard(sniffed.call_id))
    }
    fn frame(&self, _: &[u8]) -> Frame {
        Frame::More
    }
    fn message(&mut self, inbound: &Inbound<'_>, _: &mut Outbox<Sink>) {
        for _ in 0..self.readings {
            let bytes = black_box(inbound.bytes);
            black_box(
                bytes
                    .iter()
                    .fold(0_u8, |sum, &octet| black_box(sum.wrapping_mul(3) ^ octet)),
            );
        }
    }
    fn unframed(&mut self, _: &Inbound<'_>, _: u8, _: &mut Outbox<Sink>) {}
    fn letter(&mut self, _: ShardId, (): (), _: &mut Outbox<Sink>) {}
    fn deadline(&mut self, _: u64, _: &mut Outbox<Sink>) {}
    fn undelivered(&mut self, _: u64, _: Undelivered, _: &mut Outbox<Sink>) {}
    fn snapshot(&mut self, _: Arc<()>, _: &mut Outbox<Sink>) -> Option<Arc<()>> {
        None
    }
    fn housekeeping(&mut self, _: &mut Outbox<Sink>) {}
    fn drain(&mut self, _: &mut Outbox<Sink>) {
        self.is_draining = true;
    }
    fn is_idle(&self) -> bool {
        self.is_draining
    }
    fn stop(&mut self, _: &mut Outbox<Sink>) {
        self.is_draining = true;
    }
}

/// Prints what the shards spend on a datagram, steered and handed over.
fn saved(recipe: &Recipe) {
    println!("\nprocessor time for a datagram, ns: all {SHARDS} shards / the busier one");
    println!("{:<26} {:>16} {:>16}", "load", "kernel", "software");
    for (name, burst, readings) in [
        ("bursts of 8, no work", 8, 0),
        ("bursts of 64, no work", 64, 0),
        ("bursts of 1,024, work", 1_024, 8),
    ] {
        let mut nanos = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (at, mode) in [SteerMode::Auto, SteerMode::Software]
                .into_iter()
                .enumerate()
            {
                nanos[at].push(spent_by_shards(recipe, mode, burst, readings));
            }
        }
        let text = nanos.map(|mut nanos| {
            nanos.sort_unstable();
            let (all, busier) = nanos[ROUNDS / 2];
            format!("{all} / {busier}")
        });
        println!("{name:<26} {:>16} {:>16}", text[0], text[1]);
    }
}

/// What all shards spent on a datagram, and what the busier one did.
fn spent_by_shards(recipe: &Recipe, mode: SteerMode, burst: u64, readings: u32) -> (u64, u64) {
    let config = RuntimeConfig {
        listeners: vec![ListenerSpec {
            transport: Transport::Udp,
            address: "127.0.0.1:0".parse().unwrap(),
        }],
        cpus: vec![None; usize::from(SHARDS)],
        limits: Limits {
            inbox: 4_096,
            ..Limits::small()
        },
        steering: SteerConfig {
            mode,
            recipe: Some(recipe.clone()),
            shed: None,
        },
        ..RuntimeConfig::default()
    };
    let make = |_| Sink {
        spread: recipe.spread.clone(),
        readings,
        is_draining: false,
    };
    let running = shards::start(config, make).unwrap();
    let to = running.local_addresses()[0];
    let from = UdpSocket::bind("127.0.0.1:0").unwrap();
    let invite = &messages()[2].1;
    let place = invite.windows(9).position(|at| at == b"Call-ID: ").unwrap() + 9;
    let mut message = invite.clone();
    // They have their names, and nothing left to do.
    let turns = |shard: &Arc<shards::ShardStats>| shard.runtime.get(Metric::Turns as usize) > 0;
    while !running.stats().iter().all(turns) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let before = times_of_shards();
    for sent in 0..COUNT {
        // Every one of another call.
        message[place..place + 8].copy_from_slice(format!("{sent:08}").as_bytes());
        from.send_to(&message, to).unwrap();
        if (sent + 1).is_multiple_of(burst) {
            wait_for(&running, sent + 1);
        }
    }
    wait_for(&running, COUNT);
    let after = times_of_shards();
    running.stop();
    let _ended = running.join();
    let spent = after
        .iter()
        .zip(before)
        .map(|(after, before)| (after - before) / COUNT);
    (spent.clone().sum(), spent.max().unwrap())
}

/// Waits until so many datagrams are received and handed over.
fn wait_for(running: &Running<Sink>, count: u64) {
    let stats = running.stats();
    let sum = |metric: Metric| -> u64 {
        let page = |shard: &Arc<shards::ShardStats>| shard.runtime.get(metric as usize);
        stats.iter().map(page).sum()
    };
    while sum(Metric::DatagramsIn) < count || sum(Metric::TakenOver) < sum(Metric::HandedOver) {
        std::thread::sleep(Duration::from_micros(20));
    }
}

/// Nanoseconds that each shard's thread has run so far, by the kernel's scheduler.
fn times_of_shards() -> Vec<u64> {
    let mut times: Vec<(String, u64)> = std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| {
            let task = task.ok()?.path();
            let name = std::fs::read_to_string(task.join("comm")).ok()?;
            let times = std::fs::read_to_string(task.join("schedstat")).ok()?;
            let time = times.split(' ').next()?.parse().ok()?;
            name.starts_with("shard-").then_some((name, time))
        })
        .collect();
    times.sort_unstable();
    times.into_iter().map(|(_, time)| time).collect()
}

criterion_group!(benches, bench);
criterion_main!(benches);
