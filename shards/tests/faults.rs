//! Shards on threads and real sockets when things go wrong: limits, refusals, exhaustion, panics.

#![expect(clippy::disallowed_methods)] // a test of threads and sockets has a clock and waits

mod bench;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use base::{ShardId, Transport};
use bench::{EXPECTED, Echo, HANDLED, HEAD_BYTES, eventually, message};
use shards::{Limits, ListenerSpec, Metric, Running, RuntimeConfig, StartError, start};
use socket2::{Domain, Socket, Type};

fn config(shards: usize, limits: Limits) -> RuntimeConfig {
    let listener = |transport| ListenerSpec {
        transport,
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
    };
    RuntimeConfig {
        listeners: vec![listener(Transport::Udp), listener(Transport::Tcp)],
        cpus: vec![None; shards],
        limits,
        handler_counters: &HANDLED,
        ..RuntimeConfig::default()
    }
}

/// The shards of a test; they are stopped with it.
struct Node(Option<Running<Echo>>);

impl Node {
    fn start(config: RuntimeConfig) -> Node {
        Node(Some(
            start(config, |_| Echo::default()).expect("the shards start"),
        ))
    }

    fn running(&self) -> &Running<Echo> {
        self.0.as_ref().expect("it runs")
    }

    fn total(&self, metric: Metric) -> u64 {
        let stats = self.running().stats();
        (stats.iter())
            .map(|page| page.runtime.get(metric as usize))
            .sum()
    }

    fn wait_for(&self, metric: Metric, least: u64) {
        eventually(&format!("{metric:?} >= {least}"), || {
            self.total(metric) >= least
        });
    }

    fn udp(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket
            .connect(self.running().local_addresses()[0])
            .expect("an address");
        let limit = Some(Duration::from_secs(20));
        socket.set_read_timeout(limit).expect("a time");
        socket
    }

    fn tcp(&self) -> TcpStream {
        let to = self.running().local_addresses()[1];
        let stream = TcpStream::connect(to).expect("accepted");
        let limit = Some(Duration::from_secs(20));
        stream.set_read_timeout(limit).expect("a time");
        stream.set_nodelay(true).expect("an option");
        stream
    }

    fn wait_for_notice(&self, wanted: &str) {
        eventually(wanted, || {
            self.running()
                .next_notice()
                .is_some_and(|(_, notice)| notice.contains(wanted))
        });
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(running) = self.0.take() {
            running.stop();
            let _ = running.join();
        }
    }
}

fn echo(socket: &UdpSocket, bytes: &[u8]) {
    socket.send(bytes).expect("sent");
    let mut buffer = vec![0; 65_536];
    let len = socket.recv(&mut buffer).expect("an answer");
    assert_eq!(&buffer[..len], bytes);
}

fn echo_stream(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).expect("written");
    let mut buffer = vec![0; bytes.len()];
    stream.read_exact(&mut buffer).expect("an answer");
    assert_eq!(buffer, bytes);
}

fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_second_process_cannot_share_an_address() {
    let first = Node::start(config(2, Limits::small()));
    let taken = first.running().local_addresses();
    for (at, transport) in [(0, Transport::Udp), (1, Transport::Tcp)] {
        let mut second = config(1, Limits::small());
        second.listeners = vec![ListenerSpec {
            transport,
            address: taken[at],
        }];
        match start(second, |_| Echo::default()) {
            Err(StartError::Listener { address, error, .. }) => {
                assert_eq!((address, error.kind()), (taken[at], ErrorKind::AddrInUse));
            }
            other => panic!("it started: {other:?}"),
        }
    }
    // A process that ended leaves its addresses, connections in TIME_WAIT or not.
    let mut stream = first.tcp();
    echo_stream(&mut stream, &message('-', 'E', b"x"));
    drop(first);
    let mut again = config(1, Limits::small());
    for (spec, &address) in again.listeners.iter_mut().zip(&taken) {
        spec.address = address;
    }
    let second = Node::start(again);
    echo(&second.udp(), b"-E0001y");
}

