//! Mutated datagrams against one running shard: it neither panics nor leaks, its counters explain
//! every one of them, and calls go through in between.
//!
//! `TRUNKLINE_MUTATIONS` says how many, `TRUNKLINE_SEED` which; a failure prints both and the
//! datagram.
#![allow(clippy::unwrap_used)] // a test's own helpers may

mod bench;

use bench::{Bench, CALLER, OTHER, Packet, STRANGER, Setup, VENDOR, assert_clean, crlf, respond};
use corpora::{call_flows, hostile};
use shards::Random;

const MUTATIONS: u64 = 200_000;
const SEED: u64 = 0x5eed_0bad_c0de;
/// After how many a call must go through.
const CALL_EVERY: u64 = 10_000;
/// The longest datagram that is made.
const BYTES_MAX: usize = 9_000;

/// Numbers that have broken parsers.
const NUMBERS: &[&str] = &[
    "0",
    "-1",
    "1",
    "69",
    "70",
    "71",
    "127",
    "128",
    "200",
    "255",
    "256",
    "486",
    "503",
    "699",
    "700",
    "5060",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "18446744073709551616",
    "36893488147419103232",
    "00000000000000000000000001",
    "1e9",
    "0x10",
];
/// Octets that mean something to somebody.
const OCTETS: &[u8] = b"\r\n\0\t ,;:<>\"\\@%=?&/[]()*+-.~!'`^{}|\x7f\x80\xc3\xffaZ019";

/// Says what was sent when a test failed.
struct Witness {
    seed: u64,
    number: u64,
    bytes: Vec<u8>,
}

impl Drop for Witness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "seed {}, mutation {}: {}",
                self.seed,
                self.number,
                self.bytes.escape_ascii()
            );
        }
    }
}

/// What datagrams are made of.
struct Corpus {
    /// Messages of the sets.
    known: Vec<Vec<u8>>,
    /// Messages with tokens of the router: of a call that is over, and of one that is up.
    own: Vec<Vec<u8>>,
    /// What the router sent last to a vendor: answers are made of it.
    asked: Vec<Packet>,
}

impl Corpus {
    fn new() -> Corpus {
        let all = call_flows().into_iter().chain(hostile());
        Corpus {
            known: all.map(|(_, bytes)| bytes).collect(),
            own: Vec::new(),
            asked: Vec::new(),
        }
    }

    /// Makes calls whose messages are in the corpus from now on.
    fn renew(&mut self, bench: &mut Bench, number: u64) {
        self.own.clear();
        self.own
            .extend(bench.call().into_iter().map(|(_, bytes)| bytes));
        let dialog = bench.answered_call(&format!("open{number}"));
        for method in [
            "BYE", "ACK", "INVITE", "UPDATE", "INFO", "PRACK", "CANCEL", "OPTIONS",
        ] {
            self.own.push(crlf(&dialog.request(method, 2, method)));
        }
        self.own.push(crlf(&dialog.cancel()));
        self.own.push(crlf(&dialog.invite()));
        self.own
            .push(crlf(&respond(&dialog.forwarded, "200 OK", "callee")));
    }

    fn note(&mut self, packet: Packet, random: &mut Random) {
        if packet.is_request() && packet.bytes.len() < BYTES_MAX {
            if self.asked.len() < 64 {
                self.asked.push(packet);
            } else {
                self.asked[random.below(64) as usize] = packet;
            }
        }
    }

    /// Where a datagram comes from and what is in it, before it is mutated.
    fn draw(&self, random: &mut Random) -> (&'static str, Vec<u8>) {
        let from = match random.below(16) {
            0 => STRANGER,
            1 => OTHER,
            2 | 3 => VENDOR,
            _ => CALLER,
        };
        match random.below(8) {
            0..=3 => (from, pick(&self.known, random).clone()),
            4 | 5 if !self.own.is_empty() => (from, pick(&self.own, random).clone()),
            _ if !self.asked.is_empty() => {
                let request = pick(&self.asked, random);
                let statuses = [
                    "100 Trying",
                    "180 Ringing",
                    "183 Session Progress",
                    "200 OK",
                    "302 Moved",
                    "401 Unauthorized",
                    "404 Not Found",
                    "407 Proxy",
                    "486 Busy Here",
                    "487 Gone",
                    "500 Error",
                    "503 Service Unavailable",
                    "603 Decline",
                ];
                let tag = ["a", "b", "callee"][random.below(3) as usize];
                let answer = respond(&request.text(), pick::<&str>(&statuses, random), tag);
                let peer = if request.peer == bench::at(OTHER) {
                    OTHER
                } else {
                    VENDOR
                };
                let from = if random.below(16) == 0 { from } else { peer };
                (
                    from,
                    answer
                        .replace("\r\n", "\n")
                        .replace('\n', "\r\n")
                        .into_bytes(),
                )
            }
            _ => (from, pick(&self.known, random).clone()),
        }
    }
}

fn pick<'a, T>(from: &'a [T], random: &mut Random) -> &'a T {
    &from[random.below(from.len() as u64) as usize]
}

/// A place in `bytes`, its end included.
fn place(bytes: &[u8], random: &mut Random) -> usize {
    random.below(bytes.len() as u64 + 1) as usize
}

