//! The caller's thread: all its calls, from INVITE to the end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{CallerSpec, Order};
use crate::figures::CallerCounts;
use crate::peers::{BATCH_MAX, DATAGRAM_BYTES_MAX, Deadlines, GIVE_UP_US, Port, T1_US, T2_US, sdp};
use crate::text::{self, Answer, Text};
use crate::truth::TruthLog;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// INVITE sent, nothing heard: it is repeated.
    Calling,
    /// A provisional response came.
    Proceeding,
    /// CANCEL sent: it is repeated until the final response.
    Cancelling,
    /// Answered and acknowledged.
    Up,
    /// BYE sent: it is repeated.
    Leaving,
    /// Refused and acknowledged; kept for a while in case the response comes again.
    Failed,
}

#[derive(Debug)]
struct Call {
    serial: u64,
    state: State,
    number: String,
    sent_us: u64,
    /// When the request that is being repeated was first sent, and the interval by now.
    since_us: u64,
    interval_us: u64,
    /// The request that is repeated: INVITE, CANCEL or BYE.
    request: Vec<u8>,
    ack: Vec<u8>,
    bye: Vec<u8>,
    next_hop: SocketAddr,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Due {
    Repeat(State8),
    Patience,
    HangUp,
    Forget,
}

/// The state for which a repetition was armed; a later state makes it void.
type State8 = u8;

type Key = (u32, u64, Due);

pub(super) struct Agent {
    pub(super) port: Port,
    pub(super) spec: CallerSpec,
    pub(super) sdp: Vec<u8>,
    /// Makes Call-IDs of one run differ from those of another.
    pub(super) salt: u64,
    /// The wall clock at the port's time 0.
    epoch_us: u64,
    truth: Option<TruthLog>,
    counts: Arc<CallerCounts>,
    calls: Vec<Option<Call>>,
    free: Vec<u32>,
    active: usize,
    placed: u64,
    deadlines: Deadlines<Key>,
    out: Vec<u8>,
}

impl Agent {
    pub(super) fn new(
        port: Port,
        spec: CallerSpec,
        counts: Arc<CallerCounts>,
    ) -> io::Result<Agent> {
        let truth = spec.truth.as_deref().map(TruthLog::create).transpose()?;
        let epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_err(io::Error::other)?;
        let epoch_us = (epoch.as_micros() as u64).saturating_sub(port.now_us());
        Ok(Agent {
            sdp: sdp(port.local),
            salt: epoch_us,
            epoch_us,
            port,
            spec,
            truth,
            counts,
            calls: Vec::new(),
            free: Vec::new(),
            active: 0,
            placed: 0,
            deadlines: Deadlines::new(),
            out: Vec::with_capacity(2048),
        })
    }

    pub(super) fn run(&mut self, order: &Order) -> io::Result<()> {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        let mut is_leaving = false;
        loop {
            let now_us = self.port.now_us();
            if order.is_stopping.load(Ordering::Acquire) {
                if !is_leaving && order.is_hanging_up.load(Ordering::Relaxed) {
                    self.leave_all(now_us)?;
                }
                is_leaving = true;
                if self.active == 0 || now_us >= order.leave_us.load(Ordering::Relaxed) {
                    break;
                }
            } else if self.placed >= self.spec.calls_max && self.active == 0 {
                break;
            }
            let due_us = if is_leaving {
                u64::MAX
            } else {
                self.place_due(now_us)?
            };
            let next_us = self.deadlines.next_us().unwrap_or(u64::MAX).min(due_us);
            self.port.wait(next_us)?;
            for _ in 0..BATCH_MAX {
                let Some((len, from)) = self.port.receive(&mut buffer) else {
                    break;
                };
                self.datagram(&buffer[..len], from)?;
            }
            let now_us = self.port.now_us();
            while let Some(key) = self.deadlines.due(now_us) {
                self.deadline(key, now_us)?;
            }
            self.counts.active.set(self.active as u64);
        }
        self.counts.active.set(self.active as u64);
        match &mut self.truth {
            Some(truth) => truth.flush(),
            None => Ok(()),
        }
    }