#[test]
fn a_busy_stream_that_is_always_in_the_middle_of_a_message_is_not_slow() {
    let limits = Limits {
        header_deadline_ms: 300,
        ..Limits::small()
    };
    let node = Node::start(config(1, limits));
    let mut stream = node.tcp();
    let whole = message('-', 'E', b"0123456789");
    let (head, tail) = whole.split_at(9);
    stream.write_all(head).expect("written");
    let begun = Instant::now();
    let mut buffer = vec![0; whole.len()];
    while begun.elapsed() < Duration::from_millis(1_200) {
        stream.write_all(&[tail, head].concat()).expect("written");
        stream.read_exact(&mut buffer).expect("still open");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(node.total(Metric::ClosedSlow), 0);
    node.wait_for(Metric::ClosedSlow, 1);
}

#[test]
fn thousands_of_frames_in_one_read_are_all_taken_and_octets_of_any_limit_fit() {
    for message_bytes_max in [64, 4_096, 65_535] {
        let limits = Limits {
            message_bytes_max,
            ..Limits::small()
        };
        let node = Node::start(config(1, limits));
        let mut stream = node.tcp();
        let mut writer = stream.try_clone().expect("a second hand");
        let pings = 60_000;
        let thread = std::thread::spawn(move || {
            for _ in 0..pings / 1_000 {
                writer
                    .write_all(&b"\r\n\r\n".repeat(1_000))
                    .expect("written");
            }
            writer
                .write_all(&message('-', 'E', b"end"))
                .expect("written");
        });
        let mut pongs = vec![0; pings * 2];
        stream.read_exact(&mut pongs).expect("as many pongs");
        thread.join().expect("all written");
        let mut last = [0; 9];
        stream.read_exact(&mut last).expect("the message");
        assert_eq!(&last, b"-E0003end");
        assert_eq!(node.total(Metric::KeepAlives), pings as u64);
    }
}

#[test]
fn pipelined_messages_keep_their_order_through_a_slow_reader() {
    let node = Node::start(config(1, Limits::default()));
    let mut stream = node.tcp();
    let mut writer = stream.try_clone().expect("a second hand");
    let count = 3_000_u32;
    let text = |n: u32| message('-', 'E', format!("{n:060}").as_bytes());
    let thread = std::thread::spawn(move || {
        for n in 0..count {
            writer.write_all(&text(n)).expect("written");
        }
    });
    let mut buffer = [0; 66];
    for n in 0..count {
        stream.read_exact(&mut buffer).expect("an answer");
        assert_eq!(buffer[..], text(n)[..]);
    }
    thread.join().expect("all written");
}

/// A crowd that says nothing, or only pings, fills the table: a peer that has spoken stays.
#[test]
fn a5_strangers_go_before_a_peer_that_has_spoken() {
    let limits = Limits {
        connections: 20,
        evict_idle_ms: 0,
        ..Limits::small()
    };
    let node = Node::start(config(1, limits));
    let mut peer = node.tcp();
    echo_stream(&mut peer, &message('-', 'E', b"first"));
    let mut crowd: Vec<TcpStream> = Vec::new();
    for _ in 0..60 {
        let mut stranger = node.tcp();
        stranger.write_all(b"\r\n\r\n").expect("written");
        crowd.push(stranger);
    }
    node.wait_for(Metric::ConnectionsAccepted, 61);
    assert_eq!(node.total(Metric::ClosedOldest), 41);
    echo_stream(&mut peer, &message('-', 'E', b"second"));
    assert!(
        is_closed_after_pong(&mut crowd[0]),
        "the first of the crowd went first"
    );
}

fn is_closed_after_pong(stream: &mut TcpStream) -> bool {
    // Its ping may have been answered before.
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => rest.is_empty() || rest == b"\r\n",
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

/// A promise of octets costs nothing: it is refused at once if it is too large, else waited for.
#[test]
fn a6_a_huge_length_is_refused_before_its_octets() {
    let node = Node::start(config(1, Limits::small()));
    let mut stream = node.tcp();
    stream.write_all(b"-K9999").expect("written");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("closed in order");
    assert_eq!(answer, b"bad 255");
    node.wait_for(Metric::ClosedBad, 1);
    assert_eq!(
        (
            node.total(Metric::FramesBad),
            node.total(Metric::ClosedAsked)
        ),
        (1, 0)
    );
}

#[test]
fn a6_buffers_for_incomplete_messages_have_a_limit_of_their_own() {
    let limits = Limits {
        stream_packets: [4, 2, 0, 0, 0, 0],
        ..Limits::small()
    };
    let node = Node::start(config(1, limits));
    let mut crowd: Vec<TcpStream> = (0..12).map(|_| node.tcp()).collect();
    for stream in &mut crowd {
        stream.write_all(b"-E0500half").expect("written");
    }
    node.wait_for(Metric::ClosedMemory, 6);
    assert_eq!(node.total(Metric::ClosedMemory), 6);
    // What is complete needs no buffer, and calls by datagram do not feel it.
    echo_stream(&mut node.tcp(), &message('-', 'E', b"whole"));
    echo(&node.udp(), &message('-', 'E', b"whole"));
}

#[test]
fn a_connection_that_is_not_answered_in_time_is_given_up() {
    let limits = Limits {
        connect_ms: 300,
        ..Limits::small()
    };
    let node = Node::start(config(1, limits));
    // A queue of one that nobody empties: the kernel does not answer the next.
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let listener = listener.expect("a socket");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    listener.bind(&any.into()).expect("bound");
    listener.listen(0).expect("listening");
    let full = listener
        .local_addr()
        .expect("bound")
        .as_socket()
        .expect("an address");
    let _fillers: Vec<socket2::Socket> = (0..4)
        .map(|_| {
            let filler = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
            let filler = filler.expect("a socket");
            filler.set_nonblocking(true).expect("an option");
            let _ = filler.connect(&full.into());
            filler
        })
        .collect();
    let ask = message('-', 'F', format!("tcp 1 {full}").as_bytes());
    node.udp().send(&ask).expect("sent");
    node.wait_for_notice("undelivered 77 TimedOut");
    assert_eq!(node.total(Metric::ConnectionsFailed), 1);
}

#[test]
fn a_packet_for_a_listener_that_is_not_there_or_a_closed_connection_is_told() {
    let node = Node::start(config(2, Limits::small()));
    let socket = node.udp();
    socket
        .send(&message('-', 'F', b"udp 1 127.0.0.1:9"))
        .expect("sent");
    node.wait_for_notice("undelivered 77 NoListener");
    // Another shard answers over a connection that is closed by then; it is told by letter.
    let mut stream = node.tcp();
    stream
        .write_all(&[message('0', 'D', b"200"), message('1', 'D', b"200")].concat())
        .expect("written");
    echo_stream(&mut stream, &message('-', 'E', b"x"));
    drop(stream);
    node.wait_for(Metric::ClosedByPeer, 1);
    node.wait_for(Metric::TimersFired, 2);
    echo(&socket, &message('-', 'E', b"y"));
}

#[test]
fn letters_reach_other_shards_and_their_answers_the_stream() {
    let node = Node::start(config(2, Limits::small()));
    let mut stream = node.tcp();
    for to in [b"0", b"1", b"0", b"1"] {
        echo_stream(&mut stream, &message('-', 'L', to));
    }
    assert_eq!(node.total(Metric::LettersIn), 4);
}

/// A message on which the handler fails while another is to be handled first is named, too.
#[test]
fn a_panic_on_what_is_expected_says_on_what() {
    let mut node = Node::start(config(1, Limits::small()));
    let (socket, bad) = (node.udp(), message('0', 'Z', b"later"));
    // While the shard is held up the others come together, and all but one of them are expected.
    socket.send(&message('0', 'S', b"100")).expect("sent");
    for _ in 0..4 {
        socket.send(&bad).expect("sent");
    }
    eventually("all shards end", || node.running().is_finished());
    let failures = node.0.take().expect("it ran").failures();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].offending.as_deref(), Some(&bad[..]));
}

