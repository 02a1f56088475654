//! The kernel's program against the router, which it must never contradict where it matters:
//! whatever the datagram, it names the shard that the router names, or none.
//!
//! The program runs in [`shards::steer::Machine`], so millions of datagrams need no kernel.
#![allow(clippy::unwrap_used)] // a test's own helpers may

mod bench;

use base::{Flow, ListenerId, ShardId, Time, Transport};
use bench::{CALLER, Packet, Setup, VENDOR, crlf, respond};
use call::Keys;
use corpora::{call_flows, hostile};
use router::Router;
use shards::steer::{Machine, Network, Recipe, SHED_LOOK_BYTES, ShedConfig, Shedder, SteerCounts};
use shards::{Handler, Random, Solo};
use sip::shed::sketch;
use sip::{Method, sniff};

const SHARDS: u16 = 16;
const MUTATIONS: u64 = 50_000;

/// The program that sheds and what it must never drop.
struct Valve {
    recipe: Recipe,
    config: ShedConfig,
    shedder: Shedder,
    dropped: u64,
    seconds: u64,
}

impl Valve {
    /// Shut, as far as it can be.
    fn new() -> Valve {
        let setup = Setup {
            shards: SHARDS,
            ..Setup::new()
        };
        let settings = setup.settings();
        let (recipe, config) = (settings.recipe(), settings.shed(false));
        let all = Network {
            address: [0, 0, 0, 0].into(),
            bits: 0,
            place: 0,
        };
        let mut shedder = Shedder::new(&recipe, &config, vec![all]);
        shedder.set(0, Some(0), Time::ZERO);
        Valve {
            recipe,
            config,
            shedder,
            dropped: 0,
            seconds: 0,
        }
    }

    /// What is dropped is new by the router's own reading, and no more urgent than others; and its
    /// twin agrees on what may be dropped, but for headers of very many lines.
    fn run(&mut self, name: &str, bytes: &[u8]) {
        // Long after the one before: whose copy it may be does not matter here.
        self.seconds += 60;
        let now = Time::from_millis(self.seconds * 1_000);
        self.shedder.set(0, Some(0), now);
        let text = || format!("{name}: {}", bytes.escape_ascii());
        let is_kept = self.shedder.run([192, 0, 2, 1].into(), 0, bytes).is_kept;
        let judged = self.config.sheddable.judge(&self.recipe, bytes);
        if is_kept {
            let lines = bytes.iter().filter(|&&octet| octet == b'\n').count();
            let is_usual = lines < 60 && bytes.len() < SHED_LOOK_BYTES;
            assert!(
                judged.is_none_or(|(_, lot)| lot == 0) || !is_usual,
                "{}",
                text()
            );
            return;
        }
        self.dropped += 1;
        assert!(judged.is_some(), "{}", text());
        if let Some(seen) = sketch(bytes) {
            // A tag is a token, in which no `>` can be (RFC 3261 §25.1).
            let tag = seen.to_tag();
            assert!(tag.is_empty() || tag.ends_with(b">"), "{}", text());
            if !tag.is_empty() {
                return;
            }
            assert!(!seen.has_priority, "{}", text());
            let is_attached = matches!(seen.method, Method::Ack | Method::Bye | Method::Cancel);
            assert!(!is_attached, "{}", text());
        }
        if let Some(sniffed) = sniff(bytes) {
            assert!(sniffed.is_request && !sniffed.has_to_tag, "{}", text());
        }
    }
}

/// The program and the router of one listener.
struct Pair {
    router: Router,
    machine: Machine,
    /// The first shard's router, which takes everything as steered to it.
    solo: Solo<Router>,
    heard: u64,
}

impl Pair {
    fn new(listener: usize) -> Pair {
        let setup = Setup {
            shards: SHARDS,
            ..Setup::new()
        };
        let recipe = setup.settings().recipe();
        Pair {
            router: setup.router(),
            machine: Machine::new(&recipe, recipe.cookies[listener]),
            solo: setup.everybody_is_known().nobody_goes_down().solo(),
            heard: 0,
        }
    }

    /// The shard that the program finds. It is the router's.
    fn run(&mut self, name: &str, bytes: &[u8]) -> Option<ShardId> {
        let found = self.machine.run(bytes).shard;
        let owner = self.router.owner(bytes);
        assert!(
            found.is_none() || found == owner,
            "{name}: {found:?}, not {owner:?}: {}",
            bytes.escape_ascii()
        );
        self.steer(name, bytes, owner);
        found
    }

    /// The same message, brought to the first shard: it goes to its owner, or is dealt with because
    /// the shard is that, or because no shard could do more.
    fn steer(&mut self, name: &str, bytes: &[u8], owner: Option<ShardId>) {
        let flow = Flow {
            transport: Transport::Udp,
            listener: ListenerId(0),
            local: bench::at("192.0.2.9:5060"),
            peer: bench::at(CALLER),
            conn: None,
        };
        self.heard += 1;
        let at = Time::from_millis(self.heard * 50_000);
        let elsewhere = self.solo.steered(at, at, &flow, bytes, &mut |_, _| ());
        // What it began has ended before the next one comes.
        self.solo.deadlines(at.plus_millis(49_000), &mut |_, _| ());
        self.solo.records();
        let mut index = sip::Index::new();
        let is_read = sip::parse(bytes, &mut index).is_ok_and(|message| {
            // A response that answers nothing of ours is dropped by whoever has it.
            message.is_request() || Keys::read_branch(message.branch()).is_some()
        });
        let want = owner.filter(|&owner| owner != ShardId(0) && is_read);
        assert_eq!(elsewhere, want, "{name}: {}", bytes.escape_ascii());
    }
}

