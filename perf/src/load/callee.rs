//! The callees of a thread: what the sinks answer, and what they count.
//!
//! ```text
//!            ┌──rung──▶ Answered ──ACK──▶ Up ──BYE: 200──▶ gone
//!   Ringing ─┤
//!            └──CANCEL: 200, 487──▶ Refused ──ACK──▶ gone
//!   Refused (by its share) ──ACK──▶ gone        Silent ──64*T1──▶ gone
//! ```
//! Final responses to INVITE are sent again until ACK comes (RFC 3261 §13.3.1.4 and §17.2.1). What
//! a call does is drawn from its Call-ID and the sink, so that a repeated INVITE finds the same
//! mind. An INVITE is known by its branch; all that follows by our tag in To. Responses go back
//! where their request came from.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;

use super::plan::Sink;
use super::ports::{Flow, Ports};
use super::schedule::mixed;
use super::slab::{Blocks, Key, Slab};
use super::tally::Tally;
use super::voice::{Run, is_warm_up, sdp};
use super::wheel::Wheel;
use super::wire::{Kind, Method, RING, Scan, Start, put, put_body, put_decimal, put_hex, read_hex};
use super::{Again, Plan, SinkReport, Spread, Transport};

/// What is kept of an INVITE to answer it with: its Vias, Record-Routes and identity.
const SKELETON_BYTES_MAX: usize = 4096;
/// Calls that wait for an ACK at the same time; beyond it an INVITE is not answered.
const UNACKED_MAX: usize = 65_536;

/// All calls that the sinks of a thread have up.
pub(crate) struct Callee {
    rules: Rules,
    run: Run,
    pub(crate) seats: Vec<SinkSeat>,
    calls: Slab<Call>,
    by_branch: HashMap<u64, Key, BuildHasherDefault<Hashed>>,
    wheel: Wheel,
    skeletons: Blocks,
    active: u64,
    pub(crate) sent: Again,
    pub(crate) seen: Again,
    pub(crate) strays: u64,
    scratch: Vec<u8>,
    tag: Vec<u8>,
    tally: Arc<Tally>,
    /// Whether this thread has no callers, so that its callees are what is watched.
    is_watched: bool,
}

/// A sink in its thread.
pub(crate) struct SinkSeat {
    /// Its place in the plan.
    pub(crate) place: usize,
    sink: Sink,
    ring: Spread,
    /// `Contact: <sip:192.0.2.1:5060>` and its line's end.
    contact: Vec<u8>,
    body: Vec<u8>,
    pub(crate) report: SinkReport,
}

impl SinkSeat {
    pub(crate) fn new(plan: &Plan, place: usize, local: SocketAddr) -> SinkSeat {
        let sink = plan.sinks[place];
        let parameter = match plan.transport {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
        };
        SinkSeat {
            place,
            sink,
            ring: sink.ring.unwrap_or(plan.ring),
            contact: format!("Contact: <sip:{local}{parameter}>\r\n").into_bytes(),
            body: if plan.payload.sdp {
                sdp(local)
            } else {
                Vec::new()
            },
            report: SinkReport {
                address: Some(local),
                ..SinkReport::default()
            },
        }
    }
}

#[derive(Debug)]
struct Rules {
    t1_us: u64,
    t2_us: u64,
    give_up_us: u64,
    is_retransmitting: bool,
    is_reliable: bool,
    seed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Ringing,
    Answered,
    Up,
    Refused(u16),
    Silent,
}

#[derive(Clone, Copy, Debug)]
struct Call {
    state: State,
    seat: u16,
    flow: Flow,
    branch: u64,
    skeleton: Option<u32>,
    began_us: u64,
    rang_us: u64,
    interval_us: u64,
    give_up_us: u64,
    is_counted: bool,
}

