//! Shards on threads and real sockets, running a handler that echoes lines.
//!
//! A message is a line; its first digit is the shard that owns it. `x` as second character is not
//! answered, `s<port>` asks to be passed on to that port on loopback by TCP.

#![expect(clippy::disallowed_methods)] // a test of threads and sockets has a clock and waits

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use base::{Flow, ShardId, Transport};
use shards::{
    Frame, Handler, Inbound, Limits, ListenerSpec, Metric, Outbox, Running, RuntimeConfig,
    StartError, Undelivered, start,
};

/// What the handlers of a test tell it.
#[derive(Default)]
struct Seen {
    undelivered: AtomicU64,
    housekeepings: AtomicU64,
    /// What happens while a shard asks for its memory.
    meanwhile: Option<Box<dyn Fn() + Send + Sync>>,
}

struct Echo {
    seen: Arc<Seen>,
    world: Option<Arc<u32>>,
    is_draining: bool,
    /// How long it sits on each message: a shard that is stuck.
    slow: Duration,
}

impl Handler for Echo {
    type Letter = u32;
    type Notice = u32;
    type Snapshot = u32;

    fn owner(&self, bytes: &[u8]) -> Option<ShardId> {
        bytes
            .first()
            .filter(|digit| digit.is_ascii_digit())
            .map(|digit| ShardId(u16::from(digit - b'0')))
    }

    fn frame(&self, bytes: &[u8]) -> Frame {
        match bytes {
            [b'\r', b'\n', b'\r', b'\n', ..] => Frame::KeepAlive {
                bytes: 4,
                pong: true,
            },
            [b'!', ..] => Frame::Bad(7),
            _ => match bytes.iter().position(|&byte| byte == b'\n') {
                Some(at) => Frame::Message(at + 1),
                None => Frame::More,
            },
        }
    }

    fn rooms(&self, _: &mut dyn FnMut(*const u8, usize)) {
        if let Some(meanwhile) = &self.seen.meanwhile {
            meanwhile();
        }
    }

    fn message(&mut self, inbound: &Inbound<'_>, out: &mut Outbox<Echo>) {
        std::thread::sleep(self.slow);
        let text = String::from_utf8_lossy(inbound.bytes).trim().to_owned();
        if text.get(1..2) == Some("x") {
            return;
        }
        let mut flow = inbound.flow;
        let mut token = 0;
        if let Some(port) = text.get(1..).and_then(|rest| rest.strip_prefix('s')) {
            let port: u16 = port.parse().expect("a port");
            flow = Flow {
                transport: Transport::Tcp,
                listener: base::ListenerId(1),
                peer: SocketAddr::from(([127, 0, 0, 1], port)),
                conn: None,
                ..flow
            };
            token = 1;
        }
        let answer = format!("{} {}\n", out.shard().0, text);
        let packet = out.packet(answer.len()).expect("room for an answer");
        out.buffer(packet)[..answer.len()].copy_from_slice(answer.as_bytes());
        out.set_len(packet, answer.len());
        out.send(&flow, packet, token);
        out.release(packet);
    }

    fn unframed(&mut self, inbound: &Inbound<'_>, reason: u8, out: &mut Outbox<Echo>) {
        let packet = out.packet(16).expect("room");
        let answer = format!("bad {reason}\n");
        out.buffer(packet)[..answer.len()].copy_from_slice(answer.as_bytes());
        out.set_len(packet, answer.len());
        out.send(&inbound.flow, packet, 0);
        out.release(packet);
    }

    fn letter(&mut self, _from: ShardId, _letter: u32, _out: &mut Outbox<Echo>) {}
    fn deadline(&mut self, _token: u64, _out: &mut Outbox<Echo>) {}

    fn undelivered(&mut self, _token: u64, _why: Undelivered, _out: &mut Outbox<Echo>) {
        self.seen.undelivered.fetch_add(1, Ordering::SeqCst);
    }

