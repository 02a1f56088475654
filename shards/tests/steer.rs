//! Steering by the kernel, over real sockets: what the program finds, and what it leaves to the
//! shards. Where the process may not load programs each test says so and checks the software path.

#![expect(clippy::disallowed_methods)] // a test of threads and sockets has a clock and waits

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{ShardId, SlotId, Time, Transport};
use shards::steer::{
    Cookie, Network, Recipe, ShedConfig, Sheddable, Spread, SteerConfig, SteerCounts, SteerMode,
    Unsteered,
};
use shards::{
    Frame, Handler, Inbound, Limits, ListenerSpec, Metric, Outbox, Random, Running, RuntimeConfig,
    StartError, Undelivered, start,
};

const SHARDS: u16 = 4;
const COOKIE: Cookie = Cookie {
    at: 5,
    mark: b"our-mark",
};

fn recipe() -> Recipe {
    recipe_for(SHARDS)
}

fn recipe_for(shards: u16) -> Recipe {
    let mut random = Random::new(7, 0);
    let words: Vec<u64> = (0..Spread::KEY_WORDS).map(|_| random.draw()).collect();
    Recipe {
        spread: Spread::new(|at| words[at], shards),
        names: &["key", "call-id"],
        reply: *b"replying",
        cookies: vec![None, Some(COOKIE)],
    }
}

/// Owns by the value of a line `key: value`, the plain way. Sends nothing.
struct Sink {
    spread: Spread,
    is_draining: bool,
}

impl Handler for Sink {
    type Letter = ();
    type Notice = ();
    type Snapshot = ();

    fn owner(&self, bytes: &[u8]) -> Option<ShardId> {
        let text = std::str::from_utf8(bytes).ok()?;
        let header = text.split_once("\n\n").map_or(text, |(header, _)| header);
        let line = header.lines().skip(1).find_map(|line| {
            line.split_once(':')
                .filter(|(name, _)| name.trim() == "key")
        })?;
        Some(self.spread.shard(line.1.trim().as_bytes()))
    }

    fn frame(&self, _: &[u8]) -> Frame {
        Frame::More
    }