impl Callee {
    pub(crate) fn new(plan: &Plan, run: Run, seats: Vec<SinkSeat>, tally: Arc<Tally>) -> Callee {
        let calls_max = if seats.is_empty() { 0 } else { plan.calls_max };
        let timers = plan.timers;
        let is_reliable = plan.transport == Transport::Tcp;
        Callee {
            rules: Rules {
                t1_us: timers.t1_ms * 1000,
                t2_us: timers.t2_ms * 1000,
                give_up_us: timers.give_up_ms * 1000,
                is_retransmitting: timers.retransmits,
                is_reliable,
                seed: plan.seed,
            },
            run,
            seats,
            calls: Slab::new(calls_max),
            by_branch: HashMap::with_capacity_and_hasher(calls_max, BuildHasherDefault::default()),
            wheel: Wheel::new(calls_max),
            skeletons: Blocks::new(calls_max.min(UNACKED_MAX), SKELETON_BYTES_MAX),
            active: 0,
            sent: Again::default(),
            seen: Again::default(),
            strays: 0,
            scratch: Vec::with_capacity(2 * SKELETON_BYTES_MAX),
            tag: Vec::with_capacity(32),
            tally,
            is_watched: plan.sources.is_empty(),
        }
    }

    /// Calls that are not over.
    pub(crate) fn active(&self) -> u64 {
        self.active
    }

    /// When a deadline is due next.
    pub(crate) fn next_us(&self) -> Option<u64> {
        self.wheel.next_us()
    }

    /// Takes what came in at one of the sinks.
    pub(crate) fn message(
        &mut self,
        seat: u16,
        flow: Flow,
        bytes: &[u8],
        now_us: u64,
        ports: &mut Ports,
    ) {
        let Some(scan) = Scan::of(bytes) else {
            self.strays += 1;
            return;
        };
        ports.received(Kind::of(&scan), bytes.len());
        let Start::Request(method) = scan.start else {
            self.strays += 1;
            return;
        };
        let key = self.key_of(scan.to_tag());
        match method {
            Method::Invite if scan.to_tag().is_empty() => {
                self.invite(&scan, seat, flow, now_us, ports);
            }
            Method::Invite => self.refresh(&scan, seat, key, flow, ports),
            Method::Ack => self.ack(&scan, key),
            Method::Bye => self.bye(&scan, seat, key, flow, ports),
            Method::Cancel => self.cancel(&scan, seat, flow, now_us, ports),
            Method::Options => {
                self.seats[usize::from(seat)].report.options += 1;
                self.say(&scan, b"SIP/2.0 200 OK\r\n", b"", flow, ports);
            }
            Method::Register => {
                self.seats[usize::from(seat)].report.registers += 1;
                self.scratch.clear();
                let contact: [&[u8]; 3] = [b"Contact: ", scan.contact, b";expires=3600\r\n"];
                put(&mut self.scratch, &contact);
                let lines = std::mem::take(&mut self.scratch);
                self.say(&scan, b"SIP/2.0 200 OK\r\n", &lines, flow, ports);
                self.scratch = lines;
            }
            Method::Other => self.say(&scan, b"SIP/2.0 501 Not Implemented\r\n", b"", flow, ports),
        }
    }

    /// A response without a body, made of its request.
    fn say(&self, scan: &Scan<'_>, status: &[u8], lines: &[u8], flow: Flow, ports: &mut Ports) {
        ports.send(flow, Kind::answering(scan), |out| {
            out.extend_from_slice(status);
            scan.put_skeleton(b"none", out);
            put(out, &[lines, b"Content-Length: 0\r\n\r\n"]);
        });
    }

    /// The call that a To tag of ours names: `c` index generation `-` run.
    fn key_of(&self, tag: &[u8]) -> Option<Key> {
        let is_ours = tag.len() == 26
            && tag[0] == b'c'
            && tag[17] == b'-'
            && read_hex(&tag[18..]) == Some(self.run);
        if !is_ours {
            return None;
        }
        Some(Key {
            index: read_hex(&tag[1..9])?,
            generation: read_hex(&tag[9..17])?,
        })
    }