    fn snapshot(&mut self, snapshot: Arc<u32>, _out: &mut Outbox<Echo>) -> Option<Arc<u32>> {
        self.world.replace(snapshot)
    }

    fn housekeeping(&mut self, _out: &mut Outbox<Echo>) {
        self.seen.housekeepings.fetch_add(1, Ordering::SeqCst);
    }

    fn drain(&mut self, _out: &mut Outbox<Echo>) {
        self.is_draining = true;
    }

    fn is_idle(&self) -> bool {
        self.is_draining
    }

    fn stop(&mut self, out: &mut Outbox<Echo>) {
        let _ = out.record(8, &mut |buffer| {
            buffer[..4].copy_from_slice(b"last");
            4
        });
        self.is_draining = true;
    }
}

/// A handler that sits on each message for so long.
fn echo(seen: &Arc<Seen>, slow_ms: u64) -> Echo {
    Echo {
        seen: Arc::clone(seen),
        world: None,
        is_draining: false,
        slow: Duration::from_millis(slow_ms),
    }
}

struct Bench {
    running: Option<Running<Echo>>,
    seen: Arc<Seen>,
    udp: SocketAddr,
    tcp: SocketAddr,
}

fn bench_with(shards: usize, host: &str, slow_ms: u64, limits: Limits) -> Bench {
    let seen = Arc::new(Seen::default());
    let address = SocketAddr::new(host.parse().expect("an address"), 0);
    let config = RuntimeConfig {
        listeners: vec![
            ListenerSpec {
                transport: Transport::Udp,
                address,
            },
            ListenerSpec {
                transport: Transport::Tcp,
                address,
            },
        ],
        cpus: vec![None; shards],
        limits,
        ..RuntimeConfig::default()
    };
    let make = |shard: ShardId| echo(&seen, if shard.0 == 1 { slow_ms } else { 0 });
    let running = start(config, make).expect("the shards start");
    let addresses = running.local_addresses();
    Bench {
        running: Some(running),
        seen,
        udp: addresses[0],
        tcp: addresses[1],
    }
}

fn bench(shards: usize) -> Bench {
    bench_with(shards, "127.0.0.1", 0, Limits::small())
}

impl Bench {
    fn running(&self) -> &Running<Echo> {
        self.running.as_ref().expect("it runs")
    }

    fn total(&self, metric: Metric) -> u64 {
        self.running()
            .stats()
            .iter()
            .map(|page| page.runtime.get(metric as usize))
            .sum()
    }

    /// Waits until a number is there; the test's own patience is its only clock.
    fn wait_for(&self, metric: Metric, least: u64) {
        wait(
            || self.total(metric) >= least,
            &format!("{metric:?} >= {least}"),
        );
    }

    fn client(&self) -> UdpSocket {
        let host = if self.udp.is_ipv4() {
            "127.0.0.1:0"
        } else {
            "[::1]:0"
        };
        let socket = UdpSocket::bind(host).expect("a socket");
        socket.connect(self.udp).expect("an address");
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a time");
        socket
    }

    fn stream(&self) -> TcpStream {
        let stream = TcpStream::connect(self.tcp).expect("accepted");
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a time");
        stream
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
            assert_eq!(running.join(), 0, "no shard failed");
        }
    }
}

fn wait(done: impl Fn() -> bool, what: &str) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < patience, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn ask(socket: &UdpSocket, text: &str) -> String {
    socket.send(text.as_bytes()).expect("sent");
    let mut buffer = [0; 2_048];
    let len = socket.recv(&mut buffer).expect("an answer");
    String::from_utf8_lossy(&buffer[..len]).trim().to_owned()
}

