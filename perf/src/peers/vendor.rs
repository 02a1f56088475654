//! A vendor's gateway: answers, refuses, or says nothing.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{BATCH_MAX, DATAGRAM_BYTES_MAX, Deadlines, GIVE_UP_US, Port, T1_US, T2_US, sdp};
use crate::VendorFigures;
use crate::figures::VendorCounts;
use crate::text::{self, Answer, Text};

/// What a vendor does with a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Habit {
    /// 180 after `ring`, 200 after `answer`, both counted from the INVITE; no 180 if `ring` is
    /// not before `answer`.
    Answers {
        /// From the INVITE to the 180.
        ring: Duration,
        /// From the INVITE to the 200.
        answer: Duration,
    },
    /// A final response at once.
    Refuses {
        /// Its status, 300 or more.
        status: u16,
    },
    /// Nothing, not even to OPTIONS.
    Silent,
}

/// A vendor to be started.
#[derive(Clone, Debug)]
pub struct VendorSpec {
    /// Where it listens (UDP).
    pub bind: SocketAddr,
    /// What it does.
    pub habit: Habit,
    /// Calls held at the same time; more are dropped and counted.
    pub calls_max: usize,
}

impl VendorSpec {
    /// A vendor with room for 200,000 calls.
    #[must_use]
    pub fn new(bind: SocketAddr, habit: Habit) -> VendorSpec {
        VendorSpec {
            bind,
            habit,
            calls_max: 200_000,
        }
    }
}