    fn invite(&mut self, scan: &Scan<'_>, seat: u16, flow: Flow, now_us: u64, ports: &mut Ports) {
        let branch = hash(scan.branch) ^ mixed(u64::from(seat) + 1);
        if let Some(&key) = self.by_branch.get(&branch) {
            return self.invite_again(key, ports);
        }
        let place = usize::from(seat);
        let is_counted = !is_warm_up(scan.call_id);
        self.seats[place].report.invites += 1;
        let sink = self.seats[place].sink;
        let draw = mixed(hash(scan.call_id) ^ mixed(self.rules.seed + u64::from(seat))) % 1000;
        let state = match draw as u32 {
            draw if draw < sink.silent_per_mille => State::Silent,
            draw if draw < sink.silent_per_mille + sink.refuse_per_mille => {
                State::Refused(sink.refuse_status)
            }
            _ => State::Ringing,
        };
        let call = Call {
            state,
            seat,
            flow,
            branch,
            skeleton: None,
            began_us: now_us,
            rang_us: 0,
            interval_us: self.rules.t1_us,
            give_up_us: now_us + self.rules.give_up_us,
            is_counted,
        };
        let Some((key, call)) = self.admit(scan, call) else {
            self.seats[place].report.held_back += 1;
            return;
        };
        match state {
            State::Silent => {
                self.seats[place].report.silent += 1;
                self.wheel.arm(key.index, call.give_up_us);
            }
            State::Refused(_) => {
                self.seats[place].report.refused += 1;
                self.say_call(&call, ports);
                self.arm_final(key, &call, now_us);
            }
            _ => self.ring(key, call, sink.sends_trying, now_us, ports),
        }
    }

    /// Takes a slot for a call and keeps what it is answered with.
    fn admit(&mut self, scan: &Scan<'_>, call: Call) -> Option<(Key, Call)> {
        let key = self.calls.insert(call)?;
        self.tag.clear();
        put_tag(key, self.run, &mut self.tag);
        self.scratch.clear();
        scan.put_skeleton(&self.tag, &mut self.scratch);
        let Some(block) = self.skeletons.keep(&self.scratch) else {
            self.calls.remove(key);
            return None;
        };
        let call = Call {
            skeleton: Some(block),
            ..call
        };
        self.put(key, call);
        self.by_branch.insert(call.branch, key);
        self.active += 1;
        self.watch(|tally| tally.attempts.add(1));
        Some((key, call))
    }

    fn ring(&mut self, key: Key, call: Call, sends_trying: bool, now_us: u64, ports: &mut Ports) {
        if sends_trying {
            self.say_status(&call, Kind::Trying, b"SIP/2.0 100 Trying\r\n", ports);
        }
        // Drawn from the branch: the same INVITE rings as long.
        let ring_us = self.seats[usize::from(call.seat)]
            .ring
            .draw_us(mixed(call.branch));
        if ring_us == 0 {
            return self.answer(key, call, now_us, ports);
        }
        self.say_call(&call, ports);
        self.wheel.arm(key.index, now_us + ring_us);
    }

    fn answer(&mut self, key: Key, mut call: Call, now_us: u64, ports: &mut Ports) {
        call.state = State::Answered;
        call.rang_us = now_us - call.began_us;
        call.give_up_us = now_us + self.rules.give_up_us;
        self.put(key, call);
        self.seats[usize::from(call.seat)].report.answered += 1;
        self.watch(|tally| tally.established.add(1));
        self.say_call(&call, ports);
        self.arm_final(key, &call, now_us);
    }

    /// Sends what the call's state says, the first time or again.
    fn say_call(&self, call: &Call, ports: &mut Ports) {
        match call.state {
            State::Ringing => {
                self.say_status(call, Kind::Ringing, b"SIP/2.0 180 Ringing\r\n", ports);
            }
            State::Answered => self.say_answer(call, ports),
            State::Refused(status) => {
                let block = call.skeleton.expect("a refused call keeps its lines");
                let skeleton = self.skeletons.get(block);
                ports.send(call.flow, Kind::Other, |out| {
                    out.extend_from_slice(b"SIP/2.0 ");
                    put_decimal(out, u64::from(status), 3);
                    put(out, &[b" ", reason(status), b"\r\n", skeleton]);
                    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
                });
            }
            State::Up | State::Silent => {}
        }
    }

    fn say_status(&self, call: &Call, kind: Kind, status: &[u8], ports: &mut Ports) {
        let block = call.skeleton.expect("a ringing call keeps its lines");
        let contact = &self.seats[usize::from(call.seat)].contact;
        let skeleton = self.skeletons.get(block);
        ports.send(call.flow, kind, |out| {
            put(
                out,
                &[status, skeleton, contact, b"Content-Length: 0\r\n\r\n"],
            );
        });
    }