    /// Places the calls whose time has come, a batch at most; says when the next is due.
    fn place_due(&mut self, now_us: u64) -> io::Result<u64> {
        let rate = u64::from(self.spec.rate.max(1));
        for _ in 0..BATCH_MAX {
            let due_us = self.placed.saturating_mul(1_000_000) / rate;
            if self.placed >= self.spec.calls_max {
                return Ok(u64::MAX);
            }
            if due_us > now_us {
                return Ok(due_us);
            }
            self.place(now_us);
        }
        Ok(now_us)
    }

    fn place(&mut self, now_us: u64) {
        let serial = self.placed;
        self.placed += 1;
        if self.active >= self.spec.active_max {
            return self.counts.held_back.add(1);
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.calls.push(None);
            (self.calls.len() - 1) as u32
        });
        let template = &self.spec.numbers[serial as usize % self.spec.numbers.len().max(1)];
        let number = template.replace('*', &format!("{:07}", serial % 10_000_000));
        let mut request = Vec::with_capacity(1024);
        self.compose(&number, index, serial, "INVITE", b"", &mut request);
        self.port.send(&request, self.spec.router);
        self.calls[index as usize] = Some(Call {
            serial,
            state: State::Calling,
            number,
            sent_us: now_us,
            since_us: now_us,
            interval_us: T1_US,
            request,
            ack: Vec::new(),
            bye: Vec::new(),
            next_hop: self.spec.router,
        });
        self.active += 1;
        self.counts.placed.add(1);
        self.arm_repeat(now_us + T1_US, index, serial, State::Calling);
        let patience_us = self.spec.patience.as_micros() as u64;
        self.deadlines
            .arm(now_us + patience_us, (index, serial, Due::Patience));
    }

    fn datagram(&mut self, bytes: &[u8], from: SocketAddr) -> io::Result<()> {
        let Some(message) = Text::cut(bytes) else {
            return Ok(());
        };
        let (Some(call_id), Some(cseq)) = (message.value(text::CALL_ID), message.value(text::CSEQ))
        else {
            return Ok(());
        };
        let found = self.find(call_id);
        let Some(status) = message.status() else {
            return self.request(&message, found, from);
        };
        let Some(index) = found else {
            return Ok(());
        };
        match text::cseq_method(cseq) {
            b"INVITE" => self.invite_response(index, status, &message),
            b"BYE" if status >= 200 => self.bye_response(index),
            _ => Ok(()),
        }
    }