fn line(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).expect("an octet") == 1 && byte[0] != b'\n' {
        text.push(byte[0]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn datagrams_are_answered_over_both_families() {
    for host in ["127.0.0.1", "::1"] {
        let bench = bench_with(1, host, 0, Limits::small());
        assert_eq!(ask(&bench.client(), "0 hello"), "0 0 hello");
        assert_eq!(bench.total(Metric::DatagramsIn), 1);
    }
}

#[test]
fn a_wildcard_socket_answers_from_the_address_that_was_asked() {
    let bench = bench_with(1, "0.0.0.0", 0, Limits::small());
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a time");
    let asked = SocketAddr::from(([127, 0, 0, 9], bench.udp.port()));
    socket.send_to(b"0 hello", asked).expect("sent");
    let mut buffer = [0; 64];
    let (_, from) = socket.recv_from(&mut buffer).expect("an answer");
    assert_eq!(from, asked);
}

#[test]
fn a_message_for_another_shard_is_handed_over() {
    let bench = bench(2);
    let socket = bench.client();
    // One address pair lands on one shard: it owns only half of what comes.
    for round in 0..50 {
        let owner = round % 2;
        assert_eq!(
            ask(&socket, &format!("{owner} {round}")),
            format!("{owner} {owner} {round}")
        );
    }
    assert_eq!(bench.total(Metric::HandedOver), 25);
    assert_eq!(bench.total(Metric::TakenOver), 25);
}

/// Shard 1 sits on its work; its inbox fills; shard 0 goes on.
#[test]
fn a24_a_stuck_shard_fills_its_inbox_and_stops_nobody_else() {
    let limits = Limits {
        inbox: 8,
        ..Limits::small()
    };
    let bench = bench_with(2, "127.0.0.1", 200, limits);
    // Sockets until one lands on shard 0.
    let socket = (0..64)
        .map(|_| bench.client())
        .find(|socket| {
            let before = bench.total(Metric::HandedOver);
            ask(socket, "0 probe");
            bench.total(Metric::HandedOver) == before
        })
        .expect("half of the sockets land on shard 0");
    // The probes that landed on shard 1 were handed over too.
    let probes = bench.total(Metric::HandedOver);
    for round in 0..64 {
        socket.send(format!("1x{round}").as_bytes()).expect("sent");
    }
    bench.wait_for(Metric::InboxDrops, 1);
    for round in 0..20 {
        assert_eq!(ask(&socket, &format!("0 {round}")), format!("0 0 {round}"));
    }
    let done = bench.total(Metric::HandedOver) - probes + bench.total(Metric::InboxDrops);
    assert_eq!(
        done, 64,
        "each message was handed over or counted as dropped"
    );
}

#[test]
fn streams_are_framed_whatever_the_cuts() {
    let bench = bench(1);
    let mut stream = bench.stream();
    stream.write_all(b"0 one\n0 two\n0 th").expect("written");
    assert_eq!(
        (line(&mut stream), line(&mut stream)),
        ("0 0 one".into(), "0 0 two".into())
    );
    for octet in b"ree\n" {
        stream.write_all(&[*octet]).expect("written");
    }
    assert_eq!(line(&mut stream), "0 0 three");
    stream.write_all(b"\r\n\r\n0 four\n").expect("written");
    assert_eq!(
        (line(&mut stream), line(&mut stream)),
        ("\r".into(), "0 0 four".into())
    );
}

#[test]
fn an_answer_crosses_to_the_shard_of_its_connection() {
    let bench = bench(2);
    let mut stream = bench.stream();
    for round in 0..10 {
        let owner = round % 2;
        stream
            .write_all(format!("{owner} {round}\n").as_bytes())
            .expect("written");
        assert_eq!(line(&mut stream), format!("{owner} {owner} {round}"));
    }
}

#[test]
fn requests_to_one_target_share_a_connection_and_a_refusal_is_told() {
    let bench = bench(1);
    let socket = bench.client();
    let peer = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = peer.local_addr().expect("bound").port();
    socket.send(format!("0s{port}").as_bytes()).expect("sent");
    socket.send(format!("0s{port}").as_bytes()).expect("sent");
    let (mut stream, _) = peer.accept().expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a time");
    assert_eq!(line(&mut stream), format!("0 0s{port}"));
    assert_eq!(line(&mut stream), format!("0 0s{port}"));
    assert_eq!(bench.total(Metric::ConnectionsOpened), 1);
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = closed.local_addr().expect("bound").port();
    drop(closed);
    socket.send(format!("0s{port}").as_bytes()).expect("sent");
    wait(
        || bench.seen.undelivered.load(Ordering::SeqCst) == 1,
        "the handler is told",
    );
}

#[test]
fn what_cannot_be_framed_is_answered_and_closed() {
    let bench = bench(1);
    let mut stream = bench.stream();
    stream.write_all(b"! what").expect("written");
    assert_eq!(line(&mut stream), "bad 7");
    let mut rest = Vec::new();
    assert_eq!(stream.read_to_end(&mut rest).expect("closed"), 0);
    assert_eq!(bench.total(Metric::FramesBad), 1);
}

#[test]
fn a5_slow_and_idle_streams_are_closed_and_others_are_served() {
    let limits = Limits {
        header_deadline_ms: 300,
        idle_ms: 600,
        ..Limits::small()
    };
    let bench = bench_with(1, "127.0.0.1", 0, limits);
    let mut slow: Vec<TcpStream> = (0..40).map(|_| bench.stream()).collect();
    for stream in &mut slow {
        stream.write_all(b"0 half a li").expect("written");
    }
    let idle = bench.stream();
    // Octets that trickle in do not buy more time.
    while bench.total(Metric::ClosedSlow) < 40 {
        for stream in &mut slow {
            let _ = stream.write(b"n");
        }
        let mut canary = bench.stream();
        canary.write_all(b"0 canary\n").expect("written");
        assert_eq!(line(&mut canary), "0 0 canary");
    }
    bench.wait_for(Metric::ClosedIdle, 1);
    drop(idle);
}

#[test]
fn a5_connections_have_limits_for_each_peer_and_in_all() {
    let limits = Limits {
        connections_per_peer: 10,
        ..Limits::small()
    };
    let bench = bench_with(1, "127.0.0.1", 0, limits);
    let _ten: Vec<TcpStream> = (0..10).map(|_| bench.stream()).collect();
    bench.wait_for(Metric::ConnectionsAccepted, 10);
    let mut refused = bench.stream();
    let ended = refused.read(&mut [0]);
    assert!(
        matches!(ended, Ok(0))
            || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
    );
    bench.wait_for(Metric::RefusedPeer, 1);

    let limits = Limits {
        connections: 10,
        evict_idle_ms: 0,
        ..Limits::small()
    };
    let bench = bench_with(1, "127.0.0.1", 0, limits);
    let _ten: Vec<TcpStream> = (0..10).map(|_| bench.stream()).collect();
    bench.wait_for(Metric::ConnectionsAccepted, 10);
    let mut next = bench.stream();
    next.write_all(b"0 in\n").expect("written");
    assert_eq!(line(&mut next), "0 0 in");
    assert_eq!(bench.total(Metric::ClosedOldest), 1);
}

#[test]
fn a6_an_endless_line_is_refused_and_costs_what_was_received() {
    let limits = Limits {
        message_bytes_max: 4_096,
        ..Limits::small()
    };
    let bench = bench_with(1, "127.0.0.1", 0, limits);
    let mut stream = bench.stream();
    let _ = stream.write_all(&vec![b'0'; 10_000]);
    assert_eq!(line(&mut stream), "bad 255");
    bench.wait_for(Metric::FramesBad, 1);
}

#[test]
fn b32_a_peer_that_does_not_read_is_let_go() {
    let limits = Limits {
        stream_buffer_bytes: 8_192,
        ..Limits::small()
    };
    let bench = bench_with(1, "127.0.0.1", 0, limits);
    let mut stream = bench.stream();
    let line = format!("0 {}\n", "y".repeat(1_000));
    let patience = Instant::now() + Duration::from_secs(20);
    while bench.total(Metric::ClosedBacklog) == 0 {
        assert!(Instant::now() < patience, "the backlog has a limit");
        let _ = stream.write(line.as_bytes());
    }
    let socket = bench.client();
    assert_eq!(ask(&socket, "0 still here"), "0 0 still here");
}

#[test]
fn a_snapshot_reaches_every_shard_and_the_old_one_comes_back() {
    let bench = bench(2);
    let running = bench.running();
    for generation in 1..=2 {
        running.publish(Arc::new(generation));
        wait(|| running.is_confirmed(), "both shards have it");
    }
    let mut back = Vec::new();
    wait(|| running.is_confirmed(), "confirmed");
    while back.len() < 2 {
        back.extend(running.retired_snapshots());
    }
    assert!(back.iter().all(|old| **old == 1), "{back:?}");
}

#[test]
fn a_drain_ends_when_all_are_idle_and_the_last_records_come() {
    let mut bench = bench(2);
    wait(
        || bench.seen.housekeepings.load(Ordering::SeqCst) >= 2,
        "housekeeping runs",
    );
    let running = bench.running.take().expect("it runs");
    let mut records = running.records();
    running.drain(Duration::from_secs(60));
    let patience = Instant::now() + Duration::from_secs(20);
    while !running.is_finished() {
        assert!(Instant::now() < patience, "an idle drain is short");
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut bytes = Vec::new();
    let mut count = 0;
    while records.pop(&mut bytes).is_some() {
        assert_eq!(bytes, b"last");
        count += 1;
    }
    assert_eq!((count, running.join()), (2, 0));
}

/// Two shards that ask for their memory, on an address that nobody has: its host is of this test.
fn large(host: &str) -> (RuntimeConfig, SocketAddr) {
    let free = UdpSocket::bind((host, 0)).and_then(|socket| socket.local_addr());
    let address = free.expect("loopback has a free port");
    let config = RuntimeConfig {
        listeners: vec![ListenerSpec {
            transport: Transport::Udp,
            address,
        }],
        cpus: vec![None; 2],
        limits: Limits {
            huge_pages: true,
            ..Limits::small()
        },
        ..RuntimeConfig::default()
    };
    (config, address)
}

fn peer_of(address: SocketAddr) -> UdpSocket {
    let peer = UdpSocket::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    peer.connect(address).expect("a datagram socket");
    peer
}

#[test]
fn nothing_can_come_before_every_shard_has_its_memory() {
    let (config, address) = large("127.21.1.1");
    let unheard = Arc::new(AtomicU64::new(0));
    let count = unheard.clone();
    let seen = Arc::new(Seen {
        meanwhile: Some(Box::new(move || {
            // The second one takes its time.
            let before = count.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(before * 200));
            let peer = peer_of(address);
            peer.send(b"too early").expect("nobody has said no yet");
            let refused = peer.recv(&mut [0; 16]).expect_err("nobody answers");
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            count.fetch_add(10, Ordering::SeqCst);
        })),
        ..Seen::default()
    });
    let running = start(config, |_| echo(&seen, 0)).expect("it starts");
    assert_eq!(unheard.load(Ordering::SeqCst), 22);
    assert_eq!(running.local_addresses(), [address]);
    assert!(ask(&peer_of(address), "now").ends_with(" now"));
    running.stop();
    assert_eq!(running.join(), 0);
}

#[test]
fn an_address_that_is_taken_meanwhile_leaves_nothing_running() {
    let (config, address) = large("127.21.1.2");
    let taken = OnceLock::new();
    let seen = Arc::new(Seen {
        meanwhile: Some(Box::new(move || {
            taken.get_or_init(|| UdpSocket::bind(address).expect("it was free"));
        })),
        ..Seen::default()
    });
    let error = start(config, |_| echo(&seen, 0)).expect_err("the address is taken");
    assert!(matches!(error, StartError::Listener { .. }), "{error}");
    // Both handlers went with their threads.
    assert_eq!(Arc::strong_count(&seen), 1);
}
