//! A handler of a few lines for tests of the runtime and of the world.
//!
//! Its messages are text: an owner (a digit, or `-` for nobody), a command, the payload's length in
//! four digits, the payload. `0E0005hello` is for shard 0 and wants to be echoed.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]
#![allow(
    clippy::disallowed_methods,
    reason = "the clock of the tests is the real one"
)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{Flow, ListenerId, ShardId, Transport};
use shards::{
    Brought, CounterDef, CounterKind, Frame, Handler, Inbound, Outbox, Rank, Undelivered,
};

pub const HEAD_BYTES: usize = 6;

/// The counters of its own: messages handled, and those of them that it was told to expect.
pub static HANDLED: [CounterDef; 2] = [
    CounterDef {
        name: "handled",
        help: "Messages handled.",
        kind: CounterKind::Counter,
    },
    CounterDef {
        name: "expected",
        help: "Messages handled that were expected.",
        kind: CounterKind::Counter,
    },
];
/// The place of the second of [`HANDLED`].
pub const EXPECTED: usize = 1;

/// Puts a message together.
pub fn message(owner: char, command: char, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{owner}{command}{:04}", payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// What a letter of the test handler says.
#[derive(Debug)]
pub enum Letter {
    /// Echo this over that path.
    Echo(Flow, Vec<u8>),
    /// Keep it.
    Say(String),
}

/// The handler.
#[derive(Default)]
pub struct Echo {
    pub snapshot: Option<Arc<String>>,
    /// What happened, in order.
    pub log: Vec<String>,
    /// Deadlines that echo: the path and the octets of each.
    pub waiting: Vec<Option<(Flow, Vec<u8>)>>,
    pub draining: bool,
    pub busy: bool,
    pub housekeepings: u32,
    /// What it was told to expect, and has not got yet.
    expected: VecDeque<Vec<u8>>,
}

impl Echo {
    pub fn send(&mut self, flow: &Flow, bytes: &[u8], token: u64, out: &mut Outbox<Echo>) {
        let Some(packet) = out.packet(bytes.len()) else {
            self.log.push("no packet".to_owned());
            return;
        };
        out.buffer(packet)[..bytes.len()].copy_from_slice(bytes);
        out.set_len(packet, bytes.len());
        out.send(flow, packet, token);
        out.release(packet);
    }

    fn note(&mut self, out: &mut Outbox<Echo>, what: String) {
        out.notice(format!("{}: {what}", out.shard().0));
        self.log.push(format!("{} {what}", out.now().0));
    }
}

impl Handler for Echo {
    type Letter = Letter;
    type Notice = String;
    type Snapshot = String;

    fn owner(&self, bytes: &[u8]) -> Option<ShardId> {
        let owner = char::from(*bytes.first()?).to_digit(10)?;
        Some(ShardId(owner as u16))
    }

    fn frame(&self, bytes: &[u8]) -> Frame {
        if bytes.starts_with(b"\r\n\r\n") {
            return Frame::KeepAlive {
                bytes: 4,
                pong: true,
            };
        }
        if bytes == b"\r\n" || bytes == b"\r" || bytes == b"\r\n\r" {
            return Frame::More;
        }
        if bytes.starts_with(b"\r\n") {
            return Frame::KeepAlive {
                bytes: 2,
                pong: false,
            };
        }
        if !bytes[0].is_ascii_digit() && bytes[0] != b'-' {
            return Frame::Bad(1);
        }
        let Some(len) = bytes.get(2..HEAD_BYTES) else {
            return Frame::More;
        };
        let len = std::str::from_utf8(len).ok().and_then(|len| {
            // `K` counts in kilobytes, so that a length over the limit can be written.
            let unit = if bytes[1] == b'K' { 1_024 } else { 1 };
            Some(len.parse::<usize>().ok()? * unit)
        });
        match len {
            Some(len) => Frame::Message(HEAD_BYTES + len),
            None => Frame::Bad(2),
        }
    }

    fn expect(&mut self, bytes: &[u8]) {
        assert!(bytes.get(1) != Some(&b'Z'), "told to panic at the sight");
        self.expected.push_back(bytes.to_vec());
    }

    fn expect_none(&mut self) {
        self.expected.clear();
    }

    fn message(&mut self, inbound: &Inbound<'_>, out: &mut Outbox<Echo>) {
        out.stats().add(0, 1);
        if inbound.is_expected {
            let expected = self.expected.pop_front().expect("somebody said so");
            assert_eq!(expected, inbound.bytes, "in the order in which they come");
            out.stats().add(EXPECTED, 1);
        }
        assert!(
            self.expected.len() <= 1,
            "no further ahead than the next, or what was expected did not come"
        );
        assert!(
            inbound.received <= out.now(),
            "received before it is handled"
        );
        let flow = inbound.flow;
        let payload = inbound.bytes.get(HEAD_BYTES..).unwrap_or(b"");
        let text = String::from_utf8_lossy(payload).into_owned();
        match inbound.bytes.get(1) {
            Some(b'E' | b'K') => self.send(&flow, inbound.bytes, 0, out),
            // Who handled it, and was it handed over?
            Some(b'W') => {
                let handed_over = u8::from(inbound.brought == Brought::HandedOver);
                let local = flow.local;
                let answer = format!("{} {handed_over} {local}", out.shard().0);
                self.send(&flow, answer.as_bytes(), 0, out);
            }
            // Echo after so many milliseconds.
            Some(b'D') => {
                let delay_us = text.parse::<u64>().expect("a number") * 1_000;
                self.waiting.push(Some((flow, inbound.bytes.to_vec())));
                let armed = out.arm(delay_us, self.waiting.len() as u64 - 1);
                assert!(armed.is_some());
            }
            // Echo by letter over another shard.
            Some(b'L') => {
                let to = ShardId(u16::from(payload[0] - b'0'));
                if !out.post(to, Letter::Echo(flow, inbound.bytes.to_vec())) {
                    self.send(&flow, b"letter refused", 0, out);
                }
            }
            // To another address: transport, listener, address.
            Some(b'F') => {
                let mut words = text.split(' ');
                let transport = match words.next() {
                    Some("udp") => Transport::Udp,
                    _ => Transport::Tcp,
                };
                let listener = words
                    .next()
                    .and_then(|w| w.parse().ok())
                    .expect("a listener");
                let peer: SocketAddr = words
                    .next()
                    .and_then(|w| w.parse().ok())
                    .expect("an address");
                let listener = ListenerId(listener);
                let to = Flow {
                    transport,
                    listener,
                    peer,
                    conn: None,
                    ..flow
                };
                self.send(&to, inbound.bytes, 77, out);
            }
            Some(b'C') => {
                self.send(&flow, b"bye", 0, out);
                out.close(flow.conn.expect("a connection"));
            }
            Some(b'R') => {
                let done = out.record(payload.len(), &mut |buffer| {
                    buffer.copy_from_slice(payload);
                    payload.len()
                });
                self.note(out, format!("record {done}"));
            }
            // Echo when there is nothing else to do.
            Some(b'O') => {
                if inbound.brought == Brought::PutOff || !out.put_off(inbound, Rank::Last) {
                    self.send(&flow, inbound.bytes, 0, out);
                }
            }
            Some(b'B') => self.busy = true,
            Some(b'I') => self.busy = false,
            Some(b'P') => panic!("told to panic: {text}"),
            // Holds the whole shard up, as a stopped thread would.
            Some(b'S') => {
                std::thread::sleep(Duration::from_millis(text.parse().expect("a number")))
            }
            Some(b'V') => {
                let version = self
                    .snapshot
                    .as_ref()
                    .map_or("none", |s| s.as_str())
                    .to_owned();
                self.send(&flow, version.as_bytes(), 0, out);
            }
            _ => self.note(out, format!("message {text}")),
        }
    }

    fn unframed(&mut self, inbound: &Inbound<'_>, reason: u8, out: &mut Outbox<Echo>) {
        self.note(out, format!("unframed {reason}"));
        self.send(&inbound.flow, format!("bad {reason}").as_bytes(), 0, out);
    }

    fn overflow(&mut self, inbound: &Inbound<'_>, owner: ShardId, out: &mut Outbox<Echo>) {
        if inbound.bytes.get(1) == Some(&b'E') {
            let answer = format!("{} is full", owner.0);
            self.send(&inbound.flow, answer.as_bytes(), 0, out);
        }
    }

    fn letter(&mut self, from: ShardId, letter: Letter, out: &mut Outbox<Echo>) {
        match letter {
            Letter::Echo(flow, bytes) => self.send(&flow, &bytes, 5, out),
            Letter::Say(text) => self.note(out, format!("letter from {}: {text}", from.0)),
        }
    }

    fn deadline(&mut self, token: u64, out: &mut Outbox<Echo>) {
        let waiting = self.waiting.get_mut(token as usize).and_then(Option::take);
        let (flow, bytes) = waiting.expect("a deadline passes once");
        self.send(&flow, &bytes, 0, out);
    }

    fn undelivered(&mut self, token: u64, why: Undelivered, out: &mut Outbox<Echo>) {
        self.note(out, format!("undelivered {token} {why:?}"));
    }

    fn snapshot(&mut self, new: Arc<String>, out: &mut Outbox<Echo>) -> Option<Arc<String>> {
        self.note(out, format!("snapshot {new}"));
        self.snapshot.replace(new)
    }

    fn housekeeping(&mut self, _: &mut Outbox<Echo>) {
        self.housekeepings += 1;
    }

    fn drain(&mut self, out: &mut Outbox<Echo>) {
        self.draining = true;
        self.note(out, "drain".to_owned());
    }

    fn is_idle(&self) -> bool {
        self.draining && !self.busy
    }

    fn stop(&mut self, out: &mut Outbox<Echo>) {
        self.draining = true;
        self.busy = false;
        self.note(out, "stop".to_owned());
    }
}

/// Waits until `done` says so; fails after a time that no machine needs.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "waited in vain: {what}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}