#[test]
fn every_message_of_the_call_flows_comes_to_its_shard() {
    let mut pair = Pair::new(0);
    let mut valve = Valve::new();
    for (name, bytes) in call_flows() {
        assert!(pair.run(&name, &bytes).is_some(), "{name}");
        valve.run(&name, &bytes);
    }
    assert!(valve.dropped > 0);
}

#[test]
fn hostile_messages_come_to_their_shard_or_are_left_alone() {
    let (mut pair, mut valve) = (Pair::new(0), Valve::new());
    let messages = hostile();
    for (name, bytes) in &messages {
        pair.run(name, bytes);
        for end in (0..bytes.len().min(3_000)).step_by(7) {
            pair.run(name, &bytes[..end]);
        }
        for end in ["\n", "\r\n ", "\t\n"] {
            let other = String::from_utf8_lossy(bytes).replace("\r\n", end);
            pair.run(name, other.as_bytes());
            valve.run(name, other.as_bytes());
        }
        valve.run(name, bytes);
    }
    let (mut clear, mut unclear) = (0, Vec::new());
    for (name, bytes) in &messages {
        match pair.run(name, bytes) {
            Some(_) => clear += 1,
            None if pair.router.owner(bytes).is_some() => unclear.push(name),
            None => {}
        }
    }
    assert!(
        clear > unclear.len() * 10,
        "{clear} are clear, not {unclear:#?}"
    );
}

#[test]
fn mutated_messages_come_to_their_shard_or_are_left_alone() {
    const OCTETS: &[u8] = b"\r\n\0\t :iIcC-dD;,>tToO\x7f\x80\x8b\xff";
    let (mut pair, mut valve) = (Pair::new(0), Valve::new());
    let mut random = Random::new(0x57ee_4e4d, 0);
    let messages: Vec<_> = call_flows().into_iter().chain(hostile()).collect();
    for _ in 0..MUTATIONS {
        let (name, bytes) = &messages[random.below(messages.len() as u64) as usize];
        let mut bytes = bytes.clone();
        // Most changes are near the Call-ID, where they matter.
        let near = bytes
            .windows(3)
            .position(|at| at.eq_ignore_ascii_case(b"-ID"));
        for _ in 0..=random.below(3) {
            if bytes.is_empty() {
                break;
            }
            let at = match near {
                Some(near) if random.below(4) != 0 => {
                    near.saturating_sub(8) + random.below(48) as usize
                }
                _ => random.below(bytes.len() as u64) as usize,
            };
            let at = at.min(bytes.len() - 1);
            let octet = OCTETS[random.below(OCTETS.len() as u64) as usize];
            match random.below(3) {
                0 => bytes[at] = octet,
                1 => bytes.insert(at, octet),
                _ => drop(bytes.remove(at)),
            }
        }
        pair.run(name, &bytes);
        valve.run(name, &bytes);
    }
    assert!(valve.dropped > MUTATIONS / 20, "{}", valve.dropped);
    let counts = pair.machine.counts();
    assert!(counts.hash > MUTATIONS / 3, "{counts:?}");
    assert!(counts.unclear > MUTATIONS / 100, "{counts:?}");
}

/// What the router hears in a call: the caller's requests have a Call-ID, and the vendor's
/// responses our cookie where the program looks for it.
#[test]
fn the_vendors_answers_come_by_our_cookie() {
    let setup = Setup {
        shards: SHARDS,
        ..Setup::new()
    };
    let mut bench = setup.build();
    let mut pair = Pair::new(0);
    for (from, bytes) in bench.call() {
        let before = pair.machine.counts();
        assert!(pair.run(from, &bytes).is_some());
        let after = pair.machine.counts();
        let is_reply = bytes.starts_with(b"SIP/2.0");
        let want = SteerCounts {
            cookie: before.cookie + u64::from(is_reply),
            hash: before.hash + u64::from(!is_reply),
            ..before
        };
        assert_eq!(after, want, "{}", bytes.escape_ascii());
        assert!(!is_reply || from == VENDOR);
    }
    assert!(pair.machine.counts().cookie >= 3);
}

/// The same over each listener of datagrams, whose addresses have different lengths, and for
/// calls of every shard.
#[test]
fn each_listener_knows_where_its_cookie_is() {
    let mut of_shard = [0; SHARDS as usize];
    for at in 0..120 {
        let mut setup = Setup {
            shards: SHARDS,
            ..Setup::new()
        };
        let (listener, vendor) = [
            (0, VENDOR),
            (2, "127.0.0.9:5060"),
            (3, "[2001:db8::9]:5060"),
        ][at % 3];
        setup.spec.gateways[0].address = bench::at(vendor);
        let name = format!("listener{listener}");
        setup.spec.gateways[0].listener = Some(name);
        let mut bench = setup.build();
        let dialog = bench::Dialog::new(&format!("call-{at}"));
        bench.hear(CALLER, &dialog.invite());
        bench.run_ms(100);
        let sent = bench.take();
        let is_to_vendor =
            |packet: &&Packet| packet.is_request() && packet.peer == bench::at(vendor);
        let invite = sent.iter().find(is_to_vendor).unwrap();
        let mut pair = Pair::new(listener);
        for status in ["100 Trying", "183 Session Progress", "200 OK"] {
            let reply = crlf(&respond(&invite.text(), status, "callee"));
            let found = pair.run(status, &reply).unwrap();
            of_shard[usize::from(found.0)] += 1;
        }
        let cookie = 3;
        let want = SteerCounts {
            cookie,
            ..SteerCounts::default()
        };
        assert_eq!(pair.machine.counts(), want, "{}", invite.text());
    }
    assert!(of_shard.iter().all(|&count| count > 0), "{of_shard:?}");
}