#[test]
fn a_panic_ends_all_shards_in_order_and_says_on_what() {
    let mut node = Node::start(config(2, Limits::small()));
    let bad = message('1', 'P', b"the reason");
    node.udp().send(&bad).expect("sent");
    eventually("all shards end", || node.running().is_finished());
    let running = node.0.take().expect("it ran");
    let failures = running.failures();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].shard, ShardId(1));
    assert_eq!(failures[0].offending.as_deref(), Some(&bad[..]));
    assert_eq!(
        failures[0].to_string(),
        "shard 1 failed: told to panic: the reason; it was handling 16 octets"
    );
    let mut notices = Vec::new();
    while let Some((shard, notice)) = running.next_notice() {
        notices.push((shard.0, notice));
    }
    assert_eq!(
        notices,
        [(0, "0: stop".to_owned())],
        "the other one stopped in order"
    );
    assert_eq!(running.join(), 1);
}

/// The smallest buffer there is: the kernel drops, tells how many, and the shard goes on.
#[test]
fn b32_a_tiny_receive_buffer_drops_and_counts() {
    let config = RuntimeConfig {
        receive_buffer_bytes: 1,
        ..config(1, Limits::small())
    };
    let node = Node::start(config);
    let report = node.running().buffers()[0];
    assert!(report.asked == 1 && report.got >= 1, "{report:?}");
    let socket = node.udp();
    socket.send(&message('-', 'S', b"300")).expect("sent");
    for _ in 0..400 {
        socket.send(&message('-', 'X', &[b'x'; 400])).expect("sent");
    }
    node.wait_for(Metric::DatagramsIn, 1);
    eventually("the kernel's drops are counted", || {
        socket.send(&message('-', 'X', b"")).expect("sent");
        node.total(Metric::KernelDrops) > 300
    });
    echo(&socket, &message('-', 'E', b"alive"));
}