    fn say_answer(&self, call: &Call, ports: &mut Ports) {
        let block = call
            .skeleton
            .expect("an answered call keeps its lines until ACK");
        let seat = &self.seats[usize::from(call.seat)];
        let skeleton = self.skeletons.get(block);
        ports.send(call.flow, Kind::Answer, |out| {
            put(
                out,
                &[b"SIP/2.0 200 OK\r\n", skeleton, &seat.contact, RING, b": "],
            );
            put_decimal(out, call.rang_us, 6);
            out.extend_from_slice(b"\r\n");
            put_body(out, &seat.body);
        });
    }

    /// Sets the deadline of a final response that waits for its ACK.
    fn arm_final(&mut self, key: Key, call: &Call, now_us: u64) {
        // Over a stream only a 2xx is sent again: it may have been lost behind the next hop.
        let is_repeated = self.rules.is_retransmitting
            && (call.state == State::Answered || !self.rules.is_reliable);
        let at_us = match is_repeated {
            true => call.give_up_us.min(now_us + call.interval_us),
            false => call.give_up_us,
        };
        self.wheel.arm(key.index, at_us);
    }

    fn invite_again(&mut self, key: Key, ports: &mut Ports) {
        let Some(&mut call) = self.calls.get_mut(key) else {
            return;
        };
        if call.is_counted {
            self.seen.invite += 1;
        }
        // The 2xx has a timer of its own (RFC 6026 §7.1).
        if matches!(call.state, State::Ringing | State::Refused(_)) {
            if call.is_counted {
                match call.state {
                    State::Ringing => self.sent.response += 1,
                    _ => self.sent.invite_final += 1,
                }
            }
            self.tally.again.add(1);
            self.say_call(&call, ports);
        }
    }

    /// An INVITE within a call is accepted as it is.
    fn refresh(
        &mut self,
        scan: &Scan<'_>,
        seat: u16,
        key: Option<Key>,
        flow: Flow,
        ports: &mut Ports,
    ) {
        let is_known = key.is_some_and(|key| self.calls.get_mut(key).is_some());
        if !is_known {
            return self.stray(scan, seat, flow, ports);
        }
        let seat = &self.seats[usize::from(seat)];
        ports.send(flow, Kind::Other, |out| {
            out.extend_from_slice(b"SIP/2.0 200 OK\r\n");
            scan.put_skeleton(b"", out);
            out.extend_from_slice(&seat.contact);
            put_body(out, &seat.body);
        });
    }

    /// A request for a dialog that is not there.
    fn stray(&mut self, scan: &Scan<'_>, seat: u16, flow: Flow, ports: &mut Ports) {
        self.seats[usize::from(seat)].report.strays += 1;
        let status = b"SIP/2.0 481 Call/Transaction Does Not Exist\r\n";
        self.say(scan, status, b"", flow, ports);
    }

    fn ack(&mut self, scan: &Scan<'_>, key: Option<Key>) {
        let call = key.and_then(|key| Some((key, *self.calls.get_mut(key)?)));
        let Some((key, call)) = call else {
            match key {
                Some(_) if !is_warm_up(scan.call_id) => self.seen.ack += 1,
                Some(_) => {}
                None => self.strays += 1,
            }
            return;
        };
        match call.state {
            State::Answered => {
                self.seats[usize::from(call.seat)].report.acknowledged += 1;
                self.wheel.cancel(key.index);
                self.free_skeleton(key);
                if let Some(call) = self.calls.get_mut(key) {
                    call.state = State::Up;
                }
            }
            State::Refused(_) => self.retire(key),
            State::Up if call.is_counted => self.seen.ack += 1,
            State::Up | State::Ringing | State::Silent => {}
        }
    }

    fn bye(&mut self, scan: &Scan<'_>, seat: u16, key: Option<Key>, flow: Flow, ports: &mut Ports) {
        let Some(key) = key else {
            return self.stray(scan, seat, flow, ports);
        };
        self.say(scan, b"SIP/2.0 200 OK\r\n", b"", flow, ports);
        match self.calls.get_mut(key) {
            Some(_) => {
                self.seats[usize::from(seat)].report.byes += 1;
                self.watch(|tally| tally.completed.add(1));
                self.retire(key);
            }
            // The tag proves that the call was ours: the BYE comes again, and is answered again.
            None if !is_warm_up(scan.call_id) => {
                self.seen.bye += 1;
                self.sent.response += 1;
            }
            None => {}
        }
    }