    fn message(&mut self, _: &Inbound<'_>, _: &mut Outbox<Sink>) {}
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

struct Bench {
    running: Running<Sink>,
    at: Vec<SocketAddr>,
    from: UdpSocket,
    sent: u64,
}

impl Bench {
    fn try_new(shards: u16, mode: SteerMode) -> Result<Bench, StartError> {
        Bench::with(shards, mode, None)
    }

    fn with(shards: u16, mode: SteerMode, shed: Option<ShedConfig>) -> Result<Bench, StartError> {
        let udp = |host: &str| ListenerSpec {
            transport: Transport::Udp,
            address: format!("{host}:0").parse().expect("an address"),
        };
        let recipe = recipe_for(shards);
        let config = RuntimeConfig {
            listeners: vec![udp("127.0.0.1"), udp("[::1]")],
            cpus: vec![None; usize::from(shards)],
            limits: Limits::small(),
            receive_buffer_bytes: 4 << 20,
            steering: SteerConfig {
                mode,
                recipe: Some(recipe.clone()),
                shed,
            },
            ..RuntimeConfig::default()
        };
        let running = start(config, |_| Sink {
            spread: recipe.spread.clone(),
            is_draining: false,
        })?;
        Ok(Bench {
            at: running.local_addresses(),
            running,
            from: UdpSocket::bind("127.0.0.1:0").expect("a socket"),
            sent: 0,
        })
    }

    fn new(mode: SteerMode) -> Bench {
        Bench::try_new(SHARDS, mode).expect("the shards start")
    }

    /// All by one address and port, slowly enough that no socket's buffer runs over.
    fn send(&mut self, text: &str) {
        let sent = self.from.send_to(text.as_bytes(), self.at[0]);
        assert_eq!(sent.expect("loopback takes a datagram"), text.len());
        self.sent += 1;
        if self.sent.is_multiple_of(128) {
            self.settle();
        }
    }

    fn counters(&self, metric: Metric) -> Vec<u64> {
        let stats = self.running.stats();
        stats
            .iter()
            .map(|shard| shard.runtime.get(metric as usize))
            .collect()
    }

    fn sum(&self, metric: Metric) -> u64 {
        self.counters(metric).iter().sum()
    }

    /// Waits until the shards have received, and handed over, all that was sent.
    fn settle(&self) {
        let until = Instant::now() + Duration::from_secs(20);
        while self.sum(Metric::DatagramsIn) < self.sent
            || self.sum(Metric::TakenOver) < self.sum(Metric::HandedOver)
        {
            assert!(Instant::now() < until, "all datagrams arrive");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn counts(&self) -> SteerCounts {
        self.running.steering().counts()
    }

    /// Whether the kernel steers. It does wherever it may: only a missing permission is taken.
    fn is_steered(&self) -> bool {
        match self.running.steering().by_kernel() {
            Ok(()) => true,
            Err(Unsteered::NotPermitted) => {
                eprintln!("NOT TESTED: steering by the kernel; this process may not load programs");
                false
            }
            Err(why) => panic!("the kernel must steer here: {why}"),
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.running.stop();
    }
}

fn request(at: usize) -> (String, String) {
    let padding = "x".repeat(at * 7 % 900);
    let key = format!("{at}-{padding:.40}@192.0.2.1");
    let name = ["key: ", "key:", "key\t: "][at % 3];
    (
        format!("request\nvia: {padding}\n{name}{key}\nmore: 1\n\nbody"),
        key,
    )
}

#[test]
fn every_datagram_comes_to_the_socket_of_its_owner() {
    let mut bench = Bench::new(SteerMode::Auto);
    let is_steered = bench.is_steered();
    let spread = recipe().spread;
    let mut want = [0_u64; SHARDS as usize];
    for at in 0..1_000 {
        let (text, key) = request(at);
        bench.send(&text);
        want[usize::from(spread.shard(key.as_bytes()).0)] += 1;
    }
    bench.settle();
    if is_steered {
        assert_eq!(bench.counters(Metric::DatagramsIn), want);
        assert_eq!(bench.sum(Metric::HandedOver), 0);
        let counts = bench.counts();
        assert_eq!((counts.cookie, counts.hash, counts.unclear), (0, 1_000, 0));
    } else {
        assert!(bench.sum(Metric::HandedOver) > 0);
    }
    assert!(want.iter().all(|&count| count > 200), "{want:?}");
}

#[test]
fn without_the_kernel_the_shards_hand_over() {
    let mut bench = Bench::new(SteerMode::Software);
    let why = bench.running.steering();
    assert!(matches!(why.by_kernel(), Err(Unsteered::Configured)));
    (0..1_000).for_each(|at| bench.send(&request(at).0));
    bench.settle();
    let received = bench.counters(Metric::DatagramsIn);
    assert!(
        received.contains(&1_000),
        "one address, one socket: {received:?}"
    );
    let over = bench.sum(Metric::HandedOver);
    assert!((600..900).contains(&over), "{over} handed over");
    assert_eq!(bench.counts(), SteerCounts::default());
}

#[test]
fn what_is_unclear_is_handed_over() {
    let mut bench = Bench::new(SteerMode::Auto);
    if !bench.is_steered() {
        return;
    }
    let spread = recipe().spread;
    // A trailing blank, which the program does not look behind.
    let keys: Vec<String> = (0..200).map(|at| format!("key-{at}")).collect();
    for key in &keys {
        bench.send(&format!("request\nkey: {key} \n\n"));
    }
    bench.settle();
    let received = bench.counters(Metric::DatagramsIn);
    let lucky = received
        .iter()
        .position(|&count| count == 200)
        .expect("one address, one socket");
    let elsewhere = keys
        .iter()
        .filter(|key| usize::from(spread.shard(key.as_bytes()).0) != lucky)
        .count();
    assert_eq!(bench.sum(Metric::HandedOver), elsewhere as u64);
    assert_eq!(bench.counts().unclear, 200);
}

#[test]
fn replies_follow_their_cookie_on_the_listener_that_has_one() {
    let mut bench = Bench::new(SteerMode::Auto);
    if !bench.is_steered() {
        return;
    }
    bench.from = UdpSocket::bind("[::1]:0").expect("a socket");
    bench.at.swap(0, 1);
    for at in 0..400 {
        let shard = at % SHARDS;
        let bits = SlotId::new(ShardId(shard), 5, 9).bits();
        let digit = |at: u32| char::from_digit((bits >> (5 * at) & 31) as u32, 32);
        let digits: String = (0..13).rev().filter_map(digit).collect();
        bench.send(&format!(
            "replying to you\nabcdeour-mark{digits}\nno: key\n\n"
        ));
    }
    bench.settle();
    assert_eq!(bench.counters(Metric::DatagramsIn), [100; 4]);
    assert_eq!(bench.counts().cookie, 400);
    assert_eq!(bench.sum(Metric::HandedOver), 0);
}

#[test]
fn one_shard_needs_no_steering() {
    for mode in [SteerMode::Auto, SteerMode::Kernel] {
        let bench = Bench::try_new(1, mode).expect("it starts");
        let steering = bench.running.steering();
        assert!(matches!(steering.by_kernel(), Err(Unsteered::Needless)));
    }
}

#[test]
fn who_insists_on_the_kernel_gets_it_or_an_error() {
    match Bench::try_new(SHARDS, SteerMode::Kernel) {
        Ok(bench) => assert!(bench.running.steering().by_kernel().is_ok()),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("CAP_BPF"), "{text}");
        }
    }
}

const SHEDDABLE: Sheddable = Sheddable {
    begins: &["request "],
    spared_target: "important-things",
    spared_line: "this-is-of-value",
    marks: ["to", "t"],
};

/// Shards whose kernel may drop, or `None` where it may not.
fn shedding(shards: u16, mode: SteerMode, drops_strangers: bool) -> Option<Bench> {
    let shed = ShedConfig {
        sheddable: SHEDDABLE,
        places: 2,
        drops_strangers,
    };
    let bench = Bench::with(shards, mode, Some(shed)).expect("the shards start");
    match bench.running.steering().sheds() {
        Ok(()) => Some(bench),
        Err(Unsteered::NotPermitted) => {
            eprintln!("NOT TESTED: shedding by the kernel; this process may not load programs");
            None
        }
        Err(why) => panic!("the kernel must shed here: {why}"),
    }
}

fn loopback(place: usize) -> Network {
    Network {
        address: [127, 0, 0, 0].into(),
        bits: 8,
        place,
    }
}

#[test]
fn the_kernel_drops_without_a_word_what_is_above_its_bound() {
    for (shards, mode) in [
        (1, SteerMode::Auto),
        (SHARDS, SteerMode::Auto),
        (SHARDS, SteerMode::Software),
    ] {
        let Some(mut bench) = shedding(shards, mode, false) else {
            return;
        };
        let steering = bench.running.steering();
        assert_eq!(steering.know([loopback(0)].into_iter()), 0);
        // An answer of the system to what is dropped would be told to this socket.
        bench.from.connect(bench.at[0]).expect("an address");
        let mut gates: Vec<_> = (0..shards)
            .map(|at| steering.gate(at).expect("it sheds"))
            .collect();
        let at = |seconds: u64| Time::from_millis(seconds * 1_000);
        for gate in &mut gates {
            gate.set(0, Some(1 << 31), at(0));
        }
        let new = |at: usize| format!("request {at}\nkey: {at}-4711\nto: <x>\n\n");
        let send = |bench: &Bench, text: &str| {
            let sent = bench.from.send(text.as_bytes());
            sent.expect("nobody says that nobody is there");
        };
        for at in 0..400 {
            send(&bench, &new(at));
            send(&bench, &new(at).replace("<x>", "<x>;tag=1"));
        }
        let dropped = gates.iter().map(|gate| gate.dropped(0)).sum::<u64>();
        assert!((140..260).contains(&dropped), "{dropped} of 400");
        assert_eq!(steering.shed(), (dropped, 0));
        bench.sent += 800 - dropped;
        bench.settle();
        // Opened, what was dropped stays dropped, and all else passes.
        for gate in &mut gates {
            gate.set(0, None, at(1));
        }
        for at in 0..800 {
            send(&bench, &new(at));
        }
        let repeated = gates.iter().map(|gate| gate.dropped(0)).sum::<u64>() - dropped;
        assert_eq!(repeated, dropped);
        bench.sent += 800 - dropped;
        bench.settle();
        // Until nobody can send it any more.
        for gate in &mut gates {
            gate.tick(at(42));
        }
        for at in 0..100 {
            send(&bench, &new(at));
        }
        bench.sent += 100;
        bench.settle();
        assert_eq!(bench.sum(Metric::DatagramsIn), bench.sent);
        assert_eq!(steering.shed(), (2 * dropped, 0));
    }
}

#[test]
fn strangers_are_dropped_until_they_are_known() {
    let Some(mut bench) = shedding(SHARDS, SteerMode::Auto, true) else {
        return;
    };
    let steering = bench.running.steering();
    let send = |bench: &Bench| {
        for text in ["replying to you\n\n", "request 1\nkey: 1\nto: <x>\n\n"] {
            let sent = bench.from.send_to(text.as_bytes(), bench.at[0]);
            sent.expect("loopback takes a datagram");
        }
    };
    send(&bench);
    assert_eq!(steering.shed(), (0, 2));
    let other = Network {
        address: [192, 0, 2, 1].into(),
        bits: 32,
        place: 1,
    };
    assert_eq!(steering.know([loopback(0), other].into_iter()), 0);
    send(&bench);
    bench.sent += 2;
    bench.settle();
    assert_eq!(steering.know([other].into_iter()), 0);
    send(&bench);
    assert_eq!(steering.shed(), (0, 4));
    assert_eq!(bench.sum(Metric::DatagramsIn), 2);
}