#[test]
fn a_clamped_receive_buffer_is_reported() {
    let config = RuntimeConfig {
        receive_buffer_bytes: 1 << 20,
        ..config(2, Limits::small())
    };
    let node = Node::start(config);
    let reports = node.running().buffers();
    assert_eq!(reports.len(), 2, "one a shard and UDP listener");
    let limit = std::fs::read_to_string("/proc/sys/net/core/rmem_max").expect("Linux");
    let limit: usize = limit.trim().parse().expect("a number");
    for report in reports {
        // Beyond the limit only with CAP_NET_ADMIN.
        assert!(report.got >= limit.min(1 << 20), "{report:?}");
    }
}

/// Runs in a process of its own with few descriptors: see the test below.
#[test]
#[ignore = "run by b32_without_descriptors_accepting_pauses_and_nothing_spins"]
fn few_descriptors() {
    let node = Node::start(config(1, Limits::small()));
    let socket = node.udp();
    let mut proven = node.tcp();
    echo_stream(&mut proven, &message('-', 'E', b"x"));
    let mut held = Vec::new();
    let to = node.running().local_addresses()[1];
    // Made beforehand: it connects when there is no descriptor left.
    let late = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    // Each takes two descriptors, here and there, until there are none.
    while let Ok(stream) = TcpStream::connect(to) {
        held.push(stream);
    }
    late.connect(&to.into()).expect("the kernel queues it");
    let mut late = TcpStream::from(late);
    late.set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a time");
    node.wait_for(Metric::AcceptPauses, 2);
    let turns = node.total(Metric::Turns);
    std::thread::sleep(Duration::from_millis(500));
    let turned = node.total(Metric::Turns) - turns;
    assert!(turned < 100, "it spins: {turned} turns in half a second");
    // Deadlines, datagrams and open connections go on.
    let asked = Instant::now();
    echo(&socket, &message('-', 'D', b"50"));
    assert!(asked.elapsed() >= Duration::from_millis(50));
    echo_stream(&mut proven, &message('-', 'E', b"y"));
    // A connection of our own is refused, not waited for.
    socket
        .send(&message('-', 'F', b"tcp 1 127.0.0.1:9"))
        .expect("sent");
    node.wait_for_notice("undelivered 77 Full");
    // With descriptors the one that waited is served.
    held.clear();
    echo_stream(&mut late, &message('-', 'E', b"z"));
}

#[test]
fn b32_without_descriptors_accepting_pauses_and_nothing_spins() {
    let me = std::env::current_exe().expect("this test");
    let ran = Command::new("sh")
        .arg("-c")
        .arg("ulimit -n 64 && exec \"$0\" --exact few_descriptors --ignored --nocapture")
        .arg(&me)
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&ran.stdout);
    let complained = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}\n{complained}");
    assert!(said.contains("1 passed"), "{said}");
}

#[test]
fn a24_a_full_inbox_lets_the_handler_answer_and_never_waits() {
    let limits = Limits {
        inbox: 4,
        ..Limits::small()
    };
    let node = Node::start(config(2, limits));
    // A socket that lands on shard 0: it tells who took a message that nobody owns.
    let socket = (0..64)
        .map(|_| node.udp())
        .find(|socket| {
            socket.send(&message('-', 'W', b"")).expect("sent");
            let mut buffer = [0; 64];
            let len = socket.recv(&mut buffer).expect("an answer");
            assert!(len > 4);
            buffer[0] == b'0'
        })
        .expect("half of the sockets land on shard 0");
    socket.send(&message('1', 'S', b"1000")).expect("sent");
    node.wait_for(Metric::TakenOver, 1);
    let asked = Instant::now();
    for _ in 0..50 {
        socket.send(&message('1', 'E', b"")).expect("sent");
    }
    let mut refused = 0;
    let mut buffer = [0; 64];
    for _ in 0..46 {
        let len = socket.recv(&mut buffer).expect("an answer");
        assert_eq!(&buffer[..len], b"1 is full");
        refused += 1;
    }
    echo(&socket, &message('0', 'E', b"others go on"));
    assert!(
        asked.elapsed() < Duration::from_millis(900),
        "nobody waited"
    );
    assert_eq!((refused, node.total(Metric::InboxDrops)), (46, 46));
    for _ in 0..4 {
        let len = socket.recv(&mut buffer).expect("what waited is answered");
        assert_eq!(&buffer[..len], message('1', 'E', b""));
    }
}