    fn cancel(&mut self, scan: &Scan<'_>, seat: u16, flow: Flow, now_us: u64, ports: &mut Ports) {
        let branch = hash(scan.branch) ^ mixed(u64::from(seat) + 1);
        let Some(&key) = self.by_branch.get(&branch) else {
            return self.stray(scan, seat, flow, ports);
        };
        self.say(scan, b"SIP/2.0 200 OK\r\n", b"", flow, ports);
        let Some(&mut call) = self.calls.get_mut(key) else {
            return;
        };
        match call.state {
            State::Ringing => {
                let call = Call {
                    state: State::Refused(487),
                    give_up_us: now_us + self.rules.give_up_us,
                    ..call
                };
                self.put(key, call);
                self.seats[usize::from(seat)].report.cancelled += 1;
                self.say_call(&call, ports);
                self.arm_final(key, &call, now_us);
            }
            State::Silent => self.retire(key),
            State::Answered | State::Up | State::Refused(_) => {
                if call.is_counted {
                    self.seen.cancel += 1;
                }
            }
        }
    }

    /// Fires what is due, at most `budget` deadlines.
    pub(crate) fn timers(&mut self, now_us: u64, budget: usize, ports: &mut Ports) {
        for _ in 0..budget {
            let Some(index) = self.wheel.due(now_us) else {
                return;
            };
            let Some(key) = self.calls.key_at(index) else {
                continue;
            };
            if let Some(&mut call) = self.calls.get_mut(key) {
                self.deadline(key, call, now_us, ports);
            }
        }
    }

    fn deadline(&mut self, key: Key, mut call: Call, now_us: u64, ports: &mut Ports) {
        let is_over = now_us >= call.give_up_us;
        match call.state {
            State::Ringing => self.answer(key, call, now_us, ports),
            State::Answered if is_over => {
                self.seats[usize::from(call.seat)].report.unacknowledged += 1;
                self.retire(key);
            }
            State::Answered | State::Refused(_) if !is_over => {
                if call.is_counted {
                    self.sent.invite_final += 1;
                }
                self.tally.again.add(1);
                self.say_call(&call, ports);
                call.interval_us = (call.interval_us * 2).min(self.rules.t2_us);
                self.put(key, call);
                self.arm_final(key, &call, now_us);
            }
            State::Answered | State::Refused(_) | State::Silent => self.retire(key),
            State::Up => {}
        }
    }

    fn put(&mut self, key: Key, call: Call) {
        if let Some(slot) = self.calls.get_mut(key) {
            *slot = call;
        }
    }

    fn free_skeleton(&mut self, key: Key) {
        let call = self.calls.get_mut(key);
        if let Some(block) = call.and_then(|call| call.skeleton.take()) {
            self.skeletons.give_back(block);
        }
    }

    fn retire(&mut self, key: Key) {
        self.free_skeleton(key);
        self.wheel.cancel(key.index);
        if let Some(call) = self.calls.remove(key) {
            self.by_branch.remove(&call.branch);
            self.active -= 1;
        }
    }

    /// Shows what callees do, where there are no callers to be watched.
    fn watch(&self, count: impl FnOnce(&Tally)) {
        if self.is_watched {
            count(&self.tally);
        }
    }
}

fn put_tag(key: Key, run: Run, out: &mut Vec<u8>) {
    out.push(b'c');
    put_hex(out, key.index);
    put_hex(out, key.generation);
    out.push(b'-');
    put_hex(out, run);
}

fn reason(status: u16) -> &'static [u8] {
    match status {
        404 => b"Not Found",
        480 => b"Temporarily Unavailable",
        486 => b"Busy Here",
        487 => b"Request Terminated",
        500 => b"Server Internal Error",
        503 => b"Service Unavailable",
        603 => b"Decline",
        _ => b"Refused",
    }
}

/// FNV-1a, mixed: peers of a load test do not choose their branches to collide.
fn hash(bytes: &[u8]) -> u64 {
    let step = |sum: u64, &byte: &u8| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    mixed(bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// Keys that are hashes already.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only 64-bit keys are hashed")
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}