/// The line at a random place, with its end.
fn line(bytes: &[u8], random: &mut Random) -> std::ops::Range<usize> {
    let at = place(bytes, random);
    let start = bytes[..at].iter().rposition(|&octet| octet == b'\n');
    let end = bytes[at..].iter().position(|&octet| octet == b'\n');
    start.map_or(0, |start| start + 1)..end.map_or(bytes.len(), |end| at + end + 1)
}

/// Makes a request a new one instead of a copy of an earlier.
fn renew_branch(bytes: &mut Vec<u8>, number: u64) {
    let mark = b"branch=z9hG4bK";
    if let Some(at) = bytes.windows(mark.len()).position(|part| part == mark) {
        let at = at + mark.len();
        bytes.splice(at..at, format!("{number}").into_bytes());
    }
}

fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    match random.below(10) {
        0 => {
            for _ in 0..=random.below(8) {
                let at = place(bytes, random);
                if let Some(octet) = bytes.get_mut(at) {
                    *octet ^= 1 << random.below(8);
                }
            }
        }
        1 => bytes.truncate(place(bytes, random)),
        2 => {
            bytes.truncate(place(bytes, random));
            bytes.extend_from_slice(&other[place(other, random)..]);
        }
        3 => {
            let range = line(bytes, random);
            let copy = bytes[range.clone()].to_vec();
            bytes.splice(range.end..range.end, copy);
        }
        4 => {
            let range = line(bytes, random);
            bytes.drain(range);
        }
        5 => {
            let copy = other[line(other, random)].to_vec();
            let at = line(bytes, random).start;
            bytes.splice(at..at, copy);
        }
        6 | 7 => {
            let at = place(bytes, random);
            let is_digit = |octet: &u8| octet.is_ascii_digit();
            if let Some(offset) = bytes[at..].iter().position(is_digit) {
                let start = at + offset;
                let run = bytes[start..]
                    .iter()
                    .take_while(|octet| is_digit(octet))
                    .count();
                bytes.splice(start..start + run, pick(NUMBERS, random).bytes());
            }
        }
        8 => {
            let at = place(bytes, random);
            let octet = *pick(OCTETS, random);
            let times = if random.below(8) == 0 {
                random.below(600)
            } else {
                1
            };
            bytes.splice(at..at, std::iter::repeat_n(octet, times as usize));
        }
        _ => {
            let at = place(bytes, random);
            if let Some(place) = bytes.get_mut(at) {
                *place = *pick(OCTETS, random);
            }
        }
    }
    bytes.truncate(BYTES_MAX);
}

fn number_from(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}"))
    })
}

#[test]
fn mutated_datagrams_neither_break_nor_leak() {
    let mutations = number_from("TRUNKLINE_MUTATIONS", MUTATIONS);
    check(Setup::new(), mutations);
}

/// The same where every message crosses borders: people are hidden, headers go and come, numbers are
/// rewritten.
#[test]
fn mutated_datagrams_break_nothing_at_borders() {
    let mutations = number_from("TRUNKLINE_MUTATIONS", MUTATIONS / 4);
    check(Setup::new().bordered(), mutations);
}

fn check(setup: Setup, mutations: u64) {
    let seed = number_from("TRUNKLINE_SEED", SEED);
    let mut setup = setup.nobody_goes_down();
    setup.transactions_max = 3_000;
    setup.calls_max = 2_000;
    setup.max_call_ms = 60_000;
    setup.limits.timers = 32_768;
    setup.spec.trunks[0].follow_redirects = true;
    let mut bench = setup.build();
    let mut corpus = Corpus::new();
    let mut random = Random::new(seed, 1);
    let mut witness = Witness {
        seed,
        number: 0,
        bytes: Vec::new(),
    };
    for number in 0..mutations {
        if number.is_multiple_of(CALL_EVERY) {
            // Everything that was begun ends, so that there is room.
            bench.run_ms(300_000);
            bench.take();
            bench.records();
            corpus.asked.clear();
            corpus.renew(&mut bench, number);
        }
        let (from, mut bytes) = corpus.draw(&mut random);
        if random.below(2) == 0 {
            renew_branch(&mut bytes, number);
        }
        let other = pick(&corpus.known, &mut random).clone();
        // One in sixteen stays as it is, the others change once or a few times.
        let times = match random.below(16) {
            0 => 0,
            1..=11 => 1,
            _ => 1 + random.below(4),
        };
        for _ in 0..times {
            mutate(&mut bytes, &other, &mut random);
        }
        witness.number = number;
        witness.bytes = bytes;
        bench.receive(from, &witness.bytes);
        if random.below(4) == 0 {
            bench.run_ms(1 + random.below(20));
        }
        for packet in bench.take() {
            if !packet.bytes.is_empty() {
                assert_clean("what was sent", &packet.bytes);
            }
            corpus.note(packet, &mut random);
        }
        if number.is_multiple_of(256) {
            bench.records();
        }
    }
    bench.run_ms(300_000);
    bench.records();
    bench.ends_empty();
    println!("{mutations} mutations of seed {seed}: {}", bench.counters());
    for counter in [
        "requests_taken",
        "request_retransmissions",
        "requests_refused",
        "acks_passed",
        "acks_dropped",
        "cancels",
        "responses_matched",
        "stray_responses",
        "malformed",
        "not_sip",
        "calls_answered",
        "forged_route",
        "no_dialog",
    ] {
        let is_reached = bench.counter(counter) > 0 || mutations < MUTATIONS;
        assert!(
            is_reached,
            "nothing came by {counter}: {}",
            bench.counters()
        );
    }
}