#[test]
fn a_refused_connection_is_told_with_its_reason() {
    let node = Node::start(config(1, Limits::small()));
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = closed.local_addr().expect("bound");
    drop(closed);
    let ask = message('-', 'F', format!("tcp 1 {address}").as_bytes());
    node.udp().send(&ask).expect("sent");
    node.wait_for_notice("undelivered 77 Refused");
    let mut asked = node.tcp();
    asked.write_all(&message('-', 'C', b"")).expect("written");
    let mut answer = Vec::new();
    asked.read_to_end(&mut answer).expect("closed in order");
    assert_eq!(answer, b"bye");
    assert!(is_closed(&mut asked));
    node.wait_for(Metric::ClosedAsked, 1);
}

/// In a batch each datagram but the first is told of before it comes, once and in order, whatever else
/// is in the batch; the handler looks at that. One that another shard owns is not.
#[test]
fn datagrams_that_come_together_are_expected_in_order() {
    let node = Node::start(config(1, Limits::small()));
    let socket = node.udp();
    let expected = || node.running().stats()[0].handler.get(EXPECTED);
    let mut rounds = 0_u64;
    while expected() < 100 {
        rounds += 1;
        assert!(rounds < 5_000, "datagrams never come together");
        for at in 0..50_u8 {
            let payload = vec![b'a' + at % 26; usize::from(at)];
            socket.send(&message('0', 'E', &payload)).expect("sent");
        }
        let mut answer = [0; 128];
        for at in 0..50 {
            let len = socket
                .recv(&mut answer)
                .expect("every datagram is answered");
            assert_eq!(len, HEAD_BYTES + at, "in their order");
        }
    }
    // With two shards and no steering it is first asked whose each is.
    let node = Node::start(config(2, Limits::small()));
    let socket = node.udp();
    for _ in 0..50 {
        socket.send(&message('0', 'E', b"x")).expect("sent");
    }
    let mut answer = [0; 64];
    for _ in 0..50 {
        socket
            .recv(&mut answer)
            .expect("every datagram is answered");
    }
    let told: u64 = (node.running().stats().iter())
        .map(|page| page.handler.get(EXPECTED))
        .sum();
    assert_eq!(told, 0);
}

/// While many messages come a shard naps between its turns; it still serves all, by datagram, by
/// stream and from the other shard, and its deadlines are not early.
#[test]
fn a_shard_that_lets_messages_gather_misses_none() {
    let limits = Limits {
        gather_us: 100,
        ..Limits::small()
    };
    let node = Node::start(config(2, limits));
    let (socket, mut stream) = (node.udp(), node.tcp());
    let (mut sent, mut rounds) = (0, 0);
    // Naps begin when enough came within two milliseconds, which is up to the machine.
    while node.total(Metric::Naps) < 20 {
        rounds += 1;
        assert!(rounds < 5_000, "{sent} datagrams and no naps");
        for at in 0..100 {
            let owner = if at % 2 == 0 { '0' } else { '1' };
            socket.send(&message(owner, 'E', b"x")).expect("sent");
            sent += 1;
        }
        let mut answer = [0; 64];
        for _ in 0..100 {
            socket
                .recv(&mut answer)
                .expect("every datagram is answered");
        }
        echo_stream(&mut stream, &message('1', 'E', b"y"));
    }
    let asked = Instant::now();
    echo(&socket, &message('-', 'D', b"20"));
    assert!(asked.elapsed() >= Duration::from_millis(20), "not early");
    assert!(node.total(Metric::HandedOver) > 0);
}

/// What is asked of the system for speed may be refused; the shard works the same.
#[test]
fn a_shard_that_looks_for_work_before_it_sleeps_misses_none() {
    let limits = Limits {
        batch: 1,
        busy_poll_us: 200,
        huge_pages: true,
        receive_trains: true,
        ..Limits::small()
    };
    let node = Node::start(config(2, limits));
    let (socket, mut stream) = (node.udp(), node.tcp());
    for round in 0..50 {
        // Some after a pause within which it fell asleep.
        let pause = Duration::from_millis(u64::from(round % 10 == 0));
        std::thread::sleep(pause);
        let owner = if round % 2 == 0 { '0' } else { '1' };
        echo(&socket, &message(owner, 'E', b"x"));
        echo_stream(&mut stream, &message(owner, 'E', b"y"));
    }
    let asked = Instant::now();
    echo(&socket, &message('-', 'D', b"20"));
    assert!(asked.elapsed() >= Duration::from_millis(20), "not early");
    assert!(node.total(Metric::HandedOver) > 0);
    assert!(node.total(Metric::Populated) > 0);
}