/// A running vendor. Dropping it stops it.
#[derive(Debug)]
pub struct Vendor {
    local: SocketAddr,
    is_stopping: Arc<AtomicBool>,
    counts: Arc<VendorCounts>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Vendor {
    /// Opens the socket and starts to answer.
    ///
    /// # Errors
    /// The socket cannot be opened, or there is no thread to be had.
    pub fn start(spec: VendorSpec) -> io::Result<Vendor> {
        let port = Port::open(spec.bind)?;
        let local = port.local;
        let is_stopping = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(VendorCounts::default());
        let mut agent = Agent {
            contact: local.to_string().into_bytes(),
            sdp: sdp(local),
            port,
            spec,
            counts: Arc::clone(&counts),
            calls: HashMap::new(),
            deadlines: Deadlines::new(),
            over: 0,
            serial: 0,
            out: Vec::with_capacity(2048),
        };
        let flag = Arc::clone(&is_stopping);
        let thread = std::thread::Builder::new()
            .name("vendor".to_owned())
            .spawn(move || agent.run(&flag))?;
        Ok(Vendor {
            local,
            is_stopping,
            counts,
            thread: Some(thread),
        })
    }

    /// Where it listens; the port it was given if `bind` had none.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// What it has counted so far.
    #[must_use]
    pub fn figures(&self) -> VendorFigures {
        self.counts.figures()
    }

    /// Ends the thread and says what it counted.
    pub fn stop(mut self) -> VendorFigures {
        self.end();
        self.counts.figures()
    }

    fn end(&mut self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        self.end();
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// No final response yet.
    Ringing,
    /// 200 sent, no ACK yet: it is repeated.
    Answered,
    /// Another final response sent, no ACK yet: it is repeated.
    Refused,
    /// ACK received for the 200.
    Up,
    /// Over; kept for a while for what is received again.
    Over,
}

#[derive(Debug)]
struct Call {
    serial: u64,
    state: State,
    from: SocketAddr,
    /// The INVITE while it rings (the responses copy from it).
    invite: Vec<u8>,
    /// The last response to the INVITE.
    response: Vec<u8>,
    started_us: u64,
    interval_us: u64,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Due {
    Ring,
    Answer,
    Repeat,
    Forget,
}

/// Call-ID, serial number of the call (a Call-ID may come again), and what is due.
type Key = (Vec<u8>, u64, Due);

struct Agent {
    port: Port,
    spec: VendorSpec,
    contact: Vec<u8>,
    sdp: Vec<u8>,
    counts: Arc<VendorCounts>,
    calls: HashMap<Vec<u8>, Call>,
    deadlines: Deadlines<Key>,
    /// How many of `calls` are over.
    over: usize,
    serial: u64,
    out: Vec<u8>,
}

impl Agent {
    fn run(&mut self, is_stopping: &AtomicBool) -> io::Result<()> {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        while !is_stopping.load(Ordering::Relaxed) {
            let next_us = self.deadlines.next_us().unwrap_or(u64::MAX);
            self.port.wait(next_us)?;
            for _ in 0..BATCH_MAX {
                let Some((len, from)) = self.port.receive(&mut buffer) else {
                    break;
                };
                self.datagram(&buffer[..len], from);
            }
            let now_us = self.port.now_us();
            while let Some(key) = self.deadlines.due(now_us) {
                self.deadline(key, now_us);
            }
            self.counts
                .active
                .set((self.calls.len() - self.over) as u64);
        }
        Ok(())
    }

    fn datagram(&mut self, bytes: &[u8], from: SocketAddr) {
        if self.spec.habit == Habit::Silent {
            if bytes.starts_with(b"INVITE ") {
                self.counts.invites.add(1);
            }
            return;
        }
        let Some(request) = Text::cut(bytes) else {
            return self.counts.dropped.add(1);
        };
        let Some(call_id) = request.value(text::CALL_ID) else {
            return self.counts.dropped.add(1);
        };
        match request.method() {
            b"INVITE" if request.has_to_tag() => self.reply(&request, 200, from),
            b"INVITE" => self.invite(&request, call_id, bytes, from),
            b"ACK" => self.ack(call_id),
            b"BYE" => self.bye(&request, call_id, from),
            b"CANCEL" => self.cancel(&request, call_id, from),
            b"OPTIONS" => {
                self.counts.options.add(1);
                self.reply(&request, 200, from);
            }
            b"UPDATE" | b"INFO" | b"PRACK" => self.reply(&request, 200, from),
            _ if request.status().is_some() => {}
            _ => self.reply(&request, 405, from),
        }
    }

    fn invite(&mut self, request: &Text<'_>, call_id: &[u8], bytes: &[u8], from: SocketAddr) {
        if let Some(call) = self.calls.get(call_id)
            && call.state != State::Over
        {
            self.counts.retransmissions.add(1);
            if !call.response.is_empty() {
                self.port.send(&call.response, call.from);
            }
            return;
        }
        if self.calls.len() >= self.spec.calls_max {
            return self.counts.dropped.add(1);
        }
        self.counts.invites.add(1);
        self.serial += 1;
        let now_us = self.port.now_us();
        let serial = self.serial;
        let replaced = self.calls.insert(
            call_id.to_vec(),
            Call {
                serial,
                state: State::Ringing,
                from,
                invite: bytes.to_vec(),
                response: Vec::new(),
                started_us: now_us,
                interval_us: T1_US,
            },
        );
        // Only a call that is over is called again under its Call-ID.
        self.over -= usize::from(replaced.is_some());
        match self.spec.habit {
            Habit::Answers { ring, answer } => {
                let (ring_us, answer_us) = (ring.as_micros() as u64, answer.as_micros() as u64);
                if ring_us < answer_us {
                    self.arm(now_us + ring_us, call_id, serial, Due::Ring);
                }
                self.arm(now_us + answer_us, call_id, serial, Due::Answer);
            }
            Habit::Refuses { status } => {
                self.counts.refused.add(1);
                self.compose(request, status, b"");
                self.finish(call_id, State::Refused);
            }
            Habit::Silent => unreachable!("a silent vendor reads no INVITE"),
        }
    }

    fn ack(&mut self, call_id: &[u8]) {
        let Some(call) = self.calls.get_mut(call_id) else {
            return;
        };
        match call.state {
            State::Answered => call.state = State::Up,
            State::Refused => self.end(call_id),
            State::Ringing | State::Up | State::Over => {}
        }
    }

    fn bye(&mut self, request: &Text<'_>, call_id: &[u8], from: SocketAddr) {
        let state = self.calls.get(call_id).map(|call| call.state);
        match state {
            Some(State::Answered | State::Up) => {
                self.counts.byes.add(1);
                self.reply(request, 200, from);
                self.end(call_id);
            }
            Some(State::Over) => {
                self.counts.retransmissions.add(1);
                self.reply(request, 200, from);
            }
            _ => self.reply(request, 481, from),
        }
    }

    fn cancel(&mut self, request: &Text<'_>, call_id: &[u8], from: SocketAddr) {
        let Some(call) = self.calls.get(call_id) else {
            return self.reply(request, 481, from);
        };
        let is_ringing = call.state == State::Ringing;
        self.reply(request, 200, from);
        if is_ringing {
            self.counts.cancelled.add(1);
            self.compose_for(call_id, 487);
            self.finish(call_id, State::Refused);
        }
    }

    fn deadline(&mut self, (call_id, serial, due): Key, now_us: u64) {
        let Some(call) = self.calls.get_mut(&call_id) else {
            return;
        };
        if call.serial != serial {
            return;
        }
        match (due, call.state) {
            (Due::Ring, State::Ringing) => {
                self.compose_for(&call_id, 180);
                self.keep_and_send(&call_id);
            }
            (Due::Answer, State::Ringing) => {
                self.counts.answered.add(1);
                self.compose_for(&call_id, 200);
                self.finish(&call_id, State::Answered);
            }
            (Due::Repeat, State::Answered | State::Refused) => {
                if now_us >= call.started_us + GIVE_UP_US {
                    self.counts.unacknowledged.add(1);
                    return self.end(&call_id);
                }
                call.interval_us = (call.interval_us * 2).min(T2_US);
                let next_us = now_us + call.interval_us;
                self.counts.retransmissions.add(1);
                self.port.send(&call.response, call.from);
                self.arm(next_us, &call_id, serial, Due::Repeat);
            }
            (Due::Forget, State::Over) => {
                self.calls.remove(&call_id);
                self.over -= 1;
            }
            _ => {}
        }
    }

    /// Sends the final response in `out`, and repeats it until it is acknowledged.
    fn finish(&mut self, call_id: &[u8], state: State) {
        self.keep_and_send(call_id);
        let now_us = self.port.now_us();
        let call = self.calls.get_mut(call_id).expect("the call is answered");
        call.state = state;
        call.started_us = now_us;
        call.invite = Vec::new();
        let (serial, at_us) = (call.serial, now_us + call.interval_us);
        self.arm(at_us, call_id, serial, Due::Repeat);
    }

    /// The call is over; it is remembered as long as its last messages may come again.
    fn end(&mut self, call_id: &[u8]) {
        let now_us = self.port.now_us();
        let Some(call) = self.calls.get_mut(call_id) else {
            return;
        };
        debug_assert_ne!(call.state, State::Over, "a call ends once");
        call.state = State::Over;
        self.over += 1;
        call.response = Vec::new();
        let serial = call.serial;
        self.arm(now_us + T2_US, call_id, serial, Due::Forget);
    }

    fn arm(&mut self, at_us: u64, call_id: &[u8], serial: u64, due: Due) {
        self.deadlines.arm(at_us, (call_id.to_vec(), serial, due));
    }

    fn keep_and_send(&mut self, call_id: &[u8]) {
        let call = self.calls.get_mut(call_id).expect("the call rings");
        call.response.clear();
        call.response.extend_from_slice(&self.out);
        self.port.send(&self.out, call.from);
    }

    fn compose_for(&mut self, call_id: &[u8], status: u16) {
        let call = self.calls.get_mut(call_id).expect("the call rings");
        let invite = std::mem::take(&mut call.invite);
        let request = Text::cut(&invite).expect("it was cut when it came");
        let sdp = std::mem::take(&mut self.sdp);
        let body: &[u8] = if status == 200 { &sdp } else { b"" };
        self.compose(&request, status, body);
        self.sdp = sdp;
        let call = self.calls.get_mut(call_id).expect("the call rings");
        call.invite = invite;
    }

    fn compose(&mut self, request: &Text<'_>, status: u16, body: &[u8]) {
        let to_tag = format!("v{}", self.spec.bind.port());
        let contact: &[u8] = if status < 300 { &self.contact } else { b"" };
        let answer = Answer {
            status,
            to_tag: to_tag.as_bytes(),
            contact,
            body,
        };
        request.respond(&answer, &mut self.out);
    }

    fn reply(&mut self, request: &Text<'_>, status: u16, to: SocketAddr) {
        self.compose(request, status, b"");
        self.port.send(&self.out, to);
    }
}