    fn invite_response(&mut self, index: u32, status: u16, message: &Text<'_>) -> io::Result<()> {
        let now_us = self.port.now_us();
        let call = self.calls[index as usize].as_mut().expect("it was found");
        match (status, call.state) {
            (100..200, State::Calling) => {
                call.state = State::Proceeding;
                Ok(())
            }
            (200..300, State::Calling | State::Proceeding | State::Cancelling) => {
                let is_cancelled = call.state == State::Cancelling;
                self.counts.answered.add(1);
                self.counts.setup.record(now_us - call.sent_us);
                let serial = call.serial;
                self.dialog(index, message);
                self.note(index, serial, now_us, "answered", status)?;
                let hold_us = self.spec.hold.as_micros() as u64;
                let due_us = now_us + if is_cancelled { 0 } else { hold_us };
                self.deadlines.arm(due_us, (index, serial, Due::HangUp));
                Ok(())
            }
            (200..300, State::Up | State::Leaving) => {
                self.counts.retransmissions.add(1);
                self.port.send(&call.ack, call.next_hop);
                Ok(())
            }
            (300..700, State::Calling | State::Proceeding | State::Cancelling) => {
                call.state = State::Failed;
                let serial = call.serial;
                let number = std::mem::take(&mut call.number);
                let to = message.value(text::TO).unwrap_or_default();
                let mut ack = Vec::with_capacity(512);
                self.compose(&number, index, serial, "ACK", to, &mut ack);
                self.port.send(&ack, self.spec.router);
                let call = self.calls[index as usize].as_mut().expect("it was found");
                call.ack = ack;
                call.request = Vec::new();
                self.counts.failed.add(1);
                self.active -= 1;
                self.deadlines
                    .arm(now_us + T2_US, (index, serial, Due::Forget));
                self.note(index, serial, now_us, "failed", status)
            }
            (300..700, State::Failed) => {
                self.counts.retransmissions.add(1);
                self.port.send(&call.ack, call.next_hop);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A 2xx makes a dialog: its route set, its ACK, and the BYE for later.
    fn dialog(&mut self, index: u32, message: &Text<'_>) {
        let routes = message.route_set();
        let target = text::uri_of(message.value(text::CONTACT).unwrap_or_default());
        let to = message.value(text::TO).unwrap_or_default();
        let first = routes.first().map_or(target, |route| text::uri_of(route));
        let next_hop = text::address_of(first).unwrap_or(self.spec.router);
        let call = self.calls[index as usize].as_mut().expect("it is answered");
        let serial = call.serial;
        let (mut ack, mut bye) = (Vec::with_capacity(512), Vec::with_capacity(512));
        for (method, out) in [("ACK", &mut ack), ("BYE", &mut bye)] {
            self.compose_in_dialog(index, serial, method, target, to, &routes, out);
        }
        self.port.send(&ack, next_hop);
        let call = self.calls[index as usize].as_mut().expect("it is answered");
        call.state = State::Up;
        call.request = Vec::new();
        call.next_hop = next_hop;
        call.ack = ack;
        call.bye = bye;
    }

    fn bye_response(&mut self, index: u32) -> io::Result<()> {
        let call = self.calls[index as usize].as_ref().expect("it was found");
        if call.state == State::Leaving {
            self.counts.completed.add(1);
            self.active -= 1;
            self.retire(index);
        }
        Ok(())
    }

    fn request(
        &mut self,
        message: &Text<'_>,
        found: Option<u32>,
        from: SocketAddr,
    ) -> io::Result<()> {
        let method = message.method();
        if method == b"ACK" {
            return Ok(());
        }
        let status = if found.is_some() || method == b"OPTIONS" {
            200
        } else {
            481
        };
        let answer = Answer {
            status,
            to_tag: b"c",
            contact: b"",
            body: b"",
        };
        message.respond(&answer, &mut self.out);
        self.port.send(&self.out, from);
        let (b"BYE", Some(index)) = (method, found) else {
            return Ok(());
        };
        let call = self.calls[index as usize].as_ref().expect("it was found");
        if call.state != State::Up {
            return Ok(());
        }
        let serial = call.serial;
        self.counts.completed.add(1);
        self.active -= 1;
        self.note(index, serial, self.port.now_us(), "ended", 200)?;
        self.retire(index);
        Ok(())
    }

    fn deadline(&mut self, (index, serial, due): Key, now_us: u64) -> io::Result<()> {
        let Some(call) = self.calls[index as usize].as_mut() else {
            return Ok(());
        };
        if call.serial != serial {
            return Ok(());
        }
        match (due, call.state) {
            (Due::Repeat(armed), state) if armed == state as u8 => self.repeat(index, now_us),
            (Due::Patience, State::Calling | State::Proceeding) => {
                self.cancel(index, now_us);
                Ok(())
            }
            (Due::HangUp, State::Up) => self.hang_up(index, now_us),
            (Due::Forget, State::Failed) => {
                self.retire(index);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn repeat(&mut self, index: u32, now_us: u64) -> io::Result<()> {
        let call = self.calls[index as usize].as_mut().expect("it is repeated");
        let (serial, state) = (call.serial, call.state);
        if now_us < call.since_us + GIVE_UP_US {
            call.interval_us = match state {
                State::Calling => call.interval_us * 2,
                _ => (call.interval_us * 2).min(T2_US),
            };
            let next_us = now_us + call.interval_us;
            self.port.send(&call.request, call.next_hop);
            self.counts.retransmissions.add(1);
            self.arm_repeat(next_us, index, serial, state);
            return Ok(());
        }
        self.active -= 1;
        if state == State::Leaving {
            self.counts.bye_unanswered.add(1);
        } else {
            self.counts.failed.add(1);
            self.note(index, serial, now_us, "failed", 408)?;
        }
        self.retire(index);
        Ok(())
    }

    fn cancel(&mut self, index: u32, now_us: u64) {
        let call = self.calls[index as usize].as_mut().expect("it rings");
        let (serial, is_heard) = (call.serial, call.state == State::Proceeding);
        let number = call.number.clone();
        let mut request = Vec::with_capacity(512);
        self.compose(&number, index, serial, "CANCEL", b"", &mut request);
        if is_heard {
            self.port.send(&request, self.spec.router);
        }
        let call = self.calls[index as usize].as_mut().expect("it rings");
        call.state = State::Cancelling;
        call.request = request;
        call.since_us = now_us;
        call.interval_us = T1_US;
        self.arm_repeat(now_us + T1_US, index, serial, State::Cancelling);
    }

    fn hang_up(&mut self, index: u32, now_us: u64) -> io::Result<()> {
        let call = self.calls[index as usize].as_mut().expect("it is up");
        let serial = call.serial;
        call.state = State::Leaving;
        call.request = std::mem::take(&mut call.bye);
        call.since_us = now_us;
        call.interval_us = T1_US;
        self.port.send(&call.request, call.next_hop);
        self.arm_repeat(now_us + T1_US, index, serial, State::Leaving);
        self.note(index, serial, now_us, "ended", 200)
    }

    /// Hangs up or cancels all there is.
    fn leave_all(&mut self, now_us: u64) -> io::Result<()> {
        for index in 0..self.calls.len() as u32 {
            match self.calls[index as usize].as_ref().map(|call| call.state) {
                Some(State::Up) => self.hang_up(index, now_us)?,
                Some(State::Calling | State::Proceeding) => self.cancel(index, now_us),
                Some(State::Cancelling | State::Leaving | State::Failed) | None => {}
            }
        }
        Ok(())
    }

    fn retire(&mut self, index: u32) {
        self.calls[index as usize] = None;
        self.free.push(index);
    }

    fn arm_repeat(&mut self, at_us: u64, index: u32, serial: u64, state: State) {
        self.deadlines
            .arm(at_us, (index, serial, Due::Repeat(state as u8)));
    }

    fn note(
        &mut self,
        index: u32,
        serial: u64,
        at_us: u64,
        what: &str,
        status: u16,
    ) -> io::Result<()> {
        let Some(truth) = &mut self.truth else {
            return Ok(());
        };
        let wall_us = self.epoch_us + at_us;
        let (salt, host) = (self.salt, self.port.local.ip());
        truth.note(
            what,
            format_args!("{serial:x}.{index:x}.{salt:x}@{host}"),
            wall_us,
            status,
        )
    }

    /// The call of a Call-ID, which carries its slot and serial number.
    fn find(&self, call_id: &[u8]) -> Option<u32> {
        let text = std::str::from_utf8(call_id).ok()?;
        let mut parts = text.split(['.', '@']);
        let serial = u64::from_str_radix(parts.next()?, 16).ok()?;
        let index = u32::from_str_radix(parts.next()?, 16).ok()?;
        let salt = u64::from_str_radix(parts.next()?, 16).ok()?;
        let call = self.calls.get(index as usize)?.as_ref()?;
        (call.serial == serial && salt == self.salt).then_some(index)
    }
}
